//! The audit: who did what to which entity, and the seal that shows whether that is still what was
//! written.
//!
//! The rows are written by the database itself, with every event and in its transaction (see
//! `migrations/0011…`). D1 has no hash function, and a chain in the request path would put all
//! writers in one line, so `seal` adds the hashes soon after, in the background.

pub mod handlers;
pub mod seal;
