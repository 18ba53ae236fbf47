//! When a call is sent again: only if that is safe, after a pause, and within a budget.

use std::cell::Cell;

use chitty_core::{FailureKind, Service, Session};
use serde_json::json;

use crate::world::{
    Call, NO_BREAKER, Repeats, Reply, World, all_calls, call_named, comparable, run,
};

async fn status(session: Session) -> Result<serde_json::Value, chitty_core::ServiceError> {
    session.register().status().await
}

fn transient() -> Vec<(Reply, FailureKind, bool)> {
    vec![
        (Reply::unreachable(), FailureKind::Unreachable, false),
        (Reply::hang(), FailureKind::Timeout, false),
        (Reply::status(500), FailureKind::Unavailable, false),
        (Reply::status(502), FailureKind::Unavailable, false),
        (Reply::status(503), FailureKind::Unavailable, false),
        (Reply::status(429), FailureKind::Unavailable, false),
        (Reply::busy(500, "1"), FailureKind::Unavailable, false),
        (Reply::busy(503, "1"), FailureKind::Unavailable, true),
        (Reply::busy(429, "0"), FailureKind::Unavailable, true),
    ]
}

#[test]
fn a_safe_call_is_tried_three_times_and_any_other_only_if_it_was_turned_away() {
    for call in all_calls() {
        for (reply, kind, turned_away) in transient() {
            let world = World::with(|config| {
                config.timeout_ms = 60_000;
                config.attempt_timeout_ms = 10_000;
            });
            world.always(reply.clone());
            let attempts = match call.repeats {
                Repeats::Safely => 3,
                Repeats::WhenTurnedAway if turned_away => 3,
                Repeats::WhenTurnedAway | Repeats::Never => 1,
            };
            assert_eq!(comparable(run((call.make)(world.session()))), Err(kind), "{}", call.name);
            assert_eq!(
                world.take_lines(),
                vec![call.spellings[0]; attempts],
                "{} {reply:?}",
                call.name
            );
        }
    }
}

#[test]
fn the_caller_does_not_see_a_hiccup_and_a_repeat_is_the_same_request() {
    let repeatable = |call: &Call| call.repeats != Repeats::Never;
    for call in all_calls().into_iter().filter(repeatable) {
        let world = World::new();
        let hiccup = Reply::busy(503, "0");
        world.in_turn([hiccup.clone(), hiccup, Reply::ok(call.good.clone())]);
        let result = run((call.make)(world.session()));
        assert_eq!(comparable(result).as_deref(), Ok(call.yields), "{}", call.name);
        let sent = world.take_sent();
        for again in &sent[1..] {
            assert_eq!(again.line(), sent[0].line());
            assert_eq!(again.request.body, sent[0].request.body);
            assert_eq!(again.request.headers, sent[0].request.headers, "{}", call.name);
        }
    }
}

#[test]
fn a_failure_that_will_not_pass_at_once_is_not_tried_again() {
    for reply in [
        Reply::status(400),
        Reply::status(401),
        Reply::status(409),
        Reply::status(302),
        Reply::text(200, "<html>"),
        Reply::text(200, ""),
        Reply::ok(json!({"success": false})),
        Reply::too_large(),
    ] {
        let world = World::new();
        world.always(reply.clone());
        world.ask(status).unwrap_err();
        assert_eq!(world.take_lines().len(), 1, "{reply:?}");
        assert!(world.clock.slept_ms().is_empty());
    }
}

#[test]
fn pauses_are_drawn_below_a_ceiling_that_doubles() {
    let world = World::new();
    world.always(Reply::unreachable());
    world.clock.set_chances([0, 150]);
    world.ask(status).unwrap_err();
    assert_eq!(world.clock.bounds(), [100, 200]);
    assert_eq!(world.clock.slept_ms(), [0, 150], "full jitter");
}

