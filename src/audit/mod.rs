//! The audit: who did what to which entity, by which credential and with which outcome, and the seals,
//! which show whether an entry was altered since it was written.
//!
//! A trigger of the database writes the entry of an event in the event's transaction (see
//! `migrations/0011…` and `0020…`); [`record`] writes the entries that have no event. D1 has no hash
//! function, and a hash chain in the request path would make all writers wait for each other, so [`seal`]
//! adds the hashes soon after, in the background. [`archive`] moves old, sealed entries out of the
//! database; [`verify`] compares entries with their seals in both places.

pub mod archive;
pub mod chain;
pub mod handlers;
pub mod seal;
pub mod settings;
pub mod verify;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod views;

use seams::db::{Params, Statement};

use crate::store::event::Event;

/// The outcome of an entry that is written before its outcome is known: the action has begun. It is a value
/// of the member `outcome` in an event's payload.
pub const BEGUN: &str = "begun";

/// Inserts an entry about a connection that has no event in the outbox, if an SQL condition holds, whose
/// placeholders are in `params`.
pub fn record(event: &Event, mut params: Params, condition: &str) -> Statement {
    let outcome = event.payload.get("outcome").and_then(serde_json::Value::as_str);
    let entity = params.add(event.entity_id.as_str());
    let values = [
        params.add(event.id.as_str()),
        params.add(event.at.as_str()),
        params.add(event.actor_id.as_str()),
        params.add(event.via.as_deref()),
        params.add(event.kind.as_str()),
        params.add(event.kind.entity_type()),
        entity.clone(),
        params.add(event.payload.to_string()),
        params.add(event.traceparent.as_deref()),
        params.add(outcome.unwrap_or("done")),
    ];
    params.statement(format!(
        "INSERT INTO audit (event_id, at, actor_id, via, action, entity_type, entity_id, detail, \
         traceparent, outcome, owner_id) SELECT {}, (SELECT owner_chitty_id FROM connections \
         WHERE connection_id = {entity}) WHERE {condition}",
        values.join(", ")
    ))
}
