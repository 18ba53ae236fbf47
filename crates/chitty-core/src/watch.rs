//! The watch of one service: it checks the service's health, and when the service is lost it
//! reconnects with growing pauses. Pure: a step takes an input, the time and a random number, and
//! returns effects. The host runs the checks, keeps one timer, and stores the state between the steps.
//!
//! ```text
//!                  connect                 check ok
//!   DISCONNECTED ───────────▶ CONNECTING ───────────▶ CONNECTED ◀─────────┐
//!        ▲                      │    ▲                    │               │
//!        │ disconnect,    check │    │ connect            │ check fails   │ check ok
//!        │ reset          fails │    │                    ▼               │
//!    (any state)                ▼    │   timer, check                     │
//!                              FAILED ────────────▶ RECONNECTING ─────────┘
//!                                 ▲                    │      ▲ │
//!                                 └────────────────────┘      └─┘ check fails: a longer pause
//!                                   no attempts left
//! ```
//!
//! A host carries out the effects and passes their results to the next step:
//!
//! ```
//! use chitty_core::watch::{Effect, Input, State, Watch, WatchConfig};
//!
//! let config = WatchConfig::default();
//! let mut watch = Watch::default();
//! let effects = watch.step(&config, Input::Connect, 0, 500);
//! assert_eq!(watch.state(), State::Connecting);
//!
//! // The host checks the service's health, and passes in the result.
//! assert!(effects.contains(&Effect::StartCheck { generation: 1 }));
//! let done = Input::CheckDone { generation: 1, result: Ok(()), latency_ms: 20 };
//! let effects = watch.step(&config, done, 20, 500);
//! assert_eq!(watch.state(), State::Connected);
//! assert!(effects.contains(&Effect::SetTimer { at_ms: 30_020 }), "the next check");
//! ```
//!
//! All of this is one state machine, so its inputs, effects and transitions stay in one file.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How often a service is checked, and how its watch reconnects.
///
/// The host passes it to each step instead of storing it, so that a new configuration holds from the
/// next step on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchConfig {
    /// The pause between two checks of a healthy service, in ms.
    pub health_check_interval_ms: u64,
    /// How long a check may take, in ms. The host ends a longer check as failed.
    pub check_deadline_ms: u64,
    /// The ceiling of the pause before the first reconnect attempt, in ms.
    pub reconnect_delay_ms: u64,
    /// The longest pause between two attempts, in ms.
    pub max_reconnect_delay_ms: u64,
    /// The factor by which the pause grows with each attempt.
    pub reconnect_multiplier: u32,
    /// The number of failed attempts after which the watch gives up: `None` is never, 0 is without any
    /// attempt.
    pub max_reconnect_attempts: Option<u32>,
}

impl Default for WatchConfig {
    fn default() -> Self {
        WatchConfig {
            health_check_interval_ms: 30_000,
            check_deadline_ms: 5_000,
            reconnect_delay_ms: 1_000,
            max_reconnect_delay_ms: 60_000,
            reconnect_multiplier: 2,
            max_reconnect_attempts: None,
        }
    }
}

impl WatchConfig {
    /// Returns the longest pause before this attempt (counted from 1), in ms, at least 1.
    fn ceiling_ms(&self, attempt: u32) -> u64 {
        let growth = u64::from(self.reconnect_multiplier.max(1));
        growth
            .saturating_pow(attempt.saturating_sub(1))
            .saturating_mul(self.reconnect_delay_ms)
            .min(self.max_reconnect_delay_ms)
            .max(1)
    }

    /// Returns the pause before this attempt, in ms: half of the ceiling is fixed and half is drawn
    /// (equal jitter), so that watches that lost their services together do not reconnect together.
    fn delay_ms(&self, attempt: u32, jitter: u32) -> u64 {
        let ceiling = self.ceiling_ms(attempt);
        let fixed = ceiling / 2;
        let rest = ceiling - fixed;
        let drawn = u128::from(rest) * u128::from(jitter.min(1_000)) / 1_000;
        // At most `rest`, so it always fits.
        (fixed + u64::try_from(drawn).unwrap_or(rest)).max(1)
    }

    /// Returns the time after which a check without a result counts as lost, in ms.
    fn guard_ms(&self) -> u64 {
        self.check_deadline_ms.saturating_add(GUARD_MARGIN_MS)
    }

    /// Returns the pause between two checks of a healthy service, in ms, at least 1.
    fn interval_ms(&self) -> u64 {
        self.health_check_interval_ms.max(1)
    }
}

