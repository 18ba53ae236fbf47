import { ask } from "./command.mjs";

/** Set for every wrangler that the scripts of this repository run. */
export const FROM_HERE = "CHITTYCONNECT_SCRIPT";

/**
 * Why wrangler must not go on with what it is building for, or `null`. The top level of
 * wrangler.toml is local development, and wrangler would only warn before uploading it. And without a
 * terminal a plain deploy takes custom domains from whoever has them.
 *
 * A build is told the command (WRANGLER_COMMAND) but not the environment, so that is read where
 * wrangler reads it: from CLOUDFLARE_ENV and from the command line of the wrangler above us.
 */
export function refusal(env = process.env, args = wranglerArguments(process.ppid)) {
  const command = env.WRANGLER_COMMAND;
  if (!command || command === "dev" || / --dry-run\b/.test(args)) return null;
  if (!env.CLOUDFLARE_ENV && !/ (--env|-e)([ =]+)[^ -]/.test(args)) {
    return "Not without an environment: the top level of wrangler.toml is local development. Use npm run deploy:staging or npm run deploy:production.";
  }
  if (command !== "deploy" || env[FROM_HERE]) return null;
  return "Not by wrangler deploy alone, which takes custom domains from others where it cannot ask. Use npm run deploy:staging or npm run deploy:production.";
}

/** The command line of the nearest wrangler among our ancestors; empty when there is none to see. */
function wranglerArguments(pid) {
  for (let steps = 0; pid > 1 && steps < 8; steps += 1) {
    const [, parent, args] = /^\s*(\d+)\s+(.*)$/.exec(ask("ps", ["-ww", "-o", "ppid=,args=", "-p", String(pid)]) ?? "") ?? [];
    if (!parent) break;
    if (/\bwrangler\b/.test(args)) return args;
    pid = Number(parent);
  }
  return "";
}
