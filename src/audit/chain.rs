//! The hash chain over the audit.
//!
//! Each seal is `SHA-256(seal before ‖ line feed ‖ row as a JSON array)`, in hex, and has the number of
//! its row. Numbers have no gaps, because the database gives them inside the transaction that
//! writes the row: so a row that was altered, removed or slipped in shows.

use seams::db::{DbError, Row};
use seams::ids;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// What comes before the first seal.
pub(super) const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The columns that an entry is read from, in their order.
pub(super) const COLUMNS: &str = "seq, event_id, at, actor_id, via, action, entity_type, entity_id, detail, traceparent, outcome";

/// A seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// The number of its row.
    pub seq: i64,
    /// 64 hex digits.
    pub hash: String,
}

impl Seal {
    pub(super) fn read(mut row: Row) -> Result<Self, DbError> {
        Ok(Seal { seq: row.integer(0)?, hash: row.text(1)? })
    }
}

/// The hash of a line that comes after another.
pub(super) fn hash(before: &str, line: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(before.as_bytes());
    hash.update(b"\n");
    hash.update(line.as_bytes());
    ids::hex(&hash.finalize())
}

/// A row as it was read, with its number.
pub(super) struct Entry {
    pub(super) seq: i64,
    /// The row as a JSON array, on one line: what is sealed and archived.
    pub(super) line: String,
}

impl Entry {
    pub(super) fn read(mut row: Row) -> Result<Self, DbError> {
        let seq = row.integer(0)?;
        let mut values = vec![json!(seq)];
        for index in 1..=9 {
            values.push(json!(row.optional_text(index)?));
        }
        // Older rows have no other outcome, and were sealed without.
        let outcome = row.text(10)?;
        if outcome != "done" {
            values.push(json!(outcome));
        }
        Ok(Entry { seq, line: Value::Array(values).to_string() })
    }

    pub(super) fn seal(&self, before: &str) -> Seal {
        Seal { seq: self.seq, hash: hash(before, &self.line) }
    }
}
