//! The consumer of `EVENT_Q`: records deliveries and processes them.
//!
//! The consumer acknowledges a message once its delivery is recorded in the database. From then on the
//! record is authoritative, and the cron takes up every delivery that is not processed in time. The worker
//! that has the lease on a lane (one repository, or one installation for deliveries about it) processes its
//! deliveries one after the other, in the order in which the gateway received them. One batch commits the
//! changes of a delivery, its event and the mark that it is done, so each delivery takes effect once, even
//! if a worker crashes.

use std::collections::BTreeMap;

use chitty_core::{Backoff, CallContext, ChittyId, EntityLabel, ServiceError};
use futures_util::StreamExt;
use futures_util::future::join_all;
use seams::db::{DbError, Statement};
use seams::queue::Delivery;
use seams::{log, time};
use serde_json::json;

use crate::app::{App, Slot};
use crate::audit::seal::UnsealedFlag;
use crate::events::consumer::{again, keep_letters};
use crate::events::dead;
use crate::github::deliveries::{self, DeliveryClaim, InstallationRecord};
use crate::github::encoding::Encoding;
use crate::github::message::{self, Kind, PayloadPlace, WebhookDelivery};
use crate::github::payload::Facts;
use crate::github::recovery::missing;
use crate::github::{WorkAhead, apply, client, installations};
use crate::store::event::Event;
use crate::store::minting::MintIntent;
use crate::store::{Ready, outbox};

/// How many lanes are processed at once.
const AT_ONCE: usize = 6;

/// How often [`process_lane`] claims deliveries at most.
const MAX_CLAIMS: usize = 50;

/// For how long a sweep takes up lanes, in ms, and how many at a time. The next sweep continues where this
/// one stopped.
const SWEEP_MS: u64 = 45_000;
const SWEEP_LANES: usize = 60;

/// A stored payload may take a minute to become visible everywhere, and longer if storage has trouble. The
/// consumer waits for it at least this long after GitHub's request, in ms, and for at least this many
/// deliveries of its message; the queue makes eleven at most (`max_retries`).
const PAYLOAD_WAIT_MS: u64 = 600_000;
const PAYLOAD_DELIVERIES: u32 = 4;

/// The pauses between two attempts to read a stored payload, in seconds.
const PAYLOAD_PAUSES_S: Backoff = Backoff { first: 60, longest: 300 };

/// How long `IDEMP_KV` remembers a delivery, in seconds: 24 hours.
const SEEN_S: u32 = 24 * 3600;

/// The key of `IDEMP_KV` under which a delivery is remembered.
fn seen_key(delivery_id: &str) -> String {
    format!("github/delivery/{delivery_id}")
}

