/** Connections over HTTP: made, used through the proxy, checked, refreshed and ended, and what can never be reached or seen. */
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { until } from "./harness/await.mjs";
import { client, create } from "./harness/client.mjs";
import { contents } from "./harness/contents.mjs";
import { startGateway } from "./harness/gateway.mjs";
import { byKey, delegate, expect, make, makeKey, pages, people } from "./harness/people.mjs";
import { startSandbox } from "./harness/sandbox.mjs";
import { unmended } from "./harness/unmended.mjs";

const API = "api.partner.example";
const LOGIN = "login.partner.example";
const PARTNER = `https://${API}`;
const BEARER = { type: "bearer", token: "partner-good" };
const PAST = "2020-01-01T00:00:00.000Z";

let sandbox, gateway, heard, admin, person;
/** Every reply of the gateway's own, in full. */
const said = [];

before(async () => {
  sandbox = await startSandbox();
  gateway = await startGateway({ sandboxUrl: sandbox.url, isolates: 2, vars: { CONNECTION_TIMEOUT_MS: "1500" } });
  heard = { ...gateway, fetch: listen };
  admin = client(heard, "dev-admin");
  person = people(heard, "connected");
});

afterEach(() => sandbox.clear());

after(async () => {
  await gateway?.close();
  await sandbox?.close();
});

async function listen(path, ...rest) {
  const response = await gateway.fetch(path, ...rest);
  if (!path.includes("/proxy")) said.push(JSON.stringify([...response.headers]), await response.clone().text());
  return response;
}

const rows = async (sql, ...bindings) => {
  const statement = (await gateway.db()).prepare(sql);
  return (await (bindings.length > 0 ? statement.bind(...bindings) : statement).all()).results;
};
const pathOf = ({ connection_id: id }) => `/v1/connections/${id}`;
const stateOf = async (call, connection) => (await call("GET", pathOf(connection))).json;
const check = (call, connection) => call("POST", `${pathOf(connection)}/check`);
const callsOf = (host, query) => sandbox.outside.calls(host, query);

/** Somebody with a context, and the body of a connection from it. */
async function someone() {
  const one = person();
  const context = await create(one.call, { name: "connected" });
  const from = (more = {}) => ({ source_chitty_id: context.chitty_id, source_type: "context", target_service: "partner", target_endpoint: PARTNER, ...more });
  return { ...one, context, from, connect: (more) => make(one.call, "/v1/connections", "connection", from(more)) };
}

/** A request through the proxy. Its reply is the target's, so only the headers of every reply are checked. */
async function through({ token }, connection, target, { method = "GET", headers = {}, isolate, ...init } = {}) {
  const path = `${pathOf(connection)}/proxy${target}`;
  const response = await heard.fetch(path, { method, headers: { authorization: `Bearer ${token}`, ...headers }, ...init }, { isolate });
  const text = await response.text();
  for (const [name, value] of [["x-content-type-options", "nosniff"], ["cache-control", "no-store"]]) assert.equal(response.headers.get(name), value, name);
  assert.equal(response.headers.get("set-cookie"), null);
  const json = parsed(text);
  const isProblem = response.headers.get("content-type") === "application/problem+json";
  return { status: response.status, headers: response.headers, text, json, code: isProblem ? json.code : undefined };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

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
      ["connection.updated", id],
      ["connection.disconnected", id],
    ]);
    const history = (await pages(call, `${pathOf(made)}/history?limit=2`, "history")).flat();
    assert.deepEqual(history.map(({ event_id, event }) => [event_id, event]), audit.map(({ event_id, action }) => [event_id, action]));
    await until(async () => (await sandbox.entries({ entityId: made.connection_id })).total === 3, { timeout: 15_000, what: "ChittyChronicle's entries" });
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

function oauth(name, more = {}) {
  return {
    type: "oauth",
    token_endpoint: `https://${LOGIN}/token`,
    revocation_endpoint: `https://${LOGIN}/revoke`,
    client_id: "partner-client",
    client_secret: "partner-secret",
    refresh_token: `partner-refresh-${name}`,
    ...more,
  };
}

