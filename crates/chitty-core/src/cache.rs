//! A cached answer: fresh for a while, then used only when the service fails, then not at all. Pure.

/// How long a cached answer is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CachePolicy {
    /// The age below which the answer is used without asking the service, in ms.
    pub fresh_ms: u64,
    /// The age below which the answer is used when the service fails, in ms (stale-if-error, RFC 5861
    /// §4).
    pub stale_ms: u64,
}

/// When a cached answer may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Without asking the service.
    Fresh,
    /// Only when asking the service fails.
    Stale,
    /// Never.
    Expired,
}

/// An answer and when it was made.
#[derive(Debug, Clone)]
pub struct CacheEntry<T> {
    /// The answer.
    pub value: T,
    /// When it was made, in ms since the Unix epoch.
    pub at_ms: u64,
}

impl<T> CacheEntry<T> {
    /// Returns when the answer may be used. An answer made in the future (the clock was set back) could
    /// stay fresh for ever, so it is stale at once.
    pub fn freshness(&self, keep: CachePolicy, now_ms: u64) -> Freshness {
        match now_ms.checked_sub(self.at_ms) {
            None => Freshness::Stale,
            Some(age) if age < keep.fresh_ms => Freshness::Fresh,
            Some(age) if age < keep.stale_ms => Freshness::Stale,
            Some(_) => Freshness::Expired,
        }
    }

    /// Returns the age in ms; 0 when the clock was set back.
    pub fn age_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.at_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_answer_only_ever_gets_worse(
            at_ms in 0u64..1_000_000, fresh_ms in 0u64..1000, more in 0u64..1000,
            steps in proptest::collection::vec(0u64..300, 1..40)
        ) {
            let keep = CachePolicy { fresh_ms, stale_ms: fresh_ms + more };
            let cached = CacheEntry { value: (), at_ms };
            let mut now = at_ms;
            let mut worst = 0;
            for step in steps {
                now += step;
                let rank = match cached.freshness(keep, now) {
                    Freshness::Fresh => 0,
                    Freshness::Stale => 1,
                    Freshness::Expired => 2,
                };
                prop_assert!(rank >= worst);
                prop_assert_eq!(rank == 0, now - at_ms < fresh_ms);
                prop_assert_eq!(rank == 2, now - at_ms >= keep.stale_ms);
                worst = rank;
            }
        }

        #[test]
        fn a_clock_that_was_set_back_makes_nothing_fresh(at_ms in 1u64..1_000_000, back in 1u64..1000) {
            let cached = CacheEntry { value: (), at_ms: at_ms + back };
            let keep = CachePolicy { fresh_ms: 1000, stale_ms: 2000 };
            prop_assert_eq!(cached.freshness(keep, at_ms), Freshness::Stale);
        }
    }
}
