//! Claims on the events of an entity: a lease lets one worker tell them, and that worker records the results.

use std::collections::BTreeMap;

use seams::db::{DbError, Row, Statement};
use seams::{log, time};
use serde_json::json;

use crate::events::effects::{self, Effect, Effects};
use crate::events::learned::ForeignId;
use crate::store::Ready;
use crate::store::event::Event;
use crate::store::outbox::{self, COLUMNS, STANDING, Standing, VALUES, read, read_standing};

/// A claimed event.
#[derive(Debug)]
pub struct EventClaim {
    /// The event.
    pub event: Event,
    /// The effects that have taken place.
    pub effects: Effects,
    /// The effects in doubt: they may have taken place, but no worker has recorded it.
    pub doubts: Effects,
    /// The effects that failed permanently.
    pub refused: Effects,
    /// How often the event was claimed, this time included, since it was written or last replayed.
    pub tries: i64,
    /// Whether the event was given up before and then replayed.
    pub is_replayed: bool,
    /// Whether an effect was left for later without an attempt.
    pub is_held_back: bool,
    /// The ids that services have returned for the entity, to be stored.
    pub learned: Vec<ForeignId>,
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
pub struct Claim {
    /// The standing of the events that the caller named; events that are not in the outbox are left out.
    pub standing: BTreeMap<String, Standing>,
    /// The events to tell, in the order of commit.
    pub rows: Vec<EventClaim>,
    /// The end of the lease. It also identifies the holder, since every later holder has a later end.
    pub lease: String,
}

/// The most events of one entity in a claim.
const CLAIM_LIMIT: i64 = 20;

/// Claims the open events of each of these entities, in the order of commit, under a lease of `lease_ms`.
/// Claims nothing of an entity while another worker holds a lease on it. Also reads the standing of the
/// events that `entities` names. One round trip serves all entities.
///
/// # Errors
/// When the database does not answer.
pub async fn claim(
    ready: Ready<'_>,
    entities: &[(&str, Vec<&str>)],
    now_ms: u64,
    lease_ms: u64,
) -> Result<Vec<Claim>, DbError> {
    let lease = time::iso8601(now_ms + lease_ms);
    let ids: Vec<&str> = entities.iter().flat_map(|(_, ids)| ids.iter().copied()).collect();
    let mut batch = vec![Statement::new(STANDING).bind(json!(ids).to_string())];
    batch.extend(entities.iter().map(|(entity, _)| {
        Statement::new(CLAIM)
            .bind(*entity)
            .bind(lease.as_str())
            .bind(time::iso8601(now_ms))
            .bind(CLAIM_LIMIT)
    }));
    let mut results = ready.db().batch(batch).await?.into_iter();
    let standing = read_standing(results.next().unwrap_or_default())?;
    let mut unreadable = Vec::new();
    let claims = entities.iter().zip(results).map(|((_, ids), rows)| {
        let standing = ids.iter().filter_map(|id| Some(((*id).to_owned(), *standing.get(*id)?)));
        let rows = read_all_claimed(rows, &mut unreadable)?;
        Ok(Claim { standing: standing.collect(), rows, lease: lease.clone() })
    });
    let claims = claims.collect::<Result<Vec<Claim>, DbError>>()?;
    if !unreadable.is_empty() {
        // A lease on an unreadable row would keep the entity's other events from being told.
        let give_back = Statement::new(
            "UPDATE outbox SET leased_until = '', in_doubt = in_doubt - 1 \
             WHERE seq IN (SELECT value FROM json_each(?1)) AND leased_until = ?2",
        );
        let give_back = give_back.bind(json!(unreadable).to_string()).bind(lease.as_str());
        ready.db().batch(vec![give_back]).await?;
    }
    Ok(claims)
}

/// Leases the open events of the entity `?1` until `?2`, at most `?4`; none if another lease on one of them
/// lasts beyond `?3`.
const CLAIM: &str = "UPDATE outbox SET leased_until = ?2, tries = tries + 1, in_doubt = in_doubt + 1 \
     WHERE seq IN (SELECT seq FROM outbox WHERE entity_id = ?1 AND done_at IS NULL \
     AND dead_at IS NULL ORDER BY seq LIMIT ?4) \
     AND NOT EXISTS (SELECT 1 FROM outbox AS other WHERE other.entity_id = ?1 \
     AND other.done_at IS NULL AND other.dead_at IS NULL AND other.leased_until > ?3) \
     RETURNING seq, event_id, event_type, entity_id, actor_id, created_at, traceparent, \
     payload, sweeps, via, effects, tries, in_doubt, doubts, refused, replays";

/// Reads the claimed rows of one entity, in the order of commit. Adds the `seq` of each row that this version
/// cannot read to `unreadable`.
fn read_all_claimed(rows: Vec<Row>, unreadable: &mut Vec<i64>) -> Result<Vec<EventClaim>, DbError> {
    let mut claimed: Vec<(i64, EventClaim)> = Vec::new();
    for mut row in rows {
        let seq = row.integer(0)?;
        match read_claimed(&mut row) {
            Ok(read) => claimed.push((seq, read)),
            // The row stays in the outbox, and each claim logs this.
            Err(error) => {
                log::error("outbox_row_unreadable", &[("error", &error.to_string())]);
                unreadable.push(seq);
            }
        }
    }
    claimed.sort_by_key(|(seq, _)| *seq);
    Ok(claimed.into_iter().map(|(_, row)| row).collect())
}

fn read_claimed(row: &mut Row) -> Result<EventClaim, DbError> {
    let effects = Effects::parse(&row.text(10)?);
    let (tries, claims) = (row.integer(11)?, row.integer(12)?);
    let (mut doubts, refused) = (Effects::parse(&row.text(13)?), Effects::parse(&row.text(14)?));
    let is_replayed = row.integer(15)? > 0;
    let event = read(row)?;
    if claims > 1 {
        // A holder before this one ended without recording which effects have taken place.
        for effect in effects::of(&event.kind) {
            if !effects.has(*effect) {
                doubts.add(*effect);
            }
        }
    }
    let (is_held_back, learned) = (false, Vec::new());
    Ok(EventClaim { event, effects, doubts, refused, tries, is_replayed, is_held_back, learned })
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
        "INSERT OR IGNORE INTO outbox ({COLUMNS}, doubts, replays) SELECT {VALUES}, ?11, \
         coalesce((SELECT replays FROM dead_letters WHERE event_id = ?1), 0)"
    );
    let adopt = |event: &&Event| outbox::row(event, 0, &sql).bind(doubts.as_str());
    ready.db().batch(events.iter().map(adopt).collect()).await.map(|_| ())
}

