//! The keys of contexts: made by ChittyAuth with the context or anew, shown once, bounded by what they were
//! made with, and nobody's at no time: whatever is lost, refused or killed on the way.

use std::pin::pin;

use chitty_core::HttpRequest;
use chittyconnect::tasks;
use futures_util::future::join;
use seams::time;
use serde_json::{Value, json};

use crate::access::{delegated, key};
use crate::world::{Answer, Behaviour, Fault, Isolate, TestRequest, World, killed_after, run};

const WITHOUT_GITHUB: &[(&str, Option<&str>)] = &[("GITHUB_APP_ID", None)];

fn wanted() -> Value {
    json!({"name": "n", "credentials": "provisioned"})
}

fn creation() -> TestRequest {
    TestRequest::new("POST", "/v1/contexts").token("dev-a").json(&wanted())
}

fn keyed() -> TestRequest {
    creation().header("idempotency-key", "k")
}

/// A gateway beside which ChittyAuth has made no key but the gateway's own.
fn begun() -> (World, Isolate, usize) {
    let (world, gateway) = World::warm_with(WITHOUT_GITHUB);
    // Whose token it is is known from now on, so that later only keys are asked for.
    run(gateway.get("/v1/contexts", Some("dev-a")));
    let own = world.services.live().len();
    world.services.reset_calls();
    (world, gateway, own)
}

/// The cron, again and again over some time, in an isolate that knows nothing.
async fn cron(world: &World, rounds: usize, pause_ms: u64) {
    let isolate = world.isolate_with(WITHOUT_GITHUB);
    for _ in 0..rounds {
        world.advance_ms(pause_ms);
        tasks::scheduled(&isolate.app).await;
    }
}

/// What ChittyAuth was asked for.
fn asked(world: &World) -> Vec<Value> {
    let calls = world.services.calls("auth");
    let is_key = |call: &&HttpRequest| call.url.ends_with("/v1/keys/provision");
    let body = |call: &HttpRequest| serde_json::from_str(call.body.as_deref().unwrap()).unwrap();
    calls.iter().filter(is_key).map(body).collect()
}

fn contexts(world: &World) -> usize {
    world.db.count("contexts WHERE owner_chitty_id = 'CHITTY-PEO-a' AND deleted_at IS NULL")
}

/// Every key that lives is a context's, and every context has one that lives.
fn assert_no_key_is_nobodys(world: &World, own: usize, at: &str) {
    let live = world.services.live();
    let kept = world.db.cells("SELECT key_id FROM context_keys ORDER BY key_id");
    assert_eq!(live.len() - own, kept.len(), "{at}: {live:?} {kept:?}");
    assert!(kept.iter().all(|id| live.contains(id)), "{at}: {live:?} {kept:?}");
    assert_eq!(contexts(world), kept.len(), "{at}");
    assert_eq!(world.db.count("credential_revocations"), 0, "{at}");
}

fn secret(made: &Answer) -> String {
    made.json["credentials"]["key"].as_str().unwrap_or_else(|| panic!("{made:?}")).to_owned()
}

#[test]
fn a_key_is_made_with_its_context_and_shown_once() {
    let (world, gateway, own) = begun();
    run(async {
        let made = gateway.send(keyed()).await;
        assert_eq!(made.status, 201, "{made:?}");
        let (id, shown) = (&made.json["context"]["chitty_id"], &made.json["credentials"]);
        let [asked] = asked(&world).try_into().unwrap();
        assert_eq!(
            (&asked["chittyId"], &asked["service"], &asked["scopes"]),
            (id, &json!("connect"), &json!(["contexts:read", "contexts:write"]))
        );
        let ends_ms = time::parse(shown["expires_at"].as_str().unwrap()).unwrap();
        assert_eq!(ends_ms, world.clock_ms() + 90 * 24 * 3_600_000);
        assert!(asked["expiresIn"].as_u64().is_some_and(|life_s| life_s <= 90 * 24 * 3600));
        assert_eq!((&shown["status"], &shown["scopes"]), (&json!("issued"), &asked["scopes"]));
        let key = secret(&made);
        assert!(key.starts_with("cc_live_secret_"), "{key}");
        // The same request once more makes nothing and shows everything but the key.
        let again = gateway.send(keyed()).await;
        assert_eq!((again.status, again.headers["idempotency-replayed"].as_str()), (201, "true"));
        let mut without = shown.clone();
        without.as_object_mut().unwrap().remove("key");
        without["status"] = json!("already_shown");
        assert_eq!(again.json["credentials"], without);
        assert_eq!(again.json["context"], made.json["context"]);
        gateway.deliver_all().await;
        cron(&world, 5, 60_000).await;
        assert_no_key_is_nobodys(&world, own, "made");
        // Nobody else has seen it, and the event names it by its id only.
        assert!(!world.db.dump().contains(&key), "it is kept sealed");
        let told = json!(world.services.entries()).to_string();
        assert!(!told.contains(&key));
        let payload = "SELECT payload FROM outbox WHERE event_type = 'context.created' \
                       AND actor_id = 'CHITTY-PEO-a'";
        let payload: Value = serde_json::from_str(&world.db.cell(payload).unwrap()).unwrap();
        assert_eq!(
            payload["credentials"],
            json!({"type": "provisioned", "key_id": shown["key_id"]})
        );
        assert!(
            gateway.get(made.headers["location"].as_str(), Some("dev-a")).await.json["credentials"]
                .is_null()
        );
    });
}

