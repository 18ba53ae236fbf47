import { spawnSync } from "node:child_process";
import { FROM_HERE } from "./deploy-guard.mjs";
import { ROOT, WRANGLER, wranglerEnv } from "./paths.mjs";

/**
 * Wrangler against the account, for scripts: never colours, and asks only where that is wanted.
 *
 * @param {string} [executable] another program in wrangler's place, for tests
 */
export function wranglerIn(cwd = ROOT, executable = WRANGLER) {
  const call = (args, options) => {
    const env = wranglerEnv({ WRANGLER_LOG: "log", NO_COLOR: "1", CI: "true", [FROM_HERE]: "1" });
    return spawnSync(executable, args, { cwd, env, encoding: "utf8", ...options });
  };
  return {
    /** What it printed, as JSON. Throws when it failed. */
    json(args) {
      const text = this.text(args);
      return JSON.parse(text.slice(text.search(/[[{]/)));
    },
    /** What it printed. Throws what it said when it failed. */
    text(args) {
      const { status, stdout, stderr, error } = call(args);
      if (status === 0) return stdout;
      throw new Error(`wrangler ${args.join(" ")} failed:\n${error?.message ?? `${stdout}${stderr}`.trim()}`);
    },
    /** Lets it print for itself; gives its exit code. */
    show(args) {
      return call(args, { stdio: ["ignore", "inherit", "inherit"] }).status ?? 1;
    },
    /** The same in a terminal, where it may ask; without one it would take its own answers. */
    ask(args) {
      const env = wranglerEnv({ [FROM_HERE]: "1" });
      return spawnSync(executable, args, { cwd, env, stdio: "inherit" }).status ?? 1;
    },
  };
}
