/** Who may do what: every route with every kind of credential, tokens, keys, delegations, limits, and the record of it all. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { actorId } from "../../sandbox/chitty-id.mjs";
import { until } from "./harness/await.mjs";
import { client, create } from "./harness/client.mjs";
import { contents } from "./harness/contents.mjs";
import { startGateway } from "./harness/gateway.mjs";
import { byKey, delegate, expect, make, makeKey, pages, people, register } from "./harness/people.mjs";
import { ADMIN, COMMON, HIDDEN, OWN, PUBLIC, requestOf, requests, routesOf } from "./harness/requests.mjs";
import { startSandbox } from "./harness/sandbox.mjs";

const PAST = "2020-01-01T00:00:00.000Z";

let sandbox, gateway, admin, anyone, person;
const others = [];

/** A gateway besides the one that most tests share. */
async function another(options = {}) {
  const started = await startGateway({ sandboxUrl: sandbox.url, ...options });
  others.push(started);
  return started;
}

before(async () => {
  sandbox = await startSandbox();
  gateway = await startGateway({ sandboxUrl: sandbox.url, isolates: 2 });
  admin = client(gateway, "dev-admin");
  anyone = client(gateway);
  person = people(gateway, "access");
  await gateway.scheduled();
  await until(async () => (await anyone("GET", "/health")).json.ecosystem.state === "registered", { timeout: 20_000, what: "the registration" });
});

after(async () => {
  await Promise.all([gateway, ...others].map((started) => started?.close()));
  await sandbox?.close();
});

const setStatus = (id, status, by = admin) => by("PATCH", `/v1/actors/${id}`, { body: { status } });
const grant = async (id, capabilities, by = admin) => {
  const granted = await by("PUT", `/v1/actors/${id}/capabilities`, { body: { capabilities } });
  assert.equal(granted.status, 200, granted.text);
};
const rows = async (sql, ...bindings) => {
  const statement = (await gateway.db()).prepare(sql);
  return (await (bindings.length > 0 ? statement.bind(...bindings) : statement).all()).results;
};
const refused = (call, status, code, path = "/v1/contexts") => call("GET", path).then((answer) => expect(answer, status, code));
const works = async (call, path = "/v1/contexts", options = {}) => {
  const answer = await call("GET", path, options);
  assert.equal(answer.status, 200, answer.text);
};

