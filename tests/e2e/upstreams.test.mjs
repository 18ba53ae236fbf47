/** ChittyID and ChittyAuth down, slow or talking nonsense: bounded time, a clear answer, nothing stored. */
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { until } from "./harness/await.mjs";
import { client, create } from "./harness/client.mjs";
import { startGateway } from "./harness/gateway.mjs";
import { startSandbox } from "./harness/sandbox.mjs";

// Long enough for a service that answers at once to be heard on a machine whose cores are busy.
const DEADLINE_MS = 1000;
let sandbox, gateway;

before(async () => {
  sandbox = await startSandbox();
  // Without breakers, so that each fault is met by each call.
  const vars = { UPSTREAM_TIMEOUT_MS: String(DEADLINE_MS), BREAKER_MIN_CALLS: "0" };
  gateway = await startGateway({ sandboxUrl: sandbox.url, vars });
  await create(client(gateway, "dev-warm"), { name: "before" });
});

afterEach(() => sandbox.clear());

after(async () => {
  await gateway?.close();
  await sandbox?.close();
});

const FAULTS = [
  { mode: "fail", status: 503, retry_after: 7 },
  { mode: "fail", status: 500 },
  { mode: "fail", status: 429, retry_after: 7 },
  { mode: "fail", status: 404 },
  { mode: "hang" },
  { mode: "delay", delay_ms: 3 * DEADLINE_MS },
  { mode: "drip", delay_ms: 20 },
  { mode: "huge" },
  { mode: "reset" },
  { mode: "redirect" },
  { mode: "garbage" },
  { mode: "garbage", body: "" },
  { mode: "garbage", body: "<html>sorry</html>", content_type: "text/html" },
  { mode: "garbage", body: { error: "inside a 200" } },
  { mode: "garbage", body: [] },
];

async function within(ms, what, promise) {
  const started = performance.now();
  const result = await promise;
  const took = performance.now() - started;
  assert.ok(took < ms, `${what} took ${Math.round(took)} ms`);
  return result;
}

test("ChittyID: 503, and nothing is stored, whatever it does", async () => {
  const call = client(gateway, "dev-warm");
  const nonsense = [
    { mode: "fallback" },
    { mode: "garbage", body: { success: true, chittyId: 7 } },
    { mode: "garbage", body: { success: true, chittyId: "03-1-USA-9002-P-2602-0-00" } },
    { mode: "garbage", body: { success: true, chittyId: "CHITTY", fallback: false } },
    { mode: "garbage", body: { success: true, chittyId: "03-1-USA-9002-T-2602-0-81", fallback: true } },
  ];
  const db = await gateway.db();
  const rows = () => db.prepare("SELECT (SELECT count(*) FROM contexts) || ' ' || (SELECT count(*) FROM outbox WHERE event_type LIKE 'context.%') || ' ' || (SELECT count(*) FROM idempotency_keys) AS n").first("n");
  const before = await rows();
  // Where a path is not known the mint behind ChittyID is asked: a test of its own below.
  for (const spec of [...FAULTS, ...nonsense].filter(({ status }) => status !== 404)) {
    await sandbox.fault("id", spec);
    const what = JSON.stringify(spec);
    const request = call("POST", "/v1/contexts", { body: { name: "never" }, headers: { "idempotency-key": "k" } });
    const refused = await within(DEADLINE_MS + 2000, what, request);
    assert.deepEqual([refused.status, refused.code], [503, "identity_authority_unavailable"], `${what} ${refused.text}`);
    assert.equal(refused.json.service, "chittyid");
    assert.equal(refused.headers.get("retry-after"), String(spec.retry_after ?? 5), what);
    assert.equal((await call("GET", "/v1/contexts")).status, 200, "reading goes on");
  }
  assert.equal(await rows(), before);
  assert.equal(await sandbox.count("elsewhere"), 0, "no redirect was followed");
  await sandbox.clear();
  const made = await call("POST", "/v1/contexts", { body: { name: "never" }, headers: { "idempotency-key": "k" } });
  assert.equal(made.status, 201);
  await sandbox.fault("id", { mode: "hang" });
  const replayed = await call("POST", "/v1/contexts", { body: { name: "never" }, headers: { "idempotency-key": "k" } });
  assert.deepEqual([replayed.status, replayed.text], [201, made.text]);
  assert.equal((await call("POST", "/v1/contexts", { body: { name: "never" } })).code, "name_taken");
  assert.equal((await call("PATCH", made.headers.get("location"), { body: { name: "ever" } })).status, 200);
  assert.equal((await call("DELETE", made.headers.get("location"))).status, 200);
});

test("a slow ChittyID within the deadline is waited for", async () => {
  await sandbox.fault("id", { mode: "delay", delay_ms: 150 });
  await create(client(gateway, "dev-warm"), { name: "slow" });
});

