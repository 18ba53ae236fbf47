//! The outbox and its consumer: nothing lost, whatever fails.

use chitty_core::HttpMethod;
use chittyconnect::events::{consumer, dead};
use chittyconnect::tasks;
use seams::queue::Delivery;
use serde_json::json;

use crate::world::{Behaviour, Fault, TestDelivery, TestRequest, Verdict, World, run};

#[test]
fn an_event_survives_the_death_of_its_isolate() {
    let (world, gateway) = World::warm();
    run(async {
        let create = TestRequest::new("POST", "/v1/contexts").token("dev-a");
        let (made, _) = gateway.send_only(create.json(&json!({"name": "n"}))).await;
        assert_eq!(made.status, 201);
        drop(gateway);
        assert!(world.queue.messages.borrow().is_empty(), "nobody announced it");

        let next = world.isolate();
        tasks::scheduled(&next.app).await;
        assert!(world.queue.messages.borrow().is_empty(), "not overdue yet");
        world.advance_ms(60_000);
        tasks::scheduled(&next.app).await;
        next.deliver_all().await;
        assert_eq!(world.services.entries().len(), 1);
        for _ in 0..3 {
            world.advance_ms(3_600_000);
            tasks::scheduled(&next.app).await;
            next.deliver_all().await;
        }
        assert_eq!(world.services.entries().len(), 1, "told once");
    });
}

#[test]
fn a_failing_queue_fails_no_change() {
    let (world, gateway) = World::warm();
    world.queue.down.set(true);
    run(async {
        gateway.create("dev-a", &json!({"name": "n"})).await;
        world.queue.down.set(false);
        world.advance_ms(60_000);
        tasks::scheduled(&gateway.app).await;
        gateway.deliver_all().await;
        assert_eq!(world.services.entries().len(), 1);
    });
}

#[test]
fn a_repeated_delivery_has_its_effect_once() {
    let (world, gateway) = World::warm();
    run(async {
        gateway.create("dev-a", &json!({"name": "n"})).await;
        let message = world.queue.messages.borrow()[0].clone();
        for _ in 0..3 {
            let delivery = TestDelivery::new(message.clone());
            consumer::consume(&gateway.app, dead::CONTEXT_OPS, &[&delivery]).await;
            assert_eq!(delivery.verdict(), Verdict::Ack);
        }
        assert_eq!(world.services.entries().len(), 1);
    });
}

#[test]
fn one_bad_message_fails_no_other() {
    let (world, gateway) = World::warm();
    run(async {
        gateway.create("dev-a", &json!({"name": "n"})).await;
        let good = world.queue.messages.borrow()[0].clone();
        let unknown = good.replace("\"version\":\"1\"", "\"version\":\"9\"");
        let other = good.replace("context.created", "context.exploded");
        let not_text = TestDelivery { body: None, ..TestDelivery::new("") };
        let bad = ["", "{}", "null", "not json", &unknown, &other].map(TestDelivery::new);
        let good = TestDelivery::new(good);
        let mut batch: Vec<&dyn seams::queue::Delivery> = vec![&not_text];
        for delivery in &bad {
            batch.push(delivery);
        }
        batch.push(&good);
        consumer::consume(&gateway.app, dead::CONTEXT_OPS, &batch).await;
        assert_eq!(good.verdict(), Verdict::Ack);
        // What cannot be read is kept, not dropped and not tried in vain.
        for delivery in bad.iter().chain([&not_text]) {
            assert_eq!(delivery.verdict(), Verdict::Ack, "{:?}", delivery.body);
        }
        // Those two that say of which event they are share a letter.
        assert_eq!(world.db.count("dead_letters"), 6);
        let kept = "dead_letters WHERE body LIKE '%context.exploded%' AND entity_id IS NOT NULL";
        assert_eq!(world.db.count(kept), 1);
    });
}

