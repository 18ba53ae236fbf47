//! What the App and its installations prove themselves with.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chittyconnect::github::{client, tokens};
use futures_util::future::join_all;
use github_client::ErrorKind;
use seams::outside::OutsideRequest;
use seams::time;
use serde_json::{Value, json};

use super::{
    Github, KV_KEY, header, installation_body, kind, labels, path, ready, repository, token,
};
use crate::world::outside::answer;
use crate::world::{Fault, START_MS, World, run};

#[test]
fn the_app_proves_itself_by_a_jwt_that_it_uses_again() {
    let (world, gateway) = World::warm();
    Github::new(&world, |_| Ok(answer(200, &installation_body(7, 77, "Organization").to_string())));
    run(async {
        let found = client(&gateway.app).installation(7).await.unwrap();
        assert_eq!((found.id, found.account.login.as_str()), (7, "octo-org"));
        assert_eq!((found.account.kind.as_str(), found.suspended_at), ("Organization", None));
        let sent = world.outside.take().remove(0);
        assert_eq!((sent.method.as_str(), path(&sent)), ("GET", "/app/installations/7"));
        let agent = concat!("ChittyConnect/", env!("CARGO_PKG_VERSION"));
        for (name, value) in [
            ("user-agent", agent),
            ("accept", "application/vnd.github+json"),
            ("x-github-api-version", "2022-11-28"),
        ] {
            assert_eq!(header(&sent, name), Some(value));
        }
        assert_eq!(sent.deadline_ms, gateway.app.config.connection_timeout_ms);
        let jwt = header(&sent, "authorization").unwrap().strip_prefix("Bearer ").unwrap();
        let parts: Vec<Vec<u8>> =
            jwt.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap()).collect();
        let json = |part: &[u8]| serde_json::from_slice::<Value>(part).unwrap();
        assert_eq!(json(&parts[0]), json!({"alg": "RS256", "typ": "JWT"}));
        let now_s = START_MS / 1000;
        let claims = json(&parts[1]);
        assert_eq!((&claims["iss"], &claims["iat"]), (&json!("4242"), &json!(now_s - 60)));
        let exp_s = claims["exp"].as_u64().unwrap();
        assert!(exp_s > now_s + 120 && exp_s <= now_s + 600);
        assert_eq!(parts[2], b"signature");

        let used =
            |sent: Vec<OutsideRequest>| header(&sent[0], "authorization").unwrap().to_owned();
        world.advance_ms((exp_s - now_s - 61) * 1000);
        client(&gateway.app).installation(7).await.unwrap();
        assert_eq!(used(world.outside.take()), format!("Bearer {jwt}"), "the same");
        world.advance_ms(1000);
        client(&gateway.app).installation(7).await.unwrap();
        assert_ne!(used(world.outside.take()), format!("Bearer {jwt}"), "in its last minute");
    });
}

#[test]
fn without_its_settings_nothing_is_asked() {
    let world = World::new();
    let gateway = world.isolate_with(&[("GITHUB_APP_ID", None), ("GITHUB_CLIENT_SECRET", None)]);
    run(async {
        let repository = repository(&gateway).await;
        assert_eq!(kind(client(&gateway.app).installation(7).await), ErrorKind::NotConfigured);
        assert_eq!(kind(client(&gateway.app).exchange_code("c").await), ErrorKind::NotConfigured);
        assert_eq!(kind(repository.issue_labels(1).await), ErrorKind::NotConfigured);
        assert_eq!(kind(repository.find_comment(1, "m").await), ErrorKind::NotConfigured);
        assert!(world.outside.take().is_empty());
        assert_eq!(world.db.count("github_tokens"), 0, "no lease is left");
    });
}

