//! Actors.

use futures_util::future::join_all;
use serde_json::json;

use crate::world::{Behaviour, TestRequest, World, run};

const ADMIN: &str = "dev-root+admin";

#[test]
fn registration_binds_the_identity_that_is_vouched_for() {
    let (world, gateway) = World::warm();
    run(async {
        let me = gateway.get("/v1/actors/me", Some("dev-a")).await;
        assert_eq!(me.json["actor"]["registered"], false);
        let body = json!({
            "actor_type": "human", "display_name": "Alice", "email": "alice@example.org",
            "avatar_url": "https://img.example/a.png", "capabilities": ["contexts:read"],
        });
        let mut posing = body.clone();
        posing["chitty_id"] = json!("CHITTY-PEO-root");
        posing["status"] = json!("suspended");
        let refused = gateway.post("/v1/actors/register", "dev-a", &posing).await;
        assert_eq!((refused.status, refused.code()), (422, "unknown_field"));
        let made = gateway.post("/v1/actors/register", "dev-a", &body).await;
        assert_eq!(made.status, 201, "{made:?}");
        let actor = &made.json["actor"];
        assert_eq!(
            (&actor["chitty_id"], &actor["status"]),
            (&json!("CHITTY-PEO-a"), &json!("active"))
        );
        assert_eq!(
            actor["capabilities"],
            json!(["read", "write"]),
            "what ChittyAuth says, no more"
        );
        let again = gateway.post("/v1/actors/register", "dev-a", &body).await;
        assert_eq!(again.code(), "already_registered");
        assert_eq!(again.json["existing_chitty_id"], "CHITTY-PEO-a");
        let greedy = json!({"actor_type": "ai", "capabilities": ["admin"]});
        assert_eq!(gateway.post("/v1/actors/register", "dev-b", &greedy).await.status, 422);
        assert_eq!(world.db.count("actors"), 1);
        assert_eq!(world.db.count("outbox WHERE event_type = 'actor.registered'"), 1);
        assert!(
            !world.db.cell("SELECT group_concat(payload) FROM outbox").unwrap().contains("alice")
        );
    });
}

#[test]
fn of_many_registrations_one_wins_and_those_with_its_key_get_its_reply() {
    let (world, a) = World::warm();
    let b = world.isolate();
    run(async {
        let register = TestRequest::new("POST", "/v1/actors/register").token("dev-a");
        let register = register.json(&json!({"actor_type": "ai"}));
        let keyed = register.clone().header("idempotency-key", "k");
        let requests = (0..12).map(|n| {
            let gateway = if n % 2 == 0 { &a } else { &b };
            gateway.send(if n % 3 == 0 { register.clone() } else { keyed.clone() })
        });
        let answers = join_all(requests).await;
        let fresh = answers.iter().filter(|answer| {
            answer.status == 201 && !answer.headers.contains_key("idempotency-replayed")
        });
        assert_eq!(fresh.count(), 1);
        for answer in &answers {
            assert!(answer.status == 201 || answer.code() == "already_registered", "{answer:?}");
        }
        assert_eq!(world.db.count("outbox WHERE event_type = 'actor.registered'"), 1);
    });
}

#[test]
fn others_see_no_more_than_a_card() {
    let (_, gateway) = World::warm();
    run(async {
        let body =
            json!({"actor_type": "human", "display_name": "Alice", "email": "a@example.org"});
        gateway.post("/v1/actors/register", "dev-a", &body).await;
        let path = "/v1/actors/CHITTY-PEO-a";
        let card = gateway.get(path, Some("dev-b")).await;
        assert_eq!(
            card.json,
            json!({"actor": {
                "chitty_id": "CHITTY-PEO-a", "chittyId": "CHITTY-PEO-a", "actor_type": "human",
                "display_name": "Alice", "avatar_url": null,
            }})
        );
        for token in ["dev-a", ADMIN] {
            let full = gateway.get(path, Some(token)).await;
            assert_eq!(full.json["actor"]["email"], "a@example.org", "{token}");
        }
        for (method, target) in
            [("PATCH", path.to_owned()), ("GET", format!("{path}/capabilities"))]
        {
            let request = TestRequest::new(method, &target).token("dev-b");
            let refused = gateway.send(request.json(&json!({"display_name": "Mallory"}))).await;
            assert_eq!(refused.code(), "not_found", "{method}");
        }
        assert_eq!(gateway.get("/v1/actors", Some("dev-a")).await.code(), "insufficient_scope");
        for nobody in ["CHITTY-PEO-nobody", "x", "..%2f", "me%00"] {
            let path = format!("/v1/actors/{nobody}");
            assert_eq!(gateway.get(&path, Some("dev-b")).await.code(), "not_found", "{nobody}");
        }
        gateway.patch(path, ADMIN, &json!({"status": "deleted"})).await;
        assert_eq!(gateway.get(path, Some("dev-b")).await.code(), "not_found");
    });
}