#[test]
fn while_chronicle_is_down_messages_are_retried_with_growing_pauses_and_then_told() {
    let (world, gateway) = World::warm_with(&[("BREAKER_MIN_CALLS", Some("0"))]);
    run(async {
        gateway.create("dev-a", &json!({"name": "n"})).await;
        let message = world.queue.messages.borrow_mut().remove(0);
        world.services.set("chronicle", Behaviour::Busy(503, 1));
        let mut verdicts = Vec::new();
        for attempts in 1..=4 {
            let delivery = TestDelivery { attempts, ..TestDelivery::new(message.clone()) };
            consumer::consume(&gateway.app, dead::CONTEXT_OPS, &[&delivery]).await;
            verdicts.push(delivery.verdict());
        }
        // Two tries by the queue; the sweep has the rest.
        assert_eq!(verdicts, [Verdict::Retry(2), Verdict::Retry(4), Verdict::Ack, Verdict::Ack]);
        let error = world.db.cell("SELECT last_error FROM outbox WHERE done_at IS NULL").unwrap();
        assert!(error.contains("chittychronicle"), "{error}");

        world.advance_ms(2000);
        world.services.set("chronicle", Behaviour::Busy(429, 40));
        let delivery = TestDelivery::new(message);
        consumer::consume(&gateway.app, dead::CONTEXT_OPS, &[&delivery]).await;
        assert_eq!(delivery.verdict(), Verdict::Retry(40), "as long as Chronicle asks");

        world.services.set("chronicle", Behaviour::Work);
        world.advance_ms(60_000);
        tasks::scheduled(&gateway.app).await;
        gateway.deliver_all().await;
        assert_eq!(world.services.entries().len(), 1);
        assert_eq!(world.db.count("outbox WHERE done_at IS NULL OR last_error IS NOT NULL"), 0);
    });
}

#[test]
fn with_the_database_down_no_message_is_acknowledged() {
    let (world, gateway) = World::warm();
    run(async {
        gateway.create("dev-a", &json!({"name": "n"})).await;
        let message = world.queue.messages.borrow()[0].clone();
        world.db.set_fault(|_| Fault::Before);
        for isolate in [&gateway, &world.isolate()] {
            let delivery = TestDelivery::new(message.clone());
            consumer::consume(&isolate.app, dead::CONTEXT_OPS, &[&delivery]).await;
            assert!(matches!(delivery.verdict(), Verdict::Retry(_)));
        }
        assert_eq!(world.services.entries().len(), 0);
    });
}

#[test]
fn a_sweep_is_bounded_goes_oldest_first_and_gives_way() {
    let (world, gateway) = World::warm();
    world.db.execute(
        "WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < 4099) \
         INSERT INTO outbox (event_id, event_type, entity_type, entity_id, actor_id, created_at, \
         due_at) SELECT format('evt_%04d', n), 'context.created', 'context', 'x', 'y', \
         '2026-01-01T00:00:00.000Z', format('2026-01-01T00:%02d:00.000Z', n / 100) FROM numbers",
    );
    run(async {
        tasks::scheduled(&gateway.app).await;
        assert_eq!(
            world.queue.messages.borrow().len(),
            4000,
            "a minute of five million a day and more"
        );
        assert!(world.queue.messages.borrow()[0].contains("evt_0000"));
        tasks::scheduled(&gateway.app).await;
        assert_eq!(world.queue.messages.borrow().len(), 4100, "the next ones, not the same");
        gateway.deliver_all().await;
        let told: Vec<String> = world
            .services
            .entries()
            .iter()
            .map(|entry| entry["metadata"]["eventId"].as_str().unwrap().to_owned())
            .collect();
        let expected: Vec<String> = (0..4100).map(|n| format!("evt_{n:04}")).collect();
        assert_eq!(told, expected, "each once, in the order of commit");
        // A row that nobody can read keeps nothing from its turn.
        world.db.execute("UPDATE outbox SET event_type = 'unheard.of', due_at = '' WHERE seq = 5");
        world.db.execute("UPDATE outbox SET done_at = NULL WHERE seq = 5");
        tasks::scheduled(&gateway.app).await;
    });
}

