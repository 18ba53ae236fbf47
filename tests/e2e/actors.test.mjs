/** Actors over HTTP: registering, being seen, being changed, granted and suspended, and every rule that holds. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { actorId } from "../../sandbox/chitty-id.mjs";
import { until } from "./harness/await.mjs";
import { client, create } from "./harness/client.mjs";
import { startGateway } from "./harness/gateway.mjs";
import { byKey, delegate, expect, makeKey, pages, people, register } from "./harness/people.mjs";
import { startSandbox } from "./harness/sandbox.mjs";

const ADMIN_ID = actorId("admin");
const PUBLIC = ["actor_type", "avatar_url", "chittyId", "chitty_id", "display_name"];

let sandbox, gateway, admin, person;

before(async () => {
  sandbox = await startSandbox();
  gateway = await startGateway({ sandboxUrl: sandbox.url, isolates: 2 });
  admin = client(gateway, "dev-admin");
  person = people(gateway, "actor");
});

after(async () => {
  await gateway?.close();
  await sandbox?.close();
});

const path = (id) => `/v1/actors/${id}`;
const change = (call, id, body, headers) => call("PATCH", path(id), { body, headers });
const grant = (call, id, capabilities, headers) => call("PUT", `${path(id)}/capabilities`, { body: { capabilities }, headers });
const capabilitiesOf = async (call, id) => (await call("GET", `${path(id)}/capabilities`)).json;
/** Sends a request to each isolate and expects the same of both. */
const everywhere = async (call, method, target, options, check) => {
  for (const isolate of [0, 1]) check(await call(method, target, { ...options, isolate }));
};
const row = async (sql, ...bindings) => (await gateway.db()).prepare(sql).bind(...bindings).first();

test("an actor registers, is seen, and changes what it says of itself", async () => {
  const { call, id } = person();
  const before = await call("GET", "/v1/actors/me");
  assert.equal(before.status, 200);
  assert.deepEqual([before.json.actor.chitty_id, before.json.actor.registered], [id, false]);
  expect(await call("GET", path(id)), 404, "not_found");

  const profile = { display_name: "Ada 🚀 東京", email: "ada@example.org", avatar_url: "https://example.org/ada.png" };
  const made = await call("POST", "/v1/actors/register", { body: { actor_type: "human", ...profile, capabilities: ["contexts:read"] } });
  assert.equal(made.status, 201, made.text);
  assert.equal(made.json.success, true);
  const { actor } = made.json;
  assert.deepEqual([actor.chitty_id, actor.chittyId, actor.actor_type, actor.status], [id, id, "human", "active"]);
  for (const [name, value] of Object.entries(profile)) assert.equal(actor[name], value, name);
  assert.match(actor.created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.equal(made.headers.get("location"), path(id));

  // What ChittyAuth says of it comes soon after, and is no change of its own.
  const read = await until(
    async () => {
      const answer = await call("GET", path(id));
      return answer.json.actor.chitty_auth_principal_id ? answer : null;
    },
    { what: "the principal's id" },
  );
  assert.deepEqual({ ...read.json.actor, chitty_auth_principal_id: null }, { ...actor, chitty_auth_principal_id: null });
  const [ofMade, ofRead] = [made, read].map(({ headers }) => headers.get("etag").slice(1, -1).split("."));
  assert.deepEqual(ofRead, [ofMade[0], "1"]);
  assert.equal((await call("PATCH", path(id), { body: { display_name: profile.display_name }, headers: { "if-match": made.headers.get("etag") } })).status, 200);
  assert.equal((await call("GET", path(`did:chitty:${id}`))).json.actor.chitty_id, id);
  const { registered, ...me } = (await call("GET", "/v1/actors/me")).json.actor;
  assert.deepEqual([me.display_name, registered ?? true], [profile.display_name, true]);

  const changed = await change(call, id, { display_name: "Ada", avatar_url: null });
  assert.equal(changed.status, 200, changed.text);
  assert.deepEqual([changed.json.success, changed.json.actor.display_name, changed.json.actor.avatar_url, changed.json.actor.email], [true, "Ada", null, profile.email]);
  assert.notEqual(changed.headers.get("etag"), made.headers.get("etag"));
});

test("an actor registers once, however often and at once it does", async () => {
  const { call, id } = person();
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, n) => call("POST", "/v1/actors/register", { body: { actor_type: "ai", display_name: `n ${n}` }, isolate: n % 2 })),
  );
  const made = answers.filter(({ status }) => status === 201);
  assert.equal(made.length, 1);
  for (const answer of answers.filter((one) => one !== made[0])) {
    expect(answer, 409, "already_registered");
    assert.equal(answer.json.existing_chitty_id, id);
  }
  assert.deepEqual((await call("GET", path(id))).json.actor.display_name, made[0].json.actor.display_name);
  assert.equal((await admin("GET", `/v1/audit?entity=${id}&action=actor.registered`)).json.count, 1);

  const other = person();
  const options = { body: { actor_type: "ai" }, headers: { "idempotency-key": "r-1" } };
  const repeats = await Promise.all(Array.from({ length: 10 }, () => other.call("POST", "/v1/actors/register", options)));
  for (const answer of repeats) assert.deepEqual([answer.status, answer.text], [201, repeats[0].text]);
  assert.equal(repeats.filter(({ headers }) => !headers.has("idempotency-replayed")).length, 1);
  expect(await other.call("POST", "/v1/actors/register", { ...options, body: { actor_type: "human" } }), 422, "idempotency_key_reused");
});

