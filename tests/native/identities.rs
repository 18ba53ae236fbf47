//! ChittyIDs for whoever asks: all nine kinds, each minted once, none lost, and nothing said that is
//! nobody's business.

use chitty_core::EntityLabel;
use chittyconnect::tasks;
use futures_util::future::join;
use serde_json::{Value, json};

use crate::world::{Behaviour, Fault, TestRequest, World, run};

const MINT: &str = "/api/chittyid/mint";
const VALIDATE: &str = "/api/chittyid/validate";

fn mint(key: &str) -> TestRequest {
    let mint = TestRequest::new("POST", MINT).token("dev-a");
    mint.json(&json!({"entity": "FACT"})).header("idempotency-key", key)
}

/// What was reported as nobody's: the entity, and whether it is in doubt.
fn reported(world: &World) -> Vec<(String, bool)> {
    let entries = world.services.entries();
    let orphans = entries.iter().filter(|entry| entry["action"] == "identity.orphaned");
    let metadata = orphans.map(|entry| &entry["metadata"]);
    metadata
        .map(|said| {
            let entity = said["entityId"].as_str().unwrap().to_owned();
            (entity, said["payload"]["in_doubt"] == true)
        })
        .collect()
}

#[test]
fn all_nine_kinds_are_minted_by_chittyid_and_are_valid() {
    let (world, gateway) = World::warm();
    run(async {
        let expected = [
            ("PEO", "P", "person", None),
            ("PLACE", "L", "place", None),
            ("PROP", "T", "thing", None),
            ("EVNT", "E", "event", None),
            ("AUTH", "A", "authority", None),
            ("INFO", "T", "thing", None),
            ("FACT", "T", "thing", None),
            ("CONTEXT", "P", "person", Some("Synthetic")),
            ("ACTOR", "P", "person", Some("Synthetic")),
        ];
        assert_eq!(expected.map(|(label, ..)| label), EntityLabel::ALL.map(EntityLabel::label));
        for (label, letter, word, characterization) in expected {
            let body = json!({"entity": label, "metadata": {"case": 7}});
            let made = gateway.post(MINT, "dev-a", &body).await;
            assert_eq!(made.status, 201, "{}", made.text);
            let (id, _) = world.services.mints().pop().unwrap();
            assert_eq!((&made.json["chittyId"], &made.json["chitty_id"]), (&json!(id), &json!(id)));
            assert_eq!((&made.json["type"], &made.json["entity"]), (&json!(label), &json!(letter)));
            assert_eq!(made.json["minted_at"], "2026-01-02T03:04:05.000Z");
            let call = world.services.calls("id").pop().unwrap();
            let sent: Value = serde_json::from_str(call.body.as_deref().unwrap()).unwrap();
            assert_eq!((&sent["type"], &sent["entity"]), (&json!(label), &json!(letter)));
            assert_eq!(sent["entityType"], word);
            assert_eq!(sent["characterization"], json!(characterization), "{label}");
            let said = &sent["metadata"];
            assert_eq!((&said["case"], &said["owner"]), (&json!(7), &json!("CHITTY-PEO-a")));
            for (asked, body) in [
                (VALIDATE.to_owned(), Some(json!({"chittyId": id}))),
                (VALIDATE.to_owned(), Some(json!({"chittyid": format!("did:chitty:{id}")}))),
                (made.headers["location"].clone(), None),
            ] {
                let answer = match body {
                    Some(body) => gateway.post(&asked, "dev-a", &body).await,
                    None => gateway.get(&asked, Some("dev-a")).await,
                };
                assert_eq!(
                    (answer.status, &answer.json["valid"]),
                    (200, &json!(true)),
                    "{}",
                    answer.text
                );
                assert_eq!(answer.json["chitty_id"], id);
            }
        }
        gateway.deliver_all().await;
        let told = world.services.entries();
        assert_eq!(told.iter().filter(|entry| entry["action"] == "identity.minted").count(), 9);
        let audit = gateway.get("/v1/audit?action=identity.minted", Some("dev-a")).await;
        assert_eq!(audit.json["count"], 9, "{}", audit.text);
        assert_eq!(world.db.count("mint_intents"), 0);
    });
}

