//! The hash chain over the audit.
//!
//! Each seal is `SHA-256(seal before ‖ line feed ‖ row as a JSON array)`, in hex, and has the number of
//! its row. The numbers have no gaps, because the database assigns them inside the transaction that writes
//! the row. So the chain shows whether a row was altered, removed or inserted later.

use seams::db::{DbError, Row};
use seams::ids;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The value that stands for the seal before the first.
pub(super) const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The columns that [`Entry::read`] reads.
pub(super) const COLUMNS: &str = "seq, event_id, at, actor_id, via, action, entity_type, entity_id, detail, traceparent, outcome";

/// The columns of texts that are sealed after the number of the row, in this order.
const TEXTS: [&str; 9] = [
    "event_id",
    "at",
    "actor_id",
    "via",
    "action",
    "entity_type",
    "entity_id",
    "detail",
    "traceparent",
];

/// The seal of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// The number of its row.
    pub seq: i64,
    /// 64 hex digits.
    pub hash: String,
}

impl Seal {
    pub(super) fn read(mut row: Row) -> Result<Self, DbError> {
        Ok(Seal { seq: row.integer("seq")?, hash: row.text("hash")? })
    }
}

/// Returns the seal of a line that follows the seal `before`.
pub(super) fn hash(before: &str, line: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(before.as_bytes());
    hash.update(b"\n");
    hash.update(line.as_bytes());
    ids::hex(&hash.finalize())
}

/// A row of the audit, with its number.
pub(super) struct Entry {
    pub(super) seq: i64,
    /// The row as a JSON array, on one line: the text that is sealed and archived.
    pub(super) line: String,
}

impl Entry {
    pub(super) fn read(mut row: Row) -> Result<Self, DbError> {
        let seq = row.integer("seq")?;
        let mut values = vec![json!(seq)];
        for column in TEXTS {
            values.push(json!(row.optional_text(column)?));
        }
        // Rows from before there was an outcome are all `done`, and were sealed without it.
        let outcome = row.text("outcome")?;
        if outcome != "done" {
            values.push(json!(outcome));
        }
        Ok(Entry { seq, line: Value::Array(values).to_string() })
    }

    pub(super) fn seal(&self, before: &str) -> Seal {
        Seal { seq: self.seq, hash: hash(before, &self.line) }
    }
}
