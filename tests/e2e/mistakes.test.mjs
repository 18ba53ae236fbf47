/** What people and programs do wrong, and that each answer says what to do. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { startAccess } from "./harness/access.mjs";
import { client, create } from "./harness/client.mjs";
import { delegate, makeKey } from "./harness/people.mjs";

let access, gateway, anyone, call, id, context, connection, delegation, key, token;

before(async () => {
  access = await startAccess("mistaken");
  ({ gateway, anyone } = access);
  const person = access.person();
  ({ call, id, token } = person);
  context = await create(call, { name: "one" });
  const source = { source_chitty_id: id, source_type: "actor", target_service: "chittycases" };
  connection = (await call("POST", "/v1/connections", { body: source })).json.connection;
  delegation = await delegate(call, { target_service: "chittycases", scopes: ["read"] });
  key = await makeKey(call);
});

after(() => access?.close());

const CONTEXTS = "/v1/contexts";
const json = { "content-type": "application/json" };
/** A POST of text as it is. */
const post = (raw, headers = json, path = CONTEXTS) => ["POST", path, { raw, headers }];
/** A POST of JSON. */
const send = (body, path = CONTEXTS, headers = {}) => ["POST", path, { body, headers }];
const get = (path) => ["GET", path];
const authorization = (value) => ["GET", CONTEXTS, { headers: { authorization: value } }];
const own = () => `${CONTEXTS}/${context.chitty_id}`;
const delegated = (more) => send({ target_service: "chittycases", ...more }, "/v1/delegate");

