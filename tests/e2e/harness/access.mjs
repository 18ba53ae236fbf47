/** What the tests of who may do what share: a gateway that has registered, its callers and its administrator. */
import assert from "node:assert/strict";
import { until } from "./await.mjs";
import { client } from "./client.mjs";
import { rowsOf } from "./contents.mjs";
import { people } from "./people.mjs";
import { startTogether } from "./together.mjs";

const EXPECTED = /identity_orphaned|announce_failed|upstream_failed/;

/**
 * @param {string} prefix what the names of people begin with
 * @param {import("./gateway.mjs").GatewayOptions} [options]
 */
export async function startAccess(prefix, options = { isolates: 2 }) {
  const together = await startTogether(options);
  const { gateway } = together;
  const [admin, anyone] = [client(gateway, "dev-admin"), client(gateway)];
  try {
    await gateway.scheduled();
    await until(async () => (await anyone("GET", "/health")).json.ecosystem.state === "registered", { timeout: 20_000, what: "the registration" });
  } catch (error) {
    await together.close();
    throw error;
  }
  return {
    ...together,
    /** An administrator. */
    admin,
    /** A caller without a credential. */
    anyone,
    /** Makes an actor whom no other test knows. */
    person: people(gateway, prefix),
    /** The rows of a D1 query. */
    rows: rowsOf(gateway),
    /** Sets an actor's status. */
    setStatus: (id, status) => admin("PATCH", `/v1/actors/${id}`, { body: { status } }),
    /** Sets what an actor is granted. */
    grant: async (id, capabilities) => {
      const granted = await admin("PUT", `/v1/actors/${id}/capabilities`, { body: { capabilities } });
      assert.equal(granted.status, 200, granted.text);
    },
    /** What the shared gateway complained of, but for what these tests bring about. */
    complaints: () => gateway.logs.filter(({ message }) => !EXPECTED.test(message)),
  };
}
