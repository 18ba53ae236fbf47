/** Every simulated service: its name in the URL, and what answers there. */
import { answer, iso } from "./answer.mjs";
import { auth } from "./auth.mjs";
import { chronicle } from "./chronicle.mjs";
import { identity, minting } from "./identity.mjs";

const REGISTRY_ENDPOINTS = ["/health", "/api/v1/tools", "/api/v1/tools/{chitty_id}", "/api/v1/manifest", "/v0.1/servers"];

const NOT_FOUND = { error: "Not found" };

/** A service of which only the health check is simulated. */
function healthOnly(health, notFound = NOT_FOUND) {
  return (call) =>
    call.method === "GET" && call.path === "/health" ? answer(200, { ...health, timestamp: iso(call.at) }) : answer(404, notFound);
}

const SERVICES = {
  id: identity,
  mint: minting,
  auth,
  registry: healthOnly(
    { status: "ok", service: "chittyregistry", version: "2.0.0", tier: 2, stats: { tools: 0 } },
    { error: "Endpoint not found", availableEndpoints: REGISTRY_ENDPOINTS },
  ),
  register: healthOnly({ status: "ok", service: "chittyregister", version: "1.0.0", features: [] }),
  dna: healthOnly({ status: "healthy", service: "chittydna", version: "1.0.0" }),
  verify: healthOnly({ status: "healthy", service: "chittyverify", version: "1.0.0" }),
  certify: healthOnly({ status: "healthy", service: "ChittyCertify", version: "1.0.0" }),
  chronicle,
  beacon: healthOnly({ status: "operational", service: "chittybeacon", version: "1.0.0" }),
  canon: healthOnly({ status: "healthy", service: "chittycanon", version: "1.0.0" }),
  chat: healthOnly({ status: "active", service: "chittychat", version: "1.0.0" }),
  // Where a redirect fault points to: whoever follows it shows up in the calls.
  elsewhere: () => answer(404, NOT_FOUND),
};

/** The names that a URL's first segment may have. */
export const SERVICE_NAMES = Object.keys(SERVICES);

/** Answers a call as the named service would. */
export function serve(call, state) {
  return SERVICES[call.service](call, state);
}
