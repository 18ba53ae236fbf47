/** What the sandbox promises to the gateway's tests. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { actorId, inspect, mintedId } from "../../sandbox/chitty-id.mjs";
import { SERVICE_NAMES } from "../../sandbox/services/directory.mjs";
import { until } from "./harness/await.mjs";
import { ROOT } from "./harness/runtime.mjs";
import { startSandbox } from "./harness/sandbox.mjs";

const ISSUED_ELSEWHERE = [
  "03-1-USA-9002-T-2602-0-81",
  "03-1-USA-0970-P-2603-0-54",
  "03-1-USA-5537-P-2602-0-38",
  "03-1-USA-9636-T-2605-1-75",
  "03-1-USA-6434-T-2605-1-54",
];
/** Those that have a health check: the last is only where redirects lead. */
const SERVICES = SERVICE_NAMES.filter((name) => name !== "elsewhere");

let sandbox;
before(async () => {
  sandbox = await startSandbox();
});
beforeEach(() => sandbox.reset());
after(() => sandbox.close());

const get = (route, init) => fetch(sandbox.url + route, { redirect: "manual", ...init });
const post = (route, body, init) => get(route, { method: "POST", body: JSON.stringify(body), ...init });
const json = async (response) => (await response).json();
const both = async (response) => {
  const { status } = await response;
  return [status, await json(response)];
};

describe("identity", () => {
  test("ids are unique, canonical and have the right check digits", async () => {
    const routes = Array.from({ length: 60 }, (_, index) => (index % 2 ? "/id/v1/mint" : "/mint/api/mint"));
    const ids = await Promise.all(routes.map(async (route) => (await json(post(route, { entity_type: "person" }))).chittyId));
    assert.equal(new Set(ids).size, 60);
    for (const id of ids) assert.ok(inspect(id).valid, id);
    assert.deepEqual((await sandbox.minted()).map(({ id }) => id).sort(), ids.toSorted());
  });

  test("the five known ids pass, and none of them does with a digit changed", async () => {
    for (const id of ISSUED_ELSEWHERE) {
      assert.equal((await json(post("/id/api/validate", { id }))).valid, true, id);
      assert.equal((await json(get(`/id/v1/validate/${id}`))).valid, true, id);
      const changed = id.replace(/\d(?=-[PT]-)/, (digit) => (Number(digit) + 1) % 10);
      assert.equal((await json(post("/id/api/validate", { id: changed }))).valid, false, changed);
    }
  });

  test("an error id is known for what it is", async () => {
    const [status, answer] = await both(post("/id/api/validate", { id: "03-0-ERR-0002-P-2611-0-00" }));
    assert.equal(status, 200);
    assert.equal(answer.valid, false);
    assert.equal(answer.isError, true);
    assert.equal(answer.errorName, "MINT_TIMEOUT");
  });

  test("the entity is read from entityType or entity_type only, and is a thing when unknown", async () => {
    const letterOf = async (body) => (await json(post("/id/v1/mint", body))).chittyId.split("-")[4];
    assert.equal(await letterOf({ entityType: "place" }), "L");
    assert.equal(await letterOf({ entity_type: "A" }), "A");
    assert.equal(await letterOf({ entity_type: "context" }), "P");
    assert.equal(await letterOf({ entity_type: "document" }), "T");
    assert.equal(await letterOf({ entity_type: "PEO" }), "T");
    assert.equal(await letterOf({ type: "person", entity: "P" }), "T");
  });

  test("the mint says who minted, and keeps what it was told", async () => {
    const answer = await json(post("/id/v1/mint", { entity_type: "event", metadata: { name: "a" } }));
    assert.equal(answer.success, true);
    assert.equal(answer.service, "id.chitty.cc");
    assert.equal(answer.mintedBy, "mint.chitty.cc");
    const [minted] = await sandbox.minted();
    assert.equal(minted.id, answer.chittyId);
    assert.equal(minted.entity_type, "event");
    assert.deepEqual(minted.metadata, { name: "a" });
  });

  test("the jurisdiction moves on every 10,000 ids, and is never ERR", () => {
    const time = Date.UTC(2026, 10, 1);
    assert.match(mintedId(9_999, "T", time), /^03-1-USA-9999-T-2611-0-/);
    assert.match(mintedId(10_000, "T", time), /^03-1-USB-0000-T-2611-0-/);
    assert.match(mintedId(6 * 10_000, "T", time), /^03-1-USG-/);
    const jurisdictions = new Set(Array.from({ length: 17_575 }, (_, step) => mintedId(step * 10_000, "T", time).split("-")[2]));
    assert.equal(jurisdictions.size, 17_575);
    assert.ok(!jurisdictions.has("ERR"));
  });

  test("a caller that looks like a script is refused", async () => {
    assert.equal((await get("/id/health", { headers: { "user-agent": "curl/8" } })).status, 403);
    assert.equal((await get("/mint/health", { headers: { "user-agent": "curl/8" } })).status, 200);
  });

  test("the sequence goes on after a restart, and what was told is still there", async () => {
    const persist = mkdtempSync(path.join(os.tmpdir(), "sandbox-"));
    const mintOne = async (at) => (await json(fetch(`${at.url}/id/v1/mint`, { method: "POST", body: "{}" }))).chittyId;
    try {
      const first = await startSandbox({ persist });
      const before = [await mintOne(first), await mintOne(first)];
      await first.fault("dna", { mode: "hang" });
      await first.close();
      const second = await startSandbox({ persist });
      assert.deepEqual((await second.minted()).map(({ id }) => id), before);
      assert.equal((await json(fetch(`${second.url}/_sandbox/faults`))).faults.length, 1);
      await second.reset();
      assert.deepEqual(await second.minted(), []);
      const third = await mintOne(second);
      assert.equal(third.split("-")[3], "0003");
      await second.close();
    } finally {
      rmSync(persist, { recursive: true, force: true });
    }
  });
});

