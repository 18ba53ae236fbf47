/** Whether the gateway answers as /openapi.json says: every reply of these tests is compared with it. */
import Ajv2020 from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { readFileSync } from "node:fs";
import path from "node:path";
import { ROOT } from "./runtime.mjs";

/** What is deliberately not compared: what a connection's target answers is the target's. */
const NOT_OURS = /^\/v1\/connections\/[^/]+\/proxy(\/|$)/;

const document = closed(JSON.parse(readFileSync(path.join(ROOT, "openapi.json"), "utf8")));
const ajv = new Ajv2020({ strict: false, allErrors: true });
addFormats.default(ajv);
ajv.addFormat("chitty-id", true);
ajv.addSchema(document, "openapi");
const paths = Object.entries(document.paths)
  .map(([template, operations]) => ({ template, operations, pattern: patternOf(template) }))
  // Of two that fit, the one without a parameter is the route.
  .toSorted((a, b) => Number(a.template.includes("{")) - Number(b.template.includes("{")));

/**
 * Throws unless the reply is described: its status, its content type, its body with every member of it.
 *
 * @param {string} target path and query
 * @param {{method?: string}} [init]
 * @param {Response} response not read yet
 */
export async function checkDescribed(target, { method = "GET" } = {}, response) {
  const [route] = target.split("?");
  if (method === "OPTIONS" || NOT_OURS.test(route)) return;
  const type = response.headers.get("content-type")?.split(";")[0];
  const text = method === "HEAD" || type === "text/event-stream" ? undefined : await response.clone().text();
  const problem = whatIsWrong(method, route, { status: response.status, headers: response.headers, type, text });
  if (problem) throw new Error(`${method} ${target} is not answered as openapi.json says: ${response.status}, ${problem}\n${text?.slice(0, 600)}`);
}

function whatIsWrong(method, route, reply) {
  const found = paths.find(({ pattern }) => pattern.test(route));
  const operation = found?.operations[method === "HEAD" ? "get" : method.toLowerCase()];
  if (!operation) return outside(found, reply);
  const response = resolved(operation.responses[reply.status]);
  if (!response) return "a status that is not described";
  return missingHeader(response, reply) ?? wrongBody(response, reply);
}

/** A page or a file, or a path or a method that there is not. */
function outside(found, { status, type, text }) {
  if (type !== "application/problem+json") return found ? "a path that is described answers a method that is not" : null;
  if (![404, 405].includes(status)) return "a refusal of what is not there";
  return text === undefined ? null : invalid("openapi#/components/schemas/Problem", text);
}

/** The headers that an answer of its kind always has. */
function missingHeader({ headers = {} }, { status, headers: sent }) {
  const always = ["X-Request-ID", ...(status < 400 ? ["Location"] : []), ...(status === 401 ? ["WWW-Authenticate"] : []), ...(status === 503 ? ["Retry-After"] : [])];
  const missing = always.find((name) => Object.hasOwn(headers, name) && !sent.has(name));
  if (missing) return `no header ${missing}`;
  const told = ["ETag", "Idempotency-Replayed", "Link", "Location", "RateLimit", "Retry-After", "WWW-Authenticate"].find((name) => sent.has(name) && !Object.hasOwn(headers, name));
  return told ? `the header ${told}, which is not described` : null;
}

function wrongBody({ content }, { type, text }) {
  if (!content) return text ? "a body that is not described" : null;
  if (text === undefined && !type) return null;
  const media = content[type];
  if (!media) return `the content type ${type}`;
  return text === undefined || !type.endsWith("json") || !media.schema ? null : invalid(media.schema.$ref?.replace("#", "openapi#") ?? media.schema, text);
}

function invalid(schema, text) {
  const validate = typeof schema === "string" ? ajv.getSchema(schema) : ajv.compile(schema);
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    return "a body that is no JSON";
  }
  return validate(body) ? null : validate.errors.map(({ instancePath, message, params }) => `${instancePath || "/"} ${message} ${JSON.stringify(params)}`).join("; ");
}

function resolved(response) {
  return response?.$ref ? { ...document.components.responses[response.$ref.split("/").pop()] } : response;
}

function patternOf(template) {
  const source = template
    .split("/")
    .map((part) => (part === "{path}" ? ".+" : part.startsWith("{") ? "[^/]+" : part.replace(/[.]/g, "\\.")))
    .join("/");
  return new RegExp(`^${source === "/" ? "/" : `${source}/?`}$`);
}

/** The same with no member allowed that is not named: what is returned is described, all of it. */
function closed(value) {
  if (Array.isArray(value)) return value.map(closed);
  if (value === null || typeof value !== "object") return value;
  const copy = Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, name === "examples" ? inner : closed(inner)]));
  const isObject = copy.type === "object" && copy.properties && typeof copy.properties === "object";
  return isObject ? { additionalProperties: false, ...copy } : copy;
}
