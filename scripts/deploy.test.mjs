// Deploys with a stand-in for wrangler: which domains it is given, and when it may ask.
import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { check, deploy } from "./deploy.mjs";
import { refusal } from "./lib/deploy-guard.mjs";
import { ROOT } from "./lib/paths.mjs";
import { domainsOf, tablesOf, withDomain, withoutDomains } from "./lib/wrangler-toml.mjs";
import { wranglerIn } from "./lib/wrangler.mjs";

const FAKE = `#!/usr/bin/env node
const fs = require("node:fs");
const args = process.argv.slice(2);
const at = args.indexOf("--config");
const config = fs.readFileSync(at < 0 ? "wrangler.toml" : args[at + 1], "utf8");
const call = { args, config, ci: process.env.CI ?? null, ours: process.env.CHITTYCONNECT_SCRIPT ?? null };
fs.appendFileSync("calls.jsonl", JSON.stringify(call) + "\\n");
const codes = JSON.parse(fs.readFileSync("codes.json", "utf8"));
process.exit(codes[args[0]] ?? 0);
`;

let root, printed;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "chittyconnect-deploy-"));
  printed = [];
  // As after provisioning.
  const committed = readFileSync(join(ROOT, "wrangler.toml"), "utf8");
  const provisioned = committed
    .replaceAll(/^(id|database_id) = .*\n/gm, "")
    .replaceAll(/^(\[\[env\.\w+\.kv_namespaces\]\]\nbinding = .*)$/gm, '$1\nid = "kv"')
    .replaceAll(/^(\[\[env\.\w+\.d1_databases\]\]\nbinding = .*)$/gm, '$1\ndatabase_id = "d1"');
  writeFileSync(join(root, "wrangler.toml"), provisioned);
  writeFileSync(join(root, "wrangler"), FAKE);
  chmodSync(join(root, "wrangler"), 0o755);
  codes({});
});
afterEach(() => rmSync(root, { recursive: true }));

const toml = () => readFileSync(join(root, "wrangler.toml"), "utf8");
const codes = (value) => writeFileSync(join(root, "codes.json"), JSON.stringify(value));
const calls = () => (existsSync(join(root, "calls.jsonl")) ? readFileSync(join(root, "calls.jsonl"), "utf8").trim().split("\n").map((line) => JSON.parse(line)) : []);
const run = (environment, { claims, isTerminal }) => deploy({ environment, claims, isTerminal, root, wrangler: wranglerIn(root, join(root, "wrangler")), print: (line) => printed.push(line) });

test("production has its own name only, and may claim two further ones", () => {
  const committed = readFileSync(join(ROOT, "wrangler.toml"), "utf8");
  assert.deepEqual(domainsOf(committed, "production"), { claimed: ["connect.chitty.cc"], claimable: ["api.chitty.cc", "mcp.chitty.cc"] });
  assert.deepEqual(domainsOf(committed, "staging"), { claimed: ["connect-staging.chitty.cc"], claimable: [] });
});

test("without a terminal no domain is given to wrangler, which would take it from anybody", () => {
  for (const environment of ["staging", "production"]) {
    rmSync(join(root, "calls.jsonl"), { force: true });
    const before = toml();
    assert.equal(run(environment, { isTerminal: false }), 0);
    const [migrated, deployed, ...more] = calls();
    assert.deepEqual([migrated.args[0], migrated.args[1], more], ["d1", "migrations", []]);
    assert.deepEqual(deployed.args.slice(0, 3), ["deploy", "--env", environment]);
    const table = tablesOf(deployed.config).find(({ name }) => name === `env.${environment}`);
    assert.ok(!("routes" in table.lines) && table.values.name, "the rest of it is there");
    assert.equal(deployed.config, withoutDomains(before, environment));
    assert.equal(deployed.config.split("\n").filter((line) => !before.includes(line)).join(), "");
    assert.equal(toml(), before);
    assert.match(printed.at(-1), /stay as they are/);
  }
  assert.deepEqual(readdirSync(root).filter((name) => name.endsWith(".toml")), ["wrangler.toml"]);
});

