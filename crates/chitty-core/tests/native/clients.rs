//! Each client: what it sends, which answers it accepts, and that a missing field is not success.

use chitty_core::{EntityLabel, EntryQuery, FailureKind, MintRequest, TokenCheck, Validity};
use serde_json::{Value, json};

use crate::world::{ID, Reply, World, all_calls, call_named, comparable, id, run};

fn person() -> MintRequest {
    MintRequest {
        label: EntityLabel::Person,
        metadata: json!({}),
        timestamp: "t".to_owned(),
        idempotency_key: None,
        timeout_ms: None,
    }
}

#[test]
fn every_call_sends_its_request_in_each_variant() {
    for call in all_calls() {
        for (understood, line) in call.spellings.iter().enumerate() {
            let world = World::new();
            let (good, line) = (call.good.clone(), (*line).to_owned());
            world.script(move |sent| match sent.line() == line {
                true => Reply::ok(good.clone()),
                false => Reply::status(404),
            });
            let result = run((call.make)(world.session()));
            assert_eq!(
                comparable(result).as_deref(),
                Ok(call.yields),
                "{} {understood}",
                call.name
            );
            let sent = world.take_sent();
            assert_eq!(sent.len(), understood + 1, "{}", call.name);
            for (spelling, sent) in sent.iter().enumerate() {
                assert_eq!(sent.line(), call.spellings[spelling]);
                assert_eq!(&sent.body(), call.body(spelling), "{}", sent.line());
                assert_eq!(sent.request.body.is_some(), !call.body(spelling).is_null());
                assert_eq!(sent.request.service.host(), sent.line_host(), "{}", call.name);
            }
        }
    }
}

#[test]
fn a_missing_field_is_not_success() {
    for call in all_calls() {
        for body in call.not_answers {
            let world = World::new();
            world.always(Reply::ok(body.clone()));
            let error = run((call.make)(world.session())).unwrap_err();
            assert_eq!(error.kind, FailureKind::Malformed, "{}: {body}", call.name);
            assert!(error.is_retryable() && error.may_have_had_its_effect());
            assert_eq!(world.take_lines().len(), 1, "{}: a repeat would not help", call.name);
        }
    }
}

#[test]
fn a_404_from_every_variant_is_an_outage_or_says_that_nothing_is_there() {
    for call in all_calls() {
        let world = World::new();
        world.always(Reply::status(404));
        let expected = call.when_not_there.map(str::to_owned);
        assert_eq!(comparable(run((call.make)(world.session()))), expected, "{}", call.name);
        assert_eq!(world.take_lines(), call.lines_when_nowhere(), "{}", call.name);
    }
}

#[test]
fn a_credential_that_is_not_found_counts_as_revoked_only_if_it_is_not_valid() {
    for name in ["auth.revoke_token", "auth.revoke_key"] {
        for (verdict, expected) in [
            (json!({"valid": false}), Ok("()".to_owned())),
            (json!({"valid": true, "chittyId": ID}), Err(FailureKind::Refused)),
            (json!({}), Err(FailureKind::Refused)),
        ] {
            let world = World::new();
            world.script(move |sent| match sent.line().ends_with("/revoke") {
                true => Reply::status(404),
                false => Reply::ok(verdict.clone()),
            });
            let result = comparable(run((call_named(name).make)(world.session())));
            assert_eq!(result, expected, "{name}");
        }
    }
}

#[test]
fn a_key_without_an_id_is_revoked_by_the_key_itself() {
    let world = World::new();
    world.always(Reply::ok(json!({"success": true})));
    world.ask(async |session| session.auth().revoke_key(None, "k1", "r").await.unwrap());
    let [sent] = world.take_sent().try_into().unwrap();
    assert_eq!(sent.body(), json!({"api_key": "k1", "reason": "r"}));
}

#[test]
fn a_410_means_that_a_removal_is_done() {
    for name in ["auth.revoke_token", "auth.revoke_key", "certify.revoke", "canon.remove_record"] {
        for (status, expected) in [
            (410, Ok("()".to_owned())),
            (403, Err(FailureKind::Denied)),
            (204, Ok("()".to_owned())),
        ] {
            let world = World::new();
            world.always(Reply::text(status, ""));
            let result = comparable(run((call_named(name).make)(world.session())));
            assert_eq!(result, expected, "{name} {status}");
        }
    }
}

#[test]
fn a_person_is_minted_without_a_characterization() {
    let world = World::new();
    world.always(Reply::ok(json!({"chitty_id": ID})));
    let minted = world.ask(async |session| session.id().mint(&person()).await.unwrap());
    assert_eq!(minted, id());
    let [sent] = world.take_sent().try_into().unwrap();
    assert_eq!(
        sent.body(),
        json!({
            "type": "PEO", "entity": "P", "entityType": "person", "entity_type": "person",
            "metadata": {}, "timestamp": "t",
        })
    );
    assert_eq!(sent.header("idempotency-key"), None);
}

