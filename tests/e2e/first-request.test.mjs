/** What happens before and during the first requests: an empty database, races, missing things. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { after, afterEach, before, test } from "node:test";
import { promisify } from "node:util";
import { until } from "./harness/await.mjs";
import { client, create } from "./harness/client.mjs";
import { startGateway } from "./harness/gateway.mjs";
import { startSandbox } from "./harness/sandbox.mjs";

let sandbox;
const open = [];

before(async () => {
  sandbox = await startSandbox();
});

afterEach(async () => {
  await Promise.all(open.splice(0).map((gateway) => gateway.close()));
  await sandbox.reset();
});

after(() => sandbox?.close());

async function start(options) {
  const gateway = await startGateway({ sandboxUrl: sandbox.url, ...options });
  open.push(gateway);
  return gateway;
}

const health = async (gateway, isolate = 0) => (await client(gateway)("GET", "/health", { isolate })).json;

const registered = (gateway, isolate) => until(async () => {
  const { ecosystem } = await health(gateway, isolate);
  return ecosystem.state === "registered" && ecosystem.chitty_id;
}, { timeout: 15_000, what: "the registration" });

test("two isolates racing on an empty database make one schema and agree on one identity", async () => {
  const gateway = await start({ isolates: 2 });
  const call = client(gateway, "dev-racer");
  const answers = await Promise.all(
    Array.from({ length: 16 }, (_, n) => call("GET", "/v1/contexts", { isolate: n % 2 })),
  );
  for (const answer of answers) assert.equal(answer.status, 200, answer.text);
  const db = await gateway.db();
  const { results } = await db.prepare("SELECT name, count(*) AS times FROM d1_migrations GROUP BY name ORDER BY name").all();
  assert.ok(results.length >= 7 && results.every(({ times }) => times === 1), JSON.stringify(results));
  const [one, other] = await Promise.all([registered(gateway, 0), registered(gateway, 1)]);
  assert.equal(one, other);
  const minted = await sandbox.minted();
  assert.deepEqual(minted.map(({ id }) => id), [one], "one minted");
  const context = await db.prepare("SELECT name FROM contexts WHERE chitty_id = ?1").bind(one).first("name");
  assert.equal(context, "chittyconnect");
  // Each of the other steps took place once too, and the key is kept sealed.
  for (const kind of ["credential", "registered", "dna", "certificate"]) assert.equal((await sandbox.kept(kind)).length, 1, kind);
  const key = await (await gateway.kv("API_KEYS")).get("service:chittyconnect");
  assert.match(key, /^v1\.dev\./);
  await until(async () => (await sandbox.entries({ action: "service.initialized" })).total === 1, { what: "the event" });
  for (const { service, body } of await sandbox.calls()) {
    assert.doesNotMatch(JSON.stringify(body), /cc_live_/, `${service} was sent the key`);
  }
  await create(call, { name: "works" });
  assert.deepEqual(gateway.logs, []);
});

test("with ChittyID down the gateway serves, says so, and registers later", async () => {
  await sandbox.fault("id", { mode: "fail", status: 503, retry_after: 1 });
  const gateway = await start();
  const call = client(gateway, "dev-early");
  assert.equal((await call("GET", "/v1/contexts")).status, 200);
  const state = await until(async () => {
    const now = await health(gateway);
    return now.status === "degraded" && now;
  }, { what: "a degraded state" });
  assert.deepEqual([state.ecosystem.state, state.ecosystem.last_error], ["degraded", "chittyid_unavailable"]);
  assert.equal((await call("GET", "/v1/contexts")).status, 200);
  await sandbox.clear("id");
  await registered(gateway);
  // ChittyID counts as connected again once its own connection has found out.
  await until(async () => (await health(gateway)).status === "ok", { timeout: 15_000, what: "ok" });
});

test("without D1 health answers and names what is missing; the rest is 503", async () => {
  const gateway = await start({ withoutBindings: ["DB", "TOKEN_KV"] });
  const state = await health(gateway);
  assert.equal(state.status, "degraded");
  assert.deepEqual(state.missing.map(({ name, kind }) => `${kind} ${name}`), ["binding DB", "binding TOKEN_KV"]);
  const refused = await client(gateway, "dev-a")("GET", "/v1/contexts");
  assert.deepEqual([refused.status, refused.code], [503, "not_ready"]);
});

test("a deployed gateway does not talk to a sandbox and names its missing secrets", async () => {
  const gateway = await start({ vars: { ENVIRONMENT: "staging" } });
  const names = (await health(gateway)).missing.map(({ name }) => name);
  for (const name of ["AI", "CHITTY_ID_SERVICE_TOKEN", "CHITTY_AUTH_SERVICE_TOKEN", "SERVICE_URL_TEMPLATE"]) {
    assert.ok(names.includes(name), `${name} in ${names}`);
  }
  assert.equal(await sandbox.count(), 0);
});

test("a migration that fails is 503 each time until it is mended, and nothing stays half done", async () => {
  const gateway = await start();
  const db = await gateway.db();
  await db.prepare("CREATE TABLE outbox (x)").run();
  const call = client(gateway, "dev-stuck");
  for (let n = 0; n < 3; n += 1) {
    const refused = await call("GET", "/v1/contexts");
    assert.deepEqual([refused.status, refused.code], [503, "not_ready"]);
  }
  assert.equal((await health(gateway)).database.state, "failed");
  assert.ok(gateway.logs.some(({ message }) => message.includes("migrations_failed")));
  await db.prepare("DROP TABLE outbox").run();
  assert.equal((await call("GET", "/v1/contexts")).status, 200);
  assert.equal((await health(gateway)).database.state, "ready");
});

test("wrangler and the gateway keep one book of migrations, whoever goes first", async () => {
  const persist = await mkdtemp(path.join(os.tmpdir(), "chittyconnect-"));
  const wrangler = async (...args) => {
    const command = ["node_modules/wrangler/bin/wrangler.js", "d1", ...args, "--local", "--persist-to", persist];
    const env = { ...process.env, CI: "true", WRANGLER_SEND_METRICS: "false" };
    return (await promisify(execFile)(process.execPath, command, { env })).stdout;
  };
  const serve = async () => {
    // `wrangler --persist-to` keeps its data in this folder of it.
    const gateway = await start({ persist: path.join(persist, "v3") });
    assert.equal((await client(gateway, "dev-book")("GET", "/v1/contexts")).status, 200);
    return gateway;
  };
  try {
    await (await serve()).close();
    assert.match(await wrangler("migrations", "list", "DB"), /No migrations to apply/, "the gateway went first");
    await rm(persist, { recursive: true });

    await wrangler("migrations", "apply", "DB");
    await wrangler("execute", "DB", "--command", "UPDATE d1_migrations SET applied_at = 'by wrangler'");
    const db = await (await serve()).db();
    const { results } = await db.prepare("SELECT DISTINCT applied_at FROM d1_migrations").all();
    assert.deepEqual(results, [{ applied_at: "by wrangler" }], "wrangler went first");
  } finally {
    await Promise.all(open.splice(0).map((gateway) => gateway.close()));
    await rm(persist, { recursive: true, force: true });
  }
});
