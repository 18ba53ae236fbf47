/** A request to a simulated service, in the two forms it is needed in. */
import { isObject } from "./services/answer.mjs";

const KEPT_BODY = 4096;

/** Where a credential travels besides `Authorization`. */
const SECRET_HEADERS = ["x-api-key", "x-chittyos-api-key"];
const SECRET_FIELDS = ["token", "api_key", "apiKey", "refreshToken", "refresh_token"];

/**
 * `input` is what the service acts on; `record` is what the log keeps, where
 * every credential is reduced to a fingerprint: enough to tell two apart.
 */
export async function describe(request, service, path, query, text) {
  const body = parse(text);
  const authorization = request.headers.get("authorization") ?? "";
  const input = {
    service,
    method: request.method,
    path,
    query,
    authorization,
    userAgent: request.headers.get("user-agent") ?? "",
    idempotencyKey: request.headers.get("idempotency-key") ?? "",
    body,
  };
  const record = {
    service,
    method: request.method,
    path,
    query,
    headers: await safeHeaders(request.headers, authorization),
    body: shorten(await safeBody(body, text)),
    body_bytes: new TextEncoder().encode(text).byteLength,
  };
  return { input, record };
}

async function safeHeaders(headers, authorization) {
  const kept = await withoutSecrets(Object.fromEntries(headers), SECRET_HEADERS);
  if (authorization === "") return kept;
  const [scheme, ...credentials] = authorization.split(" ");
  return { ...kept, authorization: `${scheme} ${await fingerprint(credentials.join(" "))}` };
}

/** The JSON value, or the text where it is none, or null for no body. */
async function safeBody(body, text) {
  if (body === undefined) return text === "" ? null : text;
  return isObject(body) ? withoutSecrets(body, SECRET_FIELDS) : body;
}

async function withoutSecrets(fields, names) {
  const safe = { ...fields };
  for (const name of names) if (typeof fields[name] === "string") safe[name] = await fingerprint(fields[name]);
  return safe;
}

function shorten(body) {
  if (body === null) return null;
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return text.length > KEPT_BODY ? text.slice(0, KEPT_BODY) : body;
}

async function fingerprint(secret) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(secret)));
  return `sha256:${Array.from(digest.slice(0, 4), (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
