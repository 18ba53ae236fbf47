/**
 * Creations that recognise a repeat: a call with the `Idempotency-Key` and the body of an earlier call gets
 * the answer of that call. A call without a key always creates.
 */
import { answer } from "./answer.mjs";

const KEPT = 10_000;

export function once(call, state, make) {
  if (!call.idempotencyKey) return make();
  const id = `${call.service} ${call.path} ${call.idempotencyKey}`;
  const body = JSON.stringify(call.body ?? null);
  const earlier = state.documents.get("answer", id);
  if (!earlier) {
    const made = make();
    if (made.status < 300) state.documents.put("answer", id, { body, made });
    state.documents.trim("answer", KEPT);
    return made;
  }
  return earlier.body === body ? earlier.made : answer(409, { success: false, error: "The key belongs to another request" });
}
