//! The tokens that calls carry, and when a token must be refreshed. Pure.

use std::fmt;

/// A bearer token for one service.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceToken {
    /// The token itself.
    pub secret: String,
    /// When it expires, in ms since the Unix epoch. A token that never expires is never refreshed.
    pub expires_at_ms: Option<u64>,
}

impl From<String> for ServiceToken {
    /// Makes a token that never expires.
    fn from(secret: String) -> Self {
        ServiceToken { secret, expires_at_ms: None }
    }
}

impl fmt::Debug for ServiceToken {
    /// Leaves out the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceToken")
            .field("expires_at_ms", &self.expires_at_ms)
            .finish_non_exhaustive()
    }
}

/// How long before its expiry a token is refreshed, in ms: ChittyOS's own margin for served tokens.
const MARGIN_MS: u64 = 5 * 60_000;

/// The least time between the starts of two refreshes, in ms. After it, another caller refreshes a token
/// whose refresh failed or whose caller has gone.
const PAUSE_MS: u64 = 30_000;

/// A token, and when it may next be refreshed.
#[derive(Debug, Clone)]
pub(crate) struct Renewal {
    token: ServiceToken,
    /// No refresh starts before this instant, in ms.
    not_before_ms: u64,
}

impl Renewal {
    pub(crate) fn new(token: ServiceToken) -> Self {
        Renewal { token, not_before_ms: 0 }
    }

    /// Returns the token that calls carry now: the old one until a new one arrives.
    pub(crate) fn secret(&self) -> &str {
        &self.token.secret
    }

    /// Whether the caller must refresh the token now. True for one caller at a time: the others use the
    /// present token.
    pub(crate) fn take_turn(&mut self, now_ms: u64) -> bool {
        let Some(end) = self.token.expires_at_ms else { return false };
        // No pause is longer than `PAUSE_MS`. A longer one means that the clock was set back.
        let paused = now_ms < self.not_before_ms && self.not_before_ms - now_ms <= PAUSE_MS;
        let due = now_ms.saturating_add(MARGIN_MS) >= end && !paused;
        if due {
            self.not_before_ms = now_ms.saturating_add(PAUSE_MS);
        }
        due
    }

    /// Replaces the token by a new one.
    pub(crate) fn renewed(&mut self, token: ServiceToken) {
        *self = Renewal { token, not_before_ms: self.not_before_ms };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token(expires_at_ms: Option<u64>) -> ServiceToken {
        ServiceToken { secret: "s".to_owned(), expires_at_ms }
    }

    #[test]
    fn it_is_refreshed_before_its_end_by_one_caller_at_a_time() {
        let mut renewal = Renewal::new(token(Some(1_000_000)));
        assert!(!renewal.take_turn(699_999));
        assert!(renewal.take_turn(700_000));
        assert!(!renewal.take_turn(700_001), "another is under way");
        assert!(renewal.take_turn(730_000), "the other failed or was left");
        renewal.renewed(token(Some(2_000_000)));
        assert!(!renewal.take_turn(1_500_000));
        assert!(!Renewal::new(token(None)).take_turn(u64::MAX));
    }

    #[test]
    fn a_token_does_not_show_in_debug_output() {
        let secret = ServiceToken { secret: "do-not-show".to_owned(), expires_at_ms: Some(1) };
        assert!(!format!("{secret:?}").contains("do-not-show"));
    }

    proptest! {
        /// Even if the clock jumps, a due token is refreshed within one pause. While the clock only
        /// advances, a token is never refreshed twice within one pause.
        #[test]
        fn turns_are_taken_and_bounded(end in 0u64..10_000_000, steps in proptest::collection::vec(-60_000i64..120_000, 1..60)) {
            let mut renewal = Renewal::new(token(Some(end)));
            let mut now = 400_000u64;
            let mut last: Option<u64> = None;
            for step in steps {
                now = now.saturating_add_signed(step);
                if step < 0 { last = None; }
                if renewal.take_turn(now) {
                    prop_assert!(now + MARGIN_MS >= end);
                    if let Some(last) = last { prop_assert!(now - last >= PAUSE_MS); }
                    last = Some(now);
                }
            }
            let later = now.max(end) + PAUSE_MS;
            prop_assert!(renewal.take_turn(later));
        }
    }
}
