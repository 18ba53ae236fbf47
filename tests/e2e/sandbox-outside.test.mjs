/** What the sandbox promises of the hosts outside ChittyOS, of connections' targets and of chosen tokens. */
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { actorId } from "../../sandbox/chitty-id.mjs";
import { until } from "./harness/await.mjs";
import { startSandbox } from "./harness/sandbox.mjs";

const ID = "03-1-USA-0970-P-2603-0-54";
const API = "api.partner.example";
const LOGIN = "login.partner.example";
const BEARER = { authorization: "Bearer partner-good" };

let sandbox;
before(async () => {
  sandbox = await startSandbox();
});
beforeEach(() => sandbox.reset());
after(() => sandbox.close());

const basic = (user, password) => ({ authorization: `Basic ${btoa(`${user}:${password}`)}` });
const bearer = (token) => ({ authorization: `Bearer ${token}` });
const api = (route, headers = BEARER, init = {}) => fetch(sandbox.outside.url(API) + route, { redirect: "manual", headers, ...init });
const login = async (route, form, headers = basic("partner-client", "partner-secret")) => {
  const response = await fetch(sandbox.outside.url(LOGIN) + route, { method: "POST", headers, body: new URLSearchParams(form) });
  return [response.status, await response.json()];
};
const refresh = (refresh_token, headers) => login("/token", { grant_type: "refresh_token", refresh_token }, headers);
const post = async (route, body, headers = {}) => {
  const response = await fetch(sandbox.url + route, { method: "POST", headers, body: JSON.stringify(body) });
  return [response.status, await response.json()];
};

describe("api.partner.example", () => {
  test("wants a credential for everything, and takes any that is good", async () => {
    const good = [BEARER, { "x-api-key": "partner-good" }, { "x-partner-key": "partner-good" }, basic("user", "partner-good")];
    for (const headers of good) assert.equal((await api("/health", headers)).status, 200, JSON.stringify(headers));
    const bad = [{}, bearer("other"), { "x-api-key": "other" }, basic("other", "partner-good"), basic("user", "other"), { authorization: "Basic ?" }, { authorization: "partner-good" }];
    for (const headers of bad) {
      for (const route of ["/health", "/nowhere", "/echo/x"]) {
        const response = await api(route, headers);
        assert.deepEqual([response.status, await response.json()], [401, { error: "unauthorized" }], route);
      }
    }
    await sandbox.outside.set({ partner_good: false });
    for (const headers of good) assert.equal((await api("/health", headers)).status, 401, JSON.stringify(headers));
    await sandbox.outside.set({ partner_good: true });
    assert.deepEqual(await (await api("/me")).json(), { login: "partner" });
  });

  test("gives back what it was sent, as it came", async () => {
    const body = { token: "partner-good", n: 1 };
    const headers = { ...BEARER, "content-type": "application/json", "x-odd": "Some Value", "idempotency-key": "k" };
    const response = await api("/echo/a%20b/%E0?y=1&y=2&empty=", headers, { method: "PATCH", body: JSON.stringify(body) });
    const { headers: received, ...echoed } = await response.json();
    assert.equal(response.status, 200);
    assert.deepEqual(echoed, { method: "PATCH", path: "/echo/a%20b/%E0", query: { y: "2", empty: "" }, search: "?y=1&y=2&empty=", body, text: JSON.stringify(body) });
    for (const [name, value] of Object.entries(headers)) assert.equal(received[name], value, name);
    const bodyOf = async (text) => (await (await api("/echo", BEARER, { method: "POST", body: text })).json()).body;
    assert.deepEqual([await bodyOf("plain"), await bodyOf("")], ["plain", null]);
    assert.equal((await api("/echo/x", BEARER, { method: "HEAD" })).status, 200);
  });

  test("answers what a caller must be careful with", async () => {
    const redirect = await api(`/redirect?to=${encodeURIComponent("https://other.example/landing?a=1")}`);
    assert.deepEqual([redirect.status, redirect.headers.get("location")], [302, "https://other.example/landing?a=1"]);
    assert.equal((await api("/redirect")).status, 400);
    const big = await (await api("/big?bytes=3000000")).text();
    assert.equal(big.length, 3_000_000);
    assert.ok(JSON.parse(big));
    assert.equal((await api("/big?bytes=many")).status, 400);
    const said = await api("/headers?nel=x&etag=%221%22");
    assert.deepEqual([said.headers.get("nel"), said.headers.get("etag")], ["x", '"1"']);
    const html = await api("/html");
    assert.match(html.headers.get("content-type"), /^text\/html/);
    assert.match(html.headers.get("set-cookie"), /^partner_session=/);
    assert.match(html.headers.get("etag"), /^".+"$/);
    assert.match(await html.text(), /<script>/);
    for (const status of [200, 201, 304, 404, 418, 429, 500, 599]) assert.equal((await api(`/status/${status}`)).status, status);
    assert.equal((await api("/status/204")).status, 204);
    assert.equal(await (await api("/status/503")).text(), "{}");
    for (const wrong of ["99", "600", "x", ""]) assert.equal((await api(`/status/${wrong}`)).status, 400, wrong);
    for (const method of ["DELETE", "PUT", "PATCH", "POST"]) {
      const response = await api("/things/7", BEARER, { method });
      assert.deepEqual([response.status, await response.json()], [200, { id: "7", method }]);
    }
    for (const route of ["/things/7", "/things", "/nowhere"]) assert.equal((await api(route)).status, 404, route);
    assert.equal((await api("/health", BEARER, { method: "POST" })).status, 404);
  });
});

