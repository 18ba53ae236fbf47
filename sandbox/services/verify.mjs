/** verify.chitty.cc. A credential in the body fails the verification, since a caller must never send one. */
import { inspect } from "../chitty-id.mjs";
import { answer, isObject, iso } from "./answer.mjs";

const CREDENTIALS = ["apiKey", "api_key"];

/** verify.chitty.cc. */
export function verify(call) {
  switch (`${call.method} ${call.path}`) {
    case "GET /health":
      return answer(200, { status: "healthy", service: "chittyverify", version: "1.0.0", timestamp: iso(call.at) });
    case "POST /v1/verify/context":
      return answer(200, verdict(isObject(call.body) ? call.body : {}, call.at));
  }
  return answer(404, { error: "Not found" });
}

function verdict(body, at) {
  const sound = typeof body.chittyId === "string" && inspect(body.chittyId).valid;
  const leaks = CREDENTIALS.some((name) => Object.hasOwn(body, name));
  const verified = sound && !leaks;
  return {
    verified,
    status: verified ? "PASS" : "FAIL",
    verification_id: `ver_${crypto.randomUUID()}`,
    verified_fields: verified ? ["chittyId"] : [],
    confidence_score: verified ? 0.95 : 0,
    verification_details: { chittyId: sound ? "sound" : "missing or unsound" },
    warnings: leaks ? ["a credential was sent"] : [],
    timestamp: iso(at),
  };
}