#[test]
fn a_context_without_a_key_costs_no_statement_more() {
    let (world, gateway, _) = begun();
    run(async {
        for body in [json!({"name": "n"}), json!({"name": "m", "credentials": null})] {
            world.db.reset_calls();
            let (made, _) = gateway.send_only(creation().json(&body)).await;
            assert_eq!((made.status, world.db.calls()), (201, 2));
            assert!(made.json["credentials"].is_null());
        }
        let touched = world.db.log().iter().any(|sql| {
            sql.contains("INTO context_keys") || sql.contains("INSERT INTO made_tokens")
        });
        assert!(!touched && asked(&world).is_empty());
    });
}

#[test]
fn a_process_that_ends_anywhere_in_a_creation_leaves_no_key() {
    let mut orphans = 0;
    for turns in 0.. {
        let (world, gateway, own) = begun();
        let ended = run(killed_after(turns, gateway.send(keyed())));
        orphans += world.services.live().len() - own - world.db.count("context_keys");
        run(cron(&world, 5, 60_000));
        assert_no_key_is_nobodys(&world, own, &format!("after {turns} turns"));
        if ended.is_some_and(|answer| answer.status == 201) {
            assert_eq!(contexts(&world), 1);
            break;
        }
    }
    assert!(orphans > 0, "it was killed between the key and its context: {orphans}");
}

#[test]
fn a_database_fault_at_any_call_leaves_no_key_and_no_half() {
    let mut made = 0;
    for failing in 1..=14 {
        for fault in [Fault::Before, Fault::After] {
            let (world, gateway, own) = begun();
            run(async {
                world.db.reset_calls();
                world.db.set_fault(move |call| if call == failing { fault } else { Fault::None });
                let answer = gateway.send(keyed()).await;
                world.db.set_fault(|_| Fault::None);
                let at = format!("call {failing} {fault:?}: {answer:?}");
                if answer.status == 201 {
                    made += 1;
                    // What was shown is good.
                    let shown = answer.json["credentials"]["key_id"].as_str().unwrap();
                    assert!(world.services.live().contains(&shown.to_owned()), "{at}");
                }
                cron(&world, 5, 60_000).await;
                assert_no_key_is_nobodys(&world, own, &at);
            });
        }
    }
    assert!(made < 28 && made > 0, "{made}");
}

#[test]
fn whatever_comes_of_asking_for_a_key_nothing_is_stored_and_none_left_behind() {
    for behaviour in [
        Behaviour::Lost,
        Behaviour::Garbled,
        Behaviour::Hang,
        Behaviour::Unreachable,
        Behaviour::Answer(200, "{}".to_owned()),
        Behaviour::Answer(422, "{}".to_owned()),
        Behaviour::Answer(500, "{}".to_owned()),
        Behaviour::Busy(503, 60),
    ] {
        let (world, gateway, own) = begun();
        let at = format!("{behaviour:?}");
        run(async {
            world.services.at("/keys/provision", behaviour);
            let refused = gateway.send(keyed()).await;
            assert_eq!((refused.status, refused.code()), (503, "credential_unavailable"), "{at}");
            assert_eq!(contexts(&world), 0, "{at}");
            assert_eq!(world.db.count("mint_intents"), 0, "{at}: the identity was told of");
            let told = "outbox WHERE event_type = 'identity.orphaned'";
            assert_eq!(world.db.count(told), 1, "{at}");
            world.services.at("/keys/provision", Behaviour::Work);
            cron(&world, 5, 3_600_000).await;
            assert_no_key_is_nobodys(&world, own, &at);
            // The same request is as good as new.
            assert_eq!(gateway.send(keyed()).await.json["credentials"]["status"], "issued", "{at}");
            cron(&world, 5, 60_000).await;
            assert_no_key_is_nobodys(&world, own, &at);
        });
    }
}

