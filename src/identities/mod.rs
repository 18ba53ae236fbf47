//! ChittyIDs of all nine kinds for whoever asks, minted by ChittyID and by nobody else, and whether an id
//! is sound.
//!
//! `input` is what may be sent, `handlers` the HTTP side, `store` the SQL. What was minted is a row of
//! `identities`: whose it is, and of which kind. What is said of it stands at ChittyID alone.

pub mod handlers;
pub mod input;
pub mod store;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod views;
