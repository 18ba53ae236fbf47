//! The one engine of background work: rows of a table that become due, are claimed under a lease, worked
//! on, and then finished, postponed or given up.
//!
//! - [`Due`] describes which rows of a table are due, and counts them ([`Backlog`]).
//! - [`Queue`] claims them: fairly by owner, each row for one worker at a time. The claim and the start of
//!   its lease are one statement, so two runs never work on the same row.
//! - [`Claim`] is a claimed row. Its statements take effect only while the lease is still held.
//! - [`Work`] is one background activity; [`run`] performs it, a batch at a time, within its [`Bounds`].
//! - [`prune`] deletes rows that nobody needs any more, in bounded steps.
//!
//! A row whose worker dies is due again when its lease ends. A row that fails is due again after a pause
//! that grows with its attempts, so that it never stands in the way of the others.

mod prune;
mod queue;
mod run;

use seams::db::{DbError, Row, Statement};
use seams::time;

pub use self::prune::{Prune, prune};
pub use self::queue::{Change, Claim, Hold, Queue, pause_ms};
pub use self::run::{Bounds, Work, run};

/// Among how many due rows, the longest due first, one batch is shared out by owner.
const CANDIDATES: i64 = 5000;

/// Up to how many due rows are counted.
const COUNTED: i64 = 10_000;

/// Rows of a table that are work when their time has come. The texts are SQL, and those of the index by
/// which the rows are found.
#[derive(Debug, Clone, Copy)]
pub struct Due {
    /// Its name in metrics and logs.
    pub name: &'static str,
    /// The table, perhaps with an alias.
    pub from: &'static str,
    /// The columns that identify a row.
    pub key: &'static [&'static str],
    /// The owner of a row: an expression. Owners take turns. `None` where no owner can crowd out others.
    pub owner: Option<&'static str>,
    /// When a row is due: the expression that the index is over.
    pub at: &'static str,
    /// Which rows are work at all: the condition of the index.
    pub condition: &'static str,
}

impl Due {
    /// All rows of a table, due by one column.
    pub const fn all(table: &'static str, key: &'static [&'static str], at: &'static str) -> Self {
        Due { name: table, from: table, key, owner: None, at, condition: "TRUE" }
    }

    /// SQL for the keys of the rows to claim next: the longest due row of each owner, then the second of
    /// each, and so on. `now` and `limit` are placeholders; `also` is a further condition, which begins
    /// with `AND`, or empty.
    fn keys(&self, now: &str, limit: &str, also: &str) -> String {
        let Due { from, at, condition, .. } = self;
        let key = self.key.join(", ");
        let Some(owner) = self.owner else {
            return format!(
                "SELECT {key} FROM {from} WHERE {condition} AND {at} <= {now} {also} \
                 ORDER BY {at} LIMIT {limit}"
            );
        };
        format!(
            "SELECT {key} FROM (SELECT {key}, work_at, \
             row_number() OVER (PARTITION BY work_owner ORDER BY work_at) AS turn \
             FROM (SELECT {key}, {owner} AS work_owner, {at} AS work_at FROM {from} \
             WHERE {condition} AND {at} <= {now} {also} ORDER BY {at} LIMIT {CANDIDATES})) \
             ORDER BY turn, work_at LIMIT {limit}"
        )
    }

    /// SQL for the condition that a row is among some, whose keys a query selects.
    fn is_among(&self, keys: &str) -> String {
        match self.key {
            [key] => format!("{key} IN ({keys})"),
            columns => format!("({}) IN ({keys})", columns.join(", ")),
        }
    }

    /// The query that counts all rows that are work, due or not, as `depth`, and finds the smallest value of
    /// `since`, which is SQL, as `oldest`.
    pub fn open(&self, since: &str) -> Statement {
        let Due { from, condition, .. } = self;
        Statement::new(format!(
            "SELECT count(*) AS depth, min({since}) AS oldest FROM {from} WHERE {condition}"
        ))
    }

    /// The query that counts what is due at an instant; [`Backlog::read`] reads its answer.
    pub fn backlog(&self, now_ms: u64) -> Statement {
        let Due { from, at, condition, .. } = self;
        Statement::new(format!(
            "SELECT count(*) AS depth, min(work_at) AS oldest FROM (SELECT {at} AS work_at \
             FROM {from} WHERE {condition} AND {at} <= ?1 ORDER BY {at} LIMIT {COUNTED})"
        ))
        .bind(time::iso8601(now_ms))
    }

    /// The statement that deletes at most `limit` rows that were due `keep_ms` ago, the oldest first.
    pub fn prune(&self, now_ms: u64, keep_ms: u64, limit: u32) -> Prune {
        let Due { name, from, at, condition, .. } = *self;
        let (table, columns) = (self.table(), self.key.join(", "));
        let old = self.is_among(&format!(
            "SELECT {columns} FROM {from} WHERE {condition} AND {at} <= ?1 ORDER BY {at} LIMIT {limit}"
        ));
        let statement = Statement::new(format!("DELETE FROM {table} WHERE {old}"));
        let statement = statement.bind(time::iso8601(now_ms.saturating_sub(keep_ms)));
        Prune { what: name, statement }
    }

    /// The table without its alias.
    fn table(&self) -> &'static str {
        self.from.split(' ').next().unwrap_or(self.from)
    }
}

/// How much work is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// The number of rows; at most ten thousand are counted.
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
        let oldest = row.optional_text("oldest")?.map(|at| time::parse(&at).unwrap_or_default());
        let oldest_ms = oldest.map_or(0, |at_ms| now_ms.saturating_sub(at_ms));
        Ok(Backlog { depth: row.integer("depth")?, oldest_ms })
    }
}
