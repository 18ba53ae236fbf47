//! What a handler answers, and what it leaves for afterwards.

use std::fmt;

use http_kit::problem::Problem;
pub use http_kit::reply::Body;

use crate::store::event::Event;

/// An answer of the gateway.
pub type Reply = http_kit::reply::Reply<After>;

/// What a handler comes to.
pub type Outcome = Result<Reply, Problem>;

/// A text that is not shown where what holds it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Work that nobody waits for. It may be lost with the isolate, so nothing may depend on it.
#[derive(Debug, PartialEq, Eq)]
pub enum After {
    /// Announce a committed event to the queue.
    Announce(Event),
    /// Take the gateway's initialization a step further.
    Initialize,
    /// Send messages again, each to the queue of this binding.
    SendAgain(Vec<(String, String)>),
    /// Revoke the credentials of connections that have ended.
    RevokeCredentials,
    /// Note who was here.
    NoteSeen,
    /// Hand over what was counted and look for news of the services.
    HandOver,
    /// Take an orchestration further.
    Orchestrate(String),
    /// Ask ChittyAuth for the principal of an actor, by a token of its own.
    LearnPrincipal {
        /// Who has registered.
        actor: String,
        /// The token. It is not kept.
        token: Secret,
    },
}
