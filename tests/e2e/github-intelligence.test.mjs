/** What the App does at GitHub where a repository asks for it: a comment and a check run, labels. */
import assert from "node:assert/strict";
import { readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { until } from "./harness/await.mjs";
import { startGateway } from "./harness/gateway.mjs";
import { eventOf } from "./harness/github.mjs";
import { readWorker, ROOT } from "./harness/runtime.mjs";
import { startSandbox } from "./harness/sandbox.mjs";

const INSTALLATION = 41;
const REPOSITORY = "octo/hello";
const ids = { installation: INSTALLATION, repository_id: 42, repository: REPOSITORY, number: 7 };
const SETTINGS = `version: 1
pull_requests: {}
issues:
  rules:
    - label: bug
      title: ["crash"]
    - label: docs
      any: ["readme"]
`;
const SECRET = "ghp_0123456789abcdefABCDEF0123456789abcd";

const MODEL = path.join(ROOT, "tests/e2e/fixtures/model");

let sandbox, gateway, config;
before(async () => {
  sandbox = await startSandbox();
  const toml = await readFile(path.join(ROOT, "wrangler.toml"), "utf8");
  // Beside the real one, because paths in it are relative.
  config = path.join(ROOT, `.intelligence-${process.pid}.toml`);
  await writeFile(config, toml.replace("# ----", '[[services]]\nbinding = "AI"\nservice = "model"\n\n# ----'));
  const model = readWorker(path.join(MODEL, "wrangler.toml"), { modules: [{ type: "ESModule", path: path.join(MODEL, "worker.mjs") }] });
  gateway = await startGateway({ sandboxUrl: sandbox.url, config, beside: [model], vars: { GITHUB_RECOVERY_SECONDS: "3600" } });
});
after(async () => {
  await gateway?.close();
  await sandbox?.close();
  await rm(config, { force: true });
});

let run = 0;
const guids = [];
/** A pull request and an issue of their own for each test, since the gateway remembers those before. */
let pull;
beforeEach(async () => {
  run += 1;
  await sandbox.reset();
  await sandbox.github.set({ webhook_url: `${gateway.url}/integrations/github/webhook` });
  await sandbox.github.install({ id: INSTALLATION, account: { login: "octo", id: 40, type: "Organization" }, repositories: ["hello"] });
  await deliver("installation.created");
  pull = 100 * run;
  await open({});
});

async function deliver(name, more = {}, changes = {}) {
  const { status_code, guid } = await sandbox.github.deliver(eventOf(name, { ...ids, number: pull ?? ids.number, ...more }, changes));
  assert.equal(status_code, 202);
  guids.push(guid);
}

const open = (changes) =>
  sandbox.github.openPull(REPOSITORY, {
    number: pull,
    title: "Greet @everyone <b>",
    files: [{ filename: "src/greet.js", status: "added", additions: 2, deletions: 0, patch: `@@ -0,0 +1,2 @@\n+export const token = "${SECRET}";\n+export const greet = () => eval(name);` }],
    ...changes,
  });

const ask = () => sandbox.github.putFile(REPOSITORY, ".github/chittyconnect.yml", SETTINGS);
const first = async (sql, ...values) => (await gateway.db()).prepare(sql).bind(...values).first("n");
/** Until all that was delivered is dealt with, and what it asks for is done. */
const settled = () =>
  until(async () => {
    const dealt = await first("SELECT count(*) AS n FROM github_deliveries WHERE done_at IS NOT NULL AND delivery_id IN (SELECT value FROM json_each(?1))", JSON.stringify(guids));
    return dealt === guids.length && (await first("SELECT count(*) AS n FROM github_jobs WHERE done_version < version")) === 0;
  }, { timeout: 15_000, what: "no work left" });
const waiting = () => first("SELECT count(*) AS n FROM github_jobs WHERE done_version < version AND last_error IS NOT NULL");

test("nothing is said in a repository that does not ask for it", async () => {
  await deliver("pull_request.opened");
  await settled();
  assert.deepEqual([await sandbox.github.comments(), await sandbox.github.checkRuns()], [[], []]);
});

test("a pull request has one comment and one check run a commit, however often it changes", async () => {
  await ask();
  await deliver("pull_request.opened");
  await settled();
  const [comment, ...others] = await sandbox.github.comments();
  assert.deepEqual(others, []);
  assert.match(comment.body, /^<!-- chittyconnect:review -->/);
  assert.match(comment.body, /github-token/);
  assert.ok(!comment.body.includes(SECRET) && !comment.body.includes("@everyone") && !comment.body.includes("<b>"), comment.body);
  const [check] = await sandbox.github.checkRuns();
  assert.deepEqual([check.name, check.conclusion], ["ChittyConnect", "failure"]);
  assert.ok(!JSON.stringify(check).includes(SECRET));

  await open({ head: { sha: "b".repeat(40) }, files: [{ filename: "README.md", status: "modified", additions: 1, deletions: 0, patch: "@@ -1 +1,2 @@\n one\n+two" }] });
  await deliver("pull_request.synchronize");
  await settled();
  const comments = await sandbox.github.comments();
  assert.equal(comments.length, 1);
  assert.equal(comments[0].id, comment.id);
  assert.ok(!comments[0].body.includes("github-token"), comments[0].body);
  assert.deepEqual((await sandbox.github.checkRuns()).map(({ conclusion }) => conclusion), ["failure", "success"]);
});

test("many changes at once end in one comment", async () => {
  await ask();
  await Promise.all(Array.from({ length: 12 }, () => deliver("pull_request.synchronize")));
  await settled();
  assert.equal((await sandbox.github.comments()).length, 1);
  assert.equal((await sandbox.github.checkRuns()).length, 1);
});

test("a comment whose answer was lost is found again, and not made twice", async () => {
  await ask();
  // The search for it is the first call that meets the fault, the creation is the second.
  await sandbox.fault("github", { mode: "fail", status: 502, effect: true, rate: 0.5, path: `/api/repos/${REPOSITORY}/issues/${pull}/comments` });
  await deliver("pull_request.opened");
  await until(async () => (await waiting()) === 1, { timeout: 15_000, what: "a job that waits" });
  const made = await sandbox.github.comments();
  assert.equal(made.length, 1);
  await sandbox.clear("github");
  await again();
  assert.deepEqual((await sandbox.github.comments()).map(({ id }) => id), [made[0].id]);
});

/** Lets the cron do now what waits. */
async function again() {
  await (await gateway.db()).exec("UPDATE github_jobs SET due_at = '', leased_until = ''");
  await gateway.scheduled();
  await settled();
}

test("GitHub down: the job waits, and is done by the cron when it is back", async () => {
  await ask();
  await sandbox.fault("github", { mode: "fail", status: 503, path: "/api" });
  await deliver("pull_request.opened");
  await until(async () => (await waiting()) === 1, { timeout: 15_000, what: "a job that waits" });
  assert.deepEqual(await sandbox.github.comments(), []);
  await sandbox.clear("github");
  await again();
  assert.equal((await sandbox.github.comments()).length, 1);
});

test("settings that cannot be read are said in a neutral check run", async () => {
  await sandbox.github.putFile(REPOSITORY, ".github/chittyconnect.yml", "version: 1\npull_requests:\n  sumary: true\n");
  await deliver("pull_request.opened");
  await settled();
  const [check] = await sandbox.github.checkRuns();
  assert.equal(check.conclusion, "neutral");
  assert.match(check.output.summary, /sumary/);
  assert.deepEqual(await sandbox.github.comments(), []);
});

test("issues get the labels that the rules give, and no others", async () => {
  await ask();
  await sandbox.github.openIssue(REPOSITORY, { number: pull, title: "It does crash at start", body: "See the README." });
  await deliver("issues.opened");
  await settled();
  const [{ labels }] = await sandbox.github.labels();
  assert.deepEqual(labels, ["bug", "docs"]);
});

test("a suspended installation is not acted for", async () => {
  await ask();
  await deliver("installation.suspend");
  await settled();
  await deliver("pull_request.opened");
  await settled();
  assert.deepEqual([await sandbox.github.comments(), await sandbox.github.checkRuns()], [[], []]);
  await deliver("installation.unsuspend");
  await settled();
});

test("with a model the comment has its words, escaped; without an answer it goes without them", async () => {
  await sandbox.github.putFile(REPOSITORY, ".github/chittyconnect.yml", "version: 1\npull_requests: { ai_summary: true }\n");
  await deliver("pull_request.opened");
  await settled();
  const [{ body }] = await sandbox.github.comments();
  assert.match(body, /It changes greetings/);
  assert.ok(!body.includes("@everyone") && !body.includes("<i>"), body);
  await open({ title: "no answer" });
  await deliver("pull_request.synchronize");
  await settled();
  const [{ body: changed }] = await sandbox.github.comments();
  assert.ok(changed.startsWith("<!-- chittyconnect:review -->") && !changed.includes("It changes greetings"), changed);
});

test("nothing above made the gateway complain", () => {
  const allowed = ["job_failed", "summary_not_written"];
  const complaints = gateway.logs.filter(({ message }) => !allowed.some((event) => message.includes(event)));
  assert.deepEqual(complaints, []);
});
