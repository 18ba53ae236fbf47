//! The sweep over the lanes: takes up every delivery that was not processed in time, so that a lost message
//! loses nothing. The lanes take turns across the sweeps.

use seams::db::DbError;

use crate::app::App;
use crate::github::deliveries;
use crate::github::lane::deal_with;
use crate::store::Ready;

/// For how long a sweep takes up lanes, in ms, and how many at a time. The next sweep continues where this
/// one stopped.
const SWEEP_MS: u64 = 45_000;
const SWEEP_LANES: usize = 60;

/// Processes the lanes whose first delivery is overdue, each once and in turn; the cron's part. A sweep
/// begins after the lane where the last one stopped, so a lane that has to wait, or that has many
/// deliveries, does not keep the others from their turn.
///
/// # Errors
/// When the database does not answer; nothing is lost by that.
pub(super) async fn sweep(app: &App, ready: Ready<'_>) -> Result<(), DbError> {
    // 1. Read where the last sweep stopped.
    let until_ms = app.now_ms() + SWEEP_MS;
    let begin = deliveries::sweep_after(ready).await?;
    let mut after = begin.clone();
    let mut has_wrapped = begin.is_empty();
    // 2. Process the due lanes from there, once around or until the time is up, and note where to go on.
    loop {
        let page = deliveries::open_lanes(ready, &after, app.now_ms()).await?;
        let is_last = page.len() < deliveries::LANES_PAGE;
        for lanes in page.chunks(SWEEP_LANES) {
            if app.now_ms() >= until_ms {
                return note_sweep(ready, &begin, &after).await;
            }
            let due = lanes.iter().filter(|(_, is_due)| *is_due).map(|(lane, _)| lane.clone());
            deal_with(app, ready, due.collect(), until_ms).await;
            let Some((last, _)) = lanes.last() else { continue };
            after.clone_from(last);
            if has_wrapped && !begin.is_empty() && after >= begin {
                return note_sweep(ready, &begin, "").await;
            }
        }
        if is_last && has_wrapped {
            return note_sweep(ready, &begin, "").await;
        }
        if is_last {
            after.clear();
            has_wrapped = true;
        }
    }
}

/// Stores where the next sweep begins, if it is not where this one began.
async fn note_sweep(ready: Ready<'_>, begun: &str, after: &str) -> Result<(), DbError> {
    if begun == after {
        return Ok(());
    }
    ready.db().batch(vec![deliveries::note_sweep(after)]).await.map(|_| ())
}