#[test]
fn what_is_long_done_is_forgotten_and_nothing_else() {
    let (world, gateway) = World::warm();
    run(async {
        let create = TestRequest::new("POST", "/v1/contexts").token("dev-a");
        let create = create.json(&json!({"name": "n"})).header("idempotency-key", "k");
        gateway.send(create).await;
        gateway.deliver_all().await;
        world.services.set("chronicle", Behaviour::Hang);
        gateway.create("dev-a", &json!({"name": "m"})).await;
        gateway.deliver_all().await;
        world.advance_ms(6 * 24 * 3_600_000);
        tasks::scheduled(&gateway.app).await;
        assert_eq!(world.db.count("outbox"), 4, "the registration's two, and two");
        assert_eq!(world.db.count("idempotency_keys"), 0);
        world.advance_ms(2 * 24 * 3_600_000);
        tasks::scheduled(&gateway.app).await;
        assert_eq!(world.db.count("outbox"), 1, "what was never told stays");
    });
}

/// The ids of the events in ChittyChronicle, in their order.
fn told(world: &World) -> Vec<String> {
    let id = |entry: &serde_json::Value| entry["metadata"]["eventId"].as_str().unwrap().to_owned();
    world.services.entries().iter().map(id).collect()
}

#[test]
fn events_of_one_entity_are_told_in_order_whatever_order_they_arrive_in() {
    let (world, one) = World::warm();
    let other = world.isolate();
    run(async {
        let id = one.create("dev-a", &json!({"name": "n"})).await;
        for n in 0..5 {
            let body = json!({"name": format!("n{n}")});
            one.patch(&format!("/v1/contexts/{id}"), "dev-a", &body).await;
        }
        let mut messages = std::mem::take(&mut *world.queue.messages.borrow_mut());
        messages.reverse();
        let deliveries: Vec<TestDelivery> = messages.into_iter().map(TestDelivery::new).collect();
        let consumed = deliveries.iter().enumerate().map(|(n, delivery)| {
            let isolate = if n % 2 == 0 { &one } else { &other };
            let app = std::rc::Rc::clone(&isolate.app);
            async move { consumer::consume(&app, dead::CONTEXT_OPS, &[delivery]).await }
        });
        futures_util::future::join_all(consumed).await;
        assert_eq!(
            told(&world),
            world.db.cells("SELECT event_id FROM outbox WHERE entity_id LIKE '%2' ORDER BY seq")
        );
        assert_eq!(told(&world).len(), 6, "each once");
    });
}

#[test]
fn who_dies_between_an_entry_and_its_note_leaves_no_second_entry() {
    let (world, gateway) = World::warm();
    run(async {
        gateway.create("dev-a", &json!({"name": "n"})).await;
        let message = world.queue.messages.borrow()[0].clone();
        world.db.reset_calls();
        // The claim works, the note does not.
        world.db.set_fault(|call| if call == 1 { Fault::None } else { Fault::Before });
        let first = TestDelivery::new(message.clone());
        consumer::consume(&gateway.app, dead::CONTEXT_OPS, &[&first]).await;
        assert!(matches!(first.verdict(), Verdict::Retry(_)));
        world.db.set_fault(|_| Fault::None);
        assert_eq!(world.services.entries().len(), 1);
        let asked = || {
            let calls = world.services.calls("chronicle");
            calls.iter().filter(|call| call.method == HttpMethod::Get).count()
        };
        assert_eq!(asked(), 0, "what nobody has begun is not in doubt");
        // Nobody else takes it while the lease lasts.
        let early = TestDelivery::new(message.clone());
        consumer::consume(&gateway.app, dead::CONTEXT_OPS, &[&early]).await;
        assert!(matches!(early.verdict(), Verdict::Retry(_)));
        world.advance_ms(60_000);
        let late = TestDelivery::new(message);
        consumer::consume(&gateway.app, dead::CONTEXT_OPS, &[&late]).await;
        assert_eq!(late.verdict(), Verdict::Ack);
        assert_eq!(world.services.entries().len(), 1, "it was there already");
        assert!(asked() > 0, "it is looked for before it is told again");
        assert_eq!(world.db.count("outbox WHERE done_at IS NULL"), 0);
    });
}

#[test]
fn an_answer_that_got_lost_leaves_no_second_entry_and_one_that_said_no_is_repeated() {
    let (world, gateway) = World::warm_with(&[("BREAKER_MIN_CALLS", Some("0"))]);
    run(async {
        gateway.create("dev-a", &json!({"name": "n"})).await;
        let message = world.queue.messages.borrow()[0].clone();
        world.services.set("chronicle", Behaviour::Lost);
        for behaviour in [Behaviour::Lost, Behaviour::Busy(429, 1), Behaviour::Work] {
            world.services.set("chronicle", behaviour);
            let delivery = TestDelivery::new(message.clone());
            consumer::consume(&gateway.app, dead::CONTEXT_OPS, &[&delivery]).await;
            world.advance_ms(61_000);
        }
        assert_eq!(world.services.entries().len(), 1);
        assert_eq!(world.db.count("outbox WHERE done_at IS NULL"), 0);
    });
}

