//! The SQL of connections. Where a caller's credential is for one service only, every statement is
//! narrowed to that service.

use crate::connections::input::{Draft, Patch};
use crate::connections::target::Endpoint;
use crate::events::{Event, outbox};
use crate::http::caller::{Scope, WriteError};
use crate::http::fields::Sent;
use crate::http::idempotency::{Idempotency, Stored};
use crate::http::listing::{Asked, Newest, Page};
use crate::http::precondition::{Changed, IfMatch, etag};
use crate::http::problem::{Code, Problem};
use crate::init::Ready;
use crate::platform::db::{DbError, Params, Row, Statement};

/// The unique index over active connections, as SQLite names it.
const ACTIVE: &str = "connections_active";

/// A connection as it is returned: SQL for a JSON text. Of two objects, because a function takes 32
/// arguments at most in D1.
const DOCUMENT: &str = "(rtrim(json_object('connection_id', connection_id, \
     'owner_chitty_id', owner_chitty_id, 'source_chitty_id', source_chitty_id, \
     'source_type', source_type, 'target_service', target_service, \
     'target_endpoint', target_endpoint, 'connection_type', connection_type, \
     'scopes', json(scopes), 'check_path', check_path, 'credential_type', credential_type, \
     'status', status), '}') || ',' || substr(json_object('last_health_check', last_health_check, \
     'last_error', last_error, 'error_count', error_count, 'request_count', request_count, \
     'last_used_at', last_used_at, 'config', json(config), 'created_at', created_at, \
     'updated_at', updated_at, 'disconnected_at', disconnected_at), 2))";

/// Which connections a caller has to do with, as a condition; its placeholders are added to `params`.
fn reach(scope: &Scope, params: &mut Params) -> String {
    let mut condition = format!("owner_chitty_id = {}", params.add(scope.actor()));
    if let Some(service) = scope.audience() {
        condition += &format!(" AND target_service = {}", params.add(service));
    }
    condition
}

/// Condition under which the source of a connection is (still) there and its owner's.
const SOURCE_IS_THERE: &str = "(source_type = 'actor' OR EXISTS (SELECT 1 FROM contexts AS c \
     WHERE c.chitty_id = source_chitty_id AND c.owner_chitty_id = connections.owner_chitty_id \
     AND c.deleted_at IS NULL))";

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

/// What stands in the way of a creation, read in one round trip before anybody is asked for anything.
///
/// # Errors
/// 404 when the caller has no such source, 409 when there is such a connection; storage failures.
pub async fn check_free(
    ready: Ready<'_>,
    scope: &Scope,
    draft: &Draft,
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
    let batch = [source, twin].into_iter().chain(look_up).collect();
    let mut results = scope.read(ready, batch).await?.into_iter();
    let has_source = results.next().is_some_and(|rows| !rows.is_empty());
    let twin = results.next().and_then(|rows| rows.into_iter().next());
    let stored = results.next().unwrap_or_default();
    if !stored.is_empty() {
        return Ok(stored);
    }
    if !has_source {
        return Err(Problem::not_found(draft.source_type));
    }
    match twin {
        Some(mut row) => Err(exists(Some(row.text(0)?))),
        None => Ok(stored),
    }
}

/// 409: there is such a connection.
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

/// 409 with the connection that is there.
pub async fn taken(ready: Ready<'_>, draft: &Draft) -> Problem {
    let mut params = Params::default();
    let twin = active_twin(draft, &mut params);
    match ready.db().rows(params.statement(twin)).await {
        Ok(rows) => {
            let id = rows.into_iter().next().and_then(|mut row| row.text(0).ok());
            exists(id)
        }
        Err(error) => error.into(),
    }
}

/// What is known of the target at the time of a creation.
pub struct FirstCheck {
    /// When it was checked, if it was.
    pub at: Option<String>,
    /// What was wrong, if anything was.
    pub error: Option<String>,
    /// When the cron checks it next, if ever.
    pub due_at: Option<String>,
}

/// A sealed credential on its way to the database.
pub struct Sealed {
    /// Its type.
    pub kind: &'static str,
    /// The sealed text.
    pub text: String,
    /// When its access token ends (ISO-8601 UTC).
    pub expires_at: Option<String>,
}

fn created() -> String {
    format!("'{{\"success\":true,\"connection\":' || {DOCUMENT} || '}}'")
}

