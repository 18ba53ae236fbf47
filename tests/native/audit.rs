//! The audit and its seals.

use chittyconnect::audit::{archive, seal};
use chittyconnect::store::Ready;
use chittyconnect::tasks;
use futures_util::future::join;
use serde_json::{Value, json};

use crate::world::{Fault, Isolate, World, run};

const ADMIN: &str = "dev-root+admin";

/// A world in which some things were done and sealed.
fn sealed() -> (World, Isolate) {
    let (world, gateway) = World::warm();
    run(async {
        for n in 0..5 {
            gateway.create("dev-a", &json!({"name": format!("n{n}")})).await;
        }
        gateway.post("/v1/actors/register", "dev-b", &json!({"actor_type": "ai"})).await;
        gateway.patch("/v1/actors/CHITTY-PEO-b", ADMIN, &json!({"status": "suspended"})).await;
        tasks::scheduled(&gateway.app).await;
    });
    (world, gateway)
}

async fn verdict(gateway: &Isolate) -> serde_json::Value {
    let answer = gateway.get("/v1/audit/verify", Some(ADMIN)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json
}

#[test]
fn every_change_is_on_record_and_sealed() {
    let (world, gateway) = sealed();
    run(async {
        let audited = world.db.count("audit");
        assert_eq!(audited, world.db.count("outbox"));
        let found = verdict(&gateway).await;
        assert_eq!((&found["valid"], &found["unsealed"]), (&json!(true), &json!(0)));
        assert_eq!(found["checked"], audited);
        gateway.create("dev-a", &json!({"name": "later"})).await;
        let found = verdict(&gateway).await;
        assert_eq!((&found["valid"], &found["unsealed"]), (&json!(true), &json!(1)));
        let from = gateway.get("/v1/audit/verify?from=3", Some(ADMIN)).await;
        assert_eq!(
            (&from.json["valid"], &from.json["checked"]),
            (&json!(true), &json!(audited - 2))
        );
        assert_eq!(
            gateway.get("/v1/audit/verify", Some("dev-a")).await.code(),
            "insufficient_scope"
        );
    });
}

#[test]
fn whatever_is_altered_behind_its_back_shows() {
    for (what, sql, seq) in [
        ("altered", "UPDATE audit SET actor_id = 'CHITTY-PEO-mallory' WHERE seq = 3", 3),
        ("a detail", "UPDATE audit SET detail = '{}' WHERE seq = 4", 4),
        ("removed", "DELETE FROM audit WHERE seq = 3", 3),
        (
            "removed with its seal",
            "DELETE FROM audit WHERE seq = 3; DELETE FROM audit_seals WHERE seq = 3",
            3,
        ),
        ("the last", "DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit_seals)", 0),
        (
            "a seal",
            "UPDATE audit_seals SET hash = replace(hash, substr(hash, 1, 1), 'x') WHERE seq = 2",
            2,
        ),
        (
            "swapped",
            "UPDATE audit SET seq = 1000 WHERE seq = 2; UPDATE audit SET seq = 2 WHERE seq = 3; UPDATE audit SET seq = 3 WHERE seq = 1000",
            2,
        ),
    ] {
        let (world, gateway) = sealed();
        world.db.execute("DROP TRIGGER audit_is_append_only; DROP TRIGGER audit_keeps_all");
        let last: i64 = world.db.cell("SELECT max(seq) FROM audit_seals").unwrap().parse().unwrap();
        world.db.execute(sql);
        run(async {
            let found = verdict(&gateway).await;
            assert_eq!(found["valid"], false, "{what}");
            assert_eq!(found["unsealed"], 0, "{what}");
            let expected = if seq == 0 { last } else { seq };
            assert_eq!(found["fault"]["seq"], expected, "{what}: {found}");
        });
    }
}

#[test]
fn a_row_that_vanishes_before_it_is_sealed_shows_too() {
    let (world, gateway) = sealed();
    run(async {
        gateway.create("dev-a", &json!({"name": "x"})).await;
        gateway.create("dev-a", &json!({"name": "y"})).await;
        world.db.execute("DROP TRIGGER audit_keeps_all");
        let sealed: i64 =
            world.db.cell("SELECT max(seq) FROM audit_seals").unwrap().parse().unwrap();
        world.db.execute(&format!("DELETE FROM audit WHERE seq = {}", sealed + 1));
        tasks::scheduled(&gateway.app).await;
        let found = verdict(&gateway).await;
        assert_eq!((&found["valid"], &found["fault"]["seq"]), (&json!(false), &json!(sealed + 1)));
    });
}

#[test]
fn nobody_changes_it_in_passing() {
    let (world, _) = sealed();
    for sql in
        ["UPDATE audit SET actor_id = 'x'", "DELETE FROM audit", "DELETE FROM audit WHERE seq = 1"]
    {
        assert!(world.db.try_execute(sql).is_err(), "{sql}");
    }
}

#[test]
fn the_seal_is_told_to_others_once_an_hour() {
    let (world, gateway) = sealed();
    run(async {
        world.advance_ms(3_600_000);
        for n in 0..3 {
            gateway.create("dev-a", &json!({"name": format!("m{n}")})).await;
            tasks::scheduled(&gateway.app).await;
        }
        let told = "SELECT payload FROM outbox WHERE event_type = 'audit.sealed'";
        let told = world.db.cells(told);
        assert_eq!(told.len(), 1);
        let seal: serde_json::Value = serde_json::from_str(&told[0]).unwrap();
        let hash = format!("SELECT hash FROM audit_seals WHERE seq = {}", seal["seq"]);
        assert_eq!(world.db.cell(&hash).as_deref(), seal["hash"].as_str());
        assert_eq!(verdict(&gateway).await["valid"], true);
    });
}

#[test]
fn everybody_sees_the_own_part_and_administrators_all() {
    let (_, gateway) = sealed();
    run(async {
        let actions = |answer: &crate::world::Answer| -> Vec<String> {
            let entries = answer.json["entries"].as_array().unwrap();
            entries.iter().map(|entry| entry["action"].as_str().unwrap().to_owned()).collect()
        };
        let own = gateway.get("/v1/audit", Some("dev-a")).await;
        assert_eq!(actions(&own), ["context.created"; 5]);
        gateway.patch("/v1/actors/CHITTY-PEO-b", ADMIN, &json!({"status": "active"})).await;
        let fate = gateway.get("/v1/audit", Some("dev-b")).await;
        assert_eq!(actions(&fate), ["actor.updated", "actor.updated", "actor.registered"]);
        assert_eq!(fate.json["entries"][0]["actor_id"], "CHITTY-PEO-root");
        let narrowed = gateway.get("/v1/audit?action=actor.updated&limit=1", Some("dev-b")).await;
        let next = narrowed.json["next_cursor"].as_str().unwrap();
        let rest = format!("/v1/audit?action=actor.updated&limit=1&cursor={next}");
        let rest = gateway.get(&rest, Some("dev-b")).await;
        assert_eq!((actions(&rest).len(), &rest.json["next_cursor"]), (1, &json!(null)));
        assert_ne!(rest.json["entries"][0]["seq"], narrowed.json["entries"][0]["seq"]);
        let all = gateway.get("/v1/audit?actor=CHITTY-PEO-a", Some(ADMIN)).await;
        assert_eq!(actions(&all), ["context.created"; 5]);
        let other = gateway.get("/v1/audit?actor=CHITTY-PEO-a", Some("dev-b")).await;
        assert_eq!(other.status, 422);
    });
}

/// Puts events on record by hand.
fn happen(world: &World, from: i64, to: i64) {
    world.db.execute(&format!(
        "WITH RECURSIVE numbers (n) AS (SELECT {from} UNION ALL SELECT n + 1 FROM numbers WHERE n < {to}) \
         INSERT INTO outbox (event_id, event_type, entity_type, entity_id, actor_id, created_at, \
         due_at, done_at) SELECT 'evt_' || n, 'context.created', 'context', 'x' || (n % 7), 'y', \
         '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z', '2026-01-02T00:00:00.000Z' FROM numbers"
    ));
}

async fn verdict_from(gateway: &Isolate, from: i64) -> Value {
    let answer = gateway.get(&format!("/v1/audit/verify?from={from}"), Some(ADMIN)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json
}

#[test]
fn an_audit_of_any_length_is_compared_page_by_page() {
    let (world, gateway) = World::warm();
    run(async {
        happen(&world, 1, 12_345);
        tasks::scheduled(&gateway.app).await;
        let last = i64::try_from(world.db.count("audit")).unwrap();
        let first = verdict(&gateway).await;
        assert_eq!((&first["result"], &first["fault"]), (&json!("valid"), &json!(null)), "{first}");
        assert_eq!(first["verified"], json!({"from": 1, "to": 10_000}));
        assert_eq!((&first["checked"], &first["next"]), (&json!(10_000), &json!(10_001)));
        let rest = verdict_from(&gateway, 10_001).await;
        assert_eq!(rest["verified"], json!({"from": 10_001, "to": last}));
        assert_eq!((&rest["valid"], &rest["next"]), (&json!(true), &json!(null)));
        let beyond = verdict_from(&gateway, last + 1).await;
        assert_eq!((&beyond["verified"], &beyond["valid"]), (&json!(null), &json!(true)));
        // What lies behind row 500 is compared like what lies before it.
        world.db.execute("DROP TRIGGER audit_is_append_only");
        for seq in [501, 777, 1001, 9_999] {
            world.db.execute(&format!("UPDATE audit SET actor_id = 'm' WHERE seq = {seq}"));
            let found = verdict(&gateway).await;
            assert_eq!(
                (&found["result"], &found["fault"]["seq"]),
                (&json!("altered"), &json!(seq))
            );
            assert_eq!(found["verified"], json!({"from": 1, "to": seq - 1}));
            world.db.execute(&format!("UPDATE audit SET actor_id = 'y' WHERE seq = {seq}"));
        }
    });
}

/// A world whose database keeps the newest thousand entries.
fn archiving() -> (World, Isolate) {
    World::warm_with(&[("AUDIT_KEEP_ENTRIES", Some("1000")), ("GITHUB_APP_ID", None)])
}

/// The numbers of all entries, in the archive and in the database, each as often as it is there.
fn everything(world: &World) -> Vec<i64> {
    let mut all: Vec<i64> = Vec::new();
    for key in world.db.cells("SELECT archive_key FROM audit_segments") {
        let values = world.cache.values.borrow();
        let lines = values[&key].lines().skip(1);
        all.extend(lines.map(|line| line[1..].split(',').next().unwrap().parse::<i64>().unwrap()));
    }
    all.extend(world.db.cells("SELECT seq FROM audit").iter().map(|n| n.parse::<i64>().unwrap()));
    all.sort_unstable();
    all
}

#[test]
fn nothing_is_archived_once_the_time_is_up() {
    let (world, gateway) = archiving();
    run(async {
        happen(&world, 1, 5_500);
        let ready = Ready::ensure(&gateway.app).await.unwrap();
        seal::seal(&gateway.app, ready).await;
        archive::archive(&gateway.app, ready, world.clock_ms()).await;
        assert_eq!(world.db.count("audit_segments"), 0);
        archive::archive(&gateway.app, ready, world.clock_ms() + 1).await;
        assert_eq!(world.db.count("audit_segments"), 2);
    });
}

#[test]
fn what_is_old_moves_to_the_archive_and_is_compared_there() {
    let (world, gateway) = archiving();
    run(async {
        happen(&world, 1, 5_500);
        tasks::scheduled(&gateway.app).await;
        let last = i64::try_from(everything(&world).len()).unwrap();
        assert_eq!(everything(&world), (1..=last).collect::<Vec<_>>());
        assert_eq!(world.db.count("audit_segments"), 2);
        assert_eq!(world.db.cell("SELECT min(seq) FROM audit").as_deref(), Some("4001"));
        assert_eq!(world.db.cell("SELECT min(seq) FROM audit_seals").as_deref(), Some("4001"));
        let ttls = world.cache.ttls.borrow().clone();
        assert!(
            ttls.iter().filter(|(key, _)| key.starts_with("audit/")).all(|(_, ttl)| ttl.is_none())
        );
        let found = verdict(&gateway).await;
        assert_eq!(found["verified"], json!({"from": 1, "to": last}), "{found}");
        assert_eq!((&found["valid"], &found["archived"]), (&json!(true), &json!(4000)));
        // From within a segment: from its beginning on.
        assert_eq!(verdict_from(&gateway, 3000).await["verified"]["from"], 2001);
        assert_eq!(verdict_from(&gateway, 4001).await["verified"]["from"], 4001);

        // The chain goes on over what is gone.
        gateway.create("dev-a", &json!({"name": "n"})).await;
        tasks::scheduled(&gateway.app).await;
        let more = verdict(&gateway).await;
        assert_eq!((&more["valid"], &more["unsealed"]), (&json!(true), &json!(0)), "{more}");
        let page = gateway.get("/metrics", None).await.text;
        assert!(page.contains("chittyconnect_audit_entries{place=\"archive\"} 4000"), "{page}");

        // Altered is told apart from not to be read.
        let keys = world.db.cells("SELECT archive_key FROM audit_segments ORDER BY last_seq");
        let text = world.cache.values.borrow()[&keys[1]].clone();
        let put = |text: String| world.cache.values.borrow_mut().insert(keys[1].clone(), text);
        put(text.replacen("\"x3\"", "\"x4\"", 1));
        let altered = verdict(&gateway).await;
        assert_eq!(
            (&altered["result"], &altered["fault"]["seq"]),
            (&json!("altered"), &json!(2001))
        );
        let lines: Vec<&str> = text.lines().collect();
        put([&lines[..501], &lines[502..]].concat().join("\n"));
        let removed = verdict(&gateway).await;
        assert_eq!(
            (&removed["result"], &removed["fault"]["seq"]),
            (&json!("altered"), &json!(2501))
        );
        put(lines[..1501].join("\n"));
        assert_eq!(verdict(&gateway).await["fault"]["seq"], 3501, "cut off");
        put(text.clone() + "[4001]\n");
        assert_eq!(verdict(&gateway).await["result"], "altered", "drawn out");
        world.cache.values.borrow_mut().remove(&keys[1]);
        let gone = verdict(&gateway).await;
        assert_eq!(
            (&gone["result"], &gone["valid"], &gone["fault"]),
            (&json!("unreadable"), &json!(false), &json!(null))
        );
        assert_eq!((&gone["unreadable"]["from"], &gone["next"]), (&json!(2001), &json!(4001)));
        assert_eq!(gone["verified"], json!({"from": 1, "to": 2000}));
        assert_eq!(verdict_from(&gateway, 4001).await["valid"], true);
        put(text);
        world.cache.mute.set(true);
        let mute = verdict(&gateway).await;
        assert_eq!(
            (&mute["result"], &mute["verified"], &mute["next"]),
            (&json!("unreadable"), &json!(null), &json!(2001))
        );
        world.cache.mute.set(false);
        assert_eq!(verdict(&gateway).await["valid"], true);
    });
}

#[test]
fn an_entry_goes_only_with_its_segment_and_never_when_it_was_altered() {
    let (world, gateway) = archiving();
    run(async {
        happen(&world, 1, 5_500);
        world.cache.down.set(true);
        tasks::scheduled(&gateway.app).await;
        assert_eq!(
            (world.db.count("audit_segments"), world.db.count("audit")),
            (0, everything(&world).len())
        );
        assert_eq!(verdict(&gateway).await["valid"], true, "sealed all the same");
        world.cache.down.set(false);
        world.cache.mute.set(true);
        tasks::scheduled(&gateway.app).await;
        assert_eq!(world.db.count("audit_segments"), 0, "what was put is read back first");
        world.cache.mute.set(false);
        world.db.execute("DROP TRIGGER audit_is_append_only");
        world.db.execute("UPDATE audit SET actor_id = 'm' WHERE seq = 2222");
        tasks::scheduled(&gateway.app).await;
        assert_eq!(world.db.count("audit_segments"), 1, "nothing from the altered entry on");
        let found = verdict(&gateway).await;
        assert_eq!((&found["result"], &found["fault"]["seq"]), (&json!("altered"), &json!(2222)));
        for sql in [
            "DELETE FROM audit WHERE seq = 2500",
            "DELETE FROM audit",
            "DELETE FROM audit_segments",
            "UPDATE audit_segments SET hash = hash_before",
        ] {
            assert!(world.db.try_execute(sql).is_err(), "{sql}");
        }
    });
}

#[test]
fn a_fault_at_any_call_of_the_archive_loses_nothing_and_doubles_nothing() {
    use chittyconnect::audit::{archive, seal};
    use chittyconnect::store::Ready;
    for fault in [Fault::Before, Fault::After] {
        let mut failing = 1;
        loop {
            let (world, gateway) = archiving();
            happen(&world, 1, 3_100);
            let all: Vec<i64> = (1..=i64::try_from(world.db.count("audit")).unwrap()).collect();
            let at = format!("call {failing} {fault:?}");
            let calls = run(async {
                let ready = Ready::ensure(&gateway.app).await.unwrap();
                let until_ms = world.clock_ms() + 50_000;
                seal::seal(&gateway.app, ready).await;
                world.db.reset_calls();
                world.db.set_fault(move |call| if call == failing { fault } else { Fault::None });
                archive::archive(&gateway.app, ready, until_ms).await;
                world.db.set_fault(|_| Fault::None);
                assert_eq!(everything(&world), all, "{at}");
                let calls = world.db.calls();
                archive::archive(&gateway.app, ready, until_ms).await;
                assert_eq!(everything(&world), all, "{at}");
                assert_eq!(world.db.count("audit_segments"), 1, "{at}");
                assert_eq!(world.cache.values.borrow().len(), 1, "{at}");
                assert_eq!(verdict(&gateway).await["valid"], true, "{at}");
                calls
            });
            failing += 1;
            if failing > calls {
                break;
            }
        }
        assert!(failing > 10, "{failing}");
    }
}

#[test]
fn of_two_isolates_that_archive_one_does() {
    let (world, a) = archiving();
    let b = world.isolate_with(&[("AUDIT_KEEP_ENTRIES", Some("1000")), ("GITHUB_APP_ID", None)]);
    happen(&world, 1, 5_500);
    run(async {
        join(tasks::scheduled(&a.app), tasks::scheduled(&b.app)).await;
        tasks::scheduled(&a.app).await;
        let all = everything(&world);
        assert_eq!(all, (1..=i64::try_from(all.len()).unwrap()).collect::<Vec<_>>());
        assert_eq!(world.db.count("audit_segments"), 2);
        assert_eq!(verdict(&a).await["valid"], true);
    });
}
