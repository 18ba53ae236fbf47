/** What GitHub sends, and what the gateway proves itself to GitHub with: payloads, signatures, JWTs. */
import { createHmac, createSign } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { APP_ID, TEST_ONLY_PRIVATE_KEY, TEST_ONLY_WEBHOOK_SECRET } from "../../../sandbox/github/app.mjs";
import { ROOT } from "./runtime.mjs";

export { APP_ID, APP_SLUG, CLIENT_ID, TEST_ONLY_CLIENT_SECRET, TEST_ONLY_PRIVATE_KEY, TEST_ONLY_PRIVATE_KEY_PKCS8, TEST_ONLY_WEBHOOK_SECRET } from "../../../sandbox/github/app.mjs";

const DIRECTORY = path.join(ROOT, "tests/e2e/fixtures/github");

/**
 * What stands for what in the fixtures: `id` is that of the pull request, issue, comment, release, run or fork that
 * an event is about, `number` that of its pull request or issue, `sha` its commit.
 */
export const IN_FIXTURES = {
  owner_id: 90000001,
  repository_id: 90000002,
  installation: 90000003,
  sender_id: 90000004,
  id: 90000005,
  number: 90012,
  repository: "octo-org/hello-world",
  sender: "octo-dev",
  sha: "9a1f3c5e7b2d4f6089abcdef0123456789abcdef",
  before: "0b2d4f6a8c1e3a5f7b9d0c2e4f6a8b0d1c3e5f7a",
};

/** The names of every fixture, such as `push` and `issues.opened`. */
export const EVENT_NAMES = readdirSync(DIRECTORY)
  .filter((name) => name.endsWith(".json"))
  .map((name) => name.slice(0, -".json".length))
  .sort();

/**
 * An event's payload, as `{event, payload}` for `sandbox.github.deliver`. `ids` replaces, wherever it stands, what
 * has a name in `IN_FIXTURES`; `changes` is merged into the payload after that.
 *
 * @param {string} name such as `push` or `issues.opened`
 * @param {Partial<typeof IN_FIXTURES>} [ids]
 */
export function eventOf(name, ids = {}, changes = {}) {
  const known = JSON.parse(readFileSync(path.join(DIRECTORY, `${name}.json`), "utf8"));
  return { event: name.split(".")[0], payload: merged(replaced(known, replacements(ids)), changes) };
}

/** A push whose payload is exactly so many bytes of JSON, 20,000 at least, in up to 2048 commits, which is all that GitHub sends. */
export function pushOf(bytes, ids = {}) {
  const { event, payload } = eventOf("push", ids);
  const [commit] = payload.commits;
  const each = Math.max(2000, Math.ceil(bytes / 2048));
  const size = () => Buffer.byteLength(JSON.stringify(payload));
  const filled = (index, length) => ({ ...commit, id: index.toString(16).padStart(40, "c"), message: "x".repeat(length) });
  const empty = Buffer.byteLength(JSON.stringify(filled(0, 0))) + 1;
  const count = Math.floor((bytes - size()) / each) - 1;
  if (count < 1) throw new Error(`A push of ${bytes} bytes is too short.`);
  payload.commits = [...Array.from({ length: count }, (_, index) => filled(index, each - empty)), commit];
  payload.commits[0].message += "x".repeat(bytes - size());
  return { event, payload };
}

/** The `X-Hub-Signature-256` of a body. */
export function signatureOf(body, secret = TEST_ONLY_WEBHOOK_SECRET) {
  return `sha256=${createHmac("sha256", secret).update(body).digest("hex")}`;
}

/** A JWT of the App. What is given comes over the claims that are usual; null leaves one out. */
export function appJwt({ claims = {}, key = TEST_ONLY_PRIVATE_KEY, alg = "RS256" } = {}) {
  const now = Math.floor(Date.now() / 1000);
  const all = Object.entries({ iss: String(APP_ID), iat: now - 60, exp: now + 540, ...claims }).filter(([, value]) => value !== null);
  const signed = [{ alg, typ: "JWT" }, Object.fromEntries(all)].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  return `${signed}.${createSign("RSA-SHA256").update(signed).sign(key, "base64url")}`;
}

/** What a caller of GitHub's API does, in a sandbox. */
export function githubCaller(sandbox) {
  /** Asks with a token or a JWT, where one is given; a route is below the API, or a whole address. */
  const ask = (method, route, { token, body, headers = {} } = {}) =>
    fetch(route.startsWith("http") ? route : sandbox.github.api + route, {
      method,
      redirect: "manual",
      headers: { ...(token ? { authorization: `Bearer ${token}` } : {}), ...headers },
      body: body && JSON.stringify(body),
    });
  /** The same, as `[status, body]`. */
  const told = async (...asked) => {
    const response = await ask(...asked);
    return [response.status, await response.json()];
  };
  /** As the App. */
  const asApp = (method, route, more) => told(method, route, { token: appJwt(), ...more });
  /** A token of an installation. */
  const tokenOf = async (id, body) => (await asApp("POST", `/app/installations/${id}/access_tokens`, { body }))[1].token;
  /** Every page of a list, from the first on. */
  const pagesOf = async (route, token) => {
    const pages = [];
    for (let url = route; url; ) {
      const response = await ask("GET", url, { token });
      if (response.status !== 200) throw new Error(`GET ${url}: ${response.status}`);
      pages.push(await response.json());
      url = nextOf(response);
    }
    return pages;
  };
  return { ask, told, asApp, tokenOf, pagesOf };
}

/** The address of the next page, where there is one. */
export function nextOf(response) {
  return /<([^>]+)>; rel="next"/.exec(response.headers.get("link") ?? "")?.[1];
}

/** Which text and which number stands for which. */
function replacements(ids) {
  const given = { ...ids };
  for (const name of Object.keys(given)) if (!Object.hasOwn(IN_FIXTURES, name)) throw new Error(`There is no ${name} in the fixtures.`);
  const texts = [];
  if (given.repository !== undefined) {
    const [owner, name] = given.repository.split("/");
    const [oldOwner, oldName] = IN_FIXTURES.repository.split("/");
    texts.push([oldOwner, owner], [oldName, name]);
    delete given.repository;
  }
  const numbers = new Map();
  for (const [name, value] of Object.entries(given)) {
    if (typeof IN_FIXTURES[name] === "number") numbers.set(IN_FIXTURES[name], value);
    texts.push([String(IN_FIXTURES[name]), String(value)]);
  }
  return { texts: new Map(texts), numbers, pattern: texts.length > 0 ? new RegExp(texts.map(([old]) => old).join("|"), "g") : null };
}

function replaced(value, how) {
  if (typeof value === "string") return how.pattern ? value.replace(how.pattern, (old) => how.texts.get(old)) : value;
  if (typeof value === "number") return how.numbers.get(value) ?? value;
  if (Array.isArray(value)) return value.map((one) => replaced(one, how));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, replaced(one, how)]));
}

/** Objects are merged field by field; anything else takes the place of what was there, and undefined takes it away. */
function merged(value, changes) {
  const isPlain = (one) => typeof one === "object" && one !== null && !Array.isArray(one);
  if (!isPlain(value) || !isPlain(changes)) return changes;
  return { ...value, ...Object.fromEntries(Object.entries(changes).map(([name, change]) => [name, merged(value[name], change)])) };
}
