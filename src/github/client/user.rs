//! What is asked as a user who has just come back from GitHub.

use std::fmt;

use serde::Deserialize;

use super::app::{Account, Installation};
use super::error::{ErrorKind, GithubError};
use super::limits::Who;
use super::link;
use super::request::{self, Call};
use crate::app::App;
use crate::platform::log;
use crate::platform::outside::OutsideResponse;

/// How many pages of a hundred are looked through.
const MAX_PAGES: u32 = 10;

/// The most bytes of a page: a hundred repositories of about six kilobytes each.
const MAX_PAGE_BYTES: usize = 4 << 20;

/// The longest token that is taken, in bytes.
const MAX_TOKEN_BYTES: usize = 8192;

/// A user's token, for one visit: it is kept nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct UserToken(String);

impl fmt::Debug for UserToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserToken")
    }
}

/// GitHub answers 200 for errors too.
#[derive(Deserialize)]
struct Exchanged {
    access_token: Option<String>,
    error: Option<String>,
}

/// Exchanges the code of a callback for the user's token. A code is good for once.
///
/// # Errors
/// [`ErrorKind::Refused`] for a code that is not good, [`ErrorKind::NotConfigured`] without a client.
pub async fn exchange_code(app: &App, code: &str) -> Result<UserToken, GithubError> {
    let client = app.config.github.client.as_ref();
    let client = client.ok_or_else(|| GithubError::new(ErrorKind::NotConfigured))?;
    let fields =
        [("client_id", client.id.as_str()), ("client_secret", &client.secret), ("code", code)];
    let call = Call::form(app, "/login/oauth/access_token", &fields);
    let answer = request::send(app, Who::Client, None, &call).await?;
    let failed = |kind| GithubError { status: Some(answer.status), ..GithubError::new(kind) };
    let exchanged: Exchanged = request::read(&answer)?;
    if let Some(error) = exchanged.error {
        if error == "incorrect_client_credentials" {
            log::error("github_client_refused", &[]);
        }
        return Err(failed(ErrorKind::Refused));
    }
    let token = exchanged.access_token.filter(|token| {
        (1..=MAX_TOKEN_BYTES).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic())
    });
    token.map(UserToken).ok_or_else(|| failed(ErrorKind::Unreadable))
}

/// Whose token it is.
///
/// # Errors
/// [`ErrorKind::Refused`] for a token that is not good.
pub async fn user(app: &App, token: &UserToken) -> Result<Account, GithubError> {
    request::read(&get(app, token, "/user").await?)
}

/// Whether a user may administer an installation: it is on their own account, or on an organization
/// that they own or of which they administer a repository that the installation reaches.
///
/// # Errors
/// Where GitHub did not say.
pub async fn may_administer(
    app: &App,
    token: &UserToken,
    user: &Account,
    installation: &Installation,
) -> Result<bool, GithubError> {
    // What GitHub does not show to this user is not theirs, whatever else is so.
    if !can_see(app, token, installation.id).await? {
        return Ok(false);
    }
    if user.id == installation.account.id {
        return Ok(true);
    }
    if installation.account.kind != "Organization" {
        return Ok(false);
    }
    Ok(owns(app, token, &installation.account.login).await?
        || administers_a_repository(app, token, installation.id).await?)
}

#[derive(Deserialize)]
struct InstallationsPage {
    installations: Vec<Numbered>,
}

#[derive(Deserialize)]
struct Numbered {
    id: i64,
}

async fn can_see(app: &App, token: &UserToken, id: i64) -> Result<bool, GithubError> {
    any_page(app, token, "/user/installations", |answer| {
        let page: InstallationsPage = request::read(answer)?;
        Ok(page.installations.iter().any(|installation| installation.id == id))
    })
    .await
}

#[derive(Deserialize)]
struct Membership {
    state: String,
    role: String,
}

/// Whether GitHub says that the user owns the organization. It does not say so to every App.
async fn owns(app: &App, token: &UserToken, organization: &str) -> Result<bool, GithubError> {
    let organization = request::path(std::iter::once(organization))?;
    let path = format!("/user/memberships/orgs{organization}");
    match get(app, token, &path).await {
        Ok(answer) => {
            let membership: Membership = request::read(&answer)?;
            Ok(membership.state == "active" && membership.role == "admin")
        }
        Err(error) if matches!(error.status, Some(403 | 404)) && !error.is_transient() => Ok(false),
        Err(error) => Err(error),
    }
}

#[derive(Deserialize)]
struct RepositoriesPage {
    repositories: Vec<Permitted>,
}

#[derive(Deserialize)]
struct Permitted {
    #[serde(default)]
    permissions: Permissions,
}

#[derive(Default, Deserialize)]
struct Permissions {
    #[serde(default)]
    admin: bool,
}

async fn administers_a_repository(
    app: &App,
    token: &UserToken,
    id: i64,
) -> Result<bool, GithubError> {
    any_page(app, token, &format!("/user/installations/{id}/repositories"), |answer| {
        let page: RepositoriesPage = request::read(answer)?;
        Ok(page.repositories.iter().any(|repository| repository.permissions.admin))
    })
    .await
}

/// Whether a page of a list has what is looked for; the list is looked through for so many pages.
async fn any_page(
    app: &App,
    token: &UserToken,
    path: &str,
    has: impl Fn(&OutsideResponse) -> Result<bool, GithubError>,
) -> Result<bool, GithubError> {
    for page in 1..=MAX_PAGES {
        let answer = get(app, token, &format!("{path}?per_page=100&page={page}")).await?;
        if has(&answer)? {
            return Ok(true);
        }
        if !link::has_next(&answer) {
            break;
        }
    }
    Ok(false)
}

async fn get(app: &App, token: &UserToken, path: &str) -> Result<OutsideResponse, GithubError> {
    let call = Call::get(app, path).up_to(MAX_PAGE_BYTES);
    request::send(app, Who::User, Some(&token.0), &call).await
}
