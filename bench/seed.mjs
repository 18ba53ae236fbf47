/** What is in the database: contexts put there by SQL, hundreds a statement. */
import { mintedId } from "../sandbox/chitty-id.mjs";

/** An instant as the gateway writes it. */
export const DATE = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g;

const SYSTEMS = ["chittyauth", "chittyid", "chittychronicle"];
const TOOLS = ["search", "review", "deploy"];

/**
 * What a search may ask for: a word in every name, a word in the data of every context and in no
 * name, a word in one context, a word in every seventh name, which is not the one's.
 */
export const WORDS = { names: "quarterly", data: "agents", one: "r000007", seventh: "alpha" };

const KINDS = [WORDS.seventh, "beta"];
const kindOf = (number) => (number % 7 === 0 ? 0 : 1);

const FIRST_MS = Date.parse("2026-01-01T00:00:00.000Z");
const CHUNK = 500;
/** Beyond every number that the sandbox will reach by minting. */
const FIRST_ID = 50_000_000;
/** No seeded context has it. */
const SAMPLE_NUMBER = 999_999;

/** A context of a kind, as a caller sends it. */
function contextOf(number, kind) {
  return {
    name: `Quarterly report ${label(number)} ${KINDS[kind]}`,
    data: [
      { repo: "chittyos/service", branch: "main", issue: label(number), note: "what the agents have found so far" },
      { kind: "summary", text: "Review of the open work and what comes next" },
    ],
    systems: SYSTEMS,
    tools: TOOLS,
  };
}

function label(number) {
  return `r${String(number).padStart(6, "0")}`;
}

/**
 * Makes one context and gives what the gateway has put into the search index for it: `columns` by
 * name, and whether its number there is the context's (`sign` 1) or counts the other way (-1). So
 * the seed has what the gateway would have written, however it cuts, marks and numbers.
 */
export async function indexed(url, db, token, body) {
  const response = await fetch(`${url}/v1/contexts`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  if (response.status !== 201) throw new Error(`The gateway made no context: ${response.status} ${text}`);
  const query = `SELECT contexts_fts.rowid AS entry, contexts_fts.* FROM contexts
    JOIN contexts_fts ON contexts_fts.rowid IN (row_id, -row_id) WHERE chitty_id = ?1`;
  const { entry, ...columns } = await db.prepare(query).bind(JSON.parse(text).context.chitty_id).first();
  return { sign: Math.sign(entry), columns };
}

/**
 * Adds contexts of an owner and gives their ids, the oldest first. Their words are in the form in which the
 * gateway writes them, which it is told where it asks.
 *
 * @param {string} url the gateway's
 * @param {object} db its D1 database
 * @param {{owner: string, token: string, count: number, from?: number}} what `from` keeps the ids
 *   of several calls apart
 */
export async function seed(url, db, { owner, token, count, from = 0 }) {
  const samples = [];
  for (const kind of KINDS.keys()) samples.push(await indexed(url, db, token, contextOf(SAMPLE_NUMBER, kind)));
  const columns = Object.keys(samples[0].columns);
  const entries = db.prepare(
    `INSERT INTO contexts_fts (rowid, ${columns.join(", ")})
     SELECT ${samples[0].sign} * row_id, ${columns.map((_, index) => `value ->> '$.index[${index}]'`).join(", ")}
     FROM json_each(?1) JOIN contexts ON chitty_id = value ->> '$.id' ORDER BY 1`,
  );
  const inPresentForm = await db.prepare("SELECT words_written FROM contexts LIMIT 1").first().then(() => true, () => false);
  const contexts = inPresentForm ? CONTEXTS.replace("revision)", "revision, words_written)").replace(" FROM json_each", ", 1 FROM json_each") : CONTEXTS;
  const ids = [];
  for (let start = 0; start < count; start += CHUNK) {
    const rows = Array.from({ length: Math.min(CHUNK, count - start) }, (_, index) => row(start + index, from, samples));
    ids.push(...rows.map(({ id }) => id));
    const json = JSON.stringify(rows);
    await db.batch([db.prepare(contexts).bind(json, owner), entries.bind(json)]);
  }
  return ids;
}

const CONTEXTS = `INSERT INTO contexts (owner_chitty_id, chitty_id, name, data, systems, tools, created_at, updated_at, revision)
  SELECT ?2, value ->> 'id', value ->> 'name', value -> 'data', value -> 'systems', value -> 'tools',
    value ->> 'at', value ->> 'at', 'evt_' || (value ->> 'id') FROM json_each(?1)`;

function row(number, from, samples) {
  const kind = kindOf(number);
  return {
    ...contextOf(number, kind),
    id: mintedId(FIRST_ID + from + number, "P", FIRST_MS),
    at: new Date(FIRST_MS + number * 1000).toISOString(),
    // The beginnings of the sample's number stay: nothing here asks for the beginning of a word.
    index: Object.values(samples[kind].columns).map((text) => text.replaceAll(label(SAMPLE_NUMBER), label(number))),
  };
}
