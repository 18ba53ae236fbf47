//! The reply of a handler, and the work that it leaves for after the reply.

use std::fmt;

use http_kit::problem::Problem;
pub use http_kit::reply::Body;

use crate::store::event::Event;

/// A reply of the gateway, with the work that follows it.
pub type Reply = http_kit::reply::Reply<After>;

/// The result of a handler: a reply, or the problem that the caller gets.
pub type Outcome = Result<Reply, Problem>;

/// A text that `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Work after a reply, for which nobody waits. It may be lost with the isolate, so nothing may depend on it.
#[derive(Debug, PartialEq, Eq)]
pub enum After {
    /// Announce a committed event to the queue.
    Announce(Event),
    /// Run the next step of the gateway's initialization.
    Initialize,
    /// Send replayed messages: the name of the queue's binding, and the message.
    SendAgain(Vec<(String, String)>),
    /// Revoke the credentials of connections that have ended.
    RevokeCredentials,
    /// Write when actors and keys were last seen.
    NoteSeen,
    /// Add this isolate's counts to the database, and read from it what is new about the services.
    HandOver,
    /// Continue the orchestration with this id.
    Orchestrate(String),
    /// Ask ChittyAuth for the principal of an actor, with the actor's own token.
    LearnPrincipal {
        /// The actor that has registered.
        actor: String,
        /// The actor's token. It is not stored.
        token: Secret,
    },
}
