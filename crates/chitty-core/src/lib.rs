//! ChittyCore: dependable calls to the ChittyOS services.
//!
//! The crate knows no runtime. Whoever uses it hands in a [`Transport`] (how bytes travel) and a
//! [`Clock`] (time and chance), so the same clients run in a Worker and in a native test.
//!
//! What every client here guarantees:
//! - each call has a deadline and a bounded answer, and what is safe to repeat is repeated, within
//!   the deadline and a budget;
//! - a service that keeps failing is left alone for a while ([`Breaker`]), and its callers are told
//!   at once;
//! - an outage is never mistaken for a refusal, and a missing field never for success
//!   ([`ServiceError`] says which it was);
//! - a [`ChittyId`] exists only because an authority, a stored row or a caller's input was parsed;
//!   nothing in this crate makes one up.

mod breaker;
mod call;
mod clock;
mod core;
mod error;
mod id;
mod retry;
mod service;
mod services;
mod transport;
mod wire;

pub use crate::breaker::{Breaker, BreakerConfig, BreakerState, Outcome};
pub use crate::call::CallContext;
pub use crate::clock::Clock;
pub use crate::core::ChittyCore;
pub use crate::error::{FailureKind, ServiceError};
pub use crate::id::{ChittyId, IdError};
pub use crate::service::Service;
pub use crate::services::auth::{AuthClient, TokenCheck, TokenInfo};
pub use crate::services::chronicle::{ChronicleClient, Entry};
pub use crate::services::identity::{EntityLabel, IdClient, MintRequest};
pub use crate::transport::{HttpMethod, HttpRequest, HttpResponse, Transport, TransportError};
pub use crate::wire::CoreConfig;
