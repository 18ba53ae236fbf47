/**
 * auth.chitty.cc, for development tokens:
 *
 * - `dev-<name>` is actor `<name>` with scopes read and write (`dev-admin` also admin)
 * - `dev-<name>+ro` is the same actor, read only
 * - `dev-<name>+expired` has expired
 * - `dev-<name>+<n>s` expires n seconds after it was first seen
 * - `dev-<name>+scopes=contexts:read,actors:*` has exactly these scopes
 *
 * It also accepts the tokens that it has issued, until they expire or are revoked. What a test has set for a
 * token takes precedence over all of this.
 */
import { actorId } from "../chitty-id.mjs";
import { answer, isObject, iso } from "./answer.mjs";
import { jwks } from "./auth-keys.mjs";
import { credentials, provisioned } from "./credentials.mjs";
import { overrideOf } from "./overrides.mjs";

const TOKEN = /^dev-([A-Za-z0-9._-]{1,64})(?:\+(ro|expired|\d{1,6}s|scopes=[a-z:*,_-]*))?$/;
const CHOSEN_SCOPES = "scopes=";
const LIFETIME_MS = 3_600_000;
/** The service of tokens that name none. */
const OWN_SERVICE = "chittyconnect";

/** auth.chitty.cc. */
export function auth(call, state) {
  switch (`${call.method} ${call.path}`) {
    case "GET /health":
      return answer(200, { status: "healthy", version: "1.0.0", timestamp: iso(call.at), dependencies: { database: "healthy" } });
    case "POST /v1/tokens/validate":
      return validateToken(call, state);
    case "POST /v1/auth/validate":
      return identifyCaller(call, state);
    case "GET /.well-known/jwks.json":
      return answer(200, jwks(state));
  }
  return credentials(call, state) ?? answer(404, { error: "Not found" });
}

function validateToken(call, state) {
  const token = isObject(call.body) ? call.body.token : undefined;
  if (typeof token !== "string") return answer(400, { valid: false, error: "token is required" });
  const { grant, error } = grantOf(token, call.at, state);
  if (!grant) return answer(401, { valid: false, error });
  const { tokenId, chittyId, scope, service, expires } = grant;
  return answer(200, { valid: true, tokenId, chittyId, scope, service, expiresAt: iso(expires), rateLimitRemaining: 999 });
}

function identifyCaller(call, state) {
  const token = /^Bearer +(\S+)$/i.exec(call.authorization)?.[1] ?? "";
  const { grant, error } = grantOf(token, call.at, state);
  if (!grant) return answer(401, { error });
  return answer(200, { actor: { chittyId: grant.chittyId, principalId: grant.name } });
}

/** The actor and the scopes of a token, or why it is not valid. */
function grantOf(token, now, state) {
  const { scope } = overrideOf(token, state);
  const { grant, error } = ownGrantOf(token, now, state);
  return grant && scope ? { grant: { ...grant, scope } } : { grant, error };
}

function ownGrantOf(token, now, state) {
  const made = provisioned(token, now, state);
  if (made) return made.error ? made : { grant: madeGrant(made.credential) };
  if (overrideOf(token, state).revoked) return { error: "Token revoked" };
  const match = TOKEN.exec(token);
  if (!match) return { error: "Invalid token" };
  const [, name, variant] = match;
  const expires = expiryOf(token, variant, now, state);
  if (expires <= now) return { error: "Token expired" };
  const scope = scopeOf(name, variant);
  return { grant: { name, tokenId: `tok_${name}`, chittyId: actorId(name), scope, service: OWN_SERVICE, expires } };
}

function madeGrant({ id, chittyId, scope, service, expires }) {
  return { tokenId: id, chittyId, scope, service: service ?? OWN_SERVICE, expires };
}

function expiryOf(token, variant, now, state) {
  if (variant === "expired") return 0;
  if (!/^\d+s$/.test(variant)) return now + LIFETIME_MS;
  return state.sightings.firstSeen(token, now) + Number.parseInt(variant, 10) * 1000;
}

function scopeOf(name, variant) {
  if (variant === "ro") return ["read"];
  if (variant?.startsWith(CHOSEN_SCOPES)) return variant.slice(CHOSEN_SCOPES.length).split(",").filter(Boolean);
  return name === "admin" ? ["read", "write", "admin"] : ["read", "write"];
}
