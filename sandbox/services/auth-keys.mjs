/**
 * The key with which auth.chitty.cc signs JWTs here (RFC 7517): ES256, made for tests.
 *
 * TEST ONLY. The private half is public, so that a test can sign a token with it; whoever trusts
 * this key outside the sandbox trusts everybody.
 */
const PUBLIC_JWK = {
  kty: "EC",
  crv: "P-256",
  x: "antxXPMzKWWGfUfI-jp9Yfjak7I-UJayhncwAZt-A4U",
  y: "i02_JzYTO3u5yqgaz19wqAbdE2NxiUqRAVRnDDtGlJU",
  kid: "sandbox-1",
  alg: "ES256",
  use: "sig",
};

/** What `/.well-known/jwks.json` answers. */
export const JWKS = { keys: [PUBLIC_JWK] };

/** For tests that sign: `crypto.subtle.importKey("jwk", TEST_ONLY_PRIVATE_JWK, …)`. Never sent by a service. */
export const TEST_ONLY_PRIVATE_JWK = { ...PUBLIC_JWK, d: "3549oW0V-5FRtWYxOdV55DSAOLBtoRYV2a_ohaaSSKw" };
