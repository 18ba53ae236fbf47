//! The audit and its seals.

use chittyconnect::tasks;
use serde_json::json;

use crate::world::{Isolate, World, run};

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
