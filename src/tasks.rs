//! What is done beside requests: after a reply, and by the cron.

use std::rc::Rc;

use crate::actors::seen;
use crate::app::App;
use crate::audit::seal;
use crate::ecosystem::{stream, watch};
use crate::events::{consumer, dead, outbox};
use crate::http::idempotency;
use crate::http::reply::After;
use crate::init::{self, Ready};
use crate::metrics::handover;
use crate::platform::log;
use crate::platform::queue::Delivery;
use crate::{connections, delegation, github, keys, minting, orchestrations};

/// The work that a reply left behind. What others wait for comes first.
pub async fn after_reply(app: &App, work: Vec<After>) {
    let mut events = Vec::new();
    let (mut initialize, mut revoke, mut note_seen, mut hand_over) = (false, false, false, false);
    let (mut orchestrations, mut again) = (Vec::new(), Vec::new());
    for after in work {
        match after {
            After::Announce(event) => events.push(event),
            After::Initialize => initialize = true,
            After::SendAgain(messages) => again.extend(messages),
            After::RevokeCredentials => revoke = true,
            After::NoteSeen => note_seen = true,
            After::HandOver => hand_over = true,
            After::Orchestrate(id) => orchestrations.push(id),
        }
    }
    if !events.is_empty() {
        // Whatever is told is on record too.
        app.unsealed.set(true);
        outbox::announce(app, events).await;
    }
    send_again(app, again).await;
    if initialize {
        init::advance(app).await;
    }
    for id in orchestrations {
        orchestrations::run::resume(app, &id).await;
    }
    if revoke && let Ok(ready) = Ready::ensure(app).await {
        connections::secrets::revoke_due(app, ready).await;
    }
    if note_seen {
        seen::perform(app).await;
    }
    if hand_over {
        handover::perform(app).await;
        // Once for all that was done in the meantime.
        if app.unsealed.take()
            && let Ok(ready) = Ready::ensure(app).await
        {
            seal::seal(app, ready).await;
        }
    }
}

/// Sends replayed messages to the queues that they came from. What fails is said, and may be replayed
/// again.
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

/// Deals with one batch of a queue, by its name: `…-context-ops`, `…-github-events` or `…-dlq`. Each
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

/// What a batch of a queue has left to be done: work at GitHub, and the handover. The runtime takes the
/// batch for finished when this is, so none of it waits for long.
pub fn after_batch(app: Rc<App>) -> impl Future<Output = ()> + 'static {
    let turn = app.handover.take_turn(&app, app.now_ms());
    async move {
        if app.github_work.take()
            && let Ok(ready) = Ready::ensure(&app).await
        {
            github::jobs::run_due(&app, ready, github::jobs::BESIDE_A_BATCH_MS).await;
        }
        if turn {
            handover::perform_if_due(&app).await;
        }
    }
}

/// The handover of what this isolate has counted, for events that are no requests; nothing when one is
/// planned already.
pub fn hand_over(app: Rc<App>) -> Option<impl Future<Output = ()> + 'static> {
    let turn = app.handover.take_turn(&app, app.now_ms());
    turn.then_some(async move { handover::perform(&app).await })
}

/// The cron's round: announce overdue events, take the registration and unfinished orchestrations
/// further, wake the objects that watch the services, forget what is past its time. Each part is
/// bounded and may be repeated, and none keeps another from its turn.
pub async fn scheduled(app: &App) {
    let Ok(ready) = Ready::ensure(app).await else { return };
    if let Err(error) = outbox::sweep(app, ready).await {
        log::warn("sweep_failed", &[("error", &error.to_string())]);
    }
    if let Err(error) = minting::report_unfulfilled(app, ready).await {
        log::warn("mint_intents_not_read", &[("error", &error.to_string())]);
    }
    init::advance(app).await;
    watch::ensure_all(app).await;
    orchestrations::run::resume_due(app, ready).await;
    connections::cron(app, ready).await;
    seal::seal(app, ready).await;
    let now_ms = app.now_ms();
    let prune = vec![
        outbox::prune(now_ms),
        dead::prune(now_ms),
        idempotency::prune(now_ms),
        delegation::store::prune(now_ms),
        keys::store::prune(now_ms),
        handover::prune(now_ms),
        stream::prune(),
        orchestrations::store::prune(now_ms),
        orchestrations::store::prune_tokens(now_ms),
        github::deliveries::prune(now_ms),
        github::jobs::prune(now_ms),
        github::install::prune(now_ms),
    ];
    if let Err(error) = ready.db().batch(prune).await {
        log::warn("prune_failed", &[("error", &error.to_string())]);
    }
    // Last, because GitHub may be slow.
    github::cron(app, ready).await;
}
