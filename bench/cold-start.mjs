/** What a fresh isolate costs: from the request that starts it to its answer, beside that of a bare Worker. */
import path from "node:path";
import { ROOT, readWorker, run } from "../tests/e2e/harness/runtime.mjs";
import { gateway, WASM } from "./servers.mjs";
import { format, median, spread } from "./statistics.mjs";
import { printTable } from "./table.mjs";

/** The target of the ratio. */
const TARGET = 2.5;

/**
 * Measures and prints.
 *
 * @param {{isolates: number}} options how many of each are started, in turns
 */
export async function measureColdStarts({ isolates }) {
  const { miniflare, urls } = await run([launcher()], { onLog: ({ message }) => console.error(message) });
  try {
    const start = async (worker, isolate) => {
      const began = performance.now();
      const response = await fetch(`${urls[0]}/health?worker=${worker}&isolate=${worker}-${isolate}`);
      await response.arrayBuffer();
      if (!response.ok) throw new Error(`A fresh ${worker} answers ${response.status}.`);
      return performance.now() - began;
    };
    const first = { gateway: [], bare: [] };
    const again = { gateway: [], bare: [] };
    // The first two bring the launcher and the client to where they are measured.
    for (let isolate = -2; isolate < isolates; isolate += 1) {
      for (const worker of isolate % 2 === 0 ? ["gateway", "bare"] : ["bare", "gateway"]) {
        const cold = await start(worker, isolate);
        const warm = await start(worker, isolate);
        if (isolate < 0) continue;
        first[worker].push(cold);
        again[worker].push(warm);
      }
    }
    const ms = (values) => format(median(values), 1);
    printTable(
      `A fresh isolate's first answer (${isolates} of each, in turns; medians)`,
      ["", "gateway ms", "bare ms", "gateway : bare", "target"],
      [
        ["first request", ms(first.gateway), ms(first.bare), spread(first.gateway.map((value, index) => value / first.bare[index])), `≤ ${TARGET}`],
        ["second request", ms(again.gateway), ms(again.bare), spread(again.gateway.map((value, index) => value / again.bare[index])), ""],
      ],
    );
  } finally {
    await miniflare.dispose();
  }
}

/** The Worker that starts the others, with the built gateway in two pieces. */
function launcher() {
  const { config } = gateway("http://127.0.0.1:9");
  const { compatibilityDate, compatibilityFlags, env } = config;
  const texts = Object.entries(env).filter(([, { type }]) => type === "text");
  const worker = readWorker(path.join(ROOT, "wrangler.toml"), {
    modules: [
      { type: "ESModule", path: path.join(ROOT, "bench/launcher.mjs") },
      { type: "Text", path: path.join(path.dirname(WASM), "index.js") },
      { type: "Data", path: WASM },
    ],
  });
  const json = (value) => ({ type: "json", value });
  const bindings = {
    LOADER: { type: "worker-loader" },
    VARS: json(Object.fromEntries(texts.map(([name, { value }]) => [name, value]))),
    DATE: json(compatibilityDate),
    FLAGS: json(compatibilityFlags),
  };
  const { manifest } = worker.config;
  return { ...worker, config: { name: "launcher", compatibilityDate, compatibilityFlags, manifest, env: bindings, exports: {}, triggers: [] } };
}
