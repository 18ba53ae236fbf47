/**
 * beacon.chitty.cc: accepts every event, and drops repeats only by their `Idempotency-Key`. (The real service
 * nowhere promises to recognise the key.)
 */
import { answer, isObject, iso } from "./answer.mjs";
import { once } from "./once.mjs";

const KEPT = 10_000;

/** beacon.chitty.cc. */
export function beacon(call, state) {
  const { event, ...rest } = isObject(call.body) ? call.body : {};
  switch (`${call.method} ${call.path}`) {
    case "GET /health":
      return answer(200, { status: "operational", service: "chittybeacon", version: "1.0.0", timestamp: iso(call.at) });
    case "POST /api/beacon":
      return once(call, state, () => take(event, rest.data ?? null, call, state));
    // The older path has no `data`: its fields stand beside the event.
    case "POST /track":
      return once(call, state, () => take(event, rest, call, state));
  }
  return answer(404, { error: "Not found" });
}

function take(event, data, { at, path }, state) {
  if (typeof event !== "string" || event === "") return answer(400, { success: false, error: "event is required" });
  state.documents.put("beacon", crypto.randomUUID(), { event, data, path, at: iso(at) });
  state.documents.trim("beacon", KEPT);
  return answer(202, { success: true });
}