#[test]
fn what_is_no_id_is_not_asked_about() {
    let (world, gateway) = World::warm();
    run(async {
        for (asked, status) in [
            ("nonsense", "invalid"),
            ("03-1-USA-9003-T-2602-0-81", "invalid"),
            ("03-0-ERR-0001-T-2602-0-08", "pending"),
        ] {
            let answer = gateway.post(VALIDATE, "dev-a", &json!({"id": asked})).await;
            assert_eq!(answer.json["status"], status, "{}", answer.text);
            assert_eq!(answer.json["valid"], false);
            assert!(answer.json["error"].is_string());
        }
        assert!(world.services.calls("id").is_empty());
        let known = json!({"id": "03-1-USA-5537-P-2602-0-38"});
        let answer = gateway.post(VALIDATE, "dev-a", &known).await;
        assert_eq!(
            (&answer.json["status"], world.services.calls("id").len()),
            (&json!("invalid"), 1)
        );
        assert_eq!(gateway.post(VALIDATE, "dev-a", &json!({})).await.code(), "validation_failed");
        world.services.set("id", Behaviour::Hang);
        let open =
            gateway.post(VALIDATE, "dev-a", &json!({"id": "03-1-USA-9002-T-2602-0-81"})).await;
        assert_eq!(open.code(), "identity_authority_unavailable", "neither valid nor invalid");
    });
}

#[test]
fn each_needs_its_own_permission() {
    let (world, gateway) = World::warm();
    run(async {
        let (draft, id) = (json!({"entity": "PEO"}), json!({"id": "03-1-USA-9002-T-2602-0-81"}));
        for (token, mints, validates) in [
            ("dev-a", 201, 200),
            ("dev-a+identities:write", 201, 403),
            ("dev-a+identities:read", 403, 200),
            ("dev-a+identities:*", 201, 200),
            ("dev-a+contexts:write,contexts:read", 403, 403),
        ] {
            assert_eq!(gateway.post(MINT, token, &draft).await.status, mints, "{token}");
            assert_eq!(gateway.post(VALIDATE, token, &id).await.status, validates, "{token}");
        }
        assert_eq!(world.services.mints().len(), 3 + 1, "and the gateway's own");
        world.db.execute(
            "INSERT INTO actors (chitty_id, actor_type, status, created_at, updated_at) \
             VALUES ('CHITTY-PEO-s', 'human', 'suspended', '', '')",
        );
        assert_eq!(gateway.post(MINT, "dev-s", &draft).await.code(), "actor_suspended");
        assert_eq!(gateway.post(VALIDATE, "dev-s", &id).await.code(), "actor_suspended");
        assert_eq!(world.services.mints().len(), 4);
    });
}

#[test]
fn nobody_s_address_reaches_chittyid_and_what_is_wrong_mints_nothing() {
    let (world, gateway) = World::warm();
    run(async {
        let before = world.services.mints().len();
        for body in [
            json!({"entity": "PEO", "metadata": {"email": "bob@example.org"}}),
            json!({"entity": "PEO", "metadata": {"a": [{"note": "ask bob@example.org"}]}}),
            json!({"entity": "ROBOT"}),
            json!({"metadata": {}}),
        ] {
            let refused = gateway.post(MINT, "dev-a", &body).await;
            assert_eq!(refused.code(), "validation_failed", "{body}");
        }
        assert_eq!((world.services.mints().len(), world.db.count("mint_intents")), (before, 0));
        let flow = json!({"email": "bob@example.org"});
        let run = gateway.post("/v1/orchestrations/user-registration", "dev-a", &flow).await;
        assert_eq!(run.status, 201, "{}", run.text);
        let call = world.services.calls("id").pop().unwrap();
        assert!(!call.body.unwrap().contains("bob@example.org"), "nor by a flow");
    });
}

#[test]
fn one_key_is_one_identity_however_often_and_at_once_it_is_asked_for() {
    let (world, gateway) = World::warm();
    run(async {
        let other = world.isolate();
        let (one, two) = join(gateway.send(mint("k")), other.send(mint("k"))).await;
        assert_eq!((one.status, two.status), (201, 201), "{} {}", one.text, two.text);
        assert_eq!(one.text, two.text);
        let again = gateway.send(mint("k")).await;
        assert_eq!(
            (again.text, again.headers["idempotency-replayed"].as_str()),
            (one.text, "true")
        );
        assert_eq!(again.headers["location"], one.headers["location"]);
        let reused = mint("k").json(&json!({"entity": "PEO"}));
        assert_eq!(gateway.send(reused).await.code(), "idempotency_key_reused");
        // What the slower one had minted is reported, and nothing is left in doubt.
        world.advance_ms(660_000);
        tasks::scheduled(&gateway.app).await;
        gateway.deliver_all().await;
        let minted: Vec<String> = world.services.mints().into_iter().map(|(id, _)| id).collect();
        let unused = minted.iter().filter(|id| {
            **id != one.json["chitty_id"].as_str().unwrap() && **id != "CHITTY-CONTEXT-000001"
        });
        let unused: Vec<(String, bool)> = unused.map(|id| (id.clone(), false)).collect();
        assert_eq!((reported(&world), world.db.count("mint_intents")), (unused, 0));
        assert_eq!(world.db.count("identities"), 1);
    });
}

