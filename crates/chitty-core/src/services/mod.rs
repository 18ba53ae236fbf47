//! One client a service: its paths, its shapes and its quirks, and nothing of any other.

pub(crate) mod auth;
pub(crate) mod chronicle;
pub(crate) mod identity;
