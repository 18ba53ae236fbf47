//! Delegation: tokens with which somebody else acts for an actor, for a limited time and with
//! limited scopes. `handlers` is the HTTP side, `store` the SQL. [`crate::access::caller`] judges
//! with each request what a token may do at that moment.

pub mod handlers;
pub mod store;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod views;

/// The shortest and the longest life of a token, in seconds.
pub const LIFE_S: std::ops::RangeInclusive<u64> = 60..=24 * 3600;

/// The life of a token whose maker does not state one, in seconds.
pub const USUAL_LIFE_S: u64 = 3600;

/// The longest chain of delegations, from the first to the last.
pub const MAX_DEPTH: usize = 5;
