/** Sudden deaths and outages while GitHub delivers: whatever it has made is told once in the end, and in order. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { until } from "./harness/await.mjs";
import { startGatewayProcess } from "./harness/gateway.mjs";
import { eventOf } from "./harness/github.mjs";
import { assertToldOnce, AT_ONCE, pointTo, startHooked, witness } from "./harness/hooked.mjs";
import { startSandbox } from "./harness/sandbox.mjs";

/** How often the runtime is killed; more by hand: `KILLS=20`. */
const KILLS = Number(process.env.KILLS ?? 3);

// What never arrived is missed at once, and looked for by each round of the cron.
const VARS = { ...AT_ONCE, GITHUB_RECOVERY_SECONDS: "0" };
// What was begun by the dead may be taken up again after six deadlines. A mint that a busy machine keeps from being
// answered within one leaves an identity to nobody: where nobody dies, deadlines are those of a deployed gateway.
const KILLED_VARS = { ...VARS, UPSTREAM_TIMEOUT_MS: "1000" };

const NAMES = ["push", "pull_request.opened", "issues.opened", "issue_comment.created", "release.published", "check_run.completed"];
const REPOSITORIES = 8;
const NOWHERE = "http://127.0.0.1:1/";

let made = 0;
/** So many deliveries to come, of several events in several repositories. */
const several = (count) => Array.from({ length: count }, () => {
  made += 1;
  return { ...eventOf(NAMES[made % NAMES.length], { repository_id: 100 + (made % REPOSITORIES) }), guid: `made-${made}` };
});

const guidsOf = (deliveries) => deliveries.map(({ guid }) => guid);

/** What the tests do with a gateway: `now()` is the one that there is at the moment. */
function playing({ sandbox, rows, now }) {
  const count = async (what, condition) => (await rows(`SELECT count(*) AS n FROM ${what} WHERE ${condition}`))[0].n;
  const { countTold, account } = witness(sandbox, rows);
  return {
    count,
    /** Has GitHub deliver, some at once, and gives the deliveries as they ended. */
    deliver: async (deliveries, concurrency = REPOSITORIES) => (await sandbox.github.deliver({ deliveries, concurrency })).deliveries,

    /**
     * Makes rounds of the cron until all of these are told, each when the one before has had a second. The pauses
     * between two tries grow for minutes; they are not what is tested here.
     */
    roundsUntilTold: async (deliveries) => {
      const isOver = async () => (await count("outbox", "done_at IS NULL")) === 0 && (await countTold(guidsOf(deliveries))) === deliveries.length;
      await until(async () => {
        for (const table of ["outbox", "github_deliveries"]) await rows(`UPDATE ${table} SET due_at = '' WHERE done_at IS NULL`);
        await now().scheduled();
        return until(isOver, { timeout: 1000 }).then(() => true, () => false);
      }, { timeout: 90_000, what: "all that GitHub has made to be told" });
    },

    /**
     * Asserts that each is told once, under the identity that it has on record, and that no two have the same. Who is
     * killed between a mint and keeping it leaves the id to nobody: only then may there be `strayMints`, of which each
     * is on record as minted for nothing, or perhaps so.
     */
    assertToldOnce: async (deliveries, { strayMints = false } = {}) => {
      const { entries, mints } = await account();
      const kept = new Map((await rows("SELECT delivery_id, chitty_id FROM github_deliveries")).map((row) => [row.delivery_id, row.chitty_id]));
      const inDoubt = new Set((await rows("SELECT intent_id AS id FROM mint_intents UNION SELECT entity_id FROM outbox WHERE event_type = 'identity.orphaned'")).map(({ id }) => id));
      const told = deliveries.map((delivery) => {
        const minted = mints.get(delivery.guid) ?? [];
        const own = strayMints ? minted.filter(({ id }) => id === kept.get(delivery.guid)) : minted;
        for (const { id, metadata } of minted.filter((mint) => !own.includes(mint))) {
          assert.ok(inDoubt.has(id) || inDoubt.has(metadata.intent), `nobody knows of ${id}, minted for ${delivery.guid}`);
        }
        return assertToldOnce({ entries, mints: new Map([[delivery.guid, own]]) }, delivery).metadata.payload;
      });
      assert.deepEqual(told.map(({ chitty_id }) => chitty_id), deliveries.map(({ guid }) => kept.get(guid)));
      assert.equal(new Set(told.map(({ chitty_id }) => chitty_id)).size, deliveries.length);
      assert.equal(await count("dead_letters", "1"), 0);
    },

    /** Asserts that what happened in one repository is told in the order in which it was committed. */
    assertInOrder: async () => {
      for (let id = 100; id < 100 + REPOSITORIES; id += 1) {
        const entity = `github:repository:${id}`;
        const { entries } = await sandbox.entries({ entityId: entity, limit: 10_000 });
        const written = await rows("SELECT event_id FROM outbox WHERE entity_id = ?1 ORDER BY seq", entity);
        assert.deepEqual(entries.map(({ metadata }) => metadata.eventId), written.map(({ event_id }) => event_id), entity);
      }
    },
  };
}

