//! Exponential backoff with jitter: the one formula behind every pause. Pure.

/// Pauses that double from `first` up to `longest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The ceiling of the first pause, in a unit of the caller's choice.
    pub first: u32,
    /// The longest pause, in the same unit.
    pub longest: u32,
}

impl Backoff {
    /// Returns the ceiling of the pause after `attempt` failures (counted from 1): `first`, doubled
    /// with each further failure, at most `longest`. The caller draws its pause below the ceiling (full
    /// jitter), so that callers that failed together do not come back together.
    pub fn ceiling(self, attempt: u32) -> u32 {
        let doublings = attempt.saturating_sub(1).min(31);
        let doubled = u64::from(self.first) << doublings;
        u32::try_from(doubled).unwrap_or(u32::MAX).min(self.longest)
    }

    /// Draws a pause between half the ceiling and the ceiling (equal jitter). This is for work that
    /// nobody waits for, where an attempt without a pause would only cost. `jitter` returns a random
    /// number below its argument.
    pub fn pause(self, attempt: u32, jitter: impl FnOnce(u32) -> u32) -> u32 {
        let ceiling = self.ceiling(attempt);
        let half = ceiling / 2;
        half + jitter(ceiling - half + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_doubles_up_to_the_longest() {
        let backoff = Backoff { first: 1, longest: 60 };
        let ceilings: Vec<u32> = (1..=8).map(|attempt| backoff.ceiling(attempt)).collect();
        assert_eq!(ceilings, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff.ceiling(0), 1, "0 failures count as one");
    }

    proptest! {
        #[test]
        fn a_pause_stays_within_its_bounds(
            first in 0u32..100_000, longest in 0u32..10_000_000, attempt: u32, chance: u32
        ) {
            let backoff = Backoff { first, longest };
            let pause = backoff.pause(attempt, |bound| chance % bound.max(1));
            let ceiling = backoff.ceiling(attempt);
            prop_assert!(ceiling <= longest);
            prop_assert!((ceiling / 2..=ceiling).contains(&pause));
            prop_assert!(ceiling <= backoff.ceiling(attempt.saturating_add(1)));
        }
    }
}
