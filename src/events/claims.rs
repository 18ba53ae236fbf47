//! Claims on the events of an entity: a lease lets one worker tell them, and that worker records the results.

use std::collections::BTreeMap;

use seams::db::{DbError, Row, Statement};
use seams::{log, time};
use serde_json::json;

use crate::events::effects::{self, Effect, Effects};
use crate::events::foreign_ids::ForeignId;
use crate::store::Ready;
use crate::store::event::Event;
use crate::store::ids::EventId;
use crate::store::outbox::{
    self, COLUMNS, EVENT_COLUMNS, EventState, OPEN, STATES, VALUES, read, read_states,
};
use crate::store::work::{Change, Claim, Queue};

/// A claimed event.
#[derive(Debug)]
pub struct EventClaim {
    /// The event.
    pub event: Event,
    /// The claim of its row, which counts the attempts since it was last given up.
    pub claim: Claim,
    /// The effects that have taken place.
    pub effects: Effects,
    /// The effects in doubt: they may have taken place, but no worker has recorded it.
    pub doubts: Effects,
    /// The effects that failed permanently.
    pub refused: Effects,
    /// Whether it had been given up and was taken up again.
    pub is_replayed: bool,
    /// Whether an effect was left for later without an attempt.
    pub is_held_back: bool,
    /// The ids that services have returned for the entity, to be stored.
    pub foreign_ids: Vec<ForeignId>,
}

impl EventClaim {
    /// Whether an effect needs no attempt any more: it has taken place, or has failed permanently.
    pub fn is_settled(&self, effect: Effect) -> bool {
        self.effects.has(effect) || self.refused.has(effect)
    }

    /// Records that an effect has taken place.
    pub fn note(&mut self, effect: Effect) {
        self.effects.add(effect);
        self.doubts.remove(effect);
    }
}

/// The claimed events of one entity.
#[derive(Debug, Default)]
pub struct EntityClaim {
    /// The states of the events that were asked about; those that are not in the outbox are left out.
    pub states: BTreeMap<EventId, EventState>,
    /// The events to tell, in the order of commit.
    pub rows: Vec<EventClaim>,
}

/// How many events of one entity are told at a time.
const CLAIM_LIMIT: usize = 20;

/// The events that are still to be told.
pub const QUEUE: Queue = Queue {
    due: OPEN,
    lease: "leased_until",
    attempts: "tries",
    set: "tries = tries + 1, in_doubt = in_doubt + 1",
};

/// Takes a lease of `lease_ms` on the open events of each of some entities, in the order of commit; none of
/// an entity whose events another consumer holds. Also returns the states of the events that each entity
/// is asked about. One round trip for all of them.
///
/// # Errors
/// When the database does not answer.
pub async fn claim(
    ready: Ready<'_>,
    entities: &[(&str, Vec<&EventId>)],
    now_ms: u64,
    lease_ms: u64,
) -> Result<Vec<EntityClaim>, DbError> {
    let ids: Vec<&EventId> = entities.iter().flat_map(|(_, ids)| ids.iter().copied()).collect();
    let mut batch = vec![Statement::new(STATES).bind(json!(ids).to_string())];
    let columns = format!("{EVENT_COLUMNS}, effects, in_doubt, doubts, refused, replays");
    batch.extend(entities.iter().map(|(entity, _)| {
        let lane = ("entity_id", *entity);
        QUEUE.claim_lane(lane, "seq", lease_ms, now_ms, CLAIM_LIMIT, &columns)
    }));
    let mut results = ready.db().batch(batch).await?.into_iter();
    let states = read_states(results.next().unwrap_or_default())?;
    let mut unreadable = Vec::new();
    let claims = entities.iter().zip(results).map(|((_, ids), rows)| {
        let states = ids.iter().filter_map(|id| Some(((*id).clone(), *states.get(*id)?)));
        let rows = read_all_claimed(rows, &mut unreadable)?;
        Ok(EntityClaim { states: states.collect(), rows })
    });
    let claims = claims.collect::<Result<Vec<EntityClaim>, DbError>>()?;
    if !unreadable.is_empty() {
        // A row that this version cannot read does not keep the others of its entity from being told.
        let give_back = |claim: &Claim| claim.release().also("in_doubt = in_doubt - 1").statement();
        ready.db().batch(unreadable.iter().map(give_back).collect()).await?;
    }
    Ok(claims)
}

