// Provisions with a stand-in for wrangler, which keeps an account in a file.
import assert from "node:assert/strict";
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { unstable_readConfig } from "wrangler";
import { ROOT } from "./lib/paths.mjs";
import { environmentOf, tablesOf, withValue } from "./lib/wrangler-toml.mjs";
import { wranglerIn } from "./lib/wrangler.mjs";
import { plan, provision } from "./provision.mjs";

const FAKE = `#!/usr/bin/env node
const fs = require("node:fs");
const account = JSON.parse(fs.readFileSync("account.json", "utf8"));
const [a, b, c, d] = process.argv.slice(2);
account.calls.push(process.argv.slice(2).join(" "));
const make = (kind, entry) => account[kind].push(entry);
const refuse = (text) => { save(); console.error(text); process.exit(1); };
const save = () => fs.writeFileSync("account.json", JSON.stringify(account));
if (account.down === a) refuse("Authentication error [code: 10000]");
if (a === "kv" && c === "list") console.log(JSON.stringify(account.kv));
if (a === "kv" && c === "create") make("kv", { id: "kv-" + account.kv.length, title: d });
if (a === "d1" && b === "list") console.log("a banner\\n" + JSON.stringify(account.d1));
if (a === "d1" && b === "create") make("d1", { uuid: "d1-" + account.d1.length, name: c });
if (a === "queues" && b === "info" && !account.queues.includes(c)) refuse('Queue "' + c + '" does not exist.');
if (a === "queues" && b === "create") make("queues", c);
if (a === "secret" && !account.secrets) refuse('Worker "chittyconnect-staging" not found.');
if (a === "secret") console.log(JSON.stringify(account.secrets));
save();
`;

let root;
let printed;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "chittyconnect-provision-"));
  printed = [];
  for (const file of ["wrangler.toml", ".dev.vars.example"]) copyFileSync(join(ROOT, file), join(root, file));
  // As in a fresh clone, even where this checkout has been provisioned.
  writeFileSync(config(), toml().replace(/^(id|database_id) = .*\n/gm, ""));
  writeFileSync(join(root, "wrangler"), FAKE);
  chmodSync(join(root, "wrangler"), 0o755);
  account({ kv: [], d1: [], queues: [], secrets: null, calls: [] });
});
afterEach(() => rmSync(root, { recursive: true }));

const config = () => join(root, "wrangler.toml");
const toml = () => readFileSync(config(), "utf8");
const account = (value) => {
  if (value) writeFileSync(join(root, "account.json"), JSON.stringify(value));
  return JSON.parse(readFileSync(join(root, "account.json"), "utf8"));
};
const run = (environment) => provision({ environment, root, wrangler: wranglerIn(root, join(root, "wrangler")), print: (line) => printed.push(line) });

test("an empty account gets everything, and the ids are written into that environment only", async () => {
  const before = toml();
  await run("staging");
  const { kv, d1, queues, calls } = account();
  assert.deepEqual(kv.map(({ title }) => title), ["chittyconnect-kv", "token-kv", "api-keys", "rate-limit", "idemp-kv"].map((name) => `chittyconnect-staging-${name}`));
  assert.deepEqual(d1.map(({ name }) => name), ["chittyconnect-staging"]);
  assert.deepEqual(queues.toSorted(), ["context-ops", "dlq", "github-events"].map((name) => `chittyconnect-staging-${name}`));
  assert.ok(calls.includes("d1 migrations apply DB --remote --env staging"));
  const staging = environmentOf(toml(), "staging");
  assert.deepEqual(staging.namespaces.map(({ id }) => id), kv.map(({ id }) => id));
  assert.equal(staging.databases[0].database_id, "d1-0");
  assert.deepEqual(environmentOf(toml(), "production"), environmentOf(before, "production"));
  const withoutIds = toml().split("\n").filter((line) => !/^(id|database_id) = /.test(line)).join("\n");
  assert.equal(withoutIds, before, "comments and order stay");
});

