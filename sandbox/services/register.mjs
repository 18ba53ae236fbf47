/** register.chitty.cc: adds services to the registry. Registering a name again changes its entry. */
import { serviceId } from "../chitty-id.mjs";
import { answer, isObject, iso } from "./answer.mjs";
import { entryOf } from "./registry.mjs";

const NOT_FOUND = { success: false, error: "There is no such service" };

const isText = (value) => typeof value === "string" && value !== "";
const isEndpoints = (value) => (Array.isArray(value) ? value : isObject(value) ? Object.values(value) : [null]).every(isText);

/** Each checked field of a registration: the rule for its value, and that rule in words. */
const FIELDS = {
  name: [isText, "is required"],
  description: [(value) => typeof value === "string", "must be text"],
  version: [isText, "must be text"],
  endpoints: [isEndpoints, "must be a list of URLs, or an object of them"],
  entity_type: [isText, "must be text"],
  subtype: [isText, "must be text"],
  category: [isText, "must be text"],
  metadata: [isObject, "must be an object"],
};

/** register.chitty.cc. */
export function register(received, state) {
  const call = { ...received, body: isObject(received.body) ? received.body : {} };
  const route = `${call.method} ${call.path}`;
  switch (route) {
    case "GET /health":
      return answer(200, { status: "ok", service: "chittyregister", version: "1.0.0", features: ["challenge"], timestamp: iso(call.at) });
    case "POST /api/v1/register":
    case "POST /api/register":
      return enter(call, state);
    case "POST /api/v1/challenge":
      return challenge(call.body);
    case "GET /api/v1/status":
      return answer(200, { success: true, status: "ok", registered: state.documents.count("registered"), timestamp: iso(call.at) });
    case "GET /api/v1/services": {
      const services = state.documents.list("registered", -1);
      return answer(200, { success: true, services, count: services.length });
    }
  }
  const [, asked, changed] = /^(?:GET \/api\/v1\/compliance\/([^/]+)|PATCH \/api\/services\/([^/]+)\/status)$/.exec(route) ?? [];
  if (asked) return compliance(decodeURIComponent(asked), call.at, state);
  if (changed) return setStatus(decodeURIComponent(changed), call, state);
  return answer(404, { success: false, error: "Not found" });
}

function enter({ body, at }, state) {
  const errors = errorsOf(body);
  if (Object.keys(errors).length > 0) return answer(400, { success: false, errors });
  const { name } = body;
  const earlier = state.documents.get("registered", name);
  const chitty_id = earlier?.chitty_id ?? serviceId(`registered-${name}`);
  const given = Object.fromEntries(Object.keys(FIELDS).filter((field) => isGiven(body[field])).map((field) => [field, body[field]]));
  const made = entryOf({
    ...given,
    chitty_id,
    certificate_ref: `cert_${chitty_id}`,
    registered_at: earlier?.registered_at ?? iso(at),
    updated_at: iso(at),
  });
  made.compliance_score = scoreOf(checksOf(made));
  state.documents.put("registered", name, made);
  return answer(earlier ? 200 : 201, {
    success: true,
    chitty_id,
    certificate: made.certificate_ref,
    chronicle_ref: `https://chronicle.chitty.cc/audit/${chitty_id}`,
    registry_ref: `https://registry.chitty.cc/api/v1/tools/${chitty_id}`,
    discovery_ref: "https://registry.chitty.cc/api/v1/manifest",
  });
}

function errorsOf(body) {
  const wrong = Object.entries(FIELDS).filter(([field, [isRight]]) => (field === "name" || isGiven(body[field])) && !isRight(body[field]));
  return Object.fromEntries(wrong.map(([field, [, rule]]) => [field, rule]));
}

function isGiven(value) {
  return value !== undefined && value !== null;
}

/**
 * The text to serve at a path of the endpoint, to prove control of it. Registering in the sandbox does not
 * need it.
 */
function challenge({ name, endpoint, domain }) {
  const errors = {};
  if (!isText(domain) && !isText(name)) errors.name = "is required";
  if (!isText(domain) && !isText(endpoint)) errors.endpoint = "is required";
  if (Object.keys(errors).length > 0) return answer(400, { success: false, errors });
  const token = crypto.randomUUID().replaceAll("-", "");
  const well_known_path = `/.well-known/chitty-register-challenge/${token}`;
  return answer(200, { success: true, token, key_authorization: `${token}.sandbox`, well_known_path });
}

function compliance(name, at, state) {
  const found = state.documents.get("registered", name);
  if (!found) return answer(404, NOT_FOUND);
  const checks = checksOf(found);
  const score = scoreOf(checks);
  return answer(200, { success: true, name, chitty_id: found.chitty_id, compliant: score === 100, compliance_score: score, checks, checked_at: iso(at) });
}

function checksOf({ description, version, endpoints }) {
  const health = Array.isArray(endpoints) ? endpoints.some((url) => url.endsWith("/health")) : isText(endpoints.health);
  return { description: description !== "", version: /^\d+\.\d+\.\d+/.test(version), health_endpoint: health };
}

function scoreOf(checks) {
  const passed = Object.values(checks).filter(Boolean).length;
  return Math.round((100 * passed) / Object.keys(checks).length);
}

function setStatus(name, { body, at }, state) {
  const found = state.documents.get("registered", name);
  if (!found) return answer(404, NOT_FOUND);
  const { status } = body;
  if (!isText(status)) return answer(400, { success: false, errors: { status: "is required" } });
  state.documents.put("registered", name, { ...found, status, updated_at: iso(at) });
  return answer(200, { success: true, name, status });
}
