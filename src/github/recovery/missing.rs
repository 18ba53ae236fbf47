//! Missing deliveries: on GitHub's list but not on record. The gateway requests each one separately, until
//! it arrives or GitHub no longer redelivers it. In the latter case it becomes a dead letter.

use std::cell::Cell;
use std::collections::BTreeMap;

use chitty_core::Backoff;
use github_client::{ErrorKind, GithubError, HookDelivery};
use seams::db::{DbError, Row, Statement};
use seams::{log, time};
use serde_json::{Value, json};

use super::{REACH_MS, Trouble};
use crate::app::{App, Settings as _};
use crate::events::dead;
use crate::github::client;
use crate::github::encoding::Encoding;
use crate::github::message::{self, MessageKind, PayloadPlace, WebhookDelivery};
use crate::github::settings::Settings;
use crate::store::Ready;
use crate::store::work::{self, Bounds, Claim, Due, Hold, Queue, Work};

/// How many deliveries are claimed at a time, how many of them are asked for at once, and how many in one
/// round.
const BATCH: usize = 10;
const AT_ONCE: usize = 3;
const AT_MOST: usize = 100;

/// After how many transient failures in a row the rest is left for another round.
const MAX_OUTAGES: usize = 5;

/// The longest pause between two requests for a delivery, in ms.
const LONGEST_PAUSE_MS: u32 = 3_600_000;

/// How long a claimed delivery is left alone should its claimant die, in ms.
const LEASE_MS: u64 = 600_000;

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
    let has_letter = dead::has_letter_sql("r.value ->> '$[0]'");
    let note = Statement::new(format!(
        "INSERT INTO github_missing (delivery_id, event, github_id, made_at, until_at, due_at) \
         SELECT r.value ->> '$[0]', r.value ->> '$[1]', r.value ->> '$[2]', r.value ->> '$[3]', \
         r.value ->> '$[4]', ?2 FROM json_each(?1) AS r WHERE NOT EXISTS \
         (SELECT 1 FROM github_deliveries WHERE delivery_id = r.value ->> '$[0]') \
         AND NOT {has_letter} \
         ON CONFLICT (delivery_id) DO UPDATE SET \
         github_id = iif(excluded.made_at >= made_at, excluded.github_id, github_id), \
         made_at = min(made_at, excluded.made_at), until_at = min(until_at, excluded.until_at)"
    ))
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

/// The deliveries that are to be asked for.
pub const QUEUE: Queue = Queue {
    due: Due::all("github_missing", &["delivery_id"], "due_at"),
    lease: "due_at",
    attempts: "tries",
    set: "tries = tries + 1",
};

/// Asks GitHub for the deliveries that are due, a few at a time, until `until_ms`. Where GitHub does not
/// answer at all, or limits the calls, the rest is left for another round.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn ask(app: &App, ready: Ready<'_>, until_ms: u64) -> Result<(), Trouble> {
    // 1. Forget the deliveries that have arrived and could not be read: each has its dead letter.
    let is_waiting = dead::is_waiting_sql("m.delivery_id");
    let dead = Statement::new(format!(
        "DELETE FROM github_missing WHERE delivery_id IN (SELECT m.delivery_id \
         FROM github_missing AS m WHERE m.due_at <= ?1 AND {is_waiting} ORDER BY m.due_at LIMIT 500)"
    ));
    ready.db().batch(vec![dead.bind(time::iso8601(app.now_ms()))]).await?;
    // 2. Ask for the others.
    let bounds =
        Bounds { batch: BATCH, at_once: AT_ONCE, noted_at_once: BATCH, at_most: AT_MOST, until_ms };
    let round =
        Requests { began_ms: app.now_ms(), outages: Cell::new(0), is_limited: Cell::new(false) };
    work::run(app, ready, &round, bounds).await;
    Ok(())
}

/// The requests of one round.
struct Requests {
    /// What is asked for is due later than this, so each delivery is asked for once a round.
    began_ms: u64,
    /// How many answers in a row were transient failures.
    outages: Cell<usize>,
    /// Whether GitHub limits the calls.
    is_limited: Cell<bool>,
}

/// A delivery that is asked for.
struct MissingDelivery {
    delivery_id: String,
    github_id: String,
}

impl Work for Requests {
    type Item = MissingDelivery;

