//! The breaker: a service that keeps failing gets no calls, until a probe finds that it is back.

use chitty_core::{BreakerConfig, BreakerState, FailureKind, Service, ServiceError, ServiceHealth};
use futures_util::FutureExt;
use futures_util::future::join;
use serde_json::json;

use crate::world::{Reply, START_MS, World, run};

const SAY: &str = "POST chat/api/v1/messages";

/// Makes a call that is sent only once.
fn say(world: &World) -> Result<(), ServiceError> {
    world.ask(async |session| session.chat().send_message("c", "x", None).await)
}

fn well() -> Reply {
    Reply::ok(json!({}))
}

/// Makes a world in which Chat's breaker has just opened.
fn open() -> World {
    let world = World::new();
    world.always(Reply::status(500));
    for _ in 0..10 {
        assert_eq!(say(&world).unwrap_err().kind, FailureKind::Unavailable);
    }
    world.take_sent();
    world
}

fn refused_at_once(world: &World) -> ServiceError {
    let elapsed_ms = world.elapsed_ms();
    let error = say(world).unwrap_err();
    assert_eq!(error.kind, FailureKind::CircuitOpen);
    assert_eq!(world.take_lines(), [""; 0], "nothing is sent");
    assert_eq!(world.elapsed_ms(), elapsed_ms, "nobody waits");
    error
}

#[test]
fn after_ten_failures_it_is_open_and_callers_are_told_for_how_long() {
    let world = open();
    let until_ms = START_MS + 2_000;
    assert_eq!(world.core.breaker(Service::Chat), BreakerState::Open { until_ms });
    let error = refused_at_once(&world);
    assert_eq!((error.retry_after_s, error.status), (Some(2), None));
    assert!(error.is_retryable() && !error.may_have_had_its_effect());
    world.clock.advance_ms(1_999);
    assert_eq!(refused_at_once(&world).retry_after_s, Some(1));
}

#[test]
fn what_opens_it_and_what_does_not() {
    for (reply, opens) in [
        (Reply::hang(), true),
        (Reply::unreachable(), true),
        (Reply::status(500), true),
        (Reply::busy(503, "1"), true),
        (Reply::text(200, "<html>"), true),
        (Reply::ok(json!({"success": false})), true),
        (Reply::status(302), true),
        (Reply::too_large(), true),
        (Reply::status(400), false),
        (Reply::status(409), false),
        (Reply::status(422), false),
        (Reply::status(401), true),
        (Reply::status(403), true),
        (Reply::status(404), true),
        (Reply::status(405), true),
        (Reply::status(429), false),
        (Reply::busy(429, "1"), false),
        (well(), false),
    ] {
        let world = World::with(|config| config.breaker.window_ms = 1_000_000);
        world.always(reply.clone());
        for _ in 0..10 {
            let _ = say(&world);
        }
        let is_open = matches!(world.core.breaker(Service::Chat), BreakerState::Open { .. });
        assert_eq!(is_open, opens, "{reply:?}");
    }
}

#[test]
fn it_opens_by_the_failure_rate_within_its_window() {
    // Of ten calls, four and then five fail.
    for (failures, opens) in [(4, false), (5, true)] {
        let world = World::new();
        world.in_turn((0..10).map(|n| if n < 10 - failures { well() } else { Reply::status(500) }));
        for _ in 0..10 {
            let _ = say(&world);
        }
        assert_eq!(world.core.breaker(Service::Chat) != BreakerState::Closed, opens);
    }
    let world = World::new();
    world.always(Reply::status(500));
    for _ in 0..50 {
        say(&world).unwrap_err();
        world.clock.advance_ms(1_200);
    }
    assert_eq!(world.take_lines().len(), 50, "never ten within ten seconds");
}

#[test]
fn one_probe_is_sent_and_other_calls_are_refused_meanwhile() {
    let world = open();
    world.always(well());
    world.clock.advance_ms(2_000);
    let session = world.session();
    let (chat, also) = (session.chat(), session.chat());
    let probe = chat.send_message("c", "probe", None);
    let other = also.send_message("c", "other", None);
    let (probe, other) = run(join(probe, other));
    assert!(probe.is_ok());
    assert_eq!(other.unwrap_err().kind, FailureKind::CircuitOpen);
    assert_eq!(world.take_lines(), [SAY]);
    assert_eq!(world.core.breaker(Service::Chat), BreakerState::Closed);
    for _ in 0..9 {
        world.always(Reply::status(500));
        say(&world).unwrap_err();
    }
    assert_eq!(world.core.breaker(Service::Chat), BreakerState::Closed, "it counts anew");
}

#[test]
fn each_probe_that_fails_doubles_the_pause_up_to_half_a_minute() {
    let world = open();
    for pause_s in [2u32, 4, 8, 16, 30, 30] {
        assert_eq!(refused_at_once(&world).retry_after_s, Some(pause_s));
        world.clock.advance_ms(u64::from(pause_s) * 1_000);
        assert_eq!(say(&world).unwrap_err().kind, FailureKind::Unavailable, "the probe");
        assert_eq!(world.take_lines(), [SAY]);
    }
}

#[test]
fn a_probe_whose_caller_has_gone_does_not_block_others_for_good() {
    let world = open();
    world.always(well());
    world.clock.advance_ms(2_000);
    let session = world.session();
    assert!(session.chat().send_message("c", "x", None).now_or_never().is_none());
    assert_eq!(world.take_lines(), [SAY], "it was sent, and nobody waits for it any more");
    assert_eq!(refused_at_once(&world).retry_after_s, Some(10));
    world.clock.advance_ms(10_000);
    say(&world).unwrap();
}

