//! The outbox and its consumer: nothing lost, whatever fails.

use chittyconnect::events::consumer;
use chittyconnect::tasks;
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
            consumer::consume(&gateway.app, &[&delivery]).await;
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
        let mut batch: Vec<&dyn chittyconnect::platform::queue::Delivery> = vec![&not_text];
        for delivery in &bad {
            batch.push(delivery);
        }
        batch.push(&good);
        consumer::consume(&gateway.app, &batch).await;
        assert_eq!(good.verdict(), Verdict::Ack);
        for delivery in bad.iter().chain([&not_text]) {
            assert!(matches!(delivery.verdict(), Verdict::Retry(_)), "{:?}", delivery.body);
        }
    });
}

#[test]
fn while_chronicle_is_down_messages_are_retried_with_growing_pauses_and_then_told() {
    let (world, gateway) = World::warm_with(&[("BREAKER_MIN_CALLS", Some("0"))]);
    run(async {
        gateway.create("dev-a", &json!({"name": "n"})).await;
        let message = world.queue.messages.borrow_mut().remove(0);
        world.services.set("chronicle", Behaviour::Busy(503, 1));
        let mut pauses = Vec::new();
        for attempts in 1..=12 {
            let delivery = TestDelivery { attempts, ..TestDelivery::new(message.clone()) };
            consumer::consume(&gateway.app, &[&delivery]).await;
            let Verdict::Retry(pause) = delivery.verdict() else { panic!("acknowledged") };
            pauses.push(pause);
        }
        assert!(pauses[0] <= 2 && pauses.iter().all(|pause| (1..=300).contains(pause)));
        assert!(pauses[11] >= 64, "{pauses:?}");
        let error = world.db.cell("SELECT last_error FROM outbox WHERE done_at IS NULL").unwrap();
        assert!(error.contains("chittychronicle"), "{error}");

        world.services.set("chronicle", Behaviour::Busy(429, 40));
        let delivery = TestDelivery::new(message);
        consumer::consume(&gateway.app, &[&delivery]).await;
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
            consumer::consume(&isolate.app, &[&delivery]).await;
            assert!(matches!(delivery.verdict(), Verdict::Retry(_)));
        }
        assert_eq!(world.services.entries().len(), 0);
    });
}

#[test]
fn a_sweep_is_bounded_goes_oldest_first_and_gives_way() {
    let (world, gateway) = World::warm();
    for n in 0..250 {
        world.db.execute(&format!(
            "INSERT INTO outbox (event_id, event_type, entity_type, entity_id, actor_id, \
             created_at, due_at) VALUES ('evt_{n:03}', 'context.created', 'context', 'x', 'y', \
             '2026-01-01T00:00:00.000Z', '2026-01-01T00:{:02}:00.000Z')",
            n / 5
        ));
    }
    run(async {
        tasks::scheduled(&gateway.app).await;
        assert_eq!(world.queue.messages.borrow().len(), 100);
        assert!(world.queue.messages.borrow()[0].contains("evt_000"));
        tasks::scheduled(&gateway.app).await;
        assert_eq!(world.queue.messages.borrow().len(), 200, "the next ones, not the same");
        gateway.deliver_all().await;
        tasks::scheduled(&gateway.app).await;
        assert_eq!(world.queue.messages.borrow().len(), 50);
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
