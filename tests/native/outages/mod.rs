//! Outages of every kind, of every effect and of every pair of services: in the end each event is told
//! once, everywhere and in order, and each minted identity is used or reported.

mod doubts;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;

use chittyconnect::tasks;
use serde_json::{Value, json};

use crate::world::{Behaviour, Isolate, TestRequest, World, run};

/// What may come of a call to a service that is in trouble.
fn troubles() -> Vec<Behaviour> {
    let statuses = [401, 403, 404, 405, 408, 451, 500, 502, 503];
    let mut troubles: Vec<Behaviour> =
        statuses.into_iter().map(|status| Behaviour::Answer(status, "{}".to_owned())).collect();
    troubles.extend([
        Behaviour::Answer(200, "<html>a page</html>".to_owned()),
        Behaviour::Answer(200, "{\"error\":\"database\"}".to_owned()),
        Behaviour::Answer(302, String::new()),
        Behaviour::Busy(429, 30),
        Behaviour::Answer(429, "{}".to_owned()),
        Behaviour::Busy(503, 7),
        Behaviour::Unreachable,
        Behaviour::Hang,
        Behaviour::Lost,
        Behaviour::Garbled,
    ]);
    troubles
}

/// A change of a service's state, as the watch writes it.
fn change_state(world: &World, id: &str) {
    let at = seams::time::iso8601(world.clock_ms());
    world.db.execute(&format!(
        "INSERT INTO outbox (event_id, event_type, entity_type, entity_id, actor_id, payload, \
         created_at, due_at) VALUES ('{id}', 'service.state_changed', 'service', 'canon', \
         'CHITTY-GW', '{{\"to\":\"FAILED\"}}', '{at}', '{at}')"
    ));
}

/// Everything that makes events with every effect. What an outage refuses is left out.
async fn act(world: &World, gateway: &Isolate, round: u32) {
    let made = gateway.post("/v1/contexts", "dev-a", &json!({"name": format!("r{round}")})).await;
    if let Some(id) = made.json["context"]["chitty_id"].as_str() {
        let path = format!("/v1/contexts/{id}");
        gateway.patch(&path, "dev-a", &json!({"data": [round]})).await;
        gateway.patch(&path, "dev-a", &json!({"data": [round, round]})).await;
        gateway.delete(&path, "dev-a").await;
    }
    change_state(world, &format!("evt_state_{round}"));
    gateway.deliver_all().await;
}

async fn cron(world: &World, gateway: &Isolate, pause_ms: u64) {
    world.advance_ms(pause_ms);
    tasks::scheduled(&gateway.app).await;
    gateway.deliver_all().await;
}

const OPEN: &str = "outbox WHERE done_at IS NULL AND dead_at IS NULL";

async fn until_told(world: &World, gateway: &Isolate, at: &str) {
    for _ in 0..20 {
        cron(world, gateway, 700_000).await;
        if world.db.count(OPEN) == 0 && world.db.count("mint_intents") == 0 {
            return;
        }
    }
    let left = world.db.cells(
        "SELECT event_type || ' ' || ifnull(last_error, '') FROM outbox \
                               WHERE done_at IS NULL AND dead_at IS NULL",
    );
    panic!("{at}: {left:?} {} intents", world.db.count("mint_intents"));
}

/// The number of the newest event.
fn newest(world: &World) -> String {
    world.db.cell("SELECT ifnull(max(seq), 0) FROM outbox").unwrap()
}