/** What is done, what it comes to, and words that the answer must have; `as` sends it otherwise than by the caller. */
const MISTAKES = [
  // Credentials.
  ["no credential", () => get(CONTEXTS), 401, "authentication_required", /Authorization: Bearer <token>.*X-ChittyOS-API-Key/, { as: () => anyone }],
  ["a token without `Bearer`", () => authorization("dev-mistaken"), 401, "authentication_required", /without a scheme.*Bearer <token>/, { as: () => anyone }],
  ["another scheme", () => authorization("Token abc"), 401, "authentication_required", /another scheme.*Bearer/, { as: () => anyone }],
  ["`Bearer` twice", () => authorization("Bearer Bearer abc"), 401, "invalid_token", /`Bearer` once/, { as: () => anyone }],
  ["a token in quotes", () => authorization('Bearer "abc"'), 401, "invalid_token", /quotes/, { as: () => anyone }],
  ["a placeholder", () => authorization("Bearer $TOKEN"), 401, "invalid_token", /Send the token alone/, { as: () => anyone }],
  ["an unknown token", () => authorization("Bearer nobody"), 401, "invalid_token", /Get a new one/, { as: () => anyone }],
  ["a token for another service", () => get(CONTEXTS), 403, "wrong_target_service", /service `cases` only: use it there/, { as: () => client(gateway, delegation.token) }],
  ["a token that may only read", () => send({ name: "n" }), 403, "insufficient_scope", /contexts:write/, { as: () => client(gateway, `${token}+ro`) }],
  // Paths and methods.
  ["a misspelt path", () => get("/v1/context"), 404, "unknown_path", /Did you mean \/v1\/contexts\?/],
  ["a double slash", () => get("/v1//contexts"), 404, "unknown_path", /Did you mean \/v1\/contexts\?/],
  ["a path in capitals", () => get("/V1/Contexts"), 404, "unknown_path", /Did you mean \/v1\/contexts\?/],
  ["a path without its version", () => get("/contexts"), 404, "unknown_path", /Did you mean \/v1\/contexts\?/],
  ["a wrong method", () => ["PUT", own(), { body: { name: "n" } }], 405, "method_not_allowed", /GET, PATCH, DELETE/],
  ["a bad escape", () => get(`${CONTEXTS}/%ff`), 400, "malformed_request", /UTF-8/],
  // Ids.
  ["an id of another kind", () => get(`${CONTEXTS}/${connection.connection_id}`), 404, "not_found", /`conn_` is the id of a connection/],
  ["a ChittyID where a connection's is wanted", () => get(`/v1/connections/${context.chitty_id}`), 404, "not_found", /begins with `conn_`/],
  ["an id in quotes", () => get(`${CONTEXTS}/%22${context.chitty_id}%22`), 404, "not_found", /quotes: leave them out/],
  ["a name for an id", () => get(`${CONTEXTS}/one`), 404, "not_found", /contexts\/search/],
  ["a placeholder for an id", () => get(`${CONTEXTS}/%7Bid%7D`), 404, "not_found", /placeholder/],
  ["an id in small letters", () => get(`${CONTEXTS}/${context.chitty_id.toLowerCase()}`), 404, "not_found", /written in capitals: `\d\d-/],
  ["an id with a mistyped digit", () => get(`${CONTEXTS}/03-1-USA-9003-T-2602-0-81`), 404, "not_found", /mistyped/],
  ["a name for an entity", () => get("/v1/events?entity=one"), 404, "not_found", /`entity_id` of events/],
  ["the secret of a key for its id", () => ["DELETE", `/v1/keys/${key.key}`], 404, "not_found", /begins with `key_`/],
  // Queries.
  ["limit=0", () => get(`${CONTEXTS}?limit=0`), 422, "validation_failed", /from 1 to 100/],
  ["a page number", () => get(`${CONTEXTS}?page=2`), 422, "unknown_parameter", /`limit`.*`cursor`/],
  ["a misspelt parameter", () => get(`${CONTEXTS}?stauts=active`), 422, "unknown_parameter", /did you mean `status`/],
  ["a parameter twice", () => get(`${CONTEXTS}?limit=1&limit=2`), 422, "validation_failed", /once/],
  ["an unknown status", () => get(`${CONTEXTS}?status=ACTIVE`), 422, "validation_failed", /active, inactive or all/],
  ["a time without its zone", () => get(`${CONTEXTS}?since=2026-01-01T00:00:00`), 422, "validation_failed", /2026-01-31T09:30:00Z/],
  ["a time in seconds", () => get(`${CONTEXTS}?since=1767323045`), 422, "validation_failed", /2026-01-31T09:30:00Z/],
  ["a made-up cursor", () => get(`${CONTEXTS}?cursor=2`), 422, "validation_failed", /`next_cursor`/],
  // Headers.
  ["an entity tag without quotes", () => ["PATCH", own(), { body: { name: "n" }, headers: { "if-match": "evt_1" } }], 412, "precondition_failed", /with its quotes/],
  ["an entity tag that is old", () => ["PATCH", own(), { body: { name: "n" }, headers: { "if-match": '"evt_1"' } }], 412, "precondition_failed", /Read it again/],
  ["an idempotency key with a space", () => send({ name: "n" }, CONTEXTS, { "idempotency-key": "a b" }), 422, "validation_failed", /visible ASCII.*UUID/],
  // What the body is.
  ["a form", () => post("name=n", { "content-type": "application/x-www-form-urlencoded" }), 415, "unsupported_media_type", /x-www-form-urlencoded.*Content-Type: application\/json/],
  ["JSON called text", () => post('{"name":"n"}', { "content-type": "text/plain" }), 415, "unsupported_media_type", /text\/plain.*Content-Type: application\/json/],
  ["another charset", () => post('{"name":"n"}', { "content-type": "application/json; charset=latin1" }), 415, "unsupported_media_type", /charset=latin1.*UTF-8/],
  ["another content coding", () => post('{"name":"n"}', { ...json, "content-encoding": "br" }), 415, "unsupported_media_type", /gzip/],
  ["gzip that is none", () => post('{"name":"n"}', { ...json, "content-encoding": "gzip" }), 400, "malformed_request", /gzip/],
  ["a gzip bomb", () => post(gzipSync(Buffer.alloc(32 << 20)), { ...json, "content-encoding": "gzip" }), 413, "payload_too_large", /1048576 bytes, unpacked/],
  ["a body that is too large", () => post(" ".repeat((1 << 20) + 1)), 413, "payload_too_large", /1048576 bytes/],
  ["no body", () => ["POST", CONTEXTS, {}], 400, "malformed_request", /empty.*JSON object/],
  ["UTF-16", () => post(Buffer.from('\ufeff{"name":"n"}', "utf16le")), 400, "malformed_request", /UTF-16.*UTF-8/],
  // JSON that is none.
  ["a trailing comma", () => post('{"name":"n",}'), 400, "malformed_request", /comma/],
  ["single quotes", () => post("{'name':'n'}"), 400, "malformed_request", /double quotes/],
  ["names without quotes", () => post('{name:"n"}'), 400, "malformed_request", /double quotes/],
  ["a comment", () => post('{\n  // the name\n  "name":"n"}'), 400, "malformed_request", /comments/],
  ["NaN", () => post('{"name":"n","data":[NaN]}'), 400, "malformed_request", /NaN/],
  ["a body cut off", () => post('{"name":"n"'), 400, "malformed_request", /ends too early/],
  // JSON of another shape.
  ["null", () => post("null"), 422, "validation_failed", /must be a JSON object/],
  ["an array", () => post('[{"name":"n"}]'), 422, "validation_failed", /one object a request/],
  ["JSON within a string", () => post(JSON.stringify('{"name":"n"}')), 422, "validation_failed", /within a string/],
  ["a member twice", () => post('{"name":"n","name":"m"}'), 422, "validation_failed", /more than once/],
  ["too deep", () => post(`{"name":"n","data":[${"[".repeat(200)}${"]".repeat(200)}]}`), 422, "validation_failed", /127 deep/],
  ["a number too large", () => post('{"name":"n","data":[1e400]}'), 422, "validation_failed", /1\.7e308/],
  // Values.
  ["a misspelt member", () => send({ nmae: "n" }), 422, "unknown_field", /did you mean `name`/],
  ["a member in camelCase", () => delegated({ expiresInSeconds: 600 }), 422, "unknown_field", /did you mean `expires_in_seconds`/],
  ["a misspelt member within another", () => send({ source_chitty_id: id, source_type: "actor", target_service: "chittyfinance", credentials: { type: "bearer", tokn: "t" } }, "/v1/connections"), 422, "unknown_field", /did you mean `token`/],
  ["a required member that is missing", () => send({ data: [] }), 422, "validation_failed", /"\/name".*is required/],
  ["a name that is too long", () => send({ name: "n".repeat(201) }), 422, "validation_failed", /200 characters/],
  ["a number in quotes", () => delegated({ expires_in_seconds: "600" }), 422, "validation_failed", /without quotes/],
  ["a number out of bounds", () => delegated({ expires_in_seconds: 1 }), 422, "validation_failed", /from 60 to 86400/],
  ["one scope that is no list", () => delegated({ scopes: "read" }), 422, "validation_failed", /must be a list/],
  ["a misspelt scope", () => delegated({ scopes: ["contexts:raed"] }), 422, "validation_failed", /did you mean `contexts:read`/],
  ["scopes in one text, as OAuth writes them", () => delegated({ scopes: ["read write"] }), 422, "validation_failed", /`read`, `write`, each as a text of its own/],
  ["a misspelt scope of a context's key", () => send({ name: "n", credentials: { type: "provisioned", scopes: ["cases:raed"] } }), 422, "validation_failed", /did you mean `cases:read`/],
  ["a list where one name is wanted", () => send({ token: "cdt_x", target_service: ["cases"] }, "/v1/delegate/validate"), 422, "validation_failed", /not a list/],
  ["a credential that is a text", () => send({ source_chitty_id: id, source_type: "actor", target_service: "chittyfinance", credentials: "sk_1" }, "/v1/connections"), 422, "validation_failed", /says its `type`/],
  ["a token with its scheme", () => send({ source_chitty_id: id, source_type: "actor", target_service: "chittyfinance", credentials: { type: "bearer", token: "Bearer t" } }, "/v1/connections"), 422, "validation_failed", /without `Bearer`/],
  ["an actor called a context", () => send({ source_chitty_id: id, source_type: "context", target_service: "chittyfinance" }, "/v1/connections"), 404, "not_found", /`source_type` says/],
  ["a scope that is not held", () => delegated({ scopes: ["admin"] }), 422, "validation_failed", /do not hold admin/],
  ["a status that is none", () => ["PATCH", own(), { body: { status: "ACTIVE" } }], 422, "validation_failed", /active or inactive/],
  ["a deletion by status", () => ["PATCH", own(), { body: { status: "deleted" } }], 422, "validation_failed", /use DELETE/],
  ["nothing to change", () => ["PATCH", own(), { body: {} }], 422, "validation_failed", /needs one of/],
  ["an endpoint without TLS", () => send({ source_chitty_id: id, source_type: "actor", target_service: "partner", target_endpoint: "http://partner.example" }, "/v1/connections"), 422, "validation_failed", /https/],
  ["a name that is taken", () => send({ name: "one" }), 409, "name_taken", /another name.*existing_chitty_id/],
  ["an unknown flow", () => send({ email: "a@example.org" }, "/v1/orchestrations/register"), 404, "not_found", /user-registration/],
  // GitHub's side.
  ["a webhook without a signature", () => post("{}", json, "/integrations/github/webhook"), 401, "invalid_signature", /X-Hub-Signature-256` is missing.*secret/, { as: () => anyone }],
];

