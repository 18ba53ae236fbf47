//! The lanes: processes the recorded deliveries of a lane, which is one repository, or one installation for
//! deliveries about it.
//!
//! The worker that has the lease on a lane processes its deliveries one after the other, in the order in
//! which the gateway received them. One batch commits the changes of a delivery, its event and the mark that
//! it is done, so each delivery takes effect once, even if a worker crashes. A delivery that has to wait
//! keeps those after it waiting; one that cannot be processed becomes a dead letter.

use std::collections::BTreeMap;

use chitty_core::{CallContext, ChittyId, EntityLabel, ServiceError};
use futures_util::StreamExt;
use seams::db::{DbError, Statement};
use seams::log;
use serde_json::json;

use crate::app::{App, Slot};
use crate::audit::seal::UnsealedFlag;
use crate::events::dead;
use crate::github::deliveries::{self, DeliveryClaim, InstallationRecord};
use crate::github::encoding::Encoding;
use crate::github::message::{self, MessageKind, PayloadPlace, WebhookDelivery};
use crate::github::{WorkAhead, apply, installations, tokens};
use crate::store::event::Event;
use crate::store::minting::MintIntent;
use crate::store::{Ready, outbox};

/// How many lanes are processed at once.
const AT_ONCE: usize = 6;

/// How often [`process_lane`] claims deliveries at most.
const MAX_CLAIMS: usize = 50;

/// How long a lease lasts, in ms: one deadline of a call in which work may still be begun ([`is_late`]), the
/// longest mint, and two deadlines to store the minted id.
fn lease_ms(app: &App) -> u64 {
    let turn_ms = u64::from(app.config.upstream_timeout_ms);
    3 * turn_ms + u64::from(MintIntent::longest_attempt_ms(app))
}

/// Whether too much of a lease has passed to begin further work under it.
fn is_late(app: &App, leased_ms: u64) -> bool {
    app.now_ms().saturating_sub(leased_ms) > u64::from(app.config.upstream_timeout_ms)
}

/// Processes the open deliveries of these lanes, and announces their events. Claims nothing more after
/// `until_ms`.
pub(super) async fn deal_with(app: &App, ready: Ready<'_>, lanes: Vec<String>, until_ms: u64) {
    // 1. Process the lanes, some at a time.
    let events = futures_util::stream::iter(lanes)
        .map(|lane| async move { process_lane(app, ready, &lane, until_ms).await })
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    let events: Vec<Event> = events.into_iter().flatten().collect();
    // 2. Announce the events of their deliveries.
    if !events.is_empty() {
        UnsealedFlag::of(app).0.set(true);
        outbox::announce(app, events).await;
    }
}

/// Processes the open deliveries of a lane, one after the other, until one has to wait. Returns their
/// events.
async fn process_lane(app: &App, ready: Ready<'_>, lane: &str, until_ms: u64) -> Vec<Event> {
    let mut events = Vec::new();
    for _ in 0..MAX_CLAIMS {
        let began_ms = app.now_ms();
        if began_ms >= until_ms {
            return events;
        }
        // 1. Claim the next open deliveries of the lane.
        let claimed = deliveries::claim(ready, lane, began_ms, lease_ms(app)).await;
        let mut claim = match claimed {
            Ok(claim) if claim.rows.is_empty() && claim.unreadable.is_empty() => return events,
            Ok(claim) => claim,
            Err(error) => {
                log::warn("lane_not_claimed", &[("error", &error.to_string())]);
                return events;
            }
        };
        // 2. Give up those whose facts cannot be read.
        give_up_unreadable(app, ready, lane, &claim.unreadable).await;
        // 3. Process the others in order; give back the first that has to wait, and all after it.
        let mut rows = claim.rows.into_iter();
        for row in rows.by_ref() {
            let outcome = if is_late(app, began_ms) {
                Err((row, None))
            } else {
                settle(app, ready, row, &mut claim.installations).await
            };
            match outcome {
                Ok(more) => events.extend(more),
                Err((row, error)) => {
                    let mut released = row.release(app, error.as_deref());
                    released.extend(rows.flat_map(|row| row.release(app, None)));
                    if let Err(error) = ready.db().batch(released).await {
                        log::warn("lane_not_released", &[("error", &error.to_string())]);
                    }
                    return events;
                }
            }
        }
    }
    events
}

