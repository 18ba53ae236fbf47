use super::*;
use proptest::prelude::*;
use std::collections::HashSet;

const GUARD_MS: u64 = 5_000 + GUARD_MARGIN_MS;

/// Every allowed change of state. CONNECTED changes to FAILED only when no attempts are allowed.
const ALLOWED: [(State, State); 13] = [
    (State::Disconnected, State::Connecting),
    (State::Connecting, State::Connected),
    (State::Connecting, State::Failed),
    (State::Connecting, State::Disconnected),
    (State::Connected, State::Reconnecting),
    (State::Connected, State::Failed),
    (State::Connected, State::Disconnected),
    (State::Reconnecting, State::Connected),
    (State::Reconnecting, State::Failed),
    (State::Reconnecting, State::Disconnected),
    (State::Failed, State::Reconnecting),
    (State::Failed, State::Connecting),
    (State::Failed, State::Disconnected),
];

/// A host with one alarm. It stores and loads the watch before every step, and checks each step
/// against a record of its own.
#[derive(Clone)]
struct Host {
    watch: Watch,
    config: WatchConfig,
    now: u64,
    jitter: u32,
    /// The alarm, as the effects set it.
    alarm: Option<u64>,
    /// Whether the platform lost the alarm.
    alarm_lost: bool,
    /// The generation of the check under way.
    checking: Option<u64>,
    generation: u64,
    gave_up: bool,
    /// Whether the configuration has changed.
    changed: bool,
    last_to: State,
    connected: u64,
    errors: u64,
    unhealthy: u64,
    passed: u64,
    failed: u64,
}

impl Host {
    fn new(config: WatchConfig) -> Self {
        Host {
            watch: Watch::default(),
            config,
            now: 1_000_000_000,
            jitter: 1_000,
            alarm: None,
            alarm_lost: false,
            checking: None,
            generation: 0,
            gave_up: false,
            changed: false,
            last_to: State::Disconnected,
            connected: 0,
            errors: 0,
            unhealthy: 0,
            passed: 0,
            failed: 0,
        }
    }

    fn state(&self) -> State {
        self.watch.state()
    }

    /// Fires the alarm now, due or not.
    fn fire(&mut self) -> Vec<Effect> {
        self.alarm = None;
        self.feed(Input::Timer)
    }

    /// Fires the alarm on time.
    fn fire_on_time(&mut self) -> Vec<Effect> {
        self.now = self.now.max(self.alarm.expect("an alarm is set"));
        self.fire()
    }

    /// Ends the check under way.
    fn finish(&mut self, ok: bool) -> Vec<Effect> {
        let generation = self.checking.expect("a check is under way");
        self.feed(done(generation, ok))
    }

    /// Makes one step, and checks everything that must be true of any step.
    fn feed(&mut self, input: Input) -> Vec<Effect> {
        let stored = serde_json::to_string(&self.watch).unwrap();
        assert!(stored.len() < 2048, "it stays small: {stored}");
        let before = self.watch.clone();
        self.watch = serde_json::from_str(&stored).unwrap();
        assert_eq!(self.watch, before, "the stored text keeps everything");

        let effects = self.watch.step(&self.config, input.clone(), self.now, self.jitter);
        let (from, to) = (before.state, self.watch.state);

        let stale = matches!(&input, Input::CheckDone { generation, .. }
            if Some(*generation) != self.checking);
        if stale {
            assert_eq!((&self.watch, effects.len()), (&before, 0), "an old result is ignored");
            return effects;
        }
        match &input {
            Input::CheckDone { result, .. } => {
                self.checking = None;
                *(if result.is_ok() { &mut self.passed } else { &mut self.failed }) += 1;
            }
            Input::Disconnect => self.checking = None,
            Input::Reset => {
                self.checking = None;
                [self.connected, self.errors, self.unhealthy, self.passed, self.failed] = [0; 5];
            }
            // The only lost check that no other check replaces.
            Input::Timer | Input::Ensure if to == State::Disconnected => {
                self.checking = self.checking.filter(|_| self.watch.timer_ms.is_some());
            }
            _ => {}
        }
        if to != State::Failed {
            self.gave_up = false;
        }
        self.apply(&effects, &input, from, to);
        self.hold(&effects);
        effects
    }

