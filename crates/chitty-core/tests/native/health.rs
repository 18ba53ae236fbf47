//! Health checks: what a service says about itself, and that a service without an answer is down.

use chitty_core::{HealthReport, Service, ServiceHealth};
use serde_json::json;

use crate::world::{Reply, World, run};

fn health(world: &World, timeout_ms: u32) -> HealthReport {
    world.ask(async |session| session.health(Service::Dna, timeout_ms).await)
}

#[test]
fn a_report_depends_on_the_answer_and_its_latency() {
    let down = |error| (ServiceHealth::Down, Some(error));
    let healthy = (ServiceHealth::Healthy, None);
    let degraded = (ServiceHealth::Degraded, None);
    for (reply, expected) in [
        (Reply::ok(json!({"status": "ok"})), healthy),
        (Reply::ok(json!({"status": "Healthy"})), healthy),
        (Reply::ok(json!({"status": "operational"})), healthy),
        (Reply::ok(json!([{"service": "a"}])), healthy),
        (Reply::ok(json!({"status": null})), healthy),
        (Reply::text(204, ""), healthy),
        (Reply::ok(json!({"status": "ok"})).after(499), healthy),
        (Reply::ok(json!({"status": "ok"})).after(500), degraded),
        (Reply::ok(json!({"status": "degraded"})), degraded),
        (Reply::ok(json!({"status": "warn"})), degraded),
        (Reply::status(429), degraded),
        (Reply::ok(json!({"status": "down"})), down("unwell")),
        (Reply::ok(json!({"status": false})), down("unwell")),
        (Reply::ok(json!({"status": "never heard of"})), down("unwell")),
        (Reply::ok(json!({"error": "database"})), down("malformed")),
        (Reply::text(200, "ok"), down("malformed")),
        (Reply::status(302), down("malformed")),
        (Reply::status(404), down("denied")),
        (Reply::status(500), down("unavailable")),
        (Reply::busy(503, "1"), down("unavailable")),
        (Reply::unreachable(), down("unreachable")),
        (Reply::hang(), down("timeout")),
    ] {
        let world = World::new();
        world.always(reply.clone());
        let report = health(&world, 1_000);
        assert_eq!((report.status, report.error), expected, "{reply:?}");
        assert_eq!(report.latency, world.elapsed_ms(), "{reply:?}");
        assert_eq!(world.take_lines(), ["GET dna/health"], "asked once");
    }
}

#[test]
fn a_check_takes_no_longer_than_it_may() {
    for timeout_ms in [1, 250, 8_000] {
        let world = World::new();
        world.always(Reply::hang());
        let report = health(&world, timeout_ms);
        assert_eq!(report.latency, u64::from(timeout_ms));
        assert_eq!(world.take_sent()[0].request.deadline_ms, timeout_ms);
    }
}

#[test]
fn all_of_them_are_asked_six_at_a_time() {
    let world = World::new();
    world.always(Reply::ok(json!({"status": "ok"})).turns(10));
    let session = world.session();
    let reports = run(session.health_of_all(1_000));
    assert_eq!(reports.keys().copied().collect::<Vec<_>>(), Service::ALL);
    assert!(reports.values().all(|report| report.status == ServiceHealth::Healthy));
    assert_eq!(world.most_in_flight(), 6);
    for service in Service::ALL {
        assert_eq!(world.count(*service), 1, "{service}");
    }
}

#[test]
fn a_service_that_is_down_does_not_affect_the_reports_of_others() {
    let world = World::new();
    world.script(|sent| match sent.request.service {
        Service::Auth => Reply::status(500),
        Service::Chronicle => Reply::unreachable(),
        Service::Beacon => Reply::ok(json!({"status": "degraded"})),
        _ => Reply::ok(json!({"status": "ok"})),
    });
    // An open breaker does not affect the report.
    world.core.take_news(Service::Id, true);
    let session = world.session();
    for (service, report) in run(session.health_of_all(1_000)) {
        let expected = match service {
            Service::Auth | Service::Chronicle => "down",
            Service::Beacon => "degraded",
            _ => "healthy",
        };
        assert_eq!(report.status.as_str(), expected, "{service}");
    }
}

#[test]
fn a_report_is_serialized_as_documented() {
    let world = World::new();
    world.always(Reply::status(500).after(7));
    let report = serde_json::to_value(health(&world, 100)).unwrap();
    assert_eq!(report, json!({"status": "down", "latency": 7, "error": "unavailable"}));
    world.always(Reply::status(200).after(7));
    let report = serde_json::to_value(health(&world, 100)).unwrap();
    assert_eq!(report, json!({"status": "healthy", "latency": 7}));
}
