/** The process that makes the load. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { cpuMicros } from "./processes.mjs";
import { wire } from "./requests.mjs";

const CHILD = fileURLToPath(new URL("./load.mjs", import.meta.url));
const CONNECTIONS = 16;

export function startLoader() {
  const child = fork(CHILD, { execArgv: [] });
  let names = 1;
  return {
    /**
     * Sends a case's requests to a server for a while.
     *
     * @param {string} url
     * @param {import("./requests.mjs").Case} what
     * @param {{ms: number, pid?: number}} options `pid` is the server's, whose processor time is taken
     * @returns {Promise<{answered: number, rate: number, micros: number, cpu: number | null}>} how many were
     *   answered, requests per second, their reciprocal, and processor time per request in microseconds
     */
    async measure(url, what, { ms, pid }) {
      const port = Number(new URL(url).port);
      const before = cpuMicros(pid);
      const job = { port, requests: wire(what, port), first: names, connections: CONNECTIONS, ms };
      const { answered, seconds, statuses } = await ask(child, job);
      const after = cpuMicros(pid);
      names += answered;
      if (statuses[what.status] !== answered) throw new Error(`${what.name}: ${url} answered ${JSON.stringify(statuses)}.`);
      return { answered, rate: answered / seconds, micros: (seconds / answered) * 1e6, cpu: before && (after - before) / answered };
    },
    close: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exit = once(child, "exit");
      child.disconnect();
      await exit;
    },
  };
}

function ask(child, job) {
  return new Promise((resolve, reject) => {
    const gone = () => reject(new Error("The load's process has ended."));
    child.once("exit", gone);
    child.once("message", ({ result, error }) => {
      child.off("exit", gone);
      if (error) reject(new Error(error));
      else resolve(result);
    });
    child.send(job);
  });
}
