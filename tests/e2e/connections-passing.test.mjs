/** Which headers and paths arrive at the target of a connection, and which headers of its answer come back. */
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { until } from "./harness/await.mjs";
import { API, BEARER, PARTNER, pathOf, startConnected } from "./harness/connected.mjs";
import { delegate, expect } from "./harness/people.mjs";
import { unmended } from "./harness/unmended.mjs";

let connected, sandbox, gateway, someone, through, complaints;

before(async () => {
  connected = await startConnected();
  ({ sandbox, gateway, someone, through, complaints } = connected);
});

afterEach(() => sandbox.clear());

after(() => connected?.close());

/** What services of ChittyOS, proxies, servers and frameworks listen to, and other credentials. */
const NEVER = [
  "x-chitty-internal-binding", "x-chitty-id", "x-chittyid", "x-chittyos-caller", "x-chittyconnect-origin", "x-source-service", "x-worker-name", "x-service-token",
  "x-original-url", "x-rewrite-url", "x-original-method", "x-forwarded-for", "x-forwarded-host", "x-forwarded-user", "forwarded", "x-real-ip", "true-client-ip",
  "x-client-ip", "x-cluster-client-ip", "via", "x-http-method-override", "x-http-method", "x-method-override", "x-accel-redirect", "x-middleware-subrequest",
  "x-remote-user", "x-ms-client-principal-id", "x-goog-authenticated-user-email", "private-token", "job-token", "x-vault-token", "x-amz-security-token", "x-api-key",
  "x-goog-api-key", "apikey", "x-auth-token", "x-access-token", "x-partner-key", "ocp-apim-subscription-key", "x-hasura-admin-secret", "cookie", "cookie2",
  "proxy-authorization", "signature", "x-csrf-token", "origin", "referer",
];
const SAID = { accept: "text/plain", "accept-language": "de", "content-type": "text/plain", "idempotency-key": "i-1", "if-none-match": '"1"', range: "bytes=0-1" };
const everything = () => ({ ...Object.fromEntries(NEVER.map((name) => [name, "callers-own"])), "x-custom": "kept", ...SAID });

const chittyos = { target_service: "cases", target_endpoint: "https://cases.chitty.cc/api/echo", scopes: ["read", "write"], credentials: { type: "provisioned" }, check_path: null };
const partner = { target_endpoint: `${PARTNER}/echo`, scopes: ["read", "write"], credentials: BEARER };

describe("of a caller's headers", () => {
  // `cache-control` and `pragma` are what fetch adds beside `if-none-match`.
  for (const [where, target, kept] of [["a ChittyOS service", chittyos, []], ["another target", partner, ["cache-control", "pragma", "x-custom"]]]) {
    test(`${where} gets those that it may listen to`, async () => {
      const one = await someone();
      const connection = await one.connect(target);
      const { status, json, text } = await through(one, connection, "/x", { method: "POST", body: "b", headers: everything() });
      assert.equal(status, 200, text);
      for (const [name, value] of Object.entries(SAID)) assert.equal(json.headers[name], value, name);
      for (const name of NEVER) assert.equal(json.headers[name], undefined, name);
      assert.ok(!text.includes("callers-own"), text);
      assert.match(json.headers.authorization, /^Bearer (cc_live_|partner-good)/);
      // Whatever else there is the runtime, the sandbox's server or the gateway itself has said.
      const own = ["accept-encoding", "authorization", "content-length", "host", "traceparent", "user-agent", "x-request-id", "connection"];
      const unexpected = Object.keys(json.headers).filter((name) => !(name in SAID) && !own.includes(name) && !kept.includes(name) && !/^(cf-|mf-|x-forwarded-proto$)/.test(name));
      assert.deepEqual(unexpected, []);
      assert.deepEqual(Object.keys(json.headers).filter((name) => kept.includes(name)).sort(), kept);
    });
  }

  test("none turns a read-only token's request into another", async () => {
    const one = await someone();
    const connection = await one.connect(partner);
    const reader = { token: (await delegate(one.call, { scopes: ["connections:read"] })).token };
    for (const name of ["x-http-method-override", "x-http-method", "x-method-override", "x-override-method"]) {
      const { status, json } = await through(reader, connection, "/x", { headers: { [name]: "DELETE" } });
      assert.deepEqual([status, json.method, json.headers[name]], [200, "GET", undefined], name);
    }
    for (const query of ["?_method=DELETE", "?a=b&httpMethod=put"]) expect(await through(reader, connection, `/x${query}`), 422, "validation_failed", query);
  });
});

describe("a credential", () => {
  test("stands in a header for credentials only", async () => {
    const { call, from } = await someone();
    for (const header of ["X-ChittyID", "X-Chitty-ID", "X-Forwarded-For", "Forwarded", "X-Real-IP", "User-Agent", "X-Original-URL", "Via", "Cookie", "Idempotency-Key", "X-Custom", "X-Forwarded-Access-Token"]) {
      expect(await call("POST", "/v1/connections", { body: from({ credentials: { type: "api_key", key: "partner-good", header } }) }), 422, "validation_failed", header);
    }
    for (const url of ["https://auth.chitty.cc/v1/tokens/refresh", "https://connect.chitty.cc/x", "https://mcp.ch1tty.com/x"]) {
      const credentials = { type: "oauth", token_endpoint: "https://login.partner.example/token", client_id: "c", refresh_token: "r" };
      for (const own of ["token_endpoint", "revocation_endpoint"]) {
        expect(await call("POST", "/v1/connections", { body: from({ credentials: { ...credentials, [own]: url } }) }), 422, "validation_failed", `${own} ${url}`);
      }
    }
  });
});

