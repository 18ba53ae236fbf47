//! Runs of flows: in one request, over outages, raced, crashed.

use chittyconnect::tasks;
use futures_util::future::join;
use serde_json::{Value, json};

use crate::world::{Answer, Behaviour, Fault, Isolate, TestRequest, World, run};

fn body() -> Value {
    json!({ "email": "u@example.org" })
}

fn request(key: &str) -> TestRequest {
    TestRequest::new("POST", "/v1/orchestrations/secure-user")
        .token("dev-a")
        .json(&body())
        .header("idempotency-key", key)
}

async fn start(gateway: &Isolate, key: &str) -> Answer {
    gateway.send(request(key)).await
}

#[test]
fn a_run_that_meets_no_trouble_is_one_reply() {
    let (world, gateway) = World::warm();
    run(async {
        let made = start(&gateway, "k").await;
        assert_eq!(made.status, 201, "{}", made.text);
        let run = &made.json["orchestration"];
        assert_eq!(run["status"], "completed");
        assert!(run["result"]["token"].as_str().unwrap().starts_with("ca_live_"));
        let names: Vec<&str> =
            run["steps"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["mint", "canon", "token", "register", "beacon"]);
        let again = start(&gateway, "k").await;
        assert_eq!(again.headers["idempotency-replayed"], "true");
        assert_eq!(again.json, made.json);
        let shown = gateway.get(&made.headers["location"], Some("dev-a")).await;
        assert_eq!(shown.json["result"]["chitty_id"], run["result"]["chitty_id"]);
        assert!(!shown.text.contains("ca_live_"), "{}", shown.text);
        assert_eq!(gateway.get(&made.headers["location"], Some("dev-b")).await.status, 404);
        assert_eq!(gateway.get(&made.headers["location"], Some("dev-r+admin")).await.status, 200);
        // What is stored tells nobody anything.
        let stored = world.db.cell("SELECT state FROM orchestrations").unwrap();
        assert!(stored.starts_with("v1.test.") && !stored.contains("example.org"));
        assert!(
            !world
                .services
                .calls("register")
                .iter()
                .any(|call| format!("{call:?}").contains("example.org"))
        );
    });
}

#[test]
fn bad_input_starts_nothing() {
    let (world, gateway) = World::warm();
    run(async {
        let post = |flow: &'static str, body: Value| {
            let gateway = gateway.clone();
            async move { gateway.post(&format!("/v1/orchestrations/{flow}"), "dev-a", &body).await }
        };
        assert_eq!(post("nothing", body()).await.code(), "not_found");
        assert_eq!(post("secure-user", json!({})).await.json["errors"][0]["pointer"], "/email");
        assert_eq!(post("secure-user", json!([])).await.code(), "validation_failed");
        let admin = json!({ "email": "u@example.org", "role": "admin" });
        assert_eq!(post("secure-user", admin.clone()).await.code(), "insufficient_scope");
        assert_eq!(world.db.count("orchestrations"), 0);
        assert!(world.services.calls("id").is_empty());
        let path = "/v1/orchestrations/secure-user";
        assert_eq!(gateway.post(path, "dev-r+admin", &admin).await.status, 201);
        assert_eq!(gateway.post(path, "dev-a+read", &body()).await.code(), "insufficient_scope");
        start(&gateway, "k").await;
        let other = request("k").json(&json!({ "email": "other@example.org" }));
        assert_eq!(gateway.send(other).await.code(), "idempotency_key_reused");
        let keyless = world.isolate_with(&[("SEALING_KEYS", None)]);
        assert_eq!(keyless.post(path, "dev-a", &body()).await.code(), "not_ready");
    });
}

#[test]
fn an_outage_is_waited_out_by_the_cron() {
    let (world, gateway) = World::warm();
    run(async {
        world.services.set("register", Behaviour::Unreachable);
        let begun = start(&gateway, "k").await;
        assert_eq!(begun.status, 202, "{}", begun.text);
        assert_eq!(begun.json["orchestration"]["status"], "running");
        assert_eq!(begun.json["orchestration"]["steps"][3]["error"], "chittyregister: unreachable");
        world.services.set("register", Behaviour::Work);
        tasks::scheduled(&gateway.app).await;
        let location = begun.headers["location"].clone();
        assert_eq!(
            gateway.get(&location, Some("dev-a")).await.json["status"],
            "running",
            "a pause"
        );
        world.advance_ms(10_000);
        tasks::scheduled(&gateway.app).await;
        assert_eq!(gateway.get(&location, Some("dev-a")).await.json["status"], "completed");
        let replayed = start(&gateway, "k").await;
        assert_eq!(replayed.status, 201);
        assert!(replayed.json["orchestration"]["result"]["token"].is_string());
        assert_eq!(world.services.calls("id").len(), 1, "minted once");
    });
}