/// Gives up the deliveries whose facts cannot be read; each becomes a dead letter, in a batch of its own.
async fn give_up_unreadable(
    app: &App,
    ready: Ready<'_>,
    lane: &str,
    unreadable: &[(DeliveryClaim, String)],
) {
    for (row, reason) in unreadable {
        log::error("delivery_unreadable", &[("delivery_id", &row.delivery_id), ("error", reason)]);
        if let Err(error) = ready.db().batch(give_up(app, row, lane, reason)).await {
            // It is claimed again when the lease has ended.
            log::warn("delivery_not_given_up", &[("error", &error.to_string())]);
        }
    }
}

/// Processes one delivery: returns its events, none if it is given up. On an error that another attempt may
/// mend, returns the delivery with the error.
async fn settle(
    app: &App,
    ready: Ready<'_>,
    mut row: DeliveryClaim,
    known: &mut BTreeMap<i64, InstallationRecord>,
) -> Result<Vec<Event>, (DeliveryClaim, Option<String>)> {
    let error = match perform(app, ready, &mut row, known).await {
        Ok(events) => return Ok(events),
        Err(error) => error,
    };
    let text = error.to_string();
    log::warn("delivery_waits", &[("delivery_id", &row.delivery_id), ("error", &text)]);
    match error {
        Trouble::Service(error) if is_about_the_delivery(&error) => {
            let statements = give_up(app, &row, &row.facts.lane(), &text);
            match ready.db().batch(statements).await {
                Ok(_) => Ok(Vec::new()),
                Err(_) => Err((row, Some(text))),
            }
        }
        _ => Err((row, Some(text))),
    }
}

/// Whether the service refused the request itself, so that it would refuse it again. Every other error,
/// such as a rejected credential, counts as an outage.
fn is_about_the_delivery(error: &ServiceError) -> bool {
    matches!(error.status, Some(400 | 409 | 413 | 422))
        && !error.is_retryable()
        && !error.may_have_had_its_effect()
}

/// Why a delivery was not processed.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error(transparent)]
    Db(DbError),
    #[error("another worker has the delivery by now")]
    Lost,
    #[error("the database took too long")]
    Late,
}

impl From<DbError> for Trouble {
    fn from(error: DbError) -> Self {
        match error {
            // What `Claim::assert_held` says.
            DbError::Unauthorized => Trouble::Lost,
            error => Trouble::Db(error),
        }
    }
}

/// Mints the identity of a delivery, then commits all its effects in one batch.
async fn perform(
    app: &App,
    ready: Ready<'_>,
    row: &mut DeliveryClaim,
    known: &mut BTreeMap<i64, InstallationRecord>,
) -> Result<Vec<Event>, Trouble> {
    // 1. Mint the identity of the delivery, unless an earlier attempt has.
    let mut events = Vec::new();
    let chitty_id = match row.chitty_id.clone() {
        Some(id) => id,
        None => {
            let intent = record_intent(app, ready, "github_delivery", row).await?;
            let id = mint(app, ready, row, &intent).await?;
            row.chitty_id = Some(id.to_string());
            store_ids(app, ready, row, &id, intent).await?;
            id.to_string()
        }
    };
    // 2. Record the installation that the delivery describes, if it is new.
    if let Some(installed) = record_installation(app, ready, row, known).await? {
        events.extend(installed);
    }
    // 3. Commit its changes, its job, its event and the mark that it is done, in one batch.
    let installation = row.facts.installation_id();
    let whose = installation.and_then(|id| known.get(&id));
    let plan = apply::plan(app, row, &chitty_id, whose);
    // Whoever else has dealt with it, after a lease had ended, has told of it too.
    let mut statements = vec![row.claim.assert_held()];
    statements.extend(plan.statements);
    statements.push(row.mark_done(app.now_ms()));
    if let (Some(id), true) = (installation, apply::is_about_installation(&row.event)) {
        statements.push(installations::store::select_record(id));
    }
    let mut results = ready.db().batch(statements).await?;
    // 4. Remember the new state of the installation, and whether a job is due.
    if let (Some(id), true) = (installation, apply::is_about_installation(&row.event))
        && let Some(now) = results.pop().and_then(|rows| rows.into_iter().next())
    {
        let now = installations::store::read_record(now)?;
        if !now.is_live {
            tokens::forget_installation(app, id).await;
        }
        known.insert(id, now);
    }
    if plan.asks_for_work {
        WorkAhead::of(app).0.set(true);
    }
    events.push(plan.event);
    Ok(events)
}

