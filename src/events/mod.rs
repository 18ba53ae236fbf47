//! Events: what happened, told to the rest of the ecosystem, and never lost.
//!
//! The way of an event: written to the outbox in the same batch as its change ([`insert`](crate::store::outbox::insert))
//! → announced to the queue after the reply ([`announce`](crate::store::outbox::announce), which may fail) → delivered to
//! [`consumer`], which takes a lease ([`claims`]), gives it its [`effects`] and marks the row done. What is not done in time
//! the cron announces again ([`sweep`](crate::store::outbox::sweep)). So a crash at any point loses nothing. What cannot be
//! told is kept in [`dead`] letters.

pub mod claims;
pub mod consumer;
pub mod dead;
pub mod effects;
pub mod handlers;
pub mod learned;
pub mod timeline;
pub mod verdict;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod views;
