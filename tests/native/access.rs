//! Who may what, by which credential: grants, delegated tokens, API keys, JWTs.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::world::outside::{sign, signing_key};
use crate::world::{Answer, Behaviour, Fault, Isolate, START_MS, TestRequest, World, run};

const ADMIN: &str = "dev-root+admin";

async fn delegate(gateway: &Isolate, token: &str, body: &Value) -> Answer {
    gateway.post("/v1/delegate", token, body).await
}

/// A delegation for this gateway with these scopes: its token and its id.
pub(crate) async fn delegated(gateway: &Isolate, token: &str, scopes: &[&str]) -> (String, String) {
    let body = json!({"target_service": "chittyconnect", "scopes": scopes});
    let made = delegate(gateway, token, &body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let text = |name: &str| made.json["delegation"][name].as_str().unwrap().to_owned();
    (text("token"), text("token_id"))
}

pub(crate) async fn key(gateway: &Isolate, token: &str, scopes: &[&str]) -> (String, String) {
    let made = gateway.post("/v1/keys", token, &json!({"name": "ci", "scopes": scopes})).await;
    assert_eq!(made.status, 201, "{made:?}");
    let text = |name: &str| made.json["key"][name].as_str().unwrap().to_owned();
    (text("key"), text("key_id"))
}

pub(crate) async fn list(gateway: &Isolate, token: &str) -> u16 {
    gateway.get("/v1/contexts", Some(token)).await.status
}

pub(crate) async fn create(gateway: &Isolate, token: &str) -> (u16, String) {
    let name = json!({"name": seams::ids::random_hex::<8>()});
    let made = gateway.post("/v1/contexts", token, &name).await;
    (made.status, made.code().to_owned())
}

#[test]
fn a_delegated_token_acts_for_its_delegator_within_its_scopes() {
    let (world, gateway) = World::warm();
    run(async {
        let (token, _) = delegated(&gateway, "dev-a", &["contexts:read"]).await;
        assert!(token.starts_with("cdt_") && token.len() == 47, "256 bits in base64url");
        gateway.create("dev-a", &json!({"name": "mine"})).await;
        let seen = gateway.get("/v1/contexts", Some(&token)).await;
        assert_eq!((seen.status, seen.json["count"].as_i64()), (200, Some(1)));
        assert_eq!(create(&gateway, &token).await, (403, "insufficient_scope".to_owned()));
        assert!(!world.db.dump().contains(&token), "only its hash is kept");
        let minted = world.services.calls("id").len();
        assert_eq!(minted, 1, "nothing was minted for what was refused");
    });
}

#[test]
fn a_warm_read_by_any_credential_is_one_round_trip() {
    let (world, gateway) = World::warm();
    run(async {
        let (token, _) = delegated(&gateway, "dev-a", &["read"]).await;
        let (api_key, _) = key(&gateway, "dev-a", &["read"]).await;
        let id = gateway.create("dev-a", &json!({"name": "n"})).await;
        for credential in ["dev-a", token.as_str(), api_key.as_str()] {
            for path in [
                format!("/v1/contexts/{id}"),
                "/v1/contexts".to_owned(),
                "/v1/contexts/search?q=n".to_owned(),
                "/v1/actors/me".to_owned(),
                "/v1/connections".to_owned(),
                "/v1/delegate".to_owned(),
                "/v1/keys".to_owned(),
                "/v1/audit".to_owned(),
                "/v1/ecosystem".to_owned(),
            ] {
                gateway.get(&path, Some(credential)).await;
                world.db.reset_calls();
                world.services.reset_calls();
                assert_eq!(gateway.get(&path, Some(credential)).await.status, 200, "{path}");
                assert_eq!(world.db.calls(), 1, "{path} by {credential}");
                assert!(world.services.calls("auth").is_empty());
            }
        }
    });
}

#[test]
fn what_is_revoked_is_refused_on_the_next_request_of_every_isolate() {
    let (world, one) = World::warm();
    let other = world.isolate();
    run(async {
        let (token, id) = delegated(&one, "dev-a", &["read", "write"]).await;
        let (child, _) = delegated(&one, &token, &["read"]).await;
        for gateway in [&one, &other] {
            assert_eq!((list(gateway, &token).await, list(gateway, &child).await), (200, 200));
        }
        assert_eq!(one.delete(&format!("/v1/delegate/{id}"), "dev-a").await.status, 200);
        for gateway in [&one, &other] {
            assert_eq!((list(gateway, &token).await, list(gateway, &child).await), (401, 401));
            assert_eq!(create(gateway, &token).await.0, 401);
        }
        let again = one.delete(&format!("/v1/delegate/{id}"), "dev-a").await;
        assert_eq!(again.status, 200, "revoked before");
        assert_eq!(world.db.count("outbox WHERE event_type = 'delegation.revoked'"), 1);

        let (api_key, key_id) = key(&one, "dev-a", &["read", "write"]).await;
        let (by_key, _) = delegated(&one, &api_key, &["read"]).await;
        for gateway in [&one, &other] {
            assert_eq!((list(gateway, &api_key).await, list(gateway, &by_key).await), (200, 200));
        }
        assert_eq!(one.delete(&format!("/v1/keys/{key_id}"), "dev-a").await.status, 200);
        for gateway in [&one, &other] {
            assert_eq!((list(gateway, &api_key).await, list(gateway, &by_key).await), (401, 401));
            assert_eq!(create(gateway, &api_key).await.0, 401);
        }
    });
}

#[test]
fn a_suspended_actor_is_refused_by_every_credential_until_it_is_active_again() {
    let (world, gateway) = World::warm();
    run(async {
        let (token, _) = delegated(&gateway, "dev-a", &["read", "write"]).await;
        let (api_key, _) = key(&gateway, "dev-a", &["read", "write"]).await;
        let credentials = ["dev-a", token.as_str(), api_key.as_str()];
        for credential in credentials {
            assert_eq!(list(&gateway, credential).await, 200);
        }
        let actor = "/v1/actors/CHITTY-PEO-a";
        let own = gateway.patch(actor, "dev-a", &json!({"status": "active"})).await;
        assert_eq!(own.code(), "insufficient_scope", "nobody changes the own status");
        let suspend = gateway.patch(actor, ADMIN, &json!({"status": "suspended"})).await;
        assert_eq!(suspend.status, 200, "{suspend:?}");
        let before = world.db.count("outbox");
        for credential in credentials {
            for (method, path, body) in [
                ("GET", "/v1/contexts", json!(null)),
                ("GET", "/v1/actors/me", json!(null)),
                ("POST", "/v1/contexts", json!({"name": "x"})),
                ("POST", "/v1/delegate", json!({"target_service": "connect"})),
                ("PATCH", actor, json!({"display_name": "x"})),
                ("GET", "/v1/ecosystem", json!(null)),
            ] {
                let request = TestRequest::new(method, path).token(credential).json(&body);
                let refused = gateway.send(request).await;
                assert_eq!(refused.code(), "actor_suspended", "{method} {path} by {credential}");
            }
        }
        assert_eq!(world.db.count("outbox"), before, "nothing was changed");
        assert!(!validated(&gateway, &token).await);
        gateway.patch(actor, ADMIN, &json!({"status": "active"})).await;
        for credential in credentials {
            assert_eq!(list(&gateway, credential).await, 200);
        }
        let suspend = json!({"status": "suspended"});
        let own = gateway.patch("/v1/actors/CHITTY-PEO-root", ADMIN, &suspend).await;
        assert_eq!(own.code(), "insufficient_scope", "not even an administrator's own");
    });
}

async fn validated(gateway: &Isolate, token: &str) -> bool {
    let ask = TestRequest::new("POST", "/v1/delegate/validate").json(&json!({"token": token}));
    let answer = gateway.send(ask).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let active = answer.json["active"].as_bool().unwrap();
    if !active {
        assert_eq!(answer.text, r#"{"active":false,"valid":false}"#);
    }
    active
}

#[test]
fn what_is_granted_holds_at_once_and_so_does_its_end() {
    let (world, gateway) = World::warm();
    let other = world.isolate();
    run(async {
        let reader = "dev-a+read";
        let path = "/v1/actors/CHITTY-PEO-a/capabilities";
        assert_eq!(create(&gateway, reader).await.1, "insufficient_scope");
        let refused = gateway.put(path, "dev-b", &json!({"capabilities": ["write"]})).await;
        assert_eq!(refused.code(), "insufficient_scope");
        let grant = json!({"capabilities": ["contexts:write", "delegations:write", "keys:write"]});
        assert_eq!(gateway.put(path, ADMIN, &grant).await.status, 200);
        assert_eq!(create(&gateway, reader).await.0, 201);
        assert_eq!(create(&other, reader).await.0, 201);

        let (token, _) = delegated(&gateway, reader, &["contexts:write"]).await;
        let (api_key, _) = key(&gateway, reader, &["contexts:write"]).await;
        for credential in [&token, &api_key] {
            assert_eq!(create(&gateway, credential).await.0, 201);
        }
        assert!(validated(&gateway, &token).await);
        gateway.put(path, ADMIN, &json!({"capabilities": []})).await;
        for gateway in [&gateway, &other] {
            for credential in [reader, token.as_str(), api_key.as_str()] {
                let refused = create(gateway, credential).await;
                assert_eq!(refused, (403, "insufficient_scope".to_owned()), "{credential}");
            }
        }
        assert!(!validated(&gateway, &token).await, "nothing is left of it");
    });
}

#[test]
fn what_was_made_by_a_grant_does_not_live_on_by_another_token() {
    let (_world, gateway) = World::warm();
    run(async {
        let path = "/v1/actors/CHITTY-PEO-a/capabilities";
        let grant = json!({"capabilities": ["contexts:write", "delegations:write", "keys:write"]});
        assert_eq!(gateway.put(path, ADMIN, &grant).await.status, 200);
        let (token, _) = delegated(&gateway, "dev-a+read", &["contexts:write"]).await;
        let (api_key, _) = key(&gateway, "dev-a+read", &["contexts:write"]).await;
        assert_eq!(create(&gateway, "dev-a+contexts:write").await.0, 201, "ChittyAuth says so");
        assert_eq!(gateway.put(path, ADMIN, &json!({"capabilities": []})).await.status, 200);
        for credential in [&token, &api_key] {
            assert_eq!(create(&gateway, credential).await.1, "insufficient_scope");
        }
        assert_eq!(create(&gateway, "dev-a+contexts:write").await.0, 201);
    });
}

#[test]
fn a_delegation_narrows_with_the_token_that_made_it() {
    let (world, _) = World::warm();
    let gateway = world.isolate_with(&[("AUTH_CACHE_SECONDS", Some("0"))]);
    let answer = |scope: Value| {
        let body = json!({"valid": true, "chittyId": "CHITTY-PEO-a", "scope": scope});
        Behaviour::Answer(200, body.to_string())
    };
    run(async {
        let (token, _) = delegated(&gateway, "dev-a", &["read", "contexts:write"]).await;
        assert_eq!((list(&gateway, &token).await, create(&gateway, &token).await.0), (200, 201));
        world.services.set("auth", answer(json!(["contexts:read"])));
        gateway.get("/v1/contexts", Some("dev-a")).await;
        assert_eq!((list(&gateway, &token).await, create(&gateway, &token).await.0), (200, 403));
        world.services.set("auth", answer(json!(["read", "write"])));
        gateway.get("/v1/contexts", Some("dev-a")).await;
        assert_eq!(create(&gateway, &token).await.0, 201);
        // Refused before its end: it was revoked.
        world.services.set("auth", Behaviour::Answer(401, r#"{"valid":false}"#.to_owned()));
        assert_eq!(list(&gateway, "dev-a").await, 401);
        assert_eq!(list(&gateway, &token).await, 403);
    });
}

#[test]
fn delegating_further_only_narrows() {
    let (world, gateway) = World::warm();
    run(async {
        let wide = ["contexts:read", "contexts:write", "delegations:write"];
        let (token, _) = delegated(&gateway, "dev-a", &["read", "write"]).await;
        let refusals = [
            (json!({"target_service": "connect", "scopes": ["admin"]}), "/scopes"),
            (json!({"target_service": "cases", "scopes": ["read"]}), "/target_service"),
            (
                json!({"target_service": "connect", "expires_in_seconds": 3601}),
                "/expires_in_seconds",
            ),
            (json!({"target_service": "connect", "expires_in_seconds": 59}), "/expires_in_seconds"),
            (
                json!({"target_service": "connect", "expires_in_seconds": 86_401}),
                "/expires_in_seconds",
            ),
            (json!({"target_service": "connect", "scopes": []}), "/scopes"),
            (json!({"target_service": "a b"}), "/target_service"),
            (json!({}), "/target_service"),
            (json!({"target_service": "connect", "metadata": "x"}), "/metadata"),
        ];
        for (body, pointer) in refusals {
            let refused = delegate(&gateway, &token, &body).await;
            assert_eq!(refused.json["errors"][0]["pointer"], pointer, "{body} {refused:?}");
        }
        let (mut below, _) = delegated(&gateway, &token, &wide).await;
        let narrower = json!({"target_service": "connect", "scopes": ["keys:write"]});
        assert_eq!(delegate(&gateway, &below, &narrower).await.status, 422);
        for _ in 3..=5 {
            below = delegated(&gateway, &below, &wide).await.0;
        }
        assert_eq!(list(&gateway, &below).await, 200);
        let deeper = json!({"target_service": "connect", "scopes": ["contexts:read"]});
        assert_eq!(delegate(&gateway, &below, &deeper).await.status, 422, "five deep at most");
        // By default it ends with what it was made by.
        world.advance_ms(3_000_000);
        let (token, _) = delegated(&gateway, &token, &["delegations:write"]).await;
        let made = world
            .db
            .cell("SELECT count(DISTINCT expires_at) FROM delegations WHERE path LIKE '%/%/%'");
        assert_eq!(made.as_deref(), Some("1"));
        world.advance_ms(600_000);
        assert_eq!(list(&gateway, &token).await, 401, "all of it is over");
    });
}

#[test]
fn a_token_for_another_service_is_no_token_here() {
    let (_, gateway) = World::warm();
    run(async {
        let body = json!({"target_service": "ChittyCases", "scopes": ["read", "write"]});
        let made = delegate(&gateway, "dev-a", &body).await;
        let token = made.json["delegation"]["token"].as_str().unwrap();
        assert_eq!(made.json["delegation"]["target_service"], "cases");
        for path in ["/v1/contexts", "/v1/actors/me", "/v1/keys", "/v1/audit", "/v1/ecosystem"] {
            assert_eq!(
                gateway.get(path, Some(token)).await.code(),
                "wrong_target_service",
                "{path}"
            );
        }
        assert_eq!(gateway.get("/v1/connections", Some(token)).await.status, 200);
        for (service, active) in [
            (json!("cases"), true),
            (json!("chittycases"), true),
            (json!("finance"), false),
            (json!("connect"), false),
            (json!(null), false),
        ] {
            let ask = json!({"token": token, "target_service": service});
            let ask = TestRequest::new("POST", "/v1/delegate/validate").json(&ask);
            let answer = gateway.send(ask).await.json;
            assert_eq!(answer["active"], active, "{service}");
            // Who asks compares it with its own name.
            assert!(!active || answer["aud"] == service, "{answer}");
        }
    });
}

#[test]
fn the_audience_of_a_token_is_told_as_it_was_asked_for() {
    let (_, gateway) = World::warm();
    run(async {
        let (token, _) = delegated(&gateway, "dev-a", &["read"]).await;
        for (asked, told) in [
            (json!({}), "chittyconnect"),
            (json!({"target_service": null}), "chittyconnect"),
            (json!({"target_service": "connect"}), "connect"),
            (json!({"target_service": "ChittyConnect"}), "ChittyConnect"),
        ] {
            let mut body = asked.clone();
            body["token"] = json!(token);
            let ask = TestRequest::new("POST", "/v1/delegate/validate").json(&body);
            let answer = gateway.send(ask).await.json;
            assert_eq!(
                (&answer["aud"], &answer["active"]),
                (&json!(told), &json!(true)),
                "{asked}"
            );
        }
    });
}

#[test]
fn scopes_of_null_are_scopes_that_were_not_named() {
    let (_, gateway) = World::warm();
    run(async {
        let body = json!({"target_service": "connect", "scopes": null});
        let made = delegate(&gateway, "dev-a", &body).await;
        assert_eq!(made.json["delegation"]["scopes"], json!(["read"]));
        // Somebody who may not read is told to name some, and gets no token that may nothing.
        let (writer, _) = delegated(&gateway, "dev-a", &["delegations:write"]).await;
        for body in [body, json!({"target_service": "connect"})] {
            let refused = delegate(&gateway, &writer, &body).await;
            assert_eq!(refused.json["errors"][0]["pointer"], "/scopes", "{}", refused.text);
        }
    });
}

#[test]
fn an_administrator_who_acts_at_another_service_administers_nothing_here() {
    let (world, gateway) = World::warm();
    run(async {
        let (_, others) = delegated(&gateway, "dev-a", &["read"]).await;
        let body = json!({"target_service": "cases", "scopes": ["admin"]});
        let made = delegate(&gateway, ADMIN, &body).await;
        let token = made.json["delegation"]["token"].as_str().unwrap();
        let refused = gateway.delete(&format!("/v1/delegate/{others}"), token).await;
        assert_eq!(refused.code(), "not_found");
        assert_eq!(world.db.count("delegations WHERE revoked_at IS NOT NULL"), 0);
        let revoked = gateway.delete(&format!("/v1/delegate/{others}"), ADMIN).await;
        assert_eq!(revoked.status, 200, "here it may");
    });
}

#[test]
fn what_lasts_is_not_made_by_what_ends() {
    let (_, gateway) = World::warm();
    run(async {
        let (token, _) = delegated(&gateway, ADMIN, &["admin"]).await;
        let (api_key, key_id) = key(&gateway, ADMIN, &["admin"]).await;
        let make = json!({"name": "n", "scopes": ["read"]});
        for credential in [&token, &api_key] {
            let refused = gateway.post("/v1/keys", credential, &make).await;
            assert_eq!(refused.code(), "delegated_credential");
            let register = json!({"actor_type": "ai"});
            let refused = gateway.post("/v1/actors/register", credential, &register).await;
            assert_eq!(refused.code(), "delegated_credential");
        }
        let grant = json!({"capabilities": ["admin"]});
        let path = "/v1/actors/CHITTY-PEO-b/capabilities";
        assert_eq!(gateway.put(path, &token, &grant).await.code(), "delegated_credential");
        let suspend = json!({"status": "suspended"});
        let refused = gateway.patch("/v1/actors/CHITTY-PEO-b", &token, &suspend).await;
        assert_eq!(refused.code(), "delegated_credential");
        let rotate = format!("/v1/keys/{key_id}/rotate");
        assert_eq!(gateway.post(&rotate, &token, &json!({})).await.code(), "delegated_credential");
        assert_eq!(gateway.post(&rotate, &api_key, &json!({})).await.status, 200, "its own");
    });
}

#[test]
fn a_rotated_key_works_beside_its_successor_for_a_while() {
    let (world, gateway) = World::warm();
    run(async {
        let (old, id) = key(&gateway, "dev-a", &["read"]).await;
        assert!(old.starts_with("chitty_") && old.len() == 71);
        let rotate = TestRequest::new("POST", &format!("/v1/keys/{id}/rotate")).token("dev-a");
        let rotate = rotate.json(&json!({"grace_seconds": 100})).header("idempotency-key", "k");
        let made = gateway.send(rotate.clone()).await;
        let new = made.json["key"]["key"].as_str().unwrap().to_owned();
        assert_eq!(made.json["key"]["hint"].as_str().unwrap(), &new[new.len() - 4..]);
        assert_eq!((list(&gateway, &old).await, list(&gateway, &new).await), (200, 200));
        let replay = gateway.send(rotate).await;
        assert_eq!(replay.headers["idempotency-replayed"], "true");
        assert_eq!(replay.headers.get("location"), made.headers.get("location"), "the same reply");
        assert!(!replay.text.contains(&new) && replay.json["key"].get("key").is_none());
        let by_header = TestRequest::new("GET", "/v1/contexts").header("x-chittyos-api-key", &new);
        assert_eq!(gateway.send(by_header).await.status, 200);
        world.advance_ms(100_000);
        assert_eq!((list(&gateway, &old).await, list(&gateway, &new).await), (401, 200));
        let dump = world.db.dump();
        assert!(!dump.contains(&old) && !dump.contains(&new), "only hashes are kept");
        for (method, path) in [("GET", "/v1/keys/"), ("DELETE", "/v1/keys/")] {
            let other = TestRequest::new(method, &format!("{path}{id}")).token("dev-b");
            assert_eq!(gateway.send(other).await.code(), "not_found");
        }
        let rotate = gateway.post(&format!("/v1/keys/{id}/rotate"), "dev-b", &json!({})).await;
        assert_eq!(rotate.code(), "not_found");
    });
}

#[test]
fn keys_end_and_never_exceed_their_maker() {
    let (world, gateway) = World::warm();
    run(async {
        let make = async |body: Value| gateway.post("/v1/keys", "dev-a", &body).await;
        for (body, pointer) in [
            (json!({"name": "n", "scopes": ["admin"]}), "/scopes"),
            (json!({"name": "n"}), "/scopes"),
            (json!({"scopes": ["read"]}), "/name"),
            (
                json!({"name": "n", "scopes": ["read"], "expires_in_seconds": 5}),
                "/expires_in_seconds",
            ),
        ] {
            assert_eq!(make(body).await.json["errors"][0]["pointer"], pointer);
        }
        let other = json!({"name": "n", "scopes": ["read"], "actor_chitty_id": "CHITTY-PEO-b"});
        assert_eq!(make(other.clone()).await.code(), "insufficient_scope");
        let for_b = gateway.post("/v1/keys", ADMIN, &other).await;
        let key_of_b = for_b.json["key"]["key"].as_str().unwrap();
        assert_eq!(
            gateway.get("/v1/actors/me", Some(key_of_b)).await.json["actor"]["chitty_id"],
            "CHITTY-PEO-b"
        );
        let short = json!({"name": "n", "scopes": ["read"], "expires_in_seconds": 60});
        let short = make(short).await.json["key"]["key"].as_str().unwrap().to_owned();
        assert_eq!(list(&gateway, &short).await, 200);
        world.advance_ms(60_000);
        assert_eq!(list(&gateway, &short).await, 401);
        let page = gateway.get("/v1/keys", Some("dev-a")).await;
        assert_eq!(page.json["keys"][0]["status"], "expired");
        assert!(!page.text.contains(&short));
    });
}

#[test]
fn an_idempotent_creation_shows_its_secret_once() {
    let (world, gateway) = World::warm();
    run(async {
        for (path, member, secret, body) in [
            ("/v1/delegate", "delegation", "token", json!({"target_service": "connect"})),
            ("/v1/keys", "key", "key", json!({"name": "n", "scopes": ["read"]})),
        ] {
            let request = TestRequest::new("POST", path).token("dev-a").json(&body);
            let request = request.header("idempotency-key", path);
            let made = gateway.send(request.clone()).await;
            assert_eq!(made.status, 201, "{made:?}");
            let shown = made.json[member][secret].as_str().unwrap().to_owned();
            let replay = gateway.send(request).await;
            assert_eq!(
                (replay.status, replay.headers["idempotency-replayed"].as_str()),
                (201, "true")
            );
            assert!(!replay.text.contains(&shown) && replay.json[member].get(secret).is_none());
            let mut without = made.json.clone();
            without[member].as_object_mut().unwrap().remove(secret);
            assert_eq!(replay.json, without);
        }
        assert_eq!(world.db.count("delegations"), 1);
    });
}

/// A JWT with these claims over the usual ones.
pub(crate) fn jwt(kid: u8, header: &Value, claims: &Value) -> String {
    let now = START_MS / 1000;
    let mut all = json!({
        "iss": "https://auth.chitty.cc", "aud": "chittyconnect", "sub": "did:chitty:CHITTY-PEO-a",
        "scope": "read write", "iat": now, "exp": now + 3600,
    });
    let mut head = json!({"alg": "ES256", "typ": "JWT", "kid": format!("key-{kid}")});
    for (whole, more) in [(&mut all, claims), (&mut head, header)] {
        for (name, value) in more.as_object().unwrap() {
            whole[name] = value.clone();
        }
    }
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&head), part(&all));
    let signature = URL_SAFE_NO_PAD.encode(sign(&signing_key(kid), &signed));
    format!("{signed}.{signature}")
}

#[test]
fn a_jwt_is_verified_here() {
    let (world, gateway) = World::warm();
    world.services.published.replace(vec![1]);
    run(async {
        let good = jwt(1, &json!({}), &json!({}));
        assert_eq!(list(&gateway, &good).await, 200);
        for typ in ["at+jwt", "application/at+jwt", "jwt"] {
            assert_eq!(list(&gateway, &jwt(1, &json!({"typ": typ}), &json!({}))).await, 200);
        }
        let me = gateway.get("/v1/actors/me", Some(&good)).await;
        assert_eq!(me.json["actor"]["chitty_id"], "CHITTY-PEO-a");
        assert_eq!(world.services.calls("auth").len(), 1, "the keys, once");
        let reader = jwt(1, &json!({}), &json!({"scope": "read"}));
        assert_eq!(create(&gateway, &reader).await.1, "insufficient_scope");

        let (signed, signature) = good.rsplit_once('.').unwrap();
        let (head, _) = signed.split_once('.').unwrap();
        let others = URL_SAFE_NO_PAD.encode(r#"{"sub":"did:chitty:CHITTY-PEO-b"}"#);
        for bad in [
            jwt(1, &json!({"alg": "none"}), &json!({})),
            jwt(1, &json!({"alg": "HS256"}), &json!({})),
            jwt(1, &json!({"alg": "RS256"}), &json!({})),
            jwt(1, &json!({"crit": ["exp"]}), &json!({})),
            jwt(1, &json!({"typ": "id+jwt"}), &json!({})),
            jwt(1, &json!({"typ": "logout+jwt"}), &json!({})),
            jwt(1, &json!({"typ": 7}), &json!({})),
            jwt(2, &json!({"kid": "key-1"}), &json!({})),
            jwt(1, &json!({}), &json!({"aud": "chittycases"})),
            jwt(1, &json!({}), &json!({"iss": "https://evil.example"})),
            jwt(1, &json!({}), &json!({"exp": START_MS / 1000 - 31})),
            jwt(1, &json!({}), &json!({"nbf": START_MS / 1000 + 60})),
            jwt(1, &json!({}), &json!({"sub": "nobody"})),
            format!("{signed}."),
            format!("{signed}.{}", "A".repeat(86)),
            format!("{head}.{others}.{signature}"),
        ] {
            let refused = gateway.get("/v1/contexts", Some(&bad)).await;
            assert_eq!(refused.code(), "invalid_token", "{bad}");
        }
        world.advance_ms(3_631_000);
        assert_eq!(list(&gateway, &good).await, 401, "its time is over");
    });
}

#[test]
fn an_unknown_key_is_looked_for_within_bounds_and_only_a_fresh_look_refuses() {
    let (world, gateway) = World::warm();
    run(async {
        world.services.set("auth", Behaviour::Unreachable);
        let good = jwt(1, &json!({}), &json!({}));
        let answer = gateway.get("/v1/contexts", Some(&good)).await;
        assert_eq!(answer.code(), "authentication_unavailable");
        world.services.set("auth", Behaviour::Work);
        world.services.published.replace(vec![1]);
        world.advance_ms(60_000);
        assert_eq!(list(&gateway, &good).await, 200);
        world.services.reset_calls();
        // Looked for at once, although the keys were fetched a moment ago.
        let rotated = jwt(2, &json!({}), &json!({}));
        assert_eq!(list(&gateway, &rotated).await, 401);
        world.services.published.replace(vec![1, 2]);
        assert_eq!((list(&gateway, &rotated).await, list(&gateway, &good).await), (200, 200));
        assert_eq!(world.services.calls("auth").len(), 2);
        // Within bounds: then it cannot be known, and nobody is refused.
        let unknown = |n: u8| jwt(3, &json!({"kid": format!("made-up-{n}")}), &json!({}));
        for n in 0..20 {
            let answer = gateway.get("/v1/contexts", Some(&unknown(n))).await;
            let expected =
                if n < 3 { (401, "invalid_token") } else { (503, "authentication_unavailable") };
            assert_eq!((answer.status, answer.code()), expected, "{n}");
            assert!(n < 3 || answer.headers["retry-after"] == "10");
        }
        assert_eq!(world.services.calls("auth").len(), 5, "not asked for each request");
        assert_eq!(list(&gateway, &good).await, 200, "a known key is not held up");
        // A new key is good within ten seconds also while others make up keys.
        world.services.published.replace(vec![1, 2, 3]);
        let newest = jwt(3, &json!({}), &json!({}));
        assert_eq!(list(&gateway, &newest).await, 503);
        world.advance_ms(10_000);
        assert_eq!(list(&gateway, &newest).await, 200);
        // An outage while one is looked for is no refusal either.
        world.services.set("auth", Behaviour::Unreachable);
        assert_eq!(list(&gateway, &unknown(1)).await, 503);
        // What was fetched is used on while ChittyAuth is down.
        world.services.set("auth", Behaviour::Unreachable);
        world.advance_ms(700_000);
        assert_eq!(list(&gateway, &jwt(2, &json!({}), &json!({"sub": "CHITTY-PEO-c"}))).await, 200);
    });
}

#[test]
fn a_batch_that_fails_leaves_no_half_of_a_credential() {
    for fault in [Fault::Before, Fault::After] {
        for at in 1..=3 {
            let (world, gateway) = World::warm();
            run(async {
                gateway.get("/v1/contexts", Some("dev-a")).await;
                world.db.reset_calls();
                world.db.set_fault(move |call| if call == at { fault } else { Fault::None });
                let body = json!({"target_service": "connect", "scopes": ["read"]});
                let made = delegate(&gateway, "dev-a", &body).await;
                world.db.set_fault(|_| Fault::None);
                let rows = world.db.count("delegations");
                let events = world.db.count("outbox WHERE event_type = 'delegation.created'");
                let audited = world.db.count("audit WHERE action = 'delegation.created'");
                assert_eq!((rows, events), (events, audited), "{fault:?} {at}");
                assert!(made.status != 201 || rows == 1);
            });
        }
    }
}

#[test]
fn what_is_revoked_already_is_not_told_again() {
    let (world, gateway) = World::warm();
    run(async {
        let make = json!({"target_service": "connect", "scopes": ["read"]});
        let made = gateway.post("/v1/delegate", "dev-a", &make).await.json;
        let delegation = made["delegation"]["token_id"].as_str().unwrap().to_owned();
        let make = json!({"name": "n", "scopes": ["read"]});
        let made = gateway.post("/v1/keys", "dev-a", &make).await.json;
        let key = made["key"]["key_id"].as_str().unwrap().to_owned();
        for path in [format!("/v1/delegate/{delegation}"), format!("/v1/keys/{key}")] {
            for _ in 0..2 {
                assert_eq!(gateway.delete(&path, "dev-a").await.status, 200);
                gateway.deliver_all().await;
            }
        }
        for action in ["delegation.revoked", "key.revoked"] {
            let entries = world.services.entries();
            assert_eq!(entries.iter().filter(|one| one["action"] == action).count(), 1, "{action}");
        }
    });
}
