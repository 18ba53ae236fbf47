//! API keys of this gateway: credentials for programs that cannot log in. `handlers` is the HTTP
//! side, `store` the SQL. A key is stored as its SHA-256; [`crate::access::caller`] judges with
//! each request whether it is valid.

pub mod handlers;
pub mod settings;
pub mod store;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod views;
