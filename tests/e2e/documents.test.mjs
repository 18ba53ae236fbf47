/** What the documents say to type: the sessions against `npm start`, and who runs every other command. */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { readdir, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { until } from "./harness/await.mjs";
import { actorId } from "../../sandbox/chitty-id.mjs";

const START_MS = 120_000;
let port, started;

before(async () => {
  port = await twoFreePorts();
  started = start(port);
  await until(() => /ChittyConnect on /.test(started.output) || started.exitCode !== null, { timeout: START_MS, what: "npm start" });
  assert.match(started.output, /ChittyConnect on /, started.output);
});

after(async () => {
  if (started && started.exitCode === null) await stop();
  await rm(`.wrangler/state-${port}`, { recursive: true, force: true });
  await rm(`.wrangler/sandbox-${port}`, { recursive: true, force: true });
});

/** A port whose next one is free too, where `npm start` puts the sandbox. */
async function twoFreePorts() {
  for (let candidate = 20_000 + Math.floor(Math.random() * 10_000); ; candidate += 2) {
    const free = await Promise.all([candidate, candidate + 1].map(isFree));
    if (free.every(Boolean)) return candidate;
  }
}

function isFree(candidate) {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(candidate, () => server.close(() => resolve(true)));
  });
}

const start = (on) => launch("npm", ["start"], { PORT: String(on) });

function launch(program, args, env = {}, options = {}) {
  const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"], ...options });
  child.output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (child.output += chunk));
  return child;
}

async function stop() {
  const gone = new Promise((resolve) => started.once("exit", resolve));
  started.kill("SIGTERM");
  await gone;
}

/** The shell commands of a document, for the ports of this run: those of the block in which `word` stands. */
async function session(document, word) {
  const script = (await blocksOf(document)).find((block) => block.includes(word));
  assert.ok(script, `${document} has no commands with ${word}`);
  return script.replaceAll("8787", String(port)).replaceAll("8788", String(port + 1));
}

/** What stands between a document's ```sh and its end, however far it is indented. */
async function blocksOf(document) {
  const text = await readFile(document, "utf8");
  return [...text.matchAll(/^ *```sh\n([\s\S]*?)^ *```/gm)].map(([, block]) => block);
}

const inShell = async (script) => (await promisify(execFile)("bash", ["-c", `set -eu\n${script}`], { timeout: 60_000 })).stdout;

