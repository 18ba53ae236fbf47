//! Missing deliveries: on GitHub's list but not on record. The gateway requests each one separately, until
//! it arrives or GitHub no longer redelivers it. In the latter case it becomes a dead letter.

use std::collections::BTreeMap;

use chitty_core::Backoff;
use futures_util::StreamExt;
use seams::db::{DbError, Row, Statement};
use seams::{log, time};
use serde_json::{Value, json};

use super::{REACH_MS, Trouble};
use crate::app::{App, Settings as _};
use crate::events::dead;
use crate::github::client::{self, ErrorKind, GithubError, HookDelivery};
use crate::github::encoding::Encoding;
use crate::github::message::{self, Kind, PayloadPlace, WebhookDelivery};
use crate::github::settings::Settings;
use crate::store::Ready;

/// How many deliveries are claimed at a time, how many of them are requested at once, and how often one
/// round claims.
const TAKEN: i64 = 10;
const AT_ONCE: usize = 3;
const MAX_TAKES: usize = 10;

/// The longest pause between two requests for a delivery, in ms.
const LONGEST_PAUSE_MS: u32 = 3_600_000;

/// How long a claimed delivery is left alone if its worker dies, in ms.
const TAKEN_FOR_MS: u64 = 600_000;

/// How many deliveries one round gives up at most.
const MAX_ENDED: i64 = 100;

/// For how long a delivery is requested after its dead letter was replayed, in ms.
const ONCE_MORE_MS: u64 = 24 * 3_600_000;

/// Stores the deliveries of a page that are not on record; updates the newest attempt of a delivery that is
/// stored already. Leaves out deliveries made after `settled_ms`, which may be on their way. A delivery whose
/// newest attempt this gateway refused is not stored, and is not requested any more: GitHub shows it as
/// failed (red).
pub(super) fn note(page: &[HookDelivery], now_ms: u64, settled_ms: u64) -> [Statement; 2] {
    // The page is sorted newest first, so the first entry of a delivery is its newest attempt.
    let mut last = BTreeMap::new();
    for delivery in page {
        last.entry(delivery.guid.as_str()).or_insert(delivery);
    }
    let is_refused = |guid: &str| last.get(guid).is_some_and(|delivery| delivery.is_refused());
    let refused: Vec<&str> = last.keys().copied().filter(|guid| is_refused(guid)).collect();
    let forget = Statement::new(
        "DELETE FROM github_missing WHERE delivery_id IN (SELECT value FROM json_each(?1))",
    )
    .bind(json!(refused).to_string());
    let seen = |delivery: &HookDelivery| {
        let made_ms =
            time::parse(&delivery.delivered_at).filter(|made_ms| *made_ms <= settled_ms)?;
        let until_ms = made_ms + REACH_MS;
        (until_ms > now_ms).then(|| {
            json!([
                delivery.guid,
                delivery.event,
                delivery.id.to_string(),
                time::iso8601(made_ms),
                time::iso8601(until_ms),
            ])
        })
    };
    // Oldest first, so that the newest attempt is stored last.
    let standing = page.iter().rev().filter(|delivery| !is_refused(&delivery.guid));
    let rows: Vec<Value> = standing.filter_map(seen).collect();
    let note = Statement::new(
        "INSERT INTO github_missing (delivery_id, event, github_id, made_at, until_at, due_at) \
         SELECT r.value ->> '$[0]', r.value ->> '$[1]', r.value ->> '$[2]', r.value ->> '$[3]', \
         r.value ->> '$[4]', ?2 FROM json_each(?1) AS r WHERE NOT EXISTS \
         (SELECT 1 FROM github_deliveries WHERE delivery_id = r.value ->> '$[0]') \
         AND NOT EXISTS (SELECT 1 FROM dead_letters WHERE event_id = r.value ->> '$[0]') \
         ON CONFLICT (delivery_id) DO UPDATE SET \
         github_id = iif(excluded.made_at >= made_at, excluded.github_id, github_id), \
         made_at = min(made_at, excluded.made_at), until_at = min(until_at, excluded.until_at)",
    )
    .bind(Value::Array(rows).to_string())
    .bind(time::iso8601(now_ms));
    [forget, note]
}

