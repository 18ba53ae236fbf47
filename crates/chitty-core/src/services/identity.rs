//! ChittyID, the identity authority (`id.chitty.cc`).

use serde_json::{Value, json};

use crate::call::CallContext;
use crate::error::ServiceError;
use crate::id::ChittyId;
use crate::retry::Repeat;
use crate::service::Service;
use crate::wire::{Wire, first_string};

/// What an identity is minted for, and how each generation of ChittyID names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntityLabel {
    /// A context: a synthetic person, never a thing.
    Context,
}

impl EntityLabel {
    /// The label of the first API generation (`type`).
    fn label(self) -> &'static str {
        match self {
            EntityLabel::Context => "CONTEXT",
        }
    }

    /// The canonical letter (`entity`) and word (`entityType`).
    fn canonical(self) -> (&'static str, &'static str) {
        match self {
            EntityLabel::Context => ("P", "person"),
        }
    }
}

/// What to mint.
#[derive(Debug, Clone)]
pub struct MintRequest {
    /// For what.
    pub label: EntityLabel,
    /// Kept by the authority beside the id. No personal data.
    pub metadata: Value,
    /// ISO-8601 UTC.
    pub timestamp: String,
}

/// Client of ChittyID.
pub struct IdClient<'a> {
    pub(crate) wire: &'a Wire,
}

impl IdClient<'_> {
    /// Mints one identity with `POST /v1/mint`. One attempt: minting is not idempotent, and a call
    /// that timed out may have minted.
    ///
    /// # Errors
    /// Whatever is not a sound, freshly minted id is an error: no answer, a status other than 2xx,
    /// `fallback: true` (the authority's own "not minted", sent with status 200), an error id, an id
    /// whose checksum is wrong.
    pub async fn mint(
        &self,
        request: &MintRequest,
        cx: &CallContext,
    ) -> Result<ChittyId, ServiceError> {
        let (letter, word) = request.label.canonical();
        // The superset of the field names that the generations of the API read.
        let body = json!({
            "type": request.label.label(),
            "entity": letter,
            "entityType": word,
            "entity_type": word,
            "characterization": "Synthetic",
            "metadata": request.metadata,
            "timestamp": request.timestamp,
        });
        let answer = self.wire.post(Service::Id, "/v1/mint", &body, Repeat::Never, cx).await?;
        minted(&answer).map_err(|detail| ServiceError::malformed(Service::Id, 200, detail))
    }
}

/// The id of a mint answer, or why there is none.
fn minted(answer: &Value) -> Result<ChittyId, String> {
    if answer.get("fallback").and_then(Value::as_bool) == Some(true) {
        let code = answer.get("errorCode").and_then(Value::as_str).unwrap_or("no code");
        return Err(format!("fallback answer, not minted ({code})"));
    }
    if answer.get("success").and_then(Value::as_bool) == Some(false) {
        return Err("the answer says success: false".to_owned());
    }
    let id = first_string(answer, &["chittyId", "chitty_id", "id", "technical_id"])
        .ok_or("no id in the answer")?;
    ChittyId::parse(id).map_err(|error| format!("the answer's id is not one: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sound_id_counts_as_minted() {
        let good = "03-1-USA-9002-T-2602-0-81";
        for answer in [
            json!({"success": true, "chittyId": good}),
            json!({"chitty_id": good}),
            json!({"data": {"id": good}}),
            json!({"result": {"technical_id": good}, "fallback": false}),
        ] {
            assert_eq!(minted(&answer).unwrap().as_str(), good, "{answer}");
        }
        for answer in [
            json!({}),
            json!([]),
            json!(null),
            json!({"chittyId": 7}),
            json!({"chittyId": ""}),
            json!({"chittyId": good, "fallback": true, "errorCode": "0001"}),
            json!({"chittyId": good, "success": false}),
            json!({"chittyId": "03-1-USA-9002-T-2602-0-82"}),
            json!({"chittyId": "03-0-ERR-0001-T-2602-0-08"}),
        ] {
            assert!(minted(&answer).is_err(), "{answer}");
        }
    }
}