describe("a gateway that is killed", () => {
  let sandbox, persist, gateway, play;

  const start = async () => {
    gateway = await startGatewayProcess({ sandboxUrl: sandbox.url, persist, vars: KILLED_VARS });
    await pointTo(sandbox, gateway);
  };

  beforeEach(async () => {
    sandbox = await startSandbox();
    persist = await mkdtemp(path.join(os.tmpdir(), "chittyconnect-"));
    await start();
    play = playing({ sandbox, rows: (...query) => gateway.rows(...query), now: () => gateway });
  });

  afterEach(async () => {
    await gateway?.close();
    await sandbox?.close();
    await rm(persist, { recursive: true, force: true });
  });

  test("again and again while GitHub delivers has told of every delivery once in the end", async () => {
    const all = [];
    const taken = async () => (await sandbox.github.deliveries({ limit: 10_000 })).deliveries.filter(({ status_code }) => status_code === 202).length;
    for (let kill = 0; kill < KILLS; kill += 1) {
      const enough = (await taken()) + 5 + Math.floor(Math.random() * 40);
      const ended = play.deliver(several(60));
      await until(async () => (await taken()) >= enough, { timeout: 20_000, what: "deliveries that were taken" });
      await gateway.kill9();
      all.push(...(await ended));
      await start();
    }
    await play.roundsUntilTold(all);
    await play.assertToldOnce(all, { strayMints: true });
    await play.assertInOrder();
    assert.equal((await sandbox.github.deliveries({ limit: 10_000 })).deliveries.filter(({ redelivery }) => !redelivery).length, all.length);
  });
});

