/** dna.chitty.cc, verify.chitty.cc and certify.chitty.cc: where an entity comes from, and that it is one. */
import { errorOf, inspect } from "../chitty-id.mjs";
import { answer, isObject, iso } from "./answer.mjs";
import { once } from "./once.mjs";

const NOT_FOUND = { error: "Not found" };

/** dna.chitty.cc. Beginning a lineage again gives the same one. */
export function dna(call, state) {
  const body = isObject(call.body) ? call.body : {};
  const found = state.documents.get("dna", String(body.chittyId));
  switch (`${call.method} ${call.path}`) {
    case "GET /health":
      return answer(200, { status: "healthy", service: "chittydna", version: "1.0.0", timestamp: iso(call.at) });
    case "POST /v1/dna/initialize": {
      if (typeof body.chittyId !== "string") return answer(400, { success: false, error: "chittyId is required" });
      const fresh = { chittyId: body.chittyId, dna_id: `dna_${crypto.randomUUID()}`, entity_type: body.entityType ?? "unknown", generation: 1 };
      const { dna_id, entity_type, generation } = found ?? state.documents.put("dna", body.chittyId, fresh);
      return answer(found ? 200 : 201, { success: true, dna_id, entity_type, generation, traits: [], initialized_at: iso(call.at) });
    }
    case "POST /v1/dna/evolve": {
      if (!found) return answer(404, { success: false, error: "There is no such lineage" });
      const { dna_id, generation } = state.documents.put("dna", body.chittyId, { ...found, generation: found.generation + 1 });
      return answer(200, { success: true, dna_id, generation });
    }
  }
  return answer(404, NOT_FOUND);
}

/** verify.chitty.cc. A credential in the body fails the verification: nobody has any business sending one. */
export function verify(call) {
  if (call.method === "GET" && call.path === "/health") {
    return answer(200, { status: "healthy", service: "chittyverify", version: "1.0.0", timestamp: iso(call.at) });
  }
  if (call.method !== "POST" || call.path !== "/v1/verify/context") return answer(404, NOT_FOUND);
  const body = isObject(call.body) ? call.body : {};
  const leaks = ["apiKey", "api_key"].some((name) => Object.hasOwn(body, name));
  const verified = typeof body.chittyId === "string" && inspect(body.chittyId).valid && !errorOf(body.chittyId) && !leaks;
  return answer(200, {
    verified,
    status: verified ? "PASS" : "FAIL",
    verification_id: `ver_${crypto.randomUUID()}`,
    verified_fields: verified ? ["chittyId"] : [],
    confidence_score: verified ? 0.95 : 0,
    warnings: leaks ? ["a credential was sent"] : [],
    timestamp: iso(call.at),
  });
}

/** certify.chitty.cc. */
export function certify(call, state) {
  const body = isObject(call.body) ? call.body : {};
  const found = state.documents.get("certificate", String(body.certificate_id));
  switch (`${call.method} ${call.path}`) {
    case "GET /health":
      return answer(200, { status: "healthy", service: "ChittyCertify", version: "1.0.0", timestamp: iso(call.at) });
    case "POST /api/v1/issue":
      return once(call, state, () => issue(body, call.at, state));
    case "POST /api/v1/verify":
      if (!found) return answer(200, { valid: false, reason: "unknown certificate" });
      return answer(200, found.status === "active" ? { valid: true, certificate: found } : { valid: false, reason: found.status });
    case "POST /api/v1/revoke":
      if (!found) return answer(404, { error: "Certificate not found" });
      state.documents.put("certificate", found.id, { ...found, status: "revoked" });
      return answer(200, { success: true, id: found.id, status: "revoked" });
  }
  const read = /^GET \/api\/v1\/certificate\/([^/]+)$/.exec(`${call.method} ${call.path}`);
  const certificate = read && state.documents.get("certificate", decodeURIComponent(read[1]));
  return certificate ? answer(200, certificate) : answer(404, NOT_FOUND);
}

function issue(body, at, state) {
  const { chittyid, entity_data, trust_score, verification_report } = body;
  const sound = typeof chittyid === "string" && isObject(entity_data) && typeof entity_data.legal_name === "string" && isObject(verification_report);
  if (!sound || !(trust_score >= 0 && trust_score <= 100)) return answer(400, { error: "VALIDATION", details: "chittyid, entity_data.legal_name, trust_score and verification_report", timestamp: iso(at) });
  const id = `cert_${crypto.randomUUID()}`;
  const certificate = {
    id,
    chittyid,
    certificate_type: "BASIC",
    issued_at: iso(at),
    expires_at: iso(at + 365 * 86_400_000),
    trust_score,
    entity_data,
    verification_details: verification_report,
    signature: "sandbox",
    certificate_url: `https://certify.chitty.cc/api/v1/certificate/${id}`,
    status: "active",
  };
  return answer(201, state.documents.put("certificate", id, certificate));
}