describe("auth", () => {
  const validate = (token) => both(post("/auth/v1/tokens/validate", { token }));

  test("a development token is its actor, always the same", async () => {
    const [status, answer] = await validate("dev-ada");
    assert.equal(status, 200);
    assert.equal(answer.valid, true);
    assert.deepEqual(answer.scope, ["read", "write"]);
    assert.equal(answer.chittyId, actorId("ada"));
    assert.ok(inspect(answer.chittyId).valid);
    assert.notEqual(answer.chittyId.split("-")[1], "1");
    const left = Date.parse(answer.expiresAt) - Date.now();
    assert.ok(left > 3_500_000 && left <= 3_600_000);
    assert.notEqual((await validate("dev-bob"))[1].chittyId, answer.chittyId);
  });

  test("scopes follow the token", async () => {
    assert.deepEqual((await validate("dev-admin"))[1].scope, ["read", "write", "admin"]);
    const [, readOnly] = await validate("dev-ada+ro");
    assert.deepEqual(readOnly.scope, ["read"]);
    assert.equal(readOnly.chittyId, actorId("ada"));
  });

  test("what is no token, or no longer one, is 401", async () => {
    for (const token of ["", "dev-", "dev-a/b", `dev-${"a".repeat(65)}`, "dev-ada+rw", "other"]) {
      assert.deepEqual(await validate(token), [401, { valid: false, error: "Invalid token" }], token);
    }
    assert.deepEqual(await validate("dev-ada+expired"), [401, { valid: false, error: "Token expired" }]);
    assert.equal((await validate("dev-ada+0s"))[0], 401);
  });

  test("a token with a lifetime counts from when it was first seen", async () => {
    const [, first] = await validate("dev-ada+600s");
    const [, second] = await validate("dev-ada+600s");
    assert.equal(second.expiresAt, first.expiresAt);
    assert.equal((await validate("dev-ada+1s"))[0], 200);
    await until(async () => (await validate("dev-ada+1s"))[0] === 401, { what: "the token to expire" });
  });

  test("the caller's own token identifies it", async () => {
    const ask = (authorization) => both(get("/auth/v1/auth/validate", { method: "POST", headers: { authorization } }));
    assert.deepEqual(await ask("Bearer dev-ada"), [200, { actor: { chittyId: actorId("ada"), principalId: "ada" } }]);
    assert.equal((await ask("Bearer nobody"))[0], 401);
    assert.equal((await ask("Basic dev-ada"))[0], 401);
  });
});

