//! Installations of the App: where it is installed, what it may do there, and which actor owns the
//! installation in ChittyOS.
//!
//! The gateway learns of an installation from a webhook and from the browser of the user who installs the
//! App. Whichever comes first makes the gateway mint the installation's CONTEXT ChittyID.

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

/// Mints the CONTEXT ChittyID of an installation. The intent must be on record.
///
/// # Errors
/// ChittyID's error.
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

/// Records an installation under a minted id, together with its event. If two workers do so at once, one
/// wins, and the id of the other is reported as an orphan. Fulfils `intent`, if one is given. Returns the
/// record of the installation, and the events to announce.
///
/// # Errors
/// When the database does not answer. The installation may be on record even then; a repeat with the same
/// id is safe.
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
        store::upsert(installation, minted, installed.id.as_str(), now_ms),
        installed_row(&installed, overdue_ms),
        orphaned_row(&orphaned, overdue_ms),
        jobs::wake(installation.id, now_ms),
        store::select_record(installation.id),
    ];
    // The id is in use now, or reported as an orphan.
    statements.extend(intent.map(MintIntent::fulfil));
    let mut results = ready.db().batch(statements).await?.into_iter().skip(1);
    // An event whose row was not written now was written before.
    let mut events = Vec::new();
    for event in [installed, orphaned] {
        if results.next().is_some_and(|rows| !rows.is_empty()) {
            events.push(event);
        }
    }
    let row = first_row(results.nth(1)).ok_or(DbError::Shape)?;
    Ok((store::read_record(row)?, events))
}

/// Writes the outbox row of the event that an installation is on record, once for each installation and
/// only if the installation has the event's ChittyID. Returns a row if it was written.
fn installed_row(event: &Event, overdue_ms: u64) -> Statement {
    let condition = "EXISTS (SELECT 1 FROM installations WHERE chitty_id = ?4) AND NOT EXISTS \
         (SELECT 1 FROM audit_once WHERE entity_id = ?4 AND action = ?2) RETURNING event_id";
    outbox::insert_if(event, overdue_ms, condition)
}

/// Writes the outbox row of the event that a ChittyID is an orphan, once and only if no installation has
/// the id. Returns a row if it was written.
fn orphaned_row(event: &Event, overdue_ms: u64) -> Statement {
    let condition = "NOT EXISTS (SELECT 1 FROM installations WHERE chitty_id = ?4) AND NOT \
         EXISTS (SELECT 1 FROM audit_once WHERE entity_id = ?4 AND action = ?2) RETURNING event_id";
    outbox::insert_if(event, overdue_ms, condition)
}
