//! What other services say of an entity when it is told to them, and what is kept of it: by which id
//! ChittyDNA and ChittyChronicle know it.
//!
//! It is no change of the entity by anybody: its revision stays, so that what a caller has read may still
//! be changed on that condition. A context counts what was learned of it, for its entity tag.

use seams::db::Statement;

use crate::store::event::Event;

/// The longest id that is kept, in bytes.
const MAX_BYTES: usize = 200;

/// What a service said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForeignId {
    /// The id of the entity's record at ChittyDNA.
    DnaId(String),
    /// By what ChittyChronicle names the entity's timeline.
    TimelineId(String),
}

impl ForeignId {
    /// The id, where it is one that is kept.
    fn value(&self) -> Option<&str> {
        let (ForeignId::DnaId(value) | ForeignId::TimelineId(value)) = self;
        let is_sound = (1..=MAX_BYTES).contains(&value.len()) && !value.contains(char::is_control);
        is_sound.then_some(value)
    }
}

/// The statement that keeps what was learned with an event, where there is a place for any of it. Doing it
/// twice is as good as once.
pub fn keep(learned: &[ForeignId], event: &Event) -> Option<Statement> {
    let last = |is_it: fn(&ForeignId) -> bool| {
        learned.iter().rev().filter(|one| is_it(one)).find_map(ForeignId::value)
    };
    let dna = last(|one| matches!(one, ForeignId::DnaId(_)));
    let timeline = last(|one| matches!(one, ForeignId::TimelineId(_)));
    let keep = |sql: &'static str| Statement::new(sql).bind(event.entity_id.as_str()).bind(dna);
    match event.kind.entity_type() {
        // The first timeline that is heard of: where there are none, later entries have other ids.
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
