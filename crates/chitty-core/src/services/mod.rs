//! One client a service: its paths, its shapes and its quirks, and nothing of any other.

pub(crate) mod auth;
pub(crate) mod beacon;
pub(crate) mod canon;
pub(crate) mod certify;
pub(crate) mod chat;
pub(crate) mod chronicle;
pub(crate) mod dna;
pub(crate) mod identity;
pub(crate) mod register;
pub(crate) mod registry;
pub(crate) mod verify;
