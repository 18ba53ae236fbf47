// `npm run lint`: all checks besides the tests. Warnings are errors. The last line has the counts; a
// check that could not be run counts as skipped, and its reason is printed.
//   npm run lint                    with the installed tools
//   npm run lint -- --all           installs the missing tools first (needs python3)
//   npm run lint -- --advisories    also asks RustSec's database, which is on GitHub
//   npm run lint -- NAME …          only these checks
// Exit code 1: a check failed. 2: no check failed, but one that was asked for could not be run.
import { checkAdvisories, notRun, summary } from "./checks/results.mjs";
import { checkEnv, findTool, installTools } from "./checks/tools.mjs";
import { run } from "./lib/command.mjs";
import { toolEnv } from "./lib/paths.mjs";
import { fail, say } from "./lib/say.mjs";
import { setup } from "./setup.mjs";

const WARNINGS = ["--", "-D", "warnings"];
const DENY = ["--workspace", "--locked"];
/** The quick checks come first. */
const CHECKS = {
  fmt: cargo("fmt", "--all", "--check"),
  typos: tool("typos"),
  actionlint: tool("jactionlint", "--no-online", "--strict-exit"),
  zizmor: tool("zizmor", "--offline", "--no-progress", "--quiet", ".github"),
  shear: tool("cargo-shear"),
  deny: tool("cargo-deny", ...DENY, "check", "licenses", "bans", "sources"),
  advisories,
  clippy: cargo("clippy", "--quiet", "--workspace", "--all-targets", ...WARNINGS),
  "clippy-wasm": cargo("clippy", "--quiet", "--lib", "--target", "wasm32-unknown-unknown", ...WARNINGS),
  doc: cargo("doc", "--quiet", "--workspace", "--no-deps"),
};

const args = process.argv.slice(2);
const options = args.filter((arg) => arg.startsWith("--"));
const named = args.filter((arg) => !arg.startsWith("--"));
const unknown = options.find((option) => !["--all", "--advisories"].includes(option)) ?? named.find((name) => !Object.hasOwn(CHECKS, name));
if (unknown) fail(`There is no "${unknown}": --all, --advisories, or some of ${Object.keys(CHECKS).join(", ")}.`);
const all = options.includes("--all");
const withAdvisories = options.includes("--advisories") || named.includes("advisories");
const names = named.length > 0 ? named : Object.keys(CHECKS);

if (all) {
  const problem = await installTools();
  if (problem) {
    say(problem);
    console.log("0 passed, 1 failed");
    process.exit(1);
  }
}
const checks = [];
for (const name of names) {
  say(`── ${name}`);
  const asked = named.includes(name) || (name === "advisories" ? withAdvisories : all);
  checks.push({ name, asked, result: await CHECKS[name]() });
}
const { lines, counts, code } = summary(checks);
for (const line of lines) say(line);
console.log(counts);
process.exitCode = code;

/** A check with a tool of Rust's toolchain, which set-up installs. */
function cargo(...args) {
  return async () => {
    await setup();
    return (await run("cargo", args, { env: toolEnv({ RUSTDOCFLAGS: "-D warnings" }) })) === 0;
  };
}

/** A check with a tool that is not on every machine. */
function tool(name, ...args) {
  return async () => {
    const file = findTool(name);
    if (!file) return notRun(`${name} is not installed; npm run lint -- --all installs it`);
    return (await run(file, args, { env: checkEnv() })) === 0;
  };
}

function advisories() {
  if (!withAdvisories) return notRun("npm run lint -- --advisories fetches RustSec's database for it");
  return checkAdvisories((...args) => tool("cargo-deny", ...DENY, ...args)());
}
