//! The schemas of the requests and replies of `/api/chittyid`, for the API description only.

use utoipa::ToSchema;

/// The identity to be minted.
#[derive(ToSchema)]
#[schema(as = IdentityDraft)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct IdentityDraftView {
    /// The kind of the identity, such as `EVNT`. The kinds are PEO, PLACE, PROP, EVNT, AUTH, INFO, FACT,
    /// CONTEXT and ACTOR; person, place, thing, event and authority, or the first letter of each (L for
    /// place), stand for the first five. Case does not matter. The member may also be named type, entityType
    /// or entity_type.
    #[schema(example = "EVNT")]
    entity: String,
    /// The metadata that ChittyID is to keep with the identity: at most 4096 bytes as JSON, without any
    /// e-mail address.
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
    /// The same as `chittyId`.
    chitty_id: String,
    /// The kind: `PEO`, `PLACE`, `PROP`, `EVNT`, `AUTH`, `INFO`, `FACT`, `CONTEXT` or `ACTOR`.
    r#type: String,
    /// The canonical letter of the kind: `P`, `L`, `T`, `E` or `A`.
    entity: String,
    /// When the gateway stored it, ISO-8601 UTC with milliseconds.
    minted_at: String,
}

/// The id to be validated.
#[derive(ToSchema)]
#[schema(as = IdentityValidation)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct IdentityValidationView {
    /// The id, with or without the prefix did:chitty:. The member may also be named chitty_id, chittyid or
    /// id.
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
    /// Whether the id is valid.
    valid: bool,
    /// `valid`, `invalid`, or `pending`: the id stands for an identity that could not be minted yet.
    status: String,
    /// The id, without `did:chitty:`.
    #[schema(rename = "chittyId")]
    chitty_id_as_before: String,
    /// The same as `chittyId`.
    chitty_id: String,
    /// The reason why the id is not valid, or null.
    error: Option<String>,
}
