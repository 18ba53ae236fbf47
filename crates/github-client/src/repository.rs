//! A repository, as an installation sees it: the paths and calls that its parts share.

use seams::outside::OutsideResponse;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::error::{ErrorKind, GithubError};
use crate::installation::InstallationClient;
use crate::request::{self, Call};

/// A repository, as an installation sees it; [`InstallationClient::repository`] returns it.
#[derive(Clone)]
pub struct Repository<'a> {
    pub(crate) installation: InstallationClient<'a>,
    pub(crate) full_name: String,
}

impl<'a> InstallationClient<'a> {
    /// Returns the repository of a full name, `owner/name`, as the installation sees it. Makes no call: only
    /// the methods find out whether the repository exists.
    pub fn repository(self, full_name: &str) -> Repository<'a> {
        Repository { installation: self, full_name: full_name.to_owned() }
    }
}

impl Repository<'_> {
    /// Returns a path below the repository's own path.
    pub(crate) fn path(&self, below: &str) -> Result<String, GithubError> {
        let Some((owner, name)) = self.full_name.split_once('/') else {
            return Err(GithubError::new(ErrorKind::Invalid));
        };
        Ok(format!("/repos{}{below}", request::path([owner, name].into_iter())?))
    }

    /// Returns the settings of the client.
    pub(crate) fn config(&self) -> &Config {
        self.installation.client.config
    }

    /// Returns a read; `path` comes from [`Repository::path`].
    pub(crate) fn get(&self, path: &str) -> Call {
        Call::get(self.config(), path)
    }

    /// Returns a change with a JSON body; `below` is relative to the repository's own path.
    pub(crate) fn change(
        &self,
        method: &'static str,
        below: &str,
        body: &impl Serialize,
    ) -> Result<Call, GithubError> {
        Call::json(self.config(), method, &self.path(below)?, body)
    }

    /// Makes a call as the installation.
    pub(crate) async fn send(&self, call: &Call) -> Result<OutsideResponse, GithubError> {
        self.installation.send(call).await
    }
}

/// The number of a created object.
#[derive(Deserialize)]
pub(crate) struct NumberAnswer {
    pub(crate) id: u64,
}
