import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { ask, run } from "./command.mjs";
import { BIN, NODE, NODE_MODULES, ROOT, toolEnv } from "./paths.mjs";

const LOCK = join(ROOT, "package-lock.json");
const STAMP = join(NODE_MODULES, ".installed");

/** Whether node_modules matches package-lock.json and works. */
export function modulesMatch() {
  if (read(STAMP) === lockHash()) return true;
  if (!sameAsLock()) return false;
  return settle();
}

/**
 * Runs `npm ci` and passes its output to `onOutput`.
 *
 * @returns {Promise<boolean>} whether everything is installed and works
 */
export async function installModules(onOutput) {
  rmSync(STAMP, { force: true });
  // Without the node and npm in node_modules, which are about to be replaced.
  const PATH = toolEnv().PATH.split(delimiter).filter((directory) => directory !== BIN).join(delimiter);
  const args = ["ci", "--include=dev", "--include=optional", "--no-audit", "--no-fund"];
  // Three attempts: a download may fail, and an npm whose parent was killed may still be at work here.
  for (let attempt = 0; attempt < 3; attempt += 1) {
    if (attempt > 0) await new Promise((wake) => setTimeout(wake, 5000));
    const code = await run("npm", args, { env: { ...process.env, PATH }, onOutput });
    if (code === 0 && settle()) return true;
  }
  return false;
}

/** Links the packaged Node as `node_modules/.bin/node`: npm 10 loses that link. */
export function linkNode() {
  if (existsSync(NODE) || !existsSync(NODE_MODULES)) return;
  const found = readdirSync(NODE_MODULES).find((name) => /^node-(bin-)?(linux|darwin)-/.test(name));
  if (!found) return;
  mkdirSync(BIN, { recursive: true });
  rmSync(NODE, { force: true });
  symlinkSync(join("..", found, "bin", "node"), NODE);
}

/** Checks that the installed programs run, and if so notes that this package-lock.json is installed. */
function settle() {
  linkNode();
  const works = ["node", "workerd", "esbuild"].every((name) => ask(join(BIN, name), ["--version"]) !== null);
  if (works) writeFileSync(STAMP, lockHash());
  return works;
}

/** Compares with the list that npm wrote when it finished; packages for other platforms are not in it. */
function sameAsLock() {
  const wanted = parse(LOCK);
  const present = parse(join(NODE_MODULES, ".package-lock.json"));
  if (!wanted || !present) return false;
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === "") return true;
    const found = present[path];
    return found ? found.version === entry.version : Boolean(entry.optional);
  });
}

function lockHash() {
  return createHash("sha256").update(readFileSync(LOCK)).digest("hex");
}

function parse(file) {
  const text = read(file);
  return text && JSON.parse(text).packages;
}

function read(file) {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return null;
  }
}
