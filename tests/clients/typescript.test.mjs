/** A client in TypeScript: generated types, a strict compiler, and a session with the gateway. */
import assert from "node:assert/strict";
import { copyFileSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { startAccess } from "../e2e/harness/access.mjs";
import { emptyDirectory, HERE, npmTool, OPENAPI, runTool } from "./harness.mjs";

let access;
before(async () => (access = await startAccess("typescript")));
after(() => access?.close());

test("openapi-typescript makes types by which a session compiles strictly and runs", async () => {
  const directory = emptyDirectory("typescript");
  const generated = await runTool(npmTool("openapi-typescript"), [OPENAPI, "--output", path.join(directory, "types.ts")]);
  assert.equal(generated.code, 0, generated.output);
  copyFileSync(path.join(HERE, "session.ts"), path.join(directory, "session.ts"));
  copyFileSync(path.join(HERE, "tsconfig.json"), path.join(directory, "tsconfig.json"));
  writeFileSync(path.join(directory, "package.json"), '{"type": "module"}');
  symlinkSync(path.join(HERE, "node_modules"), path.join(directory, "node_modules"));
  const compiled = await runTool(npmTool("tsc"), ["--project", directory]);
  assert.equal(compiled.code, 0, compiled.output);
  const { run } = await import(pathToFileURL(path.join(directory, "out", "session.js")));
  await run(access.gateway.url, access.person().token);
});
