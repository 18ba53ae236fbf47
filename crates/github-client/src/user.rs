//! The calls as a user who has just come back from GitHub, and the calls about the accounts that users own.

use std::fmt;

use seams::log;
use seams::outside::OutsideResponse;
use serde::Deserialize;

use crate::Client;
use crate::app::{Account, Installation};
use crate::error::{ErrorKind, GithubError};
use crate::installation::InstallationClient;
use crate::limits::RateBucket;
use crate::link;
use crate::request::{self, Call};

/// The most pages of a hundred that are searched.
const MAX_PAGES: u32 = 10;

/// The most bytes of a page: a hundred repositories of about six kilobytes each.
const MAX_PAGE_BYTES: usize = 4 << 20;

/// The longest token that is accepted, in bytes.
const MAX_TOKEN_BYTES: usize = 8192;

/// A user's token. It is used for one visit and stored nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct UserToken(String);

impl fmt::Debug for UserToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserToken")
    }
}

/// GitHub's answer to a code. Errors have the status 200 too.
#[derive(Deserialize)]
struct TokenAnswer {
    access_token: Option<String>,
    error: Option<String>,
}

/// Whether a user owns an account, as far as GitHub says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// They own it: it is their own account, or an organization of which they are an owner.
    Owned,
    /// They do not own it, even if they administer some of its repositories.
    NotOwned,
    /// GitHub does not show them the installation.
    Unseen,
    /// GitHub does not tell this App.
    Untold,
}

impl Client<'_> {
    /// Exchanges the code of a callback for the user's token. A code works once.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] for a code that GitHub does not accept, [`ErrorKind::NotConfigured`] without an
    /// OAuth client.
    pub async fn exchange_code(&self, code: &str) -> Result<UserToken, GithubError> {
        let client = self.config.client.as_ref();
        let client = client.ok_or_else(|| GithubError::new(ErrorKind::NotConfigured))?;
        let fields =
            [("client_id", client.id.as_str()), ("client_secret", &client.secret), ("code", code)];
        let call = Call::form(self.config, "/login/oauth/access_token", &fields);
        let answer = self.send(RateBucket::Client, None, &call).await?;
        let failed = |kind| GithubError { status: Some(answer.status), ..GithubError::new(kind) };
        let exchanged: TokenAnswer = request::read(&answer)?;
        if let Some(error) = exchanged.error {
            if error == "incorrect_client_credentials" {
                log::error("github_client_refused", &[]);
            }
            return Err(failed(ErrorKind::Refused));
        }
        let token = exchanged.access_token.filter(|token| {
            (1..=MAX_TOKEN_BYTES).contains(&token.len())
                && token.bytes().all(|b| b.is_ascii_graphic())
        });
        token.map(UserToken).ok_or_else(|| failed(ErrorKind::Unreadable))
    }

    /// Returns the account of the user to whom a token belongs.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] for a token that GitHub does not accept.
    pub async fn user(&self, token: &UserToken) -> Result<Account, GithubError> {
        request::read(&self.get_as_user(token, "/user").await?)
    }

    /// Returns whether a user owns the account that an installation is on: it is their own account, or an
    /// organization of which they are an owner.
    ///
    /// # Errors
    /// Any failure of a call that leaves this open.
    pub async fn ownership(
        &self,
        token: &UserToken,
        user: &Account,
        installation: &Installation,
    ) -> Result<Ownership, GithubError> {
        // An installation that GitHub does not show to the user is never theirs.
        if !self.can_see(token, installation.id).await? {
            return Ok(Ownership::Unseen);
        }
        if user.id == installation.account.id {
            return Ok(Ownership::Owned);
        }
        if installation.account.kind == "User" {
            return Ok(Ownership::NotOwned);
        }
        let organization = request::path(std::iter::once(installation.account.login.as_str()))?;
        let path = format!("/user/memberships/orgs{organization}");
        read_ownership(self.get_as_user(token, &path).await)
    }

    /// Whether GitHub shows an installation to a user.
    async fn can_see(&self, token: &UserToken, id: i64) -> Result<bool, GithubError> {
        self.any_page(token, "/user/installations", |answer| {
            let page: InstallationsPage = request::read(answer)?;
            Ok(page.installations.iter().any(|installation| installation.id == id))
        })
        .await
    }

    /// Whether `has` is true of one of the first [`MAX_PAGES`] pages of a list.
    async fn any_page(
        &self,
        token: &UserToken,
        path: &str,
        has: impl Fn(&OutsideResponse) -> Result<bool, GithubError>,
    ) -> Result<bool, GithubError> {
        for page in 1..=MAX_PAGES {
            let path = format!("{path}?per_page=100&page={page}");
            let answer = self.get_as_user(token, &path).await?;
            if has(&answer)? {
                return Ok(true);
            }
            if !link::has_next(&answer) {
                break;
            }
        }
        Ok(false)
    }

    /// Makes a read as a user.
    async fn get_as_user(
        &self,
        token: &UserToken,
        path: &str,
    ) -> Result<OutsideResponse, GithubError> {
        let call = Call::get(self.config, path).up_to(MAX_PAGE_BYTES);
        self.send(RateBucket::User, Some(&token.0), &call).await
    }
}

impl InstallationClient<'_> {
    /// Returns whether a user owns an organization now; the installation is on this organization.
    ///
    /// # Errors
    /// Any failure of the call that leaves this open.
    pub async fn organization_ownership(
        &self,
        organization: &str,
        user: (i64, &str),
    ) -> Result<Ownership, GithubError> {
        let (id, login) = user;
        let path = request::path(["orgs", organization, "memberships", login].into_iter())?;
        let answered = self.send(&Call::get(self.client.config, &path)).await;
        if let Ok(answer) = &answered {
            // A login that its user gave up may belong to another user by now.
            let named: Membership = request::read(answer)?;
            if named.user.is_none_or(|user| user.id != id) {
                return Ok(Ownership::NotOwned);
            }
        }
        read_ownership(answered)
    }
}

/// A membership of an organization.
#[derive(Deserialize)]
struct Membership {
    state: String,
    role: String,
    user: Option<ListedInstallation>,
}

/// Reads the ownership from an answer about a membership. GitHub refuses to tell it (403) to an App that may
/// not read members.
fn read_ownership(
    answered: Result<OutsideResponse, GithubError>,
) -> Result<Ownership, GithubError> {
    match answered {
        Ok(answer) => {
            let membership: Membership = request::read(&answer)?;
            let is_owner = membership.state == "active" && membership.role == "admin";
            Ok(if is_owner { Ownership::Owned } else { Ownership::NotOwned })
        }
        Err(error) if error.is_transient() => Err(error),
        Err(GithubError { status: Some(403), .. }) => Ok(Ownership::Untold),
        Err(GithubError { status: Some(404), .. }) => Ok(Ownership::NotOwned),
        Err(error) => Err(error),
    }
}

#[derive(Deserialize)]
struct InstallationsPage {
    installations: Vec<ListedInstallation>,
}

#[derive(Deserialize)]
struct ListedInstallation {
    id: i64,
}
