//! The SQL of delegations.

use http_kit::problem::Problem;
use seams::db::{DbError, Params, Row, Statement, first_row};
use seams::time;
use serde_json::json;

use crate::access::caller::standing::{self, Backing, CredentialTable};
use crate::access::caller::{Credential, Grant, Scope, WriteError};
use crate::access::creation::Creation;
use crate::access::listing::{Newest, Page, PageRequest};
use crate::store::event::Event;
use crate::store::ids::DelegationId;
use crate::store::work::{Due, Prune};
use crate::store::{Ready, outbox};

/// SQL for a delegation as a JSON object, as it is returned: without its token. `now` is a placeholder.
fn document(now: &str) -> String {
    format!(
        "json_object('token_id', delegation_id, 'delegation_id', delegation_id, \
         'delegator_chitty_id', delegator_chitty_id, 'target_service', target_service, \
         'scopes', json(scopes), 'metadata', json(metadata), \
         'status', iif(revoked_at IS NOT NULL, 'revoked', iif(expires_at <= {now}, 'expired', 'active')), \
         'depth', length(path) - length(replace(path, '/', '')), \
         'created_at', created_at, 'expires_at', expires_at, 'revoked_at', revoked_at, \
         'expires_in_seconds', CAST(round((julianday(expires_at) - julianday(created_at)) * 86400) AS INTEGER))"
    )
}

/// The bounds of a delegation, set by the credential that makes it.
#[derive(Debug)]
pub struct Bounds {
    /// When the credential ends (ISO-8601 UTC), if it does.
    pub expires_at: Option<String>,
    /// How many delegations lead to the credential; 0 if it is not a delegated token.
    pub depth: usize,
    /// The service for which the credential is valid, in the form in which names are compared;
    /// `None` is no bound.
    pub target_service: Option<String>,
}

/// Reads the bounds that the caller's credential sets, and the rows that `look_up` finds in the
/// same round trip.
///
/// # Errors
/// 401 or 403 if the caller lacks the permission; storage failures.
pub async fn bounds(
    ready: Ready<'_>,
    scope: &Scope,
    look_up: Option<Statement>,
) -> Result<(Option<Bounds>, Vec<Row>), Problem> {
    let query = match scope.credential() {
        Credential::Token { expires_at, .. } => {
            Statement::new("SELECT ?1 AS expires_at, 0 AS ancestors, NULL AS target_service")
                .bind(expires_at.as_deref())
        }
        Credential::Delegation { sha256, .. } => Statement::new(
            "SELECT expires_at, length(path) - length(replace(path, '/', '')) AS ancestors, \
             target_service FROM delegations WHERE token_sha256 = ?1",
        )
        .bind(sha256.as_str()),
        Credential::Key { sha256, .. } => Statement::new(
            "SELECT nullif(min(ifnull(k.expires_at, '9999'), ifnull(s.valid_until, '9999')), '9999') \
             AS expires_at, 0 AS ancestors, NULL AS target_service FROM key_secrets AS s JOIN keys AS k USING (key_id) \
             WHERE s.secret_sha256 = ?1",
        )
        .bind(sha256.as_str()),
    };
    let mut results =
        scope.read(ready, [query].into_iter().chain(look_up).collect()).await?.into_iter();
    let bounds = match first_row(results.next()) {
        None => None,
        Some(mut row) => Some(Bounds {
            expires_at: row.optional_text("expires_at")?,
            depth: usize::try_from(row.integer("ancestors")?).unwrap_or_default(),
            target_service: row.optional_text("target_service")?,
        }),
    };
    Ok((bounds, results.next().unwrap_or_default()))
}

/// A delegation to make.
pub struct Draft<'a> {
    /// SHA-256 of the token, in hex.
    pub token_sha256: String,
    /// The name of the service, in the form in which names are compared.
    pub target_service: String,
    /// The part of its maker's authority that it carries.
    pub grant: &'a Grant,
    /// A JSON object.
    pub metadata: String,
    /// ISO-8601 UTC.
    pub expires_at: String,
}

/// The columns of a new delegation, in the order of [`values`].
const COLUMNS: &str = "delegation_id, token_sha256, delegator_chitty_id, target_service, \
     scopes, metadata, created_at, revision, expires_at, path, source_token, \
     source_expires_at, source_key, source_scopes, source_actor, source_secret";

