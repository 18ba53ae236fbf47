/**
 * schemathesis makes up requests from /openapi.json, good ones and bad ones, and looks at each answer with
 * all its checks. CLIENTS_SEED is its seed, CLIENTS_SECONDS how long it may take.
 */
import assert from "node:assert/strict";
import path from "node:path";
import { after, before, test } from "node:test";
import { startAccess } from "../e2e/harness/access.mjs";
import { emptyDirectory, OPENAPI, pythonTool, runTool, withoutPython } from "./harness.mjs";

const { CLIENTS_SEED: seed = "1", CLIENTS_SECONDS: seconds = "120" } = process.env;

let access;
before(async () => (access = withoutPython ? undefined : await startAccess("schemathesis")));
after(() => access?.close());

test(`schemathesis finds nothing with the seed ${seed}`, { skip: withoutPython }, async () => {
  const directory = emptyDirectory("schemathesis");
  const options = ["--checks", "all", "--mode", "all", "--seed", seed, "--max-time", seconds, "--continue-on-failure"];
  const report = ["--report", "ndjson", "--report-ndjson-path", path.join(directory, "report.ndjson")];
  const args = ["--no-color", "run", OPENAPI, "--url", access.gateway.url, "--header", "Authorization: Bearer dev-admin", ...options, ...report];
  const { code, output } = await runTool(pythonTool("schemathesis"), args, { env: { PYTHONDONTWRITEBYTECODE: "1" } });
  assert.equal(code, 0, output);
});
