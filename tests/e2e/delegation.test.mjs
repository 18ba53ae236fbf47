/** Delegations: made, used, passed on, validated and revoked, and what they can never do. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startAccess } from "./harness/access.mjs";
import { client, create } from "./harness/client.mjs";
import { contents, PAST } from "./harness/contents.mjs";
import { byKey, delegate, expect, makeKey, people, refused, works } from "./harness/people.mjs";

let access, sandbox, gateway, another, admin, anyone, person, rows, setStatus, grant, complaints;

before(async () => {
  access = await startAccess("delegation");
  ({ sandbox, gateway, another, admin, anyone, person, rows, setStatus, grant, complaints } = access);
});

after(() => access?.close());

describe("delegations", () => {
  const validate = async (token, more = {}) => (await anyone("POST", "/v1/delegate/validate", { body: { token, ...more } })).json;
  const INACTIVE = { active: false, valid: false };
  const remove = (call, { delegation_id: id }) => call("DELETE", `/v1/delegate/${id}`);

  test("act for their delegator, within their scopes", async () => {
    const { call, id } = person();
    const context = await create(call, { name: "mine" });
    const body = { target_service: "chittyconnect", metadata: { purpose: "a report" } };
    const made = await call("POST", "/v1/delegate", { body, headers: { "idempotency-key": "d-1" } });
    assert.equal(made.status, 201, made.text);
    const { token, ...delegation } = made.json.delegation;
    assert.match(token, /^cdt_[\w-]{40,}$/);
    assert.match(delegation.delegation_id, /^dlg_/);
    assert.deepEqual([delegation.token_id, delegation.scopes], [delegation.delegation_id, ["read"]]);
    // The maker's own token ends in an hour, as ChittyAuth said a moment ago.
    assert.ok(delegation.expires_in_seconds > 3500 && delegation.expires_in_seconds <= 3600, made.text);
    const by = client(gateway, token);
    assert.equal((await by("GET", `/v1/contexts/${context.chitty_id}`)).json.owner, id);
    expect(await by("POST", "/v1/contexts", { body: { name: "x" } }), 403, "insufficient_scope");

    const replay = await call("POST", "/v1/delegate", { body, headers: { "idempotency-key": "d-1" } });
    assert.deepEqual([replay.status, replay.json.delegation.delegation_id, replay.headers.get("idempotency-replayed")], [201, delegation.delegation_id, "true"]);
    const shown = [replay, await call("GET", "/v1/delegate"), await admin("GET", `/v1/audit?entity=${delegation.delegation_id}`)];
    for (const { text } of shown) assert.ok(!text.includes(token) && text.includes(delegation.delegation_id), text);
    assert.ok(!(await contents(gateway)).includes(token));

    const { delegation: told, ...answer } = await validate(token);
    assert.deepEqual([answer.active, answer.valid, answer.scope, answer.sub, answer.jti], [true, true, "read", id, delegation.delegation_id]);
    assert.equal(answer.exp, Math.floor(Date.parse(delegation.expires_at) / 1000));
    assert.ok(answer.iat <= answer.exp - 3500 && answer.token_type);
    assert.equal(told.token_id, delegation.delegation_id);
    for (const service of ["chittyconnect", "connect"]) assert.equal((await validate(token, { target_service: service })).active, true, service);
  });

  test("of one request made many times at once is one, shown to one", async () => {
    const { call } = person();
    const options = { body: { target_service: "chittyconnect" }, headers: { "idempotency-key": "once" } };
    const answers = await Promise.all(Array.from({ length: 20 }, () => call("POST", "/v1/delegate", options)));
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [201]);
    assert.equal(new Set(answers.map(({ json }) => json.delegation.delegation_id)).size, 1);
    assert.equal(answers.filter(({ json }) => json.delegation.token).length, 1);
    assert.equal((await call("GET", "/v1/delegate")).json.count, 1);
  });

  test("what is wrong with a request is said", async () => {
    const { call, as } = person();
    for (const body of [
      {},
      { target_service: "" },
      { target_service: 7 },
      { target_service: "x".repeat(300) },
      ...[59, 86_401, 0, -60, 61.5, "60"].map((expires_in_seconds) => ({ target_service: "chittyconnect", expires_in_seconds })),
      ...[["admin"], ["*"], ["actors:admin"], [], "read", [""], ["a b"], [1]].map((scopes) => ({ target_service: "chittyconnect", scopes })),
      { target_service: "chittyconnect", metadata: [] },
      { target_service: "chittyconnect", metadata: { text: "x".repeat(70_000) } },
    ]) {
      expect(await call("POST", "/v1/delegate", { body }), 422, "validation_failed", JSON.stringify(body).slice(0, 200));
    }
    expect(await as("scopes=delegations:*,contexts:read")("POST", "/v1/delegate", { body: { target_service: "chittyconnect", scopes: ["read"] } }), 422, "validation_failed");
    assert.equal((await call("GET", "/v1/delegate?status=all")).json.count, 0);
  });

  test("go further only within what they are", async () => {
    const { call } = person();
    const scopes = ["contexts:read", "contexts:write", "delegations:write"];
    const parent = await delegate(call, { scopes, expires_in_seconds: 600 });
    const by = client(gateway, parent.token);
    const base = { target_service: "chittyconnect", scopes: ["contexts:read"], expires_in_seconds: 300 };
    for (const over of [{ scopes: ["contexts:*"] }, { scopes: ["read"] }, { scopes: ["keys:read"] }, { target_service: "github" }, { expires_in_seconds: 3600 }]) {
      expect(await by("POST", "/v1/delegate", { body: { ...base, ...over } }), 422, "validation_failed", JSON.stringify(over));
    }
    const unable = await delegate(call, { scopes: ["contexts:read", "delegations:read"] });
    expect(await client(gateway, unable.token)("POST", "/v1/delegate", { body: base }), 403, "insufficient_scope");
    const child = await delegate(by, base);
    assert.ok(child.expires_at <= parent.expires_at);
    await works(client(gateway, child.token));
    expect(await client(gateway, child.token)("POST", "/v1/contexts", { body: { name: "x" } }), 403, "insufficient_scope");
  });

  test("go five deep at most, and fall with any one above", async () => {
    const { call } = person();
    const body = { scopes: ["read", "write"], expires_in_seconds: 3500 };
    const chain = [await delegate(call, body)];
    for (let depth = 2; depth <= 5; depth += 1) {
      chain.push(await delegate(client(gateway, chain.at(-1).token), { ...body, expires_in_seconds: 3500 - 60 * depth }));
    }
    const sixth = { target_service: "chittyconnect", ...body, expires_in_seconds: 60 };
    expect(await client(gateway, chain.at(-1).token)("POST", "/v1/delegate", { body: sixth }), 422, "validation_failed");
    const sibling = await delegate(client(gateway, chain[0].token), { scopes: ["read"], expires_in_seconds: 60 });
    for (const { token } of chain) for (const isolate of [0, 1]) await works(client(gateway, token), "/v1/contexts", { isolate });
    assert.equal((await remove(call, chain[2])).status, 200);
    for (const [index, { token }] of chain.entries()) {
      const answer = await client(gateway, token)("GET", "/v1/contexts", { isolate: 1 });
      assert.deepEqual([answer.status, (await validate(token)).active], index < 2 ? [200, true] : [401, false], `${index + 1}`);
    }
    await works(client(gateway, sibling.token));
    const listed = async (filter) => (await call("GET", `/v1/delegate${filter}`)).json.delegations.map(({ delegation_id }) => delegation_id).sort();
    const ids = (list) => list.map(({ delegation_id }) => delegation_id).sort();
    assert.deepEqual(await listed("?status=active"), ids([chain[0], chain[1], sibling]));
    assert.deepEqual(await listed("?status=all"), ids([...chain, sibling]));
  });

  test("made while the one above is being revoked do not outlive it", async () => {
    const { call } = person();
    const parent = await delegate(call, { scopes: ["read", "write"] });
    const body = { target_service: "chittyconnect", scopes: ["read"], expires_in_seconds: 60 };
    const making = Array.from({ length: 30 }, (_, n) => client(gateway, parent.token)("POST", "/v1/delegate", { body, isolate: n % 2 }));
    const [gone, ...made] = await Promise.all([remove(call, parent), ...making]);
    assert.equal(gone.status, 200);
    for (const answer of made) {
      if (answer.status !== 201) expect(answer, 401, "invalid_token");
      else await refused(client(gateway, answer.json.delegation.token), 401, "invalid_token");
    }
    assert.equal((await call("GET", "/v1/delegate?status=active")).json.count, 0);
  });

  test("are their delegator's and an administrator's to revoke", async () => {
    const [{ call }, { call: other }] = [person(), person()];
    const [mine, second] = [await delegate(call), await delegate(call)];
    expect(await remove(other, mine), 404, "not_found");
    expect(await remove(client(gateway, mine.token), second), 403, "insufficient_scope");
    await works(client(gateway, mine.token));
    assert.equal((await remove(call, mine)).status, 200);
    assert.equal((await remove(admin, second)).status, 200);
    for (const { token } of [mine, second]) await refused(client(gateway, token), 401, "invalid_token");
    expect(await remove(call, { delegation_id: "dlg_unknown" }), 404, "not_found");
  });

  test("are good or not, and why not is nobody's business", async () => {
    const { call, token: own } = person();
    const [good, revoked, ended, elsewhere] = [await delegate(call), await delegate(call), await delegate(call), await delegate(call, { target_service: "github" })];
    await remove(call, revoked);
    await rows("UPDATE delegations SET expires_at = ?2 WHERE delegation_id = ?1", ended.delegation_id, PAST);
    const key = await makeKey(call);
    for (const token of [revoked.token, ended.token, own, key.key, "", "cdt_", "x", `${good.token}x`, good.token.slice(0, -1), good.token.toUpperCase(), good.delegation_id]) {
      const answer = await anyone("POST", "/v1/delegate/validate", { body: { token } });
      if (token === "") expect(answer, 422, "validation_failed");
      else assert.deepEqual([answer.status, answer.json], [200, INACTIVE], token.slice(0, 5));
    }
    assert.deepEqual(await validate(good.token, { target_service: "github" }), INACTIVE);
    assert.deepEqual(await validate(elsewhere.token, { target_service: "chittyconnect" }), INACTIVE);
    assert.equal((await validate(elsewhere.token, { target_service: "github" })).aud, "github");
    for (const body of [{}, { token: 7 }, { token: null }, { token: good.token, target_service: 7 }]) {
      expect(await anyone("POST", "/v1/delegate/validate", { body }), 422, "validation_failed", JSON.stringify(body));
    }
  });

  test("are not good while their delegator is suspended", async () => {
    const { call, id } = person();
    const { token } = await delegate(call);
    await setStatus(id, "suspended");
    assert.deepEqual(await validate(token), INACTIVE);
    await setStatus(id, "active");
    assert.equal((await validate(token)).active, true);
  });

  test("lose what an administrator takes away", async () => {
    const { as, id } = person();
    await grant(id, ["contexts:write"]);
    const { token } = await delegate(as("scopes=contexts:read,delegations:*"), { scopes: ["contexts:read", "contexts:write"] });
    const by = client(gateway, token);
    await create(by, { name: "while granted" });
    assert.deepEqual((await validate(token)).scope.split(" ").sort(), ["contexts:read", "contexts:write"]);
    await grant(id, []);
    for (const isolate of [0, 1]) {
      expect(await by("POST", "/v1/contexts", { body: { name: "after" }, isolate }), 403, "insufficient_scope");
      await works(by, "/v1/contexts", { isolate });
    }
    assert.equal((await validate(token)).scope, "contexts:read");
  });

  test("lose what ChittyAuth takes away, once it has said so", async () => {
    const asking = await another({ vars: { AUTH_CACHE_SECONDS: "0" } });
    const { token } = people(asking, "narrowed")();
    const call = client(asking, token);
    const scopes = ["read", "write"];
    const [direct, key] = [await delegate(call, { scopes }), await makeKey(call, { scopes })];
    const further = await delegate(client(asking, direct.token), { scopes, expires_in_seconds: 60 });
    const bound = [direct, further].map((one) => client(asking, one.token));
    for (const by of bound) await works(by);
    await sandbox.setToken({ token, scope: ["read"] });
    await works(call);
    for (const by of bound) {
      expect(await by("POST", "/v1/contexts", { body: { name: "x" } }), 403, "insufficient_scope");
      await works(by);
    }
    await sandbox.setToken({ token, scope: null });
    await works(call);
    for (const [n, by] of bound.entries()) await create(by, { name: `again ${n}` });
    await sandbox.setToken({ token, revoked: true });
    await refused(call, 401, "invalid_token");
    for (const by of bound) await refused(by, 403, "insufficient_scope");
    const told = await client(asking)("POST", "/v1/delegate/validate", { body: { token: direct.token } });
    assert.deepEqual(told.json, INACTIVE);
    await works(byKey(asking, key.key));
  });
});

test("nothing above made the gateway complain", () => {
  assert.deepEqual(complaints(), []);
});
