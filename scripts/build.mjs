// `npm run build [dev|release]`, and wrangler's build command: builds the worker into build/<profile>,
// as index.js and worker_bg.wasm, and the pages that show the API into build/public.
//   dev       compiles in seconds after an edit; used by `npm start`, `npm test` and `wrangler dev`
//   release   small and fast; used for measurements and deployments
// Builds only what has changed. Prints nothing if nothing has.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { builtFrom } from "./lib/built-from.mjs";
import { cargoBuild } from "./lib/cargo.mjs";
import { refusal } from "./lib/deploy-guard.mjs";
import { placeDocsPage } from "./lib/docs-page.mjs";
import { withLock } from "./lib/lock.mjs";
import { isMain, ROOT } from "./lib/paths.mjs";
import { during, fail, say, since } from "./lib/say.mjs";
import { BUNDLED_WITH, bundleWorker, compilation, compiled, ESBUILD, GLUE, PROFILES } from "./lib/worker-bundle.mjs";
import { setup } from "./setup.mjs";

/**
 * Installs what is missing and builds what has changed. Compiling begins before npm has finished.
 *
 * @param {"dev" | "release"} profile
 * @returns {Promise<boolean>} whether it succeeded; errors are printed in full
 */
export async function build(profile = "dev") {
  const failure = await setup(() => compile(profile));
  return report(failure) && withLock("build", () => bundle(profile));
}

/** The same when wrangler runs the build. Installs nothing: wrangler itself runs from node_modules. */
async function buildBelowWrangler(profile) {
  if (!existsSync(ESBUILD)) fail("The tools are not installed yet: run node scripts/setup.mjs once.");
  return report(await compile(profile)) && withLock("build", () => bundle(profile));
}

/** Compiles the build tool and the worker. Returns cargo's complaints if one fails, else `null`. */
async function compile(profile) {
  const [glue, worker] = await Promise.all([
    cargoBuild("Compiling the build tool", ["--profile", "tool", "--package", "glue"], GLUE),
    cargoBuild("Compiling the worker", compilation(profile, "chittyconnect"), compiled(profile, "chittyconnect")),
  ]);
  return glue ?? worker;
}

function report(failure) {
  if (failure !== null) say(`${failure}\nThe worker does not build: see above.`);
  return failure === null;
}

async function bundle(profile) {
  const started = Date.now();
  const directory = join(ROOT, "build", profile);
  placeDocsPage();
  const cargoOutput = compiled(profile, "chittyconnect");
  const source = fingerprint(profile, cargoOutput);
  const mark = join(directory, ".made-from");
  if (source === read(mark) && outputs(directory).every(existsSync)) return true;

  const draft = `${directory}.draft`;
  const what = profile === "release" ? "Optimizing the worker" : "Bundling the worker";
  const failure = await during(what, () => bundleWorker(profile, cargoOutput, draft));
  if (failure !== null) {
    say(`${failure}\nThe worker cannot be bundled: see above.`);
    return false;
  }
  mkdirSync(directory, { recursive: true });
  rmSync(mark, { force: true });
  // The script comes last, because a running wrangler watches it.
  for (const name of ["worker_bg.wasm", "index.js"]) renameSync(join(draft, name), join(directory, name));
  rmSync(draft, { recursive: true });
  writeFileSync(mark, source);
  say(`Built the worker (${profile}) in ${since(started)}: ${size(directory)}`);
  return true;
}

const outputs = (directory) => ["index.js", "worker_bg.wasm"].map((name) => join(directory, name));

/** A hash of everything that the steps after cargo depend on. */
function fingerprint(profile, cargoOutput) {
  const hash = createHash("sha256").update(`${profile} ${builtFrom()}`);
  for (const file of [cargoOutput, ...BUNDLED_WITH]) hash.update(readFileSync(file));
  return hash.digest("hex");
}

function read(file) {
  return existsSync(file) ? readFileSync(file, "utf8") : null;
}

function size(directory) {
  const wasm = readFileSync(join(directory, "worker_bg.wasm"));
  const kilobytes = (bytes) => `${Math.round(bytes.length / 1024)} KB`;
  return `${kilobytes(wasm)} of wasm, ${kilobytes(gzipSync(wasm, { level: 9 }))} gzipped`;
}

if (isMain(import.meta.url)) {
  const profile = process.argv[2] ?? "dev";
  if (!Object.hasOwn(PROFILES, profile)) fail(`There is no profile "${profile}": ${Object.keys(PROFILES).join(", ")}.`);
  const refused = refusal();
  if (refused) fail(refused);
  const built = await (process.env.WRANGLER_COMMAND ? buildBelowWrangler : build)(profile);
  // Under `npm start` a failed build is no failure, so that the last good build keeps answering:
  // otherwise wrangler would hold every request until the next good build.
  process.exit(built || process.env.CHITTY_SAY_TO ? 0 : 1);
}