describe("chronicle", () => {
  const entry = { service: "chittyconnect", action: "context.created" };

  test("an entry needs service and action, within their columns", async () => {
    for (const body of [
      {},
      [],
      { service: "s" },
      { action: "a" },
      { service: 1, action: "a" },
      { ...entry, service: "s".repeat(51) },
      { ...entry, action: "a".repeat(101) },
      { ...entry, status: "done" },
    ]) {
      assert.equal((await post("/chronicle/api/entries", body)).status, 400, JSON.stringify(body));
    }
    assert.equal((await get("/chronicle/events", { method: "POST", body: "{" })).status, 400);
    assert.equal((await sandbox.entries()).total, 0);
    assert.equal((await post("/chronicle/events", { service: "s".repeat(50), action: "é".repeat(100) })).status, 200);
  });

  test("several entries at once are taken by no path", async () => {
    for (const path of ["/v1/events/batch", "/events/batch", "/api/entries/batch"]) {
      assert.equal((await post(`/chronicle${path}`, { events: [entry, entry] })).status, 404, path);
    }
    for (const body of [[entry, entry], { events: [entry, entry] }]) {
      assert.equal((await post("/chronicle/api/entries", body)).status, 400, "an entry without a service");
    }
    assert.equal((await sandbox.entries()).total, 0);
  });

  test("both spellings take and give the same entries", async () => {
    const written = await json(post("/chronicle/events", { ...entry, userId: "u", metadata: { entityId: "e1", entityType: "context", eventId: "evt_1" } }));
    assert.match(written.timestamp, /^\d{4}-.*Z$/);
    await post("/chronicle/api/entries", { ...entry, action: "context.deleted", status: "failed", metadata: { entityId: "e2" } });
    const actions = async (query) => (await json(get(`/chronicle/api/entries?${query}`))).map(({ action }) => action);
    assert.deepEqual(await actions(""), ["context.deleted", "context.created"]);
    assert.deepEqual(await json(get("/chronicle/events")), await json(get("/chronicle/api/entries")));
    assert.deepEqual(await actions("limit=1"), ["context.deleted"]);
    assert.deepEqual(await actions("status=failed"), ["context.deleted"]);
    assert.deepEqual(await actions("userId=u"), ["context.created"]);
    assert.deepEqual(await actions("query=E2"), ["context.deleted"]);
    assert.deepEqual(await actions("service=other"), []);
    assert.deepEqual(await actions("endDate=2020-01-01"), []);
    assert.equal((await get("/chronicle/events?startDate=soon")).status, 400);
    const audited = await json(get("/chronicle/audit/e1?entityType=context"));
    assert.deepEqual(audited.map(({ id }) => id), [written.id]);
    assert.deepEqual((await sandbox.entries({ eventId: "evt_1" })).entries.map(({ id }) => id), [written.id]);
    assert.equal((await sandbox.entries({ entityId: "e2" })).total, 1);
    assert.equal((await json(get("/chronicle/timeline?groupBy=day")))[0].count, 2);
    assert.equal((await json(get("/chronicle/timeline?services=a,chittyconnect"))).length, 2);
    assert.deepEqual((await json(get("/chronicle/statistics"))).eventsByStatus, { failed: 1, success: 1 });
    const [health] = await json(get("/chronicle/health"));
    assert.equal(health.total_events, 2);
    assert.equal(health.error_rate, 0.5);
  });

  test("its limit is off until it is set, and then says how long to wait", async () => {
    await sandbox.settings({ chronicle_per_minute: 2 });
    const statuses = [];
    for (let call = 0; call < 3; call += 1) statuses.push((await post("/chronicle/events", entry)).status);
    assert.deepEqual(statuses, [200, 200, 429]);
    const wait = Number((await get("/chronicle/health")).headers.get("retry-after"));
    assert.ok(wait > 0 && wait <= 60);
    await sandbox.settings({ chronicle_per_minute: null });
    assert.equal((await post("/chronicle/events", entry)).status, 200);
    await assert.rejects(sandbox.settings({ chronicle_per_minute: "many" }), /422/);
  });
});

describe("every service", () => {
  test("has a health check, and 404 for what it does not know", async () => {
    for (const service of SERVICES) {
      assert.equal((await get(`/${service}/health`)).status, 200, service);
      const [status, body] = await both(get(`/${service}/nowhere`));
      assert.equal(status, 404, service);
      assert.equal(typeof body.error, "string", service);
    }
    assert.ok(Array.isArray(await json(get("/chronicle/health"))));
    assert.ok(Array.isArray((await json(get("/registry/nowhere"))).availableEndpoints));
    assert.deepEqual((await both(get("/nobody/health")))[0], 404);
    assert.equal((await get("/id/v1/validate/%E0%A4")).status, 400);
  });
});

