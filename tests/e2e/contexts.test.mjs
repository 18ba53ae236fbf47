/** Contexts over HTTP against real D1, KV and Queues: what a user does, and every rule that holds. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { until } from "./harness/await.mjs";
import { bare, client, create } from "./harness/client.mjs";
import { contents } from "./harness/contents.mjs";
import { startGateway } from "./harness/gateway.mjs";
import { ROOT } from "./harness/runtime.mjs";
import { startSandbox } from "./harness/sandbox.mjs";

let sandbox, gateway, anyone;
let actors = 0;

before(async () => {
  sandbox = await startSandbox();
  gateway = await startGateway({ sandboxUrl: sandbox.url });
  anyone = client(gateway);
});

after(async () => {
  await gateway?.close();
  await sandbox?.close();
});

/** A caller whom no other test knows. */
const actor = () => client(gateway, `dev-actor-${++actors}`);

test("a context is made, read, listed, found, changed and deleted", async () => {
  const call = actor();
  const body = { name: "release 42", data: [{ repo: "chitty" }], systems: ["github"], tools: ["search"] };
  const made = await call("POST", "/v1/contexts", { body });
  assert.equal(made.status, 201);
  assert.equal(made.json.success, true);
  const { context } = made.json;
  assert.match(context.chitty_id, /^\d{2}-[1-9]-[A-Z]{3}-\d{4}-P-\d{4}-[0-5]-\d{2}$/, "a context is a person, synthetic");
  assert.deepEqual([context.chittyId, context.contextId], [context.chitty_id, context.chitty_id]);
  assert.deepEqual([context.data, context.systems, context.tools], [body.data, body.systems, body.tools]);
  assert.match(context.created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  const path = made.headers.get("location");
  assert.equal(path, `/v1/contexts/${context.chitty_id}`);

  const read = await call("GET", path);
  assert.deepEqual(bare(read.json), bare(context));
  assert.equal(read.headers.get("etag").replace(/\.\d+"$/, '"'), made.headers.get("etag"));
  const list = (await call("GET", "/v1/contexts")).json;
  assert.deepEqual({ ...list, contexts: list.contexts.map(bare) }, { contexts: [bare(context)], count: 1, next_cursor: null });
  const found = (await call("GET", "/v1/contexts/search?q=chitty")).json;
  assert.deepEqual({ ...found, contexts: found.contexts.map(bare) }, {
    contexts: [bare(context)],
    count: 1,
    query: "chitty",
    next_cursor: null,
  });

  const changed = await call("PATCH", path, { body: { name: "release 43", status: "inactive" } });
  assert.equal(changed.json.context.name, "release 43");
  assert.deepEqual(changed.json.context.data, body.data);
  assert.equal((await call("GET", "/v1/contexts/search?q=release")).json.count, 0, "put aside");
  assert.equal((await call("GET", "/v1/contexts/search?q=release&status=inactive")).json.count, 1);

  const deleted = await call("DELETE", path);
  assert.deepEqual([deleted.status, deleted.json.chitty_id], [200, context.chitty_id]);
  assert.equal((await call("GET", path)).code, "not_found");
  assert.equal((await call("GET", "/v1/contexts?status=all")).json.count, 0);
  await create(call, body);
});

test("each change reaches ChittyChronicle, once and in order", async () => {
  const call = actor();
  const { chitty_id: id } = await create(call, { name: "told", data: ["private words"] });
  const told = (total) => until(async () => {
    const found = await sandbox.entries({ entityId: id });
    return found.total === total && found.entries;
  }, { what: `${total} entries of ${id}` });
  await told(1);
  await call("PATCH", `/v1/contexts/${id}`, { body: { data: [] } });
  await told(2);
  await call("DELETE", `/v1/contexts/${id}`);
  const entries = await told(3);
  assert.deepEqual(entries.map(({ action }) => action), ["context.created", "context.updated", "context.deleted"]);
  assert.equal(new Set(entries.map(({ metadata }) => metadata.eventId)).size, 3);
  assert.doesNotMatch(JSON.stringify(entries), /private words/);
  const db = await gateway.db();
  await until(async () => (await db.prepare("SELECT count(*) AS n FROM outbox WHERE done_at IS NULL").first("n")) === 0, {
    what: "an outbox with nothing open",
  });
});

test("another actor's context is invisible in every way", async () => {
  const [alice, bob] = [actor(), actor()];
  const headers = { "idempotency-key": "one" };
  const made = await alice("POST", "/v1/contexts", { body: { name: "secret plan" }, headers });
  const path = made.headers.get("location");
  for (const [method, options] of [["GET"], ["PATCH", { body: { name: "x" } }], ["DELETE"]]) {
    const refused = await bob(method, path, options);
    assert.deepEqual([refused.status, refused.code], [404, "not_found"], method);
  }
  for (const target of ["/v1/contexts", "/v1/contexts/search?q=secret", "/v1/contexts/search?q=secret+plan&status=all"]) {
    assert.deepEqual((await bob("GET", target)).json.contexts, [], target);
  }
  const his = await bob("POST", "/v1/contexts", { body: { name: "secret plan" }, headers });
  assert.equal(his.status, 201, "neither the name nor the key is taken for him");
  assert.notEqual(his.json.context.chitty_id, made.json.context.chitty_id);
  assert.deepEqual(bare((await alice("GET", path)).json), bare(made.json.context));
});

test("what is wrong with a request is said by status and code", async () => {
  const call = actor();
  const { chitty_id: id } = await create(call, { name: "taken" });
  const minted = await sandbox.count("id", "/v1/mint");
  const json = { "content-type": "application/json" };
  const post = (raw, headers = json) => ["POST", "/v1/contexts", { raw, headers }];
  for (const [[method, path, options], status, code] of [
    [post("{"), 400, "malformed_request"],
    [post(""), 400, "malformed_request"],
    [post("[]"), 422, "validation_failed"],
    [post('{"name":""}'), 422, "validation_failed"],
    [post('{"name":"x","data":{}}'), 422, "validation_failed"],
    [post('{"name":"x","status":"deleted"}'), 422, "validation_failed"],
    [post('{"name":"x"}', {}), 415, "unsupported_media_type"],
    [post('{"name":"x"}', { "content-type": "text/plain" }), 415, "unsupported_media_type"],
    [post(" ".repeat(2 ** 20 + 1)), 413, "payload_too_large"],
    [post(chunks(40, 32 * 1024)), 413, "payload_too_large"],
    [post('{"name":"taken"}'), 409, "name_taken"],
    [post('{"name":"x"}', { ...json, "idempotency-key": "x".repeat(256) }), 422, "validation_failed"],
    [["GET", "/v1/contexts/none"], 404, "not_found"],
    [["GET", "/v1/contexts/%ff"], 400, "malformed_request"],
    [["GET", "/v1/contextsXYZ"], 404, "unknown_path"],
    [["PUT", "/v1/contexts"], 405, "method_not_allowed"],
    [["PROPFIND", `/v1/contexts/${id}`], 405, "method_not_allowed"],
    [["GET", "/v1/contexts?limit=0"], 422, "validation_failed"],
    [["GET", "/v1/contexts?limit=101"], 422, "validation_failed"],
    [["GET", "/v1/contexts?cursor=nonsense"], 422, "validation_failed"],
    [["GET", "/v1/contexts?status=deleted"], 422, "validation_failed"],
    [["GET", "/v1/contexts?since=yesterday"], 422, "validation_failed"],
    [["GET", `/v1/contexts/search?q=${"x".repeat(201)}`], 422, "validation_failed"],
    [["PATCH", `/v1/contexts/${id}`, { body: {} }], 422, "validation_failed"],
    [["PATCH", `/v1/contexts/${id}`, { body: { name: "x" }, headers: { "if-match": '"stale"' } }], 412, "precondition_failed"],
    [["DELETE", `/v1/contexts/${id}`, { headers: { "if-match": '"stale"' } }], 412, "precondition_failed"],
  ]) {
    const answer = await call(method, path, options);
    assert.deepEqual([answer.status, answer.code], [status, code], `${method} ${path}: ${answer.text.slice(0, 200)}`);
    if (status === 405) assert.match(answer.headers.get("allow"), /GET/);
  }
  assert.equal(await sandbox.count("id", "/v1/mint"), minted, "nothing was minted for any of it");
  assert.equal((await call("GET", "/v1/contexts")).json.count, 1, "and nothing stored");
});

/** A body of unknown length. */
function chunks(count, bytes) {
  let sent = 0;
  return new ReadableStream({
    pull(controller) {
      sent += 1;
      if (sent > count) controller.close();
      else controller.enqueue(new Uint8Array(bytes).fill(32));
    },
  });
}

test("tokens: none, bad, expired, too narrow, and one that ends while it is cached", async () => {
  const get = async (token) => (await client(gateway, token)("GET", "/v1/contexts")).code;
  assert.equal((await anyone("GET", "/v1/contexts")).code, "authentication_required");
  assert.equal(await get("nobody"), "invalid_token");
  assert.equal(await get("dev-eve+expired"), "invalid_token");
  assert.equal(await get("dev-eve+ro"), undefined);
  const narrow = await client(gateway, "dev-eve+ro")("POST", "/v1/contexts", { body: { name: "x" } });
  assert.deepEqual([narrow.status, narrow.code], [403, "insufficient_scope"]);
  assert.match(narrow.headers.get("www-authenticate"), /insufficient_scope/);
  assert.equal(await get("dev-eve+2s"), undefined);
  await until(async () => (await get("dev-eve+2s")) === "invalid_token", { what: "the end of the token" });
});

test("a suspended actor is refused from the next request on", async () => {
  const call = actor();
  const { chitty_id: id, owner } = await create(call, { name: "mine" });
  const db = await gateway.db();
  await db
    .prepare("INSERT INTO actors (chitty_id, actor_type, status, created_at, updated_at) VALUES (?1, 'human', 'suspended', '', '')")
    .bind(owner)
    .run();
  for (const [method, path, options] of [
    ["GET", `/v1/contexts/${id}`],
    ["GET", "/v1/contexts"],
    ["GET", "/v1/contexts/search?q=mine"],
    ["POST", "/v1/contexts", { body: { name: "more" } }],
    ["PATCH", `/v1/contexts/${id}`, { body: { name: "x" } }],
    ["DELETE", `/v1/contexts/${id}`],
  ]) {
    const refused = await call(method, path, options);
    assert.deepEqual([refused.status, refused.code], [403, "actor_suspended"], `${method} ${path}`);
  }
});

test("a creation with a key takes place once, however often and at once it is sent", async () => {
  const call = actor();
  const options = { body: { name: "once" }, headers: { "idempotency-key": "k-1" } };
  const answers = await Promise.all(Array.from({ length: 20 }, () => call("POST", "/v1/contexts", options)));
  for (const answer of answers) assert.deepEqual([answer.status, answer.text], [201, answers[0].text]);
  assert.equal(answers.filter(({ headers }) => !headers.has("idempotency-replayed")).length, 1);
  assert.equal((await call("GET", "/v1/contexts")).json.count, 1);
  const other = await call("POST", "/v1/contexts/create", { ...options, body: { name: "other" } });
  assert.deepEqual([other.status, other.code], [422, "idempotency_key_reused"]);
});

test("of many creations of one name at once one wins, and no minted id is forgotten", async () => {
  const call = actor();
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => call("POST", "/v1/contexts", { body: { name: "wanted" } })),
  );
  const won = answers.filter(({ status }) => status === 201);
  assert.equal(won.length, 1);
  const id = won[0].json.context.chitty_id;
  for (const lost of answers.filter((answer) => answer !== won[0])) {
    assert.deepEqual([lost.status, lost.code, lost.json.existing_chitty_id], [409, "name_taken", id]);
  }
  const owner = won[0].json.context.owner;
  const mine = (await sandbox.minted()).filter(({ metadata }) => metadata?.owner === owner);
  const db = await gateway.db();
  const orphans = await db.prepare("SELECT entity_id FROM outbox WHERE event_type = 'identity.orphaned' AND actor_id = ?1").bind(owner).all();
  const known = [id, ...orphans.results.map((row) => row.entity_id)].sort();
  assert.deepEqual(known, mine.map((mint) => mint.id).sort());
});

test("of many changes to one version at once one wins", async () => {
  const call = actor();
  const made = await call("POST", "/v1/contexts", { body: { name: "v" } });
  const headers = { "if-match": made.headers.get("etag") };
  const answers = await Promise.all(
    Array.from({ length: 10 }, (_, n) => call("PATCH", made.headers.get("location"), { body: { name: `v${n}` }, headers })),
  );
  assert.deepEqual(answers.map(({ status }) => status).sort(), [200, ...Array(9).fill(412)]);
  const read = await call("GET", made.headers.get("location"));
  const unchanged = await call("GET", made.headers.get("location"), { headers: { "if-none-match": read.headers.get("etag") } });
  assert.deepEqual([unchanged.status, unchanged.text], [304, ""]);
});

test("a list of 250 goes page by page without gap or repeat, and a search too", async () => {
  const call = actor();
  const names = Array.from({ length: 250 }, (_, n) => `paged ${String(n).padStart(3, "0")}`);
  for (let from = 0; from < names.length; from += 10) {
    await Promise.all(names.slice(from, from + 10).map((name) => create(call, { name })));
  }
  for (const start of ["/v1/contexts?limit=100", "/v1/contexts/search?q=paged&limit=100"]) {
    const seen = [];
    const counts = [];
    for (let target = start; target; ) {
      const page = await call("GET", target);
      counts.push(page.json.count);
      seen.push(...page.json.contexts);
      target = /<([^>]+)>; rel="next"/.exec(page.headers.get("link") ?? "")?.[1];
    }
    assert.deepEqual(counts, [100, 100, 50], start);
    assert.deepEqual(seen.map(({ name }) => name).sort(), names, start);
    const times = seen.map(({ created_at }) => created_at);
    if (start.startsWith("/v1/contexts?")) assert.deepEqual(times, times.toSorted().reverse(), "newest first");
  }
});

test("a search takes any input, and finds words in every field and script", async () => {
  const call = actor();
  await create(call, { name: "Quarterly Report", data: [{ repo: "chitty/Connect" }], systems: ["GitHub"], tools: ["full-text"] });
  await create(call, { name: "🚀 東京 launch", data: ["Crème brûlée"] });
  const find = async (q) => {
    const found = await call("GET", `/v1/contexts/search?q=${encodeURIComponent(q)}`);
    assert.equal(found.status, 200, `${q}: ${found.text}`);
    return found.json.contexts.map(({ name }) => name);
  };
  for (const q of ["quarterly", "reports", "quart", "connect", "github report", "text"]) {
    assert.deepEqual(await find(q), ["Quarterly Report"], q);
  }
  for (const q of ["🚀", "東京", "creme", "LAUNCH"]) assert.deepEqual(await find(q), ["🚀 東京 launch"], q);
  for (const q of ['"', "'", "%", "_", "*", "(", ")", '"a" OR "b', "NEAR(a b, 3)", "name : x", "-", "^x", "\\", "a\u0000b", "{a}", "💥", "'; DROP TABLE contexts; --", "\ud800".toWellFormed()]) {
    assert.deepEqual(await find(q), [], q);
  }
  assert.equal((await find("")).length, 2);
});

test("names are one in every spelling, and words are found in every script", async () => {
  const call = actor();
  const { chitty_id: id } = await create(call, { name: "Ελλάδα cafe\u0301", data: ["ภาษาไทยสวยงาม", "고속도로에서의", "Việt Nam"] });
  for (const name of ["Ελλάδα café", " Ελλάδα  café "].flatMap((name) => [name, name.normalize("NFD")])) {
    const taken = await call("POST", "/v1/contexts", { body: { name } });
    assert.deepEqual([taken.status, taken.code, taken.json.existing_chitty_id], [409, "name_taken", id], name);
  }
  assert.equal((await call("GET", `/v1/contexts/${id}`)).json.name, "Ελλάδα café");
  const unseen = await call("POST", "/v1/contexts", { body: { name: "caf\u200be" } });
  assert.equal(unseen.status, 422);
  assert.match(unseen.json.errors[0].detail, /U\+200B/);
  for (const query of ["ελλαδα", "ΕΛΛΑΔΑ CAFE", "ไทย", "สวย", "도로", "viet", "ελλαδα ไทย 고속"]) {
    const { json } = await call("GET", `/v1/contexts/search?q=${encodeURIComponent(query)}`);
    assert.deepEqual(json.contexts.map(({ chitty_id }) => chitty_id), [id], query);
  }
});

test("a context is known at other services, verified, and has a lineage", async () => {
  const call = actor();
  const { chitty_id: id } = await create(call, { name: "known" });
  const known = await until(
    async () => {
      const { json } = await call("GET", `/v1/contexts/${id}`);
      return json.chitty_dna_id && json.chitty_chronicle_timeline_id ? json : null;
    },
    { what: "the ids of other services" },
  );
  const lineage = await call("GET", `/v1/contexts/${id}/lineage`);
  assert.equal(lineage.status, 200);
  assert.deepEqual([lineage.json.lineage.dna_id, lineage.json.stale], [known.chitty_dna_id, false]);
  const headers = { "idempotency-key": "verify-1" };
  const verified = await call("POST", `/v1/contexts/${id}/verify`, { headers });
  assert.deepEqual([verified.status, verified.json.verification.verified], [200, true]);
  const again = await call("POST", `/v1/contexts/${id}/verify`, { headers });
  assert.deepEqual([again.json, again.headers.get("idempotency-replayed")], [verified.json, "true"]);
  assert.deepEqual((await call("GET", `/v1/contexts/${id}`)).json.verification, verified.json.verification);
});

test("values come back as they were sent, digit by digit", async () => {
  const call = actor();
  const data = '[123456789012345678901234567890,1.10,"é🚀\\u0000\\"\\\\",{"b":1,"a":[null,true]},-0.0,1e3]';
  const made = await call("POST", "/v1/contexts", {
    raw: `{"name":"exact","data":${data}}`,
    headers: { "content-type": "application/json" },
  });
  assert.ok(made.text.includes(`"data":${data}`), made.text);
  assert.ok((await call("GET", made.headers.get("location"))).text.includes(`"data":${data}`));
});

test("the largest context that is allowed works", async () => {
  const call = actor();
  const list = (entries, bytes) => Array(entries).fill("w".repeat(Math.floor(bytes / entries) - 3));
  const body = { name: "n".repeat(200), data: list(1000, 192 * 1024), systems: list(100, 192 * 1024), tools: list(100, 192 * 1024) };
  const headers = { "idempotency-key": "large" };
  const made = await call("POST", "/v1/contexts", { body, headers });
  assert.equal(made.status, 201, made.text.slice(0, 300));
  assert.deepEqual((await call("GET", made.headers.get("location"))).json.data, body.data);
  assert.equal((await call("POST", "/v1/contexts", { body, headers })).text, made.text);
  assert.equal((await call("GET", "/v1/contexts")).json.count, 1);
});

test("HEAD, OPTIONS and correlation", async () => {
  const call = actor();
  const made = await call("POST", "/v1/contexts", { body: { name: "h" } });
  const path = made.headers.get("location");
  const head = await call("HEAD", path);
  assert.deepEqual([head.status, head.text, head.headers.get("etag")], [200, "", made.headers.get("etag")]);
  const preflight = await anyone("OPTIONS", path, { headers: { origin: "https://app.chitty.cc", "access-control-request-method": "PATCH" } });
  assert.equal(preflight.status, 204);
  assert.match(preflight.headers.get("access-control-allow-methods"), /PATCH/);
  assert.equal(preflight.headers.get("access-control-allow-origin"), "*");
  assert.match(preflight.headers.get("access-control-allow-headers"), /Idempotency-Key/);

  const crossing = await call("GET", path, { headers: { origin: "https://app.chitty.cc" } });
  assert.equal(crossing.headers.get("access-control-allow-origin"), "*");
  assert.match(crossing.headers.get("access-control-expose-headers"), /ETag/);
  const refused = await anyone("GET", path, { headers: { origin: "https://app.chitty.cc" } });
  assert.deepEqual([refused.status, refused.headers.get("access-control-allow-origin")], [401, "*"]);

  const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
  const headers = { "x-request-id": "job-42", traceparent: `00-${trace}-00f067aa0ba902b7-01` };
  const traced = await call("POST", "/v1/contexts", { body: { name: "traced" }, headers });
  assert.equal(traced.headers.get("x-request-id"), "job-42");
  assert.ok(traced.headers.get("traceparent").startsWith(`00-${trace}-`));
  const [mint] = (await sandbox.calls({ service: "id", path: "/v1/mint" })).filter((c) => c.headers["x-request-id"] === "job-42");
  assert.equal(mint.headers.traceparent, traced.headers.get("traceparent"));
  assert.match(mint.headers["user-agent"], /^ChittyConnect\/\d/);
});

test("the API description is served", async () => {
  const committed = await readFile(join(ROOT, "openapi.json"), "utf8");
  for (const target of ["/openapi.json", "/openapi.json/", "/openapi.json?v=2"]) {
    const described = await anyone("GET", target, { headers: { "if-none-match": "*", range: "bytes=0-9" } });
    assert.deepEqual([described.status, described.text === committed], [200, true], target);
    const { "x-request-id": id, traceparent, date: _, ...headers } = Object.fromEntries(described.headers);
    assert.ok(id && traceparent);
    // Of the gateway, not of the static files it is read from.
    assert.deepEqual(headers, {
      "cache-control": "max-age=300",
      "content-length": String(Buffer.byteLength(committed)),
      "content-type": "application/json",
      "strict-transport-security": "max-age=31536000; includeSubDomains",
      "x-content-type-options": "nosniff",
    });
  }
  const elsewhere = await anyone("GET", "/openapi.json", { headers: { origin: "https://viewer.example" } });
  assert.equal(elsewhere.headers.get("access-control-allow-origin"), "*");
  const head = await anyone("HEAD", "/openapi.json");
  assert.deepEqual([head.status, head.text, head.headers.get("cache-control")], [200, "", "max-age=300"]);
  const refused = await anyone("POST", "/openapi.json");
  assert.deepEqual([refused.status, refused.json.code, refused.headers.get("allow")], [405, "method_not_allowed", "GET, HEAD, OPTIONS"]);
});

test("a context gets a key of its own, which is shown once, had anew, and revoked with it", async () => {
  const call = actor();
  const body = { name: "with a key", credentials: { type: "provisioned", scopes: ["contexts:read"] } };
  const headers = { "idempotency-key": crypto.randomUUID() };
  const made = await call("POST", "/v1/contexts", { body, headers });
  assert.equal(made.status, 201, made.text);
  const { context, credentials } = made.json;
  const keys = async () => (await sandbox.kept("credential")).filter(({ kind, chittyId }) => kind === "key" && chittyId === context.chitty_id);
  assert.deepEqual((await keys()).map(({ id, scope }) => [id, scope]), [[credentials.key_id, ["contexts:read"]]]);

  const again = await call("POST", "/v1/contexts", { body, headers });
  assert.deepEqual([again.status, again.json.credentials.status, again.json.credentials.key], [201, "already_shown", undefined]);
  assert.equal((await keys()).length, 1, "nothing is made twice");

  const seen = await client(gateway, credentials.key)("GET", "/v1/contexts");
  assert.deepEqual([seen.status, seen.json.count], [200, 0], `the context calls by it: ${seen.text}`);

  const path = `/v1/contexts/${context.chitty_id}`;
  const anew = await call("PATCH", path, { body: { credentials: "provisioned" } });
  assert.equal(anew.status, 200, anew.text);
  const alive = async () => (await keys()).filter(({ revoked }) => !revoked).map(({ id }) => id);
  await until(async () => (await alive()).join() === anew.json.credentials.key_id, { what: "the end of the first key" });
  const stored = await contents(gateway);
  for (const secret of [credentials.key, anew.json.credentials.key]) {
    assert.ok(!stored.includes(secret) && !JSON.stringify(gateway.logs).includes(secret), "it is nowhere in plain text");
  }

  assert.equal((await call("DELETE", path)).status, 200);
  await until(async () => (await alive()).length === 0, { what: "the end of every key" });
  const over = await client(gateway, anew.json.credentials.key)("GET", "/v1/contexts");
  assert.equal(over.status, 401, over.text);
});

test("nothing above made the gateway complain", () => {
  const unexpected = gateway.logs.filter(({ message }) => !/identity_orphaned|announce_failed/.test(message));
  assert.deepEqual(unexpected, []);
});