/// Makes a connection: row, credential, event and, with a key, the reply, in one batch. Returns the
/// reply's body, or `None` when the source is gone.
///
/// # Errors
/// [`WriteError`]; see [`is_taken`].
#[allow(clippy::too_many_arguments, reason = "what a row is made of")]
pub async fn insert(
    ready: Ready<'_>,
    scope: &Scope,
    draft: &Draft,
    sealed: Option<&Sealed>,
    check: &FirstCheck,
    event: &Event,
    overdue_ms: u64,
    key: Option<&Idempotency>,
) -> Result<Option<String>, WriteError> {
    let insert = Statement::new(format!(
        "INSERT INTO connections (connection_id, owner_chitty_id, source_chitty_id, source_type, \
         target_service, target_endpoint, connection_type, scopes, check_path, credential_type, \
         config, created_at, updated_at, revision, last_health_check, last_error, error_count, \
         check_due_at) \
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?12, ?13, ?14, ?15, \
         iif(?15 IS NULL, 0, 1), ?16 \
         WHERE ?4 = 'actor' OR EXISTS (SELECT 1 FROM contexts WHERE chitty_id = ?3 \
         AND owner_chitty_id = ?2 AND deleted_at IS NULL) RETURNING {}",
        created()
    ))
    .bind(event.entity_id.as_str())
    .bind(scope.actor())
    .bind(draft.source.as_str())
    .bind(draft.source_type)
    .bind(draft.target_service.as_str())
    .bind(draft.target_endpoint.as_ref().map(Endpoint::to_string))
    .bind(draft.connection_type)
    .bind(serde_json::json!(draft.scopes).to_string())
    .bind(draft.check_path.as_deref())
    .bind(sealed.map(|sealed| sealed.kind))
    .bind(draft.config.as_str())
    .bind(event.at.as_str())
    .bind(event.id.as_str())
    .bind(check.at.as_deref())
    .bind(check.error.as_deref())
    .bind(check.due_at.as_deref());
    let mut batch = vec![insert];
    batch.extend(sealed.map(|sealed| put_secret(event, sealed)));
    batch.push(outbox::insert_if_changed(event, overdue_ms, "connections", "connection_id"));
    if let Some(key) = key {
        let body = format!(
            "SELECT {} FROM connections WHERE connection_id = ?1 AND revision = ?2",
            created()
        );
        let location = format!("/v1/connections/{}", event.entity_id);
        let reply = Stored { status: 201, etag: &etag(&event.id), location: &location };
        batch.extend(key.store(scope, event, &reply, &body));
    }
    let results = scope.write(ready, batch).await?;
    let row = results.into_iter().next().and_then(|rows| rows.into_iter().next());
    Ok(row.map(|mut row| row.text(0)).transpose()?)
}

/// Puts a credential beside the connection that the event has made or changed, in place of the one
/// before.
fn put_secret(event: &Event, sealed: &Sealed) -> Statement {
    Statement::new(
        "INSERT INTO connection_secrets (connection_id, sealed, expires_at) \
         SELECT connection_id, ?3, ?4 FROM connections \
         WHERE connection_id = ?1 AND revision = ?2 \
         ON CONFLICT (connection_id) DO UPDATE SET sealed = excluded.sealed, \
         expires_at = excluded.expires_at, version = version + 1, leased_until = ''",
    )
    .bind(event.entity_id.as_str())
    .bind(event.id.as_str())
    .bind(sealed.text.as_str())
    .bind(sealed.expires_at.as_deref())
}

/// What a list is narrowed to.
#[derive(Debug, Default)]
pub struct Filter {
    /// Only of this source.
    pub source: Option<String>,
    /// Only to this service.
    pub target: Option<String>,
    /// Only of this type.
    pub connection_type: Option<&'static str>,
    /// Only of this status.
    pub status: Option<&'static str>,
}

