//! Credentials that make credentials: what comes out carries at most what went in, lives at most as
//! long, and dies with it.

use chitty_core::{Clock, HttpRequest};
use futures_util::future::join;
use seams::time;
use serde_json::{Value, json};

use crate::access::{create, delegated, jwt, key, list};
use crate::world::{Answer, Isolate, START_MS, TestRequest, World, run};

const ADMIN: &str = "dev-root+admin";

/// What every credential of the matrix holds: enough to make everything, but not to write.
const HELD: [&str; 6] = [
    "read",
    "delegations:write",
    "keys:write",
    "connections:write",
    "orchestrations:write",
    "cases:read",
];

/// A caller who only uses connections: it holds nothing at their services.
const USER: &str = "dev-a+connections:read";

/// The token behind every credential of the matrix that is not a JWT.
fn root() -> String {
    format!("dev-a+{}", HELD.join(","))
}

/// The kinds of credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CredentialKind {
    Jwt,
    Opaque,
    Key,
    Delegated,
    KeyInGrace,
    DelegatedTwice,
    MadeForIdentity,
}

const KINDS: [CredentialKind; 7] = [
    CredentialKind::Jwt,
    CredentialKind::Opaque,
    CredentialKind::Key,
    CredentialKind::Delegated,
    CredentialKind::KeyInGrace,
    CredentialKind::DelegatedTwice,
    CredentialKind::MadeForIdentity,
];

/// A credential, what ends it, and when it ends by itself.
struct MadeCredential {
    token: String,
    /// Whose it is.
    actor: String,
    /// `key_…` or `dlg_…`, where it has one.
    id: String,
    ends_ms: Option<u64>,
}

impl CredentialKind {
    /// A credential of this kind that carries [`HELD`].
    async fn make(self, gateway: &Isolate) -> MadeCredential {
        let hour_ms = 3_600_000;
        let root = root();
        let short = async |token: &str, life_s: u64| {
            let body =
                json!({"target_service": "connect", "scopes": HELD, "expires_in_seconds": life_s});
            let made = gateway.post("/v1/delegate", token, &body).await;
            assert_eq!(made.status, 201, "{made:?}");
            let text = |name: &str| made.json["delegation"][name].as_str().unwrap().to_owned();
            (text("token"), text("token_id"))
        };
        let mut actor = "CHITTY-PEO-a".to_owned();
        let (token, id, ends_ms) = match self {
            CredentialKind::Jwt => {
                let claims = json!({"scope": HELD.join(" ")});
                (jwt(1, &json!({}), &claims), String::new(), Some(START_MS + hour_ms + 30_000))
            }
            CredentialKind::Opaque => (root, String::new(), time::parse("2027-01-01")),
            CredentialKind::Key => {
                let body = json!({"name": "k", "scopes": HELD, "expires_in_seconds": 7200});
                let made = gateway.post("/v1/keys", &root, &body).await;
                let text = |name: &str| made.json["key"][name].as_str().unwrap().to_owned();
                (text("key"), text("key_id"), Some(START_MS + 2 * hour_ms))
            }
            CredentialKind::Delegated => {
                let (token, id) = short(&root, 1800).await;
                (token, id, Some(START_MS + hour_ms / 2))
            }
            CredentialKind::KeyInGrace => {
                let (old, id) = key(gateway, &root, &HELD).await;
                let path = format!("/v1/keys/{id}/rotate");
                let rotated = gateway.post(&path, &root, &json!({"grace_seconds": 600})).await;
                assert_eq!(rotated.status, 200, "{rotated:?}");
                (old, id, Some(START_MS + 600_000))
            }
            CredentialKind::DelegatedTwice => {
                let (above, id) = short(&root, 1800).await;
                (short(&above, 900).await.0, id, Some(START_MS + 900_000))
            }
            CredentialKind::MadeForIdentity => {
                // With a role that carries more, so that only the chain holds it back.
                let made = register(gateway, "dev-a", "user").await;
                assert_eq!(made.status, 201, "{made:?}");
                let result = &made.json["orchestration"]["result"];
                let token = result["token"].as_str().unwrap();
                actor = result["chitty_id"].as_str().unwrap().to_owned();
                (token.to_owned(), String::new(), Some(START_MS + 24 * hour_ms))
            }
        };
        MadeCredential { token, actor, id, ends_ms }
    }
}

