//! The revocation of credentials that no connection or context uses any more, at their issuers. Each is
//! repeated until it is confirmed.

use chitty_core::Backoff;
use futures_util::StreamExt;
use seams::db::{DbError, Row, Statement};
use seams::{log, time};

use crate::app::App;
use crate::connections::LEASE_MS;
use crate::connections::intents;
use crate::store::Ready;
use crate::store::work::{self, Batch, Bounds, Due};

/// How many credentials one run of the cron revokes, and how many at once. Each takes up to eight round
/// trips.
const AT_MOST: usize = 150;
const AT_ONCE: usize = 2;

/// The pauses between two attempts to revoke a credential, in ms: up to an hour, and after a week up to a
/// day. The attempts go on until one is confirmed.
const PAUSES_MS: Backoff = Backoff { first: 60_000, longest: 3_600_000 };
const LATE_PAUSES_MS: Backoff = Backoff { first: 60_000, longest: 24 * 3_600_000 };
const LATE_MS: u64 = 7 * 24 * 3_600_000;

/// A credential that is to be revoked.
struct Revocation {
    id: String,
    connection_id: String,
    sealed: String,
    attempts: i64,
    created_at: String,
    /// The end of this run's lease on it.
    leased_until: String,
}

impl Revocation {
    fn read(mut row: Row) -> Result<Self, DbError> {
        Ok(Revocation {
            id: row.text(0)?,
            connection_id: row.text(1)?,
            sealed: row.text(2)?,
            attempts: row.integer(3)?,
            created_at: row.text(4)?,
            leased_until: row.text(5)?,
        })
    }
}

/// The credentials that are to be revoked.
pub const REVOCATIONS: Due = Due {
    name: "credential_revocations",
    from: "credential_revocations AS r",
    key: "id",
    owner: "ifnull((SELECT owner_chitty_id FROM connections AS c WHERE c.connection_id = r.connection_id), \
            (SELECT owner_chitty_id FROM contexts AS c WHERE c.chitty_id = r.connection_id))",
    at: "due_at",
    condition: "id IS NOT NULL",
};

/// Revokes the credentials that are due, until `until_ms`. Runs after the end of a connection, and in the
/// cron.
pub async fn revoke_due(app: &App, ready: Ready<'_>, until_ms: u64) {
    // Longer than the calls for one batch: up to four for each credential, and one may wait for another.
    let call_ms = app.config.connection_timeout_ms.max(app.config.upstream_timeout_ms);
    let lease_ms = LEASE_MS + 8 * u64::from(call_ms);
    let take = async |limit| match take_revocations(app, ready, lease_ms, limit).await {
        Ok(due) => Some(due),
        Err(error) => {
            log::warn("revocation_not_looked", &[("error", &error.to_string())]);
            None
        }
    };
    work::taken(app, Bounds { batch: AT_ONCE, at_most: AT_MOST, until_ms }, take)
        .for_each_concurrent(AT_ONCE, |due| revoke_one(app, ready, due))
        .await;
}

/// Takes credentials that are to be revoked, and postpones their next attempts, so that no other run tries
/// them too.
async fn take_revocations(
    app: &App,
    ready: Ready<'_>,
    lease_ms: u64,
    limit: i64,
) -> Result<Batch<Revocation>, DbError> {
    let take = Statement::new(format!(
        "UPDATE credential_revocations SET due_at = ?2, attempts = attempts + 1 WHERE id IN ({}) \
         RETURNING id, connection_id, sealed, attempts, created_at, due_at",
        REVOCATIONS.keys("?1", "?3")
    ))
    .bind(time::iso8601(app.now_ms()))
    .bind(time::iso8601(app.now_ms() + lease_ms))
    .bind(limit);
    let rows = ready.db().batch(vec![take]).await?.into_iter().next().unwrap_or_default();
    let taken = rows.len();
    Ok(Batch {
        rows: rows.into_iter().filter_map(|row| Revocation::read(row).ok()).collect(),
        taken,
    })
}

/// Revokes one credential, and records the outcome if this run still holds its lease.
async fn revoke_one(app: &App, ready: Ready<'_>, due: Revocation) {
    let Revocation { id, connection_id, sealed, attempts, created_at, leased_until } = &due;
    let done = intents::take_back(app, ready, id, connection_id, leased_until, sealed).await;
    let age_ms = app.now_ms().saturating_sub(time::parse(created_at).unwrap_or_default());
    let write = match done {
        // If another run has taken the row since, this deletes nothing, and that run deletes it.
        Ok(()) => {
            Statement::new("DELETE FROM credential_revocations WHERE id = ?1 AND due_at = ?2")
                .bind(id.as_str())
                .bind(leased_until.as_str())
        }
        Err(error) => {
            let count = attempts.to_string();
            let fields = [
                ("connection_id", connection_id.as_str()),
                ("attempts", count.as_str()),
                ("error", error.as_str()),
            ];
            match age_ms > LATE_MS {
                true => log::error("credential_still_not_revoked", &fields),
                false => log::warn("revocation_failed", &fields),
            }
            let pauses = if age_ms > LATE_MS { LATE_PAUSES_MS } else { PAUSES_MS };
            let attempt = u32::try_from(*attempts).unwrap_or(u32::MAX);
            let pause_ms = pauses.pause(attempt, |bound| app.jitter(bound));
            Statement::new(
                "UPDATE credential_revocations SET due_at = ?3, last_error = ?4 \
                 WHERE id = ?1 AND due_at = ?2",
            )
            .bind(id.as_str())
            .bind(leased_until.as_str())
            .bind(time::iso8601(app.now_ms() + u64::from(pause_ms)))
            .bind(error)
        }
    };
    if let Err(error) = ready.db().batch(vec![write]).await {
        log::warn("revocation_not_noted", &[("error", &error.to_string())]);
    }
}

/// The query for the number of credentials whose revocation was tried and is not confirmed, and for when the
/// oldest was recorded.
pub fn unconfirmed() -> Statement {
    Statement::new(
        "SELECT count(*) AS depth, min(created_at) AS oldest FROM credential_revocations \
         WHERE attempts > 0",
    )
}