test("a second run makes nothing and changes nothing", async () => {
  await run("staging");
  const first = toml();
  account({ ...account(), calls: [] });
  await run("staging");
  assert.equal(toml(), first);
  assert.deepEqual(account().calls.filter((call) => / create /.test(call)), []);
});

test("staging and production share no resource", async () => {
  await run("staging");
  await run("production");
  const [staging, production] = ["staging", "production"].map((name) => environmentOf(toml(), name));
  const ids = ({ namespaces, databases, queues }) => [...namespaces.map(({ id }) => id), databases[0].database_id, ...queues];
  assert.deepEqual(ids(staging).filter((id) => ids(production).includes(id)), []);
});

test("an existing resource is used, and a wrong id is corrected", async () => {
  account({ ...account(), kv: [{ id: "mine", title: "chittyconnect-staging-token-kv" }] });
  writeFileSync(config(), withValue(toml(), "env.staging.kv_namespaces", "TOKEN_KV", "id", "stale"));
  await run("staging");
  assert.equal(environmentOf(toml(), "staging").namespaces.find(({ binding }) => binding === "TOKEN_KV").id, "mine");
  assert.ok(printed.includes("KV namespace chittyconnect-staging-token-kv exists"));
});

test("missing secrets are listed with the command that sets them", async () => {
  await run("staging");
  const commands = () => printed.filter((line) => line.includes("secret put"));
  assert.equal(commands().length, 16, "a worker that was never deployed has none");
  printed = [];
  account({ ...account(), secrets: [{ name: "GITHUB_APP_ID", type: "secret_text" }] });
  await run("staging");
  assert.equal(commands().length, 15);
  assert.ok(commands().includes("  npx wrangler secret put CHITTY_ID_SERVICE_TOKEN --env staging"));
});

test("a failure stops with wrangler's messages, and the next run continues", async () => {
  account({ ...account(), down: "d1" });
  await assert.rejects(run("staging"), /Authentication error/);
  const made = account().kv.length;
  account({ ...account(), down: undefined });
  await run("staging");
  assert.equal(account().kv.length, made);
  assert.equal(environmentOf(toml(), "staging").databases[0].database_id, "d1-0");
});

test("queues that cannot be looked up are not made", async () => {
  account({ ...account(), down: "queues" });
  await assert.rejects(run("staging"), /Authentication error/);
  assert.deepEqual(account().queues, []);
});

test("a plan needs no account", () => {
  const lines = plan({ environment: "production", root });
  assert.ok(lines.includes("KV namespace chittyconnect-token-kv for TOKEN_KV"));
  assert.ok(lines.includes("queue chittyconnect-dlq"));
  assert.deepEqual(account().calls, []);
});

test("every environment has the bindings of local development", () => {
  const named = (values) => values.binding ?? values.class_name ?? (values.namespace_id && values.name);
  const bindings = (prefix) => tablesOf(toml())
    .filter(({ name, values }) => name.startsWith(prefix) && (prefix || !name.startsWith("env.")) && named(values))
    .map(({ name, values }) => `${name.slice(prefix.length)} ${named(values)}`);
  const variables = (name) => Object.keys(tablesOf(toml()).find((table) => table.name === name).lines);
  for (const environment of ["staging", "production"]) {
    // Wrangler hands the static files down to the environments.
    assert.deepEqual(bindings(`env.${environment}.`).filter((one) => one !== "ai AI"), bindings("").filter((one) => one !== "assets ASSETS"));
    assert.equal(unstable_readConfig({ config: join(ROOT, "wrangler.toml"), env: environment }, { hideWarnings: true }).assets.binding, "ASSETS");
    // In a deployment the sealing keys and the values of the GitHub App are secrets, and there is no sandbox.
    const isOnlyHere = (name) => ["SEALING_KEYS", "OUTSIDE_URL_TEMPLATE"].includes(name) || name.startsWith("GITHUB_");
    assert.deepEqual(variables(`env.${environment}.vars`), variables("vars").filter((name) => !isOnlyHere(name)));
  }
});
