/** /openapi.json is a good description: by two linters, and its examples are what it says. */
import Ajv2020 from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { HERE, npmTool, OPENAPI, runTool } from "./harness.mjs";

test("Redocly finds nothing", async () => {
  const { output } = await runTool(npmTool("redocly"), ["lint", OPENAPI, "--config", path.join(HERE, "redocly.yaml"), "--format=json"], { env: { REDOCLY_TELEMETRY: "off" } });
  const { totals, problems } = JSON.parse(output.slice(output.indexOf("{"), output.lastIndexOf("}") + 1));
  assert.deepEqual([totals.errors, totals.warnings], [0, 0], JSON.stringify(problems, null, 1));
});

test("Spectral finds nothing", async () => {
  const { code, output } = await runTool(npmTool("spectral"), ["lint", OPENAPI, "--ruleset", path.join(HERE, "spectral.yaml"), "--fail-severity=warn"]);
  assert.equal(code, 0, output);
});

test("every example is what its schema says", () => {
  const document = JSON.parse(readFileSync(OPENAPI, "utf8"));
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  addFormats.default(ajv);
  ajv.addFormat("chitty-id", true);
  ajv.addSchema(document, "openapi");
  let seen = 0;
  for (const [name, { examples = [] }] of Object.entries(document.components.schemas)) {
    for (const example of examples) {
      const validate = ajv.getSchema(`openapi#/components/schemas/${name}`);
      assert.ok(validate(example), `${name}: ${ajv.errorsText(validate.errors)}`);
      seen += 1;
    }
  }
  assert.ok(seen > 50, `${seen} examples`);
});
