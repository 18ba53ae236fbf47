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
    /// The statement that keeps it, where there is a place for it. Doing it twice is as good as once.
    pub fn keep(&self, event: &Event) -> Option<Statement> {
        let (ForeignId::DnaId(value) | ForeignId::TimelineId(value)) = self;
        if value.is_empty() || value.len() > MAX_BYTES || value.contains(char::is_control) {
            return None;
        }
        let sql = match (self, event.kind.entity_type()) {
            (ForeignId::DnaId(_), "context") => {
                "UPDATE contexts SET chitty_dna_id = ?2, learned = learned + 1 \
                 WHERE chitty_id = ?1 AND chitty_dna_id IS NOT ?2"
            }
            (ForeignId::DnaId(_), "actor") => {
                "UPDATE actors SET chitty_dna_id = ?2 \
                 WHERE chitty_id = ?1 AND chitty_dna_id IS NOT ?2"
            }
            (ForeignId::DnaId(_), "installation") => {
                "UPDATE installations SET chitty_dna_id = ?2 \
                 WHERE chitty_id = ?1 AND chitty_dna_id IS NOT ?2"
            }
            // The first that is heard of: where there are no timelines, later entries have other ids.
            (ForeignId::TimelineId(_), "context") => {
                "UPDATE contexts SET chitty_chronicle_timeline_id = ?2, learned = learned + 1 \
                 WHERE chitty_id = ?1 AND chitty_chronicle_timeline_id IS NULL"
            }
            _ => return None,
        };
        Some(Statement::new(sql).bind(event.entity_id.as_str()).bind(value.as_str()))
    }
}
