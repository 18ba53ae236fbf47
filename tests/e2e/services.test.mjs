/** The catalog of services as pipelines, agents and the callers of the predecessor read it. */
import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { actorId } from "../../sandbox/chitty-id.mjs";
import { until } from "./harness/await.mjs";
import { client } from "./harness/client.mjs";
import { runStep } from "./harness/pipeline.mjs";
import { startTogether } from "./harness/together.mjs";

const DOCUMENT = "/.well-known/chitty.json";
/** What the gateway says is its own address, by default. */
const PUBLIC = "http://localhost:8787";

let together, sandbox, gateway, call, step;

before(async () => {
  together = await startTogether({ isolates: 2 });
  ({ sandbox, gateway } = together);
  call = client(gateway);
  step = (name, env) => runStep(name, { gatewayUrl: gateway.url, sandboxUrl: sandbox.url, env });
  await gateway.scheduled();
  await until(async () => (await call("GET", DOCUMENT)).json.services.some(({ name }) => name === "ChittyWeather"), { timeout: 20_000, what: "the registry's list" });
});
beforeEach(() => sandbox.clear());
after(() => together?.close());

test("a step of a pipeline puts the document into its output, on one line", async () => {
  const { code, stdout, stderr, output } = await step("fetch-discovery");
  assert.equal(code, 0, stderr);
  assert.match(stdout, /Discovery document fetched/);
  assert.match(output, /^discovery=.*\n$/);
  const { services, endpoints } = JSON.parse(output.slice("discovery=".length));
  assert.equal(endpoints.connect_base, PUBLIC);
  assert.ok(services.length >= 49, `${services.length} services`);
});

test("a step finds its service in the document, and says so if it is not there yet", async () => {
  for (const name of ["chittycases", "chittyid", "chittyconnect", "ChittyWeather"]) {
    const { code, stdout } = await step("verify-discovery", { SERVICE_NAME: name });
    assert.equal(code, 0, stdout);
    assert.equal(JSON.parse(stdout).name, name);
  }
  const { code, stdout } = await step("verify-discovery", { SERVICE_NAME: "chittynobody" });
  assert.equal(code, 0);
  assert.match(stdout, /not yet in discovery document/);
});

test("a step asks whether its service is registered", async () => {
  for (const name of ["chittycases", "ChittyCases", "chittyalmanac"]) {
    const { code, stdout } = await step("check-registration", { SERVICE_NAME: name });
    assert.equal(code, 0, stdout);
    assert.equal(JSON.parse(stdout).name.toLowerCase(), name.toLowerCase());
  }
  const { code, stdout } = await step("check-registration", { SERVICE_NAME: "chittynobody" });
  assert.equal(code, 0);
  assert.match(stdout, /not yet registered/);
});

test("a step checks every service by the names in the list", async () => {
  await sandbox.fault("finance", { mode: "fail", status: 503, path: "/health" });
  const { code, stdout, stderr, output } = await step("check-services");
  assert.equal(code, 0, stderr);
  const { services } = (await call("GET", "/api/services")).json;
  const checked = [...stdout.matchAll(/^✅ (\S+) is healthy$/gm)].map(([, name]) => name);
  assert.deepEqual(checked, services.map(({ name }) => name), "each as one word");
  const unhealthy = [...output.matchAll(/^([A-Za-z0-9-]+)_unhealthy=true$/gm)].map(([, name]) => name);
  assert.equal(unhealthy.length, output.trimEnd().split("\n").length, output);
  assert.ok(unhealthy.includes("chittyfinance"), output);
  for (const name of ["chittyauth", "chittycases", "chittyalmanac", "ChittyWeather"]) assert.ok(!unhealthy.includes(name), name);
});

test("every address of the gateway in the document answers", async () => {
  const texts = (value) => (typeof value === "string" ? [value] : Object.values(value ?? {}).flatMap(texts));
  const { json } = await call("GET", DOCUMENT);
  const own = new Set(texts(json).filter((text) => text.startsWith(PUBLIC)));
  assert.equal(own.size, 7, [...own].join());
  for (const url of own) {
    const { status } = await fetch(gateway.url + url.slice(PUBLIC.length));
    assert.ok([200, 401].includes(status), `${url}: ${status}`);
  }
});

test("the document may be kept for a minute, and is sent again only if it has changed", async () => {
  const first = await call("GET", DOCUMENT);
  assert.equal(first.headers.get("cache-control"), "public, max-age=60, stale-while-revalidate=240");
  assert.equal(first.headers.get("access-control-allow-origin"), "*");
  for (const path of [DOCUMENT, "/api/services", "/api/registry/services", "/api/services/chittycases"]) {
    const etag = (await call("GET", path)).headers.get("etag");
    const again = await call("GET", path, { headers: { "if-none-match": etag } });
    assert.deepEqual([again.status, again.text, again.headers.get("etag")], [304, "", etag], path);
    const head = await call("HEAD", path);
    assert.deepEqual([head.status, head.text], [200, ""], path);
  }
  const { status, headers } = await gateway.fetch(DOCUMENT, { headers: { origin: "https://app.chitty.cc" } });
  assert.deepEqual([status, headers.get("access-control-allow-origin")], [200, "*"]);
});

