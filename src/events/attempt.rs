//! One attempt to tell the claimed events of an entity.
//!
//! The attempt makes the effects of the events take place in the order of commit, and records each effect
//! that has taken place in the event's row. An event that an outage stops is tried again later; one that a
//! service refuses, or that an outage has stopped for too long, becomes a dead letter. Whoever has lost the
//! lease records nothing.

use std::cell::Cell;
use std::collections::BTreeMap;

use chitty_core::Backoff;
use seams::db::Statement;
use seams::{log, time};

use crate::app::{App, Slot};
use crate::events::claims::EventClaim;
use crate::events::effects::{self, Effect, Failure, History};
use crate::events::verdict::{Outcome, PAUSES_S};
use crate::events::{dead, foreign_ids};
use crate::store::ids::EventId;
use crate::store::{Ready, work};

/// The end of the pause that ChittyChronicle has asked for (`Retry-After`), in ms since the Unix epoch.
#[derive(Default)]
struct ChroniclePause(Cell<u64>);

impl Slot for ChroniclePause {
    fn new(_: &App) -> Self {
        Self::default()
    }
}

/// How long an event waits out an outage, in ms: seven days. An older event that has had [`GIVE_UP_TRIES`]
/// attempts is given up when it fails again.
const GIVE_UP_MS: u64 = 7 * 24 * 3_600_000;

/// The least number of attempts before an event is given up because of an outage.
const GIVE_UP_TRIES: i64 = 10;

/// The rest of the pause that ChittyChronicle has asked for, in seconds; `None` when it is over.
pub(super) fn chronicle_pause(app: &App) -> Option<u32> {
    let wait_ms = ChroniclePause::of(app).0.get().saturating_sub(app.now_ms());
    (wait_ms > 0).then(|| u32::try_from(wait_ms.div_ceil(1000)).unwrap_or(u32::MAX))
}

/// Tells claimed events in order. After a transient failure of an effect, the later events skip that effect,
/// so that each service is told the events of an entity in order. A service that is down does not hold up
/// another service, and a refused event does not hold up the next event.
pub(super) async fn tell_claimed(
    app: &App,
    ready: Ready<'_>,
    claimed: Vec<EventClaim>,
    began_ms: u64,
) -> BTreeMap<EventId, Outcome> {
    let mut outcomes = BTreeMap::new();
    let mut blocked: Vec<Effect> = Vec::new();
    if chronicle_pause(app).is_some() {
        blocked.push(Effect::Chronicle);
    }
    for mut row in claimed {
        let mut failures = Vec::new();
        for effect in effects::of(&row.event.kind) {
            if row.is_settled(*effect) {
                continue;
            }
            // An effect that begins within one call's deadline ends within the lease.
            let turn_ms = u64::from(app.config.upstream_timeout_ms);
            let late = app.now_ms().saturating_sub(began_ms) > turn_ms;
            if late || blocked.contains(effect) {
                row.is_held_back = true;
                continue;
            }
            if let Err(failure) = take_effect(app, &mut row, *effect).await {
                if failure.is_transient {
                    blocked.push(*effect);
                }
                failures.push(failure);
            }
        }
        let id = row.event.id.clone();
        let outcome = settle(app, ready, row, &failures).await;
        outcomes.insert(id, outcome);
    }
    outcomes
}

/// Makes one effect take place, and records the result in the claim.
async fn take_effect(app: &App, row: &mut EventClaim, effect: Effect) -> Result<(), Failure> {
    let history = History { in_doubt: row.doubts.has(effect), is_replayed: row.is_replayed };
    let told = effects::perform(app, &row.event, effect, history).await;
    match &told {
        Ok(foreign_id) => {
            row.note(effect);
            row.foreign_ids.extend(foreign_id.clone());
        }
        Err(failure) => {
            if failure.in_doubt {
                row.doubts.add(effect);
            }
            if !failure.is_transient {
                row.refused.add(effect);
            }
            if let (Effect::Chronicle, Some(seconds)) = (effect, failure.retry_after_s) {
                let pause_ms = u64::from(seconds.min(PAUSES_S.longest)) * 1000;
                ChroniclePause::of(app).0.set(app.now_ms() + pause_ms);
            }
        }
    }
    told.map(|_| ())
}

/// Notes how far an event has come, as long as nobody else has taken it over.
async fn settle(app: &App, ready: Ready<'_>, mut row: EventClaim, failures: &[Failure]) -> Outcome {
    let now_ms = app.now_ms();
    let id = row.event.id.clone();
    let outage = failures.iter().find(|failure| failure.is_transient);
    let is_old = time::parse(&row.event.at).is_some_and(|at| now_ms > at + GIVE_UP_MS)
        && row.claim.attempts >= GIVE_UP_TRIES;
    let keep_ids = foreign_ids::keep(&row.foreign_ids, &row.event);
    let (mut statements, outcome) = match outage {
        Some(failure) if !is_old => {
            log::warn("event_not_told", &[("event_id", id.as_str()), ("error", &failure.error)]);
            postponed(app, &row, failure)
        }
        // Its turn comes when what is before it has been told.
        None if row.is_held_back => (vec![row.release(None, now_ms)], Outcome::Open(None)),
        None if row.refused.is_empty() => (vec![row.mark_done(now_ms)], Outcome::Settled),
        _ => {
            for effect in effects::of(&row.event.kind) {
                if !row.effects.has(*effect) {
                    row.refused.add(*effect);
                }
            }
            given_up(&row, failures, now_ms)
        }
    };
    statements.extend(keep_ids);
    match ready.db().batch(statements).await {
        Ok(results) if results.first().is_some_and(|rows| !rows.is_empty()) => outcome,
        Ok(_) => {
            // The new holder finds out which effects have taken place.
            log::warn("outbox_lease_lost", &[("event_id", id.as_str())]);
            Outcome::Open(None)
        }
        Err(error) => {
            let fields = [("event_id", id.as_str()), ("error", &error.to_string())];
            log::warn("outbox_not_marked", &fields);
            Outcome::Open(None)
        }
    }
}

/// An event that an outage has stopped, for later.
fn postponed(app: &App, row: &EventClaim, failure: &Failure) -> (Vec<Statement>, Outcome) {
    let pauses_ms = Backoff { first: PAUSES_S.first * 1000, longest: PAUSES_S.longest * 1000 };
    let pause_ms = work::pause_ms(app, pauses_ms, row.claim.attempts, failure.retry_after_s);
    let release = row.release(Some(&failure.error), app.now_ms() + pause_ms);
    (vec![release], Outcome::Open(failure.retry_after_s))
}

/// An event that was refused, or that an outage has stopped for too long.
fn given_up(row: &EventClaim, failures: &[Failure], now_ms: u64) -> (Vec<Statement>, Outcome) {
    let mut reasons: Vec<&str> = failures.iter().map(|failure| failure.error.as_str()).collect();
    if reasons.is_empty() {
        reasons.push("a service has refused it");
    }
    let reason = reasons.join("; ");
    log::error("event_given_up", &[("event_id", row.event.id.as_str()), ("error", &reason)]);
    let attempts = u32::try_from(row.claim.attempts).unwrap_or(u32::MAX);
    let given_up = row.give_up(&reason, now_ms);
    let letter = dead::insert_if_given_up(&row.event, &reason, attempts, now_ms);
    (vec![given_up, letter], Outcome::Settled)
}