/// Every event after `since` is with each service that hears of it, once, and in the order of its entity.
fn assert_told_once(world: &World, since: &str, at: &str) {
    let told: Vec<String> = world
        .services
        .entries()
        .iter()
        .map(|entry| entry["metadata"]["eventId"].as_str().unwrap().to_owned())
        .collect();
    let once: BTreeSet<&String> = told.iter().collect();
    assert_eq!(once.len(), told.len(), "{at}: told twice");
    let of = |condition: &str| {
        world.db.cells(&format!(
            "SELECT event_id FROM outbox WHERE seq > {since} AND {condition} ORDER BY seq"
        ))
    };
    for entity in world.db.cells("SELECT DISTINCT entity_id FROM outbox") {
        let written = of(&format!("entity_id = '{entity}'"));
        let heard: Vec<&String> = told.iter().filter(|id| written.contains(id)).collect();
        assert_eq!(heard, written.iter().collect::<Vec<_>>(), "{at}: {entity} at Chronicle");
        let begun = of(&format!("entity_id = '{entity}' AND event_type = 'context.created'"));
        if !begun.is_empty() {
            let steps = of(&format!(
                "entity_id = '{entity}' AND event_type IN ('context.updated', 'context.deleted')"
            ));
            assert_eq!(world.services.lineage(&entity), Some(steps), "{at}: {entity} at DNA");
        }
    }
    let states = of("event_type = 'service.state_changed'");
    assert_eq!(world.services.beacons(), states, "{at}: Beacon");
}

/// Every identity that was minted is used, or reported by its id or by its intent.
fn assert_no_identity_is_lost(world: &World, at: &str) {
    let used = world.db.cells(
        "SELECT chitty_id FROM contexts UNION ALL \
         SELECT entity_id FROM outbox WHERE event_type = 'identity.orphaned'",
    );
    let registered: Vec<String> = world
        .services
        .calls("register")
        .iter()
        .filter_map(|call| serde_json::from_str::<Value>(call.body.as_deref()?).ok())
        .filter_map(|body| Some(body["metadata"]["chitty_id"].as_str()?.to_owned()))
        .collect();
    let orphaned: Vec<String> = world
        .services
        .entries()
        .iter()
        .filter(|entry| entry["action"] == "identity.orphaned")
        .map(|entry| entry["metadata"]["entityId"].as_str().unwrap().to_owned())
        .collect();
    for (id, intent) in world.services.mints() {
        let known = |names: &[String]| names.contains(&id) || names.contains(&intent);
        assert!(known(&used) || known(&registered) || known(&orphaned), "{at}: {id} {intent}");
    }
}

/// Each kind of trouble with a service, for hours.
fn for_hours(service: &str) {
    for trouble in troubles() {
        let (world, gateway) = World::warm();
        let at = format!("{service} {trouble:?}");
        let since = newest(&world);
        run(async {
            gateway.create("dev-a", &json!({"name": "before"})).await;
            gateway.deliver_all().await;
            world.services.set(service, trouble.clone());
            act(&world, &gateway, 1).await;
            // For hours.
            for _ in 0..8 {
                cron(&world, &gateway, 1_500_000).await;
            }
            act(&world, &gateway, 2).await;
            assert_eq!(world.db.count("dead_letters"), 0, "{at}");
            assert!(world.db.count(OPEN) > 0, "{at}: an outage");
            world.services.set(service, Behaviour::Work);
            until_told(&world, &gateway, &at).await;
            assert_eq!(world.db.count("dead_letters"), 0, "{at}");
            assert_told_once(&world, &since, &at);
        });
    }
}

#[test]
fn an_outage_of_any_kind_of_chronicle_makes_no_dead_letter_and_loses_and_doubles_nothing() {
    for_hours("chronicle");
}

#[test]
fn an_outage_of_any_kind_of_dna_makes_no_dead_letter_and_loses_and_doubles_nothing() {
    for_hours("dna");
}

#[test]
fn an_outage_of_any_kind_of_beacon_makes_no_dead_letter_and_loses_and_doubles_nothing() {
    for_hours("beacon");
}

