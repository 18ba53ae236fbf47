//! The SQL of API keys.

use http_kit::precondition::etag;
use http_kit::problem::Problem;
use seams::db::{DbError, Params, Statement, first_row};
use seams::time;
use serde_json::json;

use crate::access::caller::{Credential, Grant, Scope, WriteError};
use crate::access::creation::Creation;
use crate::access::idempotency::{Idempotency, StoredReply};
use crate::access::listing::{Newest, Page, PageRequest};
use crate::store::event::Event;
use crate::store::ids::KeyId;
use crate::store::work::{Due, Prune};
use crate::store::{Ready, outbox};

/// SQL for a key as a JSON object, as it is returned: without its secret. `now` is a placeholder or a text.
fn document(now: &str) -> String {
    format!(
        "json_object('key_id', key_id, 'owner_chitty_id', owner_chitty_id, 'name', name, \
         'scopes', json(scopes), \
         'status', iif(revoked_at IS NOT NULL, 'revoked', \
         iif(ifnull(expires_at, '9999') <= {now}, 'expired', 'active')), \
         'hint', (SELECT hint FROM key_secrets AS s WHERE s.key_id = keys.key_id \
         AND s.valid_until IS NULL ORDER BY s.created_at DESC LIMIT 1), \
         'created_by', created_by, 'created_at', created_at, 'updated_at', updated_at, \
         'expires_at', expires_at, 'rotated_at', rotated_at, 'revoked_at', revoked_at, \
         'last_used_at', last_used_at)"
    )
}

/// A key to store, without its secret.
pub struct Draft<'a> {
    /// The owner's ChittyID.
    pub owner: &'a str,
    /// Its name for people.
    pub name: &'a str,
    /// The part of its maker's authority that it carries.
    pub grant: &'a Grant,
    /// When it ends (ISO-8601 UTC), if it does.
    pub expires_at: Option<String>,
}

/// A secret, as it is stored.
pub struct Secret {
    /// The SHA-256 of the key, in hex.
    pub sha256: String,
    /// The last four characters of the key.
    pub hint: String,
}

/// SQL for the stored reply to a creation or a rotation, without the secret.
fn reply_sql() -> String {
    format!(
        "SELECT '{{\"success\":true,\"key\":' || {} || '}}' FROM keys \
         WHERE key_id = ?1 AND revision = ?2",
        document("''")
    )
}

fn insert_secret(event: &Event, secret: &Secret) -> Statement {
    Statement::new(
        "INSERT INTO key_secrets (secret_sha256, key_id, hint, created_at) \
         SELECT ?1, key_id, ?3, ?4 FROM keys WHERE key_id = ?2 AND revision = ?5",
    )
    .bind(secret.sha256.as_str())
    .bind(event.entity_id.as_str())
    .bind(secret.hint.as_str())
    .bind(event.at.as_str())
    .bind(event.id.as_str())
}

fn read_back(event: &Event) -> Statement {
    Statement::new(format!(
        "SELECT {} AS body FROM keys WHERE key_id = ?1 AND revision = ?2",
        document("''")
    ))
    .bind(event.entity_id.as_str())
    .bind(event.id.as_str())
}

/// Makes a key. Returns it as JSON, without its secret.
///
/// # Errors
/// [`WriteError`].
pub async fn insert(
    ready: Ready<'_>,
    scope: &Scope,
    new: &Draft<'_>,
    secret: &Secret,
    creation: &Creation<'_>,
) -> Result<String, WriteError> {
    let event = &creation.event;
    let insert = Statement::new(
        "INSERT INTO keys (key_id, owner_chitty_id, name, scopes, source_scopes, created_by, \
         created_at, updated_at, expires_at, revision, source_token) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9, ?10)",
    )
    .bind(event.entity_id.as_str())
    .bind(new.owner)
    .bind(new.name)
    .bind(json!(new.grant.scopes()).to_string())
    .bind(json!(new.grant.source().scopes).to_string())
    .bind(new.grant.source().actor.as_str())
    .bind(event.at.as_str())
    .bind(new.expires_at.as_deref())
    .bind(event.id.as_str())
    .bind(new.grant.source().token.as_deref());
    let own = vec![insert, insert_secret(event, secret), read_back(event)];
    let body = creation.write(ready, scope, own, &reply_sql()).await?;
    Ok(body.ok_or(DbError::Shape)?)
}