/// The caller's connections, newest first.
///
/// # Errors
/// When the caller may not; storage failures.
pub async fn list(
    ready: Ready<'_>,
    scope: &Scope,
    filter: &Filter,
    asked: Asked,
) -> Result<Page, Problem> {
    let mut params = Params::default();
    let mut condition = reach(scope, &mut params);
    for (column, value) in [
        ("source_chitty_id", filter.source.as_deref()),
        ("target_service", filter.target.as_deref()),
        ("connection_type", filter.connection_type),
        ("status", filter.status),
    ] {
        if let Some(value) = value {
            condition += &format!(" AND {column} = {}", params.add(value));
        }
    }
    let keys = ["created_at", "connection_id"];
    let list = Newest { from: "connections", keys, item: DOCUMENT, condition };
    let rows = scope.rows(ready, list.statement(params, asked.limit, asked.cursor)).await?;
    let mut row = rows.into_iter().next().ok_or(DbError::Shape)?;
    Ok(Page::read(&mut row, 0, asked.limit)?)
}

/// A connection with its version.
#[derive(Debug)]
pub struct Found {
    /// For the entity tag.
    pub revision: String,
    /// As it is returned.
    pub json: String,
}

/// One connection.
///
/// # Errors
/// 404; when the caller may not; storage failures.
pub async fn get(ready: Ready<'_>, scope: &Scope, id: &str) -> Result<Found, Problem> {
    let mut row = select(ready, scope, id, &format!("revision, {DOCUMENT}")).await?;
    Ok(Found { revision: row.text(0)?, json: row.text(1)? })
}

/// How one connection is, as it is returned.
///
/// # Errors
/// 404; when the caller may not; storage failures.
pub async fn status(ready: Ready<'_>, scope: &Scope, id: &str) -> Result<String, Problem> {
    const STATUS: &str = "json_object('connection_id', connection_id, 'status', status, \
         'service_health', CASE WHEN last_health_check IS NULL THEN 'unknown' \
         WHEN error_count = 0 THEN 'healthy' ELSE 'unhealthy' END, \
         'last_health_check', last_health_check, 'last_error', last_error, \
         'error_count', error_count, 'request_count', request_count, \
         'last_used_at', last_used_at, 'next_health_check', check_due_at)";
    Ok(select(ready, scope, id, STATUS).await?.text(0)?)
}

async fn select(ready: Ready<'_>, scope: &Scope, id: &str, columns: &str) -> Result<Row, Problem> {
    let mut params = Params::default();
    let id = params.add(id);
    let condition = reach(scope, &mut params);
    let query = params.statement(format!(
        "SELECT {columns} FROM connections WHERE connection_id = {id} AND {condition}"
    ));
    let row = scope.rows(ready, query).await?.into_iter().next();
    row.ok_or_else(|| Problem::not_found("connection"))
}

/// What was done to one connection, newest first, as it is returned.
///
/// # Errors
/// 404; when the caller may not; storage failures.
pub async fn history(
    ready: Ready<'_>,
    scope: &Scope,
    id: &str,
    asked: Asked,
) -> Result<Page, Problem> {
    let mut params = Params::default();
    let id_at = params.add(id);
    let own = reach(scope, &mut params);
    let condition = format!(
        "entity_id = {id_at} AND EXISTS \
         (SELECT 1 FROM connections WHERE connection_id = {id_at} AND {own})"
    );
    let item = "json_object('seq', seq, 'event_id', event_id, 'at', at, 'event', action, \
         'actor_id', actor_id, 'via', via, 'detail', json(detail))";
    let list = Newest { from: "audit", keys: ["seq", "event_id"], item, condition };
    let mut params_found = Params::default();
    let found_id = params_found.add(id);
    let condition = reach(scope, &mut params_found);
    let found = params_found.statement(format!(
        "SELECT 1 AS found FROM connections WHERE connection_id = {found_id} AND {condition}"
    ));
    let page = list.statement(params, asked.limit, asked.cursor);
    let mut results = scope.read(ready, vec![found, page]).await?.into_iter();
    if results.next().is_none_or(|rows| rows.is_empty()) {
        return Err(Problem::not_found("connection"));
    }
    let row = results.next().and_then(|rows| rows.into_iter().next());
    Ok(Page::read(&mut row.ok_or(DbError::Shape)?, 0, asked.limit)?)
}

/// A change of one connection.
pub struct Change<'a> {
    /// Its entity is the connection, its id becomes the revision.
    pub event: &'a Event,
    /// Which revisions may be changed.
    pub if_match: IfMatch,
    /// How long after it the event is overdue.
    pub overdue_ms: u64,
}

