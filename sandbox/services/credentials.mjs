/** The tokens and keys that auth.chitty.cc has issued. */
import { answer, isObject, iso } from "./answer.mjs";
import { once } from "./once.mjs";
import { overrideOf } from "./overrides.mjs";

const LIFETIME_S = 3600;
const KEY_LIFETIME_S = 90 * 86_400;
const LONGEST_S = 10 * 365 * 86_400;
const NOT_FOUND = { success: false, error: "There is no such credential" };

const KINDS = {
  token: { idPrefix: "tok_", secretPrefix: "ca_live_" },
  key: { idPrefix: "key_", secretPrefix: "cc_live_" },
};

/** Answers a call about tokens and keys; `null` for any other call. */
export function credentials(received, state) {
  const call = { ...received, body: isObject(received.body) ? received.body : {} };
  switch (`${call.method} ${call.path}`) {
    case "POST /v1/tokens/provision":
      return once(call, state, () => provision("token", call.body.scope, LIFETIME_S, call, state));
    case "POST /v1/tokens/refresh":
      return refresh(call, state);
    case "POST /v1/tokens/revoke":
      return revoke("token", call.body.tokenId, call, state);
    case "POST /v1/keys/provision":
      return once(call, state, () => provision("key", call.body.scopes, KEY_LIFETIME_S, call, state));
    case "POST /v1/api-keys/revoke":
      return revoke("key", call.body.key_id, call, state);
  }
  const rotated = /^POST \/v1\/keys\/rotate\/([^/]+)$/.exec(`${call.method} ${call.path}`);
  return rotated ? rotate(decodeURIComponent(rotated[1]), call, state) : null;
}

/**
 * The credential of a provisioned token or key, or why it is no longer valid; `null` if it was not issued
 * here.
 */
export function provisioned(secret, now, state) {
  if (!Object.values(KINDS).some(({ secretPrefix }) => secret.startsWith(secretPrefix))) return null;
  const [found] = state.documents.find("credential", "secret", secret);
  if (!found) return null;
  if (found.revoked || overrideOf(secret, state).revoked) return { error: "Token revoked" };
  return found.expires <= now ? { error: "Token expired" } : { credential: found };
}

function provision(kind, scope, lifetime, { body, at }, state) {
  const refusal = refusalOf(body, scope);
  if (refusal) return answer(400, { success: false, error: refusal });
  const { chittyId, service, expiresIn } = body;
  return answer(201, shown(keep({ kind, chittyId, service, scope: scope ?? [], lifetime: expiresIn ?? lifetime }, at, state)));
}

function refusalOf({ chittyId, service, expiresIn }, scope) {
  if (typeof chittyId !== "string" || chittyId === "") return "chittyId is required";
  if (!isAbsent(service) && typeof service !== "string") return "service must be text";
  if (!isAbsent(scope) && !(Array.isArray(scope) && scope.every((one) => typeof one === "string"))) return "the scope must be a list of texts";
  return lifetimeRefusal(expiresIn);
}

function lifetimeRefusal(expiresIn) {
  if (isAbsent(expiresIn) || (Number.isInteger(expiresIn) && expiresIn > 0 && expiresIn <= LONGEST_S)) return null;
  return "expiresIn must be a whole number of seconds";
}

function isAbsent(value) {
  return value === undefined || value === null;
}

/** Issues the successor of a token; the old token ends at once. */
function refresh({ body, at }, state) {
  const refusal = typeof body.token === "string" ? lifetimeRefusal(body.expiresIn) : "token is required";
  if (refusal) return answer(400, { success: false, error: refusal });
  const { credential: old, error = "Invalid token" } = provisioned(body.token, at, state) ?? {};
  if (old?.kind !== "token") return answer(401, { success: false, error });
  end(old, at, "refreshed", state);
  return answer(200, shown(keep({ ...old, lifetime: body.expiresIn ?? LIFETIME_S }, at, state)));
}

/** Replaces the newest key of an entity. */
function rotate(chittyId, { at }, state) {
  const old = state.documents.find("credential", "chittyId", chittyId).findLast(({ kind, revoked }) => kind === "key" && !revoked);
  if (!old) return answer(404, NOT_FOUND);
  end(old, at, "rotated", state);
  return answer(200, shown(keep({ ...old, lifetime: KEY_LIFETIME_S }, at, state)));
}

function revoke(kind, id, { body, at }, state) {
  const found = typeof id === "string" ? state.documents.get("credential", id) : null;
  if (found?.kind !== kind) return answer(404, NOT_FOUND);
  const { revokedAt, reason } = found.revoked ? found : end(found, at, body.reason ?? null, state);
  return answer(200, { success: true, ...(kind === "token" ? { tokenId: id } : { key_id: id }), revokedAt, reason });
}

function end(credential, at, reason, state) {
  return state.documents.put("credential", credential.id, { ...credential, revoked: true, revokedAt: iso(at), reason });
}

function keep({ kind, chittyId, service = null, scope, lifetime }, at, state) {
  const id = KINDS[kind].idPrefix + crypto.randomUUID();
  const secret = KINDS[kind].secretPrefix + crypto.randomUUID().replaceAll("-", "");
  const expires = at + lifetime * 1000;
  return state.documents.put("credential", id, { id, kind, chittyId, service, scope, secret, expires, revoked: false });
}

/** The only answer that contains a secret. */
function shown({ kind, secret, id, scope, expires }) {
  if (kind === "key") return { api_key: secret, key_id: id, scopes: scope, expires_at: iso(expires) };
  return { success: true, token: secret, tokenId: id, scope, expiresAt: iso(expires), rateLimit: { requests: 1000, window: 3600 } };
}
