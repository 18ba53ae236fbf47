/** What runs in the process that startGatewayProcess starts: a gateway, told over IPC what to do. */
import { startGateway } from "./gateway.mjs";

let gateway;

const OPERATIONS = {
  async start(options) {
    gateway = await startGateway({ ...options, onLog: (log) => process.send({ log }) });
    return gateway.urls;
  },
  scheduled: (event) => gateway.scheduled(event),
  queue: (queue, messages) => gateway.queue(queue, messages),
  async rows(sql, ...bindings) {
    const database = await gateway.db();
    const statement = database.prepare(sql);
    const { results } = await (bindings.length > 0 ? statement.bind(...bindings) : statement).all();
    return results;
  },
  async close() {
    await gateway?.close();
    process.exit(0);
  },
};

process.on("message", async ({ id, operation, args = [] }) => {
  try {
    process.send({ id, result: await OPERATIONS[operation](...args) });
  } catch (error) {
    process.send({ id, error: String(error?.stack ?? error) });
  }
});

// The test is gone: nothing may be left running behind it.
process.once("disconnect", OPERATIONS.close);
