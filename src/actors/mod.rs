//! Actors: the people, services and AI agents that act through the gateway. `handlers` is the HTTP side,
//! `input` the rules for request bodies, `store` the SQL, `last_seen` when actors and keys were last seen,
//! `whoami` the calling actor in the predecessor's words.

pub mod handlers;
pub mod input;
pub mod last_seen;
pub mod store;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod views;
pub mod whoami;

/// The kinds of actors.
pub const TYPES: [&str; 4] = ["human", "ai", "service", "system"];

/// The statuses of actors.
pub const STATUSES: [&str; 3] = ["active", "suspended", "deleted"];
