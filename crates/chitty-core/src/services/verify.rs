//! ChittyVerify (`verify.chitty.cc`).

use serde_json::{Value, json};

use crate::error::ServiceError;
use crate::id::ChittyId;
use crate::retry::Repeat;
use crate::service::Service;
use crate::session::Session;
use crate::wire::{Call, Variant, first_string, segment};

/// ChittyVerify's verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// True only for an explicit `verified: true`, or a status `PASS` or `verified`.
    pub verified: bool,
    /// The verification's own id, if it has one.
    pub id: Option<String>,
    /// Its status in ChittyVerify's words.
    pub status: Option<String>,
    /// ChittyVerify's confidence in percent, if it said so.
    pub confidence_percent: Option<u8>,
}

/// Client of ChittyVerify.
pub struct VerifyClient<'a> {
    pub(crate) session: &'a Session,
}

impl VerifyClient<'_> {
    /// Asks ChittyVerify to verify a context, with `POST /v1/verify/context` or its older paths. The body
    /// contains no credential, because ChittyVerify needs none.
    ///
    /// # Errors
    /// No answer, a refusal, or an answer without a verdict.
    pub async fn context(
        &self,
        id: &ChittyId,
        dna_id: Option<&str>,
        service: &str,
    ) -> Result<Verification, ServiceError> {
        let body = json!({ "chittyId": id.as_str(), "dnaId": dna_id, "service": service });
        let own = format!("/v1/verify/context/{}", segment(id.as_str()));
        let variants = vec![
            Variant::post(Service::Verify, "/v1/verify/context", body.clone()),
            Variant::post(Service::Verify, own, body.clone()),
            Variant::post(Service::Verify, "/api/verify/context", body),
        ];
        let answer = self.session.call(Call::new("verify.context", Repeat::Safe, variants)).await?;
        verification(&answer.body).ok_or_else(|| {
            ServiceError::malformed(Service::Verify, 200, "no verdict in the answer")
        })
    }
}

/// Reads a verdict. A missing field does not mean verified.
fn verification(answer: &Value) -> Option<Verification> {
    let status = first_string(answer, &["status"]).map(str::to_owned);
    let said = answer.get("verified").and_then(Value::as_bool);
    let passed = status.as_deref().map(|status| {
        status.eq_ignore_ascii_case("pass") || status.eq_ignore_ascii_case("verified")
    });
    let verified = said.or(passed)?;
    let id = first_string(answer, &["verification_id", "verificationId", "id"]).map(str::to_owned);
    let confidence = answer.get("confidence_score").and_then(Value::as_f64);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100")]
    let confidence_percent = confidence.map(|share| (share.clamp(0.0, 1.0) * 100.0).round() as u8);
    Some(Verification { verified, id, status, confidence_percent })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_explicit_verdict_counts() {
        let verified = |answer: Value| verification(&answer).map(|found| found.verified);
        assert_eq!(verified(json!({"verified": true})), Some(true));
        assert_eq!(verified(json!({"status": "PASS"})), Some(true));
        assert_eq!(verified(json!({"status": "verified", "id": "v"})), Some(true));
        assert_eq!(verified(json!({"verified": false, "status": "PASS"})), Some(false));
        for status in ["FAIL", "REVIEW", "pending"] {
            assert_eq!(verified(json!({ "status": status })), Some(false));
        }
        for nothing in [json!({}), json!({"verified": "true"}), json!([]), json!({"id": "v"})] {
            assert_eq!(verified(nothing), None);
        }
    }
}