/// SQL that selects the values of a new delegation, with what it takes over from the credential that makes it;
/// adds its placeholders to `params`. Of the ends it selects the earliest, because the credential may end
/// sooner by now.
fn values(scope: &Scope, new: &Draft<'_>, event: &Event, params: &mut Params) -> String {
    let own = [
        event.entity_id.as_str(),
        &new.token_sha256,
        scope.actor(),
        &new.target_service,
        &json!(new.grant.scopes()).to_string(),
        &new.metadata,
        &event.at,
        event.id.as_str(),
    ]
    .map(|value| params.add(value))
    .join(", ");
    let ends = params.add(new.expires_at.as_str());
    match scope.credential() {
        Credential::Token { sha256, expires_at, is_made: false } => {
            let token = params.add(sha256.as_str());
            let token_ends = params.add(expires_at.as_deref());
            let scopes = params.add(json!(scope.carried_scopes()).to_string());
            format!(
                "SELECT {own}, min({ends}, ifnull({token_ends}, '9999')), ?1 || '/', {token}, \
                 {token_ends}, NULL, {scopes}, ?3, NULL"
            )
        }
        Credential::Token { sha256, .. } => {
            let token = params.add(sha256.as_str());
            format!(
                "SELECT {own}, min({ends}, expires_at), ?1 || '/', token_sha256, expires_at, NULL, \
                 source_scopes, source_actor, source_secret FROM made_tokens \
                 WHERE token_sha256 = {token}"
            )
        }
        Credential::Delegation { sha256, .. } => {
            let parent = params.add(sha256.as_str());
            format!(
                "SELECT {own}, min({ends}, expires_at), path || ?1 || '/', source_token, \
                 source_expires_at, source_key, source_scopes, source_actor, source_secret \
                 FROM delegations WHERE token_sha256 = {parent}"
            )
        }
        Credential::Key { sha256, .. } => {
            let secret = params.add(sha256.as_str());
            format!(
                "SELECT {own}, min({ends}, ifnull(k.expires_at, '9999'), \
                 ifnull(s.valid_until, '9999')), ?1 || '/', NULL, NULL, key_id, k.source_scopes, \
                 k.created_by, s.secret_sha256 FROM key_secrets AS s JOIN keys AS k USING (key_id) \
                 WHERE s.secret_sha256 = {secret}"
            )
        }
    }
}

/// Makes a delegation, which depends on the credential that makes it. Returns it as JSON, without its token.
///
/// # Errors
/// [`WriteError`].
pub async fn insert(
    ready: Ready<'_>,
    scope: &Scope,
    new: &Draft<'_>,
    creation: &Creation<'_>,
) -> Result<String, WriteError> {
    let mut params = Params::default();
    let values = values(scope, new, &creation.event, &mut params);
    let made = document("''");
    let insert = params.statement(format!(
        "INSERT INTO delegations ({COLUMNS}) {values} RETURNING {made} AS body"
    ));
    let stored = format!(
        "SELECT '{{\"success\":true,\"delegation\":' || {made} || '}}' FROM delegations \
         WHERE delegation_id = ?1 AND revision = ?2"
    );
    let body = creation.write(ready, scope, vec![insert], &stored).await?;
    Ok(body.ok_or(DbError::Shape)?)
}

/// SQL for whether the caller may reach a delegation: its own, or with a delegated token only those
/// below that token; adds its placeholders to `params`.
fn reach(scope: &Scope, params: &mut Params) -> String {
    let own = format!("delegator_chitty_id = {}", params.add(scope.actor()));
    match scope.credential() {
        Credential::Delegation { path, .. } => {
            let path = params.add(path.as_str());
            // Every longer path that begins with this one: `0` is the character right after `/`.
            format!(
                "{own} AND path > {path} AND path < substr({path}, 1, length({path}) - 1) || '0'"
            )
        }
        _ => own,
    }
}

/// Lists the delegations that the caller may reach, newest first.
///
/// # Errors
/// 401 or 403 if the caller lacks the permission; storage failures.
pub async fn list(
    ready: Ready<'_>,
    scope: &Scope,
    only_active: bool,
    now_ms: u64,
    asked: PageRequest,
) -> Result<Page, Problem> {
    let mut params = Params::default();
    let now = params.add(time::iso8601(now_ms));
    let mut condition = reach(scope, &mut params);
    if only_active {
        condition += &format!(" AND revoked_at IS NULL AND expires_at > {now}");
    }
    let item = document(&now);
    let keys = ["created_at", "delegation_id"];
    let list = Newest { from: "delegations", keys, item: &item, condition };
    list.read(ready, scope, params, asked).await
}

