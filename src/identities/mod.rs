//! ChittyIDs at the request of callers: minting of all nine kinds, which only ChittyID does, and validation
//! of ids.
//!
//! `input` reads the bodies, `handlers` is the HTTP side, `store` the SQL. Each minted identity is a row of
//! `identities` with its owner and its kind; only ChittyID keeps its metadata.

pub mod handlers;
pub mod input;
pub mod store;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod views;
