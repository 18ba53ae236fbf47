//! Identities: every one that ChittyID has minted is used or reported, whatever dies when.

use std::cell::Cell;

use chittyconnect::tasks;
use futures_util::future::join;
use serde_json::{Value, json};

use crate::world::{Behaviour, Fault, Isolate, TestRequest, World, run};

fn creation(key: &str) -> TestRequest {
    let create = TestRequest::new("POST", "/v1/contexts").token("dev-a");
    create.json(&json!({"name": "n"})).header("idempotency-key", key)
}

async fn cron(world: &World, gateway: &Isolate) {
    world.advance_ms(660_000);
    tasks::scheduled(&gateway.app).await;
    gateway.deliver_all().await;
}

/// What was reported: the entity, and whether it is in doubt.
fn reported(world: &World) -> Vec<(String, bool)> {
    let report = |entry: &Value| {
        let metadata = &entry["metadata"];
        let in_doubt = metadata["payload"]["in_doubt"] == true;
        (metadata["entityId"].as_str().unwrap().to_owned(), in_doubt)
    };
    let entries = world.services.entries();
    entries.iter().filter(|entry| entry["action"] == "identity.orphaned").map(report).collect()
}

#[test]
fn a_creation_asks_the_database_twice_and_leaves_no_intent() {
    let (world, gateway) = World::warm();
    run(async {
        gateway.get("/v1/contexts", Some("dev-a")).await;
        world.db.reset_calls();
        let (answer, _) = gateway.send_only(creation("k")).await;
        assert_eq!((answer.status, world.db.calls()), (201, 2));
        assert_eq!(world.db.count("mint_intents"), 0);
        let (id, intent) = world.services.mints().pop().unwrap();
        assert_eq!(answer.json["context"]["chitty_id"], id);
        assert!(intent.starts_with("mnt_"));
        let call = world.services.calls("id").pop().unwrap();
        assert!(call.headers.contains(&("idempotency-key", intent)));
    });
}

#[test]
fn killed_after_the_mint_its_identity_is_reported_once() {
    let (world, gateway) = World::warm();
    run(async {
        gateway.get("/v1/contexts", Some("dev-a")).await;
        world.queue.down.set(true);
        world.db.reset_calls();
        // The look-up is answered; then nothing works any more, as if everything had died.
        world.db.set_fault(|call| if call == 1 { Fault::None } else { Fault::Before });
        gateway.send_only(creation("k")).await;
        world.db.set_fault(|_| Fault::None);
        world.queue.down.set(false);
        let (_, intent) = world.services.mints().pop().unwrap();
        assert_eq!(world.db.cells("SELECT intent_id FROM mint_intents"), [intent.as_str()]);
        // A request may live for a while.
        tasks::scheduled(&gateway.app).await;
        assert_eq!(world.db.count("mint_intents"), 1);
        world.advance_ms(660_000);
        let other = world.isolate();
        join(tasks::scheduled(&gateway.app), tasks::scheduled(&other.app)).await;
        gateway.deliver_all().await;
        for _ in 0..3 {
            cron(&world, &gateway).await;
        }
        assert_eq!(reported(&world), [(intent, true)]);
        assert_eq!(world.db.count("mint_intents"), 0);
        assert_eq!(world.db.count("audit WHERE action = 'identity.orphaned'"), 1);
    });
}

#[test]
fn a_mint_whose_answer_is_lost_is_reported_and_one_that_was_turned_away_is_not() {
    for (behaviour, minted, in_doubt) in [
        (Behaviour::Lost, 1, true),
        (Behaviour::Garbled, 1, true),
        (Behaviour::Hang, 0, true),
        (Behaviour::Answer(500, "{}".to_owned()), 0, true),
        (Behaviour::Answer(403, "{}".to_owned()), 0, false),
        (Behaviour::Answer(422, "{}".to_owned()), 0, false),
        (Behaviour::Busy(429, 30), 0, false),
        (Behaviour::Busy(503, 30), 0, false),
        (
            Behaviour::Answer(200, json!({"fallback": true, "errorCode": "0001"}).to_string()),
            0,
            false,
        ),
        (
            Behaviour::Answer(200, json!({"fallback": true, "errorCode": "0002"}).to_string()),
            0,
            true,
        ),
    ] {
        let (world, gateway) = World::warm();
        let before = world.services.mints().len();
        run(async {
            world.services.set("id", behaviour.clone());
            let answer = gateway.send(creation("k")).await;
            assert_eq!(answer.code(), "identity_authority_unavailable", "{behaviour:?}");
            assert_eq!(world.db.count("mint_intents"), usize::from(in_doubt), "{behaviour:?}");
            world.services.set("id", Behaviour::Work);
            cron(&world, &gateway).await;
            assert_eq!(reported(&world).len(), usize::from(in_doubt), "{behaviour:?}");
            let mints = world.services.mints();
            assert_eq!(mints.len() - before, minted);
            for (_, intent) in mints.iter().skip(before) {
                assert!(reported(&world).contains(&(intent.clone(), true)));
            }
        });
    }
}

