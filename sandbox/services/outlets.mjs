/** beacon.chitty.cc, canon.chitty.cc and chat.chitty.cc. */
import { answer, isObject, iso } from "./answer.mjs";
import { once } from "./once.mjs";

const NOT_FOUND = { error: "Not found" };

const CATEGORIES = {
  "health-statuses": ["healthy", "degraded", "down", "unknown"],
  "case-types": ["civil", "family", "eviction", "administrative"],
  "certification-levels": ["BRONZE", "SILVER", "GOLD", "PLATINUM"],
  "system-roles": ["viewer", "user", "admin"],
};

/** beacon.chitty.cc: takes everything, drops no repeats. */
export function beacon(call, state) {
  switch (`${call.method} ${call.path}`) {
    case "GET /health":
      return answer(200, { status: "operational", service: "chittybeacon", version: "1.0.0", timestamp: iso(call.at) });
    case "POST /api/beacon":
    case "POST /track": {
      const body = isObject(call.body) ? call.body : {};
      if (typeof body.event !== "string") return answer(400, { success: false, error: "event is required" });
      state.documents.put("beacon", crypto.randomUUID(), { event: body.event, data: body.data ?? null, at: iso(call.at) });
      return answer(202, { success: true });
    }
  }
  return answer(404, NOT_FOUND);
}

/** canon.chitty.cc. */
export function canon(call, state) {
  const route = `${call.method} ${call.path}`;
  const body = isObject(call.body) ? call.body : {};
  switch (route) {
    case "GET /health":
      return answer(200, { status: "healthy", service: "chittycanon", version: "1.0.0", timestamp: iso(call.at) });
    case "POST /canon/validate":
      return answer(200, { valid: Object.values(CATEGORIES).flat().includes(body.value) });
    case "GET /canon/search":
      return answer(200, { results: search(call.query) });
    case "POST /canon/records":
      return once(call, state, () => createRecord(body, call.at, state));
  }
  const record = /^(GET|DELETE) \/canon\/records\/([^/]+)$/.exec(route);
  if (record) return onRecord(record[1], decodeURIComponent(record[2]), state);
  const category = /^GET \/canon\/([^/]+)$/.exec(route);
  const data = category && CATEGORIES[category[1]];
  return data ? answer(200, { data }) : answer(404, NOT_FOUND);
}

function search({ q = "", category }) {
  const wanted = Object.entries(CATEGORIES).filter(([name]) => category === undefined || name === category);
  return wanted.flatMap(([name, values]) => values.filter((value) => value.includes(q)).map((value) => ({ category: name, value })));
}

function createRecord(body, at, state) {
  if (typeof body.type !== "string" || typeof body.chittyId !== "string") return answer(400, { error: "type and chittyId are required" });
  const id = `canon_${crypto.randomUUID()}`;
  return answer(201, state.documents.put("record", id, { id, ...body, created_at: iso(at) }));
}

function onRecord(method, id, state) {
  const found = state.documents.get("record", id);
  if (!found) return answer(404, { error: "There is no such record" });
  if (method === "GET") return answer(200, found);
  state.documents.remove("record", id);
  return answer(200, { success: true, id });
}

/** chat.chitty.cc, its REST side. */
export function chat(call) {
  switch (`${call.method} ${call.path}`) {
    case "GET /health":
      return answer(200, { status: "active", service: "chittychat", version: "1.0.0", timestamp: iso(call.at) });
    case "POST /api/v1/contexts/propagate":
      return answer(200, { success: true, propagated_at: iso(call.at) });
    case "POST /api/v1/messages": {
      const { content, chittyId, channel = "general" } = isObject(call.body) ? call.body : {};
      if (typeof content !== "string" || typeof chittyId !== "string") return answer(400, { error: "content and chittyId are required" });
      return answer(201, { id: `msg_${crypto.randomUUID()}`, content, chittyId, channel, at: iso(call.at) });
    }
  }
  return answer(404, NOT_FOUND);
}
