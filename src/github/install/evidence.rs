//! What GitHub confirms about a user who comes back: that the installation exists, who the user is, and
//! whether the user owns the account that the installation is on.

use github_client::{Account, ErrorKind, GithubError, Installation, Ownership};
use http_kit::problem::Problem;
use http_kit::request::Request;

use crate::app::App;
use crate::github::client;
use crate::github::install::refusal::{not_owned, refused};
use crate::github::installations::handlers::{UNTOLD, unavailable};

/// Returns the installation that the user comes back from, and the user's account at GitHub. Refuses a user
/// who does not own the installation's account.
pub(super) async fn confirm(
    app: &App,
    request: &Request<'_>,
) -> Result<(Installation, Account), Problem> {
    let (installation, user, ownership) =
        fetch(app, request).await.map_err(|error| match error {
            NotFound::Refused => refused(
                "GitHub did not accept the code. Begin again at /integrations/github/install.",
            ),
            NotFound::Problem(problem) => problem,
        })?;
    match ownership {
        Ownership::Owned => Ok((installation, user)),
        Ownership::NotOwned | Ownership::Unseen => Err(not_owned()),
        Ownership::Untold => Err(refused(UNTOLD)),
    }
}

/// Why the gateway could not find the installation or the user.
pub(crate) enum NotFound {
    /// GitHub does not accept the code: it was used, or it is not a code.
    Refused,
    /// Any other reason.
    Problem(Problem),
}

/// Returns the installation that the user comes back from, the user's account at GitHub, and whether the
/// user owns the installation's account.
pub(crate) async fn fetch(
    app: &App,
    request: &Request<'_>,
) -> Result<(Installation, Account, Ownership), NotFound> {
    let id = request.query("installation_id").and_then(|id| id.parse::<i64>().ok());
    let (Some(id), Some(code)) = (id, request.query("code")) else {
        return Err(NotFound::Problem(refused(
            "GitHub sent no installation or no code. The App must be set to request user \
             authorization during installation: see docs/github-app.md.",
        )));
    };
    let not_found = |error: GithubError| match error.kind {
        ErrorKind::NotFound => {
            NotFound::Problem(refused("GitHub has no such installation of this App."))
        }
        ErrorKind::Refused | ErrorKind::Invalid => NotFound::Refused,
        _ => NotFound::Problem(unavailable(&error)),
    };
    let github = client(app);
    let token = github.exchange_code(&code).await.map_err(not_found)?;
    let user = github.user(&token).await.map_err(not_found)?;
    let installation = github.installation(id).await.map_err(not_found)?;
    let ownership = github.ownership(&token, &user, &installation).await.map_err(not_found)?;
    Ok((installation, user, ownership))
}
