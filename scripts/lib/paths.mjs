import { realpathSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

/** The repository's directory. */
export const ROOT = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");
/** What the scripts keep for this repository alone: logs, locks, how long things took. */
export const TOOLS = join(ROOT, ".tools");
export const NODE_MODULES = join(ROOT, "node_modules");
export const BIN = join(NODE_MODULES, ".bin");

/** The Node that runs wrangler, which needs 22.12 or later: it comes with `npm ci`. */
export const NODE = join(BIN, "node");
export const WRANGLER = join(BIN, "wrangler");

/**
 * The environment for every command the scripts run: this repository's tools first, and cargo
 * even where rustup was installed a moment ago and the shell does not know its directory yet.
 */
export function toolEnv(extra = {}) {
  const cargo = join(process.env.CARGO_HOME ?? join(homedir(), ".cargo"), "bin");
  return { ...process.env, PATH: [BIN, process.env.PATH, cargo].join(delimiter), ...extra };
}

/** `toolEnv` for wrangler: nothing is sent anywhere, nothing is asked, no banner. */
export function wranglerEnv(extra = {}) {
  return toolEnv({
    WRANGLER_SEND_METRICS: "false",
    WRANGLER_SEND_ERROR_REPORTS: "false",
    WRANGLER_HIDE_BANNER: "true",
    WRANGLER_LOG_PATH: join(ROOT, ".wrangler", "logs"),
    ...extra,
  });
}

/** Whether this module is the one node was started with. */
export function isMain(url) {
  return Boolean(process.argv[1]) && url === pathToFileURL(realpathSync(process.argv[1])).href;
}

/** Whether only a rehearsal is wanted. npm keeps a `--dry-run` to itself that does not follow `--`. */
export function isDryRun() {
  return process.argv.includes("--dry-run") || process.env.npm_config_dry_run === "true";
}
