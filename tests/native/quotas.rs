//! Quotas: nobody has more of a kind than they may, however many ask at once, and room comes back.

use chittyconnect::access::quota::QuotaKind;
use serde_json::{Value, json};

use crate::world::samples::{EntityKind, Ids};
use crate::world::{Answer, Isolate, TestRequest, World, run};

const ADMIN: &str = "dev-root+admin";

/// Every quota is three.
fn three() -> (World, Isolate) {
    let vars = QuotaKind::ALL.iter().map(|kind| (kind.rules().setting, Some("3")));
    World::warm_with(&vars.collect::<Vec<_>>())
}

fn link(n: usize) -> Value {
    json!({
        "source_chitty_id": "CHITTY-PEO-a", "source_type": "actor", "target_service": format!("cases{n}"),
        "target_endpoint": "https://a.example", "check_path": null,
    })
}

/// The kinds of entities that a quota counts, as `tests/requests.json` has them.
fn kinds() -> Vec<EntityKind> {
    EntityKind::all().into_iter().filter(|kind| kind.quota().is_some()).collect()
}

/// What the bodies of a kind name, made by `dev-a`.
async fn prepared(gateway: &Isolate, kind: &EntityKind) -> Ids {
    let mut ids = Ids::new();
    kind.prepare(gateway, &mut ids).await;
    ids
}

/// The quotas that count other than what is made and ended, and have tests of their own.
const OTHER: [&str; 2] = ["checked_connections", "identities"];

#[test]
fn every_quota_has_its_column_and_is_tested() {
    let (world, _) = World::warm();
    let table = "SELECT sql FROM sqlite_schema WHERE name = 'quota_assertions'";
    let table = world.db.cell(table).unwrap();
    let kinds = kinds();
    for quota in QuotaKind::ALL {
        let name = quota.as_str();
        let column = format!("{name} INTEGER CONSTRAINT quota_{name} CHECK ({name})");
        assert!(table.contains(&column), "{column} is not in {table}");
        let is_sampled = kinds.iter().any(|kind| kind.quota() == Some(name));
        assert_ne!(is_sampled, OTHER.contains(&name), "no entity of {name} in tests/requests.json");
    }
}

fn is_exceeded(answer: &Answer) {
    assert_eq!((answer.status, answer.code()), (403, "quota_exceeded"), "{}", answer.text);
}

/// The answer says of its own kind how to make room.
fn advises(answer: &Answer, kind: &EntityKind) {
    is_exceeded(answer);
    let quota = QuotaKind::ALL.iter().find(|quota| kind.quota() == Some(quota.as_str())).unwrap();
    let expected = format!("{}, or ask an operator for more.", quota.rules().advice);
    assert_eq!(answer.json["detail"], *expected);
}

#[test]
fn nobody_has_more_than_they_may_and_what_ends_gives_room() {
    for kind in kinds() {
        let (world, gateway) = three();
        run(async {
            let ids = prepared(&gateway, &kind).await;
            let (path, body) = (kind.path(), |n| kind.body(n, &ids));
            let mut made = Vec::new();
            for n in 0..3 {
                let answer = gateway.post(path, "dev-a", &body(n)).await;
                assert_eq!(answer.status, 201, "{}", answer.text);
                made.push(answer.headers["location"].clone());
            }
            world.services.reset_calls();
            let (rows, events) = (world.db.count("outbox"), world.db.count("audit"));
            advises(&gateway.post(path, "dev-a", &body(3)).await, &kind);
            assert!(world.services.calls("id").is_empty(), "nothing is minted");
            assert_eq!(
                (world.db.count("outbox"), world.db.count("audit")),
                (rows, events),
                "{path}"
            );
            if path != "/v1/connections" {
                assert_eq!(
                    gateway.post(path, "dev-b", &body(3)).await.status,
                    201,
                    "somebody else"
                );
            }
            assert_eq!(gateway.delete(&made[1], "dev-a").await.status, 200);
            // Again, which gives no further room.
            gateway.delete(&made[1], "dev-a").await;
            assert_eq!(gateway.post(path, "dev-a", &body(4)).await.status, 201, "{path}");
            is_exceeded(&gateway.post(path, "dev-a", &body(5)).await);
        });
    }
}

#[test]
fn two_requests_never_pass_for_one_place() {
    for kind in kinds() {
        let (world, gateway) = three();
        let other = gateway.clone();
        run(async {
            let ids = prepared(&gateway, &kind).await;
            let (path, body) = (kind.path(), |n| kind.body(n, &ids));
            for n in 0..2 {
                assert_eq!(gateway.post(path, "dev-a", &body(n)).await.status, 201);
            }
            let (third, fourth) = (body(3), body(4));
            let both = [gateway.post(path, "dev-a", &third), other.post(path, "dev-a", &fourth)];
            let answers = futures_util::future::join_all(both).await;
            let (one, two) = (&answers[0], &answers[1]);
            let mut statuses = [one.status, two.status];
            statuses.sort_unstable();
            assert_eq!(statuses, [201, 403], "{path} {one:?} {two:?}");
            advises(if one.status == 403 { one } else { two }, &kind);
            if path == "/v1/contexts" {
                // Both had seen room and minted.
                let orphaned = "SELECT payload FROM outbox WHERE event_type LIKE '%orphaned'";
                assert!(world.db.cell(orphaned).unwrap().contains("quota_exceeded"));
            }
        });
    }
}

