//! Signatures: every request of a core with a key carries one that the other side accepts.

use chitty_core::signing::{
    KEY_ID_HEADER, NONCE_HEADER, NonceWindow, SIGNATURE_HEADER, Signature, SignatureError,
    SigningInput, SigningKey, TIMESTAMP_HEADER, verify,
};
use chitty_core::{CoreConfig, Service};

use crate::world::{Reply, START_MS, SentRequest, World, all_calls, call_named, run};

const HEADERS: [&str; 4] = [KEY_ID_HEADER, TIMESTAMP_HEADER, NONCE_HEADER, SIGNATURE_HEADER];

fn key() -> SigningKey {
    SigningKey { id: "2026".to_owned(), secret: vec![7; 32] }
}

/// Makes a world that signs its requests, with random numbers that do not repeat.
fn world(change: impl FnOnce(&mut CoreConfig)) -> World {
    let world = World::with(|config| {
        config.signing_key = Some(key());
        change(config);
    });
    world.clock.set_chances(1..10_000);
    world
}

fn signature(sent: &SentRequest) -> Signature {
    let [key_id, timestamp, nonce, value] = HEADERS.map(|name| sent.header(name).unwrap());
    Signature {
        key_id: key_id.to_owned(),
        timestamp_ms: timestamp.parse().unwrap(),
        nonce: nonce.to_owned(),
        value: value.to_owned(),
    }
}

fn signed(sent: &SentRequest) -> SigningInput<'_> {
    SigningInput {
        method: sent.request.method.as_str(),
        target: sent.target(),
        body: sent.request.body.as_deref().unwrap_or_default().as_bytes(),
    }
}

fn accept(sent: &SentRequest, seen: &mut NonceWindow) -> Result<(), SignatureError> {
    verify(&[key()], signed(sent), &signature(sent), START_MS, seen)
}

#[test]
fn every_request_is_accepted_once() {
    let world = world(|_| {});
    for call in all_calls() {
        // With 404 every variant is tried.
        world.always(Reply::status(404));
        let _ = run((call.make)(world.session()));
    }
    world.always(Reply::status(200));
    world.ask(async |session| session.health(Service::Id, 1_000).await);
    let sent = world.take_sent();
    assert!(sent.len() > 50);
    let mut seen = NonceWindow::default();
    for sent in &sent {
        assert_eq!(accept(sent, &mut seen), Ok(()), "{}", sent.line());
    }
    for sent in &sent {
        assert_eq!(accept(sent, &mut seen), Err(SignatureError::Replayed), "{}", sent.line());
    }
}

#[test]
fn an_altered_request_is_not_accepted() {
    let world = world(|_| {});
    world.always(Reply::status(404));
    for name in ["chronicle.query", "id.mint", "canon.remove_record"] {
        let _ = run((call_named(name).make)(world.session()));
    }
    for sent in world.take_sent() {
        let signature = signature(&sent);
        let original = signed(&sent);
        let query_gone = original.target.split('?').next().unwrap();
        for (what, altered) in [
            ("method", SigningInput { method: "PUT", ..original }),
            ("body", SigningInput { body: b"{\"type\":\"PEO\"}", ..original }),
            ("path", SigningInput { target: "/v1/other", ..original }),
            ("query", SigningInput { target: query_gone, ..original }),
        ] {
            if what == "query" && query_gone == original.target {
                continue;
            }
            let seen = &mut NonceWindow::default();
            let verdict = verify(&[key()], altered, &signature, START_MS, seen);
            assert_eq!(verdict, Err(SignatureError::Mismatch), "{what} of {}", sent.line());
        }
    }
}

#[test]
fn each_attempt_is_signed_anew_when_it_is_made() {
    let world = world(|_| {});
    world.always(Reply::status(500).after(700));
    world.ask(async |session| session.register().status().await.unwrap_err());
    let sent = world.take_sent();
    assert_eq!(sent.len(), 3);
    let mut seen = NonceWindow::default();
    for sent in &sent {
        assert_eq!(accept(sent, &mut seen), Ok(()));
        assert_eq!(signature(sent).timestamp_ms, START_MS + sent.at_ms);
    }
}

#[test]
fn the_path_of_an_endpoint_is_part_of_what_is_signed() {
    let world = world(|config| {
        config.endpoints.insert(Service::Register, "http://gateway/register".to_owned());
    });
    world.always(Reply::status(200));
    world.ask(async |session| session.register().status().await.unwrap());
    let [sent] = world.take_sent().try_into().unwrap();
    assert_eq!(sent.target(), "/register/api/v1/status");
    assert_eq!(accept(&sent, &mut NonceWindow::default()), Ok(()));
}

#[test]
fn a_renewal_is_signed_too() {
    let world = world(|config| {
        let secret = "old".to_owned();
        let expires_at_ms = Some(START_MS);
        let token = chitty_core::ServiceToken { secret, expires_at_ms };
        config.tokens.insert(Service::Register, token);
    });
    world.always(Reply::ok(serde_json::json!({"token": "new"})));
    world.ask(async |session| session.register().status().await.unwrap());
    let sent = world.take_sent();
    assert_eq!(sent.len(), 2);
    let mut seen = NonceWindow::default();
    assert!(sent.iter().all(|sent| accept(sent, &mut seen).is_ok()));
}

#[test]
fn without_a_key_nothing_is_signed() {
    let world = World::new();
    for call in all_calls() {
        world.always(Reply::ok(call.good));
        run((call.make)(world.session())).unwrap();
    }
    for sent in world.take_sent() {
        assert!(HEADERS.iter().all(|name| sent.header(name).is_none()), "{}", sent.line());
    }
}
