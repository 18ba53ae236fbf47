//! What a saga does about an attempt whose answer was lost.

use std::cell::Cell;

use async_trait::async_trait;
use chitty_core::{Journal, Saga, SagaStatus, USER_REGISTRATION};
use serde_json::json;

use crate::world::*;

struct Nowhere;
#[async_trait(?Send)]
impl Journal for Nowhere {
    async fn save(&self, _: &Saga) -> Result<(), String> {
        Ok(())
    }
}

#[test]
fn a_registration_in_doubt_is_undone() {
    let world = World::new();
    let n = Cell::new(0);
    world.script(move |sent| match sent.line().as_str() {
        "POST id/v1/mint" => Reply::ok(json!({"chittyId": ID})),
        "POST auth/v1/tokens/provision" => Reply::ok(json!({"token": "t", "tokenId": "i"})),
        // The first attempt is done, but its answer is lost; after that the service is too busy.
        "POST register/api/v1/register" => {
            n.set(n.get() + 1);
            if n.get() == 1 { Reply::hang() } else { Reply::busy(503, "60") }
        }
        _ => Reply::ok(json!({"success": true})),
    });
    let mut saga = Saga::new(&USER_REGISTRATION, "s".into(), json!({"email": "a@b.c"}), "t".into());
    let session = world.session();
    for _ in 0..10 {
        let _ = run(session.advance(&USER_REGISTRATION, &mut saga, &Nowhere));
        world.clock.advance_ms(60_000);
    }
    assert_eq!(saga.status, SagaStatus::Compensated);
    let lines = world.take_lines();
    assert!(lines.iter().any(|line| line.starts_with("PATCH register/")), "{lines:#?}");
}
