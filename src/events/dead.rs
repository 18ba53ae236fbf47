//! Dead letters: messages and events that were given up, kept for an administrator to read, replay or
//! discard.

use http_kit::problem::Problem;
use seams::db::{DbError, Params, Row, Statement};
use seams::{ids, time};
use serde_json::Value;

use crate::access::caller::{Scope, WriteError};
use crate::access::listing::{Newest, Page, PageRequest};
use crate::app::App;
use crate::store::Ready;
use crate::store::event::{Event, Message};
use crate::store::work::{Due, Prune};

/// The queue of events, by its binding's name.
pub const CONTEXT_OPS: &str = "CONTEXT_OPS_QUEUE";

/// The queue of GitHub's webhooks, by its binding's name.
pub const GITHUB: &str = "EVENT_Q";

/// The most bytes of a message that are kept: more than a queue allows (128 KB).
const MAX_BODY_BYTES: usize = 256 * 1024;

/// The most dead letters that one call replays.
pub const REPLAY_LIMIT: i64 = 100;

/// A dead letter as it is returned: SQL for a JSON object.
const DOCUMENT: &str = "json_object('id', id, 'queue', queue, 'reason', reason, \
     'event_id', event_id, 'event_type', event_type, 'entity_id', entity_id, \
     'attempts', attempts, 'created_at', created_at, 'replayed_at', replayed_at, \
     'replays', replays, 'body', body)";

/// What a dead letter is about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The id of the event or of the webhook delivery.
    pub event_id: &'a str,
    /// The type of the event.
    pub event_type: &'a str,
    /// The entity that the event happened to.
    pub entity_id: &'a str,
}

impl<'a> Subject<'a> {
    /// The subject of an event's dead letter.
    pub fn of(event: &'a Event) -> Self {
        Subject {
            event_id: event.id.as_str(),
            event_type: event.kind.as_str(),
            entity_id: &event.entity_id,
        }
    }
}

/// The statement that inserts a dead letter. An event that is given up again keeps its dead letter, which the
/// statement updates.
pub fn insert(
    app: &App,
    queue: &str,
    body: &str,
    subject: Option<Subject<'_>>,
    reason: &str,
    attempts: u32,
) -> Statement {
    insert_where(app.now_ms(), queue, body, subject, reason, attempts, "1")
}

/// The statement that inserts the dead letter of an event, only if a statement before it in the batch has
/// given the event up at `now_ms`.
pub fn insert_if_given_up(event: &Event, reason: &str, attempts: u32, now_ms: u64) -> Statement {
    let body = Message::encode(event);
    let condition = "EXISTS (SELECT 1 FROM outbox WHERE event_id = ?5 AND dead_at = ?9)";
    let subject = Some(Subject::of(event));
    insert_where(now_ms, CONTEXT_OPS, &body, subject, reason, attempts, condition)
}

fn insert_where(
    now_ms: u64,
    queue: &str,
    body: &str,
    subject: Option<Subject<'_>>,
    reason: &str,
    attempts: u32,
    condition: &str,
) -> Statement {
    let end = (0..=body.len().min(MAX_BODY_BYTES)).rev().find(|at| body.is_char_boundary(*at));
    let body = body.get(..end.unwrap_or_default()).unwrap_or_default();
    // In a message of another version, these members may still be readable.
    let parsed: Value = serde_json::from_str(body).unwrap_or_default();
    let text = |name: &str| parsed.get(name).and_then(Value::as_str);
    Statement::new(format!(
        "INSERT INTO dead_letters (id, queue, body, reason, event_id, event_type, entity_id, \
         attempts, created_at) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9 WHERE {condition} \
         ON CONFLICT (event_id) WHERE event_id IS NOT NULL DO UPDATE SET \
         reason = excluded.reason, body = excluded.body, attempts = excluded.attempts, \
         replayed_at = NULL"
    ))
    .bind(format!("dl_{}", ids::uuid_v7(now_ms)))
    .bind(queue)
    .bind(body)
    .bind(reason.chars().take(500).collect::<String>())
    .bind(subject.map(|subject| subject.event_id).or_else(|| text("id")))
    .bind(subject.map(|subject| subject.event_type).or_else(|| text("type")))
    .bind(subject.map(|subject| subject.entity_id).or_else(|| text("entity_id")))
    .bind(i64::from(attempts))
    .bind(time::iso8601(now_ms))
}

/// The filter of a list or a replay.
#[derive(Debug, Default)]
pub struct Filter {
    /// Only the dead letter with this id.
    pub id: Option<String>,
    /// Only dead letters of events of this type.
    pub event_type: Option<String>,
    /// Only dead letters about this entity.
    pub entity: Option<String>,
    /// Only dead letters made before this instant (ISO-8601 UTC).
    pub before: Option<String>,
    /// Only dead letters that were not replayed since they were last given up.
    pub is_waiting: bool,
}

impl Filter {
    fn condition(&self, params: &mut Params) -> String {
        let mut condition = if self.is_waiting { "replayed_at IS NULL" } else { "1" }.to_owned();
        for (sql, value) in [
            ("id =", &self.id),
            ("event_type =", &self.event_type),
            ("entity_id =", &self.entity),
            ("created_at <", &self.before),
        ] {
            if let Some(value) = value {
                condition += &format!(" AND {sql} {}", params.add(value.as_str()));
            }
        }
        condition
    }
}

