/**
 * Hosts that are nobody's (RFC 2606, RFC 6761), for what the gateway calls outside ChittyOS:
 * `https://{host}/{path}` arrives at `/_outside/{host}/{path}`.
 */
import { answer } from "../services/answer.mjs";
import { apiPartner } from "./api-partner.mjs";
import { loginPartner } from "./login-partner.mjs";

const HOSTS = new Map(
  Object.entries({
    "api.partner.example": apiPartner,
    "login.partner.example": loginPartner,
  }),
);

/** The hosts that do more than say that they were reached. */
export const HOST_NAMES = [...HOSTS.keys()];

/** Answers a call as its host would. */
export function outside(call, state) {
  return (HOSTS.get(call.host) ?? anyHost)(call, state);
}

function anyHost({ host, method, path }) {
  return method === "GET" && path === "/" ? answer(200, { host, path }) : answer(404, { error: "not_found", host, path });
}
