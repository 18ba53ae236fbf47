//! The ids under which ChittyDNA and ChittyChronicle know an entity. The services return them when they are
//! told an event, and the gateway stores them.
//!
//! Storing such an id does not change the entity's revision, so an `If-Match` with the revision that a caller
//! has read still holds. A context counts these updates in `learned`, for its entity tag.

use seams::db::Statement;

use crate::store::event::Event;

/// The longest id that is stored, in bytes.
const MAX_BYTES: usize = 200;

/// An id that another service has given an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForeignId {
    /// The id of the entity's record at ChittyDNA.
    DnaId(String),
    /// The id of the entity's timeline at ChittyChronicle.
    TimelineId(String),
}

impl ForeignId {
    /// The id, if it can be stored: at most [`MAX_BYTES`], not empty, without control characters.
    fn value(&self) -> Option<&str> {
        let (ForeignId::DnaId(value) | ForeignId::TimelineId(value)) = self;
        let is_sound = (1..=MAX_BYTES).contains(&value.len()) && !value.contains(char::is_control);
        is_sound.then_some(value)
    }
}

/// The statement that stores the ids that came of an event, if the event's entity has a column for one of
/// them. Idempotent.
pub fn keep(ids: &[ForeignId], event: &Event) -> Option<Statement> {
    let last = |is_it: fn(&ForeignId) -> bool| {
        ids.iter().rev().filter(|one| is_it(one)).find_map(ForeignId::value)
    };
    let dna = last(|one| matches!(one, ForeignId::DnaId(_)));
    let timeline = last(|one| matches!(one, ForeignId::TimelineId(_)));
    let keep = |sql: &'static str| Statement::new(sql).bind(event.entity_id.as_str()).bind(dna);
    match event.kind.entity_type() {
        // Keeps the first timeline id: where Chronicle has no timelines, each later entry has another id.
        "context" if dna.is_some() || timeline.is_some() => Some(
            keep(
                "UPDATE contexts SET chitty_dna_id = coalesce(?2, chitty_dna_id), \
                 chitty_chronicle_timeline_id = coalesce(chitty_chronicle_timeline_id, ?3), \
                 learned = learned + 1 WHERE chitty_id = ?1 \
                 AND (chitty_dna_id IS NOT coalesce(?2, chitty_dna_id) \
                 OR (chitty_chronicle_timeline_id IS NULL AND ?3 IS NOT NULL))",
            )
            .bind(timeline),
        ),
        "actor" if dna.is_some() => Some(keep(
            "UPDATE actors SET chitty_dna_id = ?2 WHERE chitty_id = ?1 AND chitty_dna_id IS NOT ?2",
        )),
        "installation" if dna.is_some() => Some(keep(
            "UPDATE installations SET chitty_dna_id = ?2 \
             WHERE chitty_id = ?1 AND chitty_dna_id IS NOT ?2",
        )),
        _ => None,
    }
}
