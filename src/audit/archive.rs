//! The archive of the audit: sealed entries that are no longer among the newest, moved out of the database
//! (10 GB at most) in segments.
//!
//! A segment is a text in `CHITTYCONNECT_KV`, kept for good under a key that never gets another value. It
//! has a header line, then one line for each entry, exactly as it was sealed. So the text alone suffices to
//! compute the chain. Segments are in KV because KV is bound everywhere, takes values of up to 25 MiB, and
//! always returns the same value for a key whose value never changes. The table `audit_segments` lists the
//! segments and the hashes between which each lies.
//!
//! A crash neither loses nor doubles an entry: the gateway puts the text first and reads it back; then one
//! transaction records the segment and deletes its rows. The database refuses to delete rows that are in no
//! recorded segment. The text of a segment depends on the rows alone, so another attempt puts the same text
//! under the same key.

use seams::db::{DbError, Row, Statement, first_row};
use seams::kv::Kv;
use seams::{log, time};
use serde_json::json;

use super::chain::{COLUMNS, Entry, GENESIS, Seal, hash};
use crate::app::{App, Settings as _};
use crate::audit::settings::Settings;
use crate::store::Ready;

/// How many entries a segment has, unless it reaches its size in bytes first.
pub const SEGMENT: usize = 2000;

/// The size at which a segment ends, in bytes.
const FULL_BYTES: usize = 4 << 20;

/// The most entries that one round trip reads.
const PAGE: i64 = 250;

/// The most segments that one run archives: 40,000 entries, more than ten minutes bring at five million
/// entries a day.
const MAX_SEGMENTS: usize = 20;

/// A row of `audit_segments`.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) before: String,
    pub(super) hash: String,
    pub(super) key: String,
}

impl Segment {
    /// The columns that [`Segment::read`] reads.
    pub(super) const COLUMNS: &str = "first_seq, last_seq, hash_before, hash, archive_key";

    pub(super) fn read(mut row: Row) -> Result<Self, DbError> {
        Ok(Segment {
            first: row.integer("first_seq")?,
            last: row.integer("last_seq")?,
            before: row.text("hash_before")?,
            hash: row.text("hash")?,
            key: row.text("archive_key")?,
        })
    }
}

