//! Sealing: continues the hash chain of [`super::chain`] over the rows written since the last seal. Once an
//! hour the gateway reports the newest seal to ChittyChronicle, which thereby exposes an attacker who
//! alters the audit and computes the whole chain again.

use std::cell::Cell;

use seams::db::{DbError, Statement, first_row};
use seams::{log, time};
use serde_json::{Value, json};

use super::chain::{COLUMNS, Entry, GENESIS};
use crate::app::{App, Slot};
use crate::store::event::{Event, EventKind};
use crate::store::{Ready, outbox};

/// Whether this isolate has written entries since it last sealed.
#[derive(Default)]
pub struct UnsealedFlag(pub Cell<bool>);

impl Slot for UnsealedFlag {
    fn new(_: &App) -> Self {
        Self::default()
    }
}

/// The most rows that one round trip seals.
const PAGE: i64 = 500;

/// The most round trips of one run: 20,000 rows, six times as many as a minute brings at five million
/// events a day.
const MAX_PAGES: usize = 40;

/// Seals the rows that have no seal yet. Bounded; the next run seals the rest.
pub async fn seal(app: &App, ready: Ready<'_>) {
    for _ in 0..MAX_PAGES {
        match seal_page(app, ready).await {
            Ok(true) => {}
            Ok(false) => return,
            // Another isolate has sealed these rows.
            Err(error) if error.is_unique("audit_seals.seq") => return,
            Err(error) => {
                log::warn("audit_not_sealed", &[("error", &error.to_string())]);
                return;
            }
        }
    }
}

/// Seals a page of rows. Returns whether there may be another page.
async fn seal_page(app: &App, ready: Ready<'_>) -> Result<bool, DbError> {
    // 1. Read the last seal, and the entries after it.
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
    // 2. Once an hour, make the event that reports the last seal to ChittyChronicle.
    let now = time::iso8601(app.now_ms());
    let mut batch = Vec::new();
    let mut before = GENESIS.to_owned();
    if let Some(mut row) = last {
        before = row.text("hash")?;
        let sealed_at = row.text("sealed_at")?;
        // The hour of the last seal is over: an event takes its number and hash out of this database.
        if sealed_at.get(..13) != now.get(..13) {
            let payload = json!({ "seq": row.integer("seq")?, "hash": before });
            let kind = EventKind::AuditSealed;
            let event = Event::new(app.now_ms(), kind, "audit", "chittyconnect", payload, None);
            batch.push(outbox::insert(&event, 0));
        }
    }
    // 3. Compute the seals, each from the one before it.
    let full = entries.len() == usize::try_from(PAGE).unwrap_or_default();
    let mut seals = Vec::new();
    for row in entries {
        let seal = Entry::read(row)?.seal(&before);
        seals.push(json!([seal.seq, seal.hash]));
        before = seal.hash;
    }
    // 4. Store the event and the seals in one batch.
    let insert = Statement::new(
        "INSERT INTO audit_seals (seq, hash, sealed_at) \
         SELECT value ->> '$[0]', value ->> '$[1]', ?2 FROM json_each(?1)",
    );
    batch.push(insert.bind(Value::Array(seals).to_string()).bind(now));
    ready.db().batch(batch).await?;
    Ok(full)
}
