//! Webhooks of GitHub: each has its effect once and in order, whatever fails.

use chittyconnect::github::installations;
use chittyconnect::github::payload::Facts;
use chittyconnect::store::Ready;
use chittyconnect::tasks;
use serde_json::{Value, json};

use crate::world::{
    Behaviour, Fault, Isolate, TestDelivery, TestRequest, Verdict, World, run, signed,
};

const ADMIN: &str = "dev-root+admin";

fn push(commit: &str) -> Value {
    json!({
        "ref": "refs/heads/main", "before": "0", "after": commit, "commits": [{}, {}],
        "repository": {"id": 7, "full_name": "octo/hello"}, "installation": {"id": 3},
        "sender": {"id": 9, "login": "octo-person", "type": "User"},
    })
}

fn installation(action: &str, updated_at: &str) -> Value {
    json!({
        "action": action,
        "installation": {
            "id": 3, "account": {"id": 8, "login": "octo", "type": "Organization"},
            "repository_selection": "selected", "permissions": {"checks": "write"},
            "events": ["push"], "created_at": "2026-01-01T00:00:00Z", "updated_at": updated_at,
            "suspended_at": if action == "suspend" { Some(updated_at) } else { None },
        },
        "repositories": [{"id": 7, "full_name": "octo/hello", "private": true}],
        "sender": {"id": 9, "login": "octo-person", "type": "User"},
    })
}

/// Lets time pass until nothing is open any more.
async fn settle(world: &World, gateway: &Isolate) {
    for _ in 0..8 {
        world.advance_ms(700_000);
        tasks::scheduled(&gateway.app).await;
        gateway.deliver_webhooks().await;
        gateway.deliver_all().await;
    }
    let open = "SELECT (SELECT count(*) FROM github_deliveries WHERE done_at IS NULL) + \
         (SELECT count(*) FROM outbox WHERE done_at IS NULL)";
    assert_eq!(world.db.cell(open).unwrap(), "0");
}

/// What Chronicle was told, as `action delivery`.
fn told(world: &World) -> Vec<String> {
    let entries = world.services.entries();
    let text = |entry: &Value| {
        let action = entry["action"].as_str().unwrap().to_owned();
        match entry["metadata"]["payload"]["delivery_id"].as_str() {
            Some(id) => format!("{action} {id}"),
            None => action,
        }
    };
    entries.iter().map(text).collect()
}

#[test]
fn a_delivery_becomes_one_entry_with_an_identity_and_nothing_personal() {
    let (world, gateway) = World::warm();
    run(async {
        let answer = gateway.webhook("d-1", "push", &push("c1")).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        assert_eq!(answer.json["delivery_id"], "d-1");
        assert_eq!(gateway.deliver_webhooks().await, [Verdict::Ack]);
        gateway.deliver_all().await;
        assert_eq!(told(&world), ["github.push d-1"]);
        let entry = &world.services.entries()[0];
        assert_eq!(entry["metadata"]["payload"]["commits"], 2);
        assert_eq!(entry["metadata"]["entityType"], "repository");
        assert!(entry["metadata"]["payload"]["chitty_id"].is_string(), "{entry}");
        assert!(!world.db.dump().contains("octo-person"));
        // Again, before and after the first look would tell.
        for seen in [true, false] {
            if !seen {
                world.seen_deliveries.values.borrow_mut().clear();
            }
            assert_eq!(gateway.webhook("d-1", "push", &push("c1")).await.status, 202);
            assert_eq!(gateway.deliver_webhooks().await, [Verdict::Ack]);
        }
        settle(&world, &gateway).await;
        assert_eq!(told(&world).len(), 1);
        assert_eq!(world.services.calls("id").len(), 1, "one delivery, one identity");
    });
}

