//! Work outside of requests: after a reply, on and after a batch of messages, and in the cron.

use std::rc::Rc;

use futures_util::future::{LocalBoxFuture, join_all};
use seams::log;
use seams::queue::Delivery;

use crate::access::caller::standing;
use crate::access::idempotency;
use crate::access::reply::After;
use crate::actors::last_seen;
use crate::app::{App, Slot};
use crate::audit::archive;
use crate::audit::seal::{self, UnsealedFlag};
use crate::ecosystem::{news, stream};
use crate::events::{consumer, dead};
use crate::github::{self, WorkAhead};
use crate::metrics::{Plan, handover};
use crate::store::work::{self, Prune};
use crate::store::{Ready, minting, outbox};
use crate::{connections, contexts, delegation, discovery, keys, orchestrations, registration};

/// How long after a reply new work may begin, in ms: the platform ends all remaining work after 30 s.
const AFTER_REPLY_MS: u64 = 10_000;

/// How long a cron run begins new work of a kind, in ms, if that work is to end before the next run.
const QUICK_MS: u64 = 50_000;
/// How long a cron run begins new work that waits for other services, in ms. Such a run overlaps the next
/// ones. Each run has its own allowance of calls, so capacity grows with the work that is due.
const LONG_MS: u64 = 240_000;

/// Does the work that a reply left behind. Work that others wait for comes first.
pub async fn after_reply(app: &App, work: Vec<After>) {
    // 1. Sort the work by its kind.
    let mut events = Vec::new();
    let (mut initialize, mut revoke, mut note_seen, mut hand_over) = (false, false, false, false);
    let (mut orchestrations, mut again) = (Vec::new(), Vec::new());
    let mut principals = Vec::new();
    for after in work {
        match after {
            After::Announce(event) => events.push(event),
            After::Initialize => initialize = true,
            After::SendAgain(messages) => again.extend(messages),
            After::RevokeCredentials => revoke = true,
            After::NoteSeen => note_seen = true,
            After::HandOver => hand_over = true,
            After::Orchestrate(id) => orchestrations.push(id),
            After::LearnPrincipal { actor, token } => principals.push((actor, token)),
        }
    }
    // 2. Announce events, and send replayed messages again.
    if !events.is_empty() {
        // Each event that was written has added an audit entry, which is not sealed yet.
        UnsealedFlag::of(app).0.set(true);
        outbox::announce(app, events).await;
    }
    send_again(app, again).await;
    // 3. Continue the registration and the runs.
    if initialize {
        registration::initialize(app).await;
    }
    for id in orchestrations {
        orchestrations::run::resume(app, &id).await;
    }
    // 4. Revoke credentials that have ended.
    if revoke && let Ok(ready) = Ready::ensure(app).await {
        let until_ms = app.now_ms() + AFTER_REPLY_MS;
        connections::revocations::revoke_due(app, ready, until_ms).await;
    }
    // 5. Note who was seen, and learn principals.
    if note_seen {
        last_seen::perform(app).await;
    }
    for (actor, token) in principals {
        last_seen::learn_principal(app, &actor, &token.0).await;
    }
    // 6. Hand over the counts, and seal the new entries of the audit.
    if hand_over {
        handover::perform(app).await;
        // The handover waited; one round of sealing covers all entries since.
        if UnsealedFlag::of(app).0.take()
            && let Ok(ready) = Ready::ensure(app).await
        {
            seal::seal(app, ready).await;
        }
    }
}

/// Sends replayed messages to the queues that they came from. Logs a failure; an administrator can replay
/// those messages again.
async fn send_again(app: &App, messages: Vec<(String, String)>) {
    let (github, events): (Vec<_>, Vec<_>) =
        messages.into_iter().partition(|(queue, _)| queue == dead::GITHUB);
    for (queue, messages) in [(&app.github_events, github), (&app.context_ops, events)] {
        let Some(queue) = queue else { continue };
        let bodies: Vec<String> = messages.into_iter().map(|(_, body)| body).collect();
        if bodies.is_empty() {
            continue;
        }
        if let Err(error) = queue.send(bodies).await {
            log::warn("replay_failed", &[("error", &error)]);
        }
    }
}

