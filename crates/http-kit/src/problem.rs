//! Errors as the caller sees them: RFC 9457 `application/problem+json`.
//!
//! What is internal (SQL, an upstream's text, a stack) goes to the log under the request id and never into a
//! problem.

use std::borrow::Cow;

use chitty_core::{Service, ServiceError};
use seams::db::DbError;
use seams::ids::NoRandomness;
use seams::log;
use serde::Serialize;

pub use crate::code::Code;
use crate::nearest::{listed, nearest};
use crate::reply::{Body, Reply};
use crate::trace::Trace;

/// One unacceptable value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Where: a JSON pointer (RFC 6901) into the body, or `?name` for a query parameter, or a
    /// header's name.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: Cow<'static, str>,
    /// Whether it is a member that nobody asked for.
    #[serde(skip)]
    is_unknown: bool,
}

impl FieldError {
    /// `pointer` is wrong because of `detail`.
    pub fn new(pointer: impl Into<String>, detail: impl Into<Cow<'static, str>>) -> Self {
        FieldError { pointer: pointer.into(), detail: detail.into(), is_unknown: false }
    }

    /// Nobody reads what is at `pointer`: `name`, beside what is `known` there.
    pub fn unknown(pointer: impl Into<String>, name: &str, known: &[&'static str]) -> Self {
        let detail = match (nearest(name, known.iter().copied()), known) {
            (Some(meant), _) => format!("is not known here: did you mean `{meant}`?"),
            (None, []) => "is not known here: nothing is".to_owned(),
            (None, known) => {
                format!("is not known here: there are {}", listed(known.iter().copied()))
            }
        };
        FieldError { is_unknown: true, ..FieldError::new(pointer, detail) }
    }
}

/// An error on its way to the caller.
#[derive(Debug, Clone)]
pub struct Problem {
    /// Which.
    pub code: Code,
    /// What happened here and what to do about it.
    pub detail: Cow<'static, str>,
    service: Option<Service>,
    errors: Vec<FieldError>,
    existing: Option<Conflict>,
    retry_after_s: Option<u32>,
    headers: Vec<(&'static str, String)>,
}

/// What is in the way.
#[derive(Debug, Clone)]
enum Conflict {
    /// An entity that has a ChittyID.
    ChittyId(String),
    /// A connection.
    Connection(String),
}

/// The seconds that a caller is told to wait where nobody knows better.
const DEFAULT_RETRY_AFTER_S: u32 = 5;

/// The longest wait that a caller is told, whatever an upstream asks for.
const MAX_RETRY_AFTER_S: u32 = 300;

impl Problem {
    /// A problem with its explanation.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Problem {
            code,
            detail: detail.into(),
            service: None,
            errors: Vec::new(),
            existing: None,
            retry_after_s: (code.status() == 503).then_some(DEFAULT_RETRY_AFTER_S),
            headers: Vec::new(),
        }
    }

    /// Unacceptable values, and members that are not known: one of those is enough to be `unknown_field`,
    /// because a misspelt name is the reason why the right one is missing.
    pub fn validation(errors: Vec<FieldError>) -> Self {
        let mut problem = match errors.iter().any(|error| error.is_unknown) {
            false => Problem::new(
                Code::ValidationFailed,
                "`errors` names each value and what is wrong with it.",
            ),
            true => Problem::new(
                Code::UnknownField,
                "`errors` names each member that is not known, and what it may have been meant for.",
            ),
        };
        problem.errors = errors;
        problem
    }

    /// Query parameters that the path does not take.
    pub fn unknown_parameters(errors: Vec<FieldError>) -> Self {
        let mut problem = Problem::new(
            Code::UnknownParameter,
            "`errors` names each parameter that this path does not take, and what it may have been \
             meant for.",
        );
        problem.errors = errors;
        problem
    }

    /// What is wrong with the request, one by one.
    pub fn errors(&self) -> &[FieldError] {
        &self.errors
    }

    /// Says one thing more.
    #[must_use]
    pub fn adding(mut self, hint: &str) -> Self {
        self.detail = format!("{} {hint}", self.detail).into();
        self
    }

    /// Says that nothing was changed, where somebody could fear that something was.
    #[must_use]
    pub fn of_a_change(mut self) -> Self {
        if !self.errors.is_empty() {
            self.detail = format!("Nothing was changed. {}", self.detail).into();
        }
        self
    }

    /// One unacceptable value.
    pub fn invalid(pointer: impl Into<String>, detail: impl Into<Cow<'static, str>>) -> Self {
        Problem::validation(vec![FieldError::new(pointer, detail)])
    }

    /// There is no such entity, or none that the caller may know of.
    pub fn not_found(what: &'static str) -> Self {
        Problem::new(Code::NotFound, format!("You have no {what} of this id."))
    }

    /// A service that the request depends on failed. Logs what it was.
    pub fn upstream(code: Code, detail: &'static str, error: &ServiceError) -> Self {
        log::warn(
            "upstream_failed",
            &[("service", error.service.as_str()), ("error", &error.to_string())],
        );
        let mut problem = Problem::new(code, detail);
        problem.service = Some(error.service);
        if let Some(seconds) = error.retry_after_s {
            problem.retry_after_s = Some(seconds.clamp(1, MAX_RETRY_AFTER_S));
        }
        problem
    }