describe("what cannot be reached", () => {
  const NOWHERE = [
    "",
    "api.partner.example",
    "//api.partner.example",
    "http://api.partner.example",
    "HTTP://api.partner.example",
    "ftp://api.partner.example",
    "wss://api.partner.example",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "https:api.partner.example",
    "https:/api.partner.example",
    "https:///api.partner.example",
    "https://",
    "https://.",
    "https://127.0.0.1",
    "https://127.0.0.1.",
    "https://127.1",
    "https://127.000.000.001",
    "https://0",
    "https://0.0.0.0",
    "https://2130706433",
    "https://0x7f000001",
    "https://0x7f.0.0.1",
    "https://0177.0.0.1",
    "https://017700000001",
    "https://1.2.3.4",
    "https://10.0.0.1",
    "https://192.168.1.1",
    "https://169.254.169.254/latest/meta-data/",
    "https://[::1]",
    "https://[::]",
    "https://[::ffff:127.0.0.1]",
    "https://[fe80::1%25eth0]",
    "https://[fd00:ec2::254]",
    "https://１２７.０.０.１",
    "https://127。0。0。1",
    "https://①②⑦.0.0.1",
    "https://ⓛocalhost",
    "https://%31%32%37.0.0.1",
    "https://localhost",
    "https://LOCALHOST",
    "https://localhost.",
    "https://localhost.localdomain",
    "https://api.localhost",
    "https://printer.local",
    "https://db.internal",
    "https://metadata.google.internal",
    "https://metadata",
    "https://intranet",
    "https://router.lan",
    "https://server.home.arpa",
    "https://1.0.0.127.in-addr.arpa",
    "https://hidden.onion",
    "https://127.0.0.1.nip.io",
    "https://api.partner.example.",
    "https://api.partner.example:8443",
    "https://api.partner.example:80",
    "https://api.partner.example:0443",
    "https://user@api.partner.example",
    "https://user:password@api.partner.example",
    "https://api.partner.example@evil.example",
    "https://api.partner.example:443@evil.example",
    "https://api.partner.example\\@evil.example",
    "https://evil.example\\.partner.example",
    "https://api.partner.example?x=1",
    "https://api.partner.example#x",
    "https://api.partner.example#@evil.example",
    "https://api.partner.example/../x",
    "https://api.partner.example/a/%2e%2e/b",
    "https://api.partner.example/%252e%252e/b",
    "https://api.partner.example/a b",
    "https://api.partner.example/a\\b",
    "https://api.partner.example/%5c..",
    "https://api.partner.example/%00",
    "https://api.partner.example/%0d%0aHost:%20evil.example",
    " https://api.partner.example",
    "https://api.partner.example ",
    "https://api.partner.example\n",
    "https://loc\nalhost",
    "https://api..partner.example",
    "https://-api.partner.example",
    "https://api_.partner.example",
    "https://bücher.example",
    `https://${"a".repeat(64)}.example`,
    `https://${"a.".repeat(130)}example`,
    `https://api.partner.example/${"a".repeat(3000)}`,
    7,
    ["https://api.partner.example"],
    { url: "https://api.partner.example" },
  ];

  test("by an endpoint", async () => {
    const { call, from, connect } = await someone();
    const known = await connect({ credentials: BEARER });
    const asked = await sandbox.count("outside");
    for (const target_endpoint of NOWHERE) {
      expect(await call("POST", "/v1/connections", { body: from({ target_service: "new", target_endpoint, credentials: BEARER }) }), 422, "validation_failed", JSON.stringify(target_endpoint));
      expect(await call("PATCH", pathOf(known), { body: { target_endpoint } }), 422, "validation_failed", `change to ${JSON.stringify(target_endpoint)}`);
    }
    assert.equal((await call("GET", "/v1/connections")).json.count, 1);
    assert.equal((await stateOf(call, known)).target_endpoint, PARTNER);
    assert.equal(await sandbox.count("outside"), asked, "and nobody was called");
  });

  test("a ChittyOS service elsewhere than where it is, or something else there", async () => {
    const { call, from } = await someone();
    for (const service of ["cases", "chittycases", "ChittyCases"]) {
      for (const target_endpoint of [
        PARTNER,
        "https://evil.example",
        "https://cases.chitty.cc.evil.example",
        "https://cases-chitty.cc",
        "https://evilcases.chitty.cc",
        "https://x.cases.chitty.cc",
        "https://finance.chitty.cc",
        "https://chitty.cc",
        "https://cases.chitty.cc@evil.example",
        "http://cases.chitty.cc",
        "https://cases.chitty.cc:8443",
      ]) {
        expect(await call("POST", "/v1/connections", { body: from({ target_service: service, target_endpoint, credentials: { type: "provisioned" } }) }), 422, "validation_failed", `${service} ${target_endpoint}`);
      }
    }
    for (const target_endpoint of ["https://auth.chitty.cc", "https://connect.chitty.cc", "https://cases.chitty.cc", "https://chitty.cc"]) {
      expect(await call("POST", "/v1/connections", { body: from({ target_endpoint }) }), 422, "validation_failed", target_endpoint);
    }
    const keys = (await sandbox.kept("credential")).filter(({ kind, service }) => kind === "key" && /cases/i.test(service));
    assert.deepEqual(keys, [], "no key was made");
  });

  test("by a path through the proxy", async () => {
    const { token, connect } = await someone();
    const connection = await connect({ target_endpoint: `${PARTNER}/echo`, scopes: ["read", "write"], credentials: BEARER });
    const base = `${pathOf(connection)}/proxy`;
    const headers = { authorization: `Bearer ${token}` };
    const before = (await sandbox.calls({ service: "outside" })).at(-1).seq;
    const judged = [
      "..%2fme", "%2e%2e%2fme", "a%2f..%2f..%2fme", "..%5cme", "%2e%2e%5cme", "%252e%252e/me", "%252e%252e%252fme", "%25252e%25252e/me", "..%252fme", "%2e%252e/me",
      "%5c%5cevil.example", "%00", "a%00b", "a%0d%0aX-Evil:%201", "a%0ab",
    ];
    for (const path of judged) {
      for (const method of ["GET", "POST", "DELETE"]) {
        const answer = await unmended(gateway, `${base}/${path}`, { method, headers });
        assert.deepEqual([answer.status, answer.code], [422, "validation_failed"], `${method} ${path}: ${answer.text.slice(0, 200)}`);
      }
    }
    // What the runtime resolves before the gateway sees it is a path of the gateway's own, or one below the endpoint.
    const resolved = ["..", "../", "../me", "../../me", "a/../../me", "a/..", ".", "./me", "%2e%2e/me", "%2E%2E/me", ".%2e/me", "%2e./me", "a/%2e%2e/%2e%2e/me", "..\\me", "\\..\\me"];
    for (const path of resolved) for (const method of ["GET", "POST"]) await unmended(gateway, `${base}/${path}`, { method, headers });

    const sideways = [
      "//evil.example/x", "///evil.example", "/%2f%2fevil.example", "https://evil.example/x", "https:evil.example", "@evil.example/x", ".evil.example/x", ":80@evil.example/",
      ":8443/x", "%40evil.example/", ";@evil.example", "x%20y", "x%23y", "x%3fy=1", "...", "..a/x", "a..", "?to=https://evil.example/", "?../../me", "x?a=..%2f..", "%C3%A9", "-", "*",
    ];
    for (const path of sideways) {
      const answer = await unmended(gateway, `${base}${path.startsWith("?") ? "" : "/"}${path}`, { headers: { ...headers, "x-forwarded-host": "evil.example", forwarded: "host=evil.example" } });
      assert.ok([200, 404, 422].includes(answer.status), `${path}: ${answer.status} ${answer.text.slice(0, 200)}`);
    }
    const host = await unmended(gateway, `${base}/x`, { headers: { ...headers, host: "evil.example" } });
    assert.equal(host.status, 200, host.text);
    const calls = await sandbox.calls({ after: before });
    assert.deepEqual([...new Set(calls.filter(({ service }) => service === "outside").map((call) => call.host))], [API]);
    for (const { path } of calls.filter(({ service }) => service === "outside")) assert.ok(path === "/echo" || path.startsWith("/echo/"), path);
    assert.deepEqual(calls.filter(({ service }) => service === "elsewhere"), []);
  });

  test("but the target's own host is, by a redirect that leads through the connection", async () => {
    const one = await someone();
    const connection = await one.connect({ credentials: BEARER });
    for (const [to, path] of [["/me", "me"], [`${PARTNER}/things/7?a=b`, "things/7?a=b"]]) {
      const answer = await through(one, connection, `/redirect?to=${encodeURIComponent(to)}`);
      assert.deepEqual([answer.status, answer.headers.get("location")], [302, `${pathOf(connection)}/proxy/${path}`], to);
    }
  });

  test("by a redirect", async () => {
    const one = await someone();
    const connection = await one.connect({ credentials: BEARER });
    const last = (await sandbox.calls()).at(-1).seq;
    for (const to of [
      "https://other.example/landing",
      "//other.example/landing",
      "http://api.partner.example/me",
      "https://api.partner.example:8443/me",
      "https://api.partner.example.other.example/me",
      "https://user@api.partner.example/me",
      "https://cases.chitty.cc/api/whoami",
      "https://169.254.169.254/latest/meta-data/",
      "http://127.0.0.1:8787/health",
      "https://localhost/",
      "file:///etc/passwd",
      "me",
      "/\\other.example",
      "/../x",
      "/%2e%2e/x",
      "?x=1",
    ]) {
      expect(await through(one, connection, `/redirect?to=${encodeURIComponent(to)}`), 502, "target_redirected", to);
    }
    await sandbox.fault("outside", { mode: "redirect", path: `/${API}/me` });
    expect(await through(one, connection, "/me"), 502, "target_redirected");
    const calls = (await sandbox.calls({ after: last })).filter(({ service }) => ["outside", "elsewhere", "cases"].includes(service));
    assert.deepEqual([...new Set(calls.map(({ service, host, path }) => `${service} ${host} ${path}`))].sort(), [`outside ${API} /me`, `outside ${API} /redirect`]);
  });
});

