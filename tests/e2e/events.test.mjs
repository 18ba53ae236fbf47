/** Events: told once and in order, whatever Chronicle does; and what cannot be told is kept. */
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { until } from "./harness/await.mjs";
import { client, create } from "./harness/client.mjs";
import { startGateway } from "./harness/gateway.mjs";
import { startSandbox } from "./harness/sandbox.mjs";

let sandbox, gateway, admin, db;
// Overdue at once, so that the sweep need not be waited for; breakers have tests of their own.
const vars = { OUTBOX_OVERDUE_SECONDS: "0", BREAKER_MIN_CALLS: "0" };

before(async () => {
  sandbox = await startSandbox();
  gateway = await startGateway({ sandboxUrl: sandbox.url, vars, isolates: 2 });
  admin = client(gateway, "dev-admin");
  db = await gateway.db();
});

/** No test leaves an event for the faults of the next one. */
afterEach(async () => {
  await sandbox.clear("chronicle");
  await until(async () => await open() === 0, { timeout: 20_000, what: "an outbox with nothing open" });
});

const open = () => db.prepare("SELECT count(*) AS n FROM outbox WHERE done_at IS NULL").first("n");

after(async () => {
  await gateway?.close();
  await sandbox?.close();
});

const LETTERS = "/v1/events/dead-letters";

async function lettersOf(entity) {
  const { json } = await admin("GET", `${LETTERS}?entity=${entity}`);
  return json.dead_letters;
}

const actionsOf = async (id) => (await sandbox.entries({ entityId: id })).entries.map(({ action }) => action);

test("a message that nobody can read is kept and fails no other", async () => {
  const call = client(gateway, "dev-reader");
  const { chitty_id: id } = await create(call, { name: "beside" });
  const unknown = JSON.stringify({ version: "9", id: "evt_of_tomorrow", type: "context.exploded", entity_id: "tomorrow" });
  const verdict = await gateway.queue("CONTEXT_OPS_QUEUE", [{ body: "not JSON" }, { body: unknown }]);
  assert.deepEqual([verdict.outcome, verdict.retryMessages], ["ok", []]);
  const [letter, ...more] = await lettersOf("tomorrow");
  assert.deepEqual([letter.event_type, letter.body, more], ["context.exploded", unknown, []]);
  assert.match(letter.reason, /cannot be read/);
  await until(async () => (await actionsOf(id)).length === 1, { what: "the entry of the other" });

  // Replayed by this version it dies again, and is the same letter.
  const replayed = await admin("POST", `${LETTERS}/${letter.id}/replay`);
  assert.deepEqual(replayed.json.ids, [letter.id]);
  await until(async () => (await lettersOf("tomorrow"))[0].replayed_at === null, { what: "another death" });
  assert.equal((await lettersOf("tomorrow"))[0].replays, 1);
  assert.equal((await admin("DELETE", `${LETTERS}/${letter.id}`)).status, 200);
  assert.deepEqual(await lettersOf("tomorrow"), []);
  assert.equal((await call("GET", LETTERS)).code, "insufficient_scope");
});

test("what Chronicle refuses waits for somebody to look at it, and is told once when replayed", async () => {
  const call = client(gateway, "dev-refused");
  await sandbox.fault("chronicle", { mode: "fail", status: 400 });
  const { chitty_id: id } = await create(call, { name: "refused" });
  const letter = await until(async () => (await lettersOf(id))[0], { what: "a dead letter" });
  assert.equal(letter.event_type, "context.created");
  const timeline = (await call("GET", `/v1/events?entity=${id}`)).json.events;
  assert.deepEqual(timeline.map(({ type, told }) => [type, told]), [["context.created", false]]);
  await sandbox.clear("chronicle");
  await gateway.scheduled();
  assert.deepEqual(await actionsOf(id), [], "not before it is replayed");
  for (let round = 0; round < 3; round += 1) await admin("POST", `${LETTERS}/replay`, { body: { entity: id } });
  await until(async () => (await call("GET", `/v1/events?entity=${id}`)).json.events[0].told, { what: "it to be told" });
  await admin("POST", `${LETTERS}/${letter.id}/replay`);
  await gateway.scheduled();
  assert.deepEqual(await actionsOf(id), ["context.created"]);
});

test("through an outage under load nothing is lost, told twice or out of order", async () => {
  const people = Array.from({ length: 4 }, (_, n) => client(gateway, `dev-outage-${n}`));
  const before = (await admin("GET", LETTERS)).json.count;
  await sandbox.fault("chronicle", { mode: "fail", status: 503 });
  const ids = await Promise.all(people.map(async (call) => {
    const { chitty_id: id } = await create(call, { name: "changed often" });
    for (let n = 0; n < 6; n += 1) await call("PATCH", `/v1/contexts/${id}`, { body: { data: [n] } });
    await call("DELETE", `/v1/contexts/${id}`);
    return id;
  }));
  assert.ok(await open() >= 32);
  assert.equal((await admin("GET", LETTERS)).json.count, before, "an outage makes no dead letters");
  await sandbox.clear("chronicle");
  // The pauses grow for minutes; they are not what is tested here.
  await until(async () => {
    await db.prepare("UPDATE outbox SET due_at = '' WHERE done_at IS NULL").run();
    await gateway.scheduled();
    return await open() === 0;
  }, { timeout: 30_000, what: "an outbox with nothing open" });
  const expected = ["context.created", ...Array(6).fill("context.updated"), "context.deleted"];
  for (const id of ids) {
    assert.deepEqual(await actionsOf(id), expected);
    const { entries } = await sandbox.entries({ entityId: id });
    const written = await db.prepare("SELECT event_id FROM outbox WHERE entity_id = ?1 ORDER BY seq").bind(id).all();
    assert.deepEqual(entries.map(({ metadata }) => metadata.eventId), written.results.map(({ event_id }) => event_id));
  }
});
