/** Calls that leave the gateway per request, counted. */
import { drain, fill } from "./fixture.mjs";
import { ask, cases } from "./requests.mjs";
import { gateway, startServers } from "./servers.mjs";
import { printTable } from "./table.mjs";

const CONTEXTS = 101;
const REQUESTS = 10;

const TARGETS = {
  get: "1 D1, 0 KV, 0 upstream",
  "list of 100": "1 D1, 0 KV, 0 upstream",
  "search of 50": "1 D1, 0 KV, 0 upstream",
  create: "1 mint + D1",
  "webhook, 1 KB": "1 queue",
  "webhook, 8 KB": "1 queue",
};

/** Counts and prints. */
export async function countRoundTrips() {
  const servers = await startServers((sandboxUrl) => [gateway(sandboxUrl, { counting: true })]);
  try {
    const [url] = servers.urls;
    const db = await servers.db();
    const ids = await fill(url, db, { contexts: CONTEXTS });
    await drain(db);
    const rows = [];
    for (const what of cases(ids)) rows.push(await count(what, { url, db, sandbox: servers.sandbox }));
    printTable(
      `Calls per request, counted (warm; of ${REQUESTS} requests)`,
      ["", "D1", "KV", "queue", "mint", "auth", "by the queue's consumer", "target"],
      rows,
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
  const during = { d1: 0, kv: 0, queue: 0 };
  for (let number = 2; number < 2 + REQUESTS; number += 1) {
    const { headers } = await ask(url, what, number);
    // What the consumer does for one request must not be counted with the next.
    await drain(db);
    for (const [kind, calls] of Object.entries(JSON.parse(headers.get("x-bench-calls")))) during[kind] += calls;
  }
  const all = await totals(url);
  const upstream = { mint: await sandbox.count("id"), auth: await sandbox.count("auth"), all: await sandbox.count() };
  const each = (calls) => calls / REQUESTS;
  const after = Object.entries({
    D1: all.d1 - before.d1 - during.d1,
    KV: all.kv - before.kv - during.kv,
    queue: all.queue - before.queue - during.queue,
    upstream: upstream.all - upstream.mint - upstream.auth,
  });
  const later = after.filter(([, calls]) => calls > 0).map(([kind, calls]) => `${each(calls)} ${kind}`);
  return [
    what.name,
    ...[during.d1, during.kv, during.queue, upstream.mint, upstream.auth].map(each),
    later.join(", ") || "nothing",
    TARGETS[what.name] ?? "",
  ];
}

async function totals(url) {
  return (await fetch(`${url}/bench-calls`)).json();
}
