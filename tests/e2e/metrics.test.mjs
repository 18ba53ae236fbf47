/** `/metrics`, read by a Prometheus parser that is not ours. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import parse from "parse-prometheus-text-format";
import { until } from "./harness/await.mjs";
import { client, create } from "./harness/client.mjs";
import { startGateway } from "./harness/gateway.mjs";
import { startSandbox } from "./harness/sandbox.mjs";

let sandbox, gateway;
before(async () => {
  sandbox = await startSandbox();
  gateway = await startGateway({ sandboxUrl: sandbox.url, isolates: 2, vars: { HANDOVER_SECONDS: "1" } });
});
after(async () => {
  await gateway.close();
  await sandbox.close();
});

async function scrape(isolate = 0) {
  const response = await gateway.fetch("/metrics", {}, { isolate });
  assert.equal(response.status, 200);
  assert.match(response.headers.get("content-type"), /^text\/plain; version=0\.0\.4/);
  return Object.fromEntries(parse(await response.text()).map((family) => [family.name, family]));
}

const value = (family, labels) => Number(family?.metrics.find((metric) => Object.entries(labels).every(([name, text]) => metric.labels?.[name] === text))?.value ?? 0);

test("what both isolates have counted is there, once, whoever is asked", async () => {
  const call = client(gateway, "dev-counted");
  const contexts = [];
  for (let n = 0; n < 6; n += 1) contexts.push(await create(call, { name: `n${n}` }));
  for (let n = 0; n < 40; n += 1) await call("GET", `/v1/contexts/${contexts[n % 6].chitty_id}`, { isolate: n % 2 });
  await call("GET", "/v1/contexts/none", { isolate: 1 });
  const route = { method: "GET", route: "/v1/contexts/{id}" };
  const families = await until(async () => {
    const families = await scrape(1);
    return value(families.chittyconnect_http_requests_total, { ...route, status: "200" }) === 40 && families;
  }, { timeout: 10_000, what: "forty reads" });
  assert.equal(value(families.chittyconnect_http_requests_total, { ...route, status: "404" }), 1);
  assert.equal(value(families.chittyconnect_http_requests_total, { method: "POST", route: "/v1/contexts", status: "201" }), 6);
  const latency = families.chittyconnect_http_request_duration_seconds;
  assert.equal(latency.type, "HISTOGRAM");
  const ours = latency.metrics.find(({ labels }) => labels.route === route.route && labels.method === "GET");
  assert.equal(Number(ours.count), 41);
  assert.equal(Number(ours.buckets["+Inf"]), 41);
  const counts = Object.entries(ours.buckets).map(([bound, count]) => [bound === "+Inf" ? Infinity : Number(bound), Number(count)]).sort(([a], [b]) => a - b);
  for (let n = 1; n < counts.length; n += 1) assert.ok(counts[n - 1][1] <= counts[n][1], "buckets are cumulative");
  assert.ok(value(families.chittyconnect_upstream_requests_total, { service: "id", outcome: "ok" }) >= 7);
  assert.equal(families.chittyconnect_outbox_depth.type, "GAUGE");
  await new Promise((resolve) => setImmediate(resolve));
  const again = await until(async () => {
    const again = await scrape(0);
    return value(again.chittyconnect_http_requests_total, { ...route, status: "200" }) >= 40 && again;
  }, { what: "the same from the other isolate" });
  assert.equal(value(again.chittyconnect_http_requests_total, { ...route, status: "200" }), 40);
});

test("the states of connections and breakers are there, and the outbox empties", async () => {
  await gateway.scheduled();
  const families = await until(async () => {
    const families = await scrape();
    const connected = value(families.chittyconnect_connection_state, { service: "id", state: "CONNECTED" }) === 1;
    return connected && Number(families.chittyconnect_outbox_depth.metrics[0].value) === 0 && families;
  }, { timeout: 20_000, what: "a connected service and an empty outbox" });
  assert.equal(value(families.chittyconnect_connection_state, { service: "id", state: "FAILED" }), 0);
  assert.ok(value(families.chittyconnect_breaker_isolates, { service: "id", state: "closed" }) >= 2);
  assert.equal(value(families.chittyconnect_breaker_isolates, { service: "id", state: "open" }), 0);
});