test("what is wrong with a registration or a change is said, and nothing comes of it", async () => {
  const [{ call, id }, known] = [person(), person()];
  await register(known.call, { display_name: "Known" });
  const shared = [
    { display_name: "" },
    { display_name: "x".repeat(201) },
    { display_name: 7 },
    { display_name: "a\u0000b" },
    { email: "nobody" },
    { email: "a@b" },
    { email: "a b@example.org" },
    { email: `${"x".repeat(250)}@example.org` },
    { avatar_url: "http://example.org/a.png" },
    { avatar_url: "javascript:alert(1)" },
    { avatar_url: "data:image/png;base64,AA==" },
    { avatar_url: "//example.org/a.png" },
    { avatar_url: "https://" },
    { avatar_url: 'https://example.org/"><script>' },
    { avatar_url: `https://example.org/${"x".repeat(3000)}` },
  ];
  for (const fields of shared) {
    expect(await call("POST", "/v1/actors/register", { body: { actor_type: "human", ...fields } }), 422, "validation_failed", JSON.stringify(fields).slice(0, 99));
    expect(await change(known.call, known.id, fields), 422, "validation_failed", JSON.stringify(fields).slice(0, 99));
  }
  for (const body of [
    {},
    { actor_type: null },
    { actor_type: "robot" },
    { actor_type: "HUMAN" },
    { actor_type: ["human"] },
    { actor_type: "human", capabilities: ["admin"] },
    { actor_type: "human", capabilities: ["*"] },
    { actor_type: "human", capabilities: ["actors:admin"] },
    { actor_type: "human", capabilities: ["read", "contexts:admin"] },
    { actor_type: "human", capabilities: "read" },
    { actor_type: "human", capabilities: [7] },
  ]) {
    expect(await call("POST", "/v1/actors/register", { body }), 422, "validation_failed", JSON.stringify(body));
  }
  for (const body of [{}, { capabilities: ["read"] }, { capabilities: [] }, { display_name: "x", capabilities: ["admin"] }, { status: "gone" }, { status: null }]) {
    expect(await change(known.call, known.id, body), 422, "validation_failed", JSON.stringify(body));
  }
  expect(await change(known.call, known.id, { unknown: 1 }), 422, "unknown_field");
  for (const capabilities of [undefined, null, "read", [""], ["a b"], [7], Array.from({ length: 51 }, (_, n) => `s:${n}`)]) {
    expect(await grant(admin, known.id, capabilities), 422, "validation_failed", JSON.stringify(capabilities));
  }
  assert.equal((await call("GET", "/v1/actors/me")).json.actor.registered, false);
  const { display_name, status } = (await known.call("GET", path(known.id))).json.actor;
  assert.deepEqual([display_name, status], ["Known", "active"]);
});

