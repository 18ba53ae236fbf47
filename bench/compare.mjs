/** The gateway against the control: the same requests, the same database, in turns. */
import { drain, fill } from "./fixture.mjs";
import { until } from "../tests/e2e/harness/await.mjs";
import { ask, cases, comparable, DISCOVERY, NEW_CONTEXT, NUMBER, READER, startingWith, WRITER } from "./requests.mjs";
import { indexed, WORDS } from "./seed.mjs";
import { cpuMicros } from "./processes.mjs";
import { control, gateway, startServers, withoutConsumer } from "./servers.mjs";
import { format, median, spread } from "./statistics.mjs";
import { printTable } from "./table.mjs";

const CONTEXTS = 1000;
const OTHERS = 1000;
const WARM_UP_MS = 300;

/**
 * Measures and prints.
 *
 * @param {ReturnType<typeof import("./loader.mjs").startLoader>} loader
 * @param {{rounds: number, ms: number, only?: string}} options `only` is the start of a case's name
 */
export async function compare(loader, { rounds, ms, only = "" }) {
  const servers = await startServers((sandboxUrl) => {
    const subject = gateway(sandboxUrl);
    return [subject, control(subject, sandboxUrl), withoutConsumer(subject)];
  });
  try {
    const db = await servers.db();
    const chosen = startingWith(only, withEffects(await prepare(servers, db)));
    const [gatewayUrl, controlUrl, alone] = servers.urls;
    const sides = { gateway: gatewayUrl, control: controlUrl };
    for (const [index, what] of chosen.entries()) await checkEqual(what, sides, 90_000_000 + 10 * index);
    const measure = async (side, what, length) => {
      const isAlone = side === "gateway" && what.name === CREATE;
      const before = cpuMicros(servers.pid);
      const figures = await loader.measure(isAlone ? alone : sides[side], what, { ms: length, pid: servers.pid });
      if (isAlone) await db.prepare("UPDATE outbox SET done_at = created_at WHERE done_at IS NULL").run();
      await drain(db);
      if (!what.withEffects || before === null) return figures;
      return { ...figures, cpu: (cpuMicros(servers.pid) - before) / figures.answered };
    };
    for (const what of chosen) for (const side of Object.keys(sides)) await measure(side, what, WARM_UP_MS);
    const measured = new Map(chosen.map(({ name }) => [name, []]));
    for (let round = 0; round < rounds; round += 1) {
      const order = round % 2 === 0 ? ["gateway", "control"] : ["control", "gateway"];
      for (const what of chosen) {
        const figures = {};
        for (const side of order) figures[side] = await measure(side, what, ms);
        measured.get(what.name).push(figures);
      }
    }
    print(chosen, measured, { rounds, ms });
  } finally {
    await servers.close();
  }
}

/** A creation is measured by itself, which the consumer of the queue has no part in, and with all that follows from it. */
const CREATE = "create";

function withEffects(all) {
  return all.flatMap((what) => (what.name === CREATE ? [what, { ...what, name: "create, with its effects", withEffects: true, target: undefined }] : [what]));
}

async function prepare({ urls: [gatewayUrl, controlUrl] }, db) {
  const ids = await fill(gatewayUrl, db, { contexts: CONTEXTS, others: OTHERS });
  const number = "99999999";
  const created = JSON.parse(JSON.stringify(NEW_CONTEXT).replace(NUMBER, number));
  const index = await indexed(gatewayUrl, db, WRITER.token, created);
  const settings = {
    health: await (await fetch(`${gatewayUrl}/health`)).json(),
    discovery: await discovery(gatewayUrl),
    reader: { owner: READER.owner, mark: await markOf(db, WORDS.names) },
    writer: { owner: WRITER.owner, number, index },
  };
  await fetch(controlUrl, { method: "PUT", body: JSON.stringify(settings) });
  await drain(db);
  return cases(ids);
}

/** The discovery document, once ChittyRegistry's list is in it. */
function discovery(gatewayUrl) {
  const read = async () => {
    const text = await (await fetch(gatewayUrl + DISCOVERY)).text();
    return JSON.parse(text).registry.stale ? null : text;
  };
  return until(read, { what: "the registry's list", timeout: 30_000 });
}

/** What stands before a word in the reader's entries of the index. */
async function markOf(db, word) {
  const query = `SELECT contexts_fts.* FROM contexts JOIN contexts_fts ON contexts_fts.rowid IN (row_id, -row_id)
    WHERE owner_chitty_id = ?1 LIMIT 1`;
  const terms = Object.values(await db.prepare(query).bind(READER.owner).first()).join(" ").split(" ");
  return terms.find((term) => term.toLowerCase().endsWith(word)).slice(0, -word.length);
}

/** Stops the benchmark unless both sides answer alike: what is not the same cannot be compared. */
async function checkEqual(what, sides, number) {
  const texts = [];
  for (const [index, [side, url]] of Object.entries(sides).entries()) {
    const { status, text } = await ask(url, what, number + Number(index));
    if (status !== what.status) throw new Error(`${what.name}: the ${side} answers ${status}: ${text.slice(0, 300)}`);
    texts.push(comparable(what, text));
  }
  const [ours, theirs] = texts;
  if (ours === theirs) return;
  const at = [...ours].findIndex((character, index) => character !== theirs[index]);
  const near = (text) => text.slice(Math.max(0, at - 60), at + 60);
  throw new Error(`${what.name}: the replies differ at ${at}:\n  gateway  …${near(ours)}…\n  control  …${near(theirs)}…`);
}

function print(chosen, measured, { rounds, ms }) {
  const rows = chosen.map(({ name, target }) => {
    const figures = measured.get(name);
    const of = (side, what) => figures.map((round) => round[side][what]);
    const ratios = figures.map((round) => round.gateway.rate / round.control.rate);
    const cpu = of("gateway", "cpu").every((value) => value !== null)
      ? [
          format(median(of("gateway", "cpu"))),
          format(median(of("control", "cpu"))),
          spread(figures.map((round) => round.control.cpu / round.gateway.cpu)),
        ]
      : ["–", "–", "–"];
    return [name, format(median(of("gateway", "rate"))), format(median(of("control", "rate"))), spread(ratios), target ? `≥ ${target}` : "", ...cpu];
  });
  printTable(
    `Gateway and bare JavaScript control (${rounds} rounds of ${ms} ms each; medians, in parentheses the middle half of the rounds)`,
    ["", "gateway/s", "control/s", "gateway : control", "target", "gateway CPU µs", "control CPU µs", "by CPU"],
    rows,
  );
}