/// Makes the gateway request a delivery for another day, because its dead letter is replayed.
pub fn ask_once_more(app: &App, delivered: &WebhookDelivery, number: &str) -> Statement {
    let now_ms = app.now_ms();
    Statement::new(
        "INSERT INTO github_missing (delivery_id, event, github_id, made_at, until_at, due_at) \
         SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE NOT EXISTS \
         (SELECT 1 FROM github_deliveries WHERE delivery_id = ?1) ON CONFLICT (delivery_id) \
         DO UPDATE SET until_at = excluded.until_at, due_at = excluded.due_at",
    )
    .bind(delivered.delivery_id.as_str())
    .bind(delivered.event.as_str())
    .bind(number)
    .bind(delivered.received_at.as_str())
    .bind(time::iso8601(now_ms + ONCE_MORE_MS))
    .bind(time::iso8601(now_ms))
}

/// A missing delivery that this worker has claimed.
struct MissingDelivery {
    delivery_id: String,
    github_id: String,
    tries: i64,
}

/// Requests the missing deliveries that are due, a few at a time, until `until_ms`. Leaves the rest for
/// another round if all requests of one claim fail with a transient error, or GitHub's rate limit is
/// reached.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn ask(app: &App, ready: Ready<'_>, until_ms: u64) -> Result<(), Trouble> {
    // A delivery that is requested now is due later, so a round requests each only once.
    let began_ms = app.now_ms();
    for _ in 0..MAX_TAKES {
        if app.now_ms() >= until_ms {
            return Ok(());
        }
        let taken = take(ready, began_ms).await?;
        if taken.is_empty() {
            return Ok(());
        }
        let asked: Vec<(MissingDelivery, Result<(), GithubError>)> =
            futures_util::stream::iter(taken)
                .map(|missing| async move {
                    let outcome = match missing.github_id.parse() {
                        Ok(number) => client::redeliver(app, number).await,
                        Err(_) => Err(GithubError::unreadable()),
                    };
                    (missing, outcome)
                })
                .buffer_unordered(AT_ONCE)
                .collect()
                .await;
        let is_down = asked.iter().all(|(_, outcome)| is_outage(outcome))
            || asked.iter().any(|(_, outcome)| is_limit(outcome));
        let notes = asked.iter().map(|(missing, outcome)| requested(app, missing, outcome));
        ready.db().batch(notes.collect()).await?;
        if is_down {
            return Ok(());
        }
    }
    Ok(())
}

fn is_outage(outcome: &Result<(), GithubError>) -> bool {
    matches!(outcome, Err(error) if error.is_transient())
}

fn is_limit(outcome: &Result<(), GithubError>) -> bool {
    matches!(outcome, Err(error) if error.kind == ErrorKind::RateLimited)
}

/// Claims missing deliveries that were due at `now_ms`, those that are due longest first.
async fn take(ready: Ready<'_>, now_ms: u64) -> Result<Vec<MissingDelivery>, DbError> {
    // A delivery that has arrived but could not be read has a dead letter already.
    let dead = Statement::new(
        "DELETE FROM github_missing WHERE delivery_id IN (SELECT m.delivery_id \
         FROM github_missing AS m WHERE m.due_at <= ?1 AND EXISTS (SELECT 1 FROM dead_letters \
         WHERE event_id = m.delivery_id AND replayed_at IS NULL) ORDER BY m.due_at LIMIT 500)",
    )
    .bind(time::iso8601(now_ms));
    let take = Statement::new(
        "UPDATE github_missing SET due_at = ?2, tries = tries + 1 WHERE delivery_id IN \
         (SELECT delivery_id FROM github_missing WHERE due_at <= ?1 ORDER BY due_at LIMIT ?3) \
         RETURNING delivery_id, github_id, tries",
    )
    .bind(time::iso8601(now_ms))
    .bind(time::iso8601(now_ms + TAKEN_FOR_MS))
    .bind(TAKEN);
    let rows = ready.db().batch(vec![dead, take]).await?.pop().unwrap_or_default();
    let read = |mut row: Row| {
        let (delivery_id, github_id) = (row.text(0)?, row.text(1)?);
        Ok(MissingDelivery { delivery_id, github_id, tries: row.integer(2)? })
    };
    rows.into_iter().map(read).collect()
}

