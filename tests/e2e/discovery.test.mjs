/** Services that only ChittyRegistry knows, and one list for all isolates. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { actorId } from "../../sandbox/chitty-id.mjs";
import { until } from "./harness/await.mjs";
import { client } from "./harness/client.mjs";
import { startGateway } from "./harness/gateway.mjs";
import { startSandbox } from "./harness/sandbox.mjs";

let sandbox, gateway, call, began;
before(async () => {
  began = Date.now();
  sandbox = await startSandbox();
  gateway = await startGateway({ sandboxUrl: sandbox.url, isolates: 2 });
  call = client(gateway, "dev-reader");
});
after(async () => {
  await gateway.close();
  await sandbox.close();
});

const link = (target_service, more) => ({ source_chitty_id: actorId("reader"), source_type: "actor", target_service, ...more });

test("a connection names a service that only the registry knows, and works with a key of its own", async () => {
  const { status, json, text } = await call("POST", "/v1/connections", { body: link("chittyalmanac", { credentials: { type: "provisioned" } }) });
  assert.equal(status, 201, text);
  const { connection } = json;
  assert.deepEqual([connection.target_service, connection.target_endpoint], ["almanac", "https://almanac.chitty.cc"]);
  const answer = await call("GET", `/v1/connections/${connection.connection_id}/proxy/api/whoami`, { isolate: 1 });
  assert.deepEqual([answer.status, answer.json.service], [200, "chittyalmanac"], answer.text);
});

test("the isolates ask for one list, and a name that is nowhere is said to be", async () => {
  for (const isolate of [0, 1, 0, 1]) {
    const refused = await call("POST", "/v1/connections", { body: link("nobody"), isolate });
    assert.deepEqual([refused.status, refused.code], [422, "validation_failed"]);
    assert.match(refused.text, /ChittyRegistry/);
  }
  await gateway.scheduled();
  // The first request asks for the list; a name that nobody knows asks again after half a minute.
  const times = await sandbox.count("registry", "/api/v1/tools");
  assert.ok(times >= 1 && times <= 1 + Math.floor((Date.now() - began) / 30_000), `${times} times`);
  const db = await gateway.db();
  await until(async () => (await db.prepare("SELECT count(*) AS n FROM service_addresses WHERE name = 'almanac'").first("n")) === 1, { what: "the list" });
});