#[test]
fn what_is_not_signed_leaves_nothing() {
    let (world, gateway) = World::warm();
    run(async {
        let body = push("c").to_string();
        let good = || signed("d-1", "push", body.as_bytes());
        let other = format!("sha256={:064}", 0);
        for request in [
            good().body("{}"),
            good().header("x-hub-signature-256", ""),
            good().header("x-hub-signature-256", &other),
            good().header("x-hub-signature-256", "sha1=0000000000000000000000000000000000000000"),
            // Nothing else is said before the signature is good.
            good().header("x-hub-signature-256", &other).header("x-github-event", ""),
        ] {
            let answer = gateway.send(request).await;
            assert_eq!((answer.status, &answer.json["code"]), (401, &json!("invalid_signature")));
        }
        for name in ["x-github-event", "x-github-delivery"] {
            for value in ["", "Sp ace", "x\u{e9}", &"x".repeat(65)] {
                assert_eq!(gateway.send(good().header(name, value)).await.status, 400, "{value}");
            }
        }
        let latin = gateway.send(signed("d-1", "push", &[b'"', 0xe9, b'"'])).await;
        assert_eq!(latin.status, 400);
        assert!(world.github_events.messages.borrow().is_empty());
    });
}

/// A long payload from an address, signed or not.
fn long(bytes: usize, address: &str, is_signed: bool) -> TestRequest {
    let repository = r#""repository":{"id":7,"full_name":"octo/hello"}"#;
    let body = format!("{{{repository},\"x\":\"{}\"}}", "x".repeat(bytes));
    let request = signed("d-long", "push", body.as_bytes());
    let request = request.header("content-length", &body.len().to_string());
    let request = request.header("cf-connecting-ip", address);
    let wrong = format!("sha256={:064}", 0);
    if is_signed { request } else { request.header("x-hub-signature-256", &wrong) }
}

#[test]
fn who_declares_much_and_sends_little_keeps_nobody_out_and_not_for_long() {
    let (world, gateway) = World::warm();
    run(async {
        // Twenty times what the isolate may hold, declared from ten addresses; a piece of each comes.
        let stalled = (0..40).map(|n| {
            let mut request = long(200_000, &format!("192.0.2.{}", n % 10), false);
            request.stalls_after = Some(64 << 10);
            gateway.send(request.header("content-length", "26214400"))
        });
        let from_ms = world.clock_ms();
        let good = gateway.send(long(2_000_000, "203.0.113.1", true));
        let (answers, good) =
            futures_util::future::join(futures_util::future::join_all(stalled), good).await;
        assert_eq!(good.status, 202, "{}", good.text);
        assert!(answers.iter().all(|answer| answer.code() == "not_ready"));
        // The clock of this test goes on a second for each of the forty that looks at it.
        let passed_s = (world.clock_ms() - from_ms) / 1000;
        assert!(passed_s <= 41 * 9, "{passed_s}");
        let again = gateway.send(long(20_000_000, "203.0.113.1", true)).await;
        assert_eq!(again.status, 202, "all of it was given back: {}", again.text);
    });
}

#[test]
fn one_sender_holds_half_of_the_memory_at_most() {
    let (_, gateway) = World::warm();
    run(async {
        let slow = |address: &'static str| {
            let mut request = long(20_000_000, address, false);
            request.stalls_after = Some(9_000_000);
            gateway.send(request)
        };
        let held = futures_util::future::join_all((0..6).map(|_| slow("192.0.2.1")));
        let good = gateway.send(long(9_000_000, "203.0.113.1", true));
        let (held, good) = futures_util::future::join(held, good).await;
        assert_eq!(good.status, 202, "{}", good.text);
        assert!(held.iter().all(|answer| answer.code() == "not_ready"));
    });
}

