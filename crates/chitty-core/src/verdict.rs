//! The meaning of a failed call: one table for all services.
//!
//! Only a refusal of the request itself is permanent: the service would refuse the same request again.
//! Everything else is an outage, even if there is an answer: a token that is not accepted, a path that is
//! gone, a page of a proxy. An outage may last for hours, but it passes.

use std::ops::RangeInclusive;

use crate::breaker::Outcome;

/// How a call failed, so that an outage is never mistaken for a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// No answer within the deadline. The call may have had its effect.
    Timeout,
    /// The connection could not be made, or it broke.
    Unreachable,
    /// The service answered 5xx, or that it is too busy (408, 425, 429).
    Unavailable,
    /// The service understood the request and refused it (400, 409, 413, 422, or a status that answers
    /// what this call asks).
    Refused,
    /// The service answered another 4xx, which is about the token, the path or the method: it would give
    /// the same answer to any request. This is an outage, however long it lasts.
    Denied,
    /// The call was not sent, because the breaker is open.
    CircuitOpen,
    /// The answer is not what this call promises: not JSON, a field missing, a redirect, too large, an
    /// invalid id.
    Malformed,
}

impl FailureKind {
    /// Returns a stable name for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            FailureKind::Timeout => "timeout",
            FailureKind::Unreachable => "unreachable",
            FailureKind::Unavailable => "unavailable",
            FailureKind::Refused => "refused",
            FailureKind::Denied => "denied",
            FailureKind::Malformed => "malformed",
            FailureKind::CircuitOpen => "circuit_open",
        }
    }
}

/// The kind of failure of each status. The first row that contains a status counts.
const STATUSES: [(RangeInclusive<u16>, FailureKind); 10] = [
    (400..=400, FailureKind::Refused),
    (409..=409, FailureKind::Refused),
    (413..=413, FailureKind::Refused),
    (422..=422, FailureKind::Refused),
    (408..=408, FailureKind::Unavailable),
    (425..=425, FailureKind::Unavailable),
    (429..=429, FailureKind::Unavailable),
    (400..=499, FailureKind::Denied),
    (500..=599, FailureKind::Unavailable),
    (0..=u16::MAX, FailureKind::Malformed),
];

/// The meaning of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meaning {
    /// Whether the same call may succeed later.
    pub(crate) may_pass: bool,
    /// Whether the call may have had its effect.
    pub(crate) may_be_done: bool,
    /// What the failure says about the service's health.
    pub(crate) health: Outcome,
}

/// Returns the kind of failure of a status other than 2xx.
pub(crate) fn of_status(status: u16) -> FailureKind {
    let found = STATUSES.iter().find(|(statuses, _)| statuses.contains(&status));
    found.map_or(FailureKind::Malformed, |(_, kind)| *kind)
}

/// Returns the meaning of a failure. `has_retry_after` says whether the answer has `Retry-After`.
pub(crate) fn of(kind: FailureKind, status: Option<u16>, has_retry_after: bool) -> Meaning {
    let meaning = |may_pass, may_be_done, health| Meaning { may_pass, may_be_done, health };
    match (kind, status) {
        // The service turned the call away before it did anything.
        (FailureKind::Unavailable, Some(429)) => meaning(true, false, Outcome::Neutral),
        (FailureKind::Unavailable, Some(503)) if has_retry_after => {
            meaning(true, false, Outcome::Failure)
        }
        (
            FailureKind::Timeout
            | FailureKind::Unreachable
            | FailureKind::Unavailable
            | FailureKind::Malformed,
            _,
        ) => meaning(true, true, Outcome::Failure),
        (FailureKind::Denied, _) => meaning(true, false, Outcome::Failure),
        (FailureKind::Refused, _) => meaning(false, false, Outcome::Success),
        (FailureKind::CircuitOpen, _) => meaning(true, false, Outcome::Neutral),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_meaning() {
        use FailureKind::{Denied, Malformed, Refused, Unavailable};
        for status in 0..=u16::MAX {
            let expected = match status {
                400 | 409 | 413 | 422 => Refused,
                408 | 425 | 429 | 500..=599 => Unavailable,
                401..=499 => Denied,
                _ => Malformed,
            };
            assert_eq!(of_status(status), expected, "{status}");
        }
    }

    #[test]
    fn only_a_refusal_of_the_request_is_permanent() {
        for status in 300..=u16::MAX {
            for has_retry_after in [false, true] {
                let found = of(of_status(status), Some(status), has_retry_after);
                let is_about_it = matches!(status, 400 | 409 | 413 | 422);
                assert_eq!(found.may_pass, !is_about_it, "{status}");
                let none = matches!(status, 429) || status == 503 && has_retry_after;
                let none = none || matches!(status, 400..=499) && !matches!(status, 408 | 425);
                assert_eq!(found.may_be_done, !none, "{status} {has_retry_after}");
                let health = match status {
                    429 => Outcome::Neutral,
                    _ if is_about_it => Outcome::Success,
                    _ => Outcome::Failure,
                };
                assert_eq!(found.health, health, "{status}");
            }
        }
        for kind in [FailureKind::Timeout, FailureKind::Unreachable, FailureKind::Malformed] {
            let found = of(kind, None, false);
            assert_eq!((found.may_pass, found.may_be_done), (true, true), "{kind:?}");
            assert_eq!(found.health, Outcome::Failure);
        }
        let unasked = of(FailureKind::CircuitOpen, None, true);
        assert_eq!((unasked.may_pass, unasked.may_be_done), (true, false));
    }
}