#[test]
fn while_chittyauth_is_known_to_be_down_no_identity_is_minted_in_vain() {
    let (world, gateway, own) = begun();
    run(async {
        world.services.at("/keys/provision", Behaviour::Unreachable);
        let mut minted = Vec::new();
        for _ in 0..12 {
            assert_eq!(gateway.send(creation()).await.code(), "credential_unavailable");
            minted.push(world.services.calls("id").len());
        }
        let last = minted[minted.len() - 4..].to_vec();
        assert!(last.iter().all(|count| *count == last[0]) && last[0] < 10, "{minted:?}");
        assert_eq!(world.db.count("mint_intents"), 0);
        // It is asked again after a while.
        world.services.at("/keys/provision", Behaviour::Work);
        world.advance_ms(600_000);
        assert_eq!(gateway.send(creation()).await.status, 201);
        cron(&world, 5, 3_600_000).await;
        assert_no_key_is_nobodys(&world, own, "in the end");
    });
}

#[test]
fn of_two_creations_the_one_that_comes_too_late_has_its_key_revoked() {
    for key in [None, Some("k")] {
        let (world, gateway, own) = begun();
        run(async {
            let one = || match key {
                Some(_) => keyed(),
                None => creation(),
            };
            let both = join(gateway.send(one()), gateway.send(one())).await;
            let issued = [&both.0, &both.1].map(|one| one.json["credentials"]["status"].clone());
            let issued = issued.iter().filter(|status| *status == "issued").count();
            assert_eq!((asked(&world).len(), issued), (2, 1), "{both:?}");
            let other =
                if both.0.json["credentials"]["status"] == "issued" { both.1 } else { both.0 };
            match key {
                Some(_) => assert_eq!(other.json["credentials"]["status"], "already_shown"),
                None => assert_eq!(other.code(), "name_taken"),
            }
            // It is known at once that nobody has it.
            cron(&world, 1, 1_000).await;
            assert_no_key_is_nobodys(&world, own, &format!("{key:?}"));
        });
    }
}

#[test]
fn a_creation_that_was_taken_for_dead_makes_no_context_with_a_revoked_key() {
    let mut late = 0;
    for turns in 0.. {
        let (world, gateway, own) = begun();
        let over = run(async {
            let mut creation = pin!(gateway.send(keyed()));
            if killed_after(turns, creation.as_mut()).await.is_some() {
                return true;
            }
            // It is asleep for longer than a creation may take.
            cron(&world, 1, 130_000).await;
            let answer = creation.await;
            late += usize::from(answer.code() == "credential_unavailable");
            cron(&world, 5, 60_000).await;
            assert_no_key_is_nobodys(&world, own, &format!("{turns}: {answer:?}"));
            false
        });
        if over {
            break;
        }
    }
    assert!(late > 0, "some were too late");
}

#[test]
fn a_key_carries_at_most_what_its_maker_holds_and_ends_with_it() {
    let (world, gateway, _) = begun();
    let make = async |token: &str, credentials: Value| {
        let name = seams::ids::random_hex::<8>();
        gateway
            .post("/v1/contexts", token, &json!({"name": name, "credentials": credentials}))
            .await
    };
    let of = |scopes: &[&str]| json!({"type": "provisioned", "scopes": scopes});
    run(async {
        let narrow = "dev-b+contexts:write,cases:read";
        let usual = json!({"type": "provisioned", "scopes": null, "expires_in_seconds": null});
        let made = make(narrow, usual).await;
        assert_eq!(made.json["credentials"]["scopes"], json!(["contexts:write"]), "{made:?}");
        let made = make(narrow, of(&["cases:read"])).await;
        assert_eq!(made.json["credentials"]["scopes"], json!(["cases:read"]), "{made:?}");
        let before = (world.services.calls("id").len(), asked(&world).len());
        let refused = make(narrow, of(&["contexts:read"])).await;
        assert_eq!((refused.status, refused.code()), (403, "insufficient_scope"));
        for core in ["auth:read", "chittyid:write", "Mint:read", "ChittyRegistry:read"] {
            let refused = make("dev-a+*:read,*:write,contexts:write", of(&[core])).await;
            assert_eq!((refused.status, refused.code()), (403, "insufficient_scope"), "{core}");
        }
        let (delegation, _) = delegated(&gateway, "dev-a", &["contexts:write"]).await;
        let refused = make(&delegation, json!("provisioned")).await;
        assert_eq!((refused.status, refused.code()), (403, "delegated_credential"));
        let after = (world.services.calls("id").len(), asked(&world).len());
        assert_eq!((before, world.db.count("mint_intents")), (after, 0), "nothing was begun");
        assert_eq!(make("dev-root+admin", of(&["auth:read"])).await.status, 201);
        // Its own end, and that of an API key by which it was made.
        let short = json!({"type": "provisioned", "expires_in_seconds": 600});
        let made = make("dev-a", short.clone()).await;
        assert_eq!(asked(&world).pop().unwrap()["expiresIn"], 600, "{made:?}");
        let body = json!({"name": "k", "scopes": ["contexts:write"], "expires_in_seconds": 300});
        let key = gateway.post("/v1/keys", "dev-a+write", &body).await;
        let by_key = make(key.json["key"]["key"].as_str().unwrap(), short).await;
        assert_eq!(by_key.json["credentials"]["expires_at"], key.json["key"]["expires_at"]);
    });
}

