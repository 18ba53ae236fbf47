//! Errors as the caller sees them: RFC 9457 `application/problem+json`.
//!
//! Internal details (SQL, an upstream's text, a stack) go to the log under the request id, never into a
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
    /// The place of the value: a JSON pointer (RFC 6901) into the body, `?name` for a query parameter, or a
    /// header's name.
    pub pointer: String,
    /// What is wrong with the value.
    pub detail: Cow<'static, str>,
    /// Whether it is a member or parameter whose name is not known.
    #[serde(skip)]
    is_unknown: bool,
}

impl FieldError {
    /// The error `detail` of the value at `pointer`.
    pub fn new(pointer: impl Into<String>, detail: impl Into<Cow<'static, str>>) -> Self {
        FieldError { pointer: pointer.into(), detail: detail.into(), is_unknown: false }
    }

    /// The error of an unknown `name` at `pointer`. Suggests the nearest of the names `known` there, or lists
    /// them.
    pub fn unknown(pointer: impl Into<String>, name: &str, known: &[&'static str]) -> Self {
        let detail = match (nearest(name, known.iter().copied()), known) {
            (Some(meant), _) => format!("is not known here: did you mean `{meant}`?"),
            (None, []) => "is not known here: nothing is expected".to_owned(),
            (None, known) => {
                format!("is not known here: the known names are {}", listed(known.iter().copied()))
            }
        };
        FieldError { is_unknown: true, ..FieldError::new(pointer, detail) }
    }
}

/// An error on its way to the caller.
#[derive(Debug, Clone)]
pub struct Problem {
    /// The code of the error.
    pub code: Code,
    /// What happened here and what to do about it.
    pub detail: Cow<'static, str>,
    service: Option<Service>,
    errors: Vec<FieldError>,
    existing: Option<Conflict>,
    retry_after_s: Option<u32>,
    headers: Vec<(&'static str, String)>,
}

/// The entity that conflicts with the request.
#[derive(Debug, Clone)]
enum Conflict {
    /// An entity, by its ChittyID.
    ChittyId(String),
    /// A connection, by its id.
    Connection(String),
}

/// The `Retry-After` of a 503 where no better one is known, in s.
const DEFAULT_RETRY_AFTER_S: u32 = 5;

/// The longest `Retry-After` that is passed on from an upstream, in s.
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

    /// 422 for unacceptable values and unknown members. One unknown member makes the code `unknown_field`,
    /// because its misspelt name may be the reason why another member is missing.
    pub fn validation(errors: Vec<FieldError>) -> Self {
        let mut problem = match errors.iter().any(|error| error.is_unknown) {
            false => Problem::new(
                Code::ValidationFailed,
                "`errors` names each value and what is wrong with it.",
            ),
            true => Problem::new(
                Code::UnknownField,
                "`errors` names each unknown member, and the name that you may have meant.",
            ),
        };
        problem.errors = errors;
        problem
    }

    /// 422 for query parameters that the path does not take.
    pub fn unknown_parameters(errors: Vec<FieldError>) -> Self {
        let mut problem = Problem::new(
            Code::UnknownParameter,
            "`errors` names each parameter that this path does not take, and the name that you may \
             have meant.",
        );
        problem.errors = errors;
        problem
    }

    /// The unacceptable values and unknown members, one by one.
    pub fn errors(&self) -> &[FieldError] {
        &self.errors
    }

    /// Appends a hint to the detail.
    #[must_use]
    pub fn adding(mut self, hint: &str) -> Self {
        self.detail = format!("{} {hint}", self.detail).into();
        self
    }

    /// Adds to the detail that nothing was changed, for a problem of a changing request that has `errors`.
    #[must_use]
    pub fn of_a_change(mut self) -> Self {
        if !self.errors.is_empty() {
            self.detail = format!("Nothing was changed. {}", self.detail).into();
        }
        self
    }

    /// 422 for one unacceptable value.
    pub fn invalid(pointer: impl Into<String>, detail: impl Into<Cow<'static, str>>) -> Self {
        Problem::validation(vec![FieldError::new(pointer, detail)])
    }

    /// 404: there is no such entity, or none that the caller may see. `what` names its kind.
    pub fn not_found(what: &'static str) -> Self {
        Problem::new(Code::NotFound, format!("You have no {what} of this id."))
    }

    /// The problem for the failure of a service that the request depends on. Logs the error.
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

