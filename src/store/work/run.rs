//! Performing work that is due.

use std::cell::Cell;

use chitty_core::Backoff;
use futures_util::stream::{self, Stream, StreamExt};
use seams::db::{DbError, Row, Statement};
use seams::log;

use super::queue::{Claim, Hold, Queue, pause_ms};
use crate::app::App;
use crate::store::Ready;

/// One background activity.
pub trait Work {
    /// What is worked on: a row in this program's terms.
    type Item;

    /// Where its rows are.
    const QUEUE: &'static Queue;

    /// For how long a claim holds.
    fn hold(&self, app: &App) -> Hold;

    /// SQL for what a claim returns of a row.
    fn columns(&self) -> String;

    /// Reads a claimed row.
    ///
    /// # Errors
    /// Why it cannot be read. The row is logged and postponed: a newer version may have written it.
    fn read(&self, app: &App, row: Row) -> Result<Self::Item, String>;

    /// Does the work, and returns the statements that note its outcome: built from the claim, so that
    /// they do nothing once another worker has the row.
    fn perform(
        &self,
        app: &App,
        ready: Ready<'_>,
        claim: &Claim,
        item: Self::Item,
    ) -> impl Future<Output = Vec<Statement>>;

    /// Rows that are due at this instant (ms since the Unix epoch) are claimed: now, unless a row is to be
    /// claimed ahead of its time or only once in a run.
    fn due_ms(&self, app: &App) -> u64 {
        app.now_ms()
    }

    /// Whether to claim more: `false` once it is clear that the rest would fail as well.
    fn goes_on(&self) -> bool {
        true
    }
}

/// The pauses of a row that cannot be read, in ms.
const UNREADABLE_MS: Backoff = Backoff { first: 5_000, longest: 300_000 };

/// How far one run goes.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How many rows are claimed at once. The run performs them also after the time is up, so they are few; and
    /// a lease must outlast a whole batch.
    pub batch: usize,
    /// How many rows are worked on at once.
    pub at_once: usize,
    /// How many outcomes are noted in one transaction.
    pub noted_at_once: usize,
    /// How many rows are claimed in all; what each of them costs adds up to the platform's limit of
    /// subrequests.
    pub at_most: usize,
    /// After which instant no more are claimed, in ms since the Unix epoch.
    pub until_ms: u64,
}

/// Performs what is due, until less than a batch is due or a bound is met. A failure of the database is
/// logged and ends the run; what was claimed is due again when its lease ends. Returns how many rows were
/// claimed.
pub async fn run<W: Work>(app: &App, ready: Ready<'_>, work: &W, bounds: Bounds) -> usize {
    let total = &Cell::new(0);
    let batches = stream::unfold((bounds.at_most, false), move |(left, is_over)| async move {
        let size = bounds.batch.min(left);
        if is_over || size == 0 || app.now_ms() >= bounds.until_ms || !work.goes_on() {
            return None;
        }
        match claim(app, ready, work, size).await {
            Ok((claimed, taken)) => {
                total.set(total.get() + taken);
                Some((claimed, (left.saturating_sub(taken), taken < size)))
            }
            Err(error) => {
                warn::<W>("work_not_claimed", &error);
                None
            }
        }
    });
    match work.hold(app) {
        // A row must not wait for rows of another batch while its lease runs.
        Hold::Lease(_) => {
            let perform = |claimed| perform(app, ready, work, bounds, stream::iter(claimed));
            batches.for_each(perform).await;
        }
        Hold::Pause { .. } => {
            perform(app, ready, work, bounds, batches.flat_map(stream::iter)).await;
        }
    }
    total.get()
}

/// Performs claimed work, some at once, and notes the outcomes.
async fn perform<W: Work>(
    app: &App,
    ready: Ready<'_>,
    work: &W,
    bounds: Bounds,
    claimed: impl Stream<Item = (Claim, W::Item)>,
) {
    claimed
        .map(|(claim, item)| async move { work.perform(app, ready, &claim, item).await })
        .buffer_unordered(bounds.at_once)
        .filter(|notes| std::future::ready(!notes.is_empty()))
        .chunks(bounds.noted_at_once)
        .for_each(|notes| note::<W>(ready, notes))
        .await;
}

/// Notes some outcomes: in one transaction, and if that fails each by itself, so that one that cannot be
/// noted does not stand in the way of the others. Where noting fails the lease ends by itself.
async fn note<W: Work>(ready: Ready<'_>, notes: Vec<Vec<Statement>>) {
    if notes.len() > 1 && ready.db().batch(notes.concat()).await.is_ok() {
        return;
    }
    for statements in notes {
        if let Err(error) = ready.db().batch(statements).await {
            warn::<W>("work_not_noted", &error);
        }
    }
}

fn warn<W: Work>(event: &'static str, error: &DbError) {
    log::warn(event, &[("work", W::QUEUE.due.name), ("error", &error.to_string())]);
}

/// Claims a batch: what can be read of it, and how many rows it has in all.
async fn claim<W: Work>(
    app: &App,
    ready: Ready<'_>,
    work: &W,
    size: usize,
) -> Result<(Vec<(Claim, W::Item)>, usize), DbError> {
    let hold = work.hold(app);
    let due_ms = work.due_ms(app);
    let statement = W::QUEUE.claim(hold, due_ms, app.jitter(u32::MAX), size, &work.columns());
    let rows = ready.db().batch(vec![statement]).await?.pop().unwrap_or_default();
    let taken = rows.len();
    let (mut claimed, mut postponed) = (Vec::new(), Vec::new());
    for (claim, row) in W::QUEUE.read(rows)? {
        match work.read(app, row) {
            Ok(item) => claimed.push((claim, item)),
            Err(error) => {
                log::error("work_unreadable", &[("work", W::QUEUE.due.name), ("error", &error)]);
                if let Hold::Lease(_) = hold {
                    let pause_ms = pause_ms(app, UNREADABLE_MS, claim.attempts, None);
                    postponed.push(claim.postpone(app.now_ms() + pause_ms).statement());
                }
            }
        }
    }
    if !postponed.is_empty() {
        ready.db().batch(postponed).await?;
    }
    Ok((claimed, taken))
}
