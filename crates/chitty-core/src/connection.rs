//! The connection to one service: it is watched by health checks, and when it is lost it is taken
//! up again with growing pauses. Pure: an input, the time and a random number in, effects out; the
//! host runs the checks, keeps one timer, and stores the state between the steps.
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
//! A host carries out the effects and hands in what comes of them:
//!
//! ```
//! use chitty_core::connection::{Connection, ConnectionConfig, Effect, Input, State};
//!
//! let config = ConnectionConfig::default();
//! let mut connection = Connection::default();
//! let effects = connection.step(&config, Input::Connect, 0, 500);
//! assert_eq!(connection.state(), State::Connecting);
//!
//! // The host checks the service's health, and says how that ended.
//! assert!(effects.contains(&Effect::StartCheck { generation: 1 }));
//! let done = Input::CheckDone { generation: 1, result: Ok(()), latency_ms: 20 };
//! let effects = connection.step(&config, done, 20, 500);
//! assert_eq!(connection.state(), State::Connected);
//! assert!(effects.contains(&Effect::SetTimer { at_ms: 30_020 }), "the next check");
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

/// How often a connection is checked, and how it is taken up again.
///
/// It is handed to each step instead of being stored, so that a new one holds from the next step
/// on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionConfig {
    /// The pause between two checks of a healthy connection, in ms.
    pub health_check_interval_ms: u64,
    /// How long a check may take, in ms. The host ends it then, as failed.
    pub check_deadline_ms: u64,
    /// The ceiling of the pause before the first reconnect attempt, in ms.
    pub reconnect_delay_ms: u64,
    /// The longest pause between two attempts, in ms.
    pub max_reconnect_delay_ms: u64,
    /// By how much the pause grows with each attempt.
    pub reconnect_multiplier: u32,
    /// After how many failed attempts it gives up; `None` is never, 0 is without any attempt.
    pub max_reconnect_attempts: Option<u32>,
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        ConnectionConfig {
            health_check_interval_ms: 30_000,
            check_deadline_ms: 5_000,
            reconnect_delay_ms: 1_000,
            max_reconnect_delay_ms: 60_000,
            reconnect_multiplier: 2,
            max_reconnect_attempts: None,
        }
    }
}

impl ConnectionConfig {
    /// The longest pause before this attempt (from 1), in ms, at least 1.
    fn ceiling_ms(&self, attempt: u32) -> u64 {
        let growth = u64::from(self.reconnect_multiplier.max(1));
        growth
            .saturating_pow(attempt.saturating_sub(1))
            .saturating_mul(self.reconnect_delay_ms)
            .min(self.max_reconnect_delay_ms)
            .max(1)
    }

    /// The pause before this attempt, in ms: half of the ceiling is fixed and half drawn (equal
    /// jitter), so that connections that broke together do not come back together.
    fn delay_ms(&self, attempt: u32, jitter: u32) -> u64 {
        let ceiling = self.ceiling_ms(attempt);
        let fixed = ceiling / 2;
        let rest = ceiling - fixed;
        let drawn = u128::from(rest) * u128::from(jitter.min(1_000)) / 1_000;
        // At most `rest`, so it always fits.
        (fixed + u64::try_from(drawn).unwrap_or(rest)).max(1)
    }

    /// After how long a check without a result is taken for lost, in ms.
    fn guard_ms(&self) -> u64 {
        self.check_deadline_ms.saturating_add(GUARD_MARGIN_MS)
    }

    /// The pause between two checks of a healthy connection, in ms, at least 1.
    fn interval_ms(&self) -> u64 {
        self.health_check_interval_ms.max(1)
    }
}

/// What a check gets on top of its deadline for its result to arrive, in ms.
const GUARD_MARGIN_MS: u64 = 2_000;

/// By how much a timer must be overdue before it is taken for lost, in ms: hosts deliver late.
const TIMER_LATE_MS: u64 = 10_000;