describe("login.partner.example", () => {
  test("a refresh token is good for once, and its successor too", async () => {
    const [status, first] = await refresh("partner-refresh");
    assert.deepEqual([status, first.token_type, first.expires_in], [200, "Bearer", 3600]);
    assert.equal((await api("/me", bearer(first.access_token))).status, 200);
    assert.equal((await api("/me", { "x-api-key": first.access_token })).status, 401, "a token is no key");
    const [, second] = await refresh(first.refresh_token);
    assert.equal((await api("/me", bearer(second.access_token))).status, 200);
    for (const used of ["partner-refresh", first.refresh_token, "unknown", first.access_token]) {
      assert.deepEqual(await refresh(used), [400, { error: "invalid_grant" }], used);
    }
    assert.equal((await api("/me", bearer(second.refresh_token))).status, 401);
    assert.deepEqual([(await refresh("partner-refresh-a"))[0], (await refresh("partner-refresh-b"))[0], (await refresh("partner-refresh-a"))[0]], [200, 200, 400]);
    await sandbox.reset();
    assert.equal((await refresh("partner-refresh"))[0], 200);
  });

  test("of two at once with one token one succeeds", async () => {
    const statuses = await Promise.all(Array.from({ length: 5 }, async () => (await refresh("partner-refresh"))[0]));
    assert.deepEqual(statuses.sort(), [200, 400, 400, 400, 400]);
  });

  test("the client says who it is, by Basic or in the form", async () => {
    const form = { grant_type: "refresh_token", refresh_token: "partner-refresh" };
    const client = { client_id: "partner-client", client_secret: "partner-secret" };
    for (const [sent, headers] of [
      [form, {}],
      [{ ...form, ...client, client_secret: "other" }, {}],
      [form, basic("partner-client", "other")],
    ]) {
      assert.deepEqual(await login("/token", sent, headers), [401, { error: "invalid_client" }]);
    }
    assert.equal((await login("/token", { ...form, ...client }, {}))[0], 200);
    assert.deepEqual(await login("/token", { ...form, grant_type: "password" }), [400, { error: "unsupported_grant_type" }]);
    for (const wrong of [{}, { grant_type: "refresh_token" }]) assert.deepEqual(await login("/token", wrong), [400, { error: "invalid_request" }]);
    const asJson = await fetch(`${sandbox.outside.url(LOGIN)}/token`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ ...form, ...client }) });
    assert.equal(asJson.status, 400);
    assert.equal((await fetch(sandbox.outside.url(LOGIN))).status, 404);
  });

  test("an access token ends with its time", async () => {
    assert.deepEqual(await sandbox.outside.set({ expires_in: 1 }), { expires_in: 1, partner_good: true });
    const [, made] = await refresh("partner-refresh");
    assert.equal(made.expires_in, 1);
    assert.equal((await api("/me", bearer(made.access_token))).status, 200);
    await until(async () => (await api("/me", bearer(made.access_token))).status === 401, { what: "the token to expire" });
    assert.equal((await refresh(made.refresh_token))[0], 200);
    for (const wrong of [{ expires_in: -1 }, { expires_in: "1" }, { partner_good: 1 }, { other: 1 }, null]) {
      await assert.rejects(sandbox.outside.set(wrong), /422/, JSON.stringify(wrong));
    }
  });

  test("what is revoked is over, with a refresh token all that came of it", async () => {
    const [, one] = await refresh("partner-refresh-1");
    const [, other] = await refresh("partner-refresh-2");
    assert.deepEqual(await login("/revoke", { token: one.access_token }), [200, {}]);
    assert.equal((await api("/me", bearer(one.access_token))).status, 401);
    const [, again] = await refresh(one.refresh_token);
    assert.equal((await login("/revoke", { token: again.refresh_token }))[0], 200);
    assert.equal((await api("/me", bearer(again.access_token))).status, 401);
    assert.equal((await refresh(again.refresh_token))[0], 400);
    assert.equal((await api("/me", bearer(other.access_token))).status, 200);
    await login("/revoke", { token: "partner-refresh-3" });
    assert.equal((await refresh("partner-refresh-3"))[0], 400);
    await login("/revoke", { token: "partner-good" });
    assert.equal((await api("/me")).status, 401);
    assert.equal((await login("/revoke", { token: "unknown" }))[0], 200);
    assert.equal((await login("/revoke", {}))[0], 400);
    assert.equal((await login("/revoke", { token: other.access_token }, {}))[0], 401);
  });

  test("what was issued is listed, without a token in it", async () => {
    const [, made] = await refresh("partner-refresh-x");
    await login("/revoke", { token: made.access_token });
    const tokens = await sandbox.outside.tokens();
    assert.deepEqual(tokens.map(({ type, used, revoked }) => [type, used, revoked]), [
      ["refresh_token", true, false],
      ["access_token", undefined, true],
      ["refresh_token", false, false],
    ]);
    assert.equal(new Set(tokens.map(({ grant }) => grant)).size, 1);
    for (const secret of ["partner-refresh-x", made.access_token, made.refresh_token]) assert.ok(!JSON.stringify(tokens).includes(secret));
  });
});

