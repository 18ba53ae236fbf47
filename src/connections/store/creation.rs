//! The creation of connections. One batch writes the row, its credential, its event and the reply to repeats, so
//! that all of them exist or none.

use http_kit::problem::{Code, Problem};
use seams::db::{Params, Row, Statement, Value, first_row};

use super::DOCUMENT;
use super::secrets::{SealedCredential, put_secret};
use crate::access::caller::{Grant, Scope, WriteError};
use crate::access::creation::Creation;
use crate::access::quota::Quota;
use crate::connections::input::Draft;
use crate::connections::intents::Intent;
use crate::discovery::endpoint::Endpoint;
use crate::store::Ready;
use crate::store::ids::ConnectionId;

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
        return Err(conflict_with(Some(&ConnectionId::from_row(&mut row, "connection_id")?)));
    }
    quotas.iter().zip(&rooms).try_for_each(|(quota, rows)| quota.judge(rows))?;
    Ok(stored)
}

/// The problem 409: there is such an active connection.
fn conflict_with(id: Option<&ConnectionId>) -> Problem {
    Problem::new(
        Code::ConnectionExists,
        "The source has an active connection to that service and endpoint. Use that one, or \
         disconnect it first.",
    )
    .existing_connection(id.map(ConnectionId::to_string))
}

/// Whether a batch failed because there is such an active connection.
pub fn is_taken(error: &WriteError) -> bool {
    error.is_unique(ACTIVE)
}

/// Returns the problem 409 with the id of the existing connection.
pub async fn conflict(ready: Ready<'_>, draft: &Draft) -> Problem {
    let mut params = Params::default();
    let twin = active_twin(draft, &mut params);
    match ready.db().rows(params.statement(twin)).await {
        Ok(rows) => {
            let row = rows.into_iter().next();
            let id = row.and_then(|mut row| ConnectionId::from_row(&mut row, "connection_id").ok());
            conflict_with(id.as_ref())
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
    /// What it has in common with every creation.
    pub creation: &'a Creation<'a>,
}

fn created() -> String {
    format!("'{{\"success\":true,\"connection\":' || {DOCUMENT} || '}}'")
}

/// The values of a connection's columns, in the order of the statement of [`insert`].
fn insertion(scope: &Scope, new: &Insertion<'_>) -> [Value; 16] {
    let Insertion { draft, sealed, check, creation: Creation { event, .. }, .. } = *new;
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
    let Insertion { sealed, intent, grant, creation, .. } = *new;
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
         AND owner_chitty_id = ?2 AND deleted_at IS NULL)) AND {open} RETURNING {} AS body",
        created()
    ));
    let event = &creation.event;
    let mut own = vec![insert];
    own.extend(sealed.map(|sealed| put_secret(event, sealed, grant)));
    own.extend(intent.map(|intent| intent.fulfil(event)));
    let stored =
        format!("SELECT {} FROM connections WHERE connection_id = ?1 AND revision = ?2", created());
    creation.write_if_stored(ready, scope, own, ("connections", "connection_id"), &stored).await
}
