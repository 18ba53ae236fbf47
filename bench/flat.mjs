/** Whether time grows with the number of an owner's contexts: two gateways, a small and a large database. */
import { fill } from "./fixture.mjs";
import { ask, READER, startingWith } from "./requests.mjs";
import { WORDS } from "./seed.mjs";
import { gateway, startServers, withDatabase } from "./servers.mjs";
import { format, median, spread } from "./statistics.mjs";
import { printTable } from "./table.mjs";

const SIZES = [1_000, 100_000];
/** Shows only that the measurement works: ten times as much proves nothing about growth. */
const QUICK_SIZES = [1_000, 10_000];
const TARGET = 1.5;
const WARM_UP_MS = 300;

/**
 * Measures and prints.
 *
 * @param {ReturnType<typeof import("./loader.mjs").startLoader>} loader
 * @param {{rounds: number, ms: number, only?: string, quick?: boolean}} options `only` is the start of a case's name
 */
export async function measureFlatness(loader, { rounds, ms, only = "", quick = false }) {
  const sizes = quick ? QUICK_SIZES : SIZES;
  const servers = await startServers((sandboxUrl) => sizes.map((size) => withDatabase(gateway(sandboxUrl), `contexts-${size}`)));
  try {
    const sides = [];
    for (const [index, contexts] of sizes.entries()) {
      console.log(`Putting ${format(contexts)} contexts into a database…`);
      const ids = await fill(servers.urls[index], await servers.db(index), { contexts });
      sides.push({ url: servers.urls[index], cases: startingWith(only, await flatCases(servers.urls[index], ids)) });
    }
    const measure = ({ url, cases }, at, length) => loader.measure(url, cases[at], { ms: length, pid: servers.pid });
    const names = sides[0].cases.map(({ name }) => name);
    const measured = names.map(() => []);
    for (const at of names.keys()) for (const side of sides) await measure(side, at, WARM_UP_MS);
    for (let round = 0; round < rounds; round += 1) {
      for (const at of names.keys()) {
        const figures = [];
        for (const index of round % 2 === 0 ? [0, 1] : [1, 0]) figures[index] = await measure(sides[index], at, ms);
        measured[at].push(figures);
      }
    }
    print(names, measured, { sizes, rounds, ms });
  } finally {
    await servers.close();
  }
}

async function flatCases(url, ids) {
  const read = (name, ...paths) => ({ name, method: "GET", paths, token: READER.token, status: 200 });
  const search = (name, words) => read(name, `/v1/contexts/search?q=${encodeURIComponent(words)}`);
  const cursor = await cursorAt(url, read, ids[ids.length / 2]);
  const all = [
    read("get", ...Array.from({ length: 100 }, (_, index) => `/v1/contexts/${ids[Math.floor((index * ids.length) / 100)]}`)),
    read("list, first page", "/v1/contexts"),
    read("list, page in the middle", `/v1/contexts?cursor=${cursor}`),
    search("search, word in every name", WORDS.names),
    search("search, word in all data", WORDS.data),
    search("search, word in one context", WORDS.one),
    search("search, two words, every 7th", `${WORDS.names} ${WORDS.seventh}`),
    search("search, two words, one context", `${WORDS.data} ${WORDS.one}`),
  ];
  for (const what of all) await checkFound(url, what);
  return all;
}

/** A cursor in the midst of the list: the first page's, with the keys of another context in place of its own. */
async function cursorAt(url, read, id) {
  const { contexts, next_cursor: first } = JSON.parse((await ask(url, read("", "/v1/contexts?limit=2"))).text);
  // Whether a cursor names the last context of its page or the first of the next one.
  const next = JSON.parse((await ask(url, read("", `/v1/contexts?limit=1&cursor=${first}`))).text).contexts;
  const { created_at: at } = JSON.parse((await ask(url, read("", `/v1/contexts/${id}`))).text);
  const keys = [...contexts, ...next].reduce(
    (text, context) => text.replace(context.created_at, at).replace(context.chitty_id, id),
    Buffer.from(first, "base64url").toString(),
  );
  return Buffer.from(keys).toString("base64url");
}

/** A search that finds nothing would be fast and flat, and mean nothing. */
async function checkFound(url, what) {
  const { status, text } = await ask(url, what);
  if (status !== 200 || JSON.parse(text).count === 0) throw new Error(`${what.name}: ${url} answers ${status} ${text.slice(0, 300)}`);
}

function print(names, measured, { sizes, rounds, ms }) {
  const rows = names.map((name, at) => {
    const of = (size, what) => measured[at].map((figures) => figures[size][what]);
    const growth = (what) => spread(measured[at].map(([small, large]) => large[what] / small[what]));
    const cpu = of(0, "cpu").every((value) => value !== null) ? growth("cpu") : "–";
    return [name, format(median(of(0, "micros"))), format(median(of(1, "micros"))), growth("micros"), cpu];
  });
  printTable(
    `Flat with size: ${sizes.map((size) => format(size)).join(" and ")} contexts of one owner (${rounds} rounds of ${ms} ms; target: at most ${TARGET})`,
    ["", "small µs", "large µs", "large : small", "by CPU"],
    rows,
  );
}
