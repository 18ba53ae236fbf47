//! Installations of the App: where it is installed, what it may do there, and who owns it here.
//!
//! GitHub tells of one by webhooks, and by the browser of whoever installs it. Whichever comes first
//! gives it its CONTEXT ChittyID.

pub mod handlers;
pub mod store;

use chitty_core::{CallContext, ChittyId, EntityLabel, ServiceError};
use seams::db::{DbError, Statement, first_row};
use serde_json::json;

use crate::app::App;
use crate::github::deliveries::InstallationRecord;
use crate::github::jobs;
use crate::github::payload::Installation;
use crate::store::event::{Event, EventKind};
use crate::store::minting::MintIntent;
use crate::store::{Ready, outbox};

/// Mints the CONTEXT ChittyID of an installation; the intent is on record.
///
/// # Errors
/// What ChittyID said.
pub async fn mint(
    app: &App,
    ready: Ready<'_>,
    id: i64,
    cx: CallContext,
    intent: &MintIntent,
) -> Result<ChittyId, ServiceError> {
    let metadata = json!({
        "type": "github_installation", "installationId": id, "service": "chittyconnect",
    });
    intent.mint(app, ready, &app.core.session(cx), EntityLabel::Context, metadata).await
}

/// Puts an installation on record under a minted id, and tells of it. Of two at once one wins; the id of
/// the other is reported as an orphan. The intent of a mint that was for this alone ends with it. Returns what is known of it now, and what is to be announced.
///
/// # Errors
/// When the database does not answer; whether the installation is on record is open then, and to do it
/// again with the same id is safe.
pub async fn put_on_record(
    app: &App,
    ready: Ready<'_>,
    installation: &Installation,
    minted: &str,
    intent: Option<&MintIntent>,
    traceparent: Option<&str>,
) -> Result<(InstallationRecord, Vec<Event>), DbError> {
    let (now_ms, overdue_ms) = (app.now_ms(), app.config.outbox_overdue_ms);
    let payload = json!({ "installation_id": installation.id });
    let installed =
        Event::new(now_ms, EventKind::AppInstalled, minted, minted, payload, traceparent);
    let lost = json!({ "reason": "installation_race" });
    let orphaned =
        Event::new(now_ms, EventKind::IdentityOrphaned, minted, minted, lost, traceparent);
    let mut statements = vec![
        store::upsert(installation, minted, &installed.id, now_ms),
        installed_row(&installed, overdue_ms),
        orphaned_row(&orphaned, overdue_ms),
        jobs::wake(installation.id, now_ms),
        store::known(installation.id),
    ];
    // The id is in use now, or told of as nobody's.
    statements.extend(intent.map(MintIntent::fulfilled));
    let mut results = ready.db().batch(statements).await?.into_iter().skip(1);
    // What was not written now was told before.
    let mut events = Vec::new();
    for event in [installed, orphaned] {
        if results.next().is_some_and(|rows| !rows.is_empty()) {
            events.push(event);
        }
    }
    let row = first_row(results.nth(1)).ok_or(DbError::Shape)?;
    Ok((store::read_known(row)?, events))
}

/// The row of the event that an installation is on record, written once for each and only if the
/// installation has the event's ChittyID. Returns a row if it was.
fn installed_row(event: &Event, overdue_ms: u64) -> Statement {
    let condition = "EXISTS (SELECT 1 FROM installations WHERE chitty_id = ?4) AND NOT EXISTS \
         (SELECT 1 FROM audit_once WHERE entity_id = ?4 AND action = ?2) RETURNING event_id";
    outbox::insert_if(event, overdue_ms, condition)
}

/// The row of the event that a ChittyID is nobody's, written once and only if no installation has it.
/// Returns a row if it was.
fn orphaned_row(event: &Event, overdue_ms: u64) -> Statement {
    let condition = "NOT EXISTS (SELECT 1 FROM installations WHERE chitty_id = ?4) AND NOT \
         EXISTS (SELECT 1 FROM audit_once WHERE entity_id = ?4 AND action = ?2) RETURNING event_id";
    outbox::insert_if(event, overdue_ms, condition)
}
