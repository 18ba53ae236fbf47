//! The audit: who did what to which entity, by which credential and with which outcome, and the seal
//! that shows whether that is still what was written.
//!
//! The rows are written by the database itself, with every event and in its transaction (see
//! `migrations/0011…` and `0020…`), or by [`record`] where nobody else is to be told. D1 has no hash
//! function, and a chain in the request path would put all writers in one line, so [`seal`] adds the
//! hashes soon after, in the background. What is old and sealed [`archive`] moves out of the database;
//! [`verify`] compares all of it, wherever it is.

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

/// What an entry that is written before its outcome is known says of it, as a member `outcome` of an
/// event's payload: that it has begun.
pub const BEGUN: &str = "begun";

/// The row of something about a connection that only the audit is told, written if the `condition`, whose
/// parameters are in `params`, holds.
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
