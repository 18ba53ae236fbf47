//! Idempotency keys: a creation that is sent twice happens once.
//!
//! The batch of the change also writes the key, the request's fingerprint and the reply, so either all of
//! it is stored or nothing. If two requests with one key race, the primary key lets one of them through.
//! The batch of the other fails as a whole, and that request gets the reply that the first one stored.

use http_kit::problem::{Code, Problem};
use http_kit::request::Request;
use seams::db::{DbError, Params, Row, Statement};
use seams::{ids, time};
use sha2::{Digest, Sha256};

use crate::access::caller::{Scope, WriteError};
use crate::access::reply::{Body, Outcome, Reply};
use crate::store::Ready;
use crate::store::event::Event;
use crate::store::work::{Due, Prune};

/// How long a key is kept, in ms: 24 h.
const KEEP_MS: u64 = 24 * 60 * 60 * 1000;

/// The idempotency key of a request, with the fingerprint of the request to which it is bound.
#[derive(Debug, Clone)]
pub struct Idempotency {
    key: String,
    fingerprint: String,
}

/// A reply to store, without its body: the batch takes the body from the entity's row.
pub struct StoredReply<'a> {
    /// HTTP status.
    pub status: i64,
    /// `ETag` header; empty if the reply has none.
    pub etag: &'a str,
    /// `Location` header; empty if the reply has none.
    pub location: &'a str,
}

impl Idempotency {
    /// Reads the key of a request, if it has one. `operation` names the operation and is part of the
    /// fingerprint: a key works for every path of its operation, and another operation is refused under it.
    ///
    /// # Errors
    /// 422 if the key is empty, longer than 255 characters or not visible ASCII.
    pub fn of(
        request: &Request<'_>,
        operation: &str,
        body: &[u8],
    ) -> Result<Option<Self>, Problem> {
        let key = key(request)?;
        Ok(key.map(|key| Idempotency { key, fingerprint: fingerprint(operation, body) }))
    }

    /// The key as it was sent.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Returns the statement that looks for a stored reply, to run beside the other checks of a creation.
    pub fn look_up(&self, scope: &Scope, now_ms: u64) -> Statement {
        Statement::new(
            "SELECT fingerprint, status, body, etag, location FROM idempotency_keys \
             WHERE actor_id = ?1 AND key = ?2 AND expires_at > ?3",
        )
        .bind(scope.actor())
        .bind(self.key.as_str())
        .bind(time::iso8601(now_ms))
    }

    /// SQL for whether no reply is stored under the key; adds its placeholders to `params`.
    pub fn is_unused_sql(&self, scope: &Scope, now_ms: u64, params: &mut Params) -> String {
        let (actor, key) = (params.add(scope.actor()), params.add(self.key.as_str()));
        let now = params.add(time::iso8601(now_ms));
        format!(
            "NOT EXISTS (SELECT 1 FROM idempotency_keys \
             WHERE actor_id = {actor} AND key = {key} AND expires_at > {now})"
        )
    }

    /// Returns the stored reply in the rows of [`Idempotency::look_up`], if there is one.
    ///
    /// # Errors
    /// 422 when the key belongs to another request.
    pub fn replay(&self, rows: Vec<Row>) -> Result<Option<Reply>, Problem> {
        let Some(mut row) = rows.into_iter().next() else { return Ok(None) };
        if row.text("fingerprint")? != self.fingerprint {
            return Err(key_reused());
        }
        let status = u16::try_from(row.integer("status")?).map_err(|_| DbError::Shape)?;
        let mut reply = Reply::new(status, Body::Json(row.text("body")?));
        for name in ["etag", "location"] {
            if let Some(value) = row.optional_text(name)?.filter(|value| !value.is_empty()) {
                reply = reply.header(name, value);
            }
        }
        Ok(Some(reply.header("idempotency-replayed", "true")))
    }

