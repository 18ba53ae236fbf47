// `npm run lint`: formatting, clippy for this machine and for wasm, documentation. Warnings are errors.
import { run } from "./lib/command.mjs";
import { toolEnv } from "./lib/paths.mjs";
import { say } from "./lib/say.mjs";
import { setup } from "./setup.mjs";

const DENY = ["--", "-D", "warnings"];
const CHECKS = {
  "cargo fmt": ["fmt", "--all", "--check"],
  "cargo clippy": ["clippy", "--quiet", "--workspace", "--all-targets", ...DENY],
  "cargo clippy for wasm": ["clippy", "--quiet", "--lib", "--target", "wasm32-unknown-unknown", ...DENY],
  "cargo doc": ["doc", "--quiet", "--workspace", "--no-deps"],
};

await setup();
const failed = [];
for (const [name, args] of Object.entries(CHECKS)) {
  say(`── ${name}`);
  const env = toolEnv({ RUSTDOCFLAGS: "-D warnings" });
  if ((await run("cargo", args, { env })) !== 0) failed.push(name);
}
say(failed.length === 0 ? "Nothing to complain about." : `Complaints from ${failed.join(", ")}: see above.`);
process.exitCode = failed.length === 0 ? 0 : 1;
