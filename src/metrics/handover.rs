//! The handover: an isolate adds its counts to the database and reads the news of the services, in one round
//! trip in the background.
//!
//! A batch carries the isolate's name and a number. The database adds its counts only if that number is not
//! on record, and records the number in the same transaction. So a batch whose answer was lost is sent again
//! unchanged and counts once. While an isolate lives, it hands over the count of a request within
//! [`Settings::handover_ms`] of that request.

use std::cell::Cell;

use seams::db::{DbError, Statement};
use seams::{log, time};
use serde_json::Value;

use crate::app::{App, Settings as _, Slot};
use crate::discovery::{self, Directory};
use crate::ecosystem::news::{self, NewsMemory};
use crate::metrics::settings::Settings;
use crate::metrics::{Recorder, breakers};
use crate::store::Ready;
use crate::store::work::{Due, Prune};

/// After how long a planned handover counts as lost, so that another may be planned, in ms: longer than the
/// runtime lets work continue after a reply (30 s).
const LOST_MS: u64 = 40_000;

/// The plan of this isolate's handovers.
#[derive(Default)]
pub struct Plan {
    /// When the handover that is still to come was planned.
    planned_ms: Cell<Option<u64>>,
    /// When the last handover took place.
    last_ms: Cell<u64>,
}

impl Slot for Plan {
    fn new(_: &App) -> Self {
        Self::default()
    }
}

impl Plan {
    /// Whether the current request should hand over after its reply, and if so plans that. True for one
    /// request at a time.
    pub fn take_turn(&self, app: &App, now_ms: u64) -> bool {
        let lost = |planned: u64| now_ms.abs_diff(planned) > LOST_MS;
        if Settings::of(app).handover_ms == 0 || !self.planned_ms.get().is_none_or(lost) {
            return false;
        }
        self.planned_ms.set(Some(now_ms));
        true
    }
}

/// Hands over when the pause since the last handover is over; at once if a breaker has changed its state, so
/// that other isolates learn of it.
pub(crate) async fn perform(app: &App) {
    // 1. Wait until the pause is over, unless a breaker has changed its state.
    let now_ms = app.now_ms();
    let since_ms = now_ms.saturating_sub(Plan::of(app).last_ms.get());
    let urgent = app.core.take_breakers_changed();
    if !urgent && since_ms < Settings::of(app).handover_ms {
        app.sleep(Settings::of(app).handover_ms - since_ms).await;
    }
    let urgent = urgent | app.core.take_breakers_changed();
    // 2. Hand over the counts, and act on the news.
    at_once(app, urgent).await;
    // 3. Ask ChittyRegistry for its list, if that is due.
    if let Ok(ready) = Ready::ensure(app).await {
        discovery::refresh_if_due(app, ready).await;
    }
}

/// Hands over at once if the pause since the last handover is over or a breaker has changed its state;
/// otherwise leaves the handover to a later event. For batches of a queue: such a batch ends only when its
/// background work ends, so its acknowledgements and the next batch would have to wait for the pause.
pub(crate) async fn perform_if_due(app: &App) {
    let since_ms = app.now_ms().saturating_sub(Plan::of(app).last_ms.get());
    let urgent = app.core.take_breakers_changed();
    if urgent || since_ms >= Settings::of(app).handover_ms {
        at_once(app, urgent).await;
    } else {
        Plan::of(app).planned_ms.set(None);
    }
}

async fn at_once(app: &App, urgent: bool) {
    // Whatever is counted from here on belongs to the next handover.
    Plan::of(app).planned_ms.set(None);
    Plan::of(app).last_ms.set(app.now_ms());
    let Ok(ready) = Ready::ensure(app).await else { return };
    match now(app, ready).await {
        Ok(news) => news::act(app, &news, urgent).await,
        Err(error) => log::warn("handover_failed", &[("error", &error.to_string())]),
    }
}

/// Hands over now. Returns the news of the services.
///
/// # Errors
/// When the database does not answer; the next handover then sends the same batch again.
pub(crate) async fn now(app: &App, ready: Ready<'_>) -> Result<Vec<news::News>, DbError> {
    // 1. Add the counts of this isolate, and read the news, in one batch.
    let batch = Recorder::of(app).batch(app);
    let add = Statement::new(
        "INSERT INTO metric_series (family, labels, counts) \
         SELECT json_extract(r.value, '$[0]'), json_extract(r.value, '$[1]'), \
         json_extract(r.value, '$[2]') FROM json_each(?3) AS r \
         WHERE NOT EXISTS (SELECT 1 FROM metric_isolates WHERE isolate = ?1 AND seq >= ?2) \
         ON CONFLICT DO UPDATE SET counts = (SELECT json_group_array(a.value + \
         json_extract(excluded.counts, '$[' || a.key || ']')) FROM json_each(counts) AS a)",
    )
    .bind(Recorder::of(app).isolate.as_str())
    .bind(batch.seq)
    .bind(Value::Array(batch.rows.clone()).to_string());
    let note = Statement::new(
        "INSERT INTO metric_isolates (isolate, seq, seen_at, breakers) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (isolate) DO UPDATE SET seq = excluded.seq, seen_at = excluded.seen_at, \
         breakers = excluded.breakers WHERE excluded.seq >= seq",
    )
    .bind(Recorder::of(app).isolate.as_str())
    .bind(batch.seq)
    .bind(time::iso8601(app.now_ms()))
    .bind(breakers(&app.core).to_string());
    let statements = vec![add, note, news::look(), discovery::look(), discovery::age()];
    let mut results = ready.db().batch(statements).await?.into_iter().skip(2);
    // 2. Forget the counts, and take over the news.
    Recorder::of(app).handed_over(batch);
    let mut next = || results.next().unwrap_or_default();
    let news = news::read(next())?;
    discovery::take(app, next())?;
    Directory::of(app).note_age(app, next())?;
    NewsMemory::of(app).note(app, &news);
    Ok(news)
}

/// The isolates that have not been seen for a day. One that is still alive is on record again with its next
/// batch.
pub(crate) fn prune(now_ms: u64) -> Prune {
    const KEEP_MS: u64 = 24 * 3_600_000;
    Due::all("metric_isolates", &["isolate"], "seen_at").prune(now_ms, KEEP_MS, 500)
}
