/** What a connection hands on to its target and back, and what it can never reach. */
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { until } from "./harness/await.mjs";
import { client } from "./harness/client.mjs";
import { API, BEARER, PARTNER, pathOf, startConnected, stateOf } from "./harness/connected.mjs";
import { byKey, delegate, expect, makeKey } from "./harness/people.mjs";
import { unmended } from "./harness/unmended.mjs";

let connected, sandbox, gateway, heard, someone, through, callsOf, noSecretIsOut, complaints;

before(async () => {
  connected = await startConnected();
  ({ sandbox, gateway, heard, someone, through, callsOf, noSecretIsOut, complaints } = connected);
});

afterEach(() => sandbox.clear());

after(() => connected?.close());

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
    const before = (await sandbox.calls()).at(-1).seq;
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
      const { status, json } = await through(one, connection, "/a%20b/%C3%A0;x=1?y=1&y=2&empty=&e=%2F%20+", { method, body, headers: { "content-type": "application/json", "x-custom": "kept", accept: "application/x" } });
      assert.equal(status, 200);
      assert.deepEqual([json.method, json.path, json.search, json.text], [method, "/echo/a%20b/%C3%A0;x=1", "?y=1&y=2&empty=&e=%2F%20+", body]);
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

test("no secret was ever said, logged, told or stored as it is", async () => {
  await noSecretIsOut();
});

test("nothing above made the gateway complain of itself", () => {
  assert.deepEqual(complaints(), []);
});
