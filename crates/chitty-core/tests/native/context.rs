//! The context that every call of a session carries, and the other headers.

use chitty_core::{CallContext, Service, ServiceToken};
use serde_json::json;

use crate::world::{Reply, START_MS, World, all_calls, run};

const CONTEXT: [(&str, &str); 4] = [
    ("x-request-id", "request-1"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("tracestate", "a=1"),
    ("x-session-id", "session-1"),
];

fn context() -> CallContext {
    let [request_id, traceparent, tracestate, session_id] =
        CONTEXT.map(|(_, value)| Some(value.to_owned()));
    CallContext { request_id, traceparent, tracestate, session_id }
}

#[test]
fn only_the_requests_of_a_session_carry_its_context() {
    for call in all_calls() {
        let world = World::new();
        // With 404 every variant is tried.
        world.always(Reply::status(404));
        let session = world.core.session(context());
        assert_eq!(session.context(), &context());
        let _ = run((call.make)(session));
        let _ = run((call.make)(world.session()));
        let sent = world.take_sent();
        let each = call.lines_when_nowhere().len();
        assert_eq!(sent.len(), 2 * each);
        let (with, without) = sent.split_at(each);
        for (name, value) in CONTEXT {
            assert!(with.iter().all(|sent| sent.header(name) == Some(value)), "{}", call.name);
            assert!(without.iter().all(|sent| sent.header(name).is_none()), "{}", call.name);
        }
    }
}

#[test]
fn health_checks_renewals_and_repeats_carry_it_too() {
    let world = World::with(|config| {
        let expires_at_ms = Some(START_MS);
        let token = ServiceToken { secret: "old".to_owned(), expires_at_ms };
        config.tokens.insert(Service::Register, token);
    });
    let session = world.core.session(context());
    world.in_turn([
        Reply::ok(json!({"token": "new"})),
        Reply::unreachable(),
        Reply::ok(json!({})),
        Reply::ok(json!({})),
    ]);
    run(session.register().status()).unwrap();
    run(session.health(Service::Id, 1_000));
    let sent = world.take_sent();
    let lines: Vec<String> = sent.iter().map(|sent| sent.line()).collect();
    assert_eq!(
        lines,
        [
            "POST auth/v1/tokens/refresh",
            "GET register/api/v1/status",
            "GET register/api/v1/status",
            "GET id/health",
        ]
    );
    for (name, value) in CONTEXT {
        assert!(sent.iter().all(|sent| sent.header(name) == Some(value)), "{name}");
    }
}

#[test]
fn parts_of_it_may_be_left_out() {
    let world = World::new();
    world.always(Reply::ok(json!({})));
    let cx = CallContext { session_id: Some("s".to_owned()), ..CallContext::default() };
    run(world.core.session(cx).register().status()).unwrap();
    let [sent] = world.take_sent().try_into().unwrap();
    let found = CONTEXT.map(|(name, _)| sent.header(name));
    assert_eq!(found, [None, None, None, Some("s")]);
}

#[test]
fn every_request_names_its_user_agent_and_its_content_types() {
    for call in all_calls() {
        let world = World::new();
        world.always(Reply::status(404));
        let _ = run((call.make)(world.session()));
        for sent in world.take_sent() {
            assert_eq!(sent.header("accept"), Some("application/json"));
            assert_eq!(sent.header("user-agent"), Some("Tests/1.0"));
            let expected = sent.request.body.as_ref().map(|_| "application/json");
            assert_eq!(sent.header("content-type"), expected, "{}", sent.line());
        }
    }
}

#[test]
fn only_calls_that_take_an_idempotency_key_send_one() {
    for call in all_calls() {
        let world = World::new();
        world.always(Reply::status(404));
        let _ = run((call.make)(world.session()));
        let expected = call.keyed.then_some("key-1");
        for sent in world.take_sent() {
            assert_eq!(sent.header("idempotency-key"), expected, "{}", sent.line());
        }
    }
}
