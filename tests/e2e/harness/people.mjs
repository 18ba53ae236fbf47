/** Actors of ChittyAuth whom no other test knows, and what they make. */
import assert from "node:assert/strict";
import { actorId } from "../../../sandbox/chitty-id.mjs";
import { client } from "./client.mjs";

/**
 * @param {{fetch: Function}} gateway
 * @param {string} prefix what their names begin with
 * @returns a function that makes one: `{name, id, token, call, as}`, where `as("ro")` calls as the
 * same actor by the token `dev-<name>+ro`.
 */
export function people(gateway, prefix) {
  let made = 0;
  return () => {
    made += 1;
    const name = `${prefix}-${made}`;
    const token = `dev-${name}`;
    return { name, id: actorId(name), token, call: client(gateway, token), as: (variant) => client(gateway, `${token}+${variant}`) };
  };
}

/** A caller by an API key, in a header where the ecosystem sends them. */
export function byKey(gateway, key, header = "x-chittyos-api-key") {
  const call = client(gateway);
  return (method, path, options = {}) => call(method, path, { ...options, headers: { [header]: key, ...options.headers } });
}

/** Makes something of the caller's, which the reply has under `name`. */
export async function make(call, path, name, body, headers) {
  const made = await call("POST", path, { body, headers });
  assert.equal(made.status, 201, made.text);
  return made.json[name];
}

/** Delegates and gives the delegation, token included. */
export const delegate = (call, body = {}) => make(call, "/v1/delegate", "delegation", { target_service: "chittyconnect", ...body });

/** Makes an API key and gives it, secret included. */
export const makeKey = (call, body = {}) => make(call, "/v1/keys", "key", { name: "a key", scopes: ["read", "write"], ...body });

/** Registers the caller. */
export const register = (call, body = {}) => make(call, "/v1/actors/register", "actor", { actor_type: "human", ...body });

/** Asserts what an answer is, by status and code. */
export function expect(answer, status, code, what = "") {
  assert.deepEqual([answer.status, answer.code], [status, code], `${what} ${answer.text.slice(0, 300)}`);
}

/** Asserts that a caller is refused. */
export const refused = (call, status, code, path = "/v1/contexts") => call("GET", path).then((answer) => expect(answer, status, code));

/** Asserts that a caller is let in. */
export const works = async (call, path = "/v1/contexts", options = {}) => {
  const answer = await call("GET", path, options);
  assert.equal(answer.status, 200, answer.text);
};

/** Every page of a list, one after the other. */
export async function pages(call, path, name) {
  const found = [];
  for (let target = path; target; ) {
    const page = await call("GET", target);
    assert.equal(page.status, 200, page.text);
    assert.equal(page.json.count, page.json[name].length);
    found.push(page.json[name]);
    target = /<([^>]+)>; rel="next"/.exec(page.headers.get("link") ?? "")?.[1];
    assert.equal(target === undefined, page.json.next_cursor === null, "link and cursor agree");
  }
  return found;
}
