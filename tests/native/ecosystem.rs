//! The services as the gateway sees them: watches, their events, health, fail-fast.

use chitty_core::{BreakerState, Service};
use chittyconnect::access::reply::{Body, Reply};
use chittyconnect::{edge, routes, tasks};
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::world::{Behaviour, Isolate, TestRequest, Verdict, World, run};

/// A warm world whose services are watched.
fn watched() -> (World, Isolate) {
    let (world, gateway) = World::warm();
    world.objects.awake.set(true);
    (world, gateway)
}

fn state(world: &World, service: &str) -> String {
    let query = format!("SELECT state FROM service_connections WHERE service = '{service}'");
    world.db.cell(&query).unwrap()
}

fn events(world: &World) -> Vec<String> {
    world.db.cells("SELECT event FROM connection_events WHERE service = 'id' ORDER BY id")
}

fn is_open(isolate: &Isolate, service: Service) -> bool {
    matches!(isolate.app.core.breaker(service), BreakerState::Open { .. })
}

#[test]
fn the_cron_connects_every_service_and_everybody_sees_it() {
    let (world, gateway) = watched();
    run(async {
        let unknown = gateway.get("/v1/ecosystem", Some("dev-a")).await;
        assert_eq!(unknown.json["count"], Service::ALL.len());
        assert_eq!(unknown.json["services"][0]["status"], "unknown");
        tasks::scheduled(&gateway.app).await;
        let seen = gateway.get("/v1/ecosystem", Some("dev-a")).await;
        for service in seen.json["services"].as_array().unwrap() {
            assert_eq!(service["status"], "active", "{service}");
            let connection = &service["connection"];
            assert_eq!(connection["state"], "CONNECTED");
            assert_eq!(connection["isHealthy"], true);
            assert_eq!(connection["stats"]["totalConnections"], 1);
            assert_eq!(connection["stats"]["healthCheckSuccessRate"], "100.00%");
            assert_eq!(service["breaker"], json!({"state": "closed"}));
        }
        assert_eq!(seen.json["registration"]["state"], "registered");
        for name in ["id", "chittyid"] {
            let one = gateway.get(&format!("/v1/ecosystem/{name}"), Some("dev-a")).await;
            assert_eq!(one.json["service"], "chittyid");
            assert_eq!(one.json["events"].as_array().unwrap().len(), 3);
        }
        assert_eq!(gateway.get("/v1/ecosystem/nobody", Some("dev-a")).await.status, 404);
        assert_eq!(gateway.get("/v1/ecosystem", None).await.status, 401);
        assert_eq!(gateway.get("/v1/ecosystem", Some("dev-a+contexts:read")).await.status, 403);
        world.db.execute(
            "INSERT INTO actors (chitty_id, actor_type, status, created_at, updated_at) \
             VALUES ('CHITTY-PEO-a', 'human', 'suspended', '', '')",
        );
        assert_eq!(gateway.get("/v1/ecosystem", Some("dev-a")).await.code(), "actor_suspended");
    });
}

#[test]
fn a_watch_that_loses_its_service_heals_itself() {
    let (world, gateway) = watched();
    run(async {
        tasks::scheduled(&gateway.app).await;
        world.services.set("id", Behaviour::Hang);
        world.advance_ms(30_000);
        world.objects.fire_due(Service::Id).await;
        assert_eq!(state(&world, "id"), "RECONNECTING");
        for _ in 0..3 {
            world.advance_ms(60_000);
            world.objects.fire_due(Service::Id).await;
        }
        let one = gateway.get("/v1/ecosystem/id", Some("dev-a")).await.json;
        assert_eq!(
            (&one["status"], &one["connection"]["reconnectAttempts"]),
            (&json!("down"), &json!(4))
        );
        assert_eq!(one["connection"]["lastError"], "timeout");
        world.services.set("id", Behaviour::Work);
        world.advance_ms(60_000);
        world.objects.fire_due(Service::Id).await;
        assert_eq!(state(&world, "id"), "CONNECTED");
        let seen = events(&world);
        let expected = [
            "stateChange",
            "unhealthy",
            "stateChange",
            "reconnecting",
            "error",
            "reconnecting",
            "connected",
        ];
        for event in expected {
            assert!(seen.iter().any(|name| name == event), "{event} {seen:?}");
        }
    });
}

