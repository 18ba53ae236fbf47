/** What compares every reply of these tests with /openapi.json finds what is not as it is described. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { checkDescribed } from "./harness/description.mjs";

const ID = "03-1-USA-0001-P-2611-0-92";
const CONTEXT = {
  chitty_id: ID, chittyId: ID, contextId: ID, name: "n", owner_chitty_id: ID, owner: ID, data: [], systems: [], tools: [], status: "active",
  created_at: "2026-01-02T03:04:05.678Z", updated_at: "2026-01-02T03:04:05.678Z", created: "2026-01-02T03:04:05.678Z", deleted_at: null, chitty_dna_id: null, chitty_chronicle_timeline_id: null,
};
const PROBLEM = { type: "https://connect.chitty.cc/docs/errors#not_found", title: "There is no such entity", status: 404, detail: "None.", code: "not_found", request_id: "r" };
const json = (body, { status = 200, headers = {}, type = "application/json" } = {}) =>
  new Response(typeof body === "string" ? body : JSON.stringify(body), { status, headers: { "content-type": type, "x-request-id": "r", ...headers } });
const shown = (more, options) => [`/v1/contexts/${ID}`, {}, json({ ...CONTEXT, ...more }, options)];
const problem = (more, options) => json({ ...PROBLEM, ...more }, { status: PROBLEM.status, type: "application/problem+json", ...options });

test("a reply that is as it is described passes", async () => {
  await checkDescribed(...shown({}, { headers: { etag: '"e"', ratelimit: '"read";r=1;t=1' } }));
  await checkDescribed(`/v1/contexts/${ID}/`, {}, problem());
  await checkDescribed(`/v1/contexts/${ID}`, { method: "HEAD" }, new Response(null, { headers: { "content-type": "application/json", "x-request-id": "r" } }));
  await checkDescribed("/v1/nowhere", {}, problem({ code: "unknown_path" }));
  await checkDescribed("/v1/contexts", { method: "PUT" }, problem({ code: "method_not_allowed", status: 405 }, { status: 405, type: "application/problem+json" }));
  await checkDescribed("/v1/connections/conn_1/proxy/x", {}, json("whatever", { status: 418, type: "text/plain" }));
  await checkDescribed("/docs", {}, json("<p>", { type: "text/html" }));
});

for (const [what, [target, init, reply], expected] of [
  ["a member that is not described", shown({ secret: 1 }), /secret/],
  ["a member that is missing", shown({ name: undefined }), /name/],
  ["a word that is none of a closed set", shown({ status: "asleep" }), /\/status/],
  ["a time that is none", shown({ created_at: "yesterday" }), /\/created_at/],
  ["a body that is no JSON", [`/v1/contexts/${ID}`, {}, json("{")], /no JSON/],
  ["another content type", shown({}, { type: "text/plain" }), /content type text\/plain/],
  ["a status that is not described", shown({}, { status: 202 }), /a status that is not described/],
  ["a header that is missing", [`/v1/contexts/${ID}`, {}, new Response(JSON.stringify(CONTEXT), { headers: { "content-type": "application/json" } })], /X-Request-ID/],
  ["a header that is not described", shown({}, { headers: { location: "/" } }), /Location/],
  ["a challenge that is missing", ["/v1/contexts", {}, problem({ status: 401, code: "invalid_token" }, { status: 401, type: "application/problem+json" })], /WWW-Authenticate/],
  ["a code that there is not", [`/v1/contexts/${ID}`, {}, problem({ code: "no_such_code" })], /\/code/],
  ["a refusal that is no problem", [`/v1/contexts/${ID}`, {}, json({ error: "none" }, { status: 404 })], /content type/],
  ["a method that is not described, answered", ["/v1/contexts", { method: "PUT" }, json({})], /a method that is not/],
]) {
  test(`${what} is found`, () => assert.rejects(checkDescribed(target, init, reply), expected));
}