#[test]
fn what_is_asked_of_a_key_is_checked() {
    let (world, gateway, _) = begun();
    run(async {
        for (credentials, pointer) in [
            (json!("provision"), "/credentials"),
            (json!(true), "/credentials"),
            (json!([]), "/credentials"),
            (json!({}), "/credentials/type"),
            (json!({"type": "api_key"}), "/credentials/type"),
            (json!({"type": "provisioned", "scope": ["cases:read"]}), "/credentials/scope"),
            (json!({"type": "provisioned", "scopes": []}), "/credentials/scopes"),
            (json!({"type": "provisioned", "scopes": ["read"]}), "/credentials/scopes"),
            (json!({"type": "provisioned", "scopes": ["*:read"]}), "/credentials/scopes"),
            (json!({"type": "provisioned", "scopes": ["contexts:*"]}), "/credentials/scopes"),
            (json!({"type": "provisioned", "scopes": ["cases:admin"]}), "/credentials/scopes"),
            (
                json!({"type": "provisioned", "expires_in_seconds": 59}),
                "/credentials/expires_in_seconds",
            ),
            (
                json!({"type": "provisioned", "expires_in_seconds": 7_776_001}),
                "/credentials/expires_in_seconds",
            ),
        ] {
            let body = json!({"name": "n", "credentials": credentials});
            let refused = gateway.post("/v1/contexts", "dev-a", &body).await;
            assert_eq!(refused.status, 422, "{credentials}: {refused:?}");
            assert_eq!(refused.json["errors"][0]["pointer"], pointer, "{credentials}");
        }
        assert_eq!((contexts(&world), asked(&world).len()), (0, 0));
    });
}

#[test]
fn what_calls_by_the_key_is_the_context_bounded_by_what_the_key_stands_on() {
    let (world, _, _) = begun();
    let gateway = world.isolate_with(&[("AUTH_CACHE_SECONDS", Some("0"))]);
    run(async {
        let (by, id) =
            key(&gateway, "dev-a+write,read", &["contexts:read", "contexts:write"]).await;
        let made = gateway.post("/v1/contexts", &by, &wanted()).await;
        let secret = secret(&made);
        let me = gateway.get("/v1/actors/me", Some(&secret)).await;
        assert_eq!(me.status, 403, "it may do what it is for: {me:?}");
        let seen = gateway.get("/v1/contexts", Some(&secret)).await;
        assert_eq!(
            (seen.status, &seen.json["count"]),
            (200, &json!(0)),
            "it owns nothing: {seen:?}"
        );
        // Nothing comes of it that would outlive it, and it counts against the limits of its maker.
        let more = gateway.post("/v1/contexts", &secret, &wanted()).await;
        assert_eq!((more.status, more.code()), (403, "delegated_credential"), "{more:?}");
        let sponsor = format!(
            "SELECT sponsor_chitty_id FROM sponsors WHERE chitty_id = '{}'",
            made.json["context"]["chitty_id"].as_str().unwrap()
        );
        assert_eq!(world.db.cell(&sponsor).as_deref(), Some("CHITTY-PEO-a"));
        gateway.delete(&format!("/v1/keys/{id}"), "dev-a+write,read").await;
        assert_ne!(
            gateway.get("/v1/contexts", Some(&secret)).await.status,
            200,
            "its source is gone"
        );
    });
}

