/**
 * The credentials of the partner: a fixed one, and the tokens that login.partner.example issues and
 * api.partner.example takes. Everything issued is kept, so that a test can see what became of it.
 */
import { iso } from "../services/answer.mjs";

/** Good as bearer, key or password, unless it was made bad. */
export const FIXED = "partner-good";
/** A refresh token of this form, seen for the first time, is as good as one that was issued. */
const GIVEN_REFRESH = /^partner-refresh(-.+)?$/;
const KIND = "outside";
const DEFAULTS = { expires_in: 3600, partner_good: true };

export function partnerSettings(state) {
  return Object.fromEntries(Object.entries(DEFAULTS).map(([name, value]) => [name, state.settings.get(`outside.${name}`, value)]));
}

export function changePartner(changes, state) {
  for (const [name, value] of Object.entries(changes)) state.settings.write(`outside.${name}`, value);
}

/** Whether the fixed credential is this one, and good. */
export function isFixed(secret, state) {
  return secret === FIXED && partnerSettings(state).partner_good;
}

/** Whether this is an access token that was issued, and has neither expired nor been revoked. */
export function isAccessToken(secret, now, state) {
  const found = find(secret, state);
  return found?.type === "access_token" && !found.revoked && Date.parse(found.expires_at) > now;
}

/** A refresh token is used up and gives an access token and its own successor; `null` for one that is not good. */
export function refresh(secret, now, state) {
  const old = find(secret, state) ?? known(secret, now, state);
  if (old?.type !== "refresh_token" || old.used || old.revoked) return null;
  keep({ ...old, used: true }, state);
  const { expires_in } = partnerSettings(state);
  const access = issue({ type: "access_token", grant: old.grant, prefix: "partner-access-", expires_at: iso(now + expires_in * 1000) }, now, state);
  const next = issue({ type: "refresh_token", grant: old.grant, prefix: "partner-next-", used: false }, now, state);
  return { access_token: access.secret, expires_in, refresh_token: next.secret };
}

/** Ends a token at once; with a refresh token everything that came of the same consent. Others are none, and stay so. */
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

/** A refresh token that is good without having been issued, from now on kept like one. */
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
