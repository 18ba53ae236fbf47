/** What a test has made ChittyAuth say of a token, whatever it would say by itself. */
const KIND = "override";

/** `{scope?, revoked?}` of a token; empty where nothing was said of it. */
export function overrideOf(token, state) {
  return state.documents.get(KIND, token) ?? {};
}

/** Adds to what was said of a token. A scope of null is again the token's own. */
export function override(token, changes, state) {
  return state.documents.put(KIND, token, { ...overrideOf(token, state), ...changes });
}
