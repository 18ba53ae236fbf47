//! The requests and replies of delegations, for the API description only.

use utoipa::ToSchema;

/// A delegation to make.
#[derive(ToSchema)]
#[schema(as = DelegationDraft)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct DelegationDraftView {
    /// The service for which the token is valid; `chittyconnect` is this gateway.
    target_service: String,
    /// At most the scopes that you hold; by default `read`, as far as you hold it.
    #[schema(required = false)]
    scopes: Option<Vec<String>>,
    /// 60 to 86400; 3600 by default.
    #[schema(required = false)]
    expires_in_seconds: Option<u32>,
    /// An object of at most 4 KB, for your own notes.
    #[schema(required = false)]
    metadata: Option<serde_json::Value>,
}

/// A delegation.
#[derive(ToSchema)]
#[schema(as = Delegation)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct DelegationView {
    /// `dlg_…`
    token_id: String,
    /// The same as `token_id`.
    delegation_id: String,
    /// The token; only in the reply to its creation.
    #[schema(required = false)]
    token: String,
    /// The actor for which the token acts.
    delegator_chitty_id: String,
    /// The service for which the token is valid, in lower case and without `chitty`.
    target_service: String,
    /// The scopes that it was made with.
    scopes: Vec<String>,
    /// The notes of its maker.
    metadata: serde_json::Value,
    /// `active`, `expired` or `revoked`.
    status: String,
    /// Its place in the chain of delegations: 1 for the first, 5 at most.
    depth: u8,
    /// ISO-8601 UTC with milliseconds.
    created_at: String,
    /// ISO-8601 UTC with milliseconds.
    expires_at: String,
    /// ISO-8601 UTC with milliseconds.
    revoked_at: Option<String>,
    /// Its whole life, in seconds.
    expires_in_seconds: i64,
}

/// The reply to a delegation.
#[derive(ToSchema)]
#[schema(as = DelegationReply)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct DelegationReplyView {
    /// Always true.
    success: bool,
    /// The delegation, with its token.
    delegation: DelegationView,
}

/// A page of delegations.
#[derive(ToSchema)]
#[schema(as = DelegationList)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct DelegationListView {
    /// The delegations of this page.
    delegations: Vec<DelegationView>,
    /// How many delegations this page has.
    count: u8,
    /// The `cursor` of the next page, or null.
    next_cursor: Option<String>,
}

/// The reply to a revocation.
#[derive(ToSchema)]
#[schema(as = Revocation)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct RevocationView {
    /// Always true.
    success: bool,
    /// What was done, in words.
    message: String,
    /// The delegation that was revoked.
    token_id: String,
}

/// A question about a token.
#[derive(ToSchema)]
#[schema(as = ValidationDraft)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct ValidationDraftView {
    /// The token.
    token: String,
    /// The service that asks, by default this gateway. A token for another service is not active there.
    #[schema(required = false)]
    target_service: Option<String>,
}

/// The state of a token (RFC 7662).
#[derive(ToSchema)]
#[serde(untagged)]
#[schema(as = Introspection)]
#[allow(dead_code, clippy::large_enum_variant, reason = "a description")]
pub(crate) enum IntrospectionView {
    /// The token is valid at the service in question.
    Active(ActiveTokenView),
    /// The token is not valid there; the reply says nothing else.
    Inactive(InactiveTokenView),
}

/// A token that is valid.
#[derive(ToSchema)]
#[schema(as = ActiveToken)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct ActiveTokenView {
    /// Always true.
    active: bool,
    /// The same as `active`, for callers of the predecessor.
    valid: bool,
    /// Always `Bearer`.
    token_type: String,
    /// The scopes that it has at this moment, separated by spaces.
    scope: String,
    /// The delegator.
    sub: String,
    /// The service for which the token is valid, as the request names it; `chittyconnect` if it names none.
    aud: String,
    /// Seconds since the Unix epoch.
    iat: u64,
    /// Seconds since the Unix epoch.
    exp: u64,
    /// `dlg_…`
    jti: String,
    /// The same facts in the predecessor's form.
    delegation: DelegationGistView,
}

/// A token that is not valid, or not at this service.
#[derive(ToSchema)]
#[schema(as = InactiveToken)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct InactiveTokenView {
    /// Always false.
    active: bool,
    /// The same as `active`, for callers of the predecessor.
    valid: bool,
}

/// The part of a delegation that a service may see.
#[derive(ToSchema)]
#[schema(as = DelegationGist)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct DelegationGistView {
    /// `dlg_…`
    token_id: String,
    /// The actor for which the token acts.
    delegator_chitty_id: String,
    /// The service for which the token is valid, in lower case and without `chitty`.
    target_service: String,
    /// The scopes that it has at this moment.
    scopes: Vec<String>,
    /// ISO-8601 UTC with milliseconds.
    expires_at: String,
}