/// What the consumer does with a message, as far as the message alone decides it.
enum FirstLook<'d> {
    /// Record the delivery, then process it.
    Fresh(&'d dyn Delivery, WebhookDelivery, Box<Facts>),
    /// The delivery is on record already: only process it.
    Recorded(&'d dyn Delivery, WebhookDelivery),
    /// A duplicate: the delivery was seen within the last day.
    Repeat(&'d dyn Delivery),
    /// The delivery never arrived: request it from GitHub once more, by its number there.
    Missing(&'d dyn Delivery, WebhookDelivery, String),
    /// The stored payload is not visible yet: try again later.
    Later(&'d dyn Delivery),
    /// The message or its payload cannot be read, for this reason.
    Hopeless(&'d dyn Delivery, Option<WebhookDelivery>, String),
}

/// Processes one batch. Each message gets its own verdict; one bad message never fails another.
pub async fn consume(app: &App, batch: &[&dyn Delivery]) {
    // 1. Look at each message: whether to record it, drop it, wait for its payload, or give it up.
    let Ok(ready) = Ready::ensure(app).await else {
        batch.iter().for_each(|delivery| again(app, *delivery));
        return;
    };
    let (mut acked, mut statements, mut ids, mut letters) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for delivery in batch {
        // One after the other, because a stored payload may have 25 MB.
        match look(app, *delivery).await {
            FirstLook::Fresh(delivery, delivered, facts) => {
                statements.push(deliveries::record(app, &delivered, &facts));
                ids.push(delivered.delivery_id.clone());
                acked.push((delivery, Some(delivered)));
            }
            FirstLook::Recorded(delivery, delivered) => {
                ids.push(delivered.delivery_id);
                acked.push((delivery, None));
            }
            FirstLook::Missing(delivery, delivered, number) => {
                statements.push(missing::ask_once_more(app, &delivered, &number));
                acked.push((delivery, None));
            }
            FirstLook::Repeat(delivery) => delivery.ack(),
            FirstLook::Later(delivery) => {
                let pause_s =
                    PAYLOAD_PAUSES_S.pause(delivery.attempts(), |bound| app.jitter(bound));
                delivery.retry(pause_s);
            }
            FirstLook::Hopeless(delivery, delivered, reason) => {
                letters.push(dead_letter(app, delivery, delivered.as_ref(), &reason));
                // Not marked as seen; otherwise replaying its dead letter would be dropped as a
                // duplicate.
                acked.push((delivery, None));
            }
        }
    }
    // 2. Record the new deliveries and the dead letters, and find the lanes with work, in one batch.
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    statements.extend(letters);
    statements.push(deliveries::lanes_of(&ids));
    match ready.db().batch(statements).await {
        Ok(results) => {
            // 3. Acknowledge the messages, and remember the deliveries.
            acked.iter().for_each(|(delivery, _)| delivery.ack());
            mark_seen(app, acked.into_iter().filter_map(|(_, delivered)| delivered)).await;
            // 4. Process the lanes.
            let lanes = results.into_iter().last().unwrap_or_default();
            let lanes = deliveries::read_lanes(lanes).unwrap_or_default();
            deal_with(app, ready, lanes, u64::MAX).await;
        }
        Err(error) => {
            log::warn("deliveries_not_recorded", &[("error", &error.to_string())]);
            acked.iter().for_each(|(delivery, _)| again(app, *delivery));
        }
    }
}

async fn look<'d>(app: &App, delivery: &'d dyn Delivery) -> FirstLook<'d> {
    let Some(body) = delivery.body() else {
        return FirstLook::Hopeless(delivery, None, "the message is no text".to_owned());
    };
    let (delivered, inline) = match message::decode(&body) {
        Ok(decoded) => decoded,
        Err(reason) => return FirstLook::Hopeless(delivery, None, reason),
    };
    match &delivered.elsewhere {
        Some(PayloadPlace::Recorded) => return FirstLook::Recorded(delivery, delivered),
        Some(PayloadPlace::AtGithub(number)) => {
            let number = number.clone();
            return FirstLook::Missing(delivery, delivered, number);
        }
        _ => {}
    }
    if is_seen(app, &delivered.delivery_id).await {
        return FirstLook::Repeat(delivery);
    }
    let facts = match &delivered.elsewhere {
        Some(PayloadPlace::Stored(key)) => match stored_payload(app, key).await {
            Ok(Some(body)) => {
                delivered.encoding.payload(body).and_then(|payload| Facts::read(&payload))
            }
            Ok(None) if is_gone(app, &delivered, delivery.attempts()) => {
                Err("the stored payload is gone".to_owned())
            }
            // If storage does not answer, it may still have the payload.
            Ok(None) | Err(_) => return FirstLook::Later(delivery),
        },
        _ => Facts::read(inline.as_bytes()),
    };
    match facts {
        Ok(facts) => FirstLook::Fresh(delivery, delivered, Box::new(facts)),
        Err(reason) => FirstLook::Hopeless(delivery, Some(delivered), reason),
    }
}

/// A first check for duplicates. A duplicate that it misses costs one statement and nothing else, because
/// the record is exact.
async fn is_seen(app: &App, id: &str) -> bool {
    let Some(kv) = &app.seen_deliveries else { return false };
    match kv.get(&seen_key(id)).await {
        Ok(seen) => seen.is_some(),
        Err(error) => {
            log::warn("first_look_failed", &[("error", &error)]);
            false
        }
    }
}

async fn stored_payload(app: &App, key: &str) -> Result<Option<Vec<u8>>, String> {
    let Some(storage) = &app.cache else { return Ok(None) };
    let read = storage.get_bytes(key).await;
    if let Err(error) = &read {
        log::warn("payload_not_read", &[("error", error)]);
    }
    read
}

/// Whether the consumer has waited long enough for a payload that is not visible.
fn is_gone(app: &App, delivered: &WebhookDelivery, attempts: u32) -> bool {
    let since_ms = time::parse(&delivered.received_at).unwrap_or_default();
    let waited_ms = app.now_ms().saturating_sub(since_ms);
    waited_ms >= PAYLOAD_WAIT_MS && attempts >= PAYLOAD_DELIVERIES
}

/// Marks recorded deliveries as seen, and deletes their stored payloads. A failure does no harm: the record
/// is exact, and stored payloads expire.
async fn mark_seen(app: &App, recorded: impl Iterator<Item = WebhookDelivery>) {
    let marks = recorded.map(|delivered| async move {
        let mut outcome = Ok(());
        if let Some(kv) = &app.seen_deliveries {
            outcome = kv.put(&seen_key(&delivered.delivery_id), "1", Some(SEEN_S)).await;
        }
        if let (Some(PayloadPlace::Stored(key)), Some(kv)) = (&delivered.elsewhere, &app.cache) {
            outcome = outcome.and(kv.delete(key).await);
        }
        if let Err(error) = outcome {
            log::warn("delivery_not_remembered", &[("error", &error)]);
        }
    });
    join_all(marks).await;
}

/// Returns the dead letter of a message.
fn dead_letter(
    app: &App,
    delivery: &dyn Delivery,
    delivered: Option<&WebhookDelivery>,
    reason: &str,
) -> Statement {
    log::error("delivery_unreadable", &[("error", reason)]);
    let subject = delivered.map(|delivered| dead::Subject {
        event_id: &delivered.delivery_id,
        event_type: &delivered.event,
        entity_id: "github:app",
    });
    let body = delivery.body().unwrap_or_default();
    dead::insert(app, dead::GITHUB, &body, subject, reason, delivery.attempts())
}

/// Processes the lanes whose first delivery is overdue, each once and in turn; the cron's part. A sweep
/// begins after the lane where the last one stopped, so a lane that has to wait, or that has many
/// deliveries, does not keep the others from their turn.
///
/// # Errors
/// When the database does not answer; nothing is lost by that.
pub async fn sweep(app: &App, ready: Ready<'_>) -> Result<(), DbError> {
    // 1. Read where the last sweep stopped.
    let until_ms = app.now_ms() + SWEEP_MS;
    let begin = deliveries::sweep_after(ready).await?;
    let mut after = begin.clone();
    let mut has_wrapped = begin.is_empty();
    // 2. Process the due lanes from there, once around or until the time is up, and note where to go on.
    loop {
        let page = deliveries::open_lanes(ready, &after, app.now_ms()).await?;
        let is_last = page.len() < deliveries::LANES_PAGE;
        for lanes in page.chunks(SWEEP_LANES) {
            if app.now_ms() >= until_ms {
                return note_sweep(ready, &begin, &after).await;
            }
            let due = lanes.iter().filter(|(_, is_due)| *is_due).map(|(lane, _)| lane.clone());
            deal_with(app, ready, due.collect(), until_ms).await;
            let Some((last, _)) = lanes.last() else { continue };
            after.clone_from(last);
            if has_wrapped && !begin.is_empty() && after >= begin {
                return note_sweep(ready, &begin, "").await;
            }
        }
        if is_last && has_wrapped {
            return note_sweep(ready, &begin, "").await;
        }
        if is_last {
            after.clear();
            has_wrapped = true;
        }
    }
}

/// Stores where the next sweep begins, if it is not where this one began.
async fn note_sweep(ready: Ready<'_>, begun: &str, after: &str) -> Result<(), DbError> {
    if begun == after {
        return Ok(());
    }
    ready.db().batch(vec![deliveries::note_sweep(after)]).await.map(|_| ())
}

/// How long a lease lasts, in ms: one deadline of a call in which work may still be begun ([`is_late`]), the
/// longest mint, and two deadlines to store the minted id.
fn lease_ms(app: &App) -> u64 {
    let turn_ms = u64::from(app.config.upstream_timeout_ms);
    3 * turn_ms + u64::from(MintIntent::longest_attempt_ms(app))
}

/// Whether too much of a lease has passed to begin further work under it.
fn is_late(app: &App, leased_ms: u64) -> bool {
    app.now_ms().saturating_sub(leased_ms) > u64::from(app.config.upstream_timeout_ms)
}

/// Processes the open deliveries of these lanes, and announces their events. Claims nothing more after
/// `until_ms`.
pub async fn deal_with(app: &App, ready: Ready<'_>, lanes: Vec<String>, until_ms: u64) {
    // 1. Process the lanes, some at a time.
    let events = futures_util::stream::iter(lanes)
        .map(|lane| async move { process_lane(app, ready, &lane, until_ms).await })
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    let events: Vec<Event> = events.into_iter().flatten().collect();
    // 2. Announce the events of their deliveries.
    if !events.is_empty() {
        UnsealedFlag::of(app).0.set(true);
        outbox::announce(app, events).await;
    }
}

/// Processes the open deliveries of a lane, one after the other, until one has to wait. Returns their
/// events.
async fn process_lane(app: &App, ready: Ready<'_>, lane: &str, until_ms: u64) -> Vec<Event> {
    let mut events = Vec::new();
    for _ in 0..MAX_CLAIMS {
        let began_ms = app.now_ms();
        if began_ms >= until_ms {
            return events;
        }
        // 1. Claim the next open deliveries of the lane.
        let claimed = deliveries::claim(ready, lane, began_ms, lease_ms(app)).await;
        let mut turn = match claimed {
            Ok(turn) if turn.rows.is_empty() && turn.unreadable.is_empty() => return events,
            Ok(turn) => turn,
            Err(error) => {
                log::warn("lane_not_claimed", &[("error", &error.to_string())]);
                return events;
            }
        };
        // 2. Give up those whose facts cannot be read.
        give_up_unreadable(app, ready, lane, &turn.unreadable).await;
        // 3. Process the others in order; give back the first that has to wait, and all after it.
        let mut rows = turn.rows.into_iter();
        for row in rows.by_ref() {
            let outcome = if is_late(app, began_ms) {
                Err((row, None))
            } else {
                settle(app, ready, row, &mut turn.known).await
            };
            match outcome {
                Ok(more) => events.extend(more),
                Err((row, error)) => {
                    let mut released = row.release(app, error.as_deref());
                    released.extend(rows.flat_map(|row| row.release(app, None)));
                    if let Err(error) = ready.db().batch(released).await {
                        log::warn("lane_not_released", &[("error", &error.to_string())]);
                    }
                    return events;
                }
            }
        }
    }
    events
}

/// Gives up the deliveries whose facts cannot be read; each becomes a dead letter, in a batch of its own.
async fn give_up_unreadable(
    app: &App,
    ready: Ready<'_>,
    lane: &str,
    unreadable: &[(DeliveryClaim, String)],
) {
    for (row, reason) in unreadable {
        log::error("delivery_unreadable", &[("delivery_id", &row.delivery_id), ("error", reason)]);
        if let Err(error) = ready.db().batch(give_up(app, row, lane, reason)).await {
            // It is claimed again when the lease has ended.
            log::warn("delivery_not_given_up", &[("error", &error.to_string())]);
        }
    }
}

/// Processes one delivery: returns its events, none if it is given up. On an error that another attempt may
/// mend, returns the delivery with the error.
async fn settle(
    app: &App,
    ready: Ready<'_>,
    mut row: DeliveryClaim,
    known: &mut BTreeMap<i64, InstallationRecord>,
) -> Result<Vec<Event>, (DeliveryClaim, Option<String>)> {
    let error = match perform(app, ready, &mut row, known).await {
        Ok(events) => return Ok(events),
        Err(error) => error,
    };
    let text = error.to_string();
    log::warn("delivery_waits", &[("delivery_id", &row.delivery_id), ("error", &text)]);
    match error {
        Trouble::Service(error) if is_about_the_delivery(&error) => {
            let statements = give_up(app, &row, &row.facts.lane(), &text);
            match ready.db().batch(statements).await {
                Ok(_) => Ok(Vec::new()),
                Err(_) => Err((row, Some(text))),
            }
        }
        _ => Err((row, Some(text))),
    }
}

/// Whether the service refused the request itself, so that it would refuse it again. Every other error,
/// such as a rejected credential, counts as an outage.
fn is_about_the_delivery(error: &ServiceError) -> bool {
    matches!(error.status, Some(400 | 409 | 413 | 422))
        && !error.is_retryable()
        && !error.may_have_had_its_effect()
}

/// Why a delivery was not processed.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error(transparent)]
    Db(DbError),
    #[error("another worker has the delivery by now")]
    Lost,
    #[error("the database took too long")]
    Late,
}

impl From<DbError> for Trouble {
    fn from(error: DbError) -> Self {
        match error {
            // What `Claim::assert_held` says.
            DbError::Unauthorized => Trouble::Lost,
            error => Trouble::Db(error),
        }
    }
}

/// Mints the identity of a delivery, then commits all its effects in one batch.
async fn perform(
    app: &App,
    ready: Ready<'_>,
    row: &mut DeliveryClaim,
    known: &mut BTreeMap<i64, InstallationRecord>,
) -> Result<Vec<Event>, Trouble> {
    // 1. Mint the identity of the delivery, unless an earlier attempt has.
    let mut events = Vec::new();
    let chitty_id = match row.chitty_id.clone() {
        Some(id) => id,
        None => {
            let intent = record_intent(app, ready, "github_delivery", row).await?;
            let id = mint(app, ready, row, &intent).await?;
            row.chitty_id = Some(id.to_string());
            store_ids(app, ready, row, &id, intent).await?;
            id.to_string()
        }
    };
    // 2. Record the installation that the delivery describes, if it is new.
    if let Some(installed) = record_installation(app, ready, row, known).await? {
        events.extend(installed);
    }
    // 3. Commit its changes, its job, its event and the mark that it is done, in one batch.
    let installation = row.facts.installation_id();
    let whose = installation.and_then(|id| known.get(&id));
    let plan = apply::plan(app, row, &chitty_id, whose);
    // Whoever else has dealt with it, after a lease had ended, has told of it too.
    let mut statements = vec![row.claim.assert_held()];
    statements.extend(plan.statements);
    statements.push(row.done(app.now_ms()));
    if let (Some(id), true) = (installation, apply::is_about_installation(&row.event)) {
        statements.push(installations::store::known(id));
    }
    let mut results = ready.db().batch(statements).await?;
    // 4. Remember the new state of the installation, and whether a job is due.
    if let (Some(id), true) = (installation, apply::is_about_installation(&row.event))
        && let Some(now) = results.pop().and_then(|rows| rows.into_iter().next())
    {
        let now = installations::store::read_known(now)?;
        if !now.is_live {
            client::forget_installation(app, id).await;
        }
        known.insert(id, now);
    }
    if plan.asks_for_work {
        WorkAhead::of(app).0.set(true);
    }
    events.push(plan.event);
    Ok(events)
}

/// Stores the ids of a delivery, of which `minted` is new. If another worker has the delivery by now, reports
/// the new id as an orphan. If the database does not answer, [`deliveries::release`] stores the ids.
async fn store_ids(
    app: &App,
    ready: Ready<'_>,
    row: &mut DeliveryClaim,
    minted: &ChittyId,
    intent: MintIntent,
) -> Result<(), Trouble> {
    match deliveries::keep_ids(ready, row, &intent).await {
        Ok(true) => Ok(()),
        Ok(false) => {
            intent.orphaned(app, ready, minted, "lease_lost").await;
            Err(Trouble::Lost)
        }
        Err(error) => {
            row.unkept = Some(intent);
            Err(error.into())
        }
    }
}

/// Records the intent to mint an identity for a delivery. The mint ends within the lease, with time left to
/// store the id. Withdraws the intent if the database has taken too long for that.
async fn record_intent(
    app: &App,
    ready: Ready<'_>,
    what: &'static str,
    row: &mut DeliveryClaim,
) -> Result<MintIntent, Trouble> {
    let now_ms = app.now_ms();
    let intent = deliveries::intend(app, ready, row, what, lease_ms(app)).await?;
    if is_late(app, now_ms) {
        intent.withdraw(ready).await;
        return Err(Trouble::Late);
    }
    Ok(intent)
}

/// Records the installation that a delivery describes, unless it is on record already. Returns its events.
async fn record_installation(
    app: &App,
    ready: Ready<'_>,
    row: &mut DeliveryClaim,
    known: &mut BTreeMap<i64, InstallationRecord>,
) -> Result<Option<Vec<Event>>, Trouble> {
    let Some(installation) = row.facts.installation.clone() else { return Ok(None) };
    if !apply::is_about_installation(&row.event)
        || installation.account.is_none()
        || known.contains_key(&installation.id)
    {
        return Ok(None);
    }
    let minted = match row.subject_id.clone() {
        Some(id) => id,
        None => {
            let intent = record_intent(app, ready, "github_installation", row).await?;
            let id =
                installations::mint(app, ready, installation.id, context(row), &intent).await?;
            row.subject_id = Some(id.to_string());
            store_ids(app, ready, row, &id, intent).await?;
            id.to_string()
        }
    };
    let traceparent = row.traceparent.as_deref();
    let (now, events) =
        installations::put_on_record(app, ready, &installation, &minted, None, traceparent).await?;
    known.insert(installation.id, now);
    // The jobs that waited for the installation are due now.
    WorkAhead::of(app).0.set(true);
    Ok(Some(events))
}

fn context(row: &DeliveryClaim) -> CallContext {
    CallContext { traceparent: row.traceparent.clone(), ..CallContext::default() }
}

/// Mints the EVNT ChittyID of a delivery.
async fn mint(
    app: &App,
    ready: Ready<'_>,
    row: &DeliveryClaim,
    intent: &MintIntent,
) -> Result<ChittyId, ServiceError> {
    let metadata = json!({
        "type": "github_delivery", "event": row.event, "deliveryId": row.delivery_id,
        "service": "chittyconnect",
    });
    let session = app.core.session(context(row));
    intent.mint(app, ready, &session, EntityLabel::Event, metadata).await
}

/// Gives up a delivery that cannot be processed: it becomes a dead letter and no longer blocks its lane.
fn give_up(app: &App, row: &DeliveryClaim, lane: &str, reason: &str) -> Vec<Statement> {
    let delivered = WebhookDelivery {
        kind: Kind::Delivery,
        delivery_id: row.delivery_id.clone(),
        event: row.event.clone(),
        received_at: row.received_at.clone(),
        traceparent: row.traceparent.clone(),
        encoding: Encoding::Json,
        elsewhere: Some(PayloadPlace::Recorded),
    };
    let subject =
        dead::Subject { event_id: &row.delivery_id, event_type: &row.event, entity_id: lane };
    let body = message::encode(&delivered, "");
    let attempts = u32::try_from(row.claim.attempts).unwrap_or(u32::MAX);
    vec![
        row.claim.assert_held(),
        row.give_up(reason, app.now_ms()),
        dead::insert(app, dead::GITHUB, &body, Some(subject), reason, attempts),
    ]
}

/// Stores the deliveries among the messages of the dead-letter queue as dead letters. Returns the other
/// messages.
pub async fn consume_dead<'d>(
    app: &App,
    ready: Ready<'_>,
    batch: &[&'d dyn Delivery],
) -> Vec<&'d dyn Delivery> {
    // 1. Make a dead letter of each delivery, and leave the other messages.
    let (mut others, mut letters, mut taken) = (Vec::new(), Vec::new(), Vec::new());
    for delivery in batch {
        match delivery.body().as_deref().map(message::decode) {
            Some(Ok((delivered, _))) => {
                let reason = "delivered too often";
                letters.push(dead_letter(app, *delivery, Some(&delivered), reason));
                taken.push(*delivery);
            }
            _ => others.push(*delivery),
        }
    }
    // 2. Store the letters, and acknowledge their messages.
    keep_letters(app, ready, letters, &taken).await;
    others
}
