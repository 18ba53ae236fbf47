/** chat.chitty.cc, its REST API. It stores nothing; the log of calls has its messages. */
import { answer, isObject, iso } from "./answer.mjs";

/** chat.chitty.cc. */
export function chat(call) {
  switch (`${call.method} ${call.path}`) {
    case "GET /health":
      return answer(200, { status: "active", service: "chittychat", version: "1.0.0", timestamp: iso(call.at) });
    case "POST /api/v1/contexts/propagate":
      if (!isObject(call.body)) return answer(400, { success: false, error: "The body must be a JSON object" });
      return answer(200, { success: true, propagated_at: iso(call.at) });
    case "POST /api/v1/messages":
      return say(isObject(call.body) ? call.body : {}, call.at);
  }
  return answer(404, { error: "Not found" });
}

function say({ content, chittyId, channel }, at) {
  if (typeof content !== "string" || typeof chittyId !== "string") return answer(400, { error: "content and chittyId are required" });
  return answer(201, { id: `msg_${crypto.randomUUID()}`, content, chittyId, channel: channel ?? "general", timestamp: iso(at) });
}