/// The reason why a run archived nothing more.
#[derive(Debug, thiserror::Error)]
enum ArchiveError {
    #[error(transparent)]
    Db(#[from] DbError),
    #[error("the archive: {0}")]
    Kv(String),
    #[error("entry {0} does not match its seal: nothing from there on is archived")]
    Altered(i64),
}

/// Archives the sealed entries that are no longer among the newest, until none is left or the time is up.
/// Bounded; the next run archives the rest.
pub async fn archive(app: &App, ready: Ready<'_>, until_ms: u64) {
    // 1. Archive segments, one after the other.
    let mut result = Ok(true);
    for _ in 0..MAX_SEGMENTS {
        if !matches!(result, Ok(true)) || app.now_ms() >= until_ms {
            break;
        }
        result = archive_segment(app, ready).await;
    }
    // 2. Log why it ended early.
    match result {
        Ok(_) => {}
        Err(error @ ArchiveError::Altered(_)) => {
            log::error("audit_not_archived", &[("error", &error.to_string())]);
        }
        Err(error) => log::warn("audit_not_archived", &[("error", &error.to_string())]),
    }
    // 3. Warn if the database holds too many entries.
    warn_if_large(app, ready).await;
}

/// Logs a warning long before the database is full: when it holds more than twice the entries that it
/// should keep.
async fn warn_if_large(app: &App, ready: Ready<'_>) {
    let Ok(rows) = ready.db().rows(counts()).await else { return };
    let Some(Ok(entries)) = rows.first().map(|row| row.integer("entries")) else { return };
    if entries > Settings::of(app).keep_entries.saturating_mul(2) {
        log::warn("audit_large", &[("entries", &entries.to_string())]);
    }
}

/// The query for how many entries are in the database, how many in the archive, and how many wait for
/// their seal.
pub fn counts() -> Statement {
    Statement::new(
        "SELECT ifnull(head, 0) - ifnull(archived, 0) AS entries, ifnull(archived, 0) AS archived, \
         max(0, ifnull(head, 0) - max(ifnull(sealed, 0), ifnull(archived, 0))) AS unsealed FROM (SELECT \
         (SELECT max(seq) FROM audit) AS head, (SELECT max(last_seq) FROM audit_segments) AS archived, \
         (SELECT max(seq) FROM audit_seals) AS sealed)",
    )
}

/// Archives the next segment, if there are entries enough for it. Returns whether there may be another.
async fn archive_segment(app: &App, ready: Ready<'_>) -> Result<bool, ArchiveError> {
    // 1. Read the last segment and the newest seal.
    let columns = Segment::COLUMNS;
    let last = format!(
        "SELECT {columns} FROM audit_segments \
         WHERE last_seq = (SELECT max(last_seq) FROM audit_segments)"
    );
    let head = "SELECT seq, hash FROM audit_seals ORDER BY seq DESC LIMIT 1";
    let queries = vec![Statement::new(last), Statement::new(head)];
    let mut results = ready.db().batch(queries).await?.into_iter();
    let before = first_row(results.next()).map(Segment::read).transpose()?;
    let head = first_row(results.next()).map(Seal::read).transpose()?;
    // 2. Settle between which entries the next segment lies.
    let to = head.map_or(0, |head| head.seq) - Settings::of(app).keep_entries;
    let from = match before {
        Some(before) => Seal { seq: before.last, hash: before.hash },
        None => Seal { seq: 0, hash: GENESIS.to_owned() },
    };
    if from.seq >= to {
        return Ok(false);
    }
    // 3. Read its entries, and compare each with its seal.
    let Some(lines) = read_segment(ready, &from, to).await? else { return Ok(false) };
    let Some(kv) = app.cache.as_deref() else {
        return Err(ArchiveError::Kv("CHITTYCONNECT_KV is not bound".to_owned()));
    };
    // Steps 4 and 5 are in `store`.
    store(app, ready, kv, &from, &lines).await?;
    Ok(true)
}

/// The lines of the next segment, and its last seal.
struct Lines {
    lines: Vec<String>,
    last: Seal,
}

/// Reads the entries after `from` until a segment is full, and compares each with its seal. Returns `None`
/// if it reaches entry `to` first.
async fn read_segment(
    ready: Ready<'_>,
    from: &Seal,
    to: i64,
) -> Result<Option<Lines>, ArchiveError> {
    let mut segment = Lines { lines: Vec::new(), last: from.clone() };
    let mut bytes = 0;
    loop {
        let after = segment.last.seq;
        let entries = format!(
            "SELECT {COLUMNS} FROM audit WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3"
        );
        let seals =
            "SELECT seq, hash FROM audit_seals WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3";
        let page = |sql: String| Statement::new(sql).bind(after).bind(to).bind(PAGE);
        let queries = vec![page(entries), page(seals.to_owned())];
        let mut results = ready.db().batch(queries).await?.into_iter();
        let entries = results.next().unwrap_or_default();
        let mut seals = results.next().unwrap_or_default().into_iter();
        if entries.is_empty() {
            return if after == to { Ok(None) } else { Err(ArchiveError::Altered(after + 1)) };
        }
        for row in entries {
            let entry = Entry::read(row)?;
            let expected = segment.last.seq + 1;
            let seal = seals.next().map(Seal::read).transpose()?;
            let computed = entry.seal(&segment.last.hash);
            if entry.seq != expected || seal.as_ref() != Some(&computed) {
                return Err(ArchiveError::Altered(expected));
            }
            bytes += entry.line.len() + 1;
            segment.lines.push(entry.line);
            segment.last = computed;
            if segment.lines.len() == SEGMENT || bytes >= FULL_BYTES {
                return Ok(Some(segment));
            }
        }
    }
}

/// Puts a segment into the archive, reads it back, and deletes its rows from the database.
async fn store(
    app: &App,
    ready: Ready<'_>,
    kv: &dyn Kv,
    from: &Seal,
    segment: &Lines,
) -> Result<(), ArchiveError> {
    // 4. Put the text into the archive, and read it back.
    let (first, last) = (from.seq + 1, &segment.last);
    let head = json!({
        "format": FORMAT, "first": first, "last": last.seq, "before": from.hash, "hash": last.hash,
    });
    let text = format!("{head}\n{}\n", segment.lines.join("\n"));
    let short = last.hash.get(..16).unwrap_or_default();
    let key = format!("audit/{first:012}-{:012}-{short}", last.seq);
    kv.put(&key, &text, None).await.map_err(ArchiveError::Kv)?;
    if kv.get(&key).await.map_err(ArchiveError::Kv)?.as_deref() != Some(text.as_str()) {
        return Err(ArchiveError::Kv("it does not return yet what was put".to_owned()));
    }
    // 5. Record the segment and delete its rows in one transaction.
    let insert = Statement::new(
        "INSERT INTO audit_segments (last_seq, first_seq, hash_before, hash, archive_key, bytes, \
         archived_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )
    .bind(last.seq)
    .bind(first)
    .bind(from.hash.as_str())
    .bind(last.hash.as_str())
    .bind(key.as_str())
    .bind(i64::try_from(text.len()).unwrap_or(i64::MAX))
    .bind(time::iso8601(app.now_ms()));
    let delete = |table: &str| {
        Statement::new(format!("DELETE FROM {table} WHERE seq BETWEEN ?1 AND ?2"))
            .bind(first)
            .bind(last.seq)
    };
    match ready.db().batch(vec![insert, delete("audit"), delete("audit_seals")]).await {
        Ok(_) => {
            log::info("audit_archived", &[("key", &key)]);
            Ok(())
        }
        // Another isolate has archived this segment.
        Err(DbError::Unique(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The member `format` in the header line of a segment.
const FORMAT: &str = "chittyconnect-audit-1";

/// The state of an archived segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PartState {
    /// All its entries match the seals.
    Whole,
    /// Its text was altered; with the number of the entry from which on, as far as that can be told.
    Altered(i64),
    /// The archive did not return it; with the reason in words.
    Unreadable(&'static str),
}

/// Reads a segment and compares it with its row.
pub(super) async fn compare(app: &App, segment: &Segment) -> PartState {
    let Some(kv) = app.cache.as_deref() else {
        return PartState::Unreadable("CHITTYCONNECT_KV is not bound");
    };
    let text = match kv.get(&segment.key).await {
        Ok(Some(text)) => text,
        Ok(None) => return PartState::Unreadable("the archive has nothing under its key"),
        Err(error) => {
            log::warn("audit_archive_unread", &[("key", &segment.key), ("error", &error)]);
            return PartState::Unreadable("the archive does not answer");
        }
    };
    // The header line is not sealed; the entries follow it.
    let mut before = segment.before.clone();
    let mut seq = segment.first;
    for line in text.lines().skip(1) {
        let number = line.strip_prefix('[').and_then(|rest| rest.split(',').next());
        if number.and_then(|number| number.parse().ok()) != Some(seq) || seq > segment.last {
            return PartState::Altered(seq);
        }
        before = hash(&before, line);
        seq += 1;
    }
    if seq != segment.last + 1 {
        return PartState::Altered(seq);
    }
    // Only the last hash of a segment is recorded, so nobody can tell which of its lines was altered.
    if before == segment.hash { PartState::Whole } else { PartState::Altered(segment.first) }
}
