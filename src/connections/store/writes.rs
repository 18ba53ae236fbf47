//! Changes of connections. Each is one batch with the row, its credential and its event.

use http_kit::fields::Member;
use http_kit::precondition::{ChangeOutcome, IfMatch, etag};
use http_kit::problem::{Code, Problem};
use seams::db::{Params, Row, Statement, Value, first_row};
use seams::time;
use serde_json::json;

use super::{DOCUMENT, reach};
use crate::access::caller::{Grant, Scope, WriteError};
use crate::access::idempotency::{Idempotency, StoredReply};
use crate::access::quota::Quota;
use crate::connections::SCHEDULE_REVOCATION;
use crate::connections::input::{Draft, Patch};
use crate::connections::intents::Intent;
use crate::discovery::endpoint::Endpoint;
use crate::store::event::{Event, EventKind};
use crate::store::{Ready, outbox};

/// The unique index over active connections, as SQLite names it.
const ACTIVE: &str = "connections_active";

fn active_twin(draft: &Draft, params: &mut Params) -> String {
    let source = params.add(draft.source.as_str());
    let service = params.add(draft.target_service.as_str());
    let endpoint = params.add(draft.target_endpoint.as_ref().map(Endpoint::to_string));
    format!(
        "SELECT connection_id FROM connections WHERE source_chitty_id = {source} \
         AND target_service = {service} AND ifnull(target_endpoint, '') = ifnull({endpoint}, '') \
         AND status = 'active'"
    )
}

/// Checks in one round trip whether anything prevents a creation, before the gateway calls another service
/// for it. Returns the rows that `look_up` finds; if there are any, nothing else is checked.
///
/// # Errors
/// 404 if the caller has no such source, 409 if there is such an active connection, 403 if the caller has as
/// many connections as it may; storage failures.
pub async fn check_free(
    ready: Ready<'_>,
    scope: &Scope,
    draft: &Draft,
    quotas: &[Quota],
    look_up: Option<Statement>,
) -> Result<Vec<Row>, Problem> {
    let source = Statement::new(
        "SELECT 1 AS found WHERE iif(?1 = 'actor', ?2 = ?3, EXISTS (SELECT 1 FROM contexts \
         WHERE chitty_id = ?2 AND owner_chitty_id = ?3 AND deleted_at IS NULL))",
    )
    .bind(draft.source_type)
    .bind(draft.source.as_str())
    .bind(scope.actor());
    let mut params = Params::default();
    let twin = active_twin(draft, &mut params);
    let twin = params.statement(twin);
    let rooms = quotas.iter().map(Quota::question);
    let batch = [source, twin].into_iter().chain(rooms).chain(look_up).collect();
    let mut results = scope.read(ready, batch).await?.into_iter();
    let has_source = results.next().is_some_and(|rows| !rows.is_empty());
    let twin = first_row(results.next());
    let rooms: Vec<Vec<Row>> = results.by_ref().take(quotas.len()).collect();
    let stored = results.next().unwrap_or_default();
    if !stored.is_empty() {
        return Ok(stored);
    }
    if !has_source {
        return Err(Problem::not_found(draft.source_type).adding(
            "`source_type` says whether `source_chitty_id` names a `context` or an `actor`.",
        ));
    }
    if let Some(mut row) = twin {
        return Err(exists(Some(row.text("connection_id")?)));
    }
    quotas.iter().zip(&rooms).try_for_each(|(quota, rows)| quota.judge(rows))?;
    Ok(stored)
}

/// The problem 409: there is such an active connection.
fn exists(id: Option<String>) -> Problem {
    Problem::new(
        Code::ConnectionExists,
        "The source has an active connection to that service and endpoint. Use that one, or \
         disconnect it first.",
    )
    .existing_connection(id)
}

/// Whether a batch failed because there is such an active connection.
pub fn is_taken(error: &WriteError) -> bool {
    error.is_unique(ACTIVE)
}

