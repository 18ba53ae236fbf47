//! The SQL of contexts. Every query on a caller's contexts starts from its [`Scope`]; by convention
//! `?1` is the actor. This file reads one context; `pages` lists and searches, `creation` creates, `changes`
//! changes and deletes, and `failure` says why either did not take place.

mod changes;
mod creation;
mod failure;
pub mod former_names;
pub mod former_words;
pub mod lineage;
mod pages;
pub mod verification;

use chitty_core::ChittyId;
use http_kit::problem::Problem;
use seams::db::{DbError, Row, Statement, Text};

pub use self::changes::{delete, update};
pub use self::creation::{
    CreationNeeds, Insertion, check_free, committed_reply, insert, insert_own,
};
pub use self::failure::{Failure, explain};
pub use self::pages::{Filter, find, list};
use crate::access::caller::Scope;
use crate::store::Ready;

/// The parts of contexts of an earlier version that the cron prepares, which are the names of the columns of
/// [`count_unprepared`].
pub const PREPARED: [&str; 2] = ["names", "words"];

/// The statement that counts the contexts that the cron has still to prepare, of each part up to ten
/// thousand.
pub fn count_unprepared() -> Statement {
    let count = |condition: &str| {
        format!("(SELECT count(*) FROM (SELECT 1 FROM contexts WHERE {condition} LIMIT 10000))")
    };
    let (names, words) = (count(former_names::CONDITION), count(former_words::CONDITION));
    Statement::new(format!("SELECT {names} AS names, {words} AS words"))
}

/// A context with its version.
#[derive(Debug)]
pub struct ContextRow {
    /// The entity tag: the revision and, if other services have told something about the context since its
    /// creation, how often.
    pub tag: String,
    /// The context as it is returned.
    pub json: Text,
}

/// Reads one context.
///
/// # Errors
/// 404 when the caller has no context with this id; 403 when the caller may do nothing; storage failures.
pub async fn get(ready: Ready<'_>, scope: &Scope, id: &ChittyId) -> Result<ContextRow, Problem> {
    let query = Statement::new(format!(
        "SELECT {}, revision || iif(learned = 0, '', '.' || learned) AS tag, \
         iif(verification IS NULL, shown, substr(shown, 1, length(shown) - 1) || \
         ',\"verification\":' || verification || '}}') AS document FROM contexts \
         WHERE chitty_id = ?2 AND owner_chitty_id = ?1 AND deleted_at IS NULL",
        Scope::STATE_SQL
    ))
    .bind(scope.actor())
    .bind(id.as_str());
    let Some(mut row) = scope.rows_with_state(ready, query).await?.into_iter().next() else {
        return Err(missing(ready, scope).await);
    };
    Scope::admit(row.optional_text("caller_status")?.as_deref())?;
    let json = row.long_text("document")?.ok_or(DbError::Shape)?;
    Ok(ContextRow { tag: row.text("tag")?, json })
}

/// Returns the problem of a read that found no context: that the actor may do nothing, or else 404. This is
/// another query, because a join that always returns a row would make every read a fifth more expensive.
async fn missing(ready: Ready<'_>, scope: &Scope) -> Problem {
    match scope.check(ready).await {
        Ok(()) => Problem::not_found("context"),
        Err(problem) => problem,
    }
}

fn first(rows: Vec<Row>) -> Result<Row, DbError> {
    rows.into_iter().next().ok_or(DbError::Shape)
}
