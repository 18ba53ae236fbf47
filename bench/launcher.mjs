/**
 * Starts a Worker in a fresh isolate for each request that names a new one: `?isolate=<name>&worker=<gateway|bare>`.
 * The request goes on to it as it is.
 */
import script from "../build/release/index.js";
import wasm from "../build/release/worker_bg.wasm";

const MODULES = {
  gateway: { "index.js": script, "worker_bg.wasm": { wasm } },
  bare: { "index.js": `export default { fetch() { return Response.json({ status: "ok" }); } };` },
};

export default {
  fetch(request, { LOADER, VARS, DATE, FLAGS }) {
    const { searchParams } = new URL(request.url);
    const which = searchParams.get("worker");
    const worker = LOADER.get(searchParams.get("isolate"), () => ({
      compatibilityDate: DATE,
      compatibilityFlags: FLAGS,
      mainModule: "index.js",
      modules: MODULES[which],
      env: VARS,
    }));
    return worker.getEntrypoint().fetch(request);
  },
};
