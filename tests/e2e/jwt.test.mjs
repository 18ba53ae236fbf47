/** JWTs of ChittyAuth: which are good, which are not, and where their keys come from. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { actorId } from "../../sandbox/chitty-id.mjs";
import { startAccess } from "./harness/access.mjs";
import { client, create } from "./harness/client.mjs";
import { expect, refused, works } from "./harness/people.mjs";

let access, sandbox, gateway, another, person, complaints;

before(async () => {
  access = await startAccess("jwt");
  ({ sandbox, gateway, another, person, complaints } = access);
});

after(() => access?.close());

describe("JWTs of ChittyAuth", () => {
  const now = () => Math.floor(Date.now() / 1000);
  const encode = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
  const partsOf = async (options) => (await sandbox.jwt(options)).split(".");

  test("work, and are their actor's", async () => {
    const { name, call } = person();
    const { chitty_id: id } = await create(call, { name: "mine" });
    const good = [
      {},
      { aud: ["another", "chittyconnect"] },
      { aud: "http://localhost:8787" },
      { exp: now() - 20 },
      { nbf: now() + 20, iat: now() + 20 },
      { scope: ["read"] },
      { sub: "service", chitty_id: actorId(name) },
      { sub: actorId(name) },
    ];
    for (const [n, claims] of good.entries()) {
      const read = await client(gateway, await sandbox.jwt({ name, claims }))("GET", `/v1/contexts/${id}`, { isolate: n % 2 });
      assert.equal(read.status, 200, `${JSON.stringify(claims)}: ${read.text}`);
    }
    const narrow = client(gateway, await sandbox.jwt({ name, claims: { scope: "read" } }));
    expect(await narrow("POST", "/v1/contexts", { body: { name: "x" } }), 403, "insufficient_scope");
    await refused(client(gateway, await sandbox.jwt({ name, claims: { scope: null } })), 403, "insufficient_scope");
    assert.ok((await sandbox.count("auth", "/.well-known/jwks.json")) <= gateway.urls.length, "the keys are fetched once an isolate");
  });

  test("with anything wrong in what they claim are refused", async () => {
    const { name } = person();
    for (const [claims, header] of [
      [{ iss: "https://auth.chitty.cc.evil.example" }],
      [{ iss: "https://auth.chitty.cc/" }],
      [{ iss: null }],
      [{ aud: "another" }],
      [{ aud: ["another"] }],
      [{ aud: [] }],
      [{ aud: null }],
      [{ aud: "chittyconnectx" }],
      [{ exp: now() - 40 }],
      [{ exp: null }],
      [{ exp: "never" }],
      [{ exp: -1 }],
      [{ nbf: now() + 60 }],
      [{ iat: now() + 60 }],
      [{ sub: null }],
      [{ sub: "" }],
      [{ sub: "admin" }],
      [{ sub: "did:chitty:03-1-USA-9003-T-2602-0-81" }],
      [{ sub: "03-0-ERR-0001-P-2602-0-11" }],
      [{}, { alg: "none" }],
      [{}, { alg: "None" }],
      [{}, { alg: "HS256" }],
      [{}, { alg: "RS256" }],
      [{}, { alg: "ES384" }],
      [{}, { alg: "es256" }],
      [{}, { alg: null }],
      [{}, { alg: "" }],
      [{}, { kid: null }],
      [{}, { kid: "unknown" }],
      [{}, { kid: "sandbox-2" }],
      [{}, { kid: "" }],
      [{}, { crit: ["exp"] }],
      [{}, { typ: "id+jwt" }],
      [{}, { typ: "logout+jwt" }],
    ]) {
      const token = await sandbox.jwt({ name, claims, header });
      expect(await client(gateway, token)("GET", "/v1/contexts"), 401, "invalid_token", JSON.stringify([claims, header]));
    }
  });

  test("signed by anybody else, or altered, are refused", async () => {
    const { name } = person();
    const [header, claims, signature] = await partsOf({ name });
    const [, adminClaims] = await partsOf({ name: "admin", claims: { scope: "admin" } });
    const [, , otherSignature] = await partsOf({ name, claims: { jti: "another" } });
    const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
    const ownJwk = await crypto.subtle.exportKey("jwk", pair.publicKey);
    const own = async (fields) => {
      const signed = `${encode({ alg: "ES256", typ: "JWT", kid: "sandbox-1", ...fields })}.${claims}`;
      return `${signed}.${encode(Buffer.from(await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, pair.privateKey, Buffer.from(signed))))}`;
    };
    const { keys } = await (await fetch(`${sandbox.url}/auth/.well-known/jwks.json`)).json();
    const byPublicKey = async (secret) => {
      const signed = `${encode({ alg: "HS256", typ: "JWT", kid: "sandbox-1" })}.${claims}`;
      const key = await crypto.subtle.importKey("raw", Buffer.from(secret), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
      return `${signed}.${encode(Buffer.from(await crypto.subtle.sign("HMAC", key, Buffer.from(signed))))}`;
    };
    const raw = Buffer.from(signature, "base64url");
    const zeros = encode(Buffer.alloc(64));
    for (const [what, token] of Object.entries({
      "other claims": `${header}.${adminClaims}.${signature}`,
      "another's signature": `${header}.${claims}.${otherSignature}`,
      "no signature": `${header}.${claims}.`,
      "two parts": `${header}.${claims}`,
      "four parts": `${header}.${claims}.${signature}.${signature}`,
      "a short signature": `${header}.${claims}.${encode(raw.subarray(0, 63))}`,
      "a long signature": `${header}.${claims}.${encode(Buffer.concat([raw, Buffer.from([0])]))}`,
      zeros: `${header}.${claims}.${zeros}`,
      "halves swapped": `${header}.${claims}.${encode(Buffer.concat([raw.subarray(32), raw.subarray(0, 32)]))}`,
      "a foreign key": await own({}),
      "a foreign key that is in the header": await own({ jwk: ownJwk }),
      "a foreign key elsewhere": await own({ jku: "https://evil.example/jwks.json", x5u: "https://evil.example/x" }),
      "an HMAC with the published key": await byPublicKey(JSON.stringify(keys[0])),
      "an HMAC with the point": await byPublicKey(Buffer.from(keys[0].x, "base64url")),
      "no JSON": `${encode("{")}.${claims}.${signature}`,
      "no claims": `${header}.${encode("[]")}.${signature}`,
    })) {
      expect(await client(gateway, token)("GET", "/v1/contexts"), 401, "invalid_token", what);
    }
    assert.equal(await sandbox.count("outside"), 0, "and nobody was asked for a key");
  });

  test("that name keys nobody knows cause no storm at ChittyAuth", async () => {
    const { name } = person();
    const before = await sandbox.count("auth", "/.well-known/jwks.json");
    const tokens = await Promise.all(Array.from({ length: 30 }, (_, n) => sandbox.jwt({ name, header: { kid: `made-up-${n}` } })));
    const codes = await Promise.all(tokens.map(async (token) => (await client(gateway, token)("GET", "/v1/contexts")).code));
    // Looked for a few times an isolate; after that nobody can say, and nobody is refused.
    const asked = (await sandbox.count("auth", "/.well-known/jwks.json")) - before;
    assert.ok(asked <= 5 * 2, `${asked}`);
    assert.deepEqual(codes.filter((code) => !["invalid_token", "authentication_unavailable"].includes(code)), []);
    await works(client(gateway, await sandbox.jwt({ name })));
  });

  test("are good by a new key, where the gateway looks for the first time", async () => {
    await sandbox.keys.publish("sandbox-2");
    const cold = await another();
    const { name } = person();
    for (const kid of ["sandbox-2", "sandbox-1"]) await works(client(cold, await sandbox.jwt({ name, header: { kid } })));
    await sandbox.keys.withdraw("sandbox-2");
    await works(client(cold, await sandbox.jwt({ name, header: { kid: "sandbox-2" }, claims: { jti: "again" } })));
  });

  test("outlast an outage of ChittyAuth once its keys are known", async () => {
    const cold = await another({ vars: { BREAKER_MIN_CALLS: "0" } });
    const { name, token } = person();
    const jwt = async (jti) => client(cold, await sandbox.jwt({ name, claims: { jti } }));
    await client(cold)("GET", "/health");
    await sandbox.fault("auth", { mode: "fail", status: 503 });
    const early = await (await jwt("early"))("GET", "/v1/contexts");
    await sandbox.clear("auth");
    expect(early, 503, "authentication_unavailable");
    await works(await jwt("first"));
    await sandbox.fault("auth", { mode: "fail", status: 503 });
    const [known, opaque] = [await (await jwt("second"))("GET", "/v1/contexts"), await client(cold, token)("GET", "/v1/contexts")];
    await sandbox.clear("auth");
    assert.equal(known.status, 200, known.text);
    expect(opaque, 503, "authentication_unavailable");
    await works(client(cold, token));
  });
});

test("nothing above made the gateway complain", () => {
  assert.deepEqual(complaints(), []);
});
