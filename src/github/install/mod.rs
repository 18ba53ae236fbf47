//! Installing the App: sends the user's browser to GitHub, and receives it when it comes back.
//!
//! `GET /integrations/github/install` sends the browser to GitHub with a [`state`] that only this gateway
//! can make, and that is valid once and for a limited time. GitHub sends the browser back to
//! `GET /integrations/github/callback` ([`callback`]) with a code, by which the user proves who they are. The
//! gateway believes the callback only as far as GitHub confirms it ([`evidence`]): that the installation
//! exists, and that this user owns the account that it is on. Then it puts the installation on [`record`].
//!
//! A caller who begins with a credential asks to own the installation in ChittyOS. The browser that comes
//! back may belong to somebody else, who was given the address. So the gateway asks the browser's user for
//! confirmation before the actor becomes the owner ([`transfer`]).
//!
//! An installation keeps its owner until the owner releases it or it is claimed: a caller who begins with
//! `?claim=true` takes it over, and both are told.

pub mod callback;
pub mod evidence;
pub mod record;
pub mod refusal;
pub mod state;
pub mod transfer;

use http_kit::problem::{Code, Problem};
use http_kit::request::Request;
use seams::ids;

use crate::access::caller::{Caller, Permission};
use crate::access::reply::{Body, Outcome, Reply};
use crate::app::{App, Settings as _};
use crate::github::install::refusal::{or_page, unconfigured};
use crate::github::install::state::{STATE, STATE_FOR_MS, State};
use crate::github::settings::Settings;
use crate::store::Ready;

/// Go to GitHub to install the App.
///
/// With a credential, you become the owner of the installation in ChittyOS. Without one it has no owner,
/// and only administrators see it.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/integrations/github/install",
    operation_id = "githubInstall",
    tag = "github",
    params(
        ("Authorization" = Option<String>, Header, description = "The credential of the actor who is to own the installation."),
        ("claim" = Option<String>, Query, description = "`true` takes the installation over from another owner; both of you are told."),
    ),
    responses(
        (status = 302, description = "A redirection to GitHub.", headers(("Location" = String))),
        (status = 401, description = "`claim` needs a credential."),
        (status = 422, description = "A parameter is not acceptable."),
    ),
))]
pub async fn begin(app: &App, request: &Request<'_>) -> Outcome {
    or_page(app, request, to_github(app, request).await)
}

async fn to_github(app: &App, request: &Request<'_>) -> Outcome {
    // 1. Check that there is an App to install, and read whether the caller claims the installation.
    let api = &Settings::of(app).api;
    let client = api.client.as_ref().filter(|_| api.app.is_some());
    let Some(client) = client else { return Err(unconfigured()) };
    let claims = match request.query("claim").as_deref() {
        None => false,
        Some("true") => true,
        Some(_) => return Err(Problem::invalid("?claim", "must be `true`, or left out")),
    };
    // 2. Identify the actor who asks for the installation; a claim needs one.
    let actor = asking_actor(app, request).await?;
    if claims && actor.is_none() {
        let detail = "Send your credential with GET /integrations/github/install?claim=true: it says \
             who claims the installation.";
        return Err(Problem::new(Code::AuthenticationRequired, detail));
    }
    // 3. Seal the state, and send the browser to GitHub with it.
    let nonce = ids::random_hex::<16>();
    let state = State { nonce, until_ms: request.now_ms + STATE_FOR_MS, actor, claims };
    let state = state::seal(app, STATE, &state)?;
    let (web, slug) = (&api.web_url, &client.slug);
    let location = format!("{web}/apps/{slug}/installations/new?state={state}");
    Ok(Reply::new(302, Body::Empty).header("location", location))
}

/// Returns the actor who asks for the installation, if the request has a credential.
async fn asking_actor(app: &App, request: &Request<'_>) -> Result<Option<String>, Problem> {
    if request.header("authorization").is_none() && request.header("x-chittyos-api-key").is_none() {
        return Ok(None);
    }
    let ready = Ready::ensure(app).await?;
    let caller = Caller::authenticate(app, ready, request).await?;
    let scope = caller.scope(Permission::GithubWrite, request.now_ms);
    scope.admit_to(ready, Permission::GithubWrite, true).await?;
    scope.not_delegated(ready).await?;
    scope.check(ready).await?;
    Ok(Some(scope.actor().to_owned()))
}
