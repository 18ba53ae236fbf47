/** A service that is a Worker of the same account is reached through its binding. */
import assert from "node:assert/strict";
import { readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { after, before, test } from "node:test";
import { client, create } from "./harness/client.mjs";
import { startGateway } from "./harness/gateway.mjs";
import { readWorker, ROOT } from "./harness/runtime.mjs";
import { startSandbox } from "./harness/sandbox.mjs";

const STAND_IN = path.join(ROOT, "tests/e2e/fixtures/stand-in");

let sandbox, gateway, config;
before(async () => {
  sandbox = await startSandbox();
  const toml = await readFile(path.join(ROOT, "wrangler.toml"), "utf8");
  // Beside the real one, because paths in it are relative.
  config = path.join(ROOT, `.service-binding-${process.pid}.toml`);
  await writeFile(config, toml.replace("# ----", '[[services]]\nbinding = "CHITTYAUTH"\nservice = "stand-in"\n\n# ----'));
  const standIn = readWorker(path.join(STAND_IN, "wrangler.toml"), { modules: [{ type: "ESModule", path: path.join(STAND_IN, "worker.mjs") }] });
  gateway = await startGateway({ sandboxUrl: sandbox.url, config, assets: false, beside: [standIn], vars: { CHITTYAUTH_SERVICE_URL: "https://auth.chitty.cc" } });
});
after(async () => {
  await gateway?.close();
  await sandbox?.close();
  await rm(config, { force: true });
});

test("tokens are checked through the binding, everything else goes over the network", async () => {
  await create(client(gateway, "any-token-at-all"), { name: "bound" });
  assert.equal(await sandbox.count("auth", "/v1/tokens/validate"), 0);
  assert.ok((await sandbox.count("id", "/v1/mint")) >= 1);
  const { services } = (await client(gateway)("GET", "/health?full=true")).json;
  assert.equal(services.auth.status, "healthy");
});
