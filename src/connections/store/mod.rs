//! The SQL of connections. This file reads connections, `creation` creates them, `changes` changes and ends
//! them, `secrets` stores their credentials, and `checks` records the results of checks and renewals. If a
//! caller's credential is for one service only, every statement reaches only connections to that service.

mod changes;
mod checks;
mod creation;
mod secrets;

use http_kit::problem::{Code, Problem};
use seams::db::{DbError, Params, Row, first_row};

pub use self::changes::{Change, disconnect, end_with_context, update};
pub use self::checks::{
    CHECKS, Finding, REFRESHES, RENEWAL_PAUSE, RENEWALS, check_pause, fail, note,
};
pub use self::creation::{FirstCheck, Insertion, check_free, conflict, insert, is_taken};
pub use self::secrets::SealedCredential;
use crate::access::caller::Scope;
use crate::access::listing::{Newest, Page, PageRequest};
use crate::audit;
use crate::discovery::endpoint::Endpoint;
use crate::store::Ready;
use crate::store::event::Event;
use crate::store::ids::ConnectionId;

/// SQL for the JSON text of a connection in replies. It joins two objects, because a function takes at most
/// 32 arguments in D1.
const DOCUMENT: &str = "(rtrim(json_object('connection_id', connection_id, \
     'owner_chitty_id', owner_chitty_id, 'source_chitty_id', source_chitty_id, \
     'source_type', source_type, 'target_service', target_service, \
     'target_endpoint', target_endpoint, 'connection_type', connection_type, \
     'scopes', json(scopes), 'check_path', check_path, 'credential_type', credential_type, \
     'status', status), '}') || ',' || substr(json_object('last_health_check', last_health_check, \
     'last_error', last_error, 'error_count', error_count, 'request_count', request_count, \
     'last_used_at', last_used_at, 'config', json(config), 'created_at', created_at, \
     'updated_at', updated_at, 'disconnected_at', disconnected_at), 2))";

/// SQL condition for the connections that a caller can reach. Adds its placeholders to `params`.
fn reach(scope: &Scope, params: &mut Params) -> String {
    let mut condition = format!("owner_chitty_id = {}", params.add(scope.actor()));
    if let Some(service) = scope.audience() {
        condition += &format!(" AND target_service = {}", params.add(service));
    }
    condition
}

/// SQL condition that the source of a connection still exists and belongs to the connection's owner.
const SOURCE_IS_THERE: &str = "(source_type = 'actor' OR EXISTS (SELECT 1 FROM contexts AS c \
     WHERE c.chitty_id = source_chitty_id AND c.owner_chitty_id = connections.owner_chitty_id \
     AND c.deleted_at IS NULL))";

/// The filter of a list.
#[derive(Debug, Default)]
pub struct Filter {
    /// Only connections of this source.
    pub source: Option<String>,
    /// Only connections to this service.
    pub target: Option<String>,
    /// Only connections of this type.
    pub connection_type: Option<&'static str>,
    /// Only connections with this status.
    pub status: Option<&'static str>,
}

/// Returns a page of the caller's connections, newest first.
///
/// # Errors
/// 401 or 403 if the caller may not; storage failures.
pub async fn list(
    ready: Ready<'_>,
    scope: &Scope,
    filter: &Filter,
    asked: PageRequest,
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
    list.read(ready, scope, params, asked).await
}

/// A connection with its revision.
#[derive(Debug)]
pub struct ConnectionRow {
    /// The revision, for the entity tag.
    pub revision: String,
    /// The JSON text for the reply.
    pub json: String,
}

/// Returns one connection.
///
/// # Errors
/// 404; 401 or 403 if the caller may not; storage failures.
pub async fn get(
    ready: Ready<'_>,
    scope: &Scope,
    id: &ConnectionId,
) -> Result<ConnectionRow, Problem> {
    let mut row = select(ready, scope, id, &format!("revision, {DOCUMENT} AS document")).await?;
    Ok(ConnectionRow { revision: row.text("revision")?, json: row.text("document")? })
}

/// Returns the status of one connection, as the JSON text for the reply.
///
/// # Errors
/// 404; 401 or 403 if the caller may not; storage failures.
pub async fn status(ready: Ready<'_>, scope: &Scope, id: &ConnectionId) -> Result<String, Problem> {
    const STATUS: &str = "json_object('connection_id', connection_id, 'status', status, \
         'service_health', CASE WHEN last_health_check IS NULL THEN 'unknown' \
         WHEN error_count = 0 THEN 'healthy' ELSE 'unhealthy' END, \
         'last_health_check', last_health_check, 'last_error', last_error, \
         'error_count', error_count, 'request_count', request_count, \
         'last_used_at', last_used_at, 'next_health_check', check_due_at) AS document";
    Ok(select(ready, scope, id, STATUS).await?.text("document")?)
}

async fn select(
    ready: Ready<'_>,
    scope: &Scope,
    id: &ConnectionId,
    columns: &str,
) -> Result<Row, Problem> {
    let mut params = Params::default();
    let id = params.add(id);
    let condition = reach(scope, &mut params);
    let query = params.statement(format!(
        "SELECT {columns} FROM connections WHERE connection_id = {id} AND {condition}"
    ));
    let row = scope.rows(ready, query).await?.into_iter().next();
    row.ok_or_else(|| Problem::not_found("connection"))
}

