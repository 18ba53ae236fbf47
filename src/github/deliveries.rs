//! The record of webhook deliveries: one row each, by GitHub's own id. A row is open until the effects of
//! the delivery are committed, or the delivery is given up.

use std::collections::BTreeMap;

use chitty_core::Backoff;
use seams::db::{DbError, Row, Statement, first_row};
use seams::time;
use serde_json::json;

use crate::app::App;
use crate::github::message::WebhookDelivery;
use crate::github::payload::Facts;
use crate::store::Ready;
use crate::store::minting::MintIntent;
use crate::store::work::{self, Change, Claim, Due, Prune, Queue};

/// The pauses between two attempts at one delivery, in ms: up to ten minutes, so that deliveries which
/// wait for a long outage are processed soon after its end.
const PAUSES_MS: Backoff = Backoff { first: 2000, longest: 600_000 };

/// How many deliveries of one lane are claimed at a time.
const CLAIM_LIMIT: usize = 20;

/// The deliveries whose effects are not committed yet.
pub const QUEUE: Queue = Queue {
    due: Due {
        name: "github_deliveries",
        from: "github_deliveries",
        key: &["seq"],
        owner: None,
        at: "due_at",
        condition: "done_at IS NULL AND dead_at IS NULL",
    },
    lease: "leased_until",
    attempts: "tries",
    set: "tries = tries + 1",
};

/// The most lanes in one page of [`open_lanes`].
pub const LANES_PAGE: usize = 500;

/// How many deliveries one pruning removes: more than there are in a minute of 5 million a day.
const PRUNE_LIMIT: u32 = 5000;

/// How long done deliveries are kept, in ms: thirty days, ten times as long as GitHub redelivers.
const KEEP_MS: u64 = 30 * 24 * 3_600_000;

/// Records a delivery. A delivery that is already on record stays unchanged.
pub fn record(app: &App, delivered: &WebhookDelivery, facts: &Facts) -> Statement {
    let repository = facts.repository.as_ref().map(|repository| repository.id);
    Statement::new(
        "INSERT INTO github_deliveries (delivery_id, event, action, installation_id, \
         repository_id, lane, received_at, facts, traceparent, due_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (delivery_id) DO NOTHING",
    )
    .bind(delivered.delivery_id.as_str())
    .bind(delivered.event.as_str())
    .bind(facts.action.as_deref())
    .bind(facts.installation_id())
    .bind(repository)
    .bind(facts.lane())
    .bind(delivered.received_at.as_str())
    .bind(serde_json::to_string(facts).unwrap_or_default())
    .bind(delivered.traceparent.as_deref())
    .bind(time::iso8601(app.now_ms() + app.config.outbox_overdue_ms))
}

/// Selects the lanes in which one of these deliveries is still open, for [`read_lanes`].
pub fn lanes_of(ids: &[&str]) -> Statement {
    Statement::new(
        "SELECT lane FROM github_deliveries WHERE done_at IS NULL AND dead_at IS NULL \
         AND delivery_id IN (SELECT value FROM json_each(?1))",
    )
    .bind(json!(ids).to_string())
}

/// Reads the rows of [`lanes_of`]; returns the lanes sorted and without duplicates.
///
/// # Errors
/// [`DbError::Shape`].
pub fn read_lanes(rows: Vec<Row>) -> Result<Vec<String>, DbError> {
    let lanes = rows.into_iter().map(|mut row| row.text("lane"));
    let mut lanes = lanes.collect::<Result<Vec<_>, _>>()?;
    lanes.sort_unstable();
    lanes.dedup();
    Ok(lanes)
}

/// Returns a page of at most [`LANES_PAGE`] lanes that have open deliveries, in order, beginning after the
/// lane `after`. Each lane comes once, with whether its first open delivery is overdue and not leased.
///
/// # Errors
/// When the database does not answer.
pub async fn open_lanes(
    ready: Ready<'_>,
    after: &str,
    now_ms: u64,
) -> Result<Vec<(String, bool)>, DbError> {
    let query = Statement::new(
        "WITH RECURSIVE open (lane) AS (SELECT (SELECT d.lane FROM github_deliveries AS d \
         WHERE d.done_at IS NULL AND d.dead_at IS NULL AND d.lane > ?1 ORDER BY d.lane LIMIT 1) \
         UNION ALL SELECT (SELECT d.lane FROM github_deliveries AS d \
         WHERE d.done_at IS NULL AND d.dead_at IS NULL AND d.lane > open.lane \
         ORDER BY d.lane LIMIT 1) FROM open WHERE open.lane IS NOT NULL LIMIT ?3) \
         SELECT lane, (SELECT h.due_at <= ?2 AND h.leased_until <= ?2 FROM github_deliveries AS h \
         WHERE h.lane = open.lane AND h.done_at IS NULL AND h.dead_at IS NULL \
         ORDER BY h.received_at, h.seq LIMIT 1) AS is_due FROM open WHERE lane IS NOT NULL",
    )
    .bind(after)
    .bind(time::iso8601(now_ms))
    .bind(i64::try_from(LANES_PAGE).unwrap_or(i64::MAX));
    let rows = ready.db().rows(query).await?;
    rows.into_iter().map(|mut row| Ok((row.text("lane")?, row.flag("is_due")?))).collect()
}

