//! The record of an installation that GitHub has confirmed: there is one after the user has come back,
//! whether or not a webhook has described the installation before.

use chitty_core::CallContext;
use github_client::Installation;
use http_kit::problem::{Code, Problem};
use http_kit::request::Request;
use seams::db::{DbError, first_row};
use seams::log;

use crate::app::App;
use crate::github::deliveries::InstallationRecord;
use crate::github::installations::store::{self, ShownInstallation};
use crate::github::{installations, payload, tokens};
use crate::store::minting::MintIntent;
use crate::store::{Ready, outbox};

/// Returns the record of an installation. If there is none, mints the installation's identity and records it.
pub(crate) async fn on_record(
    app: &App,
    ready: Ready<'_>,
    request: &Request<'_>,
    confirmed: &Installation,
) -> Result<InstallationRecord, Problem> {
    let known = ready.db().batch(vec![store::select_record(confirmed.id)]).await?;
    if let Some(row) = first_row(known.into_iter().next()) {
        return Ok(store::read_record(row)?);
    }
    let cx: CallContext = request.trace.call(None);
    let intent = MintIntent::new(app, "github_installation", "github:app");
    ready.db().batch(vec![intent.record()]).await?;
    let minted = installations::mint(app, ready, confirmed.id, cx, &intent).await;
    let minted = minted.map_err(|error| {
        Problem::upstream(
            Code::IdentityAuthorityUnavailable,
            "ChittyID did not mint an identity. The App is installed; begin again at \
             /integrations/github/install later to connect it.",
            &error,
        )
    })?;
    let traceparent = Some(request.trace.traceparent.as_str());
    let described = described(confirmed);
    let id = minted.as_str();
    let put =
        installations::put_on_record(app, ready, &described, id, Some(&intent), traceparent).await;
    match put {
        Ok((known, events)) => {
            outbox::announce(app, events).await;
            Ok(known)
        }
        Err(error) => {
            // A batch that was not answered may have been committed: then the id is in use.
            let kept = ready.db().batch(vec![store::select_record(confirmed.id)]).await;
            let row = kept.map(|results| first_row(results.into_iter().next()));
            match row.map(|row| row.map(store::read_record)) {
                Ok(Some(Ok(known))) if known.chitty_id == id => Ok(known),
                _ => {
                    intent.report_orphan(app, ready, &minted, "storage_unavailable").await;
                    Err(error.into())
                }
            }
        }
    }
}

fn described(confirmed: &Installation) -> payload::Installation {
    let account = &confirmed.account;
    payload::Installation {
        id: confirmed.id,
        account: Some(payload::Account {
            id: account.id,
            login: account.login.clone(),
            kind: account.kind.clone(),
            avatar_url: account.avatar_url.clone(),
        }),
        repository_selection: Some(confirmed.repository_selection.clone()),
        permissions: Some(confirmed.permissions.clone()),
        events: Some(confirmed.events.clone()),
        created_at: Some(confirmed.created_at.clone()),
        updated_at: Some(confirmed.updated_at.clone()),
        suspended_at: confirmed.suspended_at.clone(),
    }
}

/// Fetches the first token of an installation. If that fails, it is fetched when it is needed.
pub(crate) async fn fetch_token(app: &App, ready: Ready<'_>, id: i64) {
    if let Err(error) = tokens::installation_token(app, ready, id).await {
        log::warn("token_not_fetched", &[("error", &error.to_string())]);
    }
}

/// Returns what a page shows of a recorded installation, with the account and the choice of repositories as
/// GitHub has just described them.
pub(crate) async fn shown_installation(
    ready: Ready<'_>,
    confirmed: &Installation,
    actor: Option<&str>,
) -> Result<ShownInstallation, Problem> {
    let recorded = store::shown_installation(ready, confirmed.id, actor).await?;
    let mut seen = recorded.ok_or(DbError::Shape)?;
    seen.shown.account.clone_from(&confirmed.account.login);
    seen.shown.repository_selection.clone_from(&confirmed.repository_selection);
    Ok(seen)
}
