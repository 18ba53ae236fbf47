/** ChittyIDs for whoever asks: every kind minted by the authority, validated by it, and never made here. */
import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { until } from "./harness/await.mjs";
import { client } from "./harness/client.mjs";
import { startGateway } from "./harness/gateway.mjs";
import { startSandbox } from "./harness/sandbox.mjs";

const LETTERS = { PEO: "P", PLACE: "L", PROP: "T", EVNT: "E", AUTH: "A", INFO: "T", FACT: "T", CONTEXT: "P", ACTOR: "P" };

let sandbox, gateway, call;
before(async () => {
  sandbox = await startSandbox();
  gateway = await startGateway({ sandboxUrl: sandbox.url });
  call = client(gateway, "dev-minter");
});
beforeEach(() => sandbox.clear());
after(async () => {
  await gateway.close();
  await sandbox.close();
});

test("each of the nine kinds gets an id of its letter, which is valid", async () => {
  for (const [entity, letter] of Object.entries(LETTERS)) {
    const { status, json, text } = await call("POST", "/api/chittyid/mint", { body: { entity, metadata: { of: entity } } });
    assert.equal(status, 201, text);
    assert.match(json.chittyId, new RegExp(`^03-1-[A-Z]{3}-\\d{4}-${letter}-\\d{4}-0-\\d{2}$`), entity);
    const verdict = await call("POST", "/api/chittyid/validate", { body: { chittyId: json.chittyId } });
    assert.deepEqual([verdict.status, verdict.json.valid], [200, true], verdict.text);
  }
  const minted = await sandbox.minted();
  const mine = minted.filter(({ metadata }) => metadata?.of);
  assert.deepEqual(mine.map(({ metadata }) => metadata.of).sort(), Object.keys(LETTERS).sort());
  await until(async () => (await sandbox.entries({ action: "identity.minted" })).total === 9, { what: "the entries" });
});

test("a repeat under its key is the same id, and while ChittyID does not mint there is none", async () => {
  const body = { entityType: "EVENT" };
  const headers = { "idempotency-key": "one-event" };
  await sandbox.fault("id", { mode: "fallback" });
  const refused = await call("POST", "/api/chittyid/mint", { body, headers });
  assert.deepEqual([refused.status, refused.code], [503, "identity_authority_unavailable"]);
  await sandbox.clear();
  const made = await until(async () => {
    const answer = await call("POST", "/api/chittyid/mint", { body, headers });
    return answer.status === 201 && answer;
  }, { timeout: 15_000, what: "the mint" });
  const again = await call("POST", "/api/chittyid/mint", { body, headers });
  assert.deepEqual([again.json, again.headers.get("idempotency-replayed")], [made.json, "true"]);
});
