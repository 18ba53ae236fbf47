/** What the tests of clients share: where things are, and running a tool to its end. */
import { spawn } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import path from "node:path";
import { ROOT } from "../e2e/harness/runtime.mjs";

export { ROOT };
export const HERE = path.join(ROOT, "tests", "clients");
export const OPENAPI = path.join(ROOT, "openapi.json");

/** A program of tests/clients/node_modules. */
export const npmTool = (name) => path.join(HERE, "node_modules", ".bin", name);

/** A program of the Python environment, which `npm run clients` has installed. */
export const pythonTool = (name) => path.join(process.env.CLIENTS_VENV, "bin", name);

/** Why a test of the Python tools is skipped, or `false`. */
export const withoutPython = process.env.CLIENTS_VENV ? false : "there is no Python environment";

/** An empty directory in build/clients. */
export function emptyDirectory(name) {
  const directory = path.join(ROOT, "build", "clients", name);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  return directory;
}

/** Runs a tool to its end and gives `{code, output}`. */
export function runTool(file, args, { cwd = ROOT, env = {} } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { cwd, env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += chunk));
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, output }));
  });
}
