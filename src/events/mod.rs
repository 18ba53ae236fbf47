//! Events: the gateway tells them to the rest of the ecosystem and loses none.
//!
//! An event is written to the outbox in the same batch as its change
//! ([`insert`](crate::store::outbox::insert)) → announced to the queue after the reply
//! ([`announce`](crate::store::outbox::announce), which may fail) → delivered to [`consumer`], which takes a
//! lease ([`claims`]); an [`attempt`] makes its [`effects`] take place and marks the row done. The cron
//! announces overdue events again ([`sweep`](crate::store::outbox::sweep)), so a crash at any point loses
//! nothing. An event that cannot be told becomes a [`dead`] letter.

pub mod attempt;
pub mod claims;
pub mod consumer;
pub mod dead;
pub mod effects;
pub mod foreign_ids;
pub mod handlers;
pub mod timeline;
pub mod verdict;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod views;