#[test]
fn a_token_is_fetched_once_however_many_ask() {
    let (world, a) = World::warm();
    let isolates = [a, world.isolate(), world.isolate(), world.isolate()];
    let github = Github::new(&world, |_| Ok(labels()));
    run(async {
        let asked = (0..40).map(|n| token(&isolates[n % 4]));
        for got in join_all(asked).await {
            assert_eq!(got.unwrap(), "ghs_1");
        }
        assert_eq!(github.issued.get(), 1);
        // A new isolate finds it in KV, and without KV in the database.
        world.db.reset_calls();
        assert_eq!(token(&world.isolate()).await.unwrap(), "ghs_1");
        let sealed = world.tokens.values.borrow_mut().remove(KV_KEY).unwrap();
        let without = world.isolate_with(&[("TOKEN_KV", None)]);
        assert_eq!(token(&without).await.unwrap(), "ghs_1");
        assert_eq!(github.issued.get(), 1);
        assert!(sealed.starts_with("v1.test."));
        assert!(!world.db.dump().contains("ghs_1"), "sealed");
        // Some seconds of the hour have gone by while the others looked.
        let ttl_s = world.tokens.ttls.borrow()[KV_KEY].unwrap();
        assert!((3290..=3300).contains(&ttl_s), "{ttl_s}: not past its use");
        let lease = world.db.cell("SELECT leased_until FROM github_tokens");
        assert_eq!(lease.as_deref(), Some(""), "released");
        // What belongs to another installation does not open for this one.
        world.db.execute("UPDATE github_tokens SET installation_id = 8");
        world.tokens.values.borrow_mut().insert("github:installation:8".to_owned(), sealed);
        let other = world.isolate();
        let other = tokens::installation_token(&other.app, ready(&other).await, 8).await;
        assert_eq!(other.unwrap(), "ghs_2");
    });
}

#[test]
fn a_token_is_never_used_within_five_minutes_of_its_end() {
    let (world, gateway) = World::warm();
    let github = Github::new(&world, |_| Ok(labels()));
    run(async {
        assert_eq!(token(&gateway).await.unwrap(), "ghs_1");
        world.advance_ms(3_300_000 - 1);
        assert_eq!(token(&gateway).await.unwrap(), "ghs_1");
        world.advance_ms(1);
        // The test's KV forgets nothing by itself.
        assert!(world.tokens.values.borrow().contains_key(KV_KEY));
        assert_eq!(token(&gateway).await.unwrap(), "ghs_2");
        assert_eq!(token(&world.isolate()).await.unwrap(), "ghs_2");
        // One that ends sooner than that is never used.
        world.advance_ms(3_300_000);
        github.life_ms.set(300_000);
        assert_eq!(kind(token(&gateway).await), ErrorKind::Unreadable);
        github.life_ms.set(359_000);
        assert_eq!(token(&gateway).await.unwrap(), "ghs_4");
        assert_eq!(world.tokens.ttls.borrow()[KV_KEY], Some(3300), "too short for KV");
        // One that claims to last longer than GitHub's do is not believed.
        world.advance_ms(60_000);
        github.life_ms.set(1 << 40);
        assert_eq!(token(&gateway).await.unwrap(), "ghs_5");
        world.advance_ms(3_300_000);
        assert_eq!(token(&gateway).await.unwrap(), "ghs_6");
    });
}

#[test]
fn a_refused_token_is_forgotten_everywhere_and_the_call_made_again() {
    let (world, a) = World::warm();
    let b = world.isolate();
    let github = Github::new(&world, |_| Ok(labels()));
    run(async {
        for gateway in [&a, &b] {
            repository(gateway).await.issue_labels(1).await.unwrap();
        }
        let stale = world.tokens.values.borrow()[KV_KEY].clone();
        github.revoked.set(1);
        world.outside.take();
        let change = repository(&a).await;
        change.add_labels(1, &["bug".to_owned()]).await.unwrap();
        let sent: Vec<String> =
            world.outside.take().iter().map(|sent| path(sent).to_owned()).collect();
        let labels_path = "/repos/octo-org/hello/issues/1/labels";
        assert_eq!(sent, [labels_path, "/app/installations/7/access_tokens", labels_path]);
        // KV may still have the old one: it is not taken from there again.
        world.tokens.values.borrow_mut().insert(KV_KEY.to_owned(), stale.clone());
        assert_eq!(repository(&b).await.issue_labels(1).await.unwrap(), ["bug"]);
        assert_eq!(github.issued.get(), 2, "the other isolate finds what this one has fetched");
        // Nor from a database that did not take the news.
        github.revoked.set(2);
        world.db.reset_calls();
        world.db.set_fault(|call| if call == 1 { Fault::Before } else { Fault::None });
        assert_eq!(repository(&b).await.issue_labels(1).await.unwrap(), ["bug"]);
        world.db.set_fault(|_| Fault::None);
        assert_eq!(github.issued.get(), 3);
        // Whoever refuses them all is asked twice.
        github.revoked.set(99);
        world.outside.take();
        let error = repository(&a).await.issue_labels(1).await.unwrap_err();
        assert_eq!((error.kind, error.status), (ErrorKind::Refused, Some(401)));
        assert!(world.outside.take().len() <= 3);
    });
}

