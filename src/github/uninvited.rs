//! Receives users who come back from GitHub without having begun here: they used GitHub's own Install button,
//! or "Configure".
//!
//! No actor of ChittyOS has asked for the installation, so no actor becomes its owner. The gateway records
//! the installation if the user owns its account, and the page says how to own it in ChittyOS.

use github_client::Ownership;
use http_kit::request::Request;
use seams::ids;

use crate::access::reply::Outcome;
use crate::app::App;
use crate::github::install::evidence::{self, NotFound};
use crate::github::install::record;
use crate::github::install::refusal::{BEGIN_AGAIN, not_owned, refused};
use crate::github::page;
use crate::github::visit::{self, Visit};
use crate::store::Ready;

/// Answers a callback that has no state.
pub(crate) async fn come_back(app: &App, request: &Request<'_>) -> Outcome {
    // 1. Answer what needs no user: a request for the App, or a callback without a code.
    let is_update = visit::is_update(request);
    let origin = page::origin(request, &app.config.public_url);
    if request.query("setup_action").as_deref() == Some("request") {
        return Ok(page::requested(&origin));
    }
    if request.query("installation_id").is_none() {
        return Err(refused(BEGIN_AGAIN));
    }
    // Without a code the user is unknown, so the page says nothing that is not public.
    let Some(code) = request.query("code") else { return Ok(page::saved(is_update, &origin)) };
    // 2. Show the page again to the browser that has used this code.
    let ready = Ready::ensure(app).await?;
    let nonce = ids::sha256_hex(&code);
    if let Some(visit) = visit::of(app, request, &nonce) {
        return visit::show_again(app, ready, request, &visit, None).await;
    }
    // 3. Ask GitHub who the user is, whether the installation exists, and whether they own its account.
    let (installation, user, ownership) = match evidence::fetch(app, request).await {
        Ok(found) => found,
        Err(NotFound::Refused) if visit::is_by_browser(request) => return Ok(page::used(&origin)),
        Err(NotFound::Refused) => return Err(refused(BEGIN_AGAIN)),
        Err(NotFound::Problem(problem)) => return Err(problem),
    };
    match ownership {
        Ownership::Owned => {}
        Ownership::NotOwned | Ownership::Untold => {
            return Ok(page::installed_for_owner(is_update, &origin));
        }
        Ownership::Unseen => return Err(not_owned()),
    }
    // 4. Record the installation, and fetch its first token.
    record::on_record(app, ready, request, &installation).await?;
    record::fetch_token(app, ready, installation.id).await;
    // 5. Reply with the page, and keep the visit in the browser.
    let seen = record::shown_installation(ready, &installation, None).await?;
    let page = page::installed(&seen.shown, is_update, &origin);
    let (installation_id, user) = (installation.id, user.login);
    Ok(visit::keep(app, page, &Visit { nonce, installation_id, is_update, user, question: None }))
}
