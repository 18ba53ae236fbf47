/** What the tests of the GitHub App share: a gateway that the sandbox's GitHub delivers to. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { until } from "./await.mjs";
import { client } from "./client.mjs";
import { rowsOf } from "./contents.mjs";
import { signatureOf } from "./github.mjs";
import { people } from "./people.mjs";
import { startTogether } from "./together.mjs";

export const WEBHOOK = "/integrations/github/webhook";
export const CALLBACK = "/integrations/github/callback";

/** ChittyIDs of events, and of contexts, which are persons to ChittyID. */
export const EVENT_ID = /^\d{2}-\d-[A-Z]{3}-\d{4}-E-\d{4}-\d-\d{2}$/;
export const CONTEXT_ID = /^\d{2}-\d-[A-Z]{3}-\d{4}-P-\d{4}-\d-\d{2}$/;

/**
 * Overdue at once, so that the sweep need not be waited for. Breakers have tests of their own, as has the handover of
 * what was counted, which would keep the next batch of a queue waiting.
 */
export const AT_ONCE = { OUTBOX_OVERDUE_SECONDS: "0", BREAKER_MIN_CALLS: "0", HANDOVER_SECONDS: "0" };

/** The events whose name in Chronicle has their action. */
const WITH_ACTION = new Set(["installation", "installation_repositories", "pull_request", "issues", "issue_comment", "release", "check_run", "workflow_run"]);

/** As what Chronicle is told of a delivery: `github.push`, `github.issues.opened`. */
export const actionOf = ({ event, action }) => (action && WITH_ACTION.has(event) ? `github.${event}.${action}` : `github.${event}`);

/** Lets the sandbox's GitHub deliver to a gateway and send browsers back to it. */
export const pointTo = (sandbox, { url }, settings = {}) => sandbox.github.set({ webhook_url: url + WEBHOOK, callback_url: url + CALLBACK, ...settings });

/** A function that posts a body to the webhook as GitHub would; a header given as null is left out. */
export function poster(gateway) {
  const call = client(gateway);
  return (body, { event = "push", guid = randomUUID(), secret, headers = {}, isolate } = {}) => {
    const all = { "content-type": "application/json", "x-github-event": event, "x-github-delivery": guid, ...headers };
    if (!Object.hasOwn(headers, "x-hub-signature-256")) all["x-hub-signature-256"] = signatureOf(body, secret);
    const sent = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null));
    return call("POST", WEBHOOK, { raw: body, headers: sent, isolate });
  };
}

/** What is asked of the record and of Chronicle about deliveries, by a function that gives the rows of a D1 query. */
export function witness(sandbox, rows) {
  const TOLD = `SELECT count(*) AS n FROM github_deliveries AS d WHERE d.done_at IS NOT NULL AND delivery_id IN (SELECT value FROM json_each(?1))
    AND delivery_id IN (SELECT payload ->> 'delivery_id' FROM outbox WHERE done_at IS NOT NULL AND event_type LIKE 'github.%')`;
  const OPEN = `SELECT (SELECT count(*) FROM github_deliveries WHERE done_at IS NULL AND dead_at IS NULL)
    + (SELECT count(*) FROM outbox WHERE done_at IS NULL AND dead_at IS NULL) AS n`;

  /** How many of these deliveries are dealt with and told. */
  const countTold = async (guids) => (await rows(TOLD, JSON.stringify(guids)))[0].n;

  return {
    countTold,
    /** Comes back when these deliveries are dealt with and told, and nothing else is open. */
    told: (guids, { timeout = 20_000 } = {}) => {
      const wanted = new Set(guids).size;
      return until(async () => (await countTold([...guids])) === wanted && (await rows(OPEN))[0].n === 0, { timeout, what: "the deliveries to be told" });
    },
    /** Chronicle's entries of deliveries, by delivery id; and the mints for them likewise. */
    account: async () => {
      const { entries } = await sandbox.entries({ limit: 10_000 });
      const minted = await sandbox.minted({ limit: 10_000 });
      return {
        entries: Map.groupBy(entries, ({ metadata }) => metadata.payload?.delivery_id),
        mints: Map.groupBy(minted, ({ metadata }) => metadata.deliveryId),
      };
    },
  };
}

/** Asserts that a delivery has one entry in Chronicle, under its own ChittyID, which is the one that was minted for it. */
export function assertToldOnce({ entries, mints }, delivery) {
  const [entry, ...more] = entries.get(delivery.guid) ?? [];
  assert.deepEqual([entry?.action, more], [actionOf(delivery), []], delivery.guid);
  const { chitty_id, delivery_id } = entry.metadata.payload;
  assert.match(chitty_id, EVENT_ID);
  assert.equal(delivery_id, delivery.guid);
  assert.deepEqual(mints.get(delivery.guid)?.map(({ id, entity_type }) => [id, entity_type]), [[chitty_id, "event"]], delivery.guid);
  return entry;
}

/**
 * Starts it.
 *
 * @param {import("./gateway.mjs").GatewayOptions} [options]
 */
export async function startHooked({ vars, ...options } = {}) {
  const together = await startTogether({ isolates: 2, vars: { ...AT_ONCE, ...vars }, ...options });
  const { gateway, sandbox } = together;
  await pointTo(sandbox, gateway).catch(async (error) => {
    await together.close();
    throw error;
  });
  const rows = rowsOf(gateway);
  return {
    ...together,
    rows,
    ...witness(sandbox, rows),
    admin: client(gateway, "dev-admin"),
    person: people(gateway, "hooked"),
    post: poster(gateway),
    /** Has GitHub deliver, one after the other unless so many at once; gives the deliveries as they ended. */
    deliver: async (deliveries, concurrency = 1) => (await sandbox.github.deliver({ deliveries, concurrency })).deliveries,
    /** The row of an installation. */
    installation: async (id) => (await rows("SELECT * FROM installations WHERE installation_id = ?1", id))[0],
  };
}