#[test]
fn who_sends_long_bodies_that_are_not_githubs_is_not_listened_to_for_a_while() {
    let (world, gateway) = World::warm_with(&[("RATE_LIMIT_WEBHOOK", Some("100"))]);
    run(async {
        let mut codes = Vec::new();
        for n in 0..12 {
            let mut request = long(200_000, "192.0.2.1", false);
            request.stalls_after = (n % 3 == 0).then_some(64 << 10);
            codes.push(gateway.send(request).await.code().to_owned());
        }
        assert!(codes[..8].iter().all(|code| code != "rate_limited"), "{codes:?}");
        assert!(codes[10..].iter().all(|code| code == "rate_limited"), "{codes:?}");
        // Before its body is read, so that one that never comes costs nothing.
        let mut request = long(200_000, "192.0.2.1", false);
        request.stalls_after = Some(0);
        let before_ms = world.clock_ms();
        assert_eq!(gateway.send(request).await.code(), "rate_limited");
        assert_eq!(world.clock_ms(), before_ms);
        assert_eq!(gateway.send(long(200_000, "203.0.113.1", true)).await.status, 202, "another");
        // What is short is judged by its signature, as ever.
        assert_eq!(gateway.send(long(2_000, "192.0.2.1", true)).await.status, 202);
        world.advance_ms(60_000);
        assert_eq!(gateway.send(long(200_000, "192.0.2.1", true)).await.status, 202);
    });
}

#[test]
fn what_is_not_handed_over_is_not_acknowledged() {
    let (world, gateway) = World::warm();
    run(async {
        world.github_events.down.set(true);
        assert_eq!(gateway.webhook("d-1", "push", &push("c")).await.status, 503);
        let long = json!({"ref": "x".repeat(200_000), "repository": {"id": 7, "full_name": "o/r"}});
        world.cache.down.set(true);
        assert_eq!(gateway.webhook("d-2", "push", &long).await.status, 503);
        // And when they come again they are taken.
        world.github_events.down.set(false);
        world.cache.down.set(false);
        assert_eq!(gateway.webhook("d-1", "push", &push("c")).await.status, 202);
        assert_eq!(gateway.webhook("d-2", "push", &long).await.status, 202);
        assert!(world.github_events.messages.borrow().iter().all(|text| text.len() < 128_000));
        gateway.deliver_webhooks().await;
        settle(&world, &gateway).await;
        assert_eq!(told(&world), ["github.push d-1", "github.push d-2"]);
        let payloads = |key: &&String| key.starts_with("github/payload/");
        let stored = world.cache.values.borrow().keys().filter(payloads).count();
        assert_eq!(stored, 0, "the stored payload is let go of");
    });
}

#[test]
fn a_stored_payload_may_be_late_and_one_that_is_gone_is_a_dead_letter() {
    let (world, gateway) = World::warm();
    run(async {
        let mut long = push("c");
        long["x"] = "x".repeat(200_000).into();
        assert_eq!(gateway.webhook("d-1", "push", &long).await.status, 202);
        let stored = std::mem::take(&mut *world.cache.values.borrow_mut());
        let message = world.github_events.messages.borrow_mut().pop().unwrap();
        let deliver = |attempts| {
            let delivery = TestDelivery { attempts, ..TestDelivery::new(message.clone()) };
            let gateway = gateway.clone();
            async move {
                tasks::consume(&gateway.app, "test-github-events", &[&delivery]).await;
                delivery.verdict()
            }
        };
        assert!(matches!(deliver(1).await, Verdict::Retry(_)));
        // Neither often alone, nor long alone, is enough.
        assert!(matches!(deliver(9).await, Verdict::Retry(_)));
        world.advance_ms(600_000);
        assert!(matches!(deliver(1).await, Verdict::Retry(_)));
        assert_eq!(deliver(4).await, Verdict::Ack);
        let letters = gateway.get("/v1/events/dead-letters", Some(ADMIN)).await;
        assert_eq!(letters.json["dead_letters"][0]["event_id"], "d-1");
        assert_eq!(letters.json["dead_letters"][0]["queue"], "EVENT_Q");
        // It turns up after all, and the letter is replayed.
        *world.cache.values.borrow_mut() = stored;
        let id = letters.json["dead_letters"][0]["id"].as_str().unwrap();
        let path = format!("/v1/events/dead-letters/{id}/replay");
        assert_eq!(gateway.post(&path, ADMIN, &json!(null)).await.status, 200);
        gateway.deliver_webhooks().await;
        gateway.deliver_all().await;
        assert!(told(&world).contains(&"github.push d-1".to_owned()), "{:?}", told(&world));
    });
}

