//! Leases on the events of an entity: who tells them, and what its holder notes.

use std::collections::BTreeMap;

use seams::db::{DbError, Row, Statement};
use seams::{log, time};
use serde_json::json;

use crate::events::effects::{self, Effect, Effects};
use crate::events::learned::ForeignId;
use crate::store::Ready;
use crate::store::event::Event;
use crate::store::outbox::{self, COLUMNS, STANDING, Standing, VALUES, read, read_standing};

/// An event that is being told.
#[derive(Debug)]
pub struct EventClaim {
    /// What happened.
    pub event: Event,
    /// The effects that have taken place.
    pub effects: Effects,
    /// The effects that may have taken place without anybody having noted it.
    pub doubts: Effects,
    /// The effects that were refused for good.
    pub refused: Effects,
    /// How often it was begun, this time included, since it was last given up.
    pub tries: i64,
    /// Whether it had been given up and was taken up again.
    pub is_replayed: bool,
    /// Whether something of it was left for later without being tried.
    pub is_held_back: bool,
    /// What services have said of the entity, to be kept.
    pub learned: Vec<ForeignId>,
}

impl EventClaim {
    /// Whether nothing is to be done about an effect any more.
    pub fn is_settled(&self, effect: Effect) -> bool {
        self.effects.has(effect) || self.refused.has(effect)
    }

    /// An effect has taken place.
    pub fn note(&mut self, effect: Effect) {
        self.effects.add(effect);
        self.doubts.remove(effect);
    }
}

/// What has been claimed of an entity.
#[derive(Debug, Default)]
pub struct Claim {
    /// How the events that were asked about stand; those that are not in the outbox are left out.
    pub standing: BTreeMap<String, Standing>,
    /// What is to be told, in the order of commit.
    pub rows: Vec<EventClaim>,
    /// Until when, which is also by what the holder is known: whoever comes after it has a later one.
    pub lease: String,
}

/// How many events of one entity are told at a time.
const CLAIM_LIMIT: i64 = 20;

/// Takes a lease of `lease_ms` on what is open of each of some entities, in the order of commit; nothing of one
/// while somebody else has it. Also says how these events of theirs stand. One round trip for all of them.
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
        // It keeps nothing else of its entity from being told.
        let give_back = Statement::new(
            "UPDATE outbox SET leased_until = '', in_doubt = in_doubt - 1 \
             WHERE seq IN (SELECT value FROM json_each(?1)) AND leased_until = ?2",
        );
        let give_back = give_back.bind(json!(unreadable).to_string()).bind(lease.as_str());
        ready.db().batch(vec![give_back]).await?;
    }
    Ok(claims)
}

/// Takes what is open of the entity `?1`.
const CLAIM: &str = "UPDATE outbox SET leased_until = ?2, tries = tries + 1, in_doubt = in_doubt + 1 \
     WHERE seq IN (SELECT seq FROM outbox WHERE entity_id = ?1 AND done_at IS NULL \
     AND dead_at IS NULL ORDER BY seq LIMIT ?4) \
     AND NOT EXISTS (SELECT 1 FROM outbox AS other WHERE other.entity_id = ?1 \
     AND other.done_at IS NULL AND other.dead_at IS NULL AND other.leased_until > ?3) \
     RETURNING seq, event_id, event_type, entity_id, actor_id, created_at, traceparent, \
     payload, sweeps, via, effects, tries, in_doubt, doubts, refused, replays";

/// The claimed rows of one entity in their order; the numbers of those that this version cannot read are added
/// to `unreadable`.
fn read_all_claimed(rows: Vec<Row>, unreadable: &mut Vec<i64>) -> Result<Vec<EventClaim>, DbError> {
    let mut claimed: Vec<(i64, EventClaim)> = Vec::new();
    for mut row in rows {
        let seq = row.integer(0)?;
        match read_claimed(&mut row) {
            Ok(read) => claimed.push((seq, read)),
            // It stays, and is said so at each try.
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
        // Whoever had it before has not lived to say what has taken place.
        for effect in effects::of(&event.kind) {
            if !effects.has(*effect) {
                doubts.add(*effect);
            }
        }
    }
    let (is_held_back, learned) = (false, Vec::new());
    Ok(EventClaim { event, effects, doubts, refused, tries, is_replayed, is_held_back, learned })
}

/// Puts events on record that only a message knows of, such as a report that the database could not
/// take, or what was replayed after its row had been forgotten. Each may have been told.
///
/// # Errors
/// When the database does not answer.
pub async fn adopt(ready: Ready<'_>, events: &[&Event]) -> Result<(), DbError> {
    let every = [Effect::Chronicle, Effect::Dna, Effect::Beacon];
    let doubts = every.into_iter().collect::<Effects>().text();
    // OR IGNORE also where the audit has it already.
    let sql = format!(
        "INSERT OR IGNORE INTO outbox ({COLUMNS}, doubts, replays) SELECT {VALUES}, ?11, \
         coalesce((SELECT replays FROM dead_letters WHERE event_id = ?1), 0)"
    );
    let adopt = |event: &&Event| outbox::row(event, 0, &sql).bind(doubts.as_str());
    ready.db().batch(events.iter().map(adopt).collect()).await.map(|_| ())
}

/// Marks an event done: all its effects have taken place. Only by the holder of its lease: returns a
/// row if it was.
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

/// Gives the lease on an event back: what has become of its effects, why one has not taken place, and
/// when the sweep tells of it again. Only by the holder of the lease: returns a row if it was.
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

/// Gives an event up: it has a dead letter from now on. Only by the holder of its lease: returns a row
/// if it was.
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
