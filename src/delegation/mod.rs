//! Delegation: tokens by which somebody else acts for an actor, for a while and within bounds.
//! `handlers` is the HTTP side, `store` the SQL. What a token may at a moment is judged with each
//! request, in [`crate::access::caller`].

pub mod handlers;
pub mod store;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod views;

/// The shortest and the longest life of a token, and the usual one, in seconds.
pub const LIFE_S: std::ops::RangeInclusive<u64> = 60..=24 * 3600;

/// The life of a token whose maker does not say, in seconds.
pub const USUAL_LIFE_S: u64 = 3600;

/// How often a token can be handed on: the longest path from the first delegation to the last.
pub const MAX_DEPTH: usize = 5;
