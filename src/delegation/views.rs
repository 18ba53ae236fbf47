//! What requests and replies of delegations look like: for the API description only.

use utoipa::ToSchema;

/// A delegation to be made.
#[derive(ToSchema)]
#[schema(as = DelegationDraft)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct DelegationDraftView {
    /// For which service the token is; `chittyconnect` is this gateway.
    target_service: String,
    /// At most what you hold; reading, as far as you may, by default.
    #[schema(required = false)]
    scopes: Option<Vec<String>>,
    /// 60 to 86400; 3600 by default.
    #[schema(required = false)]
    expires_in_seconds: Option<u32>,
    /// An object of at most 4 KB, for yourself.
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
    /// The same.
    delegation_id: String,
    /// The token, in the reply to its creation only.
    #[schema(required = false)]
    token: String,
    /// For whom the token acts.
    delegator_chitty_id: String,
    /// For which service it is, in lower case and without `chitty`.
    target_service: String,
    /// What it was made for.
    scopes: Vec<String>,
    /// What its maker noted.
    metadata: serde_json::Value,
    /// `active`, `expired` or `revoked`.
    status: String,
    /// 1 for the first, 5 at most.
    depth: u8,
    /// ISO-8601 UTC with milliseconds.
    created_at: String,
    /// ISO-8601 UTC with milliseconds.
    expires_at: String,
    /// ISO-8601 UTC with milliseconds.
    revoked_at: Option<String>,
    /// Its whole life.
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
    /// How many they are.
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
    /// What was revoked.
    token_id: String,
}

/// A question about a token.
#[derive(ToSchema)]
#[schema(as = ValidationDraft)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct ValidationDraftView {
    /// The token.
    token: String,
    /// Who asks: a token for another service is not active there.
    #[schema(required = false)]
    target_service: Option<String>,
}

/// What is said of a token (RFC 7662).
#[derive(ToSchema)]
#[serde(untagged)]
#[schema(as = Introspection)]
#[allow(dead_code, clippy::large_enum_variant, reason = "a description")]
pub(crate) enum IntrospectionView {
    /// It is good at the service in question.
    Active(ActiveTokenView),
    /// It is not, which is all that is said of it.
    Inactive(InactiveTokenView),
}

/// A token that is good.
#[derive(ToSchema)]
#[schema(as = ActiveToken)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct ActiveTokenView {
    /// Always true.
    active: bool,
    /// The same, for callers of the predecessor.
    valid: bool,
    /// Always `Bearer`.
    token_type: String,
    /// What it may at this moment, separated by spaces.
    scope: String,
    /// The delegator.
    sub: String,
    /// The service that it is for, as the question names it; `chittyconnect` where it names none.
    aud: String,
    /// Seconds since the Unix epoch.
    iat: u64,
    /// Seconds since the Unix epoch.
    exp: u64,
    /// `dlg_…`
    jti: String,
    /// The same in the predecessor's words.
    delegation: DelegationGistView,
}

/// A token that is not good, or not at this service.
#[derive(ToSchema)]
#[schema(as = InactiveToken)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct InactiveTokenView {
    /// Always false.
    active: bool,
    /// The same, for callers of the predecessor.
    valid: bool,
}

/// What a service may know of a delegation.
#[derive(ToSchema)]
#[schema(as = DelegationGist)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct DelegationGistView {
    /// `dlg_…`
    token_id: String,
    /// For whom the token acts.
    delegator_chitty_id: String,
    /// For which service it is, in lower case and without `chitty`.
    target_service: String,
    /// What it may at this moment.
    scopes: Vec<String>,
    /// ISO-8601 UTC with milliseconds.
    expires_at: String,
}