#[test]
fn a_fallback_answer_is_a_transient_failure_and_no_identity() {
    let world = World::new();
    for id in [ID, "03-0-ERR-0001-P-2602-0-08"] {
        let body = json!({"success": true, "chittyId": id, "fallback": true, "errorCode": "0001"});
        world.always(Reply::ok(body));
        let error = world.ask(async |session| session.id().mint(&person()).await.unwrap_err());
        assert_eq!(error.kind, FailureKind::Unavailable);
        assert!(error.is_retryable() && error.detail.contains("0001"), "{error}");
        assert_eq!(world.take_lines(), ["POST id/v1/mint"], "the mint itself is not asked");
    }
}

#[test]
fn the_mint_is_asked_only_if_chittyid_does_not_know_the_path() {
    for (first, goes_on) in [
        (Reply::status(404), true),
        (Reply::status(405), true),
        (Reply::status(400), false),
        (Reply::status(401), false),
        (Reply::status(409), false),
        (Reply::status(500), false),
        (Reply::busy(503, "60"), false),
        (Reply::hang(), false),
        (Reply::unreachable(), false),
        (Reply::text(200, "<html>"), false),
    ] {
        let world = World::new();
        world.in_turn([first.clone(), Reply::ok(json!({"success": true, "chittyId": ID}))]);
        let minted = world.ask(async |session| session.id().mint(&person()).await);
        assert_eq!(minted.is_ok(), goes_on, "{first:?}");
        let expected: &[&str] =
            if goes_on { &["POST id/v1/mint", "POST mint/api/mint"] } else { &["POST id/v1/mint"] };
        assert_eq!(world.take_lines(), expected, "{first:?}");
    }
}

#[test]
fn an_error_of_the_mint_names_the_mint() {
    let world = World::new();
    world.in_turn([Reply::status(404), Reply::ok(json!({"success": true}))]);
    let error = world.ask(async |session| session.id().mint(&person()).await.unwrap_err());
    assert_eq!(error.service, chitty_core::Service::Mint);
}

#[test]
fn the_authority_is_asked_about_an_id_only_if_its_text_does_not_tell() {
    let world = World::new();
    for (answer, expected) in [
        (json!({"valid": true}), Validity::Valid),
        (json!({"valid": false}), Validity::Invalid),
        (json!({"valid": false, "error": "unknown"}), Validity::Invalid),
        (json!({"valid": false, "isError": true}), Validity::Pending),
    ] {
        world.always(Reply::ok(answer.clone()));
        let found = world.ask(async |session| session.id().validate(ID).await.unwrap());
        assert_eq!(found, expected, "{answer}");
    }
    world.take_sent();
    for (id, expected) in [
        ("nonsense", Validity::Invalid),
        ("03-1-USA-9002-T-2602-0-82", Validity::Invalid),
        ("03-0-ERR-0001-T-2602-0-08", Validity::Pending),
    ] {
        assert_eq!(world.ask(async |session| session.id().validate(id).await.unwrap()), expected);
    }
    assert_eq!(world.take_lines(), [""; 0], "the text alone tells");
}

#[test]
fn the_info_of_an_identity_is_read() {
    let world = World::new();
    world.always(Reply::ok(json!({
        "data": {"chitty_id": format!("did:chitty:{ID}"), "did": "d", "entityType": "person"},
    })));
    let info = world.ask(async |session| session.id().info(&id()).await.unwrap().unwrap());
    assert_eq!(
        (info.id, info.did.as_deref(), info.entity_type.as_deref(), info.trust_level),
        (id(), Some("d"), Some("person"), None)
    );
}

#[test]
fn a_token_is_valid_invalid_or_the_question_is_open() {
    let good = |body: Value| Reply::ok(body);
    for (reply, expected) in [
        (good(json!({"valid": true, "actor": {"sub": ID}, "scope": "read write"})), Ok(true)),
        (good(json!({"valid": false})), Ok(false)),
        (good(json!({"valid": false, "error": "expired"})), Ok(false)),
        (Reply::status(401), Ok(false)),
        (Reply::status(403), Ok(false)),
        (Reply::status(400), Err(FailureKind::Refused)),
        (Reply::status(429), Err(FailureKind::Unavailable)),
        (Reply::status(500), Err(FailureKind::Unavailable)),
        (Reply::hang(), Err(FailureKind::Timeout)),
        (Reply::unreachable(), Err(FailureKind::Unreachable)),
        (good(json!({"chittyId": ID})), Err(FailureKind::Malformed)),
        (good(json!({"error": "database"})), Err(FailureKind::Malformed)),
    ] {
        let world = World::new();
        world.always(reply.clone());
        let found = world.ask(async |session| session.auth().validate("t").await);
        let found = found.map(|check| match check {
            TokenCheck::Valid(info) => {
                assert_eq!((info.actor, info.scopes.len()), (id(), 2));
                true
            }
            TokenCheck::Invalid => false,
        });
        assert_eq!(found.map_err(|error| error.kind), expected, "{reply:?}");
    }
}