/// The claimed rows of one entity in their order; the claims of those that this version cannot read are
/// added to `unreadable`.
fn read_all_claimed(
    rows: Vec<Row>,
    unreadable: &mut Vec<Claim>,
) -> Result<Vec<EventClaim>, DbError> {
    let mut claimed: Vec<(i64, EventClaim)> = Vec::new();
    for (claim, mut row) in QUEUE.read(rows)? {
        let seq = row.integer("seq")?;
        match read_claimed(&mut row, claim.clone()) {
            Ok(read) => claimed.push((seq, read)),
            // The row stays, and is logged at each attempt.
            Err(error) => {
                log::error("outbox_row_unreadable", &[("error", &error.to_string())]);
                unreadable.push(claim);
            }
        }
    }
    claimed.sort_by_key(|(seq, _)| *seq);
    Ok(claimed.into_iter().map(|(_, row)| row).collect())
}

fn read_claimed(row: &mut Row, claim: Claim) -> Result<EventClaim, DbError> {
    let effects = Effects::parse(&row.text("effects")?);
    let claims = row.integer("in_doubt")?;
    let mut doubts = Effects::parse(&row.text("doubts")?);
    let refused = Effects::parse(&row.text("refused")?);
    let is_replayed = row.integer("replays")? > 0;
    let event = read(row)?;
    if claims > 1 {
        // An earlier holder died before it could note which effects took place.
        for effect in effects::of(&event.kind) {
            if !effects.has(*effect) {
                doubts.add(*effect);
            }
        }
    }
    Ok(EventClaim {
        event,
        claim,
        effects,
        doubts,
        refused,
        is_replayed,
        is_held_back: false,
        foreign_ids: Vec::new(),
    })
}

/// Inserts events that exist only in a message, such as a report that the database could not store, or a
/// replayed event whose row was deleted. All their effects are in doubt, since each may have been told
/// before.
///
/// # Errors
/// When the database does not answer.
pub async fn adopt(ready: Ready<'_>, events: &[&Event]) -> Result<(), DbError> {
    let every = [Effect::Chronicle, Effect::Dna, Effect::Beacon];
    let doubts = every.into_iter().collect::<Effects>().text();
    // OR IGNORE also covers the trigger that writes the audit, which may have the event already.
    let sql = format!(
        "INSERT OR IGNORE INTO outbox ({COLUMNS}, doubts, replays) SELECT {VALUES}, ?12, \
         coalesce((SELECT replays FROM dead_letters WHERE event_id = ?1), 0)"
    );
    let adopt = |event: &&Event| outbox::row(event, 0, &sql).bind(doubts.as_str());
    ready.db().batch(events.iter().map(adopt).collect()).await.map(|_| ())
}

impl EventClaim {
    /// Marks the event done: all its effects have taken place. Only while it is held: returns a row if it
    /// was.
    pub fn mark_done(&self, now_ms: u64) -> Statement {
        let change = self.claim.release().set("done_at", time::iso8601(now_ms));
        change.also("last_error = NULL, doubts = '', in_doubt = 0").statement().returning("seq")
    }

    /// Gives the event back: what became of its effects, why one has not taken place, and when the sweep
    /// announces it again. Only while it is held: returns a row if it was.
    pub fn release(&self, error: Option<&str>, due_ms: u64) -> Statement {
        let is_known = |error: &str| format!("coalesce({error}, last_error)");
        let change = self.noted(self.claim.postpone(due_ms));
        change.set_sql("last_error", error, is_known).statement().returning("seq")
    }

    /// Gives the event up: it has a dead letter from now on. Only while it is held: returns a row if it was.
    pub fn give_up(&self, reason: &str, now_ms: u64) -> Statement {
        let change = self.noted(self.claim.release()).set("dead_at", time::iso8601(now_ms));
        change.set("last_error", reason).statement().returning("seq")
    }

    /// Notes what became of the effects.
    fn noted<'c>(&self, change: Change<'c>) -> Change<'c> {
        change
            .set("effects", self.effects.text())
            .set("doubts", self.doubts.text())
            .set("refused", self.refused.text())
            .also("in_doubt = 0")
    }
}