/// Returns the problem 409 with the id of the existing connection.
pub async fn taken(ready: Ready<'_>, draft: &Draft) -> Problem {
    let mut params = Params::default();
    let twin = active_twin(draft, &mut params);
    match ready.db().rows(params.statement(twin)).await {
        Ok(rows) => {
            let id = rows.into_iter().next().and_then(|mut row| row.text("connection_id").ok());
            exists(id)
        }
        Err(error) => error.into(),
    }
}

/// The result of the check during a creation.
pub struct FirstCheck {
    /// When it was checked, if it was.
    pub at: Option<String>,
    /// What was wrong, if anything was.
    pub error: Option<String>,
    /// When the cron checks it next, if ever.
    pub due_at: Option<String>,
}

/// A sealed credential on its way to the database.
#[derive(Clone)]
pub struct SealedCredential {
    /// Its type.
    pub kind: &'static str,
    /// The sealed text.
    pub text: String,
    /// When its access token expires (ISO-8601 UTC), if that is known.
    pub expires_at: Option<String>,
}

/// A connection to be stored.
#[derive(Clone, Copy)]
pub struct Insertion<'a> {
    /// What the caller asked for.
    pub draft: &'a Draft,
    /// Its credential, if it has one.
    pub sealed: Option<&'a SealedCredential>,
    /// The intent under which the credential was made or renewed, if it was.
    pub intent: Option<&'a Intent>,
    /// The authority by which ChittyAuth made the credential, if it did.
    pub grant: Option<&'a Grant>,
    /// The result of the check of the target.
    pub check: &'a FirstCheck,
    /// The event of the creation. Its entity is the connection, and its id becomes the revision.
    pub event: &'a Event,
    /// How long after its instant the event becomes overdue, in ms.
    pub overdue_ms: u64,
    /// The quotas that limit the creation.
    pub quotas: &'a [Quota],
    /// The request's idempotency key.
    pub key: Option<&'a Idempotency>,
}

fn created() -> String {
    format!("'{{\"success\":true,\"connection\":' || {DOCUMENT} || '}}'")
}

/// The values of a connection's columns, in the order of the statement of [`insert`].
fn insertion(scope: &Scope, new: &Insertion<'_>) -> [Value; 16] {
    let Insertion { draft, sealed, check, event, .. } = *new;
    [
        event.entity_id.as_str().into(),
        scope.actor().into(),
        draft.source.as_str().into(),
        draft.source_type.into(),
        draft.target_service.as_str().into(),
        draft.target_endpoint.as_ref().map(Endpoint::to_string).into(),
        draft.connection_type.into(),
        serde_json::json!(draft.scopes).to_string().into(),
        draft.check_path.as_deref().into(),
        sealed.map(|sealed| sealed.kind).into(),
        draft.config.as_str().into(),
        event.at.as_str().into(),
        event.id.as_str().into(),
        check.at.as_deref().into(),
        check.error.as_deref().into(),
        check.due_at.as_deref().into(),
    ]
}

