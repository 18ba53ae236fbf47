//! Which isolate registers the gateway, until when, and when the next attempt may begin: one row for all
//! isolates.

use chitty_core::Backoff;
use seams::db::DbError;
use seams::log;

use crate::app::App;
use crate::registration::steps::Failure;
use crate::store::Ready;
use crate::store::work::{self, Change, Claim, Due, Queue};

/// How long one attempt may take before another isolate may begin one, in ms. Longer than seven upstream
/// calls and the statements around them.
const LEASE_MS: u64 = 60_000;

/// The pauses between attempts, in ms.
const PAUSES_MS: Backoff = Backoff { first: 1_000, longest: 300_000 };

/// The one row: due when the pause is over.
pub(super) const QUEUE: Queue = Queue {
    due: Due::all("registration_lease", &["id"], "next_attempt_at"),
    lease: "expires_at",
    attempts: "attempts",
    set: "attempts = attempts + 1",
};

/// The lease on an attempt; its claim counts the attempts since the last success.
pub(super) struct Lease(Claim);

/// Takes the lease if it is free and the pause is over.
pub(super) async fn take(app: &App, ready: Ready<'_>) -> Result<Option<Lease>, DbError> {
    let claim = QUEUE.claim_one(1_i64, LEASE_MS, app.now_ms(), "", "");
    let rows = ready.db().batch(vec![claim]).await?.pop().unwrap_or_default();
    Ok(QUEUE.read(rows)?.pop().map(|(claim, _)| Lease(claim)))
}

impl Lease {
    /// Gives the lease back with a pause before the next attempt.
    pub(super) async fn give_back(self, app: &App, ready: Ready<'_>, failure: &Failure) {
        let pause_ms = work::pause_ms(app, PAUSES_MS, self.0.attempts, failure.retry_after_s);
        let change = self.0.postpone(app.now_ms() + pause_ms);
        write(ready, change.set("last_error", failure.name.as_str())).await;
    }

    /// Gives the lease back with everything done.
    pub(super) async fn end(self, ready: Ready<'_>) {
        let change = self.0.release().set("next_attempt_at", "").set("attempts", 0_i64);
        write(ready, change.set("last_error", None::<&str>)).await;
    }
}

/// Where this does not reach the database, the lease ends by itself.
async fn write(ready: Ready<'_>, change: Change<'_>) {
    if let Err(error) = ready.db().batch(vec![change.statement()]).await {
        log::warn("registration_lease_kept", &[("error", &error.to_string())]);
    }
}
