//! The client of GitHub's REST API: as the App, as a user who came back from GitHub, and as an
//! installation.
//!
//! The client makes a call once, with two exceptions: it repeats a read once if GitHub broke down, and it
//! repeats a call as an installation once, with a new token, if GitHub no longer knows the old one. It
//! makes no calls for a caller while GitHub's rate limit for this caller is in force.

use crate::app::{App, Slot};

mod app;
mod cached_token;
mod checks;
mod content;
mod conversation;
mod error;
mod jwt;
mod limits;
mod link;
mod pulls;
mod repository;
mod request;
mod token;
mod user;

pub use app::{
    Account, Deliveries, HookDelivery, Installation, deliveries, installation, redeliver,
};
pub use checks::{Annotation, CheckRun, MAX_ANNOTATIONS};
pub use conversation::Issue;
pub use error::{ErrorKind, GithubError};
pub use pulls::{ChangedFile, Files, Pull};
pub use repository::{Repositories, Repository, RepositoryView, repositories, repository};
pub use token::{forget_installation, installation_token};
pub use user::{Ownership, UserToken, exchange_code, organization_ownership, ownership, user};

/// What one isolate keeps for its calls to GitHub. All of it is bounded, and may be lost.
#[derive(Default)]
pub struct ClientState {
    /// The App's latest JWT.
    jwt: jwt::JwtCache,
    /// Tokens of installations.
    tokens: cached_token::InstallationTokens,
    /// The rate limits in force.
    limits: limits::Limits,
    /// Files with their ETags.
    files: content::Files,
}

impl Slot for ClientState {
    fn new(_: &App) -> Self {
        Self::default()
    }
}
