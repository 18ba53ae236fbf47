// `node scripts/setup.mjs`: installs what this repository needs and the machine does not have.
// Everything goes into .tools and node_modules, except the Rust toolchain, which is rustup's.
// Safe to interrupt, to run again and to run twice at once; when all is there it costs a moment.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ask, run } from "./lib/command.mjs";
import { withLock } from "./lib/lock.mjs";
import { installModules, modulesMatch } from "./lib/node-modules.mjs";
import { isMain, ROOT, toolEnv, TOOLS, WASM_BINDGEN, WORKER_BUILD } from "./lib/paths.mjs";
import { checkOpenSsl, checkPrerequisites } from "./lib/prerequisites.mjs";
import { during, fail } from "./lib/say.mjs";

/**
 * Every step: what it says while it works, whether it is done already, and how it is done.
 * `install(onOutput)` resolves to whether it succeeded.
 */
const STEPS = [
  {
    what: () => `Installing Rust ${rustVersion()} (once, about 1 minute)`,
    log: "rust",
    isDone: hasRust,
    install: async (onOutput) => (await run("rustup", ["toolchain", "install", rustVersion(), ...RUST_PARTS], { onOutput })) === 0,
  },
  cargoTool("worker-build", WORKER_BUILD, "worker", "2 minutes", ["--locked"], checkOpenSsl),
  // Its own lock file does not resolve (0.2.130), hence without --locked.
  cargoTool("wasm-bindgen-cli", WASM_BINDGEN, "wasm-bindgen", "1 minute", []),
  { what: () => "Installing node_modules (once, about 15 seconds)", log: "npm", isDone: modulesMatch, install: installModules },
];

const RUST_PARTS = ["--profile", "minimal", "--component", "rustfmt", "--component", "clippy", "--target", "wasm32-unknown-unknown"];

/** Makes sure that everything is there, or ends the process saying what is wrong. */
export async function setup() {
  checkPrerequisites();
  if (STEPS.every((step) => step.isDone())) return;
  await withLock("setup", async () => {
    for (const step of STEPS) if (!step.isDone()) await install(step);
  });
}

async function install(step) {
  step.check?.();
  const log = join(TOOLS, "logs", `${step.log}.log`);
  mkdirSync(join(TOOLS, "logs"), { recursive: true });
  writeFileSync(log, "");
  const onOutput = (chunk) => writeFileSync(log, chunk, { flag: "a" });
  const succeeded = await during(step.what(), () => step.install(onOutput));
  if (!succeeded) fail(`${readFileSync(log, "utf8")}\n${step.what().replace(/ \(.*/, "")} failed; the output is above and in ${log}`);
}

/** A program from crates.io, in the version that Cargo.lock has for the crate it must agree with. */
function cargoTool(crate, binary, agreesWith, minutes, flags, check) {
  const version = () => lockedVersion(agreesWith);
  return {
    what: () => `Installing ${crate} ${version()} (once, about ${minutes})`,
    log: crate,
    check,
    isDone: () => existsSync(binary) && installedCrates().includes(`"${crate} ${version()} (`),
    install: async (onOutput) => {
      const target = join(TOOLS, "target");
      const name = binary.slice(binary.lastIndexOf("/") + 1);
      const args = ["install", crate, "--version", `=${version()}`, ...flags, "--bin", name, "--root", TOOLS, "--target-dir", target];
      // Unoptimized they compile in a third of the time and still do their work in a second.
      const env = toolEnv({ CARGO_PROFILE_RELEASE_OPT_LEVEL: "0" });
      if ((await run("cargo", args, { onOutput, env })) !== 0) return false;
      // Kept only where an interrupted installation goes on from.
      rmSync(target, { recursive: true, force: true });
      return true;
    },
  };
}

/** What cargo has installed in .tools, as it writes it down itself when it has finished. */
function installedCrates() {
  const file = join(TOOLS, ".crates.toml");
  return existsSync(file) ? readFileSync(file, "utf8") : "";
}

function lockedVersion(crate) {
  const lock = readFileSync(join(ROOT, "Cargo.lock"), "utf8");
  const found = new RegExp(`^name = "${crate}"\nversion = "([^"]+)"`, "m").exec(lock);
  return found ? found[1] : fail(`Cargo.lock names no version of ${crate}: run cargo generate-lockfile`);
}

function rustVersion() {
  return /^channel = "([^"]+)"/m.exec(readFileSync(join(ROOT, "rust-toolchain.toml"), "utf8"))[1];
}

function hasRust() {
  const env = toolEnv({ RUSTUP_AUTO_INSTALL: "0" });
  const parts = ask("rustup", ["component", "list", "--installed", "--toolchain", rustVersion()], env);
  return ["rustfmt", "clippy", "rust-std-wasm32-unknown-unknown"].every((part) => parts?.includes(part));
}

if (isMain(import.meta.url)) await setup();
