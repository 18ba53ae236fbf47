/** What the sandbox promises of the services around the registration and the flows. */
import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
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

test("auth makes, knows, refreshes and revokes tokens", async () => {
  const [status, made] = await post("/auth/v1/tokens/provision", { chittyId: ID, scope: ["read"], service: "s", expiresIn: 60 });
  assert.deepEqual([status, made.scope], [201, ["read"]]);
  const check = async (token) => (await post("/auth/v1/tokens/validate", { token }))[1];
  assert.equal((await check(made.token)).chittyId, ID);
  const [, fresh] = await post("/auth/v1/tokens/refresh", { token: made.token });
  assert.equal((await check(made.token)).valid, false);
  assert.equal((await check(fresh.token)).valid, true);
  assert.equal((await post("/auth/v1/tokens/revoke", { tokenId: fresh.tokenId }))[0], 200);
  assert.equal((await check(fresh.token)).valid, false);
  assert.equal((await post("/auth/v1/tokens/revoke", { tokenId: "tok_none" }))[0], 404);
  assert.equal((await post("/auth/v1/tokens/provision", {}))[0], 400);
});

test("auth makes and rotates keys, and shows no secret to the control", async () => {
  const [, made] = await post("/auth/v1/keys/provision", { chittyId: ID, scopes: ["a"], service: "s" });
  const [, rotated] = await post(`/auth/v1/keys/rotate/${ID}`, {});
  assert.notEqual(rotated.api_key, made.api_key);
  assert.equal((await post(`/auth/v1/keys/rotate/${ID.replace("P", "T")}`, {}))[0], 404);
  const kept = await sandbox.kept("credential");
  assert.deepEqual(kept.map(({ id, revoked }) => [id, revoked]), [[made.key_id, true], [rotated.key_id, false]]);
  assert.ok(!JSON.stringify(kept).includes(rotated.api_key));
  assert.equal((await get("/auth/.well-known/jwks.json"))[1].keys[0].crv, "P-256");
});

test("a repeat under one idempotency key gives the same, and another body is refused", async () => {
  const provision = (chittyId) => post("/auth/v1/tokens/provision", { chittyId }, { "idempotency-key": "k" });
  const [, first] = await provision(ID);
  assert.deepEqual((await provision(ID))[1], first);
  assert.equal((await provision("other"))[0], 409);
});

test("the registry lists what register takes, and may only be read", async () => {
  const [, before] = await get("/registry/api/v1/tools");
  const [status, made] = await post("/register/api/v1/register", { name: "mine", endpoints: ["https://mine/health"] });
  assert.equal(status, 201);
  assert.deepEqual(await post("/register/api/v1/register", { name: "mine" }), [200, { ...made }]);
  const [, listed] = await get("/registry/api/v1/tools");
  assert.equal(listed.count, before.count + 1);
  assert.equal((await get(`/registry/api/v1/tools/${made.chitty_id}`))[1].tool.name, "mine");
  assert.equal((await get("/registry/api/v1/tools/none"))[0], 404);
  assert.equal((await post("/registry/api/v1/tools", {}))[1].code, "READ_ONLY");
  assert.equal((await call("PATCH", "/register/api/services/mine/status", { status: "deprecated" }))[1].status, "deprecated");
  assert.equal((await call("PATCH", "/register/api/services/none/status", { status: "x" }))[0], 404);
  assert.equal((await post("/register/api/v1/register", {}))[1].errors.name, "is required");
  assert.match((await post("/register/api/v1/challenge", { name: "mine" }))[1].well_known_path, /^\/\.well-known\//);
});

test("a lineage begins once; a verification fails with a credential in it; a certificate is revoked", async () => {
  const [, dna] = await post("/dna/v1/dna/initialize", { chittyId: ID, entityType: "context" });
  assert.equal((await post("/dna/v1/dna/initialize", { chittyId: ID }))[1].dna_id, dna.dna_id);
  assert.equal((await post("/dna/v1/dna/evolve", { chittyId: ID, event: "e" }))[1].generation, 2);
  assert.equal((await post("/dna/v1/dna/evolve", { chittyId: "none" }))[0], 404);
  assert.equal((await post("/verify/v1/verify/context", { chittyId: ID }))[1].verified, true);
  assert.equal((await post("/verify/v1/verify/context", { chittyId: ID, api_key: "k" }))[1].verified, false);
  const request = { chittyid: ID, entity_data: { legal_name: "n" }, trust_score: 50, verification_report: {} };
  const [status, certificate] = await post("/certify/api/v1/issue", request);
  assert.equal(status, 201);
  const verify = async () => (await post("/certify/api/v1/verify", { certificate_id: certificate.id }))[1].valid;
  assert.equal(await verify(), true);
  assert.equal((await post("/certify/api/v1/revoke", { certificate_id: certificate.id }))[0], 200);
  assert.equal(await verify(), false);
  assert.equal((await post("/certify/api/v1/issue", {}))[0], 400);
});

test("canon keeps records, beacon takes signs of life, chat takes messages, id tells of an identity", async () => {
  const [status, record] = await post("/canon/canon/records", { type: "user", chittyId: ID });
  assert.equal(status, 201);
  assert.equal((await call("DELETE", `/canon/canon/records/${record.id}`))[0], 200);
  assert.equal((await call("DELETE", `/canon/canon/records/${record.id}`))[0], 404);
  assert.ok((await get("/canon/canon/case-types"))[1].data.length > 0);
  assert.equal((await post("/canon/canon/validate", { type: "x", value: "civil" }))[1].valid, true);
  assert.equal((await post("/beacon/api/beacon", { event: "e", data: { a: 1 } }))[0], 202);
  assert.deepEqual((await sandbox.kept("beacon")).map(({ event }) => event), ["e"]);
  assert.equal((await post("/chat/api/v1/messages", { content: "c", chittyId: ID }))[0], 201);
  assert.equal((await get(`/id/v1/${ID}/info`))[1].did, `did:chitty:${ID}`);
  assert.equal((await get("/id/v1/none/info"))[0], 404);
});
