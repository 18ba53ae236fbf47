/** What /proc tells of processes; where there is none (macOS), nothing. */
import { readdirSync, readFileSync } from "node:fs";

/** The processes that this one started. */
export function childProcesses() {
  return list("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => parentOf(pid) === process.pid);
}

/** Microseconds of processor time that the threads of a process have had, or `null`. */
export function cpuMicros(pid) {
  if (pid === undefined) return null;
  const threads = list(`/proc/${pid}/task`).map((thread) => read(`/proc/${pid}/task/${thread}/schedstat`));
  const nanos = threads.map((text) => Number(text.split(" ")[0]));
  return nanos.length === 0 ? null : nanos.reduce((sum, value) => sum + value, 0) / 1000;
}

function parentOf(pid) {
  // The name, in parentheses, may hold anything; the state and the parent follow it.
  return Number(read(`/proc/${pid}/stat`).split(") ").at(-1).split(" ")[1]);
}

function list(directory) {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function read(file) {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