#[test]
fn an_actor_describes_itself_under_the_conditions_that_it_sets() {
    let (world, gateway) = World::warm();
    run(async {
        gateway.post("/v1/actors/register", "dev-a", &json!({"actor_type": "ai"})).await;
        let path = "/v1/actors/CHITTY-PEO-a";
        let first = gateway.get(path, Some("dev-a")).await.headers["etag"].clone();
        let changed =
            gateway.patch(path, "dev-a", &json!({"display_name": "A", "email": null})).await;
        assert_eq!(changed.json["actor"]["display_name"], "A");
        let stale = TestRequest::new("PATCH", path).token("dev-a").header("if-match", &first);
        let stale = gateway.send(stale.json(&json!({"display_name": "B"}))).await;
        assert_eq!(stale.code(), "precondition_failed");
        for body in [
            json!({}),
            json!({"capabilities": ["admin"]}),
            json!({"display_name": ""}),
            json!({"email": "x"}),
            json!({"status": "gone"}),
        ] {
            assert_eq!(gateway.patch(path, "dev-a", &body).await.status, 422, "{body}");
        }
        assert_eq!(world.db.cell("SELECT display_name FROM actors").as_deref(), Some("A"));
    });
}

#[test]
fn an_administrator_lists_and_narrows() {
    let (world, gateway) = World::warm();
    run(async {
        for (name, kind) in [("a", "human"), ("b", "ai"), ("c", "ai")] {
            world.advance_ms(1);
            let body = json!({"actor_type": kind});
            gateway.post("/v1/actors/register", &format!("dev-{name}"), &body).await;
        }
        let ids = |answer: &crate::world::Answer| -> Vec<String> {
            let actors = answer.json["actors"].as_array().unwrap();
            actors.iter().map(|actor| actor["chitty_id"].as_str().unwrap().to_owned()).collect()
        };
        let page = gateway.get("/v1/actors/list?type=ai&limit=1", Some(ADMIN)).await;
        assert_eq!(ids(&page), ["CHITTY-PEO-c"]);
        let next = page.json["next_cursor"].as_str().unwrap();
        let rest = gateway.get(&format!("/v1/actors?type=ai&cursor={next}"), Some(ADMIN)).await;
        assert_eq!(
            (ids(&rest), &rest.json["next_cursor"]),
            (vec!["CHITTY-PEO-b".to_owned()], &json!(null))
        );
        assert_eq!(gateway.get("/v1/actors?type=robot", Some(ADMIN)).await.status, 422);
    });
}

#[test]
fn seeing_an_actor_costs_a_note_a_minute() {
    let (world, gateway) = World::warm();
    run(async {
        gateway.post("/v1/actors/register", "dev-a", &json!({"actor_type": "ai"})).await;
        world.advance_ms(60_000);
        let seen = || {
            let columns = "SELECT last_seen_at || ' ' || session_count FROM actors";
            world.db.cell(columns).unwrap()
        };
        let writes = || {
            world
                .db
                .log()
                .iter()
                .filter(|sql| sql.contains("session_count = session_count"))
                .count()
        };
        let before = writes();
        for _ in 0..20 {
            gateway.get("/v1/contexts", Some("dev-a")).await;
        }
        assert_eq!(writes() - before, 1, "one note for many reads");
        assert_eq!(seen(), "2026-01-02T03:05:05.000Z 1");
        world.advance_ms(31 * 60_000);
        gateway.get("/v1/contexts", Some("dev-a")).await;
        assert_eq!(seen(), "2026-01-02T03:36:05.000Z 2", "another session");
    });
}

#[test]
fn the_ids_of_an_actor_at_other_services_are_kept() {
    for (said, kept) in [
        (json!({"actor": {"chittyId": "CHITTY-PEO-a", "principalId": "prn_1"}}), json!("prn_1")),
        (json!({"chittyId": "CHITTY-PEO-a", "principal_id": "prn_2"}), json!("prn_2")),
        (json!({"actor": {"chittyId": "CHITTY-PEO-a"}}), json!(null)),
        (json!({"actor": {"chittyId": "CHITTY-PEO-b", "principalId": "prn_b"}}), json!(null)),
        (json!({"actor": {"chittyId": "CHITTY-PEO-a", "principalId": "a\u{0}"}}), json!(null)),
    ] {
        let (world, gateway) = World::warm();
        world.services.at("/v1/auth/validate", Behaviour::Answer(200, said.to_string()));
        run(async {
            let body = json!({"actor_type": "human"});
            let made = gateway.post("/v1/actors/register", "dev-a", &body).await;
            assert_eq!(made.status, 201);
            gateway.deliver_all().await;
            let me = gateway.get("/v1/actors/me", Some("dev-a")).await;
            assert_eq!(me.json["actor"]["chitty_auth_principal_id"], kept, "{said}");
            assert_eq!(me.json["actor"]["chitty_dna_id"], "dna-of-CHITTY-PEO-a");
        });
    }
    // Whether ChittyAuth says it or not, the actor is registered; a later credential may say it.
    let (world, gateway) = World::warm();
    world.services.at("/v1/auth/validate", Behaviour::Hang);
    run(async {
        let made =
            gateway.post("/v1/actors/register", "dev-a", &json!({"actor_type": "human"})).await;
        assert_eq!(made.status, 201);
        let validated = json!({
            "valid": true, "chittyId": "CHITTY-PEO-a", "principalId": "prn_3", "scope": ["read"],
        });
        let said = Behaviour::Answer(200, validated.to_string());
        world.services.at("/v1/tokens/validate", said);
        world.advance_ms(120_000);
        gateway.get("/v1/actors/me", Some("dev-a")).await;
        let me = gateway.get("/v1/actors/me", Some("dev-a")).await;
        assert_eq!(me.json["actor"]["chitty_auth_principal_id"], "prn_3");
    });
}
