/** What the sandbox promises of the services around the registration and the flows. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { inspect } from "../../sandbox/chitty-id.mjs";
import { TEST_ONLY_PRIVATE_JWK } from "../../sandbox/services/auth-keys.mjs";
import { CHITTYOS_NAMES } from "../../sandbox/services/directory.mjs";
import { until } from "./harness/await.mjs";
import { startSandbox } from "./harness/sandbox.mjs";

const ID = "03-1-USA-0970-P-2603-0-54";

let sandbox;
before(async () => {
  sandbox = await startSandbox();
});
beforeEach(() => sandbox.reset());
after(() => sandbox.close());

async function call(method, route, body, headers = {}) {
  const response = await fetch(sandbox.url + route, { method, headers, body: body && JSON.stringify(body) });
  return [response.status, await response.json()];
}
const get = (route) => call("GET", route);
const post = (route, body, headers) => call("POST", route, body, headers);
const control = async (route) => (await get(`/_sandbox/${route}`))[1];

test("id tells of a sound identity, and of no other", async () => {
  const [status, { timestamp, ...info }] = await get("/id/v1/03-1-USA-9636-T-2605-1-75/info");
  assert.equal(status, 200);
  assert.ok(Date.parse(timestamp) > 0);
  assert.deepEqual(info, {
    chittyId: "03-1-USA-9636-T-2605-1-75",
    did: "did:chitty:03-1-USA-9636-T-2605-1-75",
    entityType: "thing",
    trustLevel: 1,
    lifecycle: "active",
    verificationMethod: "mod-97",
  });
  for (const id of ["none", ID.replace(/4$/, "5"), "03-0-ERR-0002-P-2611-0-00"]) assert.equal((await get(`/id/v1/${id}/info`))[0], 404, id);
});

test("auth makes, knows, refreshes and revokes tokens", async () => {
  const [status, made] = await post("/auth/v1/tokens/provision", { chittyId: ID, scope: ["read"], service: "s", expiresIn: 60 });
  assert.deepEqual([status, made.success, made.scope, made.rateLimit], [201, true, ["read"], { requests: 1000, window: 3600 }]);
  const left = Date.parse(made.expiresAt) - Date.now();
  assert.ok(left > 50_000 && left <= 60_000);
  const check = (token) => post("/auth/v1/tokens/validate", { token });
  const [, { valid, tokenId, chittyId, scope, service, expiresAt }] = await check(made.token);
  assert.deepEqual([valid, tokenId, chittyId, scope, service, expiresAt], [true, made.tokenId, ID, ["read"], "s", made.expiresAt]);
  assert.deepEqual((await post("/auth/v1/auth/validate", undefined, { authorization: `Bearer ${made.token}` }))[1], { actor: { chittyId: ID } });
  const [, fresh] = await post("/auth/v1/tokens/refresh", { token: made.token, expiresIn: 120 });
  assert.deepEqual([fresh.scope, (await check(fresh.token))[1].service], [["read"], "s"]);
  assert.deepEqual(await check(made.token), [401, { valid: false, error: "Token revoked" }]);
  assert.equal((await post("/auth/v1/tokens/refresh", { token: made.token }))[0], 401);
  const [, revoked] = await post("/auth/v1/tokens/revoke", { tokenId: fresh.tokenId, reason: "test" });
  assert.deepEqual([revoked.success, revoked.tokenId, revoked.reason], [true, fresh.tokenId, "test"]);
  assert.deepEqual((await post("/auth/v1/tokens/revoke", { tokenId: fresh.tokenId }))[1], revoked, "only the first time counts");
  assert.equal((await check(fresh.token))[0], 401);
  assert.equal((await post("/auth/v1/tokens/revoke", { tokenId: "tok_none" }))[0], 404);
  for (const wrong of [{}, { chittyId: 1 }, { chittyId: ID, scope: "read" }, { chittyId: ID, expiresIn: "60" }, { chittyId: ID, expiresIn: -1 }]) {
    assert.equal((await post("/auth/v1/tokens/provision", wrong))[0], 400, JSON.stringify(wrong));
  }
});

test("a token that was made for a second is over after it", async () => {
  const [, { token }] = await post("/auth/v1/tokens/provision", { chittyId: ID, expiresIn: 1 });
  const check = () => post("/auth/v1/tokens/validate", { token });
  assert.equal((await check())[0], 200);
  const [, answer] = await until(async () => {
    const now = await check();
    return now[0] === 401 && now;
  }, { what: "the token to expire" });
  assert.equal(answer.error, "Token expired");
});

test("auth makes, rotates and revokes keys, and shows no secret to the control", async () => {
  const [status, made] = await post("/auth/v1/keys/provision", { chittyId: ID, scopes: ["a"], service: "s" });
  assert.deepEqual([status, Object.keys(made).sort()], [201, ["api_key", "expires_at", "key_id", "scopes"]]);
  const [, rotated] = await post(`/auth/v1/keys/rotate/${ID}`, {});
  assert.notEqual(rotated.api_key, made.api_key);
  assert.deepEqual(rotated.scopes, ["a"]);
  assert.equal((await post(`/auth/v1/keys/rotate/${ID.replace("P", "T")}`, {}))[0], 404);
  const [, revoked] = await post("/auth/v1/api-keys/revoke", { key_id: rotated.key_id });
  assert.deepEqual([revoked.success, typeof revoked.revokedAt], [true, "string"]);
  assert.equal((await post("/auth/v1/tokens/revoke", { tokenId: rotated.key_id }))[0], 404, "a key is no token");
  assert.deepEqual(await control("tokens"), {
    total: 2,
    tokens: [made, rotated].map(({ key_id }) => ({ id: key_id, chittyId: ID, kind: "key", revoked: true })),
  });
  const kept = await sandbox.kept("credential");
  assert.deepEqual(kept.map(({ id }) => id), [made.key_id, rotated.key_id]);
  for (const { api_key } of [made, rotated]) assert.ok(!JSON.stringify([kept, await sandbox.calls()]).includes(api_key));
});

test("a repeat under one idempotency key gives the same, another body is refused, and without a key each is new", async () => {
  for (const route of ["/auth/v1/tokens/provision", "/auth/v1/keys/provision"]) {
    const provision = (chittyId, key = "k") => post(route, { chittyId }, key ? { "idempotency-key": key } : {});
    const first = await provision(ID);
    assert.deepEqual(await provision(ID), first);
    assert.equal((await provision("other"))[0], 409);
    const others = [first, await provision(ID, "l"), await provision(ID, null), await provision(ID, null)];
    assert.equal(new Set(others.map(([, made]) => made.tokenId ?? made.key_id)).size, 4);
  }
});

test("what is signed with the sandbox's key, its published half verifies", async () => {
  const [, { keys }] = await get("/auth/.well-known/jwks.json");
  assert.deepEqual(keys.map(({ kty, crv, alg, use, d }) => [kty, crv, alg, use, d]), [["EC", "P-256", "ES256", "sig", undefined]]);
  assert.equal(keys[0].kid, TEST_ONLY_PRIVATE_JWK.kid);
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const [signer, verifier] = await Promise.all([
    crypto.subtle.importKey("jwk", TEST_ONLY_PRIVATE_JWK, algorithm, false, ["sign"]),
    crypto.subtle.importKey("jwk", keys[0], algorithm, false, ["verify"]),
  ]);
  const text = new TextEncoder().encode("header.payload");
  assert.ok(await crypto.subtle.verify(algorithm, verifier, await crypto.subtle.sign(algorithm, signer, text), text));
});

test("the call log keeps no credential, wherever it stands", async () => {
  const secret = "ca_live_very_secret";
  const fields = { token: secret, api_key: secret, apiKey: secret, refreshToken: secret, refresh_token: secret };
  await post("/auth/x", { ...fields, other: 1 }, { authorization: `Bearer ${secret}`, "x-api-key": secret, "x-chittyos-api-key": secret });
  const [{ headers, body }] = await sandbox.calls();
  assert.ok(!JSON.stringify([headers, body]).includes(secret));
  assert.match(body.token, /^sha256:[0-9a-f]{8}$/);
  assert.deepEqual(body, { ...Object.fromEntries(Object.keys(fields).map((name) => [name, body.token])), other: 1 });
  assert.deepEqual([headers["x-api-key"], headers["x-chittyos-api-key"], headers.authorization], [body.token, body.token, `Bearer ${body.token}`]);
});

test("the registry has the services that are played, and may only be read", async () => {
  const [, { success, tools, count }] = await get("/registry/api/v1/tools");
  // Those of the gateway, and two that only the registry knows.
  const expected = CHITTYOS_NAMES.length + 2;
  assert.deepEqual([success, count, tools.length], [true, expected, expected]);
  assert.equal(new Set(tools.map(({ chitty_id }) => chitty_id)).size, expected);
  for (const { name, chitty_id, endpoints, status } of tools) {
    assert.equal(inspect(chitty_id).components?.type, "T", name);
    assert.ok(endpoints.every((url) => new URL(url).protocol === "https:"), name);
    // One is spelled as people spell it.
    assert.equal(status, name === "ChittyWeather" ? "Live" : "active", name);
  }
  const [, security] = await get("/registry/api/v1/tools?category=security-verification");
  assert.deepEqual([security.count, security.tools.map(({ name }) => name)], [2, ["chittyverify", "chittycertify"]]);
  assert.equal((await get("/registry/api/v1/tools?category=none"))[1].count, 0);
  assert.deepEqual(await get(`/registry/api/v1/tools/${tools[0].chitty_id}`), [200, { success: true, tool: tools[0] }]);
  assert.deepEqual(await get("/registry/api/v1/tools/none"), [404, { error: "Tool not found" }]);
  assert.deepEqual((await get("/registry/api/v1/manifest"))[1].manifest.entries, tools);
  for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
    const [status, { code, submission_endpoint }] = await call(method, "/registry/api/v1/tools", {});
    assert.deepEqual([status, code, submission_endpoint], [401, "READ_ONLY", "https://register.chitty.cc/api/v1/register"], method);
  }
});

test("register takes a name once, changes its entry, and the registry lists it", async () => {
  const entry = { name: "mine", description: "d", version: "1.2.3", endpoints: ["https://mine/health"], category: "c" };
  const [status, made] = await post("/register/api/v1/register", entry);
  assert.equal(status, 201);
  assert.deepEqual(Object.keys(made).sort(), ["certificate", "chitty_id", "chronicle_ref", "discovery_ref", "registry_ref", "success"]);
  assert.ok(inspect(made.chitty_id).valid);
  assert.deepEqual(await post("/register/api/register", { ...entry, version: "2.0.0", endpoints: { health: "https://mine/health" } }), [200, made]);
  const [, { tool }] = await get(`/registry/api/v1/tools/${made.chitty_id}`);
  assert.deepEqual([tool.name, tool.version, tool.status, tool.endpoints], ["mine", "2.0.0", "active", { health: "https://mine/health" }]);
  assert.equal((await get("/registry/api/v1/tools?category=c"))[1].count, 1);
  assert.deepEqual((await get("/register/api/v1/services"))[1].services, [tool]);
  assert.equal((await get("/register/api/v1/status"))[1].registered, 1);
  assert.deepEqual(await call("PATCH", "/register/api/services/mine/status", { status: "deprecated", last_deployed: "x" }), [200, { success: true, name: "mine", status: "deprecated" }]);
  assert.deepEqual(await control("registered"), { total: 1, registered: [{ name: "mine", chitty_id: made.chitty_id, status: "deprecated" }] });
  assert.equal((await call("PATCH", "/register/api/services/mine/status", {}))[0], 400);
  assert.equal((await call("PATCH", "/register/api/services/none/status", { status: "x" }))[0], 404);
});

test("register says what is wrong with each field, how compliant one is, and what proves control", async () => {
  const refusal = async (body) => {
    const [status, { success, errors }] = await post("/register/api/v1/register", body);
    assert.deepEqual([status, success], [400, false]);
    return Object.keys(errors);
  };
  assert.deepEqual(await refusal({}), ["name"]);
  assert.deepEqual(await refusal([]), ["name"]);
  assert.deepEqual(await refusal({ name: "", description: 1, version: 1, endpoints: "https://mine" }), ["name", "description", "version", "endpoints"]);
  for (const endpoints of [[1], { health: 1 }, 7]) assert.deepEqual(await refusal({ name: "n", endpoints }), ["endpoints"]);
  assert.equal((await control("registered")).total, 0);
  await post("/register/api/v1/register", { name: "whole", description: "d", version: "1.0.0", endpoints: ["https://whole/health"] });
  await post("/register/api/v1/register", { name: "half", description: null });
  const compliant = async (name) => (await get(`/register/api/v1/compliance/${name}`))[1].compliant;
  assert.deepEqual([await compliant("whole"), await compliant("half"), (await get("/register/api/v1/compliance/none"))[0]], [true, false, 404]);
  const [, challenge] = await post("/register/api/v1/challenge", { name: "mine", endpoint: "https://mine" });
  assert.equal(challenge.well_known_path, `/.well-known/chitty-register-challenge/${challenge.token}`);
  assert.ok(challenge.success && challenge.key_authorization.startsWith(challenge.token));
  assert.equal((await post("/register/api/v1/challenge", { domain: "mine" }))[0], 200);
  assert.deepEqual(Object.keys((await post("/register/api/v1/challenge", {}))[1].errors), ["name", "endpoint"]);
});

test("a lineage begins once and evolves", async () => {
  const genesis = { service: "s" };
  const [status, { dna_id, initialized_at, ...made }] = await post("/dna/v1/dna/initialize", { chittyId: ID, entityType: "context", genesis });
  assert.deepEqual([status, made], [201, { success: true, entity_type: "context", generation: 1, traits: [] }]);
  const evolve = (body) => post("/dna/v1/dna/evolve", { event: "e", changes: { a: 1 }, timestamp: "t", ...body });
  assert.deepEqual(await evolve({ chittyId: ID }), [200, { success: true, dna_id, generation: 2 }]);
  const [again, same] = await post("/dna/v1/dna/initialize", { chittyId: ID, entityType: "actor" });
  assert.deepEqual([again, same.dna_id, same.entity_type, same.generation, same.initialized_at], [200, dna_id, "context", 2, initialized_at]);
  assert.equal((await evolve({ chittyId: "none" }))[0], 404);
  assert.equal((await evolve({ chittyId: ID, event: 1 }))[0], 400);
  assert.equal((await post("/dna/v1/dna/initialize", {}))[0], 400);
  const { total, dna } = await control("dna");
  assert.deepEqual([total, dna[0].genesis, dna[0].events], [1, genesis, [{ event: "e", changes: { a: 1 }, timestamp: "t", generation: 2 }]]);
});

test("a verification fails without a sound id, and with a credential", async () => {
  const verify = async (body) => (await post("/verify/v1/verify/context", body))[1];
  const passed = await verify({ chittyId: ID, dnaId: "d", service: "s" });
  assert.deepEqual([passed.verified, passed.status, passed.confidence_score], [true, "PASS", 0.95]);
  assert.match(passed.verification_id, /^ver_/);
  for (const body of [{}, [], { chittyId: 1 }, { chittyId: "none" }, { chittyId: "03-0-ERR-0002-P-2611-0-00" }, { chittyId: ID, apiKey: "k" }, { chittyId: ID, api_key: "" }]) {
    const failed = await verify(body);
    assert.deepEqual([failed.verified, failed.status], [false, "FAIL"], JSON.stringify(body));
  }
});

test("a certificate is issued, holds, and is revoked", async () => {
  const request = { chittyid: ID, entity_data: { legal_name: "n" }, trust_score: 50, verification_report: { status: "PASS" } };
  const issue = (body, headers) => post("/certify/api/v1/issue", body, headers);
  const [status, certificate] = await issue(request, { "idempotency-key": "k" });
  assert.equal(status, 201);
  assert.deepEqual(Object.keys(certificate), [
    "id", "chittyid", "certificate_type", "issued_at", "expires_at", "trust_score",
    "entity_data", "verification_details", "signature", "certificate_url", "qr_code_data", "status",
  ]);
  assert.deepEqual([certificate.certificate_type, certificate.status, certificate.verification_details], ["BASIC", "active", { status: "PASS" }]);
  assert.deepEqual((await issue(request, { "idempotency-key": "k" }))[1], certificate);
  const id = certificate.id;
  const verify = async (more) => (await post("/certify/api/v1/verify", { certificate_id: id, ...more }))[1];
  assert.deepEqual(await verify({ signature: certificate.signature }), { valid: true, certificate });
  assert.equal((await verify({ signature: "other" })).reason, "signature mismatch");
  assert.deepEqual(await verify({ certificate_id: "none" }), { valid: false, reason: "unknown certificate" });
  assert.deepEqual(await get(`/certify/api/v1/certificate/${id}`), [200, certificate]);
  assert.equal((await get("/certify/api/v1/certificate/none"))[0], 404);
  const [, revoked] = await post("/certify/api/v1/revoke", { certificate_id: id, reason: "r" });
  assert.deepEqual([revoked.success, revoked.status, revoked.reason], [true, "revoked", "r"]);
  assert.deepEqual((await post("/certify/api/v1/revoke", { certificate_id: id }))[1], revoked);
  assert.deepEqual([(await verify()).valid, (await verify()).reason], [false, "revoked"]);
  assert.equal((await post("/certify/api/v1/revoke", { certificate_id: "none" }))[0], 404);
  assert.deepEqual((await control("certificates")).certificates.map((kept) => [kept.id, kept.status]), [[id, "revoked"]]);
  const { chittyid: _, ...nameless } = request;
  for (const wrong of [{}, nameless, { ...request, entity_data: {} }, { ...request, trust_score: 101 }, { ...request, trust_score: "50" }, { ...request, verification_report: null }, { ...request, certificate_type: "GOLD" }]) {
    const [refused, { error, details, timestamp }] = await issue(wrong);
    assert.deepEqual([refused, error, typeof details, typeof timestamp], [400, "VALIDATION_ERROR", "string", "string"], JSON.stringify(wrong));
  }
});

test("the older spelling certifies too, with a certificate like any other", async () => {
  const compliance = ["chittyos-v1"];
  const [status, made] = await post("/certify/v1/certify", { chittyId: ID, service: "s", compliance, security_level: "standard" });
  assert.equal(status, 201);
  assert.deepEqual(Object.keys(made), ["certificate_id", "compliance", "issued_at"]);
  assert.deepEqual(made.compliance, compliance);
  const [, { valid, certificate }] = await post("/certify/api/v1/verify", { certificate_id: made.certificate_id });
  assert.deepEqual([valid, certificate.chittyid, certificate.entity_data], [true, ID, { legal_name: "s" }]);
  assert.equal((await post("/certify/v1/certify", { chittyId: ID }))[0], 400);
});

test("beacon takes both spellings, and keeps what it took in order", async () => {
  assert.deepEqual(await post("/beacon/api/beacon", { event: "a", data: { n: 1 } }), [202, { success: true }]);
  assert.equal((await post("/beacon/track", { app: "x", event: "b", uptime: 2 }))[0], 202);
  await post("/beacon/api/beacon", { event: "a" });
  assert.equal((await post("/beacon/api/beacon", { data: {} }))[0], 400);
  const { total, beacons } = await control("beacons");
  assert.deepEqual([total, beacons.map(({ event, data }) => [event, data])], [3, [["a", { n: 1 }], ["b", { app: "x", uptime: 2 }], ["a", null]]]);
  const last = await control("beacons?event=a&limit=1");
  assert.deepEqual([last.total, last.beacons.map(({ data }) => data)], [2, [null]]);
  assert.deepEqual((await control("beacons?event=a&limit=0")).beacons, []);
  assert.deepEqual((await sandbox.kept("beacon")).map(({ event }) => event), ["a", "b", "a"]);
});

test("canon has categories, and keeps records", async () => {
  assert.deepEqual(await get("/canon/canon/certification-levels"), [200, { data: ["BRONZE", "SILVER", "GOLD", "PLATINUM"] }]);
  for (const none of ["none", "constructor"]) assert.equal((await get(`/canon/canon/${none}`))[0], 404, none);
  const valid = async (type, value) => (await post("/canon/canon/validate", { type, value }))[1].valid;
  assert.deepEqual([await valid("case-types", "civil"), await valid("case-types", "GOLD"), await valid("none", "civil")], [true, false, false]);
  assert.equal((await post("/canon/canon/validate", { value: "civil" }))[0], 400);
  const search = async (query) => (await get(`/canon/canon/search?${query}`))[1].results;
  assert.deepEqual(await search("q=Gold"), [{ category: "certification-levels", value: "GOLD" }]);
  assert.deepEqual(await search("q=gold&category=case-types"), []);
  const create = (headers) => post("/canon/canon/records", { type: "user", chittyId: ID, email: "e@x", id: "mine" }, headers);
  const [status, record] = await create({ "idempotency-key": "k" });
  assert.deepEqual([status, record], [201, { id: record.id, type: "user", chittyId: ID }]);
  assert.notEqual(record.id, "mine");
  assert.deepEqual(await create({ "idempotency-key": "k" }), [201, record]);
  const [, kept] = await get(`/canon/canon/records/${record.id}`);
  assert.deepEqual([kept.id, kept.email], [record.id, "e@x"]);
  assert.deepEqual(await control("records"), { total: 1, records: [kept] });
  assert.deepEqual(await call("DELETE", `/canon/canon/records/${record.id}`), [200, { success: true }]);
  for (const method of ["GET", "DELETE"]) assert.equal((await call(method, `/canon/canon/records/${record.id}`))[0], 404, method);
  assert.equal((await post("/canon/canon/records", { type: "user" }))[0], 400);
});

test("chat takes contexts and messages", async () => {
  const [, propagated] = await post("/chat/api/v1/contexts/propagate", { chittyId: ID });
  assert.ok(propagated.success && Date.parse(propagated.propagated_at) > 0);
  const [status, { id, content, channel }] = await post("/chat/api/v1/messages", { content: "c", chittyId: ID, channel: null });
  assert.deepEqual([status, content, channel], [201, "c", "general"]);
  assert.match(id, /^msg_/);
  assert.equal((await post("/chat/api/v1/messages", { content: "c" }))[0], 400);
  assert.equal((await post("/chat/api/v1/contexts/propagate", []))[0], 400);
});

test("an answer that was lost is given again to a repeat under the same key", async () => {
  await sandbox.fault("canon", { mode: "fail", effect: true, times: 1, path: "/canon/records" });
  const create = () => post("/canon/canon/records", { type: "user", chittyId: ID }, { "idempotency-key": "k" });
  assert.equal((await create())[0], 503);
  const [status, { id }] = await create();
  assert.deepEqual([status, (await control("records")).records.map((record) => record.id)], [201, [id]]);
});

test("what the services keep survives a restart, and no reset", async () => {
  const persist = mkdtempSync(path.join(os.tmpdir(), "sandbox-"));
  const at = (one, route, body) => fetch(one.url + route, { method: body ? "POST" : "GET", body: body && JSON.stringify(body) }).then((response) => response.json());
  try {
    const first = await startSandbox({ persist });
    const { token } = await at(first, "/auth/v1/tokens/provision", { chittyId: ID });
    await at(first, "/register/api/v1/register", { name: "mine" });
    await first.close();
    const second = await startSandbox({ persist });
    assert.equal((await at(second, "/auth/v1/tokens/validate", { token })).valid, true);
    assert.equal((await at(second, "/_sandbox/registered")).total, 1);
    await second.reset();
    assert.equal((await at(second, "/auth/v1/tokens/validate", { token })).valid, false);
    for (const view of ["registered", "tokens", "records", "beacons", "certificates", "dna"]) {
      assert.deepEqual(await at(second, `/_sandbox/${view}`), { total: 0, [view]: [] });
    }
    await second.close();
  } finally {
    rmSync(persist, { recursive: true, force: true });
  }
});