async fn register(gateway: &Isolate, token: &str, role: &str) -> Answer {
    let body = json!({"email": "u@example.org", "role": role});
    gateway.post("/v1/orchestrations/user-registration", token, &body).await
}

async fn provision(gateway: &Isolate, token: &str, service: &str, scopes: &[&str]) -> Answer {
    provision_for(gateway, "CHITTY-PEO-a", token, service, scopes).await
}

async fn provision_for(
    gateway: &Isolate,
    actor: &str,
    token: &str,
    service: &str,
    scopes: &[&str],
) -> Answer {
    let body = json!({
        "source_chitty_id": actor, "source_type": "actor", "target_service": service,
        "scopes": scopes, "credentials": {"type": "provisioned"}, "check_path": null,
    });
    gateway.post("/v1/connections", token, &body).await
}

/// What ChittyAuth was last asked to make at a path.
fn asked(world: &World, path: &str) -> Value {
    let calls = world.services.calls("auth");
    let last = calls.iter().rev().find(|call: &&HttpRequest| call.url.ends_with(path));
    serde_json::from_str(last.expect(path).body.as_deref().unwrap()).unwrap()
}

/// A world, and an isolate that asks ChittyAuth at each request.
fn world() -> (World, Isolate) {
    let (world, _) = World::warm();
    let gateway = world.isolate_with(&[("AUTH_CACHE_SECONDS", Some("0"))]);
    world.services.published.replace(vec![1]);
    (world, gateway)
}

/// What a maker made, in use: whether it is let in.
enum Output {
    Token(String),
    Connection(String),
}

impl Output {
    async fn works(&self, gateway: &Isolate) -> u16 {
        match self {
            Output::Token(token) => list(gateway, token).await,
            Output::Connection(id) => {
                let path = format!("/v1/connections/{id}/proxy/x");
                gateway.get(&path, Some(USER)).await.status
            }
        }
    }
}

const MAKERS: [&str; 5] = ["delegate", "key", "rotate", "provisioned", "user-registration"];