    fn apply(&mut self, effects: &[Effect], input: &Input, from: State, to: State) {
        let rank = |effect: &Effect| match effect {
            Effect::SetTimer { .. } | Effect::ClearTimer => 0,
            Effect::StartCheck { .. } => 1,
            Effect::Emit(_) => 2,
        };
        assert!(effects.is_sorted_by_key(rank), "timer, check, events: {effects:?}");
        assert!(effects.iter().filter(|effect| rank(effect) == 0).count() <= 1);
        assert!(effects.iter().filter(|effect| rank(effect) == 1).count() <= 1);
        let longest = [
            self.config.interval_ms(),
            self.config.guard_ms(),
            self.config.max_reconnect_delay_ms.max(1),
        ];
        let (mut changes, mut specific) = (0, Vec::new());
        for effect in effects {
            match effect {
                Effect::SetTimer { at_ms } => {
                    assert!(*at_ms > self.now || self.now == u64::MAX, "never at once");
                    assert!(*at_ms - self.now <= *longest.iter().max().unwrap(), "nor for ever");
                    self.alarm = Some(*at_ms);
                    self.alarm_lost = false;
                }
                Effect::ClearTimer => {
                    self.alarm = None;
                    self.alarm_lost = false;
                }
                Effect::StartCheck { generation } => {
                    assert!(*generation > self.generation, "generations rise");
                    self.generation = *generation;
                    self.checking = Some(*generation);
                }
                Effect::Emit(Event::StateChange { from: left, to: reached, timestamp }) => {
                    assert_eq!(*left, self.last_to, "the changes form a chain");
                    assert_eq!((*left, *reached, *timestamp), (from, to, self.now));
                    self.last_to = *reached;
                    changes += 1;
                }
                Effect::Emit(Event::Reconnecting { attempt, delay }) => {
                    let ceiling = self.config.ceiling_ms(*attempt);
                    assert_eq!(*attempt, self.watch.attempts);
                    assert!((ceiling / 2..=ceiling).contains(delay) && *delay > 0);
                    assert!(*delay <= self.config.max_reconnect_delay_ms.max(1));
                    assert_eq!(self.alarm, Some(self.now.saturating_add(*delay)));
                    specific.push("reconnecting");
                }
                Effect::Emit(Event::MaxReconnectAttemptsReached { attempts }) => {
                    assert_eq!(*attempts, self.watch.attempts);
                    assert_eq!(to, State::Failed);
                    self.gave_up = true;
                    specific.push("gave up");
                }
                Effect::Emit(Event::Connected) => {
                    self.connected += 1;
                    specific.push("connected");
                }
                Effect::Emit(Event::Disconnected) => specific.push("disconnected"),
                Effect::Emit(Event::Unhealthy) => {
                    self.unhealthy += 1;
                    specific.push("unhealthy");
                }
                Effect::Emit(Event::Error { message }) => {
                    assert!(message.chars().count() <= MAX_ERROR_CHARS);
                    self.errors += 1;
                    specific.push("error");
                }
            }
        }
        assert_eq!(changes, usize::from(from != to), "announced exactly at a change");
        if from != to {
            let pair = (from, to);
            assert!(ALLOWED.contains(&pair), "{from} to {to}");
            if pair == (State::Connected, State::Failed) {
                assert_eq!(self.config.max_reconnect_attempts, Some(0));
            }
        }
        // The input, the state before it and the limit determine the events.
        let mut expected: Vec<&str> = Vec::new();
        match (input, from) {
            (Input::Disconnect, from) if from != State::Disconnected => {
                expected.push("disconnected");
            }
            (Input::CheckDone { result: Ok(()), .. }, from)
                if !matches!(from, State::Disconnected | State::Connected) =>
            {
                expected.push("connected");
            }
            (Input::CheckDone { result: Err(_), .. }, from) if from != State::Disconnected => {
                expected.push(if from == State::Connected { "unhealthy" } else { "error" });
                expected.push(if self.gave_up { "gave up" } else { "reconnecting" });
            }
            _ => {}
        }
        assert_eq!(specific, expected, "{from} to {to} after {input:?}");
    }

    fn hold(&self, effects: &[Effect]) {
        let watch = &self.watch;
        let state = watch.state;
        let idle = self.checking.is_none()
            && (state == State::Disconnected || (state == State::Failed && self.gave_up));
        assert_eq!(self.alarm.is_none(), idle, "one timer, or none when idle: {effects:?}");
        assert_eq!(self.alarm, watch.timer_ms, "and it is the stored one");
        assert_eq!(self.checking.is_some(), watch.checking_since_ms.is_some());
        assert!(state != State::Connecting || self.checking.is_some());
        assert!(state != State::Failed || self.checking.is_none());
        if let Some(limit) = self.config.max_reconnect_attempts
            && !self.changed
        {
            assert!(watch.attempts <= limit);
        }
        if matches!(state, State::Disconnected | State::Connecting | State::Connected) {
            assert_eq!((watch.attempts, watch.is_down()), (0, false));
        }
        assert!(state != State::Failed || watch.is_down());

        let status = watch.status(self.now);
        let stats = &status.stats;
        assert_eq!(stats.successful_health_checks, self.passed);
        assert_eq!(stats.failed_health_checks, self.failed);
        assert_eq!(stats.total_health_checks, self.passed + self.failed);
        assert_eq!(stats.total_connections + stats.total_reconnections, self.connected);
        assert_eq!(stats.total_failures, self.errors);
        assert!(self.connected <= self.passed && self.errors + self.unhealthy <= self.failed);
        assert_eq!((stats.current_state, stats.uptime), (state, status.uptime));
        assert!(status.uptime == 0 || state == State::Connected);
        assert!(status.next_check_at.is_none() || self.checking.is_none());
        assert!(!status.is_healthy || status.last_error.is_none());
        if self.checking.is_none() && status.next_check_at.is_some() {
            assert_eq!(status.is_healthy, state == State::Connected);
        }
    }

