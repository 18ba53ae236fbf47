/** Restarts and sudden deaths: what was acknowledged is there, and its event arrives. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { until } from "./harness/await.mjs";
import { bare, client, create } from "./harness/client.mjs";
import { PAST } from "./harness/contents.mjs";
import { startGatewayProcess } from "./harness/gateway.mjs";
import { startSandbox } from "./harness/sandbox.mjs";

let sandbox, persist, gateway;
// Overdue at once, so that the sweep need not be waited for; and what was begun by the dead may be taken
// up again after five deadlines.
const vars = { OUTBOX_OVERDUE_SECONDS: "0", UPSTREAM_TIMEOUT_MS: "2000" };

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

async function dieAndRestart() {
  await gateway.kill9();
  gateway = await startGatewayProcess({ sandboxUrl: sandbox.url, persist, vars });
}

const entriesOf = async (id) => (await sandbox.entries({ entityId: id })).entries;

test("data, keys and identity are kept over a restart", async () => {
  const call = (...args) => client(gateway, "dev-keeper")(...args);
  const options = { body: { name: "kept", data: [1] }, headers: { "idempotency-key": "k" } };
  const made = await call("POST", "/v1/contexts", options);
  assert.equal(made.status, 201, made.text);
  await gateway.close();
  gateway = await startGatewayProcess({ sandboxUrl: sandbox.url, persist, vars });
  assert.deepEqual(bare((await call("GET", made.headers.get("location"))).json), bare(made.json.context));
  const replayed = await call("POST", "/v1/contexts", options);
  assert.deepEqual([replayed.text, replayed.headers.get("idempotency-replayed")], [made.text, "true"]);
  assert.equal((await call("GET", "/v1/contexts/search?q=kept")).json.count, 1);
});

test("killed between a change and its event, the event still arrives, once", async () => {
  // Chronicle is down, so that no event can have arrived before the kill.
  await sandbox.fault("chronicle", { mode: "fail", status: 503 });
  const context = await create(client(gateway, "dev-victim"), { name: "survivor" });
  await dieAndRestart();
  await sandbox.clear("chronicle");
  assert.deepEqual(await entriesOf(context.chitty_id), []);
  assert.deepEqual(bare((await client(gateway, "dev-victim")("GET", `/v1/contexts/${context.chitty_id}`)).json), bare(context));

  // Where the dead runtime was at it, its message comes again after 2 s, and then after the 10 s that a
  // lease lasts; each of the three deliveries waits a second for its batch: 15 s, and the delivery itself.
  // Where all three were spent while ChittyChronicle was still taken for down, the next cron sends one.
  const entries = await until(async () => {
    await gateway.scheduled();
    const found = await entriesOf(context.chitty_id);
    return found.length > 0 && found;
  }, { timeout: 25_000, what: "the event of the killed runtime" });
  assert.deepEqual(entries.map(({ action }) => action), ["context.created"]);
  // What else the dead runtime had begun waits for the end of its lease and the pauses of the sweep.
  await until(async () => {
    await gateway.scheduled();
    return (await gateway.rows("SELECT count(*) AS n FROM outbox WHERE done_at IS NULL"))[0].n === 0;
  }, { timeout: 30_000, what: "a done outbox" });
  await gateway.scheduled();
  await gateway.scheduled();
  assert.equal((await entriesOf(context.chitty_id)).length, 1);
});

test("killed under load, every acknowledged change is there and told", async () => {
  const acknowledged = [];
  const call = client(gateway, "dev-load");
  let dead = false;
  const writer = async (worker) => {
    for (let n = 0; !dead; n += 1) {
      const answer = await call("POST", "/v1/contexts", { body: { name: `w${worker} ${n}` } }).catch(() => undefined);
      if (answer?.status === 201) acknowledged.push(answer.json.context);
    }
  };
  const writers = [0, 1, 2, 3].map(writer);
  await until(() => acknowledged.length >= 40, { timeout: 20_000, what: "forty acknowledged creations" });
  await gateway.kill9();
  dead = true;
  await Promise.all(writers);
  gateway = await startGatewayProcess({ sandboxUrl: sandbox.url, persist, vars });

  const reader = client(gateway, "dev-load");
  for (const context of acknowledged) {
    assert.deepEqual(bare((await reader("GET", `/v1/contexts/${context.chitty_id}`)).json), bare(context));
  }
  await until(async () => {
    await gateway.scheduled();
    return (await gateway.rows("SELECT count(*) AS n FROM outbox WHERE done_at IS NULL"))[0].n === 0;
  }, { timeout: 30_000, what: "a done outbox" });
  const { entries } = await sandbox.entries({ action: "context.created" });
  const told = new Set(entries.map(({ metadata }) => metadata.entityId));
  for (const context of acknowledged) assert.ok(told.has(context.chitty_id), context.chitty_id);
  // Nothing is half there: each row has its words and its event.
  const [half] = await gateway.rows(
    "SELECT (SELECT count(*) FROM contexts) AS rows, (SELECT count(*) FROM contexts_fts) AS words, " +
      "(SELECT count(*) FROM outbox WHERE event_type = 'context.created') AS events",
  );
  assert.deepEqual([half.words, half.events], [half.rows, half.rows]);
});

/** How often the runtime is killed; more by hand: `KILLS=20`. */
const KILLS = Number(process.env.KILLS ?? 3);

