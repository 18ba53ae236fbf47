/** The tokens and keys that auth.chitty.cc has made. */
import { answer, isObject, iso } from "./answer.mjs";
import { once } from "./once.mjs";

const LIFETIME_S = 3600;

/** Answers a call about tokens and keys, or gives `null` when it is about neither. */
export function credentials(call, state) {
  switch (`${call.method} ${call.path}`) {
    case "POST /v1/tokens/provision":
      return once(call, state, () => provisionToken(call, state));
    case "POST /v1/tokens/refresh":
      return refreshToken(call, state);
    case "POST /v1/tokens/revoke":
      return revoke(call, state, isObject(call.body) ? call.body.tokenId : undefined);
    case "POST /v1/keys/provision":
      return once(call, state, () => provisionKey(call.body, call.at, state));
    case "POST /v1/api-keys/revoke":
      return revoke(call, state, isObject(call.body) ? call.body.key_id : undefined);
  }
  const rotated = /^POST \/v1\/keys\/rotate\/([^/]+)$/.exec(`${call.method} ${call.path}`);
  return rotated ? rotateKey(decodeURIComponent(rotated[1]), call, state) : null;
}

/** What a provisioned token stands for, or `null`. */
export function provisioned(token, now, state) {
  const found = state.documents.list("credential").find((credential) => credential.secret === token);
  if (!found || found.revoked || found.expires <= now) return null;
  return found;
}

function provisionToken({ body, at }, state) {
  if (!isObject(body) || typeof body.chittyId !== "string") return answer(400, { success: false, error: "chittyId is required" });
  const made = keep("token", "ca_live_", body.chittyId, body.scope ?? [], at + (body.expiresIn ?? LIFETIME_S) * 1000, state);
  return answer(201, tokenAnswer(made));
}

function refreshToken({ body, at }, state) {
  const old = isObject(body) ? provisioned(body.token, at, state) : null;
  if (!old) return answer(401, { success: false, error: "Invalid token" });
  state.documents.put("credential", old.id, { ...old, revoked: true });
  return answer(200, tokenAnswer(keep("token", "ca_live_", old.chittyId, old.scope, at + (body.expiresIn ?? LIFETIME_S) * 1000, state)));
}

function tokenAnswer({ secret, id, scope, expires }) {
  return { success: true, token: secret, tokenId: id, scope, expiresAt: iso(expires), rateLimit: { requests: 1000, window: 3600 } };
}

function provisionKey(body, at, state) {
  if (!isObject(body) || typeof body.chittyId !== "string") return answer(400, { success: false, error: "chittyId is required" });
  return answer(201, keyAnswer(keep("key", "cc_live_", body.chittyId, body.scopes ?? [], at + 90 * 86_400_000, state)));
}

function rotateKey(chittyId, { at }, state) {
  const old = state.documents.list("credential").findLast((one) => one.kind === "key" && one.chittyId === chittyId && !one.revoked);
  if (!old) return answer(404, { success: false, error: "No key of this entity" });
  state.documents.put("credential", old.id, { ...old, revoked: true });
  return answer(200, keyAnswer(keep("key", "cc_live_", chittyId, old.scope, at + 90 * 86_400_000, state)));
}

function keyAnswer({ secret, id, scope, expires }) {
  return { api_key: secret, key_id: id, scopes: scope, expires_at: iso(expires) };
}

function keep(kind, prefix, chittyId, scope, expires, state) {
  const id = `${kind === "key" ? "key" : "tok"}_${crypto.randomUUID()}`;
  const secret = prefix + crypto.randomUUID().replaceAll("-", "");
  return state.documents.put("credential", id, { id, kind, chittyId, scope, secret, expires, revoked: false });
}

function revoke({ at, body }, state, id) {
  const found = typeof id === "string" ? state.documents.get("credential", id) : null;
  if (!found) return answer(404, { success: false, error: "There is no such credential" });
  state.documents.put("credential", id, { ...found, revoked: true });
  return answer(200, { success: true, id, revokedAt: iso(at), reason: body.reason ?? null });
}
