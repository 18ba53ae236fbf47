/** The credentials of connections: sealed, made by ChittyAuth, refreshed, and revoked in the end. */
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { until } from "./harness/await.mjs";
import { BEARER, LOGIN, oauth, pathOf, startConnected, stateOf } from "./harness/connected.mjs";
import { contents, PAST } from "./harness/contents.mjs";
import { expect } from "./harness/people.mjs";

let connected, sandbox, gateway, rows, someone, through, callsOf, noSecretIsOut, complaints;

before(async () => {
  connected = await startConnected();
  ({ sandbox, gateway, rows, someone, through, callsOf, noSecretIsOut, complaints } = connected);
});

afterEach(() => sandbox.clear());

after(() => connected?.close());

describe("credentials", () => {
  test("that the target refuses are refused, and leave nothing behind", async () => {
    const { call, from, connect } = await someone();
    const bad = (name) => [
      { type: "bearer", token: `bad-${name}` },
      { type: "api_key", key: `bad-${name}` },
      { type: "basic", username: "user", password: `bad-${name}` },
      { type: "basic", username: "other", password: "partner-good" },
      oauth("x", { refresh_token: `bad-${name}` }),
      oauth(`refused-${name}`, { client_secret: `bad-${name}` }),
    ];
    for (const credentials of bad("secret")) {
      expect(await call("POST", "/v1/connections", { body: from({ credentials, check_path: "/me" }) }), 422, "credential_refused", JSON.stringify(credentials));
    }
    assert.equal((await call("GET", "/v1/connections")).json.count, 0);
    await connect({ check_path: "/me", credentials: BEARER });
    assert.doesNotMatch(await contents(gateway), /bad-secret/);
  });

  test("are sealed to their place: another connection's does not open", async () => {
    const [one, other] = [await someone(), await someone()];
    const [mine, foreign] = [await one.connect({ credentials: BEARER }), await other.connect({ credentials: { type: "api_key", key: "partner-good" } })];
    await rows("UPDATE connection_secrets SET sealed = (SELECT sealed FROM connection_secrets WHERE connection_id = ?2) WHERE connection_id = ?1", mine.connection_id, foreign.connection_id);
    const before = await sandbox.count("outside");
    expect(await through(one, mine, "/me"), 503, "credential_unavailable");
    assert.equal(await sandbox.count("outside"), before);
    assert.equal((await through(other, foreign, "/me")).status, 200);
  });

  test("that ChittyAuth makes are for the caller and that service, and end with the connection", async () => {
    const one = await someone();
    const target = { target_endpoint: "https://cases.chitty.cc", credentials: { type: "provisioned" } };
    const keys = async () => (await sandbox.kept("credential")).filter(({ kind, chittyId }) => kind === "key" && [one.id, one.context.chitty_id].includes(chittyId));
    const made = await one.connect({ ...target, target_service: "chittycases" });
    const who = await through(one, made, "/api/whoami");
    assert.equal(who.status, 200, who.text);
    const [key] = await keys();
    assert.deepEqual([who.json.key_id, key.revoked], [key.id, false]);
    assert.deepEqual(key.scope, ["cases:read"], "what the connection may");
    expect(await one.call("POST", "/v1/connections", { body: one.from({ ...target, target_service: "cases" }) }), 409, "connection_exists");
    assert.equal((await one.call("DELETE", pathOf(made))).status, 200);
    await until(async () => (await keys()).every(({ revoked }) => revoked), { what: "the end of every key" });
    expect(await through(one, made, "/api/whoami"), 409, "connection_inactive");
  });

  test("of creations that lost are taken back", async () => {
    const one = await someone();
    const body = one.from({ target_service: "finance", target_endpoint: "https://finance.chitty.cc", credentials: { type: "provisioned" } });
    const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => one.call("POST", "/v1/connections", { body, isolate: n % 2 })));
    assert.deepEqual(answers.map(({ status }) => status).sort(), [201, ...Array(19).fill(409)]);
    const { connection } = answers.find(({ status }) => status === 201).json;
    const keys = async () => (await sandbox.kept("credential")).filter(({ kind, service }) => kind === "key" && /finance/.test(service));
    await until(async () => {
      await gateway.scheduled();
      return (await keys()).filter(({ revoked }) => !revoked).length === 1;
    }, { timeout: 15_000, what: "one key" });
    const [{ id }] = (await keys()).filter(({ revoked }) => !revoked);
    assert.equal((await through(one, connection, "/api/whoami")).json.key_id, id, "the one in use");
  });

  test("are revoked in the end, also where that fails at first", async () => {
    const one = await someone();
    const target = { target_endpoint: "https://evidence.chitty.cc", credentials: { type: "provisioned" } };
    const made = [await one.connect({ ...target, target_service: "evidence" }), await one.connect({ target_service: "oauth", credentials: oauth("ending") })];
    const grants = (await sandbox.outside.tokens()).at(-1).grant;
    const alive = async () => [
      ...(await sandbox.kept("credential")).filter(({ kind, service, revoked }) => kind === "key" && /evidence/.test(service) && !revoked),
      ...(await sandbox.outside.tokens()).filter(({ grant, revoked }) => grant === grants && !revoked),
    ];
    assert.equal((await alive()).length, 4, "a key, an access token, the refresh token that was used and the next");
    await sandbox.fault("auth", { mode: "fail", status: 503, path: "/v1/api-keys/revoke" });
    await sandbox.fault("outside", { mode: "fail", status: 503, path: `/${LOGIN}/revoke` });
    for (const connection of made) {
      assert.equal((await one.call("DELETE", pathOf(connection))).status, 200, "the caller does not wait for that");
      assert.deepEqual(await rows("SELECT 1 FROM connection_secrets WHERE connection_id = ?1", connection.connection_id), []);
    }
    const waiting = () => rows("SELECT * FROM credential_revocations WHERE connection_id IN (?1, ?2)", ...made.map(({ connection_id: id }) => id));
    await until(async () => {
      await rows("UPDATE credential_revocations SET due_at = ?1", PAST);
      await gateway.scheduled();
      return (await waiting()).every(({ attempts }) => attempts >= 2);
    }, { timeout: 15_000, what: "two attempts each" });
    assert.equal((await waiting()).length, 2);
    assert.doesNotMatch(JSON.stringify(await waiting()), /partner-|cc_live_/);
    assert.equal((await alive()).length, 4);
    await sandbox.clear();
    await until(async () => {
      await rows("UPDATE credential_revocations SET due_at = ?1", PAST);
      await gateway.scheduled();
      return (await waiting()).length === 0;
    }, { timeout: 15_000, what: "the revocations" });
    assert.deepEqual(await alive(), []);
  });
});

