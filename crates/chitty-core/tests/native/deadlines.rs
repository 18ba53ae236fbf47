//! Deadlines: of one attempt, and of the whole call with its retries and variants.

use chitty_core::{CoreConfig, FailureKind, Session};
use serde_json::json;

use crate::world::{Repeats, Reply, World, all_calls, call_named, comparable, run};

/// Returns when each request was sent, and its deadline, in ms.
fn attempts(world: &World) -> Vec<(u64, u32)> {
    world.take_sent().iter().map(|sent| (sent.at_ms, sent.request.deadline_ms)).collect()
}

async fn status(session: Session) -> Result<serde_json::Value, chitty_core::ServiceError> {
    session.register().status().await
}

#[test]
fn a_hanging_service_costs_no_call_more_than_its_deadline() {
    for call in all_calls() {
        let world = World::new();
        world.always(Reply::hang());
        let result = comparable(run((call.make)(world.session())));
        assert_eq!(result, Err(FailureKind::Timeout), "{}", call.name);
        assert_eq!(world.elapsed_ms(), 5_000, "{}", call.name);
        let expected: &[(u64, u32)] = match call.repeats {
            // An attempt gets three seconds, and the second one what is left after a pause.
            Repeats::Safely => &[(0, 3_000), (3_099, 1_901)],
            Repeats::WhenTurnedAway | Repeats::Never => &[(0, 5_000)],
        };
        assert_eq!(attempts(&world), expected, "{}", call.name);
    }
}

#[test]
fn the_variants_of_a_call_share_one_deadline() {
    for call in all_calls() {
        let world = World::new();
        // The service answers 404 to each variant just before the attempt's deadline.
        world.always(Reply::status(404).after(2_900));
        let _ = run((call.make)(world.session()));
        // After a revocation gets 404, a second call asks whether the credential is still valid.
        let calls = if call.lines_when_nowhere() == call.spellings { 1 } else { 2 };
        let bound = calls * 5_000;
        assert!(world.elapsed_ms() <= bound, "{} took {}", call.name, world.elapsed_ms());
        for (at_ms, deadline_ms) in attempts(&world) {
            assert!(at_ms + u64::from(deadline_ms) <= bound, "{} at {at_ms}", call.name);
        }
    }
}

#[test]
fn slow_failures_and_their_pauses_stay_within_it() {
    let world = World::new();
    for after_ms in (0..3_000).step_by(37) {
        for retry_after in [None, Some("0"), Some("1")] {
            let reply = match retry_after {
                Some(seconds) => Reply::busy(503, seconds),
                None => Reply::status(500),
            };
            world.always(reply.after(after_ms));
            let started_ms = world.elapsed_ms();
            world.ask(status).unwrap_err();
            let took_ms = world.elapsed_ms() - started_ms;
            assert!(took_ms <= 5_000, "{after_ms} {retry_after:?}: {took_ms}");
            for (at_ms, deadline_ms) in attempts(&world) {
                assert!(at_ms + u64::from(deadline_ms) <= started_ms + 5_000);
            }
            // So that these failures leave the breaker's window.
            world.clock.advance_ms(100_000);
        }
    }
}

#[test]
fn no_pause_is_begun_that_would_not_leave_time_for_an_attempt() {
    let world = World::with(|config| config.timeout_ms = 1_000);
    world.always(Reply::busy(503, "1"));
    let error = world.ask(status).unwrap_err();
    assert_eq!(error.retry_after_s, Some(1), "so the caller may wait");
    assert_eq!(attempts(&world), [(0, 1_000)]);
    assert_eq!(world.elapsed_ms(), 0);
}

#[test]
fn both_deadlines_are_configured() {
    for (whole_ms, attempt_ms, expected) in [
        (1_000, 3_000, &[(0, 1_000)][..]),
        (1_000, 400, &[(0, 400), (499, 400)][..]),
        (10_000, 100, &[(0, 100), (199, 100), (498, 100)][..]),
    ] {
        let world = World::with(|config| {
            config.timeout_ms = whole_ms;
            config.attempt_timeout_ms = attempt_ms;
        });
        world.always(Reply::hang());
        assert_eq!(world.ask(status).unwrap_err().kind, FailureKind::Timeout);
        assert_eq!(attempts(&world), expected);
    }
}

#[test]
fn an_attempt_of_a_call_that_is_not_safe_to_repeat_gets_all_the_time_that_is_left() {
    let world = World::new();
    world.in_turn([
        Reply::busy(503, "1").after(1_500),
        Reply::ok(json!({"token": "t"})).after(2_000),
    ]);
    run((call_named("auth.rotate_key").make)(world.session())).unwrap();
    assert_eq!(attempts(&world), [(0, 5_000), (2_500, 2_500)]);
}

#[test]
fn the_size_of_an_answer_is_bounded() {
    let world = World::new();
    for call in all_calls() {
        world.always(Reply::ok(call.good));
        run((call.make)(world.session())).unwrap();
    }
    assert!(world.take_sent().iter().all(|sent| sent.request.max_body_bytes == 1 << 20));
}

#[test]
fn the_defaults_are_the_real_services_and_five_seconds() {
    let config = CoreConfig::new("a");
    assert_eq!((config.timeout_ms, config.attempt_timeout_ms), (5_000, 3_000));
    for service in chitty_core::Service::ALL {
        let url = format!("https://{}.chitty.cc", service.host());
        assert_eq!(config.endpoint(*service), url);
    }
    assert!(config.tokens.is_empty() && config.signing_key.is_none());
}
