//! The client of GitHub's REST API: as the App, as a user who came back from GitHub, and as an
//! installation.
//!
//! A call is made once. Reads alone are repeated, once, where GitHub broke down; a call under a token
//! that GitHub no longer knows is made again under another. What GitHub has limited is not asked until
//! the limit ends.

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

/// What one isolate keeps of its dealings with GitHub. All of it is bounded, and can be lost.
#[derive(Default)]
pub struct ClientState {
    /// What the App last proved itself with.
    jwt: jwt::JwtCache,
    /// Tokens of installations.
    tokens: cached_token::InstallationTokens,
    /// Who has to wait, and until when.
    limits: limits::Limits,
    /// Files with their ETags.
    files: content::Files,
}

impl Slot for ClientState {
    fn new(_: &App) -> Self {
        Self::default()
    }
}