/// The time after a check's deadline in which its result may still arrive, in ms.
const GUARD_MARGIN_MS: u64 = 2_000;

/// How long a timer must be overdue before it counts as lost, in ms: hosts deliver late.
const TIMER_LATE_MS: u64 = 10_000;

/// The most characters of an error message that are kept.
const MAX_ERROR_CHARS: usize = 200;

/// The state of a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Nobody wants the service watched, and nothing is checked.
    #[default]
    Disconnected,
    /// The first check is under way.
    Connecting,
    /// The service answers; it is checked regularly.
    Connected,
    /// The service was lost, or never reached: a check is under way or planned.
    Reconnecting,
    /// The first check failed and an attempt is planned, or no attempts are left.
    Failed,
}

impl State {
    /// Returns the name under which it is serialized.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Disconnected => "DISCONNECTED",
            State::Connecting => "CONNECTING",
            State::Connected => "CONNECTED",
            State::Reconnecting => "RECONNECTING",
            State::Failed => "FAILED",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What happened to a watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Someone wants the service watched. The watch connects from DISCONNECTED and FAILED, and makes a
    /// planned attempt at once.
    Connect,
    /// Someone is about to call the service. The watch connects from DISCONNECTED unless someone
    /// disconnected it, and acts in place of a lost timer. Cheap: the host may pass it with every
    /// request.
    Ensure,
    /// Nobody wants the service watched any more. Only `Connect` or `Reset` change that.
    Disconnect,
    /// Someone wants a check now, in any state.
    Check,
    /// Someone resets the watch: it is DISCONNECTED, and its counts are 0. The next `Ensure`
    /// connects.
    Reset,
    /// The timer fired. A timer that fires early, late or twice does no harm.
    Timer,
    /// A check ended.
    CheckDone {
        /// The generation of the check, from [`Effect::StartCheck`].
        generation: u64,
        /// `Ok` if the service is well, or why the check failed.
        result: Result<(), String>,
        /// How long the check took, in ms.
        latency_ms: u64,
    },
}

/// What the host must do, in the order of the returned list. The timer comes first: if a crash loses
/// the later effects, the timer makes up for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Set the timer, in place of the one before.
    SetTimer {
        /// When the timer is due, in ms.
        at_ms: u64,
    },
    /// Clear the timer.
    ClearTimer,
    /// Check the service, and pass the result as [`Input::CheckDone`].
    StartCheck {
        /// The generation that the result must name.
        generation: u64,
    },
    /// Tell the listeners.
    Emit(Event),
}

/// What the host tells the listeners.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "camelCase")]
pub enum Event {
    /// The service was reached, or reached again.
    Connected,
    /// Someone ended the watch.
    Disconnected,
    /// A reconnect attempt is planned.
    Reconnecting {
        /// The number of the attempt, from 1.
        attempt: u32,
        /// The pause before it, in ms.
        delay: u64,
    },
    /// The check of a connected service failed.
    Unhealthy,
    /// The state changed.
    StateChange {
        /// The state before.
        from: State,
        /// The state after.
        to: State,
        /// When it changed, in ms.
        timestamp: u64,
    },
    /// An attempt to connect failed.
    Error {
        /// Why it failed.
        message: String,
    },
    /// The watch gives up: nothing happens until someone connects or checks.
    MaxReconnectAttemptsReached {
        /// How many attempts were made.
        attempts: u32,
    },
}

/// The counts since the beginning or the last reset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statistics {
    /// How often the first attempt after `Connect` succeeded.
    pub total_connections: u64,
    /// How often a later attempt succeeded.
    pub total_reconnections: u64,
    /// How many attempts to connect or reconnect failed.
    pub total_failures: u64,
    /// How many checks ended. A check that was lost, or that nobody wants any more, does not count.
    pub total_health_checks: u64,
    /// How many checks succeeded.
    pub successful_health_checks: u64,
    /// How many checks failed.
    pub failed_health_checks: u64,
    /// The share of checks that succeeded, such as `97.96%`; `0.00%` before the first.
    pub health_check_success_rate: String,
    /// The state.
    pub current_state: State,
    /// How long it has been connected, in ms; 0 when it is not.
    pub uptime: u64,
}

