/** A caller of the gateway that checks of every reply what must hold for every reply. */
import assert from "node:assert/strict";

/**
 * @param {{fetch: Function}} gateway
 * @param {string} [token] sent as bearer; without one nothing is
 * @returns a function `(method, path, {body, headers, raw, isolate}) => {status, headers, text, json, code}`;
 * `body` goes as JSON, `raw` as it is.
 */
export function client(gateway, token) {
  return async (method, path, { body, headers = {}, raw, isolate } = {}) => {
    const sent = { ...(token && { authorization: `Bearer ${token}` }), ...headers };
    if (body !== undefined) sent["content-type"] ??= "application/json";
    const init = { method, headers: sent, body: raw ?? (body === undefined ? undefined : JSON.stringify(body)) };
    if (raw instanceof ReadableStream) init.duplex = "half";
    const response = await gateway.fetch(path, init, { isolate });
    const text = await response.text();
    return check(method, { status: response.status, headers: response.headers, text, json: parsed(text) });
  };
}

function check(method, answer) {
  const { status, headers, text, json } = answer;
  const what = `${status} ${text.slice(0, 300)}`;
  assert.match(headers.get("x-request-id") ?? "", /^[\w.:-]{1,128}$/, what);
  assert.match(headers.get("traceparent") ?? "", /^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$/, what);
  assert.equal(headers.get("x-content-type-options"), "nosniff", what);
  assert.ok(headers.has("strict-transport-security"), what);
  if (status >= 400 && method !== "HEAD") {
    assert.equal(headers.get("content-type"), "application/problem+json", what);
    assert.equal(json.status, status, what);
    assert.equal(json.request_id, headers.get("x-request-id"), what);
    for (const member of ["type", "title", "detail", "code"]) assert.ok(json[member], what);
    assert.doesNotMatch(text, /SQLITE|D1_ERROR|panicked|at \w+ \(|wasm/, what);
  }
  if (status === 503) assert.match(headers.get("retry-after") ?? "", /^\d+$/, what);
  return { ...answer, code: json?.code };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A context without what other services say of it, which comes when they have been told. */
export const bare = ({ chitty_dna_id, chitty_chronicle_timeline_id, ...context }) => context;

/** Makes a context and gives its representation. */
export async function create(call, body) {
  const made = await call("POST", "/v1/contexts", { body });
  assert.equal(made.status, 201, made.text);
  return made.json.context;
}