describe("every route", () => {
  /** One who has one of everything. */
  let owner, entities, table, routes;

  before(async () => {
    owner = person();
    await register(owner.call, { email: "owner@example.org" });
    const context = await create(owner.call, { name: "the owner's" });
    const key = await makeKey(owner.call);
    const delegation = await delegate(owner.call);
    const source = { source_chitty_id: context.chitty_id, source_type: "context" };
    const target = { target_service: "partner", target_endpoint: "https://api.partner.example" };
    const connection = await make(owner.call, "/v1/connections", "connection", { ...source, ...target });
    const run = await owner.call("POST", "/v1/orchestrations/secure-user", { body: { email: "owner@example.org" } });
    entities = {
      actor: owner.id,
      context: context.chitty_id,
      key: key.key_id,
      delegation: delegation.delegation_id,
      connection: connection.connection_id,
      orchestration: run.headers.get("location").split("/").at(-1),
    };
    table = requests(entities);
    routes = routesOf((await anyone("GET", "/openapi.json")).json);
    await until(async () => (await rows("SELECT 1 FROM outbox WHERE done_at IS NULL")).length === 0, { timeout: 15_000, what: "an empty outbox" });
  });

  const WATCHED = {
    contexts: "chitty_id, revision",
    actors: "chitty_id, status, capabilities, display_name, revision",
    keys: "key_id, revision",
    key_secrets: "secret_sha256, valid_until",
    delegations: "delegation_id, scopes, revision",
    connections: "connection_id, status, request_count, error_count, revision",
    connection_secrets: "connection_id, sealed",
    credential_revocations: "id",
    idempotency_keys: "key",
    orchestrations: "id",
    audit: "event_id",
  };
  /** What is there, and what was asked of others: text by text, in order. */
  const state = async () => {
    const found = await Promise.all(
      Object.entries(WATCHED).map(async ([name, columns]) => (await rows(`SELECT ${columns} FROM ${name}`)).map((row) => `${name} ${JSON.stringify(row)}`)),
    );
    const asked = [await sandbox.count("id", "/v1/mint"), await sandbox.count("outside")];
    return [...found.flat().sort(), `mints and calls outside: ${asked}`];
  };
  /** Sends every request of the table by each of the callers, in both isolates, and nothing may come of it. */
  const allRefused = async (callers, status, code) => {
    const before = await state();
    const wrong = [];
    for (const [who, call] of Object.entries(callers)) {
      let isolate = 0;
      for (const [route, row] of Object.entries(table)) {
        isolate = 1 - isolate;
        const [method, path, options] = requestOf(route, row);
        const answer = await call(method, path, { ...options, isolate });
        if (answer.status !== status || answer.code !== code) wrong.push(`${who}: ${route}: ${answer.status} ${answer.code}`);
      }
    }
    assert.deepEqual(wrong, [], `${status} ${code} for all`);
    assert.deepEqual(await state(), before, "nothing has changed");
  };

  test("is in this table, and what is open is meant to be", () => {
    assert.deepEqual(Object.keys(table).sort(), [...routes.scoped.keys()].sort());
    assert.deepEqual(routes.open.sort(), ["GET /", "GET /health", "GET /metrics", "GET /openapi.json", "POST /v1/delegate/validate"]);
  });

  test("wants a credential", async () => {
    const by = (headers) => (method, path, options) => anyone(method, path, { ...options, headers });
    await allRefused({ none: anyone, basic: by({ authorization: `Basic ${btoa("user:dev-admin")}` }), cookie: by({ cookie: "token=dev-admin" }) }, 401, "authentication_required");
  });

  test("refuses what is made up or has expired", async () => {
    const expired = await sandbox.jwt({ name: owner.name, claims: { exp: 1_700_000_000 } });
    await allRefused(
      {
        unknown: client(gateway, "nobody"),
        expired: owner.as("expired"),
        "an expired JWT": client(gateway, expired),
        "no delegation": client(gateway, `cdt_${"a".repeat(43)}`),
        "no key": byKey(gateway, `chitty_${"a".repeat(43)}`),
        "a key that is an id": byKey(gateway, entities.key, "x-api-key"),
      },
      401,
      "invalid_token",
    );
  });

  test("refuses what was revoked or has ended a moment ago, wherever it was used before", async () => {
    const [revoked, ended] = [await delegate(owner.call, { scopes: ["read", "write"] }), await delegate(owner.call, { scopes: ["read", "write"] })];
    const [key, endedKey] = [await makeKey(owner.call), await makeKey(owner.call, { expires_in_seconds: 3600 })];
    const callers = {
      "a revoked delegation": client(gateway, revoked.token),
      "a delegation that has ended": client(gateway, ended.token),
      "a revoked key": byKey(gateway, key.key),
      "a key that has ended": byKey(gateway, endedKey.key),
    };
    for (const call of Object.values(callers)) for (const isolate of [0, 1]) await works(call, "/v1/contexts", { isolate });
    assert.equal((await owner.call("DELETE", `/v1/delegate/${revoked.delegation_id}`)).status, 200);
    assert.equal((await owner.call("DELETE", `/v1/keys/${key.key_id}`)).status, 200);
    await rows("UPDATE delegations SET expires_at = ?2 WHERE delegation_id = ?1", ended.delegation_id, PAST);
    await rows("UPDATE keys SET expires_at = ?2 WHERE key_id = ?1", endedKey.key_id, PAST);
    await allRefused(callers, 401, "invalid_token");
  });

  test("refuses one who is suspended, by whatever credential, and works again afterwards", async () => {
    const callers = {
      token: owner.call,
      "read only": owner.as("ro"),
      JWT: client(gateway, await sandbox.jwt({ name: owner.name })),
      delegation: client(gateway, (await delegate(owner.call, { scopes: ["read", "write"] })).token),
      key: byKey(gateway, (await makeKey(owner.call)).key),
    };
    for (const call of Object.values(callers)) for (const isolate of [0, 1]) await works(call, "/v1/contexts", { isolate });
    try {
      for (const status of ["suspended", "deleted"]) {
        assert.equal((await setStatus(owner.id, status)).status, 200);
        await allRefused(callers, 403, "actor_suspended");
      }
    } finally {
      assert.equal((await setStatus(owner.id, "active")).status, 200);
    }
    for (const call of Object.values(callers)) for (const isolate of [0, 1]) await works(call, "/v1/contexts", { isolate });
  });

  test("refuses a credential whose scopes have nothing to do with it", async () => {
    const scopes = ["nothing:read", "nothing:write"];
    await allRefused(
      {
        token: owner.as(`scopes=${scopes}`),
        JWT: client(gateway, await sandbox.jwt({ name: owner.name, claims: { scope: scopes.join(" ") } })),
        delegation: client(gateway, (await delegate(owner.call, { scopes })).token),
        key: byKey(gateway, (await makeKey(owner.call, { scopes })).key),
      },
      403,
      "insufficient_scope",
    );
  });

  test("needs the permission that the description names, and no other", async () => {
    const permissions = [...new Set(routes.scoped.values())];
    const before = await state();
    const wrong = [];
    for (const [route, permission] of routes.scoped) {
      const [method, path, options] = requestOf(route, table[route]);
      const rest = permissions.filter((one) => one !== permission);
      const without = await owner.as(`scopes=${rest}`)(method, path, options);
      if (without.code !== "insufficient_scope") wrong.push(`${route} without ${permission}: ${without.status} ${without.code}`);
      if (table[route].isStream) continue;
      const [, nowhere, nothing] = requestOf(route, table[route], { id: route.includes("/actors/") ? actorId("nobody at all") : "nothing", body: table[route].body && {} });
      const { status, code } = await owner.as(`scopes=${permission}`)(method, nowhere, nothing);
      if (![200, 404, 422].includes(status)) wrong.push(`${route} with ${permission}: ${status} ${code}`);
    }
    assert.deepEqual(wrong, []);
    assert.deepEqual(await state(), before, "nothing has changed");
  });

  test("is for this gateway: a token for another service opens nothing", async () => {
    const { token } = await delegate(owner.call, { target_service: "github", scopes: ["read", "write"] });
    const call = client(gateway, token);
    const before = await state();
    for (const [route, row] of Object.entries(table)) {
      if (route === "POST /v1/delegate") continue;
      const [method, path, options] = requestOf(route, row);
      const answer = await call(method, path, options);
      // It sees connections to its own service and what was delegated by it: there is nothing of either.
      if (/^GET \/v1\/(connections(\/list)?|delegate)$/.test(route)) assert.equal(answer.json.count, 0, route);
      else if (/\/v1\/(connections|delegate)\//.test(route)) expect(answer, 404, "not_found", route);
      else expect(answer, 403, "wrong_target_service", route);
    }
    assert.deepEqual(await state(), before);
  });

  test("shows and changes nothing of another actor's", async () => {
    const other = person();
    const before = (await state()).slice(0, -1);
    const secrets = Object.entries(entities).filter(([name]) => name !== "actor").map(([, id]) => id).concat("owner@example.org");
    const expected = { [HIDDEN]: "not_found", [ADMIN]: "insufficient_scope", [OWN]: undefined, [COMMON]: undefined, [PUBLIC]: undefined };
    const wrong = [];
    for (const [route, row] of Object.entries(table)) {
      if (row.isStream) continue;
      const [method, path, options] = requestOf(route, row);
      const { status, code, text, json } = await other.call(method, path, options);
      if (code !== expected[row.other]) wrong.push(`${route}: ${status} ${code}`);
      if (secrets.some((secret) => text.includes(secret))) wrong.push(`${route}: ${text}`);
      const shown = Object.keys(json.actor ?? {}).sort();
      if (row.other === PUBLIC && `${shown}` !== "actor_type,avatar_url,chittyId,chitty_id,display_name") wrong.push(`${route}: ${shown}`);
    }
    assert.deepEqual(wrong, []);
    const now = new Set(await state());
    assert.deepEqual(before.filter((line) => !now.has(line)), [], "what was there is there as it was");
    const touched = await rows("SELECT * FROM audit WHERE actor_id = ?1 AND entity_id IN (SELECT value FROM json_each(?2))", other.id, JSON.stringify(Object.values(entities)));
    assert.deepEqual(touched, []);
  });
});

describe("scopes", () => {
  test("grant what they name, in every form, and no more", async () => {
    const { as } = person();
    for (const [scopes, read, write] of [
      ["contexts:read", 200, 403],
      ["contexts:write", 403, 201],
      ["contexts:*", 200, 201],
      ["read", 200, 403],
      ["write", 403, 201],
      ["admin", 200, 201],
      ["admin:*", 200, 201],
      ["*", 200, 201],
      ["", 403, 403],
      ["contexts", 403, 403],
      ["contexts:", 403, 403],
      [":read", 403, 403],
      ["contexts:rea", 403, 403],
      ["contexts:readwrite", 403, 403],
      ["contextss:read", 403, 403],
      ["keys:*,actors:*,connections:*", 403, 403],
    ]) {
      const call = as(`scopes=${scopes}`);
      const statuses = [(await call("GET", "/v1/contexts")).status, (await call("POST", "/v1/contexts", { body: { name: `by ${scopes}` } })).status];
      assert.deepEqual(statuses, [read, write], scopes);
    }
  });

  test("of others are no administrator's", async () => {
    const { as } = person();
    for (const scopes of ["read,write", "actors:*", "audit:*,keys:*", "administrator", "adm", "admin:read"]) {
      const call = as(`scopes=${scopes}`);
      const seen = await call("GET", "/v1/audit/verify");
      assert.equal(seen.status, scopes.includes("audit:*") ? 200 : 403, scopes);
      expect(await call("POST", "/v1/ecosystem/canon/check"), 403, "insufficient_scope", scopes);
    }
    expect(await as("scopes=actors:write,actors:read")("GET", "/v1/actors"), 403, "insufficient_scope");
    await works(as("scopes=actors:admin"), "/v1/actors");
  });
});

describe("JWTs of ChittyAuth", () => {
  const now = () => Math.floor(Date.now() / 1000);
  const encode = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
  const partsOf = async (options) => (await sandbox.jwt(options)).split(".");

  test("work, and are their actor's", async () => {
    const { name, call } = person();
    const { chitty_id: id } = await create(call, { name: "mine" });
    for (const claims of [
      {},
      { aud: ["another", "chittyconnect"] },
      { aud: "http://localhost:8787" },
      { exp: now() - 20 },
      { nbf: now() + 20, iat: now() + 20 },
      { scope: ["read"] },
      { sub: "service", chitty_id: actorId(name) },
      { sub: actorId(name) },
    ]) {
      const read = await client(gateway, await sandbox.jwt({ name, claims }))("GET", `/v1/contexts/${id}`);
      assert.equal(read.status, 200, `${JSON.stringify(claims)}: ${read.text}`);
    }
    const narrow = client(gateway, await sandbox.jwt({ name, claims: { scope: "read" } }));
    expect(await narrow("POST", "/v1/contexts", { body: { name: "x" } }), 403, "insufficient_scope");
    await refused(client(gateway, await sandbox.jwt({ name, claims: { scope: null } })), 403, "insufficient_scope");
    assert.ok((await sandbox.count("auth", "/.well-known/jwks.json")) <= gateway.urls.length, "the keys are fetched once an isolate");
  });

  test("with anything wrong in what they claim are refused", async () => {
    const { name } = person();
    for (const [claims, header] of [
      [{ iss: "https://auth.chitty.cc.evil.example" }],
      [{ iss: "https://auth.chitty.cc/" }],
      [{ iss: null }],
      [{ aud: "another" }],
      [{ aud: ["another"] }],
      [{ aud: [] }],
      [{ aud: null }],
      [{ aud: "chittyconnectx" }],
      [{ exp: now() - 40 }],
      [{ exp: null }],
      [{ exp: "never" }],
      [{ exp: -1 }],
      [{ nbf: now() + 60 }],
      [{ iat: now() + 60 }],
      [{ sub: null }],
      [{ sub: "" }],
      [{ sub: "admin" }],
      [{ sub: "did:chitty:03-1-USA-9003-T-2602-0-81" }],
      [{ sub: "03-0-ERR-0001-P-2602-0-11" }],
      [{}, { alg: "none" }],
      [{}, { alg: "None" }],
      [{}, { alg: "HS256" }],
      [{}, { alg: "RS256" }],
      [{}, { alg: "ES384" }],
      [{}, { alg: "es256" }],
      [{}, { alg: null }],
      [{}, { alg: "" }],
      [{}, { kid: null }],
      [{}, { kid: "unknown" }],
      [{}, { kid: "sandbox-2" }],
      [{}, { kid: "" }],
      [{}, { crit: ["exp"] }],
    ]) {
      const token = await sandbox.jwt({ name, claims, header });
      expect(await client(gateway, token)("GET", "/v1/contexts"), 401, "invalid_token", JSON.stringify([claims, header]));
    }
  });

  test("signed by anybody else, or altered, are refused", async () => {
    const { name } = person();
    const [header, claims, signature] = await partsOf({ name });
    const [, adminClaims] = await partsOf({ name: "admin", claims: { scope: "admin" } });
    const [, , otherSignature] = await partsOf({ name, claims: { jti: "another" } });
    const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
    const ownJwk = await crypto.subtle.exportKey("jwk", pair.publicKey);
    const own = async (fields) => {
      const signed = `${encode({ alg: "ES256", typ: "JWT", kid: "sandbox-1", ...fields })}.${claims}`;
      return `${signed}.${encode(Buffer.from(await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, pair.privateKey, Buffer.from(signed))))}`;
    };
    const { keys } = await (await fetch(`${sandbox.url}/auth/.well-known/jwks.json`)).json();
    const byPublicKey = async (secret) => {
      const signed = `${encode({ alg: "HS256", typ: "JWT", kid: "sandbox-1" })}.${claims}`;
      const key = await crypto.subtle.importKey("raw", Buffer.from(secret), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
      return `${signed}.${encode(Buffer.from(await crypto.subtle.sign("HMAC", key, Buffer.from(signed))))}`;
    };
    const raw = Buffer.from(signature, "base64url");
    const zeros = encode(Buffer.alloc(64));
    for (const [what, token] of Object.entries({
      "other claims": `${header}.${adminClaims}.${signature}`,
      "another's signature": `${header}.${claims}.${otherSignature}`,
      "no signature": `${header}.${claims}.`,
      "two parts": `${header}.${claims}`,
      "four parts": `${header}.${claims}.${signature}.${signature}`,
      "a short signature": `${header}.${claims}.${encode(raw.subarray(0, 63))}`,
      "a long signature": `${header}.${claims}.${encode(Buffer.concat([raw, Buffer.from([0])]))}`,
      zeros: `${header}.${claims}.${zeros}`,
      "halves swapped": `${header}.${claims}.${encode(Buffer.concat([raw.subarray(32), raw.subarray(0, 32)]))}`,
      "a foreign key": await own({}),
      "a foreign key that is in the header": await own({ jwk: ownJwk }),
      "a foreign key elsewhere": await own({ jku: "https://evil.example/jwks.json", x5u: "https://evil.example/x" }),
      "an HMAC with the published key": await byPublicKey(JSON.stringify(keys[0])),
      "an HMAC with the point": await byPublicKey(Buffer.from(keys[0].x, "base64url")),
      "no JSON": `${encode("{")}.${claims}.${signature}`,
      "no claims": `${header}.${encode("[]")}.${signature}`,
    })) {
      expect(await client(gateway, token)("GET", "/v1/contexts"), 401, "invalid_token", what);
    }
    assert.equal(await sandbox.count("outside"), await sandbox.count("outside", "/", "api.partner.example"), "and nobody was asked for a key");
  });

  test("that name keys nobody knows cause no storm at ChittyAuth", async () => {
    const { name } = person();
    const before = await sandbox.count("auth", "/.well-known/jwks.json");
    const tokens = await Promise.all(Array.from({ length: 30 }, (_, n) => sandbox.jwt({ name, header: { kid: `made-up-${n}` } })));
    const codes = await Promise.all(tokens.map(async (token) => (await client(gateway, token)("GET", "/v1/contexts")).code));
    assert.deepEqual(codes, Array(30).fill("invalid_token"));
    assert.equal(await sandbox.count("auth", "/.well-known/jwks.json"), before);
  });

  test("are good by a new key, where the gateway looks for the first time", async () => {
    await sandbox.keys.publish("sandbox-2");
    const cold = await another();
    const { name } = person();
    for (const kid of ["sandbox-2", "sandbox-1"]) await works(client(cold, await sandbox.jwt({ name, header: { kid } })));
    await sandbox.keys.withdraw("sandbox-2");
    await works(client(cold, await sandbox.jwt({ name, header: { kid: "sandbox-2" }, claims: { jti: "again" } })));
  });

  test("outlast an outage of ChittyAuth once its keys are known", async () => {
    const cold = await another({ vars: { BREAKER_MIN_CALLS: "0" } });
    const { name, token } = person();
    const jwt = async (jti) => client(cold, await sandbox.jwt({ name, claims: { jti } }));
    await client(cold)("GET", "/health");
    await sandbox.fault("auth", { mode: "fail", status: 503 });
    const early = await (await jwt("early"))("GET", "/v1/contexts");
    await sandbox.clear("auth");
    expect(early, 503, "authentication_unavailable");
    await works(await jwt("first"));
    await sandbox.fault("auth", { mode: "fail", status: 503 });
    const [known, opaque] = [await (await jwt("second"))("GET", "/v1/contexts"), await client(cold, token)("GET", "/v1/contexts")];
    await sandbox.clear("auth");
    assert.equal(known.status, 200, known.text);
    expect(opaque, 503, "authentication_unavailable");
    await works(client(cold, token));
  });
});

describe("API keys", () => {
  test("work in every header, are shown once, and are kept nowhere", async () => {
    const { call, id } = person();
    const headers = { "idempotency-key": "key-1" };
    const scopes = ["contexts:read", "contexts:write"];
    const made = await call("POST", "/v1/keys", { body: { name: "build", scopes, expires_in_seconds: 3600 }, headers });
    assert.equal(made.status, 201, made.text);
    const { key: secret, ...key } = made.json.key;
    assert.match(secret, /^chitty_[\w-]{40,}$/);
    assert.deepEqual([key.name, key.scopes, key.status], ["build", scopes, "active"]);
    assert.ok(secret.endsWith(key.hint) && key.hint.length < 10);
    assert.ok(Math.abs(Date.parse(key.expires_at) - Date.now() - 3_600_000) < 60_000);
    const replay = await call("POST", "/v1/keys", { body: { name: "build", scopes, expires_in_seconds: 3600 }, headers });
    assert.deepEqual([replay.status, replay.headers.get("idempotency-replayed"), replay.json.key.key_id], [201, "true", key.key_id]);
    const shown = [replay, await call("GET", "/v1/keys"), await call("GET", `/v1/keys/${key.key_id}`), await admin("GET", `/v1/audit?entity=${key.key_id}`)];
    for (const { text } of shown) assert.ok(!text.includes(secret) && text.includes(key.key_id), text);
    assert.ok(!(await contents(gateway)).includes(secret));

    const context = await create(call, { name: "mine" });
    for (const header of ["x-chittyos-api-key", "X-API-Key"]) {
      assert.equal((await byKey(gateway, secret, header)("GET", `/v1/contexts/${context.chitty_id}`)).status, 200, header);
    }
    const bearer = client(gateway, secret);
    assert.equal((await bearer("POST", "/v1/contexts", { body: { name: "by key" } })).json.context.owner, id);
    for (const path of ["/v1/keys", "/v1/actors/me", "/v1/connections", "/v1/audit"]) await refused(bearer, 403, "insufficient_scope", path);
    await until(async () => (await call("GET", `/v1/keys/${key.key_id}`)).json.key?.last_used_at ?? (await call("GET", `/v1/keys/${key.key_id}`)).json.last_used_at, { what: "when it was used" });
  });

  test("what is wrong with a request for one is said", async () => {
    const { call, as, id } = person();
    const before = (await rows("SELECT 1 FROM keys")).length;
    for (const body of [
      {},
      { name: "x" },
      { name: "x", scopes: [] },
      { name: "", scopes: ["read"] },
      { name: "x".repeat(201), scopes: ["read"] },
      { name: 1, scopes: ["read"] },
      { name: "x", scopes: "read" },
      { name: "x", scopes: ["admin"] },
      { name: "x", scopes: ["*"] },
      { name: "x", scopes: ["actors:admin"] },
      { name: "x", scopes: ["contexts:*"] },
      { name: "x", scopes: ["contexts:admin"] },
      { name: "x", scopes: ["a b"] },
      ...[59, 157_680_001, -1, 0, 60.5, "60"].map((expires_in_seconds) => ({ name: "x", scopes: ["read"], expires_in_seconds })),
    ]) {
      expect(await call("POST", "/v1/keys", { body }), 422, "validation_failed", JSON.stringify(body));
    }
    expect(await as("ro")("POST", "/v1/keys", { body: { name: "x", scopes: ["read"] } }), 403, "insufficient_scope");
    const narrow = as("scopes=keys:*,contexts:read");
    for (const scope of ["write", "read", "contexts:write", "contexts:*", "keys:admin"]) {
      const wide = await narrow("POST", "/v1/keys", { body: { name: "x", scopes: [scope] } });
      if (scope === "keys:admin") assert.equal(wide.status, 201, "keys:* is all of it");
      else expect(wide, 422, "validation_failed", scope);
    }
    expect(await call("POST", "/v1/keys", { body: { name: "x", scopes: ["read"], actor_chitty_id: actorId("another") } }), 403, "insufficient_scope");
    assert.equal((await rows("SELECT 1 FROM keys")).length, before + 1, id);
  });

  test("of one request made many times at once are one, shown to one", async () => {
    const { call } = person();
    const options = { body: { name: "once", scopes: ["read"] }, headers: { "idempotency-key": "once" } };
    const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => call("POST", "/v1/keys", { ...options, isolate: n % 2 })));
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [201]);
    assert.equal(new Set(answers.map(({ json }) => json.key.key_id)).size, 1);
    const shown = answers.filter(({ json }) => json.key.key);
    assert.equal(shown.length, 1);
    await works(byKey(gateway, shown[0].json.key.key));
    assert.equal((await call("GET", "/v1/keys")).json.count, 1);
    const rotate = { body: { grace_seconds: 60 }, headers: { "idempotency-key": "twice" } };
    const rotations = await Promise.all(Array.from({ length: 10 }, (_, n) => call("POST", `/v1/keys/${shown[0].json.key.key_id}/rotate`, { ...rotate, isolate: n % 2 })));
    assert.deepEqual([...new Set(rotations.map(({ status }) => status))], [200]);
    assert.equal(rotations.filter(({ json }) => json.key.key).length, 1);
  });

  test("come from the actor's own token only", async () => {
    const { call } = person();
    const key = await makeKey(call);
    const delegation = await delegate(call, { scopes: ["read", "write"] });
    for (const by of [byKey(gateway, key.key), client(gateway, delegation.token)]) {
      expect(await by("POST", "/v1/keys", { body: { name: "x", scopes: ["read"] } }), 403, "delegated_credential");
    }
    assert.equal((await call("GET", "/v1/keys")).json.count, 1);
  });

  test("an administrator makes them for others", async () => {
    const { call, id } = person();
    const key = await makeKey(admin, { actor_chitty_id: id, scopes: ["contexts:read"] });
    const { chitty_id: context } = await create(call, { name: "mine" });
    assert.equal((await byKey(gateway, key.key)("GET", `/v1/contexts/${context}`)).status, 200);
    assert.deepEqual((await call("GET", "/v1/keys")).json.keys.map(({ key_id }) => key_id), [key.key_id]);
    assert.equal((await call("DELETE", `/v1/keys/${key.key_id}`)).status, 200);
    await refused(byKey(gateway, key.key), 401, "invalid_token");
  });

  test("a new secret leaves the old one its grace, and no longer", async () => {
    const { call } = person();
    const key = await makeKey(call);
    const path = `/v1/keys/${key.key_id}`;
    const rotate = async (body) => {
      const rotated = await call("POST", `${path}/rotate`, { body });
      assert.equal(rotated.status, 200, rotated.text);
      assert.equal(rotated.json.key.key_id, key.key_id);
      return rotated.json.key.key;
    };
    const second = await rotate({ grace_seconds: 600 });
    assert.notEqual(second, key.key);
    for (const secret of [key.key, second]) for (const isolate of [0, 1]) await works(byKey(gateway, secret), "/v1/contexts", { isolate });
    await rows("UPDATE key_secrets SET valid_until = ?2 WHERE key_id = ?1 AND valid_until IS NOT NULL", key.key_id, PAST);
    for (const isolate of [0, 1]) expect(await byKey(gateway, key.key)("GET", "/v1/contexts", { isolate }), 401, "invalid_token");
    const third = await rotate({ grace_seconds: 0 });
    for (const isolate of [0, 1]) expect(await byKey(gateway, second)("GET", "/v1/contexts", { isolate }), 401, "invalid_token");
    await works(byKey(gateway, third));
    const fourth = await rotate({ grace_seconds: 1 });
    await until(async () => (await byKey(gateway, third)("GET", "/v1/contexts")).code === "invalid_token", { what: "the end of the grace" });
    await works(byKey(gateway, fourth));
    for (const grace_seconds of [-1, 604_801, 1.5, "1"]) {
      expect(await call("POST", `${path}/rotate`, { body: { grace_seconds } }), 422, "validation_failed", `${grace_seconds}`);
    }
    assert.ok(!(await contents(gateway)).includes(fourth));
    await call("DELETE", path);
    await refused(byKey(gateway, fourth), 401, "invalid_token");
    assert.ok((await call("POST", `${path}/rotate`, { body: {} })).status >= 400, "what is revoked stays so");
  });

  test("delegate no longer than they last", async () => {
    const { call } = person();
    const key = await makeKey(call, { expires_in_seconds: 600 });
    const by = byKey(gateway, key.key);
    expect(await by("POST", "/v1/delegate", { body: { target_service: "chittyconnect", expires_in_seconds: 3600 } }), 422, "validation_failed");
    const delegation = await delegate(by);
    assert.ok(delegation.expires_at <= key.expires_at, "as long as may be");
    await works(client(gateway, delegation.token));
  });

  test("a revoked key takes along what was delegated by it", async () => {
    const { call } = person();
    const key = await makeKey(call);
    const child = await delegate(byKey(gateway, key.key), { scopes: ["read", "write"] });
    const grandchild = await delegate(client(gateway, child.token), { scopes: ["read"], expires_in_seconds: 60 });
    for (const { token } of [child, grandchild]) for (const isolate of [0, 1]) await works(client(gateway, token), "/v1/contexts", { isolate });
    assert.equal((await call("DELETE", `/v1/keys/${key.key_id}`)).status, 200);
    for (const { token } of [child, grandchild]) {
      for (const isolate of [0, 1]) expect(await client(gateway, token)("GET", "/v1/contexts", { isolate }), 401, "invalid_token");
      assert.deepEqual((await anyone("POST", "/v1/delegate/validate", { body: { token } })).json, { active: false, valid: false });
    }
  });

  test("never do more than their owner may", async () => {
    const { as, id } = person();
    await grant(id, ["contexts:write"]);
    const call = as("scopes=contexts:read,keys:*");
    const key = await makeKey(call, { scopes: ["contexts:read", "contexts:write"] });
    await create(byKey(gateway, key.key), { name: "while granted" });
    await grant(id, []);
    for (const isolate of [0, 1]) {
      expect(await byKey(gateway, key.key)("POST", "/v1/contexts", { body: { name: "after" }, isolate }), 403, "insufficient_scope");
      await works(byKey(gateway, key.key), "/v1/contexts", { isolate });
    }
  });
});