#[test]
fn state_changes_reach_chronicle_and_beacon_once() {
    let (world, gateway) = watched();
    run(async {
        tasks::scheduled(&gateway.app).await;
        let told = world.queue.messages.borrow().len();
        assert_eq!(told, 2 * Service::ALL.len(), "two for each service");
        world.services.set("beacon", Behaviour::Unreachable);
        let verdicts = gateway.deliver_all().await;
        assert!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::Retry(_))));
        let entries = world.services.entries().len();
        assert_eq!(entries, told, "Chronicle is told although Beacon is down");
        world.services.set("beacon", Behaviour::Work);
        world.services.reset_calls();
        world.advance_ms(120_000);
        tasks::scheduled(&gateway.app).await;
        assert!(gateway.deliver_all().await.iter().all(|verdict| *verdict == Verdict::Ack));
        assert_eq!(world.services.entries().len(), 0, "and not told again");
        let beacons = world.services.calls("beacon");
        assert_eq!(beacons.iter().filter(|call| call.url.ends_with("/api/beacon")).count(), told);
        let first = beacons.iter().find_map(|call| call.body.clone()).unwrap();
        assert!(first.contains("service.state_changed"), "{first}");
    });
}

#[test]
fn what_cannot_be_published_is_published_later() {
    let (world, gateway) = watched();
    run(async {
        world.objects.store(Service::Id);
        world.db.set_fault(|_| crate::world::Fault::Before);
        let objects = world.objects.clone();
        use seams::objects::Objects;
        objects.ask(Service::Id, "connect").await.unwrap();
        world.db.set_fault(|_| crate::world::Fault::None);
        assert_eq!(world.db.count("service_connections"), 0);
        world.advance_ms(30_000);
        world.objects.fire_due(Service::Id).await;
        assert_eq!(state(&world, "id"), "CONNECTED");
        assert_eq!(events(&world), ["stateChange", "stateChange", "connected"]);
        assert_eq!(world.db.count("outbox WHERE event_type = 'service.state_changed'"), 2);
        // A disconnected one has no timer of its own to make it good.
        world.db.set_fault(|_| crate::world::Fault::Before);
        objects.ask(Service::Id, "disconnect").await.unwrap();
        world.db.set_fault(|_| crate::world::Fault::None);
        world.advance_ms(5_000);
        world.objects.fire_due(Service::Id).await;
        assert_eq!(state(&world, "id"), "DISCONNECTED");
        assert_eq!(world.objects.store(Service::Id).alarm_ms.get(), None, "no timer is left");
        drop(gateway);
    });
}

#[test]
fn administrators_command_watches_and_nobody_else_does() {
    let (world, gateway) = watched();
    run(async {
        tasks::scheduled(&gateway.app).await;
        let command = |name: &'static str, token: &'static str| {
            let gateway = gateway.clone();
            async move { gateway.post(&format!("/v1/ecosystem/id/{name}"), token, &json!({})).await }
        };
        assert_eq!(command("check", "dev-a").await.code(), "insufficient_scope");
        let checked = command("check", "dev-root+admin").await;
        assert_eq!(checked.json["connection"]["stats"]["totalHealthChecks"], 2, "{}", checked.text);
        let gone = command("disconnect", "dev-root+admin").await;
        assert_eq!(gone.json["connection"]["state"], "DISCONNECTED");
        tasks::scheduled(&gateway.app).await;
        assert_eq!(state(&world, "id"), "DISCONNECTED", "the cron does not connect it again");
        let back = command("connect", "dev-root+admin").await;
        assert_eq!(back.json["connection"]["state"], "CONNECTED");
        let reset = command("reset", "dev-root+admin").await;
        assert_eq!(reset.json["connection"]["stats"]["totalHealthChecks"], 0);
        tasks::scheduled(&gateway.app).await;
        assert_eq!(state(&world, "id"), "CONNECTED", "as new");
        assert_eq!(command("explode", "dev-root+admin").await.status, 404);
        let without = world.isolate_with(&[("SERVICE_CONNECTION", None)]);
        let answer = without.post("/v1/ecosystem/id/check", "dev-root+admin", &json!({})).await;
        assert_eq!(answer.code(), "connection_unavailable");
    });
}

