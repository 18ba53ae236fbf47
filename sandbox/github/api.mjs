/**
 * GitHub's REST API: identifies the caller, applies the rate limits, and adds the common headers. The files
 * of the routes have their answers.
 */
import { APP_ROUTES } from "./api-app.mjs";
import { CHECK_ROUTES } from "./api-checks.mjs";
import { CONTENT_ROUTES } from "./api-contents.mjs";
import { INSTALLATION_ROUTES } from "./api-installation.mjs";
import { ISSUE_ROUTES } from "./api-issues.mjs";
import { USER_ROUTES } from "./api-user.mjs";
import { callerOf } from "./credentials.mjs";
import { bucketOf, isUsedUp, primaryRefusal, rateHeaders, rateView, secondaryRefusal, use } from "./rate.mjs";
import { notFound, refused, reply } from "./reply.mjs";
import { compile, match } from "../routes.mjs";

const VERSION = "2022-11-28";
const BY_CALLER = {
  app: APP_ROUTES,
  installation: [...INSTALLATION_ROUTES, ...CONTENT_ROUTES, ...ISSUE_ROUTES, ...CHECK_ROUTES],
  user: USER_ROUTES,
};

const ROUTES = compile(Object.entries(BY_CALLER).flatMap(([kind, routes]) => routes.map(([route, handle]) => [route, handle, kind])));

/** Answers a call below /_github/api. */
export function api(call, state) {
  const reply = call.userAgent === "" ? noAgent() : answerTo(call, state);
  const version = call.headers["x-github-api-version"] ?? VERSION;
  return { ...reply, headers: { ...reply.headers, "x-github-api-version-selected": version, "x-github-request-id": crypto.randomUUID() } };
}

function answerTo(call, state) {
  const isAppRoute = /^\/app(\/|$)/.test(call.path);
  const caller = callerOf(call, isAppRoute, state);
  if (caller.refusal) return caller.refusal;
  const bucket = bucketOf(caller.bucket, call.at, state);
  const asksForRate = call.method === "GET" && call.path === "/rate_limit";
  if (asksForRate) return withHeaders(rateAnswer(bucket), rateHeaders(bucket));
  const refusal = secondaryRefusal(call.at, state) ?? (isUsedUp(bucket) ? primaryRefusal(caller.name) : null);
  if (refusal) return withHeaders(refusal, rateHeaders(bucket));
  const fresh = tagged(call, handled(call, caller, state));
  return withHeaders(fresh, rateHeaders(fresh.status === 304 ? bucket : use(caller.bucket, bucket, state)));
}

function handled(call, caller, state) {
  const found = match(ROUTES, call.method, call.path);
  if (!found) return notFound();
  const [handle, kind] = found.rest;
  if (kind !== caller.kind) return refused(403, "Resource not accessible by integration");
  if (call.body === undefined && call.text !== "") return refused(400, "Problems parsing JSON");
  const urls = { api: `${call.origin}/_github/api`, web: `${call.origin}/_github/web` };
  return handle({ call, caller, params: found.params, query: call.query, body: call.body ?? {}, at: call.at, state, urls });
}

/** Adds an `ETag`, or makes the answer a 304 if the caller has it already; a 304 does not count. */
function tagged(call, answer) {
  if (call.method !== "GET" || answer.status !== 200) return answer;
  const etag = answer.headers.etag ?? `W/"${hashOf(answer.body)}"`;
  const known = (call.headers["if-none-match"] ?? "").split(",").map((tag) => tag.trim().replace(/^W\//, ""));
  const tag = withHeaders(answer, { etag });
  return known.includes(etag.replace(/^W\//, "")) ? { ...tag, status: 304, body: null } : tag;
}

function withHeaders(answer, headers) {
  return { ...answer, headers: { ...answer.headers, ...headers } };
}

/** The answer of `GET /rate_limit`, which does not count, as at GitHub. */
function rateAnswer(bucket) {
  return reply(200, { resources: { core: rateView(bucket) }, rate: rateView(bucket) });
}

/** GitHub refuses a call without a `User-Agent`. */
function noAgent() {
  const body = "Request forbidden by administrative rules. Please make sure your request has a User-Agent header.";
  return { status: 403, headers: { "content-type": "text/html; charset=utf-8" }, body };
}

/** Two 32-bit FNV-1a hashes: enough to tell answers apart and, unlike a digest of WebCrypto, synchronous. */
function hashOf(text) {
  let [first, second] = [0x811c9dc5, 0x01000193];
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    first = Math.imul(first ^ code, 0x01000193);
    second = Math.imul(second ^ code, 0x5bd1e995) ^ (second >>> 15);
  }
  return [first, second].map((half) => (half >>> 0).toString(16).padStart(8, "0")).join("");
}
