//! The ChittyOS services as this gateway sees them.
//!
//! Each service has a Durable Object that watches it ([`watch`], on top of the state machine of chitty-core)
//! and publishes its status to the database. Isolates read the database in the background ([`news`]) and fail
//! fast when a service is down; callers read it through [`handlers`] and [`stream`].
//!
//! The watch of a service is `connection` in the API, the tables and the metrics, as in document 004.

pub mod handlers;
pub mod news;
pub mod probe;
pub mod settings;
pub mod stream;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod views;
pub mod watch;

/// The states of a watch, as document 004 names them.
pub const STATES: [&str; 5] = ["DISCONNECTED", "CONNECTING", "CONNECTED", "RECONNECTING", "FAILED"];
