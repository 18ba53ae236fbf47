/** The ChittyOS services, simulated: see sandbox/README.md. */
import { readdirSync } from "node:fs";
import path from "node:path";
import { readWorker, ROOT, run } from "./runtime.mjs";

const DIRECTORY = path.join(ROOT, "sandbox");

/**
 * Starts a sandbox of its own in workerd.
 *
 * @param {{port?: number, persist?: string, vars?: Record<string, string>}} [options]
 *   `port` 0 is any; without `persist` nothing is kept after `close`; `vars`
 *   replaces the variable that lets it run.
 */
export async function startSandbox({ port = 0, persist, vars = { CHITTY_SANDBOX: "local" } } = {}) {
  const worker = readWorker(path.join(DIRECTORY, "wrangler.toml"), { modules: sandboxModules(), vars });
  const { miniflare, urls } = await run([worker], { port, persist });
  const [url] = urls;
  const control = (method, route, body) => askControl(url, method, route, body);
  return {
    /** Where it listens, without a slash at the end: a service is at `${url}/{name}`. */
    url,
    /** Calls in order: the newest, or with `after` those past that number. Filters: service, host, path (its start), method, limit (1000). */
    calls: async (query = {}) => (await control("GET", `calls?${search({ limit: 1000, ...query })}`)).calls,
    /** How many calls since the last reset, of all services or one. With the start of a path, or a host: of the 10,000 that are kept. */
    count: async (service, path, host) => (await control("GET", `calls/count?${search({ service, path, host })}`)).total,
    /** What was minted since the last reset, in order, the newest `limit` (1000): `{number, id, entity_type, metadata, at}`. */
    minted: async (query = {}) => (await control("GET", `minted?${search(query)}`)).minted,
    /** `{total, entries}` of the chronicle, in order. Filters: entityId, eventId, action, limit (1000). */
    entries: (query = {}) => control("GET", `entries?${search({ limit: 1000, ...query })}`),
    /** What the services keep of a kind (credential, registered, dna, certificate, record, beacon, outside), oldest first. */
    kept: async (kind) => (await control("GET", `kept/${kind}`))[kind],
    /** Sets a fault on a service, on "outside", or on "all". Throws where the sandbox refuses it. */
    fault: (service, fault) => control("PUT", `faults/${service}`, fault),
    /** Removes the faults of one service, or every fault. */
    clear: (service) => control("DELETE", service === undefined ? "faults" : `faults/${service}`),
    /** Changes a setting: `{chronicle_per_minute}`. */
    settings: (settings) => control("PUT", "settings", settings),
    /** Changes what ChittyAuth says of a token from now on: its scope (null: its own again), and whether it is revoked. */
    setToken: ({ token, scope, revoked }) => control("POST", "tokens", { token, scope, revoked }),
    /** A JWT signed as ChittyAuth does. `name` gives it the actor `dev-<name>` and a scope; a claim given as null is left out. */
    jwt: async ({ name, claims, header } = {}) => (await control("POST", "jwt", { name, claims, header })).token,
    /** The keys in ChittyAuth's JWKS, by id: `sandbox-1` always at first, `sandbox-2` when published. */
    keys: {
      publish: async (kid) => (await control("PUT", `keys/${kid}`)).keys,
      withdraw: async (kid) => (await control("DELETE", `keys/${kid}`)).keys,
    },
    /** The hosts outside ChittyOS. */
    outside: {
      /** Where a host is played, without a slash at the end. */
      url: (host) => `${url}/_outside/${host}`,
      /** Changes and gives the settings: `{expires_in, partner_good}`. */
      set: (settings) => control("PUT", "outside", settings),
      /** The tokens that login.partner.example issued or was shown, oldest first: `{id, type, grant, used, revoked, ...}`. */
      tokens: async () => (await control("GET", "kept/outside")).outside,
      /** Calls of hosts outside, of one host where one is named; other filters as for `calls`. */
      calls: async (host, query = {}) => (await control("GET", `calls?${search({ limit: 1000, ...query, service: "outside", host })}`)).calls,
    },
    /** GitHub's side of the GitHub App; its keys, payloads and JWTs are in github.mjs. */
    github: githubControl(url, control),
    /** Forgets everything but how far the mint has come. */
    reset: () => control("POST", "reset"),
    close: () => miniflare.dispose(),
  };
}

