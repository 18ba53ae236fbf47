/**
 * The control: the same replies from a bare JavaScript Worker, one plain D1 query each. No
 * authentication, no checks, no framework, no headers of its own. Where there was a choice it has
 * the cheaper way, so that the gateway is never flattered by it.
 */

const COLUMNS = [
  "chitty_id",
  "name",
  "owner_chitty_id",
  "data",
  "systems",
  "tools",
  "status",
  "created_at",
  "updated_at",
  "deleted_at",
  "chitty_dna_id",
  "chitty_chronicle_timeline_id",
  "type",
  "customizations",
];
const FIELDS = COLUMNS.join(", ");

/**
 * What the benchmark tells it: the reply of `/health`; the discovery document; the owner that is read and what stands before
 * its words in the index; the owner that creates, and what the index holds of what it creates, where
 * `number` stands for the number.
 *
 * @type {{health: object, discovery: string, reader: {owner: string, mark: string},
 *   writer: {owner: string, number: string, index: {sign: 1 | -1, columns: Record<string, string>}}}}
 */
let settings = {};

export default {
  async fetch(request, env) {
    const { pathname, searchParams } = new URL(request.url);
    if (request.method === "PUT") {
      settings = await request.json();
      return Response.json(null);
    }
    if (pathname === "/integrations/github/webhook") return take(request, env);
    if (request.method === "POST") return create(request, env);
    if (pathname === "/health") return Response.json({ ...settings.health, timestamp: new Date().toISOString() });
    if (pathname === "/.well-known/chitty.json") return new Response(settings.discovery, { headers: { "content-type": "application/json" } });
    if (pathname === "/v1/contexts") return list(env.DB);
    if (pathname === "/v1/contexts/search") return search(env.DB, searchParams.get("q"));
    return show(env.DB, pathname.slice("/v1/contexts/".length));
  },
};

let key;

/** Verifies the signature, sends the body to the queue as it is, and says so. */
async function take(request, env) {
  key ??= await crypto.subtle.importKey("raw", new TextEncoder().encode(env.GITHUB_WEBHOOK_SECRET), { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
  const { headers } = request;
  const body = await request.arrayBuffer();
  const signature = Uint8Array.fromHex(headers.get("x-hub-signature-256").slice("sha256=".length));
  if (!(await crypto.subtle.verify("HMAC", key, signature, body))) return new Response(null, { status: 401 });
  await env.EVENT_Q.send(new Uint8Array(body), { contentType: "bytes" });
  const id = headers.get("x-github-delivery");
  return Response.json({ deliveryId: id, delivery_id: id, eventType: headers.get("x-github-event"), status: "ok" }, { status: 202 });
}

async function show(db, id) {
  const query = `SELECT ${FIELDS} FROM contexts WHERE chitty_id = ?1 AND deleted_at IS NULL`;
  return Response.json(context(await db.prepare(query).bind(id).first()));
}

async function list(db) {
  const query = `SELECT ${FIELDS} FROM contexts WHERE owner_chitty_id = ?1 AND deleted_at IS NULL
    ORDER BY created_at DESC, chitty_id DESC LIMIT 100`;
  const { results } = await db.prepare(query).bind(settings.reader.owner).all();
  const last = results.at(-1);
  return Response.json({
    contexts: results.map(context),
    count: results.length,
    next_cursor: cursor(last.created_at, last.chitty_id),
  });
}

async function search(db, text) {
  const { sign } = settings.writer.index;
  const query = `SELECT ${COLUMNS.map((name) => `c.${name}`).join(", ")}
    FROM contexts_fts AS f JOIN contexts AS c ON c.row_id = ${sign} * f.rowid
    WHERE f.contexts_fts MATCH ?1 AND c.owner_chitty_id = ?2 AND c.status = 'active'
    ORDER BY f.rowid ${sign > 0 ? "DESC" : "ASC"} LIMIT 50`;
  const { results } = await db.prepare(query).bind(`"${settings.reader.mark}${text}"`, settings.reader.owner).all();
  return Response.json({
    contexts: results.map(context),
    count: results.length,
    query: text,
    next_cursor: cursor("2", results.at(-1).chitty_id),
  });
}

/** The cursor names the sort keys of the last entry; here there is always a next page. */
function cursor(...keys) {
  return btoa(keys.join("|")).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

async function create(request, env) {
  const { name, data, systems, tools } = await request.json();
  const minted = await fetch(env.MINT_URL, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ entity_type: "person", entityType: "person" }),
  });
  const { chittyId } = await minted.json();
  const { owner, number, index } = settings.writer;
  const columns = Object.keys(index.columns);
  const event = `evt_${crypto.randomUUID()}`;
  const now = new Date().toISOString();
  const [inserted] = await env.DB.batch([
    env.DB.prepare(
      `INSERT INTO contexts (owner_chitty_id, chitty_id, name, data, systems, tools, status,
         created_at, updated_at, revision, name_key, words_written)
       VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'active', ?7, ?7, ?8, ?3, 1) RETURNING ${FIELDS}`,
    ).bind(owner, chittyId, name, JSON.stringify(data), JSON.stringify(systems), JSON.stringify(tools), now, event),
    env.DB.prepare(
      `INSERT INTO contexts_fts (rowid, ${columns.join(", ")})
       SELECT ${index.sign} * row_id, ${columns.map((_, at) => `?${at + 2}`).join(", ")} FROM contexts WHERE chitty_id = ?1`,
    ).bind(chittyId, ...Object.values(index.columns).map((words) => words.replaceAll(number, /\d+/.exec(name)))),
    // Done at once: nobody announces it.
    env.DB.prepare(
      `INSERT INTO outbox (event_id, event_type, entity_type, entity_id, actor_id, payload,
         created_at, due_at, done_at)
       VALUES (?1, 'context.created', 'context', ?2, ?3, '{"status":"active"}', ?4, ?4, ?4)`,
    ).bind(event, chittyId, owner, now),
  ]);
  return Response.json({ success: true, context: context(inserted.results[0]) }, { status: 201 });
}

function context(row) {
  return {
    chitty_id: row.chitty_id,
    chittyId: row.chitty_id,
    contextId: row.chitty_id,
    name: row.name,
    owner_chitty_id: row.owner_chitty_id,
    owner: row.owner_chitty_id,
    data: JSON.parse(row.data),
    systems: JSON.parse(row.systems),
    tools: JSON.parse(row.tools),
    status: row.status,
    created_at: row.created_at,
    updated_at: row.updated_at,
    deleted_at: row.deleted_at,
    chitty_dna_id: row.chitty_dna_id,
    chitty_chronicle_timeline_id: row.chitty_chronicle_timeline_id,
    created: row.created_at,
    type: row.type,
    customizations: JSON.parse(row.customizations),
  };
}
