//! The stored answers of other services about a context: ChittyVerify's last answer, and the last lineage
//! from ChittyDNA.

use chitty_core::ChittyId;
use http_kit::problem::Problem;
use seams::db::{DbError, Row, Statement, first_row};
use seams::time;
use serde_json::Value;

use crate::access::caller::{Scope, WriteError};
use crate::access::idempotency::{Idempotency, StoredReply};
use crate::store::event::Event;
use crate::store::work::{Due, Prune};
use crate::store::{Ready, outbox};

/// How long a lineage is kept after ChittyDNA last gave it, in ms: 30 days.
const KEEP_MS: u64 = 30 * 24 * 3_600_000;

/// The reply to a verification, over a row of `contexts`.
const VERIFIED: &str = "'{\"success\":true,\"chitty_id\":' || json_quote(chitty_id) || \
     ',\"verification\":' || verification || '}'";

/// Reads what a verification needs before ChittyVerify is called: the DNA id of the context, `None` if the
/// caller has no such context, and the row of the reply that is stored under the request's idempotency key.
///
/// # Errors
/// When the caller lacks the permission; storage failures.
pub async fn before_verification(
    ready: Ready<'_>,
    scope: &Scope,
    id: &ChittyId,
    look_up: Option<Statement>,
) -> Result<(Option<Option<String>>, Vec<Row>), Problem> {
    let context = Statement::new(
        "SELECT chitty_dna_id FROM contexts \
         WHERE chitty_id = ?2 AND owner_chitty_id = ?1 AND deleted_at IS NULL",
    )
    .bind(scope.actor())
    .bind(id.as_str());
    let statements = [context].into_iter().chain(look_up).collect();
    let mut results = scope.read(ready, statements).await?.into_iter();
    let dna_id =
        first_row(results.next()).map(|mut row| row.optional_text("chitty_dna_id")).transpose()?;
    Ok((dna_id, results.next().unwrap_or_default()))
}

/// Stores ChittyVerify's answer, its event and, with an idempotency key, the reply, in one batch. Returns
/// the reply's body, or `None` if the context is gone. `verification` must be an object with the event's id
/// as `event_id`.
///
/// # Errors
/// [`WriteError`]; if the context is gone and there is a key, the failed insertion of the key.
pub async fn verified(
    ready: Ready<'_>,
    scope: &Scope,
    event: &Event,
    overdue_ms: u64,
    verification: &Value,
    key: Option<&Idempotency>,
) -> Result<Option<String>, WriteError> {
    let keep = Statement::new(format!(
        "UPDATE contexts SET verification = ?3, learned = learned + 1 \
         WHERE chitty_id = ?2 AND owner_chitty_id = ?1 AND deleted_at IS NULL \
         RETURNING {VERIFIED} AS body"
    ))
    .bind(scope.actor())
    .bind(event.entity_id.as_str())
    .bind(verification.to_string());
    let mut batch = vec![keep, verified_row(event, overdue_ms)];
    if let Some(key) = key {
        let body = format!(
            "SELECT {VERIFIED} FROM contexts \
             WHERE chitty_id = ?1 AND json_extract(verification, '$.event_id') = ?2"
        );
        let reply = StoredReply { status: 200, etag: "", location: "" };
        batch.extend(key.store(scope, event, &reply, &body));
    }
    let results = scope.write(ready, batch).await?;
    let row = first_row(results.into_iter().next());
    Ok(row.map(|mut row| row.text("body")).transpose()?)
}

/// The last lineage of a context from ChittyDNA.
pub struct LineageRow {
    /// The JSON of an object.
    pub lineage: String,
    /// When ChittyDNA gave it, in ms since the Unix epoch.
    pub read_ms: u64,
}

/// Reads the stored lineage of a context of the caller: `Some(None)` if none is stored, `None` if the caller
/// has no such context.
///
/// # Errors
/// When the caller lacks the permission; storage failures.
pub async fn lineage(
    ready: Ready<'_>,
    scope: &Scope,
    id: &ChittyId,
) -> Result<Option<Option<LineageRow>>, Problem> {
    let query = Statement::new(
        "SELECT told.lineage, told.read_at FROM contexts \
         LEFT JOIN context_lineages AS told ON told.chitty_id = contexts.chitty_id \
         WHERE contexts.chitty_id = ?2 AND owner_chitty_id = ?1 AND deleted_at IS NULL",
    )
    .bind(scope.actor())
    .bind(id.as_str());
    let Some(mut row) = scope.rows(ready, query).await?.into_iter().next() else {
        return Ok(None);
    };
    let stored = match (row.optional_text("lineage")?, row.optional_text("read_at")?) {
        (Some(lineage), Some(at)) => {
            Some(LineageRow { lineage, read_ms: time::parse(&at).unwrap_or_default() })
        }
        _ => None,
    };
    Ok(Some(stored))
}

/// Stores a lineage, unless a later one is stored or the context is gone.
///
/// # Errors
/// Storage failures.
pub async fn keep_lineage(
    ready: Ready<'_>,
    id: &ChittyId,
    lineage: &str,
    now_ms: u64,
) -> Result<(), DbError> {
    let keep = Statement::new(
        "INSERT INTO context_lineages (chitty_id, lineage, read_at) SELECT chitty_id, ?2, ?3 \
         FROM contexts WHERE chitty_id = ?1 AND deleted_at IS NULL \
         ON CONFLICT (chitty_id) DO UPDATE SET lineage = excluded.lineage, \
         read_at = excluded.read_at WHERE read_at < excluded.read_at",
    )
    .bind(id.as_str())
    .bind(lineage)
    .bind(time::iso8601(now_ms));
    ready.db().batch(vec![keep]).await.map(|_| ())
}

/// Deletes the lineage of a context, if the change of `event` in the same batch has deleted the context.
pub fn forget_lineage(event: &Event) -> Statement {
    Statement::new(
        "DELETE FROM context_lineages WHERE chitty_id = ?1 AND EXISTS \
         (SELECT 1 FROM contexts WHERE chitty_id = ?1 AND revision = ?2)",
    )
    .bind(event.entity_id.as_str())
    .bind(event.id.as_str())
}

/// The lineages whose last answer from ChittyDNA is 30 days old.
pub fn prune(now_ms: u64) -> Prune {
    Due::all("context_lineages", &["chitty_id"], "read_at").prune(now_ms, KEEP_MS, 2000)
}

/// Inserts the event of a verification, if the batch has stored the verification.
fn verified_row(event: &Event, overdue_ms: u64) -> Statement {
    let condition = "EXISTS (SELECT 1 FROM contexts WHERE chitty_id = ?4 \
         AND json_extract(verification, '$.event_id') = ?1)";
    outbox::insert_if(event, overdue_ms, condition)
}
