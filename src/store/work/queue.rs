//! Claiming due rows under a lease.

use chitty_core::Backoff;
use seams::db::{DbError, Params, Row, Statement, Value};
use seams::time;

use super::Due;
use crate::app::App;
use crate::store::fail_if;

/// A table of work, with the columns by which its rows are claimed.
#[derive(Debug, Clone, Copy)]
pub struct Queue {
    /// Which rows are due.
    pub due: Due,
    /// The column that says until when a row is claimed; `''` or a past instant where it is not. It may be
    /// the column that says when the row is due: then a claim postpones the row.
    pub lease: &'static str,
    /// The column that counts the attempts, or `0`.
    pub attempts: &'static str,
    /// What a claim sets besides the lease, such as `tries = tries + 1`; or empty.
    pub set: &'static str,
}

/// How long a claim keeps other workers away.
#[derive(Debug, Clone, Copy)]
pub enum Hold {
    /// For a lease, in ms: longer than the work takes. The worker notes the outcome, or the row is due
    /// again afterwards.
    Lease(u64),
    /// For the pause before the next attempt, so that nothing need be noted where the attempt fails.
    Pause {
        /// SQL for the number of the attempt, from 1, over the row before the claim.
        attempt: &'static str,
        /// The pauses, in seconds.
        pauses: Backoff,
    },
}

/// A claimed row.
#[derive(Debug, Clone)]
pub struct Claim {
    queue: &'static Queue,
    key: Vec<Value>,
    lease: String,
    /// How often the row has been claimed, this time included, as far as its table counts that.
    pub attempts: i64,
}

impl Queue {
    /// The statement that claims at most `limit` rows that are due at `at_ms` and returns `columns` of
    /// each; [`Queue::read`] reads its answer. `seed`, a random number, spreads out the pauses.
    pub fn claim(
        &self,
        hold: Hold,
        at_ms: u64,
        seed: u32,
        limit: usize,
        columns: &str,
    ) -> Statement {
        let Queue { due, lease, .. } = self;
        let is_free = if *lease == due.at { String::new() } else { format!("AND {lease} <= ?1") };
        let place = due.is_among(&due.keys("?1", "?3", &is_free));
        self.claiming(hold, &place, columns)
            .bind(time::iso8601(at_ms))
            .bind(second_parameter(hold, at_ms, seed))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    }

    /// The statement that claims one row by its key (of one column) if it is due and free, and returns
    /// `columns` of it; [`Queue::read`] reads its answer. `condition` narrows it further; it begins with
    /// `AND` or is empty, and its own placeholders begin at `?4`.
    pub fn claim_one(
        &self,
        key: impl Into<Value>,
        lease_ms: u64,
        now_ms: u64,
        condition: &str,
        columns: &str,
    ) -> Statement {
        let Queue { due, lease, .. } = self;
        let Due { at, condition: is_work, .. } = due;
        let (hold, column) = (Hold::Lease(lease_ms), due.key.join(", "));
        let is_free = format!("{lease} <= ?1 AND {at} <= ?1 AND {is_work}");
        self.claiming(hold, &format!("{column} = ?3 AND {is_free} {condition}"), columns)
            .bind(time::iso8601(now_ms))
            .bind(second_parameter(hold, now_ms, 0))
            .bind(key)
    }

    /// The statement that claims at most `limit` open rows of a lane, in their order, whether they are due or
    /// not; none while another worker holds one of them. `lane` is the column and its value, `order` SQL. It
    /// returns `columns` of each, in no order; [`Queue::read`] reads its answer.
    pub fn claim_lane(
        &self,
        (lane, value): (&str, &str),
        order: &str,
        lease_ms: u64,
        now_ms: u64,
        limit: usize,
        columns: &str,
    ) -> Statement {
        let Queue { due, lease, .. } = self;
        let (table, key) = (due.table(), due.key.join(", "));
        let open = format!("FROM {table} AS other WHERE {lane} = ?3 AND {}", due.condition);
        let first = due.is_among(&format!("SELECT {key} {open} ORDER BY {order} LIMIT ?4"));
        let is_free = format!("NOT EXISTS (SELECT 1 {open} AND {lease} > ?1)");
        let hold = Hold::Lease(lease_ms);
        self.claiming(hold, &format!("{first} AND {is_free}"), columns)
            .bind(time::iso8601(now_ms))
            .bind(second_parameter(hold, now_ms, 0))
            .bind(value)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    }