#[test]
fn what_chronicle_refuses_is_kept_and_can_be_replayed() {
    const ADMIN: &str = "dev-root+admin";
    let (world, gateway) = World::warm();
    run(async {
        world.services.set("chronicle", Behaviour::Answer(400, "{}".to_owned()));
        let id = gateway.create("dev-a", &json!({"name": "n"})).await;
        assert_eq!(gateway.deliver_all().await, [Verdict::Ack]);
        let letters =
            gateway.get("/v1/events/dead-letters?type=context.created", Some(ADMIN)).await;
        assert_eq!(letters.json["count"], 1);
        let letter = letters.json["dead_letters"][0].clone();
        assert_eq!(letter["entity_id"], id);
        let path = format!("/v1/events/dead-letters/{}", letter["id"].as_str().unwrap());
        assert_eq!(gateway.get(&path, Some(ADMIN)).await.json, letter);
        for refused in [
            gateway.get(&path, Some("dev-a")).await,
            gateway.post(&format!("{path}/replay"), "dev-a", &json!(null)).await,
            gateway.delete(&path, "dev-a").await,
        ] {
            assert_eq!(refused.code(), "insufficient_scope");
        }
        // It waits for somebody to look at it.
        world.advance_ms(3_600_000);
        tasks::scheduled(&gateway.app).await;
        gateway.deliver_all().await;
        assert_eq!(world.db.count("outbox WHERE dead_at IS NOT NULL AND done_at IS NULL"), 1);

        world.services.set("chronicle", Behaviour::Work);
        for _ in 0..2 {
            let replayed = gateway.post(&format!("{path}/replay"), ADMIN, &json!(null)).await;
            assert_eq!(replayed.json["replayed"], 1, "{replayed:?}");
            gateway.deliver_all().await;
        }
        let entries = world.services.entries();
        let told = entries.iter().filter(|entry| entry["action"] == "context.created");
        assert_eq!(told.count(), 1, "replayed twice, told once");
        let timeline = gateway.get(&format!("/v1/events?entity={id}"), Some("dev-a")).await;
        assert_eq!(timeline.json["events"][0]["told"], true);
        assert_eq!(gateway.get("/metrics", None).await.status, 200);
        assert_eq!(gateway.delete(&path, ADMIN).await.status, 200);
        assert_eq!(gateway.delete(&path, ADMIN).await.code(), "not_found");
        let none = gateway.post("/v1/events/dead-letters/replay", ADMIN, &json!({})).await;
        assert_eq!(none.json["replayed"], 0);
    });
}

#[test]
fn the_dead_letter_queue_is_kept_but_for_what_the_outbox_knows() {
    let (world, gateway) = World::warm();
    run(async {
        gateway.create("dev-a", &json!({"name": "n"})).await;
        let known = TestDelivery::new(world.queue.messages.borrow()[0].clone());
        let unknown = TestDelivery::new("{\"version\":\"7\",\"id\":\"evt_9\",\"type\":\"x\"}");
        chittyconnect::tasks::consume(&gateway.app, "chittyconnect-dlq", &[&known, &unknown]).await;
        assert_eq!((known.verdict(), unknown.verdict()), (Verdict::Ack, Verdict::Ack));
        assert_eq!(world.db.count("dead_letters"), 1);
        assert_eq!(world.db.count("dead_letters WHERE event_id = 'evt_9' AND event_type = 'x'"), 1);
        world.db.set_fault(|_| Fault::Before);
        let kept = TestDelivery::new("x");
        chittyconnect::tasks::consume(&gateway.app, "chittyconnect-dlq", &[&kept]).await;
        assert!(matches!(kept.verdict(), Verdict::Retry(_)), "it waits in the queue");
    });
}