    /// The database failed in a way that no handler expects. Logs what it was.
    pub fn storage(error: &DbError) -> Self {
        if let DbError::OverQuota(constraint) = error {
            return Problem::over_quota(constraint.trim_start_matches("quota_"));
        }
        log::error("database_failed", &[("error", &error.to_string())]);
        match error {
            DbError::Failed(_) | DbError::NoSuchTable(_) => Problem::new(
                Code::StorageUnavailable,
                "The database did not answer. Repeat the request; with an Idempotency-Key a \
                 creation is safe to repeat.",
            ),
            DbError::Unique(_) | DbError::Unauthorized | DbError::OverQuota(_) | DbError::Shape => {
                Problem::new(
                    Code::Internal,
                    "This is a fault of the gateway. Report it with the request_id.",
                )
            }
        }
    }

    /// An actor has as much of a kind as it may; `kind` is its name, such as `contexts`.
    pub fn over_quota(kind: &str) -> Self {
        let advice = match kind {
            "connections" => "You have as many connections as you may. Disconnect one",
            "checked_connections" => {
                "You have as many connections that are checked as you may. Set `check_path` to null \
                 here or on another"
            }
            "keys" => "The owner has as many API keys as it may. Revoke one",
            "delegations" => {
                "You have as many delegations as you may. Revoke one, wait until one ends"
            }
            "identities" => {
                "You have had as many identities minted as you may. Use one that you have"
            }
            _ => "You have as many contexts as you may. Delete one",
        };
        Problem::new(Code::QuotaExceeded, format!("{advice}, or ask an operator for more."))
    }

    /// Names the entity that is in the way.
    #[must_use]
    pub fn existing(mut self, chitty_id: Option<String>) -> Self {
        self.existing = chitty_id.map(Conflict::ChittyId);
        self
    }

    /// Names the connection that is in the way.
    #[must_use]
    pub fn existing_connection(mut self, connection_id: Option<String>) -> Self {
        self.existing = connection_id.map(Conflict::Connection);
        self
    }

    /// Adds a header. The value must be visible ASCII.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Replaces the seconds to wait.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// The seconds to wait before it is tried again, where that may help.
    pub fn seconds_to_wait(&self) -> Option<u32> {
        self.retry_after_s
    }

    /// The reply that carries it; `origin` is where the caller found this gateway, and finds what the
    /// code means.
    pub fn into_reply<W>(self, trace: &Trace, origin: &str) -> Reply<W> {
        let (chitty_id, connection) = match &self.existing {
            Some(Conflict::ChittyId(id)) => (Some(id.as_str()), None),
            Some(Conflict::Connection(id)) => (None, Some(id.as_str())),
            None => (None, None),
        };
        let body = ProblemBody {
            kind: format!("{origin}/docs/errors#{}", self.code.as_str()),
            title: self.code.title(),
            status: self.code.status(),
            detail: &self.detail,
            code: self.code.as_str(),
            request_id: &trace.request_id,
            service: self.service.map(Service::as_str),
            errors: &self.errors,
            existing_chitty_id: chitty_id,
            existing_connection_id: connection,
        };
        // Serializing plain strings and numbers cannot fail; were it to, the status still tells.
        let text = serde_json::to_string(&body).unwrap_or_default();
        let mut reply = Reply::new(self.code.status(), Body::Problem(text));
        if let Some(seconds) = self.retry_after_s {
            reply = reply.header("retry-after", seconds.to_string());
        }
        for (name, value) in self.headers {
            reply = reply.header(name, value);
        }
        match self.code {
            // A 401 has a challenge (RFC 9110 §15.5.2); this one is met by a signature.
            Code::InvalidSignature => {
                reply.header("www-authenticate", "HMAC-SHA256 realm=\"github\"")
            }
            // RFC 6750 §3: no error code where no credential was sent.
            Code::AuthenticationRequired => {
                reply.header("www-authenticate", "Bearer realm=\"chittyconnect\"")
            }
            Code::InvalidToken | Code::InsufficientScope => reply.header(
                "www-authenticate",
                format!("Bearer realm=\"chittyconnect\", error=\"{}\"", self.code.as_str()),
            ),
            _ => reply,
        }
    }
}

impl From<NoRandomness> for Problem {
    fn from(_: NoRandomness) -> Self {
        log::error("random_unavailable", &[]);
        Problem::new(Code::Internal, "The runtime gave no randomness. Repeat the request.")
    }
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        Problem::storage(&error)
    }
}

/// The body on the wire.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(utoipa::ToSchema))]
#[cfg_attr(not(target_family = "wasm"), schema(as = Problem))]
pub struct ProblemBody<'a> {
    /// A link to the documentation of `code`.
    #[serde(rename = "type")]
    kind: String,
    /// The same sentence at every occurrence of `code`.
    title: &'a str,
    /// The HTTP status.
    status: u16,
    /// What happened here, and what to do.
    detail: &'a str,
    /// Stable: what a program matches on.
    code: &'a str,
    /// What to name when asking for help.
    request_id: &'a str,
    /// The ChittyOS service that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    /// Each unacceptable value.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[cfg_attr(not(target_family = "wasm"), schema(value_type = Vec<FieldErrorSchema>, required = false))]
    errors: &'a [FieldError],
    /// The caller's own entity that is in the way (`name_taken`).
    #[serde(skip_serializing_if = "Option::is_none")]
    existing_chitty_id: Option<&'a str>,
    /// The caller's own connection that is in the way (`connection_exists`).
    #[serde(skip_serializing_if = "Option::is_none")]
    existing_connection_id: Option<&'a str>,
}

/// One unacceptable value.
#[cfg(not(target_family = "wasm"))]
#[derive(utoipa::ToSchema)]
#[schema(as = FieldError)]
#[allow(dead_code, reason = "the schema of FieldError, whose Cow utoipa does not know")]
pub struct FieldErrorSchema {
    /// A JSON pointer into the body, `?name` for a query parameter, or a header's name.
    pointer: String,
    /// What is wrong with it.
    detail: String,
}