/// Stores GitHub's answer to a request, and when the next request is due. Changes nothing if the delivery has
/// been claimed again since.
fn requested(app: &App, missing: &MissingDelivery, outcome: &Result<(), GithubError>) -> Statement {
    let error = outcome.as_ref().err();
    let text = error.map(ToString::to_string);
    let fields = [
        ("delivery_id", missing.delivery_id.as_str()),
        ("tries", &missing.tries.to_string()),
        ("error", text.as_deref().unwrap_or("none")),
    ];
    log::info("delivery_asked_again", &fields);
    let first = u32::try_from(Settings::of(app).recovery_ms).unwrap_or(LONGEST_PAUSE_MS);
    let pauses = Backoff { first, longest: LONGEST_PAUSE_MS };
    let tries = u32::try_from(missing.tries).unwrap_or(u32::MAX);
    let pause_ms = u64::from(pauses.pause(tries, |bound| app.jitter(bound)));
    let asked_ms = u64::from(error.and_then(|error| error.retry_after_s).unwrap_or(0)) * 1000;
    let pause_ms = pause_ms.max(asked_ms.min(u64::from(LONGEST_PAUSE_MS))).max(1);
    Statement::new(
        "UPDATE github_missing SET due_at = ?3, last_error = ?4 WHERE delivery_id = ?1 AND tries = ?2",
    )
    .bind(missing.delivery_id.as_str())
    .bind(missing.tries)
    .bind(time::iso8601(app.now_ms() + pause_ms))
    .bind(text)
}

/// Gives up the deliveries that GitHub no longer redelivers: each becomes a dead letter. Replaying the dead
/// letter makes the gateway request the delivery again.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn give_up_ended(app: &App, ready: Ready<'_>) -> Result<(), Trouble> {
    let ended = Statement::new(
        "SELECT delivery_id, event, github_id, made_at, tries, last_error FROM github_missing \
         WHERE until_at <= ?1 ORDER BY until_at LIMIT ?2",
    )
    .bind(time::iso8601(app.now_ms()))
    .bind(MAX_ENDED);
    let mut batch = Vec::new();
    for mut row in ready.db().rows(ended).await? {
        let (delivery_id, event, github_id) = (row.text(0)?, row.text(1)?, row.text(2)?);
        let tries = u32::try_from(row.integer(4)?).unwrap_or(u32::MAX);
        let last = row.optional_text(5)?;
        let last = last.map(|error| format!("; last error: {error}")).unwrap_or_default();
        let reason = format!("GitHub was asked {tries} times to redeliver it, in vain{last}");
        log::error("delivery_never_arrives", &[("delivery_id", &delivery_id), ("reason", &reason)]);
        let delivered = WebhookDelivery {
            kind: Kind::Delivery,
            delivery_id,
            event,
            received_at: row.text(3)?,
            traceparent: None,
            encoding: Encoding::Json,
            elsewhere: Some(PayloadPlace::AtGithub(github_id)),
        };
        let subject = dead::Subject {
            event_id: &delivered.delivery_id,
            event_type: &delivered.event,
            entity_id: "github:app",
        };
        let body = message::encode(&delivered, "");
        batch.push(dead::insert(app, dead::GITHUB, &body, Some(subject), &reason, tries));
        let remove = Statement::new("DELETE FROM github_missing WHERE delivery_id = ?1");
        batch.push(remove.bind(delivered.delivery_id.as_str()));
    }
    if !batch.is_empty() {
        ready.db().batch(batch).await?;
    }
    Ok(())
}
