/**
 * Hosts with reserved names (RFC 2606, RFC 6761), for the calls of the gateway outside ChittyOS:
 * `/_outside/{host}/{path}` stands for `https://{host}/{path}`.
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

/** The hosts with routes of their own. */
export const HOST_NAMES = [...HOSTS.keys()];

/** Answers a call as its host would. */
export function outside(call, state) {
  return (HOSTS.get(call.host) ?? anyHost)(call, state);
}

function anyHost({ host, method, path }) {
  return method === "GET" && path === "/" ? answer(200, { host, path }) : answer(404, { error: "not_found", host, path });
}
