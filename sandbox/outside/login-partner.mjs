/**
 * login.partner.example: OAuth 2 (RFC 6749) with refresh tokens that work once, and revocation (RFC 7009).
 */
import { answer } from "../services/answer.mjs";
import { basicOf } from "./basic.mjs";
import { refresh, revoke } from "./partner.mjs";

const CLIENT = { id: "partner-client", secret: "partner-secret" };
const FORM = /^application\/x-www-form-urlencoded\b/i;

/** login.partner.example. */
export function loginPartner(call, state) {
  const route = `${call.method} ${call.path}`;
  if (route !== "POST /token" && route !== "POST /revoke") return answer(404, { error: "not_found" });
  if (!FORM.test(call.headers["content-type"] ?? "")) return refused(400, "invalid_request");
  const form = Object.fromEntries(new URLSearchParams(call.text));
  if (!isClient(call.authorization, form)) return refused(401, "invalid_client", { "www-authenticate": 'Basic realm="partner"' });
  return route === "POST /token" ? token(form, call.at, state) : end(form, call.at, state);
}

function token({ grant_type, refresh_token }, at, state) {
  if (grant_type === undefined) return refused(400, "invalid_request");
  if (grant_type !== "refresh_token") return refused(400, "unsupported_grant_type");
  if (!refresh_token) return refused(400, "invalid_request");
  const made = refresh(refresh_token, at, state);
  if (!made) return refused(400, "invalid_grant");
  const { access_token, expires_in, refresh_token: next } = made;
  return answer(200, { access_token, token_type: "Bearer", expires_in, refresh_token: next }, { "cache-control": "no-store" });
}

/** Revokes a token. The answer does not reveal whether the token existed. */
function end({ token: ended }, at, state) {
  if (!ended) return refused(400, "invalid_request");
  revoke(ended, at, state);
  return answer(200, {});
}

/**
 * Whether the client's credentials are right: in HTTP Basic, with both parts form-encoded, or in the form.
 */
function isClient(authorization, form) {
  const basic = basicOf(authorization);
  const [id, secret] = basic ? [decoded(basic.user), decoded(basic.password)] : [form.client_id, form.client_secret];
  return id === CLIENT.id && secret === CLIENT.secret;
}

function decoded(text) {
  return new URLSearchParams(`value=${text.replaceAll("&", "%26")}`).get("value");
}

function refused(status, error, headers) {
  return answer(status, { error }, headers);
}
