//! What requests and replies of connections look like: for the API description only.

use utoipa::ToSchema;

/// A connection to be made.
#[derive(ToSchema)]
#[schema(as = LinkDraft)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct LinkDraftView {
    /// A context of yours, or yourself.
    source_chitty_id: String,
    /// `context` or `actor`.
    source_type: String,
    /// A service of ChittyOS, or any name for another one.
    target_service: String,
    /// An https URL of a public host; at a service of ChittyOS under its own host, which is the default.
    #[schema(required = false)]
    target_endpoint: Option<String>,
    /// `api` (the default), `webhook`, `oauth` or `direct`.
    #[schema(required = false)]
    connection_type: Option<String>,
    /// What the proxy lets through: `read` (the default), `write`.
    #[schema(required = false)]
    scopes: Option<Vec<String>>,
    /// A path below the endpoint that tells whether target and credential are good; `/health` at a
    /// service of ChittyOS.
    #[schema(required = false)]
    check_path: Option<String>,
    /// An object of at most 16 KB, for yourself. It is returned: no place for a secret.
    #[schema(required = false)]
    config: Option<serde_json::Value>,
    /// What the target wants to see. Never returned.
    #[schema(required = false)]
    credentials: Option<CredentialDraftView>,
}

/// A credential: what its `type` says.
#[derive(ToSchema)]
#[serde(untagged)]
#[schema(as = CredentialDraft)]
#[allow(dead_code, reason = "a description")]
pub(crate) enum CredentialDraftView {
    /// A key in a header of its own.
    ApiKey(ApiKeyDraftView),
    /// A bearer token.
    Bearer(BearerDraftView),
    /// User and password.
    Basic(BasicDraftView),
    /// OAuth 2 with a refresh token.
    Oauth(OauthDraftView),
    /// A key that ChittyAuth makes.
    Provisioned(ProvisionedDraftView),
}

/// A key in a header of its own.
#[derive(ToSchema)]
#[schema(as = ApiKeyCredential)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct ApiKeyDraftView {
    /// Always `api_key`.
    r#type: String,
    /// The key.
    key: String,
    /// The header that carries it; `X-API-Key` by default.
    #[schema(required = false)]
    header: Option<String>,
}

/// A bearer token (RFC 6750).
#[derive(ToSchema)]
#[schema(as = BearerCredential)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct BearerDraftView {
    /// Always `bearer`.
    r#type: String,
    /// The token.
    token: String,
}

/// User and password (RFC 7617).
#[derive(ToSchema)]
#[schema(as = BasicCredential)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct BasicDraftView {
    /// Always `basic`.
    r#type: String,
    /// Without a colon.
    username: String,
    /// The password.
    password: String,
}

/// OAuth 2 with a refresh token (RFC 6749 §6).
#[derive(ToSchema)]
#[schema(as = OauthCredential)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct OauthDraftView {
    /// Always `oauth`.
    r#type: String,
    /// An https URL of a public host.
    token_endpoint: String,
    /// An https URL (RFC 7009), by which the tokens are revoked at the end.
    #[schema(required = false)]
    revocation_endpoint: Option<String>,
    /// Who asks.
    client_id: String,
    /// Unless it is a public client.
    #[schema(required = false)]
    client_secret: Option<String>,
    /// By which access tokens are got.
    refresh_token: String,
    /// Without it the refresh token gets one at once.
    #[schema(required = false)]
    access_token: Option<String>,
    /// The life of `access_token` in seconds.
    #[schema(required = false)]
    expires_in: Option<u32>,
}

/// A key that ChittyAuth makes, for a ChittyOS service.
#[derive(ToSchema)]
#[schema(as = ProvisionedCredential)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct ProvisionedDraftView {
    /// Always `provisioned`.
    r#type: String,
}

/// What to change of a connection.
#[derive(ToSchema)]
#[schema(as = LinkPatch)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct LinkPatchView {
    /// `read`, `write`, or both.
    #[schema(required = false)]
    scopes: Vec<String>,
    /// A path below the endpoint, or null.
    #[schema(required = false)]
    check_path: Option<String>,
    /// An object of at most 16 KB.
    #[schema(required = false)]
    config: serde_json::Value,
    /// `active` or `inactive`.
    #[schema(required = false)]
    status: String,
    /// Another credential, in place of the one before.
    #[schema(required = false)]
    credentials: CredentialDraftView,
}

