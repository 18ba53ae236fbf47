//! The SQL of contexts. Every query on a caller's contexts starts from its [`Scope`]; by convention
//! `?1` is the actor. Here is what one context is and how it is read; `pages` lists and searches,
//! `writes` makes, changes and deletes.

mod pages;
mod writes;

use chitty_core::ChittyId;

pub use self::pages::{Filter, Page, find, list};
pub use self::writes::{
    Change, Changed, Failure, Insertion, check_free, created, delete, explain, insert, insert_own,
    update,
};
use crate::http::caller::Scope;
use crate::http::problem::Problem;
use crate::init::Ready;
use crate::platform::db::{DbError, Row, Statement};

/// A context as JSON, made by the database: its text goes to the caller as it is, which is three
/// times cheaper than carrying columns across and putting them together here. A function takes 32
/// arguments in D1, which is these 16 members.
const JSON: &str = "json_object(\
    'chitty_id', chitty_id, 'chittyId', chitty_id, 'contextId', chitty_id, 'name', name, \
    'owner_chitty_id', owner_chitty_id, 'owner', owner_chitty_id, 'data', json(data), \
    'systems', json(systems), 'tools', json(tools), 'status', status, \
    'created_at', created_at, 'updated_at', updated_at, 'deleted_at', deleted_at, \
    'chitty_dna_id', chitty_dna_id, \
    'chitty_chronicle_timeline_id', chitty_chronicle_timeline_id, 'created', created_at)";

/// A context with its version.
#[derive(Debug)]
pub struct Found {
    /// For the entity tag.
    pub revision: String,
    /// The context as it is returned.
    pub json: String,
}

/// One context.
///
/// # Errors
/// 404 when the caller has none of this id; 403 when it may do nothing; storage failures.
pub async fn get(ready: Ready<'_>, scope: &Scope, id: &ChittyId) -> Result<Found, Problem> {
    let query = Statement::new(format!(
        "SELECT {}, revision, {JSON} FROM (SELECT 1) LEFT JOIN contexts \
         ON chitty_id = ?2 AND owner_chitty_id = ?1 AND deleted_at IS NULL",
        Scope::STATE_SQL
    ))
    .bind(scope.actor())
    .bind(id.as_str());
    let mut row = first(ready.db().rows(query).await?)?;
    Scope::admit(row.optional_text(0)?.as_deref())?;
    match row.optional_text(1)? {
        Some(revision) => Ok(Found { revision, json: row.text(2)? }),
        None => Err(Problem::not_found("context")),
    }
}

fn first(rows: Vec<Row>) -> Result<Row, DbError> {
    rows.into_iter().next().ok_or(DbError::Shape)
}
