/** Connections over HTTP: made, seen, changed, checked and ended, and by whom. */
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { until } from "./harness/await.mjs";
import { API, BEARER, check, oauth, PARTNER, pathOf, startConnected, stateOf } from "./harness/connected.mjs";
import { PAST } from "./harness/contents.mjs";
import { expect, make, pages } from "./harness/people.mjs";

let connected, sandbox, gateway, admin, person, rows, someone, through, noSecretIsOut, complaints;

before(async () => {
  connected = await startConnected();
  ({ sandbox, gateway, admin, person, rows, someone, through, noSecretIsOut, complaints } = connected);
});

afterEach(() => sandbox.clear());

after(() => connected?.close());

describe("a connection", () => {
  test("is made, read, listed, used, changed, checked and ended", async () => {
    const { call, token, context, connect, id } = await someone();
    const made = await connect({ target_endpoint: `${PARTNER}/echo`, scopes: ["read", "write"], check_path: "/health", config: { note: "é🚀" }, credentials: BEARER });
    assert.match(made.connection_id, /^conn_/);
    assert.deepEqual(
      [made.source_chitty_id, made.source_type, made.target_service, made.target_endpoint, made.connection_type, made.status, made.scopes, made.config],
      [context.chitty_id, "context", "partner", `${PARTNER}/echo`, "api", "active", ["read", "write"], { note: "é🚀" }],
    );
    assert.deepEqual([made.error_count, made.request_count, made.last_used_at], [0, 0, null]);
    const read = await call("GET", pathOf(made));
    assert.deepEqual(read.json, made);
    assert.ok(read.headers.get("etag"));
    for (const target of ["/v1/connections", "/v1/connections/list", `/v1/connections?source=${context.chitty_id}&target=partner&type=api&status=active`]) {
      assert.deepEqual((await call("GET", target)).json, { connections: [made], count: 1, next_cursor: null }, target);
    }
    for (const query of ["?source=none", "?target=other", "?type=webhook", "?status=failed"]) assert.equal((await call("GET", `/v1/connections${query}`)).json.count, 0, query);
    for (const query of ["?type=other", "?status=gone", "?limit=0", "?cursor=x"]) expect(await call("GET", `/v1/connections${query}`), 422, "validation_failed", query);

    const echoed = await through({ token }, made, "/a/b?c=d");
    assert.deepEqual([echoed.status, echoed.json.path, echoed.json.search], [200, "/echo/a/b", "?c=d"]);
    const used = await until(async () => {
      const now = await stateOf(call, made);
      return now.request_count > 0 && now;
    }, { what: "its use being counted" });
    assert.equal(used.request_count, 1);
    assert.ok(used.last_used_at >= made.created_at);

    assert.equal((await check(call, made)).status, 200);
    const status = await call("GET", `${pathOf(made)}/status`);
    assert.equal(status.status, 200);
    assert.deepEqual([status.json.connection_id, status.json.status, status.json.error_count, status.json.request_count], [made.connection_id, "active", 0, 1]);
    assert.ok(status.json.last_health_check);
    const changed = await call("PATCH", pathOf(made), { body: { scopes: ["read"], config: {} }, headers: { "if-match": (await call("GET", pathOf(made))).headers.get("etag") } });
    assert.equal(changed.status, 200, changed.text);
    assert.deepEqual([changed.json.connection.scopes, changed.json.connection.config], [["read"], {}]);
    expect(await call("PATCH", pathOf(made), { body: { config: {} }, headers: { "if-match": read.headers.get("etag") } }), 412, "precondition_failed");

    const ended = await call("DELETE", pathOf(made));
    assert.deepEqual([ended.status, ended.json.success, ended.json.connection_id], [200, true, made.connection_id]);
    assert.equal((await stateOf(call, made)).status, "disconnected");
    assert.deepEqual(await rows("SELECT 1 FROM connection_secrets WHERE connection_id = ?1", made.connection_id), []);
    expect(await through({ token }, made, "/x"), 409, "connection_inactive");
    const again = await connect({ target_endpoint: `${PARTNER}/echo` });
    assert.notEqual(again.connection_id, made.connection_id);

    const audit = (await pages(call, `/v1/audit?entity=${made.connection_id}`, "entries")).flat();
    assert.deepEqual(audit.map(({ action, actor_id }) => [action, actor_id]).reverse(), [
      ["connection.created", id],
      ["connection.checked", id],
      ["connection.updated", id],
      ["connection.disconnected", id],
    ]);
    const history = (await pages(call, `${pathOf(made)}/history?limit=2`, "history")).flat();
    assert.deepEqual(history.map(({ event_id, event }) => [event_id, event]), audit.map(({ event_id, action }) => [event_id, action]));
    await until(async () => (await sandbox.entries({ entityId: made.connection_id })).total === 4, { timeout: 15_000, what: "ChittyChronicle's entries" });
  });

  test("of an actor itself is one too", async () => {
    const { call, id } = person();
    const made = await make(call, "/v1/connections", "connection", { source_chitty_id: `did:chitty:${id}`, source_type: "actor", target_service: "partner", target_endpoint: PARTNER });
    assert.deepEqual([made.source_chitty_id, made.source_type], [id, "actor"]);
    expect(await call("POST", "/v1/connections", { body: { source_chitty_id: id, source_type: "actor", target_service: "partner", target_endpoint: PARTNER } }), 409, "connection_exists");
  });

  test("is its owner's alone", async () => {
    const [one, other] = [await someone(), await someone()];
    const made = await one.connect({ credentials: BEARER, scopes: ["read", "write"] });
    const before = await stateOf(one.call, made);
    const asked = await sandbox.count("outside");
    for (const [method, suffix, body] of [
      ["GET", ""],
      ["PATCH", "", { status: "inactive" }],
      ["DELETE", ""],
      ["GET", "/status"],
      ["POST", "/check"],
      ["GET", "/history"],
      ["GET", "/proxy/me"],
      ["POST", "/proxy/echo", {}],
      ["DELETE", "/proxy/things/1"],
    ]) {
      expect(await other.call(method, pathOf(made) + suffix, { body }), 404, "not_found", method + suffix);
    }
    for (const source of [{ source_chitty_id: one.context.chitty_id }, { source_chitty_id: one.id, source_type: "actor" }, { source_chitty_id: "03-1-USA-9002-T-2602-0-81" }]) {
      expect(await other.call("POST", "/v1/connections", { body: other.from(source) }), 404, "not_found", JSON.stringify(source));
    }
    expect(await one.call("POST", "/v1/connections", { body: one.from({ source_chitty_id: one.id }) }), 404, "not_found", "an actor is no context");
    for (const query of ["", `?source=${one.context.chitty_id}`, "?target=partner"]) assert.equal((await other.call("GET", `/v1/connections${query}`)).json.count, 0, query);
    assert.deepEqual(await stateOf(one.call, made), before);
    assert.equal(await sandbox.count("outside"), asked, "and nobody was called");
    assert.equal((await one.call("DELETE", `/v1/contexts/${one.context.chitty_id}`)).status, 200);
    expect(await one.call("POST", "/v1/connections", { body: one.from({ target_service: "later" }) }), 404, "not_found", "a deleted context");
  });

  test("exists once, however many ask for it at once", async () => {
    const { call, from } = await someone();
    const answers = await Promise.all(Array.from({ length: 300 }, (_, n) => call("POST", "/v1/connections", { body: from(), isolate: n % 2 })));
    const made = answers.filter(({ status }) => status === 201);
    assert.equal(made.length, 1);
    const { connection_id: id } = made[0].json.connection;
    for (const lost of answers.filter((answer) => answer !== made[0])) {
      expect(lost, 409, "connection_exists");
      assert.equal(lost.json.existing_connection_id, id);
    }
    assert.equal((await call("GET", "/v1/connections")).json.count, 1);
    assert.equal((await admin("GET", `/v1/audit?entity=${id}`)).json.count, 1);
    await make(call, "/v1/connections", "connection", from({ target_endpoint: `${PARTNER}/things` }));
    await make(call, "/v1/connections", "connection", from({ target_service: "another" }));
  });

  test("is made once by one idempotency key", async () => {
    const { call, from } = await someone();
    const options = { body: from({ credentials: BEARER }), headers: { "idempotency-key": "c-1" } };
    const answers = await Promise.all(Array.from({ length: 20 }, () => call("POST", "/v1/connections", options)));
    for (const answer of answers) assert.deepEqual([answer.status, answer.text], [201, answers[0].text]);
    assert.equal(answers.filter(({ headers }) => !headers.has("idempotency-replayed")).length, 1);
    expect(await call("POST", "/v1/connections", { ...options, body: from({ target_service: "other" }) }), 422, "idempotency_key_reused");
    expect(await call("POST", "/v1/connections", { body: from() }), 409, "connection_exists");
  });

  test("ends with its context, and so does its credential", async () => {
    const one = await someone();
    const [plain, granted] = [await one.connect({ credentials: BEARER }), await one.connect({ target_service: "granted", credentials: oauth("of-a-context") })];
    const { grant } = (await sandbox.outside.tokens()).at(-1);
    const own = await make(one.call, "/v1/connections", "connection", one.from({ source_chitty_id: one.id, source_type: "actor" }));
    assert.equal((await one.call("DELETE", `/v1/contexts/${one.context.chitty_id}`)).status, 200);
    for (const connection of [plain, granted]) {
      expect(await through(one, connection, "/me"), 409, "connection_inactive");
      assert.equal((await stateOf(one.call, connection)).status, "disconnected");
      assert.deepEqual(await rows("SELECT 1 FROM connection_secrets WHERE connection_id = ?1", connection.connection_id), []);
      assert.equal((await admin("GET", `/v1/audit?entity=${connection.connection_id}&action=connection.disconnected`)).json.count, 1);
    }
    assert.equal((await stateOf(one.call, own)).status, "active");
    await until(async () => {
      await gateway.scheduled();
      return (await sandbox.outside.tokens()).every((token) => token.grant !== grant || token.revoked);
    }, { timeout: 15_000, what: "the end of the grant" });
  });

  test("changes once, of many changes to one version", async () => {
    const one = await someone();
    const connection = await one.connect({ credentials: BEARER });
    const headers = { "if-match": (await one.call("GET", pathOf(connection))).headers.get("etag") };
    const answers = await Promise.all(Array.from({ length: 10 }, (_, n) => one.call("PATCH", pathOf(connection), { body: { config: { n } }, headers, isolate: n % 2 })));
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, ...Array(9).fill(412)]);
    const before = await sandbox.count("outside");
    for (const credentials of [oauth("stale"), { type: "bearer", token: "partner-good" }]) {
      expect(await one.call("PATCH", pathOf(connection), { body: { credentials, check_path: "/me" }, headers }), 412, "precondition_failed", credentials.type);
    }
    assert.equal(await sandbox.count("outside"), before, "and no refresh token was used up for it");
    expect(await one.call("DELETE", pathOf(connection), { headers }), 412, "precondition_failed");
    assert.equal((await through(one, connection, "/me")).status, 200);
  });

  test("takes another credential, and gives up the one before", async () => {
    const one = await someone();
    const connection = await one.connect({ credentials: oauth("replaced"), check_path: "/me" });
    const { grant } = (await sandbox.outside.tokens()).at(-1);
    const replace = (credentials) => one.call("PATCH", pathOf(connection), { body: { credentials } });
    expect(await replace({ type: "bearer", token: "bad-secret" }), 422, "credential_refused");
    expect(await replace({ type: "api_key", key: "x y" }), 422, "validation_failed");
    assert.equal((await through(one, connection, "/me")).status, 200, "the one before is still there");
    const replaced = await replace({ type: "basic", username: "user", password: "partner-good" });
    assert.deepEqual([replaced.status, replaced.json.connection?.credential_type], [200, "basic"], replaced.text);
    assert.equal((await through(one, connection, "/echo/x")).json.headers.authorization, `Basic ${btoa("user:partner-good")}`);
    await until(async () => {
      await gateway.scheduled();
      return (await sandbox.outside.tokens()).every((token) => token.grant !== grant || token.revoked);
    }, { timeout: 15_000, what: "the end of the grant" });
  });

  test("with anything wrong in it is refused", async () => {
    const { call, from } = await someone();
    const asked = await sandbox.count("outside");
    for (const more of [
      { source_chitty_id: undefined },
      { source_chitty_id: "nobody" },
      { source_chitty_id: "03-1-USA-9003-T-2602-0-81" },
      { source_type: undefined },
      { source_type: "service" },
      { target_service: undefined },
      { target_service: "" },
      { target_service: "a b" },
      { target_service: "../x" },
      { target_service: "x".repeat(200) },
      { target_endpoint: undefined },
      { connection_type: "smtp" },
      { scopes: [] },
      { scopes: ["admin"] },
      { scopes: ["read", "*"] },
      { scopes: "read" },
      { check_path: "/../x" },
      { check_path: "/%2e%2e/x" },
      { check_path: "https://evil.example/" },
      { check_path: "\\evil" },
      { config: [] },
      { config: { text: "x".repeat(100_000) } },
      { credentials: "partner-good" },
      { credentials: {} },
      { credentials: { type: "password" } },
      { credentials: { type: "api_key" } },
      { credentials: { type: "api_key", key: "" } },
      { credentials: { type: "api_key", key: "a\r\nx-evil: 1" } },
      { credentials: { type: "api_key", key: "x".repeat(5000) } },
      ...["Host", "Content-Length", "Transfer-Encoding", "Connection", "Cookie", "Upgrade", "X Y", "X:", "X\r\nY", "CF-Connecting-IP", ""].map((header) => ({ credentials: { type: "api_key", key: "k", header } })),
      { credentials: { type: "bearer", token: "a b" } },
      { credentials: { type: "bearer", token: 7 } },
      { credentials: { type: "basic", username: "a:b", password: "p" } },
      { credentials: { type: "basic", username: "a" } },
      { credentials: { type: "oauth", client_id: "partner-client", refresh_token: "partner-refresh-x" } },
      ...["http://login.partner.example/token", "https://127.0.0.1/token", "https://[::1]/", "https://localhost/token", "https://metadata.google.internal/", "https://x.local/", "https://login.partner.example:8443/token", "https://u:p@login.partner.example/token"].flatMap((url) => [
        { credentials: oauth("wrong", { token_endpoint: url }) },
        { credentials: oauth("wrong", { revocation_endpoint: url }) },
      ]),
      { credentials: { type: "provisioned" } },
    ]) {
      expect(await call("POST", "/v1/connections", { body: from(more) }), 422, "validation_failed", JSON.stringify(more).slice(0, 120));
    }
    assert.equal((await call("GET", "/v1/connections")).json.count, 0);
    assert.equal(await sandbox.count("outside"), asked, "and nobody was called");
  });
});

