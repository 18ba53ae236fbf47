//! What is in doubt, who may note it, and the end of every retry.

use std::cell::Cell;
use std::rc::Rc;

use chittyconnect::events::{consumer, dead};
use chittyconnect::tasks;
use futures_util::future::join;
use serde_json::json;

use super::{OPEN, assert_told_once, change_state, cron, newest, until_told};
use crate::world::{Behaviour, Fault, Isolate, TestDelivery, Verdict, World, run};

#[test]
fn doubt_about_one_effect_outlives_what_becomes_of_another() {
    let afterwards = [
        Behaviour::Busy(429, 1),
        Behaviour::Answer(422, "{}".to_owned()),
        Behaviour::Answer(403, "{}".to_owned()),
        Behaviour::Unreachable,
        Behaviour::Work,
    ];
    for (doubted, other, kind) in [
        ("chronicle", "dna", "context"),
        ("chronicle", "beacon", "state"),
        ("dna", "chronicle", "context"),
    ] {
        for lost in [Behaviour::Lost, Behaviour::Garbled] {
            for second in afterwards.clone() {
                let (world, gateway) = World::warm_with(&[("BREAKER_MIN_CALLS", Some("0"))]);
                let since = newest(&world);
                let at = format!("{doubted} {lost:?}, {other} {second:?}, {kind}");
                run(async {
                    world.services.set(doubted, lost.clone());
                    world.services.set(other, second.clone());
                    match kind {
                        "state" => change_state(&world, "evt_state_1"),
                        _ => drop(gateway.create("dev-a", &json!({"name": "n"})).await),
                    }
                    gateway.deliver_all().await;
                    cron(&world, &gateway, 700_000).await;
                    // And what fails for certain clears no doubt of its own either.
                    world.services.set(doubted, Behaviour::Busy(429, 1));
                    cron(&world, &gateway, 700_000).await;
                    world.services.set(doubted, Behaviour::Work);
                    world.services.set(other, Behaviour::Work);
                    until_told(&world, &gateway, &at).await;
                    let replay = json!({});
                    gateway.post("/v1/events/dead-letters/replay", "dev-r+admin", &replay).await;
                    until_told(&world, &gateway, &at).await;
                    if !matches!(
                        (other, &second),
                        ("chronicle" | "beacon" | "dna", Behaviour::Answer(422, _))
                    ) {
                        assert_told_once(&world, &since, &at);
                    }
                    let entries = world.services.entries();
                    for id in
                        world.db.cells(&format!("SELECT event_id FROM outbox WHERE seq > {since}"))
                    {
                        let told =
                            entries.iter().filter(|entry| entry["metadata"]["eventId"] == *id);
                        assert_eq!(told.count(), 1, "{at}");
                    }
                });
            }
        }
    }
}

#[test]
fn killed_at_any_call_between_an_effect_and_its_note_nothing_is_told_twice() {
    for failing in 1..=8 {
        for fault in [Fault::Before, Fault::After] {
            let (world, gateway) = World::warm();
            let since = newest(&world);
            let at = format!("call {failing} {fault:?}");
            run(async {
                let id = gateway.create("dev-a", &json!({"name": "n"})).await;
                let path = format!("/v1/contexts/{id}");
                gateway.patch(&path, "dev-a", &json!({"data": [1]})).await;
                change_state(&world, "evt_state_1");
                tasks::scheduled(&gateway.app).await;
                world.db.reset_calls();
                // Everything after that call fails, too: whoever it was is dead.
                world.db.set_fault(move |call| match call {
                    call if call < failing => Fault::None,
                    call if call == failing => fault,
                    _ => Fault::Before,
                });
                gateway.deliver_all().await;
                world.db.set_fault(|_| Fault::None);
                let next = world.isolate();
                until_told(&world, &next, &at).await;
                assert_told_once(&world, &since, &at);
            });
        }
    }
}