/// Makes something by a credential, and holds what came out against what went in. `None` where the
/// credential may not.
async fn make_by(
    world: &World,
    gateway: &Isolate,
    maker: &str,
    by: &MadeCredential,
) -> Option<Output> {
    let ends_ms = by.ends_ms.unwrap_or(u64::MAX);
    let at = |made: &Value| time::parse(made.as_str().unwrap()).unwrap();
    let left_s = (ends_ms - world.clock.now_ms()) / 1000;
    match maker {
        "delegate" => {
            let wide = json!({"target_service": "connect", "scopes": ["admin"]});
            assert_eq!(gateway.post("/v1/delegate", &by.token, &wide).await.status, 422);
            let narrow = json!({"target_service": "connect", "scopes": ["contexts:read"]});
            let made = gateway.post("/v1/delegate", &by.token, &narrow).await;
            assert_eq!(made.status, 201, "{made:?}");
            assert!(at(&made.json["delegation"]["expires_at"]) <= ends_ms, "{made:?}");
            let long = json!({"target_service": "connect", "scopes": ["contexts:read"], "expires_in_seconds": 86_400});
            let long = gateway.post("/v1/delegate", &by.token, &long).await;
            assert_eq!(long.status == 201, left_s >= 86_400, "{long:?}");
            Some(Output::Token(made.json["delegation"]["token"].as_str().unwrap().to_owned()))
        }
        "key" => {
            let wide = json!({"name": "k", "scopes": ["admin"]});
            assert!([403, 422].contains(&gateway.post("/v1/keys", &by.token, &wide).await.status));
            let narrow = json!({"name": "k", "scopes": ["contexts:read"]});
            let made = gateway.post("/v1/keys", &by.token, &narrow).await;
            if made.status == 403 {
                assert_eq!(made.code(), "delegated_credential");
                return None;
            }
            assert_eq!(made.json["key"]["scopes"], json!(["contexts:read"]), "{made:?}");
            Some(Output::Token(made.json["key"]["key"].as_str().unwrap().to_owned()))
        }
        "rotate" => {
            let id = match by.id.starts_with("key_") {
                true => by.id.clone(),
                false => key(gateway, &root(), &["contexts:read"]).await.1,
            };
            let before = world.db.cell(&format!(
                "SELECT scopes || ifnull(expires_at, '') FROM keys WHERE key_id = '{id}'"
            ));
            let made = gateway.post(&format!("/v1/keys/{id}/rotate"), &by.token, &json!({})).await;
            if [403, 404].contains(&made.status) {
                return None;
            }
            let after = world.db.cell(&format!(
                "SELECT scopes || ifnull(expires_at, '') FROM keys WHERE key_id = '{id}'"
            ));
            assert_eq!(before, after, "no more than it was");
            Some(Output::Token(made.json["key"]["key"].as_str().unwrap().to_owned()))
        }
        "provisioned" => {
            let wide =
                provision_for(gateway, &by.actor, &by.token, "cases", &["read", "write"]).await;
            assert_eq!(wide.status, 403, "{wide:?}");
            let core = provision_for(gateway, &by.actor, &by.token, "auth", &["read"]).await;
            assert_eq!(core.status, 403, "{core:?}");
            let made = provision_for(gateway, &by.actor, &by.token, "cases", &["read"]).await;
            if made.status == 403 {
                assert_eq!(made.code(), "delegated_credential", "{made:?}");
                return None;
            }
            assert_eq!(made.status, 201, "{made:?}");
            let asked = asked(world, "/v1/keys/provision");
            assert_eq!(asked["scopes"], json!(["cases:read"]));
            assert!(asked["expiresIn"].as_u64().is_some_and(|life_s| life_s <= left_s), "{asked}");
            let id = made.json["connection"]["connection_id"].as_str().unwrap();
            Some(Output::Connection(id.to_owned()))
        }
        _ => {
            let wide = register(gateway, &by.token, "user").await;
            assert_eq!(wide.status, 403, "{wide:?}");
            let made = register(gateway, &by.token, "viewer").await;
            if made.status == 403 {
                assert_eq!(made.code(), "delegated_credential", "{made:?}");
                return None;
            }
            assert_eq!(made.status, 201, "{made:?}");
            let asked = asked(world, "/v1/tokens/provision");
            assert_eq!(asked["scope"], json!(["read"]));
            assert!(asked["expiresIn"].as_u64().is_some_and(|life_s| life_s <= left_s), "{asked}");
            let token = made.json["orchestration"]["result"]["token"].as_str().unwrap();
            Some(Output::Token(token.to_owned()))
        }
    }
}

/// How a credential comes to its end, or loses what it had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Expired,
    Suspended,
    Revoked,
    Narrowed,
}

