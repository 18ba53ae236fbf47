/** The requests that are measured. */
import { actorId } from "../sandbox/chitty-id.mjs";
import { eventOf, signatureOf } from "../tests/e2e/harness/github.mjs";
import { DATE, WORDS } from "./seed.mjs";

/** Stands for eight digits that differ in each request: names are unique. */
export const NUMBER = "########";

/** Who owns what is read. Its contexts stay as they were seeded. */
export const READER = { token: "dev-bench-reader", owner: actorId("bench-reader") };
/** Who creates. */
export const WRITER = { token: "dev-bench-writer", owner: actorId("bench-writer") };

/** What is created, but for the number. */
export const NEW_CONTEXT = {
  name: `Measured ${NUMBER} of the benchmark`,
  data: [{ repo: "chittyos/chittyconnect", branch: "main", issue: 17, note: "made to be measured" }],
  systems: ["chittyauth", "chittyid"],
  tools: ["search", "review"],
};

/** Where the discovery document is. */
export const DISCOVERY = "/.well-known/chitty.json";

/** Where GitHub delivers. */
const WEBHOOK = "/integrations/github/webhook";

/**
 * @typedef {object} Case
 * @property {string} name
 * @property {string} method
 * @property {string[]} paths taken in turn
 * @property {string} [token]
 * @property {Record<string, string>} [headers]
 * @property {string} [body] ASCII
 * @property {number} status what both sides answer
 * @property {number} [target] the least ratio gateway / control
 */

/** A push of so many bytes, delivered with an id of its own each time. */
function delivery(name, bytes) {
  const { event, payload } = eventOf("push");
  const { ref, before, after, repository, installation, sender } = payload;
  const { id, full_name } = repository;
  const push = { ref, before, after, repository: { id, full_name, private: false }, installation, sender: { id: sender.id, type: sender.type }, commits: [{ id: after, message: "" }] };
  push.commits[0].message = "x".repeat(bytes - JSON.stringify(push).length);
  const body = JSON.stringify(push);
  const headers = { "x-github-event": event, "x-github-delivery": `72d3162e-cc78-11e3-81ab-${NUMBER}`, "x-hub-signature-256": signatureOf(body) };
  return { name, method: "POST", paths: [WEBHOOK], headers, body, status: 202, target: 0.9 };
}

/**
 * @param {string[]} ids contexts of the reader
 * @returns {Case[]}
 */
export function cases(ids) {
  const read = (name, paths, target) => ({ name, method: "GET", paths, token: READER.token, status: 200, target });
  return [
    read("health", ["/health"], 0.75),
    { name: "discovery", method: "GET", paths: [DISCOVERY], status: 200, target: 0.75 },
    read("get", ids.map((id) => `/v1/contexts/${id}`), 0.95),
    read("list of 100", ["/v1/contexts"], 1),
    read("search of 50", [`/v1/contexts/search?q=${WORDS.names}`], 0.95),
    { name: "create", method: "POST", paths: ["/v1/contexts"], token: WRITER.token, body: JSON.stringify(NEW_CONTEXT), status: 201, target: 0.75 },
    delivery("webhook, 1 KB", 1024),
    delivery("webhook, 8 KB", 8192),
  ];
}

/** The cases whose names begin so. */
export function startingWith(only, all) {
  const chosen = all.filter(({ name }) => name.startsWith(only));
  if (chosen.length === 0) throw new Error(`No case begins with "${only}": there are ${all.map(({ name }) => name).join(", ")}.`);
  return chosen;
}

/** The headers of a case's requests. */
function headersOf({ token, headers, body }) {
  const credential = token && { authorization: `Bearer ${token}` };
  return { ...credential, accept: "application/json", ...(body && { "content-type": "application/json" }), ...headers };
}

/** A case's requests as they go over the wire. */
export function wire(what, port) {
  const { method, paths, body = "" } = what;
  const headers = { host: `127.0.0.1:${port}`, ...headersOf(what), ...(body && { "content-length": body.length }) };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  return paths.map((path) => [`${method} ${path} HTTP/1.1`, ...lines, `\r\n${body}`].join("\r\n"));
}

/** A case's first request, sent by itself. */
export async function ask(url, what, number = 0) {
  const digits = String(number).padStart(NUMBER.length, "0");
  const { method, paths, body } = what;
  const headers = JSON.parse(JSON.stringify(headersOf(what)).replace(NUMBER, digits));
  const response = await fetch(url + paths[0], { method, headers, body: body?.replace(NUMBER, digits) });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

/**
 * A reply as one line of JSON, without what may differ between two that mean the same: times, new
 * ids and names, cursors, which are opaque.
 */
export function comparable({ name }, text) {
  const json = JSON.stringify(JSON.parse(text));
  if (name === "health") return json.replaceAll(DATE, "TIME").replaceAll(/"(uptime|\w*HealthChecks)":\d+/g, '"$1":0');
  // What the watch says of a service may change meanwhile.
  if (name === "discovery") return json.replaceAll(DATE, "TIME").replaceAll(/"status":"\w+"/g, '"status":"…"');
  if (name.startsWith("webhook")) return json.replaceAll(/-\d{8}"/g, '-NUMBER"');
  if (!name.startsWith("create")) return json.replace(/"next_cursor":"[^"]+"/, '"next_cursor":"…"');
  return json
    .replaceAll(DATE, "TIME")
    .replaceAll(/\d\d-1-[A-Z]{3}-\d{4}-P-\d{4}-0-\d\d/g, "ID")
    .replaceAll(/Measured \d+/g, "NAME");
}