#[test]
fn one_that_cannot_be_read_fails_no_other() {
    let (world, gateway) = World::warm();
    run(async {
        gateway.webhook("d-2", "push", &push("c")).await;
        let mut messages = std::mem::take(&mut *world.github_events.messages.borrow_mut());
        let (head, _) = messages[0].split_once('\n').unwrap();
        messages.push(format!("{}\nnot json", head.replace("d-2", "d-1")));
        messages.push(messages[0].replace("\"version\":\"1\"", "\"version\":\"2\""));
        messages.push("nonsense".to_owned());
        let batch: Vec<TestDelivery> = messages.into_iter().map(TestDelivery::new).collect();
        let not_text = TestDelivery { body: None, ..TestDelivery::new("") };
        let mut deliveries: Vec<&dyn seams::queue::Delivery> = vec![&not_text];
        for delivery in &batch {
            deliveries.push(delivery);
        }
        tasks::consume(&gateway.app, "test-github-events", &deliveries).await;
        assert!(batch.iter().all(|delivery| delivery.verdict() == Verdict::Ack));
        gateway.deliver_all().await;
        assert_eq!(told(&world), ["github.push d-2"]);
        let letters = gateway.get("/v1/events/dead-letters", Some(ADMIN)).await;
        assert_eq!(letters.json["count"], 4);
    });
}

#[test]
fn deliveries_of_one_repository_are_told_in_the_order_in_which_they_were_taken() {
    let (world, gateway) = World::warm();
    run(async {
        // ChittyID is down: nothing can be dealt with, all is recorded.
        world.services.set("id", Behaviour::Unreachable);
        for n in 0..30 {
            world.advance_ms(1);
            gateway.webhook(&format!("d-{n:02}"), "push", &push("c")).await;
        }
        // The queue keeps no order.
        world.github_events.messages.borrow_mut().reverse();
        let verdicts = gateway.deliver_webhooks().await;
        assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Ack), "on record is taken");
        assert!(told(&world).is_empty());
        world.services.set("id", Behaviour::Work);
        settle(&world, &gateway).await;
        let expected: Vec<String> = (0..30).map(|n| format!("github.push d-{n:02}")).collect();
        assert_eq!(told(&world), expected);
    });
}

#[test]
fn an_identity_that_was_minted_for_a_delivery_and_not_kept_is_reported_once() {
    // The id is put on record where it is minted, and once more where the delivery is given back.
    for (fault, times, strays) in
        [(Fault::Before, 1, 0), (Fault::Before, 2, 1), (Fault::After, 1, 0), (Fault::After, 2, 0)]
    {
        let (world, gateway) = World::warm();
        run(async {
            world.services.reset_calls();
            gateway.webhook("d-1", "push", &push("c")).await;
            world.db.set_fault_at("chitty_id = coalesce(chitty_id", fault, times);
            gateway.deliver_webhooks().await;
            settle(&world, &gateway).await;
            // It may be attempted again for a while.
            world.advance_ms(2 * 3_600_000);
            settle(&world, &gateway).await;
            let kept = world.db.cells("SELECT chitty_id FROM github_deliveries");
            let mints: Vec<(String, String)> = world
                .services
                .mints()
                .into_iter()
                .filter(|(_, intent)| intent.ends_with("_d-1"))
                .collect();
            assert_eq!(mints.len(), 1 + strays, "{mints:?}");
            assert_eq!(kept, [mints.last().unwrap().0.as_str()]);
            // Both were under one intent, by which ChittyID knows the one that nobody uses.
            let reports = world
                .db
                .cells("SELECT entity_id FROM outbox WHERE event_type = 'identity.orphaned'");
            let expected: Vec<&str> =
                mints.iter().take(strays).map(|(_, intent)| intent.as_str()).collect();
            assert_eq!(reports, expected);
            assert_eq!(world.db.count("mint_intents"), 0);
        });
    }
}

