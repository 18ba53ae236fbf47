//! The transactional outbox: events are written with their change, in one transaction, and told afterwards.

use std::collections::BTreeMap;

use chitty_core::{Backoff, ChittyId};
use seams::db::{DbError, Row, Statement};
use seams::{log, time};
use serde_json::{Value, json};

use crate::app::App;
use crate::store::Ready;
use crate::store::event::{Event, EventKind, Message};
use crate::store::ids::EventId;
use crate::store::work::{Due, Hold, Prune, Queue};

/// How many overdue events one round of a sweep announces, and how many rounds it makes.
const SWEEP_LIMIT: usize = 100;
const SWEEP_ROUNDS: usize = 40;

/// The pauses between two sweeps of one event, in seconds: up to ten minutes, so that what has waited for a
/// long outage follows soon after its end.
const SWEEP_PAUSES_S: Backoff = Backoff { first: 60, longest: 600 };

/// How long done rows are kept, in ms: seven days. A queue keeps a message for less time (four days by
/// default), so a late repeat of a message still finds its row done.
pub const KEEP_DONE_MS: u64 = 7 * 24 * 3_600_000;

/// The number of rows beyond which done rows are kept for a shorter time only, and that time, in ms. The
/// database holds 10 GB, and two million rows are about 1 GB.
const KEEP_ROWS: i64 = 2_000_000;
const KEEP_MANY_MS: u64 = 6 * 3_600_000;

/// Inserts the row of an event; for the batch of its change.
pub fn insert(event: &Event, overdue_ms: u64) -> Statement {
    row(event, overdue_ms, &format!("INSERT INTO outbox ({COLUMNS}) SELECT {VALUES}"))
}

/// Inserts the row of an event, unless the row is there already.
pub fn insert_once(event: &Event, overdue_ms: u64) -> Statement {
    insert_if(event, overdue_ms, "NOT EXISTS (SELECT 1 FROM outbox WHERE event_id = ?1)")
}

/// Inserts the row of an event only if its change took place earlier in the batch: if the row of the event's
/// entity, which `table` holds under the key `column`, has the event's id as its revision.
pub fn insert_if_changed(
    event: &Event,
    overdue_ms: u64,
    table: &'static str,
    column: &'static str,
) -> Statement {
    let condition = format!("EXISTS (SELECT 1 FROM {table} WHERE {column} = ?4 AND revision = ?1)");
    insert_if(event, overdue_ms, &condition)
}

/// Inserts the row of an event of another entity that the change of `first` caused, only if that change took
/// place. [`insert_if_changed`] writes the row of `first` and explains `table` and `column`.
pub fn insert_beside(
    event: &Event,
    overdue_ms: u64,
    first: &Event,
    table: &'static str,
    column: &'static str,
) -> Statement {
    let condition =
        format!("EXISTS (SELECT 1 FROM {table} WHERE {column} = ?12 AND revision = ?13)");
    insert_if(event, overdue_ms, &condition).bind(first.entity_id.as_str()).bind(first.id.as_str())
}

/// Inserts the row of an event only if an SQL condition holds when the batch executes the statement. In the
/// condition `?1` is the event's id, `?2` its kind, `?4` its entity, `?6` its payload and `?8` its time;
/// further parameters are bound from `?12` on.
pub fn insert_if(event: &Event, overdue_ms: u64, condition: &str) -> Statement {
    let sql = format!("INSERT INTO outbox ({COLUMNS}) SELECT {VALUES} WHERE {condition}");
    row(event, overdue_ms, &sql)
}

/// Inserts an event of the given kind for each entity that an SQL query selects as `entity_id`: the effect on
/// these entities of the change behind `cause`. In the query `?1` is the id of `cause` and `?4` its entity. The
/// owner of `cause` is not theirs, so these events say none.
pub fn insert_each(cause: &Event, kind: EventKind, payload: Value, entities: &str) -> Statement {
    let sql = format!(
        "INSERT INTO outbox ({COLUMNS}) SELECT ?1 || '/' || entity_id, ?2, ?3, entity_id, ?5, \
         ?6, ?7, ?8, ?9, ?10, ?11 FROM ({entities})"
    );
    row(&Event { kind, payload, owner_id: None, ..cause.clone() }, 0, &sql)
}

