/** The built gateway in workerd, with every binding that wrangler.toml gives it. */
import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import { checkDescribed } from "./description.mjs";
import { mainOf, readWorker, ROOT, run } from "./runtime.mjs";

export { startGatewayProcess } from "./gateway-process.mjs";

/**
 * @typedef {object} GatewayOptions
 * @property {string} [sandboxUrl] where the services are: becomes SERVICE_URL_TEMPLATE, OUTSIDE_URL_TEMPLATE and the addresses of GitHub
 * @property {string} [persist] a directory for D1, KV and Durable Objects; without one nothing is kept
 * @property {number} [port] the first isolate's, 0 for any
 * @property {number} [isolates] how many Workers run the same code on the same storage
 * @property {Record<string, unknown>} [vars] over those of wrangler.toml; text, or JSON for anything else
 * @property {Record<string, string>} [secrets]
 * @property {string[]} [withoutBindings] binding names to take away
 * @property {boolean} [assets] whether the static files are served, where there are any
 * @property {string} [config] another wrangler.toml
 * @property {object[]} [beside] Workers that it has service bindings to, from `readWorker`
 * @property {(entry: import("./runtime.mjs").LogEntry) => void} [onLog] told of each entry of `logs` as it comes (not across processes)
 */

/**
 * Starts the gateway. Queue batches go out at once, without the delays of
 * wrangler.toml; only the first isolate consumes them, and the Durable Objects
 * are the first one's. Cron never fires by itself.
 *
 * @param {GatewayOptions} [options]
 */
export async function startGateway(options = {}) {
  const { isolates = 1, port, persist, onLog, beside = [] } = options;
  const first = gatewayWorker(options);
  const workers = [first, ...Array.from({ length: isolates - 1 }, (_, index) => isolateOf(first, index + 2))];
  const logs = [];
  const keep = (entry) => {
    logs.push(entry);
    onLog?.(entry);
  };
  const { miniflare, urls } = await run([...workers, ...beside], { port, persist, onLog: keep });
  const { name, env } = first.config;
  // Another Worker of another file answers as it likes.
  const isGateway = mainOf(options.config ?? CONFIG) === DEVELOPMENT_BUILD;
  const worker = await miniflare.getWorker(name);
  return {
    /** The first isolate's address, without a slash at the end. */
    url: urls[0],
    /** Every isolate's address. */
    urls,
    /** Sends a request to an isolate, the first by default. Redirects are not followed; the reply must be as it is described. */
    fetch: async (route, init, { isolate = 0 } = {}) => {
      const response = await fetch(urls[isolate] + route, { redirect: "manual", ...init });
      if (isGateway) await checkDescribed(route, init, response);
      return response;
    },
    /** Runs the cron handler and gives `{outcome}`: "ok" when it did not throw. */
    scheduled: ({ cron = "* * * * *", time = Date.now() } = {}) => worker.scheduled({ cron, scheduledTime: new Date(time) }),
    /**
     * Hands a batch to the consumer and gives its verdict:
     * `{outcome, ackAll, explicitAcks, retryBatch, retryMessages}`. `queue` is a
     * queue's name or a producer binding's; messages are `{body, id?, attempts?, timestamp?}`.
     */
    queue: (queue, messages) => worker.queue(env[queue]?.name ?? queue, messages.map(completeMessage)),
    /** The gateway's D1 database. */
    db: () => miniflare.getD1Database("DB", name),
    /** One of the gateway's KV namespaces, by its binding's name. */
    kv: (binding) => miniflare.getKVNamespace(binding, name),
    /** What was logged as a warning or an error, by the Worker and the simulator: `{level, message}`. */
    logs,
    close: () => miniflare.dispose(),
  };
}

/**
 * The gateway as wrangler.toml describes it, ready for `run`. `entry` is a module that stands in front
 * of the built one.
 *
 * @param {GatewayOptions & {entry?: {type: string, path: string}}} options
 */
export function gatewayWorker({ sandboxUrl, vars, secrets, withoutBindings = [], assets = true, config = CONFIG, entry }) {
  const modules = [...(entry ? [entry] : []), ...builtModules(mainOf(config))];
  const addresses = sandboxUrl && {
    SERVICE_URL_TEMPLATE: `${sandboxUrl}/{name}`,
    OUTSIDE_URL_TEMPLATE: `${sandboxUrl}/_outside/{host}`,
    GITHUB_API_URL: `${sandboxUrl}/_github/api`,
    GITHUB_WEB_URL: `${sandboxUrl}/_github/web`,
  };
  const worker = readWorker(config, { modules, vars: { ...addresses, ...vars, ...secrets } });
  const { config: described } = worker;
  for (const name of withoutBindings) {
    if (!Object.hasOwn(described.env, name)) throw new Error(`There is no binding ${name} to take away.`);
    delete described.env[name];
  }
  if (!assets || !existsSync(described.assets?.directory ?? "")) withoutAssets(described);
  described.triggers = described.triggers?.map(withoutWaiting);
  return worker;
}

function withoutAssets(described) {
  delete described.assets;
  for (const [name, binding] of Object.entries(described.env)) if (binding.type === "assets") delete described.env[name];
}

const CONFIG = path.join(ROOT, "wrangler.toml");
const DEVELOPMENT_BUILD = path.join(ROOT, "build", "dev", "index.js");
/** The gateway as it was built: the development build, or the release build under `npm test -- --release`. */
export const GATEWAY = path.join(ROOT, "build", process.env.WORKER_PROFILE ?? "dev", "index.js");

function builtModules(main) {
  const script = main === DEVELOPMENT_BUILD ? GATEWAY : main;
  if (!existsSync(script)) throw new Error(`${script} is missing: build the gateway first.`);
  const wasm = readdirSync(path.dirname(script)).filter((name) => name.endsWith(".wasm"));
  return [
    { type: "ESModule", path: script },
    ...wasm.map((name) => ({ type: "CompiledWasm", path: path.join(path.dirname(script), name) })),
  ];
}

function withoutWaiting(trigger) {
  return trigger.type === "queue" ? { ...trigger, maxBatchTimeout: 0, retryDelay: 0 } : trigger;
}

/** A Worker that is `first` again: its bindings carry the same ids, so the storage is the same. */
function isolateOf(first, number) {
  return { ...first, config: { ...first.config, name: `${first.config.name}-${number}`, exports: {}, triggers: [] } };
}

function completeMessage(message) {
  return { id: crypto.randomUUID(), timestamp: new Date(), attempts: 1, ...message };
}
