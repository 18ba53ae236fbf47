/** registry.chitty.cc, which anybody may read, and register.chitty.cc, by which one gets into it. */
import { actorId } from "../chitty-id.mjs";
import { answer, isObject, iso } from "./answer.mjs";

const ENDPOINTS = ["/health", "/api/v1/tools", "/api/v1/tools/{chitty_id}", "/api/v1/manifest", "/v0.1/servers"];
const NAMES = ["id", "mint", "auth", "registry", "register", "dna", "verify", "certify", "chronicle", "beacon", "canon", "chat"];

/** registry.chitty.cc. */
export function registry(call, state) {
  if (call.method !== "GET") {
    return answer(401, { error: "The registry is read only", code: "READ_ONLY", submission_endpoint: "https://register.chitty.cc/api/v1/register" });
  }
  const tools = [...CATALOGUE, ...state.documents.list("registered")];
  switch (call.path) {
    case "/health":
      return answer(200, { status: "ok", service: "chittyregistry", version: "2.0.0", tier: 2, stats: { tools: tools.length }, timestamp: iso(call.at) });
    case "/api/v1/tools": {
      const found = tools.filter(({ category }) => call.query.category === undefined || category === call.query.category);
      return answer(200, { success: true, tools: found, count: found.length });
    }
    case "/api/v1/manifest":
      return answer(200, { success: true, manifest: { version: "1", generated_at: iso(call.at), count: tools.length, entries: tools } });
  }
  const one = /^\/api\/v1\/tools\/([^/]+)$/.exec(call.path);
  if (!one) return answer(404, { error: "Endpoint not found", availableEndpoints: ENDPOINTS });
  const tool = tools.find(({ chitty_id }) => chitty_id === decodeURIComponent(one[1]));
  return tool ? answer(200, { success: true, tool }) : answer(404, { error: "Tool not found" });
}

/** register.chitty.cc. */
export function register(call, state) {
  switch (`${call.method} ${call.path}`) {
    case "GET /health":
      return answer(200, { status: "ok", service: "chittyregister", version: "1.0.0", features: [], timestamp: iso(call.at) });
    case "POST /api/v1/register":
    case "POST /api/register":
      return enter(call, state);
    case "POST /api/v1/challenge":
      return challenge(call);
    case "GET /api/v1/status":
      return answer(200, { success: true, status: "ok", registered: state.documents.count("registered") });
    case "GET /api/v1/services":
      return answer(200, { success: true, services: state.documents.list("registered") });
  }
  const changed = /^PATCH \/api\/services\/([^/]+)\/status$/.exec(`${call.method} ${call.path}`);
  return changed ? setStatus(decodeURIComponent(changed[1]), call, state) : answer(404, { success: false, error: "Not found" });
}

function enter({ body, at }, state) {
  if (!isObject(body) || typeof body.name !== "string" || body.name === "") {
    return answer(400, { success: false, errors: { name: "is required" } });
  }
  const earlier = state.documents.get("registered", body.name);
  const chitty_id = earlier?.chitty_id ?? actorId(`registered-${body.name}`);
  const { name, description = "", version = "1.0.0", endpoints = [], metadata = {} } = body;
  const times = { registered_at: earlier?.registered_at ?? iso(at), updated_at: iso(at) };
  state.documents.put("registered", name, { chitty_id, name, description, version, endpoints, metadata, status: "active", ...times });
  const answered = { success: true, chitty_id, certificate: `cert_${name}`, chronicle_ref: null, registry_ref: chitty_id, discovery_ref: null };
  return answer(earlier ? 200 : 201, answered);
}

function challenge({ body }) {
  if (!isObject(body) || typeof body.name !== "string") return answer(400, { success: false, errors: { name: "is required" } });
  const token = crypto.randomUUID().replaceAll("-", "");
  const well_known_path = `/.well-known/chitty-register-challenge/${token}`;
  return answer(200, { success: true, token, key_authorization: `${token}.sandbox`, well_known_path });
}

function setStatus(name, { body, at }, state) {
  const found = state.documents.get("registered", name);
  if (!found) return answer(404, { success: false, error: "There is no such service" });
  const status = isObject(body) ? body.status : undefined;
  if (typeof status !== "string") return answer(400, { success: false, errors: { status: "is required" } });
  state.documents.put("registered", name, { ...found, status, updated_at: iso(at) });
  return answer(200, { success: true, name, status });
}

const CATALOGUE = NAMES.map((name) => ({
  chitty_id: actorId(`service-${name}`),
  entity_type: "T",
  subtype: "service",
  name: `chitty${name}`,
  description: `chitty${name}, as the sandbox plays it`,
  version: "1.0.0",
  category: "core-infrastructure",
  endpoints: [`https://${name}.chitty.cc/health`, `https://${name}.chitty.cc/api`],
  status: "active",
}));
