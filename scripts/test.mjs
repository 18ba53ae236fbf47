// `npm test`: every test, and `N passed, N failed` as the last line. Exits non-zero when a test
// fails, a suite does not build, or a suite has no tests.
//   npm test -- native [name]   the Rust tests, or those whose names contain it
//   npm test -- scripts         the tests of these scripts
//   npm test -- e2e             the gateway in the real runtime
//   npm test -- FILE …          test files of the last two
// With --release the gateway is the release build instead of the development build.
import { readdirSync } from "node:fs";
import os from "node:os";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { build } from "./build.mjs";
import { ask, run } from "./lib/command.mjs";
import { NODE, ROOT, toolEnv } from "./lib/paths.mjs";
import { parseTestArguments } from "./lib/test-arguments.mjs";
import { runTestFiles } from "./lib/test-files.mjs";
import { fail, say } from "./lib/say.mjs";
import { setup } from "./setup.mjs";

const RUN = { native, scripts, e2e };
const NOTHING = { passed: 0, failed: 0 };

const { problem, profile, suites } = parseTestArguments(process.argv.slice(2), [...testFiles("tests/e2e"), ...testFiles("scripts")]);
if (problem) fail(problem);

await setup();
const total = { ...NOTHING };
for (const [name, ...rest] of suites) {
  say(`\n── ${name} tests`);
  const { passed, failed, ended = 0 } = await RUN[name](rest);
  total.passed += passed;
  total.failed += failed;
  if (failed > 0 || (ended === 0 && passed > 0)) continue;
  // No test ran, or something other than a test failed: that must not look like a success.
  say(passed === 0 ? `The ${name} tests did not run.` : `The ${name} tests ended with code ${ended}.`);
  total.failed += 1;
}
console.log(`${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed > 0 ? 1 : 0;

/** The workspace's Rust tests, with nextest where it is installed, and the documentation's examples. */
async function native([filter]) {
  const only = filter ? [filter] : [];
  if (ask("cargo", ["nextest", "--version"]) === null) return cargo(["test", "--no-fail-fast", ...only], testResults);
  const tests = await cargo(["nextest", "run", "--no-fail-fast", ...only], nextestSummary);
  if (filter) return tests;
  const examples = await cargo(["test", "--doc", "--quiet"], testResults);
  return { passed: tests.passed + examples.passed, failed: tests.failed + examples.failed, ended: tests.ended || examples.ended };
}

async function scripts(files) {
  return runTestFiles(NODE, files.length > 0 ? files : testFiles("scripts"), { concurrency: 1 });
}

async function e2e(files) {
  if (!(await build(profile))) return NOTHING;
  // Each file runs a runtime of its own, with state, ports and sandbox of its own.
  return runTestFiles(NODE, files.length > 0 ? files : testFiles("tests/e2e"), {
    concurrency: Math.max(2, Math.min(4, os.availableParallelism())),
    env: toolEnv({ WORKER_PROFILE: profile }),
  });
}

/** Runs cargo, passes its output through, and counts the results in it by `count`. */
async function cargo(args, count) {
  let output = "";
  const color = process.stderr.isTTY ? "always" : "never";
  const onOutput = (chunk, stream) => {
    process[stream].write(chunk);
    output += chunk;
  };
  const ended = await run("cargo", [...args, "--color", color], { onOutput });
  return { ...count(stripVTControlCharacters(output)), ended };
}

/** `Summary [   0.005s] 3 tests run: 2 passed, 1 failed, 0 skipped` */
function nextestSummary(output) {
  const line = /^\s*Summary \[.*$/m.exec(output)?.[0] ?? "";
  const number = (pattern) => Number(pattern.exec(line)?.[1] ?? 0);
  return { passed: number(/(\d+) passed/), failed: number(/(\d+) failed/) + number(/(\d+) timed out/) };
}

/** `test result: ok. 3 passed; 0 failed; …`, once for each test binary. */
function testResults(output) {
  const counts = { ...NOTHING };
  for (const [, passed, failed] of output.matchAll(/^test result: .*? (\d+) passed; (\d+) failed;/gm)) {
    counts.passed += Number(passed);
    counts.failed += Number(failed);
  }
  return counts;
}

function testFiles(directory) {
  const names = readdirSync(join(ROOT, directory), { recursive: directory === "scripts" });
  return names.filter((name) => name.endsWith(".test.mjs")).sort().map((name) => join(ROOT, directory, name));
}
