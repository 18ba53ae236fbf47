//! The stored lineages of contexts: ChittyDNA's last answer about each.

use chitty_core::ChittyId;
use http_kit::problem::Problem;
use seams::db::{DbError, Statement};
use seams::time;

use crate::access::caller::Scope;
use crate::store::Ready;
use crate::store::event::Event;
use crate::store::work::{Due, Prune};

/// How long a lineage is kept after ChittyDNA last gave it, in ms: 30 days.
const KEEP_MS: u64 = 30 * 24 * 3_600_000;

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
pub async fn read(
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
pub async fn keep(
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
pub fn forget(event: &Event) -> Statement {
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