test("what one says of oneself gives no right", async () => {
  const { as, id } = person();
  const own = as("scopes=actors:*,contexts:read,contexts:write");
  const said = { actor_type: "human", capabilities: ["contexts:read", "contexts:write"] };
  expect(await own("POST", "/v1/actors/register", { body: { ...said, granted: ["admin"], status: "active", role: "admin" } }), 422, "unknown_field");
  await register(own, said);
  assert.deepEqual((await capabilitiesOf(admin, id)).granted, []);
  expect(await as("ro")("POST", "/v1/contexts", { body: { name: "x" } }), 403, "insufficient_scope");
  expect(await as("scopes=contexts:read")("POST", "/v1/contexts", { body: { name: "x" } }), 403, "insufficient_scope");
});

test("others see what everybody may know, and of those who have not registered nothing", async () => {
  const [one, other] = [person(), person()];
  const profile = { display_name: "One", email: "one@example.org", avatar_url: "https://example.org/1.png" };
  const actor = await register(one.call, { actor_type: "service", ...profile });
  const seen = await other.call("GET", path(one.id));
  assert.deepEqual(Object.keys(seen.json.actor).sort(), PUBLIC);
  assert.deepEqual(seen.json.actor, Object.fromEntries(PUBLIC.map((name) => [name, actor[name]])));
  assert.equal(seen.headers.get("etag"), null);
  const byAdmin = await admin("GET", path(one.id));
  assert.deepEqual([byAdmin.json.actor.email, byAdmin.headers.get("etag") !== null], ["one@example.org", true]);
  for (const id of [other.id, actorId("never here"), "nobody", "03-1-USA-9003-T-2602-0-81", "03-0-ERR-0001-P-2602-0-11", "%00", "..%2F", "' OR 1=1 --"]) {
    if (id !== other.id) expect(await other.call("GET", path(encodeURIComponent(id))), 404, "not_found", id);
    expect(await one.call("GET", path(encodeURIComponent(id))), 404, "not_found", id);
  }
  const narrow = await delegate(one.call, { scopes: ["read"] });
  assert.equal((await client(gateway, narrow.token)("GET", path(one.id))).json.actor.email, "one@example.org", "for the actor");
});

test("an actor is changed by itself and by administrators only", async () => {
  const [one, other] = [person(), person()];
  await register(one.call, { display_name: "One", email: "one@example.org" });
  await register(other.call);
  const before = (await admin("GET", path(one.id))).json.actor;
  for (const body of [{ display_name: "Other" }, { email: "other@example.org" }, { status: "suspended" }]) {
    expect(await change(other.call, one.id, body), 404, "not_found", JSON.stringify(body));
    expect(await change(other.call, actorId("never here"), body), 404, "not_found", "no difference");
  }
  expect(await other.call("GET", `${path(one.id)}/capabilities`), 404, "not_found");
  for (const call of [one.call, other.call]) expect(await grant(call, one.id, ["admin"]), 403, "insufficient_scope");
  expect(await change(one.as("ro"), one.id, { display_name: "x" }), 403, "insufficient_scope");
  assert.deepEqual((await admin("GET", path(one.id))).json.actor.updated_at, before.updated_at);
  const changed = await change(admin, one.id, { display_name: "By an administrator" });
  assert.equal(changed.json.actor.display_name, "By an administrator");
  const [entry] = (await one.call("GET", `/v1/audit?entity=${one.id}&action=actor.updated`)).json.entries;
  assert.equal(entry.actor_id, ADMIN_ID);
});

test("nobody changes the own status, and only administrators that of others", async () => {
  const { call, id } = person();
  await register(call);
  for (const status of ["suspended", "deleted", "active"]) {
    expect(await change(call, id, { status }), 403, "insufficient_scope", status);
    expect(await change(admin, ADMIN_ID, { status }), 403, "insufficient_scope", `an administrator ${status}`);
    expect(await change(call, id, { display_name: "x", status }), 403, "insufficient_scope");
  }
  assert.equal((await call("GET", path(id))).json.actor.display_name, null);
  const boss = await makeKey(admin, { scopes: ["admin"] });
  assert.equal((await change(byKey(gateway, boss.key), id, { status: "suspended" })).status, 200, "by an administrator's key");
  expect(await call("GET", path(id)), 403, "actor_suspended");
  assert.equal((await change(byKey(gateway, boss.key), id, { status: "active" })).status, 200);
  const delegation = await delegate(admin, { scopes: ["admin"] });
  const before = (await admin("GET", path(id))).json.actor;
  expect(await change(client(gateway, delegation.token), id, { status: "suspended" }), 403, "delegated_credential");
  expect(await grant(client(gateway, delegation.token), id, ["admin"]), 403, "delegated_credential");
  assert.deepEqual((await admin("GET", path(id))).json.actor.updated_at, before.updated_at);
});