#[test]
fn a_key_ends_with_its_context() {
    let (world, _, own) = begun();
    let gateway = world.isolate_with(&[("AUTH_CACHE_SECONDS", Some("0")), ("GITHUB_APP_ID", None)]);
    run(async {
        let made = gateway.send(creation()).await;
        let key = secret(&made);
        assert_eq!(gateway.get("/v1/contexts", Some(&key)).await.status, 200);
        // ChittyAuth does not hear of it for a while: here it is good for nothing all the same.
        world.services.at("/v1/api-keys/revoke", Behaviour::Unreachable);
        let path = made.headers["location"].clone();
        let refused = TestRequest::new("DELETE", &path).token("dev-a").header("if-match", "\"x\"");
        assert_eq!(gateway.send(refused).await.status, 412);
        assert_eq!(gateway.get("/v1/contexts", Some(&key)).await.status, 200);
        assert_eq!(gateway.delete(&path, "dev-a").await.status, 200);
        assert_eq!(world.services.live().len(), own + 1);
        assert_ne!(gateway.get("/v1/contexts", Some(&key)).await.status, 200);
        world.services.at("/v1/api-keys/revoke", Behaviour::Work);
        cron(&world, 3, 3_600_000).await;
        assert_no_key_is_nobodys(&world, own, "deleted");
        // Where nothing fails it is revoked at once.
        let made = gateway.send(creation()).await;
        gateway.delete(&made.headers["location"], "dev-a").await;
        assert_no_key_is_nobodys(&world, own, "deleted at once");
    });
}

#[test]
fn a_key_that_was_lost_is_made_anew_and_the_one_before_revoked() {
    let (world, gateway, own) = begun();
    run(async {
        let made = gateway.send(creation()).await;
        let path = made.headers["location"].clone();
        let anew = json!({"credentials": {"type": "provisioned", "scopes": ["contexts:read"]}});
        let other = gateway.patch(&path, "dev-a", &anew).await;
        assert_eq!(other.json["credentials"]["scopes"], json!(["contexts:read"]), "{other:?}");
        assert_ne!(secret(&other), secret(&made));
        assert_no_key_is_nobodys(&world, own, "anew");
        let id = other.json["credentials"]["key_id"].as_str().unwrap();
        assert!(world.services.live().contains(&id.to_owned()), "the new one is good");
        // A change that comes to nothing has its key revoked, and none is made for what is not the caller's.
        let stale = TestRequest::new("PATCH", &path).token("dev-a").header("if-match", "\"x\"");
        assert_eq!(gateway.send(stale.json(&anew)).await.status, 412);
        let before = asked(&world).len();
        assert_eq!(gateway.patch(&path, "dev-b", &anew).await.status, 404);
        assert_eq!(asked(&world).len(), before);
        cron(&world, 1, 1_000).await;
        assert_no_key_is_nobodys(&world, own, "refused");
        assert!(world.services.live().contains(&id.to_owned()), "that one stays");
        let ended = gateway.patch(&path, "dev-a", &json!({"credentials": null})).await;
        assert_eq!((ended.status, &ended.json["credentials"]), (200, &Value::Null));
        assert_eq!((world.services.live().len(), world.db.count("context_keys")), (own, 0));
    });
}

#[test]
fn a_fault_at_any_call_of_making_a_key_anew_leaves_one_key() {
    let anew = json!({"credentials": "provisioned", "name": "m"});
    let mut made = 0;
    for failing in 1..=12 {
        for fault in [Fault::Before, Fault::After] {
            let (world, gateway, own) = begun();
            run(async {
                let path = gateway.send(creation()).await.headers["location"].clone();
                world.db.reset_calls();
                world.db.set_fault(move |call| if call == failing { fault } else { Fault::None });
                let answer = gateway.patch(&path, "dev-a", &anew).await;
                world.db.set_fault(|_| Fault::None);
                made += usize::from(answer.status == 200);
                cron(&world, 5, 60_000).await;
                assert_no_key_is_nobodys(&world, own, &format!("{failing} {fault:?}: {answer:?}"));
            });
        }
    }
    assert!(made < 24 && made > 0, "{made}");
    for turns in 0.. {
        let (world, gateway, own) = begun();
        let over = run(async {
            let path = gateway.send(creation()).await.headers["location"].clone();
            let over = killed_after(turns, gateway.patch(&path, "dev-a", &anew)).await.is_some();
            cron(&world, 5, 60_000).await;
            assert_no_key_is_nobodys(&world, own, &format!("{turns}"));
            over
        });
        if over {
            break;
        }
    }
}
