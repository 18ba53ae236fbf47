//! The lease on the registration: one row for all isolates, with the holder, the end of the lease, and when
//! the next attempt may begin.

use chitty_core::Backoff;
use seams::db::{DbError, Statement};
use seams::{ids, log, time};

use crate::app::App;
use crate::registration::steps::Failure;
use crate::store::Ready;

/// How long one attempt may take before another isolate may begin its own, in ms. Longer than seven upstream
/// calls and the statements around them.
const LEASE_MS: u64 = 60_000;

/// The pauses between attempts, in ms.
const PAUSES_MS: Backoff = Backoff { first: 1_000, longest: 300_000 };

/// The right to make an attempt.
pub(super) struct Lease {
    holder: String,
    /// The number of this attempt since the last success, from 1.
    attempt: u32,
}

/// Takes the lease if it is free and the pause is over.
pub(super) async fn take(app: &App, ready: Ready<'_>) -> Result<Option<Lease>, DbError> {
    let now_ms = app.now_ms();
    let holder = ids::random_hex::<8>();
    let take = Statement::new(
        "UPDATE registration_lease SET holder = ?1, expires_at = ?2, attempts = attempts + 1 \
         WHERE id = 1 AND expires_at <= ?3 AND next_attempt_at <= ?3 RETURNING attempts",
    )
    .bind(holder.as_str())
    .bind(time::iso8601(now_ms + LEASE_MS))
    .bind(time::iso8601(now_ms));
    let rows = ready.db().batch(vec![take]).await?;
    let Some(row) = rows.into_iter().flatten().next() else { return Ok(None) };
    let attempt = u32::try_from(row.integer(0)?).unwrap_or(u32::MAX);
    Ok(Some(Lease { holder, attempt }))
}

impl Lease {
    /// Gives the lease back after a failure, with a pause before the next attempt.
    pub(super) async fn give_back(self, app: &App, ready: Ready<'_>, failure: &Failure) {
        let pause_ms = PAUSES_MS
            .pause(self.attempt, |bound| app.jitter(bound))
            .max(failure.retry_after_s.unwrap_or(0).saturating_mul(1000))
            .min(PAUSES_MS.longest);
        let next_ms = app.now_ms() + u64::from(pause_ms);
        self.write(ready, Some(next_ms), Some(&failure.name)).await;
    }

    /// Gives the lease back after all steps have succeeded.
    pub(super) async fn end(self, ready: Ready<'_>) {
        self.write(ready, None, None).await;
    }

    /// Writes the row. If that fails, the lease runs out by itself. A row that another isolate has leased
    /// since then stays unchanged.
    async fn write(self, ready: Ready<'_>, next_ms: Option<u64>, error: Option<&str>) {
        let done = i64::from(next_ms.is_none());
        let give_back = Statement::new(
            "UPDATE registration_lease SET expires_at = '', next_attempt_at = ?1, last_error = ?2, \
             attempts = CASE ?4 WHEN 1 THEN 0 ELSE attempts END WHERE id = 1 AND holder = ?3",
        )
        .bind(next_ms.map(time::iso8601).unwrap_or_default())
        .bind(error)
        .bind(self.holder)
        .bind(done);
        if let Err(error) = ready.db().batch(vec![give_back]).await {
            log::warn("registration_lease_kept", &[("error", &error.to_string())]);
        }
    }
}
