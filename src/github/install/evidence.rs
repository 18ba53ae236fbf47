//! What GitHub confirms about a user who comes back: that the installation exists, who the user is, and
//! whether the user owns the account that the installation is on.

use http_kit::problem::Problem;
use http_kit::request::Request;

use crate::app::App;
use crate::github::client::{self, ErrorKind, GithubError, Ownership};
use crate::github::install::refusal::{not_owned, refused};
use crate::github::installations::handlers::{UNTOLD, unavailable};

/// Returns the installation that the user comes back from, and the user's account at GitHub. Refuses a user
/// who does not own the installation's account.
pub(super) async fn confirmed(
    app: &App,
    request: &Request<'_>,
) -> Result<(client::Installation, client::Account), Problem> {
    let (installation, user, ownership) =
        found(app, request).await.map_err(|error| match error {
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
pub(crate) async fn found(
    app: &App,
    request: &Request<'_>,
) -> Result<(client::Installation, client::Account, Ownership), NotFound> {
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
    let token = client::exchange_code(app, &code).await.map_err(not_found)?;
    let user = client::user(app, &token).await.map_err(not_found)?;
    let installation = client::installation(app, id).await.map_err(not_found)?;
    let ownership =
        client::ownership(app, &token, &user, &installation).await.map_err(not_found)?;
    Ok((installation, user, ownership))
}