/// How a watch is doing, for people and dashboards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The state.
    pub state: State,
    /// Whether the last check succeeded, and nobody has disconnected the watch since.
    pub is_healthy: bool,
    /// The number of the reconnect attempt that is planned or under way, or was the last; 0 when
    /// connected.
    pub reconnect_attempts: u32,
    /// How long it has been connected, in ms; 0 when it is not.
    pub uptime: u64,
    /// Why the last check failed, if it did.
    pub last_error: Option<String>,
    /// When the last check ended, in ms.
    pub last_check_at: Option<u64>,
    /// How long the last check took, in ms.
    pub last_latency_ms: Option<u64>,
    /// When the next check is due, in ms; `None` while one is under way, or when none is planned.
    pub next_check_at: Option<u64>,
    /// When the state last changed, in ms.
    pub since: Option<u64>,
    /// The counts.
    pub stats: Statistics,
}

/// The watch of one service. The host stores it after each step, before it carries out the effects. If
/// a crash then loses effects, the timer or the next [`Input::Ensure`] makes up for them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Watch {
    state: State,
    /// When the state last changed.
    since_ms: Option<u64>,
    /// Whether someone disconnected it, so that `Ensure` does not connect.
    held: bool,
    /// The generation of the last check that was started. It only rises, so an old result is recognised.
    generation: u64,
    /// When the check under way was started.
    checking_since_ms: Option<u64>,
    /// When the host's timer is due.
    timer_ms: Option<u64>,
    /// The number of the reconnect attempt that is planned or under way, or was the last.
    attempts: u32,
    /// Whether an attempt has failed, or the watch has given up, since it was last connected or told to
    /// connect.
    down: bool,
    healthy: bool,
    last_error: Option<String>,
    last_check_ms: Option<u64>,
    last_latency_ms: Option<u64>,
    connections: u64,
    reconnections: u64,
    failures: u64,
    checks_passed: u64,
    checks_failed: u64,
}

/// One step under way: its arguments, and the effects so far.
struct Turn<'a> {
    config: &'a WatchConfig,
    now_ms: u64,
    jitter: u32,
    check: Option<u64>,
    events: Vec<Event>,
}

impl Turn<'_> {
    fn in_ms(&self, ms: u64) -> Option<u64> {
        Some(self.now_ms.saturating_add(ms))
    }
}

impl Watch {
    /// Takes an input and returns what the host must do. `jitter` is a random number from 0 to 1000
    /// (more counts as 1000).
    #[must_use = "the host must carry out the effects"]
    pub fn step(
        &mut self,
        config: &WatchConfig,
        input: Input,
        now_ms: u64,
        jitter: u32,
    ) -> Vec<Effect> {
        let mut turn = Turn { config, now_ms, jitter, check: None, events: Vec::new() };
        let (armed, fired) = (self.timer_ms, input == Input::Timer);
        match input {
            Input::Connect => self.connect(&mut turn),
            Input::Ensure => self.ensure(&mut turn),
            Input::Disconnect => self.disconnect(&mut turn),
            Input::Check => {
                if self.state == State::Failed {
                    self.enter(&mut turn, State::Reconnecting);
                }
                self.check_now(&mut turn);
            }
            Input::Reset => self.reset(&mut turn),
            Input::Timer => self.timer(&mut turn),
            Input::CheckDone { generation, result, latency_ms } => {
                if self.checking_since_ms.is_some() && generation == self.generation {
                    self.check_done(&mut turn, result, latency_ms);
                }
            }
        }
        let timer = match self.timer_ms {
            // A timer that fired is gone, so it is set again even for the same time.
            Some(at_ms) if fired || armed != Some(at_ms) => Some(Effect::SetTimer { at_ms }),
            // A timer that fired is cleared too: it may have fired twice and still be set.
            None if armed.is_some() => Some(Effect::ClearTimer),
            _ => None,
        };
        let check = turn.check.map(|generation| Effect::StartCheck { generation });
        timer.into_iter().chain(check).chain(turn.events.into_iter().map(Effect::Emit)).collect()
    }

    /// Returns the state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether callers should fail at once instead of calling the service.
    ///
    /// True in FAILED, and in RECONNECTING from the first failed attempt until one succeeds: while an
    /// attempt is under way, callers still fail. One failed check of a connected service is not enough,
    /// because the service may well answer the next call. False in CONNECTING, and in DISCONNECTED,
    /// where nobody watches the service.
    pub fn is_down(&self) -> bool {
        self.state == State::Failed || self.down
    }

