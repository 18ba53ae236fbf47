//! The calls as an installation, about itself and its repositories.

use seams::outside::OutsideResponse;
use serde::{Deserialize, Serialize};

use super::error::{ErrorKind, GithubError};
use super::request::{self, Call};
use super::{link, token};
use crate::app::App;
use crate::store::Ready;

/// The most bytes of a page of repositories: a hundred of about six kilobytes each.
const MAX_REPOSITORIES_BYTES: usize = 4 << 20;

/// A repository, as an installation sees it.
#[derive(Clone)]
pub struct Repository<'a> {
    pub(super) app: &'a App,
    ready: Ready<'a>,
    pub(super) installation_id: i64,
    full_name: String,
}

/// Returns the repository of a full name, `owner/name`, as an installation sees it. Makes no call: only the
/// methods find out whether the repository exists.
pub fn repository<'a>(
    app: &'a App,
    ready: Ready<'a>,
    installation_id: i64,
    full_name: &str,
) -> Repository<'a> {
    Repository { app, ready, installation_id, full_name: full_name.to_owned() }
}

impl Repository<'_> {
    /// Returns a path below the repository's own path.
    pub(super) fn path(&self, below: &str) -> Result<String, GithubError> {
        let Some((owner, name)) = self.full_name.split_once('/') else {
            return Err(GithubError::new(ErrorKind::Invalid));
        };
        Ok(format!("/repos{}{below}", request::path([owner, name].into_iter())?))
    }

    /// Returns a read; `path` comes from [`Repository::path`].
    pub(super) fn get(&self, path: &str) -> Call {
        Call::get(self.app, path)
    }

    /// Returns a change with a JSON body; `below` is relative to the repository's own path.
    pub(super) fn change(
        &self,
        method: &'static str,
        below: &str,
        body: &impl Serialize,
    ) -> Result<Call, GithubError> {
        Call::json(self.app, method, &self.path(below)?, body)
    }

    /// Makes a call as the installation.
    pub(super) async fn send(&self, call: &Call) -> Result<OutsideResponse, GithubError> {
        token::send(self.app, self.ready, self.installation_id, call).await
    }
}

/// The number of a created object.
#[derive(Deserialize)]
pub(super) struct NumberAnswer {
    pub(super) id: u64,
}

/// A repository, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryView {
    /// Its number, which a rename does not change.
    pub id: u64,
    /// `owner/name`
    pub full_name: String,
    /// Whether it is not public.
    pub private: bool,
    /// Its default branch.
    pub default_branch: String,
    /// The URL of its page.
    pub html_url: String,
    /// Whether it is archived, and so read-only.
    #[serde(default)]
    pub archived: bool,
}

/// A page of an installation's repositories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repositories {
    /// The number of repositories on all pages.
    pub total_count: u64,
    /// The repositories of this page.
    pub items: Vec<RepositoryView>,
    /// Whether there is a page after this one.
    pub has_more: bool,
}

#[derive(Deserialize)]
struct Page {
    total_count: u64,
    repositories: Vec<RepositoryView>,
}

/// Returns a page of an installation's repositories: `page` counts from 1, `per_page` is 1 to 100.
///
/// # Errors
/// Any failure of the call.
pub async fn repositories(
    app: &App,
    ready: Ready<'_>,
    installation_id: i64,
    page: u32,
    per_page: u32,
) -> Result<Repositories, GithubError> {
    let (page, per_page) = (page.max(1), per_page.clamp(1, 100));
    let path = format!("/installation/repositories?per_page={per_page}&page={page}");
    let call = Call::get(app, &path).up_to(MAX_REPOSITORIES_BYTES);
    let answer = token::send(app, ready, installation_id, &call).await?;
    let Page { total_count, repositories: items } = request::read(&answer)?;
    Ok(Repositories { total_count, items, has_more: link::has_next(&answer) })
}
