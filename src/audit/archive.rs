//! The archive of the audit: what is sealed and no longer among the newest entries, moved out of the
//! database (10 GB at most) in segments.
//!
//! A segment is a text in `CHITTYCONNECT_KV`, under a key of its own that is never written with anything
//! else, kept for good: a line that says what it is, then a line for each entry, exactly as it was
//! sealed. So the chain is compared with the text alone. It is in KV because that is bound everywhere,
//! takes values of up to 25 MiB, and shows the same value for ever under a key that never changes. What
//! there is of segments, and between which hashes, is in the table `audit_segments`.
//!
//! Nothing is lost or doubled by a crash: the text is put first and read back; then one transaction puts
//! the segment on record and removes its rows, which the database lets go only when they are on record.
//! What is in a segment depends on the rows alone, so a repeated try puts the same text under the same
//! key.

use seams::db::{DbError, Row, Statement, first_row};
use seams::kv::Kv;
use seams::{log, time};
use serde_json::json;

use super::chain::{COLUMNS, Entry, GENESIS, Seal, hash};
use crate::app::{App, Settings as _};
use crate::audit::settings::Settings;
use crate::store::Ready;

/// How many entries a segment has, unless it is full before.
pub const SEGMENT: usize = 2000;

/// At how many bytes a segment is full.
const FULL_BYTES: usize = 4 << 20;

/// How many entries one round trip reads.
const PAGE: i64 = 250;

/// How many segments one run archives: 40,000 entries, more than ten minutes of five million a day.
const MAX_SEGMENTS: usize = 20;

/// A segment as it is on record.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) before: String,
    pub(super) hash: String,
    pub(super) key: String,
}

impl Segment {
    /// What [`Segment::read`] reads.
    pub(super) const COLUMNS: &str = "first_seq, last_seq, hash_before, hash, archive_key";

    pub(super) fn read(mut row: Row) -> Result<Self, DbError> {
        Ok(Segment {
            first: row.integer(0)?,
            last: row.integer(1)?,
            before: row.text(2)?,
            hash: row.text(3)?,
            key: row.text(4)?,
        })
    }
}

/// Why nothing more was archived.
#[derive(Debug, thiserror::Error)]
enum ArchiveError {
    #[error(transparent)]
    Db(#[from] DbError),
    #[error("the archive: {0}")]
    Kv(String),
    #[error("entry {0} is not what was sealed: nothing from there on is archived")]
    Altered(i64),
}

/// Archives what is sealed and no longer among the newest entries, until that is done or the time is
/// up. What is left the next run archives.
pub async fn archive(app: &App, ready: Ready<'_>, until_ms: u64) {
    let mut result = Ok(true);
    for _ in 0..MAX_SEGMENTS {
        if !matches!(result, Ok(true)) || app.now_ms() >= until_ms {
            break;
        }
        result = archive_segment(app, ready).await;
    }
    match result {
        Ok(_) => {}
        Err(error @ ArchiveError::Altered(_)) => {
            log::error("audit_not_archived", &[("error", &error.to_string())]);
        }
        Err(error) => log::warn("audit_not_archived", &[("error", &error.to_string())]),
    }
    warn_if_large(app, ready).await;
}

/// Says so long before the database is full: at twice what is to be kept there.
async fn warn_if_large(app: &App, ready: Ready<'_>) {
    let Ok(rows) = ready.db().rows(kept()).await else { return };
    let Some(Ok(entries)) = rows.first().map(|row| row.integer(0)) else { return };
    if entries > Settings::of(app).keep_entries.saturating_mul(2) {
        log::warn("audit_large", &[("entries", &entries.to_string())]);
    }
}

/// The question how many entries are in the database, how many in the archive, and how many wait for
/// their seal.
pub fn kept() -> Statement {
    Statement::new(
        "SELECT ifnull(head, 0) - ifnull(archived, 0) AS entries, ifnull(archived, 0) AS archived, \
         max(0, ifnull(head, 0) - max(ifnull(sealed, 0), ifnull(archived, 0))) AS unsealed FROM (SELECT \
         (SELECT max(seq) FROM audit) AS head, (SELECT max(last_seq) FROM audit_segments) AS archived, \
         (SELECT max(seq) FROM audit_seals) AS sealed)",
    )
}

/// Archives the next segment, if there is a whole one; whether there may be another.
async fn archive_segment(app: &App, ready: Ready<'_>) -> Result<bool, ArchiveError> {
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
    let to = head.map_or(0, |head| head.seq) - Settings::of(app).keep_entries;
    let from = match before {
        Some(before) => Seal { seq: before.last, hash: before.hash },
        None => Seal { seq: 0, hash: GENESIS.to_owned() },
    };
    if from.seq >= to {
        return Ok(false);
    }
    let Some(lines) = read_segment(ready, &from, to).await? else { return Ok(false) };
    let Some(kv) = app.cache.as_deref() else {
        return Err(ArchiveError::Kv("CHITTYCONNECT_KV is not bound".to_owned()));
    };
    store(app, ready, kv, &from, &lines).await?;
    Ok(true)
}

/// The lines of the next segment and its last seal.
struct Lines {
    lines: Vec<String>,
    last: Seal,
}

/// Reads the entries after `from` until a segment is full, and compares each with its seal. `None` when
/// entry `to` comes before.
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

/// Puts a segment into the archive, looks whether it is there, and lets its rows go.
async fn store(
    app: &App,
    ready: Ready<'_>,
    kv: &dyn Kv,
    from: &Seal,
    segment: &Lines,
) -> Result<(), ArchiveError> {
    let (first, last) = (from.seq + 1, &segment.last);
    let head = json!({
        "format": FORMAT, "first": first, "last": last.seq, "before": from.hash, "hash": last.hash,
    });
    let text = format!("{head}\n{}\n", segment.lines.join("\n"));
    let short = last.hash.get(..16).unwrap_or_default();
    let key = format!("audit/{first:012}-{:012}-{short}", last.seq);
    kv.put(&key, &text, None).await.map_err(ArchiveError::Kv)?;
    if kv.get(&key).await.map_err(ArchiveError::Kv)?.as_deref() != Some(text.as_str()) {
        return Err(ArchiveError::Kv("what was put does not show yet".to_owned()));
    }
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
    let gone = |table: &str| {
        Statement::new(format!("DELETE FROM {table} WHERE seq BETWEEN ?1 AND ?2"))
            .bind(first)
            .bind(last.seq)
    };
    match ready.db().batch(vec![insert, gone("audit"), gone("audit_seals")]).await {
        Ok(_) => {
            log::info("audit_archived", &[("key", &key)]);
            Ok(())
        }
        // Another isolate has.
        Err(DbError::Unique(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What the first line of a segment says that it is.
const FORMAT: &str = "chittyconnect-audit-1";

/// What was found of an archived segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PartState {
    /// It is what was sealed.
    Whole,
    /// It is not: the number of the first entry of which that is certain.
    Altered(i64),
    /// It cannot be read; in words.
    Unreadable(&'static str),
}

/// Reads a segment and compares it with what is on record.
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
    // The first line is for readers; what is sealed follows it.
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
    // Which of its lines is altered nobody can say: only the last hash is on record.
    if before == segment.hash { PartState::Whole } else { PartState::Altered(segment.first) }
}
