//! The queue consumer: gives each event its effects, once and in order.
//!
//! A message is a wake-up; the truth is the outbox. Whoever tells takes a lease on all that is open of
//! the entity, and tells it in the order of commit. An effect that has taken place is noted with its
//! row. Who dies between an effect and its note leaves the row in doubt, and the next one asks
//! Chronicle first whether the entry is there: so each entry is there once, whatever crashes.

use std::collections::BTreeMap;

use futures_util::StreamExt;

use crate::app::App;
use crate::events::dead::Subject;
use crate::events::effects::{self, Effect};
use crate::events::outbox::{Claimed, Standing};
use crate::events::verdict::{self, Outcome, PAUSES_S, Verdict};
use crate::events::{Event, Message, dead, outbox};
use crate::init::Ready;
use crate::platform::db::Statement;
use crate::platform::log;
use crate::platform::queue::Delivery;

/// How many entities are told of at once.
const AT_ONCE: usize = 6;

/// Deals with one batch of a queue, by the name of its binding. Each message gets its own verdict; one
/// bad message never fails another.
pub async fn consume(app: &App, queue: &str, deliveries: &[&dyn Delivery]) {
    let Ok(ready) = Ready::ensure(app).await else {
        deliveries.iter().for_each(|delivery| again(app, *delivery));
        return;
    };
    let mut letters = Vec::new();
    let mut entities: BTreeMap<String, Vec<(&dyn Delivery, Event)>> = BTreeMap::new();
    for delivery in deliveries {
        match decode(*delivery) {
            Ok(event) => {
                entities.entry(event.entity_id.clone()).or_default().push((*delivery, event));
            }
            Err(reason) => letters.push((*delivery, None, reason)),
        }
    }
    let told = futures_util::stream::iter(&entities)
        .map(|(entity, messages)| tell(app, ready, entity, messages))
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    for (delivery, event, outcome) in told.into_iter().flatten() {
        match verdict::of(outcome, delivery.attempts(), |bound| app.jitter(bound)) {
            Verdict::Ack => delivery.ack(),
            Verdict::Retry(pause_s) => delivery.retry(pause_s),
            Verdict::Dead(reason) => letters.push((delivery, Some(event), reason)),
        }
    }
    bury(app, ready, queue, letters).await;
}

/// Deals with one batch of the dead-letter queue: what was given up is kept, for an administrator to
/// look at. What the outbox knows of is told from there.
pub async fn consume_dead(app: &App, ready: Ready<'_>, deliveries: &[&dyn Delivery]) {
    let mut letters = Vec::new();
    for delivery in deliveries {
        let event = decode(*delivery).ok();
        letters.push((*delivery, event, "delivered too often".to_owned()));
    }
    let ids: Vec<&str> =
        letters.iter().filter_map(|(_, event, _)| Some(event.as_ref()?.id.as_str())).collect();
    match outbox::standing(ready, &ids).await {
        Ok(standing) => {
            letters.retain(|(delivery, event, _)| {
                let known = event.as_ref().is_some_and(|event| standing.contains_key(&event.id));
                if known {
                    delivery.ack();
                }
                !known
            });
            bury(app, ready, dead::CONTEXT_OPS, letters).await;
        }
        Err(error) => {
            log::warn("dead_letters_not_kept", &[("error", &error.to_string())]);
            deliveries.iter().for_each(|delivery| again(app, *delivery));
        }
    }
}

/// Buries messages as dead letters.
async fn bury(
    app: &App,
    ready: Ready<'_>,
    queue: &str,
    letters: Vec<(&dyn Delivery, Option<Event>, String)>,
) {
    let rows = letters.iter().map(|(delivery, event, reason)| {
        let body = delivery.body().unwrap_or_default();
        let subject = event.as_ref().map(Subject::of);
        dead::insert(app, queue, &body, subject, reason, delivery.attempts())
    });
    let deliveries: Vec<&dyn Delivery> = letters.iter().map(|(delivery, ..)| *delivery).collect();
    keep_letters(app, ready, rows.collect(), &deliveries).await;
}

/// Keeps dead letters, then acknowledges their messages.
pub async fn keep_letters(
    app: &App,
    ready: Ready<'_>,
    rows: Vec<Statement>,
    deliveries: &[&dyn Delivery],
) {
    if rows.is_empty() {
        return;
    }
    match ready.db().batch(rows).await {
        Ok(_) => deliveries.iter().for_each(|delivery| delivery.ack()),
        Err(error) => {
            log::error("dead_letters_not_kept", &[("error", &error.to_string())]);
            deliveries.iter().for_each(|delivery| again(app, *delivery));
        }
    }
}

fn decode(delivery: &dyn Delivery) -> Result<Event, String> {
    let body = delivery.body().ok_or("the message is no text")?;
    match serde_json::from_str(&body) {
        Ok(Message::V1(event)) => Ok(event),
        Err(error) => {
            log::error("message_unreadable", &[("error", &error.to_string())]);
            Err(format!("the message cannot be read: {error}"))
        }
    }
}

/// What has come of one message.
type Told<'d> = (&'d dyn Delivery, Event, Outcome);

