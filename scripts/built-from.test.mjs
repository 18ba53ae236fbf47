// The commit that a build reports.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { builtFrom } from "./lib/built-from.mjs";

const directory = mkdtempSync(join(tmpdir(), "chittyconnect-"));
after(() => rmSync(directory, { recursive: true }));

const git = (...args) => execFileSync("git", ["-C", directory, "-c", "user.name=t", "-c", "user.email=t@example.org", ...args], { encoding: "utf8" }).trim();

test("no repository, an empty one, a commit, a change to it, an archive inside it", () => {
  assert.equal(builtFrom(directory), "");
  git("init", "--quiet");
  assert.equal(builtFrom(directory), "");
  writeFileSync(join(directory, "a"), "1");
  git("add", "a");
  git("commit", "--quiet", "--message", "a");
  const commit = git("rev-parse", "HEAD");
  assert.match(commit, /^[0-9a-f]{40}$/);
  assert.equal(builtFrom(directory), commit);
  writeFileSync(join(directory, "untracked"), "1");
  assert.equal(builtFrom(directory), commit);
  writeFileSync(join(directory, "a"), "2");
  assert.equal(builtFrom(directory), `${commit}+`);
  const archive = join(directory, "chittyconnect-1.0");
  mkdirSync(archive);
  assert.equal(builtFrom(archive), "", "not the commit of the repository around it");
});
