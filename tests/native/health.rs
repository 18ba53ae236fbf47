//! `GET /health` tells the truth and needs nothing.

use serde_json::json;

use crate::world::{Behaviour, Fault, World, run};

#[test]
fn healthy_from_the_first_moment_without_asking_anybody() {
    let world = World::new();
    let gateway = world.isolate();
    run(async {
        let (first, _) = gateway.send_only(crate::world::TestRequest::new("GET", "/")).await;
        assert_eq!(first.status, 200);
        assert_eq!(first.json["status"], "healthy");
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
