//! The reasons why a creation or a change of a context did not take place, and the problem of each.

use http_kit::problem::{Code, Problem};
use seams::db::{DbError, Statement};

use crate::access::caller::{Scope, WriteError};
use crate::access::idempotency::Idempotency;
use crate::access::quota;
use crate::contexts::credentials;
use crate::store::Ready;

/// The unique index over the name keys of live contexts, as SQLite's errors name it.
const LIVE_NAME: &str = "contexts_live_key";

/// The id of the live context of the owner `?1` whose name has the key `?2`.
pub(super) const HOLDER_OF_NAME: &str = "SELECT chitty_id FROM contexts \
     WHERE owner_chitty_id = ?1 AND ifnull(name_key, name) = ?2 AND deleted_at IS NULL";

/// The reason why a change did not take place.
#[derive(Debug)]
pub enum Failure {
    /// Another live context of this owner has the name; with its id, if it was found.
    NameTaken(Option<String>),
    /// Another request with the same idempotency key was faster.
    LostRace,
    /// The caller's quota is used up.
    OverQuota(DbError),
    /// The caller may not make the change, or not any more.
    Refused(Problem),
    /// The revocation of the key that was made for the context had begun.
    TakenBack,
    /// The database failed; it is not known whether the change took place.
    Db(DbError),
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Refused(problem) => Failure::Refused(problem),
            WriteError::Db(error) => error.into(),
        }
    }
}

impl From<DbError> for Failure {
    fn from(error: DbError) -> Self {
        if error.is_unique(LIVE_NAME) {
            Failure::NameTaken(None)
        } else if Idempotency::lost_race(&error) {
            Failure::LostRace
        } else if let DbError::OverQuota(_) = error {
            Failure::OverQuota(error)
        } else if matches!(&error, DbError::Failed(text) if credentials::is_taken_back(text)) {
            Failure::TakenBack
        } else {
            Failure::Db(error)
        }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NameTaken(existing) => Problem::new(
                Code::NameTaken,
                "You already have a context of this name. Use another name, or that context.",
            )
            .existing(existing),
            Failure::LostRace => Problem::new(
                Code::StorageUnavailable,
                "A request with the same Idempotency-Key is being handled. Repeat this one.",
            ),
            Failure::Refused(problem) => problem,
            Failure::TakenBack => Problem::new(
                Code::CredentialUnavailable,
                "The request took too long, so the key that was made for it is revoked. Repeat the request.",
            ),
            Failure::OverQuota(error) | Failure::Db(error) => quota::problem(&error),
        }
    }
}

/// Returns the problem of a failure. If the name is taken, it names the context whose name has the name key
/// `key`.
pub async fn explain(ready: Ready<'_>, scope: &Scope, key: &str, failure: Failure) -> Problem {
    match failure {
        Failure::NameTaken(None) => match id_of_name(ready, scope, key).await {
            Ok(existing) => Failure::NameTaken(existing).into(),
            Err(error) => error.into(),
        },
        failure => failure.into(),
    }
}

/// Returns the id of the caller's live context whose name has this name key.
async fn id_of_name(ready: Ready<'_>, scope: &Scope, key: &str) -> Result<Option<String>, DbError> {
    let query = Statement::new(HOLDER_OF_NAME).bind(scope.actor()).bind(key);
    let row = ready.db().rows(query).await?.into_iter().next();
    row.map(|mut row| row.text("chitty_id")).transpose()
}
