// `npm test`: every test, and `N passed, N failed` as the last line. Exits non-zero when a test
// fails, a suite does not build, or a suite has no tests.
//   npm test -- native          the Rust tests
//   npm test -- scripts         the tests of these scripts
//   npm test -- e2e [file]      the gateway in the real runtime (all files, or one)
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import { join, resolve } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { build } from "./build.mjs";
import { ask, run } from "./lib/command.mjs";
import { NODE, ROOT } from "./lib/paths.mjs";
import { fail, say } from "./lib/say.mjs";
import { setup } from "./setup.mjs";

const SUITES = { native, scripts, e2e };
const NOTHING = { passed: 0, failed: 0 };

const [only, file] = process.argv.slice(2);
if (only && !SUITES[only]) fail(`There is no suite "${only}": ${Object.keys(SUITES).join(", ")}.`);

await setup();
const total = { ...NOTHING };
for (const name of only ? [only] : Object.keys(SUITES)) {
  say(`\n── ${name} tests`);
  const { passed, failed, ended = 0 } = await SUITES[name]();
  total.passed += passed;
  total.failed += failed;
  if (failed > 0 || (ended === 0 && passed > 0)) continue;
  // Nothing ran, or something broke that is not a test: that must not look like a success.
  say(passed === 0 ? `The ${name} tests did not run.` : `The ${name} tests ended with code ${ended}.`);
  total.failed += 1;
}
console.log(`${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed > 0 ? 1 : 0;

/** The workspace's Rust tests, with nextest where it is installed, and the documentation's examples. */
async function native() {
  if (ask("cargo", ["nextest", "--version"]) === null) return cargo(["test", "--workspace", "--no-fail-fast"], testResults);
  const tests = await cargo(["nextest", "run", "--workspace", "--no-fail-fast"], nextestSummary);
  const examples = await cargo(["test", "--workspace", "--doc", "--quiet"], testResults);
  return { passed: tests.passed + examples.passed, failed: tests.failed + examples.failed, ended: tests.ended || examples.ended };
}

async function scripts() {
  return nodeTests(testFiles("scripts"), 1);
}

async function e2e() {
  if (!(await build())) return NOTHING;
  // Each file runs a runtime of its own, so few at a time.
  return nodeTests(file ? [resolve(file)] : testFiles("tests/e2e"), Math.min(4, os.availableParallelism()));
}

/** Runs cargo, passes its output through and counts with `count` what it says. */
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

/** Runs test files in the Node that runs wrangler; a second report, for the counts, goes to a file. */
async function nodeTests(files, concurrency) {
  if (files.length === 0) return NOTHING;
  const directory = mkdtempSync(join(os.tmpdir(), "chittyconnect-test-"));
  const report = join(directory, "report.tap");
  const args = ["--test", `--test-concurrency=${concurrency}`];
  args.push("--test-reporter=spec", "--test-reporter-destination=stdout");
  args.push("--test-reporter=tap", `--test-reporter-destination=${report}`);
  const ended = await run(NODE, [...args, ...files]);
  const text = existsSync(report) ? readFileSync(report, "utf8") : "";
  rmSync(directory, { recursive: true });
  const number = (what) => Number(new RegExp(`^# ${what} (\\d+)$`, "m").exec(text)?.[1] ?? 0);
  return { passed: number("pass"), failed: number("fail") + number("cancelled"), ended };
}

function testFiles(directory) {
  try {
    const names = readdirSync(join(ROOT, directory)).filter((name) => name.endsWith(".test.mjs"));
    return names.sort().map((name) => join(ROOT, directory, name));
  } catch {
    return [];
  }
}
