//! Whether the record has an entry, which a caller asks before it repeats an append, and which failure an
//! outage is that answers.

use chitty_core::{BreakerState, Entry, FailureKind, Service, ServiceError};
use serde_json::{Value, json};

use crate::world::{Reply, World, all_calls, call_named, run};

const SINCE: &str = "2026-01-01T00:00:00.000Z";

fn has(world: &World) -> Result<bool, ServiceError> {
    let payload = json!({});
    let entry = Entry {
        action: "context.updated",
        actor: "CHITTY-PEO-0001",
        entity_id: "CHITTY-CONTEXT-0001",
        entity_type: "context",
        event_id: "evt_1",
        timestamp: "2026-01-01T00:05:00.000Z",
        payload: &payload,
        is_replayed: false,
    };
    world.ask(async |session| session.chronicle().has(&entry, SINCE).await)
}

fn entry(event_id: &str) -> Value {
    json!({"action": "context.updated", "metadata": {"eventId": event_id}})
}

const BY_EVENT: &str = "GET chronicle/api/entries?service=chittyconnect\
    &action=context%2Eupdated&query=evt%5F1&limit=5";
const BY_FIELDS: &str = "GET chronicle/api/entries?service=chittyconnect\
    &action=context%2Eupdated&userId=CHITTY-PEO-0001\
    &startDate=2026-01-01T00%3A00%3A00%2E000Z&limit=100";

#[test]
fn an_entry_is_asked_for_by_its_event() {
    for (answer, expected) in [
        (json!([]), false),
        (json!([entry("evt_1")]), true),
        (json!({"events": [entry("evt_1")]}), true),
        // An entry that only mentions the event is not the event's own.
        (json!([{"metadata": {"eventId": "evt_2", "payload": {"about": "evt_1"}}}]), false),
    ] {
        let world = World::new();
        world.always(Reply::ok(answer.clone()));
        assert_eq!(has(&world).unwrap(), expected, "{answer}");
        let lines: Vec<String> =
            world.take_lines().iter().map(|line| line.replace("evt_1", "evt%5F1")).collect();
        assert_eq!(lines, [BY_EVENT], "{answer}");
    }
}

#[test]
fn if_the_words_are_ignored_at_most_a_hundred_entries_of_its_kind_are_looked_through() {
    let others = |count: usize| vec![entry("evt_other"); count];
    for (second, expected) in [
        (json!(others(99)), Some(false)),
        (json!([others(50), vec![entry("evt_1")]].concat()), Some(true)),
        (json!(others(100)), None),
    ] {
        let world = World::new();
        world.in_turn([Reply::ok(json!(others(5))), Reply::ok(second)]);
        assert_eq!(has(&world).ok(), expected);
        let lines: Vec<String> =
            world.take_lines().iter().map(|line| line.replace("evt_1", "evt%5F1")).collect();
        assert_eq!(lines, [BY_EVENT, BY_FIELDS]);
    }
}

#[test]
fn a_question_without_an_answer_is_an_error() {
    for reply in [
        Reply::hang(),
        Reply::too_large(),
        Reply::text(200, "<html>"),
        Reply::ok(json!({"entries": 7})),
        Reply::status(401),
        Reply::status(404),
        Reply::status(500),
    ] {
        let world = World::new();
        world.always(reply.clone());
        assert!(has(&world).unwrap_err().is_retryable(), "{reply:?}");
    }
    let world = World::new();
    world.always(Reply::status(422));
    assert!(!has(&world).unwrap_err().is_retryable());
}

#[test]
fn a_4xx_that_does_not_answer_the_call_is_an_outage() {
    for call in all_calls() {
        for status in [401, 403, 405, 407, 451] {
            let world = World::new();
            world.always(Reply::status(status));
            let Err(error) = run((call.make)(world.session())) else { continue };
            let is_answer = matches!(
                (call.name, status),
                ("auth.provision_token" | "auth.provision_key" | "auth.rotate_key", 403)
                    | ("auth.refresh_token", 401 | 403)
            );
            let expected = if is_answer { FailureKind::Refused } else { FailureKind::Denied };
            assert_eq!(error.kind, expected, "{} {status}", call.name);
            assert_eq!(error.is_retryable(), !is_answer);
            assert!(!error.may_have_had_its_effect());
        }
    }
}

#[test]
fn a_404_that_is_an_answer_or_leads_to_another_variant_does_not_open_the_breaker() {
    for name in ["id.info", "registry.one", "certify.revoke", "register.set_status"] {
        let world = World::new();
        world.always(Reply::status(404));
        for _ in 0..30 {
            run((call_named(name).make)(world.session())).unwrap();
        }
        for service in [Service::Id, Service::Registry, Service::Certify, Service::Register] {
            assert_eq!(world.core.breaker(service), BreakerState::Closed, "{name}");
        }
    }
    let world = World::new();
    world.script(|sent| match sent.line().as_str() {
        "POST dna/v1/dna/evolve" => Reply::status(404),
        _ => Reply::ok(json!({"success": true})),
    });
    for _ in 0..30 {
        run((call_named("dna.evolve").make)(world.session())).unwrap();
        // So that the next call tries the first variant again.
        world.clock.advance_ms(300_001);
    }
    assert_eq!(world.core.breaker(Service::Dna), BreakerState::Closed);
}

#[test]
fn the_bad_tokens_of_callers_do_not_open_chittyauths_breaker() {
    let world = World::with(|config| {
        config.tokens.insert(Service::Auth, "own".to_owned().into());
    });
    world.always(Reply::status(401));
    for _ in 0..30 {
        run((call_named("auth.validate").make)(world.session())).unwrap_err();
    }
    assert_eq!(world.core.breaker(Service::Auth), BreakerState::Closed);
}

#[test]
fn a_fallback_answer_says_whether_it_may_have_minted() {
    for (code, may_have) in
        [("0001", false), ("0002", true), ("0003", false), ("0007", false), ("0099", true)]
    {
        let world = World::new();
        world.always(Reply::ok(json!({"success": true, "fallback": true, "errorCode": code})));
        let error = run((call_named("id.mint").make)(world.session())).unwrap_err();
        assert_eq!(error.kind, FailureKind::Unavailable);
        assert_eq!(error.may_have_had_its_effect(), may_have, "{code}");
    }
}
