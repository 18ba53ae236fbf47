/** Bad weather: services that fail one time in three, talk nonsense, or are all down at once. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { until } from "./harness/await.mjs";
import { client } from "./harness/client.mjs";
import { startGateway } from "./harness/gateway.mjs";
import { startSandbox } from "./harness/sandbox.mjs";

const CONTEXTS = 120;
/** How many gateways meet nonsense side by side. */
const AT_ONCE = 4;

let sandbox, gateway;
before(async () => {
  sandbox = await startSandbox();
  gateway = await startGateway({ sandboxUrl: sandbox.url, vars: { OUTBOX_OVERDUE_SECONDS: "0" } });
  await gateway.scheduled();
  await until(async () => (await client(gateway)("GET", "/health")).json.ecosystem.state === "registered", { timeout: 15_000, what: "the registration" });
});
after(async () => {
  await gateway.close();
  await sandbox.close();
});

/** Calls of the services, but for the questions of whether something was done already. */
const calls = async () => {
  const counts = await Promise.all([["id", "/v1/mint"], ["auth", "/v1/tokens/validate"], ["chronicle", "/api/entries"]].map((of) => sandbox.count(...of)));
  return counts.reduce((sum, count) => sum + count, 0) - (await questions());
};

/** How often Chronicle was asked for an entry before it was told again. */
const questions = async () => (await sandbox.calls({ service: "chronicle", path: "/api/entries", method: "GET" })).length;

/** Makes every context, each by a caller of its own who asks again until he has it. */
async function makeAll(prefix) {
  const make = async (n) => {
    const call = client(gateway, `dev-${prefix}-${n}`);
    const request = { body: { name: `${prefix} ${n}` }, headers: { "idempotency-key": `${prefix}-${n}` } };
    const made = await until(async () => {
      const answer = await call("POST", "/v1/contexts", request);
      assert.ok([201, 503].includes(answer.status), answer.text);
      return answer.status === 201 && answer;
    }, { timeout: 60_000, what: `context ${n}` });
    return made.json.context.chitty_id;
  };
  return Promise.all(Array.from({ length: CONTEXTS }, (_, n) => make(n)));
}

test("no orphan, nothing half made, every event told, and no storm of retries", async () => {
  const before = await calls();
  const sunny = new Set(await makeAll("sunny"));
  await until(async () => (await sandbox.entries({ action: "context.created" })).total >= CONTEXTS, { timeout: 20_000, what: "the entries" });
  const healthy = (await calls()) - before;
  const attempts = { before: await calls() };
  for (const service of ["id", "auth", "chronicle", "beacon"]) await sandbox.fault(service, { mode: "fail", status: 503, rate: 0.3 });
  const rainy = new Set(await makeAll("rainy"));
  assert.equal(rainy.size, CONTEXTS);
  const entries = async () => new Set((await sandbox.entries({ action: "context.created" })).entries.map(({ metadata }) => metadata.entityId));
  await until(async () => {
    await gateway.scheduled();
    const told = await entries();
    return [...rainy].every((id) => told.has(id));
  }, { timeout: 60_000, what: "every event" });
  attempts.after = await calls();
  // One for each telling that failed without a word of whether it was done, and those fail no more often than the rest.
  assert.ok((await questions()) < CONTEXTS, `${await questions()} questions`);
  const factor = (attempts.after - attempts.before) / healthy;
  await sandbox.clear();
  // Each minted id is a context's, or reported.
  const db = await gateway.db();
  const { results } = await db.prepare("SELECT chitty_id FROM contexts UNION SELECT entity_id FROM outbox WHERE event_type = 'identity.orphaned'").all();
  const known = new Set(results.map(({ chitty_id }) => chitty_id));
  for (const { id } of await sandbox.minted()) assert.ok(known.has(id), `${id} is nobody's`);
  assert.equal(await db.prepare("SELECT count(*) AS n FROM contexts WHERE name LIKE 'rainy %'").first("n"), CONTEXTS);
  assert.equal(sunny.size, CONTEXTS);
  // Three in ten fail, so each thing takes 1 / 0.7 calls; nothing comes on top.
  assert.ok(factor < 1.5, `${factor.toFixed(2)} times the calls of a sunny day`);
});