/// The most characters of an error that are kept.
const MAX_ERROR_CHARS: usize = 200;

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Not wanted: nothing is watched.
    #[default]
    Disconnected,
    /// The first check is under way.
    Connecting,
    /// The service answers; it is checked regularly.
    Connected,
    /// It was lost, or never made: a check is under way or planned.
    Reconnecting,
    /// The first check failed and an attempt is planned, or no attempts are left.
    Failed,
}

impl State {
    /// Its name, as it is serialized.
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

/// What happened to a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Someone wants it. It connects from DISCONNECTED and FAILED, and brings a planned attempt
    /// forward.
    Connect,
    /// Someone is about to use it. It connects unless someone disconnected it, and makes up for a
    /// timer that was lost. Cheap: it may come with every request.
    Ensure,
    /// Someone wants it no more; only `Connect` or `Reset` change that.
    Disconnect,
    /// A check is wanted now, whatever the state.
    Check,
    /// As new: DISCONNECTED, nothing counted. The next `Ensure` connects.
    Reset,
    /// The timer fired: early, late or twice does no harm.
    Timer,
    /// A check ended.
    CheckDone {
        /// Which, from [`Effect::StartCheck`].
        generation: u64,
        /// Whether the service answered, or why it did not count as an answer.
        result: Result<(), String>,
        /// How long it took, in ms.
        latency_ms: u64,
    },
}

/// What the host has to do, in this order: the timer comes first, so that whatever is lost after
/// it is made up for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Set the timer; it replaces the one before.
    SetTimer {
        /// When it is due, in ms.
        at_ms: u64,
    },
    /// There must be no timer any more.
    ClearTimer,
    /// Check the service, and hand the result back as [`Input::CheckDone`].
    StartCheck {
        /// What the result has to name.
        generation: u64,
    },
    /// Tell whoever listens.
    Emit(Event),
}

/// What listeners are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "camelCase")]
pub enum Event {
    /// The connection was made, or made again.
    Connected,
    /// It was ended on purpose.
    Disconnected,
    /// An attempt to take it up again is planned.
    Reconnecting {
        /// Which, from 1.
        attempt: u32,
        /// In how many ms.
        delay: u64,
    },
    /// A connection that stood failed its check.
    Unhealthy,
    /// The state changed.
    StateChange {
        /// What it was.
        from: State,
        /// What it is.
        to: State,
        /// When, in ms.
        timestamp: u64,
    },
    /// An attempt to make the connection failed.
    Error {
        /// Why.
        message: String,
    },
    /// It gives up: nothing happens until someone connects or checks.
    MaxReconnectAttemptsReached {
        /// How many were made.
        attempts: u32,
    },
}

/// What was counted since the beginning or the last reset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statistics {
    /// How often the first attempt after `Connect` succeeded.
    pub total_connections: u64,
    /// How often it was taken up again.
    pub total_reconnections: u64,
    /// How many attempts to connect or reconnect failed.
    pub total_failures: u64,
    /// How many checks ended; one that was lost or no longer wanted does not count.
    pub total_health_checks: u64,
    /// How many of them succeeded.
    pub successful_health_checks: u64,
    /// How many of them failed.
    pub failed_health_checks: u64,
    /// The share that succeeded, such as `97.96%`; `0.00%` before the first.
    pub health_check_success_rate: String,
    /// Where it stands.
    pub current_state: State,
    /// For how long it has been connected, in ms; 0 when it is not.
    pub uptime: u64,
}

/// How a connection is doing, for people and dashboards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Where it stands.
    pub state: State,
    /// Whether the last check succeeded, and it was not disconnected since.
    pub is_healthy: bool,
    /// Which reconnect attempt is planned or under way, or was the last; 0 when connected.
    pub reconnect_attempts: u32,
    /// For how long it has been connected, in ms; 0 when it is not.
    pub uptime: u64,
    /// Why the last check failed, if it did.
    pub last_error: Option<String>,
    /// When the last check ended, in ms.
    pub last_check_at: Option<u64>,
    /// How long it took, in ms.
    pub last_latency_ms: Option<u64>,
    /// When the next check is due, in ms; none while one is under way or when none is planned.
    pub next_check_at: Option<u64>,
    /// When the state last changed, in ms.
    pub since: Option<u64>,
    /// What was counted.
    pub stats: Statistics,
}

