/** Who may do what: every route with every kind of credential, and what scopes grant. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { actorId } from "../../sandbox/chitty-id.mjs";
import { startAccess } from "./harness/access.mjs";
import { until } from "./harness/await.mjs";
import { client } from "./harness/client.mjs";
import { PAST, rowsOf } from "./harness/contents.mjs";
import { byKey, delegate, expect, makeKey, register, works } from "./harness/people.mjs";
import { ADMIN, COMMON, HIDDEN, makeEntities, OWN, PUBLIC, requestOf, requests, routesOf, WATCHED } from "./harness/requests.mjs";

/** As the App would have put it on record. */
const INSTALLATION =
  "INSERT INTO installations (installation_id, chitty_id, owner_chitty_id, account_id, account_login, account_type, repository_selection, installed_at, updated_at) " +
  "VALUES (77, 'CHITTY-CONTEXT-installation', ?1, 78, 'octo', 'Organization', 'all', '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z')";

let access, sandbox, gateway, anyone, person, rows, setStatus, complaints;

before(async () => {
  access = await startAccess("access");
  ({ sandbox, gateway, anyone, person, rows, setStatus, complaints } = access);
});

after(() => access?.close());

describe("every route", () => {
  /** One who has one of everything. */
  let owner, entities, table, routes;

  before(async () => {
    owner = person();
    await register(owner.call, { email: "owner@example.org" });
    await rows(INSTALLATION, owner.id);
    entities = await makeEntities(owner.call, { actor: owner.id, installation: "CHITTY-CONTEXT-installation", dead_letter: "dl_none" });
    table = requests(entities);
    routes = routesOf((await anyone("GET", "/openapi.json")).json);
    await until(async () => (await rows("SELECT 1 FROM outbox WHERE done_at IS NULL")).length === 0, { timeout: 15_000, what: "an empty outbox" });
  });

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
    assert.deepEqual(routes.open.sort(), [
      "GET /", "GET /.well-known/chitty.json", "GET /api/discover/{id}", "GET /api/health", "GET /api/registry/services", "GET /api/registry/services/{id}",
      "GET /api/services", "GET /api/services/status", "GET /api/services/{id}", "GET /api/services/{id}/status", "GET /api/v1/status",
      "GET /health", "GET /integrations/github/callback", "GET /integrations/github/install", "GET /metrics", "GET /openapi.json",
      "POST /api/v1/connect/discover", "POST /integrations/github/confirm", "POST /integrations/github/webhook", "POST /v1/delegate/validate",
    ]);
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
    for (const scopes of ["read,write", "actors:*,events:*,ecosystem:*", "audit:*,keys:*", "administrator", "adm", "admin:read"]) {
      const call = as(`scopes=${scopes}`);
      for (const path of ["/v1/audit/verify", "/v1/actors", "/v1/events/dead-letters"]) expect(await call("GET", path), 403, "insufficient_scope", scopes);
      expect(await call("POST", "/v1/ecosystem/canon/check"), 403, "insufficient_scope", scopes);
    }
    expect(await as("scopes=actors:write,actors:read")("GET", "/v1/actors"), 403, "insufficient_scope");
    await works(as("scopes=actors:admin"), "/v1/actors");
  });
});

