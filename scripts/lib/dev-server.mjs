import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { killGroup } from "./command.mjs";
import { NODE, NODE_MODULES, ROOT, wranglerEnv } from "./paths.mjs";

const TETHER = new URL("./tether.mjs", import.meta.url).href;
// Wrangler without its launcher, which only checks the version of Node and would be one more process.
const CLI = join(NODE_MODULES, "wrangler", "wrangler-dist", "cli.js");
const CRASHED = "The Workers runtime crashed unexpectedly";

/** The output of the servers' builds, see `say.mjs`. */
export const BUILD_LOG = join(ROOT, ".wrangler", "build.log");

/**
 * Starts a `wrangler dev`: quiet, local, in a process group that ends with this process.
 *
 * `ready` resolves when the server answers; `gone` resolves, with the reason, when it no longer does.
 */
export function startDevServer({ port, config, state, vars, onLine }) {
  mkdirSync(join(ROOT, ".wrangler"), { recursive: true });
  writeFileSync(BUILD_LOG, "");
  const args = ["--no-warnings", "--import", TETHER, CLI, "dev", "--config", config, "--port", String(port)];
  // The inspector takes any port: two wranglers that start at once would both take 9229.
  args.push("--persist-to", state, "--inspector-port", "0", "--show-interactive-dev-session=false");
  for (const [name, value] of Object.entries(vars)) args.push("--var", `${name}:${value}`);
  const env = wranglerEnv({
    // Warnings and errors, wrangler's and the worker's own; no request log, banner or hints.
    WRANGLER_LOG: "warn",
    // Wrangler fetches no description of this connection for `request.cf` from the internet.
    CLOUDFLARE_CF_FETCH_ENABLED: "false",
    // Requests are not recorded on disk for the local dashboard.
    X_LOCAL_OBSERVABILITY: "false",
    // Workers of the same name in other checkouts must not find this one, nor take its queues.
    WRANGLER_REGISTRY_PATH: join(state, "registry"),
    CHITTY_SAY_TO: BUILD_LOG,
  });
  const child = spawn(NODE, args, { cwd: ROOT, env, detached: true, stdio: ["ignore", "pipe", "pipe", "ipc"] });
  const ready = new Promise((resolve) => {
    child.on("message", (message) => String(message).includes("DEV_SERVER_READY") && resolve());
  });
  const gone = new Promise((resolve) => {
    child.on("error", (error) => resolve(`wrangler could not be started: ${error.message}`));
    child.on("exit", (code, signal) => resolve(`wrangler ended with ${signal ?? `code ${code}`}`));
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => {
        if (line.trim()) onLine(line);
        // Wrangler restarts its runtime, but does not always reach it afterwards.
        if (line.includes(CRASHED)) answers(port).then((alive) => alive || resolve("the runtime crashed and did not come back"));
      });
    }
  });
  return { port, ready, gone, stop: (signal) => killGroup(child.pid, signal), ended: () => child.exitCode !== null || child.signalCode !== null };
}

async function answers(port) {
  for (let attempt = 0; attempt < 5; attempt += 1) {
    await new Promise((wake) => setTimeout(wake, 1000));
    try {
      await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(2000) });
      return true;
    } catch {
      // Not yet.
    }
  }
  return false;
}

/** Whether nothing listens on this port of this machine. */
export async function isFree(port) {
  for (const host of ["127.0.0.1", "::1", "0.0.0.0"]) {
    const taken = await new Promise((resolve) => {
      const server = createServer();
      server.once("error", (error) => resolve(error.code === "EADDRINUSE" || error.code === "EACCES"));
      server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(false)));
    });
    if (taken) return false;
  }
  return true;
}
