//! The consumer of `EVENT_Q`: records deliveries, and has their lanes processed ([`lane`]).
//!
//! The consumer acknowledges a message once its delivery is recorded in the database. From then on the
//! record is authoritative, and the cron takes up every delivery that is not processed in time
//! ([`sweep`](crate::github::sweep)).

use chitty_core::Backoff;
use futures_util::future::join_all;
use seams::db::Statement;
use seams::queue::Delivery;
use seams::{log, time};

use crate::app::App;
use crate::events::consumer::{again, keep_letters};
use crate::events::dead;
use crate::github::message::{self, PayloadPlace, WebhookDelivery};
use crate::github::payload::Facts;
use crate::github::recovery::missing;
use crate::github::{deliveries, lane};
use crate::store::Ready;

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
            lane::deal_with(app, ready, lanes, u64::MAX).await;
        }
        Err(error) => {
            log::warn("deliveries_not_recorded", &[("error", &error.to_string())]);
            acked.iter().for_each(|(delivery, _)| again(app, *delivery));
        }
    }
}

async fn look<'d>(app: &App, delivery: &'d dyn Delivery) -> FirstLook<'d> {
    let Some(body) = delivery.body() else {
        return FirstLook::Hopeless(delivery, None, "the body is not text".to_owned());
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