/// Brings a credential to its end. Whether there is such an end to it.
async fn end(
    world: &World,
    gateway: &Isolate,
    kind: CredentialKind,
    by: &MadeCredential,
    ending: Ending,
) -> bool {
    match ending {
        Ending::Expired => {
            let Some(ends_ms) = by.ends_ms.filter(|_| kind != CredentialKind::Opaque) else {
                return false;
            };
            world.advance_ms(ends_ms - world.clock.now_ms());
        }
        Ending::Suspended => {
            let suspend = json!({"status": "suspended"});
            let done = gateway.patch("/v1/actors/CHITTY-PEO-a", ADMIN, &suspend).await;
            assert_eq!(done.status, 200);
        }
        Ending::Revoked => match kind {
            CredentialKind::Jwt => return false,
            CredentialKind::Opaque => {
                world.services.say(&by.token, None);
                assert_eq!(list(gateway, &by.token).await, 401);
            }
            CredentialKind::MadeForIdentity => {
                world.services.say("dev-a", None);
                assert_eq!(list(gateway, "dev-a").await, 401);
            }
            CredentialKind::Key | CredentialKind::KeyInGrace => {
                let path = format!("/v1/keys/{}", by.id);
                assert_eq!(gateway.delete(&path, &root()).await.status, 200);
            }
            CredentialKind::Delegated | CredentialKind::DelegatedTwice => {
                let path = format!("/v1/delegate/{}", by.id);
                assert_eq!(gateway.delete(&path, &root()).await.status, 200);
            }
        },
        Ending::Narrowed => {
            let root = match kind {
                CredentialKind::Jwt => return false,
                CredentialKind::MadeForIdentity => "dev-a".to_owned(),
                _ => root(),
            };
            world.services.say(&root, Some(&["keys:read"]));
            gateway.get("/v1/keys", Some(&root)).await;
        }
    }
    true
}

#[test]
fn what_comes_out_is_never_more_than_what_went_in_and_dies_with_it() {
    let mut lines = Vec::new();
    for kind in KINDS {
        for maker in MAKERS {
            for ending in [Ending::Expired, Ending::Suspended, Ending::Revoked, Ending::Narrowed] {
                let (world, gateway) = world();
                run(async {
                    gateway.get("/v1/contexts", Some(USER)).await;
                    let by = kind.make(&gateway).await;
                    let Some(output) = make_by(&world, &gateway, maker, &by).await else { return };
                    assert_eq!(output.works(&gateway).await, 200, "{kind:?} {maker}");
                    if !end(&world, &gateway, kind, &by, ending).await {
                        return;
                    }
                    // An API key stands on its actor: not on the session in which it was made.
                    let lasts = maker == "key"
                        && matches!(ending, Ending::Expired | Ending::Revoked)
                        || maker == "rotate"
                            && ending != Ending::Suspended
                            && !by.id.starts_with("key_")
                            && ending != Ending::Narrowed;
                    let status = output.works(&gateway).await;
                    if lasts == (status != 200) {
                        lines.push(format!("{kind:?} {maker} {ending:?}: {status}"));
                    }
                });
            }
        }
    }
    assert!(lines.is_empty(), "{lines:#?}");
}

#[test]
fn what_a_delegated_token_holds_makes_nothing_that_would_outlive_it() {
    let (world, gateway) = world();
    run(async {
        for kind in [
            CredentialKind::Delegated,
            CredentialKind::DelegatedTwice,
            CredentialKind::MadeForIdentity,
        ] {
            let by = kind.make(&gateway).await;
            for maker in ["key", "rotate", "provisioned", "user-registration"] {
                let made = make_by(&world, &gateway, maker, &by).await;
                assert!(made.is_none(), "{kind:?} {maker}");
            }
        }
        let by = CredentialKind::KeyInGrace.make(&gateway).await;
        assert!(make_by(&world, &gateway, "rotate", &by).await.is_none());
    });
}