#[test]
fn what_is_about_the_event_is_for_good_and_holds_nothing_else_up() {
    for status in [400, 409, 413, 422] {
        let (world, gateway) = World::warm();
        run(async {
            let refused = Rc::new(Cell::new(1));
            let left = Rc::clone(&refused);
            world.services.script("chronicle", move || match left.replace(0) {
                0 => Behaviour::Work,
                _ => Behaviour::Answer(status, "{}".to_owned()),
            });
            act(&world, &gateway, 1).await;
            until_told(&world, &gateway, "refused").await;
            assert_eq!(world.db.count("dead_letters"), 1, "{status}");
            let entries = world.services.entries();
            let told = |action: &str| entries.iter().any(|entry| entry["action"] == action);
            assert!(!told("context.created") && told("context.deleted"));
            let id = world.db.cell("SELECT chitty_id FROM contexts WHERE name = 'r1'").unwrap();
            assert_eq!(world.services.lineage(&id).unwrap().len(), 3, "{status}: DNA is told");
            // Told late, it says so.
            let replay = json!({"entity": id});
            gateway.post("/v1/events/dead-letters/replay", "dev-r+admin", &replay).await;
            gateway.deliver_all().await;
            let last = world.services.entries().into_iter().rev();
            let mut last = last.filter(|entry| entry["action"] == "context.created");
            assert_eq!(last.next().unwrap()["metadata"]["replayed"], true);
            assert!(entries.iter().all(|entry| entry["metadata"].get("replayed").is_none()));
        });
    }
}

/// Outages of this service together with each that stands after it: by status, by silence and by garbage,
/// the latter two after the service has done what it should.
fn in_pairs(first: &str) {
    const SERVICES: [&str; 6] = ["id", "auth", "chronicle", "dna", "beacon", "register"];
    let kinds = [Behaviour::Answer(403, "{}".to_owned()), Behaviour::Lost, Behaviour::Garbled];
    for second in SERVICES.into_iter().skip_while(|service| *service != first).skip(1) {
        for one in &kinds {
            for other in &kinds {
                run(pair((first, one), (second, other)));
            }
        }
    }
}

async fn pair((first, one): (&str, &Behaviour), (second, other): (&str, &Behaviour)) {
    let at = format!("{first} {one:?}, {second} {other:?}");
    let world = World::new();
    let gateway = world.isolate();
    gateway.get("/health", None).await;
    gateway.deliver_all().await;
    let since = newest(&world);
    act(&world, &gateway, 0).await;
    world.services.set(first, one.clone());
    world.services.set(second, other.clone());
    act(&world, &gateway, 1).await;
    let flow = TestRequest::new("POST", "/v1/orchestrations/secure-user");
    let flow = flow.token("dev-a").json(&json!({"email": "u@example.org"}));
    gateway.send(flow).await;
    cron(&world, &gateway, 600_000).await;
    // One is back before the other.
    world.services.set(first, Behaviour::Work);
    act(&world, &gateway, 2).await;
    cron(&world, &gateway, 600_000).await;
    world.services.set(second, Behaviour::Work);
    act(&world, &gateway, 3).await;
    let over = "orchestrations WHERE status NOT IN ('running', 'compensating')";
    for _ in 0..10 {
        cron(&world, &gateway, 700_000).await;
        if world.db.count(over) == world.db.count("orchestrations") {
            break;
        }
    }
    until_told(&world, &gateway, &at).await;
    assert_eq!(world.db.count(over), world.db.count("orchestrations"), "{at}");
    assert_eq!(world.db.count("dead_letters"), 0, "{at}");
    assert_told_once(&world, &since, &at);
    assert_no_identity_is_lost(&world, &at);
}

#[test]
fn outages_of_the_authority_and_of_another_end_with_everything_told_once() {
    in_pairs("id");
}

#[test]
fn outages_of_chittyauth_and_of_another_end_with_everything_told_once() {
    in_pairs("auth");
}

#[test]
fn outages_of_chronicle_and_of_another_end_with_everything_told_once() {
    in_pairs("chronicle");
}

#[test]
fn outages_of_dna_and_of_another_end_with_everything_told_once() {
    in_pairs("dna");
}

#[test]
fn outages_of_beacon_and_of_another_end_with_everything_told_once() {
    in_pairs("beacon");
}
