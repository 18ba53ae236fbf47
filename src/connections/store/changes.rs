//! The changes and the end of connections. Each is one batch with the row, its credential and its event.

use http_kit::fields::Member;
use http_kit::precondition::{ChangeOutcome, IfMatch};
use seams::db::{Params, Statement};
use serde_json::json;

use super::secrets::{SealedCredential, give_up_secret, put_secret, remove_secret};
use super::{DOCUMENT, reach};
use crate::access::caller::{Scope, WriteError};
use crate::access::quota::Quota;
use crate::connections::SCHEDULE_REVOCATION;
use crate::connections::input::Patch;
use crate::connections::intents::Intent;
use crate::store::event::{Event, EventKind};
use crate::store::{Ready, outbox};

/// A change of one connection.
pub struct Change<'a> {
    /// The event of the change. Its entity is the connection, and its id becomes the revision.
    pub event: &'a Event,
    /// The revisions that may be changed.
    pub if_match: IfMatch,
    /// How long after its instant the event becomes overdue, in ms.
    pub overdue_ms: u64,
    /// The quota of checked connections, if this one gets a check path.
    pub quota: Option<Quota>,
}

/// The two statements that a change begins with; see [`ChangeOutcome::read`].
fn change(scope: &Scope, change: &Change<'_>, mut params: Params, set: &str) -> [Statement; 2] {
    let event = change.event;
    let mut before = Params::default();
    let id = before.add(event.entity_id.as_str());
    let own = reach(scope, &mut before);
    let before = before.statement(format!(
        "SELECT revision FROM connections WHERE connection_id = {id} AND {own} \
         AND status <> 'disconnected'"
    ));
    let (at, revision) = (params.add(event.at.as_str()), params.add(event.id.as_str()));
    let id = params.add(event.entity_id.as_str());
    let revisions = params.add(change.if_match.as_json());
    let own = reach(scope, &mut params);
    // `set` may contain `{now}` for the instant of the change.
    let set = set.replace("{now}", &at);
    let update = params.statement(format!(
        "UPDATE connections SET {set}updated_at = {at}, revision = {revision} \
         WHERE connection_id = {id} AND {own} AND status <> 'disconnected' \
         AND ({revisions} IS NULL OR revision IN (SELECT value FROM json_each({revisions}))) \
         RETURNING {DOCUMENT} AS document"
    ));
    [before, update]
}

/// Changes a connection. If its credential is replaced, schedules the revocation of the old one.
///
/// # Errors
/// [`WriteError`]; see [`super::is_taken`].
pub async fn update(
    ready: Ready<'_>,
    scope: &Scope,
    asked: &Change<'_>,
    patch: &Patch,
    secret: Option<(&SealedCredential, Option<&Intent>)>,
    due_at: &str,
) -> Result<ChangeOutcome, WriteError> {
    let mut params = Params::default();
    let mut set = String::new();
    if let Some(scopes) = &patch.scopes {
        set += &format!("scopes = {}, ", params.add(serde_json::json!(scopes).to_string()));
    }
    match &patch.check_path {
        Member::Absent => {}
        Member::Null => set += "check_path = NULL, check_due_at = NULL, ",
        Member::Value(path) => {
            let (path, due) = (params.add(path.as_str()), params.add(due_at));
            set += &format!("check_path = {path}, check_due_at = {due}, ");
        }
    }
    if let Some(config) = &patch.config {
        set += &format!("config = {}, ", params.add(config.as_str()));
    }
    if let Some(status) = patch.status {
        set += &format!("status = {}, error_count = 0, last_error = NULL, ", params.add(status));
    }
    if let Some((sealed, _)) = secret {
        set += &format!("credential_type = {}, ", params.add(sealed.kind));
    }
    let mut batch = change(scope, asked, params, &set).to_vec();
    if let Some((sealed, intent)) = secret {
        batch.push(give_up_secret(asked.event));
        batch.push(put_secret(asked.event, sealed, None));
        batch.extend(intent.map(|intent| intent.fulfil(asked.event)));
    }
    let (event, overdue_ms) = (asked.event, asked.overdue_ms);
    batch.push(outbox::insert_if_changed(event, overdue_ms, "connections", "connection_id"));
    batch.extend(asked.quota.as_ref().and_then(Quota::assertion));
    let mut results = scope.write(ready, batch).await?.into_iter();
    Ok(ChangeOutcome::read(results.next(), results.next(), &asked.if_match)?)
}

/// Ends a connection. The same batch deletes its credential and schedules the revocation.
///
/// # Errors
/// [`WriteError`].
pub async fn disconnect(
    ready: Ready<'_>,
    scope: &Scope,
    asked: &Change<'_>,
) -> Result<ChangeOutcome, WriteError> {
    let set = "status = 'disconnected', disconnected_at = {now}, check_due_at = NULL, ";
    let mut batch = change(scope, asked, Params::default(), set).to_vec();
    batch.push(give_up_secret(asked.event));
    batch.push(remove_secret(asked.event));
    let (event, overdue_ms) = (asked.event, asked.overdue_ms);
    batch.push(outbox::insert_if_changed(event, overdue_ms, "connections", "connection_id"));
    let mut results = scope.write(ready, batch).await?.into_iter();
    Ok(ChangeOutcome::read(results.next(), results.next(), &asked.if_match)?)
}

/// The statements that end every connection of a context that the event has deleted, for the batch of
/// the deletion.
pub fn end_with_context(event: &Event) -> Vec<Statement> {
    let ended = |context: &str, revision: &str| {
        format!(
            "SELECT connection_id AS entity_id FROM connections \
             WHERE source_chitty_id = {context} AND source_type = 'context' \
             AND status <> 'disconnected' AND EXISTS \
             (SELECT 1 FROM contexts WHERE chitty_id = {context} AND revision = {revision})"
        )
    };
    let tell = outbox::insert_each(
        event,
        EventKind::ConnectionDisconnected,
        json!({ "reason": "context deleted" }),
        &ended("?4", "?1"),
    );
    let ended = ended("?1", "?2");
    let give_up = Statement::new(format!(
        "{SCHEDULE_REVOCATION} \
         SELECT ?2 || '/' || connection_id, connection_id, sealed, ?3, ?3 \
         FROM connection_secrets WHERE connection_id IN ({ended})"
    ));
    let remove =
        Statement::new(format!("DELETE FROM connection_secrets WHERE connection_id IN ({ended})"));
    let end = Statement::new(format!(
        "UPDATE connections SET status = 'disconnected', disconnected_at = ?3, \
         check_due_at = NULL, updated_at = ?3, revision = ?2 WHERE connection_id IN ({ended})"
    ));
    let (context, revision, at) = (event.entity_id.as_str(), event.id.as_str(), event.at.as_str());
    vec![
        give_up.bind(context).bind(revision).bind(at),
        remove.bind(context).bind(revision),
        tell,
        end.bind(context).bind(revision).bind(at),
    ]
}
