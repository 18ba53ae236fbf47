//! What keeps calls to other services dependable: retries where they are safe, breakers, bounds.

use std::cell::Cell;

use serde_json::json;

use crate::world::{Behaviour, World, run};

#[test]
fn a_hiccup_of_chittyauth_is_not_seen_by_the_caller() {
    let (world, gateway) = World::warm();
    for hiccup in [Behaviour::Unreachable, Behaviour::Busy(503, 0), Behaviour::Busy(429, 1)] {
        let calls = Cell::new(0);
        world.services.script("auth", move || {
            calls.set(calls.get() + 1);
            if calls.get() < 3 { hiccup.clone() } else { Behaviour::Work }
        });
        world.services.reset_calls();
        let token = format!("dev-{}", world.clock_ms());
        assert_eq!(run(gateway.get("/v1/contexts", Some(&token))).status, 200);
        assert_eq!(world.services.calls("auth").len(), 3);
    }
}

#[test]
fn minting_is_tried_twice_only_where_it_was_turned_away() {
    let (world, gateway) = World::warm();
    let calls = Cell::new(0);
    world.services.script("id", move || {
        calls.set(calls.get() + 1);
        if calls.get() < 2 { Behaviour::Busy(503, 1) } else { Behaviour::Work }
    });
    run(gateway.create("dev-a", &json!({"name": "turned away"})));
    assert_eq!(world.services.calls("id").len(), 2);
    for failure in
        [Behaviour::Unreachable, Behaviour::Hang, Behaviour::Answer(503, "{}".to_owned())]
    {
        world.services.set("id", failure);
        world.services.reset_calls();
        let answer = run(gateway.post("/v1/contexts", "dev-a", &json!({"name": "n"})));
        assert_eq!(answer.code(), "identity_authority_unavailable");
        assert_eq!(world.services.calls("id").len(), 1);
    }
}

#[test]
fn a_service_that_keeps_failing_is_left_alone_and_found_again() {
    let (world, gateway) = World::warm();
    world.services.set("id", Behaviour::Hang);
    // Past the window in which the registration minted.
    world.advance_ms(20_000);
    run(async {
        let create = |n: u32| {
            let (gateway, name) = (gateway.clone(), format!("n{n}"));
            async move { gateway.post("/v1/contexts", "dev-a", &json!({ "name": name })).await }
        };
        for n in 0..30 {
            let answer = create(n).await;
            assert_eq!(answer.code(), "identity_authority_unavailable");
            assert_eq!(answer.json["service"], "chittyid");
        }
        assert_eq!(world.services.calls("id").len(), 10, "then nobody waits for it");
        let told = create(30).await;
        assert_eq!(told.headers["retry-after"], "2");
        // One service's trouble is no other's.
        assert_eq!(gateway.get("/v1/contexts", Some("dev-new")).await.status, 200);

        world.services.set("id", Behaviour::Work);
        world.advance_ms(2_000);
        assert_eq!(create(31).await.status, 201);
        assert_eq!(create(32).await.status, 201);
    });
}

#[test]
fn refusals_open_no_breaker() {
    let (world, gateway) = World::warm();
    run(async {
        for n in 0..50 {
            let answer = gateway.get("/v1/contexts", Some(&format!("nobody-{n}"))).await;
            assert_eq!(answer.status, 401);
        }
        assert_eq!(gateway.get("/v1/contexts", Some("dev-a")).await.status, 200);
        world.services.set("id", Behaviour::Answer(400, "{}".to_owned()));
        for n in 0..50 {
            gateway.post("/v1/contexts", "dev-a", &json!({"name": format!("n{n}")})).await;
        }
        assert_eq!(world.services.calls("id").len(), 50);
    });
}

#[test]
fn failures_at_random_make_no_retry_storm() {
    let (world, gateway) = World::warm();
    // Three in ten answers fail, by a plain linear congruential sequence.
    let seed = Cell::new(1u32);
    world.services.script("auth", move || {
        seed.set(seed.get().wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
        if (seed.get() >> 16) % 10 < 3 { Behaviour::Unreachable } else { Behaviour::Work }
    });
    run(async {
        let mut served = 0;
        for n in 0..1000 {
            // A token of its own each, so that each asks ChittyAuth.
            let answer = gateway.get("/v1/contexts", Some(&format!("dev-{n}"))).await;
            assert!(matches!(answer.status, 200 | 503), "{answer:?}");
            served += usize::from(answer.status == 200);
            world.advance_ms(20);
        }
        let calls = world.services.calls("auth").len();
        assert!(calls < 1300, "{calls} calls");
        assert!(served > 850, "{served} served");
    });
}