#[test]
fn only_the_current_secret_rotates_and_revokes() {
    let (world, gateway) = world();
    run(async {
        let (first, id) = key(&gateway, "dev-a", &["read", "keys:write"]).await;
        let path = format!("/v1/keys/{id}/rotate");
        let grace = json!({"grace_seconds": 600});
        let second = gateway.post(&path, &first, &grace).await;
        let second = second.json["key"]["key"].as_str().unwrap().to_owned();
        assert_eq!((list(&gateway, &first).await, list(&gateway, &second).await), (200, 200));
        let keyed = TestRequest::new("POST", &path).token(&first).json(&grace);
        for request in [keyed.clone(), keyed.header("idempotency-key", "k")] {
            let refused = gateway.send(request).await;
            assert_eq!((refused.status, refused.code()), (403, "retired_key"));
        }
        let refused = gateway.delete(&format!("/v1/keys/{id}"), &first).await;
        assert_eq!((refused.status, refused.code()), (403, "retired_key"));
        assert_eq!(list(&gateway, &second).await, 200, "the owner is not thrown out");
        assert_eq!(world.db.count("outbox WHERE event_type = 'key.rotated'"), 1);
        // Of two rotations by one secret one is done.
        let (a, b) = futures_util::future::join(
            gateway.post(&path, &second, &grace),
            gateway.post(&path, &second, &grace),
        )
        .await;
        let mut statuses = [a.status, b.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 403]);
        let third = if a.status == 200 { a } else { b };
        let third = third.json["key"]["key"].as_str().unwrap();
        assert_eq!(gateway.delete(&format!("/v1/keys/{id}"), third).await.status, 200);
    });
}

#[test]
fn what_a_secret_delegated_ends_when_it_is_rotated_out() {
    let (world, gateway) = world();
    run(async {
        let (first, id) = key(&gateway, "dev-a", &["read", "delegations:write"]).await;
        let (early, _) = delegated(&gateway, &first, &["contexts:read"]).await;
        let path = format!("/v1/keys/{id}/rotate");
        let second = gateway.post(&path, "dev-a", &json!({"grace_seconds": 100})).await;
        let second = second.json["key"]["key"].as_str().unwrap().to_owned();
        let (late, _) = delegated(&gateway, &first, &["contexts:read"]).await;
        let (fresh, _) = delegated(&gateway, &second, &["contexts:read"]).await;
        let statuses = async |tokens: [&str; 3]| {
            let [a, b, c] = tokens;
            [list(&gateway, a).await, list(&gateway, b).await, list(&gateway, c).await]
        };
        assert_eq!(statuses([&early, &late, &fresh]).await, [200; 3]);
        world.advance_ms(100_000);
        assert_eq!(statuses([&early, &late, &fresh]).await, [401, 401, 200]);
    });
}

#[test]
fn a_key_loses_what_chittyauth_has_taken_from_its_owner() {
    let (world, gateway) = world();
    let other = world.isolate();
    run(async {
        let (api_key, _) = key(&gateway, "dev-a+admin", &["admin"]).await;
        let (token, _) = delegated(&gateway, "dev-a+admin", &["admin"]).await;
        let administers = async |gateway: &Isolate, token: &str| {
            gateway.get("/v1/actors", Some(token)).await.status
        };
        assert_eq!(administers(&gateway, &api_key).await, 200);
        // Another token of the actor, without it: within two minutes the key is no administrator's.
        world.advance_ms(60_000);
        assert_eq!(list(&other, "dev-a").await, 200);
        assert_eq!(administers(&gateway, &api_key).await, 200, "both tokens are in use");
        world.advance_ms(60_000);
        for gateway in [&gateway, &other] {
            assert_eq!(administers(gateway, &api_key).await, 403);
            assert_eq!(administers(gateway, &token).await, 403);
            assert_eq!(list(gateway, &api_key).await, 200, "what is left of it");
        }
        // Said again, it is there again.
        assert_eq!(administers(&gateway, "dev-a+admin").await, 200);
        assert_eq!(administers(&gateway, &api_key).await, 200);
        // The same token with less takes it at once.
        world.services.say("dev-a+admin", Some(&["read"]));
        assert_eq!(list(&gateway, "dev-a+admin").await, 200);
        assert_eq!(administers(&gateway, &api_key).await, 403);
        // While nobody says anything, nothing changes.
        world.advance_ms(10 * 24 * 3_600_000);
        assert_eq!(list(&gateway, &api_key).await, 200);
    });
}

