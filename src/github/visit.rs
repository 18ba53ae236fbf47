//! The visit: a sealed cookie in the browser that came back from GitHub, so that loading the page again shows
//! the outcome.
//!
//! Anybody who has the address knows the state in it, and may have made the state for somebody else. Only the
//! browser that came back has the cookie, which holds nothing that the browser was not shown.

use http_kit::request::Request;
use seams::log;
use serde::{Deserialize, Serialize};

use crate::access::reply::{Outcome, Reply};
use crate::app::App;
use crate::config::Environment;
use crate::github::install::state::{QUESTION, Question, is_used, open};
use crate::github::installations::store;
use crate::github::page;
use crate::store::Ready;

/// The name of the cookie, and the place for which it is sealed.
const COOKIE: &str = "chittyconnect_github";
const VISIT: &str = "github/visit";

/// How long the browser keeps the cookie, in seconds: a day.
const KEPT_S: u32 = 24 * 3600;

/// The most bytes of the cookie's value; browsers keep cookies of up to 4096 bytes.
const MAX_BYTES: usize = 3800;

/// One return of a user from GitHub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    /// The nonce of its state, or the hash of its code if the user began at GitHub.
    pub nonce: String,
    /// The number of the installation.
    pub installation_id: i64,
    /// Whether the installation existed already.
    pub is_update: bool,
    /// The user's name at GitHub.
    pub user: String,
    /// The sealed question of the page, if it asked one.
    pub question: Option<String>,
}

/// Whether the request is a browser's navigation, whose reply a person sees.
pub fn is_by_browser(request: &Request<'_>) -> bool {
    page::is_wanted(request) || request.header("sec-fetch-mode").as_deref() == Some("navigate")
}

/// Whether the user changed the repositories of an installation that existed already.
pub(super) fn is_update(request: &Request<'_>) -> bool {
    request.query("setup_action").as_deref() == Some("update")
}

/// Adds the cookie of a visit to a reply. If that fails, the page just cannot be shown again.
pub fn keep(app: &App, reply: Reply, visit: &Visit) -> Reply {
    let text = serde_json::to_string(visit).unwrap_or_default();
    match app.config.sealer.seal(VISIT, &text) {
        Ok(sealed) if sealed.len() <= MAX_BYTES => {
            // A browser does not send a secure cookie to a gateway on the developer's machine.
            let secure = match app.config.environment {
                Environment::Development => "",
                _ => "; Secure",
            };
            reply.header(
                "set-cookie",
                format!(
                    "{COOKIE}={sealed}; Path=/integrations/github; Max-Age={KEPT_S}; HttpOnly; \
                     SameSite=Lax{secure}"
                ),
            )
        }
        Ok(_) => reply,
        Err(error) => {
            log::warn("visit_not_kept", &[("error", &error.to_string())]);
            reply
        }
    }
}

/// Returns the visit with this nonce, if the browser has its cookie.
pub fn of(app: &App, request: &Request<'_>, nonce: &str) -> Option<Visit> {
    let cookies = request.header("cookie")?;
    let sealed = cookies.split(';').find_map(|cookie| {
        cookie.trim().strip_prefix(COOKIE).and_then(|rest| rest.strip_prefix('='))
    })?;
    let text = app.config.sealer.open(VISIT, sealed).ok()?;
    let visit: Visit = serde_json::from_str(&text).ok()?;
    (visit.nonce == nonce).then_some(visit)
}

/// Returns the page of a visit once more: its question while that is open, or else the installation.
pub(super) async fn show_again(
    app: &App,
    ready: Ready<'_>,
    request: &Request<'_>,
    visit: &Visit,
    actor: Option<&str>,
) -> Outcome {
    let origin = page::origin(request, &app.config.public_url);
    let Some(seen) = store::shown_installation(ready, visit.installation_id, actor).await? else {
        return Ok(page::used(&origin));
    };
    let asked = visit.question.as_deref().and_then(|text| {
        let question = open::<Question>(app, QUESTION, text)?;
        (request.now_ms < question.until_ms).then_some((question, text))
    });
    if let Some((question, text)) = asked
        && !is_used(ready, &question.nonce).await?
    {
        let asks = seen.asks(&question.actor);
        return Ok(page::question(&seen.shown, &asks, &visit.user, text));
    }
    Ok(page::installed(&seen.shown, visit.is_update, &origin))
}