describe("a path", () => {
  test("arrives below the endpoint, or not at all", async () => {
    const one = await someone();
    const connection = await one.connect({ ...partner, target_endpoint: `${PARTNER}/echo/base` });
    const base = `${pathOf(connection)}/proxy`;
    const headers = { authorization: `Bearer ${one.token}` };
    const { seq } = (await sandbox.calls()).at(-1);
    for (const path of [
      "..;/me", "x/..;/..;/me", "%2e%2e;/me", "..;a=b/me", ".;/me", "..%3b/me", "..%253b/me", "%252e%252e;/me", "%c0%ae%c0%ae/me", "..%c0%afme", "%e0%80%ae%e0%80%ae/me", "%u002e%u002e/me",
      "..%23/me", "..%3f/me", "..%20/me", "..%09/me", "%ef%bc%8e%ef%bc%8e/me", "a%ef%bc%8f..%ef%bc%8fme", "%5c..%5cme", "a%2f..;%2fme", "%25%32%65%25%32%65/me", "%E0/me",
    ]) {
      for (const method of ["GET", "POST"]) {
        const answer = await unmended(gateway, `${base}/${path}`, { method, headers });
        assert.deepEqual([answer.status, answer.code], [422, "validation_failed"], `${method} ${path}: ${answer.text.slice(0, 200)}`);
      }
    }
    assert.deepEqual((await sandbox.calls({ after: seq })).filter(({ service }) => service === "outside"), [], "nothing went out");
    for (const path of ["a;v=1/b;w", "na%C3%AFve", "100%25", "x%2Fy", "..a/b..", "a/"]) {
      const answer = await unmended(gateway, `${base}/${path}`, { headers });
      assert.equal(answer.status, 200, `${path}: ${answer.text}`);
      assert.equal(JSON.parse(answer.text).path, `/echo/base/${path}`);
    }
    const calls = (await sandbox.calls({ after: seq })).filter(({ service }) => service === "outside");
    assert.deepEqual([...new Set(calls.map(({ host }) => host))], [API]);
    for (const { path } of calls) assert.ok(path.startsWith("/echo/base/"), path);
  });

  test("does not lead back into the gateway", async () => {
    const { call, from } = await someone();
    for (const target_service of ["api", "connect", "chittyconnect", "ChittyMCP"]) {
      for (const target_endpoint of [undefined, PARTNER, `https://${target_service.replace(/^chitty/i, "").toLowerCase()}.chitty.cc`]) {
        expect(await call("POST", "/v1/connections", { body: from({ target_service, target_endpoint }) }), 422, "validation_failed", `${target_service} ${target_endpoint}`);
      }
    }
  });
});

test("of an answer comes back what describes it", async () => {
  const one = await someone();
  const connection = await one.connect({ credentials: BEARER });
  const kept = { etag: '"7"', "last-modified": "Thu, 01 Jan 2026 00:00:00 GMT", "content-language": "de", "retry-after": "7", "x-total-count": "7", link: `<${PARTNER}/x?page=2>; rel="next"` };
  const gone = [
    "nel", "report-to", "reporting-endpoints", "accept-ch", "critical-ch", "speculation-rules", "ratelimit", "ratelimit-policy", "x-ratelimit-limit", "idempotency-replayed", "clear-site-data",
    "service-worker-allowed", "alt-svc", "access-control-allow-credentials", "set-cookie", "set-login", "permissions-policy", "x-frame-options", "sourcemap", "server-timing", "x-accel-redirect",
    "x-chittyid", "refresh", "www-authenticate", "cross-origin-opener-policy", "timing-allow-origin", "content-location", "origin-agent-cluster",
  ];
  const said = new URLSearchParams({ ...kept, ...Object.fromEntries(gone.map((name) => [name, "targets-own"])) });
  said.set("strict-transport-security", "max-age=0");
  said.set("x-request-id", "targets-own");
  const answer = await through(one, connection, `/headers?${said}`);
  assert.equal(answer.status, 200, answer.text);
  for (const [name, value] of Object.entries(kept)) assert.equal(answer.headers.get(name), value, name);
  assert.deepEqual([...answer.headers].filter(([, value]) => value.includes("targets-own")), []);
  assert.match(answer.headers.get("strict-transport-security"), /max-age=31536000/);
});

test("many large answers at once are answered or refused, and the gateway lives on", async () => {
  const one = await someone();
  const connection = await one.connect({ credentials: BEARER });
  const answers = await Promise.all(Array.from({ length: 24 }, () => through(one, connection, "/big?bytes=4000000", { isolate: 0 })));
  // A target has a second and a half here: on a busy machine that may be over before the last byte.
  const ends = ["200 undefined", "503 not_ready", "504 target_timeout"];
  for (const { status, code } of answers) assert.ok(ends.includes(`${status} ${code}`), `${status} ${code}`);
  // What was held is given back. (The sandbox is still at the answers that nobody waits for.)
  await until(async () => (await through(one, connection, "/big?bytes=4000000", { isolate: 0 })).status === 200, { timeout: 20_000, what: "a large answer" });
});

test("nothing above made the gateway complain of itself", () => {
  assert.deepEqual(complaints(), []);
});