describe("the proxy", () => {
  test("hands on what it was given, exactly", async () => {
    const one = await someone();
    const connection = await one.connect({ target_endpoint: `${PARTNER}/echo`, scopes: ["read", "write"], credentials: BEARER });
    const body = '{"n":123456789012345678901234567890,"s":"é🚀\\u0000"}';
    for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
      const { status, json } = await through(one, connection, "/a%20b/%E0;x=1?y=1&y=2&empty=&e=%2F%20+", { method, body, headers: { "content-type": "application/json", "x-custom": "kept", accept: "application/x" } });
      assert.equal(status, 200);
      assert.deepEqual([json.method, json.path, json.search, json.text], [method, "/echo/a%20b/%E0;x=1", "?y=1&y=2&empty=&e=%2F%20+", body]);
      assert.deepEqual([json.headers["content-type"], json.headers["x-custom"], json.headers.accept], ["application/json", "kept", "application/x"]);
      assert.match(json.headers["user-agent"], /^ChittyConnect\/\d/);
    }
    for (const path of ["/a/", "/a//b", "/"]) {
      const answer = await through(one, connection, path);
      assert.deepEqual([answer.status, answer.json?.path], [200, `/echo${path}`], answer.text);
    }
    const head = await through(one, connection, "/x", { method: "HEAD" });
    assert.deepEqual([head.status, head.text], [200, ""]);
    expect(await through(one, connection, "/x", { method: "POST", body: "x".repeat(2 ** 20 + 1) }), 413, "payload_too_large");
  });

  test("gives back the target's status and body, and nothing that would act in a browser", async () => {
    const one = await someone();
    const connection = await one.connect({ scopes: ["read", "write"], credentials: BEARER });
    for (const status of [200, 201, 204, 304, 400, 403, 404, 409, 418, 429, 500, 503]) {
      const answer = await through(one, connection, `/status/${status}`);
      assert.deepEqual([answer.status, answer.code], [status, undefined]);
    }
    assert.deepEqual((await through(one, connection, "/things/7", { method: "PATCH" })).json, { id: "7", method: "PATCH" });
    const big = await through(one, connection, "/big?bytes=3000000");
    assert.deepEqual([big.status, big.text.length], [200, 3_000_000]);
    expect(await through(one, connection, "/big?bytes=6000000"), 502, "target_unavailable");
    const page = await through(one, connection, "/html");
    assert.equal(page.status, 200);
    assert.match(page.headers.get("content-security-policy") ?? "", /sandbox/, "a page is not run where it does not belong");
  });

  test("shows the target the connection's credential, and never the caller's", async () => {
    const one = await someone();
    const key = await makeKey(one.call);
    const { token: delegated } = await delegate(one.call, { scopes: ["read", "write"] });
    const echo = { target_endpoint: `${PARTNER}/echo` };
    for (const [service, credentials, header, value] of [
      ["by-key", { type: "api_key", key: "partner-good" }, "x-api-key", "partner-good"],
      ["by-own-key", { type: "api_key", key: "partner-good", header: "X-Partner-Key" }, "x-partner-key", "partner-good"],
      ["by-bearer", BEARER, "authorization", "Bearer partner-good"],
      ["by-basic", { type: "basic", username: "user", password: "partner-good" }, "authorization", `Basic ${btoa("user:partner-good")}`],
    ]) {
      const connection = await one.connect({ ...echo, target_service: service, credentials });
      assert.equal(connection.credential_type, credentials.type);
      const secret = { cookie: "session=own-secret", "x-auth-token": "kept", "proxy-authorization": "Basic own-secret", "x-partner-key": "own-secret" };
      for (const headers of [
        { ...secret, "x-api-key": "own-secret", "x-chittyos-api-key": "own-secret" },
        { ...secret, authorization: `Bearer ${delegated}`, "x-api-key": "own-secret" },
        { ...secret, authorization: `Bearer ${key.key}` },
      ]) {
        const { status, json, text } = await through(one, connection, "/x", { headers });
        assert.equal(status, 200, `${service}: ${text}`);
        assert.equal(json.headers[header], value, service);
        const shown = JSON.stringify({ ...json.headers, "x-partner-key": header === "x-partner-key" ? "" : json.headers["x-partner-key"] });
        for (const own of [one.token, delegated, key.key, "session=", "Basic own-secret"]) assert.ok(!shown.includes(own), `${service}: ${own} in ${shown}`);
        for (const name of ["cookie", "x-chittyos-api-key", "proxy-authorization"]) assert.equal(json.headers[name], undefined, name);
        if (header !== "x-api-key") assert.equal(json.headers["x-api-key"], undefined);
        if (header !== "authorization") assert.equal(json.headers.authorization, undefined);
      }
      const byHeader = await byKey({ fetch: heard.fetch }, key.key, "x-api-key")("GET", `${pathOf(connection)}/proxy/x`);
      assert.equal(byHeader.status, 200, byHeader.text);
      assert.ok(!byHeader.text.includes(key.key));
    }
  });

  test("lets through what the connection may and what the caller may", async () => {
    const one = await someone();
    const reading = await one.connect({ credentials: BEARER });
    const writing = await one.connect({ target_service: "writer", scopes: ["write"], credentials: BEARER });
    const both = await one.connect({ target_service: "both", scopes: ["read", "write"], credentials: BEARER });
    const token = async (scopes) => ({ token: (await delegate(one.call, { scopes })).token });
    const [reader, writer] = [await token(["connections:read"]), await token(["connections:read", "connections:write"])];
    const before = (await callsOf(API)).at(-1).seq;
    for (const [who, connection, method, allowed] of [
      [one, reading, "GET", true],
      [one, reading, "HEAD", true],
      ...["POST", "PUT", "PATCH", "DELETE"].map((method) => [one, reading, method, false]),
      [one, writing, "GET", false],
      [one, writing, "HEAD", false],
      [one, writing, "POST", true],
      [reader, both, "GET", true],
      [reader, both, "POST", false],
      [reader, both, "DELETE", false],
      [writer, both, "GET", true],
      [writer, both, "PUT", true],
      [{ token: `${one.token}+ro` }, both, "GET", true],
      [{ token: `${one.token}+ro` }, both, "PATCH", false],
      [{ token: `${one.token}+scopes=contexts:*` }, both, "GET", false],
    ]) {
      const answer = await through(who, connection, "/echo/x", { method });
      const expected = allowed ? [200, undefined] : [403, method === "HEAD" ? undefined : "insufficient_scope"];
      assert.deepEqual([answer.status, answer.code], expected, `${method} ${connection.target_service}: ${answer.text}`);
    }
    const called = (await callsOf(API, { after: before })).map(({ method }) => method);
    assert.deepEqual(called, ["GET", "HEAD", "POST", "GET", "GET", "PUT", "GET"]);
    const counts = await Promise.all([reading, writing, both].map(async (connection) => (await stateOf(one.call, connection)).request_count));
    assert.deepEqual(counts, [2, 1, 4], "what was refused is no use");
  });

  test("is all that a token for the target's service opens here", async () => {
    const one = await someone();
    const [partner, other] = [await one.connect({ scopes: ["read", "write"], credentials: BEARER }), await one.connect({ target_service: "other", credentials: BEARER })];
    const { token } = await delegate(one.call, { target_service: "partner", scopes: ["read", "write"] });
    const call = client(heard, token);
    for (const method of ["GET", "POST"]) assert.equal((await through({ token }, partner, "/echo/x", { method })).status, 200);
    expect(await through({ token }, other, "/me"), 404, "not_found");
    assert.deepEqual((await call("GET", "/v1/connections")).json.connections.map(({ connection_id }) => connection_id), [partner.connection_id]);
    for (const suffix of ["", "/status", "/history"]) expect(await call("GET", pathOf(other) + suffix), 404, "not_found", suffix);
    for (const [method, body] of [["PATCH", { status: "inactive" }], ["DELETE"]]) expect(await call(method, pathOf(other), { body }), 404, "not_found", method);
    expect(await call("POST", "/v1/connections", { body: one.from({ target_service: "third" }) }), 403, "wrong_target_service");
    for (const path of ["/v1/contexts", "/v1/actors/me", "/v1/keys", "/v1/audit", "/v1/ecosystem"]) expect(await call("GET", path), 403, "wrong_target_service", path);
    assert.equal((await stateOf(one.call, other)).status, "active");
    const further = await delegate(call, { target_service: "partner", scopes: ["connections:read"], expires_in_seconds: 60 });
    assert.equal((await through(further, partner, "/me")).status, 200);
  });

  test("says what is wrong with the target, and when", async () => {
    const one = await someone();
    const connection = await one.connect({ scopes: ["read", "write"], credentials: BEARER });
    for (const [fault, status, code] of [
      [{ mode: "hang" }, 504, "target_timeout"],
      [{ mode: "drip" }, 504, "target_timeout"],
      [{ mode: "reset" }, 502, "target_unavailable"],
      [{ mode: "huge" }, 200],
      [{ mode: "fail", status: 401 }, 502, "target_refused_credential"],
      [{ mode: "fail", status: 503 }, 503],
      [{ mode: "garbage" }, 200],
    ]) {
      await sandbox.fault("outside", { ...fault, path: `/${API}/echo` });
      for (const method of ["GET", "POST"]) {
        const before = await sandbox.count("outside", "/echo", API);
        const answer = await through(one, connection, "/echo/x", { method });
        assert.deepEqual([answer.status, answer.code], [status, code], `${JSON.stringify(fault)}: ${answer.text.slice(0, 200)}`);
        assert.equal(await sandbox.count("outside", "/echo", API), before + 1, "once: a target's request is the caller's to repeat");
      }
      await sandbox.clear();
    }
    assert.equal((await through(one, connection, "/me")).status, 200);
  });

  test("counts every use, also of many at once", async () => {
    const one = await someone();
    const connection = await one.connect({ credentials: BEARER });
    const answers = await Promise.all(Array.from({ length: 60 }, (_, n) => through(one, connection, "/me", { isolate: n % 2 })));
    assert.ok(answers.every(({ status }) => status === 200));
    await until(async () => (await stateOf(one.call, connection)).request_count === 60, { timeout: 15_000, what: "sixty" });
    const etag = (await one.call("GET", pathOf(connection))).headers.get("etag");
    await through(one, connection, "/me");
    assert.equal((await one.call("GET", pathOf(connection))).headers.get("etag"), etag, "use makes no other version");
  });
});

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
    assert.deepEqual(audit.reverse(), ["connection.created", "connection.failed", "connection.recovered"]);
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
  const entries = JSON.stringify((await sandbox.entries()).entries);
  const secrets = [/partner-good/, /partner-secret/, /partner-refresh/, /partner-next-/, /partner-access-/, /cc_live_/, /own-secret/];
  const places = { replies: said.join("\n"), "log lines": JSON.stringify(gateway.logs), "what ChittyChronicle was told": entries, "D1 and KV": await contents(gateway) };
  for (const [place, text] of Object.entries(places)) {
    for (const secret of secrets) {
      const at = text.search(secret);
      assert.equal(at, -1, `${secret} in ${place}: ${text.slice(Math.max(0, at - 200), at + 50)}`);
    }
  }
});

test("nothing above made the gateway complain of itself", () => {
  assert.deepEqual(gateway.logs.filter(({ level, message }) => level === "error" && !/credential_does_not_open/.test(message)), []);
});
