/**
 * The crash run: the whole gateway is killed at random moments under mixed load, started again on the same
 * state, and in the end a ledger is compared of what was acknowledged, told, minted and made elsewhere.
 *
 * Three crashes here; `CRASHES=60 npm test -- crash` is the long run.
 */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { until } from "./harness/await.mjs";
import { client } from "./harness/client.mjs";
import { PAST } from "./harness/contents.mjs";
import { startGatewayProcess } from "./harness/gateway.mjs";
import { eventOf } from "./harness/github.mjs";
import { AT_ONCE, pointTo } from "./harness/hooked.mjs";
import { startSandbox } from "./harness/sandbox.mjs";

const CRASHES = Number(process.env.CRASHES ?? 3);
/** How many changes are acknowledged between two crashes: one more than a random number below this. */
const MOST_BETWEEN = 60;
const SETTLED_MS = 30_000 + CRASHES * 2_000;

let sandbox, persist, gateway;
const VARS = { ...AT_ONCE, GITHUB_RECOVERY_SECONDS: "0" };

/** What the gateway has said is so, by what it is about. */
const acknowledged = { contexts: new Map(), connections: new Set(), deliveries: new Set(), flows: new Set(), count: 0 };

before(async () => {
  sandbox = await startSandbox();
  persist = await mkdtemp(path.join(os.tmpdir(), "chittyconnect-crash-"));
  await start();
  await settle("the registration", async () => (await client(gateway)("GET", "/health")).json.ecosystem.state === "registered");
});

after(async () => {
  await gateway?.close();
  await sandbox?.close();
  await rm(persist, { recursive: true, force: true });
});

async function start() {
  gateway = await startGatewayProcess({ sandboxUrl: sandbox.url, persist, vars: VARS });
  await pointTo(sandbox, gateway);
}

/** Lets the cron run again and again until the condition holds. */
function settle(what, condition) {
  return until(async () => {
    await gateway.scheduled();
    return condition();
  }, { timeout: SETTLED_MS, what });
}

const count = async (table, condition = "1") => (await gateway.rows(`SELECT count(*) AS n FROM ${table} WHERE ${condition}`))[0].n;

test("whatever was acknowledged before a crash holds after it, and nothing is left that nobody knows of", async () => {
  for (let crash = 0; crash < CRASHES; crash += 1) {
    const load = mixedLoad(crash);
    const enough = acknowledged.count + 1 + Math.floor(Math.random() * MOST_BETWEEN);
    await until(() => acknowledged.count >= enough, { timeout: 60_000, what: `change ${enough} to be acknowledged` });
    await gateway.kill9();
    await load.end();
    await start();
  }
  await settle("everything to be told", async () => (await count("outbox", "done_at IS NULL")) === 0
    && (await count("github_deliveries", "done_at IS NULL AND dead_at IS NULL")) === 0
    && (await count("orchestrations", "status IN ('running', 'compensating')")) === 0);
  await assertContexts();
  await settle("every delivery to be dealt with", async () => {
    const done = new Set((await gateway.rows("SELECT delivery_id FROM github_deliveries WHERE done_at IS NOT NULL")).map((row) => row.delivery_id));
    return [...acknowledged.deliveries].every((guid) => done.has(guid));
  });
  await settle("everything to be told", async () => (await count("outbox", "done_at IS NULL")) === 0);
  await assertToldOnce();
  await assertMints();
  await assertKeys();
  assert.equal(await count("dead_letters"), 0);
  await assertAudit();
});

/** Several callers, each doing one thing after another until the gateway is gone. */
function mixedLoad(crash) {
  let over = false;
  const whileUp = async (work) => {
    for (let n = 0; !over; n += 1) {
      try {
        await work(n);
      } catch {
        // The gateway is gone, or has answered with a problem: nothing was acknowledged.
      }
    }
  };
  const as = (name) => client(gateway, `dev-${name}`);
  const workers = [0, 1].flatMap((worker) => [
    whileUp((n) => contextLife(as(`crash-${worker}`), `${crash} ${worker} ${n}`)),
    whileUp((n) => connectionLife(as(`crash-${worker}`), `c ${crash} ${worker} ${n}`)),
    whileUp(() => delivery()),
    whileUp((n) => flow(as("crash-operator"), `${crash}-${worker}-${n}`)),
  ]);
  return {
    end: async () => {
      over = true;
      await Promise.all(workers);
    },
  };
}

async function asked(request, status) {
  const answer = await request;
  assert.equal(answer.status, status);
  acknowledged.count += 1;
  return answer.json;
}

async function contextLife(call, name) {
  const { context } = await asked(call("POST", "/v1/contexts", { body: { name } }), 201);
  const id = context.chitty_id;
  const actions = ["context.created"];
  acknowledged.contexts.set(id, actions);
  await asked(call("PATCH", `/v1/contexts/${id}`, { body: { data: [name] } }), 200);
  actions.push("context.updated");
  await asked(call("DELETE", `/v1/contexts/${id}`), 200);
  actions.push("context.deleted");
}

async function connectionLife(call, name) {
  const { context } = await asked(call("POST", "/v1/contexts", { body: { name } }), 201);
  acknowledged.contexts.set(context.chitty_id, ["context.created"]);
  const body = { source_chitty_id: context.chitty_id, source_type: "context", target_service: "chittycases", credentials: { type: "provisioned" } };
  const { connection } = await asked(call("POST", "/v1/connections", { body }), 201);
  acknowledged.connections.add(connection.connection_id);
  if (Math.random() < 0.5) return;
  // From here on it may be gone, whether or not that is acknowledged.
  acknowledged.connections.delete(connection.connection_id);
  await asked(call("DELETE", `/v1/connections/${connection.connection_id}`), 200);
}