    /// Loses the result of the check under way. From then on the service answers, the alarm fires
    /// unless it was lost before, and someone uses the service every second. Returns how long it
    /// took to connect, in ms.
    fn heal(&mut self, latency: u64) -> u64 {
        const USED_EVERY_MS: u64 = 1_000;
        let start = self.now;
        let mut check_ends: Option<u64> = None;
        let mut next_use = self.now;
        while self.state() != State::Connected {
            let alarm = if self.alarm_lost { None } else { self.alarm };
            let next = [Some(next_use), alarm, check_ends].into_iter().flatten().min().unwrap();
            self.now = self.now.max(next);
            let effects = if check_ends.is_some_and(|end| end <= self.now) {
                check_ends = None;
                self.finish(true)
            } else if alarm.is_some_and(|at| at <= self.now) {
                self.fire()
            } else {
                next_use = self.now + USED_EVERY_MS;
                self.feed(Input::Ensure)
            };
            if effects.iter().any(|effect| matches!(effect, Effect::StartCheck { .. })) {
                check_ends = Some(self.now + latency);
            }
            assert!(self.now - start < 10_000_000, "stuck in {}", self.state());
        }
        self.now - start
    }
}

fn done(generation: u64, ok: bool) -> Input {
    let result = if ok { Ok(()) } else { Err("no answer".to_owned()) };
    Input::CheckDone { generation, result, latency_ms: 40 }
}

fn limited(attempts: u32) -> WatchConfig {
    WatchConfig { max_reconnect_attempts: Some(attempts), ..WatchConfig::default() }
}

fn has_check(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::StartCheck { .. }))
}

/// The situation from which a row of the table starts.
#[derive(Debug, Clone, Copy, PartialEq)]
enum At {
    New,
    Held,
    HeldChecking,
    Connecting,
    Connected,
    ConnectedChecking,
    Failed,
    GaveUp,
    Waiting,
    Attempting,
}

/// Makes a watch in that situation, with a limit of 2 attempts. [`At::Attempting`] is the second
/// attempt.
fn at(situation: At) -> Host {
    let mut host = Host::new(limited(2));
    let connecting = |host: &mut Host| drop(host.feed(Input::Connect));
    let connected = |host: &mut Host| {
        connecting(host);
        host.finish(true);
    };
    let attempting = |host: &mut Host| {
        connected(host);
        host.fire_on_time();
        host.finish(false);
        host.fire_on_time();
        host.finish(false);
        host.fire_on_time();
    };
    match situation {
        At::New => {}
        At::Held => drop(host.feed(Input::Disconnect)),
        At::HeldChecking => {
            host.feed(Input::Disconnect);
            host.feed(Input::Check);
        }
        At::Connecting => connecting(&mut host),
        At::Connected => connected(&mut host),
        At::ConnectedChecking => {
            connected(&mut host);
            host.fire_on_time();
        }
        At::Failed => {
            connecting(&mut host);
            host.finish(false);
        }
        At::GaveUp => {
            attempting(&mut host);
            host.finish(false);
        }
        At::Waiting => {
            connected(&mut host);
            host.fire_on_time();
            host.finish(false);
        }
        At::Attempting => attempting(&mut host),
    }
    host
}

/// What happens in a row of the table.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Do {
    Connect,
    Ensure,
    Disconnect,
    Check,
    Reset,
    Timer,
    Pass,
    Fail,
}

