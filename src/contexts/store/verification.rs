//! The stored verification of a context: ChittyVerify's last answer about it.

use chitty_core::ChittyId;
use http_kit::problem::Problem;
use seams::db::{Row, Statement, first_row};
use serde_json::Value;

use crate::access::caller::{Scope, WriteError};
use crate::access::idempotency::{Idempotency, StoredReply};
use crate::store::event::Event;
use crate::store::{Ready, outbox};

/// The reply to a verification, over a row of `contexts`.
const VERIFIED: &str = "'{\"success\":true,\"chitty_id\":' || json_quote(chitty_id) || \
     ',\"verification\":' || verification || '}'";

/// Finds the context of a verification before ChittyVerify is called. Returns its DNA id, `None` if the caller
/// has no such context, and the row of the reply that is stored under the request's idempotency key.
///
/// # Errors
/// When the caller lacks the permission; storage failures.
pub async fn find_context(
    ready: Ready<'_>,
    scope: &Scope,
    id: &ChittyId,
    look_up: Option<Statement>,
) -> Result<(Option<Option<String>>, Vec<Row>), Problem> {
    let context = Statement::new(
        "SELECT chitty_dna_id FROM contexts \
         WHERE chitty_id = ?2 AND owner_chitty_id = ?1 AND deleted_at IS NULL",
    )
    .bind(scope.actor())
    .bind(id.as_str());
    let statements = [context].into_iter().chain(look_up).collect();
    let mut results = scope.read(ready, statements).await?.into_iter();
    let dna_id =
        first_row(results.next()).map(|mut row| row.optional_text("chitty_dna_id")).transpose()?;
    Ok((dna_id, results.next().unwrap_or_default()))
}

/// Stores ChittyVerify's answer, its event and, with an idempotency key, the reply, in one batch. Returns
/// the reply's body, or `None` if the context is gone. `verification` must be an object with the event's id
/// as `event_id`.
///
/// # Errors
/// [`WriteError`]; if the context is gone and there is a key, the failed insertion of the key.
pub async fn keep(
    ready: Ready<'_>,
    scope: &Scope,
    event: &Event,
    overdue_ms: u64,
    verification: &Value,
    key: Option<&Idempotency>,
) -> Result<Option<String>, WriteError> {
    let keep = Statement::new(format!(
        "UPDATE contexts SET verification = ?3, learned = learned + 1 \
         WHERE chitty_id = ?2 AND owner_chitty_id = ?1 AND deleted_at IS NULL \
         RETURNING {VERIFIED} AS body"
    ))
    .bind(scope.actor())
    .bind(event.entity_id.as_str())
    .bind(verification.to_string());
    let mut batch = vec![keep, verified_row(event, overdue_ms)];
    if let Some(key) = key {
        let body = format!(
            "SELECT {VERIFIED} FROM contexts \
             WHERE chitty_id = ?1 AND json_extract(verification, '$.event_id') = ?2"
        );
        let reply = StoredReply { status: 200, etag: "", location: "" };
        batch.extend(key.store(scope, event, &reply, &body));
    }
    let results = scope.write(ready, batch).await?;
    let row = first_row(results.into_iter().next());
    Ok(row.map(|mut row| row.text("body")).transpose()?)
}

/// Inserts the event of a verification, if the batch has stored the verification.
fn verified_row(event: &Event, overdue_ms: u64) -> Statement {
    let condition = "EXISTS (SELECT 1 FROM contexts WHERE chitty_id = ?4 \
         AND json_extract(verification, '$.event_id') = ?1)";
    outbox::insert_if(event, overdue_ms, condition)
}
