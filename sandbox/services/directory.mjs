/** Every simulated service: its name in the URL, and its handler. */
import { github } from "../github/directory.mjs";
import { outside } from "../outside/directory.mjs";
import { answer } from "./answer.mjs";
import { auth } from "./auth.mjs";
import { beacon } from "./beacon.mjs";
import { canon } from "./canon.mjs";
import { certify } from "./certify.mjs";
import { chat } from "./chat.mjs";
import { chronicle } from "./chronicle.mjs";
import { dna } from "./dna.mjs";
import { identity, minting } from "./identity.mjs";
import { register } from "./register.mjs";
import { registry } from "./registry.mjs";
import { target } from "./target.mjs";
import { verify } from "./verify.mjs";

/** The services of ChittyOS that the gateway calls, by their categories in ChittyRegistry. */
const CHITTYOS = {
  "core-infrastructure": { id: identity, mint: minting, auth, registry: (call, state) => registry(call, state, LISTED), register, beacon, canon },
  "security-verification": { verify, certify },
  "ai-intelligence": { dna },
  "document-evidence": { chronicle },
  "business-operations": { chat },
};

/** What ChittyRegistry lists from the beginning; the last are services that only it knows. */
const LISTED = { ...CHITTYOS, uncategorized: { almanac: target("almanac"), weather: target("weather") } };

const SERVICES = {
  ...Object.assign({}, ...Object.values(LISTED)),
  cases: target("cases"),
  finance: target("finance"),
  evidence: target("evidence"),
  // The target of a redirect fault: a client that follows it appears in the log of calls.
  elsewhere: () => answer(404, { error: "Not found" }),
};

/** The names of the services that the gateway calls and watches. */
export const CHITTYOS_NAMES = Object.values(CHITTYOS).flatMap(Object.keys);

/** The names that a URL's first segment may have. */
export const SERVICE_NAMES = Object.keys(SERVICES);

/** The common name of the hosts outside ChittyOS, in the log of calls and in faults. */
export const OUTSIDE = "outside";

/** The name of GitHub there. */
export const GITHUB = "github";

/** All names under which calls are logged and faults are set. */
export const CALLED_NAMES = [...SERVICE_NAMES, OUTSIDE, GITHUB];

/** Answers a call as the named service, the host outside, or GitHub would. */
export function serve(call, state) {
  if (call.service === GITHUB) return github(call, state);
  return call.service === OUTSIDE ? outside(call, state) : SERVICES[call.service](call, state);
}