    /// Returns the statements that store the reply to the change that `event` records. They belong at the end
    /// of the batch of that change. `body_sql` selects the reply's body, with `?1` bound to the entity's id
    /// and `?2` to its revision, which is the event's id. If it selects nothing, the whole batch fails.
    pub fn store(
        &self,
        scope: &Scope,
        event: &Event,
        reply: &StoredReply<'_>,
        body_sql: &str,
    ) -> [Statement; 2] {
        let now = event.at.as_str();
        let expires_ms = time::parse(now).unwrap_or_default() + KEEP_MS;
        let forget_expired = Statement::new(
            "DELETE FROM idempotency_keys WHERE actor_id = ?1 AND key = ?2 AND expires_at <= ?3",
        )
        .bind(scope.actor())
        .bind(self.key.as_str())
        .bind(now);
        let insert = Statement::new(format!(
            "INSERT INTO idempotency_keys \
             (actor_id, key, fingerprint, status, body, etag, location, created_at, expires_at) \
             SELECT ?3, ?4, ?5, ?6, ({body_sql}), ?7, ?8, ?9, ?10"
        ))
        .bind(event.entity_id.as_str())
        .bind(event.id.as_str())
        .bind(scope.actor())
        .bind(self.key.as_str())
        .bind(self.fingerprint.as_str())
        .bind(reply.status)
        .bind(reply.etag)
        .bind(reply.location)
        .bind(now)
        .bind(time::iso8601(expires_ms));
        [forget_expired, insert]
    }

    /// Whether a batch failed because another request with this key was faster.
    pub fn lost_race(error: &DbError) -> bool {
        error.is_unique("idempotency_keys.actor_id, idempotency_keys.key")
    }
}

/// Returns the stored reply in the rows of [`Idempotency::look_up`], if the request has a key and
/// there is a reply.
///
/// # Errors
/// Those of [`Idempotency::replay`].
pub fn replay(key: Option<&Idempotency>, rows: Vec<Row>) -> Result<Option<Reply>, Problem> {
    key.map_or(Ok(None), |key| key.replay(rows))
}

/// Looks for the stored reply to an earlier request with the same key.
///
/// # Errors
/// 401 or 403 if the caller lacks the permission; those of [`Idempotency::replay`]; storage failures.
pub async fn find(
    ready: Ready<'_>,
    scope: &Scope,
    key: Option<&Idempotency>,
    now_ms: u64,
) -> Result<Option<Reply>, Problem> {
    let Some(key) = key else { return Ok(None) };
    key.replay(scope.rows(ready, key.look_up(scope, now_ms)).await?)
}

/// Returns the reply after the batch of a creation has failed with `error`: the stored reply of a
/// faster request with the same key, if there was one.
///
/// # Errors
/// `error`, if there is no such reply; those of [`find`].
pub async fn after(
    error: WriteError,
    ready: Ready<'_>,
    scope: &Scope,
    key: Option<&Idempotency>,
    now_ms: u64,
) -> Outcome {
    match error {
        WriteError::Db(error) if Idempotency::lost_race(&error) => {
            find(ready, scope, key, now_ms).await?.ok_or_else(|| error.into())
        }
        error => Err(error.into()),
    }
}

/// Reads the key of a request, if it has one.
///
/// # Errors
/// 422 if it is empty, longer than 255 characters or not visible ASCII.
pub fn key(request: &Request<'_>) -> Result<Option<String>, Problem> {
    let Some(key) = request.header("idempotency-key") else { return Ok(None) };
    if !(1..=255).contains(&key.len()) || !key.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Problem::invalid(
            "Idempotency-Key",
            "must be 1 to 255 visible ASCII characters, best a fresh UUID",
        ));
    }
    Ok(Some(key))
}

/// Returns the fingerprint to which a key is bound: the SHA-256 of the operation and the body, in hex.
pub fn fingerprint(operation: &str, body: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(operation.as_bytes());
    hash.update([0]);
    hash.update(body);
    ids::hex(&hash.finalize())
}

/// 422: the key belongs to another request.
pub fn key_reused() -> Problem {
    Problem::new(
        Code::IdempotencyKeyReused,
        "This Idempotency-Key was used for another request. Use a fresh key.",
    )
}

/// The expired keys, as work for the cron, which deletes them.
pub const PRUNED: Due = Due {
    name: "pruning_idempotency_keys",
    from: "idempotency_keys",
    key: &["actor_id", "key"],
    owner: None,
    at: "expires_at",
    condition: "expires_at IS NOT NULL",
};

/// The expired keys.
pub fn prune(now_ms: u64) -> Prune {
    Due { name: "idempotency_keys", ..PRUNED }.prune(now_ms, 0, 2000)
}