test("of many changes to one version at once one wins", async () => {
  const { call, id } = person();
  const made = await call("POST", "/v1/actors/register", { body: { actor_type: "human" } });
  const headers = { "if-match": made.headers.get("etag") };
  const answers = await Promise.all(Array.from({ length: 10 }, (_, n) => change(call, id, { display_name: `n ${n}` }, headers)));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [200, ...Array(9).fill(412)]);
  for (const answer of answers) if (answer.status !== 200) assert.equal(answer.code, "precondition_failed");
  const won = answers.find(({ status }) => status === 200);
  assert.equal((await call("GET", path(id))).json.actor.display_name, won.json.actor.display_name);
  for (const stale of ['"stale"', made.headers.get("etag"), "W/" + won.headers.get("etag"), "*x"]) {
    expect(await change(call, id, { display_name: "x" }, { "if-match": stale }), 412, "precondition_failed", stale);
    expect(await grant(admin, id, ["admin"], { "if-match": stale }), 412, "precondition_failed", stale);
  }
  assert.equal((await change(call, id, { display_name: "y" }, { "if-match": won.headers.get("etag") })).status, 200);
  assert.equal((await change(call, id, { display_name: "z" }, { "if-match": "*" })).status, 200);
  assert.equal((await admin("GET", `/v1/audit?entity=${id}&action=actor.updated`)).json.count, 3, "one entry a change");
});

test("what is granted holds from the next request on, and so does its end", async () => {
  const { as, id } = person();
  const call = as("scopes=contexts:read,actors:read");
  const post = (name) => ["POST", "/v1/contexts", { body: { name } }];
  await everywhere(call, ...post("x"), (answer) => expect(answer, 403, "insufficient_scope"));
  const granted = await grant(admin, id, ["contexts:write", "contexts:write", "custom"]);
  assert.equal(granted.status, 200, granted.text);
  assert.equal(granted.json.success, true);
  const { chitty_id, capabilities, capability_count, vouched, granted: list, status } = await capabilitiesOf(admin, id);
  assert.deepEqual([chitty_id, status, list], [id, "active", ["contexts:write", "custom"]]);
  assert.equal(capability_count, capabilities.length);
  assert.deepEqual([...new Set([...vouched, ...list])].sort(), [...capabilities].sort());
  assert.deepEqual((await capabilitiesOf(call, id)).granted, list, "one's own are one's own to see");
  let made = 0;
  await everywhere(call, ...post("granted"), ({ status: now, code }) => {
    made += 1;
    assert.deepEqual([now, code], made === 1 ? [201, undefined] : [409, "name_taken"]);
  });
  assert.equal((await grant(admin, id, [])).status, 200);
  await everywhere(call, ...post("y"), (answer) => expect(answer, 403, "insufficient_scope"));
  assert.deepEqual((await capabilitiesOf(admin, id)).granted, []);
});

