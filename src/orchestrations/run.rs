//! Advances runs.

use chitty_core::{CallContext, Halt, SagaStatus, Session};
use seams::db::{Row, Statement};
use seams::log;

use crate::app::App;
use crate::orchestrations::flow;
use crate::orchestrations::store::{self, LEASE_MS, Orchestration, PAUSES_MS, QUEUE, RowJournal};
use crate::store::event::Event;
use crate::store::work::{self, Bounds, Claim, Hold, Queue, Work};
use crate::store::{Ready, outbox};

/// Advances a leased run as far as possible. If something stops it, logs that and releases the run until a
/// pause is over. Returns the event of the run's end, if it has ended.
pub async fn advance(
    app: &App,
    ready: Ready<'_>,
    session: &Session,
    row: &mut Orchestration,
) -> Option<Event> {
    // 1. Find the flow of the run.
    let journal = RowJournal::new(app, ready, row);
    let Some(flow) = flow(&row.saga.flow) else {
        // A newer version of the gateway has started this run.
        log::warn("orchestration_unknown_flow", &[("id", &row.saga.id)]);
        rest(app, &journal, row, 0).await;
        return None;
    };
    // 2. Advance the run until it ends or something stops it; the journal saves each step.
    let result = session.advance(flow, &mut row.saga, &journal).await;
    if let Some(saved_at) = journal.saved_at() {
        row.updated_at = saved_at;
    }
    let id = row.saga.id.as_str();
    // 3. Return the event of an ended run, or release the run until a pause is over.
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
    let pause_ms = work::pause_ms(app, PAUSES_MS, row.attempts, Some(asked_s));
    let id = row.saga.id.as_str();
    if let Err(error) = journal.rest(id, pause_ms).await {
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
    let bounds =
        Bounds { batch: AT_ONCE, at_once: AT_ONCE, noted_at_once: 1, at_most: AT_MOST, until_ms };
    work::run(app, ready, &Runs, bounds).await;
}

struct Runs;

impl Work for Runs {
    type Item = Orchestration;

    const QUEUE: &'static Queue = &QUEUE;

    fn hold(&self, _: &App) -> Hold {
        Hold::Lease(LEASE_MS)
    }

    fn columns(&self) -> String {
        store::COLUMNS.to_owned()
    }

    fn read(&self, app: &App, row: Row) -> Result<Orchestration, String> {
        store::read(app, row).map_err(|error| error.to_string())
    }

    /// The journal notes each step of a run, and the pause after it.
    async fn perform(
        &self,
        app: &App,
        ready: Ready<'_>,
        _: &Claim,
        row: Orchestration,
    ) -> Vec<Statement> {
        go_on(app, ready, row).await;
        Vec::new()
    }
}
