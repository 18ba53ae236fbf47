import { appendFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TOOLS } from "./paths.mjs";

/** The file for the output, if any: `npm start` shows it, because wrangler hides the output of its builds. */
const FILE = process.env.CHITTY_SAY_TO;
/** Whether a person watches the output. Only then a line is rewritten in place. */
const WATCHED = !FILE && process.stderr.isTTY && !process.env.CI;
/** How long a step may take before it is shown. */
const QUIET_MS = 1000;
/** The time between two lines about a step where no person watches, such as in a log. */
const LOG_MS = 10_000;

/** How long each step took here the last time, in ms. */
const DURATIONS = join(TOOLS, "durations.json");

/** The running steps, in the order in which they began. */
const steps = new Set();
let ticking = null;
let isLineOpen = false;

/** Prints one line about the progress, to stderr: stdout belongs to the programs that the scripts run. */
export function say(line) {
  closeLine();
  if (FILE) appendFileSync(FILE, `${line}\n`);
  else process.stderr.write(`${line}\n`);
}

/** Prints one line that says why the script cannot continue, and ends the process with code 1. */
export function fail(line) {
  say(line);
  process.exit(1);
}

/**
 * Runs a step, and shows it once it takes longer than 1 s: its time so far, its progress, and its time the
 * last time on this machine. A terminal shows all running steps in one line; elsewhere each step gets a line
 * every 10 s.
 *
 * @template T
 * @param {string} what e.g. `Compiling the worker`
 * @param {(progress: (detail: string) => void) => Promise<T>} work `progress` sets the progress, e.g. `12/90`
 * @param {string} [name] under which its time is kept, if several steps have the same `what`
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

/** Keeps how long something took, for estimates and for the order of test files. */
export function remember(what, milliseconds) {
  // A shorter time is not worth an estimate, and mostly means that the step had nothing to do.
  if (milliseconds < QUIET_MS) return;
  mkdirSync(TOOLS, { recursive: true });
  const draft = `${DURATIONS}.${process.pid}`;
  writeFileSync(draft, JSON.stringify({ ...durations(), [what]: milliseconds }, null, 1));
  renameSync(draft, DURATIONS);
}

/** The time since `started` (ms since 1970), as a text. */
export const since = (started) => duration(Date.now() - started);

/** `12.3 s`, `2 min 05 s` */
export function duration(milliseconds) {
  const seconds = Math.round(milliseconds / 100) / 10;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  return `${Math.floor(seconds / 60)} min ${String(Math.floor(seconds % 60)).padStart(2, "0")} s`;
}