describe("any host outside", () => {
  test("says that it was reached", async () => {
    for (const host of ["other.example", "example.com", "a.b.test"]) {
      const response = await fetch(`${sandbox.outside.url(host)}/`);
      assert.deepEqual([response.status, await response.json()], [200, { host, path: "/" }]);
      assert.equal((await fetch(sandbox.outside.url(host))).status, 200);
      assert.equal((await fetch(`${sandbox.outside.url(host)}/x`)).status, 404);
      assert.equal((await fetch(sandbox.outside.url(host), { method: "POST" })).status, 404);
      assert.equal((await sandbox.outside.calls(host)).length, 4);
    }
    assert.equal((await fetch(`${sandbox.url}/_outside/`)).status, 404);
    assert.equal((await fetch(`${sandbox.url}/outside/health`)).status, 404, "it is no service");
  });

  test("is in the log of calls with its host, and with no credential", async () => {
    const [, { access_token, refresh_token }] = await refresh("partner-refresh-y");
    await login("/revoke", { token: refresh_token, client_id: "partner-client", client_secret: "partner-secret" }, {});
    const secrets = { ...BEARER, "x-api-key": access_token, "x-partner-key": "partner-good", "x-other-token": "partner-good", cookie: "partner-good" };
    await api("/echo/x?access_token=partner-good&y=1", { ...secrets, "idempotency-key": "k" });
    await api("/me", { authorization: "partner-good" });
    const calls = await sandbox.calls();
    const text = JSON.stringify(calls);
    for (const secret of ["partner-good", "partner-secret", btoa("partner-client:partner-secret"), "partner-refresh-y", access_token, refresh_token]) assert.ok(!text.includes(secret), secret);
    assert.deepEqual(calls.map(({ service, host, path }) => [service, host, path]), [
      ["outside", LOGIN, "/token"],
      ["outside", LOGIN, "/revoke"],
      ["outside", API, "/echo/x"],
      ["outside", API, "/me"],
    ]);
    const [token, revoked, echoed] = calls;
    assert.deepEqual([token.body.grant_type, Object.keys(token.body).length], ["refresh_token", 2]);
    assert.match(revoked.body.token, /^sha256:[0-9a-f]{8}$/);
    assert.deepEqual([echoed.query.y, echoed.headers["idempotency-key"]], ["1", "k"]);
    assert.deepEqual((await sandbox.outside.calls(LOGIN, { path: "/rev" })).map(({ seq }) => seq), [revoked.seq]);
    assert.deepEqual([await sandbox.count("outside"), await sandbox.count("outside", "/me"), await sandbox.count("outside", undefined, LOGIN)], [4, 1, 2]);
    await fetch(`${sandbox.url}/dna/health`);
    assert.equal((await sandbox.calls()).at(-1).host, null);
  });

  test("fails on demand as the services do, all together, one, or on a path", async () => {
    await sandbox.fault("outside", { mode: "fail", status: 502, path: "/me" });
    assert.deepEqual([(await api("/me")).status, (await api("/health")).status], [502, 200]);
    await sandbox.clear("outside");
    await sandbox.fault("outside", { mode: "fail", path: `/${LOGIN}` });
    assert.deepEqual([(await refresh("partner-refresh"))[0], (await api("/me")).status], [503, 200]);
    await sandbox.clear();
    await sandbox.fault("outside", { mode: "fail", effect: true, times: 1, path: "/token" });
    assert.deepEqual([(await refresh("partner-refresh"))[0], (await refresh("partner-refresh"))[0]], [503, 400], "the answer was lost, not the work");
    await sandbox.fault("all", { mode: "delay", delay_ms: 50 });
    assert.equal((await api("/me")).status, 200);
    assert.deepEqual((await sandbox.outside.calls(API)).at(-1).outcome, "fault:delay");
  });
});

