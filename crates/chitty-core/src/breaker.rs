//! The circuit breaker: a service that keeps failing gets no calls for a while, and its callers get an
//! error at once instead of waiting for it. Pure: it takes events with their times and returns decisions.
//!
//! ```text
//!            failure rate over the window reaches the threshold
//!   closed ────────────────────────────────────────────────────▶ open
//!      ▲                                                           │ its pause is over
//!      │ the probe succeeds                                        ▼
//!      └───────────────────────────────────────────────────── half-open
//!                       (the probe fails: open again, twice as long)
//! ```

use std::collections::VecDeque;

/// When a breaker opens and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerConfig {
    /// The length of the window over which the failure rate is measured, in ms.
    pub window_ms: u64,
    /// The fewest calls in the window for the breaker to open; 0 switches the breaker off.
    pub min_calls: usize,
    /// The failure rate at which the breaker opens, in percent.
    pub failure_percent: usize,
    /// The first pause (how long the breaker stays open), in ms; it doubles with each failed probe.
    pub open_ms: u64,
    /// The longest pause, in ms.
    pub max_open_ms: u64,
    /// How long the breaker waits for the result of a probe before it admits another, in ms: the caller
    /// of the first may have gone.
    pub probe_ms: u64,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        BreakerConfig {
            window_ms: 10_000,
            min_calls: 10,
            failure_percent: 50,
            open_ms: 2_000,
            max_open_ms: 30_000,
            probe_ms: 10_000,
        }
    }
}

/// The most calls that the window holds: enough for a rate, and a bound on memory.
const MAX_REMEMBERED: usize = 100;

/// The state of one service's breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls go through.
    Closed,
    /// Calls are refused until `until_ms`.
    Open {
        /// When a probe may be sent, in ms since the Unix epoch.
        until_ms: u64,
    },
    /// One probe is under way; other calls are refused.
    HalfOpen {
        /// When the probe was sent, in ms since the Unix epoch.
        since_ms: u64,
    },
}

/// What the end of a call says about the service's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The service answered. A refusal of the request itself (400, 409, 413, 422) is an answer too.
    Success,
    /// The service did not answer, answered 5xx or another 4xx (such as 401 or 404), or its answer was
    /// malformed.
    Failure,
    /// The call says nothing about the service's health, for example because of 429.
    Neutral,
}

/// The permission to send one call. The caller passes it to [`Breaker::record`] when the call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    epoch: u64,
}

/// One service's breaker.
#[derive(Debug, Clone)]
pub struct Breaker {
    config: BreakerConfig,
    state: BreakerState,
    /// Rises with each change of the state, so that the outcome of a call that was admitted before the
    /// change is ignored.
    epoch: u64,
    /// When each remembered call ended, and whether it failed.
    window: VecDeque<(u64, bool)>,
    /// How long the breaker stays open, in ms; doubles with each failed probe.
    pause_ms: u64,
}

impl Breaker {
    /// Makes a closed breaker.
    pub fn new(config: BreakerConfig) -> Self {
        Breaker {
            config,
            state: BreakerState::Closed,
            epoch: 0,
            window: VecDeque::new(),
            pause_ms: config.open_ms,
        }
    }

    /// Returns the state.
    pub fn state(&self) -> BreakerState {
        self.state
    }

    /// Admits a call if it may be sent now. The call that ends a pause is the probe.
    ///
    /// # Errors
    /// The milliseconds after which the caller may ask again, at least 1.
    pub fn admit(&mut self, now_ms: u64) -> Result<Admission, u64> {
        let free_at = match self.state {
            BreakerState::Closed => return Ok(Admission { epoch: self.epoch }),
            BreakerState::Open { until_ms } => until_ms,
            BreakerState::HalfOpen { since_ms } => since_ms.saturating_add(self.config.probe_ms),
        };
        if now_ms < free_at {
            // No pause is longer than this. A longer one means that the clock was set back.
            let longest_ms = self.config.max_open_ms.max(self.config.probe_ms);
            if free_at - now_ms <= longest_ms {
                return Err(free_at - now_ms);
            }
        }
        self.enter(BreakerState::HalfOpen { since_ms: now_ms });
        Ok(Admission { epoch: self.epoch })
    }

    fn enter(&mut self, state: BreakerState) {
        self.state = state;
        self.epoch = self.epoch.wrapping_add(1);
    }