test("ChittyAuth: 503 and never 401, whatever it does, and known tokens go on", async () => {
  const nonsense = [
    { mode: "garbage", body: { valid: true } },
    { mode: "garbage", body: { valid: true, chittyId: "admin" } },
    { mode: "garbage", body: { chittyId: "03-1-USA-0970-P-2603-0-54" } },
  ];
  for (const [n, spec] of [...FAULTS, ...nonsense].entries()) {
    await sandbox.fault("auth", spec);
    const what = JSON.stringify(spec);
    const refused = await within(DEADLINE_MS + 2000, what, client(gateway, `dev-cold-${n}`)("GET", "/v1/contexts"));
    assert.deepEqual([refused.status, refused.code], [503, "authentication_unavailable"], `${what} ${refused.text}`);
    assert.equal(refused.json.service, "chittyauth");
    assert.equal((await client(gateway, "dev-warm")("GET", "/v1/contexts")).status, 200, what);
  }
});

test("ChittyAuth's refusals are 401", async () => {
  for (const spec of [
    { mode: "fail", status: 401 },
    { mode: "fail", status: 403 },
    { mode: "garbage", body: { valid: false, error: "revoked" } },
  ]) {
    await sandbox.fault("auth", spec);
    const refused = await client(gateway, `dev-refused`)("GET", "/v1/contexts");
    assert.deepEqual([refused.status, refused.code], [401, "invalid_token"], JSON.stringify(spec));
  }
});

test("a service that keeps failing is left alone, its callers told at once, and found again", async () => {
  const breaking = await startGateway({ sandboxUrl: sandbox.url, vars: { UPSTREAM_TIMEOUT_MS: String(DEADLINE_MS) } });
  try {
    const call = client(breaking, "dev-breaker");
    await create(call, { name: "before" });
    await sandbox.fault("id", { mode: "hang" });
    const attempt = (n) => call("POST", "/v1/contexts", { body: { name: `broken ${n}` } });
    await until(async () => {
      const started = performance.now();
      assert.equal((await attempt(0)).code, "identity_authority_unavailable");
      return performance.now() - started < DEADLINE_MS / 2;
    }, { timeout: 30_000, what: "an answer without waiting" });
    const asked = await sandbox.count("id", "/v1/mint");
    const refused = await Promise.all([1, 2, 3].map(attempt));
    for (const answer of refused) assert.match(answer.headers.get("retry-after"), /^[12]$/);
    assert.equal(await sandbox.count("id", "/v1/mint"), asked, "ChittyID was left alone");
    assert.equal((await call("GET", "/v1/contexts")).json.count, 1, "reading goes on");
    await sandbox.clear("id");
    await until(async () => (await attempt(4)).status === 201, { timeout: 15_000, what: "its recovery" });
  } finally {
    await breaking.close();
  }
});

test("a hiccup of ChittyAuth is not seen by the caller", async () => {
  await sandbox.fault("auth", { mode: "fail", status: 503, times: 2 });
  assert.equal((await client(gateway, "dev-hiccup")("GET", "/v1/contexts")).status, 200);
});

test("a hundred hung requests keep no other waiting", async () => {
  const vars = { UPSTREAM_TIMEOUT_MS: "3000", BREAKER_MIN_CALLS: "0" };
  const waiting = await startGateway({ sandboxUrl: sandbox.url, vars });
  try {
    const call = client(waiting, "dev-warm");
    await create(call, { name: "before they hang" });
    await sandbox.fault("id", { mode: "hang" });
    let answered = 0;
    const hung = Array.from({ length: 100 }, (_, n) => call("POST", "/v1/contexts", { body: { name: `hung ${n}` } }).finally(() => (answered += 1)));
    await until(async () => (await sandbox.count("id", "/v1/mint")) >= 6, { what: "mints that hang" });
    assert.equal((await call("GET", "/v1/contexts")).status, 200);
    assert.equal(answered, 0, "the read came before the first of them");
    for (const answer of await Promise.all(hung)) assert.equal(answer.code, "identity_authority_unavailable");
  } finally {
    await waiting.close();
  }
});

test("where ChittyID does not know the path, the mint behind it is asked, and remembered", async () => {
  const moved = await startGateway({ sandboxUrl: sandbox.url });
  try {
    const call = client(moved, "dev-moved");
    await sandbox.fault("id", { mode: "fail", status: 404, path: "/v1/mint" });
    const first = await create(call, { name: "first" });
    await sandbox.clear();
    await create(call, { name: "second" });
    const asked = (await sandbox.calls({ path: "/api/mint", service: "mint" })).length;
    assert.ok(asked >= 2, `${asked}`);
    assert.match(first.chitty_id, /^03-1-/);
  } finally {
    await moved.close();
  }
});