describe("a service that is only connected to", () => {
  const provision = async (service) => (await post("/auth/v1/keys/provision", { chittyId: ID, scopes: ["a"], service }))[1];
  const ask = async (route, key, init = {}) => {
    const response = await fetch(sandbox.url + route, { headers: key ? bearer(key) : {}, ...init });
    return [response.status, await response.json()];
  };

  test("takes the keys that ChittyAuth made for it, under either name, until they are revoked", async () => {
    for (const name of ["cases", "finance", "evidence"]) {
      assert.equal((await ask(`/${name}/health`))[1].service, `chitty${name}`);
      for (const service of [name, `chitty${name}`]) {
        const { api_key, key_id } = await provision(service);
        assert.deepEqual(await ask(`/${name}/api/whoami`, api_key), [200, { service: `chitty${name}`, chittyId: ID, scopes: ["a"], key_id }]);
        const [status, { method, path, body, headers }] = await ask(`/${name}/api/echo/x`, api_key, { method: "PUT", body: '{"n":1}' });
        assert.deepEqual([status, method, path, body, headers.authorization], [200, "PUT", "/api/echo/x", { n: 1 }, `Bearer ${api_key}`]);
        assert.equal((await post("/auth/v1/api-keys/revoke", { key_id }))[0], 200);
        for (const route of ["whoami", "echo/x"]) assert.deepEqual(await ask(`/${name}/api/${route}`, api_key), [401, { error: "Token revoked" }]);
      }
      assert.equal((await ask(`/${name}/nowhere`))[0], 404);
    }
  });

  test("takes nothing else", async () => {
    const { api_key: foreign } = await provision("finance");
    const [, { token }] = await post("/auth/v1/tokens/provision", { chittyId: ID, service: "cases" });
    for (const key of [undefined, "other", "dev-ada", foreign, token]) assert.equal((await ask("/cases/api/whoami", key))[0], 401, key);
    const { api_key } = await provision("cases");
    await sandbox.setToken({ token: api_key, revoked: true });
    assert.equal((await ask("/cases/api/whoami", api_key))[0], 401);
  });
});

describe("tokens", () => {
  const validate = (token) => post("/auth/v1/tokens/validate", { token });

  test("a development token may choose its scopes", async () => {
    const [status, { scope, chittyId }] = await validate("dev-ada+scopes=contexts:read,actors:*");
    assert.deepEqual([status, scope, chittyId], [200, ["contexts:read", "actors:*"], actorId("ada")]);
    assert.deepEqual((await validate("dev-admin+scopes=read"))[1].scope, ["read"]);
    assert.deepEqual((await validate("dev-ada+scopes="))[1].scope, []);
    assert.equal((await validate("dev-ada+scopes=read,notes"))[1].scope.length, 2, "it does not end as a lifetime does");
    assert.equal((await validate("dev-ada+scopes=READ"))[0], 401);
  });

  test("what ChittyAuth says of a token can be changed, and changed back", async () => {
    const { token: made } = (await post("/auth/v1/tokens/provision", { chittyId: ID, scope: ["x"] }))[1];
    for (const [token, own] of [["dev-ada", ["read", "write"]], [made, ["x"]]]) {
      await sandbox.setToken({ token, scope: ["contexts:read"] });
      assert.deepEqual((await validate(token))[1].scope, ["contexts:read"]);
      await sandbox.setToken({ token, revoked: true });
      assert.deepEqual(await validate(token), [401, { valid: false, error: "Token revoked" }]);
      assert.equal((await post("/auth/v1/auth/validate", undefined, bearer(token)))[0], 401);
      assert.deepEqual(await sandbox.setToken({ token, revoked: false }), { scope: ["contexts:read"], revoked: false });
      assert.deepEqual((await validate(token))[1].scope, ["contexts:read"]);
      await sandbox.setToken({ token, scope: null });
      assert.deepEqual((await validate(token))[1].scope, own);
    }
    await sandbox.setToken({ token: "unknown", scope: ["admin"] });
    assert.equal((await validate("unknown"))[0], 401, "a scope makes no token");
    await sandbox.setToken({ token: "dev-ada", revoked: true });
    await sandbox.reset();
    assert.equal((await validate("dev-ada"))[0], 200);
    for (const wrong of [{}, { token: "" }, { token: "t", scope: "read" }, { token: "t", scope: [1] }, { token: "t", revoked: "yes" }]) {
      await assert.rejects(sandbox.setToken(wrong), /422/, JSON.stringify(wrong));
    }
  });
});