#[test]
fn without_a_key_tokens_stay_in_the_isolate() {
    let (world, gateway) = World::warm_with(&[("SEALING_KEYS", None)]);
    let github = Github::new(&world, |_| Ok(labels()));
    run(async {
        assert_eq!(token(&gateway).await.unwrap(), "ghs_1");
        assert_eq!(token(&gateway).await.unwrap(), "ghs_1");
        assert!(world.tokens.values.borrow().get(KV_KEY).is_none());
        assert_eq!(world.db.count("github_tokens"), 0);
        assert_eq!(github.issued.get(), 1);
    });
}

#[test]
fn a_fetch_that_fails_or_dies_holds_nobody_up_for_long() {
    let (world, a) = World::warm();
    run(async {
        let errors = [
            (answer(404, "{}"), ErrorKind::NotFound),
            (
                answer(403, r#"{"message":"This installation has been suspended"}"#),
                ErrorKind::Refused,
            ),
            (answer(502, "<html>"), ErrorKind::Unavailable),
            (answer(201, "<html>"), ErrorKind::Unreadable),
            (
                answer(201, r#"{"token":"a b","expires_at":"2099-01-01T00:00:00Z"}"#),
                ErrorKind::Unreadable,
            ),
            (
                answer(201, r#"{"token":"","expires_at":"2099-01-01T00:00:00Z"}"#),
                ErrorKind::Unreadable,
            ),
            (answer(201, r#"{"token":"ghs_x","expires_at":"later"}"#), ErrorKind::Unreadable),
        ];
        for (answered, expected) in errors {
            world.outside.set(move |_| Ok(answered.clone()));
            assert_eq!(kind(token(&a).await), expected);
            assert_eq!(world.outside.take().len(), 1, "not repeated");
            assert_eq!(world.db.count("github_tokens"), 0, "no lease is left");
        }
        // An isolate that died with the lease.
        let github = Github::new(&world, |_| Ok(labels()));
        let until = time::iso8601(world.clock_ms() + 20_000);
        world.db.execute(&format!(
            "INSERT INTO github_tokens (installation_id, leased_until) VALUES (7, '{until}')"
        ));
        let before_ms = world.clock_ms();
        let error = token(&a).await.unwrap_err();
        assert_eq!((error.kind, error.retry_after_s), (ErrorKind::Unavailable, Some(1)));
        assert!(error.is_transient());
        assert!(world.clock_ms() - before_ms <= 5_100);
        world.advance_ms(15_000);
        assert_eq!(token(&a).await.unwrap(), "ghs_1");
        // A database that forgets or fails does not make a good token a bad one.
        tokens::forget_installation(&a.app, 7).await;
        assert!(world.tokens.values.borrow().get(KV_KEY).is_none());
        world.db.execute("DELETE FROM github_tokens");
        world.db.reset_calls();
        world.db.set_fault(|call| if call == 3 { Fault::After } else { Fault::None });
        assert_eq!(token(&a).await.unwrap(), "ghs_2");
        world.db.set_fault(|_| Fault::Before);
        assert_eq!(token(&a).await.unwrap(), "ghs_2");
        let fresh = world.isolate();
        world.db.set_fault(|_| Fault::None);
        let ready = ready(&fresh).await;
        world.tokens.values.borrow_mut().clear();
        world.db.set_fault(|_| Fault::Before);
        let failed = tokens::installation_token(&fresh.app, ready, 7).await;
        assert_eq!(kind(failed), ErrorKind::Storage);
        assert_eq!(github.issued.get(), 2);
    });
}
