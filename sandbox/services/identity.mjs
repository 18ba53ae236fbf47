/**
 * id.chitty.cc and mint.chitty.cc.
 *
 * Quirks of the real services: `/v1/mint` does not read `type` or `entity`, an unknown entity silently
 * becomes a thing, a failure is a 200 with `fallback: true`, and a `User-Agent` that looks like a script is
 * refused.
 */
import { componentsOf, ERROR_NAMES, errorId, errorOf, inspect } from "../chitty-id.mjs";
import { answer, isObject, iso } from "./answer.mjs";

const LETTERS = { person: "P", place: "L", thing: "T", event: "E", authority: "A" };
const WORDS = { P: "person", L: "place", T: "thing", E: "event", A: "authority" };
const PURPOSES = { context: "person", "work-item": "thing", document: "thing", general: "thing" };
const REFUSED_AGENTS = /curl|python/i;

const SPEC = {
  format: "VV-G-LLL-SSSS-T-YYMM-C-XX",
  pattern: "^\\d{2}-[1-9]-[A-Z]{3}-\\d{4}-[PLTEA]-\\d{4}-[0-5]-\\d{2}$",
  checksum: "mod-97",
  entityTypes: WORDS,
  errorCodes: ERROR_NAMES,
};

/** id.chitty.cc. */
export function identity(call, state) {
  if (REFUSED_AGENTS.test(call.userAgent)) return answer(403, { success: false, error: "FORBIDDEN" });
  const route = `${call.method} ${call.path}`;
  switch (route) {
    case "GET /health":
      return answer(200, { status: "ok", service: "chittyid-mothership", version: "2.0.0", timestamp: iso(call.at) });
    case "GET /api/health":
      return answer(200, { status: "healthy" });
    case "GET /api/spec":
      return answer(200, { success: true, spec: SPEC });
    case "POST /v1/mint":
      return answer(200, { ...mint(call, state), service: "id.chitty.cc", mintedBy: "mint.chitty.cc" });
    case "POST /api/validate":
      return validate(isObject(call.body) ? call.body.id : undefined, call.at);
  }
  const asked = /^GET \/v1\/([^/]+)\/info$/.exec(route);
  if (asked) return info(decodeURIComponent(asked[1]), call.at);
  const validated = /^GET \/v1\/validate\/([^/]+)$/.exec(route);
  if (validated) return validate(decodeURIComponent(validated[1]), call.at);
  return answer(404, { success: false, error: "NOT_FOUND" });
}

/** mint.chitty.cc. */
export function minting(call, state) {
  switch (`${call.method} ${call.path}`) {
    case "GET /health":
      return answer(200, { status: "healthy", service: "chittymint", version: "1.0.0", timestamp: iso(call.at) });
    case "POST /api/mint":
      return answer(200, mint(call, state));
  }
  return answer(404, { success: false, error: "NOT_FOUND" });
}

/** The answer of `/v1/mint` when the mint fails: success, with an error id in place of an id. */
export function fallbackMint(call) {
  const code = "0001";
  const id = errorId(code, LETTERS[requestedEntity(call.body)], call.at);
  return answer(200, {
    success: true,
    chittyId: id,
    fallback: true,
    errorCode: code,
    message: `${ERROR_NAMES[code]}: a temporary id was issued, replace it within 7 days`,
    components: componentsOf(id),
    geo: { region: "0", jurisdiction: "ERR" },
    trust: 0,
    mintedBy: "fallback",
  });
}

function mint(call, state) {
  const entityType = requestedEntity(call.body);
  const metadata = isObject(call.body) ? (call.body.metadata ?? null) : null;
  const id = state.mints.issue({ entityType, type: LETTERS[entityType], metadata }, call.at);
  const components = componentsOf(id);
  return {
    success: true,
    chittyId: id,
    entityType,
    components,
    geo: { region: components.region, jurisdiction: components.jurisdiction },
    trust: 0,
    timestamp: iso(call.at),
  };
}

function requestedEntity(body) {
  const asked = isObject(body) ? (body.entityType ?? body.entity_type) : undefined;
  if (typeof asked !== "string") return "thing";
  if (Object.hasOwn(LETTERS, asked)) return asked;
  if (Object.hasOwn(WORDS, asked)) return WORDS[asked];
  return Object.hasOwn(PURPOSES, asked) ? PURPOSES[asked] : "thing";
}

function info(id, at) {
  if (errorOf(id) || !inspect(id).valid) return answer(404, { success: false, error: "NOT_FOUND" });
  const { type, trust } = componentsOf(id);
  return answer(200, {
    chittyId: id,
    did: `did:chitty:${id}`,
    entityType: WORDS[type],
    trustLevel: Number(trust),
    lifecycle: "active",
    timestamp: iso(at),
    verificationMethod: "mod-97",
  });
}

function validate(id, at) {
  if (typeof id !== "string" || id === "") return answer(400, { success: false, error: "MISSING_ID" });
  const error = errorOf(id);
  if (error) {
    return answer(200, {
      success: true,
      valid: false,
      isError: true,
      errorCode: error.code,
      errorName: error.name,
      canReplace: true,
      timestamp: iso(at),
    });
  }
  return answer(200, { success: true, ...inspect(id), timestamp: iso(at) });
}
