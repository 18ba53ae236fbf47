/**
 * Gives the bundle of worker-build a plain handler object as its default export.
 *
 * worker-build (0.8.7) exports a class behind proxies, so that Durable Objects survive a panic: for
 * every request the runtime makes an instance, and three proxies are made around it and its method,
 * which costs about 40 µs, a third of what a request without a database costs. A stateless handler
 * needs none of that, only the two hooks of worker-build's own that start wasm afresh after a panic.
 * Whatever else the bundle exports stays as it is.
 *
 * @param {string} bundle what worker-build made with NO_MINIFY
 * @returns {string} the bundle to deploy
 */
export function withPlainEntry(bundle) {
  const handler = (name, parameters) => {
    const found = new RegExp(`^function (${name}\\d*)\\(${parameters}\\) \\{$`, "m").exec(bundle);
    if (!found) throw new Error(`worker-build's bundle has no function ${name}(${parameters}) any more: see scripts/lib/plain-entry.mjs`);
    return found[1];
  };
  const fetch = handler("fetch", "req, env, ctx");
  const queue = handler("queue", "batch, env, \\w+");
  const scheduled = handler("scheduled", "event, env, ctx");
  handler("checkReinitialize", "");
  handler("handleMaybeCritical", "e");
  const exported = /^ {2}shim_default as default$/m;
  if (!exported.test(bundle)) throw new Error("worker-build's bundle has another default export: see scripts/lib/plain-entry.mjs");
  return bundle.replace(exported, "  gateway as default").replace(/^export \{$/m, `${entry({ fetch, queue, scheduled })}export {`);
}

const entry = ({ fetch, queue, scheduled }) => `
function guarded(handler) {
  return async (event, env, ctx) => {
    checkReinitialize();
    try {
      return await handler(event, env, ctx);
    } catch (error) {
      handleMaybeCritical(error);
      throw error;
    }
  };
}
function respond(request, env, ctx) {
  const response = ${fetch}(request, env, ctx);
  // A change is carried to its end even when its client has gone: see RUN_TO_COMPLETION in build.mjs.
  if (request.method !== "GET") ctx.waitUntil(response);
  return response;
}
var gateway = { fetch: guarded(respond), queue: guarded(${queue}), scheduled: guarded(${scheduled}) };
`;