#[test]
fn a_delegation_ends_with_the_token_that_made_it() {
    let (world, gateway) = world();
    run(async {
        let claims = json!({"exp": START_MS / 1000 + 600});
        let token = jwt(1, &json!({}), &claims);
        let made = delegated(&gateway, &token, &["read"]).await.0;
        let long = json!({"target_service": "connect", "expires_in_seconds": 3600});
        let refused = gateway.post("/v1/delegate", &token, &long).await;
        assert_eq!(refused.json["errors"][0]["pointer"], "/expires_in_seconds");
        world.advance_ms(629_000);
        assert_eq!((list(&gateway, &token).await, list(&gateway, &made).await), (200, 200));
        world.advance_ms(1_000);
        assert_eq!((list(&gateway, &token).await, list(&gateway, &made).await), (401, 401));
    });
}

#[test]
fn a_registration_carries_no_more_than_its_caller_and_shows_its_token_to_it_alone() {
    let (world, gateway) = world();
    run(async {
        let only = "dev-a+orchestrations:write";
        for role in ["viewer", "user", "admin"] {
            assert_eq!(register(&gateway, only, role).await.code(), "insufficient_scope");
        }
        assert_eq!(register(&gateway, "dev-a", "admin").await.code(), "insufficient_scope");
        assert_eq!(world.db.count("orchestrations"), 0);
        let request = |token: &str| {
            TestRequest::new("POST", "/v1/orchestrations/user-registration")
                .token(token)
                .json(&json!({"email": "u@example.org"}))
                .header("idempotency-key", "k")
        };
        let made = gateway.send(request("dev-a")).await;
        let token = made.json["orchestration"]["result"]["token"].as_str().unwrap().to_owned();
        let again = gateway.send(request("dev-a")).await;
        assert_eq!(again.json, made.json, "to the credential that started it");
        for other in
            ["dev-a+read,write", key(&gateway, "dev-a", &["read", "write"]).await.0.as_str()]
        {
            let replay = gateway.send(request(other)).await;
            assert_eq!(
                (replay.status, replay.headers["idempotency-replayed"].as_str()),
                (201, "true")
            );
            assert!(!replay.text.contains(&token), "{}", replay.text);
        }
        assert!(!world.db.dump().contains(&token), "on record only as its hash");
    });
}

#[test]
fn an_identity_that_was_minted_for_a_caller_counts_against_its_limits() {
    let (_, gateway) = {
        let (world, _) = World::warm();
        let gateway = world.isolate_with(&[("RATE_LIMIT_READ", Some("20"))]);
        (world, gateway)
    };
    run(async {
        let made = register(&gateway, "dev-a", "viewer").await;
        let token = made.json["orchestration"]["result"]["token"].as_str().unwrap().to_owned();
        for _ in 0..10 {
            assert_eq!((list(&gateway, "dev-a").await, list(&gateway, &token).await), (200, 200));
        }
        assert_eq!((list(&gateway, "dev-a").await, list(&gateway, &token).await), (429, 429));
        assert_eq!(list(&gateway, "dev-b").await, 200);
        let made = register(&gateway, "dev-b", "viewer").await;
        let other = made.json["orchestration"]["result"]["token"].as_str().unwrap().to_owned();
        assert_eq!(list(&gateway, &other).await, 200);
    });
}

#[test]
fn keys_of_core_services_are_made_for_administrators_only() {
    let (world, gateway) = world();
    run(async {
        for service in ["auth", "ChittyAuth", "id", "mint", "registry", "register", "certify"] {
            let refused = provision(&gateway, "dev-a", service, &["read"]).await;
            assert_eq!(refused.code(), "insufficient_scope", "{service}");
        }
        assert!(!world.services.calls("auth").iter().any(|call| call.url.ends_with("/provision")));
        let body = json!({
            "source_chitty_id": "CHITTY-PEO-root", "source_type": "actor", "target_service": "auth",
            "credentials": {"type": "provisioned"}, "check_path": null,
        });
        assert_eq!(gateway.post("/v1/connections", ADMIN, &body).await.status, 201);
        // What the service wants, not what the connection is called.
        let narrow = provision(&gateway, "dev-a+connections:write", "cases", &["read"]).await;
        assert_eq!(narrow.code(), "insufficient_scope", "{narrow:?}");
    });
}