    const QUEUE: &'static Queue = &QUEUE;

    fn hold(&self, _: &App) -> Hold {
        Hold::Lease(LEASE_MS)
    }

    fn columns(&self) -> String {
        "delivery_id, github_id".to_owned()
    }

    fn due_ms(&self, _: &App) -> u64 {
        self.began_ms
    }

    fn read(&self, _: &App, mut row: Row) -> Result<MissingDelivery, String> {
        let mut read = || -> Result<MissingDelivery, DbError> {
            let (delivery_id, github_id) = (row.text("delivery_id")?, row.text("github_id")?);
            Ok(MissingDelivery { delivery_id, github_id })
        };
        read().map_err(|error| error.to_string())
    }

    async fn perform(
        &self,
        app: &App,
        _: Ready<'_>,
        claim: &Claim,
        missing: MissingDelivery,
    ) -> Vec<Statement> {
        // 1. Ask GitHub to deliver it again.
        let outcome = match missing.github_id.parse() {
            Ok(number) => client(app).redeliver(number).await,
            Err(_) => Err(GithubError::new(ErrorKind::Unreadable)),
        };
        // 2. Notice an outage or a limit, which ends the round.
        let is_outage = outcome.as_ref().is_err_and(GithubError::is_transient);
        self.outages.set(if is_outage { self.outages.get() + 1 } else { 0 });
        if outcome.as_ref().is_err_and(|error| error.kind == ErrorKind::RateLimited) {
            self.is_limited.set(true);
        }
        // 3. Note the answer, and when to ask again.
        vec![asked_for(app, claim, &missing, outcome.err().as_ref())]
    }

    fn goes_on(&self) -> bool {
        !self.is_limited.get() && self.outages.get() < MAX_OUTAGES
    }
}

/// Notes GitHub's answer, and when the delivery is asked for again.
fn asked_for(
    app: &App,
    claim: &Claim,
    missing: &MissingDelivery,
    error: Option<&GithubError>,
) -> Statement {
    let text = error.map(ToString::to_string);
    let fields = [
        ("delivery_id", missing.delivery_id.as_str()),
        ("tries", &claim.attempts.to_string()),
        ("error", text.as_deref().unwrap_or("none")),
    ];
    log::info("delivery_asked_again", &fields);
    let first = u32::try_from(Settings::of(app).recovery_ms).unwrap_or(LONGEST_PAUSE_MS);
    let pauses = Backoff { first, longest: LONGEST_PAUSE_MS };
    let asked_s = error.and_then(|error| error.retry_after_s);
    let pause_ms = work::pause_ms(app, pauses, claim.attempts, asked_s).max(1);
    claim.postpone(app.now_ms() + pause_ms).set("last_error", text).statement()
}

/// Gives up the deliveries that GitHub no longer redelivers: each becomes a dead letter. Replaying the dead
/// letter makes the gateway request the delivery again.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn give_up_ended(app: &App, ready: Ready<'_>) -> Result<(), Trouble> {
    // 1. Read the deliveries whose time is over.
    let ended = Statement::new(
        "SELECT delivery_id, event, github_id, made_at, tries, last_error FROM github_missing \
         WHERE until_at <= ?1 ORDER BY until_at LIMIT ?2",
    )
    .bind(time::iso8601(app.now_ms()))
    .bind(MAX_ENDED);
    let mut batch = Vec::new();
    for mut row in ready.db().rows(ended).await? {
        let (delivery_id, event) = (row.text("delivery_id")?, row.text("event")?);
        let github_id = row.text("github_id")?;
        let tries = u32::try_from(row.integer("tries")?).unwrap_or(u32::MAX);
        let last = row.optional_text("last_error")?;
        let last = last.map(|error| format!("; last error: {error}")).unwrap_or_default();
        let reason = format!("GitHub was asked {tries} times to redeliver it, in vain{last}");
        log::error("delivery_never_arrives", &[("delivery_id", &delivery_id), ("reason", &reason)]);
        let delivered = WebhookDelivery {
            kind: MessageKind::Delivery,
            delivery_id,
            event,
            received_at: row.text("made_at")?,
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
    // 2. Store their dead letters and delete their rows in one batch.
    if !batch.is_empty() {
        ready.db().batch(batch).await?;
    }
    Ok(())
}