#[test]
fn an_authority_that_recognises_repeats_answers_both_with_one_identity() {
    let (world, gateway) = World::warm();
    run(async {
        let same = json!({"success": true, "chittyId": "03-1-USA-9002-T-2602-0-81"}).to_string();
        world.services.at("/v1/mint", Behaviour::Answer(200, same));
        let other = world.isolate();
        let (one, two) = join(gateway.send(mint("k")), other.send(mint("k"))).await;
        assert_eq!((one.status, two.status, &one.text), (201, 201, &two.text));
        // The same id for a request of its own: it is in use, so it is neither given nor reported.
        assert_eq!(gateway.send(mint("other")).await.code(), "identity_authority_unavailable");
        world.advance_ms(660_000);
        tasks::scheduled(&gateway.app).await;
        gateway.deliver_all().await;
        let ids: Vec<(String, bool)> = reported(&world);
        assert!(ids.iter().all(|(id, in_doubt)| id.starts_with("mnt_") && *in_doubt), "{ids:?}");
        assert_eq!(ids.len(), 1, "what came of the other is not known: {ids:?}");
    });
}

#[test]
fn a_lost_answer_is_asked_for_again_under_the_same_key() {
    let (world, gateway) = World::warm();
    run(async {
        world.services.set("id", Behaviour::Lost);
        assert_eq!(gateway.send(mint("k")).await.code(), "identity_authority_unavailable");
        assert_eq!(world.db.count("identities"), 0);
        world.services.set("id", Behaviour::Work);
        let made = gateway.send(mint("k")).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let keys: Vec<String> = world
            .services
            .calls("id")
            .iter()
            .filter_map(|call| call.headers.iter().find(|(name, _)| *name == "idempotency-key"))
            .map(|(_, key)| key.clone())
            .collect();
        assert!(keys.len() == 2 && keys[0] == keys[1], "{keys:?}");
        assert!(keys[0].starts_with("mnt_identity_"));
        // Whether the first has minted nobody knows here: it is said.
        world.advance_ms(660_000);
        tasks::scheduled(&gateway.app).await;
        gateway.deliver_all().await;
        assert_eq!(reported(&world), [(keys[0].clone(), true)]);
        // What certainly was not minted is not.
        world.services.set("id", Behaviour::Busy(503, 1));
        gateway.send(mint("l")).await;
        assert_eq!(world.db.count("mint_intents"), 0);
    });
}

#[test]
fn a_fault_at_any_call_loses_no_identity() {
    for fault in [Fault::Before, Fault::After] {
        for at in 1..6 {
            let (world, gateway) = World::warm();
            run(async {
                gateway.get("/v1/contexts", Some("dev-a")).await;
                world.db.reset_calls();
                world.db.set_fault(move |call| if call == at { fault } else { Fault::None });
                let first = gateway.send(mint("k")).await;
                world.db.set_fault(|_| Fault::None);
                let again = gateway.send(mint("k")).await;
                assert_eq!(again.status, 201, "{fault:?} {at}: {} {}", first.text, again.text);
                if first.status == 201 {
                    assert_eq!(first.text, again.text);
                }
                for _ in 0..3 {
                    world.advance_ms(660_000);
                    tasks::scheduled(&gateway.app).await;
                    gateway.deliver_all().await;
                }
                let told = reported(&world);
                for (id, intent) in world.services.mints().into_iter().skip(1) {
                    let used = again.json["chitty_id"] == id;
                    let is_told = told.iter().any(|(told, _)| *told == id || *told == intent);
                    assert!(used || is_told, "{fault:?} {at}: {id} is nobody's: {told:?}");
                }
                assert_eq!(world.db.count("mint_intents"), 0, "{fault:?} {at}");
            });
        }
    }
}

#[test]
fn nobody_has_more_minted_than_they_may() {
    let (world, gateway) = World::warm_with(&[("QUOTA_IDENTITIES", Some("2"))]);
    run(async {
        let draft = json!({"entity": "PLACE"});
        let first = gateway.send(mint("k")).await;
        assert_eq!(gateway.post(MINT, "dev-a", &draft).await.status, 201);
        let minted = world.services.mints().len();
        let refused = gateway.post(MINT, "dev-a", &draft).await;
        assert_eq!((refused.status, refused.code()), (403, "quota_exceeded"), "{}", refused.text);
        assert_eq!((world.services.mints().len(), world.db.count("mint_intents")), (minted, 0));
        assert_eq!(gateway.send(mint("k")).await.text, first.text, "a replay is none");
        assert_eq!(gateway.post(MINT, "dev-b", &draft).await.status, 201, "somebody else");
    });
}
