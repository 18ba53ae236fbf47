import { ask } from "./command.mjs";

/**
 * Why wrangler must not go on with what it is building for, or `null`. The top level of
 * wrangler.toml is local development, and wrangler would only warn before uploading it.
 *
 * A build is told the command (WRANGLER_COMMAND) but not the environment, so that is read where
 * wrangler reads it: from CLOUDFLARE_ENV and from the command line of the wrangler above us.
 */
export function refusal() {
  const command = process.env.WRANGLER_COMMAND;
  if (!command || command === "dev" || process.env.CLOUDFLARE_ENV) return null;
  const args = wranglerArguments(process.ppid);
  if (/ --dry-run\b/.test(args) || / (--env|-e)([ =]+)[^ -]/.test(args)) return null;
  return `Not without an environment: the top level of wrangler.toml is local development. Use npm run deploy:staging or npm run deploy:production (wrangler ${command} --env staging).`;
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