/// Tells what is open of one entity, and says what has become of the messages about it.
async fn tell<'d>(
    app: &App,
    ready: Ready<'_>,
    entity: &str,
    messages: &[(&'d dyn Delivery, Event)],
) -> Vec<Told<'d>> {
    let all = |outcome: Outcome| {
        let told = |(delivery, event): &(&'d dyn Delivery, Event)| {
            (*delivery, event.clone(), outcome.clone())
        };
        messages.iter().map(told).collect()
    };
    let now_ms = app.now_ms();
    // Chronicle has asked for patience: nothing is begun before that is over.
    let wait_ms = app.chronicle_busy_until_ms.get().saturating_sub(now_ms);
    if wait_ms > 0 {
        return all(Outcome::Open(u32::try_from(wait_ms.div_ceil(1000)).ok()));
    }
    let ids: Vec<&str> = messages.iter().map(|(_, event)| event.id.as_str()).collect();
    let lease_ms = 3 * u64::from(app.config.upstream_timeout_ms);
    let (standing, claimed) = match outbox::claim(ready, entity, &ids, now_ms, lease_ms).await {
        Ok(claimed) => claimed,
        Err(error) => {
            log::warn("consume_failed", &[("error", &error.to_string())]);
            return all(Outcome::Open(None));
        }
    };
    let done = tell_claimed(app, ready, claimed, now_ms).await;
    let mut told = Vec::new();
    for (delivery, event) in messages {
        let outcome = match (done.get(&event.id), standing.get(&event.id)) {
            (Some(outcome), _) => outcome.clone(),
            (None, Some(Standing::Settled)) => Outcome::Settled,
            // Somebody else has the entity: soon done, or dead, and then its lease ends.
            (None, Some(Standing::Open)) => {
                let lease_s = u32::try_from(lease_ms.div_ceil(1000)).unwrap_or(u32::MAX);
                Outcome::Open((delivery.attempts() > 1).then_some(lease_s))
            }
            (None, None) => tell_unrecorded(app, event, delivery.attempts()).await,
        };
        told.push((*delivery, event.clone(), outcome));
    }
    told
}

/// Tells claimed events in their order. An effect that fails is not begun for what comes after, so that
/// each service hears of an entity in order; one service that is down keeps nothing from another.
async fn tell_claimed(
    app: &App,
    ready: Ready<'_>,
    claimed: Vec<Claimed>,
    began_ms: u64,
) -> BTreeMap<String, Outcome> {
    let mut outcomes = BTreeMap::new();
    let mut blocked: Vec<Effect> = Vec::new();
    for mut row in claimed {
        let mut failure = None;
        for effect in effects::of(&row.event.kind) {
            if row.effects.iter().any(|done| done == effect.as_str()) {
                continue;
            }
            // What is begun within a call's deadline ends within the lease, which is three.
            let turn_ms = u64::from(app.config.upstream_timeout_ms);
            let late = app.now_ms().saturating_sub(began_ms) > turn_ms;
            if late || blocked.contains(effect) {
                row.is_held_back = true;
                continue;
            }
            match effects::perform(app, &row.event, *effect, row.in_doubt).await {
                Ok(()) => row.effects.push(effect.as_str().to_owned()),
                Err(error) => {
                    blocked.push(*effect);
                    if let (Effect::Chronicle, Some(seconds)) = (effect, error.retry_after_s) {
                        let pause_ms = u64::from(seconds.min(PAUSES_S.longest)) * 1000;
                        app.chronicle_busy_until_ms.set(app.now_ms() + pause_ms);
                    }
                    failure = Some(error);
                }
            }
        }
        let id = row.event.id.clone();
        let outcome = settle(app, ready, row, failure).await;
        outcomes.insert(id, outcome);
    }
    outcomes
}

/// Notes how far an event has come.
async fn settle(
    app: &App,
    ready: Ready<'_>,
    row: Claimed,
    failure: Option<effects::Failure>,
) -> Outcome {
    let now_ms = app.now_ms();
    let id = row.event.id.clone();
    let (statements, outcome) = match failure {
        None if !row.is_held_back => (vec![outbox::done(&id, now_ms)], Outcome::Settled),
        None => (vec![outbox::release(&row, None, now_ms)], Outcome::Open(None)),
        Some(failure) if failure.is_transient => {
            log::warn("event_not_told", &[("event_id", &id), ("error", &failure.error)]);
            let attempt = u32::try_from(row.tries).unwrap_or(u32::MAX);
            let pause_s = PAUSES_S.pause(attempt, |bound| app.jitter(bound));
            let pause_s = pause_s.max(failure.retry_after_s.unwrap_or(0));
            let due_ms = now_ms + u64::from(pause_s) * 1000;
            (
                vec![outbox::release(&row, Some(&failure), due_ms)],
                Outcome::Open(failure.retry_after_s),
            )
        }
        Some(failure) => {
            log::error("event_refused", &[("event_id", &id), ("error", &failure.error)]);
            let body = Message::encode(&row.event);
            let attempts = u32::try_from(row.tries).unwrap_or(u32::MAX);
            let letter = dead::insert(
                app,
                dead::CONTEXT_OPS,
                &body,
                Some(Subject::of(&row.event)),
                &failure.error,
                attempts,
            );
            let given_up = outbox::given_up(&id, &failure.error, now_ms);
            (vec![given_up, letter], Outcome::Settled)
        }
    };
    match ready.db().batch(statements).await {
        Ok(_) => outcome,
        Err(error) => {
            log::warn("outbox_not_marked", &[("event_id", &id), ("error", &error.to_string())]);
            Outcome::Open(None)
        }
    }
}

/// Tells an event that the outbox does not have: a report that only the queue could take.
async fn tell_unrecorded(app: &App, event: &Event, attempts: u32) -> Outcome {
    for effect in effects::of(&event.kind) {
        let told = effects::perform(app, event, *effect, attempts > 1).await;
        match told {
            Ok(()) => {}
            Err(failure) if failure.is_transient => {
                return Outcome::OnlyHere(failure.retry_after_s);
            }
            Err(failure) => return Outcome::Hopeless(failure.error),
        }
    }
    Outcome::Settled
}

/// Asks for another delivery, after a growing pause.
pub fn again(app: &App, delivery: &dyn Delivery) {
    delivery.retry(PAUSES_S.pause(delivery.attempts(), |bound| app.jitter(bound)));
}
