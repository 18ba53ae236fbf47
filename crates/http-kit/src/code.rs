//! All error codes; they never change. `docs/errors.md` explains each of them, and a test checks that both
//! lists agree.

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $code:literal, $status:literal, $title:literal;)+) => {
        /// A stable error code, its status and its title.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code { $($(#[doc = $doc])+ $variant,)+ }

        impl Code {
            /// Every code.
            pub const ALL: &[Code] = &[$(Code::$variant,)+];

            /// The code as programs match on it.
            pub fn as_str(self) -> &'static str { match self { $(Code::$variant => $code,)+ } }

            /// The HTTP status of the code.
            pub fn status(self) -> u16 { match self { $(Code::$variant => $status,)+ } }

            /// The title of the code, the same at every occurrence (RFC 9457 §3.1.3).
            pub fn title(self) -> &'static str { match self { $(Code::$variant => $title,)+ } }
        }
    };
}

codes! {
    /// The request or its body cannot be parsed.
    MalformedRequest = "malformed_request", 400, "The request is malformed";
    /// No credential was sent.
    AuthenticationRequired = "authentication_required", 401, "Authentication is required";
    /// The credential is unknown, expired or revoked.
    InvalidToken = "invalid_token", 401, "The token is not valid";
    /// The webhook is not signed, or not with the secret of the GitHub App.
    InvalidSignature = "invalid_signature", 401, "The signature is not valid";
    /// The credential is valid but lacks the scope that the request needs.
    InsufficientScope = "insufficient_scope", 403, "The token lacks the scope";
    /// The credential is valid for another service only.
    WrongTargetService = "wrong_target_service", 403, "The token is for another service";
    /// A delegated token or an API key cannot make something that would outlive it.
    DelegatedCredential = "delegated_credential", 403, "The actor's own token is needed";
    /// The secret of the API key has been rotated out, so it can neither rotate nor revoke keys.
    RetiredKey = "retired_key", 403, "The secret has been rotated out";
    /// The gateway cannot confirm that the user who comes back from GitHub may have the installation.
    InstallationRefused = "installation_refused", 403, "The installation is not accepted";
    /// The actor behind the credential is suspended.
    ActorSuspended = "actor_suspended", 403, "The actor is suspended";
    /// The actor has as many of these as its quota allows.
    QuotaExceeded = "quota_exceeded", 403, "The quota is used up";
    /// No such path.
    UnknownPath = "unknown_path", 404, "There is nothing at this path";
    /// There is no such entity, or none that the caller may see.
    NotFound = "not_found", 404, "There is no such entity";
    /// The path does not take the method.
    MethodNotAllowed = "method_not_allowed", 405, "The method is not allowed here";
    /// The caller already has a live context of that name.
    NameTaken = "name_taken", 409, "The name is taken";
    /// The actor has registered before.
    AlreadyRegistered = "already_registered", 409, "The actor is already registered";
    /// The source already has an active connection to that service and endpoint.
    ConnectionExists = "connection_exists", 409, "The connection already exists";
    /// The connection is not active.
    ConnectionInactive = "connection_inactive", 409, "The connection is not active";
    /// The installation of the GitHub App has another owner.
    InstallationOwned = "installation_owned", 409, "The installation belongs to somebody else";
    /// The installation of the GitHub App is suspended or uninstalled.
    InstallationInactive = "installation_inactive", 409, "The installation is not active";
    /// The entity has changed since the caller read it.
    PreconditionFailed = "precondition_failed", 412, "The entity has changed";
    /// The body is over the limit.
    PayloadTooLarge = "payload_too_large", 413, "The body is too large";
    /// The headers name a content type other than JSON, or a charset or content coding that is not supported.
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
    /// The actor, or this isolate, has as many event streams open as it may.
    TooManyStreams = "too_many_streams", 429, "Too many event streams are open";
    /// A bug in the gateway, or a failure that it does not expect.
    Internal = "internal", 500, "Something went wrong";
    /// A service refused a step of the flow, and the gateway undid the flow.
    OrchestrationFailed = "orchestration_failed", 502, "A service refused the flow";
    /// The target of a connection does not accept the stored credential.
    TargetRefusedCredential = "target_refused_credential", 502, "The target refuses the stored credential";
    /// The target of a connection redirects to a place outside the connection.
    TargetRedirected = "target_redirected", 502, "The target redirects elsewhere";
    /// The target of a connection could not be reached, or its answer could not be passed on.
    TargetUnavailable = "target_unavailable", 502, "The target did not answer";
    /// The gateway could not check the token: ChittyAuth did not answer, or the key is not known yet.
    AuthenticationUnavailable = "authentication_unavailable", 503, "Tokens cannot be checked at the moment";
    /// ChittyID did not mint, or did not answer.
    IdentityAuthorityUnavailable = "identity_authority_unavailable", 503, "ChittyID did not answer as it should";
    /// ChittyVerify gave no verdict.
    VerificationUnavailable = "verification_unavailable", 503, "ChittyVerify gave no verdict";
    /// ChittyDNA did not return the lineage, and the gateway has no earlier copy of it.
    LineageUnavailable = "lineage_unavailable", 503, "ChittyDNA did not answer";
    /// GitHub did not answer, or its rate limit forbids a call at the moment.
    GithubUnavailable = "github_unavailable", 503, "GitHub did not answer";
    /// The object that watches a service did not answer.
    ConnectionUnavailable = "connection_unavailable", 503, "The connection's object did not answer";
    /// The gateway cannot make, renew or use the credential of a connection or the key of a context.
    CredentialUnavailable = "credential_unavailable", 503, "The credential is not available at the moment";
    /// The gateway lacks something that the request needs, such as its schema, a setting or free memory.
    NotReady = "not_ready", 503, "The gateway is not ready yet";
    /// The database, or the static files, did not answer.
    StorageUnavailable = "storage_unavailable", 503, "The storage did not answer";
    /// The target of a connection took too long.
    TargetTimeout = "target_timeout", 504, "The target took too long";
}
