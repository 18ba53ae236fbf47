// `node scripts/setup.mjs`: installs what this repository needs and the machine does not have.
// Everything goes into node_modules, except the Rust toolchain, which is rustup's.
// Safe to interrupt, to run again and to run twice at once; takes a moment when all is installed.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ask, run } from "./lib/command.mjs";
import { withLock } from "./lib/lock.mjs";
import { installModules, modulesMatch } from "./lib/node-modules.mjs";
import { isMain, ROOT, toolEnv, TOOLS } from "./lib/paths.mjs";
import { checkPrerequisites } from "./lib/prerequisites.mjs";
import { during, fail } from "./lib/say.mjs";

const RUST_PARTS = ["--profile", "minimal", "--component", "rustfmt", "--component", "clippy", "--target", "wasm32-unknown-unknown"];

/** Each step: what it shows while it works, whether it is done already, and the work (`true` on success). */
const RUST = {
  what: () => `Installing Rust ${rustVersion()}`,
  log: "rust",
  isDone: hasRust,
  install: async (onOutput) => (await run("rustup", ["toolchain", "install", rustVersion(), ...RUST_PARTS], { onOutput })) === 0,
};
const MODULES = { what: () => "Installing node_modules", log: "npm", isDone: modulesMatch, install: installModules };

/**
 * Makes sure that everything is installed, or ends the process with a message that says what is wrong.
 *
 * @template T
 * @param {() => Promise<T>} [compile] work that needs Rust but nothing from npm: it runs beside npm
 * @returns {Promise<T>} the result of `compile`
 */
export async function setup(compile = async () => undefined) {
  checkPrerequisites();
  if (RUST.isDone() && MODULES.isDone()) return compile();
  return withLock("setup", async () => {
    await ensure(RUST);
    const [compilation] = await Promise.all([compile(), ensure(MODULES)]);
    return compilation;
  });
}

async function ensure(step) {
  if (step.isDone()) return;
  const log = join(TOOLS, "logs", `${step.log}.log`);
  mkdirSync(join(TOOLS, "logs"), { recursive: true });
  writeFileSync(log, "");
  const onOutput = (chunk) => writeFileSync(log, chunk, { flag: "a" });
  const succeeded = await during(step.what(), () => step.install(onOutput));
  if (!succeeded) fail(`${readFileSync(log, "utf8")}\n${step.what()} failed; the output is above and in ${log}`);
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