/// A connection.
#[derive(ToSchema)]
#[schema(as = Link)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct LinkView {
    /// `conn_…`
    connection_id: String,
    /// Who owns the source.
    owner_chitty_id: String,
    /// The context or the actor.
    source_chitty_id: String,
    /// `context` or `actor`.
    source_type: String,
    /// In lower case and without `chitty`.
    target_service: String,
    /// Where on it, if that was said.
    target_endpoint: Option<String>,
    /// `api`, `webhook`, `oauth` or `direct`.
    connection_type: String,
    /// `read`, `write`, or both.
    scopes: Vec<String>,
    /// The path that is checked, if any.
    check_path: Option<String>,
    /// The type of its credential, if it has one.
    credential_type: Option<String>,
    /// `active`, `inactive`, `failed` or `disconnected`.
    status: String,
    /// When it was last checked, ISO-8601.
    last_health_check: Option<String>,
    /// What the last check found wrong.
    last_error: Option<String>,
    /// How many checks in a row found something wrong.
    error_count: u32,
    /// How many requests went through it.
    request_count: u64,
    /// When the last one did, ISO-8601.
    last_used_at: Option<String>,
    /// What its owner noted.
    config: serde_json::Value,
    /// ISO-8601 UTC with milliseconds.
    created_at: String,
    /// ISO-8601 UTC with milliseconds.
    updated_at: String,
    /// When it ended, ISO-8601.
    disconnected_at: Option<String>,
}

/// The reply to a creation or a change.
#[derive(ToSchema)]
#[schema(as = LinkReply)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct LinkReplyView {
    /// Always true.
    success: bool,
    /// What was done, in words; not in the reply to a creation.
    #[schema(required = false)]
    message: String,
    /// The connection as it is now.
    connection: LinkView,
}

/// A page of connections.
#[derive(ToSchema)]
#[schema(as = LinkList)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct LinkListView {
    /// The connections of this page.
    connections: Vec<LinkView>,
    /// How many they are.
    count: u8,
    /// The `cursor` of the next page, or null.
    next_cursor: Option<String>,
}

/// How a connection is.
#[derive(ToSchema)]
#[schema(as = LinkHealth)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct LinkStatusView {
    /// `conn_…`
    connection_id: String,
    /// `active`, `inactive`, `failed` or `disconnected`.
    status: String,
    /// `healthy`, `unhealthy`, or `unknown` before the first check.
    service_health: String,
    /// When it was last checked, ISO-8601.
    last_health_check: Option<String>,
    /// What that found wrong.
    last_error: Option<String>,
    /// How many checks in a row found something wrong.
    error_count: u32,
    /// How many requests went through it.
    request_count: u64,
    /// When the last one did, ISO-8601.
    last_used_at: Option<String>,
    /// When it is checked next, ISO-8601.
    next_health_check: Option<String>,
}

/// Something that was done to a connection.
#[derive(ToSchema)]
#[schema(as = LinkEvent)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct LinkEventView {
    /// Its number in the audit.
    seq: u64,
    /// `evt_…`
    event_id: String,
    /// ISO-8601 UTC with milliseconds.
    at: String,
    /// Such as `connection.created`.
    event: String,
    /// Who did it; `chittyconnect` where a check found it.
    actor_id: String,
    /// By which credential, where that was a key or a delegation.
    via: Option<String>,
    /// What there is to know of it.
    detail: serde_json::Value,
}

/// A page of what was done to a connection.
#[derive(ToSchema)]
#[schema(as = LinkHistory)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct LinkHistoryView {
    /// Newest first.
    history: Vec<LinkEventView>,
    /// How many they are.
    count: u8,
    /// The `cursor` of the next page, or null.
    next_cursor: Option<String>,
}

/// The reply to a disconnection.
#[derive(ToSchema)]
#[schema(as = Disconnected)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct DisconnectedView {
    /// Always true.
    success: bool,
    /// What was done, in words.
    message: String,
    /// What was disconnected.
    connection_id: String,
}
