//! Index words of an earlier version, which did not fold and cut text for every script (see migration 0022).
//! The cron rewrites the words of each such context. A request that changes such a context rewrites them
//! first, so that one index row never holds words of both kinds. Until then a search finds the context by
//! its former words.

use seams::db::{DbError, Row, Statement};
use seams::log;

use crate::app::App;
use crate::contexts::Status;
use crate::contexts::search::{Key, Words, name_column};
use crate::store::Ready;

/// The most contexts of one round, the most rounds of one run of the cron, and the bytes of contexts after
/// which a run ends.
const AT_ONCE: i64 = 20;
const ROUNDS: usize = 250;
const MAX_BYTES: usize = 32 << 20;

/// The condition for the rows of `contexts` that have former words: that of the index
/// `contexts_former_words`.
pub const CONDITION: &str = "words_written = 0 AND deleted_at IS NULL";

/// The columns of a context that its words are made from.
const COLUMNS: &str = "row_id, owner_chitty_id, status, revision, name, data, systems, tools";

/// Reads the context `id` of `owner`, if it has former words.
pub fn of(owner: &str, id: &str) -> Statement {
    Statement::new(format!(
        "SELECT {COLUMNS} FROM contexts WHERE owner_chitty_id = ?1 AND chitty_id = ?2 AND {CONDITION}"
    ))
    .bind(owner)
    .bind(id)
}

fn next() -> Statement {
    Statement::new(format!(
        "SELECT {COLUMNS} FROM contexts WHERE {CONDITION} ORDER BY row_id LIMIT ?1"
    ))
    .bind(AT_ONCE)
}

/// Rewrites the words of contexts, of each only if it was not changed since it was read. Returns the number
/// of bytes that the words were made from.
///
/// # Errors
/// Storage failures.
pub async fn write_anew(ready: Ready<'_>, rows: Vec<Row>) -> Result<usize, DbError> {
    let mut batch = Vec::new();
    let mut bytes = 0;
    for row in rows {
        let (statements, length) = anew(row)?;
        batch.extend(statements);
        bytes += length;
    }
    ready.db().batch(batch).await?;
    Ok(bytes)
}

fn anew(mut row: Row) -> Result<([Statement; 2], usize), DbError> {
    let (row_id, owner) = (row.integer("row_id")?, row.text("owner_chitty_id")?);
    let (status, revision, name) = (row.text("status")?, row.text("revision")?, row.text("name")?);
    let key = Key::of(&owner, Status::parse(&status).ok_or(DbError::Shape)?);
    let mut bytes = name.len();
    let mut words = |column: &str| {
        let json = row.text(column)?;
        bytes += json.len();
        // Stored JSON was parsed before. If it ever cannot be, a search still finds the context by its name.
        let values: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap_or_default();
        Ok::<String, DbError>(Words::of(&values).under(&key))
    };
    let (data, systems, tools) = (words("data")?, words("systems")?, words("tools")?);
    let put = Statement::new(format!(
        "INSERT OR REPLACE INTO contexts_fts (rowid, name, data, systems, tools) \
         SELECT row_id, ?3, ?4, ?5, ?6 FROM contexts WHERE row_id = ?1 AND revision = ?2 \
         AND {CONDITION}"
    ))
    .bind(row_id)
    .bind(revision.as_str())
    .bind(name_column(&name, &key))
    .bind(data)
    .bind(systems)
    .bind(tools);
    let count = Statement::new(format!(
        "UPDATE contexts SET words_written = 1 WHERE row_id = ?1 AND revision = ?2 AND {CONDITION}"
    ))
    .bind(row_id)
    .bind(revision);
    Ok(([put, count], bytes))
}

/// Rewrites former words until none are left or the time is up; the cron runs it.
pub async fn write_all_anew(app: &App, ready: Ready<'_>, until_ms: u64) {
    let mut bytes = 0;
    for _ in 0..ROUNDS {
        if app.now_ms() >= until_ms || bytes > MAX_BYTES {
            return;
        }
        let written = async {
            let rows = ready.db().rows(next()).await?;
            if rows.is_empty() { Ok(None) } else { write_anew(ready, rows).await.map(Some) }
        };
        match written.await {
            Ok(Some(more)) => bytes += more,
            Ok(None) => return,
            Err(error) => {
                log::warn("words_not_written", &[("error", &error.to_string())]);
                return;
            }
        }
    }
}