#[test]
fn two_consumers_at_once_tell_every_effect_once() {
    for trouble in [Behaviour::Work, Behaviour::Lost, Behaviour::Garbled] {
        let (world, one) = World::warm();
        let other = world.isolate();
        let since = newest(&world);
        run(async {
            for service in ["chronicle", "dna", "beacon"] {
                let (trouble, calls) = (trouble.clone(), Cell::new(0));
                world.services.script(service, move || {
                    calls.set(calls.get() + 1);
                    if calls.get() == 1 { trouble.clone() } else { Behaviour::Work }
                });
            }
            let id = one.create("dev-a", &json!({"name": "n"})).await;
            let path = format!("/v1/contexts/{id}");
            for n in 0..4 {
                one.patch(&path, "dev-a", &json!({"data": [n]})).await;
            }
            change_state(&world, "evt_state_1");
            tasks::scheduled(&one.app).await;
            let messages = std::mem::take(&mut *world.queue.messages.borrow_mut());
            // Each message comes twice, to two isolates at the same time.
            let consume = |isolate: &Isolate| {
                let app = Rc::clone(&isolate.app);
                let deliveries: Vec<TestDelivery> =
                    messages.iter().cloned().map(TestDelivery::new).collect();
                async move {
                    for delivery in &deliveries {
                        consumer::consume(&app, dead::CONTEXT_OPS, &[delivery]).await;
                    }
                }
            };
            join(consume(&one), consume(&other)).await;
            until_told(&world, &one, "racing").await;
            assert_told_once(&world, &since, "racing");
        });
    }
}

#[test]
fn who_has_lost_the_lease_notes_nothing() {
    // What the late one would note, by what becomes of its call.
    for late in [
        Behaviour::Work,
        Behaviour::Answer(400, "{}".to_owned()),
        Behaviour::Answer(503, "{}".to_owned()),
    ] {
        let (world, gateway) = World::warm();
        let since = newest(&world);
        run(async {
            gateway.create("dev-a", &json!({"name": "n"})).await;
            let message = world.queue.messages.borrow_mut().remove(0);
            let (db, outcome) = (Rc::clone(&world.db), late.clone());
            let until = seams::time::iso8601(world.clock_ms() + 500_000);
            let taken = Cell::new(false);
            world.services.script("chronicle", move || {
                // While the call is under way, another takes the event over.
                if taken.replace(true) {
                    return Behaviour::Work;
                }
                db.execute(&format!(
                    "UPDATE outbox SET leased_until = '{until}', in_doubt = in_doubt + 1, \
                     tries = tries + 1 WHERE done_at IS NULL"
                ));
                outcome.clone()
            });
            let delivery = TestDelivery::new(message);
            consumer::consume(&gateway.app, dead::CONTEXT_OPS, &[&delivery]).await;
            assert!(matches!(delivery.verdict(), Verdict::Retry(_)), "{late:?}");
            let kept = "outbox WHERE done_at IS NULL AND dead_at IS NULL AND in_doubt = 2 \
                        AND effects = '' AND refused = '' AND leased_until <> ''";
            assert_eq!(world.db.count(kept), 1, "{late:?}");
            assert_eq!(world.db.count("dead_letters"), 0, "{late:?}");
            until_told(&world, &gateway, "taken over").await;
            assert_told_once(&world, &since, "taken over");
        });
    }
}

#[test]
fn however_much_has_happened_to_an_entity_its_events_are_told() {
    let (world, gateway) = World::warm_with(&[("BREAKER_MIN_CALLS", Some("0"))]);
    let since = newest(&world);
    run(async {
        let id = gateway.create("dev-a", &json!({"name": "n"})).await;
        gateway.deliver_all().await;
        world.services.set("chronicle", Behaviour::Lost);
        gateway.patch(&format!("/v1/contexts/{id}"), "dev-a", &json!({"data": [1]})).await;
        gateway.deliver_all().await;
        world.services.set("chronicle", Behaviour::Work);
        until_told(&world, &gateway, "asked").await;
        assert_told_once(&world, &since, "asked");
        let asked: Vec<String> = world
            .services
            .calls("chronicle")
            .into_iter()
            .filter(|call| call.body.is_none())
            .map(|call| call.url)
            .collect();
        assert!(!asked.is_empty());
        assert!(
            asked.iter().all(|url| url.contains("limit=") && !url.contains("/audit/")),
            "{asked:?}"
        );
    });
}

