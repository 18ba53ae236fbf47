/**
 * The control routes of ChittyAuth: its answers about tokens, the JWTs that it signs, the keys that it
 * publishes.
 */
import { signJwt } from "../jwt.mjs";
import { answer, isObject } from "../services/answer.mjs";
import { KEY_IDS, publishedKeys, publishKeys } from "../services/auth-keys.mjs";
import { override } from "../services/overrides.mjs";

export const AUTH_ROUTES = [
  ["POST /_sandbox/tokens", "change auth's answer about a token: {token, scope: [...] or null, revoked}", changeToken],
  ["POST /_sandbox/jwt", "sign a JWT: {name, claims, header}, each optional; null leaves a claim out", makeJwt],
  ["GET /_sandbox/keys", "the signing keys that are published", keys],
  ["PUT /_sandbox/keys/{kid}", `publish a signing key; ${KEY_IDS.join(", ")}`, publish],
  ["DELETE /_sandbox/keys/{kid}", "stop publishing it", withdraw],
];

const isScope = (value) => value === null || (Array.isArray(value) && value.every((one) => typeof one === "string"));
const isGivenAs = (isRight, value) => value === undefined || isRight(value);

function changeToken({ body }, state) {
  const { token, ...changes } = isObject(body) ? body : {};
  const { scope, revoked, ...unknown } = changes;
  const isRight =
    typeof token === "string" && token !== "" && isGivenAs(isScope, scope) && isGivenAs((value) => typeof value === "boolean", revoked);
  if (!isRight || Object.keys(unknown).length > 0) {
    return answer(422, { error: "invalid_token_change", message: "token is a token; scope is a list of texts or null, revoked is true or false." });
  }
  return answer(200, override(token, changes, state));
}

async function makeJwt({ body = {}, at }) {
  const { name, claims, header } = body ?? {};
  if (!isObject(body) || !isGivenAs((value) => typeof value === "string", name) || !isGivenAs(isObject, claims) || !isGivenAs(isObject, header)) {
    return answer(422, { error: "invalid_jwt", message: "name is text; claims and header are objects." });
  }
  return answer(200, { token: await signJwt({ name, claims, header }, at) });
}

function keys(_request, state) {
  return answer(200, { keys: publishedKeys(state) });
}

function publish({ named: kid }, state) {
  return change(kid, [...publishedKeys(state), kid], state);
}

function withdraw({ named: kid }, state) {
  return change(kid, publishedKeys(state).filter((published) => published !== kid), state);
}

function change(kid, kids, state) {
  if (!KEY_IDS.includes(kid)) return answer(404, { error: "not_found", keys: KEY_IDS });
  publishKeys(kids, state);
  return keys(null, state);
}
