/** The gateway in a process of its own, so that a test can let it crash. */
import { execFileSync, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { until } from "./await.mjs";
import { checkDescribed } from "./description.mjs";

const CHILD = fileURLToPath(new URL("./gateway-child.mjs", import.meta.url));

/**
 * Starts the gateway in a child process. To start it again after a crash, call
 * this with the same `persist`, and the same `port` where the address matters.
 * Queued messages are lost with the process; D1, KV and Durable Objects are not.
 *
 * @param {import("./gateway.mjs").GatewayOptions} [options]
 */
export async function startGatewayProcess(options = {}) {
  // What is killed leaves its temporary files behind, so it gets a place of its own for them.
  const scratch = mkdtempSync(path.join(os.tmpdir(), "gateway-"));
  const child = fork(CHILD, { serialization: "advanced", execArgv: [], env: { ...process.env, TMPDIR: scratch } });
  const exit = once(child, "exit");
  const logs = [];
  const ask = conversation(child, (log) => logs.push(log));
  const kill9 = async () => {
    if (child.exitCode === null && child.signalCode === null) await killAtOnce(child, exit);
    rmSync(scratch, { recursive: true, force: true });
  };
  const urls = await ask("start", options).catch(async (error) => {
    await kill9();
    throw error;
  });
  return {
    url: urls[0],
    urls,
    fetch: async (route, init, { isolate = 0 } = {}) => {
      const response = await fetch(urls[isolate] + route, { redirect: "manual", ...init });
      await checkDescribed(route, init, response);
      return response;
    },
    scheduled: (event) => ask("scheduled", event),
    queue: (queue, messages) => ask("queue", queue, messages),
    /** The rows of a D1 query. */
    rows: (sql, ...bindings) => ask("rows", sql, ...bindings),
    logs,
    /** Lets node and workerd die at once, as in a power cut, and comes back when both are gone. */
    kill9,
    close: async () => {
      if (child.connected) child.send({ operation: "close" });
      await exit;
      rmSync(scratch, { recursive: true, force: true });
    },
  };
}

/** Asks the child to do something and gives its result. What it logs goes to `onLog`. */
function conversation(child, onLog) {
  const waiting = new Map();
  let asked = 0;
  child.on("message", ({ log, id, result, error }) => {
    if (log) return onLog(log);
    const caller = waiting.get(id);
    waiting.delete(id);
    return error ? caller?.reject(new Error(error)) : caller?.resolve(result);
  });
  child.once("exit", () => {
    for (const { reject } of waiting.values()) reject(new Error("The gateway's process has ended."));
  });
  return (operation, ...args) =>
    new Promise((resolve, reject) => {
      asked += 1;
      waiting.set(asked, { resolve, reject });
      child.send({ id: asked, operation, args });
    });
}

async function killAtOnce(child, exit) {
  const runtimes = processes()
    .filter(({ parent }) => parent === child.pid)
    .map(({ pid }) => pid);
  // workerd outlives node and keeps its port, so it needs a signal of its own.
  for (const pid of [child.pid, ...runtimes]) process.kill(pid, "SIGKILL");
  await exit;
  const alive = () => processes().some(({ pid, dead }) => runtimes.includes(pid) && !dead);
  await until(() => !alive(), { what: "workerd to end" });
}

/** Every process there is. One that has ended stays listed until its parent has looked. */
function processes() {
  const table = execFileSync("ps", ["-A", "-o", "pid=,ppid=,stat="], { encoding: "utf8" });
  return table
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .map(([pid, parent, state]) => ({ pid: Number(pid), parent: Number(parent), dead: state.startsWith("Z") }));
}
