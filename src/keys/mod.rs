//! API keys of this gateway: credentials for programs that cannot log in. `handlers` is the HTTP side,
//! `store` the SQL. A key is kept as its SHA-256; whether it is good is judged with each request, in
//! [`crate::access::caller`].

pub mod handlers;
pub mod settings;
pub mod store;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod views;
