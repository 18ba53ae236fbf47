//! The parts that all background work shares: taking due rows, fairly by owner and one batch at a time,
//! until nothing is due or the time is up; and deleting expired rows.
//!
//! The statement that takes a row also postpones it. So no other run takes the same row, and a row whose
//! work fails does not block the others: it is due again after its own pause. The folder of the table
//! decides how long the pause is and when a row is given up.

use futures_util::stream::{self, Stream, StreamExt};
use seams::db::{DbError, Row, Statement};
use seams::{log, time};

use crate::app::App;
use crate::store::Ready;

/// The number of due rows, the longest due first, from which one batch is chosen.
const CANDIDATES: i64 = 5000;

/// The most due rows that a [`Backlog`] counts.
const COUNTED: i64 = 10_000;

/// A table whose rows are work once they are due. The members are SQL; `at` and `condition` repeat the
/// definition of the index that finds the rows.
#[derive(Debug, Clone, Copy)]
pub struct Due {
    /// The name of this work in metrics.
    pub name: &'static str,
    /// The table, perhaps with an alias.
    pub from: &'static str,
    /// The column that identifies a row.
    pub key: &'static str,
    /// The expression for the owner of a row; owners take turns.
    pub owner: &'static str,
    /// The instant at which a row is due: the expression that the index is over.
    pub at: &'static str,
    /// The condition that a row must meet to be work: the condition of the index.
    pub condition: &'static str,
}

impl Due {
    /// SQL for the keys of the rows to take next: first the row of each owner that has been due longest,
    /// then the second of each owner, and so on. `now` and `limit` are placeholders.
    pub fn keys(&self, now: &str, limit: &str) -> String {
        let Due { from, key, owner, at, condition, .. } = self;
        format!(
            "SELECT work_key FROM (SELECT work_key, work_at, \
             row_number() OVER (PARTITION BY work_owner ORDER BY work_at) AS turn \
             FROM (SELECT {key} AS work_key, {owner} AS work_owner, {at} AS work_at FROM {from} \
             WHERE {condition} AND {at} <= {now} ORDER BY {at} LIMIT {CANDIDATES})) \
             ORDER BY turn, work_at LIMIT {limit}"
        )
    }

    /// The query that counts the rows due at an instant; [`Backlog::read`] reads its result.
    pub fn backlog(&self, now_ms: u64) -> Statement {
        let Due { from, at, condition, .. } = self;
        Statement::new(format!(
            "SELECT count(*) AS depth, min(work_at) AS oldest FROM (SELECT {at} AS work_at \
             FROM {from} WHERE {condition} AND {at} <= ?1 ORDER BY {at} LIMIT {COUNTED})"
        ))
        .bind(time::iso8601(now_ms))
    }
}

/// The work that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// The number of due rows; counted up to ten thousand.
    pub depth: i64,
    /// How long the oldest row has been due, in ms.
    pub oldest_ms: u64,
}

impl Backlog {
    /// Reads the result of [`Due::backlog`]; both must be given the same instant.
    ///
    /// # Errors
    /// [`DbError::Shape`].
    pub fn read(rows: Vec<Row>, now_ms: u64) -> Result<Self, DbError> {
        let mut row = rows.into_iter().next().ok_or(DbError::Shape)?;
        let oldest = row.optional_text(1)?.map(|at| time::parse(&at).unwrap_or_default());
        let oldest_ms = oldest.map_or(0, |at_ms| now_ms.saturating_sub(at_ms));
        Ok(Backlog { depth: row.integer(0)?, oldest_ms })
    }
}

/// The limits of one run.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How many rows the run takes at once. Keep it small: the run finishes the rows that it has taken even
    /// after its time is up.
    pub batch: usize,
    /// How many rows the run takes in all, such that the calls for all of them stay within the platform's
    /// limit of subrequests.
    pub at_most: usize,
    /// The instant after which the run takes no more rows, in ms since the Unix epoch.
    pub until_ms: u64,
}

/// A batch of taken rows.
#[derive(Debug)]
pub struct Batch<T> {
    /// The rows that could be read.
    pub rows: Vec<T>,
    /// How many rows were taken, including those that could not be read.
    pub taken: usize,
}

/// Returns the due rows as a stream, which calls `take` for the next batch when the one before is used up.
/// The stream ends when fewer rows than a batch are due, at the bounds, or when `take` returns `None`
/// because it failed; `take` logs that failure itself.
pub fn taken<'a, T: 'a>(
    app: &'a App,
    bounds: Bounds,
    take: impl AsyncFn(i64) -> Option<Batch<T>> + 'a,
) -> impl Stream<Item = T> + 'a {
    let first = (take, bounds.at_most, false);
    stream::unfold(first, move |(take, left, is_over)| async move {
        let size = bounds.batch.min(left);
        if is_over || size == 0 || app.now_ms() >= bounds.until_ms {
            return None;
        }
        let batch = take(i64::try_from(size).unwrap_or(i64::MAX)).await?;
        let state = (take, left.saturating_sub(batch.taken), batch.taken < size);
        Some((stream::iter(batch.rows), state))
    })
    .flatten()
}

/// The deletion of the expired rows of one kind.
#[derive(Debug)]
pub struct Prune {
    /// The kind of rows, for the log.
    pub what: &'static str,
    /// A `DELETE` of a bounded number of these rows.
    pub statement: Statement,
}

/// The most statements that one run of [`prune`] executes.
const MAX_PRUNES: usize = 400;

/// Deletes expired rows: a bounded number of each kind in turn, until none of any kind is left or the time
/// is up. A kind whose statement fails waits for the next run; the other kinds go on.
pub async fn prune(app: &App, ready: Ready<'_>, kinds: Vec<Prune>, until_ms: u64) {
    let mut open = kinds;
    let mut made = 0;
    while !open.is_empty() {
        let mut more = Vec::new();
        for kind in open {
            if made == MAX_PRUNES || app.now_ms() >= until_ms {
                return;
            }
            made += 1;
            let mut statement = kind.statement.clone();
            statement.sql = format!("{} RETURNING 1 AS gone", statement.sql).into();
            match ready.db().batch(vec![statement]).await {
                Ok(results) if results.iter().any(|rows| !rows.is_empty()) => more.push(kind),
                Ok(_) => {}
                Err(error) => {
                    let fields = [("what", kind.what), ("error", &error.to_string())];
                    log::warn("prune_failed", &fields);
                }
            }
        }
        open = more;
    }
}