/// Returns the lane after which the next sweep begins; empty for the first lane.
///
/// # Errors
/// When the database does not answer.
pub async fn sweep_after(ready: Ready<'_>) -> Result<String, DbError> {
    let query = Statement::new("SELECT after FROM github_sweep WHERE id = 1");
    let row = ready.db().rows(query).await?.into_iter().next();
    row.map(|mut row| row.text("after")).transpose().map(Option::unwrap_or_default)
}

/// Stores the lane after which the next sweep begins.
pub fn note_sweep(after: &str) -> Statement {
    Statement::new(
        "INSERT INTO github_sweep (id, after) VALUES (1, ?1) \
         ON CONFLICT (id) DO UPDATE SET after = excluded.after",
    )
    .bind(after)
}

/// A delivery that this worker has claimed.
#[derive(Debug)]
pub struct DeliveryClaim {
    /// GitHub's id of the delivery.
    pub delivery_id: String,
    /// The name of its event (`X-GitHub-Event`).
    pub event: String,
    /// When the gateway received it, ISO-8601 UTC.
    pub received_at: String,
    /// The part of the payload that its handler needs.
    pub facts: Facts,
    /// The trace of GitHub's request.
    pub traceparent: Option<String>,
    /// Its EVNT ChittyID, once minted.
    pub chitty_id: Option<String>,
    /// The ChittyID of the installation that it creates, once minted.
    pub subject_id: Option<String>,
    /// What the newest of its ids was minted for, while that is not known to be on record.
    pub unkept: Option<MintIntent>,
    /// The claim of its row.
    pub claim: Claim,
    /// In which order it was put on record.
    seq: i64,
}

/// The deliveries that were claimed in a lane.
#[derive(Debug, Default)]
pub struct LaneClaim {
    /// Those that can be read, in the order in which the gateway received them.
    pub rows: Vec<DeliveryClaim>,
    /// Those whose facts cannot be read (and are left empty), each with the reason.
    pub unreadable: Vec<(DeliveryClaim, String)>,
    /// The recorded installations of the lane's open deliveries, by GitHub's number.
    pub installations: BTreeMap<i64, InstallationRecord>,
}

/// What the gateway has on record about an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallationRecord {
    /// Its ChittyID.
    pub chitty_id: String,
    /// Whether it is neither suspended nor uninstalled.
    pub is_live: bool,
}

/// Claims the open deliveries of a lane under a lease of `lease_ms`: at most `CLAIM_LIMIT`, in the order in
/// which the gateway received them, and none while another worker has a lease in the lane. Also returns the
/// recorded installations of the lane's open deliveries.
///
/// # Errors
/// When the database does not answer.
pub async fn claim(
    ready: Ready<'_>,
    lane: &str,
    now_ms: u64,
    lease_ms: u64,
) -> Result<LaneClaim, DbError> {
    let columns = "received_at, seq, delivery_id, event, facts, traceparent, chitty_id, subject_id";
    let order = "received_at, seq";
    let claim = QUEUE.claim_lane(("lane", lane), order, lease_ms, now_ms, CLAIM_LIMIT, columns);
    let known = Statement::new(
        "SELECT installation_id, chitty_id, suspended_at IS NULL AND uninstalled_at IS NULL AS is_live \
         FROM installations WHERE installation_id IN (SELECT installation_id \
         FROM github_deliveries WHERE lane = ?1 AND done_at IS NULL AND dead_at IS NULL)",
    )
    .bind(lane);
    let mut results = ready.db().batch(vec![claim, known]).await?.into_iter();
    let mut claimed = Vec::new();
    for (claim, row) in QUEUE.read(results.next().unwrap_or_default())? {
        claimed.push(read(row, claim)?);
    }
    let order = |row: &DeliveryClaim| (row.received_at.clone(), row.seq);
    claimed.sort_by_cached_key(|(row, _)| order(row));
    let mut lane_claim = LaneClaim::default();
    for (row, unreadable) in claimed {
        match unreadable {
            None => lane_claim.rows.push(row),
            Some(reason) => lane_claim.unreadable.push((row, reason)),
        }
    }
    for mut row in results.next().unwrap_or_default() {
        let (chitty_id, is_live) = (row.text("chitty_id")?, row.flag("is_live")?);
        let record = InstallationRecord { chitty_id, is_live };
        lane_claim.installations.insert(row.integer("installation_id")?, record);
    }
    Ok(lane_claim)
}