describe("an answer to a mistake says what to do", () => {
  for (const [what, request, status, code, says, { as = () => call } = {}] of MISTAKES) {
    test(what, async () => {
      const answer = await as()(...request());
      assert.deepEqual([answer.status, answer.code], [status, code], answer.text);
      assert.match(answer.text, says);
      const [method] = request();
      if (method === "GET") assert.doesNotMatch(answer.json.detail, /[Nn]othing was changed/);
      const { origin, pathname, hash } = new URL(answer.json.type);
      assert.deepEqual([pathname, hash], ["/docs/errors", `#${code}`]);
      assert.ok(!/chitty\.cc/.test(origin), `${origin} is not this gateway`);
      if (status === 405) assert.ok(answer.headers.has("allow"));
      if (status === 415 && /coding/.test(what)) assert.equal(answer.headers.get("accept-encoding"), "gzip, identity");
      if (status === 422 && code !== "idempotency_key_reused") assert.ok(answer.json.errors.every(({ pointer, detail }) => detail && pointer !== undefined));
    });
  }

  test("nothing of all that was done", async () => {
    const { json } = await call("GET", CONTEXTS);
    assert.deepEqual(json.contexts.map(({ name }) => name), ["one"]);
    assert.deepEqual(access.complaints(), []);
  });

  test("the page that a problem leads to is there, with the code on it", async () => {
    const { json } = await call("GET", "/v1/context");
    const { pathname, hash } = new URL(json.type);
    const page = await gateway.fetch(pathname);
    assert.equal(page.status, 200);
    assert.match(await page.text(), new RegExp(`id="${hash.slice(1)}"`));
  });
});

