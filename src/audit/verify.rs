//! Verification: compares the audit with its seals, in the archive and in the database, a bounded part at a
//! time, and reports exactly which entries it compared.

use seams::db::{DbError, Statement, first_row};

use super::archive::{self, PartState, Segment};
use super::chain::{COLUMNS, Entry, GENESIS, Seal};
use crate::app::App;
use crate::store::Ready;

/// The number of entries after which one verification ends. It finishes a segment of the archive that it has
/// begun.
const MAX_VERIFIED: i64 = 10_000;

/// The most rows of the database that one round trip reads.
const PAGE: i64 = 500;

/// A segment of the archive that cannot be read.
#[derive(Debug)]
pub struct UnreadablePart {
    /// The number of its first entry.
    pub from: i64,
    /// The number of its last entry.
    pub to: i64,
    /// The reason, in words.
    pub what: &'static str,
}

/// The result of a verification.
#[derive(Debug, Default)]
pub struct Verdict {
    /// The number of the first entry that was compared. All entries from it to `head` match their seals.
    pub from: Option<i64>,
    /// The last seal that was compared and matches.
    pub head: Option<Seal>,
    /// How many of the compared entries are in the archive.
    pub archived: i64,
    /// The number of the first entry where something is wrong, and what is wrong, in words.
    pub fault: Option<(i64, &'static str)>,
    /// The segment that could not be compared.
    pub unreadable: Option<UnreadablePart>,
    /// The number of the entry where the next call continues, if this one ended before the last seal.
    pub next: Option<i64>,
    /// How many entries wait for their seal.
    pub unsealed: i64,
    /// The number of the newest seal in the database; 0 when there is none.
    newest: i64,
}

impl Verdict {
    /// How many entries were compared and match their seals.
    pub fn checked_count(&self) -> i64 {
        match (self.from, &self.head) {
            (Some(from), Some(head)) => head.seq - from + 1,
            _ => 0,
        }
    }
}

/// The rows that one step reads to compare the entries from a given one on.
struct Step {
    /// The first two segments that end with the entry before the given one or later.
    segments: Vec<Segment>,
    /// The seals from that of the entry before the given one on.
    seals: Vec<Seal>,
    entries: Vec<Entry>,
}

/// Reads the rows of the step that begins with the entry `expected`.
async fn read(ready: Ready<'_>, expected: i64, verdict: &mut Verdict) -> Result<Step, DbError> {
    let columns = Segment::COLUMNS;
    let segments = format!(
        "SELECT {columns} FROM audit_segments WHERE last_seq >= ?1 ORDER BY last_seq LIMIT 2"
    );
    let seals = "SELECT seq, hash FROM audit_seals WHERE seq >= ?1 AND seq < ?1 + ?2 ORDER BY seq";
    let entries =
        format!("SELECT {COLUMNS} FROM audit WHERE seq >= ?1 AND seq < ?1 + ?2 ORDER BY seq");
    let queries = vec![
        Statement::new(segments).bind(expected - 1),
        Statement::new(seals).bind(expected - 1).bind(PAGE + 1),
        Statement::new(entries).bind(expected).bind(PAGE),
        Statement::new("SELECT seq, hash FROM audit_seals ORDER BY seq DESC LIMIT 1"),
        archive::counts(),
    ];
    let mut results = ready.db().batch(queries).await?.into_iter();
    let mut next = || results.next().unwrap_or_default();
    let segments = next().into_iter().map(Segment::read).collect::<Result<_, _>>()?;
    let mut seals = next().into_iter().map(Seal::read).collect::<Result<Vec<_>, _>>()?;
    let entries = next().into_iter().map(Entry::read).collect::<Result<_, _>>()?;
    // Without the newest seal, entries that are missing at the end of this page would go unnoticed.
    let newest = first_row(Some(next())).map(Seal::read).transpose()?;
    verdict.newest = newest.as_ref().map_or(0, |seal| seal.seq);
    if let Some(newest) = newest
        && seals.last().is_none_or(|last| last.seq < newest.seq)
        && newest.seq >= expected
    {
        seals.push(newest);
    }
    if let Some(row) = first_row(Some(next())) {
        verdict.unsealed = row.integer("unsealed")?;
    }
    Ok(Step { segments, seals, entries })
}

/// Compares the audit with its seals, from the entry `from` on. If that entry is in the archive, this begins
/// with the first entry of its segment.
///
/// # Errors
/// Storage failures.
pub async fn verify(app: &App, ready: Ready<'_>, from: i64) -> Result<Verdict, DbError> {
    let mut verdict = Verdict::default();
    let mut expected = from;
    let last = from.saturating_add(MAX_VERIFIED);
    while expected < last {
        let step = read(ready, expected, &mut verdict).await?;
        let holding = |segment: &&Segment| (segment.first..=segment.last).contains(&expected);
        let goes_on = match step.segments.iter().find(holding) {
            Some(segment) => compare_segment(app, segment, &mut verdict).await,
            None => compare_rows(step, expected, &mut verdict),
        };
        if !goes_on {
            return Ok(verdict);
        }
        expected = verdict.head.as_ref().map_or(expected, |head| head.seq) + 1;
    }
    verdict.next = (expected <= verdict.newest).then_some(expected);
    Ok(verdict)
}

/// Compares a segment of the archive with its seals. Returns whether to continue after it.
async fn compare_segment(app: &App, segment: &Segment, verdict: &mut Verdict) -> bool {
    let before = match &verdict.head {
        Some(head) => Some(head.hash.as_str()),
        None if segment.first == 1 => Some(GENESIS),
        None => None,
    };
    if before.is_some_and(|before| before != segment.before) {
        verdict.fault =
            Some((segment.first, "the segment of the entry does not continue the chain before it"));
        return false;
    }
    match archive::compare(app, segment).await {
        PartState::Whole => {
            verdict.from.get_or_insert(segment.first);
            verdict.archived += segment.last - segment.first + 1;
            verdict.head = Some(Seal { seq: segment.last, hash: segment.hash.clone() });
            true
        }
        PartState::Altered(seq) => {
            verdict.fault = Some((seq, "the segment of the entry was altered in the archive"));
            false
        }
        PartState::Unreadable(what) => {
            let (from, to) = (segment.first, segment.last);
            verdict.unreadable = Some(UnreadablePart { from, to, what });
            verdict.next = Some(to + 1);
            false
        }
    }
}

/// Compares rows of the database with their seals. Returns whether to continue after them.
fn compare_rows(step: Step, expected: i64, verdict: &mut Verdict) -> bool {
    let Step { segments, seals, entries } = step;
    let mut seals = seals.into_iter().peekable();
    let before = seals.next_if(|seal| seal.seq == expected - 1).map(|seal| seal.hash);
    let before = match (before, segments.first()) {
        _ if expected == 1 => Some(GENESIS.to_owned()),
        (Some(before), _) => Some(before),
        (None, Some(segment)) if segment.last == expected - 1 => Some(segment.hash.clone()),
        _ => None,
    };
    let Some(mut before) = before else {
        // Either nothing up to here was ever sealed, or the seal is gone.
        if seals.peek().is_some() {
            verdict.fault = Some((expected - 1, "the seal of the entry is missing"));
        }
        return false;
    };
    if verdict.head.as_ref().is_some_and(|head| head.hash != before) {
        verdict.fault = Some((expected - 1, "the seal of the entry was altered"));
        return false;
    }
    // The rows end where the next segment begins.
    let later =
        segments.iter().map(|segment| segment.first).filter(|first| *first > expected).min();
    let end = later.unwrap_or(i64::MAX).min(expected + PAGE);
    let mut entries = entries.into_iter().peekable();
    let mut expected = expected;
    while expected < end {
        let Some(seal) = seals.next() else { return later == Some(expected) };
        let fault = if seal.seq != expected {
            Some("the seal of the entry is missing")
        } else {
            match entries.next_if(|entry| entry.seq <= expected) {
                None => Some("the entry is missing"),
                Some(entry) => (entry.seal(&before) != seal).then_some("the entry was altered"),
            }
        };
        if let Some(what) = fault {
            verdict.fault = Some((expected, what));
            return false;
        }
        verdict.from.get_or_insert(expected);
        before.clone_from(&seal.hash);
        verdict.head = Some(seal);
        expected += 1;
    }
    true
}
