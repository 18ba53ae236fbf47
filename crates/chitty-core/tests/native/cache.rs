//! The registry's list: kept for five minutes, and for a day when the registry fails.

use chitty_core::{FailureKind, ServiceError};
use futures_util::future::join;
use serde_json::json;

use crate::world::{NO_BREAKER, Reply, World, run};

const FRESH_MS: u64 = 300_000;
const DAY_MS: u64 = 86_400_000;

/// A list, for comparison: its names, its age in ms, and whether it is stale.
type ListReading = (Vec<String>, u64, bool);

fn list(world: &World) -> Result<ListReading, ServiceError> {
    world.ask(async |session| {
        let list = session.registry().list().await?;
        Ok((list.value.into_iter().map(|entry| entry.name).collect(), list.age_ms, list.stale))
    })
}

fn services(name: &str) -> Reply {
    Reply::ok(json!({"services": [{"name": name}]}))
}

fn seen(name: &str, age_ms: u64, stale: bool) -> ListReading {
    (vec![name.to_owned()], age_ms, stale)
}

/// Makes a world in which the list was asked for once.
fn warm() -> World {
    let world = World::with(|config| config.breaker = NO_BREAKER);
    world.always(services("a"));
    assert_eq!(list(&world).unwrap(), seen("a", 0, false));
    assert_eq!(world.take_lines().len(), 1);
    world
}

#[test]
fn for_five_minutes_the_registry_is_not_asked_again() {
    let world = warm();
    world.always(services("b"));
    world.clock.advance_ms(FRESH_MS - 1);
    assert_eq!(list(&world).unwrap(), seen("a", FRESH_MS - 1, false));
    assert_eq!(world.take_lines(), [""; 0]);
    world.clock.advance_ms(1);
    assert_eq!(list(&world).unwrap(), seen("b", 0, false));
    assert_eq!(world.take_lines(), ["GET registry/api/v1/tools"]);
}

#[test]
fn it_is_shared_by_all_sessions_and_clones() {
    let world = warm();
    let clone = world.core.clone();
    let session = clone.session(chitty_core::CallContext::default());
    run(session.registry().list()).unwrap();
    assert_eq!(world.take_lines(), [""; 0]);
}

#[test]
fn when_the_registry_fails_the_last_list_is_used_for_a_day() {
    for failure in [
        Reply::hang(),
        Reply::unreachable(),
        Reply::status(500),
        Reply::status(503),
        Reply::status(429),
        Reply::text(200, "<html>"),
        Reply::ok(json!({"success": false})),
        Reply::status(302),
        Reply::too_large(),
    ] {
        let world = warm();
        world.always(failure.clone());
        world.clock.advance_ms(FRESH_MS);
        let (names, age_ms, stale) = list(&world).unwrap();
        assert_eq!((names, stale), (vec!["a".to_owned()], true), "{failure:?}");
        assert!((FRESH_MS..=FRESH_MS + 5_000).contains(&age_ms), "{age_ms}");
        assert_ne!(world.take_lines().len(), 0, "it was asked");

        // The use of an old list does not make it younger.
        world.clock.advance_ms(DAY_MS - 1 - world.elapsed_ms());
        assert!(list(&world).unwrap().2);
        assert_ne!(world.take_lines().len(), 0, "it is asked each time");

        world.clock.advance_ms(DAY_MS.saturating_sub(world.elapsed_ms()));
        assert!(list(&world).is_err(), "after a day it is not used");
    }
}

#[test]
fn an_open_breaker_is_a_failure_too() {
    let world = World::new();
    world.always(services("a"));
    list(&world).unwrap();
    world.core.take_news(chitty_core::Service::Registry, true);
    world.clock.advance_ms(FRESH_MS);
    world.core.take_news(chitty_core::Service::Registry, true);
    world.always(Reply::unreachable());
    assert!(list(&world).unwrap().2);
}

#[test]
fn a_refusal_is_returned_instead_of_an_old_list() {
    for status in [401, 403, 404, 405, 410, 500] {
        let world = warm();
        world.always(Reply::status(status));
        world.clock.advance_ms(FRESH_MS);
        assert!(list(&world).unwrap().2, "{status} is an outage");
    }
    for status in [400, 409, 413, 422] {
        let world = warm();
        world.always(Reply::status(status));
        world.clock.advance_ms(FRESH_MS);
        let error = list(&world).unwrap_err();
        assert_eq!((error.kind, error.status), (FailureKind::Refused, Some(status)));
    }
}

#[test]
fn it_recovers_with_the_registry() {
    let world = warm();
    world.always(Reply::unreachable());
    world.clock.advance_ms(FRESH_MS);
    assert!(list(&world).unwrap().2);
    world.always(services("c"));
    assert_eq!(list(&world).unwrap(), seen("c", 0, false));
    world.take_sent();
    assert_eq!(list(&world).unwrap(), seen("c", 0, false));
    assert_eq!(world.take_lines(), [""; 0]);
}

#[test]
fn without_an_earlier_list_a_failure_is_returned() {
    let world = World::new();
    world.always(Reply::status(500));
    assert_eq!(list(&world).unwrap_err().kind, FailureKind::Unavailable);
    world.always(services("a"));
    assert_eq!(list(&world).unwrap(), seen("a", 0, false), "a failure is not kept");
}

#[test]
fn only_the_list_is_cached() {
    let world = World::new();
    world.always(Reply::ok(json!({"name": "a"})));
    for _ in 0..2 {
        world.ask(async |session| session.registry().one("a").await.unwrap());
    }
    assert_eq!(world.take_lines().len(), 2);
}

#[test]
fn two_searches_of_a_session_at_once_ask_for_the_list_once() {
    let world = World::new();
    world.always(services("ab"));
    let session = world.session();
    let registry = session.registry();
    let (a, b) = run(join(registry.search("a"), registry.search("b")));
    assert_eq!((a.unwrap().value.len(), b.unwrap().value.len()), (1, 1));
    assert_eq!(world.take_lines().len(), 1);
}

#[test]
fn a_200_without_a_list_does_not_replace_a_good_list() {
    let world = World::new();
    world.always(Reply::ok(json!({"services": [{"name": "a"}]})));
    world.ask(async |s| s.registry().list().await.unwrap());
    world.clock.advance_ms(300_000);
    world.always(Reply::ok(json!({"message": "under maintenance"})));
    let list = world.ask(async |s| s.registry().list().await);
    assert!(list.is_ok_and(|list| list.stale), "the last good one is used for a day");
}

#[test]
fn a_200_without_a_list_is_not_cached() {
    let world = World::new();
    world.always(Reply::ok(json!({"message": "under maintenance"})));
    world.ask(async |s| s.registry().list().await.unwrap_err());
    world.always(Reply::ok(json!({"services": [{"name": "a"}]})));
    assert!(world.ask(async |s| s.registry().list().await).is_ok());
}