/// Processes one batch of the queue that `queue` names: `…-context-ops`, `…-github-events` or `…-dlq`. Each
/// message gets its own verdict.
pub async fn consume(app: &App, queue: &str, batch: &[&dyn Delivery]) {
    if queue.ends_with("-github-events") {
        return github::consumer::consume(app, batch).await;
    }
    if !queue.ends_with("-dlq") {
        return consumer::consume(app, dead::CONTEXT_OPS, batch).await;
    }
    match Ready::ensure(app).await {
        Ok(ready) => {
            let others = github::consumer::consume_dead(app, ready, batch).await;
            consumer::consume_dead(app, ready, &others).await;
        }
        Err(_) => batch.iter().for_each(|delivery| consumer::again(app, *delivery)),
    }
}

/// Does the work that a batch of a queue left behind: jobs at GitHub, and the handover. The runtime considers
/// the batch finished only when this ends, so no part of it waits for long.
pub fn after_batch(app: Rc<App>) -> impl Future<Output = ()> + 'static {
    let turn = Plan::of(&app).take_turn(&app, app.now_ms());
    async move {
        // 1. Run the jobs that the batch has made due.
        if WorkAhead::of(&app).0.take()
            && let Ok(ready) = Ready::ensure(&app).await
        {
            github::jobs::run_due(&app, ready, github::jobs::BESIDE_A_BATCH_MS).await;
        }
        // 2. Hand over the counts, if that is due.
        if turn {
            handover::perform_if_due(&app).await;
        }
    }
}

/// Returns the handover of this isolate's counts, for events other than requests; `None` when a handover is
/// already planned, or handovers are off.
pub fn hand_over(app: Rc<App>) -> Option<impl Future<Output = ()> + 'static> {
    let turn = Plan::of(&app).take_turn(&app, app.now_ms());
    turn.then_some(async move { handover::perform(&app).await })
}

/// Runs one round of the cron: announces overdue events, reports identities that may have been minted without
/// an owner, continues the registration and unfinished orchestrations, wakes the objects that watch the
/// services, runs the crons of discovery, connections, contexts and GitHub, seals and archives the audit, and
/// deletes expired rows. The parts run in parallel. Each is bounded in time and safe to repeat, and none
/// delays another.
pub async fn scheduled(app: &App) {
    let Ok(ready) = Ready::ensure(app).await else { return };
    let now_ms = app.now_ms();
    let (quick_ms, long_ms) = (now_ms + QUICK_MS, now_ms + LONG_MS);
    let events = async {
        if let Err(error) = outbox::sweep(app, ready).await {
            log::warn("sweep_failed", &[("error", &error.to_string())]);
        }
    };
    let identities = async {
        if let Err(error) = minting::report_unfulfilled(app, ready).await {
            log::warn("mint_intents_not_read", &[("error", &error.to_string())]);
        }
    };
    let audit = async {
        seal::seal(app, ready).await;
        archive::archive(app, ready, quick_ms).await;
    };
    let parts: Vec<LocalBoxFuture<'_, ()>> = vec![
        Box::pin(events),
        Box::pin(identities),
        Box::pin(audit),
        Box::pin(work::prune(app, ready, prunes(now_ms), quick_ms)),
        Box::pin(registration::initialize(app)),
        Box::pin(news::ensure_all(app)),
        Box::pin(discovery::cron(app, ready)),
        Box::pin(orchestrations::run::resume_due(app, ready, quick_ms)),
        Box::pin(connections::cron(app, ready, long_ms)),
        Box::pin(contexts::cron(app, ready, quick_ms)),
        Box::pin(github::cron(app, ready)),
    ];
    join_all(parts).await;
}

/// The rows that nobody needs any more, kind by kind.
fn prunes(now_ms: u64) -> Vec<Prune> {
    vec![
        outbox::prune(now_ms),
        dead::prune(now_ms),
        idempotency::prune(now_ms),
        delegation::store::prune(now_ms),
        keys::store::prune(now_ms),
        handover::prune(now_ms),
        stream::prune(),
        orchestrations::store::prune(now_ms),
        standing::prune_tokens(now_ms),
        github::deliveries::prune(now_ms),
        github::jobs::prune(now_ms),
        github::install::state::prune(now_ms),
        contexts::store::lineage::prune(now_ms),
    ]
}