#[test]
fn isolates_learn_of_a_service_that_is_down_and_of_its_return() {
    let (world, _) = watched();
    let vars = [("HANDOVER_SECONDS", Some("3"))];
    let (first, second) = (world.isolate_with(&vars), world.isolate_with(&vars));
    run(async {
        // Silent objects are woken by whoever looks.
        first.get("/health", None).await;
        assert_eq!(state(&world, "id"), "CONNECTED");
        second.get("/health", None).await;
        world.services.set("id", Behaviour::Hang);
        for _ in 0..2 {
            world.advance_ms(60_000);
            world.objects.fire_due(Service::Id).await;
        }
        assert!(!is_open(&second, Service::Id));
        second.get("/health", None).await;
        assert!(is_open(&second, Service::Id), "it has never called the service itself");
        let refused = second.post("/v1/contexts", "dev-a", &json!({"name": "n"})).await;
        assert_eq!(refused.code(), "identity_authority_unavailable");
        assert_eq!(refused.headers["retry-after"], "2");
        // Old news is not taken twice: the isolate's own probe counts more.
        world.services.set("id", Behaviour::Work);
        world.advance_ms(2_000);
        assert_eq!(second.post("/v1/contexts", "dev-a", &json!({"name": "n"})).await.status, 201);
        assert!(!is_open(&second, Service::Id));
        assert_eq!(state(&world, "id"), "CONNECTED", "the object was asked to look");
        first.get("/health", None).await;
        assert!(!is_open(&first, Service::Id));
    });
}

#[test]
fn an_isolate_whose_breaker_opens_tells_the_object() {
    let (world, _) = watched();
    let gateway = world.isolate_with(&[("HANDOVER_SECONDS", Some("3"))]);
    run(async {
        gateway.get("/health", None).await;
        world.services.set("id", Behaviour::Hang);
        world.advance_ms(20_000);
        let mut left = Vec::new();
        for n in 0..12 {
            let create = TestRequest::new("POST", "/v1/contexts").token("dev-a");
            let create = create.json(&json!({"name": format!("n{n}")}));
            left.extend(gateway.send_only(create).await.1);
        }
        tasks::after_reply(&gateway.app, left).await;
        assert_eq!(state(&world, "id"), "RECONNECTING", "seconds later, not at the next check");
    });
}

/// Opens a stream of events with a credential.
async fn open(gateway: &Isolate, credential: &str) -> Reply {
    let request = TestRequest::new("GET", "/v1/ecosystem/events").token(credential);
    edge::serve(&gateway.app, routes::table(), &request).await
}

#[test]
fn event_streams_are_bounded_for_each_actor_and_give_their_place_back() {
    let (_, gateway) = watched();
    run(async {
        let mut streams = Vec::new();
        for name in ["a", "b", "c", "d", "e"] {
            let token = format!("dev-{name}");
            for _ in 0..10 {
                streams.push(open(&gateway, &token).await);
            }
            if name != "e" {
                // By whatever credential: it is the actor's share.
                assert_eq!(open(&gateway, &format!("{token}+read")).await.status, 429, "{name}");
            }
        }
        assert!(streams.iter().all(|reply| reply.status == 200));
        assert_eq!(open(&gateway, "dev-f").await.status, 429, "all places are taken");
        streams.pop();
        assert_eq!(open(&gateway, "dev-f").await.status, 200, "it is gone at once");
        assert_eq!(open(&gateway, "dev-a").await.status, 429);
        assert_eq!(open(&gateway, "dev-e").await.status, 200);
    });
}

