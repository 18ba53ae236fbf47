/**
 * The keys with which auth.chitty.cc signs JWTs here (RFC 7517): ES256, made for tests.
 *
 * TEST ONLY. The private halves are public, so that tests can sign tokens. Never trust these keys outside the
 * sandbox: anybody can sign with them.
 */
const FIRST = {
  kty: "EC",
  crv: "P-256",
  x: "antxXPMzKWWGfUfI-jp9Yfjak7I-UJayhncwAZt-A4U",
  y: "i02_JzYTO3u5yqgaz19wqAbdE2NxiUqRAVRnDDtGlJU",
  kid: "sandbox-1",
  alg: "ES256",
  use: "sig",
};

/** For tests of key rotation: published only while a test asks for it. */
const SECOND = {
  kty: "EC",
  crv: "P-256",
  x: "OEAfSOIx5EnQpko1AA9Zip-CMef7X_AhuyEgmKHWEHs",
  y: "Vlgq-lgu9BBYrqr_A8NZMR8_cSQALyxKE0A-805NOcM",
  kid: "sandbox-2",
  alg: "ES256",
  use: "sig",
};

/** The ids of all keys, published or not. */
export const KEY_IDS = [FIRST.kid, SECOND.kid];

const SETTING = "published_keys";

/** The ids of the published keys. */
export function publishedKeys(state) {
  return state.settings.get(SETTING, [FIRST.kid]);
}

export function publishKeys(kids, state) {
  state.settings.write(SETTING, KEY_IDS.filter((kid) => kids.includes(kid)));
}

/** The answer of `/.well-known/jwks.json`. */
export function jwks(state) {
  const kids = publishedKeys(state);
  return { keys: [FIRST, SECOND].filter(({ kid }) => kids.includes(kid)) };
}

/**
 * The private key for tests: `crypto.subtle.importKey("jwk", TEST_ONLY_PRIVATE_JWK, …)`. No service sends it.
 */
export const TEST_ONLY_PRIVATE_JWK = { ...FIRST, d: "3549oW0V-5FRtWYxOdV55DSAOLBtoRYV2a_ohaaSSKw" };

/** The private half of the second key. */
export const TEST_ONLY_SECOND_PRIVATE_JWK = { ...SECOND, d: "nJ4Y3uuB4BWNOfJCDrDymZuOZIODJYTEbWaJyyZacow" };
