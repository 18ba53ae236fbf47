/**
 * Creations that recognise a repeat: one with the `Idempotency-Key` of an earlier one, and the same
 * body, gets the earlier one's answer. Without a key each is new.
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
