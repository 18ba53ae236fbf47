//! Tokens: renewed through ChittyAuth before they expire, by one caller at a time.

use std::cell::Cell;

use chitty_core::{Service, ServiceToken};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::world::{NO_BREAKER, Reply, START_MS, SentRequest, World, run};

const MINUTE_MS: u64 = 60_000;
const REFRESH: &str = "POST auth/v1/tokens/refresh";

/// Makes a world in which Canon's token expires in ten minutes.
fn world() -> World {
    World::with(|config| {
        config.breaker = NO_BREAKER;
        config.tokens.insert(Service::Canon, token("old", Some(10)));
    })
}

fn token(secret: &str, ends_in_minutes: Option<u64>) -> ServiceToken {
    let expires_at_ms = ends_in_minutes.map(|minutes| START_MS + minutes * MINUTE_MS);
    ServiceToken { secret: secret.to_owned(), expires_at_ms }
}

/// Makes ChittyAuth answer with `reply`, and every other service work.
fn refresh_meets(world: &World, reply: Reply) {
    world.script(move |sent| match sent.request.service {
        Service::Auth => reply.clone(),
        _ => Reply::ok(json!({"data": 1})),
    });
}

fn fresh(secret: &str, expires_at: &str) -> Reply {
    Reply::ok(json!({"token": secret, "expiresAt": expires_at}))
}

fn ask(world: &World) -> Value {
    world.ask(async |session| session.canon().category("c").await.unwrap())
}

/// Returns the line of each request, with the token that it carried.
fn carried(world: &World) -> Vec<(String, String)> {
    let bearer = |sent: &SentRequest| sent.header("authorization").unwrap_or("nothing").to_owned();
    let short = |text: String| text.strip_prefix("Bearer ").map_or(text.clone(), str::to_owned);
    world.take_sent().iter().map(|sent| (sent.line(), short(bearer(sent)))).collect()
}

fn canon(token: &str) -> (String, String) {
    ("GET canon/canon/c".to_owned(), token.to_owned())
}

fn refresh(token: &str) -> (String, String) {
    (REFRESH.to_owned(), token.to_owned())
}

#[test]
fn a_token_is_renewed_five_minutes_before_it_expires_and_the_call_carries_the_new_one() {
    let world = world();
    // The new token expires an hour after the start.
    refresh_meets(&world, fresh("new", "2026-01-02T04:04:05.000Z"));
    world.clock.advance_ms(5 * MINUTE_MS - 1);
    ask(&world);
    assert_eq!(carried(&world), [canon("old")]);

    world.clock.advance_ms(1);
    ask(&world);
    let sent = world.take_sent();
    assert_eq!(sent[0].line(), REFRESH);
    assert_eq!(sent[0].body(), json!({"token": "old"}));
    assert_eq!(sent[1].header("authorization"), Some("Bearer new"));

    world.clock.advance_ms(50 * MINUTE_MS - 1);
    ask(&world);
    assert_eq!(carried(&world), [canon("new")], "until five minutes before the new one's end");
    refresh_meets(&world, fresh("newer", "2026-01-02T05:04:05.000Z"));
    world.clock.advance_ms(1);
    ask(&world);
    assert_eq!(carried(&world), [refresh("nothing"), canon("newer")]);
}

#[test]
fn of_many_calls_at_once_one_renews_and_the_others_use_the_old_token() {
    let world = world();
    refresh_meets(&world, fresh("new", "2026-01-02T04:04:05.000Z"));
    world.clock.advance_ms(6 * MINUTE_MS);
    run(async {
        let sessions: Vec<_> = (0..5).map(|_| world.session()).collect();
        let calls = sessions.iter().map(|session| async move {
            session.canon().category("c").await.unwrap();
        });
        join_all(calls).await;
    });
    let mut carried = carried(&world);
    carried.sort();
    let mut expected = vec![canon("new")];
    expected.extend(vec![canon("old"); 4]);
    expected.push(refresh("nothing"));
    assert_eq!(carried, expected);
}