/// Revokes a delegation and every one below it, in one statement. The caller must be able to reach
/// it; an administrator can revoke any. Returns `None` if there is no such delegation; otherwise
/// whether it was not revoked before.
///
/// # Errors
/// [`WriteError`].
pub async fn revoke(
    ready: Ready<'_>,
    scope: &Scope,
    id: &DelegationId,
    event: &Event,
    overdue_ms: u64,
) -> Result<Option<bool>, WriteError> {
    let mut params = Params::default();
    let reached = revocable(scope, id, &mut params);
    let found = params.statement(format!("SELECT 1 AS found FROM delegations WHERE {reached}"));
    let mut params = Params::default();
    let reached = revocable(scope, id, &mut params);
    let (at, revision) = (params.add(event.at.as_str()), params.add(event.id.as_str()));
    let revoke = params.statement(format!(
        "UPDATE delegations SET revoked_at = {at}, revision = {revision} \
         FROM (SELECT path FROM delegations WHERE {reached} AND revoked_at IS NULL) AS above \
         WHERE delegations.path >= above.path \
         AND delegations.path < substr(above.path, 1, length(above.path) - 1) || '0' \
         AND delegations.revoked_at IS NULL RETURNING 1 AS revoked"
    ));
    let told = outbox::insert_if_changed(event, overdue_ms, "delegations", "delegation_id");
    let mut results = scope.write(ready, vec![found, revoke, told]).await?.into_iter();
    let mut any = || results.next().is_some_and(|rows| !rows.is_empty());
    let (is_there, is_news) = (any(), any());
    Ok(is_there.then_some(is_news))
}

/// SQL for whether the caller may revoke the delegation `id`; adds its placeholders to `params`.
fn revocable(scope: &Scope, id: &DelegationId, params: &mut Params) -> String {
    let id = params.add(id);
    let (own, admin) = (reach(scope, params), scope.is_admin_sql(params));
    format!("delegation_id = {id} AND (({own}) OR {admin})")
}

/// A delegated token that is valid.
#[derive(Debug)]
pub struct ValidToken {
    /// Its id.
    pub id: DelegationId,
    /// The actor for which it acts.
    pub delegator: String,
    /// The name of the service, in the form in which names are compared.
    pub target_service: String,
    /// Those of its scopes that are still backed.
    pub scopes: Vec<String>,
    /// ISO-8601 UTC.
    pub created_at: String,
    /// ISO-8601 UTC.
    pub expires_at: String,
}

/// Looks up a token by its SHA-256 (hex). Returns it only if it is valid now: its delegator and its
/// source must be valid too.
///
/// # Errors
/// Storage failures.
pub async fn good(
    ready: Ready<'_>,
    sha256: &str,
    now_ms: u64,
) -> Result<Option<ValidToken>, DbError> {
    let query = Statement::new(format!(
        "SELECT k.delegation_id, k.delegator_chitty_id, k.target_service, k.created_at, \
         k.expires_at, {} FROM delegations AS k \
         WHERE k.token_sha256 = ?1 AND k.revoked_at IS NULL AND k.expires_at > ?2 AND {} AND {}",
        Backing::columns(CredentialTable::Delegation, "?3"),
        standing::active("k.delegator_chitty_id"),
        standing::source_is_good("?2", "k.delegator_chitty_id"),
    ))
    .bind(sha256)
    .bind(time::iso8601(now_ms))
    .bind(standing::cutoff(now_ms));
    let Some(mut row) = ready.db().rows(query).await?.into_iter().next() else { return Ok(None) };
    Ok(Some(ValidToken {
        id: DelegationId::from_row(&mut row, "delegation_id")?,
        delegator: row.text("delegator_chitty_id")?,
        target_service: row.text("target_service")?,
        created_at: row.text("created_at")?,
        expires_at: row.text("expires_at")?,
        scopes: Backing::read(&mut row)?.held_scopes(),
    }))
}

/// How long a delegation is kept after its end, in ms: a day, so that its maker can still see how it ended.
const KEEP_MS: u64 = 24 * 3_600_000;

/// The delegations that ended a day ago.
pub fn prune(now_ms: u64) -> Prune {
    Due::all("delegations", &["delegation_id"], "expires_at").prune(now_ms, KEEP_MS, 2000)
}