test("a failure without a terminal leaves nothing behind, and is the exit code", () => {
  codes({ deploy: 3 });
  assert.equal(run("production", { isTerminal: false }), 3);
  assert.deepEqual(readdirSync(root).filter((name) => name.endsWith(".toml")), ["wrangler.toml"]);
  codes({ d1: 1 });
  assert.throws(() => run("production", { isTerminal: false }), /nothing was deployed/);
  assert.equal(calls().filter(({ args }) => args[0] === "deploy").length, 1);
});

test("in a terminal wrangler has the domains of the environment, and asks", () => {
  assert.equal(run("production", { isTerminal: true }), 0);
  const { args, config, ci } = calls().at(-1);
  assert.deepEqual(args, ["deploy", "--env", "production"]);
  assert.deepEqual(domainsOf(config, "production").claimed, ["connect.chitty.cc"]);
  assert.equal(ci, process.env.CI ?? null, "the script does not set CI, which would keep wrangler from asking");
});

test("a name is claimed by the switch alone, in a terminal, and noted", () => {
  const before = toml();
  assert.throws(() => run("production", { claims: ["mcp.chitty.cc"], isTerminal: false }), /from a terminal/);
  for (const name of ["chitty.cc", "connect-staging.chitty.cc", ""]) assert.throws(() => check({ environment: "production", claims: [name], root, isTerminal: true }), /may not claim/);
  assert.throws(() => check({ environment: "staging", claims: ["mcp.chitty.cc"], root, isTerminal: true }), /may not claim/);
  assert.deepEqual([calls(), toml()], [[], before]);

  // The user says no to wrangler: the claim is not noted.
  codes({ deploy: 1 });
  assert.equal(run("production", { claims: ["mcp.chitty.cc"], isTerminal: true }), 1);
  assert.equal(toml(), before);

  codes({});
  assert.equal(run("production", { claims: ["mcp.chitty.cc"], isTerminal: true }), 0);
  assert.deepEqual(domainsOf(calls().at(-1).config, "production").claimed, ["connect.chitty.cc", "mcp.chitty.cc"]);
  assert.equal(toml(), withDomain(before, "production", "mcp.chitty.cc"));
  assert.equal(toml().split("\n").filter((line, number) => line !== before.split("\n")[number]).length, 1, "one line");
  // It stays claimed.
  assert.equal(run("production", { isTerminal: true }), 0);
  assert.deepEqual(domainsOf(calls().at(-1).config, "production").claimed, ["connect.chitty.cc", "mcp.chitty.cc"]);
});

test("an environment without ids is not deployed", () => {
  writeFileSync(join(root, "wrangler.toml"), toml().replaceAll(/^database_id = .*\n/gm, ""));
  assert.throws(() => run("staging", { isTerminal: false }), /run npm run provision staging first/);
  assert.deepEqual(calls(), []);
});

test("wrangler deploy by itself is refused, since it would take domains without asking", () => {
  const refused = (args, env) => refusal({ WRANGLER_COMMAND: "deploy", ...env }, `node wrangler deploy ${args}`);
  assert.match(refused("--env production", {}), /npm run deploy:production/);
  assert.match(refused("", { CLOUDFLARE_ENV: "production" }), /npm run deploy:production/);
  assert.match(refused("", { CHITTYCONNECT_SCRIPT: "1" }), /without an environment/);
  assert.equal(refused("--env production --dry-run", {}), null);
  assert.equal(refused("--env production", { CHITTYCONNECT_SCRIPT: "1" }), null);
  assert.equal(refusal({ WRANGLER_COMMAND: "dev" }, "wrangler dev"), null);
  assert.equal(refusal({ WRANGLER_COMMAND: "versions upload" }, "wrangler versions upload --env staging"), null);
  for (const way of ["text", "show", "ask"]) {
    wranglerIn(root, join(root, "wrangler"))[way](["x"]);
    assert.equal(calls().at(-1).ours, "1", way);
  }
});