    fn claiming(&self, hold: Hold, place: &str, columns: &str) -> Statement {
        let Queue { due, lease, attempts, set } = self;
        let until = match hold {
            Hold::Lease(_) => "?2".to_owned(),
            Hold::Pause { attempt, pauses } => pause_sql(due, attempt, pauses),
        };
        let comma = if set.is_empty() { "" } else { ", " };
        let key: Vec<String> =
            (0..).zip(due.key).map(|(n, key)| format!("{key} AS key_{n}")).collect();
        let (table, key) = (due.table(), key.join(", "));
        let more = if columns.is_empty() { String::new() } else { format!("{columns}, ") };
        Statement::new(format!(
            "UPDATE {table} SET {lease} = {until}{comma}{set} WHERE {place} \
             RETURNING {more}{key}, {lease} AS claimed_until, {attempts} AS claims"
        ))
    }

    /// The claims in the answer to [`Queue::claim`] or [`Queue::claim_one`], each with its columns.
    ///
    /// # Errors
    /// [`DbError::Shape`].
    pub fn read(&'static self, rows: Vec<Row>) -> Result<Vec<(Claim, Row)>, DbError> {
        let claim = |mut row: Row| {
            let key = (0..self.due.key.len()).map(|n| row.value(&format!("key_{n}")));
            let key = key.collect::<Result<Vec<Value>, DbError>>()?;
            let (lease, attempts) = (row.text("claimed_until")?, row.integer("claims")?);
            Ok((Claim { queue: self, key, lease, attempts }, row))
        };
        rows.into_iter().map(claim).collect()
    }
}

/// The value of `?2`: the end of the lease, or the number that spreads out the pauses.
fn second_parameter(hold: Hold, at_ms: u64, seed: u32) -> Value {
    match hold {
        Hold::Lease(lease_ms) => time::iso8601(at_ms + lease_ms).into(),
        Hold::Pause { .. } => i64::from(seed).into(),
    }
}

/// SQL for the instant of the next attempt: `?1` and a pause that doubles with each attempt, plus up to a
/// quarter of it, which differs by the end of the row's key and by the seed in `?2`.
fn pause_sql(due: &Due, attempt: &str, pauses: Backoff) -> String {
    let Backoff { first, longest } = pauses;
    let key = due.key.last().copied().unwrap_or("''");
    let pause = format!("min({longest}, {first} << min(max({attempt}, 1) - 1, 12))");
    let place = |at: u32| format!("ifnull(unicode(substr({key}, -{at}, 1)), 0)");
    let spread = format!("{} * 40503 + {} * 1009 + {} * 31", place(1), place(2), place(3));
    format!(
        "strftime('%Y-%m-%dT%H:%M:%fZ', ?1, '+' || ({pause} + (CAST(?2 AS INTEGER) + {spread}) \
         % ({pause} / 4 + 1)) || ' seconds')"
    )
}

/// The pause before the next attempt, in ms: it grows with the attempts that were made, is jittered, and
/// is at least what the other side has asked for (in seconds), but never longer than the longest pause.
/// `pauses` are in ms.
pub fn pause_ms(app: &App, pauses: Backoff, attempts: i64, asked_s: Option<u32>) -> u64 {
    let attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
    let pause_ms = pauses.pause(attempts, |bound| app.jitter(bound));
    let asked_ms = asked_s.unwrap_or(0).saturating_mul(1000);
    u64::from(pause_ms.max(asked_ms).min(pauses.longest))
}