test("an administrator who was granted it is one from the next request on, for as long as it is", async () => {
  const [one, other] = [person(), person()];
  await register(other.call, { email: "other@example.org" });
  const statuses = async (isolate) => {
    const answers = [];
    for (const [method, target, options] of [
      ["GET", "/v1/actors?limit=1"],
      ["GET", "/v1/audit/verify"],
      ["GET", `${path(other.id)}/capabilities`],
      ["PATCH", path(other.id), { body: { display_name: "Seen" } }],
      ["PUT", `${path(other.id)}/capabilities`, { body: { capabilities: [] } }],
    ]) {
      answers.push((await one.call(method, target, { ...options, isolate })).status);
    }
    return answers;
  };
  const no = [403, 403, 404, 404, 403];
  const yes = [200, 200, 200, 200, 200];
  assert.deepEqual([await statuses(0), await statuses(1)], [no, no]);
  await grant(admin, one.id, ["admin"]);
  assert.deepEqual([await statuses(0), await statuses(1)], [yes, yes]);
  expect(await change(one.call, one.id, { status: "active" }), 403, "insufficient_scope", "the own status");
  await grant(admin, one.id, ["actors:admin"]);
  assert.equal((await one.call("GET", "/v1/actors")).status, 200);
  await grant(admin, one.id, []);
  assert.deepEqual([await statuses(0), await statuses(1)], [no, no]);
});

