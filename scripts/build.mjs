// `npm run build`, and wrangler's build command: the worker into build/index.js and
// build/index_bg.wasm, the page that shows the API into build/public.
// What has not changed is not made again. Quiet unless something is wrong.
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { run } from "./lib/command.mjs";
import { refusal } from "./lib/deploy-guard.mjs";
import { placeDocsPage } from "./lib/docs-page.mjs";
import { withPlainEntry } from "./lib/plain-entry.mjs";
import { BIN, isMain, ROOT, toolEnv, WASM_BINDGEN, WORKER_BUILD } from "./lib/paths.mjs";
import { during, fail, say, since } from "./lib/say.mjs";
import { setup } from "./setup.mjs";

const BUILD = join(ROOT, "build");
const SCRIPT = join(BUILD, "index.js");
const WASM = join(BUILD, "index_bg.wasm");
/** Names what build/ was made from. */
const MADE_FROM = join(BUILD, ".made-from");
const CARGO_OUTPUT = join(ROOT, "target", "wasm32-unknown-unknown", "release", "chittyconnect.wasm");

const ENV = {
  // Exactly what worker-build does, so that its own cargo call finds everything fresh.
  WASM_BINDGEN_USE_JS_SYS: "1",
  // The programs that it would otherwise download.
  ESBUILD_BIN: join(BIN, "esbuild"),
  WASM_OPT_BIN: join(BIN, "wasm-opt"),
  WASM_BINDGEN_BIN: WASM_BINDGEN,
  // Generates `ctx.waitUntil(response)` into the fetch handler (worker-build 0.8.7, main.rs): without
  // it the runtime drops a request whose client has gone, between minting an id and storing it.
  RUN_TO_COMPLETION: "1",
  // Readable, so that the entry can be found in it: see plain-entry.mjs.
  NO_MINIFY: "1",
};

const STRIP = ["--all-features", "--strip-debug"];

/** Builds what has changed; resolves to whether it succeeded. Errors are printed in full. */
export async function build() {
  const started = Date.now();
  const log = [];
  const onOutput = (chunk) => log.push(Buffer.from(chunk));
  const first = existsSync(CARGO_OUTPUT) ? "" : " (about 1 minute the first time)";
  const made = await during(`Building the worker${first}`, () => make(onOutput));
  if (made === "failed") {
    say(Buffer.concat(log).toString().trimEnd());
    say("The worker does not build: see above.");
    return false;
  }
  placeDocsPage();
  if (made === "built") say(`Built the worker in ${since(started)}: ${size()}`);
  return true;
}

async function make(onOutput) {
  const env = toolEnv(ENV);
  const color = process.stderr.isTTY ? "always" : "never";
  const cargo = ["build", "--quiet", "--color", color, "--release", "--lib", "--target", "wasm32-unknown-unknown"];
  if ((await run("cargo", cargo, { env, onOutput })) !== 0) return "failed";
  const source = fingerprint();
  if (source === madeFrom() && [SCRIPT, WASM].every(existsSync)) return "fresh";
  rmSync(MADE_FROM, { force: true });
  if ((await run(WORKER_BUILD, ["--release"], { env, onOutput })) !== 0) return "failed";
  // The names of functions are a twelfth of it, and a panic says its place without them. worker-build
  // always keeps them.
  if ((await run(ENV.WASM_OPT_BIN, [WASM, ...STRIP, "-o", WASM], { env, onOutput })) !== 0) return "failed";
  writeFileSync(SCRIPT, withPlainEntry(readFileSync(SCRIPT, "utf8")));
  writeFileSync(MADE_FROM, source);
  return "built";
}

/** Everything that the steps after cargo depend on. */
function fingerprint() {
  const hash = createHash("sha256").update(JSON.stringify([ENV, STRIP])).update(withPlainEntry.toString());
  for (const file of [CARGO_OUTPUT, join(ROOT, "Cargo.toml"), join(ROOT, "package-lock.json"), WORKER_BUILD, WASM_BINDGEN]) {
    hash.update(readFileSync(file));
  }
  return hash.digest("hex");
}

function madeFrom() {
  return existsSync(MADE_FROM) ? readFileSync(MADE_FROM, "utf8") : null;
}

function size() {
  const wasm = readFileSync(WASM);
  const kilobytes = (bytes) => `${Math.round(bytes.length / 1024)} KB`;
  return `${kilobytes(wasm)} of wasm, ${kilobytes(gzipSync(wasm, { level: 9 }))} gzipped`;
}

if (isMain(import.meta.url)) {
  const refused = refusal();
  if (refused) fail(refused);
  // Never while wrangler is running from node_modules.
  if (!process.env.WRANGLER_COMMAND) await setup();
  else if (!existsSync(WORKER_BUILD)) fail("The tools are not installed yet: run node scripts/setup.mjs once.");
  // Below `npm start` the last good build goes on answering: wrangler would hold every request
  // from a failed build to the next good one.
  process.exit((await build()) || process.env.CHITTY_SAY_TO ? 0 : 1);
}
