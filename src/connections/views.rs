//! The shapes of the requests and replies of connections, for the API description only.

use utoipa::ToSchema;

/// A connection to be created.
#[derive(ToSchema)]
#[schema(as = LinkDraft)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct ConnectionDraftView {
    /// A context of yours, or yourself.
    source_chitty_id: String,
    /// `context` or `actor`.
    source_type: String,
    /// The name of a ChittyOS service, or any name that you give to another service.
    target_service: String,
    /// An https URL of a public host. For a ChittyOS service it must be on that service's own host, which is
    /// the default.
    #[schema(required = false)]
    target_endpoint: Option<String>,
    /// `api` (the default), `webhook`, `oauth` or `direct`.
    #[schema(required = false)]
    connection_type: Option<String>,
    /// What the proxy lets through: `read` (the default), `write`.
    #[schema(required = false)]
    scopes: Option<Vec<String>>,
    /// A path below the endpoint that the gateway calls to check target and credential. The default for a
    /// ChittyOS service is `/health`.
    #[schema(required = false)]
    check_path: Option<String>,
    /// An object of at most 16 KB for your own use. It is returned, so put no secret into it.
    #[schema(required = false)]
    config: Option<serde_json::Value>,
    /// The credential for the target. It is never returned.
    #[schema(required = false)]
    credentials: Option<CredentialDraftView>,
}

/// A credential of the type that its `type` says.
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
    /// The user name, without a colon.
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
    /// The https URL, on a public host, that issues access tokens.
    token_endpoint: String,
    /// The https URL that revokes the tokens (RFC 7009) when the connection ends.
    #[schema(required = false)]
    revocation_endpoint: Option<String>,
    /// The id of the OAuth client.
    client_id: String,
    /// The secret of the client, unless it is a public client.
    #[schema(required = false)]
    client_secret: Option<String>,
    /// The token that gets access tokens.
    refresh_token: String,
    /// The present access token. Without it the gateway gets one with the refresh token at once.
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

/// The changes of a connection.
#[derive(ToSchema)]
#[schema(as = LinkPatch)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct ConnectionPatchView {
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
pub(crate) struct ConnectionView {
    /// `conn_…`
    connection_id: String,
    /// The owner of the source.
    owner_chitty_id: String,
    /// The context or the actor.
    source_chitty_id: String,
    /// `context` or `actor`.
    source_type: String,
    /// The name of the service, in lower case and without `chitty`.
    target_service: String,
    /// The endpoint, or null for the default of a ChittyOS service.
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
    /// What the last check or a failed renewal found wrong.
    last_error: Option<String>,
    /// How many checks in a row found something wrong.
    error_count: u32,
    /// How many requests went through it.
    request_count: u64,
    /// When the last request went through it, ISO-8601.
    last_used_at: Option<String>,
    /// The object that its owner has stored.
    config: serde_json::Value,
    /// ISO-8601 UTC with milliseconds.
    created_at: String,
    /// ISO-8601 UTC with milliseconds.
    updated_at: String,
    /// When it was disconnected, ISO-8601.
    disconnected_at: Option<String>,
}

/// The reply to a creation or a change.
#[derive(ToSchema)]
#[schema(as = LinkReply)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct ConnectionReplyView {
    /// Always true.
    success: bool,
    /// What was done, in words; not in the reply to a creation.
    #[schema(required = false)]
    message: String,
    /// The connection as it is now.
    connection: ConnectionView,
}

/// A page of connections.
#[derive(ToSchema)]
#[schema(as = LinkList)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct ConnectionListView {
    /// The connections of this page.
    connections: Vec<ConnectionView>,
    /// The number of connections on this page.
    count: u8,
    /// The `cursor` of the next page, or null.
    next_cursor: Option<String>,
}

/// The status of a connection.
#[derive(ToSchema)]
#[schema(as = LinkHealth)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct ConnectionStatusView {
    /// `conn_…`
    connection_id: String,
    /// `active`, `inactive`, `failed` or `disconnected`.
    status: String,
    /// `healthy`, `unhealthy`, or `unknown` before the first check.
    service_health: String,
    /// When it was last checked, ISO-8601.
    last_health_check: Option<String>,
    /// What the last check or a failed renewal found wrong.
    last_error: Option<String>,
    /// How many checks in a row found something wrong.
    error_count: u32,
    /// How many requests went through it.
    request_count: u64,
    /// When the last request went through it, ISO-8601.
    last_used_at: Option<String>,
    /// When it is checked next, ISO-8601.
    next_health_check: Option<String>,
}

/// An event in the history of a connection.
#[derive(ToSchema)]
#[schema(as = LinkEvent)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct ConnectionEventView {
    /// Its number in the audit.
    seq: u64,
    /// `evt_…`
    event_id: String,
    /// ISO-8601 UTC with milliseconds.
    at: String,
    /// Such as `connection.created`.
    event: String,
    /// The actor; `chittyconnect` for the gateway's own checks and renewals.
    actor_id: String,
    /// The actor's credential, if it was an API key or a delegation.
    via: Option<String>,
    /// The details of the event.
    detail: serde_json::Value,
}

/// A page of the history of a connection.
#[derive(ToSchema)]
#[schema(as = LinkHistory)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct ConnectionHistoryView {
    /// The events of this page, newest first.
    history: Vec<ConnectionEventView>,
    /// The number of events on this page.
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
    /// The connection that was disconnected.
    connection_id: String,
}
