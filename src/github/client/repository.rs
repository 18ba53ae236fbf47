//! What is asked as an installation, of itself and of its repositories.

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

/// The repository of a full name, `owner/name`, as an installation sees it. Nothing is asked yet: whether
/// it is there, its methods say.
pub fn repository<'a>(
    app: &'a App,
    ready: Ready<'a>,
    installation_id: i64,
    full_name: &str,
) -> Repository<'a> {
    Repository { app, ready, installation_id, full_name: full_name.to_owned() }
}

impl Repository<'_> {
    /// A path below the repository's own.
    pub(super) fn path(&self, below: &str) -> Result<String, GithubError> {
        let Some((owner, name)) = self.full_name.split_once('/') else {
            return Err(GithubError::new(ErrorKind::Invalid));
        };
        Ok(format!("/repos{}{below}", request::path([owner, name].into_iter())?))
    }

    /// A read; `path` is one of [`Repository::path`].
    pub(super) fn get(&self, path: &str) -> Call {
        Call::get(self.app, path)
    }

    /// A change.
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

/// The number of what was made.
#[derive(Deserialize)]
pub(super) struct NumberAnswer {
    pub(super) id: u64,
}

/// A repository, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryView {
    /// Its number, which stays when its name changes.
    pub id: u64,
    /// `owner/name`
    pub full_name: String,
    /// Whether only some see it.
    pub private: bool,
    /// The branch that is shown first.
    pub default_branch: String,
    /// Its page.
    pub html_url: String,
    /// Whether it is read-only.
    #[serde(default)]
    pub archived: bool,
}

/// A page of an installation's repositories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repositories {
    /// How many there are.
    pub total_count: u64,
    /// Those of this page.
    pub items: Vec<RepositoryView>,
    /// Whether there is a page after this one.
    pub has_more: bool,
}

#[derive(Deserialize)]
struct Page {
    total_count: u64,
    repositories: Vec<RepositoryView>,
}

/// A page of the repositories that an installation reaches: `page` counts from 1, `per_page` is 1 to 100.
///
/// # Errors
/// Whatever GitHub answers, or does not.
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
