//! Deliveries that GitHub made but that never arrived, because of an outage or because the queue lost a
//! message. GitHub keeps a list of its deliveries. A delivery that is on this list but not on record here is
//! [`missing`], and the gateway requests it again.
//!
//! The gateway reads the list in passes, each from the newest end back to where the last pass began. A pass
//! continues from round to round, some pages in each. The missing deliveries that it finds are stored, so
//! the next pass need not read that part of the list again.

pub mod missing;

use github_client::{ErrorKind, GithubError};
use seams::db::{DbError, Statement};
use seams::{log, time};

use crate::app::{App, Settings as _};
use crate::github::client;
use crate::github::settings::Settings;
use crate::store::Ready;
use crate::store::work::{Claim, Due, Queue};

/// How far back GitHub's list is read at most, in ms: three days, as long as GitHub redelivers.
const REACH_MS: u64 = 3 * 24 * 3_600_000;

/// How many pages of 100 one round reads. A pass that is behind continues every minute, so it makes at most
/// 3600 of the 5000 calls that GitHub allows in an hour.
const MAX_PAGES: usize = 60;

/// For how long a round reads the list, and for how long it requests missing deliveries, in ms.
const PASS_MS: u64 = 45_000;
const ASK_MS: u64 = 45_000;

/// How long the lease on a round lasts, in ms. No other isolate begins a round meanwhile.
const LEASE_MS: u64 = 300_000;

/// The one row: due when the next round is.
pub const QUEUE: Queue = Queue {
    due: Due::all("github_recovery", &["id"], "next_at"),
    lease: "leased_until",
    attempts: "0",
    set: "",
};

/// The turn to make a round.
struct Turn {
    /// The claim of the row: a late holder notes nothing.
    claim: Claim,
    /// From which instant on deliveries may be unseen, in ms since the Unix epoch.
    from_ms: u64,
    /// Where on the list the pass continues; `None` for the newest end.
    cursor: Option<String>,
    /// The instant until which no delivery is unseen once the pass has ended, in ms since the Unix epoch.
    until_ms: u64,
}

/// Why a round, or a part of one, failed.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Github(#[from] GithubError),
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Makes a round, if one is due: once a minute at most, in one isolate at a time. A part that fails does not
/// keep the others from their turn.
pub async fn round(app: &App, ready: Ready<'_>) {
    if Settings::of(app).api.app.is_none() {
        return;
    }
    // 1. Take the lease on the round.
    let turn = match begin(app, ready).await {
        Ok(Some(turn)) => turn,
        Ok(None) => return,
        Err(error) => return log::warn("recovery_not_begun", &[("error", &error.to_string())]),
    };
    let failed = |error: &Trouble| log::warn("recovery_failed", &[("error", &error.to_string())]);
    // 2. Read GitHub's list some pages further, and store what is missing.
    let passed = pass(app, ready, &turn).await.inspect_err(failed);
    // 3. Give up the deliveries that GitHub no longer redelivers.
    let _ = missing::give_up_ended(app, ready).await.inspect_err(failed);
    // 4. Ask GitHub for the missing deliveries that are due.
    let _ = missing::ask(app, ready, app.now_ms() + ASK_MS).await.inspect_err(failed);
    // 5. Plan the next round. A pass that is behind continues with the cron's next run.
    let next_ms = if matches!(passed, Ok(false)) { 0 } else { Settings::of(app).recovery_ms };
    let end = turn.claim.postpone(app.now_ms() + next_ms).statement();
    if let Err(error) = ready.db().batch(vec![end]).await {
        log::warn("recovery_not_noted", &[("error", &error.to_string())]);
    }
}

/// Takes the lease on a round, unless another isolate has it or no round is due.
async fn begin(app: &App, ready: Ready<'_>) -> Result<Option<Turn>, DbError> {
    let now_ms = app.now_ms();
    let reach_ms = now_ms.saturating_sub(REACH_MS);
    let first = Statement::new(
        "INSERT INTO github_recovery (id, complete_until) VALUES (1, ?1) ON CONFLICT DO NOTHING",
    )
    .bind(time::iso8601(reach_ms));
    let columns = "complete_until, pass_cursor, pass_until";
    let take = QUEUE.claim_one(1_i64, LEASE_MS, now_ms, "", columns);
    let taken = ready.db().batch(vec![first, take]).await?.pop().unwrap_or_default();
    let Some((claim, mut row)) = QUEUE.read(taken)?.pop() else { return Ok(None) };
    // What cannot be read is looked through again.
    let from_ms = time::parse(&row.text("complete_until")?).unwrap_or_default().max(reach_ms);
    let cursor = row.optional_text("pass_cursor")?;
    let until = row.optional_text("pass_until")?;
    // A delivery that is younger when the pass begins may still be on its way.
    let settled_ms = now_ms.saturating_sub(Settings::of(app).recovery_ms);
    let (cursor, until_ms) = match until.as_deref().and_then(time::parse) {
        Some(until_ms) => (cursor, until_ms),
        None => (None, settled_ms),
    };
    Ok(Some(Turn { claim, from_ms, cursor, until_ms }))
}

/// Takes the pass some pages further. Stores the missing deliveries of each page together with the progress.
/// Returns whether the pass has ended.
async fn pass(app: &App, ready: Ready<'_>, turn: &Turn) -> Result<bool, Trouble> {
    let stop_ms = app.now_ms() + PASS_MS;
    let mut cursor = turn.cursor.clone();
    for _ in 0..MAX_PAGES {
        if app.now_ms() >= stop_ms {
            return Ok(false);
        }
        // 1. Read a page of the list.
        let page = match client(app).deliveries(cursor.as_deref()).await {
            Ok(page) => page,
            Err(error) if cursor.is_some() && is_about_the_cursor(&error) => {
                log::warn("recovery_cursor_refused", &[("error", &error.to_string())]);
                let again = vec![turn.claim.assert_held(), noted(turn.from_ms, None, None)];
                ready.db().batch(again).await?;
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        // 2. Find out whether the pass has reached its end.
        let is_old = |at: &str| time::parse(at).is_some_and(|at_ms| at_ms < turn.from_ms);
        let has_reached = page.items.last().is_none_or(|oldest| is_old(&oldest.delivered_at));
        cursor = page.next_cursor.filter(|_| !has_reached);
        let progress = match &cursor {
            Some(next) => noted(turn.from_ms, Some(next), Some(turn.until_ms)),
            None => noted(turn.until_ms.max(turn.from_ms), None, None),
        };
        // 3. Store the missing deliveries of the page and the progress in one batch.
        let mut batch = vec![turn.claim.assert_held()];
        batch.extend(missing::note(&page.items, app.now_ms(), turn.until_ms));
        batch.push(progress);
        ready.db().batch(batch).await?;
        if cursor.is_none() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether GitHub no longer knows the cursor.
fn is_about_the_cursor(error: &GithubError) -> bool {
    matches!(error.kind, ErrorKind::Invalid | ErrorKind::NotFound)
}

/// How far the passes have come.
fn noted(complete_ms: u64, cursor: Option<&str>, until_ms: Option<u64>) -> Statement {
    Statement::new(
        "UPDATE github_recovery SET complete_until = ?1, pass_cursor = ?2, pass_until = ?3 \
         WHERE id = 1",
    )
    .bind(time::iso8601(complete_ms))
    .bind(cursor)
    .bind(until_ms.map(time::iso8601))
}
