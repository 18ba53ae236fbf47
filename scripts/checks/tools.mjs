// The tools of `npm run lint` that do not come with Rust. Python's registry has them as programs for every
// machine; with `--all` they are installed into .tools/checks, in the versions of requirements.txt.
import { accessSync, constants, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { ask, run } from "../lib/command.mjs";
import { withLock } from "../lib/lock.mjs";
import { ROOT, toolEnv, TOOLS } from "../lib/paths.mjs";
import { during } from "../lib/say.mjs";

const VENV = join(TOOLS, "checks");
const BIN = join(VENV, "bin");
const REQUIREMENTS = join(ROOT, "scripts", "checks", "requirements.txt");
/** Written when all is installed: an interrupted installation has none, an older one another. */
const INSTALLED = join(VENV, "installed.txt");

/** Where a tool is: in .tools/checks if that is up to date, else on the PATH; `null` if it is nowhere. */
export function findTool(name, path = toolPath()) {
  for (const directory of path.split(delimiter).filter(Boolean)) {
    const file = join(directory, name);
    try {
      accessSync(file, constants.X_OK);
      if (statSync(file).isFile()) return file;
    } catch {
      // Not in this one.
    }
  }
  return null;
}

/** The environment of a tool: what it calls itself is looked for in the same order. */
export function checkEnv() {
  return toolEnv({ PATH: toolPath() });
}

/** Installs the tools that requirements.txt names; gives what is wrong, or `null` when all are there. */
export async function installTools() {
  if (isCurrent()) return null;
  if (ask("python3", ["-c", "import ensurepip, venv"]) === null) {
    return "python3 with venv is needed: install it (Debian, Ubuntu: sudo apt install python3-venv; Fedora: sudo dnf install python3; macOS: brew install python), then run the same command again.";
  }
  return withLock("checks", () => during("Installing the tools of npm run lint", install));
}

async function install() {
  if (isCurrent()) return null;
  rmSync(VENV, { recursive: true, force: true });
  let output = "";
  const onOutput = (chunk) => (output += chunk);
  const pip = ["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--quiet"];
  // By hash and without compiling: what runs is what was looked at, or nothing.
  pip.push("--require-hashes", "--only-binary=:all:", "--no-deps", "--requirement", REQUIREMENTS);
  for (const [file, args] of [["python3", ["-m", "venv", VENV]], [join(BIN, "python"), pip]]) {
    if ((await run(file, args, { onOutput })) !== 0) return `${output}\nThe tools of npm run lint could not be installed; the output is above.`;
  }
  writeFileSync(INSTALLED, wanted());
  return null;
}

function isCurrent() {
  try {
    return readFileSync(INSTALLED, "utf8") === wanted();
  } catch {
    return false;
  }
}

/** Where they are belongs to it: some are scripts that name their interpreter. */
function wanted() {
  return `# ${VENV}\n${readFileSync(REQUIREMENTS, "utf8")}`;
}

function toolPath() {
  const { PATH } = toolEnv();
  return isCurrent() ? [BIN, PATH].join(delimiter) : PATH;
}