#[test]
fn retry_after_is_waited_for_or_the_call_is_not_repeated() {
    for (retry_after, slept_ms) in [
        ("0", &[99, 199][..]),
        ("1", &[1_000, 1_000][..]),
        (" 1 ", &[1_000, 1_000][..]),
        ("2", &[][..]),
        ("4294967295", &[][..]),
        // Not a number of seconds, so it counts as absent.
        ("Wed, 21 Oct 2026 07:28:00 GMT", &[99, 199][..]),
        ("-1", &[99, 199][..]),
    ] {
        let world = World::new();
        world.always(Reply::busy(503, retry_after));
        let error = world.ask(status).unwrap_err();
        assert_eq!(error.retry_after_s, retry_after.trim().parse().ok());
        assert_eq!(world.clock.slept_ms(), slept_ms, "{retry_after}");
        assert_eq!(world.take_lines().len(), slept_ms.len() + 1, "{retry_after}");
    }
}

#[test]
fn a_mint_that_was_turned_away_and_is_then_in_doubt_is_not_sent_again() {
    for left_open in [Reply::hang(), Reply::unreachable(), Reply::status(500)] {
        let world = World::new();
        world.in_turn([Reply::busy(429, "0"), left_open.clone()]);
        let error = run((call_named("id.mint").make)(world.session())).unwrap_err();
        assert!(error.may_have_had_its_effect(), "{left_open:?}");
        assert_eq!(world.take_lines().len(), 2);
    }
}

/// Makes 1,000 calls, of whose attempts `percent` in a hundred fail. Returns how many attempts there
/// were and how many calls succeeded.
fn storm(percent: u32, failure: &Reply) -> (usize, usize) {
    let world = World::with(|config| config.breaker = NO_BREAKER);
    // A plain linear congruential sequence.
    let seed = Cell::new(1u32);
    let failure = failure.clone();
    world.script(move |_| {
        seed.set(seed.get().wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
        match (seed.get() >> 16) % 100 < percent {
            true => failure.clone(),
            false => Reply::ok(json!({})),
        }
    });
    let succeeded = (0..1_000).filter(|_| world.ask(status).is_ok()).count();
    (world.count(Service::Register), succeeded)
}

#[test]
fn failures_do_not_cause_a_storm_of_retries() {
    for failure in [Reply::unreachable(), Reply::status(503), Reply::busy(429, "1"), Reply::hang()]
    {
        for percent in [0, 30, 100] {
            let (attempts, succeeded) = storm(percent, &failure);
            assert!(attempts < 1_500, "{percent} %: {attempts} attempts");
            match percent {
                0 => assert_eq!((attempts, succeeded), (1_000, 1_000)),
                // The retries that there are do help.
                30 => assert!(attempts > 1_150 && succeeded > 800, "{attempts}, {succeeded}"),
                _ => {
                    assert_eq!(succeeded, 0);
                    assert!((1_200..=1_210).contains(&attempts), "ten, and a fifth of all");
                }
            }
        }
    }
}

#[test]
fn each_service_has_its_own_retry_budget() {
    let world = World::with(|config| config.breaker = NO_BREAKER);
    world.always(Reply::unreachable());
    for _ in 0..100 {
        world.ask(status).unwrap_err();
    }
    world.take_sent();
    world.ask(async |session| session.canon().category("c").await.unwrap_err());
    assert_eq!(world.count(Service::Canon), 3);
    world.ask(status).unwrap_err();
    assert!(world.count(Service::Register) < 3, "while this one has no retry left");
}

fn register(world: &World) -> chitty_core::ServiceError {
    run((call_named("register.register").make)(world.session())).unwrap_err()
}

#[test]
fn doubt_of_an_earlier_attempt_is_not_forgotten_when_turned_away() {
    let world = World::new();
    world.in_turn([Reply::hang(), Reply::busy(503, "60")]);
    let e = register(&world);
    assert!(e.may_have_had_its_effect());
}

#[test]
fn doubt_of_an_earlier_attempt_is_not_forgotten_when_refused() {
    let world = World::new();
    world.in_turn([Reply::hang(), Reply::status(409)]);
    let e = register(&world);
    assert!(e.may_have_had_its_effect());
}

#[test]
fn doubt_of_an_earlier_attempt_is_not_forgotten_when_breaker_opens() {
    let world = World::with(|c| c.breaker.min_calls = 1);
    world.always(Reply::hang());
    let e = register(&world);
    assert_eq!(e.kind, FailureKind::Timeout);
    assert!(e.may_have_had_its_effect());
}
