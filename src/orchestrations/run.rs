//! Taking runs further.

use chitty_core::{Backoff, CallContext, Halt, SagaStatus, Session};

use crate::app::App;
use crate::init::Ready;
use crate::orchestrations::flow;
use crate::orchestrations::store::{self, Orchestration, RowJournal};
use crate::platform::log;

/// The pauses of a run that an outage has stopped, in ms.
const PAUSES_MS: Backoff = Backoff { first: 5_000, longest: 300_000 };

/// Takes a leased run as far as it goes. What stops it is logged; it then rests for a while.
pub async fn advance(app: &App, ready: Ready<'_>, session: &Session, row: &mut Orchestration) {
    let Some(flow) = flow(&row.saga.flow) else {
        // A newer version has started it.
        log::warn("orchestration_unknown_flow", &[("id", &row.saga.id)]);
        return;
    };
    let journal = RowJournal::new(app, ready, row);
    let result = session.advance(flow, &mut row.saga, &journal).await;
    if let Some(saved_at) = journal.saved_at() {
        row.updated_at = saved_at;
    }
    let id = row.saga.id.as_str();
    let Err(halt) = result else {
        finished(row);
        return;
    };
    log::warn("orchestration_halted", &[("id", id), ("error", &halt.to_string())]);
    let asked_s = match &halt {
        Halt::Service(error) => error.retry_after_s.unwrap_or(0),
        Halt::Journal(_) => 0,
    };
    let pause_ms = PAUSES_MS
        .pause(row.attempts, |bound| app.jitter(bound))
        .max(asked_s.saturating_mul(1000))
        .min(PAUSES_MS.longest);
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
    // An identity may have been minted that nobody knows: only the authority can find it.
    if row.saga.steps.iter().any(|step| step.name == "mint" && step.in_doubt > 0) {
        log::error("identity_in_doubt", &[("id", id)]);
    }
}

/// Takes a run further if it is due and nobody is at it.
pub async fn resume(app: &App, id: &str) {
    let Ok(ready) = Ready::ensure(app).await else { return };
    match store::lease(app, ready, id).await {
        Ok(Some(mut row)) => {
            let traceparent = row.traceparent.clone();
            let session = app.core.session(CallContext { traceparent, ..CallContext::default() });
            advance(app, ready, &session, &mut row).await;
        }
        Ok(None) => {}
        Err(error) => {
            log::error("orchestration_not_resumed", &[("id", id), ("error", &error.to_string())]);
        }
    }
}

/// Takes every run further that is due, bounded; the cron runs it.
pub(crate) async fn resume_due(app: &App, ready: Ready<'_>) {
    match store::due(app, ready).await {
        Ok(ids) => {
            for id in ids {
                resume(app, &id).await;
            }
        }
        Err(error) => log::warn("orchestrations_not_found", &[("error", &error.to_string())]),
    }
}