#[test]
fn a_question_that_is_never_answered_has_an_end_that_is_seen_and_the_next_event_is_told() {
    let (world, gateway) = World::warm_with(&[("BREAKER_MIN_CALLS", Some("0"))]);
    run(async {
        let id = gateway.create("dev-a", &json!({"name": "n"})).await;
        // The entry is made and its answer lost; every question about it is answered by nonsense.
        let calls = Cell::new(0);
        world.services.script("chronicle", move || {
            calls.set(calls.get() + 1);
            match calls.get() {
                1 => Behaviour::Lost,
                _ => Behaviour::Answer(200, "<html>".to_owned()),
            }
        });
        gateway.deliver_all().await;
        for _ in 0..40 {
            cron(&world, &gateway, 4 * 3_600_000).await;
        }
        assert_eq!(world.db.count("dead_letters"), 0, "six days and sixteen hours");
        gateway.patch(&format!("/v1/contexts/{id}"), "dev-a", &json!({"data": [1]})).await;
        for _ in 0..4 {
            cron(&world, &gateway, 4 * 3_600_000).await;
        }
        let reason =
            world.db.cell(&format!("SELECT reason FROM dead_letters WHERE entity_id = '{id}'"));
        assert!(reason.unwrap().starts_with("the lookup of the entry failed"));
        world.services.set("chronicle", Behaviour::Work);
        until_told(&world, &gateway, "after the end").await;
        let told = |action: &str| {
            world.services.entries().iter().filter(|entry| entry["action"] == action).count()
        };
        assert_eq!((told("context.created"), told("context.updated")), (1, 1));
        // And a replay still asks first.
        gateway.post("/v1/events/dead-letters/replay", "dev-r+admin", &json!({"entity": id})).await;
        until_told(&world, &gateway, "replayed").await;
        assert_eq!(told("context.created"), 1);
    });
}

#[test]
fn an_outage_that_is_past_its_end_is_given_up_only_after_it_was_tried_often() {
    let (world, gateway) = World::warm();
    run(async {
        world.services.set("chronicle", Behaviour::Answer(403, "{}".to_owned()));
        gateway.create("dev-a", &json!({"name": "n"})).await;
        // The queue and the cron stood still for eight days.
        world.queue.messages.borrow_mut().clear();
        cron(&world, &gateway, 8 * 24 * 3_600_000).await;
        assert_eq!(world.db.count("dead_letters"), 0);
        for _ in 0..12 {
            cron(&world, &gateway, 700_000).await;
        }
        assert_eq!(world.db.count("dead_letters WHERE event_type = 'context.created'"), 1);
        // DNA was told meanwhile; and a replay has its own tries.
        let id = world.db.cell("SELECT chitty_id FROM contexts WHERE name = 'n'").unwrap();
        assert_eq!(world.services.lineage(&id), Some(Vec::new()));
        gateway.post("/v1/events/dead-letters/replay", "dev-r+admin", &json!({})).await;
        gateway.deliver_all().await;
        assert_eq!(world.db.count(&format!("{OPEN} AND event_type = 'context.created'")), 1);
        world.services.set("chronicle", Behaviour::Work);
        until_told(&world, &gateway, "replayed").await;
        assert_eq!(
            world.services.entries().iter().filter(|e| e["action"] == "context.created").count(),
            1
        );
    });
}

#[test]
fn a_dead_letter_replayed_after_its_row_was_forgotten_is_told_once() {
    let (world, gateway) = World::warm();
    run(async {
        world.services.set("chronicle", Behaviour::Answer(400, "{}".to_owned()));
        let id = gateway.create("dev-a", &json!({"name": "n"})).await;
        gateway.patch(&format!("/v1/contexts/{id}"), "dev-a", &json!({"data": [1]})).await;
        gateway.deliver_all().await;
        world.services.set("chronicle", Behaviour::Work);
        let all = json!({});
        gateway.post("/v1/events/dead-letters/replay", "dev-r+admin", &all).await;
        until_told(&world, &gateway, "replayed").await;
        let letters = world.db.cells("SELECT id FROM dead_letters");
        assert_eq!(letters.len(), 2);
        let told = || {
            let entries = world.services.entries();
            let of_it = entries.iter().filter(|entry| entry["metadata"]["entityId"] == *id);
            (of_it.count(), world.services.lineage(&id).unwrap().len())
        };
        assert_eq!(told(), (2, 1));
        // Eight days later the row is still there; and where it is not, nothing is told again either.
        cron(&world, &gateway, 8 * 24 * 3_600_000).await;
        let kept = format!("outbox WHERE entity_id = '{id}'");
        assert_eq!(world.db.count(&kept), 2, "as long as its letter");
        for forgotten in [false, true] {
            if forgotten {
                world.db.execute(&format!("DELETE FROM {kept}"));
            }
            for letter in &letters {
                let path = format!("/v1/events/dead-letters/{letter}/replay");
                let replayed = gateway.post(&path, "dev-r+admin", &json!(null)).await;
                assert_eq!(replayed.json["replayed"], 1);
            }
            // Twice, as a queue may, and to two isolates.
            let again = world.queue.messages.borrow().clone();
            let other = world.isolate();
            join(gateway.deliver_all(), async {
                for message in again {
                    let delivery = TestDelivery::new(message);
                    consumer::consume(&other.app, dead::CONTEXT_OPS, &[&delivery]).await;
                }
            })
            .await;
            until_told(&world, &gateway, "replayed again").await;
            assert_eq!(told(), (2, 1), "forgotten: {forgotten}");
        }
        assert_eq!(world.db.count("audit WHERE action = 'context.created' AND entity_type = 'context' AND actor_id = 'CHITTY-PEO-a'"), 1);
    });
}

