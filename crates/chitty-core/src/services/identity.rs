//! ChittyID, the identity authority (`id.chitty.cc`), with the mint behind it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::ServiceError;
use crate::id::{ChittyId, IdError};
use crate::retry::Repeat;
use crate::service::Service;
use crate::services::answers::ID_NAMES;
use crate::session::Session;
use crate::verdict::FailureKind;
use crate::wire::{Call, Variant, first_string, segment};

/// The kind of entity for which an identity is minted: the nine kinds of ChittyID, with their names in
/// each generation of its API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntityLabel {
    /// A person.
    Person,
    /// A place.
    Place,
    /// A property: a thing that is owned.
    Property,
    /// Something that has happened.
    Event,
    /// An authority.
    Authority,
    /// A piece of information.
    Information,
    /// A fact.
    Fact,
    /// A context: a synthetic person, never a thing.
    Context,
    /// An actor that is no natural person, such as an AI agent: also a synthetic person.
    Actor,
}

impl EntityLabel {
    /// Every kind.
    pub const ALL: [EntityLabel; 9] = [
        EntityLabel::Person,
        EntityLabel::Place,
        EntityLabel::Property,
        EntityLabel::Event,
        EntityLabel::Authority,
        EntityLabel::Information,
        EntityLabel::Fact,
        EntityLabel::Context,
        EntityLabel::Actor,
    ];

    /// The names of the kinds, in upper case: the labels of the first API generation, the canonical words,
    /// their letters, and other names in use. A thing is a property.
    #[rustfmt::skip]
    pub const NAMES: &[(&str, EntityLabel)] = &[
        ("PEO", EntityLabel::Person), ("PERSON", EntityLabel::Person), ("P", EntityLabel::Person),
        ("PLACE", EntityLabel::Place), ("LOC", EntityLabel::Place), ("L", EntityLabel::Place),
        ("PROP", EntityLabel::Property), ("PROPERTY", EntityLabel::Property),
        ("THING", EntityLabel::Property), ("T", EntityLabel::Property),
        ("EVNT", EntityLabel::Event), ("EVENT", EntityLabel::Event), ("E", EntityLabel::Event),
        ("AUTH", EntityLabel::Authority), ("AUTHORITY", EntityLabel::Authority), ("A", EntityLabel::Authority),
        ("INFO", EntityLabel::Information), ("INFORMATION", EntityLabel::Information),
        ("FACT", EntityLabel::Fact),
        ("CONTEXT", EntityLabel::Context),
        ("ACTOR", EntityLabel::Actor),
    ];

    /// Returns the kind with one of the [`EntityLabel::NAMES`], in upper or lower case.
    pub fn parse(name: &str) -> Option<Self> {
        let found = EntityLabel::NAMES.iter().find(|(one, _)| one.eq_ignore_ascii_case(name));
        found.map(|(_, label)| *label)
    }

    /// The label of the first API generation (`type`).
    pub fn label(self) -> &'static str {
        match self {
            EntityLabel::Person => "PEO",
            EntityLabel::Place => "PLACE",
            EntityLabel::Property => "PROP",
            EntityLabel::Event => "EVNT",
            EntityLabel::Authority => "AUTH",
            EntityLabel::Information => "INFO",
            EntityLabel::Fact => "FACT",
            EntityLabel::Context => "CONTEXT",
            EntityLabel::Actor => "ACTOR",
        }
    }

    /// The canonical letter (`entity`).
    pub fn letter(self) -> &'static str {
        self.canonical().0
    }

    /// The canonical letter (`entity`) and word (`entityType`).
    fn canonical(self) -> (&'static str, &'static str) {
        match self {
            EntityLabel::Person | EntityLabel::Context | EntityLabel::Actor => ("P", "person"),
            EntityLabel::Place => ("L", "place"),
            EntityLabel::Property | EntityLabel::Information | EntityLabel::Fact => ("T", "thing"),
            EntityLabel::Event => ("E", "event"),
            EntityLabel::Authority => ("A", "authority"),
        }
    }

    /// The `characterization`, for kinds that are no natural entity.
    fn characterization(self) -> Option<&'static str> {
        matches!(self, EntityLabel::Context | EntityLabel::Actor).then_some("Synthetic")
    }
}

