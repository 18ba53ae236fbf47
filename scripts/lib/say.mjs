import { appendFileSync } from "node:fs";

/** `npm start` shows what the builds of its wrangler say, which wrangler itself would not show. */
const FILE = process.env.CHITTY_SAY_TO;
/** Whether a person is watching: only then are lines rewritten in place. */
const WATCHED = !FILE && process.stderr.isTTY && !process.env.CI;

/** One line about what is going on. To stderr: stdout belongs to what the scripts run. */
export function say(line) {
  if (FILE) appendFileSync(FILE, `${line}\n`);
  else process.stderr.write(`${line}\n`);
}

/** Says why it cannot go on, in one line, and ends the process. */
export function fail(line) {
  say(line);
  process.exit(1);
}

/**
 * Says what is being done once it takes longer than a moment; on a terminal the elapsed seconds
 * follow.
 *
 * @template T
 * @param {string} what e.g. `Building the worker`
 * @param {() => Promise<T>} step
 * @returns {Promise<T>}
 */
export async function during(what, step) {
  const started = Date.now();
  let shown = false;
  const show = () => {
    if (WATCHED) process.stderr.write(`\r\x1b[K${what}… ${Math.round((Date.now() - started) / 1000)} s`);
    else if (!shown) say(`${what}…`);
    shown = true;
  };
  const timer = setInterval(show, 1000);
  try {
    return await step();
  } finally {
    clearInterval(timer);
    if (WATCHED && shown) process.stderr.write("\n");
  }
}

/** `12.3 s`, `2 min 05 s` */
export function since(started) {
  const seconds = Math.round((Date.now() - started) / 100) / 10;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  return `${Math.floor(seconds / 60)} min ${String(Math.floor(seconds % 60)).padStart(2, "0")} s`;
}
