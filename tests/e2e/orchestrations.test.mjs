/** Flows in the real runtime: done, undone, and killed in the middle of every step. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { until } from "./harness/await.mjs";
import { client } from "./harness/client.mjs";
import { startGatewayProcess } from "./harness/gateway.mjs";
import { startSandbox } from "./harness/sandbox.mjs";

let sandbox, persist, gateway;
const vars = { BREAKER_MIN_CALLS: "0" };

before(async () => {
  sandbox = await startSandbox();
});
beforeEach(async () => {
  await sandbox.reset();
  persist = await mkdtemp(path.join(os.tmpdir(), "chittyconnect-"));
  gateway = await startGatewayProcess({ sandboxUrl: sandbox.url, persist, vars });
});
afterEach(async () => {
  await gateway?.close();
  await rm(persist, { recursive: true, force: true });
});
after(() => sandbox?.close());

const call = (...args) => client(gateway, "dev-operator")(...args);
const run = (key, flow = "secure-user", body = { email: `${key}@example.org` }) =>
  call("POST", `/v1/orchestrations/${flow}`, { body, headers: { "idempotency-key": key } });

test("a flow is one request; its token works, and is shown to nobody else", async () => {
  const made = await run("k");
  assert.equal(made.status, 201, made.text);
  const { result } = made.json.orchestration;
  const read = await client(gateway, result.token)("GET", "/v1/contexts");
  assert.equal(read.status, 200, read.text);
  const shown = await call("GET", made.headers.get("location"));
  assert.ok(!shown.text.includes(result.token) && shown.json.result.token_id, shown.text);
  assert.equal((await client(gateway, "dev-other")("GET", made.headers.get("location"))).status, 404);
  const again = await run("k");
  assert.deepEqual([again.json, again.headers.get("idempotency-replayed")], [made.json, "true"]);
  const [{ name, status }] = (await sandbox.kept("registered")).filter(({ name }) => name.startsWith("user-"));
  assert.deepEqual([name, status], [`user-${result.chitty_id}`, "active"]);
  assert.equal((await sandbox.kept("beacon")).filter(({ event }) => event === "user_created").length, 1);
});

test("what a service refuses is undone", async () => {
  await sandbox.fault("register", { mode: "fail", status: 412, path: "/api/v1/register" });
  const refused = await run("k", "user-registration");
  assert.deepEqual([refused.status, refused.code], [502, "orchestration_failed"], refused.text);
  const location = /\/v1\/orchestrations\/orc_[\w-]+/.exec(refused.json.detail)[0];
  const { status, steps } = (await call("GET", location)).json;
  assert.deepEqual([status, ...steps.map(({ state }) => state)], ["compensated", "compensated", "compensated", "failed", "pending"]);
  assert.ok((await sandbox.kept("credential")).filter(({ kind }) => kind === "token").every(({ revoked }) => revoked));
  assert.equal((await sandbox.entries({ action: "identity.orphaned" })).total, 1);
});

test("killed in the middle of every step, each run ends with all of it done", async () => {
  const steps = [
    ["id", "/v1/mint"],
    ["canon", "/canon/records"],
    ["auth", "/v1/tokens/provision"],
    ["register", "/api/v1/register"],
    ["beacon", "/api/beacon"],
  ];
  for (const [service, route] of steps) {
    const before = await sandbox.count(service, route);
    // Carried out after its caller has died: the worst moment.
    await sandbox.fault(service, { mode: "delay", delay_ms: 2500, path: route, times: 1 });
    run(`killed-at-${service}`).catch(() => {});
    await until(async () => (await sandbox.count(service, route)) > before, { timeout: 10_000, what: `the call of ${service}` });
  }
  await gateway.kill9();
  gateway = await startGatewayProcess({ sandboxUrl: sandbox.url, persist, vars });
  for (const [service] of steps) {
    const last = await until(async () => {
      await gateway.scheduled();
      const answer = await run(`killed-at-${service}`);
      return answer.status === 201 && answer;
    }, { timeout: 90_000, what: `the end of the run that was killed at ${service}` });
    assert.ok(last.json.orchestration.result.token, last.text);
  }
  const users = (await sandbox.kept("registered")).filter(({ name, status }) => name.startsWith("user-") && status === "active");
  const tokens = (await sandbox.kept("credential")).filter(({ kind, revoked }) => kind === "token" && !revoked);
  const records = await sandbox.kept("record");
  assert.deepEqual([users.length, tokens.length, records.length], [5, 5, 5], "each once");
});