    /// Returns the counts as of now.
    pub fn statistics(&self, now_ms: u64) -> Statistics {
        let total = self.checks_passed.saturating_add(self.checks_failed);
        // The largest counts lose digits as `f64`, but only two decimals are shown.
        let rate = self.checks_passed as f64 * 100.0 / total.max(1) as f64;
        Statistics {
            total_connections: self.connections,
            total_reconnections: self.reconnections,
            total_failures: self.failures,
            total_health_checks: total,
            successful_health_checks: self.checks_passed,
            failed_health_checks: self.checks_failed,
            health_check_success_rate: format!("{rate:.2}%"),
            current_state: self.state,
            uptime: self.uptime_ms(now_ms),
        }
    }

    /// Returns the status as of now.
    pub fn status(&self, now_ms: u64) -> Status {
        Status {
            state: self.state,
            is_healthy: self.healthy,
            reconnect_attempts: self.attempts,
            uptime: self.uptime_ms(now_ms),
            last_error: self.last_error.clone(),
            last_check_at: self.last_check_ms,
            last_latency_ms: self.last_latency_ms,
            // While a check is under way, the timer only guards it.
            next_check_at: self.timer_ms.filter(|_| self.checking_since_ms.is_none()),
            since: self.since_ms,
            stats: self.statistics(now_ms),
        }
    }

    fn uptime_ms(&self, now_ms: u64) -> u64 {
        match (self.state, self.since_ms) {
            (State::Connected, Some(since_ms)) => now_ms.saturating_sub(since_ms),
            _ => 0,
        }
    }

    fn connect(&mut self, turn: &mut Turn<'_>) {
        match self.state {
            State::Disconnected | State::Failed => {
                self.held = false;
                self.down = false;
                self.attempts = 0;
                self.enter(turn, State::Connecting);
                self.check_now(turn);
            }
            State::Connecting | State::Reconnecting => self.check_now(turn),
            State::Connected => self.revive(turn),
        }
    }

    fn ensure(&mut self, turn: &mut Turn<'_>) {
        if self.state == State::Disconnected && !self.held {
            self.connect(turn);
        } else {
            self.revive(turn);
        }
    }

    fn disconnect(&mut self, turn: &mut Turn<'_>) {
        if self.state != State::Disconnected {
            self.enter(turn, State::Disconnected);
            turn.events.push(Event::Disconnected);
        }
        self.held = true;
        self.down = false;
        self.healthy = false;
        self.attempts = 0;
        self.go_quiet();
    }

    fn reset(&mut self, turn: &mut Turn<'_>) {
        self.enter(turn, State::Disconnected);
        *self = Watch {
            since_ms: self.since_ms,
            // Kept, so that the result of a check from before the reset is recognised as old.
            generation: self.generation,
            ..Watch::default()
        };
    }

    fn timer(&mut self, turn: &mut Turn<'_>) {
        match self.due_ms(turn) {
            Some(due_ms) if turn.now_ms < due_ms && !self.is_beyond(turn, due_ms) => {
                self.timer_ms = Some(due_ms);
            }
            _ => self.act(turn),
        }
    }

    /// Acts in place of the timer if it was lost.
    fn revive(&mut self, turn: &mut Turn<'_>) {
        if self.has_lost_timer(turn) {
            self.act(turn);
        }
    }

    /// Does what the timer was set for.
    fn act(&mut self, turn: &mut Turn<'_>) {
        match self.state {
            // A check that someone asked for was lost. It is not repeated: nothing is watched here.
            State::Disconnected => self.go_quiet(),
            State::Failed if self.due_ms(turn).is_none() => {} // it gave up
            State::Failed => {
                self.enter(turn, State::Reconnecting);
                self.start_check(turn);
            }
            State::Connecting | State::Connected | State::Reconnecting => self.start_check(turn),
        }
    }

    /// Returns when the timer is due. The guard of a check is computed anew, because the configured
    /// deadline may have changed since the check started.
    fn due_ms(&self, turn: &Turn<'_>) -> Option<u64> {
        match self.checking_since_ms {
            Some(since_ms) => Some(since_ms.saturating_add(turn.config.guard_ms())),
            None => self.timer_ms,
        }
    }

    /// Whether this due time is further away than any pause that may have been set. Then the clock was
    /// set back, and waiting could take for ever.
    fn is_beyond(&self, turn: &Turn<'_>, due_ms: u64) -> bool {
        let longest_ms = match (self.checking_since_ms, self.state) {
            (Some(_), _) => turn.config.guard_ms(),
            (None, State::Connected) => turn.config.interval_ms(),
            (None, _) => turn.config.ceiling_ms(self.attempts),
        };
        due_ms.saturating_sub(turn.now_ms) > longest_ms
    }

