/** A request to a simulated service, in the two forms that the sandbox needs. */
import { isObject } from "./services/answer.mjs";

const KEPT_BODY = 4096;

/** Names of headers that carry a credential besides `Authorization`, and the exception. */
const SECRET_HEADER = /(^|-)(key|token|secret|password|cookie|authorization)$/;
const HARMLESS_HEADER = /(^|-)idempotency-key$/;
const SECRET_FIELDS = ["token", "api_key", "apiKey", "refreshToken", "refresh_token", "access_token", "client_secret", "password"];
/** Services whose field `code` is a credential: it is valid once. */
const WITH_CODES = ["github"];
const FORM = /^application\/x-www-form-urlencoded\b/i;

/**
 * Describes a request. The service acts on `input`; the log keeps `record`, which has a fingerprint in place
 * of every credential: enough to tell two credentials apart.
 */
export async function describe(request, { service, host, path, query, search, text }) {
  const body = parse(text);
  const headers = Object.fromEntries(request.headers);
  const authorization = request.headers.get("authorization") ?? "";
  const input = {
    service,
    host,
    method: request.method,
    path,
    query,
    search,
    headers,
    authorization,
    userAgent: request.headers.get("user-agent") ?? "",
    idempotencyKey: request.headers.get("idempotency-key") ?? "",
    body,
    text,
  };
  const secrets = WITH_CODES.includes(service) ? [...SECRET_FIELDS, "code"] : SECRET_FIELDS;
  const form = FORM.test(headers["content-type"] ?? "") ? Object.fromEntries(new URLSearchParams(text)) : undefined;
  const record = {
    service,
    host,
    method: request.method,
    path,
    query: await withoutSecrets(query, secrets),
    headers: await safeHeaders(headers, authorization),
    body: shorten(await safeBody(body === undefined ? form : body, text, secrets)),
    body_bytes: new TextEncoder().encode(text).byteLength,
  };
  return { input, record };
}

async function safeHeaders(headers, authorization) {
  const { authorization: _, ...others } = headers;
  const secret = Object.keys(others).filter((name) => SECRET_HEADER.test(name) && !HARMLESS_HEADER.test(name));
  const kept = await withoutSecrets(others, secret);
  if (authorization === "") return kept;
  const [, scheme, credentials] = /^(\S+ )?(.*)$/s.exec(authorization);
  return { ...kept, authorization: `${scheme ?? ""}${await fingerprint(credentials)}` };
}

/** The JSON value, the fields of a form, the text if the body is neither, or null without a body. */
async function safeBody(body, text, secrets) {
  if (body === undefined) return text === "" ? null : text;
  return isObject(body) ? withoutSecrets(body, secrets) : body;
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
