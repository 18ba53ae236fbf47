/**
 * dna.chitty.cc. Initializing a lineage again returns the same one. Each evolution is a new generation,
 * except a repeat under the same `Idempotency-Key`. (The real service nowhere promises to recognise the key.)
 */
import { answer, isObject, iso } from "./answer.mjs";
import { once } from "./once.mjs";

const MOST_EVENTS = 100;

/** dna.chitty.cc. */
export function dna(call, state) {
  const body = isObject(call.body) ? call.body : {};
  switch (`${call.method} ${call.path}`) {
    case "GET /health":
      return answer(200, { status: "healthy", service: "chittydna", version: "1.0.0", timestamp: iso(call.at) });
    case "POST /v1/dna/initialize":
      return initialize(body, call.at, state);
    case "POST /v1/dna/evolve":
      return once(call, state, () => evolve(body, call.at, state));
  }
  const asked = /^GET \/v1\/dna\/([^/]+)$/.exec(`${call.method} ${call.path}`);
  if (asked) return lineage(decodeURIComponent(asked[1]), state);
  return answer(404, { error: "Not found" });
}

function lineage(chittyId, state) {
  const found = state.documents.get("dna", chittyId);
  return found ? answer(200, { success: true, ...found }) : answer(404, { success: false, error: "There is no such lineage" });
}

function initialize({ chittyId, entityType = "unknown", genesis = {} }, at, state) {
  if (typeof chittyId !== "string" || chittyId === "") return answer(400, { success: false, error: "chittyId is required" });
  const earlier = state.documents.get("dna", chittyId);
  const { dna_id, entity_type, generation, traits, initialized_at } = earlier ?? state.documents.put("dna", chittyId, {
    chittyId,
    dna_id: `dna_${crypto.randomUUID()}`,
    entity_type: entityType,
    generation: 1,
    traits: [],
    genesis,
    events: [],
    initialized_at: iso(at),
  });
  return answer(earlier ? 200 : 201, { success: true, dna_id, entity_type, generation, traits, initialized_at });
}

function evolve({ chittyId, event, changes = null, timestamp }, at, state) {
  const found = typeof chittyId === "string" ? state.documents.get("dna", chittyId) : null;
  if (!found) return answer(404, { success: false, error: "There is no such lineage" });
  if (typeof event !== "string" || event === "") return answer(400, { success: false, error: "event is required" });
  const generation = found.generation + 1;
  const events = [...(found.events ?? []), { event, changes, timestamp: timestamp ?? iso(at), generation }].slice(-MOST_EVENTS);
  state.documents.put("dna", chittyId, { ...found, generation, events });
  return answer(200, { success: true, dna_id: found.dna_id, generation });
}
