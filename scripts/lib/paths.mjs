import { realpathSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

/** The repository's directory. */
export const ROOT = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");
/** The directory where the scripts keep what belongs to this checkout: tools, logs, locks, durations. */
export const TOOLS = join(ROOT, ".tools");
export const NODE_MODULES = join(ROOT, "node_modules");
export const BIN = join(NODE_MODULES, ".bin");

/** The Node that runs wrangler, which needs 22.12 or later: it comes with `npm ci`. */
export const NODE = join(BIN, "node");
export const WRANGLER = join(BIN, "wrangler");

/**
 * The environment for every command that the scripts run. The tools of this repository come first; cargo
 * is found even if rustup was just installed and the shell does not know its directory yet.
 */
export function toolEnv(extra = {}) {
  const cargo = join(process.env.CARGO_HOME ?? join(homedir(), ".cargo"), "bin");
  return { ...process.env, PATH: [BIN, process.env.PATH, cargo].join(delimiter), ...extra };
}

/** `toolEnv` for wrangler: it sends no metrics and no error reports, and shows no banner. */
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

/** Whether `--dry-run` was given. npm does not pass it on without a `--` before it, but sets a variable. */
export function isDryRun() {
  return process.argv.includes("--dry-run") || process.env.npm_config_dry_run === "true";
}