#[test]
fn a_key_that_has_ended_is_made_again_by_who_holds_as_much() {
    let (world, gateway) = world();
    run(async {
        let by = CredentialKind::Jwt.make(&gateway).await;
        let made = provision(&gateway, &by.token, "cases", &["read"]).await;
        let id = made.json["connection"]["connection_id"].as_str().unwrap().to_owned();
        let path = format!("/v1/connections/{id}/proxy/x");
        let shown = || {
            let sent = world.outside.take().pop().unwrap();
            sent.headers.iter().find(|(name, _)| name == "authorization").unwrap().1.clone()
        };
        assert_eq!(gateway.get(&path, Some(USER)).await.status, 200);
        let first = shown();
        world.advance_ms(3_700_000);
        let refused = gateway.get(&path, Some(USER)).await;
        assert_eq!((refused.status, refused.code()), (403, "insufficient_scope"));
        assert!(world.outside.take().is_empty(), "the target is not asked");
        assert_eq!(gateway.get(&path, Some(&root())).await.status, 200);
        let second = shown();
        assert_ne!(first, second);
        let entries = world.db.cells(&format!(
            "SELECT actor_id || ' ' || substr(via, 1, 6) || ' ' || detail FROM audit \
             WHERE action = 'connection.updated' AND entity_id = '{id}'"
        ));
        let expected = r#"CHITTY-PEO-a token: {"changes":["credentials"]}"#;
        assert_eq!(entries, [expected], "whose doing it was is on record");
        assert_eq!(gateway.get(&path, Some(USER)).await.status, 200, "and for everybody again");
        assert_eq!(shown(), second);
        chittyconnect::tasks::scheduled(&gateway.app).await;
        let revoked = world.services.calls("auth");
        let revoked = revoked.iter().filter(|call| call.url.ends_with("/v1/api-keys/revoke"));
        assert_eq!(revoked.count(), 1, "the one before is taken back");
    });
}

#[test]
fn of_two_that_make_an_ended_key_again_at_once_one_has_done_so() {
    let (world, gateway) = world();
    run(async {
        let by = CredentialKind::Jwt.make(&gateway).await;
        let made = provision(&gateway, &by.token, "cases", &["read"]).await;
        let id = made.json["connection"]["connection_id"].as_str().unwrap().to_owned();
        let path = format!("/v1/connections/{id}/proxy/x");
        world.advance_ms(3_700_000);
        let root = root();
        let (one, other) =
            join(gateway.get(&path, Some(&root)), gateway.get(&path, Some(&root))).await;
        assert_eq!((one.status, other.status), (200, 200));
        gateway.deliver_all().await;
        let rows = format!("outbox WHERE event_type = 'connection.updated' AND entity_id = '{id}'");
        assert_eq!(world.db.count(&rows), 1);
        let told = world.services.entries().into_iter();
        let told = told.filter(|entry| entry["action"] == "connection.updated");
        assert_eq!(told.count(), 1, "what did not take place is not told");
    });
}