#[test]
fn a_refusal_undoes_what_was_done() {
    let (world, gateway) = World::warm();
    run(async {
        world.services.set("register", Behaviour::Answer(400, "{}".to_owned()));
        let refused = start(&gateway, "k").await;
        assert_eq!(
            (refused.status, refused.code()),
            (502, "orchestration_failed"),
            "{}",
            refused.text
        );
        let id = world.db.cell("SELECT id FROM orchestrations").unwrap();
        let shown = gateway.get(&format!("/v1/orchestrations/{id}"), Some("dev-a")).await.json;
        assert_eq!(shown["status"], "compensated");
        let states: Vec<&str> = shown["steps"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| s["state"].as_str().unwrap())
            .collect();
        assert_eq!(states, ["compensated", "compensated", "compensated", "failed", "pending"]);
        assert_eq!(shown["result"], json!({}));
        let undone = |service: &str, part: &str| {
            world.services.calls(service).iter().any(|call| call.url.contains(part))
        };
        assert!(undone("auth", "/v1/tokens/revoke") && undone("canon", "/canon/records/"));
        let entries = world.services.entries();
        assert!(entries.iter().any(|entry| entry["action"] == "identity.orphaned"), "{entries:?}");
    });
}

#[test]
fn of_two_requests_with_one_key_one_runs() {
    let (world, gateway) = World::warm();
    let other = world.isolate();
    run(async {
        let (a, b) = join(start(&gateway, "k"), start(&other, "k")).await;
        assert!([201, 202].contains(&a.status) && [201, 202].contains(&b.status));
        assert_eq!(a.json["orchestration"]["id"], b.json["orchestration"]["id"]);
        assert_eq!(world.db.count("orchestrations"), 1);
        assert_eq!(world.services.calls("id").len(), 1);
    });
}

#[test]
fn a_database_fault_at_any_call_is_made_good() {
    for failing in 1..=16 {
        for fault in [Fault::Before, Fault::After] {
            let (world, gateway) = World::warm();
            let at = format!("call {failing} {fault:?}");
            run(async {
                world.db.set_fault(move |call| if call == failing { fault } else { Fault::None });
                let first = start(&gateway, "k").await;
                world.db.set_fault(|_| Fault::None);
                assert!([201, 202, 503].contains(&first.status), "{at} {}", first.text);
                for _ in 0..3 {
                    world.advance_ms(60_000);
                    tasks::scheduled(&gateway.app).await;
                }
                let last = start(&gateway, "k").await;
                assert_eq!(last.status, 201, "{at} {}", last.text);
                assert_eq!(world.db.count("orchestrations"), 1, "{at}");
                // A mint whose outcome was lost is the one thing that may be there twice, and is said.
                let minted = world.services.calls("id").len() as u64;
                let in_doubt = last.json["orchestration"]["steps"][0]["in_doubt"].as_u64().unwrap();
                assert!(minted <= 1 + in_doubt, "{at} {minted} {in_doubt}");
            });
        }
    }
}

#[test]
fn a_run_is_undone_once_nothing_of_it_lives_and_not_before() {
    for provision in [Behaviour::Work, Behaviour::Lost, Behaviour::Garbled] {
        for revoke in [
            Behaviour::Work,
            Behaviour::Garbled,
            Behaviour::Lost,
            Behaviour::Answer(403, "{}".to_owned()),
            Behaviour::Answer(404, "{}".to_owned()),
            Behaviour::Answer(500, "{}".to_owned()),
        ] {
            let (world, gateway) = World::warm();
            let own = world.services.live().len();
            let at = format!("{provision:?} {revoke:?}");
            run(async {
                world.services.at("/v1/tokens/provision", provision.clone());
                world.services.at("/v1/tokens/revoke", revoke.clone());
                world.services.set("register", Behaviour::Answer(400, "{}".to_owned()));
                start(&gateway, "k").await;
                for _ in 0..12 {
                    world.advance_ms(400_000);
                    tasks::scheduled(&gateway.app).await;
                    let status = world.db.cell("SELECT status FROM orchestrations").unwrap();
                    let lives = world.services.live().len() > own;
                    assert!(
                        !lives || ["running", "compensating"].contains(&status.as_str()),
                        "{at}: {status}"
                    );
                }
                world.services.at("/v1/tokens/provision", Behaviour::Work);
                world.services.at("/v1/tokens/revoke", Behaviour::Work);
                for _ in 0..6 {
                    world.advance_ms(400_000);
                    tasks::scheduled(&gateway.app).await;
                }
                let status = world.db.cell("SELECT status FROM orchestrations").unwrap();
                assert_eq!(
                    (status.as_str(), world.services.live().len()),
                    ("compensated", own),
                    "{at}"
                );
            });
        }
    }
}