impl Claim {
    /// When the lease ends, ISO-8601. A later holder has a later one.
    pub fn lease(&self) -> &str {
        &self.lease
    }

    /// A change of the row that keeps the claim.
    pub fn change(&self) -> Change<'_> {
        Change { claim: self, sets: Vec::new(), params: Params::default() }
    }

    /// A change that gives the row back. Only for a queue whose lease has a column of its own.
    pub fn release(&self) -> Change<'_> {
        self.change().set(self.queue.lease, "")
    }

    /// A change that gives the row back, due again at `due_ms` (since the Unix epoch).
    pub fn postpone(&self, due_ms: u64) -> Change<'_> {
        let Queue { due, lease, .. } = self.queue;
        let change = if *lease == due.at { self.change() } else { self.release() };
        change.set(due.at, time::iso8601(due_ms))
    }

    /// The statement that deletes the row while it is held.
    pub fn delete(&self) -> Statement {
        self.delete_if("TRUE")
    }

    /// The same, where an SQL condition without placeholders holds.
    pub fn delete_if(&self, condition: &str) -> Statement {
        let mut params = Params::default();
        let (table, held) = (self.queue.due.table(), self.is_held(&mut params));
        params.statement(format!("DELETE FROM {table} WHERE {held} AND {condition}"))
    }

    /// The statement that extends the lease by `lease_ms` from now if it is still held, and the claim as
    /// it is afterwards.
    pub fn extend(&self, now_ms: u64, lease_ms: u64) -> (Statement, Claim) {
        let lease = time::iso8601(now_ms + lease_ms);
        let statement = self.change().set(self.queue.lease, lease.as_str()).statement();
        (statement, Claim { lease, ..self.clone() })
    }

    /// The statement that fails the transaction that it begins, with [`DbError::Unauthorized`], unless the
    /// row is still held and still work.
    pub fn assert_held(&self) -> Statement {
        let mut params = Params::default();
        let Due { condition, .. } = self.queue.due;
        let (table, held) = (self.queue.due.table(), self.is_held(&mut params));
        let is_lost = format!("NOT EXISTS (SELECT 1 FROM {table} WHERE {held} AND {condition})");
        params.statement(fail_if(&is_lost))
    }

    /// SQL for the condition that the row is still held.
    pub fn is_held(&self, params: &mut Params) -> String {
        let lease = self.queue.lease;
        let is_key =
            |(column, value): (&&str, &Value)| format!("{column} = {}", params.add(value.clone()));
        let key: Vec<String> = self.queue.due.key.iter().zip(&self.key).map(is_key).collect();
        format!("{} AND {lease} = {}", key.join(" AND "), params.add(self.lease.as_str()))
    }
}

/// A change of a claimed row, which takes place only while the row is held.
#[derive(Debug)]
#[must_use]
pub struct Change<'c> {
    claim: &'c Claim,
    sets: Vec<String>,
    params: Params,
}

impl Change<'_> {
    /// Sets a column.
    pub fn set(self, column: &str, value: impl Into<Value>) -> Self {
        self.set_sql(column, value, str::to_owned)
    }

    /// Sets a column to an SQL expression over a value's placeholder.
    pub fn set_sql(
        mut self,
        column: &str,
        value: impl Into<Value>,
        sql: impl FnOnce(&str) -> String,
    ) -> Self {
        let value = sql(&self.params.add(value));
        self.sets.push(format!("{column} = {value}"));
        self
    }

    /// Also sets what an SQL text says, which has no placeholders.
    pub fn also(mut self, sql: &str) -> Self {
        self.sets.push(sql.to_owned());
        self
    }

    /// The statement of it.
    pub fn statement(mut self) -> Statement {
        let (table, held) = (self.claim.queue.due.table(), self.claim.is_held(&mut self.params));
        let sets = self.sets.join(", ");
        self.params.statement(format!("UPDATE {table} SET {sets} WHERE {held}"))
    }
}