#[test]
fn after_a_probe_that_gets_429_the_next_call_is_a_probe_too() {
    let world = open();
    world.clock.advance_ms(2_000);
    world.always(Reply::status(429));
    assert_eq!(say(&world).unwrap_err().status, Some(429));
    world.always(well());
    say(&world).unwrap();
    assert_eq!(world.core.breaker(Service::Chat), BreakerState::Closed);
}

#[test]
fn a_probe_that_is_refused_closes_it() {
    let world = open();
    world.clock.advance_ms(2_000);
    world.always(Reply::status(400));
    assert_eq!(say(&world).unwrap_err().kind, FailureKind::Refused);
    assert_eq!(world.core.breaker(Service::Chat), BreakerState::Closed);
}

#[test]
fn each_service_has_its_own_breaker() {
    let world = open();
    world.always(Reply::ok(json!({"data": 1})));
    world.ask(async |session| session.canon().category("c").await.unwrap());
    assert_eq!(world.take_lines().len(), 1);
    refused_at_once(&world);
}

#[test]
fn no_further_attempt_is_made_once_it_opens() {
    let world = World::with(|config| config.breaker.min_calls = 2);
    world.always(Reply::unreachable());
    let error = world.ask(async |session| session.register().status().await.unwrap_err());
    assert!(error.is_retryable());
    assert_eq!(world.take_lines().len(), 2, "not three");
}

#[test]
fn the_variants_of_a_call_share_the_services_breaker() {
    let world = World::new();
    world.always(Reply::status(500));
    for _ in 0..10 {
        world.ask(async |session| session.beacon().send("e", json!({}), None).await.unwrap_err());
    }
    world.take_sent();
    let error =
        world.ask(async |session| session.beacon().send("e", json!({}), None).await.unwrap_err());
    assert_eq!(error.kind, FailureKind::CircuitOpen);
    assert_eq!(world.take_lines(), [""; 0]);
}

#[test]
fn news_from_elsewhere_opens_it_and_ends_its_pause() {
    let world = World::new();
    world.always(well());
    assert!(!world.core.take_breakers_changed());
    world.core.take_news(Service::Chat, true);
    assert!(world.core.take_breakers_changed());
    assert!(!world.core.take_breakers_changed(), "the change was taken already");
    assert_eq!(refused_at_once(&world).retry_after_s, Some(2));
    world.core.take_news(Service::Chat, false);
    say(&world).expect("the probe, at once");
    assert_eq!(world.core.breaker(Service::Chat), BreakerState::Closed);
    assert!(world.core.take_breakers_changed());
    world.core.take_news(Service::Chat, false);
    assert_eq!(world.core.breaker(Service::Chat), BreakerState::Closed);
    assert!(!world.core.take_breakers_changed());
}

#[test]
fn repeated_news_that_it_is_down_does_not_prolong_its_pause() {
    let world = open();
    world.clock.advance_ms(1_500);
    world.core.take_news(Service::Chat, true);
    assert_eq!(refused_at_once(&world).retry_after_s, Some(1));
}

#[test]
fn switched_off_it_never_opens() {
    let world = World::with(|config| {
        config.breaker = BreakerConfig { min_calls: 0, ..BreakerConfig::default() };
    });
    world.always(Reply::status(500));
    world.core.take_news(Service::Chat, true);
    for _ in 0..100 {
        assert_eq!(say(&world).unwrap_err().kind, FailureKind::Unavailable);
    }
    assert_eq!(world.core.breaker(Service::Chat), BreakerState::Closed);
}

#[test]
fn a_health_check_is_sent_and_does_not_change_its_state() {
    let world = open();
    let before = world.core.breaker(Service::Chat);
    for (reply, status) in
        [(well(), ServiceHealth::Healthy), (Reply::status(500), ServiceHealth::Down)]
    {
        world.always(reply);
        let report = world.ask(async |session| session.health(Service::Chat, 1_000).await);
        assert_eq!(report.status, status);
        assert_eq!(world.take_lines(), ["GET chat/health"]);
        assert_eq!(world.core.breaker(Service::Chat), before);
    }
    let world = World::new();
    world.always(Reply::status(500));
    for _ in 0..20 {
        world.ask(async |session| session.health(Service::Chat, 1_000).await);
    }
    assert_eq!(world.core.breaker(Service::Chat), BreakerState::Closed);
}

#[test]
fn a_late_failure_from_before_it_opened_does_not_end_the_probe() {
    use futures_util::FutureExt;
    use std::cell::Cell;
    let world = World::new();
    let n = Cell::new(0);
    world.script(move |_| {
        n.set(n.get() + 1);
        match n.get() {
            1 => Reply::status(500).turns(1),
            2..=11 => Reply::status(500),
            12 => Reply::ok(json!({})).turns(1),
            _ => Reply::ok(json!({})),
        }
    });
    let s = world.session();
    let chat = s.chat();
    let mut late = Box::pin(chat.send_message("c", "late", None));
    assert!(late.as_mut().now_or_never().is_none());
    for _ in 0..10 {
        run(chat.send_message("c", "x", None)).unwrap_err();
    }
    world.clock.advance_ms(2_000);
    let mut probe = Box::pin(chat.send_message("c", "probe", None));
    assert!(probe.as_mut().now_or_never().is_none());
    run(late).unwrap_err();
    run(probe).unwrap();
    assert_eq!(world.core.breaker(Service::Chat), chitty_core::BreakerState::Closed);
}
