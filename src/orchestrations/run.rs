//! Advances runs.

use chitty_core::{CallContext, Halt, SagaStatus, Session};
use futures_util::StreamExt;
use seams::log;

use crate::app::App;
use crate::orchestrations::flow;
use crate::orchestrations::store::{self, Orchestration, PAUSES_MS, RowJournal};
use crate::store::event::Event;
use crate::store::work::{self, Bounds};
use crate::store::{Ready, outbox};

/// Advances a leased run as far as possible. If something stops it, logs that and releases the run until a
/// pause is over. Returns the event of the run's end, if it has ended.
pub async fn advance(
    app: &App,
    ready: Ready<'_>,
    session: &Session,
    row: &mut Orchestration,
) -> Option<Event> {
    let journal = RowJournal::new(app, ready, row);
    let Some(flow) = flow(&row.saga.flow) else {
        // A newer version of the gateway has started this run.
        log::warn("orchestration_unknown_flow", &[("id", &row.saga.id)]);
        rest(app, &journal, row, 0).await;
        return None;
    };
    let result = session.advance(flow, &mut row.saga, &journal).await;
    if let Some(saved_at) = journal.saved_at() {
        row.updated_at = saved_at;
    }
    let id = row.saga.id.as_str();
    let Err(halt) = result else {
        finished(row);
        return journal.take_ended();
    };
    log::warn("orchestration_halted", &[("id", id), ("error", &halt.to_string())]);
    let asked_s = match &halt {
        Halt::Service(error) => error.retry_after_s.unwrap_or(0),
        Halt::Journal(_) => 0,
    };
    rest(app, &journal, row, asked_s).await;
    None
}

/// Releases a run until a pause is over. The pause grows with each attempt, and is at least the one that a
/// service asked for, up to the longest of [`PAUSES_MS`].
async fn rest(app: &App, journal: &RowJournal<'_>, row: &Orchestration, asked_s: u32) {
    let pause_ms = PAUSES_MS
        .pause(row.attempts, |bound| app.jitter(bound))
        .max(asked_s.saturating_mul(1000))
        .min(PAUSES_MS.longest);
    let id = row.saga.id.as_str();
    if let Err(error) = journal.rest(id, u64::from(pause_ms)).await {
        log::warn("orchestration_lease_kept", &[("id", id), ("error", &error.to_string())]);
    }
}

fn finished(row: &Orchestration) {
    let (id, status) = (row.saga.id.as_str(), row.saga.status.as_str());
    let fields = [("id", id), ("flow", row.saga.flow.as_str()), ("status", status)];
    match row.saga.status {
        SagaStatus::Failed => log::error("orchestration_needs_a_look", &fields),
        _ => log::info("orchestration_finished", &fields),
    }
    // The run may have minted an identity that nobody knows: only ChittyID can find it.
    if row.saga.steps.iter().any(|step| step.name == "mint" && step.in_doubt > 0) {
        log::error("identity_in_doubt", &[("id", id)]);
    }
}

/// Advances a run if it is due and no other process holds its lease.
pub async fn resume(app: &App, id: &str) {
    let Ok(ready) = Ready::ensure(app).await else { return };
    match store::lease(app, ready, id).await {
        Ok(Some(row)) => go_on(app, ready, row).await,
        Ok(None) => {}
        Err(error) => {
            log::error("orchestration_not_resumed", &[("id", id), ("error", &error.to_string())]);
        }
    }
}

async fn go_on(app: &App, ready: Ready<'_>, mut row: Orchestration) {
    let traceparent = row.traceparent.clone();
    let session = app.core.session(CallContext { traceparent, ..CallContext::default() });
    if let Some(ended) = advance(app, ready, &session, &mut row).await {
        outbox::announce(app, vec![ended]).await;
    }
}

/// How many runs are advanced at once. As many are leased at a time, so that no lease ends while its run
/// waits.
const AT_ONCE: usize = 2;

/// The most runs that one round of the cron advances: each makes about twenty calls.
const AT_MOST: usize = 60;

/// Advances the runs that are due, and leases none after `until_ms`; the cron runs it.
pub(crate) async fn resume_due(app: &App, ready: Ready<'_>, until_ms: u64) {
    let bounds = Bounds { batch: AT_ONCE, at_most: AT_MOST, until_ms };
    let take = async |limit| match store::take_due(app, ready, limit).await {
        Ok(batch) => Some(batch),
        Err(error) => {
            log::warn("orchestrations_not_found", &[("error", &error.to_string())]);
            None
        }
    };
    work::taken(app, bounds, take).for_each_concurrent(AT_ONCE, |row| go_on(app, ready, row)).await;
}