describe("delegations", () => {
  const validate = async (token, more = {}) => (await anyone("POST", "/v1/delegate/validate", { body: { token, ...more } })).json;
  const INACTIVE = { active: false, valid: false };
  const remove = (call, { delegation_id: id }) => call("DELETE", `/v1/delegate/${id}`);

  test("act for their delegator, within their scopes", async () => {
    const { call, id } = person();
    const context = await create(call, { name: "mine" });
    const body = { target_service: "chittyconnect", metadata: { purpose: "a report" } };
    const made = await call("POST", "/v1/delegate", { body, headers: { "idempotency-key": "d-1" } });
    assert.equal(made.status, 201, made.text);
    const { token, ...delegation } = made.json.delegation;
    assert.match(token, /^cdt_[\w-]{40,}$/);
    assert.match(delegation.delegation_id, /^dlg_/);
    assert.deepEqual([delegation.token_id, delegation.scopes, delegation.expires_in_seconds], [delegation.delegation_id, ["read"], 3600]);
    const by = client(gateway, token);
    assert.equal((await by("GET", `/v1/contexts/${context.chitty_id}`)).json.owner, id);
    expect(await by("POST", "/v1/contexts", { body: { name: "x" } }), 403, "insufficient_scope");

    const replay = await call("POST", "/v1/delegate", { body, headers: { "idempotency-key": "d-1" } });
    assert.deepEqual([replay.status, replay.json.delegation.delegation_id, replay.headers.get("idempotency-replayed")], [201, delegation.delegation_id, "true"]);
    const shown = [replay, await call("GET", "/v1/delegate"), await admin("GET", `/v1/audit?entity=${delegation.delegation_id}`)];
    for (const { text } of shown) assert.ok(!text.includes(token) && text.includes(delegation.delegation_id), text);
    assert.ok(!(await contents(gateway)).includes(token));

    const { delegation: told, ...answer } = await validate(token);
    assert.deepEqual([answer.active, answer.valid, answer.scope, answer.sub, answer.jti], [true, true, "read", id, delegation.delegation_id]);
    assert.equal(answer.exp, Math.floor(Date.parse(delegation.expires_at) / 1000));
    assert.ok(answer.iat <= answer.exp - 3600 && answer.token_type);
    assert.equal(told.token_id, delegation.delegation_id);
    for (const service of ["chittyconnect", "connect"]) assert.equal((await validate(token, { target_service: service })).active, true, service);
  });

  test("of one request made many times at once is one, shown to one", async () => {
    const { call } = person();
    const options = { body: { target_service: "chittyconnect" }, headers: { "idempotency-key": "once" } };
    const answers = await Promise.all(Array.from({ length: 20 }, () => call("POST", "/v1/delegate", options)));
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [201]);
    assert.equal(new Set(answers.map(({ json }) => json.delegation.delegation_id)).size, 1);
    assert.equal(answers.filter(({ json }) => json.delegation.token).length, 1);
    assert.equal((await call("GET", "/v1/delegate")).json.count, 1);
  });

  test("what is wrong with a request is said", async () => {
    const { call, as } = person();
    for (const body of [
      {},
      { target_service: "" },
      { target_service: 7 },
      { target_service: "x".repeat(300) },
      ...[59, 86_401, 0, -60, 61.5, "60"].map((expires_in_seconds) => ({ target_service: "chittyconnect", expires_in_seconds })),
      ...[["admin"], ["*"], ["actors:admin"], [], "read", [""], ["a b"], [1]].map((scopes) => ({ target_service: "chittyconnect", scopes })),
      { target_service: "chittyconnect", metadata: [] },
      { target_service: "chittyconnect", metadata: { text: "x".repeat(70_000) } },
    ]) {
      expect(await call("POST", "/v1/delegate", { body }), 422, "validation_failed", JSON.stringify(body).slice(0, 200));
    }
    expect(await as("scopes=delegations:*,contexts:read")("POST", "/v1/delegate", { body: { target_service: "chittyconnect", scopes: ["read"] } }), 422, "validation_failed");
    assert.equal((await call("GET", "/v1/delegate?status=all")).json.count, 0);
  });

  test("go further only within what they are", async () => {
    const { call } = person();
    const scopes = ["contexts:read", "contexts:write", "delegations:write"];
    const parent = await delegate(call, { scopes, expires_in_seconds: 600 });
    const by = client(gateway, parent.token);
    const base = { target_service: "chittyconnect", scopes: ["contexts:read"], expires_in_seconds: 300 };
    for (const over of [{ scopes: ["contexts:*"] }, { scopes: ["read"] }, { scopes: ["keys:read"] }, { target_service: "github" }, { expires_in_seconds: 3600 }]) {
      expect(await by("POST", "/v1/delegate", { body: { ...base, ...over } }), 422, "validation_failed", JSON.stringify(over));
    }
    const unable = await delegate(call, { scopes: ["contexts:read", "delegations:read"] });
    expect(await client(gateway, unable.token)("POST", "/v1/delegate", { body: base }), 403, "insufficient_scope");
    const child = await delegate(by, base);
    assert.ok(child.expires_at <= parent.expires_at);
    await works(client(gateway, child.token));
    expect(await client(gateway, child.token)("POST", "/v1/contexts", { body: { name: "x" } }), 403, "insufficient_scope");
  });

  test("go five deep at most, and fall with any one above", async () => {
    const { call } = person();
    const body = { scopes: ["read", "write"], expires_in_seconds: 86_400 };
    const chain = [await delegate(call, body)];
    for (let depth = 2; depth <= 5; depth += 1) {
      chain.push(await delegate(client(gateway, chain.at(-1).token), { ...body, expires_in_seconds: 3600 - 60 * depth }));
    }
    const sixth = { target_service: "chittyconnect", ...body, expires_in_seconds: 60 };
    expect(await client(gateway, chain.at(-1).token)("POST", "/v1/delegate", { body: sixth }), 422, "validation_failed");
    const sibling = await delegate(client(gateway, chain[0].token), { scopes: ["read"], expires_in_seconds: 60 });
    for (const { token } of chain) for (const isolate of [0, 1]) await works(client(gateway, token), "/v1/contexts", { isolate });
    assert.equal((await remove(call, chain[2])).status, 200);
    for (const [index, { token }] of chain.entries()) {
      const answer = await client(gateway, token)("GET", "/v1/contexts", { isolate: 1 });
      assert.deepEqual([answer.status, (await validate(token)).active], index < 2 ? [200, true] : [401, false], `${index + 1}`);
    }
    await works(client(gateway, sibling.token));
    const listed = async (filter) => (await call("GET", `/v1/delegate${filter}`)).json.delegations.map(({ delegation_id }) => delegation_id).sort();
    const ids = (list) => list.map(({ delegation_id }) => delegation_id).sort();
    assert.deepEqual(await listed("?status=active"), ids([chain[0], chain[1], sibling]));
    assert.deepEqual(await listed("?status=all"), ids([...chain, sibling]));
  });

  test("made while the one above is being revoked do not outlive it", async () => {
    const { call } = person();
    const parent = await delegate(call, { scopes: ["read", "write"] });
    const body = { target_service: "chittyconnect", scopes: ["read"], expires_in_seconds: 60 };
    const making = Array.from({ length: 30 }, (_, n) => client(gateway, parent.token)("POST", "/v1/delegate", { body, isolate: n % 2 }));
    const [gone, ...made] = await Promise.all([remove(call, parent), ...making]);
    assert.equal(gone.status, 200);
    for (const answer of made) {
      if (answer.status !== 201) expect(answer, 401, "invalid_token");
      else await refused(client(gateway, answer.json.delegation.token), 401, "invalid_token");
    }
    assert.equal((await call("GET", "/v1/delegate?status=active")).json.count, 0);
  });

  test("are their delegator's and an administrator's to revoke", async () => {
    const [{ call }, { call: other }] = [person(), person()];
    const [mine, second] = [await delegate(call), await delegate(call)];
    expect(await remove(other, mine), 404, "not_found");
    expect(await remove(client(gateway, mine.token), second), 403, "insufficient_scope");
    await works(client(gateway, mine.token));
    assert.equal((await remove(call, mine)).status, 200);
    assert.equal((await remove(admin, second)).status, 200);
    for (const { token } of [mine, second]) await refused(client(gateway, token), 401, "invalid_token");
    expect(await remove(call, { delegation_id: "dlg_unknown" }), 404, "not_found");
  });

  test("are good or not, and why not is nobody's business", async () => {
    const { call, token: own } = person();
    const [good, revoked, ended, elsewhere] = [await delegate(call), await delegate(call), await delegate(call), await delegate(call, { target_service: "github" })];
    await remove(call, revoked);
    await rows("UPDATE delegations SET expires_at = ?2 WHERE delegation_id = ?1", ended.delegation_id, PAST);
    const key = await makeKey(call);
    for (const token of [revoked.token, ended.token, own, key.key, "", "cdt_", "x", `${good.token}x`, good.token.slice(0, -1), good.token.toUpperCase(), good.delegation_id]) {
      const answer = await anyone("POST", "/v1/delegate/validate", { body: { token } });
      if (token === "") expect(answer, 422, "validation_failed");
      else assert.deepEqual([answer.status, answer.json], [200, INACTIVE], token.slice(0, 5));
    }
    assert.deepEqual(await validate(good.token, { target_service: "github" }), INACTIVE);
    assert.deepEqual(await validate(elsewhere.token, { target_service: "chittyconnect" }), INACTIVE);
    assert.equal((await validate(elsewhere.token, { target_service: "github" })).aud, "github");
    for (const body of [{}, { token: 7 }, { token: null }, { token: good.token, target_service: 7 }]) {
      expect(await anyone("POST", "/v1/delegate/validate", { body }), 422, "validation_failed", JSON.stringify(body));
    }
  });

  test("are not good while their delegator is suspended", async () => {
    const { call, id } = person();
    const { token } = await delegate(call);
    await setStatus(id, "suspended");
    assert.deepEqual(await validate(token), INACTIVE);
    await setStatus(id, "active");
    assert.equal((await validate(token)).active, true);
  });

  test("lose what an administrator takes away", async () => {
    const { as, id } = person();
    await grant(id, ["contexts:write"]);
    const { token } = await delegate(as("scopes=contexts:read,delegations:*"), { scopes: ["contexts:read", "contexts:write"] });
    const by = client(gateway, token);
    await create(by, { name: "while granted" });
    assert.deepEqual((await validate(token)).scope.split(" ").sort(), ["contexts:read", "contexts:write"]);
    await grant(id, []);
    for (const isolate of [0, 1]) {
      expect(await by("POST", "/v1/contexts", { body: { name: "after" }, isolate }), 403, "insufficient_scope");
      await works(by, "/v1/contexts", { isolate });
    }
    assert.equal((await validate(token)).scope, "contexts:read");
  });

  test("lose what ChittyAuth takes away, once it has said so", async () => {
    const asking = await another({ vars: { AUTH_CACHE_SECONDS: "0" } });
    const { token } = people(asking, "narrowed")();
    const call = client(asking, token);
    const scopes = ["read", "write"];
    const [direct, key] = [await delegate(call, { scopes }), await makeKey(call, { scopes })];
    const further = await delegate(client(asking, direct.token), { scopes, expires_in_seconds: 60 });
    const bound = [direct, further].map((one) => client(asking, one.token));
    for (const by of bound) await works(by);
    await sandbox.setToken({ token, scope: ["read"] });
    await works(call);
    for (const by of bound) {
      expect(await by("POST", "/v1/contexts", { body: { name: "x" } }), 403, "insufficient_scope");
      await works(by);
    }
    await sandbox.setToken({ token, scope: null });
    await works(call);
    for (const [n, by] of bound.entries()) await create(by, { name: `again ${n}` });
    await sandbox.setToken({ token, revoked: true });
    await refused(call, 401, "invalid_token");
    for (const by of bound) await refused(by, 403, "insufficient_scope");
    const told = await client(asking)("POST", "/v1/delegate/validate", { body: { token: direct.token } });
    assert.deepEqual(told.json, INACTIVE);
    await works(byKey(asking, key.key));
  });
});

