//! The transactional outbox: events that are committed and not yet told.

use chitty_core::{Backoff, ChittyId};
use serde_json::json;

use crate::app::App;
use crate::events::{Event, EventKind, Message};
use crate::init::Ready;
use crate::platform::db::{DbError, Row, Statement};
use crate::platform::{log, time};

/// How many overdue events one sweep announces.
const SWEEP_LIMIT: i64 = 100;

/// The pauses between two sweeps of one event, in ms: up to an hour.
const SWEEP_PAUSES_MS: Backoff = Backoff { first: 60_000, longest: 3_600_000 };

/// How long done rows are kept, in ms: seven days, longer than any queue keeps a message (four by
/// default), so that a late repeat still finds its row done.
const KEEP_DONE_MS: u64 = 7 * 24 * 3_600_000;

/// The row of an event, for the batch of its change.
pub fn insert(event: &Event, overdue_ms: u64) -> Statement {
    insert_where(event, overdue_ms, "")
}

/// The row of an event that may have been written before: then nothing.
pub fn insert_once(event: &Event, overdue_ms: u64) -> Statement {
    insert_where(event, overdue_ms, "WHERE NOT EXISTS (SELECT 1 FROM outbox WHERE event_id = ?1)")
}

/// The row of an event, written only if the change before it in the batch took place: if the row of
/// its entity, which `table` has under the key `column`, carries the event's id as its revision.
pub fn insert_if_changed(
    event: &Event,
    overdue_ms: u64,
    table: &'static str,
    column: &'static str,
) -> Statement {
    let condition =
        format!("WHERE EXISTS (SELECT 1 FROM {table} WHERE {column} = ?4 AND revision = ?1)");
    insert_where(event, overdue_ms, &condition)
}

fn insert_where(event: &Event, overdue_ms: u64, condition: &str) -> Statement {
    let due_ms = time::parse(&event.at).unwrap_or(0) + overdue_ms;
    Statement::new(format!(
        "INSERT INTO outbox (event_id, event_type, entity_type, entity_id, actor_id, payload, \
         traceparent, created_at, due_at, via) \
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10 {condition}"
    ))
    .bind(event.id.as_str())
    .bind(event.kind.as_str())
    .bind(event.kind.entity_type())
    .bind(event.entity_id.as_str())
    .bind(event.actor_id.as_str())
    .bind(event.payload.to_string())
    .bind(event.traceparent.as_deref())
    .bind(event.at.as_str())
    .bind(time::iso8601(due_ms))
    .bind(event.via.as_deref())
}

/// Tells the queue of committed events. A failure is logged and mended by the sweep.
pub async fn announce(app: &App, events: Vec<Event>) {
    let Some(queue) = app.context_ops.as_deref() else { return };
    let messages = events.iter().map(Message::encode).collect();
    if let Err(error) = queue.send(messages).await {
        log::warn("announce_failed", &[("error", &error)]);
    }
}

/// Records that an id was minted and then not used, so that it can be found and retired. Where
/// even the database fails, the queue alone carries the report; where that fails too, the log.
pub async fn report_orphan(app: &App, ready: Ready<'_>, id: &ChittyId, actor: &str, reason: &str) {
    let payload = json!({ "reason": reason });
    let kind = EventKind::IdentityOrphaned;
    let event = Event::new(app.now_ms(), kind, id.as_str(), actor, payload, None);
    let row = insert(&event, app.config.outbox_overdue_ms);
    if let Err(error) = ready.db().batch(vec![row]).await {
        let fields = [("chitty_id", id.as_str()), ("error", &error.to_string())];
        log::error("identity_orphaned", &fields);
    }
    announce(app, vec![event]).await;
}

