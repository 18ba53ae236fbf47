//! Batches: bounded, in order, and each call independent of the others.

use chitty_core::{FailureKind, Service};
use serde_json::json;

use crate::world::{Reply, SentRequest, World, run};

/// The number at the end of `/canon/{n}`.
fn number(sent: &SentRequest) -> u32 {
    sent.target().rsplit('/').next().unwrap().parse().unwrap()
}

/// Asks for `count` categories, `limit` at once.
fn ask(world: &World, limit: usize, count: u32) -> Vec<Result<serde_json::Value, FailureKind>> {
    let session = world.session();
    let calls = (0..count).map(|n| {
        let session = &session;
        async move { session.canon().category(&n.to_string()).await.map_err(|error| error.kind) }
    });
    run(session.batch(limit, calls))
}

#[test]
fn no_more_than_the_limit_are_under_way_at_once() {
    for (limit, most) in [(0, 1), (1, 1), (2, 2), (6, 6), (20, 20), (1_000, 20)] {
        let world = World::new();
        // Later calls end sooner, and their results wait for the results before them.
        world.script(|sent| Reply::ok(json!({"data": number(sent)})).turns(60 - 3 * number(sent)));
        let results = ask(&world, limit, 20);
        assert_eq!(world.most_in_flight(), most, "of {limit}");
        let expected: Vec<_> = (0..20).map(|n| Ok(json!(n))).collect();
        assert_eq!(results, expected, "in the order of the calls");
        assert_eq!(world.count(Service::Canon), 20);
    }
}

#[test]
fn a_failed_call_does_not_affect_the_others() {
    let world = World::new();
    world.script(|sent| match number(sent) % 4 {
        0 => Reply::status(404),
        1 => Reply::text(200, "<html>"),
        2 => Reply::ok(json!({"data": number(sent)})).turns(9),
        _ => Reply::ok(json!({"data": number(sent)})),
    });
    let results = ask(&world, 3, 8);
    let expected: Vec<_> = (0..8)
        .map(|n| match n % 4 {
            0 => Err(FailureKind::Refused),
            1 => Err(FailureKind::Malformed),
            _ => Ok(json!(n)),
        })
        .collect();
    assert_eq!(results, expected);
}

#[test]
fn identical_reads_of_a_batch_are_one_request() {
    let world = World::new();
    world.always(Reply::ok(json!({"data": 1})).turns(20));
    let session = world.session();
    let calls = (0..5).map(|_| async { session.canon().category("c").await.is_ok() });
    assert_eq!(run(session.batch(5, calls)), [true; 5]);
    assert_eq!(world.count(Service::Canon), 1);
}

#[test]
fn an_empty_batch_has_no_results() {
    let world = World::new();
    assert!(ask(&world, 5, 0).is_empty());
}