describe("a gateway", () => {
  let hooked, sandbox, gateway, play;

  before(async () => {
    hooked = await startHooked({ isolates: 1, vars: VARS });
    ({ sandbox, gateway } = hooked);
    play = playing({ ...hooked, now: () => gateway });
  });

  after(() => hooked?.close());

  test("that GitHub could not reach finds what it has missed, and has it delivered again, once", async () => {
    await sandbox.github.set({ webhook_url: NOWHERE });
    const lost = await play.deliver(several(12));
    assert.ok(lost.every(({ status_code }) => status_code === 502));
    await pointTo(sandbox, gateway);
    const [late] = await play.deliver(several(1));
    assert.equal(late.status_code, 202);
    await play.roundsUntilTold([...lost, late]);
    await play.assertToldOnce([...lost, late]);
    for (let round = 0; round < 3; round += 1) await gateway.scheduled();
    for (const { guid } of lost) {
      const { deliveries } = await sandbox.github.deliveries({ guid });
      assert.deepEqual(deliveries.map(({ redelivery, status_code }) => [redelivery, status_code]), [[false, 502], [true, 202]]);
    }
    assert.equal((await sandbox.github.deliveries({ guid: late.guid })).total, 1);
  });

  test("asks for each by itself, whatever GitHub says of another and however many it lists", async () => {
    await sandbox.github.set({ webhook_url: NOWHERE });
    const lost = await play.deliver(several(3));
    await pointTo(sandbox, gateway);
    // More than one page.
    const others = await play.deliver(several(150), 20);
    assert.ok(others.every(({ status_code }) => status_code === 202));
    await until(async () => (await play.count("github_deliveries", "done_at IS NULL")) === 0, { timeout: 60_000, what: "the others to be dealt with" });
    const [refused] = (await sandbox.github.deliveries({ guid: lost[0].guid })).deliveries;
    await sandbox.fault("github", { mode: "fail", status: 422, path: `/api/app/hook/deliveries/${refused.id}/attempts` });
    await play.roundsUntilTold(lost.slice(1));
    assert.equal(await play.count("github_missing", "1"), 1);
    await sandbox.clear("github");
    await play.roundsUntilTold([...lost, ...others]);
    await play.assertToldOnce(lost);
    assert.equal(await play.count("github_missing", "1"), 0);
  });

  test("gives up asking for what arrives nowhere when GitHub repeats it no longer, says so, and goes on", async () => {
    await sandbox.github.set({ webhook_url: NOWHERE });
    const [never] = await play.deliver(several(1));
    const attempts = async () => (await sandbox.github.deliveries({ guid: never.guid })).deliveries.filter(({ status_code }) => status_code !== null).length;
    for (let attempt = 1; attempt < 8; attempt += 1) {
      await gateway.scheduled();
      await until(async () => (await attempts()) === attempt + 1, { what: "another attempt" });
    }
    // Three days later.
    await hooked.rows("UPDATE github_missing SET until_at = '' WHERE delivery_id = ?1", never.guid);
    await gateway.scheduled();
    const letters = (await hooked.admin("GET", "/v1/events/dead-letters")).json.dead_letters;
    const letter = letters.find(({ event_id }) => event_id === never.guid);
    assert.match(letter.reason, /asked 7 times/);
    assert.ok(gateway.logs.some(({ message }) => /delivery_never_arrives/.test(message) && message.includes(never.guid)));
    await pointTo(sandbox, gateway);
    const [next] = await play.deliver(several(1));
    await play.roundsUntilTold([next]);
    assert.equal(await attempts(), 8);
    // Whoever replays the letter has it asked for once more.
    assert.equal((await hooked.admin("POST", `/v1/events/dead-letters/${letter.id}/replay`)).status, 200);
    await until(async () => (await play.count("github_missing", "1")) === 1, { what: "it to be asked for" });
    await play.roundsUntilTold([never]);
    await hooked.admin("DELETE", `/v1/events/dead-letters/${letter.id}`);
  });

  test("takes everything while Chronicle is down, and tells it when it is back", async () => {
    const before = await play.count("github_deliveries", "done_at IS NOT NULL");
    await sandbox.fault("chronicle", { mode: "fail", status: 503 });
    const deliveries = await play.deliver(several(300), 20);
    assert.ok(deliveries.every(({ status_code }) => status_code === 202));
    await until(async () => (await play.count("github_deliveries", "done_at IS NOT NULL")) === before + 300, { timeout: 30_000, what: "the deliveries to be dealt with" });
    assert.equal(await play.count("outbox", "done_at IS NULL AND entity_type = 'repository'"), 300);
    await sandbox.clear("chronicle");
    await play.roundsUntilTold(deliveries);
    await play.assertToldOnce(deliveries);
    await play.assertInOrder();
  });

  test("waits for a mint that is answered late, and makes no other", async () => {
    // Later than a call to a service may take.
    await sandbox.fault("id", { mode: "delay", delay_ms: 6000, effect: true, times: 3 });
    const deliveries = await play.deliver(several(3));
    const isDealtWith = async () => (await play.count("github_deliveries", "done_at IS NULL")) === 0;
    await until(isDealtWith, { timeout: 40_000, what: "the deliveries to be dealt with" });
    await play.roundsUntilTold(deliveries);
    await play.assertToldOnce(deliveries);
  });

  test("takes everything while ChittyID is down, and tells it when that is back", async () => {
    for (const service of ["id", "mint"]) await sandbox.fault(service, { mode: "fail", status: 503 });
    const deliveries = await play.deliver(several(40));
    assert.ok(deliveries.every(({ status_code }) => status_code === 202));
    await until(async () => (await play.count("github_deliveries", "done_at IS NULL")) === 40, { what: "the deliveries to be on record" });
    await sandbox.clear();
    await play.roundsUntilTold(deliveries);
    await play.assertToldOnce(deliveries);
    await play.assertInOrder();
  });
});