    fn has_lost_timer(&self, turn: &Turn<'_>) -> bool {
        match self.due_ms(turn) {
            Some(due_ms) => {
                turn.now_ms.saturating_sub(due_ms) > TIMER_LATE_MS || self.is_beyond(turn, due_ms)
            }
            // Only these two states may lack a timer. In the others the stored state was incomplete.
            None => !matches!(self.state, State::Disconnected | State::Failed),
        }
    }

    /// Starts a check, unless one is under way and may still end.
    fn check_now(&mut self, turn: &mut Turn<'_>) {
        if self.checking_since_ms.is_none() || self.has_lost_timer(turn) {
            self.start_check(turn);
        }
    }

    fn start_check(&mut self, turn: &mut Turn<'_>) {
        self.generation = self.generation.wrapping_add(1);
        self.checking_since_ms = Some(turn.now_ms);
        self.timer_ms = turn.in_ms(turn.config.guard_ms());
        turn.check = Some(self.generation);
    }

    fn check_done(&mut self, turn: &mut Turn<'_>, result: Result<(), String>, latency_ms: u64) {
        self.go_quiet();
        self.last_check_ms = Some(turn.now_ms);
        self.last_latency_ms = Some(latency_ms);
        self.healthy = result.is_ok();
        match result {
            Ok(()) => {
                self.checks_passed = self.checks_passed.saturating_add(1);
                self.last_error = None;
                self.check_passed(turn);
            }
            Err(error) => {
                self.checks_failed = self.checks_failed.saturating_add(1);
                let message: String = error.chars().take(MAX_ERROR_CHARS).collect();
                self.last_error = Some(message.clone());
                self.check_failed(turn, message);
            }
        }
    }

    fn check_passed(&mut self, turn: &mut Turn<'_>) {
        match self.state {
            State::Disconnected => return,
            State::Connected => {}
            State::Connecting => {
                self.connections = self.connections.saturating_add(1);
                self.connected(turn);
            }
            // No check is under way in FAILED.
            State::Reconnecting | State::Failed => {
                self.reconnections = self.reconnections.saturating_add(1);
                self.connected(turn);
            }
        }
        self.timer_ms = turn.in_ms(turn.config.interval_ms());
    }

    fn connected(&mut self, turn: &mut Turn<'_>) {
        self.attempts = 0;
        self.down = false;
        self.enter(turn, State::Connected);
        turn.events.push(Event::Connected);
    }

    fn check_failed(&mut self, turn: &mut Turn<'_>, message: String) {
        let waiting = match self.state {
            State::Disconnected => return,
            State::Connected => {
                turn.events.push(Event::Unhealthy);
                self.retry(turn, State::Reconnecting);
                return;
            }
            State::Connecting => State::Failed,
            State::Reconnecting | State::Failed => State::Reconnecting,
        };
        self.failures = self.failures.saturating_add(1);
        self.down = true;
        turn.events.push(Event::Error { message });
        self.retry(turn, waiting);
    }

    /// Plans the next attempt and enters the state `waiting`, or gives up.
    fn retry(&mut self, turn: &mut Turn<'_>, waiting: State) {
        if turn.config.max_reconnect_attempts.is_some_and(|limit| self.attempts >= limit) {
            self.down = true;
            self.enter(turn, State::Failed);
            turn.events.push(Event::MaxReconnectAttemptsReached { attempts: self.attempts });
            return;
        }
        self.attempts = self.attempts.saturating_add(1);
        let delay = turn.config.delay_ms(self.attempts, turn.jitter);
        self.timer_ms = turn.in_ms(delay);
        self.enter(turn, waiting);
        turn.events.push(Event::Reconnecting { attempt: self.attempts, delay });
    }

    /// Forgets the check under way and the timer.
    fn go_quiet(&mut self) {
        self.checking_since_ms = None;
        self.timer_ms = None;
    }

    fn enter(&mut self, turn: &mut Turn<'_>, to: State) {
        let from = std::mem::replace(&mut self.state, to);
        if from != to {
            self.since_ms = Some(turn.now_ms);
            turn.events.push(Event::StateChange { from, to, timestamp: turn.now_ms });
        }
    }
}

#[cfg(test)]
mod tests;