#[test]
fn everything_with_actors_stops_before_their_administration() {
    let (world, gateway) = world();
    run(async {
        let half = "dev-a+actors:*,audit:*,events:*,ecosystem:*";
        let path = "/v1/actors/CHITTY-PEO-root/capabilities";
        gateway
            .put("/v1/actors/CHITTY-PEO-c/capabilities", ADMIN, &json!({"capabilities": ["write"]}))
            .await;
        for refused in [
            gateway.get("/v1/actors", Some(half)).await,
            gateway.put(path, half, &json!({"capabilities": []})).await,
            gateway.get("/v1/audit/verify", Some(half)).await,
            gateway.get("/v1/events/dead-letters", Some(half)).await,
            gateway.post("/v1/ecosystem/id/disconnect", half, &json!(null)).await,
            gateway
                .post(
                    "/v1/delegate",
                    half,
                    &json!({"target_service": "connect", "scopes": ["actors:admin"]}),
                )
                .await,
        ] {
            assert_eq!(refused.code(), "insufficient_scope", "{refused:?}");
        }
        for (path, credential) in [
            ("/v1/actors/me", half),
            ("/v1/audit", half),
            ("/v1/ecosystem", half),
            ("/v1/actors", "dev-a+actors:admin"),
        ] {
            assert_eq!(gateway.get(path, Some(credential)).await.status, 200, "{path}");
        }
        // A grant of everything with actors is none of their administration either.
        let (api_key, _) = key(&gateway, "dev-b", &["read"]).await;
        gateway
            .put(
                "/v1/actors/CHITTY-PEO-b/capabilities",
                ADMIN,
                &json!({"capabilities": ["actors:*"]}),
            )
            .await;
        for credential in ["dev-b", api_key.as_str()] {
            assert_eq!(gateway.get("/v1/actors", Some(credential)).await.status, 403);
        }
        assert_eq!(world.db.count("actors WHERE capabilities = '[\"write\"]'"), 1);
    });
}

#[test]
fn nobody_takes_away_what_they_do_not_hold() {
    let (world, gateway) = world();
    run(async {
        let path = "/v1/actors/CHITTY-PEO-b/capabilities";
        let granting = "dev-a+actors:admin,contexts:read";
        let put = async |token: &str, capabilities: Value| {
            gateway.put(path, token, &json!({ "capabilities": capabilities })).await
        };
        let granted = || {
            world
                .db
                .cell("SELECT capabilities FROM actors WHERE chitty_id = 'CHITTY-PEO-b'")
                .unwrap()
        };
        assert_eq!(put(granting, json!(["contexts:read"])).await.status, 200, "of what it holds");
        assert_eq!(put(granting, json!([])).await.status, 200);
        assert_eq!(put(ADMIN, json!(["admin", "contexts:read"])).await.status, 200);
        for fewer in [json!([]), json!(["contexts:read"])] {
            let refused = put(granting, fewer).await;
            assert_eq!(refused.code(), "insufficient_scope", "{refused:?}");
        }
        assert_eq!(granted(), r#"["admin","contexts:read"]"#);
        assert_eq!(put(ADMIN, json!(["contexts:write", "contexts:read"])).await.status, 200);
        assert_eq!(put(granting, json!(["contexts:read"])).await.status, 403);
        // What is granted between the look and the write is not taken away unseen.
        assert_eq!(put(ADMIN, json!(["contexts:read"])).await.status, 200);
        let (a, b) = futures_util::future::join(
            put(granting, json!([])),
            put(ADMIN, json!(["contexts:read", "write"])),
        )
        .await;
        assert_eq!(b.status, 200);
        // It came first and took what it held, or it saw the other and was refused.
        assert!([200, 403].contains(&a.status), "{a:?}");
        assert_eq!(granted(), r#"["contexts:read","write"]"#);
    });
}

#[test]
fn a_credential_that_is_too_long_is_told_so() {
    let (_, gateway) = world();
    run(async {
        let long = "a".repeat(4097);
        for request in [
            TestRequest::new("GET", "/v1/contexts").token(&long),
            TestRequest::new("GET", "/v1/contexts").header("x-chittyos-api-key", &long),
        ] {
            let refused = gateway.send(request).await;
            assert_eq!((refused.status, refused.code()), (401, "invalid_token"));
            let detail = refused.json["detail"].as_str().unwrap();
            assert!(detail.contains("too long") && detail.contains("4096"), "{detail}");
        }
        assert_eq!(create(&gateway, "dev-a").await.0, 201);
    });
}
