//! Names that were stored before names had a key (see migration 0021). The cron gives each its key. A request
//! that gives a context a name first settles those of the same owner, so that no name is given twice.
//!
//! If two former names have the same key, the name that equals the key gets it, or else the older one. The
//! key of the other is that key, a line break, which no name contains, and its ChittyID. Both names stay as
//! they were written.

use http_kit::names;
use http_kit::problem::{Code, Problem};
use seams::db::{DbError, Row, Statement};
use seams::log;

use crate::app::App;
use crate::store::Ready;

/// The most names of one round, and the most rounds of one request and of one run of the cron.
const AT_ONCE: i64 = 100;
const ROUNDS_OF_A_REQUEST: usize = 10;
const ROUNDS_OF_THE_CRON: usize = 400;

/// The condition for the rows of `contexts` that still need a name key: that of the index `contexts_unkeyed`.
pub const CONDITION: &str = "name_key IS NULL AND deleted_at IS NULL AND (name GLOB '*[^ -~]*' \
     OR name GLOB ' *' OR name GLOB '* ' OR name GLOB '*  *')";

/// Reads the next names that need a key, of one owner or of all owners.
pub fn next(owner: Option<&str>) -> Statement {
    let of_owner = if owner.is_some() { "owner_chitty_id = ?2 AND " } else { "" };
    let query = Statement::new(format!(
        "SELECT row_id, owner_chitty_id, name FROM contexts WHERE {of_owner}{CONDITION} \
         ORDER BY owner_chitty_id, row_id LIMIT ?1"
    ))
    .bind(AT_ONCE);
    match owner {
        Some(owner) => query.bind(owner),
        None => query,
    }
}

/// Gives the names that [`next`] has read their keys. A repetition has no further effect.
///
/// # Errors
/// Storage failures.
pub async fn settle(ready: Ready<'_>, rows: Vec<Row>) -> Result<(), DbError> {
    let statements = rows.into_iter().map(|mut row| {
        let row_id = row.integer("row_id")?;
        let (owner, name) = (row.text("owner_chitty_id")?, row.text("name")?);
        Ok(Statement::new(
            "UPDATE contexts SET name_key = iif(EXISTS (SELECT 1 FROM contexts AS other \
             WHERE other.owner_chitty_id = ?2 AND ifnull(other.name_key, other.name) = ?3 \
             AND other.deleted_at IS NULL AND other.row_id <> ?1), ?3 || char(10) || chitty_id, ?3) \
             WHERE row_id = ?1 AND name = ?4 AND name_key IS NULL AND deleted_at IS NULL",
        )
        .bind(row_id)
        .bind(owner)
        .bind(names::key(&name))
        .bind(name))
    });
    let statements = statements.collect::<Result<Vec<_>, DbError>>()?;
    ready.db().batch(statements).await.map(|_| ())
}

/// How many more rounds of former names a request may settle before it is refused.
pub struct Patience(usize);

impl Default for Patience {
    fn default() -> Self {
        Patience(ROUNDS_OF_A_REQUEST)
    }
}

impl Patience {
    /// Settles former names of the caller, which must have keys before another name can be compared with
    /// them. `rows` may be empty if the request must repeat its batch for another reason.
    ///
    /// # Errors
    /// 503 when the rounds of this request are used up; storage failures.
    pub async fn settle(&mut self, ready: Ready<'_>, rows: Vec<Row>) -> Result<(), Problem> {
        if !rows.is_empty() {
            settle(ready, rows).await?;
        }
        self.0 = self.0.saturating_sub(1);
        if self.0 > 0 {
            return Ok(());
        }
        let detail =
            "The names of your contexts are being prepared for comparison. Repeat the request.";
        Err(Problem::new(Code::NotReady, detail).retry_after(1))
    }
}

/// Settles former names of all owners until none is left or the time is up; the cron runs it.
pub async fn settle_all(app: &App, ready: Ready<'_>, until_ms: u64) {
    for _ in 0..ROUNDS_OF_THE_CRON {
        if app.now_ms() >= until_ms {
            return;
        }
        let settled = async {
            let rows = ready.db().rows(next(None)).await?;
            let is_last = i64::try_from(rows.len()).unwrap_or(i64::MAX) < AT_ONCE;
            if !rows.is_empty() {
                settle(ready, rows).await?;
            }
            Ok::<bool, DbError>(is_last)
        };
        match settled.await {
            Ok(false) => {}
            Ok(true) => return,
            Err(error) => {
                log::warn("names_not_settled", &[("error", &error.to_string())]);
                return;
            }
        }
    }
}
