//! What requests and replies of `/api/chittyid` look like: for the API description only.

use utoipa::ToSchema;

/// What is to be minted.
#[derive(ToSchema)]
#[schema(as = IdentityDraft)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct IdentityDraftView {
    /// Of which kind, such as `EVNT`. The kinds are PEO, PLACE, PROP, EVNT, AUTH, INFO, FACT, CONTEXT and
    /// ACTOR; person, place, thing, event, authority and the letters of these stand for the first five.
    /// Upper or lower case is the same. Also taken as type, entityType or entity_type.
    #[schema(example = "EVNT")]
    entity: String,
    /// What ChittyID is to keep beside the identity: at most 4096 bytes, and no e-mail address of anybody.
    #[schema(value_type = Option<Object>)]
    metadata: Option<()>,
}

/// A minted identity.
#[derive(ToSchema)]
#[schema(as = IdentityReply)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct IdentityReplyView {
    /// Always true.
    success: bool,
    /// The ChittyID.
    #[schema(rename = "chittyId")]
    chitty_id_as_before: String,
    /// The same.
    chitty_id: String,
    /// Its kind: `PEO`, `PLACE`, `PROP`, `EVNT`, `AUTH`, `INFO`, `FACT`, `CONTEXT` or `ACTOR`.
    r#type: String,
    /// The canonical letter of its kind: `P`, `L`, `T`, `E` or `A`.
    entity: String,
    /// When it was put on record, ISO-8601.
    minted_at: String,
}

/// What is to be validated.
#[derive(ToSchema)]
#[schema(as = IdentityValidation)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct IdentityValidationView {
    /// The id, with or without did:chitty: before it. Also taken as chitty_id, chittyid or id.
    #[schema(rename = "chittyId", example = "03-1-USA-9002-T-2602-0-81")]
    chitty_id: String,
}

/// Whether an id is valid.
#[derive(ToSchema)]
#[schema(as = IdentityValidity)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct ValidityView {
    /// Always true: the question was answered.
    success: bool,
    /// Whether it is valid.
    valid: bool,
    /// `valid`, `invalid`, or `pending`: it stands for an identity that could not be minted yet.
    status: String,
    /// The id, without `did:chitty:`.
    #[schema(rename = "chittyId")]
    chitty_id_as_before: String,
    /// The same.
    chitty_id: String,
    /// Why it is not valid.
    error: Option<String>,
}