    /// The problem for a database error that no handler expects. Logs the error, except for a used-up quota, of
    /// which the gateway has better advice.
    pub fn storage(error: &DbError) -> Self {
        if let DbError::OverQuota(_) = error {
            return Problem::over_quota("You have as many of these as you may. Delete one");
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

    /// 403 for an actor that has used up a quota. `advice` says of what, and how to make room, in a sentence that
    /// goes on.
    pub fn over_quota(advice: &str) -> Self {
        Problem::new(Code::QuotaExceeded, format!("{advice}, or ask an operator for more."))
    }

    /// Names the entity that conflicts with the request.
    #[must_use]
    pub fn existing(mut self, chitty_id: Option<String>) -> Self {
        self.existing = chitty_id.map(Conflict::ChittyId);
        self
    }

    /// Names the connection that conflicts with the request.
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

    /// Sets `Retry-After`, in s.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// The `Retry-After` of the problem, in s; `None` if it has none.
    pub fn seconds_to_wait(&self) -> Option<u32> {
        self.retry_after_s
    }

    /// Turns the problem into a reply. `origin` is the scheme and host under which the caller reached this
    /// gateway; the link to the code's documentation begins with it.
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
        // Serializing plain strings and numbers cannot fail; if it did, the reply would still have a status.
        let text = serde_json::to_string(&body).unwrap_or_default();
        let mut reply = Reply::new(self.code.status(), Body::Problem(text));
        if let Some(seconds) = self.retry_after_s {
            reply = reply.header("retry-after", seconds.to_string());
        }
        for (name, value) in self.headers {
            reply = reply.header(name, value);
        }
        match self.code {
            // Every 401 needs a challenge (RFC 9110 §15.5.2); this one asks for a signature.
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

/// An error.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(utoipa::ToSchema))]
#[cfg_attr(not(target_family = "wasm"), schema(as = Problem))]
pub struct ProblemBody<'a> {
    /// A link to the documentation of `code`.
    #[serde(rename = "type")]
    kind: String,
    /// The title of `code`, the same at every occurrence.
    title: &'a str,
    /// The HTTP status.
    status: u16,
    /// What happened here, and what to do.
    detail: &'a str,
    /// The code of the error, for programs to match on. It does not change.
    code: &'a str,
    /// The id of the request. Name it when you ask for help.
    request_id: &'a str,
    /// The ChittyOS service that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    /// The unacceptable values, and the members or parameters that are not known.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[cfg_attr(not(target_family = "wasm"), schema(value_type = Vec<FieldErrorSchema>, required = false))]
    errors: &'a [FieldError],
    /// The caller's own context or actor that conflicts with the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    existing_chitty_id: Option<&'a str>,
    /// The caller's own connection that conflicts with the request.
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
    /// What is wrong with the value.
    detail: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace() -> Trace {
        let (request_id, traceparent) = ("r".to_owned(), String::new());
        Trace { request_id, traceparent, tracestate: None }
    }

    #[test]
    fn every_401_and_403_of_a_token_has_its_challenge() {
        for (code, challenge) in [
            (Code::InvalidSignature, Some("HMAC-SHA256 realm=\"github\"")),
            (Code::AuthenticationRequired, Some("Bearer realm=\"chittyconnect\"")),
            (Code::InvalidToken, Some("Bearer realm=\"chittyconnect\", error=\"invalid_token\"")),
            (
                Code::InsufficientScope,
                Some("Bearer realm=\"chittyconnect\", error=\"insufficient_scope\""),
            ),
            (Code::NotFound, None),
        ] {
            let reply: Reply<()> = Problem::new(code, "").into_reply(&trace(), "");
            assert_eq!(reply.header_value("www-authenticate"), challenge);
        }
    }

    #[test]
    fn a_wait_is_said_in_the_header() {
        let problem = Problem::new(Code::StorageUnavailable, "").retry_after(7);
        assert_eq!(problem.seconds_to_wait(), Some(7));
        let reply: Reply<()> = problem.into_reply(&trace(), "");
        assert_eq!(reply.header_value("retry-after"), Some("7"));
        assert_eq!(Problem::new(Code::NotFound, "").seconds_to_wait(), None);
    }

    #[test]
    fn that_nothing_was_changed_is_said_of_what_has_errors() {
        let wrong = Problem::invalid("/name", "must be a text").of_a_change();
        assert!(wrong.detail.starts_with("Nothing was changed. "), "{}", wrong.detail);
        let missing = Problem::not_found("context").of_a_change();
        assert!(!missing.detail.contains("Nothing was changed"), "{}", missing.detail);
    }
}
