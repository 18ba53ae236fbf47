// Python environments below .tools, each with the packages of its requirements.txt. Nothing is compiled.
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ask, run } from "./command.mjs";
import { withLock } from "./lock.mjs";
import { TOOLS } from "./paths.mjs";
import { during } from "./say.mjs";

/** Whether environments can be made here. */
export function canMakeVenv() {
  return ask("python3", ["-c", "import ensurepip, venv"]) !== null;
}

/**
 * Describes an environment; `install` makes it.
 *
 * @param {string} name of its directory below .tools
 * @param {string} requirements the file
 * @param {{what: string, options: string[]}} more its name in messages, and options of pip
 */
export function venv(name, requirements, { what, options }) {
  const directory = join(TOOLS, name);
  /** Written at the end: an interrupted installation has no such file, an older one another text. */
  const installed = join(directory, "installed.txt");
  // The text names the directory, because some programs are scripts with the path of their interpreter.
  const wanted = () => `# ${directory}\n${readFileSync(requirements, "utf8")}`;
  const isCurrent = () => {
    try {
      return readFileSync(installed, "utf8") === wanted();
    } catch {
      return false;
    }
  };
  const install = async () => {
    if (isCurrent()) return null;
    rmSync(directory, { recursive: true, force: true });
    let output = "";
    const onOutput = (chunk) => (output += chunk);
    const pip = ["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--quiet", "--only-binary=:all:", "--no-deps", ...options, "--requirement", requirements];
    for (const [file, args] of [["python3", ["-m", "venv", directory]], [join(directory, "bin", "python"), pip]]) {
      if ((await run(file, args, { onOutput })) !== 0) return `${output}\n${what[0].toUpperCase()}${what.slice(1)} could not be installed; the output is above.`;
    }
    writeFileSync(installed, wanted());
    return null;
  };
  return {
    directory,
    bin: join(directory, "bin"),
    isCurrent,
    /** Installs the environment. Returns an error, or `null` when all is installed. */
    async install() {
      if (isCurrent()) return null;
      if (!canMakeVenv()) {
        return "python3 with venv is needed: install it (Debian, Ubuntu: sudo apt install python3-venv; Fedora: sudo dnf install python3; macOS: brew install python), then run the same command again.";
      }
      return withLock(name, () => during(`Installing ${what}`, install));
    },
  };
}