/// The columns of an event's row, and the placeholders that [`row`] binds to them.
pub(crate) const COLUMNS: &str = "event_id, event_type, entity_type, entity_id, actor_id, payload, \
     traceparent, created_at, due_at, via, owner_id";
pub(crate) const VALUES: &str = "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11";

/// Returns the statement `sql` with the values of an event's row bound to it.
pub(crate) fn row(event: &Event, overdue_ms: u64, sql: &str) -> Statement {
    let due_ms = time::parse(&event.at).unwrap_or(0) + overdue_ms;
    Statement::new(sql.to_owned())
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
        .bind(event.owner_id.as_deref())
}

/// Announces committed events to the queue. A failure is logged; the sweep announces the events again.
pub async fn announce(app: &App, events: Vec<Event>) {
    let Some(queue) = app.context_ops.as_deref() else { return };
    if let Err(error) = queue.send(events.iter().map(Message::encode).collect()).await {
        log::warn("announce_failed", &[("error", &error)]);
    }
}

/// Records that an id was minted and then not used, so that it can be found and retired. The transaction
/// also executes the statements of `rest`. If the database fails, the log and the message on the queue carry
/// the report; if the queue fails too, only the log does.
pub async fn report_orphan(
    app: &App,
    ready: Ready<'_>,
    id: &ChittyId,
    actor: &str,
    reason: &str,
    rest: Vec<Statement>,
) {
    let payload = json!({ "reason": reason });
    let kind = EventKind::IdentityOrphaned;
    let event = Event::new(app.now_ms(), kind, id.as_str(), actor, payload, None);
    let mut batch = vec![insert(&event, app.config.outbox_overdue_ms)];
    batch.extend(rest);
    if let Err(error) = ready.db().batch(batch).await {
        let fields = [("chitty_id", id.as_str()), ("error", &error.to_string())];
        log::error("identity_orphaned", &fields);
    }
    announce(app, vec![event]).await;
}

/// The events that are still to be told.
pub const OPEN: Due = Due {
    name: "events",
    from: "outbox",
    key: &["seq"],
    owner: None,
    at: "due_at",
    condition: "done_at IS NULL AND dead_at IS NULL",
};

/// The same by the sweep, which postpones an event's next announcement when it announces it.
const SWEEP: Queue =
    Queue { due: OPEN, lease: "due_at", attempts: "sweeps", set: "sweeps = sweeps + 1" };

/// Announces the overdue events, the longest due first and bounded, and postpones the next sweep of each
/// with growing pauses. Returns how many there were.
///
/// # Errors
/// When the database does not answer; the next sweep finds the same rows.
pub async fn sweep(app: &App, ready: Ready<'_>) -> Result<usize, DbError> {
    let mut swept = 0;
    for _ in 0..SWEEP_ROUNDS {
        let round = sweep_round(app, ready).await?;
        swept += round;
        if round < SWEEP_LIMIT {
            break;
        }
    }
    Ok(swept)
}

async fn sweep_round(app: &App, ready: Ready<'_>) -> Result<usize, DbError> {
    // 1. Claim the overdue events, which postpones their next sweep.
    let hold = Hold::Pause { attempt: "sweeps + 1", pauses: SWEEP_PAUSES_S };
    let seed = app.jitter(u32::MAX);
    let overdue = SWEEP.claim(hold, app.now_ms(), seed, SWEEP_LIMIT, EVENT_COLUMNS);
    let rows = ready.db().batch(vec![overdue]).await?.pop().unwrap_or_default();
    // 2. Read them, in the order of their commit.
    let swept = rows.len();
    let mut events = Vec::new();
    for (_, mut row) in SWEEP.read(rows)? {
        match read(&mut row) {
            Ok(event) => events.push((row.integer("seq")?, event)),
            // A row that this version cannot read stays, and is logged at each sweep.
            Err(error) => log::error("outbox_row_unreadable", &[("error", &error.to_string())]),
        }
    }
    events.sort_by_key(|(seq, _)| *seq);
    // 3. Announce them.
    if !events.is_empty() {
        announce(app, events.into_iter().map(|(_, event)| event).collect()).await;
    }
    Ok(swept)
}