describe("what it was told", () => {
  test("calls come in order, with filters, and without a secret", async () => {
    await get("/dna/health", { headers: { "x-request-id": "r1", authorization: "Bearer very-secret" } });
    await post("/auth/v1/tokens/validate", { token: "very-secret", other: 1 });
    await get("/id/v1/validate/x?a=1");
    const [first, second, third] = await sandbox.calls();
    assert.equal(first.headers["x-request-id"], "r1");
    assert.match(first.headers.authorization, /^Bearer sha256:[0-9a-f]{8}$/);
    assert.equal(first.headers.authorization, `Bearer ${second.body.token}`);
    assert.deepEqual(second.body, { token: second.body.token, other: 1 });
    assert.deepEqual([third.service, third.method, third.path, third.query], ["id", "GET", "/v1/validate/x", { a: "1" }]);
    assert.deepEqual([first.outcome, first.status, second.status], ["answered", 200, 401]);
    assert.ok(first.seq < second.seq && second.seq < third.seq);
    assert.ok(!JSON.stringify(await sandbox.calls()).includes("very-secret"));
    assert.deepEqual((await sandbox.calls({ service: "auth" })).map(({ seq }) => seq), [second.seq]);
    assert.deepEqual((await sandbox.calls({ path: "/v1/v" })).map(({ seq }) => seq), [third.seq]);
    assert.deepEqual((await sandbox.calls({ limit: 1 })).map(({ seq }) => seq), [third.seq]);
    assert.deepEqual((await sandbox.calls({ after: first.seq, limit: 1 })).map(({ seq }) => seq), [second.seq]);
    assert.equal(await sandbox.count(), 3);
    assert.equal(await sandbox.count("id"), 1);
    assert.equal(await sandbox.count("id", "/v1"), 1);
    assert.equal(await sandbox.count("id", "/v2"), 0);
  });

  test("a long body is cut, and one that is not JSON is kept as text", async () => {
    await post("/dna/x", { filler: "x".repeat(10_000) });
    await get("/dna/x", { method: "POST", body: "plain" });
    await get("/dna/x");
    const [long, plain, none] = await sandbox.calls();
    assert.equal(long.body.length, 4096);
    assert.ok(long.body_bytes > 10_000);
    assert.equal(plain.body, "plain");
    assert.equal(none.body, null);
  });
});

