/** What the gateway's stores hold, for tests that look for what must not be there or put it right there. */

/** A moment that is over. */
export const PAST = "2020-01-01T00:00:00.000Z";

const STORES = ["CHITTYCONNECT_KV", "TOKEN_KV", "API_KEYS", "RATE_LIMIT", "IDEMP_KV"];

/** Every row of every table in D1, and every entry in KV, as text. */
export async function contents(gateway) {
  const db = await gateway.db();
  const { results: tables } = await db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB '_cf_*' AND name NOT GLOB 'sqlite_*'").all();
  const rows = await Promise.all(tables.map(async ({ name }) => ({ name, rows: (await db.prepare(`SELECT * FROM "${name}"`).all()).results })));
  const entries = await Promise.all(STORES.map((store) => everyEntry(gateway, store)));
  return JSON.stringify([rows, entries]);
}

async function everyEntry(gateway, store) {
  const kv = await gateway.kv(store);
  const { keys } = await kv.list();
  return Promise.all(keys.map(async (key) => [store, key, await kv.get(key.name)]));
}

/** A function `(sql, ...bindings)` that gives the rows of a D1 query. */
export const rowsOf = (gateway) => async (sql, ...bindings) => {
  const statement = (await gateway.db()).prepare(sql);
  return (await (bindings.length > 0 ? statement.bind(...bindings) : statement).all()).results;
};
