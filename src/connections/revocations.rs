//! Credentials of connections that have ended are revoked at their targets, until that is confirmed.

use chitty_core::Backoff;
use seams::db::{DbError, Row, Statement};
use seams::{log, time};

use crate::app::App;
use crate::connections::LEASE_MS;
use crate::connections::intents;
use crate::store::Ready;
use crate::store::work::{self, Bounds, Claim, Due, Hold, Queue, Work};

/// How many credentials one run of the cron revokes, and how many at once. Each takes up to eight round
/// trips.
const AT_MOST: usize = 150;
const AT_ONCE: usize = 2;

/// The pauses between two attempts to revoke, in ms: up to an hour, and after a week up to a day. The
/// gateway tries until the revocation is confirmed.
const PAUSES_MS: Backoff = Backoff { first: 60_000, longest: 3_600_000 };
const LATE_PAUSES_MS: Backoff = Backoff { first: 60_000, longest: 24 * 3_600_000 };
const LATE_MS: u64 = 7 * 24 * 3_600_000;

/// The credentials that are to be revoked.
pub const QUEUE: Queue = Queue {
    due: Due {
        name: "credential_revocations",
        from: "credential_revocations AS r",
        key: &["id"],
        owner: Some(
            "ifnull((SELECT owner_chitty_id FROM connections AS c WHERE c.connection_id = r.connection_id), \
             (SELECT owner_chitty_id FROM contexts AS c WHERE c.chitty_id = r.connection_id))",
        ),
        at: "due_at",
        condition: "id IS NOT NULL",
    },
    lease: "due_at",
    attempts: "attempts",
    set: "attempts = attempts + 1",
};

/// Revokes the credentials that are due, until the time is up. Called after the end of a connection, and
/// by the cron.
pub async fn revoke_due(app: &App, ready: Ready<'_>, until_ms: u64) {
    let bounds =
        Bounds { batch: AT_ONCE, at_once: AT_ONCE, noted_at_once: 1, at_most: AT_MOST, until_ms };
    work::run(app, ready, &Revocations, bounds).await;
}

struct Revocations;

/// A credential that is to be revoked.
struct Revocation {
    id: String,
    /// The id of its connection or context.
    entity_id: String,
    sealed: String,
    created_at: String,
}

impl Work for Revocations {
    type Item = Revocation;

    const QUEUE: &'static Queue = &QUEUE;

    fn hold(&self, app: &App) -> Hold {
        // Longer than the calls for one batch take: up to four each, and one may wait for another.
        let call_ms = app.config.connection_timeout_ms.max(app.config.upstream_timeout_ms);
        Hold::Lease(LEASE_MS + 8 * u64::from(call_ms))
    }

    fn columns(&self) -> String {
        "id, connection_id, sealed, created_at".to_owned()
    }

    fn read(&self, _: &App, mut row: Row) -> Result<Revocation, String> {
        let mut read = || -> Result<Revocation, DbError> {
            Ok(Revocation {
                id: row.text("id")?,
                entity_id: row.text("connection_id")?,
                sealed: row.text("sealed")?,
                created_at: row.text("created_at")?,
            })
        };
        read().map_err(|error| error.to_string())
    }

    async fn perform(
        &self,
        app: &App,
        ready: Ready<'_>,
        claim: &Claim,
        due: Revocation,
    ) -> Vec<Statement> {
        // 1. Revoke the credential; once that is confirmed, delete the row.
        let Revocation { id, entity_id, sealed, created_at } = &due;
        let revoked = intents::take_back(app, ready, id, entity_id, claim.lease(), sealed).await;
        // A later holder finds out itself that the credential is revoked.
        let Err(error) = revoked else { return vec![claim.delete()] };
        // 2. Otherwise log the failure, and postpone the row by a pause that grows.
        let age_ms = app.now_ms().saturating_sub(time::parse(created_at).unwrap_or_default());
        let attempts = claim.attempts.to_string();
        let fields = [
            ("connection_id", entity_id.as_str()),
            ("attempts", &attempts),
            ("error", error.as_str()),
        ];
        let pauses = if age_ms > LATE_MS {
            log::error("credential_still_not_revoked", &fields);
            LATE_PAUSES_MS
        } else {
            log::warn("revocation_failed", &fields);
            PAUSES_MS
        };
        let pause_ms = work::pause_ms(app, pauses, claim.attempts, None);
        vec![claim.postpone(app.now_ms() + pause_ms).set("last_error", error).statement()]
    }
}

/// The query for the number of credentials whose revocation was tried and is not confirmed, and for when the
/// oldest was recorded.
pub fn count_unconfirmed() -> Statement {
    Statement::new(
        "SELECT count(*) AS depth, min(created_at) AS oldest FROM credential_revocations \
         WHERE attempts > 0",
    )
}