test("one who is no administrator any more keeps what is its own, and no more", async () => {
  const [one, other] = [person(), person()];
  await register(other.call, { email: "other@example.org" });
  const [key, delegation] = [await makeKey(one.call), await delegate(one.call)];
  await grant(admin, one.id, ["admin"]);
  // Seen here first while it is an administrator.
  const call = one.as("scopes=read,write");
  await everywhere(call, "GET", path(other.id), {}, ({ json }) => assert.equal(json.actor.email, "other@example.org"));
  await grant(admin, one.id, []);
  const wrong = [];
  for (const isolate of [0, 1]) {
    for (const [method, target, body] of [
      ["GET", path(other.id)],
      ["GET", "/v1/audit"],
      ["GET", "/v1/keys"],
      ["GET", `/v1/keys/${key.key_id}`],
      ["POST", `/v1/keys/${key.key_id}/rotate`, {}],
      ["DELETE", `/v1/keys/${key.key_id}`],
      ["DELETE", `/v1/delegate/${delegation.delegation_id}`],
      ["PATCH", path(other.id), { display_name: "x" }],
      ["GET", `${path(other.id)}/capabilities`],
    ]) {
      const { status, code, text } = await call(method, target, { body, isolate });
      const isForeign = method === "PATCH" || target.endsWith("/capabilities");
      const isGone = method === "POST" && isolate === 1;
      if (status !== (isForeign || isGone ? 404 : 200)) wrong.push(`isolate ${isolate}: ${method} ${target}: ${status} ${code}`);
      if (text.includes("other@example.org")) wrong.push(`isolate ${isolate}: ${method} ${target}: ${text}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test("an actor may be granted, or kept out, before it comes", async () => {
  const [early, unwanted] = [person(), person()];
  assert.equal((await grant(admin, early.id, ["contexts:write"])).status, 200);
  assert.equal((await early.as("ro")("POST", "/v1/contexts", { body: { name: "first" } })).status, 201);
  expect(await person().call("GET", path(early.id)), 404, "not_found");
  assert.equal((await early.call("GET", "/v1/actors/me")).json.actor.registered, false);
  await register(early.call, { actor_type: "ai" });
  assert.deepEqual((await capabilitiesOf(early.call, early.id)).granted, ["contexts:write"], "and keeps it");
  assert.equal((await change(admin, unwanted.id, { status: "suspended" })).status, 200);
  expect(await unwanted.call("POST", "/v1/actors/register", { body: { actor_type: "human" } }), 403, "actor_suspended");
  expect(await unwanted.call("GET", "/v1/actors/me"), 403, "actor_suspended");
  assert.equal((await change(admin, unwanted.id, { status: "active" })).status, 200);
  await register(unwanted.call);
  for (const id of ["nobody", "03-1-USA-9003-T-2602-0-81"]) expect(await grant(admin, id, ["read"]), 404, "not_found", id);
  expect(await change(admin, actorId("never here"), { display_name: "x" }), 404, "not_found");
});

test("a suspended actor may do nothing, with its own or anybody's, by whatever credential", async () => {
  const [one, other] = [person(), person()];
  await register(one.call);
  await register(other.call);
  const mine = await create(one.call, { name: "mine" });
  const foreign = await create(other.call, { name: "other's" });
  const key = await makeKey(one.call);
  const delegation = await delegate(one.call, { scopes: ["read", "write"] });
  const callers = [one.call, one.as("ro"), byKey(gateway, key.key), client(gateway, delegation.token), client(gateway, await sandbox.jwt({ name: one.name }))];
  for (const call of callers) await everywhere(call, "GET", `/v1/contexts/${mine.chitty_id}`, {}, ({ status }) => assert.equal(status, 200));
  assert.equal((await change(admin, one.id, { status: "suspended" })).status, 200);
  const requests = [
    ...[`/v1/contexts/${mine.chitty_id}`, `/v1/contexts/${foreign.chitty_id}`, `/v1/contexts/${actorId("no context")}`, "/v1/contexts", "/v1/contexts/search?q=x", path(one.id), path(other.id), path(actorId("never here")), "/v1/actors/me", "/v1/keys", "/v1/audit"].map((target) => ["GET", target]),
    ["POST", "/v1/contexts", { name: "x" }],
    ["PATCH", path(one.id), { display_name: "x" }],
    ["PATCH", path(other.id), { display_name: "x" }],
    ["PATCH", path(one.id), { status: "active" }],
    ["GET", `${path(other.id)}/capabilities`],
    ["PATCH", `/v1/contexts/${foreign.chitty_id}`, { name: "x" }],
    ["DELETE", `/v1/contexts/${foreign.chitty_id}`],
    ["POST", "/v1/keys", { name: "x", scopes: ["read"] }],
    ["POST", "/v1/delegate", { target_service: "chittyconnect" }],
    ["DELETE", `/v1/keys/${key.key_id}`],
    ["DELETE", `/v1/delegate/${delegation.delegation_id}`],
  ];
  const wrong = [];
  for (const [n, call] of callers.entries()) {
    for (const [method, target, body] of requests) {
      // What does not carry the scope is told that as before.
      if (n === 1 && method !== "GET") continue;
      await everywhere(call, method, target, { body }, ({ status, code }) => code === "actor_suspended" || wrong.push(`caller ${n}: ${method} ${target}: ${status} ${code}`));
    }
  }
  assert.deepEqual(wrong, []);
  assert.deepEqual(Object.keys((await other.call("GET", path(one.id))).json.actor).sort(), PUBLIC, "others see it all the same");
  assert.equal((await change(admin, one.id, { status: "deleted" })).status, 200);
  expect(await other.call("GET", path(one.id)), 404, "not_found");
  await everywhere(one.call, "GET", "/v1/contexts", {}, (answer) => expect(answer, 403, "actor_suspended"));
  assert.equal((await change(admin, one.id, { status: "active" })).status, 200);
  for (const call of callers) await everywhere(call, "GET", `/v1/contexts/${mine.chitty_id}`, {}, ({ status }) => assert.equal(status, 200));
});

test("nothing is written after the reply to a suspension", async () => {
  const { call, id } = person();
  await call("GET", "/v1/contexts");
  const writing = Array.from({ length: 40 }, (_, n) => call("POST", "/v1/contexts", { body: { name: `n ${n}` }, isolate: n % 2 }));
  await Promise.race(writing);
  const count = async () => (await row("SELECT count(*) AS n FROM contexts WHERE owner_chitty_id = ?1", id)).n;
  assert.equal((await change(admin, id, { status: "suspended" })).status, 200);
  const then = await count();
  const answers = await Promise.all(writing);
  assert.equal(await count(), then);
  for (const answer of answers) if (answer.status !== 201) expect(answer, 403, "actor_suspended");
  assert.equal(answers.filter(({ status }) => status === 201).length, then);
  const { n } = await row("SELECT count(*) AS n FROM audit WHERE actor_id = ?1 AND action = 'context.created'", id);
  assert.equal(n, then);
});

test("administrators list actors, by type and status, page by page", async () => {
  const types = ["human", "ai", "service", "system"];
  const made = Array.from({ length: 24 }, (_, n) => ({ ...person(), actor_type: types[n % 4] }));
  for (const { call, actor_type } of made) await register(call, { actor_type });
  for (const { id } of made.slice(0, 4)) await change(admin, id, { status: "suspended" });
  const list = async (query) => (await pages(admin, `/v1/actors${query}`, "actors")).flat();
  const ids = new Set(made.map(({ id }) => id));
  const known = (found) => found.filter(({ chitty_id }) => ids.has(chitty_id)).map(({ chitty_id }) => chitty_id);
  const paged = await pages(admin, "/v1/actors?limit=10", "actors");
  for (const page of paged.slice(0, -1)) assert.equal(page.length, 10);
  const all = paged.flat();
  assert.deepEqual(known(all), made.map(({ id }) => id).reverse(), "newest first, each once");
  assert.equal(new Set(all.map(({ chitty_id }) => chitty_id)).size, all.length);
  assert.deepEqual(known(await list("/list?limit=7")), known(all));
  for (const type of types) {
    const found = await list(`?type=${type}&limit=5`);
    assert.ok(found.every(({ actor_type }) => actor_type === type));
    assert.equal(known(found).length, 6, type);
  }
  const suspended = await list("?status=suspended&type=ai");
  assert.deepEqual(known(suspended), [made[1].id]);
  assert.equal(known(await list("?status=active")).length, 20);
  for (const query of ["?type=robot", "?status=gone", "?limit=0", "?limit=101", "?cursor=nonsense"]) expect(await admin("GET", `/v1/actors${query}`), 422, "validation_failed", query);
  for (const target of ["/v1/actors", "/v1/actors/list", "/v1/actors?type=ai"]) expect(await made[5].call("GET", target), 403, "insufficient_scope", target);
});

test("when an actor was last seen is noted in the background, and not at every request", async () => {
  const { call, id } = person();
  await register(call);
  await row("UPDATE actors SET last_seen_at = '2020-01-01T00:00:00.000Z' WHERE chitty_id = ?1", id);
  const sessions = (await row("SELECT session_count AS n FROM actors WHERE chitty_id = ?1", id)).n;
  const started = new Date().toISOString();
  const seen = await until(async () => {
    const { actor } = (await call("GET", path(id), { isolate: 1 })).json;
    return actor.last_seen_at > "2021" && actor;
  }, { what: "its being seen" });
  assert.ok(seen.last_seen_at >= started.slice(0, 16), seen.last_seen_at);
  assert.equal(seen.session_count, sessions + 1);
  const etag = (await call("GET", path(id))).headers.get("etag");
  await Promise.all(Array.from({ length: 30 }, () => call("GET", path(id), { isolate: 1 })));
  const { actor } = (await call("GET", path(id))).json;
  assert.deepEqual([actor.last_seen_at, actor.session_count], [seen.last_seen_at, seen.session_count]);
  assert.equal((await call("GET", path(id))).headers.get("etag"), etag, "being seen makes no other version");
  const { vouched } = await until(async () => {
    const told = await capabilitiesOf(call, id);
    return told.vouched.length > 0 && told;
  }, { what: "what ChittyAuth says" });
  assert.deepEqual([...vouched].sort(), ["read", "write"]);
});

test("what happens to actors reaches ChittyChronicle, once and in order, and nothing personal with it", async () => {
  const { call, id } = person();
  const told = (total) => until(async () => {
    const found = await sandbox.entries({ entityId: id });
    return found.total === total && found.entries;
  }, { timeout: 15_000, what: `${total} entries` });
  await register(call, { display_name: "Private Name", email: "private@example.org" });
  await told(1);
  await change(call, id, { display_name: "Other Private Name" });
  await told(2);
  await grant(admin, id, ["contexts:read"]);
  await told(3);
  await change(admin, id, { status: "suspended" });
  const entries = await told(4);
  assert.deepEqual(entries.map(({ action }) => action), ["actor.registered", "actor.updated", "actor.capabilities_changed", "actor.updated"]);
  assert.equal(new Set(entries.map(({ metadata }) => metadata.eventId)).size, 4);
  const audited = (await pages(admin, `/v1/audit?entity=${id}`, "entries")).flat();
  assert.deepEqual(audited.map(({ action }) => action).reverse(), entries.map(({ action }) => action));
  for (const told of [entries, audited, gateway.logs]) assert.doesNotMatch(JSON.stringify(told), /private/i);
});

test("nothing above made the gateway complain", () => {
  assert.deepEqual(gateway.logs.filter(({ message }) => !/identity_orphaned|announce_failed/.test(message)), []);
});