test("the line that says it is ready names a token that works", async () => {
  const command = await until(() => /Try it: (curl .*?) \(/.exec(started.output)?.[1], { what: "what to try" });
  assert.match(await inShell(command), /"contexts":\[/);
});

test("the session works as pasted, twice", async () => {
  const script = await session("README.md", "AUTH=");
  for (const round of ["first", "second"]) {
    const stdout = await inShell(script);
    for (const expected of [
      /"service":"chittyconnect"/,
      /"success":true,"context":\{"chitty_id":"[^"]+"/,
      /HTTP\/1\.1 200 OK/,
      /etag: "evt_/i,
      /"message":"Context updated"/,
      /"systems":\["github"\]/,
      /"contexts":\[\{.*"count":1/,
      /"message":"Context deleted"/,
      // What was told, and what was counted, is there by the time the session comes to it.
      /"action":"context\.deleted"/,
      /chittyconnect_http_requests_total\{/,
      /"success":true,"actor":\{.*"display_name":"Alice"/,
      // Of the target, by the connection's key; and to who was let in.
      /"service":"chittycases","chittyId":/,
      /("contexts":\[\{.*"count":1[^]*){2}/,
      /"message":"Connection disconnected"/,
      /"entries":\[\{[^]*"count":3/,
      /"events":\[\{[^]*"count":3/,
      /"services":\{"id":/,
      /"breaker":\{"state":"closed"\}/,
      /"orchestration":\{.*"status":"completed"/,
    ]) {
      assert.match(stdout, expected, `${round} time`);
    }
    const id = /"success":true,"context":\{"chitty_id":"([^"]+)"/.exec(stdout)[1];
    const told = await until(async () => {
      const response = await fetch(`http://localhost:${port + 1}/_sandbox/entries?entityId=${id}`);
      const { total, entries } = await response.json();
      return total === 3 && entries.map(({ action }) => action);
    }, { timeout: 20_000, what: "what Chronicle was told" });
    assert.deepEqual(told, ["context.created", "context.updated", "context.deleted"]);
  }
});

test("the API page, its viewer and the description are served", async () => {
  const page = await fetch(`http://localhost:${port}/docs`);
  assert.equal(page.status, 200);
  const html = await page.text();
  assert.match(html, /ChittyConnect/);
  assert.doesNotMatch(html, /(src|href)="(https?:)?\/\//, "nothing from elsewhere");
  for (const [, file] of html.matchAll(/(?:src|href)="([^"]+)"/g)) {
    const loaded = await fetch(new URL(file, page.url));
    assert.equal(loaded.status, 200, file);
  }
  const described = await fetch(`http://localhost:${port}/openapi.json`);
  assert.deepEqual([described.status, await described.text() === (await readFile("openapi.json", "utf8"))], [200, true]);

  for (const name of ["access", "architecture", "operations"]) {
    const document = await fetch(`http://localhost:${port}/docs/${name}`);
    assert.equal(document.status, 200, name);
    const title = /^# (.+)$/m.exec(await readFile(`docs/${name}.md`, "utf8"))[1];
    assert.ok((await document.text()).includes(`>${title}</h1>`), name);
  }

  const problem = await (await fetch(`http://localhost:${port}/v1/contexts`)).json();
  const { pathname, hash } = new URL(problem.type);
  const errors = await fetch(`http://localhost:${port}${pathname}`);
  assert.ok((await errors.text()).includes(`id="${hash.slice(1)}"`), "a problem's type leads to its explanation");
});

test("the GitHub App's session installs it", async () => {
  const stdout = await inShell(await session("docs/github-app.md", "/integrations/github/install"));
  assert.match(stdout, /octo/);
  assert.match(stdout, /"installations":\[\{.*"count":1/);
  assert.match(stdout, /"status_code":202/);
  assert.match(stdout, /"type":"github\.push".*"full_name":"octo\/hello"/);
});

test("a service fails as the README of the sandbox says", async () => {
  await inShell(await session("sandbox/README.md", "_sandbox/faults/id"));
  const mint = () => fetch(`http://127.0.0.1:${port + 1}/id/v1/mint`, { method: "POST", headers: { "content-type": "application/json" }, body: '{"entityType":"context"}' });
  const failed = await mint();
  assert.deepEqual([failed.status, failed.headers.get("retry-after")], [503, "2"]);
  await fetch(`http://127.0.0.1:${port + 1}/_sandbox/faults/id`, { method: "DELETE" });
  assert.notEqual((await mint()).status, 503);
});

test("a limit of one's own holds as it is set by hand", async () => {
  const [put, remove, ...more] = (await blocksOf("docs/access.md")).join("\n").split("\n").filter((line) => /^npx wrangler kv .*--local/.test(line));
  assert.deepEqual(more, []);
  const read = (name) => fetch(`http://localhost:${port}/v1/contexts`, { headers: { authorization: `Bearer dev-${name}` } });
  const me = await fetch(`http://localhost:${port}/v1/actors/me`, { headers: { authorization: "Bearer dev-alice" } });
  assert.ok((await me.text()).includes(`"chitty_id":"${actorId("alice")}"`) && put.includes(`'actor:${actorId("alice")}'`), put);
  // Of somebody whose limits nobody remembers; in the directory of this port.
  const here = (command) => inShell(command.replace(actorId("alice"), actorId("limited")).replace("--persist-to .wrangler/state ", `--persist-to .wrangler/state-${port} `));
  assert.match(await here(put), /Writing the value/);
  const statuses = [];
  for (let n = 0; n < 5; n += 1) statuses.push((await read("limited")).status);
  assert.deepEqual([statuses[0], statuses.at(-1)], [200, 429], String(statuses));
  assert.equal((await read("alice")).status, 200);
  assert.match(await here(remove), /Deleting the key/);
});

test("the migrations are seen and applied as the README of the migrations says", async () => {
  const commands = (await blocksOf("migrations/README.md")).join("").split("\n").filter((line) => line.includes("--local"));
  assert.equal(commands.length, 2);
  const stdout = await inShell(commands.map((line) => line.replace(/\s*#.*$/, "").replace("--local", `--local --persist-to .wrangler/state-${port}`)).join("\n"));
  assert.match(stdout, /No migrations to apply/);
  assert.match(stdout, /0001_create_contexts_table\.sql/);
});

/** Who runs a documented command, by its beginning. The longest beginning counts. */
const RUN = {
  "npm start": "this file",
  "npm run dev": "npm start",
  "npm test": ".ci/run",
  "npm test --": "scripts/test-arguments.test.mjs",
  "npm run lint": ".ci/run",
  "npm run clients": ".ci/run",
  "npm run bench": ".ci/run",
  "npm run size": ".ci/run",
  "npm run openapi": ".ci/run",
  "npm run sandbox": "this file",
  "npm run provision": "scripts/provision.test.mjs",
  "npm run deploy:dry-run": ".ci/run",
  "npm run deploy:": "account",
  "npx wrangler login": "account",
  "npx wrangler secret put": "account",
  "npx wrangler kv key put": "this file",
  "npx wrangler kv key delete": "this file",
  "npx wrangler kv key list": "account",
  "npx wrangler kv key get": "account",
  "npx wrangler deployments list": "account",
  "npx wrangler rollback": "account",
  "npx wrangler tail": "account",
  "npx wrangler d1 time-travel": "account",
  "npx wrangler d1 info": "account",
  "npx wrangler d1 migrations apply": "this file",
  "npx wrangler d1 execute": "this file",
  "npx wrangler dev": "this file",
  "bash .ci/run": ".ci/run",
  "cargo test": ".ci/run",
  "cargo doc": ".ci/run",
};

test("every command in the documents is one that a test runs, or needs an account", async () => {
  const { scripts } = JSON.parse(await readFile("package.json", "utf8"));
  const listed = await Promise.all([".", "docs", "bench", "sandbox", "migrations", "crates/chitty-core"].map(async (directory) =>
    (await readdir(directory)).filter((name) => name.endsWith(".md")).map((name) => `${directory}/${name}`)));
  const found = new Set();
  for (const document of listed.flat()) {
    const inline = [...(await readFile(document, "utf8")).matchAll(/`([^`\n]+)`/g)].map(([, code]) => code);
    const lines = (await blocksOf(document)).join("\n").split("\n");
    for (const line of [...inline, ...lines]) {
      const command = line.trim().replace(/\s+#.*$/, "").replace(/^([A-Z]+=\S+ )+/, "");
      if (!/^(npm (start|test|run)|npx|cargo (test|doc|run)|bash \.ci)\b/.test(command)) continue;
      const run = Object.keys(RUN).filter((start) => command.startsWith(start)).toSorted((a, b) => b.length - a.length)[0];
      assert.ok(run, `${document} says "${command}", which no test runs`);
      const [, script] = /^npm (?:run )?([\w:-]+)/.exec(command) ?? [];
      if (script) assert.ok(Object.hasOwn(scripts, script), `${document} says "${command}", and package.json has no ${script}`);
      found.add(run);
    }
  }
  // A command that no document has any more goes from the list too.
  assert.deepEqual(Object.keys(RUN).filter((start) => !found.has(start)), []);
  assert.equal(scripts.dev, "npm start");
  const ci = await readFile(".ci/run", "utf8");
  for (const [start, by] of Object.entries(RUN)) if (by === ".ci/run" && start.startsWith("npm run")) assert.ok(ci.replaceAll("--silent ", "").includes(start), `.ci/run does not run ${start}`);
});

test("plain wrangler dev runs the gateway beside the sandbox", async () => {
  const ports = [await twoFreePorts(), await twoFreePorts()];
  const servers = [
    launch("npm", ["run", "sandbox"], { PORT: String(ports[0]) }, { detached: true }),
    launch("npx", ["wrangler", "dev", "--port", String(ports[1]), "--inspector-port", "0", "--persist-to", `.wrangler/state-${ports[1]}`, "--var", `SERVICE_URL_TEMPLATE:http://127.0.0.1:${ports[0] + 1}/{name}`], {}, { detached: true }),
  ];
  try {
    const url = `http://localhost:${ports[1]}/v1/contexts`;
    const body = '{"name": "by plain wrangler"}';
    const headers = { authorization: "Bearer dev-plain", "content-type": "application/json" };
    const made = await until(async () => {
      const answer = await fetch(url, { method: "POST", headers, body });
      return answer.status === 201 && answer;
    }, { timeout: START_MS, what: "a context" });
    assert.match((await made.json()).context.chitty_id, /^03-1-/);
    assert.equal((await fetch(`http://localhost:${ports[1]}/openapi.json`)).status, 200);
  } finally {
    // npx does not pass a signal on: the whole group gets it.
    for (const { pid } of servers) process.kill(-pid, "SIGTERM");
    await until(async () => (await Promise.all([ports[0] + 1, ports[1]].map(isFree))).every(Boolean), { timeout: 15_000, what: "free ports" });
    await Promise.all([`state-${ports[1]}`, `sandbox-${ports[0]}`].map((name) => rm(`.wrangler/${name}`, { recursive: true, force: true })));
  }
});

test("it was quiet, and ends whole", async () => {
  assert.doesNotMatch(started.output, /warn|error|\bat \S+ \(|deprecat/i, started.output);
  await stop();
  // npm itself goes at once, and what it started a moment later.
  await until(async () => (await isFree(port)) && (await isFree(port + 1)), { timeout: 10_000, what: "free ports" });
});
