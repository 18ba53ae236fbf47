/** certify.chitty.cc. */
import { answer, isObject, iso } from "./answer.mjs";
import { once } from "./once.mjs";

const TYPES = ["BASIC", "ENHANCED", "PREMIUM"];
const VALID_DAYS = 365;
const MOST_DAYS = 3650;
const DAY_MS = 86_400_000;

/** certify.chitty.cc. */
export function certify(received, state) {
  const call = { ...received, body: isObject(received.body) ? received.body : {} };
  const { method, path, body, at } = call;
  switch (`${method} ${path}`) {
    case "GET /health":
      return answer(200, { status: "healthy", service: "ChittyCertify", version: "1.0.0", timestamp: iso(at) });
    case "POST /api/v1/issue":
      return once(call, state, () => issue(body, at, state));
    case "POST /v1/certify":
      return once(call, state, () => certifyOlder(body, at, state));
    case "POST /api/v1/verify":
      return answer(200, verdict(body, at, state));
    case "POST /api/v1/revoke":
      return revoke(body, at, state);
  }
  const read = /^GET \/api\/v1\/certificate\/([^/]+)$/.exec(`${method} ${path}`);
  const found = read && state.documents.get("certificate", decodeURIComponent(read[1]));
  return found ? answer(200, found) : refused(404, "NOT_FOUND", read ? "There is no such certificate" : "There is no such path", at);
}

function issue(body, at, state) {
  const problem = problemOf(body);
  if (problem) return refused(400, "VALIDATION_ERROR", problem, at);
  const { chittyid, entity_data, trust_score, verification_report, certificate_type, validity_period } = body;
  const made = { chittyid, certificate_type, validity_period, trust_score, entity_data, verification_details: verification_report };
  return answer(201, keep(made, at, state));
}

function problemOf({ chittyid, entity_data, trust_score, verification_report, certificate_type = TYPES[0], validity_period = VALID_DAYS }) {
  if (!isText(chittyid)) return "chittyid is required";
  if (!isObject(entity_data) || !isText(entity_data.legal_name)) return "entity_data.legal_name is required";
  if (typeof trust_score !== "number" || !(trust_score >= 0 && trust_score <= 100)) return "trust_score is a number from 0 to 100";
  if (!isObject(verification_report)) return "verification_report is required";
  if (!TYPES.includes(certificate_type)) return `certificate_type is one of ${TYPES.join(", ")}`;
  if (!Number.isInteger(validity_period) || validity_period < 1 || validity_period > MOST_DAYS) return "validity_period is a number of days";
  return null;
}

/**
 * The older path: a service certifies itself, and the answer has only the id, the compliance and the time.
 */
function certifyOlder({ chittyId, service, compliance = [], security_level, securityLevel }, at, state) {
  if (!isText(chittyId) || !isText(service)) return refused(400, "VALIDATION_ERROR", "chittyId and service are required", at);
  const details = { status: "PASS", compliance, security_level: security_level ?? securityLevel ?? null };
  const made = keep({ chittyid: chittyId, trust_score: 0, entity_data: { legal_name: service }, verification_details: details }, at, state);
  return answer(201, { certificate_id: made.id, compliance, issued_at: made.issued_at });
}

function keep({ chittyid, certificate_type = TYPES[0], validity_period = VALID_DAYS, trust_score, entity_data, verification_details }, at, state) {
  const id = `cert_${crypto.randomUUID()}`;
  const url = `https://certify.chitty.cc/api/v1/certificate/${id}`;
  return state.documents.put("certificate", id, {
    id,
    chittyid,
    certificate_type,
    issued_at: iso(at),
    expires_at: iso(at + validity_period * DAY_MS),
    trust_score,
    entity_data,
    verification_details,
    signature: `sig_${crypto.randomUUID()}`,
    certificate_url: url,
    qr_code_data: url,
    status: "active",
  });
}

function verdict({ certificate_id, signature }, at, state) {
  const found = isText(certificate_id) ? state.documents.get("certificate", certificate_id) : null;
  if (!found) return { valid: false, reason: "unknown certificate" };
  if (found.status !== "active") return { valid: false, reason: found.status, certificate: found };
  if (Date.parse(found.expires_at) <= at) return { valid: false, reason: "expired", certificate: found };
  if (signature !== undefined && signature !== found.signature) return { valid: false, reason: "signature mismatch" };
  return { valid: true, certificate: found };
}

function revoke({ certificate_id, reason = null }, at, state) {
  const found = isText(certificate_id) ? state.documents.get("certificate", certificate_id) : null;
  if (!found) return refused(404, "NOT_FOUND", "There is no such certificate", at);
  const ended = found.status === "revoked" ? found : { ...found, status: "revoked", revoked_at: iso(at), revocation_reason: reason };
  state.documents.put("certificate", found.id, ended);
  return answer(200, { success: true, certificate_id, status: "revoked", revoked_at: ended.revoked_at, reason: ended.revocation_reason });
}

function refused(status, error, details, at) {
  return answer(status, { error, details, timestamp: iso(at) });
}

function isText(value) {
  return typeof value === "string" && value !== "";
}
