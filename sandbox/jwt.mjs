/**
 * JWTs as auth.chitty.cc signs them (RFC 7515, ES256): valid ones, or with the errors that a test asks for.
 */
import { actorId } from "./chitty-id.mjs";
import { TEST_ONLY_PRIVATE_JWK, TEST_ONLY_SECOND_PRIVATE_JWK } from "./services/auth-keys.mjs";

const LIFETIME_S = 3600;
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const HEADER = { alg: "ES256", typ: "JWT", kid: TEST_ONLY_PRIVATE_JWK.kid };

/**
 * Signs a JWT. Given claims and header fields replace the defaults; a null removes one. The signature is
 * always ES256, whatever `alg` says, by the key that `kid` names, or by the first one. With `alg` "none"
 * there is no signature.
 */
export async function signJwt({ name, claims = {}, header = {} }, now) {
  const issued = Math.floor(now / 1000);
  const subject = name === undefined ? {} : { sub: `did:chitty:${actorId(name)}`, scope: "read write" };
  const defaults = { iss: "https://auth.chitty.cc", aud: "chittyconnect", ...subject, iat: issued, exp: issued + LIFETIME_S };
  const protectedHeader = merged(HEADER, header);
  const signed = [protectedHeader, merged(defaults, claims)].map((part) => base64url(utf8(JSON.stringify(part)))).join(".");
  if (protectedHeader.alg === "none") return `${signed}.`;
  const jwk = protectedHeader.kid === TEST_ONLY_SECOND_PRIVATE_JWK.kid ? TEST_ONLY_SECOND_PRIVATE_JWK : TEST_ONLY_PRIVATE_JWK;
  const key = await crypto.subtle.importKey("jwk", jwk, ALGORITHM, false, ["sign"]);
  return `${signed}.${base64url(new Uint8Array(await crypto.subtle.sign(ALGORITHM, key, utf8(signed))))}`;
}

function merged(defaults, given) {
  return Object.fromEntries(Object.entries({ ...defaults, ...given }).filter(([, value]) => value !== null));
}

function utf8(text) {
  return new TextEncoder().encode(text);
}

function base64url(bytes) {
  const binary = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
