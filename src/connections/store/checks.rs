//! The SQL for checks of targets and for renewals of credentials.

use seams::db::{DbError, Statement};
use seams::log;

use super::{Link, link_columns, read_link};
use crate::store::event::Event;
use crate::store::work::{Batch, Due};
use crate::store::{Ready, outbox};

/// The connections that are due for a check.
pub const CHECKS: Due = Due {
    name: "connection_checks",
    from: "connections",
    key: "connection_id",
    owner: "owner_chitty_id",
    at: "check_due_at",
    condition: "check_due_at IS NOT NULL AND status IN ('active', 'failed')",
};

/// Takes connections that are due for a check, and postpones their next check so that no other run takes them
/// too. The pause is `interval_s` and up to a quarter more, which spreads out connections that were created
/// together. From the third failed check in a row on, the pause doubles each time, up to an hour.
///
/// # Errors
/// Storage failures.
pub async fn take_due(
    ready: Ready<'_>,
    now: &str,
    interval_s: i64,
    limit: i64,
) -> Result<Batch<Link>, DbError> {
    let take = Statement::new(format!(
        "UPDATE connections SET check_due_at = strftime('%Y-%m-%dT%H:%M:%fZ', ?1, '+' || \
         (max(CAST(?2 AS INTEGER), min(3600, \
         CAST(?2 AS INTEGER) << min(max(error_count - 2, 0), 12))) \
         + abs(random()) % (CAST(?2 AS INTEGER) / 4 + 1)) || ' seconds') \
         WHERE connection_id IN ({}) RETURNING {}",
        CHECKS.keys("?1", "?3"),
        link_columns()
    ))
    .bind(now)
    .bind(interval_s)
    .bind(limit);
    let rows = ready.db().batch(vec![take]).await?.into_iter().next().unwrap_or_default();
    let mut batch = Batch { rows: Vec::new(), taken: rows.len() };
    for row in rows {
        match read_link(row) {
            Ok(link) => batch.rows.push(link),
            // The next check of this row is postponed like that of the others.
            Err(error) => log::error("connection_unreadable", &[("error", &error.to_string())]),
        }
    }
    Ok(batch)
}

/// The result of a check.
pub struct Finding<'a> {
    /// The connection.
    pub id: &'a str,
    /// When it was checked, ISO-8601 UTC.
    pub at: &'a str,
    /// What was wrong, in words that contain nothing that the target sent.
    pub error: Option<&'a str>,
    /// How many errors in a row make it `failed`.
    pub limit: i64,
    /// The event to write if this result makes it `failed`.
    pub failed: &'a Event,
    /// The event to write if this result makes it `active` again.
    pub recovered: &'a Event,
    /// The event of a caller's request for the check, if a caller asked for it.
    pub asked: Option<&'a Event>,
    /// How long after their instant the events become overdue, in ms.
    pub overdue_ms: u64,
}

/// The statements that record the result of a check. They leave an inactive or disconnected connection as it
/// is, and a failed one stays failed if another has become active in its place.
pub fn note(finding: &Finding<'_>) -> Vec<Statement> {
    let note = Statement::new(
        "UPDATE connections SET last_health_check = ?2, last_error = ?3, \
         error_count = iif(?3 IS NULL, 0, error_count + 1), status = judged.next, \
         revision = CASE WHEN judged.next = connections.status THEN revision \
         WHEN judged.next = 'failed' THEN ?5 ELSE ?6 END \
         FROM (SELECT connection_id AS id, CASE \
         WHEN c.status = 'active' AND ?3 IS NOT NULL AND c.error_count + 1 >= ?4 THEN 'failed' \
         WHEN c.status = 'failed' AND ?3 IS NULL AND NOT EXISTS (SELECT 1 FROM connections AS twin \
         WHERE twin.status = 'active' AND twin.source_chitty_id = c.source_chitty_id \
         AND twin.target_service = c.target_service \
         AND ifnull(twin.target_endpoint, '') = ifnull(c.target_endpoint, '')) THEN 'active' \
         ELSE c.status END AS next FROM connections AS c \
         WHERE connection_id = ?1 AND c.status IN ('active', 'failed')) AS judged \
         WHERE connections.connection_id = judged.id",
    )
    .bind(finding.id)
    .bind(finding.at)
    .bind(finding.error)
    .bind(finding.limit)
    .bind(finding.failed.id.as_str())
    .bind(finding.recovered.id.as_str());
    let told = |event: &Event| {
        outbox::insert_if_changed(event, finding.overdue_ms, "connections", "connection_id")
    };
    let asked = finding.asked.map(|event| outbox::insert(event, finding.overdue_ms));
    let told = [told(finding.failed), told(finding.recovered)];
    std::iter::once(note).chain(asked).chain(told).collect()
}

/// The statements that mark a connection failed at once because its credential can no longer be renewed, if
/// the lease on that `version` of the credential is still held.
pub fn fail(
    event: &Event,
    error: &str,
    overdue_ms: u64,
    version: i64,
    leased_until: &str,
) -> Vec<Statement> {
    let fail = Statement::new(
        "UPDATE connections SET status = 'failed', last_error = ?3, \
         error_count = error_count + 1, revision = ?2 \
         WHERE connection_id = ?1 AND status = 'active' AND EXISTS (SELECT 1 \
         FROM connection_secrets AS s WHERE s.connection_id = ?1 AND s.version = ?4 \
         AND s.leased_until = ?5)",
    )
    .bind(event.entity_id.as_str())
    .bind(event.id.as_str())
    .bind(error)
    .bind(version)
    .bind(leased_until);
    let told = outbox::insert_if_changed(event, overdue_ms, "connections", "connection_id");
    vec![fail, told]
}

/// The credentials that are due for renewal before they expire. One whose renewal was tried is due again
/// after its pause. Like `expires_at`, `renew_after` is compared with an instant ahead of now: `by` of
/// [`take_ending`].
pub const RENEWALS: Due = Due {
    name: "credential_renewals",
    from: "connection_secrets AS s",
    key: "connection_id",
    owner: "(SELECT owner_chitty_id FROM connections AS c WHERE c.connection_id = s.connection_id)",
    at: "max(expires_at, renew_after)",
    condition: "expires_at IS NOT NULL",
};

/// Takes credentials that expire no later than `by`, and postpones the next attempt at each: by a minute,
/// doubled with each attempt at the same version, up to six hours, and up to a quarter more.
///
/// # Errors
/// Storage failures.
pub async fn take_ending(ready: Ready<'_>, by: &str, limit: i64) -> Result<Batch<String>, DbError> {
    let take = Statement::new(format!(
        "UPDATE connection_secrets SET renew_after = strftime('%Y-%m-%dT%H:%M:%fZ', ?1, '+' || \
         (next.pause_s + abs(random()) % (next.pause_s / 4)) || ' seconds'), \
         renew_tries = next.tries, renew_version = version FROM (SELECT connection_id AS id, tries, \
         min(21600, 60 << min(tries - 1, 12)) AS pause_s FROM (SELECT connection_id, \
         iif(renew_version = version, renew_tries, 0) + 1 AS tries FROM connection_secrets \
         WHERE connection_id IN ({}))) AS next WHERE connection_id = next.id \
         RETURNING connection_id",
        RENEWALS.keys("?1", "?2")
    ))
    .bind(by)
    .bind(limit);
    let rows = ready.db().batch(vec![take]).await?.into_iter().next().unwrap_or_default();
    let taken = rows.len();
    let rows = rows.into_iter().map(|mut row| row.text(0)).collect::<Result<_, _>>()?;
    Ok(Batch { rows, taken })
}