#[test]
fn an_event_stream_ends_at_the_next_look_when_its_caller_may_no_more() {
    let (world, gateway) = watched();
    run(async {
        let make = json!({"target_service": "connect", "scopes": ["read"]});
        let delegation =
            gateway.post("/v1/delegate", "dev-a", &make).await.json["delegation"].clone();
        let make = json!({"name": "n", "scopes": ["read"], "expires_in_seconds": 100});
        let key = gateway.post("/v1/keys", "dev-b", &make).await.json["key"].clone();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let ends: [(String, Box<dyn Fn() -> TestRequest>); 3] = [
            (text(&delegation["token"]), {
                let path = format!("/v1/delegate/{}", text(&delegation["token_id"]));
                Box::new(move || TestRequest::new("DELETE", &path).token("dev-a"))
            }),
            (text(&key["key"]), {
                let path = format!("/v1/keys/{}", text(&key["key_id"]));
                Box::new(move || TestRequest::new("DELETE", &path).token("dev-b"))
            }),
            ("dev-c".to_owned(), {
                let suspend = json!({"status": "suspended"});
                let path = "/v1/actors/CHITTY-PEO-c";
                Box::new(move || {
                    TestRequest::new("PATCH", path).token("dev-root+admin").json(&suspend)
                })
            }),
        ];
        for (credential, end) in ends {
            let Body::Stream { mut stream, .. } = open(&gateway, &credential).await.body else {
                panic!("{credential}")
            };
            for _ in 0..3 {
                assert!(stream.next().await.is_some(), "{credential}");
            }
            world.db.reset_calls();
            assert!(stream.next().await.is_some());
            assert_eq!(world.db.calls(), 5, "one round trip a look, and a sign of life after five");
            assert_eq!(gateway.send(end()).await.status, 200);
            world.db.reset_calls();
            assert!(stream.next().await.is_none(), "{credential}");
            assert_eq!(world.db.calls(), 1);
        }
    });
}

#[test]
fn an_event_stream_by_a_token_of_chittyauth_lasts_no_longer_than_that_is_remembered() {
    let (world, gateway) = watched();
    run(async {
        for (credential, lasts_s) in [("dev-a", 60), ("key", 300)] {
            let make = json!({"name": "n", "scopes": ["read"]});
            let key = gateway.post("/v1/keys", "dev-a", &make).await.json["key"]["key"].clone();
            let credential = if credential == "key" { key.as_str().unwrap() } else { credential };
            let Body::Stream { mut stream, .. } = open(&gateway, credential).await.body else {
                panic!("{credential}")
            };
            let from_ms = world.clock_ms();
            while stream.next().await.is_some() {}
            assert_eq!((world.clock_ms() - from_ms) / 1000, lasts_s, "{credential}");
        }
    });
}

#[test]
fn full_health_asks_every_service_once_in_five_seconds() {
    let (world, gateway) = watched();
    run(async {
        world.services.set("canon", Behaviour::Hang);
        world.services.set("chat", Behaviour::Answer(200, r#"{"status":"degraded"}"#.to_owned()));
        for (query, status) in [("full=false", 200), ("full=", 200), ("full=yes", 422)] {
            assert_eq!(gateway.get(&format!("/health?{query}"), None).await.status, status);
        }
        let full = gateway.get("/health?full=true", None).await;
        assert_eq!(full.json["status"], "degraded");
        assert_eq!(full.json["services"].as_object().unwrap().len(), 12);
        assert_eq!(full.json["services"]["canon"]["status"], "down");
        assert_eq!(full.json["services"]["canon"]["error"], "timeout");
        assert_eq!(full.json["services"]["chat"]["status"], "degraded");
        assert_eq!(full.json["services"]["id"]["status"], "healthy");
        world.services.set("canon", Behaviour::Work);
        world.services.set("chat", Behaviour::Work);
        let many = (0..10).map(|_| gateway.get("/health?full=true", None));
        for again in futures_util::future::join_all(many).await {
            assert_eq!(again.json["checked_at"], full.json["checked_at"]);
        }
        assert_eq!(world.services.calls("canon").len(), 1);
        world.advance_ms(5_000);
        let many = (0..3).map(|_| gateway.get("/health?full=true", None));
        for again in futures_util::future::join_all(many).await {
            // The clock of this test runs while they wait, so that all may look slow.
            assert_ne!(again.json["services"]["canon"]["status"], "down", "{}", again.text);
        }
        assert_eq!(world.services.calls("canon").len(), 2, "three at once ask once");
        let plain = gateway.get("/health", None).await;
        assert!(plain.json.get("services").is_none());
    });
}