/// Writes the effects in short: `timer+MS`, `clear`, `check`, and the events. Leaves out
/// `stateChange`, which [`Host`] checks at every step.
fn brief(effects: &[Effect], now: u64) -> String {
    let word = |effect: &Effect| match effect {
        Effect::SetTimer { at_ms } => Some(format!("timer+{}", at_ms - now)),
        Effect::ClearTimer => Some("clear".to_owned()),
        Effect::StartCheck { .. } => Some("check".to_owned()),
        Effect::Emit(Event::StateChange { .. }) => None,
        Effect::Emit(Event::Reconnecting { attempt, delay }) => {
            Some(format!("reconnecting({attempt},{delay})"))
        }
        Effect::Emit(Event::MaxReconnectAttemptsReached { attempts }) => {
            Some(format!("gave-up({attempts})"))
        }
        Effect::Emit(event) => {
            Some(serde_json::to_value(event).unwrap()["event"].as_str().unwrap().to_owned())
        }
    };
    effects.iter().filter_map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_transition_table() {
    use State::*;
    let rows = [
        (At::New, Do::Connect, Connecting, "timer+7000 check"),
        (At::New, Do::Ensure, Connecting, "timer+7000 check"),
        (At::New, Do::Disconnect, Disconnected, ""),
        (At::New, Do::Check, Disconnected, "timer+7000 check"),
        (At::New, Do::Reset, Disconnected, ""),
        (At::New, Do::Timer, Disconnected, ""),
        (At::Held, Do::Connect, Connecting, "timer+7000 check"),
        (At::Held, Do::Ensure, Disconnected, ""),
        (At::Held, Do::Disconnect, Disconnected, ""),
        (At::Held, Do::Check, Disconnected, "timer+7000 check"),
        (At::Held, Do::Timer, Disconnected, ""),
        // The watch adopts the check under way.
        (At::HeldChecking, Do::Connect, Connecting, ""),
        (At::HeldChecking, Do::Ensure, Disconnected, ""),
        (At::HeldChecking, Do::Disconnect, Disconnected, "clear"),
        (At::HeldChecking, Do::Check, Disconnected, ""),
        (At::HeldChecking, Do::Reset, Disconnected, "clear"),
        (At::HeldChecking, Do::Timer, Disconnected, "clear"),
        (At::HeldChecking, Do::Pass, Disconnected, "clear"),
        (At::HeldChecking, Do::Fail, Disconnected, "clear"),
        (At::Connecting, Do::Connect, Connecting, ""),
        (At::Connecting, Do::Ensure, Connecting, ""),
        (At::Connecting, Do::Disconnect, Disconnected, "clear disconnected"),
        (At::Connecting, Do::Check, Connecting, ""),
        (At::Connecting, Do::Reset, Disconnected, "clear"),
        (At::Connecting, Do::Timer, Connecting, "timer+7000 check"),
        (At::Connecting, Do::Pass, Connected, "timer+30000 connected"),
        (At::Connecting, Do::Fail, Failed, "timer+1000 error reconnecting(1,1000)"),
        (At::Connected, Do::Connect, Connected, ""),
        (At::Connected, Do::Ensure, Connected, ""),
        (At::Connected, Do::Disconnect, Disconnected, "clear disconnected"),
        (At::Connected, Do::Check, Connected, "timer+7000 check"),
        (At::Connected, Do::Reset, Disconnected, "clear"),
        (At::Connected, Do::Timer, Connected, "timer+7000 check"),
        (At::ConnectedChecking, Do::Connect, Connected, ""),
        (At::ConnectedChecking, Do::Disconnect, Disconnected, "clear disconnected"),
        (At::ConnectedChecking, Do::Check, Connected, ""),
        (At::ConnectedChecking, Do::Timer, Connected, "timer+7000 check"),
        (At::ConnectedChecking, Do::Pass, Connected, "timer+30000"),
        (
            At::ConnectedChecking,
            Do::Fail,
            Reconnecting,
            "timer+1000 unhealthy reconnecting(1,1000)",
        ),
        (At::Failed, Do::Connect, Connecting, "timer+7000 check"),
        (At::Failed, Do::Ensure, Failed, ""),
        (At::Failed, Do::Disconnect, Disconnected, "clear disconnected"),
        (At::Failed, Do::Check, Reconnecting, "timer+7000 check"),
        (At::Failed, Do::Reset, Disconnected, "clear"),
        (At::Failed, Do::Timer, Reconnecting, "timer+7000 check"),
        (At::GaveUp, Do::Connect, Connecting, "timer+7000 check"),
        (At::GaveUp, Do::Ensure, Failed, ""),
        (At::GaveUp, Do::Disconnect, Disconnected, "disconnected"),
        (At::GaveUp, Do::Check, Reconnecting, "timer+7000 check"),
        (At::GaveUp, Do::Reset, Disconnected, ""),
        (At::GaveUp, Do::Timer, Failed, ""),
        (At::Waiting, Do::Connect, Reconnecting, "timer+7000 check"),
        (At::Waiting, Do::Ensure, Reconnecting, ""),
        (At::Waiting, Do::Disconnect, Disconnected, "clear disconnected"),
        (At::Waiting, Do::Check, Reconnecting, "timer+7000 check"),
        (At::Waiting, Do::Reset, Disconnected, "clear"),
        (At::Waiting, Do::Timer, Reconnecting, "timer+7000 check"),
        (At::Attempting, Do::Connect, Reconnecting, ""),
        (At::Attempting, Do::Ensure, Reconnecting, ""),
        (At::Attempting, Do::Disconnect, Disconnected, "clear disconnected"),
        (At::Attempting, Do::Check, Reconnecting, ""),
        (At::Attempting, Do::Reset, Disconnected, "clear"),
        (At::Attempting, Do::Timer, Reconnecting, "timer+7000 check"),
        (At::Attempting, Do::Pass, Connected, "timer+30000 connected"),
        (At::Attempting, Do::Fail, Failed, "clear error gave-up(2)"),
    ];
    for (situation, what, state, effects) in rows {
        let mut host = at(situation);
        let happened = match what {
            Do::Connect => host.feed(Input::Connect),
            Do::Ensure => host.feed(Input::Ensure),
            Do::Disconnect => host.feed(Input::Disconnect),
            Do::Check => host.feed(Input::Check),
            Do::Reset => host.feed(Input::Reset),
            Do::Timer if host.alarm.is_some() => host.fire_on_time(),
            Do::Timer => host.fire(),
            Do::Pass => host.finish(true),
            Do::Fail => host.finish(false),
        };
        let row = format!("{situation:?} {what:?}");
        assert_eq!(host.state(), state, "{row}");
        assert_eq!(brief(&happened, host.now), effects, "{row}");
    }
}

#[test]
fn the_pauses_double_up_to_the_longest_and_start_small_again() {
    let mut host = Host::new(WatchConfig::default());
    let mut pauses = Vec::new();
    host.feed(Input::Connect);
    for _ in 0..9 {
        host.finish(false);
        pauses.push((host.alarm.unwrap() - host.now) / 1000);
        host.fire_on_time();
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    assert_eq!(host.watch.status(host.now).reconnect_attempts, 9);
    host.finish(true);
    host.fire_on_time();
    host.finish(false);
    assert_eq!(host.alarm, Some(host.now + 1000));
}

#[test]
fn jitter_draws_the_upper_half_of_a_pause() {
    let config = WatchConfig::default();
    let delays = [0, 250, 500, 1_000, u32::MAX].map(|jitter| config.delay_ms(3, jitter));
    assert_eq!(delays, [2_000, 2_500, 3_000, 4_000, 4_000]);
    let none = WatchConfig { reconnect_delay_ms: 0, max_reconnect_delay_ms: 0, ..config };
    assert_eq!((none.ceiling_ms(1), none.delay_ms(1, 0)), (1, 1), "never without any pause");
    let flat = WatchConfig { reconnect_multiplier: 0, ..config };
    assert_eq!([1, 2, 9].map(|attempt| flat.ceiling_ms(attempt)), [1_000; 3]);
}

#[test]
fn the_limit_ends_the_attempts_and_someone_may_begin_again() {
    for limit in 0..4 {
        let mut host = Host::new(limited(limit));
        host.feed(Input::Connect);
        for attempt in 1..=limit {
            let effects = host.finish(false);
            let delay = 1000 << (attempt - 1);
            let last = Effect::Emit(Event::Reconnecting { attempt, delay });
            assert_eq!(effects.last(), Some(&last));
            host.fire_on_time();
        }
        let last = Effect::Emit(Event::MaxReconnectAttemptsReached { attempts: limit });
        assert_eq!(host.finish(false).last(), Some(&last));
        assert_eq!((host.state(), host.alarm), (State::Failed, None));

        // A check does not count as an attempt: it fails, or connects the watch again.
        host.feed(Input::Check);
        assert!(host.watch.is_down(), "callers fail meanwhile");
        assert_eq!(host.finish(false).last(), Some(&last));
        host.feed(Input::Check);
        host.finish(true);
        assert_eq!(host.state(), State::Connected);

        host.fire_on_time();
        let effects = host.finish(false);
        if limit == 0 {
            assert_eq!(brief(&effects, host.now), "clear unhealthy gave-up(0)");
            host.feed(Input::Check);
            assert!(host.watch.is_down());
        } else {
            assert_eq!(host.state(), State::Reconnecting);
        }
    }
}

#[test]
fn when_callers_fail_fast() {
    let down = |situation| at(situation).watch.is_down();
    for up in [At::New, At::Held, At::Connecting, At::Connected, At::ConnectedChecking] {
        assert!(!down(up), "{up:?}");
    }
    assert!(!down(At::Waiting), "one failed check is not enough");
    for failed in [At::Failed, At::GaveUp, At::Attempting] {
        assert!(down(failed), "{failed:?}");
    }
    let mut first = at(At::Failed);
    first.fire_on_time();
    assert!(first.watch.is_down(), "callers fail during a first attempt too");
    let mut once = at(At::Waiting);
    once.fire_on_time();
    assert!(!once.watch.is_down());
    once.finish(false);
    assert!(once.watch.is_down());
}

#[test]
fn statistics_and_status_read_as_documented() {
    let mut host = Host::new(WatchConfig::default());
    let fresh = serde_json::to_value(host.watch.status(host.now)).unwrap();
    let expected = serde_json::json!({
        "state": "DISCONNECTED", "isHealthy": false, "reconnectAttempts": 0, "uptime": 0,
        "lastError": null, "lastCheckAt": null, "lastLatencyMs": null, "nextCheckAt": null,
        "since": null,
        "stats": {
            "totalConnections": 0, "totalReconnections": 0, "totalFailures": 0,
            "totalHealthChecks": 0, "successfulHealthChecks": 0, "failedHealthChecks": 0,
            "healthCheckSuccessRate": "0.00%", "currentState": "DISCONNECTED", "uptime": 0,
        },
    });
    assert_eq!(fresh, expected);

    host.feed(Input::Connect);
    host.finish(false);
    host.fire_on_time();
    host.finish(true);
    host.fire_on_time();
    host.finish(false);
    let lost = host.watch.status(host.now);
    assert_eq!((lost.is_healthy, lost.uptime), (false, 0));
    assert_eq!(lost.last_error.as_deref(), Some("no answer"));
    host.fire_on_time();
    host.finish(true);
    let since = host.now;
    host.fire_on_time();
    host.finish(true);
    let healthy = serde_json::to_value(host.watch.status(host.now + 5)).unwrap();
    let expected = serde_json::json!({
        "state": "CONNECTED", "isHealthy": true, "reconnectAttempts": 0, "uptime": 30_005,
        "lastError": null, "lastCheckAt": host.now, "lastLatencyMs": 40,
        "nextCheckAt": host.now + 30_000, "since": since,
        "stats": {
            "totalConnections": 0, "totalReconnections": 2, "totalFailures": 1,
            "totalHealthChecks": 5, "successfulHealthChecks": 3, "failedHealthChecks": 2,
            "healthCheckSuccessRate": "60.00%", "currentState": "CONNECTED", "uptime": 30_005,
        },
    });
    assert_eq!(healthy, expected);
    assert_eq!(host.watch.status(0).uptime, 0, "the clock was set back");
    host.fire_on_time();
    assert_eq!(host.watch.status(host.now).next_check_at, None, "a check is under way");

    let generation = host.generation;
    host.feed(Input::Reset);
    assert_eq!(host.watch.status(host.now + 9).since, Some(host.now));
    assert_eq!(host.watch.statistics(host.now), Watch::default().statistics(host.now));
    assert!(host.feed(done(generation, false)).is_empty(), "the check from before the reset");
    host.feed(Input::Ensure);
    assert_eq!((host.state(), host.checking), (State::Connecting, Some(generation + 1)));

    let example = Watch { checks_passed: 240, checks_failed: 5, ..Watch::default() };
    assert_eq!(example.statistics(0).health_check_success_rate, "97.96%");
    let all = Watch { checks_passed: 3, ..Watch::default() };
    assert_eq!(all.statistics(0).health_check_success_rate, "100.00%");
}

#[test]
fn names_are_serialized_as_documented() {
    use State::*;
    for state in [Disconnected, Connecting, Connected, Reconnecting, Failed] {
        assert_eq!(serde_json::to_value(state).unwrap(), state.to_string());
        assert_eq!(state.to_string(), format!("{state:?}").to_uppercase());
    }
    let json = |event: Event| serde_json::to_string(&event).unwrap();
    let change = Event::StateChange { from: Connected, to: Reconnecting, timestamp: 7 };
    assert_eq!(json(Event::Connected), r#"{"event":"connected"}"#);
    assert_eq!(json(Event::Disconnected), r#"{"event":"disconnected"}"#);
    assert_eq!(json(Event::Unhealthy), r#"{"event":"unhealthy"}"#);
    assert_eq!(
        json(Event::Reconnecting { attempt: 2, delay: 1500 }),
        r#"{"event":"reconnecting","attempt":2,"delay":1500}"#
    );
    assert_eq!(
        json(change),
        r#"{"event":"stateChange","from":"CONNECTED","to":"RECONNECTING","timestamp":7}"#
    );
    assert_eq!(
        json(Event::Error { message: "no".to_owned() }),
        r#"{"event":"error","message":"no"}"#
    );
    assert_eq!(
        json(Event::MaxReconnectAttemptsReached { attempts: 3 }),
        r#"{"event":"maxReconnectAttemptsReached","attempts":3}"#
    );
}

#[test]
fn a_state_that_another_version_stored_is_read() {
    let unknown = r#"{"state":"RECONNECTING","attempts":3,"somethingNew":[1]}"#;
    let config = WatchConfig::default();
    for input in [Input::Ensure, Input::Timer, Input::Check, Input::Connect] {
        let mut watch: Watch = serde_json::from_str(unknown).unwrap();
        let effects = watch.step(&config, input.clone(), 1_000, 0);
        assert!(has_check(&effects), "a state without a timer starts a check: {input:?}");
    }
    let failed: Watch = serde_json::from_str(r#"{"state":"FAILED"}"#).unwrap();
    assert!(failed.is_down());
    assert_eq!(serde_json::from_str::<Watch>("{}").unwrap(), Watch::default());
}

#[test]
fn an_error_is_cut_between_characters() {
    for symbol in ["e", "é", "漢", "🦀", "\u{1}"] {
        let mut host = Host::new(WatchConfig::default());
        host.feed(Input::Connect);
        let result = Err(symbol.repeat(5_000));
        let effects = host.feed(Input::CheckDone { generation: 1, result, latency_ms: u64::MAX });
        let message = symbol.repeat(MAX_ERROR_CHARS);
        assert_eq!(host.watch.last_error.as_deref(), Some(message.as_str()));
        assert!(effects.contains(&Effect::Emit(Event::Error { message })));
        host.feed(Input::Ensure);
    }
}

#[test]
fn a_check_without_a_result_is_followed_by_another() {
    for situation in [At::Connecting, At::ConnectedChecking, At::Attempting] {
        let mut host = at(situation);
        let (state, lost) = (host.state(), host.checking.unwrap());
        assert_eq!(host.alarm, Some(host.now + GUARD_MS));
        host.now += GUARD_MS - 1;
        assert_eq!(brief(&host.fire(), host.now), "timer+1", "{situation:?}: it may still end");
        host.now += 1;
        assert!(has_check(&host.fire()), "{situation:?}");
        assert_eq!((host.state(), host.checking), (state, Some(lost + 1)));
        assert!(host.feed(done(lost, false)).is_empty());
        host.finish(true);
        assert!(host.feed(done(lost + 1, false)).is_empty(), "nor does a result count twice");
        assert_eq!(host.state(), State::Connected);
    }
}

#[test]
fn a_late_result_counts_until_another_check_is_started() {
    let mut host = at(At::Connecting);
    host.now += 10 * GUARD_MS;
    host.finish(true);
    assert_eq!(host.state(), State::Connected);
}

#[test]
fn a_disconnected_watch_ignores_its_former_check() {
    for situation in [At::Connecting, At::ConnectedChecking, At::Attempting, At::HeldChecking] {
        let mut host = at(situation);
        let generation = host.checking.unwrap();
        host.feed(Input::Disconnect);
        assert!(host.feed(done(generation, true)).is_empty());
        host.now += 1_000_000;
        assert!(host.feed(Input::Ensure).is_empty() && host.fire().is_empty());
        host.feed(Input::Connect);
        assert!(host.feed(done(generation, true)).is_empty());
        assert_eq!(host.state(), State::Connecting);
    }
}

#[test]
fn a_check_by_a_disconnected_watch_does_not_connect_it() {
    for ok in [true, false] {
        let mut host = at(At::HeldChecking);
        host.finish(ok);
        let status = host.watch.status(host.now);
        assert_eq!((status.state, status.is_healthy), (State::Disconnected, ok));
        assert_eq!((status.stats.total_health_checks, status.stats.total_failures), (1, 0));
    }
    let mut left = at(At::Connected);
    left.feed(Input::Disconnect);
    assert!(!left.watch.status(left.now).is_healthy, "disconnecting forgets the health");
    let mut fresh = at(At::New);
    fresh.feed(Input::Check);
    fresh.finish(true);
    fresh.feed(Input::Ensure);
    assert_eq!(fresh.state(), State::Connecting, "a check does not prevent it");
}

#[test]
fn a_lost_timer_is_made_up_for() {
    for situation in [
        At::Connecting,
        At::Connected,
        At::ConnectedChecking,
        At::Failed,
        At::Waiting,
        At::Attempting,
    ] {
        for input in [Input::Ensure, Input::Connect, Input::Check] {
            let mut host = at(situation);
            host.now = host.alarm.unwrap() + TIMER_LATE_MS;
            assert!(host.clone().feed(Input::Ensure).is_empty(), "{situation:?}: it may be late");
            host.now += 1;
            assert!(has_check(&host.feed(input)), "{situation:?}");
        }
    }
}

#[test]
fn a_duplicate_timer_changes_nothing() {
    for situation in [At::Connecting, At::Connected, At::ConnectedChecking, At::Failed, At::Waiting]
    {
        let mut host = at(situation);
        let (stored, alarm) = (host.watch.clone(), host.alarm);
        host.fire();
        assert_eq!((host.watch, host.alarm), (stored, alarm), "{situation:?}");
    }
    let mut longer = Host::new(WatchConfig::default());
    longer.feed(Input::Connect);
    longer.finish(false);
    longer.fire_on_time();
    longer.finish(false);
    assert!(!has_check(&longer.fire()), "nor does a longer pause end early");
}

#[test]
fn a_clock_that_was_set_back_delays_no_check() {
    for situation in [
        At::Connecting,
        At::Connected,
        At::ConnectedChecking,
        At::Failed,
        At::Waiting,
        At::Attempting,
    ] {
        for input in [Input::Timer, Input::Ensure] {
            let mut host = at(situation);
            host.now -= 100_000;
            assert!(has_check(&host.feed(input)), "{situation:?}");
            host.finish(true);
            assert_eq!(host.state(), State::Connected);
        }
    }
}

#[test]
fn a_new_configuration_holds_from_the_next_step_on() {
    let mut host = at(At::Connected);
    host.config.health_check_interval_ms = 1_000;
    assert!(has_check(&host.feed(Input::Ensure)), "the old pause is too long now");
    host.config.check_deadline_ms = 60_000;
    host.now += GUARD_MS;
    assert_eq!(brief(&host.fire(), host.now), "timer+55000", "the check may take longer now");
}

/// One thing that may happen.
#[derive(Debug, Clone)]
enum Happening {
    Input(Input),
    Passes(u64),
    /// The clock is set to this time.
    Jumps(u64),
    /// The alarm fires when it is due.
    OnTime,
    /// The alarm fires now, due or not.
    Fires,
    /// The alarm fires now and stays set.
    FiresTwice,
    AlarmLost,
    Ends(bool),
    /// An older check ends.
    EndsLate(u64, bool),
    Jitter(u32),
    Config(WatchConfig),
}

fn configs() -> impl Strategy<Value = WatchConfig> {
    let ms = || prop_oneof![4 => 0u64..100_000, 1 => any::<u64>()];
    let limit = proptest::option::of(0u32..4);
    let any_config = (ms(), ms(), ms(), ms(), any::<u32>(), limit.clone()).prop_map(
        |(interval, deadline, delay, longest, multiplier, max_reconnect_attempts)| WatchConfig {
            health_check_interval_ms: interval,
            check_deadline_ms: deadline,
            reconnect_delay_ms: delay,
            max_reconnect_delay_ms: longest,
            reconnect_multiplier: multiplier,
            max_reconnect_attempts,
        },
    );
    let usual = limit.prop_map(|max_reconnect_attempts| WatchConfig {
        max_reconnect_attempts,
        ..WatchConfig::default()
    });
    prop_oneof![usual, any_config]
}

fn happenings(reconfigured: bool) -> impl Strategy<Value = Vec<Happening>> {
    let input = prop_oneof![
        4 => Just(Input::Connect),
        6 => Just(Input::Ensure),
        1 => Just(Input::Disconnect),
        3 => Just(Input::Check),
        1 => Just(Input::Reset),
    ];
    let happening = prop_oneof![
        12 => input.prop_map(Happening::Input),
        6 => prop_oneof![0u64..2_000, 0u64..100_000].prop_map(Happening::Passes),
        1 => prop_oneof![any::<u64>(), 0u64..2_000_000_000].prop_map(Happening::Jumps),
        10 => Just(Happening::OnTime),
        3 => Just(Happening::Fires),
        2 => Just(Happening::FiresTwice),
        1 => Just(Happening::AlarmLost),
        16 => any::<bool>().prop_map(Happening::Ends),
        2 => (1u64..4, any::<bool>()).prop_map(|(age, ok)| Happening::EndsLate(age, ok)),
        2 => (0u32..=1_000).prop_map(Happening::Jitter),
    ];
    let happening = if reconfigured {
        prop_oneof![20 => happening, 1 => configs().prop_map(Happening::Config)].boxed()
    } else {
        happening.boxed()
    };
    proptest::collection::vec(happening, 1..120)
}

impl Host {
    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Input(input) => drop(self.feed(input)),
            Happening::Passes(ms) => self.now = self.now.saturating_add(ms),
            Happening::Jumps(ms) => self.now = ms,
            Happening::OnTime if self.alarm.is_some() && !self.alarm_lost => {
                self.fire_on_time();
            }
            Happening::OnTime => {}
            Happening::Fires => drop(self.fire()),
            Happening::FiresTwice => drop(self.feed(Input::Timer)),
            Happening::AlarmLost => self.alarm_lost = self.alarm.is_some(),
            Happening::Ends(ok) if self.checking.is_some() => drop(self.finish(ok)),
            Happening::Ends(_) => {}
            Happening::EndsLate(age, ok) => {
                let old = self.generation.saturating_sub(age);
                self.feed(done(old, ok));
            }
            Happening::Jitter(jitter) => self.jitter = jitter,
            Happening::Config(config) => {
                self.config = config;
                self.changed = true;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Any inputs, in any order, at any times, pass the checks of [`Host::feed`].
    #[test]
    fn over_any_history(config in configs(), history in happenings(false)) {
        let mut host = Host::new(config);
        history.into_iter().for_each(|happening| host.happen(happening));
    }

    #[test]
    fn over_any_history_with_any_change_of_configuration(
        config in configs(), history in happenings(true)
    ) {
        let mut host = Host::new(config);
        history.into_iter().for_each(|happening| host.happen(happening));
    }

    /// After any history, once the service answers, the watch connects within the longest pause or the
    /// guard of a check, whichever is longer, plus the latency of a check, plus 11 seconds if the
    /// timer was lost.
    #[test]
    fn it_heals_in_time(
        history in happenings(false), limit in proptest::option::of(0u32..4),
        longest in prop_oneof![Just(60_000u64), 0u64..200_000], latency in 0u64..=5_000
    ) {
        let mut host = Host::new(WatchConfig {
            max_reconnect_delay_ms: longest,
            max_reconnect_attempts: limit,
            ..WatchConfig::default()
        });
        history.into_iter().for_each(|happening| host.happen(happening));
        host.now = host.now.min(u64::MAX / 2);
        if host.watch.held || host.gave_up {
            // Someone disconnected it, or it gave up: only `Connect` starts it again.
            prop_assert!(host.clone().feed(Input::Ensure).iter().all(|effect| *effect == Effect::ClearTimer));
            host.feed(Input::Connect);
        }
        let late = if host.alarm_lost { TIMER_LATE_MS + 1_000 } else { 0 };
        let took = host.heal(latency);
        let bound = longest.max(GUARD_MS) + late + latency;
        prop_assert!(took <= bound, "{took} of {bound}");
    }

    /// Any stored state, even one that no version writes, leads to CONNECTED once someone asks for it.
    #[test]
    fn any_stored_state_comes_to_life(
        state in 0usize..5, held: bool, generation in 0u64..1_000, attempts in 0u32..100,
        checking in proptest::option::of(0u64..2_000_000), timer in proptest::option::of(any::<u64>()),
        down: bool
    ) {
        use State::*;
        let state = [Disconnected, Connecting, Connected, Reconnecting, Failed][state];
        let mut watch = Watch {
            state, held, generation, checking_since_ms: checking, timer_ms: timer, attempts, down,
            ..Watch::default()
        };
        let config = WatchConfig::default();
        let mut now = 1_000_000;
        // Someone uses the service once a second, and the service answers at once.
        for _ in 0..100 {
            now += 1_000;
            let mut effects = watch.step(&config, Input::Connect, now, 0);
            while let Some(generation) = effects.iter().find_map(|effect| match effect {
                Effect::StartCheck { generation } => Some(*generation),
                _ => None,
            }) {
                effects = watch.step(&config, done(generation, true), now, 0);
            }
        }
        prop_assert_eq!(watch.state, Connected);
        prop_assert!(watch.timer_ms.is_some_and(|at| at <= now + 30_000));
    }
}

/// Tries every sequence of inputs up to a depth, with the same checks as for random histories, but
/// without chance. Where two sequences lead to the same state (with its times relative to now), only
/// one of them continues.
#[test]
fn every_short_history() {
    const DEPTH: usize = 16;
    let steps: Vec<fn(&mut Host)> = vec![
        |host| drop(host.feed(Input::Connect)),
        |host| drop(host.feed(Input::Ensure)),
        |host| drop(host.feed(Input::Disconnect)),
        |host| drop(host.feed(Input::Check)),
        |host| drop(host.feed(Input::Reset)),
        |host| drop(host.feed(Input::Timer)),
        |host| host.happen(Happening::OnTime),
        |host| host.happen(Happening::Ends(true)),
        |host| host.happen(Happening::Ends(false)),
        |host| host.happen(Happening::EndsLate(1, true)),
        |host| host.now += 1_000_000,
        |host| host.now -= 1_000_000,
    ];
    for limit in [None, Some(0), Some(1), Some(2)] {
        let config = WatchConfig { max_reconnect_attempts: limit, ..Default::default() };
        let mut seen = HashSet::new();
        let mut found = vec![Host::new(config)];
        for _ in 0..DEPTH {
            let mut next = Vec::new();
            for (host, step) in found.iter().flat_map(|host| steps.iter().map(move |s| (host, s))) {
                let mut host = host.clone();
                step(&mut host);
                let watch = &host.watch;
                let ahead = |at: Option<u64>| at.map(|at| i128::from(at) - i128::from(host.now));
                let key = (
                    watch.state,
                    watch.held,
                    watch.attempts,
                    watch.down,
                    watch.healthy,
                    host.gave_up,
                    ahead(watch.timer_ms),
                    ahead(watch.checking_since_ms),
                );
                if seen.insert(key) {
                    next.push(host);
                }
            }
            found = next;
        }
        assert!(seen.len() > 150, "{limit:?}: {}", seen.len());
    }
}