#[test]
fn the_older_validation_carries_the_token_as_bearer_and_says_valid_by_its_status() {
    for (answer, valid) in [
        (Reply::ok(json!({"sub": ID, "scopes": ["read"]})), true),
        (Reply::ok(json!({"valid": false, "sub": ID})), false),
        (Reply::status(401), false),
    ] {
        let world = World::with(|config| {
            config.tokens.insert(chitty_core::Service::Auth, "own".to_owned().into());
        });
        world.in_turn([Reply::status(405), answer]);
        let check = world.ask(async |session| session.auth().validate("t").await.unwrap());
        assert_eq!(matches!(check, TokenCheck::Valid(_)), valid);
        let [first, second] = world.take_sent().try_into().unwrap();
        assert_eq!(first.header("authorization"), Some("Bearer own"));
        assert_eq!(second.header("authorization"), Some("Bearer t"));
        assert_eq!(second.header("content-type"), None, "it has no body");
    }
}

#[test]
fn a_credential_has_its_id_its_scopes_and_its_expiry() {
    let world = World::new();
    world.always(Reply::ok(json!({
        "token": "s3cret", "tokenId": "i", "scope": "read write", "expiresAt": "2027",
    })));
    let made = world.ask(async |session| session.auth().refresh_token("t").await.unwrap());
    assert_eq!((made.id.as_deref(), made.expires_at.as_deref()), (Some("i"), Some("2027")));
    assert_eq!(made.scopes, ["read", "write"]);
    assert!(!format!("{made:?}").contains("s3cret"));
}

#[test]
fn the_registry_is_searched_by_name_ignoring_case() {
    let world = World::new();
    world.always(Reply::ok(json!([{"name": "ChittyID"}, {"name": "chittyauth"}, {"name": "x"}])));
    for (text, expected) in
        [("CHITTY", vec!["ChittyID", "chittyauth"]), ("id", vec!["ChittyID"]), ("none", vec![])]
    {
        let found = world.ask(async |session| session.registry().search(text).await.unwrap());
        let names: Vec<&str> = found.value.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, expected);
    }
    assert_eq!(world.take_lines(), ["GET registry/api/v1/tools"], "one list for all searches");
}

#[test]
fn a_context_is_verified_only_if_the_answer_says_so() {
    for (answer, verified) in [
        (json!({"verified": true}), true),
        (json!({"status": "verified"}), true),
        (json!({"status": "REVIEW"}), false),
        (json!({"verified": false, "status": "PASS"}), false),
        (json!({"verified": false, "error": "no lineage"}), false),
    ] {
        let world = World::new();
        world.always(Reply::ok(answer.clone()));
        let found = world.ask(async |session| session.verify().context(&id(), None, "s").await);
        assert_eq!(found.unwrap().verified, verified, "{answer}");
        assert_eq!(world.take_sent()[0].body()["dnaId"], Value::Null);
    }
}

#[test]
fn a_query_sends_the_given_fields_and_no_others() {
    let world = World::new();
    world.always(Reply::ok(json!([])));
    let everything = EntryQuery {
        service: Some("s"),
        action: Some("a"),
        user_id: Some("u"),
        start: Some("1"),
        end: Some("2"),
        words: Some("w"),
        limit: Some(3),
    };
    for query in [everything, EntryQuery::default()] {
        world.ask(async |session| session.chronicle().query(&query).await.unwrap());
    }
    world.always(Reply::ok(json!({"results": []})));
    world.ask(async |session| session.canon().search("a&b=c", None).await.unwrap());
    assert_eq!(
        world.take_lines(),
        [
            "GET chronicle/api/entries?service=s&action=a&userId=u&startDate=1&endDate=2&query=w&limit=3",
            "GET chronicle/api/entries",
            "GET canon/canon/search?q=a%26b%3Dc",
        ]
    );
}

#[test]
fn a_registration_is_confirmed_by_success_or_an_id() {
    for (answer, sound) in [
        (json!({"success": true}), true),
        (json!({"chittyId": ID}), true),
        (json!({"data": {"chittyid": ID}}), true),
        (json!({"success": 1}), false),
    ] {
        let world = World::new();
        world.always(Reply::ok(answer.clone()));
        let result = run((call_named("register.register").make)(world.session()));
        assert_eq!(result.is_ok(), sound, "{answer}");
    }
}
