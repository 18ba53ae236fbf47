//! The handover: what an isolate has counted goes to the database, and news of the services come
//! back, in one round trip in the background.
//!
//! A batch carries the isolate's name and a number. The rows are added only if that number is not on
//! record, and the number is put on record in the same transaction: a batch whose answer was lost is
//! sent again as it was and counts once. While an isolate lives, what it has counted is handed over
//! within [`Config::handover_ms`](crate::config::Config) of the request that it counts.

use std::cell::Cell;

use seams::db::{DbError, Statement};
use seams::{log, time};
use serde_json::Value;

use crate::app::{App, Settings as _, Slot};
use crate::discovery::{self, Directory};
use crate::ecosystem::watch::{self, NewsMemory};
use crate::metrics::settings::Settings;
use crate::metrics::{Recorder, breakers};
use crate::store::Ready;
use crate::store::work::{Due, Prune};

/// How long a planned handover keeps another from being planned, in ms, should the isolate have lost
/// it: longer than the runtime lets work go on after a reply (30 s).
const LOST_MS: u64 = 40_000;

/// When this isolate hands over.
#[derive(Default)]
pub struct Plan {
    /// When a handover was planned that has not taken place.
    planned_ms: Cell<Option<u64>>,
    /// When the last one took place.
    last_ms: Cell<u64>,
}

impl Slot for Plan {
    fn new(_: &App) -> Self {
        Self::default()
    }
}

impl Plan {
    /// Whether the request that is being answered now is to hand over after its reply. True for one
    /// at a time.
    pub fn take_turn(&self, app: &App, now_ms: u64) -> bool {
        let lost = |planned: u64| now_ms.abs_diff(planned) > LOST_MS;
        if Settings::of(app).handover_ms == 0 || !self.planned_ms.get().is_none_or(lost) {
            return false;
        }
        self.planned_ms.set(Some(now_ms));
        true
    }
}

/// Hands over, once the pause since the last time is over; at once when a breaker has changed its
/// state, so that others learn of it.
pub(crate) async fn perform(app: &App) {
    let now_ms = app.now_ms();
    let since_ms = now_ms.saturating_sub(Plan::of(app).last_ms.get());
    let urgent = app.core.take_breakers_changed();
    if !urgent && since_ms < Settings::of(app).handover_ms {
        app.sleep(Settings::of(app).handover_ms - since_ms).await;
    }
    let urgent = urgent | app.core.take_breakers_changed();
    at_once(app, urgent).await;
    if let Ok(ready) = Ready::ensure(app).await {
        discovery::refresh_if_due(app, ready).await;
    }
}

/// Hands over without waiting, where the pause since the last time is over; otherwise whoever comes next
/// does. For events that end only when the work that they have left behind does: what is acknowledged in
/// one, and the batch after it, would wait for the pause.
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
    // From here on what is counted is for the next one.
    Plan::of(app).planned_ms.set(None);
    Plan::of(app).last_ms.set(app.now_ms());
    let Ok(ready) = Ready::ensure(app).await else { return };
    match now(app, ready).await {
        Ok(news) => watch::act(app, &news, urgent).await,
        Err(error) => log::warn("handover_failed", &[("error", &error.to_string())]),
    }
}

/// Hands over now. Returns the news of the services.
///
/// # Errors
/// When the database does not answer: the same batch goes again the next time.
pub(crate) async fn now(app: &App, ready: Ready<'_>) -> Result<Vec<watch::News>, DbError> {
    let batch = Recorder::of(app).batch(&app.core);
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
    let statements = vec![add, note, watch::look(), discovery::look(), discovery::age()];
    let mut results = ready.db().batch(statements).await?.into_iter().skip(2);
    Recorder::of(app).handed_over(batch);
    let mut next = || results.next().unwrap_or_default();
    let news = watch::read(next())?;
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
