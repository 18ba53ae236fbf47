//! Sealing: the hash chain of [`super::chain`] is continued over what was written since. Once an hour
//! the newest seal is told to ChittyChronicle: whoever computes the whole chain anew is found out there.

use std::cell::Cell;

use seams::db::{DbError, Statement, first_row};
use seams::{log, time};
use serde_json::{Value, json};

use super::chain::{COLUMNS, Entry, GENESIS};
use crate::app::{App, Slot};
use crate::store::event::{Event, EventKind};
use crate::store::{Ready, outbox};

/// Whether this isolate has done something that is not sealed yet.
#[derive(Default)]
pub struct UnsealedFlag(pub Cell<bool>);

impl Slot for UnsealedFlag {
    fn new(_: &App) -> Self {
        Self::default()
    }
}

/// How many rows one round trip seals.
const PAGE: i64 = 500;

/// How many round trips one run makes: 20,000 rows, six times what a minute of five million events a
/// day brings.
const MAX_PAGES: usize = 40;

/// Seals what is not sealed yet; bounded. What is left the next run seals.
pub async fn seal(app: &App, ready: Ready<'_>) {
    for _ in 0..MAX_PAGES {
        match seal_page(app, ready).await {
            Ok(true) => {}
            Ok(false) => return,
            // Another isolate has sealed them.
            Err(error) if error.is_unique("audit_seals.seq") => return,
            Err(error) => {
                log::warn("audit_not_sealed", &[("error", &error.to_string())]);
                return;
            }
        }
    }
}

/// Seals a page; whether there may be another.
async fn seal_page(app: &App, ready: Ready<'_>) -> Result<bool, DbError> {
    let last =
        Statement::new("SELECT seq, hash, sealed_at FROM audit_seals ORDER BY seq DESC LIMIT 1");
    let open = Statement::new(format!(
        "SELECT {COLUMNS} FROM audit \
         WHERE seq > (SELECT ifnull(max(seq), 0) FROM audit_seals) ORDER BY seq LIMIT ?1"
    ))
    .bind(PAGE);
    let mut results = ready.db().batch(vec![last, open]).await?.into_iter();
    let last = first_row(results.next());
    let entries = results.next().unwrap_or_default();
    if entries.is_empty() {
        return Ok(false);
    }
    let now = time::iso8601(app.now_ms());
    let mut batch = Vec::new();
    let mut before = GENESIS.to_owned();
    if let Some(mut row) = last {
        before = row.text(1)?;
        let sealed_at = row.text(2)?;
        // The hour of the last seal is over: its number and hash are for others to keep.
        if sealed_at.get(..13) != now.get(..13) {
            let payload = json!({ "seq": row.integer(0)?, "hash": before });
            let kind = EventKind::AuditSealed;
            let event = Event::new(app.now_ms(), kind, "audit", "chittyconnect", payload, None);
            batch.push(outbox::insert(&event, 0));
        }
    }
    let full = entries.len() == usize::try_from(PAGE).unwrap_or_default();
    let mut seals = Vec::new();
    for row in entries {
        let seal = Entry::read(row)?.seal(&before);
        seals.push(json!([seal.seq, seal.hash]));
        before = seal.hash;
    }
    let insert = Statement::new(
        "INSERT INTO audit_seals (seq, hash, sealed_at) \
         SELECT value ->> '$[0]', value ->> '$[1]', ?2 FROM json_each(?1)",
    );
    batch.push(insert.bind(Value::Array(seals).to_string()).bind(now));
    ready.db().batch(batch).await?;
    Ok(full)
}
