/** `/metrics`: the text format to the letter, and sums that are right across isolates. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
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

/** The page as `{family: {type, samples: [{name, labels, value}]}}`, every line of it understood. */
async function scrape(isolate = 0) {
  const response = await gateway.fetch("/metrics", {}, { isolate });
  assert.equal(response.status, 200);
  assert.match(response.headers.get("content-type"), /^text\/plain; version=0\.0\.4/);
  const text = await response.text();
  assert.ok(text.endsWith("\n"), "the last line ends too");
  const families = {};
  const seen = new Set();
  let current;
  for (const line of text.trimEnd().split("\n")) {
    const head = /^# (HELP|TYPE) ([a-z_]+) (.+)$/.exec(line);
    if (head?.[1] === "HELP") {
      assert.ok(!families[head[2]], `${head[2]} is one group`);
      current = families[head[2]] = { name: head[2], samples: [] };
    } else if (head) {
      assert.equal(head[2], current.name);
      assert.match(head[3], /^(counter|gauge|histogram)$/);
      current.type = head[3];
    } else {
      const sample = /^([a-z_]+?)(?:\{((?:[a-z_]+="[^"\\\n]*",?)*)\})? (\d+(?:\.\d+)?)$/.exec(line);
      assert.ok(sample, `not a sample: ${line}`);
      const [, name, pairs = "", value] = sample;
      assert.ok(current.type === "histogram" ? /_(bucket|sum|count)$/.test(name) && name.startsWith(current.name) : name === current.name, line);
      assert.ok(!seen.has(`${name}{${pairs}}`), `twice: ${line}`);
      seen.add(`${name}{${pairs}}`);
      const labels = Object.fromEntries([...pairs.matchAll(/([a-z_]+)="([^"]*)"/g)].map(([, label, text]) => [label, text]));
      current.samples.push({ name, labels, value: Number(value) });
    }
  }
  return families;
}

const matching = (samples, labels) => samples.filter((sample) => Object.entries(labels).every(([name, text]) => sample.labels[name] === text));
const value = (family, labels = {}) => matching(family.samples, labels)[0]?.value ?? 0;

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
  assert.equal(latency.type, "histogram");
  const ours = matching(latency.samples, route);
  const counts = ours.filter(({ name }) => name.endsWith("_bucket")).map((sample) => sample.value);
  assert.deepEqual(counts, counts.toSorted((a, b) => a - b), "buckets are cumulative");
  assert.deepEqual([counts.length, counts.at(-1)], [12, 41]);
  assert.equal(ours.find(({ name }) => name.endsWith("_count")).value, 41);
  assert.ok(value(families.chittyconnect_upstream_requests_total, { service: "id", outcome: "ok" }) >= 7);
  assert.equal(families.chittyconnect_outbox_depth.type, "gauge");
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
    return connected && value(families.chittyconnect_outbox_depth) === 0 && families;
  }, { timeout: 20_000, what: "a connected service and an empty outbox" });
  assert.equal(value(families.chittyconnect_connection_state, { service: "id", state: "FAILED" }), 0);
  assert.ok(value(families.chittyconnect_breaker_isolates, { service: "id", state: "closed" }) >= 2);
  assert.equal(value(families.chittyconnect_breaker_isolates, { service: "id", state: "open" }), 0);
});
