/** Calls that leave the gateway per request and the rows they touch, counted, and what a million requests cost. */
import { drain, fill } from "./fixture.mjs";
import { ask, cases } from "./requests.mjs";
import { gateway, startServers } from "./servers.mjs";
import { format } from "./statistics.mjs";
import { printTable } from "./table.mjs";

const CONTEXTS = 101;
const REQUESTS = 10;

const TARGETS = {
  discovery: "0 D1, from the isolate's memory",
  get: "1 D1, 0 KV, 0 upstream",
  "list of 100": "1 D1, 0 KV, 0 upstream",
  "search of 50": "1 D1, 0 KV, 0 upstream",
  create: "1 mint + D1",
  "webhook, 1 KB": "1 queue",
  "webhook, 8 KB": "1 queue",
};

/**
 * List prices of the platform in US dollars a million, in November 2026, beyond what a plan includes
 * (developers.cloudflare.com: workers, d1, kv and queues, each under "pricing"). A message of a queue is
 * three operations: written, read, deleted. Processor time is not in it: it is measured here, not billed.
 */
const PRICES = { request: 0.3, rowsRead: 0.001, rowsWritten: 1, kvReads: 0.5, kvWrites: 5, queue: 3 * 0.4 };

/** Counts and prints. */
export async function countRoundTrips() {
  const servers = await startServers((sandboxUrl) => [gateway(sandboxUrl, { entry: "counting.mjs" })]);
  try {
    const [url] = servers.urls;
    const db = await servers.db();
    const ids = await fill(url, db, { contexts: CONTEXTS });
    await drain(db);
    const counted = [];
    for (const what of cases(ids)) counted.push({ what, ...(await count(what, { url, db, sandbox: servers.sandbox })) });
    printTable(
      `Calls per request, counted (warm; of ${REQUESTS} requests)`,
      ["", "D1", "KV", "queue", "mint", "auth", "by the queue's consumer", "target"],
      counted.map(({ what, during, later, upstream }) => [
        what.name,
        ...[during.d1, during.kvReads + during.kvWrites, during.queue, upstream.mint, upstream.auth].map(each),
        told({ D1: later.d1, KV: later.kvReads + later.kvWrites, queue: later.queue, upstream: upstream.others }) || "nothing",
        TARGETS[what.name] ?? "",
      ]),
    );
    printTable(
      "Rows of D1 per request, and the cost of a million requests at list prices (USD, without processor time)",
      ["", "read", "written", "read by the consumer", "written by the consumer", "cost"],
      counted.map(({ what, during, later }) => [
        what.name,
        ...[during.rowsRead, during.rowsWritten, later.rowsRead, later.rowsWritten].map(each),
        format(costOf(during, later), 2),
      ]),
    );
  } finally {
    await servers.close();
  }
}

async function count(what, { url, db, sandbox }) {
  // The first one may ask ChittyAuth, whose answer then holds for a minute.
  await ask(url, what, 1);
  await drain(db);
  await sandbox.reset();
  const before = await totals(url);
  const during = Object.fromEntries(Object.keys(before).map((kind) => [kind, 0]));
  for (let number = 2; number < 2 + REQUESTS; number += 1) {
    const { headers } = await ask(url, what, number);
    // What the consumer does for one request must not be counted with the next.
    await drain(db);
    for (const [kind, calls] of Object.entries(JSON.parse(headers.get("x-bench-calls")))) during[kind] += calls;
  }
  const all = await totals(url);
  const later = Object.fromEntries(Object.keys(all).map((kind) => [kind, all[kind] - before[kind] - during[kind]]));
  const [mint, auth, whole] = [await sandbox.count("id"), await sandbox.count("auth"), await sandbox.count()];
  return { during, later, upstream: { mint, auth, others: whole - mint - auth } };
}

const each = (calls) => calls / REQUESTS;

function told(calls) {
  const some = Object.entries(calls).filter(([, count]) => count > 0);
  return some.map(([kind, count]) => `${each(count)} ${kind}`).join(", ");
}

/** Of a million requests, with what is done for them afterwards. */
function costOf(during, later) {
  const sum = (kind) => each(during[kind] + later[kind]) * PRICES[kind];
  return PRICES.request + ["rowsRead", "rowsWritten", "kvReads", "kvWrites", "queue"].map(sum).reduce((one, other) => one + other);
}

async function totals(url) {
  return (await fetch(`${url}/bench-calls`)).json();
}
