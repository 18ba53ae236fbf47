/** How far the gateway's linear memory grows under a mixed load: it never shrinks. */
import { drain, fill } from "./fixture.mjs";
import { cases } from "./requests.mjs";
import { gateway, startServers } from "./servers.mjs";
import { format } from "./statistics.mjs";
import { printTable } from "./table.mjs";

const CONTEXTS = 1000;
const TARGET_MB = 24;
const TURN_MS = 500;

/**
 * Loads the gateway and prints.
 *
 * @param {ReturnType<typeof import("./loader.mjs").startLoader>} loader
 * @param {{minutes: number}} options of load; every case has its turn again and again
 */
export async function measureMemory(loader, { minutes }) {
  const servers = await startServers((sandboxUrl) => [gateway(sandboxUrl, { entry: "weighing.mjs" })]);
  try {
    const [url] = servers.urls;
    const db = await servers.db();
    const ids = await fill(url, db, { contexts: CONTEXTS });
    const weigh = async () => (await fetch(`${url}/bench-memory`)).json();
    const before = await weigh();
    const began = performance.now();
    let requests = 0;
    while (performance.now() - began < minutes * 60_000) {
      for (const what of cases(ids)) {
        const { rate } = await loader.measure(url, what, { ms: TURN_MS });
        requests += (rate * TURN_MS) / 1000;
        await drain(db);
      }
    }
    const after = await weigh();
    if (after.instances !== before.instances) throw new Error(`The instance ended under the load: there were ${after.instances}.`);
    const megabytes = ({ bytes }) => format(bytes / 1e6, 1);
    printTable(
      `Linear memory of the gateway, in MB, of the 128 that an isolate has (${format(minutes, 1)} minutes, ${format(requests)} requests of all cases)`,
      ["", "before", "after", "target"],
      [["wasm memory", megabytes(before), megabytes(after), `≤ ${TARGET_MB}`]],
    );
  } finally {
    await servers.close();
  }
}
