//! Metrics: counted in each isolate, added up exactly once.

use chitty_core::Service;

use crate::world::{Behaviour, Fault, Isolate, TestRequest, World, run};

async fn page(gateway: &Isolate) -> String {
    let answer = gateway.get("/metrics", None).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.text
}

/// The value of a sample, by its name and labels as they are printed.
fn sample(page: &str, sample: &str) -> Option<u64> {
    let line = page
        .lines()
        .find(|line| line.starts_with(sample) && line[sample.len()..].starts_with(' '))?;
    line[sample.len() + 1..].parse().ok()
}

const HEALTH: &str =
    "chittyconnect_http_requests_total{method=\"GET\",route=\"/health\",status=\"200\"}";

#[test]
fn what_all_isolates_have_counted_is_added_up() {
    let world = World::new();
    world.objects.awake.set(true);
    let vars = [("HANDOVER_SECONDS", Some("3"))];
    let (a, b) = (world.isolate_with(&vars), world.isolate_with(&vars));
    run(async {
        for isolate in [&a, &b, &a] {
            isolate.get("/health", None).await;
        }
        a.get("/nowhere", None).await;
        a.send(TestRequest::new("BREW", "/health")).await;
        a.get("/v1/contexts/CHITTY-CONTEXT-1", Some("dev-a")).await;
        let text = page(&b).await;
        assert_eq!(sample(&text, HEALTH), Some(3), "{text}");
        let others = [
            "chittyconnect_http_requests_total{method=\"GET\",route=\"unmatched\",status=\"404\"}",
            "chittyconnect_http_requests_total{method=\"other\",route=\"/health\",status=\"405\"}",
            "chittyconnect_http_requests_total{method=\"GET\",route=\"/v1/contexts/{id}\",status=\"404\"}",
            "chittyconnect_upstream_requests_total{service=\"id\",outcome=\"ok\"}",
            "chittyconnect_connection_state{service=\"id\",state=\"CONNECTED\"}",
        ];
        for other in others {
            assert!(sample(&text, other).is_some_and(|value| value > 0), "{other}\n{text}");
        }
        let latency = "chittyconnect_http_request_duration_seconds";
        let labels = "method=\"GET\",route=\"/health\"";
        assert_eq!(sample(&text, &format!("{latency}_count{{{labels}}}")), Some(3));
        assert_eq!(sample(&text, &format!("{latency}_bucket{{{labels},le=\"+Inf\"}}")), Some(3));
        assert_eq!(sample(&text, &format!("{latency}_bucket{{{labels},le=\"0.005\"}}")), Some(3));
        assert!(text.contains("# TYPE chittyconnect_outbox_depth gauge"));
        assert_eq!(
            sample(&text, "chittyconnect_breaker_isolates{service=\"id\",state=\"closed\"}"),
            Some(2),
            "{text}"
        );
    });
}

#[test]
fn a_handover_whose_answer_is_lost_counts_once() {
    for fault in [Fault::Before, Fault::After] {
        let (world, _) = World::warm();
        let gateway = world.isolate_with(&[("HANDOVER_SECONDS", Some("3"))]);
        run(async {
            // The first request's schema check, then its handover.
            world.db.set_fault(move |call| if call >= 2 { fault } else { Fault::None });
            gateway.get("/health", None).await;
            world.db.set_fault(|_| Fault::None);
            gateway.get("/health", None).await;
            world.advance_ms(10_000);
            gateway.get("/health", None).await;
            assert_eq!(sample(&page(&gateway).await, HEALTH), Some(3), "{fault:?}");
        });
    }
}

#[test]
fn nothing_is_added_before_a_reply() {
    let (world, _) = World::warm();
    let gateway = world.isolate_with(&[("HANDOVER_SECONDS", Some("3"))]);
    run(async {
        gateway.get("/v1/contexts", Some("dev-a")).await;
        world.db.reset_calls();
        let (answer, after) =
            gateway.send_only(TestRequest::new("GET", "/v1/contexts").token("dev-a")).await;
        assert_eq!((answer.status, world.db.calls()), (200, 1));
        assert_eq!(after.len(), 1, "one plans the handover, no matter how many follow");
        let (_, after) =
            gateway.send_only(TestRequest::new("GET", "/v1/contexts").token("dev-a")).await;
        assert!(after.is_empty());
    });
}

#[test]
fn a_page_is_shown_for_a_second_and_may_be_guarded() {
    let (world, gateway) = World::warm();
    run(async {
        page(&gateway).await;
        world.db.reset_calls();
        page(&gateway).await;
        assert_eq!(world.db.calls(), 0);
        let guarded = world.isolate_with(&[("METRICS_TOKEN", Some("s3cret"))]);
        assert_eq!(guarded.get("/metrics", None).await.status, 401);
        assert_eq!(guarded.get("/metrics", Some("wrong")).await.status, 401);
        assert_eq!(guarded.get("/metrics", Some("s3cret")).await.status, 200);
    });
}