#[test]
fn an_entitys_own_timeline_is_there_at_once_for_who_may_see_it() {
    let (world, gateway) = World::warm();
    world.services.set("chronicle", Behaviour::Unreachable);
    run(async {
        let id = gateway.create("dev-a", &json!({"name": "n"})).await;
        let path = format!("/v1/contexts/{id}");
        gateway.patch(&path, "dev-a", &json!({"name": "m"})).await;
        gateway.delete(&path, "dev-a").await;
        let target = format!("/v1/events?entity={id}");
        let timeline = gateway.get(&target, Some("dev-a")).await;
        let types: Vec<&str> = timeline.json["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["type"].as_str().unwrap())
            .collect();
        assert_eq!(types, ["context.deleted", "context.updated", "context.created"]);
        assert_eq!(timeline.json["events"][0]["told"], false);
        let page = gateway.get(&format!("{target}&limit=2"), Some("dev-a")).await;
        let next = page.json["next_cursor"].as_str().unwrap();
        let rest = gateway.get(&format!("{target}&limit=2&cursor={next}"), Some("dev-a")).await;
        assert_eq!((page.json["count"].as_i64(), rest.json["count"].as_i64()), (Some(2), Some(1)));
        assert_eq!(gateway.get(&target, Some("dev-b")).await.code(), "not_found");
        assert_eq!(gateway.get(&target, Some("dev-root+admin")).await.json["count"], 3);
        assert_eq!(
            gateway.get("/v1/events?entity=x", Some("dev-root+admin")).await.code(),
            "not_found"
        );
    });
}

#[test]
fn a_lineage_begins_and_goes_on_and_its_service_holds_nothing_up() {
    let (world, gateway) = World::warm();
    run(async {
        world.services.set("dna", Behaviour::Unreachable);
        let id = gateway.create("dev-a", &json!({"name": "n"})).await;
        let path = format!("/v1/contexts/{id}");
        gateway.patch(&path, "dev-a", &json!({"name": "m"})).await;
        gateway.deliver_all().await;
        assert_eq!(
            world.services.entries().len(),
            2,
            "Chronicle is told although ChittyDNA is down"
        );
        assert_eq!(world.db.count("outbox WHERE done_at IS NULL"), 2);
        world.services.set("dna", Behaviour::Work);
        world.services.reset_calls();
        world.advance_ms(120_000);
        tasks::scheduled(&gateway.app).await;
        gateway.deliver_all().await;
        let calls: Vec<String> =
            world.services.calls("dna").iter().map(|call| call.url.clone()).collect();
        assert!(calls[0].ends_with("/initialize") && calls[1].ends_with("/evolve"), "{calls:?}");
        assert_eq!((calls.len(), world.services.entries().len()), (2, 0));
        assert_eq!(world.db.count("outbox WHERE done_at IS NULL"), 0);
        // One that refuses is left out.
        world.services.set("dna", Behaviour::Answer(422, "{}".to_owned()));
        gateway.delete(&path, "dev-a").await;
        assert_eq!(gateway.deliver_all().await, [Verdict::Ack]);
        assert_eq!(world.db.count("outbox WHERE done_at IS NULL"), 0);
    });
}

#[test]
fn the_entities_of_a_batch_are_claimed_in_one_round_trip() {
    let (world, gateway) = World::warm();
    run(async {
        let mut ids = Vec::new();
        for name in ["a", "b", "c", "d", "e"] {
            ids.push(gateway.create("dev-a", &json!({"name": name})).await);
        }
        let bodies = world.queue.messages.take();
        let deliveries: Vec<TestDelivery> = bodies.into_iter().map(TestDelivery::new).collect();
        let batch: Vec<&dyn Delivery> = deliveries.iter().map(|one| one as &dyn Delivery).collect();
        world.db.reset_calls();
        consumer::consume(&gateway.app, dead::CONTEXT_OPS, &batch).await;
        // One for the leases, and one for each to note what has become of it.
        assert_eq!(world.db.calls(), 1 + ids.len());
        assert!(deliveries.iter().all(|one| one.verdict() == Verdict::Ack));
        let entries = world.services.entries();
        for id in ids {
            let of_it = entries.iter().filter(|entry| entry["metadata"]["entityId"] == *id);
            assert_eq!(of_it.count(), 1, "{id}");
        }
    });
}