/// The two statements that a change begins with; see [`Changed::read`].
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
    // The placeholder of the instant may stand in what is set too.
    let set = set.replace("{now}", &at);
    let update = params.statement(format!(
        "UPDATE connections SET {set}updated_at = {at}, revision = {revision} \
         WHERE connection_id = {id} AND {own} AND status <> 'disconnected' \
         AND ({revisions} IS NULL OR revision IN (SELECT value FROM json_each({revisions}))) \
         RETURNING {DOCUMENT}"
    ));
    [before, update]
}

/// Changes a connection. A credential that is replaced is taken back where it came from.
///
/// # Errors
/// [`WriteError`]; see [`is_taken`].
pub async fn update(
    ready: Ready<'_>,
    scope: &Scope,
    asked: &Change<'_>,
    patch: &Patch,
    sealed: Option<&Sealed>,
    due_at: &str,
) -> Result<Changed, WriteError> {
    let mut params = Params::default();
    let mut set = String::new();
    if let Some(scopes) = &patch.scopes {
        set += &format!("scopes = {}, ", params.add(serde_json::json!(scopes).to_string()));
    }
    match &patch.check_path {
        Sent::Absent => {}
        Sent::Null => set += "check_path = NULL, check_due_at = NULL, ",
        Sent::Value(path) => {
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
    if let Some(sealed) = sealed {
        set += &format!("credential_type = {}, ", params.add(sealed.kind));
    }
    let mut batch = change(scope, asked, params, &set).to_vec();
    if let Some(sealed) = sealed {
        batch.push(give_up_secret(asked.event));
        batch.push(put_secret(asked.event, sealed));
    }
    let (event, overdue_ms) = (asked.event, asked.overdue_ms);
    batch.push(outbox::insert_if_changed(event, overdue_ms, "connections", "connection_id"));
    let mut results = scope.write(ready, batch).await?.into_iter();
    Ok(Changed::read(results.next(), results.next(), &asked.if_match)?)
}

/// Ends a connection: its credential goes in the same batch, to be revoked where that is possible.
///
/// # Errors
/// [`WriteError`].
pub async fn disconnect(
    ready: Ready<'_>,
    scope: &Scope,
    asked: &Change<'_>,
) -> Result<Changed, WriteError> {
    let set = "status = 'disconnected', disconnected_at = {now}, check_due_at = NULL, ";
    let mut batch = change(scope, asked, Params::default(), set).to_vec();
    batch.push(give_up_secret(asked.event));
    batch.push(remove_secret(asked.event));
    let (event, overdue_ms) = (asked.event, asked.overdue_ms);
    batch.push(outbox::insert_if_changed(event, overdue_ms, "connections", "connection_id"));
    let mut results = scope.write(ready, batch).await?.into_iter();
    Ok(Changed::read(results.next(), results.next(), &asked.if_match)?)
}

/// Whether the caller has such a connection that is disconnected already.
///
/// # Errors
/// When the caller may not; storage failures.
pub async fn is_disconnected(ready: Ready<'_>, scope: &Scope, id: &str) -> Result<bool, Problem> {
    match select(ready, scope, id, "status").await {
        Ok(mut row) => Ok(row.text(0)? == "disconnected"),
        Err(problem) if problem.code == Code::NotFound => Ok(false),
        Err(problem) => Err(problem),
    }
}

/// Hands the credential of the connection that the event has changed to those that are to be revoked.
fn give_up_secret(event: &Event) -> Statement {
    Statement::new(
        "INSERT INTO credential_revocations (id, connection_id, sealed, due_at, created_at) \
         SELECT ?2, s.connection_id, s.sealed, ?3, ?3 FROM connection_secrets AS s \
         WHERE s.connection_id = ?1 AND EXISTS (SELECT 1 FROM connections AS c \
         WHERE c.connection_id = ?1 AND c.revision = ?2)",
    )
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
    const ENDED: &str = "SELECT connection_id FROM connections \
         WHERE source_chitty_id = ?1 AND source_type = 'context' AND status <> 'disconnected' \
         AND EXISTS (SELECT 1 FROM contexts WHERE chitty_id = ?1 AND revision = ?2)";
    let give_up = Statement::new(format!(
        "INSERT INTO credential_revocations (id, connection_id, sealed, due_at, created_at) \
         SELECT ?2 || '/' || connection_id, connection_id, sealed, ?3, ?3 \
         FROM connection_secrets WHERE connection_id IN ({ENDED})"
    ));
    let remove =
        Statement::new(format!("DELETE FROM connection_secrets WHERE connection_id IN ({ENDED})"));
    let tell = Statement::new(format!(
        "INSERT INTO outbox (event_id, event_type, entity_type, entity_id, actor_id, payload, \
         created_at, due_at, via) SELECT ?2 || '/' || connection_id, 'connection.disconnected', \
         'connection', connection_id, ?4, '{{\"reason\":\"context deleted\"}}', ?3, ?3, ?5 \
         FROM ({ENDED})"
    ));
    let end = Statement::new(format!(
        "UPDATE connections SET status = 'disconnected', disconnected_at = ?3, \
         check_due_at = NULL, updated_at = ?3, revision = ?2 WHERE connection_id IN ({ENDED})"
    ));
    let (context, revision, at) = (event.entity_id.as_str(), event.id.as_str(), event.at.as_str());
    vec![
        give_up.bind(context).bind(revision).bind(at),
        remove.bind(context).bind(revision),
        tell.bind(context)
            .bind(revision)
            .bind(at)
            .bind(event.actor_id.as_str())
            .bind(event.via.as_deref()),
        end.bind(context).bind(revision).bind(at),
    ]
}

/// What the gateway needs to know to call a target.
#[derive(Debug, Clone)]
pub struct Link {
    /// `conn_…`
    pub id: String,
    /// For the entity tag.
    pub revision: String,
    /// As it is compared.
    pub service: String,
    /// Where it begins.
    pub endpoint: Endpoint,
    /// Some of [`crate::connections::SCOPES`].
    pub scopes: Vec<String>,
    /// One of [`crate::connections::STATUSES`].
    pub status: String,
    /// The path that is checked.
    pub check_path: Option<String>,
    /// Whether it carries a credential.
    pub has_credential: bool,
    /// Whether its source is still there.
    pub has_source: bool,
}

fn link_columns() -> String {
    format!(
        "connection_id, target_service, target_endpoint, scopes, status, check_path, \
         credential_type IS NOT NULL AS has_credential, {SOURCE_IS_THERE} AS has_source, revision"
    )
}

fn read_link(mut row: Row) -> Result<Link, DbError> {
    let service = row.text(1)?;
    let endpoint = match row.optional_text(2)? {
        Some(text) => Endpoint::parse(&text).map_err(|_| DbError::Shape)?,
        None => Endpoint::of_chittyos(&service),
    };
    Ok(Link {
        id: row.text(0)?,
        revision: row.text(8)?,
        service,
        endpoint,
        scopes: serde_json::from_str(&row.text(3)?).map_err(|_| DbError::Shape)?,
        status: row.text(4)?,
        check_path: row.optional_text(5)?,
        has_credential: row.integer(6)? == 1,
        has_source: row.integer(7)? == 1,
    })
}

/// The link of one connection of the caller's.
///
/// # Errors
/// 404; when the caller may not; storage failures.
pub async fn link(ready: Ready<'_>, scope: &Scope, id: &str) -> Result<Link, Problem> {
    Ok(read_link(select(ready, scope, id, &link_columns()).await?)?)
}

/// The same, counted as a use if it can be used for what is `needed`; in one round trip.
///
/// # Errors
/// 404; when the caller may not; storage failures.
pub async fn use_link(
    ready: Ready<'_>,
    scope: &Scope,
    id: &str,
    needed: &str,
    now: &str,
) -> Result<Link, Problem> {
    let mut params = Params::default();
    let (id_at, now_at, needed) = (params.add(id), params.add(now), params.add(needed));
    let own = reach(scope, &mut params);
    let count = params.statement(format!(
        "UPDATE connections SET request_count = request_count + 1, last_used_at = {now_at} \
         WHERE connection_id = {id_at} AND {own} AND status = 'active' AND {SOURCE_IS_THERE} \
         AND EXISTS (SELECT 1 FROM json_each(scopes) WHERE value = {needed})"
    ));
    let mut params = Params::default();
    let id_at = params.add(id);
    let own = reach(scope, &mut params);
    let read = params.statement(format!(
        "SELECT {} FROM connections WHERE connection_id = {id_at} AND {own}",
        link_columns()
    ));
    let mut results = scope.write(ready, vec![count, read]).await?;
    let row = results.pop().and_then(|rows| rows.into_iter().next());
    Ok(read_link(row.ok_or_else(|| Problem::not_found("connection"))?)?)
}

/// Takes the connections that are due, and puts their next check off, so that no other run takes them
/// too: by `interval_s` and up to a quarter more, which spreads out what was made together.
///
/// # Errors
/// Storage failures.
pub async fn take_due(
    ready: Ready<'_>,
    now: &str,
    interval_s: i64,
    limit: i64,
) -> Result<Vec<Link>, DbError> {
    let take = Statement::new(format!(
        "UPDATE connections SET check_due_at = strftime('%Y-%m-%dT%H:%M:%fZ', ?1, '+' || \
         (CAST(?2 AS INTEGER) + abs(random()) % (CAST(?2 AS INTEGER) / 4 + 1)) || ' seconds') \
         WHERE connection_id IN (SELECT connection_id FROM connections \
         WHERE check_due_at IS NOT NULL AND check_due_at <= ?1 ORDER BY check_due_at LIMIT ?3) \
         AND status IN ('active', 'failed') RETURNING {}",
        link_columns()
    ))
    .bind(now)
    .bind(interval_s)
    .bind(limit);
    let rows = ready.db().batch(vec![take]).await?.into_iter().next().unwrap_or_default();
    rows.into_iter().map(read_link).collect()
}

/// What a check has found.
pub struct Finding<'a> {
    /// Which connection.
    pub id: &'a str,
    /// When, ISO-8601 UTC.
    pub at: &'a str,
    /// What was wrong, in words without anything of the target's.
    pub error: Option<&'a str>,
    /// After how many errors in a row it has failed.
    pub limit: i64,
    /// Told if it has failed by this.
    pub failed: &'a Event,
    /// Told if it has recovered by this.
    pub recovered: &'a Event,
    /// How long after them the events are overdue.
    pub overdue_ms: u64,
}

/// Puts on record what a check has found. A disconnected connection stays one, and a failed one whose
/// place another has taken stays failed.
pub fn note(finding: &Finding<'_>) -> Vec<Statement> {
    let note = Statement::new(
        "UPDATE connections SET last_health_check = ?2, last_error = ?3, \
         error_count = iif(?3 IS NULL, 0, error_count + 1), \
         status = CASE WHEN status = 'active' AND ?3 IS NOT NULL AND error_count + 1 >= ?4 \
         THEN 'failed' WHEN status = 'failed' AND ?3 IS NULL AND NOT EXISTS \
         (SELECT 1 FROM connections AS twin WHERE twin.status = 'active' \
         AND twin.source_chitty_id = connections.source_chitty_id \
         AND twin.target_service = connections.target_service \
         AND ifnull(twin.target_endpoint, '') = ifnull(connections.target_endpoint, '')) \
         THEN 'active' ELSE status END, \
         revision = CASE WHEN status = 'active' AND ?3 IS NOT NULL AND error_count + 1 >= ?4 \
         THEN ?5 WHEN status = 'failed' AND ?3 IS NULL AND NOT EXISTS \
         (SELECT 1 FROM connections AS twin WHERE twin.status = 'active' \
         AND twin.source_chitty_id = connections.source_chitty_id \
         AND twin.target_service = connections.target_service \
         AND ifnull(twin.target_endpoint, '') = ifnull(connections.target_endpoint, '')) \
         THEN ?6 ELSE revision END \
         WHERE connection_id = ?1 AND status IN ('active', 'failed')",
    )
    .bind(finding.id)
    .bind(finding.at)
    .bind(finding.error)
    .bind(finding.limit)
    .bind(finding.failed.id.as_str())
    .bind(finding.recovered.id.as_str());
    let told = |event: &Event| {
        outbox::insert_if_changed(event, finding.overdue_ms, "connections", "connection_id")
    };
    vec![note, told(finding.failed), told(finding.recovered)]
}

/// Marks a connection failed at once, because its credential is good for nothing any more.
pub fn fail(event: &Event, error: &str, overdue_ms: u64) -> Vec<Statement> {
    let fail = Statement::new(
        "UPDATE connections SET status = 'failed', last_error = ?3, \
         error_count = error_count + 1, revision = ?2 \
         WHERE connection_id = ?1 AND status = 'active'",
    )
    .bind(event.entity_id.as_str())
    .bind(event.id.as_str())
    .bind(error);
    let told = outbox::insert_if_changed(event, overdue_ms, "connections", "connection_id");
    vec![fail, told]
}