function githubControl(url, control) {
  const kept = async (what, name = what) => (await control("GET", `github/${what}`))[name];
  return {
    /** Where GitHub's REST API is, and its pages, without a slash at the end. */
    api: `${url}/_github/api`,
    web: `${url}/_github/web`,
    /** Changes and gives the settings: `{webhook_url, callback_url, user, token_lifetime, delivery_timeout_ms}`. */
    set: (settings = {}) => control("PUT", "github/config", settings),
    /** Installs the App: `{id?, account: {login, id?, type?}, repositories?: [name], permissions?, suspended?, ...}`. */
    install: (installation) => control("POST", "github/installations", installation),
    /** Changes an installation: `{repositories, permissions, events, repository_selection, suspended}`. */
    changeInstallation: (id, changes) => control("PATCH", `github/installations/${id}`, changes),
    uninstall: (id) => control("DELETE", `github/installations/${id}`),
    installations: () => kept("installations"),
    /** Puts a file into `owner/repo`. `encoding` "base64" for one that is not text; `ref` for one branch only. */
    putFile: (repository, path, content, { encoding, ref } = {}) => control("PUT", `github/repositories/${repository}/contents/${encodedPath(path)}`, { content, encoding, ref }),
    /** Opens a pull request in `owner/repo`, or replaces it: `{number, title, files: [{filename, ...}], ...}`. */
    openPull: (repository, pull) => control("POST", `github/repositories/${repository}/pulls`, pull),
    /** Opens an issue in `owner/repo`, or replaces it: `{number, title, body?}`. */
    openIssue: (repository, issue) => control("POST", `github/repositories/${repository}/issues`, issue),
    /** Sets the rate limits: `{installation_id?, limit?, remaining?, reset_in?, secondary?: {status?, retry_after?, times?} | null}`. */
    limit: (limits) => control("PUT", "github/rate-limit", limits),
    /**
     * Delivers `{event, payload, guid?, secret?, signature?, headers?}` and gives the delivery as it ended. With
     * `count`, `{{n}}` in payload and guid being the number, or as an array: `{total, statuses: {[code]: n}, deliveries}`.
     */
    deliver: (delivery) => control("POST", "github/deliver", delivery),
    /** `{total, deliveries}`, in order. Filters: guid, event, limit (1000). */
    deliveries: (query = {}) => control("GET", `github/deliveries?${search(query)}`),
    /** One delivery, with `request` and `response`, each `{headers, payload}`. */
    delivery: (id) => control("GET", `github/deliveries/${id}`),
    /** What was written, oldest first: `{id, installation_id, repository, issue, body, ...}`. */
    comments: () => kept("comments"),
    /** `{installation_id, repository, issue, labels: [name]}`. */
    labels: () => kept("labels"),
    checkRuns: () => kept("check-runs", "check_runs"),
    /** The tokens that were issued, oldest first, without the tokens: `{id, kind, installation_id, permissions, expires_at, revoked, ...}`. */
    tokens: () => kept("tokens"),
    /** Ends every token there is. */
    revokeTokens: () => control("DELETE", "github/tokens"),
    /** Calls of GitHub; `host` is "api" or "web", other filters as for `calls`. */
    calls: async (query = {}) => (await control("GET", `calls?${search({ limit: 1000, ...query, service: "github" })}`)).calls,
  };
}

function encodedPath(path) {
  return path.split("/").map(encodeURIComponent).join("/");
}

function sandboxModules() {
  const names = ["", "control", "github", "outside", "services", "state"].flatMap((folder) =>
    readdirSync(path.join(DIRECTORY, folder))
      .filter((name) => name.endsWith(".mjs") && name !== "refuse-deploy.mjs")
      .map((name) => path.join(DIRECTORY, folder, name)),
  );
  const main = path.join(DIRECTORY, "worker.mjs");
  return [main, ...names.filter((name) => name !== main)].map((name) => ({ type: "ESModule", path: name }));
}

async function askControl(url, method, route, body) {
  const response = await fetch(`${url}/_sandbox/${route}`, { method, body: body && JSON.stringify(body) });
  const answer = await response.json();
  if (!response.ok) throw new Error(`${method} /_sandbox/${route}: ${response.status} ${JSON.stringify(answer)}`);
  return answer;
}

function search(query) {
  return new URLSearchParams(Object.entries(query).filter(([, value]) => value !== undefined)).toString();
}
