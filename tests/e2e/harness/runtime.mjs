/** Starts Workers in workerd as their wrangler.toml describes them. */
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from "miniflare";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { unstable_getMiniflareWorkerOptions, unstable_readConfig } from "wrangler";

/** The root of the repository. */
export const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/**
 * The Worker of a wrangler.toml, as Miniflare wants it: the top level, which is
 * local development. Bindings come from that file and from nowhere else; a
 * developer's .dev.vars has no say.
 *
 * @param {string} configPath
 * @param {{modules: {type: string, path: string}[], vars?: Record<string, unknown>, root?: string}} options
 *   `modules` begins with the main one; `vars` come over those of the file. `root` is a directory that
 *   holds the modules, by default that of the file.
 */
export function readWorker(configPath, { modules, vars = {}, root = path.dirname(configPath) }) {
  const config = unstable_readConfig({ config: configPath });
  // A file that is not there, so that .dev.vars is not looked at; what it holds would not be taken anyway.
  const { workerOptions } = unstable_getMiniflareWorkerOptions(config, undefined, { envFiles: [".env.none"] });
  const { modulesRules: _, ...options } = workerOptions;
  const [worker] = convertV4MiniflareOptions({
    workers: [
      {
        ...options,
        name: config.name,
        rootPath: root,
        modules,
        bindings: { ...config.vars, ...vars },
      },
    ],
  }).workers;
  return worker;
}

/** The file that a wrangler.toml names as `main`. */
export function mainOf(configPath) {
  return unstable_readConfig({ config: configPath }).main;
}

/**
 * Runs `workers` in one workerd, each on a socket of its own: what is tested is
 * the Worker, with no proxy before it that would repeat a request or replace an
 * answer.
 *
 * @param {object[]} workers
 * @param {{port?: number, persist?: string, onLog?: (entry: LogEntry) => void}} options
 *   `port` is the first Worker's, 0 for any; without `persist` nothing is kept.
 * @returns {Promise<{miniflare: Miniflare, urls: string[]}>}
 * @typedef {{level: "warn" | "error", message: string}} LogEntry
 */
export async function run(workers, { port = 0, persist, onLog = () => {} }) {
  const miniflare = new Miniflare({
    host: "127.0.0.1",
    port: 0,
    cf: false,
    enableDevRegistry: false,
    logRequests: false,
    telemetry: { enabled: false },
    log: new ForwardingLog(onLog),
    handleStructuredLogs: ({ level, message }) => {
      if (level === "warn" || level === "error") onLog({ level, message });
    },
    ...(persist ? { resourcePersistencePath: persist } : {}),
    workers: workers.map((worker, index) => ({
      ...worker,
      dev: { ...worker.dev, unsafeDirectSockets: [{ host: "127.0.0.1", port: index === 0 ? port : 0 }] },
    })),
  });
  try {
    await miniflare.ready;
    const urls = await Promise.all(workers.map((worker) => miniflare.unsafeGetDirectURL(worker.config.name)));
    return { miniflare, urls: urls.map((url) => url.origin) };
  } catch (error) {
    await miniflare.dispose();
    throw error;
  }
}

/** Hands on what the simulator itself warns about, such as a message that goes to the dead letters. */
class ForwardingLog extends Log {
  #onLog;

  constructor(onLog) {
    super(LogLevel.WARN);
    this.#onLog = onLog;
  }

  logWithLevel(level, message) {
    if (level <= LogLevel.WARN) this.#onLog({ level: level === LogLevel.WARN ? "warn" : "error", message });
  }
}
