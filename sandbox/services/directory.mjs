/** Every simulated service: its name in the URL, and what answers there. */
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

const SERVICES = {
  id: identity,
  mint: minting,
  auth,
  registry,
  register,
  dna,
  verify,
  certify,
  chronicle,
  beacon,
  canon,
  chat,
  cases: target("cases"),
  finance: target("finance"),
  evidence: target("evidence"),
  almanac: target("almanac"),
  // Where a redirect fault points to: whoever follows it shows up in the calls.
  elsewhere: () => answer(404, { error: "Not found" }),
};

/** The names that a URL's first segment may have. */
export const SERVICE_NAMES = Object.keys(SERVICES);

/** What the hosts outside ChittyOS are together called, in the log of calls and in faults. */
export const OUTSIDE = "outside";

/** What GitHub is called there. */
export const GITHUB = "github";

/** The names that a call is logged under, and a fault set on. */
export const CALLED_NAMES = [...SERVICE_NAMES, OUTSIDE, GITHUB];

/** Answers a call as the named service, the host outside, or GitHub would. */
export function serve(call, state) {
  if (call.service === GITHUB) return github(call, state);
  return call.service === OUTSIDE ? outside(call, state) : SERVICES[call.service](call, state);
}
