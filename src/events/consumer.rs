//! The queue consumer: makes the effects of each event take place, once and in order.
//!
//! A message only wakes the consumer; the outbox holds the truth. The consumer claims the open events of the
//! message's entity under a lease and tells them in the order of commit. It records each effect that has
//! taken place in the event's row. An effect is in doubt if the consumer dies before it records the effect,
//! or gets no answer; it stays in doubt until it has taken place. Before the consumer repeats an entry in
//! doubt, it asks ChittyChronicle whether the entry exists; services that cannot be asked get the same
//! idempotency key again.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use seams::db::Statement;
use seams::log;
use seams::queue::Delivery;

use crate::app::App;
use crate::events::attempt::{chronicle_pause, tell_claimed};
use crate::events::claims::{self, EntityClaim};
use crate::events::dead::{self, Subject};
use crate::events::effects::{self, Effect};
use crate::events::verdict::{self, Outcome, PAUSES_S, Verdict};
use crate::store::Ready;
use crate::store::event::{Event, Message};
use crate::store::ids::EventId;
use crate::store::outbox::{self, EventState};

/// How many entities are worked on at once; one round trip claims them.
const AT_ONCE: usize = 6;

/// Processes one batch of a queue, given by the name of its binding. Each message gets its own verdict, so
/// one bad message never fails another.
pub async fn consume(app: &App, queue: &str, deliveries: &[&dyn Delivery]) {
    // 1. Read the messages, and group them by entity.
    let Ok(ready) = Ready::ensure(app).await else {
        deliveries.iter().for_each(|delivery| again(app, *delivery));
        return;
    };
    let mut letters = Vec::new();
    let mut entities: BTreeMap<String, Vec<WakeUp<'_>>> = BTreeMap::new();
    for delivery in deliveries {
        match decode(*delivery) {
            Ok(event) => {
                entities.entry(event.entity_id.clone()).or_default().push((*delivery, event));
            }
            Err(reason) => letters.push((*delivery, None, reason)),
        }
    }
    // 2. Tell the open events of the entities, some entities at a time.
    let entities: Vec<(String, Vec<WakeUp<'_>>)> = entities.into_iter().collect();
    let mut told = Vec::new();
    for group in entities.chunks(AT_ONCE) {
        told.extend(tell_all(app, ready, group).await);
    }
    // 3. Give each message its verdict.
    for (delivery, event, outcome) in told {
        match verdict::of(outcome, delivery.attempts(), |bound| app.jitter(bound)) {
            Verdict::Ack => delivery.ack(),
            Verdict::Retry(pause_s) => delivery.retry(pause_s),
            Verdict::Dead(reason) => letters.push((delivery, Some(event), reason)),
        }
    }
    // 4. Store the dead letters, and acknowledge their messages.
    bury(app, ready, queue, letters).await;
}

/// Processes one batch of the dead-letter queue: stores each message as a dead letter for an administrator.
/// Only acknowledges a message whose event is in the outbox: the sweep announces that event again.
pub async fn consume_dead(app: &App, ready: Ready<'_>, deliveries: &[&dyn Delivery]) {
    // 1. Read the messages.
    let mut letters = Vec::new();
    for delivery in deliveries {
        let event = decode(*delivery).ok();
        letters.push((*delivery, event, "delivered too often".to_owned()));
    }
    // 2. Acknowledge those whose events are in the outbox.
    let ids: Vec<&EventId> =
        letters.iter().filter_map(|(_, event, _)| Some(&event.as_ref()?.id)).collect();
    match outbox::states(ready, &ids).await {
        Ok(states) => {
            letters.retain(|(delivery, event, _)| {
                let known = event.as_ref().is_some_and(|event| states.contains_key(&event.id));
                if known {
                    delivery.ack();
                }
                !known
            });
            // 3. Store the others as dead letters, and acknowledge them.
            bury(app, ready, dead::CONTEXT_OPS, letters).await;
        }
        Err(error) => {
            log::warn("dead_letters_not_kept", &[("error", &error.to_string())]);
            deliveries.iter().for_each(|delivery| again(app, *delivery));
        }
    }
}

/// Stores messages as dead letters.
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

/// Stores dead letters, then acknowledges their messages. If the database fails, asks for the messages again.
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
    let body = delivery.body().ok_or("the message is not text")?;
    match serde_json::from_str(&body) {
        Ok(Message::V1(event)) => Ok(event),
        Err(error) => {
            log::error("message_unreadable", &[("error", &error.to_string())]);
            Err(format!("the message cannot be read: {error}"))
        }
    }
}

/// A message and its event.
type WakeUp<'d> = (&'d dyn Delivery, Event);

/// A message, its event and the event's outcome.
type TellResult<'d> = (&'d dyn Delivery, Event, Outcome);

/// The length of a lease, in deadlines of one call: an effect begins within the first deadline, and takes at
/// most three calls (two lookups, then the entry).
const LEASE_CALLS: u64 = 5;