/// The statement that marks an event done: all its effects have taken place. It changes the row, and returns
/// it, only for the holder of the lease.
pub fn done(id: &str, lease: &str, now_ms: u64) -> Statement {
    Statement::new(
        "UPDATE outbox SET done_at = ?3, last_error = NULL, doubts = '', in_doubt = 0, \
         leased_until = '' WHERE event_id = ?1 AND leased_until = ?2 AND done_at IS NULL \
         RETURNING seq",
    )
    .bind(id)
    .bind(lease)
    .bind(time::iso8601(now_ms))
}

/// The statement that gives back the lease on an event and records the state of its effects, the error, and
/// when the sweep announces the event again. It changes the row, and returns it, only for the holder of the
/// lease.
pub fn release(row: &EventClaim, lease: &str, error: Option<&str>, due_ms: u64) -> Statement {
    Statement::new(
        "UPDATE outbox SET effects = ?3, doubts = ?4, refused = ?5, in_doubt = 0, \
         last_error = coalesce(?6, last_error), due_at = ?7, leased_until = '' \
         WHERE event_id = ?1 AND leased_until = ?2 AND done_at IS NULL RETURNING seq",
    )
    .bind(row.event.id.as_str())
    .bind(lease)
    .bind(row.effects.text())
    .bind(row.doubts.text())
    .bind(row.refused.text())
    .bind(error)
    .bind(time::iso8601(due_ms))
}

/// The statement that gives an event up; its dead letter belongs in the same batch. It changes the row, and
/// returns it, only for the holder of the lease.
pub fn given_up(row: &EventClaim, lease: &str, reason: &str, now_ms: u64) -> Statement {
    Statement::new(
        "UPDATE outbox SET effects = ?3, doubts = ?4, refused = ?5, in_doubt = 0, dead_at = ?6, \
         last_error = ?7, leased_until = '' \
         WHERE event_id = ?1 AND leased_until = ?2 AND done_at IS NULL RETURNING seq",
    )
    .bind(row.event.id.as_str())
    .bind(lease)
    .bind(row.effects.text())
    .bind(row.doubts.text())
    .bind(row.refused.text())
    .bind(time::iso8601(now_ms))
    .bind(reason)
}