const NONSENSE = [
  { mode: "fail", status: 500 },
  { mode: "hang" },
  { mode: "garbage" },
  { mode: "garbage", body: "" },
  { mode: "garbage", body: "<html>sorry</html>", content_type: "text/html" },
  { mode: "garbage", body: { success: false, error: "inside a 200" } },
  { mode: "garbage", body: {} },
  { mode: "huge" },
  { mode: "drip" },
  { mode: "reset" },
  { mode: "redirect" },
];

test("no nonsense passes for a step of the registration, and it goes on when the service is sane again", async () => {
  const services = ["dna", "auth", "register", "verify", "certify"];
  const steps = ["dna", "keys", "register", "verify", "certify"];
  // Each service meets another kind of it; between them they meet all. Most of it is waiting for the next try, so
  // several wait at once, each with a sandbox of its own.
  const cases = NONSENSE.map((spec, n) => ({ spec, service: services[n % services.length], step: steps[n % steps.length] }));
  const next = async () => {
    for (let one = cases.shift(); one; one = cases.shift()) await meetNonsense(one);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, next));
});

async function meetNonsense({ spec, service, step }) {
  const what = `${service} ${JSON.stringify(spec)}`;
  const own = await startSandbox();
  await own.fault(service, spec);
  const fresh = await startGateway({ sandboxUrl: own.url, vars: { UPSTREAM_TIMEOUT_MS: "400" } });
  const ecosystem = async () => (await client(fresh)("GET", "/health")).json.ecosystem;
  try {
    // On a busy machine a sane service may miss its deadline first; the gateway then tries that step again.
    const stopped = await until(async () => {
      const now = await ecosystem();
      return now.state === "degraded" && now.pending[0] === step && now;
    }, { timeout: 30_000, what: `the failure of ${what}` });
    assert.match(stopped.last_error, new RegExp(`^chitty${service}_`), what);
    assert.equal((await fresh.fetch("/health")).status, 200, "it serves");
    await own.clear();
    await until(async () => (await ecosystem()).state === "registered", { timeout: 20_000, what: `the end of the registration after ${what}` });
    assert.equal(await own.count("elsewhere"), 0, "no redirect was followed");
  } finally {
    await fresh.close();
    await own.close();
  }
}

test("with every service down the gateway starts, answers in bounded time, and comes back by itself", async () => {
  for (const spec of [{ mode: "fail", status: 503 }, { mode: "hang" }]) {
    await sandbox.fault("all", spec);
    const fresh = await startGateway({ sandboxUrl: sandbox.url, vars: { UPSTREAM_TIMEOUT_MS: "400" } });
    try {
      const call = client(fresh, "dev-unlucky");
      const started = performance.now();
      const answers = await Promise.all([
        call("GET", "/v1/contexts"),
        call("POST", "/v1/contexts", { body: { name: "n" } }),
        call("POST", "/v1/orchestrations/user-registration", { body: { email: "a@example.org" } }),
        call("GET", "/health"),
        call("GET", "/metrics").catch(() => null),
      ]);
      assert.ok(performance.now() - started < 5000);
      assert.deepEqual(answers.slice(0, 4).map(({ status }) => status), [503, 503, 503, 200]);
      assert.equal(answers[0].code, "authentication_unavailable");
      const db = await fresh.db();
      assert.equal(await db.prepare("SELECT (SELECT count(*) FROM contexts) + (SELECT count(*) FROM orchestrations) AS n").first("n"), 0);
      await sandbox.clear();
      await until(async () => (await call("GET", "/health")).json.ecosystem.state === "registered", { timeout: 30_000, what: "its registration" });
      await until(async () => (await call("POST", "/v1/contexts", { body: { name: "n" } })).status === 201, { timeout: 15_000, what: "a context" });
    } finally {
      await fresh.close();
    }
  }
});
