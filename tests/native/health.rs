//! `GET /health` tells the truth and needs nothing.

use chitty_core::Service;
use chittyconnect::app::Build;
use chittyconnect::tasks;
use serde_json::json;

use crate::world::{BUILT_FROM, Behaviour, Fault, TestRequest, World, run};

#[test]
fn ok_from_the_first_moment_without_asking_anybody() {
    let world = World::new();
    let gateway = world.isolate();
    run(async {
        let (first, _) = gateway.send_only(TestRequest::new("GET", "/")).await;
        assert_eq!(first.status, 200);
        assert_eq!(first.json["status"], "ok");
        assert_eq!(first.json["service"], "chittyconnect");
        assert_eq!(first.json["environment"], "development");
        assert_eq!(first.json["timestamp"], "2026-01-02T03:04:05.000Z");
        assert_eq!(first.json["database"]["state"], "pending");
        assert_eq!(first.json["missing"], json!([]));
        assert_eq!((world.db.calls(), world.services.calls("id").len()), (0, 0));

        gateway.get("/health", None).await;
        let later = gateway.get("/health", None).await;
        assert_eq!(later.json["database"]["state"], "ready");
        assert_eq!(later.json["ecosystem"]["state"], "registered");
        assert_eq!(later.json["ecosystem"]["chitty_id"], "CHITTY-CONTEXT-000001");
    });
}

#[test]
fn degraded_while_chittyid_is_not_connected_and_its_connection_is_shown() {
    let (world, _) = World::warm();
    world.objects.awake.set(true);
    let gateway = world.isolate_with(&[("HANDOVER_SECONDS", Some("3"))]);
    run(async {
        let health = async || {
            // What is heard after one reply is in the next.
            gateway.get("/health", None).await;
            world.advance_ms(3_000);
            world.db.reset_calls();
            let asked = world.services.calls("id").len();
            let (answer, after) = gateway.send_only(TestRequest::new("GET", "/health")).await;
            assert_eq!(answer.status, 200, "also when degraded");
            assert_eq!((world.db.calls(), world.services.calls("id").len()), (0, asked));
            tasks::after_reply(&gateway.app, after).await;
            assert_eq!(answer.json["connection"], answer.json["chittyid"]["connection"]);
            answer.json
        };
        let (first, after) = gateway.send_only(TestRequest::new("GET", "/health")).await;
        tasks::after_reply(&gateway.app, after).await;
        let unheard = &first.json["connection"];
        assert_eq!((&first.json["status"], &unheard["initialized"]), (&json!("ok"), &json!(false)));
        assert_eq!(unheard["state"], "DISCONNECTED");

        health().await;
        let well = health().await;
        assert_eq!(well["status"], "ok");
        let connection = &well["connection"];
        assert_eq!(
            (&connection["initialized"], &connection["isHealthy"]),
            (&json!(true), &json!(true))
        );
        assert_eq!(connection["state"], "CONNECTED");
        assert!(connection["uptime"].as_u64().unwrap() >= 3_000, "{connection}");
        assert_eq!(connection["uptime"], connection["stats"]["uptime"]);
        assert_eq!(connection["stats"]["healthCheckSuccessRate"], "100.00%");

        world.services.set("id", Behaviour::Hang);
        world.advance_ms(30_000);
        world.objects.fire_due(Service::Id).await;
        let lost = health().await;
        assert_eq!(
            (&lost["status"], &lost["connection"]["state"]),
            (&json!("degraded"), &json!("RECONNECTING"))
        );
        assert_eq!(lost["connection"]["isHealthy"], false);
        assert_eq!(
            (&lost["connection"]["uptime"], &lost["connection"]["reconnectAttempts"]),
            (&json!(0), &json!(1))
        );

        world.services.set("id", Behaviour::Work);
        world.advance_ms(60_000);
        world.objects.fire_due(Service::Id).await;
        assert_eq!(health().await["status"], "ok");

        gateway.post("/v1/ecosystem/id/disconnect", "dev-a+admin", &json!({})).await;
        let ended = health().await;
        assert_eq!(
            (&ended["status"], &ended["connection"]["state"]),
            (&json!("degraded"), &json!("DISCONNECTED"))
        );
    });
}

#[test]
fn callers_of_the_predecessor_find_it_where_it_was_with_the_commit() {
    let (world, gateway) = World::warm();
    run(async {
        let health = gateway.get("/health", None).await;
        assert_eq!(health.json["commit"], BUILT_FROM);
        assert!(health.json.get("modified").is_none(), "{}", health.text);
        for path in ["/", "/api/health", "/api/v1/status"] {
            world.db.reset_calls();
            assert_eq!(gateway.get(path, None).await.text, health.text, "{path}");
            assert_eq!(world.db.calls(), 0);
        }
    });
    let commit = Some(BUILT_FROM.to_owned());
    assert_eq!(Build::parse(&format!("{BUILT_FROM}+")), Build { commit, modified: true });
    for unknown in ["", "+", "main", "undefined"] {
        assert_eq!(Build::parse(unknown), Build::default(), "{unknown:?}");
    }
}

#[test]
fn it_works_without_d1_and_names_what_is_missing() {
    let world = World::new();
    let gateway = world.isolate_with(&[
        ("DB", None),
        ("TOKEN_KV", None),
        ("ENVIRONMENT", Some("staging")),
        ("AUTH_CACHE_SECONDS", Some("soon")),
    ]);
    run(async {
        gateway.get("/health", None).await;
        let health = gateway.get("/health", None).await;
        assert_eq!((health.status, health.json["status"].as_str()), (200, Some("degraded")));
        let missing: Vec<&str> = health.json["missing"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["name"].as_str().unwrap())
            .collect();
        for name in ["DB", "TOKEN_KV", "CHITTY_ID_SERVICE_TOKEN", "AUTH_CACHE_SECONDS"] {
            assert!(missing.contains(&name), "{missing:?}");
        }
        let refused = gateway.get("/v1/contexts", Some("dev-a")).await;
        assert_eq!((refused.status, refused.code()), (503, "not_ready"));
    });
}

#[test]
fn a_failing_database_and_a_failing_authority_show() {
    let world = World::new();
    let gateway = world.isolate();
    run(async {
        world.db.set_fault(|_| Fault::Before);
        assert_eq!(gateway.get("/v1/contexts", Some("dev-a")).await.code(), "not_ready");
        let health = gateway.get("/health", None).await;
        assert_eq!(health.json["status"], "degraded");
        assert_eq!(health.json["database"]["state"], "failed");

        world.db.set_fault(|_| Fault::None);
        world.services.set("id", Behaviour::Hang);
        world.advance_ms(1000);
        gateway.get("/health", None).await;
        let health = gateway.get("/health", None).await;
        assert_eq!(health.json["database"]["state"], "ready");
        assert_eq!(health.json["status"], "degraded");
        assert_eq!(health.json["ecosystem"]["state"], "degraded");
        assert_eq!(health.json["ecosystem"]["last_error"], "chittyid_timeout");
    });
}
