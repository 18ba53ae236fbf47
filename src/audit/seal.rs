//! The hash chain over the audit.
//!
//! Each seal is `SHA-256(seal before ‖ line feed ‖ row as a JSON array)`, in hex, and has the number of
//! its row. Numbers have no gaps, because the database gives them inside the transaction that
//! writes the row: so a row that was altered, removed or slipped in shows. Once an hour the newest seal
//! is told to ChittyChronicle: whoever computes the whole chain anew is found out there.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::app::App;
use crate::events::{Event, EventKind, outbox};
use crate::init::Ready;
use crate::platform::db::{DbError, Row, Statement, first_row};
use crate::platform::{ids, log, time};

/// What comes before the first seal.
const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// How many rows one round trip seals.
const PAGE: i64 = 200;

/// How many round trips one run makes.
const MAX_PAGES: usize = 20;

/// The columns under the seal, in their order.
const COLUMNS: &str =
    "seq, event_id, at, actor_id, via, action, entity_type, entity_id, detail, traceparent";

/// A seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// The number of its row.
    pub seq: i64,
    /// 64 hex digits.
    pub hash: String,
}

/// A row as it was read, with its number.
struct Entry {
    seq: i64,
    json: String,
}

impl Entry {
    fn read(mut row: Row) -> Result<Self, DbError> {
        let seq = row.integer(0)?;
        let mut values = vec![json!(seq)];
        for index in 1..=9 {
            values.push(json!(row.optional_text(index)?));
        }
        Ok(Entry { seq, json: Value::Array(values).to_string() })
    }

    fn seal(&self, before: &str) -> Seal {
        let mut hash = Sha256::new();
        hash.update(before.as_bytes());
        hash.update(b"\n");
        hash.update(self.json.as_bytes());
        Seal { seq: self.seq, hash: ids::hex(&hash.finalize()) }
    }
}

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

/// What a verification found.
#[derive(Debug)]
pub struct Verdict {
    /// How many rows were compared with their seals.
    pub checked: u64,
    /// The last seal that was looked at.
    pub head: Option<Seal>,
    /// The first number where something is wrong, and what.
    pub fault: Option<(i64, &'static str)>,
    /// Where the next call goes on, if this one ended before the last seal.
    pub next: Option<i64>,
    /// How many rows wait for their seal.
    pub unsealed: i64,
}

/// How many rows one verification compares.
const MAX_VERIFIED: u64 = 10_000;

/// How many of them it reads at once.
const VERIFY_PAGE: i64 = 500;

/// Compares rows with their seals, from the number `from` on.
///
/// # Errors
/// Storage failures.
pub async fn verify(ready: Ready<'_>, from: i64) -> Result<Verdict, DbError> {
    let mut verdict = Verdict { checked: 0, head: None, fault: None, next: None, unsealed: 0 };
    let mut expected = from;
    loop {
        let after = expected - 1;
        // Seals from the one before on, for its hash, and as many numbers of rows.
        let seals = Statement::new(
            "SELECT seq, hash FROM audit_seals WHERE seq >= ?1 ORDER BY seq LIMIT ?2",
        )
        .bind(after)
        .bind(VERIFY_PAGE + 1);
        let entries = Statement::new(format!(
            "SELECT {COLUMNS} FROM audit WHERE seq >= ?1 AND seq < ?1 + ?2 ORDER BY seq"
        ))
        .bind(expected)
        .bind(VERIFY_PAGE);
        let unsealed = Statement::new(
            "SELECT count(*) FROM audit WHERE seq > (SELECT ifnull(max(seq), 0) FROM audit_seals)",
        );
        let mut results = ready.db().batch(vec![seals, entries, unsealed]).await?.into_iter();
        let seals = results.next().unwrap_or_default();
        let entries = results.next().unwrap_or_default();
        if let Some(row) = first_row(results.next()) {
            verdict.unsealed = row.integer(0)?;
        }
        let mut seals = seals
            .into_iter()
            .map(|mut row| Ok::<_, DbError>(Seal { seq: row.integer(0)?, hash: row.text(1)? }));
        let mut before = GENESIS.to_owned();
        if after > 0 {
            match seals.next().transpose()? {
                Some(seal) if seal.seq == after => before = seal.hash,
                // Nothing was ever sealed up to here.
                None if verdict.head.is_none() && verdict.checked == 0 => return Ok(verdict),
                _ => {
                    verdict.fault = Some((after, "its seal is missing"));
                    return Ok(verdict);
                }
            }
        }
        let seals: Vec<Seal> = seals.collect::<Result<_, _>>()?;
        let is_last = seals.len() < usize::try_from(VERIFY_PAGE).unwrap_or_default();
        let mut entries = entries.into_iter().map(Entry::read).peekable();
        for seal in seals {
            let fault = if seal.seq != expected {
                Some("its seal is missing")
            } else {
                match entries.next_if(|entry| !matches!(entry, Ok(entry) if entry.seq > expected)) {
                    None => Some("it is missing"),
                    Some(entry) => (entry?.seal(&before) != seal).then_some("it was altered"),
                }
            };
            if let Some(what) = fault {
                verdict.fault = Some((expected, what));
                return Ok(verdict);
            }
            verdict.checked += 1;
            expected += 1;
            before.clone_from(&seal.hash);
            verdict.head = Some(seal);
        }
        if is_last {
            return Ok(verdict);
        }
        if verdict.checked >= MAX_VERIFIED {
            verdict.next = Some(expected);
            return Ok(verdict);
        }
    }
}