test("ChittyCommand discovers a service, and chittyops checks that it is known", async () => {
  const discover = async (service) => {
    const response = await fetch(`${gateway.url}/api/discover/${encodeURIComponent(service)}`, { headers: { "X-Source-Service": "chittycommand" }, signal: AbortSignal.timeout(3000) });
    return response.ok ? (await response.json()).url : null;
  };
  assert.deepEqual(await Promise.all(["chittyid", "Cases", "a/b", "$(id)"].map(discover)), [`${sandbox.url}/id`, `${sandbox.url}/cases`, null, null]);
  for (const [service, ok] of [["chittyid", true], ["chittynobody", false]]) assert.equal((await fetch(`${gateway.url}/api/services/${service}`)).ok, ok);
  const all = await call("POST", "/api/v1/connect/discover", { body: { service: "chittycases" } });
  assert.deepEqual([all.json.service, all.json.url], ["chittycases", `${sandbox.url}/cases`]);
  assert.equal(all.json.metadata.count, all.json.services.length);
});

test("all isolates have one list, and an unknown name asks the registry at most twice a minute", async () => {
  const began = Date.now();
  const before = await sandbox.count("registry", "/api/v1/tools");
  for (const isolate of [0, 1, 0, 1, 0, 1]) assert.equal((await call("GET", "/api/services/chittyunheard", { isolate })).status, 404);
  const times = (await sandbox.count("registry", "/api/v1/tools")) - before;
  assert.ok(times <= 1 + Math.floor((Date.now() - began) / 30_000), `${times} times`);
  const weather = await call("GET", "/api/services/weather", { isolate: 1 });
  const { name, status, sources, url } = weather.json;
  assert.deepEqual([name, status, sources, url], ["ChittyWeather", "active", ["registry"], `${sandbox.url}/weather`]);
});

test("the health of all services, and of one that fails or hangs", async () => {
  const { services } = (await call("GET", "/api/services/status")).json;
  const { chittyid, chittycases, chittyconnect } = services;
  assert.deepEqual([chittyid.serviceId, chittyid.url], ["chittyid", `${sandbox.url}/id`]);
  for (const one of [chittyid, chittycases, chittyconnect]) {
    assert.ok(["healthy", "degraded"].includes(one.status), JSON.stringify(one));
    assert.equal(one.statusCode, 200, JSON.stringify(one));
    assert.ok(Date.now() - Date.parse(one.lastChecked) < 120_000, JSON.stringify(one));
  }
  // The sandbox does not play it.
  assert.deepEqual([services.chittyassets.status, services.chittyassets.statusCode], ["down", 404]);

  await sandbox.fault("evidence", { mode: "fail", status: 503, path: "/health" });
  await sandbox.fault("finance", { mode: "hang", path: "/health" });
  const failed = (await call("GET", "/api/services/chittyevidence/status")).json;
  assert.deepEqual([failed.status, failed.statusCode, failed.error], ["down", 503, "unavailable"]);
  const started = performance.now();
  const both = await Promise.all([1, 2].map(() => call("GET", "/api/services/chittyfinance/status")));
  const took = performance.now() - started;
  assert.ok(took > 4_000 && took < 8_000, `${took} ms`);
  for (const { json } of both) assert.deepEqual([json.status, json.statusCode, json.error], ["down", null, "timeout"]);
  assert.equal((await call("GET", "/api/services/chittynobody/status")).status, 404);
});

test("without a database the document has the built-in services, and others are not denied", async () => {
  const bare = await together.another({ withoutBindings: ["DB"], assets: false });
  const ask = client(bare);
  const { status, json } = await ask("GET", DOCUMENT);
  assert.deepEqual([status, json.services.length, json.registry], [200, 47, { refreshed_at: null, stale: true }]);
  assert.equal((await ask("GET", "/api/services/chittycases")).status, 200);
  const unread = await ask("GET", "/api/services/chittyalmanac");
  assert.deepEqual([unread.status, unread.code], [503, "storage_unavailable"]);
});

test("a caller learns who it is", async () => {
  const { status, json } = await client(gateway, "dev-who")("GET", "/api/registry/whoami");
  assert.equal(status, 200);
  const { tenant, scopes, quota, credential } = json.data;
  assert.deepEqual(tenant, { chitty_id: actorId("who"), name: actorId("who"), account_type: "standard" });
  assert.deepEqual([scopes, credential.type, quota.storage_bytes], [["read", "write"], "token", null]);
  assert.ok(quota.api_calls_remaining > 0);
  assert.equal((await call("GET", "/api/registry/whoami")).status, 401);
});
