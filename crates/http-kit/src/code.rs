//! The stable codes of errors: this is the whole list. `docs/errors.md` explains each; a test keeps the two
//! together.

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $code:literal, $status:literal, $title:literal;)+) => {
        /// A stable error code, its status and its title.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code { $($(#[doc = $doc])+ $variant,)+ }

        impl Code {
            /// Every code there is.
            pub const ALL: &[Code] = &[$(Code::$variant,)+];

            /// What a program matches on.
            pub fn as_str(self) -> &'static str { match self { $(Code::$variant => $code,)+ } }

            /// The HTTP status it goes with.
            pub fn status(self) -> u16 { match self { $(Code::$variant => $status,)+ } }

            /// The same sentence at every occurrence (RFC 9457 §3.1.3).
            pub fn title(self) -> &'static str { match self { $(Code::$variant => $title,)+ } }
        }
    };
}

codes! {
    /// The body or the request is broken below the level of fields.
    MalformedRequest = "malformed_request", 400, "The request is malformed";
    /// No credential was sent.
    AuthenticationRequired = "authentication_required", 401, "Authentication is required";
    /// The credential is unknown, expired or revoked.
    InvalidToken = "invalid_token", 401, "The token is not valid";
    /// A webhook is not signed with the secret.
    InvalidSignature = "invalid_signature", 401, "The signature is not valid";
    /// The credential is good but not for this.
    InsufficientScope = "insufficient_scope", 403, "The token does not carry the scope";
    /// The credential is good for another service.
    WrongTargetService = "wrong_target_service", 403, "The token is for another service";
    /// A delegated token, or a key, cannot do what would outlive it.
    DelegatedCredential = "delegated_credential", 403, "The actor's own token is needed";
    /// A secret of an API key that was rotated out changes no keys.
    RetiredKey = "retired_key", 403, "The secret has been rotated out";
    /// What came back from GitHub is not believed.
    InstallationRefused = "installation_refused", 403, "The installation is not accepted";
    /// The actor behind the credential may do nothing.
    ActorSuspended = "actor_suspended", 403, "The actor is suspended";
    /// The actor has as much of a kind as it may.
    QuotaExceeded = "quota_exceeded", 403, "There is no room for another";
    /// No such path.
    UnknownPath = "unknown_path", 404, "There is nothing at this path";
    /// No such entity that the caller may see.
    NotFound = "not_found", 404, "There is no such entity";
    /// The path is there, the method is not.
    MethodNotAllowed = "method_not_allowed", 405, "The method is not allowed here";
    /// The caller already has a live context of that name.
    NameTaken = "name_taken", 409, "The name is taken";
    /// The actor has registered before.
    AlreadyRegistered = "already_registered", 409, "The actor is registered";
    /// The source already has an active connection to that service and endpoint.
    ConnectionExists = "connection_exists", 409, "There is such a connection";
    /// The connection is not active.
    ConnectionInactive = "connection_inactive", 409, "The connection is not active";
    /// The installation of the GitHub App has another owner.
    InstallationOwned = "installation_owned", 409, "The installation belongs to somebody else";
    /// The installation of the GitHub App may not act.
    InstallationInactive = "installation_inactive", 409, "The installation is not active";
    /// The entity has changed since the caller read it.
    PreconditionFailed = "precondition_failed", 412, "The entity has changed";
    /// The body is over the limit.
    PayloadTooLarge = "payload_too_large", 413, "The body is too large";
    /// The body is not JSON by its content type.
    UnsupportedMediaType = "unsupported_media_type", 415, "The body must be JSON";
    /// A field or a parameter is not acceptable; `errors` says which and why.
    ValidationFailed = "validation_failed", 422, "Some values are not acceptable";
    /// The body has a member that this request does not take; `errors` names it.
    UnknownField = "unknown_field", 422, "The body has a member that is not known";
    /// The query has a parameter that this path does not take; `errors` names it.
    UnknownParameter = "unknown_parameter", 422, "The query has a parameter that is not known";
    /// The idempotency key was used for another request.
    IdempotencyKeyReused = "idempotency_key_reused", 422, "The idempotency key belongs to another request";
    /// The target does not accept the credential that was handed in.
    CredentialRefused = "credential_refused", 422, "The target refuses the credential";
    /// The actor, or the address, has sent too many requests.
    RateLimited = "rate_limited", 429, "Too many requests";
    /// This isolate has as many event streams open as it keeps.
    TooManyStreams = "too_many_streams", 429, "Too many event streams are open";
    /// A bug, or something nobody thought of.
    Internal = "internal", 500, "Something went wrong";
    /// A flow was refused by a service and undone.
    OrchestrationFailed = "orchestration_failed", 502, "The flow was refused";
    /// The target of a connection does not accept the stored credential.
    TargetRefusedCredential = "target_refused_credential", 502, "The target refuses the stored credential";
    /// The target of a connection sent the gateway elsewhere.
    TargetRedirected = "target_redirected", 502, "The target points elsewhere";
    /// The target of a connection could not be reached, or its answer not be used.
    TargetUnavailable = "target_unavailable", 502, "The target did not answer";
    /// ChittyAuth could not be asked about the token.
    AuthenticationUnavailable = "authentication_unavailable", 503, "Tokens cannot be checked at the moment";
    /// ChittyID could not mint, or not be asked.
    IdentityAuthorityUnavailable = "identity_authority_unavailable", 503, "ChittyID did not answer as it should";
    /// ChittyVerify gave no verdict.
    VerificationUnavailable = "verification_unavailable", 503, "ChittyVerify gave no verdict";
    /// ChittyDNA did not tell a lineage that it has not told before.
    LineageUnavailable = "lineage_unavailable", 503, "ChittyDNA did not answer";
    /// GitHub did not answer, or is not to be asked at the moment.
    GithubUnavailable = "github_unavailable", 503, "GitHub did not answer";
    /// The object that watches a service did not answer.
    ConnectionUnavailable = "connection_unavailable", 503, "The connection's object did not answer";
    /// The credential of a connection cannot be had at the moment.
    CredentialUnavailable = "credential_unavailable", 503, "The credential cannot be had at the moment";
    /// The database schema is not there yet.
    NotReady = "not_ready", 503, "The gateway is not ready yet";
    /// The database, or the static files, did not answer.
    StorageUnavailable = "storage_unavailable", 503, "The storage did not answer";
    /// The target of a connection took too long.
    TargetTimeout = "target_timeout", 504, "The target took too long";
}