describe("checks", () => {
  const fail = (status = 503) => sandbox.fault("outside", { mode: "fail", status, path: `/${API}` });
  const failed = async (one, connection) => {
    await fail();
    for (let n = 1; n <= 3; n += 1) {
      assert.equal((await stateOf(one.call, connection)).status, "active", `before check ${n}`);
      await check(one.call, connection);
    }
    assert.equal((await stateOf(one.call, connection)).status, "failed");
  };

  test("three failed ones in a row fail a connection, one good one brings it back", async () => {
    const one = await someone();
    const connection = await one.connect({ credentials: BEARER, check_path: "/health" });
    await fail();
    for (let n = 0; n < 2; n += 1) await check(one.call, connection);
    assert.equal((await stateOf(one.call, connection)).error_count, 2);
    await sandbox.clear();
    await check(one.call, connection);
    const mended = await stateOf(one.call, connection);
    assert.deepEqual([mended.status, mended.error_count], ["active", 0], "in a row");
    await failed(one, connection);
    expect(await through(one, connection, "/me"), 409, "connection_inactive");
    const down = await stateOf(one.call, connection);
    assert.ok(down.last_error && down.last_health_check);
    await check(one.call, connection);
    assert.equal((await admin("GET", `/v1/audit?entity=${connection.connection_id}&action=connection.failed`)).json.count, 1, "said once");
    await sandbox.clear();
    await check(one.call, connection);
    assert.deepEqual([(await stateOf(one.call, connection)).status, (await stateOf(one.call, connection)).last_error], ["active", null]);
    assert.equal((await through(one, connection, "/me")).status, 200);
    const audit = (await admin("GET", `/v1/audit?entity=${connection.connection_id}`)).json.entries.map(({ action }) => action);
    // Each check that somebody has asked for is on record, and what came of it after it.
    const [created, checked, failure, recovered] = ["created", "checked", "failed", "recovered"].map((name) => `connection.${name}`);
    assert.deepEqual(audit.reverse(), [created, ...Array(6).fill(checked), failure, ...Array(2).fill(checked), recovered]);
  });

  test("the cron makes them, when they are due", async () => {
    const one = await someone();
    const connection = await one.connect({ credentials: BEARER, check_path: "/health" });
    const asked = () => sandbox.count("outside", "/health", API);
    const before = await asked();
    await gateway.scheduled();
    assert.equal(await asked(), before, "none is due yet");
    const due = () => rows("UPDATE connections SET check_due_at = ?2 WHERE connection_id = ?1", connection.connection_id, PAST);
    await fail();
    await until(async () => {
      await due();
      await gateway.scheduled();
      return (await stateOf(one.call, connection)).status === "failed";
    }, { timeout: 15_000, what: "its failure" });
    assert.equal((await stateOf(one.call, connection)).error_count, 3);
    await sandbox.clear();
    await until(async () => {
      await due();
      await gateway.scheduled();
      return (await stateOf(one.call, connection)).status === "active";
    }, { timeout: 15_000, what: "its recovery" });
  });

  test("never bring back what was put aside or has ended", async () => {
    const one = await someone();
    const checked = { credentials: BEARER, check_path: "/health" };
    const [aside, ended] = [await one.connect(checked), await one.connect({ ...checked, target_service: "ended" })];
    assert.equal((await one.call("PATCH", pathOf(aside), { body: { status: "inactive" } })).status, 200);
    assert.equal((await one.call("DELETE", pathOf(ended))).status, 200);
    expect(await through(one, aside, "/me"), 409, "connection_inactive");
    for (let n = 0; n < 3; n += 1) {
      for (const connection of [aside, ended]) expect(await check(one.call, connection), 409, "connection_inactive");
      await rows("UPDATE connections SET check_due_at = ?3 WHERE connection_id IN (?1, ?2)", aside.connection_id, ended.connection_id, PAST);
      await gateway.scheduled();
    }
    assert.deepEqual([(await stateOf(one.call, aside)).status, (await stateOf(one.call, ended)).status], ["inactive", "disconnected"]);
    for (const body of [{ status: "active" }, { status: "inactive" }, { credentials: BEARER }]) expect(await one.call("PATCH", pathOf(ended), { body }), 404, "not_found", JSON.stringify(body));
    expect(await one.call("PATCH", pathOf(aside), { body: { status: "disconnected" } }), 422, "validation_failed");
    assert.equal((await stateOf(one.call, ended)).status, "disconnected");
    assert.equal((await one.call("PATCH", pathOf(aside), { body: { status: "active" } })).status, 200);
    assert.equal((await through(one, aside, "/me")).status, 200);
  });

  test("do not bring back a connection whose place is taken", async () => {
    const one = await someone();
    const first = await one.connect({ credentials: BEARER, check_path: "/health" });
    await failed(one, first);
    await sandbox.clear();
    const second = await one.connect({ credentials: BEARER, check_path: "/health" });
    const answer = await check(one.call, first);
    assert.ok(answer.status < 500, answer.text);
    await rows("UPDATE connections SET check_due_at = ?2 WHERE connection_id = ?1", first.connection_id, PAST);
    assert.equal((await gateway.scheduled()).outcome, "ok");
    assert.deepEqual([(await stateOf(one.call, first)).status, (await stateOf(one.call, second)).status], ["failed", "active"]);
    expect(await one.call("PATCH", pathOf(first), { body: { status: "active" } }), 409, "connection_exists");
  });

  test("a credential that the target takes back fails the connection", async () => {
    const one = await someone();
    const connection = await one.connect({ credentials: BEARER, check_path: "/me" });
    await sandbox.outside.set({ partner_good: false });
    for (let n = 0; n < 3; n += 1) await check(one.call, connection);
    assert.equal((await stateOf(one.call, connection)).status, "failed");
    await sandbox.outside.set({ partner_good: true });
    await check(one.call, connection);
    assert.equal((await stateOf(one.call, connection)).status, "active");
  });

  test("and use stop with the end of a connection, whoever is on the way", async () => {
    const one = await someone();
    const connection = await one.connect({ credentials: BEARER, check_path: "/health" });
    const racing = Array.from({ length: 30 }, (_, n) => (n % 3 ? through(one, connection, "/me", { isolate: n % 2 }) : check(one.call, connection)));
    const endings = Array.from({ length: 5 }, (_, n) => one.call("DELETE", pathOf(connection), { isolate: n % 2 }));
    for (const ending of await Promise.all(endings)) assert.equal(ending.status, 200, ending.text);
    for (const isolate of [0, 1]) expect(await through(one, connection, "/me", { isolate }), 409, "connection_inactive");
    for (const { status, text } of await Promise.all(racing)) assert.ok([200, 409].includes(status), text);
    assert.equal((await stateOf(one.call, connection)).status, "disconnected");
    assert.deepEqual(await rows("SELECT 1 FROM connection_secrets WHERE connection_id = ?1", connection.connection_id), []);
    assert.equal((await admin("GET", `/v1/audit?entity=${connection.connection_id}&action=connection.disconnected`)).json.count, 1);
  });
});

test("no secret was ever said, logged, told or stored as it is", async () => {
  await noSecretIsOut();
});

test("nothing above made the gateway complain of itself", () => {
  assert.deepEqual(complaints(), []);
});
