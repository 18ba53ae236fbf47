//! The calls as an installation, about itself.

use std::rc::Rc;

use seams::outside::OutsideResponse;
use serde::{Deserialize, Serialize};

use crate::Client;
use crate::error::GithubError;
use crate::limits::RateBucket;
use crate::link;
use crate::request::{self, Call};
use crate::token::TokenStore;

/// The most bytes of a page of repositories: a hundred of about six kilobytes each.
const MAX_REPOSITORIES_BYTES: usize = 4 << 20;

/// The client for calls as one installation.
#[derive(Clone)]
pub struct InstallationClient<'a> {
    pub(crate) client: Client<'a>,
    tokens: Rc<dyn TokenStore + 'a>,
    pub(crate) id: i64,
}

impl<'a> Client<'a> {
    /// Returns the client for calls as an installation, whose tokens come from a store. Makes no call.
    pub fn as_installation(
        &self,
        installation_id: i64,
        tokens: Rc<dyn TokenStore + 'a>,
    ) -> InstallationClient<'a> {
        InstallationClient { client: self.clone(), tokens, id: installation_id }
    }
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

impl InstallationClient<'_> {
    /// Returns a page of the installation's repositories: `page` counts from 1, `per_page` is 1 to 100.
    ///
    /// # Errors
    /// Any failure of the call.
    pub async fn repositories(
        &self,
        page: u32,
        per_page: u32,
    ) -> Result<Repositories, GithubError> {
        let (page, per_page) = (page.max(1), per_page.clamp(1, 100));
        let path = format!("/installation/repositories?per_page={per_page}&page={page}");
        let call = Call::get(self.client.config, &path).up_to(MAX_REPOSITORIES_BYTES);
        let answer = self.send(&call).await?;
        let Page { total_count, repositories: items } = request::read(&answer)?;
        Ok(Repositories { total_count, items, has_more: link::has_next(&answer) })
    }

    /// Makes a call as the installation. If GitHub refuses the token, the client has the store forget it and
    /// repeats the call once with another.
    pub(crate) async fn send(&self, call: &Call) -> Result<OutsideResponse, GithubError> {
        let who = RateBucket::Installation(self.id);
        // Checked here too, so that no token is fetched for a call that is not made.
        self.client.state.limits.check(who, self.client.clock.now_ms())?;
        let known = self.tokens.usable_token(self.id, None).await?;
        let answered = self.client.send(who, Some(&known.token), call).await;
        if !matches!(&answered, Err(error) if error.status == Some(401)) {
            return answered;
        }
        self.tokens.forget(self.id, &known).await;
        let fresh = self.tokens.usable_token(self.id, Some(&known.token)).await?;
        self.client.send(who, Some(&fresh.token), call).await
    }
}
