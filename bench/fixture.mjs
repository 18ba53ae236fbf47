/** Brings a gateway that has just started to where it is measured: registered, connected, with contexts in it. */
import { actorId } from "../sandbox/chitty-id.mjs";
import { until } from "../tests/e2e/harness/await.mjs";
import { READER } from "./requests.mjs";
import { seed } from "./seed.mjs";

const OTHER_OWNERS = 5;

/**
 * @param {string} url the gateway's
 * @param {object} db its D1 database
 * @param {{contexts: number, others?: number}} options how many the reader has, and some others together
 * @returns {Promise<string[]>} the ids of the reader's, oldest first
 */
export async function fill(url, db, { contexts, others = 0 }) {
  for (let other = 1; other <= OTHER_OWNERS && others > 0; other += 1) {
    const name = `bench-other-${other}`;
    await seed(url, db, { owner: actorId(name), token: `dev-${name}`, count: others / OTHER_OWNERS, from: other * 1_000_000 });
  }
  const ids = await seed(url, db, { ...READER, count: contexts });
  await until(() => isRegistered(url), { what: "the gateway to be registered and connected", timeout: 30_000 });
  return ids;
}

/** Comes back when every event has been told, so that nothing is left to be done behind the replies. */
export function drain(db) {
  const open = "SELECT count(*) AS open FROM outbox WHERE done_at IS NULL";
  return until(async () => (await db.prepare(open).first("open")) === 0, { what: "the events to be told", timeout: 30_000 });
}

async function isRegistered(url) {
  const response = await fetch(`${url}/health`);
  const { ecosystem, connection } = await response.json();
  return ecosystem.state !== "pending" && connection.initialized;
}
