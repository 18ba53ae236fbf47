// How `npm run lint` sums up its checks, and whether CI's gate waits for every job.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { test } from "node:test";
import { checkAdvisories, notRun, summary } from "./checks/results.mjs";
import { findTool } from "./checks/tools.mjs";
import { ROOT } from "./lib/paths.mjs";

const check = (name, result, asked = false) => ({ name, result, asked });

test("checks are counted, and a check that was not run has not passed", () => {
  const { lines, counts, code } = summary([check("fmt", true), check("typos", notRun("typos is not installed"))]);
  assert.deepEqual(lines, ["Not run: typos: typos is not installed."]);
  assert.equal(counts, "1 passed, 0 failed, 1 skipped");
  assert.equal(code, 0);
});

test("all checks passed", () => {
  assert.deepEqual(summary([check("fmt", true, true)]), { lines: ["Nothing to complain about."], counts: "1 passed, 0 failed", code: 0 });
});

test("a check that was asked for and not run has an exit code of its own", () => {
  assert.equal(summary([check("fmt", true), check("typos", notRun("…"), true)]).code, 2);
});

test("a failure outweighs a check that was not run", () => {
  const { lines, counts, code } = summary([check("fmt", false), check("doc", false), check("typos", notRun("…"), true)]);
  assert.deepEqual(lines, ["Not run: typos: ….", "Complaints from fmt, doc: see above."]);
  assert.equal(counts, "0 passed, 2 failed, 1 skipped");
  assert.equal(code, 1);
});

test("a database of advisories that cannot be fetched is no advisory", async () => {
  const calls = [];
  const result = await checkAdvisories(async (...args) => {
    calls.push(args.join(" "));
    return false;
  });
  assert.match(result.reason, /could not be fetched/);
  assert.deepEqual(calls, ["fetch db index"]);
});

test("the check fails exactly if there is an advisory", async () => {
  for (const found of [true, false]) {
    assert.equal(await checkAdvisories(async (...args) => args[0] === "fetch" || !found), !found);
  }
});

test("without cargo-deny advisories are not checked", async () => {
  const missing = notRun("cargo-deny is not installed");
  assert.equal(await checkAdvisories(async () => missing), missing);
});

test("a tool is looked for in the order of the path, and must be a program", () => {
  const root = mkdtempSync(join(tmpdir(), "chittyconnect-lint-"));
  try {
    const paths = ["a", "b", "c"].map((name) => mkdtempSync(join(root, name)));
    writeFileSync(join(paths[0], "typos"), "", { mode: 0o600 });
    for (const path of paths.slice(1)) writeFileSync(join(path, "typos"), "", { mode: 0o700 });
    assert.equal(findTool("typos", paths.join(delimiter)), join(paths[1], "typos"));
    assert.equal(findTool("zizmor", paths.join(delimiter)), null);
  } finally {
    rmSync(root, { recursive: true });
  }
});

test("CI's gate waits for every other job", () => {
  const workflow = readFileSync(join(ROOT, ".github", "workflows", "ci.yml"), "utf8");
  const jobs = [...workflow.slice(workflow.indexOf("\njobs:")).matchAll(/^ {2}([\w-]+):$/gm)].map(([, name]) => name);
  const needs = /^ {4}needs: \[(.*)\]$/m.exec(workflow)[1].split(", ");
  assert.ok(jobs.length > 2);
  assert.deepEqual([...needs, "ci"].sort(), jobs.sort());
});