describe("faults", () => {
  test("fail answers the status, for as long as it was asked to", async () => {
    await sandbox.fault("id", { mode: "fail", status: 429, retry_after: 7, times: 2 });
    const first = await get("/id/health");
    assert.deepEqual([first.status, first.headers.get("retry-after")], [429, "7"]);
    assert.equal((await get("/id/health")).status, 429);
    assert.equal((await get("/id/health")).status, 200);
    assert.deepEqual((await sandbox.calls()).map(({ outcome }) => outcome), ["fault:fail", "fault:fail", "answered"]);
    await sandbox.fault("id", { mode: "fail", status: 204 });
    assert.equal((await get("/id/health")).status, 204);
  });

  test("a fault can be on one path, on all services, on none of the calls, and cleared", async () => {
    await sandbox.fault("id", { mode: "fail", path: "/v1/mint" });
    assert.equal((await get("/id/health")).status, 200);
    assert.equal((await post("/id/v1/mint", {})).status, 503);
    await sandbox.fault("all", { mode: "fail", status: 500 });
    assert.equal((await get("/dna/health")).status, 500);
    assert.equal((await post("/id/v1/mint", {})).status, 503);
    await sandbox.clear("all");
    assert.equal((await get("/dna/health")).status, 200);
    await sandbox.fault("dna", { mode: "fail", rate: 0 });
    assert.equal((await get("/dna/health")).status, 200);
    await sandbox.fault("dna", { mode: "fail", rate: 0.3 });
    const statuses = [];
    for (let n = 0; n < 10; n += 1) statuses.push((await get("/dna/health")).status);
    assert.deepEqual(statuses.filter((status) => status === 503).length, 3, "three in ten, exactly");
    await sandbox.clear();
    assert.equal((await post("/id/v1/mint", {})).status, 200);
  });

  test("a fault with effect does the work all the same", async () => {
    await sandbox.fault("id", { mode: "fail", times: 1 });
    await post("/id/v1/mint", {});
    assert.equal((await sandbox.minted()).length, 0);
    await sandbox.fault("id", { mode: "fail", times: 1, effect: true });
    assert.equal((await post("/id/v1/mint", {})).status, 503);
    assert.equal((await sandbox.minted()).length, 1);
  });

  test("delay answers properly in the end, and holds up nobody else", async () => {
    await sandbox.fault("id", { mode: "delay", delay_ms: 300, path: "/v1/mint" });
    const started = performance.now();
    const late = post("/id/v1/mint", {});
    await until(async () => (await sandbox.calls({ path: "/v1/mint" })).length === 1);
    assert.equal((await get("/id/health")).status, 200);
    const { status } = await late;
    assert.equal(status, 200);
    assert.ok(performance.now() - started >= 290);
    const [call] = await sandbox.calls({ path: "/v1/mint" });
    assert.deepEqual([call.outcome, call.status], ["fault:delay", 200]);
  });

  test("a delayed call is carried out even when its caller has gone", async () => {
    await sandbox.fault("id", { mode: "delay", delay_ms: 200 });
    const gone = new AbortController();
    const call = post("/id/v1/mint", {}, { signal: gone.signal });
    await until(async () => (await sandbox.count("id")) === 1, { what: "the call" });
    gone.abort();
    await assert.rejects(call, { name: "AbortError" });
    await until(async () => (await sandbox.minted()).length === 1, { what: "the mint" });
  });

  test("hang never answers, and blocks nobody", async () => {
    await sandbox.fault("id", { mode: "hang", path: "/v1" });
    const gone = new AbortController();
    const hanging = Array.from({ length: 20 }, () => post("/id/v1/mint", {}, { signal: gone.signal }));
    await until(async () => (await sandbox.count("id")) === 20, { what: "twenty calls to hang" });
    assert.equal((await get("/id/health")).status, 200);
    assert.equal((await post("/mint/api/mint", {})).status, 200);
    assert.deepEqual((await sandbox.calls({ service: "id", limit: 1 }))[0].status, 200);
    assert.deepEqual((await sandbox.calls({ path: "/v1", limit: 1 }))[0].status, null);
    gone.abort();
    const outcomes = await Promise.allSettled(hanging);
    assert.ok(outcomes.every(({ reason }) => reason?.name === "AbortError"));
  });

  test("garbage is whatever was asked for", async () => {
    await sandbox.fault("id", { mode: "garbage" });
    const first = await get("/id/health");
    assert.equal(first.headers.get("content-type"), "application/json");
    assert.throws(() => JSON.parse("this is not JSON {"));
    assert.equal(await first.text(), "this is not JSON {");
    await sandbox.fault("id", { mode: "garbage", body: "<html>", content_type: "text/html", status: 202 });
    const second = await get("/id/health");
    assert.deepEqual([second.status, second.headers.get("content-type"), await second.text()], [202, "text/html", "<html>"]);
    await sandbox.fault("id", { mode: "garbage", body: { chittyId: 7 } });
    assert.deepEqual(await json(get("/id/health")), { chittyId: 7 });
    await sandbox.fault("id", { mode: "garbage", body: "" });
    assert.equal(await (await get("/id/health")).text(), "");
  });

  test("fallback is a success with an id that is none", async () => {
    await sandbox.fault("id", { mode: "fallback" });
    const [status, answer] = await both(post("/id/v1/mint", { entity_type: "person" }));
    assert.equal(status, 200);
    assert.equal(answer.success, true);
    assert.equal(answer.fallback, true);
    assert.match(answer.chittyId, /^03-0-ERR-0001-P-\d{4}-0-\d{2}$/);
    assert.equal((await json(post("/id/api/validate", { id: answer.chittyId }))).isError, true);
    assert.deepEqual(await sandbox.minted(), []);
  });

  test("reset breaks the connection", async () => {
    await sandbox.fault("id", { mode: "reset" });
    await assert.rejects(async () => (await get("/id/health")).text());
  });

  test("drip goes on and on", async () => {
    await sandbox.fault("id", { mode: "drip", delay_ms: 10 });
    const response = await get("/id/health");
    let received = 0;
    for await (const chunk of response.body) {
      received += chunk.length;
      if (received > 15) break;
    }
    assert.equal(response.status, 200);
    assert.ok(received > 15);
  });

  test("huge is more than two MiB of JSON, of a length not told", async () => {
    await sandbox.fault("id", { mode: "huge" });
    const response = await get("/id/health");
    assert.equal(response.headers.get("content-length"), null);
    const text = await response.text();
    assert.ok(text.length > 2 * 1024 * 1024);
    assert.equal(JSON.parse(text).success, true);
  });

  test("redirect points to another host, and following it is seen", async () => {
    await sandbox.fault("id", { mode: "redirect" });
    const response = await get("/id/v1/validate/x?a=1");
    const target = new URL(response.headers.get("location"));
    assert.equal(response.status, 302);
    assert.notEqual(target.host, new URL(sandbox.url).host);
    assert.equal(target.pathname + target.search, "/elsewhere/v1/validate/x?a=1");
    assert.equal(await sandbox.count("elsewhere"), 0);
    await get("/elsewhere/v1/validate/x");
    assert.equal(await sandbox.count("elsewhere"), 1);
  });

  test("a mistake in a fault is 422 and says what there is", async () => {
    const put = (service, body) => both(get(`/_sandbox/faults/${service}`, { method: "PUT", body: JSON.stringify(body) }));
    const [mode, modeAnswer] = await put("id", { mode: "explode" });
    assert.equal(mode, 422);
    assert.ok("hang" in modeAnswer.modes);
    const [service, serviceAnswer] = await put("nobody", { mode: "fail" });
    assert.equal(service, 422);
    assert.ok(serviceAnswer.services.includes("chronicle"));
    for (const fault of [{ mode: "fail", status: 99 }, { mode: "fail", rate: 2 }, { mode: "fail", times: 0 }, { mode: "fail", speed: 1 }]) {
      assert.equal((await put("id", fault))[0], 422, JSON.stringify(fault));
    }
    assert.equal((await put("dna", { mode: "fallback" }))[0], 422);
    assert.equal((await put("id", null))[0], 422);
  });
});