/// Returns a page of the history of one connection, newest first.
///
/// # Errors
/// 404; 401 or 403 if the caller may not; storage failures.
pub async fn history(
    ready: Ready<'_>,
    scope: &Scope,
    id: &ConnectionId,
    asked: PageRequest,
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
    Ok(Page::of(results.next().unwrap_or_default(), asked.limit)?)
}

/// Whether the caller has a connection with this id that is disconnected already.
///
/// # Errors
/// 401 or 403 if the caller may not; storage failures.
pub async fn is_disconnected(
    ready: Ready<'_>,
    scope: &Scope,
    id: &ConnectionId,
) -> Result<bool, Problem> {
    match select(ready, scope, id, "status").await {
        Ok(mut row) => Ok(row.text("status")? == "disconnected"),
        Err(problem) if problem.code == Code::NotFound => Ok(false),
        Err(problem) => Err(problem),
    }
}

/// The part of a connection that the gateway needs in order to call its target.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Its id.
    pub id: ConnectionId,
    /// The revision, for the entity tag.
    pub revision: String,
    /// The name of the service, in the form in which names are compared.
    pub service: String,
    /// The endpoint.
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
    /// Whether ChittyAuth made its credential.
    pub is_provisioned: bool,
}

/// The columns of [`read_connection`].
pub fn connection_columns() -> String {
    format!(
        "connection_id, target_service, target_endpoint, scopes, status, check_path, \
         credential_type IS NOT NULL AS has_credential, {SOURCE_IS_THERE} AS has_source, revision, \
         ifnull(credential_type = 'provisioned', 0) AS is_provisioned"
    )
}

/// Reads a connection as the proxy and the checks need it.
///
/// # Errors
/// [`DbError::Shape`].
pub fn read_connection(mut row: Row) -> Result<Connection, DbError> {
    let service = row.text("target_service")?;
    let endpoint = match row.optional_text("target_endpoint")? {
        // An endpoint that was stored under other rules leads nowhere. An error here would keep the other
        // rows from being read.
        Some(text) => Endpoint::parse(&text).unwrap_or_else(|_| Endpoint::nowhere()),
        None => Endpoint::usual(&service),
    };
    Ok(Connection {
        id: ConnectionId::from_row(&mut row, "connection_id")?,
        revision: row.text("revision")?,
        service,
        endpoint,
        scopes: serde_json::from_str(&row.text("scopes")?).map_err(|_| DbError::Shape)?,
        status: row.text("status")?,
        check_path: row.optional_text("check_path")?,
        has_credential: row.flag("has_credential")?,
        has_source: row.flag("has_source")?,
        is_provisioned: row.flag("is_provisioned")?,
    })
}

/// Returns the [`Connection`] of one of the caller's connections.
///
/// # Errors
/// 404; 401 or 403 if the caller may not; storage failures.
pub async fn connection(
    ready: Ready<'_>,
    scope: &Scope,
    id: &ConnectionId,
) -> Result<Connection, Problem> {
    Ok(read_connection(select(ready, scope, id, &connection_columns()).await?)?)
}

/// Returns the [`Connection`] of one of the caller's connections. If the connection can be used for the scope
/// `needed`, also counts the use and records `used` in the audit. All of it is one round trip.
///
/// # Errors
/// 404; 401 or 403 if the caller may not; storage failures.
pub async fn use_connection(
    ready: Ready<'_>,
    scope: &Scope,
    id: &ConnectionId,
    needed: &str,
    now: &str,
    used: Option<&Event>,
) -> Result<Connection, Problem> {
    let usable = |params: &mut Params| {
        let (id, needed) = (params.add(id), params.add(needed));
        let own = reach(scope, params);
        format!(
            "connection_id = {id} AND {own} AND status = 'active' AND {SOURCE_IS_THERE} \
             AND EXISTS (SELECT 1 FROM json_each(scopes) WHERE value = {needed})"
        )
    };
    let mut params = Params::default();
    let (now_at, condition) = (params.add(now), usable(&mut params));
    let count = params.statement(format!(
        "UPDATE connections SET request_count = request_count + 1, last_used_at = {now_at} \
         WHERE {condition}"
    ));
    let recorded = used.map(|event| {
        let mut params = Params::default();
        let condition = usable(&mut params);
        let condition = format!("EXISTS (SELECT 1 FROM connections WHERE {condition})");
        audit::record(event, params, &condition)
    });
    let mut params = Params::default();
    let id_at = params.add(id);
    let own = reach(scope, &mut params);
    let read = params.statement(format!(
        "SELECT {} FROM connections WHERE connection_id = {id_at} AND {own}",
        connection_columns()
    ));
    let batch = [Some(count), recorded, Some(read)].into_iter().flatten().collect();
    let mut results = scope.write(ready, batch).await?;
    let row = first_row(results.pop());
    Ok(read_connection(row.ok_or_else(|| Problem::not_found("connection"))?)?)
}