/// Announces what is overdue, oldest first and bounded, and puts each row's next sweep off with
/// growing pauses. Returns how many there were.
///
/// # Errors
/// When the database does not answer; nothing is lost by that.
pub async fn sweep(app: &App, ready: Ready<'_>) -> Result<usize, DbError> {
    let now_ms = app.now_ms();
    let overdue = Statement::new(
        "SELECT seq, event_id, event_type, entity_id, actor_id, created_at, traceparent, payload, \
         sweeps, via FROM outbox WHERE done_at IS NULL AND due_at <= ?1 ORDER BY due_at LIMIT ?2",
    )
    .bind(time::iso8601(now_ms))
    .bind(SWEEP_LIMIT);
    let mut events = Vec::new();
    let mut postponed = Vec::new();
    for mut row in ready.db().rows(overdue).await? {
        postponed.push(json!([row.integer(0)?, next_sweep(app, row.integer(8)?)]));
        match read(&mut row) {
            Ok(event) => events.push(event),
            // A row that this version cannot read stays, and is said so at each sweep.
            Err(error) => log::error("outbox_row_unreadable", &[("error", &error.to_string())]),
        }
    }
    if postponed.is_empty() {
        return Ok(0);
    }
    let swept = postponed.len();
    let postpone = Statement::new(
        "UPDATE outbox SET sweeps = sweeps + 1, due_at = json_extract(p.value, '$[1]') \
         FROM json_each(?1) AS p WHERE outbox.seq = json_extract(p.value, '$[0]')",
    )
    .bind(serde_json::Value::Array(postponed).to_string());
    ready.db().batch(vec![postpone]).await?;
    announce(app, events).await;
    Ok(swept)
}

/// The next sweep of a row swept `sweeps` times before: after a minute, doubling, jittered.
fn next_sweep(app: &App, sweeps: i64) -> String {
    let attempt = u32::try_from(sweeps).unwrap_or(0).saturating_add(1);
    let pause_ms = SWEEP_PAUSES_MS.pause(attempt, |bound| app.jitter(bound));
    time::iso8601(app.now_ms() + u64::from(pause_ms))
}

fn read(row: &mut Row) -> Result<Event, DbError> {
    let kind = serde_json::Value::String(row.text(2)?);
    Ok(Event {
        id: row.text(1)?,
        kind: serde_json::from_value(kind).map_err(|_| DbError::Shape)?,
        entity_id: row.text(3)?,
        actor_id: row.text(4)?,
        via: row.optional_text(9)?,
        at: row.text(5)?,
        traceparent: row.optional_text(6)?,
        payload: serde_json::from_str(&row.text(7)?).map_err(|_| DbError::Shape)?,
    })
}

/// How far an event is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Which.
    pub event_id: String,
    /// Everything is done about it.
    pub is_done: bool,
    /// The effects that have taken place, by their names.
    pub effects: String,
}

/// How far these events are told; those that are not in the outbox are left out.
///
/// # Errors
/// When the database does not answer.
pub async fn told(ready: Ready<'_>, ids: &[&str]) -> Result<Vec<Told>, DbError> {
    let query = Statement::new(
        "SELECT event_id, done_at IS NOT NULL AS is_done, effects FROM outbox \
         WHERE event_id IN (SELECT value FROM json_each(?1))",
    )
    .bind(json!(ids).to_string());
    let told = |mut row: Row| {
        Ok(Told { event_id: row.text(0)?, is_done: row.integer(1)? == 1, effects: row.text(2)? })
    };
    ready.db().rows(query).await?.into_iter().map(told).collect()
}

/// Marks an event done: its effect has taken place.
///
/// # Errors
/// When the database does not answer; the event is then told again, under the same id.
pub async fn mark_done(ready: Ready<'_>, id: &str, now_ms: u64) -> Result<(), DbError> {
    let mark = Statement::new(
        "UPDATE outbox SET done_at = ?2, last_error = NULL \
         WHERE event_id = ?1 AND done_at IS NULL",
    )
    .bind(id)
    .bind(time::iso8601(now_ms));
    ready.db().batch(vec![mark]).await.map(|_| ())
}

/// Notes why an event could not be told, for whoever looks into the outbox, and which of its effects
/// have taken place all the same.
///
/// # Errors
/// When the database does not answer; those effects then take place again, under the same id.
pub async fn mark_failed(
    ready: Ready<'_>,
    id: &str,
    error: &str,
    effects: &str,
) -> Result<(), DbError> {
    let mark =
        Statement::new("UPDATE outbox SET last_error = ?2, effects = ?3 WHERE event_id = ?1")
            .bind(id)
            .bind(error)
            .bind(effects);
    ready.db().batch(vec![mark]).await.map(|_| ())
}

/// Removes a bounded number of rows that have been done for long; the cron runs it.
pub fn prune(now_ms: u64) -> Statement {
    Statement::new(
        "DELETE FROM outbox WHERE seq IN \
         (SELECT seq FROM outbox WHERE done_at IS NOT NULL AND done_at <= ?1 LIMIT 500)",
    )
    .bind(time::iso8601(now_ms.saturating_sub(KEEP_DONE_MS)))
}
