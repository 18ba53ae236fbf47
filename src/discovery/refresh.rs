//! The refreshes: one isolate asks ChittyRegistry for its list, and stores the answer for all of them.

use chitty_core::CallContext;
use seams::db::{DbError, Statement};
use seams::{log, time};
use serde_json::{Value, json};

use crate::app::counters::Counters;
use crate::app::{App, Slot};
use crate::discovery::listed::{self, Listed};
use crate::discovery::{
    AFTER_FAILURE_MS, AFTER_MISS_MS, Directory, FRESH_MS, REFRESHES, is_moved, memory,
};
use crate::store::Ready;

/// The outcome of a refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refresh {
    /// Another isolate has asked a short while ago, so this one did not.
    NotDue,
    /// The list is stored.
    Stored,
    /// The registry did not answer with a list.
    Unread,
    /// The database did not take the list.
    Unstored,
}

impl Refresh {
    fn as_str(self) -> &'static str {
        match self {
            Refresh::NotDue => "not_due",
            Refresh::Stored => "stored",
            Refresh::Unread => "unread",
            Refresh::Unstored => "unstored",
        }
    }
}

/// Asks the registry if the last handover or the cron has marked the list as due.
pub(crate) async fn refresh_if_due(app: &App, ready: Ready<'_>) {
    if Directory::of(app).is_due.take() {
        refresh(app, ready, AFTER_FAILURE_MS, FRESH_MS).await;
    }
}

/// The same for the cron, which runs without a handover, so it marks the list as due itself.
pub(crate) async fn cron(app: &App, ready: Ready<'_>) {
    Directory::of(app).is_due.set(true);
    refresh_if_due(app, ready).await;
}

/// Asks the registry because of a name that nobody knows, unless an isolate has just asked it. Returns
/// whether there is a new list.
pub(super) async fn for_unknown_name(app: &App, ready: Ready<'_>) -> bool {
    refresh(app, ready, AFTER_MISS_MS, 0).await == Refresh::Stored
}

/// Asks the registry and stores its list, if the last request was at least `tried_ms` ago and the last answer
/// at least `refreshed_ms` ago. Logs and counts the outcome.
async fn refresh(app: &App, ready: Ready<'_>, tried_ms: u64, refreshed_ms: u64) -> Refresh {
    let outcome = match perform(app, ready, tried_ms, refreshed_ms).await {
        Ok(outcome) => outcome,
        Err(error) => {
            log::warn("registry_not_kept", &[("error", &error.to_string())]);
            Refresh::Unstored
        }
    };
    if outcome != Refresh::NotDue {
        let labels = format!("outcome=\"{}\"", outcome.as_str());
        Counters::of(app).add(REFRESHES, labels);
    }
    outcome
}

async fn perform(
    app: &App,
    ready: Ready<'_>,
    tried_ms: u64,
    refreshed_ms: u64,
) -> Result<Refresh, DbError> {
    // 1. Take the turn to ask, which notes the time for all isolates.
    let now_ms = app.now_ms();
    let ago = |ms: u64| time::iso8601(now_ms.saturating_sub(ms));
    let lease = Statement::new(
        "UPDATE registry_refresh SET tried_at = ?1 \
         WHERE one = 1 AND tried_at <= ?2 AND refreshed_at <= ?3 RETURNING one",
    )
    .bind(ago(0))
    .bind(ago(tried_ms))
    .bind(ago(refreshed_ms));
    if ready.db().rows(lease).await?.is_empty() {
        return Ok(Refresh::NotDue);
    }
    // 2. Ask the registry, and leave out the entries that do not pass the checks.
    let answer = app.core.session(CallContext::default()).registry().list_now().await;
    let accepted = match answer {
        Ok(entries) => listed::accepted(&entries),
        Err(error) => {
            log::warn("registry_unread", &[("error", &error.to_string())]);
            let note = Statement::new("UPDATE registry_refresh SET last_error = ?1 WHERE one = 1");
            ready.db().rows(note.bind(error.code())).await?;
            return Ok(Refresh::Unread);
        }
    };
    // 3. Store the list in place of the old one, and read the catalog, in one batch.
    let mut batch = store(&accepted, ago(0));
    let written = batch.len();
    batch.extend(memory::queries());
    let results = ready.db().batch(batch).await?.into_iter().skip(written);
    // 4. Use the new list in this isolate, and keep a copy of it for an outage of the database.
    let lists = memory::take(app, results)?;
    memory::keep_copy(app, &lists).await;
    Ok(Refresh::Stored)
}

/// The statements that store a list in place of the old one.
fn store(accepted: &[Listed], now: String) -> Vec<Statement> {
    let rows: Vec<Value> = accepted
        .iter()
        .map(|one| {
            let is_moved = i64::from(is_moved(&one.name, &one.host));
            let Listed { name, host, listed_name, chitty_id, status, health_path } = one;
            json!([name, host, is_moved, listed_name, chitty_id, status, health_path])
        })
        .collect();
    let rows = Value::Array(rows).to_string();
    let forget = Statement::new(
        "DELETE FROM service_addresses WHERE name NOT IN \
         (SELECT json_extract(value, '$[0]') FROM json_each(?1))",
    );
    let keep = Statement::new(
        "INSERT INTO service_addresses (name, host, is_moved, listed_name, chitty_id, status, \
         health_path) SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), \
         json_extract(value, '$[2]'), json_extract(value, '$[3]'), json_extract(value, '$[4]'), \
         json_extract(value, '$[5]'), json_extract(value, '$[6]') FROM json_each(?1) WHERE TRUE \
         ON CONFLICT (name) DO UPDATE SET host = excluded.host, is_moved = excluded.is_moved, \
         listed_name = excluded.listed_name, chitty_id = excluded.chitty_id, \
         status = excluded.status, health_path = excluded.health_path",
    );
    let note = Statement::new(
        "UPDATE registry_refresh SET refreshed_at = ?1, last_error = NULL, \
         catalog_version = catalog_version + 1 WHERE one = 1",
    );
    vec![forget.bind(rows.as_str()), keep.bind(rows), note.bind(now)]
}