describe("what looks like a mistake and is none", () => {
  for (const [what, request] of [
    ["a byte order mark", () => post('\ufeff{"name":"marked"}')],
    ["UTF-8 by another name", () => post('{"name":"charset"}', { "content-type": "application/json; charset=utf8" })],
    ["a body that is compressed", () => post(gzipSync('{"name":"packed"}'), { ...json, "content-encoding": "gzip" })],
    ["a whole number with a point", () => post('{"target_service":"chittycases","scopes":["read"],"expires_in_seconds":6.0e2}', json, "/v1/delegate")],
  ]) {
    test(what, async () => {
      const answer = await call(...request());
      assert.equal(answer.status, 201, answer.text);
    });
  }

  test("what callers keep with a context", async () => {
    const kept = { type: "session", customizations: { agents: [{ name: "reviewer" }] } };
    const { type, customizations } = await create(call, { name: "session", ...kept });
    assert.deepEqual({ type, customizations }, kept);
    const { json } = await call("GET", `${CONTEXTS}/list?type=session&since=2026-01-01T00:00:00Z`);
    assert.deepEqual(json.contexts.map(({ name }) => name), ["session"]);
  });

  test("a health check with a query", async () => {
    assert.equal((await anyone("GET", "/health?_=1767323045")).status, 200);
  });

  test("a rotation without a body", async () => {
    assert.equal((await call("POST", `/v1/keys/${key.key_id}/rotate`)).status, 200);
  });
});
