//! All SQL on minted identities.

use chitty_core::ChittyId;
use http_kit::problem::{Code, Problem};
use seams::db::{DbError, Params, Row, Statement, first_row};

use crate::access::caller::{Scope, WriteError};
use crate::access::creation::Creation;
use crate::access::idempotency::Idempotency;
use crate::access::quota::Quota;
use crate::identities::input::MintDraft;
use crate::store::Ready;
use crate::store::event::Event;
use crate::store::minting::MintIntent;

/// The unique constraint that fails when an identity is stored already.
const GIVEN: &str = "identities.chitty_id";

/// The body of the reply to a mint, over a row of `identities`.
const MINTED: &str = "json_object('success', json('true'), 'chittyId', chitty_id, 'chitty_id', chitty_id, \
     'type', entity_type, 'entity', entity, 'minted_at', minted_at)";

/// Checks before a mint whether it may take place and, if so, records the intent in the same round trip.
/// Returns the row of the reply that is stored under the request's key, if there is one; then no intent is
/// recorded.
///
/// # Errors
/// 403 when the caller may do nothing or its quota is used up; storage failures.
pub async fn admit(
    ready: Ready<'_>,
    scope: &Scope,
    quota: &Quota,
    key: Option<&Idempotency>,
    intent: &MintIntent,
    now_ms: u64,
) -> Result<Vec<Row>, Problem> {
    let mut checks = vec![quota.question()];
    let mut params = Params::default();
    let mut free = format!("{} AND NOT {}", scope.may_sql(&mut params), quota.is_full(&mut params));
    if let Some(key) = key {
        checks.push(key.look_up(scope, now_ms));
        free += &format!(" AND {}", key.is_unused_sql(scope, now_ms, &mut params));
    }
    checks.push(intent.record_if(params, &free));
    let mut results = scope.read(ready, checks).await?;
    let recorded = results.pop().unwrap_or_default();
    let mut results = results.into_iter();
    let room = results.next().unwrap_or_default();
    let stored = results.next().unwrap_or_default();
    if stored.is_empty() {
        quota.judge(&room)?;
        // Without a recorded intent, nothing may be minted.
        if recorded.is_empty() {
            return Err(DbError::Shape.into());
        }
    }
    Ok(stored)
}

/// The reason why an identity was not stored.
#[derive(Debug)]
pub enum Failure {
    /// The identity is stored already.
    Given,
    /// Another request with the same idempotency key was faster.
    LostRace,
    /// The batch was refused or rolled back, or it is not known whether it was committed.
    Other(WriteError),
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        match &error {
            WriteError::Db(failure) if Idempotency::lost_race(failure) => Failure::LostRace,
            WriteError::Db(failure) if failure.is_unique(GIVEN) => Failure::Given,
            _ => Failure::Other(error),
        }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Given => Problem::new(
                Code::IdentityAuthorityUnavailable,
                "ChittyID answered with an identity that it had minted before. Repeat the request.",
            ),
            Failure::LostRace => Problem::new(
                Code::StorageUnavailable,
                "A request with the same Idempotency-Key is being handled. Repeat this one.",
            ),
            Failure::Other(error) => error.into(),
        }
    }
}

/// An identity to be stored, with all that its batch writes.
pub struct Insertion<'a> {
    /// The id that ChittyID has minted.
    pub id: &'a ChittyId,
    /// The identity as the caller requested it.
    pub draft: &'a MintDraft,
    /// The intent under which the id was minted; the batch settles it.
    pub intent: &'a MintIntent,
    /// What it has in common with every creation.
    pub creation: &'a Creation<'a>,
}

/// Stores an identity: the row, its event and, with an idempotency key, the reply, in one batch. Returns the
/// reply's body.
///
/// # Errors
/// [`Failure`].
pub async fn insert(
    ready: Ready<'_>,
    scope: &Scope,
    new: &Insertion<'_>,
) -> Result<String, Failure> {
    let event = &new.creation.event;
    let row = Statement::new(format!(
        "INSERT INTO identities (chitty_id, owner_chitty_id, entity_type, entity, minted_at, revision) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) RETURNING {MINTED} AS body"
    ))
    .bind(new.id.as_str())
    .bind(scope.actor())
    .bind(new.draft.label.label())
    .bind(new.draft.label.letter())
    .bind(event.at.as_str())
    .bind(event.id.as_str());
    let own = vec![row, new.intent.fulfil()];
    let stored = format!("SELECT {MINTED} FROM identities WHERE chitty_id = ?1 AND revision = ?2");
    let body = new.creation.write(ready, scope, own, &stored).await?;
    Ok(body.ok_or(WriteError::Db(DbError::Shape))?)
}

/// Returns the body of the reply to a mint whose batch failed, if the batch was committed nevertheless. The
/// row's revision, which is the event's id, shows that.
///
/// # Errors
/// Storage failures.
pub async fn committed_reply(
    ready: Ready<'_>,
    id: &ChittyId,
    event: &Event,
) -> Result<Option<String>, DbError> {
    let query =
        format!("SELECT {MINTED} AS body FROM identities WHERE chitty_id = ?1 AND revision = ?2");
    let query = Statement::new(query).bind(id.as_str()).bind(event.id.as_str());
    first_row(Some(ready.db().rows(query).await?)).map(|mut row| row.text("body")).transpose()
}
