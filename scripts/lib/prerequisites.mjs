import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { ask } from "./command.mjs";
import { toolEnv } from "./paths.mjs";
import { fail } from "./say.mjs";

const AGAIN = "then run the same command again.";

/** Ends the process with one line that says what to install, if Node, Rust or a C compiler is missing. */
export function checkPrerequisites() {
  const major = Number(process.versions.node.split(".")[0]);
  if (major < 20) {
    fail(`Node 20 or later is needed, this is ${process.version}: install it from https://nodejs.org, ${AGAIN}`);
  }
  if (!onPath("rustup") || !onPath("cargo")) {
    fail(`Rust is missing: install it with rustup from https://rustup.rs, ${AGAIN}`);
  }
  if (!hasCompiler()) {
    fail(`A C compiler is missing: install it (Debian, Ubuntu: sudo apt install build-essential; Fedora: sudo dnf install gcc; macOS: xcode-select --install), ${AGAIN}`);
  }
}

function hasCompiler() {
  // On macOS `cc` exists even if the tools behind it are not installed.
  return onPath("cc") && (process.platform !== "darwin" || ask("xcode-select", ["-p"]) !== null);
}

function onPath(name) {
  return toolEnv().PATH.split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