/// The connection to one service. The host stores it after each step, before it acts on the
/// effects; whatever a crash then loses, the timer or the next [`Input::Ensure`] makes up for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Connection {
    state: State,
    /// When the state last changed.
    since_ms: Option<u64>,
    /// Someone disconnected it.
    held: bool,
    /// Of the last check that was started. It only ever rises, so an old result is told apart.
    generation: u64,
    /// When the check under way was started.
    checking_since_ms: Option<u64>,
    /// What the host's timer is set to.
    timer_ms: Option<u64>,
    /// The reconnect attempt that is planned or under way, or was the last.
    attempts: u32,
    /// An attempt failed, or it gave up, since it was last connected or asked to connect.
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

/// One step under way: what it is given, and what it gives.
struct Turn<'a> {
    config: &'a ConnectionConfig,
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

impl Connection {
    /// Takes note of what happened, and says what to do about it. `jitter` is a random number from
    /// 0 to 1000 (more counts as 1000).
    #[must_use = "the effects have to be carried out"]
    pub fn step(
        &mut self,
        config: &ConnectionConfig,
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
            // One that fired is spent, and is set again even to the same time.
            Some(at_ms) if fired || armed != Some(at_ms) => Some(Effect::SetTimer { at_ms }),
            // One that fired is cleared too: it may have been a duplicate.
            None if armed.is_some() => Some(Effect::ClearTimer),
            _ => None,
        };
        let check = turn.check.map(|generation| Effect::StartCheck { generation });
        timer.into_iter().chain(check).chain(turn.events.into_iter().map(Effect::Emit)).collect()
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether callers should be told at once that the service is down, instead of trying it.
    ///
    /// True in FAILED, and in RECONNECTING once an attempt has failed, until one succeeds: an
    /// attempt under way lets nobody through. A single failed check of a connection that stood is
    /// not enough: the service may well answer the next call. False in CONNECTING, and in
    /// DISCONNECTED, where nobody watches and so nobody knows.
    pub fn is_down(&self) -> bool {
        self.state == State::Failed || self.down
    }

    /// What was counted, as of now.
    pub fn statistics(&self, now_ms: u64) -> Statistics {
        let total = self.checks_passed.saturating_add(self.checks_failed);
        // The largest numbers lose some digits here, of which two are shown.
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

    /// How it is doing, as of now.
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
        *self = Connection {
            since_ms: self.since_ms,
            // A check that is still under way must not be taken for one of the new life.
            generation: self.generation,
            ..Connection::default()
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

    /// Acts in place of a timer that will not come, or not in time.
    fn revive(&mut self, turn: &mut Turn<'_>) {
        if self.has_lost_timer(turn) {
            self.act(turn);
        }
    }

    /// Does what the timer was set for.
    fn act(&mut self, turn: &mut Turn<'_>) {
        match self.state {
            // Whoever wanted the check that was lost has gone: nothing is watched here.
            State::Disconnected => self.go_quiet(),
            State::Failed if self.due_ms(turn).is_none() => {} // it gave up
            State::Failed => {
                self.enter(turn, State::Reconnecting);
                self.start_check(turn);
            }
            State::Connecting | State::Connected | State::Reconnecting => self.start_check(turn),
        }
    }

    /// When the timer is due. The guard of a check is computed anew: its deadline may have been
    /// configured otherwise since.
    fn due_ms(&self, turn: &Turn<'_>) -> Option<u64> {
        match self.checking_since_ms {
            Some(since_ms) => Some(since_ms.saturating_add(turn.config.guard_ms())),
            None => self.timer_ms,
        }
    }

    /// Whether this due time is further away than any pause that may have been set: the clock was
    /// set back, and waiting for it could take for ever.
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
            // These two may be idle. The others never are, unless the stored state lacked it.
            None => !matches!(self.state, State::Disconnected | State::Failed),
        }
    }

    /// Starts a check unless one is under way that still may end.
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

    /// Plans the next attempt and waits for it in this state, or gives up.
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

    /// No check under way, no timer.
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
