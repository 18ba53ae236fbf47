//! The gateway's own registration in the ecosystem, in the background of its requests.
//!
//! The spec (document 002) names seven steps: mint, DNA, keys, register, verify, certify, log.
//! `registration_steps` holds one row for each that has succeeded, so the work resumes where it
//! stopped. This module takes the first step, the gateway's own context; the others take their
//! place behind it in [`advance`].
//!
//! However many isolates race: a lease in `registration_lease` lets one try at a time and keeps the
//! backoff for all of them; and should a lease run out under a slow holder, the step's primary key
//! decides whose id counts. The loser's id is reported as an event, not forgotten.

use chitty_core::{ChittyId, EntityLabel, MintRequest};
use serde_json::json;

use crate::app::App;
use crate::config::VERSION;
use crate::contexts;
use crate::events::{Event, EventKind, outbox};
use crate::init::Ready;
use crate::platform::db::{DbError, Statement};
use crate::platform::{ids, log, time};

/// How far it is, as this isolate knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// The gateway's own ChittyID, once minted.
    pub chitty_id: Option<String>,
    /// Why the last try of this isolate failed: a failure's stable name.
    pub last_error: Option<String>,
    /// When this isolate looks again, in ms; nothing before that.
    next_look_ms: u64,
}

impl Progress {
    /// Its name in `/health`.
    pub fn as_str(&self) -> &'static str {
        match (&self.chitty_id, &self.last_error) {
            (Some(_), _) => "registered",
            (None, Some(_)) => "degraded",
            (None, None) => "pending",
        }
    }

    /// Whether this isolate should look.
    pub fn is_due(&self, now_ms: u64) -> bool {
        self.chitty_id.is_none() && now_ms >= self.next_look_ms
    }
}

/// The name of the gateway's own context.
const NAME: &str = "chittyconnect";

/// How long one try may take before another isolate may try, in ms. Longer than an upstream call
/// and the statements around it.
const LEASE_MS: u64 = 60_000;

/// The longest pause between two tries, in ms.
const MAX_BACKOFF_MS: u64 = 300_000;

/// Takes the registration one step further if nobody else is at it.
pub async fn advance(app: &App, ready: Ready<'_>) {
    let now_ms = app.now_ms();
    if !app.init.registration.borrow().is_due(now_ms) {
        return;
    }
    // Set first, so that requests that arrive meanwhile do not start the same.
    app.init.registration.borrow_mut().next_look_ms = now_ms + 5_000;
    let outcome = match registered(ready).await {
        Ok(Some(chitty_id)) => Ok(Some(chitty_id)),
        Ok(None) => mint_under_lease(app, ready).await,
        Err(error) => Err(Failure::storage(&error)),
    };
    let mut progress = app.init.registration.borrow_mut();
    match outcome {
        Ok(Some(chitty_id)) => {
            *progress = Progress { chitty_id: Some(chitty_id), ..Progress::default() };
        }
        // Another isolate is at it, or the pause after a failure is not over.
        Ok(None) => {}
        Err(failure) => progress.last_error = Some(failure.name),
    }
}

struct Failure {
    name: String,
}

impl Failure {
    fn storage(error: &DbError) -> Self {
        log::warn("registration_failed", &[("error", &error.to_string())]);
        Failure { name: "storage_unavailable".to_owned() }
    }
}

/// The ChittyID that the mint step recorded.
async fn registered(ready: Ready<'_>) -> Result<Option<String>, DbError> {
    let recorded = Statement::new("SELECT result FROM registration_steps WHERE step = 'mint'");
    let row = ready.db().rows(recorded).await?.into_iter().next();
    row.map(|mut row| row.text(0)).transpose()
}

async fn mint_under_lease(app: &App, ready: Ready<'_>) -> Result<Option<String>, Failure> {
    let now_ms = app.now_ms();
    let holder = ids::random_hex::<8>();
    let Some(attempts) =
        take_lease(ready, &holder, now_ms).await.map_err(|e| Failure::storage(&e))?
    else {
        return Ok(None);
    };
    let request = MintRequest {
        label: EntityLabel::Context,
        metadata: json!({ "name": NAME, "service": NAME, "version": VERSION }),
        timestamp: time::iso8601(now_ms),
    };
    match app.core.id().mint(&request, &chitty_core::CallContext::default()).await {
        Ok(id) => record(app, ready, id).await.map_err(|e| Failure::storage(&e)),
        Err(error) => {
            let name = error.kind.as_str().to_owned();
            log::warn("registration_failed", &[("error", &error.to_string())]);
            let pause = backoff_ms(attempts, error.retry_after_s);
            // Whether or not this reaches the database: the lease runs out by itself.
            if let Err(error) = give_back(ready, &holder, app.now_ms() + pause, &name).await {
                log::warn("registration_failed", &[("error", &error.to_string())]);
            }
            Err(Failure { name: format!("chittyid_{name}") })
        }
    }
}

