//! The client of GitHub's REST API: as the App, as a user who came back from GitHub, and as an
//! installation.
//!
//! The program supplies a [`Config`], the seams to the network, the clock and the App's signature, and a
//! [`TokenStore`] that keeps the tokens of installations. The client guarantees:
//! - every request has a deadline and a bounded answer;
//! - it makes a call once, with two exceptions: it repeats a read once if GitHub broke down, and it repeats
//!   a call as an installation once, with a new token, if GitHub no longer knows the old one;
//! - it makes no calls for a caller while GitHub's rate limit for this caller is in force;
//! - it follows redirections of reads only, once, and only within the API;
//! - an error shows nothing of what was sent or received ([`GithubError`]).

mod app;
mod checks;
mod config;
mod content;
mod conversation;
mod error;
mod installation;
mod jwt;
mod limits;
mod link;
mod private_key;
mod pulls;
mod repository;
mod request;
mod token;
mod user;

use std::rc::Rc;

use chitty_core::Clock;
use seams::outside::Outside;
use seams::rs256::Rs256;

pub use crate::app::{Account, Deliveries, HookDelivery, Installation};
pub use crate::checks::{Annotation, CheckRun, MAX_ANNOTATIONS};
pub use crate::config::{AppKey, Config, OauthClient};
pub use crate::conversation::Issue;
pub use crate::error::{ErrorKind, GithubError};
pub use crate::installation::{InstallationClient, Repositories, RepositoryView};
pub use crate::private_key::PrivateKey;
pub use crate::pulls::{ChangedFile, Files, Pull};
pub use crate::repository::Repository;
pub use crate::token::{InstallationToken, TokenStore};
pub use crate::user::{Ownership, UserToken};

/// The client for calls as the App and as users. [`Client::as_installation`] gives the one for calls as an
/// installation.
#[derive(Clone)]
pub struct Client<'a> {
    /// The transport of the calls.
    pub outside: &'a dyn Outside,
    /// Signs as the App.
    pub rs256: &'a dyn Rs256,
    /// The clock.
    pub clock: Rc<dyn Clock>,
    /// The settings of the App.
    pub config: &'a Config,
    /// What the isolate keeps between calls.
    pub state: &'a State,
}

/// What one isolate keeps for its calls to GitHub. All of it is bounded, and may be lost.
#[derive(Default)]
pub struct State {
    /// The App's latest JWT.
    jwt: jwt::JwtCache,
    /// The rate limits in force.
    limits: limits::Limits,
    /// Files with their ETags.
    files: content::FileCache,
}
