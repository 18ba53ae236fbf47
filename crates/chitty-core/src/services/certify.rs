//! ChittyCertify (`certify.chitty.cc`).

use serde_json::{Value, json};

use crate::error::ServiceError;
use crate::id::ChittyId;
use crate::retry::Repeat;
use crate::service::Service;
use crate::services::answers::{GONE, gone_is_done};
use crate::session::Session;
use crate::wire::{Call, Variant, first_string};

/// What to certify.
#[derive(Debug, Clone)]
pub struct CertificateRequest {
    /// The entity to which the certificate belongs.
    pub chitty_id: ChittyId,
    /// The name on it.
    pub legal_name: String,
    /// How far the entity is trusted, 0 to 100.
    pub trust_score: u8,
    /// The report of the verification, as [`VerifyClient`](crate::VerifyClient) found it.
    pub verification: Value,
    /// Sent as `Idempotency-Key`.
    pub idempotency_key: Option<String>,
}

/// Client of ChittyCertify.
pub struct CertifyClient<'a> {
    pub(crate) session: &'a Session,
}

impl CertifyClient<'_> {
    /// Issues a certificate with `POST /api/v1/issue`, or its older path, and returns its id.
    ///
    /// # Errors
    /// No answer, a refusal, or an answer without a certificate.
    pub async fn issue(&self, request: &CertificateRequest) -> Result<String, ServiceError> {
        let id = request.chitty_id.as_str();
        let body = json!({
            "chittyid": id,
            "entity_data": { "legal_name": request.legal_name },
            "trust_score": request.trust_score,
            "verification_report": request.verification,
        });
        let older = json!({
            "chittyId": id,
            "service": request.legal_name,
            "compliance": ["chittyos-v1"],
            "security_level": "standard",
        });
        let variants = vec![
            Variant::post(Service::Certify, "/api/v1/issue", body),
            Variant::post(Service::Certify, "/v1/certify", older),
        ];
        let call = Call::new("certify.issue", Repeat::WhenTurnedAway, variants)
            .keyed(request.idempotency_key.as_deref());
        let answer = self.session.call(call).await?;
        first_string(&answer.body, &["certificate_id", "certificateId", "id"])
            .map(str::to_owned)
            .ok_or_else(|| malformed("no certificate in the answer"))
    }

    /// Whether a certificate is valid, with `POST /api/v1/verify`.
    ///
    /// # Errors
    /// No answer, a refusal, or an answer without a verdict.
    pub async fn verify(&self, certificate_id: &str) -> Result<bool, ServiceError> {
        let body = json!({ "certificate_id": certificate_id });
        let variant = Variant::post(Service::Certify, "/api/v1/verify", body);
        let call = Call::new("certify.verify", Repeat::Safe, vec![variant]).answered_by(GONE);
        let answer = self.session.read(call).await?;
        let verdict = answer.get("valid").and_then(Value::as_bool);
        verdict.ok_or_else(|| malformed("no verdict in the answer"))
    }

    /// Revokes a certificate with `POST /api/v1/revoke`. A certificate that does not exist counts as
    /// revoked.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub async fn revoke(&self, certificate_id: &str, reason: &str) -> Result<(), ServiceError> {
        let body = json!({ "certificate_id": certificate_id, "reason": reason });
        let variant = Variant::post(Service::Certify, "/api/v1/revoke", body);
        let call = Call::new("certify.revoke", Repeat::Safe, vec![variant]).answered_by(GONE);
        gone_is_done(self.session.tell(call).await)
    }
}

fn malformed(detail: &str) -> ServiceError {
    ServiceError::malformed(Service::Certify, 200, detail)
}