/// What [`read`] reads of a row, and the row's place in the order of commit. The owner is for the audit alone.
pub(crate) const EVENT_COLUMNS: &str =
    "seq, event_id, event_type, entity_id, actor_id, created_at, traceparent, payload, via";

pub(crate) fn read(row: &mut Row) -> Result<Event, DbError> {
    let kind = serde_json::Value::String(row.text("event_type")?);
    Ok(Event {
        id: EventId::from_row(row, "event_id")?,
        kind: serde_json::from_value(kind).map_err(|_| DbError::Shape)?,
        entity_id: row.text("entity_id")?,
        actor_id: row.text("actor_id")?,
        via: row.optional_text("via")?,
        at: row.text("created_at")?,
        traceparent: row.optional_text("traceparent")?,
        payload: serde_json::from_str(&row.text("payload")?).map_err(|_| DbError::Shape)?,
        owner_id: None,
    })
}

/// The state of an event in the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventState {
    /// Told, or given up with a dead letter.
    Settled,
    /// Still to be told.
    Open,
}

pub(crate) const STATES: &str = "SELECT event_id, done_at IS NULL AND dead_at IS NULL AS is_open \
     FROM outbox WHERE event_id IN (SELECT value FROM json_each(?1))";

pub(crate) fn read_states(rows: Vec<Row>) -> Result<BTreeMap<EventId, EventState>, DbError> {
    let state = |mut row: Row| {
        let is_open = row.flag("is_open")?;
        let id = EventId::from_row(&mut row, "event_id")?;
        Ok((id, if is_open { EventState::Open } else { EventState::Settled }))
    };
    rows.into_iter().map(state).collect()
}

/// Returns the state of each of these events; the result lacks events that are not in the outbox.
///
/// # Errors
/// When the database does not answer.
pub async fn states(
    ready: Ready<'_>,
    ids: &[&EventId],
) -> Result<BTreeMap<EventId, EventState>, DbError> {
    let query = Statement::new(STATES).bind(json!(ids).to_string());
    read_states(ready.db().rows(query).await?)
}

/// The rows that are deleted once they have been done for [`KEEP_DONE_MS`]. A row with a dead letter stays
/// as long as the dead letter, so that a replay finds which effects took place.
pub const PRUNED: Due = Due {
    name: "pruning_events",
    from: "outbox",
    key: &["seq"],
    owner: None,
    at: "done_at",
    condition: "done_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM dead_letters \
         WHERE dead_letters.event_id = outbox.event_id)",
};

/// The rows that have been done for [`KEEP_DONE_MS`]. Where there are more than two million, also those that
/// have not been done for that long.
pub fn prune(now_ms: u64) -> Prune {
    let Due { condition, .. } = PRUNED;
    let statement = Statement::new(format!(
        "DELETE FROM outbox WHERE seq IN (SELECT seq FROM outbox WHERE {condition} \
         AND done_at <= max(?1, min(?2, ifnull((SELECT created_at FROM outbox \
         WHERE seq <= (SELECT max(seq) FROM outbox) - ?3 ORDER BY seq DESC LIMIT 1), ''))) LIMIT 2000)"
    ))
    .bind(time::iso8601(now_ms.saturating_sub(KEEP_DONE_MS)))
    .bind(time::iso8601(now_ms.saturating_sub(KEEP_MANY_MS)))
    .bind(KEEP_ROWS);
    Prune { what: "events", statement }
}