/// The identity to mint.
#[derive(Debug, Clone)]
pub struct MintRequest {
    /// The kind of entity.
    pub label: EntityLabel,
    /// What the authority stores beside the id. Must not contain personal data.
    pub metadata: Value,
    /// The time of the request, ISO-8601 UTC.
    pub timestamp: String,
    /// Sent as `Idempotency-Key`. The authority does not promise to recognise a repeat by it.
    pub idempotency_key: Option<String>,
    /// Deadline in ms, instead of the configured one.
    pub timeout_ms: Option<u32>,
}

/// The authority's verdict on an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Validity {
    /// The id is valid.
    Valid,
    /// The id is not valid.
    Invalid,
    /// The id stands for an identity that could not be minted yet.
    Pending,
}

/// What the authority knows about an identity. A field that the answer left out is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityInfo {
    /// The identity.
    pub id: ChittyId,
    /// Its decentralized identifier, `did:chitty:…`.
    pub did: Option<String>,
    /// Its kind.
    pub entity_type: Option<String>,
    /// How far it is trusted, 0 to 5.
    pub trust_level: Option<u64>,
}

/// Client of ChittyID.
pub struct IdClient<'a> {
    pub(crate) session: &'a Session,
}

impl IdClient<'_> {
    /// Mints one identity with `POST /v1/mint`; if ChittyID does not know that path, with
    /// `POST /api/mint` at the mint itself. Minting is not idempotent, and a call that timed out may have
    /// minted. The call is therefore repeated only after 429 or 503 with `Retry-After`, which say that
    /// nothing was minted.
    ///
    /// # Errors
    /// Everything but a valid, freshly minted id is an error: no answer, a status other than 2xx,
    /// `fallback: true` (the authority's own "not minted", sent with status 200), an error id, an id
    /// whose checksum is wrong.
    pub async fn mint(&self, request: &MintRequest) -> Result<ChittyId, ServiceError> {
        let (letter, word) = request.label.canonical();
        // The superset of the field names that the generations of the API read.
        let mut body = json!({
            "type": request.label.label(),
            "entity": letter,
            "entityType": word,
            "entity_type": word,
            "metadata": request.metadata,
            "timestamp": request.timestamp,
        });
        if let (Some(word), Some(body)) = (request.label.characterization(), body.as_object_mut()) {
            body.insert("characterization".to_owned(), word.into());
        }
        let variants = vec![
            Variant::post(Service::Id, "/v1/mint", body.clone()),
            Variant::post(Service::Mint, "/api/mint", body),
        ];
        let call = Call::new("id.mint", Repeat::WhenTurnedAway, variants)
            .keyed(request.idempotency_key.as_deref());
        let call = Call { timeout_ms: request.timeout_ms, ..call };
        let answer = self.session.call(call).await?;
        let service = if answer.variant == 0 { Service::Id } else { Service::Mint };
        minted(&answer.body).map_err(|detail| {
            let error = ServiceError::malformed(service, 200, detail);
            // The authority's own way to say "later".
            match fallback_code(&answer.body) {
                Some(code) if MAY_HAVE_MINTED.contains(&code) => {
                    ServiceError { kind: FailureKind::Unavailable, ..error }
                }
                // It means the same as 503 with `Retry-After`: nothing was minted.
                Some(_) => ServiceError {
                    kind: FailureKind::Unavailable,
                    status: Some(503),
                    retry_after_s: Some(LATER_S),
                    ..error
                },
                None => error,
            }
        })
    }

    /// Asks the authority whether an id is valid, with `POST /api/validate` or its older paths. Answers
    /// without asking if the text tells: a wrong form or checksum is invalid, an error id is pending.
    ///
    /// # Errors
    /// Failures that leave the question open: no answer, or an answer without a verdict.
    pub async fn validate(&self, id: &str) -> Result<Validity, ServiceError> {
        let id = match ChittyId::parse(id) {
            Err(IdError::Form | IdError::Checksum) => return Ok(Validity::Invalid),
            Err(IdError::ErrorId) => return Ok(Validity::Pending),
            // Without `did:chitty:`, which the authority does not read.
            Ok(id) => id,
        };
        let id = id.as_str();
        let variants = vec![
            Variant::post(Service::Id, "/api/validate", json!({ "id": id })),
            Variant::get(Service::Id, format!("/v1/validate/{}", segment(id))),
            Variant::post(Service::Id, "/v1/validate", json!({ "chittyId": id })),
        ];
        let answer = self.session.read(Call::new("id.validate", Repeat::Safe, variants)).await?;
        validity(&answer)
            .ok_or_else(|| ServiceError::malformed(Service::Id, 200, "the answer has no verdict"))
    }

    /// Returns what the authority knows about an identity, with `GET /v1/{id}/info`; `None` if the
    /// authority does not know it.
    ///
    /// # Errors
    /// No answer, or an answer about another identity.
    pub async fn info(&self, id: &ChittyId) -> Result<Option<IdentityInfo>, ServiceError> {
        let path = format!("/v1/{}/info", segment(id.as_str()));
        let variant = Variant::get(Service::Id, path);
        let call = Call::new("id.info", Repeat::Safe, vec![variant]).answered_by(&[404]);
        let answer = match self.session.read(call).await {
            Ok(answer) => answer,
            Err(ServiceError { status: Some(404), .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let about = first_string(&answer, ID_NAMES).map(ChittyId::parse);
        if about.as_ref() != Some(&Ok(id.clone())) {
            return Err(ServiceError::malformed(
                Service::Id,
                200,
                "the answer is about another id",
            ));
        }
        let text = |name| first_string(&answer, &[name]).map(str::to_owned);
        Ok(Some(IdentityInfo {
            id: id.clone(),
            did: text("did"),
            entity_type: text("entityType"),
            trust_level: answer.get("trustLevel").and_then(Value::as_u64),
        }))
    }
}

fn validity(answer: &Value) -> Option<Validity> {
    let verdict = answer.get("valid").and_then(Value::as_bool)?;
    let pending = answer.get("isError").and_then(Value::as_bool) == Some(true);
    Some(match (verdict, pending) {
        (true, _) => Validity::Valid,
        (false, true) => Validity::Pending,
        (false, false) => Validity::Invalid,
    })
}

/// The codes of fallback answers after which the mint may have minted: it timed out (`0002`), it failed
/// internally (`0099`), or the answer has no code.
const MAY_HAVE_MINTED: &[&str] = &["0002", "0099", ""];

/// The seconds to wait after a fallback answer.
const LATER_S: u32 = 5;

/// Returns the code of a fallback answer, empty if it has none; `None` for any other answer.
fn fallback_code(answer: &Value) -> Option<&str> {
    let is_fallback = answer.get("fallback").and_then(Value::as_bool) == Some(true);
    is_fallback.then(|| answer.get("errorCode").and_then(Value::as_str).unwrap_or_default())
}

/// Returns the id in the answer to a mint, or why there is none.
fn minted(answer: &Value) -> Result<ChittyId, String> {
    if let Some(code) = fallback_code(answer) {
        return Err(format!("fallback answer, not minted ({code})"));
    }
    if answer.get("success").and_then(Value::as_bool) == Some(false) {
        return Err("the answer says success: false".to_owned());
    }
    let id = first_string(answer, ID_NAMES).ok_or("no id in the answer")?;
    ChittyId::parse(id).map_err(|error| format!("the id in the answer: {error}"))
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
