// `npm run size`: the size of the release build by crate, and the largest functions of each crate.
// `-- --top 10` shows more functions. The module is made as for a deployment, but keeps its names.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { printTable } from "../bench/table.mjs";
import { build } from "./build.mjs";
import { isMain } from "./lib/paths.mjs";
import { during, fail } from "./lib/say.mjs";
import { addUp, takeApart, TARGET_KB } from "./lib/wasm-size.mjs";
import { bundleWorker, compiled } from "./lib/worker-bundle.mjs";

/** A crate with more than this share of the code is also shown by module. */
const LARGE = 0.2;
/** The most characters of a name, so that it fits in a line. */
const NAME_LENGTH = 100;

/** Builds the release profile and reads its module with names. */
async function namedModule() {
  if (!(await build("release"))) process.exit(1);
  const directory = mkdtempSync(join(tmpdir(), "chittyconnect-size-"));
  try {
    const bundle = () => bundleWorker("release", compiled("release", "chittyconnect"), directory, { withNames: true });
    const failure = await during("Optimizing the worker again, with names", bundle);
    if (failure !== null) fail(failure);
    return readFileSync(join(directory, "worker_bg.wasm"));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** The tables, as `printTable` takes them. */
export function tablesOf(wasm, { top }) {
  const parts = takeApart(wasm);
  const whole = addUp(parts);
  const kilobytes = (bytes) => (bytes / 1024).toFixed(1);
  const row = ({ name, functions, raw, gzipped }) => [name, functions.length || "", kilobytes(raw), percent(raw / whole.raw), kilobytes(gzipped)];
  const head = ["functions", "raw KB", "of the whole", "gzipped KB (estimated)"];
  const total = ["the whole", parts.functions.length, kilobytes(whole.raw), percent(1), kilobytes(whole.gzipped)];
  const target = ["target", "", "", "", `≤ ${TARGET_KB}`];
  const tables = [["By crate", ["", ...head], [...whole.groups.map(row), total, target]]];
  for (const { name, functions } of whole.groups) {
    if (functions.length === 0) continue;
    if (sum(functions) > LARGE * sum(parts.functions)) {
      const modules = addUp(parts, (member) => (member.crate === name ? moduleOf(member.name, name) : "")).groups;
      tables.push([`${name} by module`, ["", ...head], modules.filter((group) => group.name.startsWith(name)).map(row)]);
    }
    const largest = functions.slice(0, top).map((member) => [shortened(member.name), member.bytes.length]);
    tables.push([`The largest functions of ${name}`, ["", "bytes"], largest]);
  }
  return tables;
}

const sum = (functions) => functions.reduce((total, { bytes }) => total + bytes.length, 0);
const percent = (share) => `${(100 * share).toFixed(1)} %`;

/** Returns `crate::module` of a name, or the crate alone if no module follows. */
function moduleOf(name, crate) {
  const module = new RegExp(`(?<![\\w:])${crate}(?:\\[\\w+\\])?::(?:_::<impl .*? for ${crate}(?:\\[\\w+\\])?::)?([a-z]\\w*)`).exec(name)?.[1];
  return module ? `${crate}::${module}` : crate;
}

/** Returns a name without hashes, cut to fit in a line. */
function shortened(name) {
  const plain = name.replaceAll(/::h[0-9a-f]{16}|\[[0-9a-f]{8,16}\]/g, "") || "(unnamed)";
  return plain.length > NAME_LENGTH ? `${plain.slice(0, NAME_LENGTH - 1)}…` : plain;
}

if (isMain(import.meta.url)) {
  const { values } = parseArgs({ options: { top: { type: "string", default: "3" } } });
  const top = Number(values.top);
  if (!Number.isInteger(top) || top < 0) fail(`--top takes a number of functions, not "${values.top}".`);
  for (const table of tablesOf(await namedModule(), { top })) printTable(...table);
}
