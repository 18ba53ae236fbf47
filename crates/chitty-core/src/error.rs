//! The one error type of every service client.

use crate::breaker::Outcome;
use crate::service::Service;
use crate::transport::TransportError;
use crate::verdict::{self, FailureKind, Meaning};

/// A failed call. `detail` is for logs: it is never shown to an outside caller.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{service}: {}: {detail}", kind.as_str())]
pub struct ServiceError {
    /// The service that failed.
    pub service: Service,
    /// How it failed.
    pub kind: FailureKind,
    /// The HTTP status, when there was an answer.
    pub status: Option<u16>,
    /// The seconds to wait before the next call, as the service asked or until its breaker may admit one.
    pub retry_after_s: Option<u32>,
    /// Whether an earlier attempt of the same call may have had its effect.
    pub in_doubt: bool,
    /// What was observed. Holds no token, and no text of the request's body.
    pub detail: String,
}

impl ServiceError {
    /// Returns the stable name of the failure: [`FailureKind::as_str`].
    pub fn code(&self) -> &'static str {
        self.kind.as_str()
    }

    fn meaning(&self) -> Meaning {
        verdict::of(self.kind, self.status, self.retry_after_s.is_some())
    }

    /// Whether the same call may succeed later, because the failure was not about the request itself.
    /// Before it repeats the call, the caller must also know whether that is *safe*: see
    /// [`may_have_had_its_effect`](Self::may_have_had_its_effect).
    pub fn is_retryable(&self) -> bool {
        self.meaning().may_pass
    }

    /// Whether the call may have had its effect although it failed: there was no answer, the answer came
    /// from an intermediary or a half-done server, or it cannot be read. A call that was turned away (429,
    /// or 503 with `Retry-After`), refused, denied or never sent had no effect, unless an earlier attempt
    /// of it had.
    pub fn may_have_had_its_effect(&self) -> bool {
        self.in_doubt || self.meaning().may_be_done
    }

    /// What the failure says about the health of the service.
    pub(crate) fn health(&self) -> Outcome {
        self.meaning().health
    }

    pub(crate) fn malformed(service: Service, status: u16, detail: impl Into<String>) -> Self {
        ServiceError {
            service,
            kind: FailureKind::Malformed,
            status: Some(status),
            retry_after_s: None,
            in_doubt: false,
            detail: detail.into(),
        }
    }

    pub(crate) fn circuit_open(service: Service, wait_ms: u64) -> Self {
        ServiceError {
            service,
            kind: FailureKind::CircuitOpen,
            status: None,
            retry_after_s: u32::try_from(wait_ms.div_ceil(1000)).ok(),
            in_doubt: false,
            detail: "not sent, because the breaker is open".to_owned(),
        }
    }

    /// The failure of a call that was not sent, because its result is not wanted any more.
    pub(crate) fn over(service: Service) -> Self {
        ServiceError {
            service,
            kind: FailureKind::Refused,
            status: None,
            retry_after_s: None,
            in_doubt: false,
            detail: "not sent, because the time for it is over".to_owned(),
        }
    }

    pub(crate) fn transport(service: Service, error: &TransportError) -> Self {
        let kind = match error {
            TransportError::Timeout => FailureKind::Timeout,
            TransportError::Unreachable(_) => FailureKind::Unreachable,
            TransportError::TooLarge(_) => FailureKind::Malformed,
        };
        ServiceError {
            service,
            kind,
            status: None,
            retry_after_s: None,
            in_doubt: false,
            detail: error.to_string(),
        }
    }
}
