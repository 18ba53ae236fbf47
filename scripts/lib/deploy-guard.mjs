import { ask } from "./command.mjs";

/** The variable that is set for every wrangler that the scripts of this repository run. */
export const FROM_HERE = "CHITTYCONNECT_SCRIPT";

/**
 * Returns why wrangler must not continue with the command that it builds for, or `null`. The top level
 * of wrangler.toml is local development, and wrangler would only warn before uploading it. And without
 * a terminal a plain deploy takes custom domains from other workers.
 *
 * Wrangler tells a build its command (WRANGLER_COMMAND) but not the environment. This function reads
 * the environment where wrangler reads it: from CLOUDFLARE_ENV and from wrangler's command line.
 */
export function refusal(env = process.env, args = wranglerArguments(process.ppid)) {
  const command = env.WRANGLER_COMMAND;
  if (!command || command === "dev" || / --dry-run\b/.test(args)) return null;
  if (!env.CLOUDFLARE_ENV && !/ (--env|-e)([ =]+)[^ -]/.test(args)) {
    return "Do not run this without an environment: the top level of wrangler.toml is local development. Use npm run deploy:staging or npm run deploy:production.";
  }
  if (command !== "deploy" || env[FROM_HERE]) return null;
  return "Do not run wrangler deploy directly: where it cannot ask, it takes custom domains from other workers. Use npm run deploy:staging or npm run deploy:production.";
}

/** Returns the command line of the nearest ancestor process that is wrangler; empty if none is found. */
function wranglerArguments(pid) {
  for (let steps = 0; pid > 1 && steps < 8; steps += 1) {
    const [, parent, args] = /^\s*(\d+)\s+(.*)$/.exec(ask("ps", ["-ww", "-o", "ppid=,args=", "-p", String(pid)]) ?? "") ?? [];
    if (!parent) break;
    if (/\bwrangler\b/.test(args)) return args;
    pid = Number(parent);
  }
  return "";
}
