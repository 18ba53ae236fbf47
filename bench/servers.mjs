/** What is measured, in workerd, each Worker on a socket of its own. */
import path from "node:path";
import { gatewayWorker } from "../tests/e2e/harness/gateway.mjs";
import { ROOT, readWorker, run } from "../tests/e2e/harness/runtime.mjs";
import { startSandbox } from "../tests/e2e/harness/sandbox.mjs";
import { childProcesses } from "./processes.mjs";

const HERE = path.join(ROOT, "bench");

/** 0 switches a limit off: a load is what is measured, not what is refused of it. */
const NO_LIMITS = Object.fromEntries(
  ["READ", "WRITE", "MINT", "VALIDATE", "WEBHOOK", "AUTHENTICATE", "PUBLIC"].map((kind) => [`RATE_LIMIT_${kind}`, "0"]),
);

/** The gateway's module, as deployed. */
export const WASM = path.join(ROOT, "build/release/worker_bg.wasm");

/**
 * Starts the sandbox and, in a workerd of their own, Workers that see the services there.
 *
 * @param {(sandboxUrl: string) => object[]} describe the Workers
 */
export async function startServers(describe) {
  const sandbox = await startSandbox();
  const others = childProcesses();
  const workers = describe(sandbox.url);
  const { miniflare, urls } = await run(workers, { onLog: ({ message }) => console.error(message) }).catch(async (error) => {
    await sandbox.close();
    throw error;
  });
  return {
    urls,
    sandbox,
    /** The process that the Workers run in. */
    pid: childProcesses().find((pid) => !others.includes(pid)),
    /** The D1 database of the Worker at an index. */
    db: (index = 0) => miniflare.getD1Database("DB", workers[index].config.name),
    close: async () => {
      await miniflare.dispose();
      await sandbox.close();
    },
  };
}

/** The binding of the queue of GitHub's webhooks. */
const WEBHOOKS = "EVENT_Q";

/**
 * The gateway as wrangler.toml describes it, but for the static files: they make every local
 * request three times dearer, and no path of theirs is measured. Nothing is limited, and nobody
 * consumes the queue of webhooks: what is measured is that they are taken.
 *
 * @param {string} sandboxUrl
 * @param {{entry?: string}} [options] a module of this directory that stands before it
 */
export function gateway(sandboxUrl, { entry: module } = {}) {
  const entry = module && { type: "ESModule", path: path.join(HERE, module) };
  const worker = gatewayWorker({ sandboxUrl, assets: false, entry, vars: NO_LIMITS });
  const { env, triggers } = worker.config;
  const kept = triggers.filter(({ type, name }) => type !== "queue" || name !== env[WEBHOOKS].name);
  return { ...worker, config: { ...worker.config, triggers: kept } };
}

/** The gateway again, beside the first, with a database and Durable Objects of its own. */
export function withDatabase(worker, name) {
  const env = { ...worker.config.env, DB: { ...worker.config.env.DB, id: name } };
  for (const [binding, what] of Object.entries(env)) if (what.type === "durable-object") env[binding] = { ...what, worker: name };
  return { ...worker, config: { ...worker.config, name, env, triggers: [] } };
}

/** The gateway once more, on the same storage: what it announces nobody hears, so that only its requests are measured. */
export function withoutConsumer(worker) {
  const { env } = worker.config;
  const CONTEXT_OPS_QUEUE = { ...env.CONTEXT_OPS_QUEUE, name: "heard-by-nobody" };
  return { ...worker, config: { ...worker.config, name: "without-consumer", exports: {}, env: { ...env, CONTEXT_OPS_QUEUE }, triggers: [] } };
}

/** The control, on the same database and the same queue as `worker`. */
export function control(worker, sandboxUrl) {
  const main = "control.mjs";
  const described = readWorker(path.join(ROOT, "wrangler.toml"), { modules: [{ type: "ESModule", path: path.join(HERE, main) }] });
  const { DB, GITHUB_WEBHOOK_SECRET, [WEBHOOKS]: queue } = worker.config.env;
  const env = { DB, GITHUB_WEBHOOK_SECRET, [WEBHOOKS]: queue, MINT_URL: { type: "text", value: `${sandboxUrl}/id/v1/mint` } };
  const { compatibilityDate, compatibilityFlags, manifest } = described.config;
  return { ...described, config: { name: "control", compatibilityDate, compatibilityFlags, manifest, env, exports: {}, triggers: [] } };
}