    /// Records the outcome of an admitted call. Ignores a call that was admitted before the last change
    /// of the state.
    pub fn record(&mut self, now_ms: u64, admission: Admission, outcome: Outcome) {
        if self.config.min_calls == 0 || admission.epoch != self.epoch {
            return;
        }
        match (self.state, outcome) {
            (BreakerState::HalfOpen { .. }, Outcome::Success) => {
                self.enter(BreakerState::Closed);
                self.pause_ms = self.config.open_ms;
                self.window.clear();
            }
            // The probe did not show whether the service is well, so the next call is a probe too.
            (BreakerState::HalfOpen { .. }, Outcome::Neutral) => {
                self.enter(BreakerState::Open { until_ms: now_ms });
            }
            (BreakerState::HalfOpen { .. }, Outcome::Failure) => {
                self.pause_ms = self.pause_ms.saturating_mul(2).min(self.config.max_open_ms);
                self.open(now_ms);
            }
            (BreakerState::Closed, Outcome::Success | Outcome::Failure) => {
                self.remember(now_ms, outcome == Outcome::Failure);
                if self.is_failing() {
                    self.open(now_ms);
                }
            }
            // No call is admitted while the breaker is open.
            (BreakerState::Open { .. }, _) | (BreakerState::Closed, Outcome::Neutral) => {}
        }
    }

    /// Opens the breaker because another source reports that the service is down. A breaker that is
    /// open, half-open or switched off does not change.
    pub fn trip(&mut self, now_ms: u64) {
        if self.state == BreakerState::Closed && self.config.min_calls > 0 {
            self.pause_ms = self.config.open_ms;
            self.open(now_ms);
        }
    }

    /// Ends the pause of an open breaker because another source reports that the service is back: the
    /// next call is the probe.
    pub fn invite(&mut self, now_ms: u64) {
        if let BreakerState::Open { until_ms } = &mut self.state {
            *until_ms = now_ms;
            self.pause_ms = self.config.open_ms;
        }
    }

    fn open(&mut self, now_ms: u64) {
        self.enter(BreakerState::Open { until_ms: now_ms.saturating_add(self.pause_ms) });
        self.window.clear();
    }

    fn remember(&mut self, now_ms: u64, failed: bool) {
        // Also drops entries in the future, which mean that the clock was set back.
        let window = now_ms.saturating_sub(self.config.window_ms)..=now_ms;
        self.window.retain(|(at, _)| window.contains(at));
        if self.window.len() >= MAX_REMEMBERED {
            self.window.pop_front();
        }
        self.window.push_back((now_ms, failed));
    }

