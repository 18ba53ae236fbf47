//! The one error type of every service client.

use crate::breaker::Outcome;
use crate::service::Service;
use crate::transport::TransportError;
use crate::verdict::{self, FailureKind, Meaning};

/// A failed call. `detail` is for logs: it is never shown to an outside caller.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{service}: {}: {detail}", kind.as_str())]
pub struct ServiceError {
    /// Who failed.
    pub service: Service,
    /// How.
    pub kind: FailureKind,
    /// The HTTP status, when there was an answer.
    pub status: Option<u16>,
    /// Seconds to wait, as the service asked.
    pub retry_after_s: Option<u32>,
    /// Whether an earlier attempt of the same call may have had its effect.
    pub in_doubt: bool,
    /// What was seen; holds no token and no body text of the caller's.
    pub detail: String,
}

impl ServiceError {
    /// A stable name of what went wrong: [`FailureKind::as_str`].
    pub fn code(&self) -> &'static str {
        self.kind.as_str()
    }

    fn meaning(&self) -> Meaning {
        verdict::of(self.kind, self.status, self.retry_after_s.is_some())
    }

    /// Whether the same call may succeed later: the answer, if there was one, was not about what was
    /// asked. Whether it is *safe* to repeat is for the caller to know: see
    /// [`may_have_had_its_effect`](Self::may_have_had_its_effect).
    pub fn is_retryable(&self) -> bool {
        self.meaning().may_pass
    }

    /// Whether the call may have had its effect although it failed: there was no answer, one of an
    /// intermediary or a half-done server, or one that cannot be read. One that was turned away (429,
    /// or 503 with `Retry-After`), refused, denied or never sent had none, unless an earlier attempt had.
    pub fn may_have_had_its_effect(&self) -> bool {
        self.in_doubt || self.meaning().may_be_done
    }

    /// What it says of the health of the service.
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
            detail: "left alone after repeated failures".to_owned(),
        }
    }

    /// What was to be made is not wanted any more: the service was not asked.
    pub(crate) fn over(service: Service) -> Self {
        ServiceError {
            service,
            kind: FailureKind::Refused,
            status: None,
            retry_after_s: None,
            in_doubt: false,
            detail: "the time in which this was to be made is over".to_owned(),
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
