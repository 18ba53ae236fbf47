//! What all background work has in common: how due rows are taken, fairly by owner and a batch at a
//! time, until nothing is due or the time is up; and how rows that are past their time are removed.
//!
//! Who takes a row puts it off in the same statement, so that no other run takes it too, and so that a
//! row whose work fails does not stand in the way of the others: it is due again after its own pause.
//! How large the pause is, and how a row is given up, is the business of the table's own folder.

use futures_util::stream::{self, Stream, StreamExt};
use seams::db::{DbError, Row, Statement};
use seams::{log, time};

use crate::app::App;
use crate::store::Ready;

/// Among how many due rows, the longest due first, one batch is shared out.
const CANDIDATES: i64 = 5000;

/// Up to how many due rows are counted.
const COUNTED: i64 = 10_000;

/// Rows of a table that are work when their time has come. The texts are SQL, and those of the index by
/// which they are found.
#[derive(Debug, Clone, Copy)]
pub struct Due {
    /// Its name in metrics.
    pub name: &'static str,
    /// The table, perhaps with an alias.
    pub from: &'static str,
    /// The column by which a row is named.
    pub key: &'static str,
    /// Whose work it is.
    pub owner: &'static str,
    /// When it is due: the expression that the index is over.
    pub at: &'static str,
    /// Which rows are work at all: the condition of the index.
    pub condition: &'static str,
}

impl Due {
    /// SQL for the keys of the rows to take next: of each owner the one that has been due longest, then
    /// of each the second, and so on. `now` and `limit` are placeholders.
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

    /// The question how much is due at an instant; [`Backlog::read`] reads its answer.
    pub fn backlog(&self, now_ms: u64) -> Statement {
        let Due { from, at, condition, .. } = self;
        Statement::new(format!(
            "SELECT count(*) AS depth, min(work_at) AS oldest FROM (SELECT {at} AS work_at \
             FROM {from} WHERE {condition} AND {at} <= ?1 ORDER BY {at} LIMIT {COUNTED})"
        ))
        .bind(time::iso8601(now_ms))
    }
}

/// How much work is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// How many rows; at most ten thousand are counted.
    pub depth: i64,
    /// For how long the oldest has been due, in ms.
    pub oldest_ms: u64,
}

impl Backlog {
    /// Reads the answer to [`Due::backlog`], asked with the same instant.
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

/// How far one run goes.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How many rows are taken at once. What is taken is done also after the time is up, so it is not
    /// many.
    pub batch: usize,
    /// How many rows are taken in all; what each of them costs adds up to the platform's limit of
    /// subrequests.
    pub at_most: usize,
    /// After which instant no more are taken, in ms since the Unix epoch.
    pub until_ms: u64,
}

/// A batch of rows that were taken.
#[derive(Debug)]
pub struct Batch<T> {
    /// Those that can be worked on.
    pub rows: Vec<T>,
    /// How many were taken, those included that cannot be read.
    pub taken: usize,
}

/// The rows that are due, as a stream that takes a batch when the one before is used up. Ends when less
/// than a batch is due, at the bounds, or when `take` fails, which says so itself.
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

/// Rows of one kind that are to be removed.
#[derive(Debug)]
pub struct Prune {
    /// What they are, for the log.
    pub what: &'static str,
    /// A `DELETE` of a bounded number of them.
    pub statement: Statement,
}

/// How many statements one run of [`prune`] makes at most.
const MAX_PRUNES: usize = 400;

/// Removes what is past its time: each kind in turn, until nothing of any is left or the time is up. A
/// kind that fails is left for the next run, and keeps no other from its turn.
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
