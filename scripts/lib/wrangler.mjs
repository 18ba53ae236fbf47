import { spawnSync } from "node:child_process";
import { FROM_HERE } from "./deploy-guard.mjs";
import { ROOT, WRANGLER, wranglerEnv } from "./paths.mjs";

/**
 * Runs wrangler against the account, without colours and questions; only `ask` allows both.
 *
 * @param {string} [executable] another program in wrangler's place, for tests
 */
export function wranglerIn(cwd = ROOT, executable = WRANGLER) {
  const call = (args, options) => {
    const env = wranglerEnv({ WRANGLER_LOG: "log", NO_COLOR: "1", CI: "true", [FROM_HERE]: "1" });
    return spawnSync(executable, args, { cwd, env, encoding: "utf8", ...options });
  };
  return {
    /** Returns its output, as JSON. Throws when it failed. */
    json(args) {
      const text = this.text(args);
      return JSON.parse(text.slice(text.search(/[[{]/)));
    },
    /** Returns its output. Throws its messages when it failed. */
    text(args) {
      const { status, stdout, stderr, error } = call(args);
      if (status === 0) return stdout;
      throw new Error(`wrangler ${args.join(" ")} failed:\n${error?.message ?? `${stdout}${stderr}`.trim()}`);
    },
    /** Lets it print to the terminal; returns its exit code. */
    show(args) {
      return call(args, { stdio: ["ignore", "inherit", "inherit"] }).status ?? 1;
    },
    /** The same, but it may ask in the terminal; without a terminal it would take its default answers. */
    ask(args) {
      const env = wranglerEnv({ [FROM_HERE]: "1" });
      return spawnSync(executable, args, { cwd, env, stdio: "inherit" }).status ?? 1;
    },
  };
}