#[test]
fn an_installation_has_one_row_one_identity_and_one_lineage() {
    let (world, gateway) = World::warm();
    run(async {
        for (id, action, at) in [
            ("d-1", "created", "2026-01-01T00:00:00Z"),
            ("d-2", "suspend", "2026-01-01T02:00:00Z"),
            // Late: it says less than is known already.
            ("d-3", "new_permissions_accepted", "2026-01-01T01:00:00Z"),
        ] {
            world.advance_ms(10);
            gateway.webhook(id, "installation", &installation(action, at)).await;
            gateway.deliver_webhooks().await;
        }
        gateway.deliver_all().await;
        let list = gateway.get("/v1/github/installations?owner=all", Some(ADMIN)).await;
        assert_eq!(list.json["count"], 1, "{list:?}");
        let one = &list.json["installations"][0];
        assert_eq!((&one["status"], &one["account"]), (&json!("suspended"), &json!("octo")));
        assert_eq!(one["suspended_at"], "2026-01-01T02:00:00.000Z");
        // What there is not is null, and what is JSON is not text.
        assert_eq!(one.get("uninstalled_at"), Some(&Value::Null));
        assert_eq!(
            (&one["permissions"]["checks"], &one["events"]),
            (&json!("write"), &json!(["push"]))
        );
        // Nobody owns it, so nobody else sees it.
        let id = one["chitty_id"].as_str().unwrap();
        for path in ["/v1/github/installations/3", &format!("/v1/github/installations/{id}")] {
            assert_eq!(gateway.get(path, Some("dev-a")).await.status, 404);
            assert_eq!(gateway.get(path, Some(ADMIN)).await.status, 200);
        }
        assert_eq!(
            gateway.get("/v1/github/installations?owner=all", Some("dev-a")).await.status,
            403
        );

        world.advance_ms(10);
        let gone = installation("deleted", "2026-01-01T03:00:00Z");
        gateway.webhook("d-4", "installation", &gone).await;
        gateway.deliver_webhooks().await;
        gateway.deliver_all().await;
        let one = gateway.get("/v1/github/installations/3", Some(ADMIN)).await;
        assert_eq!(one.json["status"], "uninstalled");
        assert_eq!(
            told(&world),
            [
                "github.app.installed",
                "github.installation.created d-1",
                "github.installation.suspend d-2",
                "github.installation.new_permissions_accepted d-3",
                "github.installation.deleted d-4",
            ]
        );
        let lineage = world.services.calls("dna");
        let of_it = lineage.iter().filter(|call| call.body.as_ref().unwrap().contains(id)).count();
        assert_eq!(of_it, 5, "begun, and a step for each that was told");
        let path = format!("/v1/events?entity={id}");
        assert_eq!(gateway.get(&path, Some(ADMIN)).await.json["count"], 5);
    });
}

#[test]
fn of_two_who_put_an_installation_on_record_one_wins_and_no_id_is_forgotten() {
    let (world, gateway) = World::warm();
    let other = world.isolate();
    run(async {
        let payload = installation("created", "2026-01-01T00:00:00Z").to_string();
        let described = Facts::read(payload.as_bytes()).unwrap().installation.unwrap();
        let put = |isolate: Isolate, minted: &'static str| {
            let described = described.clone();
            async move {
                let ready = Ready::ensure(&isolate.app).await.unwrap();
                installations::put_on_record(&isolate.app, ready, &described, minted, None, None)
                    .await
                    .unwrap()
            }
        };
        let ids = ["CHITTY-CONTEXT-1", "CHITTY-CONTEXT-2"];
        let both = futures_util::future::join(put(gateway.clone(), ids[0]), put(other, ids[1]));
        let ((one, _), (two, _)) = both.await;
        assert_eq!(one, two);
        let events = "SELECT group_concat(event_type || ' ' || entity_id, ', ') FROM outbox \
             WHERE event_type IN ('github.app.installed', 'identity.orphaned')";
        let told = world.db.cell(events).unwrap();
        let loser = if one.chitty_id == ids[0] { ids[1] } else { ids[0] };
        assert!(told.contains(&format!("github.app.installed {}", one.chitty_id)), "{told}");
        assert!(told.contains(&format!("identity.orphaned {loser}")), "{told}");
    });
}