describe("limits", () => {
  let limited;
  before(async () => {
    const vars = { RATE_LIMIT_READ: "5", RATE_LIMIT_WRITE: "3", RATE_LIMIT_MINT: "2", RATE_LIMIT_VALIDATE: "4", RATE_LIMIT_AUTHENTICATE: "40" };
    limited = await another({ vars });
    await until(async () => (await client(limited)("GET", "/health")).json.ecosystem.state === "registered", { timeout: 20_000, what: "the registration" });
  });
  let addresses = 0;
  /** A caller from an address of its own. */
  const from = (address, token) => {
    const call = client(limited, token);
    return (method, path, options = {}) => call(method, path, { ...options, headers: { "cf-connecting-ip": address, ...options.headers } });
  };
  const fresh = () => `203.0.113.${(addresses += 1)}`;
  const isLimited = (answer, name, quota) => {
    expect(answer, 429, "rate_limited");
    const [retry, policy, limit] = ["retry-after", "ratelimit-policy", "ratelimit"].map((header) => answer.headers.get(header));
    assert.equal(policy, `"${name}";q=${quota};w=60`);
    const seconds = new RegExp(`^"${name}";r=0;t=(\\d+)$`).exec(limit)?.[1];
    assert.equal(retry, seconds, limit);
    assert.ok(Number(seconds) >= 1 && Number(seconds) <= 60, limit);
  };
  const several = async (count, send) => {
    const answers = [];
    for (let n = 0; n < count; n += 1) answers.push(await send(n));
    return answers;
  };

  test("hold for an actor, whatever credential it uses, and for no other", async () => {
    const [mine, other] = [people(limited, "limited")(), people(limited, "unlimited")()];
    const call = from(fresh(), mine.token);
    const mint = (n) => call("POST", "/v1/contexts", { body: { name: `n ${n}` } });
    const made = await several(2, mint);
    assert.deepEqual(made.map(({ status }) => status), [201, 201]);
    isLimited(await mint(3), "mint", 2);
    const path = made[0].headers.get("location");
    const change = (n) => call("PATCH", path, { body: { name: `changed ${n}` } });
    assert.deepEqual((await several(3, change)).map(({ status }) => status), [200, 200, 200]);
    isLimited(await change(4), "write", 3);
    const readers = [call, from(fresh(), `${mine.token}+ro`), from(fresh(), await sandbox.jwt({ name: mine.name }))];
    assert.deepEqual((await several(5, (n) => readers[n % 3]("GET", path))).map(({ status }) => status), [200, 200, 200, 200, 200]);
    for (const reader of readers) isLimited(await reader("GET", path), "read", 5);
    assert.equal((await from(fresh(), other.token)("GET", "/v1/contexts")).status, 200);
    assert.equal((await client(limited)("GET", "/health")).status, 200);
  });

  test("hold for many at once", async () => {
    const { token } = people(limited, "crowd")();
    const call = from(fresh(), token);
    const answers = await Promise.all(Array.from({ length: 30 }, () => call("GET", "/v1/contexts")));
    assert.equal(answers.filter(({ status }) => status === 200).length, 5);
    for (const answer of answers) if (answer.status !== 200) isLimited(answer, "read", 5);
  });

  test("an operator sets others for an actor", async () => {
    const kv = await limited.kv("RATE_LIMIT");
    const set = async (name, value) => {
      const one = people(limited, name)();
      await kv.put(`actor:${one.id}`, value);
      return from(fresh(), one.token);
    };
    const more = await set("more", JSON.stringify({ read: 7 }));
    assert.deepEqual((await several(7, () => more("GET", "/v1/contexts"))).map(({ status }) => status), Array(7).fill(200));
    isLimited(await more("GET", "/v1/contexts"), "read", 7);
    const none = await set("none", JSON.stringify({ read: 0, write: 0, mint: 0 }));
    assert.deepEqual((await several(12, () => none("GET", "/v1/contexts"))).map(({ status }) => status), Array(12).fill(200));
    const broken = await set("broken", "{read");
    assert.equal((await several(6, () => broken("GET", "/v1/contexts"))).filter(({ status }) => status === 200).length, 5, "the usual one");
  });

  test("guessing counts for the address", async () => {
    const address = fresh();
    const guess = (n) => from(address, ["guess", "cdt_guess", "chitty_guess"][n % 3] + n)("GET", "/v1/contexts");
    assert.deepEqual([...new Set((await several(40, guess)).map(({ code }) => code))], ["invalid_token"]);
    const asked = await sandbox.count("auth", "/v1/tokens/validate");
    isLimited(await guess(41), "authenticate", 40);
    assert.equal(await sandbox.count("auth", "/v1/tokens/validate"), asked, "ChittyAuth is not asked");
    assert.equal((await from(fresh(), "guess")("GET", "/v1/contexts")).code, "invalid_token", "another address");
  });

  test("an IPv6 network is one address", async () => {
    const guess = (n) => from(`2001:db8:1:2::${(n % 9) + 1}`, `guess-${n}`)("GET", "/v1/contexts");
    await several(40, guess);
    isLimited(await guess(41), "authenticate", 40);
    assert.equal((await from("2001:db8:1:3::1", "guess")("GET", "/v1/contexts")).code, "invalid_token");
  });

  test("validation counts for the address", async () => {
    const call = from(fresh());
    const validate = () => call("POST", "/v1/delegate/validate", { body: { token: "cdt_x" } });
    assert.deepEqual((await several(4, validate)).map(({ status }) => status), [200, 200, 200, 200]);
    isLimited(await validate(), "validate", 4);
  });
});