describe("OAuth", () => {
  test("of a creation that is sent twice, also at once, is begun once", async () => {
    const one = await someone();
    const options = { body: one.from({ credentials: oauth("sent-twice") }), headers: { "idempotency-key": "o-1" } };
    const answers = await Promise.all(Array.from({ length: 5 }, () => one.call("POST", "/v1/connections", options)));
    const again = await one.call("POST", "/v1/connections", options);
    assert.deepEqual([again.status, again.headers.get("idempotency-replayed")], [201, "true"], again.text);
    for (const answer of answers) assert.deepEqual([answer.status, answer.text], [201, again.text]);
    assert.equal((await through(one, again.json.connection, "/me")).status, 200);
  });

  const refreshes = () => sandbox.count("outside", "/token", LOGIN);
  const grantsOf = async (from) => (await sandbox.outside.tokens()).slice(from);

  test("is refreshed before its end, once for all who wait, each refresh token used once", async () => {
    const one = await someone();
    const known = (await sandbox.outside.tokens()).length;
    const last = (await sandbox.calls()).at(-1).seq;
    await sandbox.outside.set({ expires_in: 30 });
    const connection = await one.connect({ credentials: oauth("shared"), check_path: "/me" });
    await sandbox.outside.set({ expires_in: 3600 });
    const before = await refreshes();
    const all = () => Promise.all(Array.from({ length: 40 }, (_, n) => through(one, connection, "/me", { isolate: n % 2 })));
    for (const { status, text } of await all()) assert.equal(status, 200, text);
    assert.equal(await refreshes(), before + 1, "one refresh for forty");
    for (const { status } of await all()) assert.equal(status, 200);
    assert.equal(await refreshes(), before + 1);
    const tokens = await grantsOf(known);
    assert.equal(new Set(tokens.map(({ grant }) => grant)).size, 1);
    const unused = tokens.filter(({ type, used }) => type === "refresh_token" && !used);
    assert.equal(unused.length, 1, "only the newest is left");
    assert.deepEqual((await callsOf(LOGIN, { path: "/token", after: last })).map(({ status }) => status), [200, 200], "none was used twice");
  });

  test("goes on through many refreshes", async () => {
    const one = await someone();
    await sandbox.outside.set({ expires_in: 30 });
    const connection = await one.connect({ credentials: oauth("often") });
    const before = await refreshes();
    for (let n = 0; n < 6; n += 1) assert.equal((await through(one, connection, "/me", { isolate: n % 2 })).status, 200, `${n}`);
    assert.equal(await refreshes(), before + 6);
    await sandbox.outside.set({ expires_in: 3600 });
  });

  test("begins with the access token that was handed in, for as long as that lasts", async () => {
    const one = await someone();
    const granted = await fetch(`${sandbox.outside.url(LOGIN)}/token`, {
      method: "POST",
      headers: { authorization: `Basic ${btoa("partner-client:partner-secret")}` },
      body: new URLSearchParams({ grant_type: "refresh_token", refresh_token: "partner-refresh-handed-in" }),
    });
    const { access_token, refresh_token, expires_in } = await granted.json();
    const before = await refreshes();
    const connection = await one.connect({ credentials: oauth("x", { access_token, refresh_token, expires_in }) });
    assert.equal((await through(one, connection, "/me")).status, 200);
    assert.equal(await refreshes(), before);
  });

  test("outlasts an outage of the token endpoint", async () => {
    const one = await someone();
    await sandbox.outside.set({ expires_in: 1 });
    const connection = await one.connect({ credentials: oauth("outage") });
    await sandbox.fault("outside", { mode: "fail", status: 503, path: `/${LOGIN}/token` });
    await until(async () => (await through(one, connection, "/me")).code === "credential_unavailable", { what: "the end of the token" });
    const answer = await through(one, connection, "/me");
    assert.equal(answer.status, 503);
    assert.match(answer.headers.get("retry-after"), /^\d+$/);
    await sandbox.outside.set({ expires_in: 3600 });
    await sandbox.clear();
    await until(async () => (await through(one, connection, "/me")).status === 200, { what: "the next refresh" });
    assert.equal((await stateOf(one.call, connection)).status, "active");
  });

  test("whose consent has ended is said to be refused", async () => {
    const one = await someone();
    await sandbox.outside.set({ expires_in: 30 });
    const connection = await one.connect({ credentials: oauth("withdrawn") });
    await sandbox.outside.set({ expires_in: 3600 });
    await sandbox.fault("outside", { mode: "fail", status: 400, body: { error: "invalid_grant" }, path: `/${LOGIN}/token` });
    expect(await through(one, connection, "/me"), 502, "target_refused_credential");
    assert.equal((await stateOf(one.call, connection)).status, "failed");
    const before = await refreshes();
    expect(await through(one, connection, "/me"), 409, "connection_inactive");
    assert.equal(await refreshes(), before, "and not asked again");
  });
});

test("no secret was ever said, logged, told or stored as it is", async () => {
  await noSecretIsOut();
});

test("nothing above made the gateway complain of itself", () => {
  assert.deepEqual(complaints(), []);
});
