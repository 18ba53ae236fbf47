import { appendFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TOOLS } from "./paths.mjs";

/** `npm start` shows what the builds of its wrangler say, which wrangler itself would not show. */
const FILE = process.env.CHITTY_SAY_TO;
/** Whether a person is watching: only then is a line rewritten in place. */
const WATCHED = !FILE && process.stderr.isTTY && !process.env.CI;
/** How long a step may take before it is shown at all. */
const QUIET_MS = 1000;
/** How often a step is shown to nobody in particular, such as a log. */
const LOG_MS = 10_000;

/** How long each step took here the last time, in ms. */
const DURATIONS = join(TOOLS, "durations.json");

/** The steps under way, in the order in which they began. */
const steps = new Set();
let ticking = null;
let isLineOpen = false;

/** One line about what is going on. To stderr: stdout belongs to what the scripts run. */
export function say(line) {
  closeLine();
  if (FILE) appendFileSync(FILE, `${line}\n`);
  else process.stderr.write(`${line}\n`);
}

/** Says why it cannot go on, in one line, and ends the process. */
export function fail(line) {
  say(line);
  process.exit(1);
}

/**
 * Shows what is being done once it takes longer than a moment: how long it has taken, how far it
 * is, and how long it took the last time on this machine. On a terminal in one line for all steps
 * under way; elsewhere in a line of its own every 10 s.
 *
 * @template T
 * @param {string} what e.g. `Compiling the worker`
 * @param {(progress: (detail: string) => void) => Promise<T>} work `progress` says how far it is, e.g. `12/90`
 * @param {string} [name] under which its time is kept, where the same words stand for different work
 * @returns {Promise<T>}
 */
export async function during(what, work, name = what) {
  const step = { what, started: Date.now(), shownAt: null, detail: "", last: durations()[name] };
  steps.add(step);
  ticking ??= setInterval(show, WATCHED ? 200 : 500);
  try {
    const result = await work((detail) => (step.detail = detail));
    remember(name, Date.now() - step.started);
    return result;
  } finally {
    steps.delete(step);
    if (step.shownAt !== null) say(`${what}: ${since(step.started)}`);
    if (steps.size === 0) {
      clearInterval(ticking);
      ticking = null;
    }
  }
}

function show() {
  const now = Date.now();
  const due = [...steps].filter(({ started, shownAt }) => now - started >= QUIET_MS && (WATCHED || shownAt === null || now - shownAt >= LOG_MS));
  if (due.length === 0) return;
  const lines = due.map((step) => {
    step.shownAt = now;
    const last = step.last ? `, last time ${duration(step.last)}` : "";
    return `${step.what}… ${Math.round((now - step.started) / 1000)} s${step.detail && `, ${step.detail}`}${last}`;
  });
  if (!WATCHED) return lines.forEach(say);
  process.stderr.write(`\r\x1b[K${lines.join(" · ").slice(0, (process.stderr.columns ?? 80) - 1)}`);
  isLineOpen = true;
}

function closeLine() {
  if (isLineOpen) process.stderr.write("\r\x1b[K");
  isLineOpen = false;
}

/** How long each step, or test file, took here the last time, in ms. */
export function durations() {
  try {
    return JSON.parse(readFileSync(DURATIONS, "utf8"));
  } catch {
    return {};
  }
}

/** Keeps how long something took, for estimates and for what is best begun first. */
export function remember(what, milliseconds) {
  // Less is not worth an estimate, and is mostly a step that found nothing to do.
  if (milliseconds < QUIET_MS) return;
  mkdirSync(TOOLS, { recursive: true });
  const draft = `${DURATIONS}.${process.pid}`;
  writeFileSync(draft, JSON.stringify({ ...durations(), [what]: milliseconds }, null, 1));
  renameSync(draft, DURATIONS);
}

/** How long it is since `started` (ms since 1970), in words. */
export const since = (started) => duration(Date.now() - started);

/** `12.3 s`, `2 min 05 s` */
export function duration(milliseconds) {
  const seconds = Math.round(milliseconds / 100) / 10;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  return `${Math.floor(seconds / 60)} min ${String(Math.floor(seconds % 60)).padStart(2, "0")} s`;
}
