//! Installations of the App: where it is installed, what it may do there, and who owns it here.
//!
//! GitHub tells of one by webhooks, and by the browser of whoever installs it. Whichever comes first
//! gives it its CONTEXT ChittyID.

pub mod handlers;
pub mod store;

use chitty_core::{CallContext, ChittyId, EntityLabel, MintRequest, ServiceError};
use serde_json::json;

use crate::app::App;
use crate::events::{Event, EventKind, outbox};
use crate::github::deliveries::Known;
use crate::github::payload::Installation;
use crate::init::Ready;
use crate::platform::db::{DbError, first_row};
use crate::platform::time;

/// Mints the CONTEXT ChittyID of an installation.
///
/// # Errors
/// What ChittyID said.
pub async fn mint(app: &App, id: i64, cx: CallContext) -> Result<ChittyId, ServiceError> {
    let wanted = MintRequest {
        label: EntityLabel::Context,
        metadata: json!({
            "type": "github_installation", "installationId": id, "service": "chittyconnect",
        }),
        timestamp: time::iso8601(app.now_ms()),
        idempotency_key: None,
    };
    app.core.session(cx).id().mint(&wanted).await
}

/// Puts an installation on record under a minted id, and tells of it. Of two at once one wins; the id of
/// the other is reported as an orphan. Returns the one that it has.
///
/// # Errors
/// When the database does not answer; whether the installation is on record is open then, and to do it
/// again with the same id is safe.
pub async fn put_on_record(
    app: &App,
    ready: Ready<'_>,
    installation: &Installation,
    minted: &str,
    traceparent: Option<&str>,
) -> Result<(Known, Vec<Event>), DbError> {
    let (now_ms, overdue_ms) = (app.now_ms(), app.config.outbox_overdue_ms);
    let payload = json!({ "installation_id": installation.id });
    let installed =
        Event::new(now_ms, EventKind::AppInstalled, minted, minted, payload, traceparent);
    let lost = json!({ "reason": "installation_race" });
    let orphaned =
        Event::new(now_ms, EventKind::IdentityOrphaned, minted, minted, lost, traceparent);
    let statements = vec![
        store::upsert(installation, minted, &installed.id, now_ms),
        store::first_told(&installed, overdue_ms),
        outbox::insert_if_installation(&orphaned, false, overdue_ms),
        store::known(installation.id),
    ];
    let results = ready.db().batch(statements).await?;
    let row = first_row(results.into_iter().nth(3)).ok_or(DbError::Shape)?;
    let known = store::read_known(row)?;
    let told = if known.chitty_id == minted { installed } else { orphaned };
    Ok((known, vec![told]))
}
