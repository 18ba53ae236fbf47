// The arguments of `npm test --`.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { ROOT } from "./lib/paths.mjs";
import { parseTestArguments } from "./lib/test-arguments.mjs";

const [contexts, keys, lint] = ["tests/e2e/contexts.test.mjs", "tests/e2e/keys.test.mjs", "scripts/lint.test.mjs"].map((name) => join(ROOT, name));
const parse = (...words) => parseTestArguments(words, [contexts, keys, lint]);

test("without arguments every suite runs, with the name of a suite that one", () => {
  assert.deepEqual(parse(), { profile: "dev", suites: [["native"], ["scripts"], ["e2e"]] });
  assert.deepEqual(parse("e2e"), { profile: "dev", suites: [["e2e"]] });
  assert.deepEqual(parse("scripts").suites, [["scripts"]]);
  assert.deepEqual(parse("native", "search").suites, [["native", "search"]]);
});

test("--release may stand anywhere", () => {
  for (const words of [["e2e", "--release"], ["--release", "e2e"]]) assert.deepEqual(parse(...words), { profile: "release", suites: [["e2e"]] });
});

test("files are found by path, by name and by the beginning of the name, each in its suite", () => {
  assert.deepEqual(parse("tests/e2e/contexts.test.mjs").suites, [["e2e", contexts]]);
  assert.deepEqual(parse("contexts").suites, [["e2e", contexts]]);
  assert.deepEqual(parse("e2e", "keys").suites, [["e2e", keys]]);
  assert.deepEqual(parse("keys.test.mjs", "scripts/lint.test.mjs", "contexts").suites, [["scripts", lint], ["e2e", keys, contexts]]);
});

test("a word that is no suite and no file is a problem", () => {
  assert.match(parse("contextz").problem, /"contextz".*native, scripts, e2e/);
  assert.match(parse("e2e", "nothing").problem, /"nothing"/);
});
