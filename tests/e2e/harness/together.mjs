/** A sandbox and the gateways that use it, which are started and ended together. */
import { startGateway } from "./gateway.mjs";
import { startSandbox } from "./sandbox.mjs";

/**
 * Gives `{sandbox, gateway, another, close}`: `another(options)` starts a gateway besides the one that
 * most tests of a file share, and `close` ends all of it.
 *
 * @param {import("./gateway.mjs").GatewayOptions} [options] the shared gateway's
 */
export async function startTogether(options = {}) {
  const sandbox = await startSandbox();
  const gateways = [];
  const another = async (more = {}) => {
    const started = await startGateway({ sandboxUrl: sandbox.url, ...more });
    gateways.push(started);
    return started;
  };
  const close = async () => {
    await Promise.all(gateways.map((started) => started.close()));
    await sandbox.close();
  };
  const gateway = await another(options).catch(async (error) => {
    await close();
    throw error;
  });
  return { sandbox, gateway, another, close };
}