/// Stores the ids of a delivery, of which `minted` is new. If another worker has the delivery by now, reports
/// the new id as an orphan. If the database does not answer, [`deliveries::release`] stores the ids.
async fn store_ids(
    app: &App,
    ready: Ready<'_>,
    row: &mut DeliveryClaim,
    minted: &ChittyId,
    intent: MintIntent,
) -> Result<(), Trouble> {
    match deliveries::keep_ids(ready, row, &intent).await {
        Ok(true) => Ok(()),
        Ok(false) => {
            intent.report_orphan(app, ready, minted, "lease_lost").await;
            Err(Trouble::Lost)
        }
        Err(error) => {
            row.unkept = Some(intent);
            Err(error.into())
        }
    }
}

/// Records the intent to mint an identity for a delivery. The mint ends within the lease, with time left to
/// store the id. Withdraws the intent if the database has taken too long for that.
async fn record_intent(
    app: &App,
    ready: Ready<'_>,
    what: &'static str,
    row: &mut DeliveryClaim,
) -> Result<MintIntent, Trouble> {
    let now_ms = app.now_ms();
    let intent = deliveries::intend(app, ready, row, what, lease_ms(app)).await?;
    if is_late(app, now_ms) {
        intent.withdraw(ready).await;
        return Err(Trouble::Late);
    }
    Ok(intent)
}

/// Records the installation that a delivery describes, unless it is on record already. Returns its events.
async fn record_installation(
    app: &App,
    ready: Ready<'_>,
    row: &mut DeliveryClaim,
    known: &mut BTreeMap<i64, InstallationRecord>,
) -> Result<Option<Vec<Event>>, Trouble> {
    let Some(installation) = row.facts.installation.clone() else { return Ok(None) };
    if !apply::is_about_installation(&row.event)
        || installation.account.is_none()
        || known.contains_key(&installation.id)
    {
        return Ok(None);
    }
    let minted = match row.subject_id.clone() {
        Some(id) => id,
        None => {
            let intent = record_intent(app, ready, "github_installation", row).await?;
            let id =
                installations::mint(app, ready, installation.id, context(row), &intent).await?;
            row.subject_id = Some(id.to_string());
            store_ids(app, ready, row, &id, intent).await?;
            id.to_string()
        }
    };
    let traceparent = row.traceparent.as_deref();
    let (now, events) =
        installations::put_on_record(app, ready, &installation, &minted, None, traceparent).await?;
    known.insert(installation.id, now);
    // The jobs that waited for the installation are due now.
    WorkAhead::of(app).0.set(true);
    Ok(Some(events))
}

fn context(row: &DeliveryClaim) -> CallContext {
    CallContext { traceparent: row.traceparent.clone(), ..CallContext::default() }
}

/// Mints the EVNT ChittyID of a delivery.
async fn mint(
    app: &App,
    ready: Ready<'_>,
    row: &DeliveryClaim,
    intent: &MintIntent,
) -> Result<ChittyId, ServiceError> {
    let metadata = json!({
        "type": "github_delivery", "event": row.event, "deliveryId": row.delivery_id,
        "service": "chittyconnect",
    });
    let session = app.core.session(context(row));
    intent.mint(app, ready, &session, EntityLabel::Event, metadata).await
}

/// Gives up a delivery that cannot be processed: it becomes a dead letter and no longer blocks its lane.
fn give_up(app: &App, row: &DeliveryClaim, lane: &str, reason: &str) -> Vec<Statement> {
    let delivered = WebhookDelivery {
        kind: MessageKind::Delivery,
        delivery_id: row.delivery_id.clone(),
        event: row.event.clone(),
        received_at: row.received_at.clone(),
        traceparent: row.traceparent.clone(),
        encoding: Encoding::Json,
        elsewhere: Some(PayloadPlace::Recorded),
    };
    let subject =
        dead::Subject { event_id: &row.delivery_id, event_type: &row.event, entity_id: lane };
    let body = message::encode(&delivered, "");
    let attempts = u32::try_from(row.claim.attempts).unwrap_or(u32::MAX);
    vec![
        row.claim.assert_held(),
        row.give_up(reason, app.now_ms()),
        dead::insert(app, dead::GITHUB, &body, Some(subject), reason, attempts),
    ]
}
