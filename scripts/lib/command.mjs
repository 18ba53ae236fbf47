import { spawn, spawnSync } from "node:child_process";
import { ROOT, toolEnv } from "./paths.mjs";

const running = new Set();

/**
 * Runs a command to its end in a process group of its own, which dies with this process.
 *
 * @param {string} file
 * @param {string[]} args
 * @param {object} [options] of `spawn`, and `onOutput(chunk, "stdout" | "stderr")`, which takes the
 *   output instead of the terminal
 * @returns {Promise<number>} the exit code; 127 when it could not be started
 */
export function run(file, args, { onOutput, ...options } = {}) {
  return new Promise((resolve) => {
    const stdio = onOutput ? ["ignore", "pipe", "pipe"] : ["ignore", "inherit", "inherit"];
    const child = spawn(file, args, { cwd: ROOT, env: toolEnv(), stdio, detached: true, ...options });
    running.add(child);
    child.stdout?.on("data", (chunk) => onOutput(chunk, "stdout"));
    child.stderr?.on("data", (chunk) => onOutput(chunk, "stderr"));
    child.on("error", (error) => {
      onOutput?.(`${file}: ${error.message}\n`, "stderr");
      running.delete(child);
      resolve(127);
    });
    child.on("close", (code) => {
      running.delete(child);
      resolve(code ?? 1);
    });
  });
}

/** Runs a short command and returns its output; `null` when it failed. */
export function ask(file, args, env = toolEnv()) {
  const { status, stdout } = spawnSync(file, args, { cwd: ROOT, env, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  return status === 0 ? stdout.trim() : null;
}

/** Sends a signal to a process and everything it started. Returns whether any of them was there. */
export function killGroup(pid, signal) {
  try {
    process.kill(-pid, signal);
    return true;
  } catch {
    return false;
  }
}

for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]]) {
  process.on(signal, () => {
    // A script with something of its own to end also listens, and exits by itself afterwards.
    if (process.listenerCount(signal) === 1) process.exit(code);
  });
}
process.on("exit", () => {
  // At once: npm would otherwise clean up for seconds and get in the way of its successor.
  for (const child of running) killGroup(child.pid, "SIGKILL");
});