/// SQL for whether the caller may reach a key: its own keys, or any key for an administrator; adds
/// its placeholders to `params`.
fn reach(scope: &Scope, params: &mut Params) -> String {
    let (own, admin) = (params.add(scope.actor()), scope.is_admin_sql(params));
    format!("(owner_chitty_id = {own} OR {admin})")
}

/// Lists the keys of an owner, or all keys if `owner` is `None`, newest first. `scope` must require
/// an administrator unless the owner is the caller.
///
/// # Errors
/// 401 or 403 if the caller lacks the permission; storage failures.
pub async fn list(
    ready: Ready<'_>,
    scope: &Scope,
    owner: Option<&str>,
    now_ms: u64,
    asked: PageRequest,
) -> Result<Page, Problem> {
    let mut params = Params::default();
    let now = params.add(time::iso8601(now_ms));
    let condition = match owner {
        Some(owner) => format!("owner_chitty_id = {}", params.add(owner)),
        None => "1".to_owned(),
    };
    let item = document(&now);
    let list = Newest { from: "keys", keys: ["created_at", "key_id"], item: &item, condition };
    list.read(ready, scope, params, asked).await
}

/// Reads one key.
///
/// # Errors
/// 401 or 403 if the caller lacks the permission; storage failures.
pub async fn get(
    ready: Ready<'_>,
    scope: &Scope,
    id: &KeyId,
    now_ms: u64,
) -> Result<Option<String>, Problem> {
    let mut params = Params::default();
    let (now, id) = (params.add(time::iso8601(now_ms)), params.add(id));
    let reached = reach(scope, &mut params);
    let query = params.statement(format!(
        "SELECT {} AS item FROM keys WHERE key_id = {id} AND {reached}",
        document(&now)
    ));
    let row = scope.rows(ready, query).await?.into_iter().next();
    Ok(row.map(|mut row| row.text("item")).transpose()?)
}

/// A change of one key.
pub struct Change<'a> {
    /// The event of the change: its entity is the key, and its id becomes the key's revision.
    pub event: &'a Event,
    /// How long after the change the event is overdue, in ms.
    pub overdue_ms: u64,
}

/// SQL for whether the caller's credential may change a key. A secret that has been rotated out
/// stays valid for its grace period, but can neither rotate nor revoke: otherwise somebody who
/// found it could lock the owner out.
fn may_change(scope: &Scope, params: &mut Params) -> String {
    match scope.credential() {
        Credential::Key { sha256, .. } => format!(
            "EXISTS (SELECT 1 FROM key_secrets AS own WHERE own.secret_sha256 = {} \
             AND own.valid_until IS NULL)",
            params.add(sha256.as_str())
        ),
        _ => "1".to_owned(),
    }
}

/// Whether the caller uses a secret that has been rotated out.
///
/// # Errors
/// 401 or 403 if the caller lacks the permission; storage failures.
pub async fn is_retired(ready: Ready<'_>, scope: &Scope) -> Result<bool, Problem> {
    let mut params = Params::default();
    let may = may_change(scope, &mut params);
    let rows = scope.rows(ready, params.statement(format!("SELECT {may} AS is_allowed"))).await?;
    Ok(rows.first().is_some_and(|row| row.flag("is_allowed") == Ok(false)))
}

