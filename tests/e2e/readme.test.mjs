/** The README's session, as it stands there, against `npm start`. */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { until } from "./harness/await.mjs";

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

function start(on) {
  const child = spawn("npm", ["start"], { env: { ...process.env, PORT: String(on) }, stdio: ["ignore", "pipe", "pipe"] });
  child.output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (child.output += chunk));
  return child;
}

async function stop() {
  const gone = new Promise((resolve) => started.once("exit", resolve));
  started.kill("SIGTERM");
  await gone;
}

/** The shell commands of the README's first session, for the ports of this run. */
async function session() {
  const readme = await readFile("README.md", "utf8");
  const [, script] = /## A first session[\s\S]*?```sh\n([\s\S]*?)```/.exec(readme);
  assert.match(script, /localhost:8787/);
  return script.replaceAll("8787", String(port)).replaceAll("8788", String(port + 1));
}

test("the session works as pasted, twice", async () => {
  const script = await session();
  for (const round of ["first", "second"]) {
    const { stdout } = await promisify(execFile)("bash", ["-c", `set -eu\n${script}`], { timeout: 60_000 });
    for (const expected of [
      /"service":"chittyconnect"/,
      /"success":true,"context":\{"chitty_id":"[^"]+"/,
      /HTTP\/1\.1 200 OK/,
      /etag: "evt_/i,
      /"message":"Context updated"/,
      /"systems":\["github"\]/,
      /"contexts":\[\{.*"count":1/,
      /"message":"Context deleted"/,
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
  assert.equal((await fetch(`http://localhost:${port}/openapi.json`)).status, 200);

  const problem = await (await fetch(`http://localhost:${port}/v1/contexts`)).json();
  const { pathname, hash } = new URL(problem.type);
  const errors = await fetch(`http://localhost:${port}${pathname}`);
  assert.ok((await errors.text()).includes(`id="${hash.slice(1)}"`), "a problem's type leads to its explanation");
});

test("it was quiet, and ends whole", async () => {
  assert.doesNotMatch(started.output, /warn|error|\bat \S+ \(|deprecat/i, started.output);
  await stop();
  // npm itself goes at once, and what it started a moment later.
  await until(async () => (await isFree(port)) && (await isFree(port + 1)), { timeout: 10_000, what: "free ports" });
});