/// Creates a connection: writes the row, the credential, the event and, with an idempotency key, the reply in
/// one batch. Returns the body of the reply, or `None` if the source is gone or somebody has begun to revoke
/// the credential.
///
/// # Errors
/// [`WriteError`]; see [`is_taken`].
pub async fn insert(
    ready: Ready<'_>,
    scope: &Scope,
    new: &Insertion<'_>,
) -> Result<Option<String>, WriteError> {
    let Insertion { sealed, intent, grant, event, overdue_ms, quotas, key, .. } = *new;
    let mut params = Params::default();
    for value in insertion(scope, new) {
        params.add(value);
    }
    let open = intent.map_or_else(|| "TRUE".to_owned(), |intent| intent.is_open(&mut params));
    let insert = params.statement(format!(
        "INSERT INTO connections (connection_id, owner_chitty_id, source_chitty_id, source_type, \
         target_service, target_endpoint, connection_type, scopes, check_path, credential_type, \
         config, created_at, updated_at, revision, last_health_check, last_error, error_count, \
         check_due_at) \
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?12, ?13, ?14, ?15, \
         iif(?15 IS NULL, 0, 1), ?16 \
         WHERE (?4 = 'actor' OR EXISTS (SELECT 1 FROM contexts WHERE chitty_id = ?3 \
         AND owner_chitty_id = ?2 AND deleted_at IS NULL)) AND {open} RETURNING {} AS reply",
        created()
    ));
    let mut batch = vec![insert];
    batch.extend(sealed.map(|sealed| put_secret(event, sealed, grant)));
    batch.extend(intent.map(|intent| intent.fulfilled(event)));
    batch.push(outbox::insert_if_changed(event, overdue_ms, "connections", "connection_id"));
    if let Some(key) = key {
        let body = format!(
            "SELECT {} FROM connections WHERE connection_id = ?1 AND revision = ?2",
            created()
        );
        let location = format!("/v1/connections/{}", event.entity_id);
        let reply = StoredReply { status: 201, etag: &etag(&event.id), location: &location };
        batch.extend(key.store(scope, event, &reply, &body));
    }
    batch.extend(quotas.iter().filter_map(Quota::assertion));
    let results = scope.write(ready, batch).await?;
    let row = first_row(results.into_iter().next());
    Ok(row.map(|mut row| row.text("reply")).transpose()?)
}

/// The statement that stores the credential of the connection that the event has created or changed, in place
/// of the one before.
fn put_secret(event: &Event, sealed: &SealedCredential, grant: Option<&Grant>) -> Statement {
    let source = grant.map(Grant::source);
    Statement::new(
        "INSERT INTO connection_secrets (connection_id, sealed, expires_at, source_actor, \
         source_token, source_secret, source_scopes, key_expires_at) \
         SELECT connection_id, ?3, ?4, ?5, ?6, ?7, ?8, ?9 FROM connections \
         WHERE connection_id = ?1 AND revision = ?2 \
         ON CONFLICT (connection_id) DO UPDATE SET sealed = excluded.sealed, \
          expires_at = excluded.expires_at, source_actor = excluded.source_actor, \
          source_token = excluded.source_token, source_secret = excluded.source_secret, \
          source_scopes = excluded.source_scopes, key_expires_at = excluded.key_expires_at, \
          version = version + 1, leased_until = '', in_doubt = 0, renew_after = ''",
    )
    .bind(event.entity_id.as_str())
    .bind(event.id.as_str())
    .bind(sealed.text.as_str())
    .bind(sealed.expires_at.as_deref())
    .bind(source.map(|source| source.actor.as_str()))
    .bind(source.and_then(|source| source.token.as_deref()))
    .bind(source.and_then(|source| source.secret.as_deref()))
    .bind(source.map(|source| serde_json::json!(source.scopes).to_string()))
    .bind(grant.and_then(Grant::ends_ms).map(time::iso8601))
}

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
/// [`WriteError`]; see [`is_taken`].
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
        batch.extend(intent.map(|intent| intent.fulfilled(asked.event)));
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

/// The statement that schedules the revocation of a credential: that of the connection that the event has
/// changed.
fn give_up_secret(event: &Event) -> Statement {
    Statement::new(format!(
        "{SCHEDULE_REVOCATION} SELECT ?2, s.connection_id, s.sealed, ?3, ?3 FROM connection_secrets AS s \
         WHERE s.connection_id = ?1 AND EXISTS (SELECT 1 FROM connections AS c \
         WHERE c.connection_id = ?1 AND c.revision = ?2)"
    ))
    .bind(event.entity_id.as_str())
    .bind(event.id.as_str())
    .bind(event.at.as_str())
}

fn remove_secret(event: &Event) -> Statement {
    Statement::new(
        "DELETE FROM connection_secrets WHERE connection_id = ?1 AND EXISTS \
         (SELECT 1 FROM connections AS c WHERE c.connection_id = ?1 AND c.revision = ?2)",
    )
    .bind(event.entity_id.as_str())
    .bind(event.id.as_str())
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
