//! What an answer means: which failure it is, whether trying later makes sense, and whether the call may
//! have had its effect.

use chitty_core::{FailureKind, Service, ServiceError};
use serde_json::json;

use crate::world::{Reply, World, all_calls, call_named, run};

/// Makes a call that accepts any JSON as an answer and is sent only once.
fn say(world: &World) -> Result<(), ServiceError> {
    world.ask(async |session| session.chat().send_message("c", "x", None).await)
}

/// A failure's kind, its stable name, whether a later repeat makes sense, and whether the call may
/// have had its effect.
type Verdict = (FailureKind, &'static str, bool, bool);

const TIMEOUT: Verdict = (FailureKind::Timeout, "timeout", true, true);
const UNREACHABLE: Verdict = (FailureKind::Unreachable, "unreachable", true, true);
const UNAVAILABLE: Verdict = (FailureKind::Unavailable, "unavailable", true, true);
const TURNED_AWAY: Verdict = (FailureKind::Unavailable, "unavailable", true, false);
const DENIED: Verdict = (FailureKind::Denied, "denied", true, false);
const REFUSED: Verdict = (FailureKind::Refused, "refused", false, false);
const MALFORMED: Verdict = (FailureKind::Malformed, "malformed", true, true);

#[test]
fn each_bad_answer_is_the_right_failure() {
    for (reply, verdict, status) in [
        (Reply::hang(), TIMEOUT, None),
        (Reply::unreachable(), UNREACHABLE, None),
        (Reply::too_large(), MALFORMED, None),
        (Reply::status(500), UNAVAILABLE, Some(500)),
        (Reply::status(502), UNAVAILABLE, Some(502)),
        (Reply::status(503), UNAVAILABLE, Some(503)),
        (Reply::busy(503, "7"), TURNED_AWAY, Some(503)),
        (Reply::status(599), UNAVAILABLE, Some(599)),
        (Reply::status(429), TURNED_AWAY, Some(429)),
        (Reply::status(408), UNAVAILABLE, Some(408)),
        (Reply::status(425), UNAVAILABLE, Some(425)),
        (Reply::busy(429, "7"), TURNED_AWAY, Some(429)),
        (Reply::busy(500, "7"), UNAVAILABLE, Some(500)),
        (Reply::status(400), REFUSED, Some(400)),
        (Reply::status(409), REFUSED, Some(409)),
        (Reply::status(413), REFUSED, Some(413)),
        (Reply::status(422), REFUSED, Some(422)),
        (Reply::status(401), DENIED, Some(401)),
        (Reply::status(403), DENIED, Some(403)),
        (Reply::status(404), DENIED, Some(404)),
        (Reply::status(405), DENIED, Some(405)),
        (Reply::status(499), DENIED, Some(499)),
        (Reply::text(400, "<html>"), REFUSED, Some(400)),
        (Reply::status(302), MALFORMED, Some(302)),
        (Reply::status(304), MALFORMED, Some(304)),
        (Reply::status(101), MALFORMED, Some(101)),
        (Reply::status(600), MALFORMED, Some(600)),
        (Reply::text(200, ""), MALFORMED, Some(200)),
        (Reply::text(200, "<html></html>"), MALFORMED, Some(200)),
        (Reply::text(200, "{\"success\": true"), MALFORMED, Some(200)),
        (Reply::text(200, "{} {}"), MALFORMED, Some(200)),
        (Reply::text(202, ""), MALFORMED, Some(202)),
        (Reply::ok(json!({"success": false})), MALFORMED, Some(200)),
        (Reply::answer(201, json!({"success": false, "id": 1})), MALFORMED, Some(201)),
        (Reply::ok(json!({"error": "database"})), MALFORMED, Some(200)),
        (Reply::ok(json!({"error": {"code": 1}})), MALFORMED, Some(200)),
        (Reply::ok(json!({"success": null, "error": ""})), MALFORMED, Some(200)),
    ] {
        let world = World::new();
        world.always(reply.clone());
        let error = say(&world).unwrap_err();
        let found =
            (error.kind, error.code(), error.is_retryable(), error.may_have_had_its_effect());
        assert_eq!(found, verdict, "{reply:?}");
        assert_eq!((error.service, error.status), (Service::Chat, status), "{reply:?}");
    }
}

#[test]
fn each_good_answer_is_a_success() {
    for reply in [
        Reply::text(204, ""),
        Reply::text(204, "whatever"),
        Reply::status(200),
        Reply::status(201),
        Reply::status(299),
        Reply::text(200, "null"),
        Reply::text(200, " [] "),
        Reply::ok(json!({"success": true, "error": "a warning"})),
        Reply::ok(json!({"success": true, "error": null})),
        Reply::ok(json!({"error": null})),
        Reply::ok(json!({"success": "false"})),
    ] {
        let world = World::new();
        world.always(reply.clone());
        assert!(say(&world).is_ok(), "{reply:?}");
    }
}

#[test]
fn an_empty_answer_is_malformed_if_the_call_needs_a_result() {
    for call in all_calls().into_iter().filter(|call| !call.not_answers.is_empty()) {
        let world = World::new();
        world.always(Reply::text(204, ""));
        let error = run((call.make)(world.session())).unwrap_err();
        assert_eq!(error.kind, FailureKind::Malformed, "{}", call.name);
    }
}

#[test]
fn every_call_fails_on_a_bad_answer() {
    for call in all_calls() {
        for reply in [
            Reply::text(200, "<html></html>"),
            Reply::text(200, ""),
            Reply::ok(json!({"success": false})),
            Reply::ok(json!({"error": "database"})),
            Reply::status(302),
            Reply::status(400),
            Reply::status(500),
            Reply::hang(),
            Reply::unreachable(),
            Reply::too_large(),
        ] {
            let world = World::new();
            world.always(reply.clone());
            let result = run((call.make)(world.session()));
            let error = result.expect_err(call.name);
            assert_eq!(error.service.host(), host(call.spellings[0]), "{} {reply:?}", call.name);
        }
    }
}

fn host(line: &str) -> &str {
    line.split([' ', '/']).nth(1).unwrap()
}

#[test]
fn retry_after_reaches_the_caller() {
    for (text, expected) in [("7", Some(7)), ("soon", None), ("", None), ("1.5", None)] {
        let world = World::new();
        world.always(Reply::busy(503, text));
        assert_eq!(say(&world).unwrap_err().retry_after_s, expected, "{text}");
    }
}

#[test]
fn an_error_shows_no_text_of_the_request_or_the_answer() {
    for reply in [
        Reply::text(200, "s3cret"),
        Reply::answer(400, json!({"message": "s3cret"})),
        Reply::answer(500, json!({"error": "s3cret"})),
        Reply::ok(json!({"success": false, "error": "s3cret"})),
        Reply::hang(),
    ] {
        let world = World::with(|config| {
            config.tokens.insert(Service::Auth, "s3cret".to_owned().into());
        });
        world.always(reply.clone());
        let error = run((call_named("auth.validate").make)(world.session())).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{reply:?}: {error:?}");
        assert!(error.to_string().starts_with("chittyauth: "), "{error}");
    }
}

#[test]
fn a_fallback_answer_with_success_false_is_unavailable() {
    let world = World::new();
    world.always(Reply::ok(json!({"success": false, "fallback": true, "errorCode": "0001"})));
    let e = run((call_named("id.mint").make)(world.session())).unwrap_err();
    assert_eq!(e.kind, FailureKind::Unavailable);
}
