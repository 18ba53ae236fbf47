//! The ChittyOS services as this gateway sees them.
//!
//! Each has a Durable Object that watches its connection ([`connection`], over the state machine of
//! chitty-core) and publishes what happens to the database. Isolates look there in the background
//! ([`watch`]) and fail fast for what is down; people look through [`handlers`] and [`stream`].

pub mod connection;
pub mod handlers;
pub mod probe;
pub mod settings;
pub mod stream;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod views;
pub mod watch;

/// The states of a connection, as document 004 names them.
pub const STATES: [&str; 5] = ["DISCONNECTED", "CONNECTING", "CONNECTED", "RECONNECTING", "FAILED"];