describe("the control routes", () => {
  test("say what there is", async () => {
    const page = await (await get("/")).text();
    assert.match(page, /PUT +\/_sandbox\/faults\/\{service\}/);
    const [unknown, routes] = await both(get("/_sandbox/nowhere"));
    assert.equal(unknown, 404);
    assert.ok(routes.routes.includes("POST /_sandbox/reset"));
    const wrong = await get("/_sandbox/reset");
    assert.deepEqual([wrong.status, wrong.headers.get("allow")], [405, "POST"]);
  });

  test("reset forgets all but the sequence", async () => {
    const before = await json(post("/id/v1/mint", {}));
    await post("/chronicle/events", { service: "s", action: "a" });
    await sandbox.fault("id", { mode: "fail" });
    await sandbox.settings({ chronicle_per_minute: 1 });
    await sandbox.reset();
    assert.deepEqual([await sandbox.count(), await sandbox.calls(), await sandbox.minted()], [0, [], []]);
    assert.equal((await sandbox.entries()).total, 0);
    assert.deepEqual(await json(get("/_sandbox/settings")), { chronicle_per_minute: null });
    const after = await json(post("/id/v1/mint", {}));
    assert.notEqual(after.chittyId, before.chittyId);
  });
});

describe("refusal", () => {
  test("without its variable it answers nothing", async () => {
    const refusing = await startSandbox({ vars: {} });
    try {
      for (const route of ["/", "/id/health", "/_sandbox/calls"]) {
        const [status, body] = await both(fetch(refusing.url + route));
        assert.deepEqual([status, body.error], [503, "sandbox_refused"], route);
        assert.match(body.message, /CHITTY_SANDBOX=local/);
      }
    } finally {
      await refusing.close();
    }
  });

  test("it answers on a loopback address only", async () => {
    const { port } = new URL(sandbox.url);
    const statusFor = (host) =>
      new Promise((resolve, reject) => {
        const request = http.get({ port, host: "127.0.0.1", path: "/dna/health", headers: { host } }, (response) => {
          response.resume();
          resolve(response.statusCode);
        });
        request.on("error", reject);
      });
    for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, `[::1]:${port}`]) assert.equal(await statusFor(host), 200, host);
    for (const host of ["id.chitty.cc", "sandbox.workers.dev", "127.0.0.1.evil.example"]) assert.equal(await statusFor(host), 503, host);
  });

  test("its build step stops every command but dev", () => {
    const build = (command) =>
      spawnSync(process.execPath, ["refuse-deploy.mjs"], {
        cwd: path.join(ROOT, "sandbox"),
        env: command === undefined ? {} : { WRANGLER_COMMAND: command },
        encoding: "utf8",
      });
    assert.equal(build("dev").status, 0);
    for (const command of ["deploy", "versions upload", undefined]) {
      const { status, stderr } = build(command);
      assert.equal(status, 1);
      assert.match(stderr, /must never be deployed/);
    }
  });
});
