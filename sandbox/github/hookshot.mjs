/**
 * Sends deliveries to the webhook, as GitHub does. It runs in the Worker, where waiting delays no other call.
 */
import { APP_ID, HOOK_ID, TEST_ONLY_WEBHOOK_SECRET } from "./app.mjs";

const AGENT = "GitHub-Hookshot/4242sbx";
const AT_ONCE = 10;
const KEPT_ANSWER = 4096;
const utf8 = new TextEncoder();

/**
 * Sends `deliveries`, `{id, secret?, signature?, headers?}`, at most `concurrency` at a time, and returns
 * them with their results, in order. `office` supplies the payloads and records the results.
 */
export async function deliver({ deliveries, concurrency = AT_ONCE }, office) {
  const ended = [];
  const waiting = deliveries.entries();
  const carrier = async () => {
    for (const [index, { id, ...how }] of waiting) {
      const what = await office.outgoing(id);
      ended[index] = what && (await office.delivered(id, await send(what, how)));
    }
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, deliveries.length) }, carrier));
  return ended;
}

async function send({ guid, event, url, timeout, payload }, { secret = TEST_ONLY_WEBHOOK_SECRET, signature, headers: given = {} }) {
  const body = utf8.encode(payload);
  const signed = signature === null ? {} : await signatures(body, secret);
  const headers = merged(
    {
      accept: "*/*",
      "content-type": "application/json",
      "user-agent": AGENT,
      "x-github-delivery": guid,
      "x-github-event": event,
      "x-github-hook-id": String(HOOK_ID),
      "x-github-hook-installation-target-id": String(APP_ID),
      "x-github-hook-installation-target-type": "integration",
      ...signed,
      ...(signature ? { "x-hub-signature-256": signature } : {}),
    },
    given,
  );
  const started = Date.now();
  const end = await outcome(url, { method: "POST", headers, body, redirect: "manual", signal: AbortSignal.timeout(timeout) });
  return { ...end, duration: (Date.now() - started) / 1000, request: headers };
}

async function outcome(url, init) {
  try {
    const response = await fetch(url, init);
    const payload = (await response.text()).slice(0, KEPT_ANSWER);
    const status = response.ok ? "OK" : `Invalid HTTP Response: ${response.status}`;
    return { status, status_code: response.status, response: { headers: Object.fromEntries(response.headers), payload } };
  } catch (error) {
    const isLate = error.name === "TimeoutError" || error.name === "AbortError";
    return { ...(isLate ? { status: "timed out", status_code: 504 } : { status: "failed to connect", status_code: 502 }), response: null };
  }
}

async function signatures(body, secret) {
  return { "x-hub-signature": `sha1=${await hmac("SHA-1", body, secret)}`, "x-hub-signature-256": `sha256=${await hmac("SHA-256", body, secret)}` };
}

async function hmac(hash, body, secret) {
  const key = await crypto.subtle.importKey("raw", utf8.encode(secret), { name: "HMAC", hash }, false, ["sign"]);
  const digest = new Uint8Array(await crypto.subtle.sign("HMAC", key, body));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Adds the given headers; a null removes one. */
function merged(headers, given) {
  const named = Object.entries(given).map(([name, value]) => [name.toLowerCase(), value]);
  return Object.fromEntries(Object.entries({ ...headers, ...Object.fromEntries(named) }).filter(([, value]) => value !== null));
}
