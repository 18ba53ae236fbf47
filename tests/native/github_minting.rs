//! The identities of deliveries: minted once each, whatever is slow or fails on the way.

use std::rc::Rc;

use chittyconnect::tasks;
use seams::time;
use serde_json::{Value, json};

use crate::github_ownership::Github;
use crate::world::{Behaviour, Fault, Isolate, TestRequest, World, run};

fn push() -> Value {
    json!({"ref": "refs/heads/main", "repository": {"id": 7, "full_name": "octo/hello"}})
}

fn installation() -> Value {
    json!({
        "action": "created",
        "installation": {
            "id": 3, "account": {"id": 8, "login": "octo", "type": "Organization"},
            "repository_selection": "all", "permissions": {}, "events": ["push"],
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
        },
        "repositories": [],
    })
}

/// Rounds of the cron, each when what waits is due again, until nothing is open.
async fn until_done(world: &World, gateway: &Isolate) {
    for _ in 0..6 {
        world.advance_ms(660_000);
        tasks::scheduled(&gateway.app).await;
        gateway.deliver_all().await;
    }
    let open = "github_deliveries WHERE done_at IS NULL";
    assert_eq!(world.db.count(open), 0);
}

/// The ids that were minted and those that are in use, both sorted.
fn minted_and_used(world: &World) -> (Vec<String>, Vec<String>) {
    let mut minted: Vec<String> = world.services.mints().into_iter().map(|(id, _)| id).collect();
    let mut used = world.db.cells(
        "SELECT chitty_id FROM github_deliveries UNION ALL SELECT chitty_id FROM installations \
         UNION ALL SELECT chitty_id FROM contexts",
    );
    minted.sort();
    used.sort();
    (minted, used)
}

#[test]
fn a_database_that_fails_at_any_one_call_costs_no_identity() {
    for (event, payload) in [("push", push()), ("installation", installation())] {
        for fault in [Fault::Before, Fault::After] {
            for failing in 1..=9 {
                let (world, gateway) = World::warm();
                run(async {
                    gateway.webhook("d-1", event, &payload).await;
                    world.db.reset_calls();
                    world.db.set_fault(move |call| match call == failing {
                        true => fault,
                        false => Fault::None,
                    });
                    gateway.deliver_webhooks().await;
                    world.db.set_fault(|_| Fault::None);
                    gateway.webhook("d-1", event, &payload).await;
                    gateway.deliver_webhooks().await;
                    until_done(&world, &gateway).await;
                    let (minted, used) = minted_and_used(&world);
                    assert_eq!(minted, used, "{event}: call {failing} {fault:?}");
                });
            }
        }
    }
}

#[test]
fn a_mint_is_begun_only_where_its_lease_outlasts_it_however_slow_the_database_is() {
    for (event, payload) in [("push", push()), ("installation", installation())] {
        for slow_ms in [4_000, 29_000] {
            for slow in 1..=6 {
                let (world, gateway) = World::warm();
                let at = format!("{event}: call {slow} takes {slow_ms}");
                run(async {
                    gateway.webhook("d-1", event, &payload).await;
                    world.db.reset_calls();
                    let clock = Rc::clone(&world.clock);
                    world.db.set_fault(move |call| {
                        clock.advance_ms(if call == slow { slow_ms } else { 0 });
                        Fault::None
                    });
                    let (db, clock) = (Rc::clone(&world.db), Rc::clone(&world.clock));
                    let (said, services) = (at.clone(), Rc::clone(&world.services));
                    world.services.script("id", move || {
                        let held = "SELECT leased_until FROM github_deliveries";
                        let until_ms = time::parse(&db.cell(held).unwrap()).unwrap_or_default();
                        let asked = services.calls("id").pop().unwrap();
                        let ends_ms =
                            chitty_core::Clock::now_ms(&*clock) + u64::from(asked.deadline_ms);
                        // And there is time to keep what it gives.
                        assert!(until_ms >= ends_ms + 5_000, "{said}");
                        Behaviour::Work
                    });
                    gateway.deliver_webhooks().await;
                    until_done(&world, &gateway).await;
                    let (minted, used) = minted_and_used(&world);
                    assert_eq!(minted, used, "{at}");
                });
            }
        }
    }
}

#[test]
fn who_has_a_delivery_no_more_mints_nothing_for_it() {
    let (world, gateway) = World::warm();
    run(async {
        gateway.webhook("d-1", "push", &push()).await;
        world.db.reset_calls();
        let db = Rc::clone(&world.db);
        // Between the claim and the intent somebody else takes it, who is dead by now.
        world.db.set_fault(move |_| {
            db.execute(
                "UPDATE github_deliveries SET leased_until = '2026-01-02T03:09:00.000Z' \
                 WHERE leased_until <> ''",
            );
            Fault::None
        });
        gateway.deliver_webhooks().await;
        world.db.set_fault(|_| Fault::None);
        assert_eq!(world.services.calls("id").len(), 0);
        until_done(&world, &gateway).await;
        let (minted, used) = minted_and_used(&world);
        assert_eq!(minted, used);
        assert_eq!(world.db.count("mint_intents"), 0);
    });
}

#[test]
fn a_mint_that_nobody_waits_for_may_take_three_deadlines() {
    let (world, gateway) = World::warm();
    run(async {
        gateway.webhook("d-1", "installation", &installation()).await;
        gateway.deliver_webhooks().await;
        gateway
            .send(
                TestRequest::new("POST", "/v1/contexts").token("dev-a").json(&json!({"name": "n"})),
            )
            .await;
        let deadlines: Vec<u32> =
            world.services.calls("id").iter().map(|call| call.deadline_ms).collect();
        assert_eq!(deadlines, [15_000, 15_000, 5_000]);
    });
}

#[test]
fn an_identity_is_nobodys_only_where_its_installation_is_not_on_record() {
    for (fault, status, orphans) in [(Fault::After, 200, 0), (Fault::Before, 503, 1)] {
        let (world, gateway) = World::warm();
        Github::of(&world, "Organization");
        run(async {
            world.db.set_fault_at("INTO installations ", fault, 1);
            let back =
                "/integrations/github/callback?code=owner-1&installation_id=3&setup_action=install";
            let request = TestRequest::new("GET", back).header("accept", "text/html");
            let answer = gateway.send(request).await;
            assert_eq!(answer.status, status, "{}", answer.text);
            let reported = world.db.count("outbox WHERE event_type = 'identity.orphaned'");
            assert_eq!(reported, orphans, "{fault:?}");
            assert_eq!(world.db.count("installations"), usize::from(fault == Fault::After));
            assert_eq!(world.db.count("mint_intents"), 0);
        });
    }
}