describe("JWTs", () => {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const jwks = async () => (await (await fetch(`${sandbox.url}/auth/.well-known/jwks.json`)).json()).keys;
  const parts = (token) => token.split(".").slice(0, 2).map((part) => JSON.parse(Buffer.from(part, "base64url").toString()));

  /** The header and the claims, or `null` where no published key has signed it. */
  async function verified(token) {
    const [header, claims] = parts(token);
    const jwk = (await jwks()).find(({ kid }) => kid === header.kid);
    if (!jwk) return null;
    const key = await crypto.subtle.importKey("jwk", jwk, algorithm, false, ["verify"]);
    const [signed, signature] = [token.slice(0, token.lastIndexOf(".")), token.slice(token.lastIndexOf(".") + 1)];
    const sound = await crypto.subtle.verify(algorithm, key, Buffer.from(signature, "base64url"), Buffer.from(signed));
    return sound ? { header, claims } : null;
  }

  test("are signed with the published key, for the actor that is named", async () => {
    const { header, claims } = await verified(await sandbox.jwt({ name: "ada" }));
    const { iat, exp, ...rest } = claims;
    assert.deepEqual(header, { alg: "ES256", typ: "JWT", kid: "sandbox-1" });
    assert.deepEqual(rest, { iss: "https://auth.chitty.cc", aud: "chittyconnect", sub: `did:chitty:${actorId("ada")}`, scope: "read write" });
    assert.ok(Math.abs(iat - Date.now() / 1000) < 5 && exp === iat + 3600);
    assert.deepEqual(Object.keys((await verified(await sandbox.jwt())).claims), ["iss", "aud", "iat", "exp"]);
  });

  test("take what is given over what is usual, and leave out what is null", async () => {
    const { header, claims } = await verified(await sandbox.jwt({ name: "ada", claims: { aud: ["a", "é"], exp: 7, iss: null, extra: { n: 1 } }, header: { typ: null, x: 1 } }));
    assert.deepEqual(header, { alg: "ES256", kid: "sandbox-1", x: 1 });
    assert.deepEqual([claims.aud, claims.exp, claims.extra, "iss" in claims], [["a", "é"], 7, { n: 1 }, false]);
    assert.match(await sandbox.jwt({ header: { alg: "none" } }), /^[\w-]+\.[\w-]+\.$/);
    for (const wrong of [{ name: 1 }, { claims: [] }, { claims: null }, { header: "x" }]) await assert.rejects(sandbox.jwt(wrong), /422/, JSON.stringify(wrong));
  });

  test("a second key signs when asked to, and is trusted while it is published", async () => {
    const token = await sandbox.jwt({ name: "ada", header: { kid: "sandbox-2" } });
    assert.equal(await verified(token), null);
    assert.deepEqual(await sandbox.keys.publish("sandbox-2"), ["sandbox-1", "sandbox-2"]);
    assert.equal((await verified(token)).header.kid, "sandbox-2");
    assert.ok((await jwks()).every((key) => !("d" in key)));
    assert.deepEqual(await sandbox.keys.withdraw("sandbox-1"), ["sandbox-2"]);
    assert.equal(await verified(await sandbox.jwt({ name: "ada" })), null);
    assert.deepEqual(await sandbox.keys.withdraw("sandbox-2"), []);
    assert.equal(await verified(token), null);
    await assert.rejects(sandbox.keys.publish("sandbox-3"), /404/);
    await sandbox.reset();
    assert.deepEqual((await jwks()).map(({ kid }) => kid), ["sandbox-1"]);
  });
});
