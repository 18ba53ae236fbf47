//! When a failed attempt is repeated, and after which pause: exponential backoff with full jitter,
//! within a retry budget and the deadline of the whole call. Pure.

use crate::backoff::Backoff;
use crate::error::ServiceError;
use crate::verdict::FailureKind;

/// The most attempts of one call.
const MAX_ATTEMPTS: u32 = 3;

/// The pauses between attempts, during which the caller waits, in ms. If a service asks for more than
/// the longest, the call is not repeated.
const PAUSES_MS: Backoff = Backoff { first: 100, longest: 1_000 };

/// Whether a call may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Yes: doing it twice has the same effect as doing it once.
    Safe,
    /// Only after 429 or 503 with `Retry-After`, with which the service says that it has not done it.
    /// For calls that must not be done twice, such as minting.
    WhenTurnedAway,
    /// No: the caller repeats it itself, later.
    Never,
}

/// Bounds the retries to a share of the calls, so that they do not become a storm when a service is
/// in trouble: each call pays in a fifth of a retry, and at most ten retries are saved up.
#[derive(Debug, Clone)]
pub(crate) struct RetryBudget {
    /// The balance, in fifths of a retry.
    fifths: u32,
}

/// The price of a retry and the highest balance, in fifths of a retry.
const COST: u32 = 5;
const MAX_SAVED: u32 = 10 * COST;

impl Default for RetryBudget {
    fn default() -> Self {
        RetryBudget { fifths: MAX_SAVED }
    }
}

impl RetryBudget {
    /// Pays in a fifth of a retry, for one call.
    pub(crate) fn deposit(&mut self) {
        self.fifths = (self.fifths + 1).min(MAX_SAVED);
    }

    /// Takes out one retry, and returns whether there was one.
    pub(crate) fn withdraw(&mut self) -> bool {
        let left = self.fifths.checked_sub(COST);
        self.fifths = left.unwrap_or(self.fifths);
        left.is_some()
    }
}

/// Returns the pause before another attempt, or `None` when there should be no other attempt. `attempt`
/// is the number of the failed attempt, from 1; `left_ms` is the time left until the call's deadline.
pub(crate) fn pause(
    repeat: Repeat,
    attempt: u32,
    error: &ServiceError,
    left_ms: u64,
) -> Option<Pause> {
    let worthwhile = match error.kind {
        FailureKind::Unreachable | FailureKind::Unavailable | FailureKind::Timeout => true,
        // A refusal stays a refusal. A rejected token or path and a malformed answer do not change within
        // a second. An open breaker stays open.
        FailureKind::Refused
        | FailureKind::Denied
        | FailureKind::Malformed
        | FailureKind::CircuitOpen => false,
    };
    let allowed = match repeat {
        Repeat::Safe => true,
        Repeat::WhenTurnedAway => {
            matches!(error.status, Some(429 | 503)) && error.retry_after_s.is_some()
        }
        Repeat::Never => false,
    };
    if !allowed || !worthwhile || attempt >= MAX_ATTEMPTS {
        return None;
    }
    let ceiling_ms = PAUSES_MS.ceiling(attempt);
    let asked_ms = error.retry_after_s.unwrap_or(0).saturating_mul(1000);
    let longest_ms = ceiling_ms.max(asked_ms);
    let fits = asked_ms <= PAUSES_MS.longest && u64::from(longest_ms) < left_ms;
    fits.then_some(Pause { least_ms: asked_ms, ceiling_ms })
}

/// A pause between two attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pause {
    /// The pause that the service asked for.
    pub(crate) least_ms: u32,
    /// The pause is drawn below this (full jitter), but never below `least_ms`.
    pub(crate) ceiling_ms: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Service;
    use proptest::prelude::*;

    fn error(kind: FailureKind, retry_after_s: Option<u32>) -> ServiceError {
        let detail = String::new();
        ServiceError {
            service: Service::Auth,
            kind,
            status: None,
            retry_after_s,
            in_doubt: false,
            detail,
        }
    }

    #[test]
    fn only_a_safe_call_that_failed_for_now_is_repeated_and_at_most_twice() {
        let unreachable = error(FailureKind::Unreachable, None);
        let ceiling = |attempt| {
            pause(Repeat::Safe, attempt, &unreachable, 5000).map(|pause| pause.ceiling_ms)
        };
        assert_eq!([ceiling(1), ceiling(2), ceiling(3)], [Some(100), Some(200), None]);
        assert_eq!(pause(Repeat::Never, 1, &unreachable, 5000), None);
        assert_eq!(pause(Repeat::Safe, 1, &unreachable, 100), None, "no time left");
        for kind in [FailureKind::Refused, FailureKind::Malformed, FailureKind::CircuitOpen] {
            assert_eq!(pause(Repeat::Safe, 1, &error(kind, None), 5000), None);
        }
    }

    #[test]
    fn a_pause_that_the_service_asks_for_is_kept_or_the_call_is_not_repeated() {
        let busy = |seconds| error(FailureKind::Unavailable, Some(seconds));
        let asked = pause(Repeat::Safe, 1, &busy(1), 5000).unwrap();
        assert_eq!(asked.least_ms, 1000);
        assert_eq!(pause(Repeat::Safe, 1, &busy(2), 5000), None);
        assert_eq!(pause(Repeat::Safe, 1, &busy(u32::MAX), u64::MAX), None);
    }

    #[test]
    fn a_call_that_must_not_be_done_twice_is_repeated_only_when_turned_away() {
        let answered = |status, retry_after_s| ServiceError {
            status: Some(status),
            ..error(FailureKind::Unavailable, retry_after_s)
        };
        let again = |error| pause(Repeat::WhenTurnedAway, 1, &error, 5000).is_some();
        assert!(again(answered(429, Some(1))) && again(answered(503, Some(0))));
        for left_open in [
            answered(503, None),
            answered(500, Some(1)),
            answered(502, Some(1)),
            error(FailureKind::Timeout, None),
            error(FailureKind::Unreachable, None),
        ] {
            assert!(!again(left_open));
        }
    }

    proptest! {
        #[test]
        fn retries_stay_a_share_of_the_calls(calls in proptest::collection::vec(any::<bool>(), 0..2000)) {
            let mut budget = RetryBudget::default();
            let (mut made, mut retried) = (0u32, 0u32);
            for wants_retry in calls {
                budget.deposit();
                made += 1;
                if wants_retry && budget.withdraw() {
                    retried += 1;
                }
                prop_assert!(retried <= 10 + made / 5);
            }
        }
    }
}