describe("credentials that make credentials", () => {
  /** Enough to make everything, but not to write. */
  const HELD = ["read", "delegations:write", "keys:write", "connections:write", "orchestrations:write", "cases:read"];
  const ENDINGS = ["expired", "suspended", "revoked", "narrowed"];
  const REGISTRATION = "/v1/orchestrations/user-registration";

  let own, sql, suspend;

  before(async () => {
    // One that asks ChittyAuth at each request, so that what that says is known with the next.
    own = await access.another({ isolates: 2, vars: { AUTH_CACHE_SECONDS: "0" } });
    sql = rowsOf(own);
    const root = client(own, "dev-admin");
    await works(root);
    suspend = async (id, status = "suspended") => assert.equal((await root("PATCH", `/v1/actors/${id}`, { body: { status } })).status, 200);
  });

  /** One who holds the above, by a token of whom what ChittyAuth says can be changed. */
  let people = 0;
  const someone = () => {
    const name = `maker-${(people += 1)}`;
    const token = `dev-${name}+scopes=${HELD}`;
    return { id: actorId(name), name, root: token, call: client(own, token), user: client(own, `dev-${name}+scopes=connections:read`) };
  };

  /**
   * Kinds of credentials: each makes one for somebody, and gives `{token, ends, revoke?, expire?}`. (Where time alone
   * ends one, what it made ends no later, which is held against `ends`.)
   */
  const KINDS = {
    JWT: async ({ name }) => {
      const ends = Math.floor(Date.now() / 1000) + 900;
      return { token: await sandbox.jwt({ name, claims: { scope: HELD.join(" "), exp: ends } }), ends: (ends + 30) * 1000 };
    },
    // The sandbox's end an hour after they were last asked about.
    "opaque token": ({ root }) => ({ token: root, ends: Date.now() + 3_660_000, revoke: () => sandbox.setToken({ token: root, revoked: true }), root }),
    "API key": async ({ call }) => keyOf(call, await makeKey(call, { scopes: HELD, expires_in_seconds: 1200 })),
    "key in its grace": async ({ call }) => {
      const key = await makeKey(call, { scopes: HELD });
      const rotated = await call("POST", `/v1/keys/${key.key_id}/rotate`, { body: { grace_seconds: 600 } });
      assert.equal(rotated.status, 200, rotated.text);
      return { ...keyOf(call, key), ends: Date.now() + 600_000, expire: () => sql("UPDATE key_secrets SET valid_until = ?2 WHERE key_id = ?1 AND valid_until IS NOT NULL", key.key_id, PAST) };
    },
    delegation: async ({ call }) => delegationOf(call, await delegate(call, { scopes: HELD, expires_in_seconds: 900 })),
    "delegation of a delegation": async ({ call }) => {
      const above = await delegate(call, { scopes: HELD, expires_in_seconds: 900 });
      const below = await delegate(client(own, above.token), { scopes: HELD, expires_in_seconds: 600 });
      return { ...delegationOf(call, below), revoke: delegationOf(call, above).revoke };
    },
  };
  const keyOf = (call, key) => ({
    token: key.key,
    ends: Date.parse(key.expires_at ?? "9999-01-01"),
    key: key.key_id,
    revoke: () => call("DELETE", `/v1/keys/${key.key_id}`),
    expire: () => sql("UPDATE keys SET expires_at = ?2 WHERE key_id = ?1", key.key_id, PAST),
  });
  const delegationOf = (call, { token, delegation_id: id, expires_at }) => ({
    token,
    ends: Date.parse(expires_at),
    revoke: () => call("DELETE", `/v1/delegate/${id}`),
  });

  /** Makers: each makes something by a credential, holds it against that, and gives how it is used; `null` where the credential may not. */
  const refusedAs = (answer, what) => expect(answer, 403, "delegated_credential", what);
  const lastMade = async (kind, id) => (await sandbox.kept("credential")).filter((one) => one.kind === kind && one.chittyId === id).at(-1);
  const MAKERS = {
    delegate: async (by, made, what) => {
      expect(await by("POST", "/v1/delegate", { body: { target_service: "connect", scopes: ["write"] } }), 422, "validation_failed", what);
      expect(await by("POST", "/v1/delegate", { body: { target_service: "connect", expires_in_seconds: 86_400 } }), 422, "validation_failed", what);
      const { token, expires_at } = await delegate(by, { scopes: ["contexts:read"] });
      assert.ok(Date.parse(expires_at) <= made.ends, what);
      return () => works(client(own, token));
    },
    "key create": async (by, made, what, { id }) => {
      const wide = await by("POST", "/v1/keys", { body: { name: "k", scopes: ["write"] } });
      if (wide.status === 403) return refusedAs(wide, what), null;
      expect(wide, 422, "validation_failed", what);
      const key = await makeKey(by, { scopes: ["contexts:read"] });
      assert.deepEqual([key.owner_chitty_id, key.scopes], [id, ["contexts:read"]]);
      return Object.assign(() => works(client(own, key.key)), { lasts: true });
    },
    "key rotate": async (by, made, what, { call }) => {
      const id = made.key ?? (await makeKey(call, { scopes: ["contexts:read"] })).key_id;
      const before = await sql("SELECT scopes, source_scopes, expires_at FROM keys WHERE key_id = ?1", id);
      const rotated = await by("POST", `/v1/keys/${id}/rotate`, { body: {} });
      if (rotated.status === 403) return assert.match(rotated.code, /^(delegated_credential|retired_key)$/), null;
      assert.equal(rotated.status, 200, rotated.text);
      assert.deepEqual(await sql("SELECT scopes, source_scopes, expires_at FROM keys WHERE key_id = ?1", id), before, what);
      return Object.assign(() => works(client(own, rotated.json.key.key)), { lasts: !made.key });
    },
    "connection provisioned": async (by, made, what, { id, user }) => {
      const connect = (more) => by("POST", "/v1/connections", { body: { source_chitty_id: id, source_type: "actor", target_service: "cases", target_endpoint: "https://cases.chitty.cc", credentials: { type: "provisioned" }, check_path: null, ...more } });
      for (const more of [{ scopes: ["read", "write"] }, { target_service: "auth", target_endpoint: null }]) assert.equal((await connect(more)).status, 403, what);
      const connected = await connect({});
      if (connected.status === 403) return refusedAs(connected, what), null;
      assert.equal(connected.status, 201, connected.text);
      const key = await lastMade("key", id);
      assert.deepEqual(key.scope, ["cases:read"]);
      assert.ok(key.expires <= made.ends, `${what}: ${JSON.stringify(key)}`);
      return () => works(user, `/v1/connections/${connected.json.connection.connection_id}/proxy/api/whoami`);
    },
    "user-registration": async (by, made, what) => {
      const body = { email: "matrix@example.org" };
      assert.equal((await by("POST", REGISTRATION, { body })).status, 403, what);
      const run = await by("POST", REGISTRATION, { body: { ...body, role: "viewer" } });
      if (run.status === 403) return refusedAs(run, what), null;
      assert.equal(run.status, 201, run.text);
      const { token, chitty_id } = run.json.orchestration.result;
      const kept = await lastMade("token", chitty_id);
      assert.deepEqual(kept.scope, ["read"]);
      assert.ok(kept.expires <= made.ends, `${what}: ${JSON.stringify(kept)}`);
      return () => works(client(own, token));
    },
  };

  for (const [kind, makeOne] of Object.entries(KINDS)) {
    test(`with a maker who uses: ${kind}`, async () => {
      const outcomes = [];
      for (const [maker, make] of Object.entries(MAKERS)) {
        for (const ending of ENDINGS) {
          const what = `${maker} by ${kind}, ${ending}`;
          const one = someone();
          await works(one.call);
          const made = await makeOne(one);
          const use = await make(client(own, made.token), made, what, one);
          if (!use) {
            outcomes.push(`${maker}: refused`);
            break;
          }
          await use();
          if (ending === "suspended") await suspend(one.id);
          else if (ending === "narrowed" && kind !== "JWT") {
            await sandbox.setToken({ token: one.root, scope: ["keys:read"] });
            await one.call("GET", "/v1/keys");
          } else if (ending === "revoked" && made.revoke) {
            await made.revoke();
            if (made.root) expect(await one.call("GET", "/v1/contexts"), 401, "invalid_token");
          } else if (ending === "expired" && made.expire) await made.expire();
          else continue;
          // An API key stands on its owner, not on the session in which it was made.
          const goesOn = use.lasts && ["revoked", "expired"].includes(ending);
          const isGood = await use().then(() => true, () => false);
          assert.equal(isGood, goesOn === true, what);
          outcomes.push(`${maker}: ${ending}`);
        }
      }
      assert.ok(outcomes.length >= 5, `${outcomes}`);
    });
  }
});

test("nothing above made the gateway complain", () => {
  assert.deepEqual(complaints(), []);
});