/// Every call to the database fails once, without and with its effect: in the end the deliveries have
/// had their effect once, with one identity each.
#[test]
fn a_database_fault_at_any_call_is_made_good() {
    for fault in [Fault::Before, Fault::After] {
        for at in 1..=14 {
            let (world, gateway) = World::warm();
            run(async {
                gateway
                    .webhook(
                        "d-1",
                        "installation",
                        &installation("created", "2026-01-01T00:00:00Z"),
                    )
                    .await;
                gateway.webhook("d-2", "push", &push("c")).await;
                world.db.reset_calls();
                world.db.set_fault(move |call| if call == at { fault } else { Fault::None });
                let bodies = world.github_events.messages.borrow().clone();
                let verdicts = gateway.deliver_webhooks().await;
                gateway.deliver_all().await;
                world.db.set_fault(|_| Fault::None);
                for (body, verdict) in bodies.into_iter().zip(verdicts) {
                    if verdict != Verdict::Ack {
                        world.github_events.messages.borrow_mut().push(body);
                    }
                }
                settle(&world, &gateway).await;
                let mut told = told(&world);
                told.retain(|entry| entry != "identity.orphaned");
                told.sort();
                let once =
                    ["github.app.installed", "github.installation.created d-1", "github.push d-2"];
                assert_eq!(told, once, "{fault:?} at {at}");
                let rows = "SELECT count(*) FROM installations";
                assert_eq!(world.db.cell(rows).unwrap(), "1", "{fault:?} at {at}");
            });
        }
    }
}

#[test]
fn of_many_isolates_with_the_same_delivery_one_has_its_effect() {
    let (world, gateway) = World::warm();
    run(async {
        gateway.webhook("d-1", "push", &push("c")).await;
        let message = world.github_events.messages.borrow_mut().pop().unwrap();
        let deliveries: Vec<TestDelivery> =
            (0..6).map(|_| TestDelivery::new(message.clone())).collect();
        let consumed = deliveries.iter().map(|delivery| {
            let isolate = world.isolate();
            async move { tasks::consume(&isolate.app, "test-github-events", &[delivery]).await }
        });
        futures_util::future::join_all(consumed).await;
        assert!(deliveries.iter().all(|delivery| delivery.verdict() == Verdict::Ack));
        settle(&world, &gateway).await;
        assert_eq!(told(&world), ["github.push d-1"]);
        assert_eq!(world.services.calls("id").len(), 1);
    });
}

#[test]
fn what_chittyid_will_not_name_is_a_dead_letter_and_holds_up_nothing() {
    let (world, gateway) = World::warm();
    run(async {
        world.services.set("id", Behaviour::Answer(422, "{}".to_owned()));
        gateway.webhook("d-1", "push", &push("c1")).await;
        gateway.deliver_webhooks().await;
        world.services.set("id", Behaviour::Work);
        world.advance_ms(1);
        gateway.webhook("d-2", "push", &push("c2")).await;
        gateway.deliver_webhooks().await;
        gateway.deliver_all().await;
        assert_eq!(told(&world), ["github.push d-2"]);
        let filter = json!({"type": "push"});
        let replayed = gateway.post("/v1/events/dead-letters/replay", ADMIN, &filter).await;
        assert_eq!(replayed.json["replayed"], 1, "{replayed:?}");
        gateway.deliver_webhooks().await;
        settle(&world, &gateway).await;
        assert!(told(&world).contains(&"github.push d-1".to_owned()));
    });
}