    fn is_failing(&self) -> bool {
        let failures = self.window.iter().filter(|(_, failed)| *failed).count();
        self.window.len() >= self.config.min_calls
            && failures * 100 >= self.window.len() * self.config.failure_percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl Breaker {
        /// Asks for admission, and drops the admission itself.
        fn ask(&mut self, now_ms: u64) -> Result<(), u64> {
            self.admit(now_ms).map(|_| ())
        }

        /// Ends a call that was admitted since the last change of the state.
        fn end(&mut self, now_ms: u64, outcome: Outcome) {
            self.record(now_ms, Admission { epoch: self.epoch }, outcome);
        }
    }

    #[test]
    fn the_outcome_of_a_call_admitted_before_a_change_is_ignored() {
        let mut breaker = Breaker::new(BreakerConfig::default());
        let late = breaker.admit(0).unwrap();
        (0..10).for_each(|_| breaker.end(0, Outcome::Failure));
        let probe = breaker.admit(2_000).unwrap();
        breaker.record(2_001, late, Outcome::Failure);
        assert_eq!(breaker.state(), BreakerState::HalfOpen { since_ms: 2_000 });
        breaker.record(2_002, probe, Outcome::Success);
        assert_eq!(breaker.state(), BreakerState::Closed);
        breaker.record(2_003, late, Outcome::Failure);
        assert!(breaker.window.is_empty());
    }

    fn failing(calls: usize, at_ms: u64) -> Breaker {
        let mut breaker = Breaker::new(BreakerConfig::default());
        for _ in 0..calls {
            assert_eq!(breaker.ask(at_ms), Ok(()));
            breaker.end(at_ms, Outcome::Failure);
        }
        breaker
    }

    #[test]
    fn it_opens_at_the_threshold_and_a_probe_closes_it() {
        assert_eq!(failing(9, 0).state(), BreakerState::Closed);
        let mut breaker = failing(10, 0);
        assert_eq!(breaker.ask(500), Err(1500));
        assert_eq!(breaker.ask(2000), Ok(()), "the probe");
        assert_eq!(breaker.ask(2001), Err(9999), "one probe at a time");
        breaker.end(2100, Outcome::Success);
        assert_eq!(breaker.state(), BreakerState::Closed);
        breaker.end(2100, Outcome::Failure);
        assert_eq!(breaker.state(), BreakerState::Closed, "the window was cleared");
    }

    #[test]
    fn each_failed_probe_doubles_the_pause_up_to_the_longest() {
        let mut breaker = failing(10, 0);
        let mut now = 2000;
        for pause in [4_000, 8_000, 16_000, 30_000, 30_000] {
            assert_eq!(breaker.ask(now), Ok(()));
            breaker.end(now, Outcome::Failure);
            assert_eq!(breaker.state(), BreakerState::Open { until_ms: now + pause });
            now += pause;
        }
        assert_eq!(breaker.ask(now), Ok(()));
        breaker.end(now, Outcome::Success);
        let mut again = breaker;
        (0..10).for_each(|_| again.end(now, Outcome::Failure));
        assert_eq!(
            again.state(),
            BreakerState::Open { until_ms: now + 2000 },
            "the pause starts small again"
        );
    }

    #[test]
    fn refusals_and_old_failures_do_not_open_it() {
        let mut breaker = failing(9, 0);
        (0..10).for_each(|_| breaker.end(1, Outcome::Neutral));
        breaker.end(20_000, Outcome::Failure);
        assert_eq!(breaker.state(), BreakerState::Closed);
        (0..20).for_each(|_| breaker.end(20_000, Outcome::Success));
        (0..18).for_each(|_| breaker.end(20_000, Outcome::Failure));
        assert_eq!(breaker.state(), BreakerState::Closed, "under half");
        (0..3).for_each(|_| breaker.end(20_000, Outcome::Failure));
        assert!(matches!(breaker.state(), BreakerState::Open { .. }));
    }

    #[test]
    fn a_probe_whose_caller_has_gone_is_followed_by_another() {
        let mut breaker = failing(10, 0);
        assert_eq!(breaker.ask(2_000), Ok(()));
        assert!(breaker.ask(11_999).is_err());
        assert_eq!(breaker.ask(12_000), Ok(()));
        breaker.end(12_000, Outcome::Neutral);
        assert_eq!(breaker.ask(12_000), Ok(()), "429 leaves the question open");
    }

    #[test]
    fn news_from_elsewhere_opens_it_and_ends_its_pause() {
        let mut breaker = Breaker::new(BreakerConfig::default());
        breaker.trip(1000);
        assert_eq!(breaker.ask(1500), Err(1500));
        breaker.trip(2000);
        assert_eq!(breaker.state(), BreakerState::Open { until_ms: 3000 }, "not prolonged");
        breaker.invite(2000);
        assert_eq!(breaker.ask(2000), Ok(()), "the probe");
        breaker.trip(2001);
        breaker.invite(2001);
        assert_eq!(breaker.ask(2002), Err(9998), "the probe decides, not the news");
        let mut off = Breaker::new(BreakerConfig { min_calls: 0, ..BreakerConfig::default() });
        off.trip(0);
        assert_eq!(off.ask(0), Ok(()));
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_keep_it_open() {
        let mut breaker = failing(10, 1_000_000_000);
        assert!(breaker.ask(1_000_000_001).is_err());
        assert_eq!(breaker.ask(5), Ok(()));
    }

    #[test]
    fn switched_off_it_never_opens() {
        let config = BreakerConfig { min_calls: 0, ..BreakerConfig::default() };
        let mut breaker = Breaker::new(config);
        (0..1000).for_each(|n| breaker.end(n, Outcome::Failure));
        assert_eq!(breaker.ask(1000), Ok(()));
    }

    proptest! {
        /// Over any history the window stays bounded, the wait in a refusal is long enough and no
        /// longer than the longest pause, and in the end a healthy service gets its calls again.
        #[test]
        fn over_any_history(steps in proptest::collection::vec((0u64..5_000, 0u8..4), 1..400)) {
            let config = BreakerConfig::default();
            let mut breaker = Breaker::new(config);
            let mut now = 0;
            for (pause, what) in steps {
                now += pause;
                match breaker.ask(now) {
                    Err(wait) => {
                        prop_assert!((1..=config.max_open_ms).contains(&wait));
                        let mut later = breaker.clone();
                        prop_assert_eq!(later.ask(now + wait), Ok(()));
                    }
                    Ok(()) => match what {
                        0 => breaker.end(now, Outcome::Success),
                        1 => breaker.end(now, Outcome::Failure),
                        2 => breaker.end(now, Outcome::Neutral),
                        _ => {} // its caller has gone
                    },
                }
                prop_assert!(breaker.window.len() <= MAX_REMEMBERED);
            }
            now += config.max_open_ms;
            prop_assert_eq!(breaker.ask(now), Ok(()));
            breaker.end(now, Outcome::Success);
            prop_assert_eq!(breaker.ask(now), Ok(()));
        }

        #[test]
        fn a_service_that_never_fails_is_never_refused(
            steps in proptest::collection::vec((0u64..5_000, any::<bool>()), 1..300)
        ) {
            let mut breaker = Breaker::new(BreakerConfig::default());
            let mut now = 0;
            for (pause, neutral) in steps {
                now += pause;
                prop_assert_eq!(breaker.ask(now), Ok(()));
                breaker.end(now, if neutral { Outcome::Neutral } else { Outcome::Success });
            }
        }
    }
}
