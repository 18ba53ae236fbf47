//! The SQL for checks of targets and for renewals of credentials.

use chitty_core::Backoff;
use seams::db::Statement;

use crate::store::event::Event;
use crate::store::ids::ConnectionId;
use crate::store::outbox;
use crate::store::work::{Claim, Due, Hold, Queue};

/// The connections that are to be checked. The owners take turns. A claim postpones the next check.
pub const CHECKS: Queue = Queue {
    due: Due {
        name: "connection_checks",
        from: "connections",
        key: &["connection_id"],
        owner: Some("owner_chitty_id"),
        at: "check_due_at",
        condition: "check_due_at IS NOT NULL AND status IN ('active', 'failed')",
    },
    lease: "check_due_at",
    attempts: "error_count",
    set: "",
};

/// The pause before the next check: `interval_s` and up to a quarter more, which spreads out the checks of
/// connections that were made together. After three errors in a row the pause doubles with each error, up
/// to an hour.
pub fn check_pause(interval_s: u32) -> Hold {
    let pauses = Backoff { first: interval_s, longest: interval_s.max(3600) };
    Hold::Pause { attempt: "error_count - 1", pauses }
}

/// The result of a check.
pub struct Finding<'a> {
    /// The connection.
    pub id: &'a ConnectionId,
    /// When it was checked, ISO-8601 UTC.
    pub at: &'a str,
    /// What was wrong, in words that contain nothing that the target sent.
    pub error: Option<&'a str>,
    /// How many errors in a row make it `failed`.
    pub limit: i64,
    /// The event to write if this result makes it `failed`.
    pub failed_event: &'a Event,
    /// The event to write if this result makes it `active` again.
    pub recovered_event: &'a Event,
    /// The event of a caller's request for the check, if a caller asked for it.
    pub request_event: Option<&'a Event>,
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
    .bind(finding.failed_event.id.as_str())
    .bind(finding.recovered_event.id.as_str());
    let told = |event: &Event| {
        outbox::insert_if_changed(event, finding.overdue_ms, "connections", "connection_id")
    };
    let asked = finding.request_event.map(|event| outbox::insert(event, finding.overdue_ms));
    let told = [told(finding.failed_event), told(finding.recovered_event)];
    std::iter::once(note).chain(asked).chain(told).collect()
}

/// Marks a connection failed at once, because its credential is good for nothing any more, while the
/// lease on its refresh is still held.
pub fn fail(event: &Event, error: &str, overdue_ms: u64, refresh: &Claim) -> Vec<Statement> {
    let fail = Statement::new(
        "UPDATE connections SET status = 'failed', last_error = ?3, \
         error_count = error_count + 1, revision = ?2 \
         WHERE connection_id = ?1 AND status = 'active' AND EXISTS (SELECT 1 \
         FROM connection_secrets AS s WHERE s.connection_id = ?1 AND s.leased_until = ?4)",
    )
    .bind(event.entity_id.as_str())
    .bind(event.id.as_str())
    .bind(error)
    .bind(refresh.lease());
    let told = outbox::insert_if_changed(event, overdue_ms, "connections", "connection_id");
    vec![fail, told]
}

/// The credentials that are to be renewed before they end. The owners take turns. A claim postpones the
/// next attempt: `renew_after` is as far ahead of it as a renewal is of the credential's end.
pub const RENEWALS: Queue = Queue {
    due: Due {
        name: "credential_renewals",
        from: "connection_secrets AS s",
        key: &["connection_id"],
        owner: Some(
            "(SELECT owner_chitty_id FROM connections AS c WHERE c.connection_id = s.connection_id)",
        ),
        at: "max(expires_at, renew_after)",
        condition: "expires_at IS NOT NULL",
    },
    lease: "renew_after",
    attempts: "renew_tries",
    set: "renew_tries = iif(renew_version = version, renew_tries, 0) + 1, renew_version = version",
};

/// The pause before the next attempt to renew: a minute, doubling with each attempt at the same version, up
/// to six hours, and up to a quarter more.
pub const RENEWAL_PAUSE: Hold = Hold::Pause {
    attempt: "iif(renew_version = version, renew_tries, 0) + 1",
    pauses: Backoff { first: 60, longest: 21_600 },
};

/// The credentials by the lease on their refresh. A holder that died before it gave the lease back has
/// perhaps refreshed: `in_doubt` counts such attempts.
pub const REFRESHES: Queue = Queue {
    due: Due::all("connection_secrets", &["connection_id"], "leased_until"),
    lease: "leased_until",
    attempts: "in_doubt",
    set: "in_doubt = in_doubt + (leased_until <> '')",
};
