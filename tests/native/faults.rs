//! Bad days: the database or ChittyID fails at each point of each change. Afterwards either all of
//! a change is there or nothing, the reply says which, and no minted id is forgotten.

use serde_json::json;

use crate::world::{Behaviour, Fault, TestRequest, World, run};

#[test]
fn chittyid_down_slow_or_talking_nonsense_stores_nothing() {
    let (world, gateway) = World::warm_with(&[("BREAKER_MIN_CALLS", Some("0"))]);
    let body = |id: &str| Behaviour::Answer(200, id.to_owned());
    run(async {
        for behaviour in [
            Behaviour::Hang,
            Behaviour::Unreachable,
            Behaviour::Busy(503, 30),
            Behaviour::Busy(429, 30),
            Behaviour::Answer(500, "oops".to_owned()),
            Behaviour::Answer(404, "{}".to_owned()),
            Behaviour::Answer(302, String::new()),
            body(""),
            body("<html>"),
            body("{}"),
            body("[]"),
            body(r#"{"chittyId":7}"#),
            body(r#"{"chittyId":"03-1-USA-9002-T-2602-0-80"}"#),
            body(r#"{"success":true,"chittyId":"03-0-ERR-0001-T-2602-0-08","fallback":true}"#),
            body(r#"{"success":true,"chittyId":"03-1-USA-9002-T-2602-0-81","fallback":true}"#),
            body(r#"{"success":false,"error":"no"}"#),
        ] {
            world.services.set("id", behaviour.clone());
            // Where ChittyID does not know the path, the mint itself is asked.
            world.services.set("mint", behaviour.clone());
            let create = TestRequest::new("POST", "/v1/contexts").token("dev-a");
            let create = create.json(&json!({"name": "n"})).header("idempotency-key", "k");
            let events = world.db.count("outbox");
            let answer = gateway.send(create).await;
            let expected = (503, "identity_authority_unavailable");
            assert_eq!((answer.status, answer.code()), expected, "{behaviour:?}");
            assert_eq!(answer.json["service"], "chittyid");
            let asked = matches!(behaviour, Behaviour::Busy(_, _));
            assert_eq!(answer.headers["retry-after"], if asked { "30" } else { "5" });
            assert_eq!(world.db.count("contexts WHERE name = 'n'"), 0);
            assert_eq!((world.db.count("idempotency_keys"), world.db.count("outbox")), (0, events));
        }
        world.services.set("id", Behaviour::Work);
        gateway.create("dev-a", &json!({"name": "n"})).await;
    });
}

#[test]
fn what_needs_no_new_identity_goes_on_without_chittyid() {
    let (world, gateway) = World::warm();
    run(async {
        let create = TestRequest::new("POST", "/v1/contexts").token("dev-a");
        let create = create.json(&json!({"name": "n"})).header("idempotency-key", "k");
        let made = gateway.send(create.clone()).await;
        world.services.set("id", Behaviour::Hang);
        let replayed = gateway.send(create).await;
        assert_eq!((replayed.status, &replayed.text), (201, &made.text));
        let taken = gateway.post("/v1/contexts", "dev-a", &json!({"name": "n"})).await;
        assert_eq!(taken.status, 409);
        let path = &made.headers["location"];
        assert_eq!(gateway.patch(path, "dev-a", &json!({"name": "m"})).await.status, 200);
        assert_eq!(gateway.delete(path, "dev-a").await.status, 200);
    });
}

#[test]
fn a_database_fault_at_any_call_of_a_creation_leaves_all_or_nothing() {
    for failing in 1..=4 {
        for fault in [Fault::Before, Fault::After] {
            let (world, gateway) = World::warm();
            let create = TestRequest::new("POST", "/v1/contexts").token("dev-a");
            let create = create.json(&json!({"name": "n"})).header("idempotency-key", "k");
            world.db.set_fault(move |call| if call == failing { fault } else { Fault::None });
            run(async {
                let answer = gateway.send(create.clone()).await;
                world.db.set_fault(|_| Fault::None);
                let at = format!("call {failing} {fault:?}: {answer:?}");
                let rows = world.db.count("contexts WHERE name = 'n'");
                match answer.status {
                    201 => assert_eq!(rows, 1, "{at}"),
                    503 => assert_eq!((rows, answer.code()), (0, "storage_unavailable"), "{at}"),
                    _ => panic!("{at}"),
                }
                // Rows, words, keys and events come and go together.
                assert_eq!(world.db.count("idempotency_keys"), rows, "{at}");
                // The other one is the gateway's own.
                assert_eq!(world.db.count("contexts_fts"), 1 + rows, "{at}");
                let created = "outbox WHERE event_type = 'context.created' \
                               AND actor_id = 'CHITTY-PEO-a'";
                assert_eq!(world.db.count(created), rows, "{at}");
                // Each minted id is in use or reported.
                let minted = world.services.calls("id").len();
                let orphans = world.db.count("outbox WHERE event_type = 'identity.orphaned'");
                assert_eq!(minted, rows + orphans, "{at}");
                // And the same request again is fine in any case.
                let again = gateway.send(create).await;
                assert_eq!(again.status, 201, "{at}");
                assert_eq!(again.headers.contains_key("idempotency-replayed"), rows == 1, "{at}");
                assert_eq!(world.db.count("contexts WHERE name = 'n'"), 1, "{at}");
            });
        }
    }
}

#[test]
fn with_the_database_gone_for_good_the_queue_still_hears_of_an_orphan() {
    let (world, gateway) = World::warm();
    run(async {
        gateway.get("/v1/contexts", Some("dev-a")).await;
        world.db.reset_calls();
        // The check before minting works, everything after it does not.
        world.db.set_fault(|call| if call == 1 { Fault::None } else { Fault::Before });
        let answer = gateway.post("/v1/contexts", "dev-a", &json!({"name": "n"})).await;
        assert_eq!(answer.code(), "storage_unavailable");
        world.db.set_fault(|_| Fault::None);
        gateway.deliver_all().await;
        let entry = &world.services.entries()[0];
        assert_eq!(entry["action"], "identity.orphaned");
        assert_eq!(entry["metadata"]["payload"]["reason"], "storage_unavailable");
    });
}

#[test]
fn a_database_fault_in_a_change_or_a_deletion_leaves_all_or_nothing() {
    for method in ["PATCH", "DELETE"] {
        for fault in [Fault::Before, Fault::After] {
            let (world, gateway) = World::warm();
            run(async {
                let id = gateway.create("dev-a", &json!({"name": "n"})).await;
                let etags = || world.db.cell("SELECT revision FROM contexts WHERE name <> 'c'");
                let (events, before) = (world.db.count("outbox"), etags());
                world.db.reset_calls();
                world.db.set_fault(move |call| if call == 1 { fault } else { Fault::None });
                let request = TestRequest::new(method, &format!("/v1/contexts/{id}"));
                let request = request.token("dev-a").json(&json!({"name": "m"}));
                let answer = gateway.send(request).await;
                assert_eq!((answer.status, answer.code()), (503, "storage_unavailable"));
                let took_place = fault == Fault::After;
                assert_eq!(world.db.count("outbox") - events, usize::from(took_place));
                let found = gateway.get("/v1/contexts/search?q=n", Some("dev-a")).await;
                let expected = usize::from(!took_place);
                assert_eq!(found.json["count"], expected, "{method} {fault:?} {before:?}");
            });
        }
    }
}
