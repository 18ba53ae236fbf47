//! Actors: who acts through the gateway. `handlers` is the HTTP side, `input` the rules for what a
//! caller sends, `store` the SQL, `seen` when they were last here.

pub mod handlers;
pub mod input;
pub mod last_seen;
pub mod store;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod views;

/// The kinds of actors.
pub const TYPES: [&str; 4] = ["human", "ai", "service", "system"];

/// What an actor can be.
pub const STATUSES: [&str; 3] = ["active", "suspended", "deleted"];
