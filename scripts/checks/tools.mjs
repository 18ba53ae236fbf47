// The tools of `npm run lint` that do not come with Rust. Python's registry has them as programs for every
// machine; with `--all` they are installed into .tools/checks, in the versions of requirements.txt.
import { accessSync, constants, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import { ROOT, toolEnv } from "../lib/paths.mjs";
import { venv } from "../lib/venv.mjs";

// With hashes, so that pip installs only the files that were reviewed.
const ENVIRONMENT = venv("checks", join(ROOT, "scripts", "checks", "requirements.txt"), {
  what: "the tools of npm run lint",
  options: ["--require-hashes"],
});

/** Finds a tool: in .tools/checks if that is up to date, else on the PATH; `null` if it is nowhere. */
export function findTool(name, path = toolPath()) {
  for (const directory of path.split(delimiter).filter(Boolean)) {
    const file = join(directory, name);
    try {
      accessSync(file, constants.X_OK);
      if (statSync(file).isFile()) return file;
    } catch {
      // Not in this directory.
    }
  }
  return null;
}

/** The environment of a tool. The tool finds the programs that it calls in the same order. */
export function checkEnv() {
  return toolEnv({ PATH: toolPath() });
}

/** Installs the tools that requirements.txt names. Returns an error, or `null` when all are installed. */
export function installTools() {
  return ENVIRONMENT.install();
}

function toolPath() {
  const { PATH } = toolEnv();
  return ENVIRONMENT.isCurrent() ? [ENVIRONMENT.bin, PATH].join(delimiter) : PATH;
}
