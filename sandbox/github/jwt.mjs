/** The JWTs with which a GitHub App authenticates (RFC 7515, RS256). */
import { APP_ID, CLIENT_ID, PUBLIC_JWK } from "./app.mjs";

const ALGORITHM = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
const LONGEST_S = 600;
const ISSUERS = [APP_ID, String(APP_ID), CLIENT_ID];

let key;

/** Whether an `Authorization` is a JWT of the App that is valid now. */
export async function isAppJwt(authorization, now) {
  const [, header, claims, signature] = /^Bearer +([\w-]+)\.([\w-]+)\.([\w-]+)$/i.exec(authorization) ?? [];
  try {
    if (JSON.parse(text(header)).alg !== "RS256" || !areGood(JSON.parse(text(claims)), Math.floor(now / 1000))) return false;
    key ??= await crypto.subtle.importKey("jwk", PUBLIC_JWK, ALGORITHM, false, ["verify"]);
    return await crypto.subtle.verify(ALGORITHM, key, bytes(signature), new TextEncoder().encode(`${header}.${claims}`));
  } catch {
    return false;
  }
}

function areGood({ iss, iat, exp }, now) {
  return ISSUERS.includes(iss) && Number.isInteger(iat) && iat <= now && Number.isInteger(exp) && exp > now && exp <= now + LONGEST_S;
}

function bytes(base64url) {
  return Uint8Array.from(atob(base64url.replaceAll("-", "+").replaceAll("_", "/")), (character) => character.charCodeAt(0));
}

function text(base64url) {
  return new TextDecoder().decode(bytes(base64url));
}
