//! Variants of a call: the next is tried only after 404 and 405, and the variant that the service
//! understands is remembered for five minutes.

use chitty_core::FailureKind;
use serde_json::json;

use crate::world::{Call, Reply, World, all_calls, call_named, comparable, run};

const REMEMBERED_MS: u64 = 300_000;

/// Makes the services understand only the calls to `path`.
fn understand_only(world: &World, path: &'static str) {
    world.script(move |sent| match sent.target() == path {
        true => Reply::ok(json!({"keys": [], "dna_id": "d"})),
        false => Reply::status(404),
    });
}

fn jwks(world: &World) -> Vec<String> {
    world.ask(async |session| session.auth().jwks().await.unwrap());
    world.take_lines()
}

const FIRST: &str = "GET auth/.well-known/jwks.json";
const SECOND: &str = "GET auth/v1/oauth/jwks";

#[test]
fn the_next_variant_is_tried_only_after_404_and_405() {
    let several = |call: &Call| call.spellings.len() > 1;
    for call in all_calls().into_iter().filter(several) {
        for (first, goes_on) in [
            (Reply::status(404), true),
            (Reply::status(405), true),
            (Reply::status(400), false),
            (Reply::status(401), false),
            (Reply::status(403), false),
            (Reply::status(409), false),
            (Reply::status(410), false),
            (Reply::status(422), false),
            (Reply::status(429), false),
            (Reply::status(500), false),
            (Reply::status(501), false),
            (Reply::status(503), false),
            (Reply::status(302), false),
            (Reply::text(200, "<html>"), false),
            (Reply::ok(json!({"success": false})), false),
            (Reply::hang(), false),
            (Reply::unreachable(), false),
            (Reply::too_large(), false),
        ] {
            let world = World::new();
            let (reply, good) = (first.clone(), call.good.clone());
            let primary = call.spellings[0];
            world.script(move |sent| match sent.line() == primary {
                true => reply.clone(),
                false => Reply::ok(good.clone()),
            });
            let result = comparable(run((call.make)(world.session())));
            let went_on = world.take_lines().iter().any(|line| line == call.spellings[1]);
            assert_eq!(went_on, goes_on, "{} {first:?}", call.name);
            if goes_on {
                assert_eq!(result.as_deref(), Ok(call.yields), "{}", call.name);
            }
        }
    }
}

#[test]
fn the_variant_that_is_understood_is_tried_first_for_five_minutes() {
    let world = World::new();
    understand_only(&world, "/v1/oauth/jwks");
    assert_eq!(jwks(&world), [FIRST, SECOND]);
    world.clock.advance_ms(REMEMBERED_MS - 1);
    assert_eq!(jwks(&world), [SECOND], "remembered");
    world.clock.advance_ms(1);
    assert_eq!(jwks(&world), [FIRST, SECOND], "its use does not prolong that");
    assert_eq!(jwks(&world), [SECOND]);
}

#[test]
fn the_first_variant_is_tried_at_once_if_the_remembered_one_is_gone() {
    let world = World::new();
    understand_only(&world, "/v1/oauth/jwks");
    jwks(&world);
    understand_only(&world, "/.well-known/jwks.json");
    assert_eq!(jwks(&world), [SECOND, FIRST]);
    assert_eq!(jwks(&world), [FIRST]);
}

#[test]
fn a_refusal_by_the_remembered_variant_does_not_lead_to_another() {
    let world = World::new();
    understand_only(&world, "/v1/oauth/jwks");
    jwks(&world);
    world.always(Reply::status(400));
    let result = world.ask(async |session| session.auth().jwks().await);
    assert_eq!(result.unwrap_err().kind, FailureKind::Refused);
    assert_eq!(world.take_lines(), [SECOND]);
}

#[test]
fn a_variant_that_failed_is_not_remembered() {
    let world = World::new();
    world.script(|sent| match sent.line().as_str() {
        FIRST => Reply::status(404),
        _ => Reply::status(400),
    });
    for _ in 0..2 {
        world.ask(async |session| session.auth().jwks().await.unwrap_err());
        assert_eq!(world.take_lines(), [FIRST, SECOND]);
    }
}

#[test]
fn each_call_remembers_its_own_variant() {
    let world = World::new();
    world.script(|sent| match sent.line().as_str() {
        "POST dna/v1/dna/initialize" | "POST dna/v1/dna/evolve" => Reply::status(404),
        _ => Reply::ok(json!({"dna_id": "d"})),
    });
    let initialize = call_named("dna.initialize");
    let evolve = call_named("dna.evolve");
    for (call, expected) in [
        (&initialize, &initialize.spellings[..2]),
        (&initialize, &initialize.spellings[1..2]),
        (&evolve, &evolve.spellings[..2]),
        (&evolve, &evolve.spellings[1..2]),
    ] {
        run((call.make)(world.session())).unwrap();
        assert_eq!(world.take_lines(), expected, "{}", call.name);
    }
}

#[test]
fn if_no_variant_is_understood_the_error_is_that_of_the_first() {
    let world = World::new();
    world.in_turn([Reply::status(405), Reply::status(404)]);
    let error = world.ask(async |session| session.auth().jwks().await.unwrap_err());
    assert_eq!((error.kind, error.status), (FailureKind::Denied, Some(405)));
}
