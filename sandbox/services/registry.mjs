/** registry.chitty.cc: the list of services. Anybody may read it; only register.chitty.cc adds to it. */
import { serviceId } from "../chitty-id.mjs";
import { answer, iso } from "./answer.mjs";

const ENDPOINTS = ["/health", "/api/v1/tools", "/api/v1/tools/{chitty_id}", "/api/v1/manifest", "/v0.1/servers"];
const SUBMISSION = "https://register.chitty.cc/api/v1/register";
const FOUNDED = "2025-01-01T00:00:00.000Z";

/** What is listed otherwise than the other services: by people, who spell names and states as they like. */
const SPELLED = { weather: { name: "ChittyWeather", status: "Live" } };

/** registry.chitty.cc. `listed` has what is listed from the beginning: by category, an object whose names are theirs. */
export function registry(call, state, listed) {
  if (call.method !== "GET") return answer(401, { error: "The registry is read only", code: "READ_ONLY", submission_endpoint: SUBMISSION });
  const tools = [...catalogue(listed), ...state.documents.list("registered", -1)];
  switch (call.path) {
    case "/health":
      return answer(200, { status: "ok", service: "chittyregistry", version: "2.0.0", tier: 2, stats: { tools: tools.length }, timestamp: iso(call.at) });
    case "/api/v1/tools": {
      const { category } = call.query;
      const found = tools.filter((tool) => category === undefined || tool.category === category);
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

/** An entry of the registry: every field, with the given values or defaults. */
export function entryOf(given) {
  return {
    chitty_id: null,
    entity_type: "T",
    subtype: "service",
    name: null,
    description: "",
    version: "1.0.0",
    category: "uncategorized",
    endpoints: [],
    certificate_ref: null,
    parent_chitty_id: null,
    metadata: {},
    compliance_score: 100,
    trust_score: 50,
    registered_at: null,
    updated_at: null,
    status: "active",
    last_health_check: null,
    health: "unknown",
    ...given,
  };
}

const catalogue = (listed) =>
  Object.entries(listed).flatMap(([category, services]) =>
    Object.keys(services).map((name) =>
      entryOf({
        chitty_id: serviceId(name),
        name: `chitty${name}`,
        description: `chitty${name}, as the sandbox plays it`,
        category,
        endpoints: [`https://${name}.chitty.cc/health`, `https://${name}.chitty.cc/api`],
        registered_at: FOUNDED,
        updated_at: FOUNDED,
        ...SPELLED[name],
      }),
    ),
  );
