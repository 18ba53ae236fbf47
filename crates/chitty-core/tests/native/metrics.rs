//! Metrics: the attempts counted by service and outcome.

use std::collections::BTreeMap;

use chitty_core::{BUCKETS_MS, Service};
use serde_json::json;

use crate::world::{Reply, World, all_calls, run};

fn say(world: &World) {
    let _ = world.ask(async |session| session.chat().send_message("c", "x", None).await);
}

#[test]
fn without_calls_nothing_is_counted() {
    let world = World::new();
    assert!(world.core.metrics().services.is_empty());
    let summary = serde_json::to_value(world.core.metrics().summary()).unwrap();
    assert_eq!(
        summary,
        json!({
            "totalRequests": 0, "requestsByService": {}, "averageLatency": 0, "errorRate": 0.0,
        })
    );
}

#[test]
fn each_attempt_is_counted_under_its_service_and_outcome() {
    let world = World::new();
    for reply in [
        Reply::status(200),
        Reply::text(204, ""),
        Reply::status(400),
        Reply::status(500),
        Reply::status(429),
        Reply::text(200, "<html>"),
        Reply::hang(),
        Reply::unreachable(),
    ] {
        world.always(reply);
        say(&world);
    }
    let metrics = world.core.metrics();
    assert_eq!(metrics.services.keys().collect::<Vec<_>>(), [&Service::Chat]);
    assert_eq!(
        metrics.services[&Service::Chat].outcomes,
        BTreeMap::from([
            ("ok", 2),
            ("refused", 1),
            ("unavailable", 2),
            ("malformed", 1),
            ("timeout", 1),
            ("unreachable", 1),
        ])
    );
    assert_eq!(metrics.services[&Service::Chat].latency.total(), 8);
}

#[test]
fn retries_variants_and_health_checks_count_as_attempts() {
    let world = World::new();
    world.in_turn([Reply::unreachable(), Reply::status(404), Reply::ok(json!({"keys": []}))]);
    world.ask(async |session| session.auth().jwks().await.unwrap());
    let found = world.core.metrics().services[&Service::Auth].outcomes.clone();
    assert_eq!(found, BTreeMap::from([("unreachable", 1), ("denied", 1), ("ok", 1)]));
    world.always(Reply::status(200));
    world.ask(async |session| session.health(Service::Id, 1_000).await);
    assert_eq!(world.core.metrics().services[&Service::Id].outcomes["ok"], 1);
}

#[test]
fn a_call_that_the_breaker_refuses_is_counted_but_has_no_latency() {
    let world = World::new();
    world.core.take_news(Service::Chat, true);
    for _ in 0..3 {
        say(&world);
    }
    let chat = world.core.metrics().services[&Service::Chat].clone();
    assert_eq!(chat.outcomes, BTreeMap::from([("circuit_open", 3)]));
    assert_eq!((chat.latency.total(), chat.latency.sum_ms), (0, 0));
    let summary = world.core.metrics().summary();
    assert_eq!((summary.total_requests, summary.average_latency), (3, 0));
    assert_eq!(summary.error_rate, 1.0);
}

#[test]
fn latencies_fall_into_their_buckets() {
    let world = World::with(|config| config.timeout_ms = 20_000);
    let latencies = [0, 5, 6, 100, 500, 501, 10_000, 10_001];
    for ms in latencies {
        world.always(Reply::status(200).after(ms));
        say(&world);
    }
    let histogram = world.core.metrics().services[&Service::Chat].latency;
    let mut below = 0;
    for (count, bound) in histogram.counts.iter().zip(BUCKETS_MS) {
        below += count;
        let expected = latencies.iter().filter(|ms| **ms <= bound).count();
        assert_eq!(below, expected as u64, "up to {bound} ms");
    }
    assert_eq!((histogram.total(), histogram.sum_ms), (8, latencies.iter().sum()));
}

#[test]
fn the_summary_is_over_all_services() {
    let world = World::new();
    for (ms, status) in [(10, 200), (30, 200), (50, 400)] {
        world.always(Reply::status(status).after(ms));
        say(&world);
    }
    world.always(Reply::ok(json!({})).after(110));
    world.ask(async |session| session.register().status().await.unwrap());
    let summary = serde_json::to_value(world.core.metrics().summary()).unwrap();
    assert_eq!(
        summary,
        json!({
            "totalRequests": 4, "requestsByService": {"chat": 3, "register": 1},
            "averageLatency": 50, "errorRate": 0.25,
        })
    );
}

#[test]
fn every_request_of_every_call_is_counted_once() {
    let world = World::new();
    for call in all_calls() {
        world.always(Reply::ok(call.good));
        run((call.make)(world.session())).unwrap();
    }
    let metrics = world.core.metrics();
    for service in metrics.services.keys() {
        assert_eq!(metrics.services[service].latency.total(), world.count(*service) as u64);
    }
    assert_eq!(metrics.summary().total_requests, world.take_sent().len() as u64);
}
