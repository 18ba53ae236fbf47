/** The requests that are measured. */
import { actorId } from "../sandbox/chitty-id.mjs";
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

/**
 * @typedef {object} Case
 * @property {string} name
 * @property {string} method
 * @property {string[]} paths taken in turn
 * @property {string} token
 * @property {string} [body]
 * @property {number} status what both sides answer
 * @property {number} [target] the least ratio gateway / control
 */

/**
 * @param {string[]} ids contexts of the reader
 * @returns {Case[]}
 */
export function cases(ids) {
  const read = (name, paths, target) => ({ name, method: "GET", paths, token: READER.token, status: 200, target });
  return [
    read("health", ["/health"]),
    read("get", ids.map((id) => `/v1/contexts/${id}`), 0.9),
    read("list of 100", ["/v1/contexts"], 1),
    read("search of 50", [`/v1/contexts/search?q=${WORDS.names}`], 1),
    { name: "create", method: "POST", paths: ["/v1/contexts"], token: WRITER.token, body: JSON.stringify(NEW_CONTEXT), status: 201 },
  ];
}

/** The cases whose names begin so. */
export function startingWith(only, all) {
  const chosen = all.filter(({ name }) => name.startsWith(only));
  if (chosen.length === 0) throw new Error(`No case begins with "${only}": there are ${all.map(({ name }) => name).join(", ")}.`);
  return chosen;
}

/** A case's requests as they go over the wire. */
export function wire({ method, paths, token, body = "" }, port) {
  return paths.map((path) =>
    [
      `${method} ${path} HTTP/1.1`,
      `host: 127.0.0.1:${port}`,
      `authorization: Bearer ${token}`,
      "accept: application/json",
      ...(body && ["content-type: application/json", `content-length: ${body.length}`]),
      `\r\n${body}`,
    ].join("\r\n"),
  );
}

/** A case's first request, sent by itself. */
export async function ask(url, { method, paths, token, body }, number = 0) {
  const response = await fetch(url + paths[0], {
    method,
    headers: { authorization: `Bearer ${token}`, ...(body && { "content-type": "application/json" }) },
    body: body?.replace(NUMBER, String(number).padStart(NUMBER.length, "0")),
  });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

/**
 * A reply as one line of JSON, without what may differ between two that mean the same: times, new
 * ids and names, cursors, which are opaque.
 */
export function comparable({ name }, text) {
  const json = JSON.stringify(JSON.parse(text));
  if (name === "health") return json.replace(DATE, "TIME");
  if (name !== "create") return json.replace(/"next_cursor":"[^"]+"/, '"next_cursor":"…"');
  return json
    .replaceAll(DATE, "TIME")
    .replaceAll(/\d\d-1-[A-Z]{3}-\d{4}-P-\d{4}-0-\d\d/g, "ID")
    .replaceAll(/Measured \d+/g, "NAME");
}
