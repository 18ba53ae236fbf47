/** Answers about tokens that a test has set in place of ChittyAuth's own. */
const KIND = "override";

/** `{scope?, revoked?}` of a token; empty if a test has set nothing. */
export function overrideOf(token, state) {
  return state.documents.get(KIND, token) ?? {};
}

/** Changes what is set for a token. A scope of null restores the token's own. */
export function override(token, changes, state) {
  return state.documents.put(KIND, token, { ...overrideOf(token, state), ...changes });
}
