// Turns the wasm that cargo made into the files that the Workers runtime loads.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { builtFrom } from "./built-from.mjs";
import { run } from "./command.mjs";
import { BIN, NODE_MODULES, ROOT } from "./paths.mjs";

const WASM_TARGET = "wasm32-unknown-unknown";

/** For each profile its name for cargo, the flags of rustc, and the passes of wasm-opt. */
export const PROFILES = {
  dev: { cargo: "worker-dev", rustc: [], optimize: null },
  release: {
    cargo: "release",
    // LLVM's default is 275, for processors on which a call costs more. This bound saves an eighth of the
    // size; bench/README.md has its cost in time.
    rustc: ["-Cllvm-args=-inline-threshold=50"],
    // LLVM has made the code fast; these passes make it small. The passes of -O3 and -Os renumber local
    // variables again and again, so that similar code no longer compresses well: bench/README.md has the
    // sizes. Instances of one generic function have one name, and side by side they compress best. The names
    // are removed in the end: a panic reports its place without them.
    optimize: [
      "--duplicate-function-elimination", "--dae-optimizing", "--remove-unused-brs", "--remove-unused-names",
      "--optimize-instructions", "--precompute", "--rse", "--merge-blocks", "--simplify-locals-notee-nostructure",
      "--reorder-locals", "--vacuum", "--duplicate-function-elimination", "--remove-unused-module-elements",
      "--reorder-functions-by-name", "--strip-debug",
      // The features that rustc 1.95 compiles for, and the exceptions of wasm-bindgen's glue. With
      // `--all-features` wasm-opt would write code that no released V8 reads.
      "--enable-bulk-memory", "--enable-bulk-memory-opt", "--enable-call-indirect-overlong", "--enable-exception-handling",
      "--enable-multivalue", "--enable-mutable-globals", "--enable-nontrapping-float-to-int", "--enable-reference-types",
      "--enable-sign-ext",
    ],
  },
};

/** Runs wasm-bindgen: see scripts/glue. */
export const GLUE = join(ROOT, "target", "tool", "glue");
const ENTRY = join(ROOT, "src", "workers", "entry.mjs");
export const ESBUILD = join(BIN, "esbuild");
const WASM_OPT = join(BIN, "wasm-opt");

/** The other files that the result depends on: a change of one of them makes it stale. */
export const BUNDLED_WITH = [GLUE, ENTRY, fileURLToPath(import.meta.url), join(NODE_MODULES, ".package-lock.json")];

/** Returns the arguments with which `cargo build` compiles a package of the workspace for the runtime. */
export function compilation(profile, name) {
  const { cargo, rustc } = PROFILES[profile];
  const flags = rustc.length > 0 ? ["--config", `target.${WASM_TARGET}.rustflags=${JSON.stringify(rustc)}`] : [];
  return ["--profile", cargo, "--package", name, "--lib", "--target", WASM_TARGET, ...flags];
}

/** The file that `compilation` makes. */
export function compiled(profile, name) {
  return join(ROOT, "target", WASM_TARGET, PROFILES[profile].cargo, `${name}.wasm`);
}

/**
 * Makes `index.js` and `worker_bg.wasm` in a directory, which is emptied first. `withNames` keeps the names
 * of functions, which only `npm run size` reads.
 *
 * @returns {Promise<string | null>} the output of a step that failed, else `null`
 */
export async function bundleWorker(profile, cargoOutput, directory, { withNames = false } = {}) {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const optimize = PROFILES[profile].optimize?.map((flag) => (withNames && flag === "--strip-debug" ? "--debuginfo" : flag));
  const [wasm, glue, bundle] = ["worker_bg.wasm", "worker.js", "bundle.js"].map((name) => join(directory, name));
  const steps = [
    [GLUE, [cargoOutput, directory]],
    ...(optimize ? [[WASM_OPT, [wasm, ...optimize, "-o", wasm]]] : []),
    [ESBUILD, [
      ENTRY, `--alias:worker-glue=${glue}`, "--bundle", "--format=esm", "--external:*.wasm", "--external:cloudflare:*",
      "--log-level=warning", `--define:BUILT_FROM=${JSON.stringify(builtFrom())}`, `--outfile=${bundle}`,
    ]],
  ];
  const log = [];
  for (const [program, args] of steps) {
    const code = await run(program, args, { cwd: directory, onOutput: (chunk) => log.push(Buffer.from(chunk)) });
    if (code !== 0) return Buffer.concat(log).toString().trimEnd();
  }
  writeFileSync(join(directory, "index.js"), withPlainImport(readFileSync(bundle, "utf8")));
  return null;
}

/** Replaces the source-phase import of wasm-bindgen: the runtime gives the same for any import of a .wasm. */
function withPlainImport(bundle) {
  const phased = /^import source (?=\w+ from "\.\/worker_bg\.wasm";$)/m;
  if (!phased.test(bundle)) throw new Error("wasm-bindgen imports the module in another way now: see scripts/lib/worker-bundle.mjs");
  return bundle.replace(phased, "import ");
}
