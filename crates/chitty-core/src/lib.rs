//! ChittyCore: dependable calls to the ChittyOS services.
//!
//! The crate depends on no runtime. The program supplies a [`Transport`] (sends one HTTP request) and a
//! [`Clock`] (time and random numbers), so the same clients run in a Worker and in a native test.
//!
//! Every client here guarantees:
//! - each call has a deadline and a bounded answer, and a call that is safe to repeat is repeated,
//!   within the deadline and a retry budget;
//! - a service that keeps failing gets no calls for a while ([`Breaker`]), and its callers fail at once;
//! - an outage is never mistaken for a refusal, and a missing field never for success
//!   ([`ServiceError`] says which it was);
//! - calls that belong together form a [`Session`]: they carry its context, and identical reads that are
//!   under way share one request;
//! - a [`ChittyId`] comes only from parsing an authority's answer, a stored row or a caller's input; the
//!   crate never makes one up.
//!
//! Three things build on the clients: [`Operation`] (a call as data), [`Session::batch`] (concurrent
//! calls) and [`Saga`] (steps at several services; in the end all are done, or each done step is
//! compensated). [`watch`] watches a service and reconnects to it; [`signing`] signs requests and
//! verifies signatures.

mod backoff;
mod breaker;
mod cache;
mod call;
mod clock;
mod config;
mod core;
mod error;
mod flows;
mod health;
mod id;
mod metrics;
mod operation;
mod retry;
mod saga;
mod service;
mod services;
mod session;
pub mod signing;
mod token;
mod transport;
mod verdict;
pub mod watch;
mod wire;

pub use crate::backoff::Backoff;
pub use crate::breaker::{Admission, Breaker, BreakerConfig, BreakerState, Outcome};
pub use crate::cache::{CacheEntry, CachePolicy, Freshness};
pub use crate::call::CallContext;
pub use crate::clock::Clock;
pub use crate::config::CoreConfig;
pub use crate::core::ChittyCore;
pub use crate::error::ServiceError;
pub use crate::flows::{FLOWS, ROLES, SECURE_USER, USER_REGISTRATION, role_of, role_scopes};
pub use crate::health::{DEGRADED_MS, HealthReport, ServiceHealth};
pub use crate::id::{ChittyId, IdError};
pub use crate::metrics::{BUCKETS_MS, Histogram, Metrics, MetricsSummary, ServiceMetrics};
pub use crate::operation::Operation;
pub use crate::saga::{
    Facts, Flow, Halt, InputError, Journal, MAX_ATTEMPTS, Saga, SagaStatus, Step, StepRecord,
    StepState, Task,
};
pub use crate::service::Service;
pub use crate::services::auth::{AuthClient, Credential, ProvisionRequest, TokenCheck, TokenInfo};
pub use crate::services::beacon::BeaconClient;
pub use crate::services::canon::CanonClient;
pub use crate::services::certify::{CertificateRequest, CertifyClient};
pub use crate::services::chat::ChatClient;
pub use crate::services::chronicle::{ChronicleClient, Entry, EntryQuery, timeline_id};
pub use crate::services::dna::DnaClient;
pub use crate::services::identity::{EntityLabel, IdClient, IdentityInfo, MintRequest, Validity};
pub use crate::services::register::{Challenge, RegisterClient, Registration, RegistrationReceipt};
pub use crate::services::registry::{RegistryClient, ServiceEntry};
pub use crate::services::verify::{Verification, VerifyClient};
pub use crate::session::{CachedAnswer, Session};
pub use crate::token::ServiceToken;
pub use crate::transport::{HttpMethod, HttpRequest, HttpResponse, Transport, TransportError};
pub use crate::verdict::FailureKind;