#[test]
fn a_renewal_that_fails_leaves_the_old_token_and_is_tried_again_in_half_a_minute() {
    for failure in [
        Reply::unreachable(),
        Reply::status(500),
        Reply::status(401),
        Reply::text(200, "<html>"),
        Reply::ok(json!({})),
        Reply::ok(json!({"token": ""})),
        Reply::ok(json!({"success": false, "token": "new"})),
    ] {
        let world = world();
        refresh_meets(&world, failure.clone());
        world.clock.advance_ms(6 * MINUTE_MS);
        ask(&world);
        assert_eq!(carried(&world), [refresh("nothing"), canon("old")], "{failure:?}");
        world.clock.advance_ms(29_999);
        ask(&world);
        assert_eq!(carried(&world), [canon("old")]);
        refresh_meets(&world, fresh("new", "2026-01-02T04:04:05.000Z"));
        world.clock.advance_ms(1);
        ask(&world);
        assert_eq!(carried(&world), [refresh("nothing"), canon("new")]);
    }
}

#[test]
fn a_renewal_that_may_have_taken_place_is_not_repeated() {
    let world = world();
    world.clock.advance_ms(6 * MINUTE_MS);
    refresh_meets(&world, Reply::status(502));
    ask(&world);
    assert_eq!(carried(&world), [refresh("nothing"), canon("old")]);
}

#[test]
fn a_token_that_never_expires_is_never_renewed() {
    for (first, answer) in
        [(token("old", None), None), (token("old", Some(0)), Some(json!({"token": "new"})))]
    {
        let world = World::with(|config| {
            config.tokens.insert(Service::Canon, first);
        });
        refresh_meets(&world, Reply::ok(answer.clone().unwrap_or_default()));
        ask(&world);
        world.clock.advance_ms(100_000 * MINUTE_MS);
        world.take_sent();
        ask(&world);
        let expected = if answer.is_some() { "new" } else { "old" };
        assert_eq!(carried(&world), [canon(expected)]);
    }
}

#[test]
fn chittyauths_own_token_is_renewed_first_and_only_once() {
    let world = World::with(|config| {
        config.tokens.insert(Service::Canon, token("old", Some(1)));
        config.tokens.insert(Service::Auth, token("auth-old", Some(1)));
    });
    let made = Cell::new(0);
    world.script(move |sent| match sent.request.service {
        Service::Auth => {
            made.set(made.get() + 1);
            Reply::ok(json!({"token": format!("new-{}", made.get())}))
        }
        _ => Reply::ok(json!({"data": 1})),
    });
    ask(&world);
    assert_eq!(carried(&world), [refresh("auth-old"), refresh("new-1"), canon("new-2")]);
}

#[test]
fn each_service_gets_only_its_own_token() {
    let world = World::with(|config| {
        config.tokens.insert(Service::Canon, "c".to_owned().into());
        config.tokens.insert(Service::Chat, "h".to_owned().into());
    });
    world.always(Reply::ok(json!({"data": 1})));
    ask(&world);
    world.ask(async |session| session.chat().send_message("i", "c", None).await.unwrap());
    world.ask(async |session| session.beacon().send("e", json!({}), None).await.unwrap());
    let carried: Vec<String> = carried(&world).into_iter().map(|(_, token)| token).collect();
    assert_eq!(carried, ["c", "h", "nothing"]);
}

fn with_token() -> World {
    World::with(|config| {
        let token = ServiceToken { secret: "old".into(), expires_at_ms: Some(START_MS + 60_000) };
        config.tokens.insert(Service::Register, token);
    })
}

#[test]
fn a_renewal_that_hangs_leaves_the_call_time_for_the_old_token() {
    let world = with_token();
    world.script(|sent| match sent.request.service {
        Service::Auth => Reply::hang(),
        _ => Reply::ok(json!({})).after(20),
    });
    let r = world.ask(async |s| s.register().status().await);
    assert!(r.is_ok());
}

#[test]
fn a_health_check_with_a_renewal_takes_no_longer_than_it_may() {
    let world = with_token();
    world.script(|sent| match sent.request.service {
        Service::Auth => Reply::hang(),
        _ => Reply::ok(json!({})),
    });
    let report = world.ask(async |s| s.health(Service::Register, 1_000).await);
    assert_eq!(report.error, None);
    assert!(world.elapsed_ms() <= 1_000, "{}", world.elapsed_ms());
}

#[test]
fn a_refusal_of_the_programs_own_token_is_no_verdict_on_the_callers() {
    let world = World::with(|c| {
        c.tokens.insert(Service::Auth, "stale".to_owned().into());
    });
    world.script(|sent| match sent.header("authorization") {
        Some("Bearer stale") => Reply::answer(401, json!({"error": "service token expired"})),
        _ => panic!(),
    });
    let r = world.ask(async |s| s.auth().validate("good").await);
    assert!(r.is_err(), "{r:?}");
}