/// Takes the lease if it is free and the pause is over. Returns which attempt this is, from 1.
async fn take_lease(ready: Ready<'_>, holder: &str, now_ms: u64) -> Result<Option<i64>, DbError> {
    let take = Statement::new(
        "UPDATE registration_lease SET holder = ?1, expires_at = ?2, attempts = attempts + 1 \
         WHERE id = 1 AND expires_at <= ?3 AND next_attempt_at <= ?3 RETURNING attempts",
    )
    .bind(holder)
    .bind(time::iso8601(now_ms + LEASE_MS))
    .bind(time::iso8601(now_ms));
    let rows = ready.db().batch(vec![take]).await?;
    let row = rows.into_iter().flatten().next();
    row.map(|row| row.integer(0)).transpose()
}

/// Gives the lease back with the pause before the next try, unless it has run out and is another's.
async fn give_back(
    ready: Ready<'_>,
    holder: &str,
    next_attempt_ms: u64,
    error: &str,
) -> Result<(), DbError> {
    let give_back = Statement::new(
        "UPDATE registration_lease SET expires_at = '', next_attempt_at = ?1, last_error = ?2 \
         WHERE id = 1 AND holder = ?3",
    )
    .bind(time::iso8601(next_attempt_ms))
    .bind(error)
    .bind(holder);
    ready.db().batch(vec![give_back]).await.map(|_| ())
}

/// Full-jitter exponential backoff: 1 s doubling up to [`MAX_BACKOFF_MS`], and never less than the
/// authority asked for.
fn backoff_ms(attempts: i64, retry_after_s: Option<u32>) -> u64 {
    let doublings = u32::try_from(attempts.clamp(1, 20)).unwrap_or(20) - 1;
    let ceiling = (1000u64 << doublings).min(MAX_BACKOFF_MS);
    let jittered = 500 + u64::from(ids::random_below(u32::try_from(ceiling).unwrap_or(u32::MAX)));
    jittered.max(u64::from(retry_after_s.unwrap_or(0)) * 1000).min(MAX_BACKOFF_MS)
}

/// Stores the minted id: the step, the gateway's own context (which it owns itself) and its event,
/// in one batch.
async fn record(app: &App, ready: Ready<'_>, id: ChittyId) -> Result<Option<String>, DbError> {
    let now_ms = app.now_ms();
    let event = Event::new(
        now_ms,
        EventKind::ServiceInitialized,
        id.as_str(),
        id.as_str(),
        json!({ "version": VERSION }),
        None,
    );
    let step = Statement::new(
        "INSERT INTO registration_steps (step, result, completed_at) VALUES ('mint', ?1, ?2)",
    )
    .bind(id.as_str())
    .bind(time::iso8601(now_ms));
    let mut batch = vec![step];
    batch.extend(contexts::store::insert_own(&id, NAME, &event));
    batch.push(outbox::insert(&event, app.config.outbox_overdue_ms));
    match ready.db().batch(batch).await {
        Ok(_) => {
            outbox::announce(app, vec![event]).await;
            log::info("registered", &[("chitty_id", id.as_str())]);
            Ok(Some(id.as_str().to_owned()))
        }
        Err(error) => {
            let kept = registered(ready).await;
            // An unanswered batch may have been committed: then the id is in use, not orphaned.
            if !matches!(&kept, Ok(Some(kept)) if kept == id.as_str()) {
                outbox::report_orphan(app, ready, &id, id.as_str(), "registration").await;
            }
            match kept? {
                Some(kept) => Ok(Some(kept)),
                None => Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_pause_is_bounded_and_honours_the_authority(attempts in 0i64..1000, asked in 0u32..600) {
            let pause = backoff_ms(attempts, Some(asked));
            prop_assert!((500..=MAX_BACKOFF_MS).contains(&pause));
            prop_assert!(pause >= (u64::from(asked) * 1000).min(MAX_BACKOFF_MS));
        }
    }
}
