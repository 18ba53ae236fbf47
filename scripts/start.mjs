// `npm start`: runs the gateway on PORT (8787) and, on the next port, the sandbox, which plays the ChittyOS
// services. Stores their data below .wrangler, and shows the warnings and errors of both.
// `npm run sandbox`: runs only the sandbox, for a plain `npx wrangler dev` beside it.
// Ctrl-C ends everything; so does the end of either server.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { build } from "./build.mjs";
import { BUILD_LOG, isFree, startDevServer } from "./lib/dev-server.mjs";
import { ROOT } from "./lib/paths.mjs";
import { fail, say, since } from "./lib/say.mjs";

const DEFAULT_PORT = 8787;
const CRON_MS = 60_000;

const sandboxOnly = process.argv[2] === "sandbox";
const port = Number(process.env.PORT || DEFAULT_PORT);
if (!Number.isInteger(port) || port < 1 || port > 65534) fail(`PORT must be a number from 1 to 65534, not "${process.env.PORT}".`);

await checkPorts();
if (!sandboxOnly && !(await build())) process.exit(1);
await checkPorts();

let ending = false;
const started = Date.now();
const servers = [];
const sandbox = start({
  name: "sandbox",
  port: port + 1,
  config: "sandbox/wrangler.toml",
  state: stateDirectory("sandbox"),
  vars: { CHITTY_SANDBOX: "local" },
});
const gateway = sandboxOnly ? null : start({
  name: "gateway",
  port,
  config: "wrangler.toml",
  state: stateDirectory("state"),
  vars: {
    // The addresses that the discovery document names.
    PUBLIC_URL: `http://localhost:${port}`,
    SERVICE_URL_TEMPLATE: `http://127.0.0.1:${port + 1}/{name}`,
    OUTSIDE_URL_TEMPLATE: `http://127.0.0.1:${port + 1}/_outside/{host}`,
    GITHUB_API_URL: `http://127.0.0.1:${port + 1}/_github/api`,
    GITHUB_WEB_URL: `http://127.0.0.1:${port + 1}/_github/web`,
  },
});
endWithParent();
showBuilds();

await Promise.all(servers.map((server) => server.ready));
if (gateway) {
  const here = `http://localhost:${port}`;
  say(`ChittyConnect on ${here} · docs ${here}/docs · sandbox http://localhost:${sandbox.port} · ready in ${since(started)} · stop with Ctrl-C`);
  say(`Try it: curl ${here}/v1/contexts -H 'Authorization: Bearer dev-alice' (any dev-<name> is a caller, dev-admin an administrator)`);
  setInterval(triggerCron, CRON_MS);
} else {
  say(`Sandbox on http://localhost:${sandbox.port} · stop with Ctrl-C`);
}

function start({ name, ...options }) {
  const prefix = name === "gateway" ? "" : `${name}: `;
  const server = startDevServer({ ...options, onLine: (line) => console.log(prefix + (process.stdout.isTTY ? line : stripVTControlCharacters(line))) });
  server.gone.then((reason) => end(1, `The ${name} is gone: ${reason}.`));
  servers.push(server);
  return server;
}

/** Returns the directory for a server's data. Each port has its own, so that two gateways can run. */
function stateDirectory(name) {
  return join(ROOT, ".wrangler", port === DEFAULT_PORT ? name : `${name}-${port}`);
}

async function checkPorts() {
  for (const wanted of sandboxOnly ? [port + 1] : [port, port + 1]) {
    if (!(await isFree(wanted))) {
      fail(`Port ${wanted} is in use: stop what listens there, or choose another one (PORT=9000 npm start takes 9000 and 9001).`);
    }
  }
}

/** Calls the scheduled handler, because the local runtime fires no cron triggers. */
async function triggerCron() {
  const crons = /^crons = \[\s*"([^"]+)"/m.exec(readFileSync(join(ROOT, "wrangler.toml"), "utf8"));
  const url = `http://127.0.0.1:${port}/cdn-cgi/local/scheduled?cron=${encodeURIComponent(crons?.[1] ?? "* * * * *")}`;
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(CRON_MS / 2) });
    if (!response.ok) say(`The scheduled handler answered ${response.status}: ${(await response.text()).slice(0, 300)}`);
  } catch (error) {
    if (!ending) say(`The scheduled handler did not answer: ${error.cause?.message ?? error.message}`);
  }
}

/** Shows the output of the builds that follow a change. */
function showBuilds() {
  let shown = 0;
  setInterval(() => {
    const log = readFileSync(BUILD_LOG);
    if (log.length > shown) process.stderr.write(log.subarray(shown));
    shown = log.length;
  }, 300);
}

/** Ends everything when npm is gone: an npm that was killed cannot pass the signal on. */
function endWithParent() {
  const parent = process.ppid;
  if (process.env.npm_lifecycle_event) setInterval(() => process.ppid !== parent && end(1, ""), 200);
}

async function end(code, line) {
  if (ending) return;
  ending = true;
  if (line) say(line);
  for (const server of servers) server.stop("SIGTERM");
  for (let waited = 0; waited < 5000 && !servers.every((server) => server.ended()); waited += 50) {
    await new Promise((wake) => setTimeout(wake, 50));
  }
  // Kills processes that outlived their wrangler.
  for (const server of servers) server.stop("SIGKILL");
  process.exit(code);
}
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => end(0, ""));
