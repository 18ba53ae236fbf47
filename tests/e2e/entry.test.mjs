/** The entry in front of the wasm: what a panic ends and what it does not, what a client that has gone ends. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import net from "node:net";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { cargoBuild } from "../../scripts/lib/cargo.mjs";
import { bundleWorker, compilation, compiled } from "../../scripts/lib/worker-bundle.mjs";
import { until } from "./harness/await.mjs";
import { client } from "./harness/client.mjs";
import { rowsOf } from "./harness/contents.mjs";
import { GATEWAY } from "./harness/gateway.mjs";
import { readWorker, ROOT, run } from "./harness/runtime.mjs";
import { startTogether } from "./harness/together.mjs";

describe("a worker that panics", () => {
  const directory = path.join(ROOT, "build/fragile");
  let worker, url;
  const logs = [];
  before(async () => {
    assert.equal(await cargoBuild("Compiling the fragile worker", compilation("dev", "fragile"), compiled("dev", "fragile")), null);
    assert.equal(await bundleWorker("dev", compiled("dev", "fragile"), directory), null);
    const modules = [{ type: "ESModule", path: path.join(directory, "index.js") }, { type: "CompiledWasm", path: path.join(directory, "worker_bg.wasm") }];
    worker = await run([readWorker(path.join(ROOT, "tests/e2e/fixtures/fragile/wrangler.toml"), { modules, root: ROOT })], { onLog: (entry) => logs.push(entry) });
    url = worker.urls[0];
  });
  after(() => worker?.miniflare.dispose());

  const ask = async (route) => {
    const response = await fetch(url + route);
    return [response.status, await response.text()];
  };

  for (const death of ["panic", "panic-later", "trap", "trap-later"]) {
    test(`${death}: the request fails, and the next one meets a new instance`, async () => {
      await ask("/");
      const [, seen] = await ask("/");
      assert.ok(Number(seen) >= 2, `the instance is kept between requests: ${seen}`);
      const [status, text] = await ask(`/${death}`);
      assert.equal(status, 500);
      assert.doesNotMatch(text, /as asked/);
      assert.deepEqual(await ask("/"), [200, "1"]);
      assert.deepEqual(await ask("/"), [200, "2"]);
    });
  }

  test("a panic says where it was", async () => {
    await ask("/panic");
    await until(() => logs.some(({ message }) => /panicked at tests\/e2e\/fixtures\/fragile\/src\/lib\.rs:\d+.*as asked/s.test(message)), { what: "the panic's place" });
  });

  test("a queue's batch that panics is not acknowledged, and the next request is served", async () => {
    const fetcher = await worker.miniflare.getWorker("fragile");
    const { outcome } = await fetcher.queue("any", [{ id: "1", timestamp: new Date(), attempts: 1, body: "{}" }]);
    assert.equal(outcome, "exception");
    assert.deepEqual(await ask("/"), [200, "1"]);
  });

  test("a Durable Object outlives an instance that ended elsewhere: its memory is made anew, its storage kept", async () => {
    const [, first] = await ask("/object/count");
    const [stored, inMemory] = first.match(/\d+/g).map(Number);
    assert.equal((await ask("/object/count"))[1], `${stored + 1} stored, ${inMemory + 1} in memory`);
    assert.equal((await ask("/panic"))[0], 500);
    assert.equal((await ask("/object/count"))[1], `${stored + 2} stored, 1 in memory`);
    assert.equal((await ask("/object/count"))[1], `${stored + 3} stored, 2 in memory`);
  });

  test("a Durable Object that panics itself goes on with the next call", async () => {
    const [, before] = await ask("/object/count");
    const stored = Number(before.match(/\d+/)[0]);
    // Its answer never comes; the caller has a deadline of its own.
    await assert.rejects(fetch(`${url}/object/panic`, { signal: AbortSignal.timeout(1000) }).then(({ status }) => assert.equal(status, 200)));
    assert.equal((await ask("/object/count"))[1], `${stored + 2} stored, 1 in memory`);
  });
});

test("a client that goes between the mint and the row ends nothing", async () => {
  const { sandbox, gateway, close } = await startTogether();
  try {
    const rows = rowsOf(gateway);
    const left = () => rows("SELECT chitty_id FROM contexts WHERE name = 'left behind'");
    const delayed = async () => (await sandbox.calls({ service: "id", path: "/v1/mint" })).filter(({ outcome }) => outcome === "fault:delay").length;
    await client(gateway, "dev-gone")("GET", "/v1/contexts");
    await sandbox.fault("id", { mode: "delay", delay_ms: 1500, path: "/v1/mint" });
    const before = await delayed();
    const body = '{"name":"left behind"}';
    const socket = net.connect(new URL(gateway.url).port, "127.0.0.1");
    socket.write(`POST /v1/contexts HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer dev-gone\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
    await until(async () => (await delayed()) > before, { what: "the mint" });
    assert.deepEqual(await left(), []);
    socket.resetAndDestroy();
    await until(async () => (await left()).length === 1, { what: "the row" });
  } finally {
    await close();
  }
});

test("the build is a module that the Node of this repository compiles too", async () => {
  const module = new WebAssembly.Module(await readFile(path.join(path.dirname(GATEWAY), "worker_bg.wasm")));
  assert.ok(WebAssembly.Module.exports(module).some(({ name }) => name === "fetch"));
});