#[test]
fn what_is_refused_or_replayed_intends_nothing() {
    let (world, gateway) = World::warm();
    run(async {
        gateway.send(creation("k")).await;
        world.db.execute(
            "INSERT INTO actors (chitty_id, actor_type, status, created_at, updated_at) \
             VALUES ('CHITTY-PEO-s', 'human', 'suspended', '', '')",
        );
        let body = json!({"name": "n"});
        assert_eq!(gateway.send(creation("k")).await.headers["idempotency-replayed"], "true");
        let other = creation("k").json(&json!({"name": "other"}));
        assert_eq!(gateway.send(other).await.code(), "idempotency_key_reused");
        assert_eq!(gateway.post("/v1/contexts", "dev-a", &body).await.code(), "name_taken");
        let suspended = gateway.post("/v1/contexts", "dev-s", &body).await;
        assert_eq!(suspended.code(), "actor_suspended");
        let read = gateway.post("/v1/contexts", "dev-a+read", &json!({"name": "r"})).await;
        assert_eq!(read.code(), "insufficient_scope");
        assert_eq!(world.db.count("mint_intents"), 0);
        assert_eq!(world.services.calls("id").len(), 1);
    });
}

#[test]
fn a_database_fault_at_any_call_loses_no_identity() {
    for failing in 1..=5 {
        for fault in [Fault::Before, Fault::After] {
            for lives_on in [true, false] {
                let (world, gateway) = World::warm();
                let at = format!("call {failing} {fault:?} {lives_on}");
                run(async {
                    gateway.get("/v1/contexts", Some("dev-a")).await;
                    world.queue.down.set(!lives_on);
                    world.db.reset_calls();
                    world.db.set_fault(move |call| match call {
                        call if call == failing => fault,
                        call if call > failing && !lives_on => Fault::Before,
                        _ => Fault::None,
                    });
                    gateway.send_only(creation("k")).await;
                    world.db.set_fault(|_| Fault::None);
                    world.queue.down.set(false);
                    for _ in 0..3 {
                        cron(&world, &gateway).await;
                    }
                    let told = reported(&world);
                    for (id, intent) in world.services.mints() {
                        let is = |name: &str| told.iter().any(|(entity, _)| entity == name);
                        let used = format!("contexts WHERE chitty_id = '{id}'");
                        let used = world.db.count(&used) == 1;
                        assert!(used || is(&id) || is(&intent), "{at}: {id}");
                        assert!(!(used && (is(&id) || is(&intent))), "{at}: {id} is in use");
                    }
                });
            }
        }
    }
}

#[test]
fn the_gateways_own_identity_is_not_lost_either() {
    for failing in 1..=40 {
        let world = World::new();
        let gateway = world.isolate();
        run(async {
            world
                .db
                .set_fault(move |call| if call < failing { Fault::None } else { Fault::Before });
            world.queue.down.set(true);
            gateway.get("/health", None).await;
            world.db.set_fault(|_| Fault::None);
            world.queue.down.set(false);
            for _ in 0..4 {
                cron(&world, &gateway).await;
            }
            let told = reported(&world);
            for (id, intent) in world.services.mints() {
                let is = |name: &str| told.iter().any(|(entity, _)| entity == name);
                let used = format!("contexts WHERE chitty_id = '{id}'");
                assert!(world.db.count(&used) == 1 || is(&id) || is(&intent), "{failing}: {id}");
            }
            assert_eq!(world.db.count("contexts"), 1, "{failing}");
        });
    }
}

#[test]
fn a_run_whose_mint_was_not_answered_reports_it_when_it_is_over_and_once() {
    for failing in 0..=14 {
        let (world, gateway) = World::warm();
        run(async {
            let calls = Cell::new(0);
            world.services.script("id", move || {
                calls.set(calls.get() + 1);
                if calls.get() == 1 { Behaviour::Lost } else { Behaviour::Work }
            });
            world.db.reset_calls();
            world
                .db
                .set_fault(move |call| if call == failing { Fault::After } else { Fault::None });
            let flow = TestRequest::new("POST", "/v1/orchestrations/user-registration");
            let flow = flow.token("dev-a").json(&json!({"email": "u@example.org"}));
            gateway.send(flow.header("idempotency-key", "k")).await;
            assert_eq!(reported(&world), [], "not before it is over");
            for _ in 0..4 {
                cron(&world, &gateway).await;
            }
            world.db.set_fault(|_| Fault::None);
            for _ in 0..2 {
                cron(&world, &gateway).await;
            }
            if world.db.count("orchestrations") == 0 {
                return;
            }
            let status = world.db.cell("SELECT status FROM orchestrations").unwrap();
            assert_eq!(status, "completed", "{failing}");
            let id = world.db.cell("SELECT id FROM orchestrations").unwrap();
            assert_eq!(reported(&world), [(format!("{id}-0-do"), true)], "{failing}");
            let intents: Vec<String> = world.services.mints().into_iter().map(|(_, i)| i).collect();
            assert!(intents.contains(&format!("{id}-0-do")));
        });
    }
}

#[test]
fn what_a_compensation_puts_on_record_is_there_once() {
    for lost in [Behaviour::Lost, Behaviour::Garbled] {
        let (world, gateway) = World::warm();
        run(async {
            world.services.set("register", Behaviour::Answer(422, "{}".to_owned()));
            let calls = Cell::new(0);
            world.services.script("chronicle", move || {
                calls.set(calls.get() + 1);
                if calls.get() == 1 { lost.clone() } else { Behaviour::Work }
            });
            let flow = TestRequest::new("POST", "/v1/orchestrations/user-registration");
            let flow = flow.token("dev-a").json(&json!({"email": "u@example.org"}));
            gateway.send(flow).await;
            for _ in 0..3 {
                cron(&world, &gateway).await;
            }
            assert_eq!(world.db.cell("SELECT status FROM orchestrations").unwrap(), "compensated");
            assert_eq!(reported(&world).len(), 1);
        });
    }
}
