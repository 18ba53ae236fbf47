//! The SQL of contexts. Every query on a caller's contexts starts from its [`Scope`]; by convention
//! `?1` is the actor. This file reads one context; `pages` lists and searches, `writes` creates, changes and
//! deletes.

pub mod former_names;
pub mod former_words;
mod pages;
pub mod said;
mod writes;

use chitty_core::ChittyId;
use http_kit::problem::Problem;
use seams::db::{DbError, Row, Statement, Text};

pub use self::pages::{Filter, find, list};
pub use self::writes::{
    Change, CreationNeeds, Failure, Insertion, check_free, created, delete, explain, insert,
    insert_own, update,
};
use crate::access::caller::Scope;
use crate::store::Ready;

/// The parts of contexts of an earlier version that the cron prepares. [`unprepared`] counts each in the
/// column of its name.
pub const PREPARED: [&str; 2] = ["names", "words"];

/// The statement that counts the contexts that the cron has still to prepare, of each part up to ten
/// thousand.
pub fn unprepared() -> Statement {
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
        "SELECT {}, revision || iif(learned = 0, '', '.' || learned), \
         iif(verification IS NULL, shown, substr(shown, 1, length(shown) - 1) || \
         ',\"verification\":' || verification || '}}') FROM contexts \
         WHERE chitty_id = ?2 AND owner_chitty_id = ?1 AND deleted_at IS NULL",
        Scope::STATE_SQL
    ))
    .bind(scope.actor())
    .bind(id.as_str());
    let Some(mut row) = scope.rows_with_state(ready, query).await?.into_iter().next() else {
        return Err(missing(ready, scope).await);
    };
    Scope::admit(row.optional_text(0)?.as_deref())?;
    let json = row.long_text(2)?.ok_or(DbError::Shape)?;
    Ok(ContextRow { tag: row.text(1)?, json })
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