/// A row, and why its facts cannot be read, if so.
fn read(mut row: Row, claim: Claim) -> Result<(DeliveryClaim, Option<String>), DbError> {
    let facts = Facts::read(row.text("facts")?.as_bytes());
    let unreadable = facts.as_ref().err().cloned();
    let claimed = DeliveryClaim {
        received_at: row.text("received_at")?,
        seq: row.integer("seq")?,
        delivery_id: row.text("delivery_id")?,
        event: row.text("event")?,
        facts: facts.unwrap_or_default(),
        traceparent: row.optional_text("traceparent")?,
        chitty_id: row.optional_text("chitty_id")?,
        subject_id: row.optional_text("subject_id")?,
        unkept: None,
        claim,
    };
    Ok((claimed, unreadable))
}

/// Puts the intent to mint an id of a delivery on record, and extends the lease on the delivery by
/// `lease_ms` from now: no other of its lane can be claimed until then. In one transaction, which fails with
/// [`DbError::Unauthorized`] unless the delivery is still in the hands of who claimed it.
///
/// # Errors
/// When the database does not answer; then nothing may be minted.
pub async fn intend(
    app: &App,
    ready: Ready<'_>,
    row: &mut DeliveryClaim,
    purpose: &'static str,
    lease_ms: u64,
) -> Result<MintIntent, DbError> {
    let (extend, extended) = row.claim.extend(app.now_ms(), lease_ms);
    let guards = vec![row.claim.assert_held(), extend];
    let intent = MintIntent::attempted(app, ready, purpose, &row.delivery_id, guards).await?;
    row.claim = extended;
    Ok(intent)
}

/// Stores the ids that were minted for a delivery, so that another attempt does not mint again, and fulfils
/// the intent of the newest. Returns whether the delivery is still under this worker's lease; if not,
/// nothing was stored.
///
/// # Errors
/// When the database does not answer.
pub async fn keep_ids(
    ready: Ready<'_>,
    row: &DeliveryClaim,
    intent: &MintIntent,
) -> Result<bool, DbError> {
    let keep = row.with_ids(row.claim.change()).statement().returning("1 AS is_kept");
    // It fails where somebody else has the delivery by now: then nothing of this takes place.
    let results = ready.db().batch(vec![row.claim.assert_held(), keep, intent.fulfil()]).await;
    match results {
        Ok(results) => Ok(first_row(results.into_iter().nth(1)).is_some()),
        Err(DbError::Unauthorized) => Ok(false),
        Err(error) => Err(error),
    }
}

impl DeliveryClaim {
    /// Marks the delivery done. For the batch of its effects, which [`Claim::assert_held`] begins.
    pub fn mark_done(&self, now_ms: u64) -> Statement {
        let change = self.claim.release().set("done_at", time::iso8601(now_ms));
        change.also("last_error = NULL").statement()
    }

    /// Gives the delivery back, for another attempt after a growing pause, and stores the ids that it has, so
    /// that a database that did not answer when they were to be stored costs none; nothing where another
    /// worker holds the delivery by now.
    pub fn release(&self, app: &App, error: Option<&str>) -> Vec<Statement> {
        let pause_ms = work::pause_ms(app, PAUSES_MS, self.claim.attempts, None);
        let change = self.with_ids(self.claim.postpone(app.now_ms() + pause_ms));
        let release = change
            .set_sql("last_error", error, |error| format!("coalesce({error}, last_error)"))
            .statement();
        match &self.unkept {
            Some(intent) => vec![self.claim.assert_held(), release, intent.fulfil()],
            None => vec![release],
        }
    }

    /// Gives the delivery up: it no longer holds up its lane. For the batch of its dead letter, which
    /// [`Claim::assert_held`] begins.
    pub fn give_up(&self, error: &str, now_ms: u64) -> Statement {
        let change = self.claim.release().set("dead_at", time::iso8601(now_ms));
        change.set("last_error", error).statement()
    }

    /// Stores the ids that were minted for the delivery, where it has none yet.
    fn with_ids<'c>(&self, change: Change<'c>) -> Change<'c> {
        let first = |column: &'static str| move |id: &str| format!("coalesce({column}, {id})");
        change.set_sql("chitty_id", self.chitty_id.as_deref(), first("chitty_id")).set_sql(
            "subject_id",
            self.subject_id.as_deref(),
            first("subject_id"),
        )
    }
}

/// The deliveries that were taken 30 days ago and are done.
pub fn prune(now_ms: u64) -> Prune {
    let done = Due { at: "received_at", condition: "done_at IS NOT NULL", ..QUEUE.due };
    done.prune(now_ms, KEEP_MS, PRUNE_LIMIT)
}