/// Tells the open events of several entities in parallel. Returns the outcome of each message about them.
async fn tell_all<'d>(
    app: &App,
    ready: Ready<'_>,
    entities: &[(String, Vec<WakeUp<'d>>)],
) -> Vec<TellResult<'d>> {
    let only_chronicle = |messages: &[WakeUp<'d>]| {
        messages.iter().all(|(_, event)| effects::of(&event.kind) == [Effect::Chronicle])
    };
    let pause_s = chronicle_pause(app);
    let (paused, open): (Vec<_>, Vec<_>) =
        entities.iter().partition(|(_, messages)| pause_s.is_some() && only_chronicle(messages));
    let mut results: Vec<TellResult<'d>> =
        paused.iter().flat_map(|(_, messages)| all(messages, &Outcome::Open(pause_s))).collect();
    if open.is_empty() {
        return results;
    }
    let wanted: Vec<(&str, Vec<&EventId>)> =
        open.iter().map(|(entity, messages)| (entity.as_str(), ids(messages))).collect();
    let now_ms = app.now_ms();
    match claims::claim(ready, &wanted, now_ms, lease_ms(app)).await {
        Ok(claims) => {
            let told = open.into_iter().zip(claims).map(|((entity, messages), claim)| {
                tell(app, ready, entity, messages, claim, now_ms)
            });
            results.extend(join_all(told).await.into_iter().flatten());
        }
        Err(error) => {
            log::warn("consume_failed", &[("error", &error.to_string())]);
            let left = open.iter().flat_map(|(_, messages)| all(messages, &Outcome::Open(None)));
            results.extend(left);
        }
    }
    results
}

/// Gives all of these messages the same outcome.
fn all<'d>(messages: &[WakeUp<'d>], outcome: &Outcome) -> Vec<TellResult<'d>> {
    messages.iter().map(|(delivery, event)| (*delivery, event.clone(), outcome.clone())).collect()
}

fn ids<'e>(messages: &'e [WakeUp<'_>]) -> Vec<&'e EventId> {
    messages.iter().map(|(_, event)| &event.id).collect()
}

/// Tells the events of one entity that were claimed at `claimed_ms`, then those that only a message knows of.
/// Returns the outcome of each message about the entity.
async fn tell<'d>(
    app: &App,
    ready: Ready<'_>,
    entity: &str,
    messages: &[WakeUp<'d>],
    claim: EntityClaim,
    claimed_ms: u64,
) -> Vec<TellResult<'d>> {
    // 1. Tell the events that were claimed.
    let mut told = tell_open(app, ready, claim, claimed_ms).await;
    // 2. Put the events that only a message knows of into the outbox, claim them, and tell them.
    let unrecorded: Vec<&Event> =
        messages.iter().map(|(_, event)| event).filter(|event| !told.knows(&event.id)).collect();
    if !unrecorded.is_empty() {
        let adopted = match claims::adopt(ready, &unrecorded).await {
            Ok(()) => {
                let now_ms = app.now_ms();
                let wanted = [(entity, ids(messages))];
                match claims::claim(ready, &wanted, now_ms, lease_ms(app)).await {
                    Ok(claims) => {
                        let claim = claims.into_iter().next().unwrap_or_default();
                        Ok(tell_open(app, ready, claim, now_ms).await)
                    }
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        };
        match adopted {
            Ok(now) => told.add(now),
            Err(error) => log::warn("event_not_adopted", &[("error", &error.to_string())]),
        }
    }
    // 3. Find the outcome of each message.
    let lease_s = u32::try_from(lease_ms(app).div_ceil(1000)).unwrap_or(u32::MAX);
    messages
        .iter()
        .map(|(delivery, event)| {
            let outcome = told.outcome(&event.id, delivery.attempts(), lease_s);
            (*delivery, event.clone(), outcome)
        })
        .collect()
}

fn lease_ms(app: &App) -> u64 {
    LEASE_CALLS * u64::from(app.config.upstream_timeout_ms)
}

/// What is known of the events of an entity after an attempt to tell them.
#[derive(Default)]
struct Progress {
    states: BTreeMap<EventId, EventState>,
    outcomes: BTreeMap<EventId, Outcome>,
}

impl Progress {
    fn knows(&self, id: &EventId) -> bool {
        self.states.contains_key(id)
    }

    fn add(&mut self, later: Progress) {
        self.states.extend(later.states);
        self.outcomes.extend(later.outcomes);
    }

    fn outcome(&self, id: &EventId, attempts: u32, lease_s: u32) -> Outcome {
        match (self.outcomes.get(id), self.states.get(id)) {
            (Some(outcome), _) => outcome.clone(),
            (None, Some(EventState::Settled)) => Outcome::Settled,
            // Another worker holds the entity. It finishes soon, or dies and its lease ends.
            (None, Some(EventState::Open)) => Outcome::Open((attempts > 1).then_some(lease_s)),
            // The event is not in the database: only the message knows of it.
            (None, None) => Outcome::OnlyHere(None),
        }
    }
}

/// Tells what was claimed of an entity at an instant. Also returns the states of the events that were asked
/// about.
async fn tell_open(app: &App, ready: Ready<'_>, claim: EntityClaim, claimed_ms: u64) -> Progress {
    let outcomes = tell_claimed(app, ready, claim.rows, claimed_ms).await;
    Progress { states: claim.states, outcomes }
}

/// Asks the queue for another delivery, after a growing pause.
pub fn again(app: &App, delivery: &dyn Delivery) {
    delivery.retry(PAUSES_S.pause(delivery.attempts(), |bound| app.jitter(bound)));
}