describe("the audit", () => {
  test("tells who did what, by which credential, to administrators all and to others their own", async () => {
    const [one, other] = [person(), person()];
    const first = await create(one.call, { name: "secret name" });
    const key = await makeKey(one.call);
    const delegation = await delegate(one.call, { scopes: ["read", "write"] });
    await create(byKey(gateway, key.key), { name: "by key" });
    await create(client(gateway, delegation.token), { name: "by delegation" });
    await register(one.call, { email: "one@example.org" });
    await grant(one.id, ["keys:*"]);
    await create(other.call, { name: "other's" });
    const entries = (call, query = "") => pages(call, `/v1/audit${query}`, "entries").then((list) => list.flat());
    const mine = await entries(one.call);
    const short = mine.map(({ actor_id, via, action, entity_type }) => [actor_id, via, action, entity_type]).sort();
    assert.deepEqual(short, [
      [one.id, null, "context.created", "context"],
      [one.id, null, "key.created", "key"],
      [one.id, null, "delegation.created", "delegation"],
      [one.id, `key:${key.key_id}`, "context.created", "context"],
      [one.id, `delegation:${delegation.delegation_id}`, "context.created", "context"],
      [one.id, null, "actor.registered", "actor"],
      [actorId("admin"), null, "actor.capabilities_changed", "actor"],
    ].sort());
    for (const entry of mine) assert.deepEqual(Object.keys(entry).sort(), ["action", "actor_id", "at", "detail", "entity_id", "entity_type", "event_id", "seq", "via"]);
    for (const secret of ["secret name", "one@example.org", key.key, delegation.token]) assert.ok(!JSON.stringify(mine).includes(secret), secret);
    assert.deepEqual((await entries(other.call)).map(({ action }) => action), ["context.created"]);
    expect(await other.call("GET", `/v1/audit?actor=${one.id}`), 422, "validation_failed");
    assert.deepEqual(await entries(other.call, `?entity=${first.chitty_id}`), []);

    const found = await entries(admin, `?entity=${first.chitty_id}`);
    assert.deepEqual(found.map(({ action, actor_id }) => [action, actor_id]), [["context.created", one.id]]);
    const seqs = (list) => list.map(({ seq }) => seq).sort((a, b) => a - b);
    assert.deepEqual(seqs(await entries(admin, `?actor=${one.id}`)), seqs(mine.filter(({ actor_id }) => actor_id === one.id)));
    assert.ok((await entries(admin, `?actor=${one.id}&action=key.created`)).length === 1);
    const all = await entries(admin, "?limit=50");
    assert.deepEqual(seqs(all), Array.from(all, (_, index) => index + 1), "page by page, and no number is missing");
  });

  test("is written with the change, or neither is", async () => {
    const { call, id } = person();
    await Promise.all(Array.from({ length: 10 }, () => call("POST", "/v1/contexts", { body: { name: "wanted" } })));
    const made = await rows("SELECT chitty_id FROM contexts WHERE owner_chitty_id = ?1", id);
    const told = await rows("SELECT entity_id FROM audit WHERE actor_id = ?1 AND action = 'context.created'", id);
    assert.deepEqual(told.map(({ entity_id }) => entity_id), made.map(({ chitty_id }) => chitty_id));
    assert.equal(made.length, 1);
  });

  /** The whole verification, page by page. */
  const verify = async (by) => {
    const reports = [];
    for (let path = "/v1/audit/verify"; path; ) {
      const { status, json, text } = await by("GET", path);
      assert.equal(status, 200, text);
      reports.push(json);
      path = json.next && `/v1/audit/verify?from=${json.next}`;
    }
    return reports;
  };

  test("is sealed in the background and by the cron, and verifies", async () => {
    await create(person().call, { name: "sealed" });
    await gateway.scheduled();
    const [{ seq: last }] = await rows("SELECT max(seq) AS seq FROM audit");
    const reports = await until(async () => {
      const found = await verify(admin);
      return found.at(-1).sealed_to >= last && found;
    }, { what: "the seal" });
    for (const { valid, fault } of reports) assert.deepEqual([valid, fault], [true, null]);
    assert.match(reports.at(-1).head.hash, /^[0-9a-f]{64}$/);
    assert.equal(reports.at(-1).unsealed, 0);
    for (const sql of ["UPDATE audit SET actor_id = 'x'", "DELETE FROM audit", "UPDATE audit SET detail = '{}' WHERE seq = 1"]) {
      await assert.rejects(rows(sql), /append-only/, sql);
    }
    expect(await person().call("GET", "/v1/audit/verify"), 403, "insufficient_scope");
  });

  describe("notices", () => {
    let boss, db, last;
    before(async () => {
      const mortal = await another();
      const call = client(mortal, "dev-forger");
      boss = client(mortal, "dev-admin");
      for (let n = 0; n < 8; n += 1) await create(call, { name: `n ${n}` });
      await until(async () => {
        await mortal.scheduled();
        return (await verify(boss)).at(-1).unsealed === 0;
      }, { what: "the seal" });
      db = await mortal.db();
      for (const trigger of ["audit_is_append_only", "audit_keeps_all"]) await db.exec(`DROP TRIGGER ${trigger}`);
      for (const name of ["audit", "audit_seals"]) await db.exec(`CREATE TABLE kept_${name} AS SELECT * FROM ${name}`);
      last = await db.prepare("SELECT max(seq) AS seq FROM audit").first("seq");
    });

    for (const [what, alter, at] of [
      ["that what was done is another", "UPDATE audit SET detail = '{\"altered\":true}' WHERE seq = 4", () => 4],
      ["that somebody else has done it", "UPDATE audit SET actor_id = '03-1-USA-9002-T-2602-0-81' WHERE seq = 4", () => 4],
      ["that it was at another time", `UPDATE audit SET at = '${PAST}' WHERE seq = 1`, () => 1],
      ["that it was by another credential", "UPDATE audit SET via = 'key:key_x' WHERE seq = 4", () => 4],
      ["that it was to something else", "UPDATE audit SET entity_id = 'x' WHERE seq = 4", () => 4],
      ["that a row is gone", "DELETE FROM audit WHERE seq = 4", () => 4],
      ["that the first row is gone", "DELETE FROM audit WHERE seq = 1", () => 1],
      ["that the last rows are gone", "DELETE FROM audit WHERE seq >= (SELECT max(seq) FROM audit) - 1", () => last - 1],
      ["that a seal is another", `UPDATE audit_seals SET hash = '${"0".repeat(64)}' WHERE seq = 4`, () => 4],
      ["that a seal is gone", "DELETE FROM audit_seals WHERE seq = 4", () => 4],
      ["that two rows have changed places", "UPDATE audit SET seq = CASE seq WHEN 4 THEN 1000 ELSE 4 END WHERE seq IN (4, 5); UPDATE audit SET seq = 5 WHERE seq = 1000", () => 4],
    ]) {
      test(what, async () => {
        assert.ok((await verify(boss)).every(({ valid }) => valid));
        for (const statement of alter.split("; ")) await db.exec(statement);
        const faulty = (await verify(boss)).find(({ valid }) => !valid);
        for (const name of ["audit", "audit_seals"]) await db.batch([db.prepare(`DELETE FROM ${name}`), db.prepare(`INSERT INTO ${name} SELECT * FROM kept_${name}`)]);
        assert.equal(faulty?.fault.seq, at(), JSON.stringify(faulty));
      });
    }
  });
});

test("nothing above made the gateway complain", () => {
  const expected = /identity_orphaned|announce_failed|upstream_failed/;
  assert.deepEqual(gateway.logs.filter(({ message }) => !expected.test(message)), []);
});
