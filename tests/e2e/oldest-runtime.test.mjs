/** The build loads in the oldest Miniflare 4 of the year too: other people's tests and tools still run it. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { until } from "./harness/await.mjs";
import { GATEWAY } from "./harness/gateway.mjs";
import { ROOT } from "./harness/runtime.mjs";

const HERE = path.join(ROOT, "tests/e2e/fixtures/oldest-runtime");
/** No date after the runtime's own is taken. */
const COMPATIBILITY_DATE = "2026-01-01";

test("the build loads and answers in the oldest runtime", async () => {
  const { Miniflare } = await oldest();
  const directory = path.dirname(GATEWAY);
  const miniflare = new Miniflare({
    modules: [{ type: "ESModule", path: GATEWAY }, { type: "CompiledWasm", path: path.join(directory, "worker_bg.wasm") }],
    modulesRoot: directory,
    compatibilityDate: COMPATIBILITY_DATE,
    bindings: { ENVIRONMENT: "development" },
    d1Databases: { DB: "db" },
    durableObjects: { SERVICE_CONNECTION: { className: "ServiceConnection", useSQLite: true } },
    assets: { directory: path.join(ROOT, "build/public"), binding: "ASSETS", routerConfig: { has_user_worker: true } },
    cf: false,
  });
  try {
    const ask = async () => {
      const response = await miniflare.dispatchFetch("http://gateway/health");
      const health = await response.json();
      assert.equal(response.status, 200, JSON.stringify(health));
      return health;
    };
    assert.equal((await ask()).service, "chittyconnect");
    const described = await miniflare.dispatchFetch("http://gateway/openapi.json");
    assert.equal(await described.text(), await readFile(path.join(ROOT, "openapi.json"), "utf8"));
    await until(async () => (await ask()).database.state === "ready", { what: "the migrations" });
  } finally {
    await miniflare.dispose();
  }
});

/** Installed by this test alone, so that nobody who runs the gateway pays for a second runtime. */
async function oldest() {
  const require = createRequire(path.join(HERE, "package.json"));
  const isThere = existsSync(path.join(HERE, "node_modules", "miniflare", "package.json"))
    && require("miniflare/package.json").version === require("./package.json").dependencies.miniflare;
  // Nothing of it needs a script of its own to run.
  if (!isThere) await promisify(execFile)("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], { cwd: HERE });
  return require("miniflare");
}