#[test]
fn a_lineage_that_was_never_begun_begins_with_its_next_step() {
    let (world, gateway) = World::warm();
    let since = newest(&world);
    run(async {
        world.services.set("dna", Behaviour::Answer(422, "{}".to_owned()));
        let id = gateway.create("dev-a", &json!({"name": "n"})).await;
        gateway.deliver_all().await;
        assert_eq!(world.services.lineage(&id), None, "refused, and left out");
        world.services.set("dna", Behaviour::Work);
        gateway.patch(&format!("/v1/contexts/{id}"), "dev-a", &json!({"data": [1]})).await;
        until_told(&world, &gateway, "begun late").await;
        assert_eq!(world.services.lineage(&id).unwrap().len(), 1);
        assert_told_once(&world, &since, "begun late");
    });
}

#[test]
fn while_chronicle_asks_for_patience_the_others_are_told() {
    let (world, gateway) = World::warm();
    run(async {
        world.services.set("chronicle", Behaviour::Busy(429, 200));
        gateway.create("dev-a", &json!({"name": "first"})).await;
        gateway.deliver_all().await;
        let id = gateway.create("dev-a", &json!({"name": "second"})).await;
        gateway.deliver_all().await;
        assert_eq!(world.services.lineage(&id), Some(Vec::new()));
        assert_eq!(world.services.entries().len(), 0);
        let calls = world.services.calls("chronicle").len();
        assert_eq!(calls, 1, "it is left alone");
    });
}

#[test]
fn a_row_that_cannot_be_read_holds_up_no_other_of_its_entity() {
    let (world, gateway) = World::warm();
    run(async {
        let id = gateway.create("dev-a", &json!({"name": "n"})).await;
        gateway.deliver_all().await;
        world.db.execute(&format!(
            "INSERT INTO outbox (event_id, event_type, entity_type, entity_id, actor_id, \
             created_at, due_at) VALUES ('evt_x', 'context.exploded', 'context', '{id}', 'y', '', '')"
        ));
        for n in 0..3 {
            gateway.patch(&format!("/v1/contexts/{id}"), "dev-a", &json!({"data": [n]})).await;
            assert_eq!(gateway.deliver_all().await, [Verdict::Ack], "{n}: at once");
        }
        assert_eq!(world.services.entries().len(), 4);
    });
}

#[test]
fn a_report_that_only_the_queue_could_take_is_told_once_and_put_on_record() {
    let (world, gateway) = World::warm();
    let other = world.isolate();
    run(async {
        gateway.get("/v1/contexts", Some("dev-a")).await;
        world.db.reset_calls();
        world.db.set_fault(|call| if call == 1 { Fault::None } else { Fault::Before });
        gateway.post("/v1/contexts", "dev-a", &json!({"name": "n"})).await;
        world.db.set_fault(|_| Fault::None);
        let message = world.queue.messages.borrow_mut().remove(0);
        let consume = |isolate: &Isolate| {
            let (app, message) = (Rc::clone(&isolate.app), message.clone());
            async move {
                let delivery = TestDelivery::new(message);
                consumer::consume(&app, dead::CONTEXT_OPS, &[&delivery]).await;
            }
        };
        join(consume(&gateway), consume(&other)).await;
        assert_eq!(world.services.entries().len(), 1);
        assert_eq!(world.db.count("audit WHERE action = 'identity.orphaned'"), 1);
    });
}
