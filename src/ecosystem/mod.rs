//! The ChittyOS services as this gateway sees them.
//!
//! Each service has a Durable Object that watches its connection ([`connection`], on top of the state machine
//! of chitty-core) and publishes its status to the database. Isolates read the database in the background
//! ([`watch`]) and fail fast when a service is down; callers read it through [`handlers`] and [`stream`].

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