#[test]
fn deployed_nobody_reads_them_without_a_token() {
    let world = World::new();
    run(async {
        for environment in ["staging", "production", "nonsense"] {
            let deployed = [("ENVIRONMENT", Some(environment))];
            let without = world.isolate_with(&deployed);
            for header in ["", "Bearer ", "Bearer x"] {
                let ask = TestRequest::new("GET", "/metrics").header("authorization", header);
                let refused = without.send_only(ask).await.0;
                assert_eq!(
                    (refused.status, refused.code()),
                    (503, "not_ready"),
                    "{}",
                    refused.text
                );
                assert!(refused.json["detail"].as_str().unwrap().contains("METRICS_TOKEN"));
            }
            let health = without.send_only(TestRequest::new("GET", "/health")).await.0;
            assert!(
                health.json["missing"].to_string().contains("METRICS_TOKEN"),
                "{}",
                health.text
            );
            let with = world.isolate_with(&[deployed[0], ("METRICS_TOKEN", Some("secret"))]);
            let ask =
                |header: &str| TestRequest::new("GET", "/metrics").header("authorization", header);
            assert_eq!(with.send_only(ask("Bearer x")).await.0.status, 401);
            assert_eq!(with.send_only(ask("Bearer secret")).await.0.status, 200);
            let health = with.send_only(TestRequest::new("GET", "/health")).await.0;
            assert!(!health.json["missing"].to_string().contains("METRICS_TOKEN"));
        }
    });
}

#[test]
fn deployed_nothing_is_sealed_with_the_development_key() {
    let world = World::new();
    let public = "dev:ZGV2ZWxvcG1lbnQtb25seS1kZXZlbG9wbWVudC1vbmw=";
    run(async {
        let deployed = [("ENVIRONMENT", Some("staging")), ("SEALING_KEYS", Some(public))];
        let gateway = world.isolate_with(&deployed);
        assert!(gateway.app.config.sealer.seal("place", "secret").is_err());
        let health = gateway.send_only(TestRequest::new("GET", "/health")).await.0;
        assert!(health.json["missing"].to_string().contains("development key"), "{}", health.text);
        let here = world.isolate_with(&[("SEALING_KEYS", Some(public))]);
        assert!(here.app.config.sealer.seal("place", "secret").is_ok());
    });
}

#[test]
fn what_document_004_counts_of_a_connection_is_a_series() {
    let (world, _) = World::warm();
    world.objects.awake.set(true);
    let gateway = world.isolate_with(&[("HANDOVER_SECONDS", Some("3"))]);
    run(async {
        let value = async |series: &str, service: &str| {
            world.advance_ms(2_000);
            let name = format!("chittyconnect_connection_{series}{{service=\"{service}\"}}");
            sample(&page(&gateway).await, &name)
        };
        gateway.get("/health", None).await;
        assert_eq!(value("connections_total", "id").await, Some(1));
        let uptime = value("uptime_seconds", "id").await;
        assert!((4..60).contains(&uptime.unwrap()), "two looks of two seconds: {uptime:?}");
        world.services.set("id", Behaviour::Hang);
        for _ in 0..3 {
            world.advance_ms(60_000);
            world.objects.fire_due(Service::Id).await;
        }
        assert_eq!(value("reconnect_attempts", "id").await, Some(3));
        assert_eq!(value("failures_total", "id").await, Some(2));
        assert_eq!(value("uptime_seconds", "id").await, Some(0));
        assert_eq!(value("reconnections_total", "id").await, Some(0));
        world.services.set("id", Behaviour::Work);
        world.advance_ms(60_000);
        world.objects.fire_due(Service::Id).await;
        assert_eq!(value("reconnections_total", "id").await, Some(1));
        assert_eq!(value("reconnect_attempts", "id").await, Some(0));
        assert_eq!(value("failures_total", "dna").await, Some(0));
    });
}

#[test]
fn open_deliveries_and_jobs_show_with_the_age_of_the_oldest() {
    let (world, gateway) = World::warm();
    run(async {
        world.db.execute(
            "INSERT INTO github_deliveries (delivery_id, event, lane, received_at, due_at, facts) \
             VALUES ('d-1', 'push', 'repository:1', '2026-01-02T03:03:05.000Z', '2026-01-02T03:05:05.000Z', '{}')",
        );
        world.db.execute(
            "INSERT INTO github_jobs (kind, repository_id, number, installation_id, repository, due_at, updated_at) \
             VALUES ('review', 1, 1, 1, 'o/r', '2026-01-02T03:04:00.000Z', '2026-01-02T03:04:00.000Z')",
        );
        let text = page(&gateway).await;
        for (series, value) in [
            ("deliveries_open", 1),
            ("deliveries_oldest_seconds", 60),
            ("jobs_open", 1),
            ("jobs_overdue_seconds", 5),
        ] {
            assert_eq!(
                sample(&text, &format!("chittyconnect_github_{series}")),
                Some(value),
                "{series}"
            );
        }
        assert_eq!(
            sample(&text, "chittyconnect_registry_age_seconds"),
            None,
            "-1: it was never asked"
        );
    });
}

#[test]
fn every_series_is_in_the_handbook_and_no_other() {
    let handbook = std::fs::read_to_string("docs/operations.md").unwrap();
    let (_, table) = handbook.split_once("## Metrics").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    let mut listed: Vec<&str> =
        table.split('`').filter(|word| word.starts_with("chittyconnect_")).collect();
    let (_, gateway) = World::warm();
    let text = run(page(&gateway));
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let mut shown: Vec<&str> = types.map(|line| line.split(' ').next().unwrap()).collect();
    listed.sort_unstable();
    shown.sort_unstable();
    assert_eq!(listed, shown);
}
