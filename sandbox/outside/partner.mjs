/**
 * The credentials of the partner: a fixed one, and the tokens that login.partner.example issues and
 * api.partner.example accepts. Issued tokens are kept, so that a test can see their state.
 */
import { iso } from "../services/answer.mjs";

/** The fixed credential, valid as bearer, key or password, unless a test or a revocation has ended it. */
export const FIXED = "partner-good";
/** A refresh token of this form is valid at its first use, as if it had been issued. */
const GIVEN_REFRESH = /^partner-refresh(-.+)?$/;
const KIND = "outside";
const DEFAULTS = { expires_in: 3600, partner_good: true };

export function partnerSettings(state) {
  return Object.fromEntries(Object.entries(DEFAULTS).map(([name, value]) => [name, state.settings.get(`outside.${name}`, value)]));
}

export function changePartner(changes, state) {
  for (const [name, value] of Object.entries(changes)) state.settings.write(`outside.${name}`, value);
}

/** Whether `secret` is the fixed credential, and that is valid. */
export function isFixed(secret, state) {
  return secret === FIXED && partnerSettings(state).partner_good;
}

/** Whether `secret` is an issued access token that has neither expired nor been revoked. */
export function isAccessToken(secret, now, state) {
  const found = find(secret, state);
  return found?.type === "access_token" && !found.revoked && Date.parse(found.expires_at) > now;
}

/**
 * Uses up a refresh token; returns an access token and the next refresh token, or `null` if it is not valid.
 */
export function refresh(secret, now, state) {
  const old = find(secret, state) ?? known(secret, now, state);
  if (old?.type !== "refresh_token" || old.used || old.revoked) return null;
  keep({ ...old, used: true }, state);
  const { expires_in } = partnerSettings(state);
  const access = issue({ type: "access_token", grant: old.grant, prefix: "partner-access-", expires_at: iso(now + expires_in * 1000) }, now, state);
  const next = issue({ type: "refresh_token", grant: old.grant, prefix: "partner-next-", used: false }, now, state);
  return { access_token: access.secret, expires_in, refresh_token: next.secret };
}

/** Ends a token at once; a refresh token with all tokens of the same grant. An unknown token is ignored. */
export function revoke(secret, now, state) {
  if (secret === FIXED) return changePartner({ partner_good: false }, state);
  const found = find(secret, state) ?? known(secret, now, state);
  if (!found) return;
  const ended = found.type === "refresh_token" ? state.documents.find(KIND, "grant", found.grant) : [found];
  for (const token of ended) if (!token.revoked) keep({ ...token, revoked: true, revoked_at: iso(now) }, state);
}

function find(secret, state) {
  return state.documents.find(KIND, "secret", secret)[0];
}

/** Stores a refresh token of the form that is valid without having been issued. */
function known(secret, now, state) {
  if (!GIVEN_REFRESH.test(secret)) return undefined;
  return issue({ type: "refresh_token", grant: crypto.randomUUID(), secret, used: false }, now, state);
}

function issue({ prefix, secret = prefix + crypto.randomUUID(), ...token }, now, state) {
  return keep({ id: crypto.randomUUID(), ...token, secret, revoked: false, issued_at: iso(now) }, state);
}

function keep(token, state) {
  return state.documents.put(KIND, token.id, token);
}
