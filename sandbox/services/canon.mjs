/** canon.chitty.cc: canonical values by category, and canonical records of users and the like. */
import { answer, isObject, iso } from "./answer.mjs";
import { once } from "./once.mjs";

const CATEGORIES = new Map(
  Object.entries({
    "health-statuses": ["healthy", "degraded", "down", "unknown"],
    "case-types": ["civil", "family", "eviction", "administrative"],
    "certification-levels": ["BRONZE", "SILVER", "GOLD", "PLATINUM"],
    "system-roles": ["viewer", "user", "admin"],
  }),
);

/** canon.chitty.cc. */
export function canon(received, state) {
  const call = { ...received, body: isObject(received.body) ? received.body : {} };
  const route = `${call.method} ${call.path}`;
  switch (route) {
    case "GET /health":
      return answer(200, { status: "healthy", service: "chittycanon", version: "1.0.0", timestamp: iso(call.at) });
    case "POST /canon/validate":
      return validate(call.body);
    case "GET /canon/search":
      return answer(200, { results: search(call.query) });
    case "POST /canon/records":
      return once(call, state, () => create(call, state));
  }
  const record = /^(GET|DELETE) \/canon\/records\/([^/]+)$/.exec(route);
  if (record) return onRecord(record[1], decodeURIComponent(record[2]), state);
  const category = /^GET \/canon\/([^/]+)$/.exec(route)?.[1];
  const data = category && CATEGORIES.get(decodeURIComponent(category));
  return data ? answer(200, { data }) : answer(404, { error: "Not found" });
}

/** Validates a value. `type` is the name of a category; an unknown category has no canonical values. */
function validate({ type, value }) {
  if (typeof type !== "string" || value === undefined) return answer(400, { error: "type and value are required" });
  return answer(200, { valid: CATEGORIES.get(type)?.includes(value) ?? false });
}

function search({ q = "", category }) {
  const words = q.toLowerCase();
  return [...CATEGORIES]
    .filter(([name]) => category === undefined || name === category)
    .flatMap(([name, values]) => values.map((value) => ({ category: name, value })))
    .filter(({ value }) => value.toLowerCase().includes(words));
}

function create({ body, at }, state) {
  const { type, chittyId } = body;
  if (typeof type !== "string" || typeof chittyId !== "string") return answer(400, { error: "type and chittyId are required" });
  const id = `canon_${crypto.randomUUID()}`;
  state.documents.put("record", id, { ...body, id, created_at: iso(at) });
  return answer(201, { id, type, chittyId });
}

function onRecord(method, id, state) {
  const found = state.documents.get("record", id);
  if (!found) return answer(404, { error: "There is no such record" });
  if (method === "GET") return answer(200, found);
  state.documents.remove("record", id);
  return answer(200, { success: true });
}
