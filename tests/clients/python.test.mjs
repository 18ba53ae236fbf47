/** A client in Python: generated, and a session with the gateway. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { startAccess } from "../e2e/harness/access.mjs";
import { emptyDirectory, HERE, OPENAPI, pythonTool, runTool, withoutPython } from "./harness.mjs";

let access;
before(async () => (access = withoutPython ? undefined : await startAccess("python")));
after(() => access?.close());

test("openapi-python-client makes a client by which a session runs", { skip: withoutPython }, async () => {
  const directory = emptyDirectory("python");
  const config = path.join(directory, "config.yaml");
  writeFileSync(config, "package_name_override: chittyconnect_client\npost_hooks: []\n");
  const made = path.join(directory, "chittyconnect_client");
  const args = ["generate", "--path", OPENAPI, "--output-path", made, "--meta", "none", "--config", config, "--fail-on-warning"];
  const generated = await runTool(pythonTool("openapi-python-client"), args);
  assert.equal(generated.code, 0, generated.output);
  assert.doesNotMatch(generated.output, /warning|error/i);
  const session = [path.join(HERE, "session.py"), access.gateway.url, access.person().token];
  const run = await runTool(pythonTool("python"), session, { env: { PYTHONPATH: directory, PYTHONDONTWRITEBYTECODE: "1" } });
  assert.equal(run.code, 0, run.output);
});
