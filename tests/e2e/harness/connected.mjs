/** What the tests of connections share: a gateway whose every reply is kept, and people who connect through it. */
import assert from "node:assert/strict";
import { client, create } from "./client.mjs";
import { contents, rowsOf } from "./contents.mjs";
import { make, people } from "./people.mjs";
import { startTogether } from "./together.mjs";

export const API = "api.partner.example";
export const LOGIN = "login.partner.example";
export const PARTNER = `https://${API}`;
export const BEARER = { type: "bearer", token: "partner-good" };

const SECRETS = [/partner-good/, /partner-secret/, /partner-refresh/, /partner-next-/, /partner-access-/, /cc_live_/, /own-secret/];

export const pathOf = ({ connection_id: id }) => `/v1/connections/${id}`;
export const stateOf = async (call, connection) => (await call("GET", pathOf(connection))).json;
export const check = (call, connection) => call("POST", `${pathOf(connection)}/check`);

/** Credentials that login.partner.example grants. */
export function oauth(name, more = {}) {
  return {
    type: "oauth",
    token_endpoint: `https://${LOGIN}/token`,
    revocation_endpoint: `https://${LOGIN}/revoke`,
    client_id: "partner-client",
    client_secret: "partner-secret",
    refresh_token: `partner-refresh-${name}`,
    ...more,
  };
}

/**
 * Starts it: a target has a second and a half to answer. ChittyAuth has long, because hundreds ask it at once
 * here, also on a machine that is busy with something else.
 */
export async function startConnected() {
  const together = await startTogether({ isolates: 2, vars: { CONNECTION_TIMEOUT_MS: "1500", UPSTREAM_TIMEOUT_MS: "30000" } });
  const { gateway, sandbox } = together;
  const said = [];
  const heard = { ...gateway, fetch: listen };
  const person = people(heard, "connected");

  async function listen(path, ...rest) {
    const response = await gateway.fetch(path, ...rest);
    if (!path.includes("/proxy")) said.push(JSON.stringify([...response.headers]), await response.clone().text());
    return response;
  }

  /** Somebody with a context, and the body of a connection from it. */
  async function someone() {
    const one = person();
    const context = await create(one.call, { name: "connected" });
    const from = (more = {}) => ({ source_chitty_id: context.chitty_id, source_type: "context", target_service: "partner", target_endpoint: PARTNER, ...more });
    return { ...one, context, from, connect: (more) => make(one.call, "/v1/connections", "connection", from(more)) };
  }

  /** A request through the proxy. Its reply is the target's, so only the headers of every reply are checked. */
  async function through({ token }, connection, target, { method = "GET", headers = {}, isolate, ...init } = {}) {
    const path = `${pathOf(connection)}/proxy${target}`;
    const response = await heard.fetch(path, { method, headers: { authorization: `Bearer ${token}`, ...headers }, ...init }, { isolate });
    const text = await response.text();
    for (const [name, value] of [["x-content-type-options", "nosniff"], ["cache-control", "no-store"]]) assert.equal(response.headers.get(name), value, name);
    assert.equal(response.headers.get("set-cookie"), null);
    const json = parsed(text);
    const isProblem = response.headers.get("content-type") === "application/problem+json";
    return { status: response.status, headers: response.headers, text, json, code: isProblem ? json.code : undefined };
  }

  /** Asserts that no secret was ever said, logged, told or stored as it is. */
  async function noSecretIsOut() {
    const entries = JSON.stringify((await sandbox.entries()).entries);
    const places = { replies: said.join("\n"), "log lines": JSON.stringify(gateway.logs), "what ChittyChronicle was told": entries, "D1 and KV": await contents(gateway) };
    for (const [place, text] of Object.entries(places)) {
      for (const secret of SECRETS) {
        const at = text.search(secret);
        assert.equal(at, -1, `${secret} in ${place}: ${text.slice(Math.max(0, at - 200), at + 50)}`);
      }
    }
  }

  return {
    ...together,
    /** The gateway, and every reply of its own is kept in full. */
    heard,
    admin: client(heard, "dev-admin"),
    person,
    /** The rows of a D1 query. */
    rows: rowsOf(gateway),
    someone,
    through,
    /** Calls of a host outside. */
    callsOf: (host, query) => sandbox.outside.calls(host, query),
    noSecretIsOut,
    /** What the gateway complained of itself. */
    complaints: () => gateway.logs.filter(({ level, message }) => level === "error" && !/credential_does_not_open/.test(message)),
  };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
