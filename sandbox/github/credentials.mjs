/** The tokens that GitHub issues, and the callers that they identify. */
import { findInstallation, findRepository } from "./installations.mjs";
import { refused, stamp } from "./reply.mjs";

const TOKEN = "github.token";
const CODE = "github.code";
const CODE_LIFETIME_MS = 600_000;
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const RANK = { read: 1, write: 2, admin: 3 };

/**
 * Issues an installation token. `repositories` are the keys of the repositories that it is limited to, or
 * null.
 */
export function issueInstallationToken({ installation, permissions, repositories, lifetime }, now, state) {
  // Rounded down to the second, since the answer has whole seconds.
  const expires = Math.floor(now / 1000 + lifetime) * 1000;
  return issue({ kind: "installation", installation_id: installation.id, permissions, repositories, expires_at: stamp(expires) }, "ghs_", now, state);
}

export function issueUserToken(user, now, state) {
  return issue({ kind: "user", user, expires_at: null }, "ghu_", now, state);
}

/** Revokes all tokens. */
export function revokeTokens(state) {
  for (const token of state.documents.list(TOKEN, -1)) state.documents.put(TOKEN, token.id, { ...token, revoked: true });
}

/** All issued tokens, without their secrets. */
export function listTokens(state) {
  return state.documents.list(TOKEN, -1).map(({ secret: _, ...token }) => token);
}

/** Issues the code that the browser brings to the callback. It works once, within ten minutes. */
export function issueCode(user, now, state) {
  const secret = random(20);
  const id = crypto.randomUUID();
  state.documents.put(CODE, id, { id, secret, user, expires: now + CODE_LIFETIME_MS });
  return secret;
}

/** Uses up a code; returns its user, or `null` if the code is not valid. */
export function redeemCode(secret, now, state) {
  const [code] = typeof secret === "string" ? state.documents.find(CODE, "secret", secret) : [];
  if (!code || code.used || code.expires <= now) return null;
  state.documents.put(CODE, code.id, { ...code, used: true });
  return code.user;
}

/**
 * The caller, `{kind, name, bucket, token, installation}`, whose kind is app, installation or user; or
 * `{refusal}`. `isAppRoute` says that GitHub requires the App itself there.
 */
export function callerOf({ authorization, isApp, at }, isAppRoute, state) {
  if (isAppRoute) return isApp ? { kind: "app", name: "app", bucket: "app" } : { refusal: refused(401, "A JSON web token could not be decoded") };
  if (authorization === "") return { refusal: refused(401, "Requires authentication") };
  const secret = /^(?:bearer|token) +(\S+)$/i.exec(authorization)?.[1];
  const [token] = secret === undefined ? [] : state.documents.find(TOKEN, "secret", secret);
  const isGood = token && !token.revoked && (token.expires_at === null || Date.parse(token.expires_at) > at);
  if (isGood && token.kind === "user") return { kind: "user", name: `user ID ${token.user.id}`, bucket: `user:${token.user.id}`, token };
  const installation = isGood ? findInstallation(token.installation_id, state) : null;
  if (!installation) return { refusal: refused(401, "Bad credentials") };
  if (installation.suspended_at !== null) return { refusal: suspended() };
  return { kind: "installation", name: `installation ID ${installation.id}`, bucket: `installation:${installation.id}`, token, installation };
}

export function suspended() {
  return refused(403, "This installation has been suspended");
}

/**
 * The repository, if the caller's installation has it and the token is not limited to others; else `null`.
 */
export function accessibleRepository({ installation, token }, owner, name, state) {
  const repository = findRepository(owner, name, state);
  const isAmong = repository?.installation === installation.id && (token.repositories ?? [repository.key]).includes(repository.key);
  return isAmong ? repository : null;
}

/** Whether `permissions` include one of `wanted`, such as `["issues:write"]`. */
export function allows(permissions, wanted) {
  return wanted.some((one) => {
    const [name, level] = one.split(":");
    return isWithin(level, permissions[name]);
  });
}

/** Whether a level of access is at most the granted one. */
export function isWithin(level, granted) {
  return Object.hasOwn(RANK, level) && RANK[level] <= (RANK[granted] ?? 0);
}

function issue(token, prefix, now, state) {
  const id = crypto.randomUUID();
  return state.documents.put(TOKEN, id, { id, ...token, secret: prefix + random(36), issued_at: stamp(now), revoked: false });
}

function random(length) {
  return Array.from(crypto.getRandomValues(new Uint8Array(length)), (byte) => LETTERS[byte % LETTERS.length]).join("");
}