/// Reads a page of dead letters, newest first.
///
/// # Errors
/// When the caller lacks the permission; storage failures.
pub async fn list(
    ready: Ready<'_>,
    scope: &Scope,
    filter: &Filter,
    asked: PageRequest,
) -> Result<Page, Problem> {
    let mut params = Params::default();
    let condition = filter.condition(&mut params);
    let keys = ["created_at", "id"];
    let list = Newest { from: "dead_letters", keys, item: DOCUMENT, condition };
    list.read(ready, scope, params, asked).await
}

/// Reads one dead letter.
///
/// # Errors
/// When the caller lacks the permission; storage failures.
pub async fn get(ready: Ready<'_>, scope: &Scope, id: &str) -> Result<Option<String>, Problem> {
    let query =
        Statement::new(format!("SELECT {DOCUMENT} AS item FROM dead_letters WHERE id = ?1"));
    let row = scope.rows(ready, query.bind(id)).await?.into_iter().next();
    Ok(row.map(|mut row| row.text("item")).transpose()?)
}

/// A message to send again.
#[derive(Debug)]
pub struct Replay {
    /// The id of its dead letter.
    pub id: String,
    /// The queue that the message came from, by its binding's name.
    pub queue: String,
    /// The message.
    pub body: String,
}

/// Marks the matching dead letters replayed, oldest first and at most [`REPLAY_LIMIT`], and opens their
/// events again. Returns the messages to send. `told` is the outbox row of `event`.
///
/// # Errors
/// [`WriteError`].
pub async fn replay(
    ready: Ready<'_>,
    scope: &Scope,
    filter: &Filter,
    event: &Event,
    told: Statement,
) -> Result<Vec<Replay>, WriteError> {
    let mut params = Params::default();
    let at = params.add(event.at.as_str());
    let condition = filter.condition(&mut params);
    let limit = params.add(REPLAY_LIMIT);
    let mark = params.statement(format!(
        "UPDATE dead_letters SET replayed_at = {at}, replays = replays + 1 WHERE id IN \
         (SELECT id FROM dead_letters WHERE {condition} ORDER BY created_at, id LIMIT {limit}) \
         RETURNING id, queue, body"
    ));
    let open = Statement::new(
        "UPDATE outbox SET dead_at = NULL, leased_until = '', refused = '', tries = 0, \
         replays = replays + 1, due_at = ?1 WHERE dead_at IS NOT NULL AND done_at IS NULL \
         AND event_id IN (SELECT event_id FROM dead_letters WHERE replayed_at = ?1)",
    )
    .bind(event.at.as_str());
    let open_deliveries = Statement::new(
        "UPDATE github_deliveries SET dead_at = NULL, leased_until = '', due_at = ?1 \
         WHERE dead_at IS NOT NULL AND delivery_id IN \
         (SELECT event_id FROM dead_letters WHERE replayed_at = ?1)",
    )
    .bind(event.at.as_str());
    let results = scope.write(ready, vec![mark, open, open_deliveries, told]).await?;
    let rows = results.into_iter().next().unwrap_or_default();
    let read = |mut row: Row| {
        Ok(Replay { id: row.text("id")?, queue: row.text("queue")?, body: row.text("body")? })
    };
    Ok(rows.into_iter().map(read).collect::<Result<_, DbError>>()?)
}

/// Deletes a dead letter and marks its event done. Returns whether there was one. `told` is the outbox row of
/// `event`.
///
/// # Errors
/// [`WriteError`].
pub async fn discard(
    ready: Ready<'_>,
    scope: &Scope,
    id: &str,
    event: &Event,
    told: Statement,
) -> Result<bool, WriteError> {
    let close = Statement::new(
        "UPDATE outbox SET done_at = ?2 WHERE dead_at IS NOT NULL AND done_at IS NULL \
         AND event_id = (SELECT event_id FROM dead_letters WHERE id = ?1)",
    )
    .bind(id)
    .bind(event.at.as_str());
    let close_delivery = Statement::new(
        "UPDATE github_deliveries SET done_at = ?2 WHERE dead_at IS NOT NULL AND done_at IS NULL \
         AND delivery_id = (SELECT event_id FROM dead_letters WHERE id = ?1)",
    )
    .bind(id)
    .bind(event.at.as_str());
    let remove = Statement::new("DELETE FROM dead_letters WHERE id = ?1 RETURNING id").bind(id);
    let results = scope.write(ready, vec![close, close_delivery, remove, told]).await?;
    Ok(results.into_iter().nth(2).is_some_and(|rows| !rows.is_empty()))
}

/// How long a dead letter is kept after its replay, if it was not given up again, in ms: 30 days.
const KEEP_REPLAYED_MS: u64 = 30 * 24 * 3_600_000;

/// SQL for whether an event has a dead letter; `event_id` is SQL.
pub fn has_letter_sql(event_id: &str) -> String {
    format!("EXISTS (SELECT 1 FROM dead_letters WHERE event_id = {event_id})")
}

/// SQL for whether an event has a dead letter that was not replayed; `event_id` is SQL.
pub fn is_waiting_sql(event_id: &str) -> String {
    format!(
        "EXISTS (SELECT 1 FROM dead_letters WHERE event_id = {event_id} AND replayed_at IS NULL)"
    )
}

/// The statement that counts the dead letters that were not replayed.
pub fn waiting() -> Statement {
    Statement::new("SELECT count(*) AS depth FROM dead_letters WHERE replayed_at IS NULL")
}

/// The dead letters that were replayed 30 days ago. The others stay until an administrator has
/// looked at them.
pub fn prune(now_ms: u64) -> Prune {
    Due::all("dead_letters", &["id"], "replayed_at").prune(now_ms, KEEP_REPLAYED_MS, 500)
}