/// Gives a key a new secret; the old one stays valid until `grace_until` (ISO-8601 UTC). Returns
/// the key, or `None` if the caller can rotate no such key.
///
/// # Errors
/// [`WriteError`].
pub async fn rotate(
    ready: Ready<'_>,
    scope: &Scope,
    change: &Change<'_>,
    secret: &Secret,
    grace_until: &str,
    key: Option<&Idempotency>,
) -> Result<Option<String>, WriteError> {
    let Change { event, overdue_ms } = change;
    let mut params = Params::default();
    let (id, now) = (params.add(event.entity_id.as_str()), params.add(event.at.as_str()));
    let revision = params.add(event.id.as_str());
    let (reached, may) = (reach(scope, &mut params), may_change(scope, &mut params));
    let mark = params.statement(format!(
        "UPDATE keys SET rotated_at = {now}, updated_at = {now}, revision = {revision} \
         WHERE key_id = {id} AND {reached} AND {may} AND revoked_at IS NULL \
         AND ifnull(expires_at, '9999') > {now}"
    ));
    let retire = Statement::new(
        "UPDATE key_secrets SET valid_until = min(ifnull(valid_until, '9999'), ?3) \
         WHERE key_id IN (SELECT key_id FROM keys WHERE key_id = ?1 AND revision = ?2)",
    )
    .bind(event.entity_id.as_str())
    .bind(event.id.as_str())
    .bind(grace_until);
    let told = outbox::insert_if_changed(event, *overdue_ms, "keys", "key_id");
    let mut batch = vec![mark, retire, insert_secret(event, secret), read_back(event), told];
    if let Some(key) = key {
        let reply = StoredReply { status: 200, etag: &etag(event.id.as_str()), location: "" };
        batch.extend(key.store(scope, event, &reply, &reply_sql()));
    }
    let row = first_row(scope.write(ready, batch).await?.into_iter().nth(3));
    Ok(row.map(|mut row| row.text("body")).transpose()?)
}

/// The outcome of a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    /// The key is revoked.
    Done {
        /// Whether it was not revoked before.
        is_news: bool,
    },
    /// The caller has no such key.
    Missing,
    /// The caller uses a secret that has been rotated out.
    Retired,
}

/// Revokes a key, and the delegations that were made with it. A key that is already revoked stays as it is.
///
/// # Errors
/// [`WriteError`].
pub async fn revoke(
    ready: Ready<'_>,
    scope: &Scope,
    change: &Change<'_>,
) -> Result<Revocation, WriteError> {
    let Change { event, overdue_ms } = change;
    let mut params = Params::default();
    let id = params.add(event.entity_id.as_str());
    let (reached, may) = (reach(scope, &mut params), may_change(scope, &mut params));
    let found = params.statement(format!(
        "SELECT {may} AS is_allowed FROM keys WHERE key_id = {id} AND {reached}"
    ));
    let mut params = Params::default();
    let (id, now) = (params.add(event.entity_id.as_str()), params.add(event.at.as_str()));
    let revision = params.add(event.id.as_str());
    let (reached, may) = (reach(scope, &mut params), may_change(scope, &mut params));
    let mark = params.statement(format!(
        "UPDATE keys SET revoked_at = {now}, updated_at = {now}, revision = {revision} \
         WHERE key_id = {id} AND {reached} AND {may} AND revoked_at IS NULL RETURNING 1 AS revoked"
    ));
    let changed = |sql: &'static str| {
        Statement::new(sql).bind(event.entity_id.as_str()).bind(event.id.as_str())
    };
    let forget = changed(
        "DELETE FROM key_secrets \
         WHERE key_id IN (SELECT key_id FROM keys WHERE key_id = ?1 AND revision = ?2)",
    );
    let delegations = changed(
        "UPDATE delegations SET revoked_at = \
         (SELECT revoked_at FROM keys WHERE key_id = ?1 AND revision = ?2) \
         WHERE source_key = ?1 AND revoked_at IS NULL",
    );
    let told = outbox::insert_if_changed(event, *overdue_ms, "keys", "key_id");
    let batch = vec![found, mark, forget, delegations, told];
    let mut results = scope.write(ready, batch).await?.into_iter();
    let found = first_row(results.next());
    let is_news = results.next().is_some_and(|rows| !rows.is_empty());
    Ok(match found {
        None => Revocation::Missing,
        Some(row) if !row.flag("is_allowed")? => Revocation::Retired,
        Some(_) => Revocation::Done { is_news },
    })
}

/// The secrets that are no longer valid.
pub fn prune(now_ms: u64) -> Prune {
    Due::all("key_secrets", &["secret_sha256"], "valid_until").prune(now_ms, 0, 500)
}