test("killed again and again under load, every acknowledged change is told once and in order", async () => {
  const acknowledged = new Map();
  const changes = () => [...acknowledged.values()].reduce((sum, actions) => sum + actions.length, 0);
  for (let kill = 0; kill < KILLS; kill += 1) {
    const call = client(gateway, "dev-often");
    let dead = false;
    const send = (...args) => call(...args).catch(() => undefined);
    const writer = async (worker) => {
      for (let n = 0; !dead; n += 1) {
        const made = await send("POST", "/v1/contexts", { body: { name: `k${kill} w${worker} ${n}` } });
        if (made?.status !== 201) continue;
        const { chitty_id: id } = made.json.context;
        acknowledged.set(id, ["context.created"]);
        for (let change = 0; change < 2 && !dead; change += 1) {
          const changed = await send("PATCH", `/v1/contexts/${id}`, { body: { data: [change] } });
          if (changed?.status === 200) acknowledged.get(id).push("context.updated");
        }
      }
    };
    const writers = [0, 1, 2, 3].map(writer);
    const enough = changes() + 20 + Math.floor(Math.random() * 60);
    await until(() => changes() >= enough, { timeout: 30_000, what: "acknowledged changes" });
    await gateway.kill9();
    dead = true;
    await Promise.all(writers);
    gateway = await startGatewayProcess({ sandboxUrl: sandbox.url, persist, vars });
  }
  await until(async () => {
    await gateway.scheduled();
    return (await gateway.rows("SELECT count(*) AS n FROM outbox WHERE done_at IS NULL"))[0].n === 0;
  }, { timeout: 60_000, what: "a done outbox" });
  const written = await gateway.rows("SELECT event_id, entity_id FROM outbox WHERE entity_type = 'context' ORDER BY seq");
  const ids = new Map();
  for (const { event_id, entity_id } of written) ids.set(entity_id, [...(ids.get(entity_id) ?? []), event_id]);
  for (const [id, actions] of acknowledged) {
    const entries = await entriesOf(id);
    assert.deepEqual(entries.map(({ metadata }) => metadata.eventId), ids.get(id), "each event once, in the order of commit");
    assert.deepEqual(entries.slice(0, actions.length).map(({ action }) => action), actions);
  }
  // Every identity that was minted is in use or reported: by itself, or by the intent that it was minted with.
  await gateway.rows("UPDATE mint_intents SET created_at = ?1", PAST);
  await until(async () => {
    await gateway.scheduled();
    const [left] = await gateway.rows(
      "SELECT (SELECT count(*) FROM mint_intents) + (SELECT count(*) FROM outbox WHERE done_at IS NULL) AS n",
    );
    return left.n === 0;
  }, { timeout: 60_000, what: "every intent to be dealt with" });
  const used = new Set((await gateway.rows("SELECT chitty_id FROM contexts")).map(({ chitty_id: id }) => id));
  const { entries: reports } = await sandbox.entries({ action: "identity.orphaned" });
  const reported = new Set(reports.map(({ metadata }) => metadata.entityId));
  assert.equal(reported.size, reports.length, "each report once");
  for (const { id, metadata } of await sandbox.minted({ limit: 10_000 })) {
    assert.ok(used.has(id) !== (reported.has(id) || reported.has(metadata.intent)), `${id} is in use, or reported`);
  }
});

test("events wait for Chronicle and are told when it is back", async () => {
  const call = client(gateway, "dev-patient");
  await sandbox.fault("chronicle", { mode: "fail", status: 503 });
  const contexts = [];
  for (let n = 0; n < 5; n += 1) contexts.push(await create(call, { name: `patient ${n}` }));
  await until(async () => (await sandbox.count("chronicle")) >= 5, { what: "five tries" });
  await sandbox.clear("chronicle");
  await until(async () => {
    await gateway.scheduled();
    const open = await gateway.rows("SELECT count(*) AS n FROM outbox WHERE done_at IS NULL");
    return open[0].n === 0;
  }, { timeout: 30_000, what: "a done outbox" });
  for (const { chitty_id: id } of contexts) {
    const ids = new Set((await entriesOf(id)).map(({ metadata }) => metadata.eventId));
    assert.equal(ids.size, 1, id);
  }
});
