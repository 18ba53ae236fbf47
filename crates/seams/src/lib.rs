//! The seams: one small trait for each thing that the gateway needs from a runtime. No type here belongs to
//! D1, KV, Queues or HTTP, so the real handlers and the real SQL run under `cargo test` on SQLite.
//!
//! Calls to other services go through [`chitty_core::Transport`], time and randomness through
//! [`chitty_core::Clock`].

pub mod ai;
pub mod assets;
pub mod db;
pub mod es256;
pub mod ids;
pub mod inbound;
pub mod kv;
pub mod limiter;
pub mod log;
pub mod memory;
pub mod objects;
pub mod outside;
pub mod queue;
pub mod rs256;
pub mod time;
pub mod unicode;