/** By the sandbox's GitHub, which is asked later for what never arrived: the local queue forgets what it holds when it is killed. */
async function delivery() {
  const guid = randomUUID();
  const { status_code: status } = await sandbox.github.deliver({ ...eventOf("push"), guid });
  if (status !== 202) return;
  acknowledged.deliveries.add(guid);
  acknowledged.count += 1;
}

async function flow(call, key) {
  const headers = { "idempotency-key": key };
  await asked(call("POST", "/v1/orchestrations/user-registration", { body: { email: `${key}@example.org` }, headers }), 201);
  acknowledged.flows.add(key);
}

async function assertContexts() {
  const rows = new Map((await gateway.rows("SELECT chitty_id, deleted_at FROM contexts")).map((row) => [row.chitty_id, row]));
  for (const [id, actions] of acknowledged.contexts) {
    assert.ok(rows.has(id), `${id} was acknowledged and is gone`);
    if (actions.includes("context.deleted")) assert.ok(rows.get(id).deleted_at, `${id} was deleted and is there again`);
    const { entries } = await sandbox.entries({ entityId: id });
    assert.deepEqual(entries.slice(0, actions.length).map(({ action }) => action), actions, id);
  }
}

/** Every event once, and those of an entity in the order in which they were committed. */
async function assertToldOnce() {
  const events = await gateway.rows("SELECT event_id, entity_id FROM outbox ORDER BY seq");
  const { total, entries } = await sandbox.entries({ limit: 100_000 });
  assert.equal(entries.length, total, "every entry was looked at");
  const told = new Map();
  for (const { metadata } of entries) if (metadata?.eventId) told.set(metadata.entityId, [...(told.get(metadata.entityId) ?? []), metadata.eventId]);
  const written = new Map();
  for (const { event_id: event, entity_id: entity } of events) written.set(entity, [...(written.get(entity) ?? []), event]);
  for (const [entity, ids] of written) assert.deepEqual(told.get(entity), ids, `what was told of ${entity}`);
}

/** Every id that was minted is somebody's, or reported as nobody's; in time, where nobody knows whether it was minted. */
async function assertMints() {
  await gateway.rows("UPDATE mint_intents SET created_at = ?1", PAST);
  await settle("intents to mint to be used or reported", async () => (await count("mint_intents")) === 0 && (await count("outbox", "done_at IS NULL")) === 0);
  const rows = await gateway.rows(
    "SELECT chitty_id AS id FROM contexts UNION SELECT chitty_id FROM actors UNION SELECT chitty_id FROM github_deliveries" +
      " UNION SELECT subject_id FROM github_deliveries UNION SELECT entity_id FROM outbox WHERE event_type = 'identity.orphaned'",
  );
  const registered = (await sandbox.kept("registered")).map(({ name }) => name.replace(/^user-/, ""));
  const { entries } = await sandbox.entries({ action: "identity.orphaned", limit: 100_000 });
  const known = new Set([...rows.map(({ id }) => id), ...registered, ...entries.map(({ metadata }) => metadata.entityId)]);
  // Of an answer that was lost only the intent is known, which ChittyID was given with the request.
  const strays = (await sandbox.minted()).filter(({ id, metadata }) => !known.has(id) && !known.has(metadata?.intent));
  assert.deepEqual(strays, [], "ids that nobody uses and nobody has reported");
}

/** The keys that live at ChittyAuth for contexts, but for the gateway's own, are those of connections that live here. */
async function assertKeys() {
  // What may have been made is looked for two minutes later.
  await gateway.rows("UPDATE credential_revocations SET due_at = ?1", PAST);
  const liveKeys = async () => {
    const contexts = new Set((await gateway.rows("SELECT chitty_id FROM contexts WHERE owner_chitty_id <> chitty_id")).map(({ chitty_id: id }) => id));
    const keys = (await sandbox.kept("credential")).filter(({ kind, revoked, chittyId }) => kind === "key" && !revoked && contexts.has(chittyId));
    return keys.map(({ chittyId }) => chittyId).toSorted();
  };
  const connected = async () => {
    const rows = await gateway.rows("SELECT source_chitty_id AS id FROM connections WHERE disconnected_at IS NULL AND credential_type = 'provisioned'");
    return rows.map(({ id }) => id).toSorted();
  };
  await settle("keys to be those of connections", async () => JSON.stringify(await liveKeys()) === JSON.stringify(await connected())).catch(async (cause) => {
    assert.deepEqual({ keys: await liveKeys(), revocations: await gateway.rows("SELECT * FROM credential_revocations") }, { keys: await connected(), revocations: [] }, cause.message);
  });
  for (const id of acknowledged.connections) assert.equal(await count("connections", `connection_id = '${id}' AND disconnected_at IS NULL`), 1, id);
}

async function assertAudit() {
  const verify = () => client(gateway, "dev-admin")("GET", "/v1/audit/verify");
  const { json } = await until(async () => {
    await gateway.scheduled();
    const answer = await verify();
    return answer.json?.valid === true && answer;
  }, { what: "a valid audit" });
  assert.equal(json.valid, true);
}
