import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TOOLS } from "./paths.mjs";
import { say } from "./say.mjs";

/**
 * Runs `work` while no other process of this repository holds the lock `name`. A lock whose owner
 * is gone is taken over.
 */
export async function withLock(name, work) {
  mkdirSync(TOOLS, { recursive: true });
  const lock = join(TOOLS, `${name}.lock`);
  const mine = `${lock}.${process.pid}`;
  writeFileSync(mine, String(process.pid));
  const release = () => {
    if (owner(lock) === process.pid) rmSync(lock, { force: true });
    rmSync(mine, { force: true });
  };
  process.once("exit", release);
  let told = false;
  while (!acquire(lock, mine)) {
    const pid = owner(lock);
    if (pid !== null && !isAlive(pid)) {
      for (const file of [lock, `${lock}.${pid}`]) rmSync(file, { force: true });
    } else if (!told) {
      say(`Waiting for process ${pid ?? "?"}, which is setting this repository up too…`);
      told = true;
    }
    await new Promise((wake) => setTimeout(wake, 200 + Math.random() * 100));
  }
  try {
    return await work();
  } finally {
    release();
    process.off("exit", release);
  }
}

/** Tries to take the lock. Links a file that is already written, so that a lock always names its owner. */
function acquire(lock, mine) {
  try {
    linkSync(mine, lock);
    return true;
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  }
}

function owner(lock) {
  try {
    return Number(readFileSync(lock, "utf8"));
  } catch {
    return null;
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}