#[test]
fn what_has_ended_by_itself_does_not_count() {
    let (world, gateway) = three();
    run(async {
        let brief =
            json!({"target_service": "connect", "scopes": ["read"], "expires_in_seconds": 60});
        let key = json!({"name": "n", "scopes": ["read"], "expires_in_seconds": 60});
        for _ in 0..3 {
            assert_eq!(gateway.post("/v1/delegate", "dev-a", &brief).await.status, 201);
            assert_eq!(gateway.post("/v1/keys", "dev-a", &key).await.status, 201);
        }
        is_exceeded(&gateway.post("/v1/delegate", "dev-a", &brief).await);
        is_exceeded(&gateway.post("/v1/keys", "dev-a", &key).await);
        world.advance_ms(60_000);
        assert_eq!(gateway.post("/v1/delegate", "dev-a", &brief).await.status, 201);
        assert_eq!(gateway.post("/v1/keys", "dev-a", &key).await.status, 201);
    });
}

#[test]
fn connections_that_are_checked_count_apart_also_when_a_check_comes_later() {
    let vars = [("QUOTA_CHECKED_CONNECTIONS", Some("1"))];
    let (_, gateway) = World::warm_with(&vars);
    run(async {
        let checked = |n: usize| {
            let mut body = link(n);
            body["check_path"] = json!("/health");
            body
        };
        let first = gateway.post("/v1/connections", "dev-a", &checked(1)).await;
        assert_eq!(first.status, 201, "{}", first.text);
        is_exceeded(&gateway.post("/v1/connections", "dev-a", &checked(2)).await);
        let second = gateway.post("/v1/connections", "dev-a", &link(2)).await;
        assert_eq!(second.status, 201);
        let (first, second) = (&first.headers["location"], &second.headers["location"]);
        let check = |path: Value| json!({ "check_path": path });
        is_exceeded(&gateway.patch(second, "dev-a", &check(json!("/x"))).await);
        let mut with = check(json!("/x"));
        with["credentials"] = json!({"type": "bearer", "token": "t"});
        is_exceeded(&gateway.patch(second, "dev-a", &with).await);
        // The one that is checked already needs no other place.
        for body in [&check(json!("/x")), &with] {
            assert_eq!(gateway.patch(first, "dev-a", body).await.status, 200);
        }
        assert_eq!(gateway.patch(first, "dev-a", &check(Value::Null)).await.status, 200);
        assert_eq!(gateway.patch(second, "dev-a", &check(json!("/x"))).await.status, 200);
    });
}

#[test]
fn an_operator_sets_others_for_an_actor_and_none_with_0() {
    let (world, gateway) = three();
    let put = |actor: &str, text: &str| {
        world.rate_limit.values.borrow_mut().insert(format!("actor:{actor}"), text.to_owned())
    };
    put("CHITTY-PEO-a", r#"{"keys": 5}"#);
    put("CHITTY-PEO-b", r#"{"keys": 0}"#);
    run(async {
        for (token, most) in [("dev-a", 5), ("dev-b", 12), ("dev-c", 3)] {
            let body = json!({"name": "n", "scopes": ["read"]});
            for n in 0..12 {
                let status = gateway.post("/v1/keys", token, &body).await.status;
                assert_eq!(status, if n < most { 201 } else { 403 }, "{token} {n}");
            }
        }
        // Who makes keys for somebody else fills their quota, not the own.
        let theirs = json!({"name": "n", "scopes": ["read"], "actor_chitty_id": "CHITTY-PEO-d"});
        for n in 0..4 {
            let status = gateway.post("/v1/keys", ADMIN, &theirs).await.status;
            assert_eq!(status, if n < 3 { 201 } else { 403 });
        }
        let own = json!({"name": "n", "scopes": ["read"]});
        assert_eq!(gateway.post("/v1/keys", ADMIN, &own).await.status, 201);
    });
}

#[test]
fn contexts_are_counted_as_they_come_and_go() {
    let (world, gateway) = World::warm();
    run(async {
        let counted = || {
            world.db.cell("SELECT live FROM context_counts WHERE owner_chitty_id = 'CHITTY-PEO-a'")
        };
        let id = gateway.create("dev-a", &json!({"name": "one"})).await;
        gateway.create("dev-a", &json!({"name": "two"})).await;
        let path = format!("/v1/contexts/{id}");
        gateway.patch(&path, "dev-a", &json!({"name": "three"})).await;
        assert_eq!(counted().unwrap(), "2");
        gateway.delete(&path, "dev-a").await;
        assert_eq!(counted().unwrap(), "1");
        world.db.execute(
            "UPDATE contexts SET status = 'active', deleted_at = NULL WHERE name = 'three'",
        );
        assert_eq!(counted().unwrap(), "2");
        world.db.execute("DELETE FROM contexts WHERE name = 'three'");
        assert_eq!(counted().unwrap(), "1");
    });
}

#[test]
fn a_quota_costs_no_round_trip() {
    let (world, gateway) = World::warm();
    let without = QuotaKind::ALL.iter().map(|kind| (kind.rules().setting, Some("0")));
    let free = world.isolate_with(&without.collect::<Vec<_>>());
    run(async {
        for isolate in [&gateway, &free] {
            isolate.get("/v1/contexts", Some("dev-a")).await;
        }
        let (mut calls, mut ids) = (Vec::new(), Ids::new());
        for (n, isolate) in [&gateway, &free].into_iter().enumerate() {
            for kind in kinds() {
                kind.prepare(&gateway, &mut ids).await;
                world.db.reset_calls();
                let request = TestRequest::new("POST", kind.path()).token("dev-a");
                isolate.send_only(request.json(&kind.body(n + 10, &ids))).await;
                calls.push(world.db.calls());
            }
            world.db.reset_calls();
            isolate.get("/v1/contexts", Some("dev-a")).await;
            calls.push(world.db.calls());
        }
        let (with, without) = calls.split_at(calls.len() / 2);
        assert_eq!(with, without);
        assert_eq!(with.last(), Some(&1), "a warm read");
    });
}
