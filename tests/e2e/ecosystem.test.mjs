/** The services as the gateway sees them: connections that heal themselves, their events, full health. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { CHITTYOS_NAMES } from "../../sandbox/services/directory.mjs";
import { builtFrom } from "../../scripts/lib/built-from.mjs";
import { until } from "./harness/await.mjs";
import { client } from "./harness/client.mjs";
import { startGateway, startGatewayProcess } from "./harness/gateway.mjs";
import { startSandbox } from "./harness/sandbox.mjs";

// The proportions of the real ones, a hundred times as fast.
const vars = {
  HEALTH_CHECK_INTERVAL_MS: "400",
  HEALTH_CHECK_TIMEOUT_MS: "500",
  RECONNECT_DELAY_MS: "50",
  MAX_RECONNECT_DELAY_MS: "600",
  UPSTREAM_TIMEOUT_MS: "1500",
};

let sandbox, gateway, admin;
before(async () => {
  sandbox = await startSandbox();
  gateway = await startGateway({ sandboxUrl: sandbox.url, vars, isolates: 2 });
  admin = client(gateway, "dev-admin");
  await gateway.scheduled();
});
beforeEach(() => sandbox.clear());
after(async () => {
  await gateway.close();
  await sandbox.close();
});

const connection = async (call = admin, service = "id") => (await call("GET", `/v1/ecosystem/${service}`)).json.connection;
const reaches = (state, call, service) =>
  until(async () => {
    const now = await connection(call, service);
    return now?.state === state && now;
  }, { timeout: 15_000, what: state });

test("every service is connected, with the statistics of its connection", async () => {
  await until(async () => (await admin("GET", "/v1/ecosystem")).json.services.every(({ status }) => status === "active"), { timeout: 15_000, what: "all services" });
  const { json } = await admin("GET", "/v1/ecosystem");
  assert.equal(json.count, CHITTYOS_NAMES.length);
  const { stats, ...state } = json.services[0].connection;
  assert.deepEqual([state.state, state.isHealthy, state.reconnectAttempts], ["CONNECTED", true, 0]);
  assert.deepEqual(Object.keys(stats).sort(), [
    "currentState", "failedHealthChecks", "healthCheckSuccessRate", "successfulHealthChecks", "totalConnections",
    "totalFailures", "totalHealthChecks", "totalReconnections", "uptime",
  ]);
  // By the first attempt, unless that was slower than its deadline, which is counted then.
  assert.equal(stats.totalConnections + Math.min(stats.totalFailures, 1), 1, JSON.stringify(stats));
});

for (const fault of [{ mode: "fail", status: 503 }, { mode: "hang" }, { mode: "garbage" }, { mode: "drip" }, { mode: "reset" }]) {
  test(`ChittyID's connection is lost by ${fault.mode} and heals itself`, async () => {
    const before = await reaches("CONNECTED");
    await sandbox.fault("id", { ...fault, path: "/health" });
    const lost = await reaches("RECONNECTING");
    assert.equal(lost.isHealthy, false);
    await until(async () => (await connection()).reconnectAttempts >= 3, { timeout: 15_000, what: "three attempts" });
    assert.equal((await admin("GET", "/v1/ecosystem/chittyid")).json.status, "down");
    await sandbox.clear();
    const back = await reaches("CONNECTED");
    assert.equal(back.stats.totalReconnections, before.stats.totalReconnections + 1);
    assert.ok(back.stats.totalFailures >= before.stats.totalFailures + 2);
    assert.deepEqual([back.reconnectAttempts, back.lastError], [0, null]);
  });
}

test("health is degraded while ChittyID is not connected, and names the commit that it was built from", async () => {
  const call = client(gateway);
  const says = (status) => until(async () => {
    const { json } = await call("GET", "/health");
    return json.status === status && json.connection.initialized && json;
  }, { timeout: 15_000, what: status });
  const well = await says("ok");
  assert.deepEqual([well.connection.state, well.connection.isHealthy], ["CONNECTED", true]);
  assert.equal(well.commit, builtFrom().replace("+", "") || null);
  await sandbox.fault("id", { mode: "fail", status: 503 });
  const lost = await says("degraded");
  assert.equal(lost.connection.isHealthy, false);
  await sandbox.clear();
  await says("ok");
  for (const path of ["/api/health", "/api/v1/status"]) assert.equal((await call("GET", path)).json.status, "ok", path);
});

test("isolates learn of a service that is down within seconds and fail fast", async () => {
  await reaches("CONNECTED");
  await sandbox.fault("id", { mode: "hang" });
  await until(async () => (await admin("GET", "/v1/ecosystem/id")).json.status === "down", { timeout: 15_000, what: "its being down" });
  const call = client(gateway, "dev-fast");
  for (const isolate of [0, 1]) {
    await until(async () => {
      const started = performance.now();
      const answer = await call("POST", "/v1/contexts", { body: { name: "never" }, isolate });
      assert.equal(answer.code, "identity_authority_unavailable");
      return performance.now() - started < 500;
    }, { timeout: 20_000, what: `isolate ${isolate} to fail fast` });
  }
  await sandbox.clear();
  for (const isolate of [0, 1]) {
    await until(async () => (await call("POST", "/v1/contexts", { body: { name: `back ${isolate}` }, isolate })).status !== 503, { timeout: 20_000, what: "its return" });
  }
});

test("state changes are streamed, and a client that comes back misses none", async () => {
  await reaches("CONNECTED");
  const stream = await openStream("/v1/ecosystem/events?service=id");
  await sandbox.fault("id", { mode: "fail", path: "/health", times: 2 });
  await until(() => stream.events.some(({ event }) => event === "connected"), { timeout: 15_000, what: "the return" });
  const names = stream.events.map(({ event }) => event);
  for (const name of ["unhealthy", "stateChange", "reconnecting", "connected"]) assert.ok(names.includes(name), names.join());
  const changes = stream.events.filter(({ event }) => event === "stateChange").map(({ data }) => `${data.from}>${data.to}`);
  assert.deepEqual(changes.slice(0, 2), ["CONNECTED>RECONNECTING", "RECONNECTING>CONNECTED"]);
  await stream.close();
  const again = await openStream("/v1/ecosystem/events?service=id", { "last-event-id": stream.events[0].id });
  await until(() => again.events.length >= stream.events.length - 1, { what: "what was missed" });
  assert.deepEqual(again.events[0], stream.events[1]);
  await again.close();
  assert.equal((await admin("GET", "/v1/ecosystem/events?service=none")).status, 422);
  assert.equal((await client(gateway)("GET", "/v1/ecosystem/events")).status, 401);
});

async function openStream(route, headers = {}) {
  const abort = new AbortController();
  const response = await gateway.fetch(route, { headers: { authorization: "Bearer dev-admin", ...headers }, signal: abort.signal });
  assert.equal(response.headers.get("content-type"), "text/event-stream");
  const events = [];
  const reading = read(response.body, events).catch((error) => assert.equal(error.name, "AbortError"));
  return {
    events,
    close: () => {
      abort.abort();
      return reading;
    },
  };
}

async function read(body, events) {
  let text = "";
  for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
    const frames = (text + chunk).split("\n\n");
    text = frames.pop();
    for (const frame of frames) {
      const fields = Object.fromEntries(frame.split("\n").map((line) => line.split(/: (.*)/s).slice(0, 2)));
      if (fields.event) events.push({ id: fields.id, event: fields.event, data: JSON.parse(fields.data) });
    }
  }
}

test("state changes reach Chronicle and Beacon", async () => {
  // Each service has two: it connects, and is connected.
  const least = 2 * CHITTYOS_NAMES.length;
  const changes = async () => (await sandbox.entries({ action: "service.state_changed" })).entries;
  await until(async () => (await changes()).length >= least, { timeout: 15_000, what: "the entries" });
  await until(async () => (await sandbox.kept("beacon")).filter(({ event }) => event === "service.state_changed").length >= least, { timeout: 15_000, what: "the beacons" });
  const first = (await changes()).find(({ metadata }) => metadata.entityId === "chittyid");
  assert.deepEqual(first.metadata.payload, { from: "DISCONNECTED", to: "CONNECTING" });
});

test("administrators command a connection, others do not", async () => {
  await reaches("CONNECTED", admin, "canon");
  const command = (name, call = admin) => call("POST", `/v1/ecosystem/canon/${name}`);
  assert.equal((await command("check", client(gateway, "dev-someone"))).status, 403);
  assert.equal((await command("disconnect")).json.connection.state, "DISCONNECTED");
  const asked = await sandbox.count("canon", "/health");
  await gateway.scheduled();
  assert.equal((await connection(admin, "canon")).state, "DISCONNECTED");
  assert.equal((await command("check")).json.connection.state, "DISCONNECTED", "looked at, not connected");
  assert.equal(await sandbox.count("canon", "/health"), asked + 1, "nobody else has looked");
  assert.equal((await command("connect")).json.connection.state, "CONNECTED");
  await sandbox.fault("canon", { mode: "fail", path: "/health" });
  assert.equal((await command("check")).json.connection.state, "RECONNECTING");
  await sandbox.clear();
  assert.equal((await command("reset")).json.connection.stats.totalHealthChecks, 0);
  await gateway.scheduled();
  await reaches("CONNECTED", admin, "canon");
});

test("a connection survives kill -9, and goes on where it was", async () => {
  const persist = await mkdtemp(path.join(os.tmpdir(), "chittyconnect-"));
  const limited = { ...vars, MAX_RECONNECT_ATTEMPTS: "3" };
  let mortal = await startGatewayProcess({ sandboxUrl: sandbox.url, persist, vars: limited });
  const call = (...args) => client(mortal, "dev-admin")(...args);
  try {
    await mortal.scheduled();
    const before = await reaches("CONNECTED", call);
    await mortal.kill9();
    mortal = await startGatewayProcess({ sandboxUrl: sandbox.url, persist, vars: limited });
    // Nobody asks the object anything: its alarm wakes it.
    await until(async () => (await connection(call)).stats.totalHealthChecks > before.stats.totalHealthChecks + 2, { timeout: 20_000, what: "checks after the restart" });
    // As before, which is 1 unless the first check was too slow for its deadline: then it was a reconnection.
    const { totalConnections, totalReconnections } = (await connection(call)).stats;
    assert.equal(totalConnections, before.stats.totalConnections);
    assert.ok(totalConnections === 1 || totalReconnections >= 1, "it was made once");
    // With a limit it gives up, and nothing wakes it but a command.
    await sandbox.fault("id", { mode: "fail", path: "/health" });
    const failed = await reaches("FAILED", call);
    assert.deepEqual([failed.reconnectAttempts, failed.nextCheckAt], [3, null]);
    await sandbox.clear();
    await mortal.scheduled();
    assert.deepEqual(await connection(call), failed);
    assert.equal((await call("POST", "/v1/ecosystem/id/connect")).json.connection.state, "CONNECTED");
  } finally {
    await mortal.close();
    await rm(persist, { recursive: true, force: true });
  }
});

test("full health: every service, side by side, within one deadline, and not for every caller anew", async () => {
  const health = async () => (await client(gateway)("GET", "/health?full=true")).json;
  await sandbox.fault("all", { mode: "hang", path: "/health" });
  const checked = await until(async () => {
    const started = performance.now();
    const { services, status } = await health();
    assert.ok(performance.now() - started < 6000, "one deadline for all");
    return Object.values(services).every((service) => service.status === "down") && { services, status };
  }, { timeout: 20_000, what: "all of them down" });
  assert.equal(checked.status, "degraded");
  assert.deepEqual(checked.services.id.error, "timeout");
  await sandbox.clear();
  const before = (await sandbox.calls({ service: "chat", path: "/health" })).length;
  const answers = await Promise.all(Array.from({ length: 50 }, health));
  assert.equal(new Set(answers.map(({ checked_at }) => checked_at)).size, 1);
  assert.ok((await sandbox.calls({ service: "chat", path: "/health" })).length - before < 20, "fifty callers, the connection's checks and one more");
  await until(async () => {
    const { services } = await health();
    return Object.values(services).every(({ status, latency }) => status !== "down" && latency < 2000);
  }, { timeout: 15_000, what: "all of them up" });
});
