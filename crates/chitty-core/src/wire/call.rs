//! A call to a service, and the variants in which it is sent. A call is data: it says what is sent and what
//! counts as an answer, and sends nothing itself.

use serde_json::Value;

use crate::retry::Repeat;
use crate::service::Service;
use crate::transport::HttpMethod;

/// One call, in the variants in which the service may understand it.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// A stable name, under which the variant that was understood is remembered.
    pub(crate) name: &'static str,
    /// The variants, the preferred one first. On 404 or 405 the next is tried.
    pub(crate) variants: Vec<Variant>,
    /// Whether it may be repeated.
    pub(crate) repeat: Repeat,
    /// Sent as `Idempotency-Key`, for services that recognise a repeat by it.
    pub(crate) idempotency_key: Option<String>,
    /// Deadline of the whole call in ms, where it differs from the configured one.
    pub(crate) timeout_ms: Option<u32>,
    /// Whether 401 and 403 answer what this call asks, which is whether a token is valid. If the call
    /// carried the service's own token, they may be about that token. Then they are an answer only if the
    /// body says `valid: false`.
    pub(crate) refusal_is_verdict: bool,
    /// Statuses that answer what this call asks, such as 404 to the question whether something exists. For
    /// this call they are refusals; for other calls they are outages.
    pub(crate) answers: &'static [u16],
    /// Whether the breaker guards the call. A health check is not guarded: it is sent even if the breaker
    /// is open, and its outcome is not recorded.
    pub(crate) guarded: bool,
}

/// One variant of a call.
#[derive(Debug, Clone)]
pub(crate) struct Variant {
    pub(crate) service: Service,
    pub(crate) method: HttpMethod,
    /// Path and query, ready to send.
    pub(crate) path: String,
    pub(crate) body: Option<Value>,
    /// The bearer token to send instead of the service's own.
    pub(crate) bearer: Option<String>,
}

impl Variant {
    pub(crate) fn get(service: Service, path: impl Into<String>) -> Self {
        Variant { service, method: HttpMethod::Get, path: path.into(), body: None, bearer: None }
    }

    pub(crate) fn send(
        service: Service,
        method: HttpMethod,
        path: impl Into<String>,
        body: Value,
    ) -> Self {
        Variant { service, method, path: path.into(), body: Some(body), bearer: None }
    }

    pub(crate) fn post(service: Service, path: impl Into<String>, body: Value) -> Self {
        Variant::send(service, HttpMethod::Post, path, body)
    }
}

impl Call {
    pub(crate) fn new(name: &'static str, repeat: Repeat, variants: Vec<Variant>) -> Self {
        Call {
            name,
            variants,
            repeat,
            idempotency_key: None,
            timeout_ms: None,
            refusal_is_verdict: false,
            answers: &[],
            guarded: true,
        }
    }

    /// Returns the call with these statuses as its [`answers`](Call::answers).
    pub(crate) fn answered_by(mut self, statuses: &'static [u16]) -> Self {
        self.answers = statuses;
        self
    }

    /// Returns the call with an idempotency key.
    pub(crate) fn keyed(mut self, key: Option<&str>) -> Self {
        self.idempotency_key = key.map(str::to_owned);
        self
    }
}
