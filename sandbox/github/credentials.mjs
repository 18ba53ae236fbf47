/** The tokens that GitHub issues, and who calls with one. */
import { findInstallation, findRepository } from "./installations.mjs";
import { refused, stamp } from "./reply.mjs";

const TOKEN = "github.token";
const CODE = "github.code";
const CODE_LIFETIME_MS = 600_000;
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const RANK = { read: 1, write: 2, admin: 3 };

/** An installation's token. `repositories` are the keys of those it is limited to, or null. */
export function issueInstallationToken({ installation, permissions, repositories, lifetime }, now, state) {
  // To the second, as the answer says it.
  const expires = Math.floor(now / 1000 + lifetime) * 1000;
  return issue({ kind: "installation", installation_id: installation.id, permissions, repositories, expires_at: stamp(expires) }, "ghs_", now, state);
}

export function issueUserToken(user, now, state) {
  return issue({ kind: "user", user, expires_at: null }, "ghu_", now, state);
}

/** Ends every token there is. */
export function revokeTokens(state) {
  for (const token of state.documents.list(TOKEN, -1)) state.documents.put(TOKEN, token.id, { ...token, revoked: true });
}

/** Every token that was issued, without the token itself. */
export function listTokens(state) {
  return state.documents.list(TOKEN, -1).map(({ secret: _, ...token }) => token);
}

/** What the browser brings to the callback, good for once and for ten minutes. */
export function issueCode(user, now, state) {
  const secret = random(20);
  const id = crypto.randomUUID();
  state.documents.put(CODE, id, { id, secret, user, expires: now + CODE_LIFETIME_MS });
  return secret;
}

/** Whose code it is, which it is no longer; `null` for one that is not good. */
export function redeemCode(secret, now, state) {
  const [code] = typeof secret === "string" ? state.documents.find(CODE, "secret", secret) : [];
  if (!code || code.used || code.expires <= now) return null;
  state.documents.put(CODE, code.id, { ...code, used: true });
  return code.user;
}

/**
 * Who calls: `{kind, name, bucket, token, installation}`, where the kind is app, installation or user, or why it is
 * nobody: `{refusal}`. `isAppRoute` is where GitHub wants the App itself.
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

/** The repository, where the caller's installation has it and its token is not limited to others; otherwise `null`. */
export function accessibleRepository({ installation, token }, owner, name, state) {
  const repository = findRepository(owner, name, state);
  const isAmong = repository?.installation === installation.id && (token.repositories ?? [repository.key]).includes(repository.key);
  return isAmong ? repository : null;
}

/** Whether permissions are enough for any one of `wanted`, such as `["issues:write"]`. */
export function allows(permissions, wanted) {
  return wanted.some((one) => {
    const [name, level] = one.split(":");
    return isWithin(level, permissions[name]);
  });
}

/** Whether a level of access is no more than another. */
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
