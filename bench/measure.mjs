/** The benchmark itself, on the repository's own Node. */
import { readFileSync } from "node:fs";
import os from "node:os";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import { TARGET_KB } from "../scripts/lib/wasm-size.mjs";
import { measureColdStarts } from "./cold-start.mjs";
import { compare } from "./compare.mjs";
import { measureFlatness } from "./flat.mjs";
import { startLoader } from "./loader.mjs";
import { measureMemory } from "./memory.mjs";
import { countRoundTrips } from "./round-trips.mjs";
import { WASM } from "./servers.mjs";
import { format } from "./statistics.mjs";

const { values } = parseArgs({
  options: {
    rounds: { type: "string" },
    quick: { type: "boolean", default: false },
    only: { type: "string" },
    flat: { type: "boolean", default: false },
    memory: { type: "boolean", default: false },
  },
});

const rounds = Number(values.rounds ?? (values.quick ? 3 : 9));
if (!Number.isInteger(rounds) || rounds < 1) throw new Error("--rounds takes a whole number from 1.");
const options = { rounds, ms: values.quick ? 500 : 1000, only: values.only };

const loader = startLoader();
try {
  console.log(`${os.cpus().length} cores, load ${format(os.loadavg()[0], 1)}, Node ${process.versions.node}`);
  if (values.flat) {
    await measureFlatness(loader, { ...options, quick: values.quick });
  } else if (values.memory) {
    await measureMemory(loader, { minutes: values.quick ? 0.5 : 10 });
  } else {
    await compare(loader, options);
    if (!values.only) {
      await countRoundTrips();
      await measureColdStarts({ isolates: values.quick ? 10 : 40 });
    }
    const wasm = readFileSync(WASM);
    const kilobytes = (bytes) => format(bytes / 1024);
    console.log(`\nwasm: ${kilobytes(gzipSync(wasm, { level: 9 }).length)} KB gzipped, ${kilobytes(wasm.length)} KB raw (target: at most ${TARGET_KB} KB gzipped; npm run size has the crates)`);
  }
} catch (error) {
  console.error(`The benchmark stopped. ${error.message}`);
  process.exitCode = 1;
} finally {
  await loader.close();
}
