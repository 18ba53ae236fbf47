/** API keys: made, shown once, used, given another secret and revoked, and what they can never do. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { actorId } from "../../sandbox/chitty-id.mjs";
import { startAccess } from "./harness/access.mjs";
import { until } from "./harness/await.mjs";
import { client, create } from "./harness/client.mjs";
import { contents, PAST } from "./harness/contents.mjs";
import { byKey, delegate, expect, makeKey, refused, works } from "./harness/people.mjs";

let access, gateway, admin, anyone, person, rows, grant, complaints;

before(async () => {
  access = await startAccess("key");
  ({ gateway, admin, anyone, person, rows, grant, complaints } = access);
});

after(() => access?.close());

describe("API keys", () => {
  test("work in every header, are shown once, and are kept nowhere", async () => {
    const { call, id } = person();
    const headers = { "idempotency-key": "key-1" };
    const scopes = ["contexts:read", "contexts:write"];
    const made = await call("POST", "/v1/keys", { body: { name: "build", scopes, expires_in_seconds: 3600 }, headers });
    assert.equal(made.status, 201, made.text);
    const { key: secret, ...key } = made.json.key;
    assert.match(secret, /^chitty_[\w-]{40,}$/);
    assert.deepEqual([key.name, key.scopes, key.status], ["build", scopes, "active"]);
    assert.ok(secret.endsWith(key.hint) && key.hint.length < 10);
    assert.ok(Math.abs(Date.parse(key.expires_at) - Date.now() - 3_600_000) < 60_000);
    const replay = await call("POST", "/v1/keys", { body: { name: "build", scopes, expires_in_seconds: 3600 }, headers });
    assert.deepEqual([replay.status, replay.headers.get("idempotency-replayed"), replay.json.key.key_id], [201, "true", key.key_id]);
    const shown = [replay, await call("GET", "/v1/keys"), await call("GET", `/v1/keys/${key.key_id}`), await admin("GET", `/v1/audit?entity=${key.key_id}`)];
    for (const { text } of shown) assert.ok(!text.includes(secret) && text.includes(key.key_id), text);
    assert.ok(!(await contents(gateway)).includes(secret));

    const context = await create(call, { name: "mine" });
    for (const header of ["x-chittyos-api-key", "X-API-Key"]) {
      assert.equal((await byKey(gateway, secret, header)("GET", `/v1/contexts/${context.chitty_id}`)).status, 200, header);
    }
    const bearer = client(gateway, secret);
    assert.equal((await bearer("POST", "/v1/contexts", { body: { name: "by key" } })).json.context.owner, id);
    for (const path of ["/v1/keys", "/v1/actors/me", "/v1/connections", "/v1/audit"]) await refused(bearer, 403, "insufficient_scope", path);
    await until(async () => (await call("GET", `/v1/keys/${key.key_id}`)).json.key?.last_used_at ?? (await call("GET", `/v1/keys/${key.key_id}`)).json.last_used_at, { what: "when it was used" });
  });

  test("what is wrong with a request for one is said", async () => {
    const { call, as, id } = person();
    const before = (await rows("SELECT 1 FROM keys")).length;
    for (const body of [
      {},
      { name: "x" },
      { name: "x", scopes: [] },
      { name: "", scopes: ["read"] },
      { name: "x".repeat(201), scopes: ["read"] },
      { name: 1, scopes: ["read"] },
      { name: "x", scopes: "read" },
      { name: "x", scopes: ["admin"] },
      { name: "x", scopes: ["*"] },
      { name: "x", scopes: ["actors:admin"] },
      { name: "x", scopes: ["contexts:*"] },
      { name: "x", scopes: ["contexts:admin"] },
      { name: "x", scopes: ["a b"] },
      ...[59, 157_680_001, -1, 0, 60.5, "60"].map((expires_in_seconds) => ({ name: "x", scopes: ["read"], expires_in_seconds })),
    ]) {
      expect(await call("POST", "/v1/keys", { body }), 422, "validation_failed", JSON.stringify(body));
    }
    expect(await as("ro")("POST", "/v1/keys", { body: { name: "x", scopes: ["read"] } }), 403, "insufficient_scope");
    const narrow = as("scopes=keys:*,contexts:read");
    for (const scope of ["write", "read", "contexts:write", "contexts:*", "keys:admin"]) {
      const wide = await narrow("POST", "/v1/keys", { body: { name: "x", scopes: [scope] } });
      expect(wide, 422, "validation_failed", scope);
    }
    expect(await call("POST", "/v1/keys", { body: { name: "x", scopes: ["read"], actor_chitty_id: actorId("another") } }), 403, "insufficient_scope");
    assert.equal((await rows("SELECT 1 FROM keys")).length, before, id);
  });

  test("of one request made many times at once are one, shown to one", async () => {
    const { call } = person();
    const options = { body: { name: "once", scopes: ["read"] }, headers: { "idempotency-key": "once" } };
    const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => call("POST", "/v1/keys", { ...options, isolate: n % 2 })));
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [201]);
    assert.equal(new Set(answers.map(({ json }) => json.key.key_id)).size, 1);
    const shown = answers.filter(({ json }) => json.key.key);
    assert.equal(shown.length, 1);
    await works(byKey(gateway, shown[0].json.key.key));
    assert.equal((await call("GET", "/v1/keys")).json.count, 1);
    const rotate = { body: { grace_seconds: 60 }, headers: { "idempotency-key": "twice" } };
    const rotations = await Promise.all(Array.from({ length: 10 }, (_, n) => call("POST", `/v1/keys/${shown[0].json.key.key_id}/rotate`, { ...rotate, isolate: n % 2 })));
    assert.deepEqual([...new Set(rotations.map(({ status }) => status))], [200]);
    assert.equal(rotations.filter(({ json }) => json.key.key).length, 1);
  });

  test("come from the actor's own token only", async () => {
    const { call } = person();
    const key = await makeKey(call);
    const delegation = await delegate(call, { scopes: ["read", "write"] });
    for (const by of [byKey(gateway, key.key), client(gateway, delegation.token)]) {
      expect(await by("POST", "/v1/keys", { body: { name: "x", scopes: ["read"] } }), 403, "delegated_credential");
    }
    assert.equal((await call("GET", "/v1/keys")).json.count, 1);
  });

  test("an administrator makes them for others", async () => {
    const { call, id } = person();
    const key = await makeKey(admin, { actor_chitty_id: id, scopes: ["contexts:read"] });
    const { chitty_id: context } = await create(call, { name: "mine" });
    assert.equal((await byKey(gateway, key.key)("GET", `/v1/contexts/${context}`)).status, 200);
    assert.deepEqual((await call("GET", "/v1/keys")).json.keys.map(({ key_id }) => key_id), [key.key_id]);
    assert.equal((await call("DELETE", `/v1/keys/${key.key_id}`)).status, 200);
    await refused(byKey(gateway, key.key), 401, "invalid_token");
  });

  test("a new secret leaves the old one its grace, and no longer", async () => {
    const { call } = person();
    const key = await makeKey(call);
    const path = `/v1/keys/${key.key_id}`;
    const rotate = async (body) => {
      const rotated = await call("POST", `${path}/rotate`, { body });
      assert.equal(rotated.status, 200, rotated.text);
      assert.equal(rotated.json.key.key_id, key.key_id);
      return rotated.json.key.key;
    };
    const second = await rotate({ grace_seconds: 600 });
    assert.notEqual(second, key.key);
    for (const secret of [key.key, second]) for (const isolate of [0, 1]) await works(byKey(gateway, secret), "/v1/contexts", { isolate });
    await rows("UPDATE key_secrets SET valid_until = ?2 WHERE key_id = ?1 AND valid_until IS NOT NULL", key.key_id, PAST);
    for (const isolate of [0, 1]) expect(await byKey(gateway, key.key)("GET", "/v1/contexts", { isolate }), 401, "invalid_token");
    const third = await rotate({ grace_seconds: 0 });
    for (const isolate of [0, 1]) expect(await byKey(gateway, second)("GET", "/v1/contexts", { isolate }), 401, "invalid_token");
    await works(byKey(gateway, third));
    const fourth = await rotate({ grace_seconds: 1 });
    await until(async () => (await byKey(gateway, third)("GET", "/v1/contexts")).code === "invalid_token", { what: "the end of the grace" });
    await works(byKey(gateway, fourth));
    for (const grace_seconds of [-1, 604_801, 1.5, "1"]) {
      expect(await call("POST", `${path}/rotate`, { body: { grace_seconds } }), 422, "validation_failed", `${grace_seconds}`);
    }
    assert.ok(!(await contents(gateway)).includes(fourth));
    await call("DELETE", path);
    await refused(byKey(gateway, fourth), 401, "invalid_token");
    assert.ok((await call("POST", `${path}/rotate`, { body: {} })).status >= 400, "what is revoked stays so");
  });

  test("delegate no longer than they last", async () => {
    const { call } = person();
    const key = await makeKey(call, { expires_in_seconds: 600 });
    const by = byKey(gateway, key.key);
    expect(await by("POST", "/v1/delegate", { body: { target_service: "chittyconnect", expires_in_seconds: 3600 } }), 422, "validation_failed");
    const delegation = await delegate(by);
    assert.ok(delegation.expires_at <= key.expires_at, "as long as may be");
    await works(client(gateway, delegation.token));
  });

  test("a revoked key takes along what was delegated by it", async () => {
    const { call } = person();
    const key = await makeKey(call);
    const child = await delegate(byKey(gateway, key.key), { scopes: ["read", "write"] });
    const grandchild = await delegate(client(gateway, child.token), { scopes: ["read"], expires_in_seconds: 60 });
    for (const { token } of [child, grandchild]) for (const isolate of [0, 1]) await works(client(gateway, token), "/v1/contexts", { isolate });
    assert.equal((await call("DELETE", `/v1/keys/${key.key_id}`)).status, 200);
    for (const { token } of [child, grandchild]) {
      for (const isolate of [0, 1]) expect(await client(gateway, token)("GET", "/v1/contexts", { isolate }), 401, "invalid_token");
      assert.deepEqual((await anyone("POST", "/v1/delegate/validate", { body: { token } })).json, { active: false, valid: false });
    }
  });

  test("never do more than their owner may", async () => {
    const { as, id } = person();
    await grant(id, ["contexts:write"]);
    const call = as("scopes=contexts:read,keys:*");
    const key = await makeKey(call, { scopes: ["contexts:read", "contexts:write"] });
    await create(byKey(gateway, key.key), { name: "while granted" });
    await grant(id, []);
    for (const isolate of [0, 1]) {
      expect(await byKey(gateway, key.key)("POST", "/v1/contexts", { body: { name: "after" }, isolate }), 403, "insufficient_scope");
      await works(byKey(gateway, key.key), "/v1/contexts", { isolate });
    }
  });
});

test("nothing above made the gateway complain", () => {
  assert.deepEqual(complaints(), []);
});
