//! The callback: receives the browser when it comes back from GitHub with the gateway's `state`.
//!
//! A state is accepted in time and for the first time; the browser that used it sees the outcome again. The
//! gateway believes the callback only as far as GitHub confirms it ([`evidence`]). A browser's user is
//! asked before the actor who began becomes the owner ([`transfer::confirm`]).

use http_kit::request::Request;
use seams::{ids, log};

use crate::access::reply::Outcome;
use crate::app::{App, Settings as _};
use crate::github::install::record;
use crate::github::install::refusal::{
    BEGIN_AGAIN, or_page, owned_by_another, refused, unconfigured,
};
use crate::github::install::state::{self, QUESTION, QUESTION_FOR_MS, Question, STATE, State};
use crate::github::install::{evidence, transfer};
use crate::github::installations::store::{Claim, ShownInstallation};
use crate::github::settings::Settings;
use crate::github::visit::{self, Visit};
use crate::github::{page, uninvited};
use crate::store::Ready;

/// Come back from GitHub after installing the App.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/integrations/github/callback",
    operation_id = "githubCallback",
    tag = "github",
    params(
        ("state" = Option<String>, Query, description = "The `state` that the gateway sent to GitHub; missing if the user began at GitHub."),
        ("code" = Option<String>, Query, description = "The code for which GitHub tells the gateway who the user is."),
        ("installation_id" = Option<String>, Query, description = "The number of the installation."),
        ("setup_action" = Option<String>, Query, description = "`install`, `update` or `request`."),
        ("error" = Option<String>, Query, description = "Why GitHub sends the user back without a code: `access_denied` if they cancelled."),
    ),
    responses(
        (status = 200, description = "A page that shows the installation and the next step.", content_type = "text/html"),
        (status = 403, description = "`installation_refused`: the state is no longer valid, or the user does not own the account at GitHub."),
        (status = 409, description = "`installation_owned`: the installation has another owner, and the user did not begin with `claim=true`."),
        (status = 503, description = "`github_unavailable`, `identity_authority_unavailable`: begin again later."),
    ),
))]
pub async fn come_back(app: &App, request: &Request<'_>) -> Outcome {
    or_page(app, request, connect(app, request).await)
}

async fn connect(app: &App, request: &Request<'_>) -> Outcome {
    // 1. Answer a user who comes back without consent, or who has not begun here.
    if Settings::of(app).api.client.is_none() {
        return Err(unconfigured());
    }
    if let Some(error) = request.query("error") {
        return without_consent(app, request, &error);
    }
    let Some(text) = request.query("state") else {
        return uninvited::come_back(app, request).await;
    };
    // 2. Open the state; it must come back in time and for the first time. Steps 3 to 7 are in `claim`.
    let state = state::open::<State>(app, STATE, &text).ok_or_else(|| refused(BEGIN_AGAIN))?;
    let ready = Ready::ensure(app).await?;
    let is_late = request.now_ms >= state.until_ms;
    if is_late || !state::use_once(ready, &state.nonce, state.until_ms).await? {
        return used_or_late(app, ready, request, &state, is_late).await;
    }
    if request.query("setup_action").as_deref() == Some("request") {
        return Ok(page::requested(&page::origin(request, &app.config.public_url)));
    }
    claim(app, ready, request, state).await
}

/// Handles a user who has come back with a good state.
async fn claim(app: &App, ready: Ready<'_>, request: &Request<'_>, state: State) -> Outcome {
    // 3. Ask GitHub who the user is, whether the installation exists, and whether they own its account.
    let (confirmed, user) = evidence::confirm(app, request).await?;
    // 4. Record the installation, and fetch its first token.
    let known = record::on_record(app, ready, request, &confirmed).await?;
    record::fetch_token(app, ready, confirmed.id).await;
    // 5. Show it if no actor asks for it; refuse it if it has another owner and the actor does not claim it.
    let visit = Visit {
        nonce: state.nonce,
        installation_id: confirmed.id,
        is_update: visit::is_update(request),
        user: user.login.clone(),
        question: None,
    };
    let seen = record::shown_installation(ready, &confirmed, state.actor.as_deref()).await?;
    let origin = page::origin(request, &app.config.public_url);
    let Some(actor) = state.actor else {
        let page = page::installed(&seen.shown, visit.is_update, &origin);
        return Ok(visit::keep(app, page, &visit));
    };
    let from = seen.shown.owner.as_ref().map(|owner| owner.id.clone());
    if !state.claims && from.as_ref().is_some_and(|owner| *owner != actor) {
        return Err(owned_by_another());
    }
    // 6. Ask a browser's user before the actor becomes the owner.
    let is_own = user.id == confirmed.account.id;
    let github = (user.id, (!is_own).then_some(user.login));
    if visit::is_by_browser(request) {
        let (nonce, until_ms) = (ids::random_hex::<16>(), request.now_ms + QUESTION_FOR_MS);
        let installation_id = confirmed.id;
        let question = Question { nonce, until_ms, actor, installation_id, from, github };
        return ask(app, &seen, &question, visit);
    }
    // 7. Give it to the actor, with the events, in one batch; reply, and announce the events.
    let claim = Claim {
        id: confirmed.id,
        actor: &actor,
        from: from.as_deref(),
        github: (github.0, github.1.as_deref()),
    };
    let events = transfer::transfer(app, ready, &claim, &known.chitty_id, request).await?;
    let seen = record::shown_installation(ready, &confirmed, None).await?;
    Ok(transfer::announcing(page::installed(&seen.shown, visit.is_update, &origin), events))
}

/// Asks the user of a browser whether the actor becomes the owner.
fn ask(app: &App, seen: &ShownInstallation, question: &Question, visit: Visit) -> Outcome {
    let sealed = state::seal(app, QUESTION, question)?;
    let page = page::question(&seen.shown, &seen.asks(&question.actor), &visit.user, &sealed);
    Ok(visit::keep(app, page, &Visit { question: Some(sealed), ..visit }))
}

/// Answers a user who cancelled at GitHub, or whom GitHub could not ask. Nothing has happened, and the state
/// stays valid.
fn without_consent(app: &App, request: &Request<'_>, error: &str) -> Outcome {
    if error == "access_denied" {
        return Ok(page::cancelled(&page::origin(request, &app.config.public_url)));
    }
    log::warn("github_sent_back", &[("error", error.get(..64).unwrap_or("another"))]);
    Err(refused(match error {
        "application_suspended" => {
            "GitHub has suspended this App. Ask the operator of the gateway."
        }
        "redirect_uri_mismatch" => {
            "GitHub knows this App under another callback URL: see docs/github-app.md."
        }
        _ => "GitHub could not ask for your consent. Begin again at /integrations/github/install.",
    }))
}

/// Answers a state that has been used or has expired. The browser that used it sees the outcome again.
async fn used_or_late(
    app: &App,
    ready: Ready<'_>,
    request: &Request<'_>,
    state: &State,
    is_late: bool,
) -> Outcome {
    if !visit::is_by_browser(request) {
        return Err(refused(BEGIN_AGAIN));
    }
    if let Some(visit) = visit::of(app, request, &state.nonce) {
        return visit::show_again(app, ready, request, &visit, state.actor.as_deref()).await;
    }
    let origin = page::origin(request, &app.config.public_url);
    match request.query("setup_action").as_deref() {
        Some("request") if !is_late => Ok(page::requested(&origin)),
        _ if is_late => Err(refused(BEGIN_AGAIN)),
        _ => Ok(page::used(&origin)),
    }
}
