//! The changes and the deletion of contexts: each is one batch of the row, its words in the index, and its event.

use http_kit::names::Name;
use http_kit::precondition::ChangeOutcome;
use seams::db::{Row, Statement};

use crate::access::caller::Scope;
use crate::access::change::Change;
use crate::connections;
use crate::contexts::Status;
use crate::contexts::credentials::{self, Key as MadeKey};
use crate::contexts::input::Patch;
use crate::contexts::search::{Key, name_column};
use crate::contexts::store::failure::Failure;
use crate::contexts::store::former_names::{self, Patience};
use crate::contexts::store::{former_words, lineage};
use crate::store::{Ready, outbox};

/// Changes a context: the row, its words and its event, in one batch. `made_for_it` is a new key that the
/// same batch gives the context.
///
/// # Errors
/// [`Failure`].
pub async fn update(
    ready: Ready<'_>,
    scope: &Scope,
    change: &Change<'_>,
    patch: &Patch,
    made_for_it: Option<&MadeKey>,
) -> Result<ChangeOutcome, Failure> {
    let mut patience = Patience::default();
    loop {
        let (row, words) = (changed_row(scope, change, patch), changed_words(scope, change, patch));
        // The batch changes nothing while the context has former words, because its index row must not hold
        // words of both kinds. A batch that gives a name also changes nothing while the owner has names
        // without a key, with which the new name cannot be compared. These queries find such rows, which are
        // prepared before the next attempt.
        let mut rest = vec![former_words::of(scope.actor(), change.id.as_str())];
        rest.extend(patch.name.as_ref().map(|_| former_names::next(Some(scope.actor()))));
        let queries = rest.len();
        if patch.key.is_sent() {
            rest.extend(credentials::end(change.event));
        }
        rest.extend(made_for_it.into_iter().flat_map(|made| made.assign(change.event)));
        let (changed, rest) = perform(ready, scope, change, [row, words], rest).await?;
        let mut rest = rest.into_iter().take(queries);
        let words = rest.next().unwrap_or_default();
        let names = rest.next().unwrap_or_default();
        if words.is_empty() && names.is_empty() {
            return Ok(changed);
        }
        if !words.is_empty() {
            former_words::write_anew(ready, words).await?;
        }
        patience.settle(ready, names).await.map_err(Failure::Refused)?;
    }
}

/// Returns the statement that changes the row of a context as `patch` says.
fn changed_row(scope: &Scope, change: &Change<'_>, patch: &Patch) -> Statement {
    let set = "name = coalesce(?6, name), data = coalesce(?7, data), \
               systems = coalesce(?8, systems), tools = coalesce(?9, tools), \
               status = coalesce(?10, status), name_key = coalesce(?11, name_key), \
               type = iif(?12, ?13, type), \
               customizations = iif(?14, json(?15), customizations)";
    let mut condition = " AND words_written > 0".to_owned();
    if patch.name.is_some() {
        condition += &format!(
            " AND NOT EXISTS (SELECT 1 FROM contexts AS former WHERE owner_chitty_id = ?1 AND {})",
            former_names::CONDITION
        );
    }
    change_row(scope, change, set, &condition)
        .bind(patch.name.as_ref().map(Name::text))
        .bind(patch.data.as_ref().map(|list| list.json.as_str()))
        .bind(patch.systems.as_ref().map(|list| list.json.as_str()))
        .bind(patch.tools.as_ref().map(|list| list.json.as_str()))
        .bind(patch.status.map(Status::as_str))
        .bind(patch.name.as_ref().map(Name::key))
        .bind(i64::from(patch.kind.is_sent()))
        .bind(patch.kind.as_ref().map(String::as_str))
        .bind(i64::from(patch.customizations.is_sent()))
        .bind(patch.customizations.as_ref().map(String::as_str))
}

/// Returns the statement that changes the words of a context as `patch` says. Present words may be under the
/// search key of either status, and new ones are given under that of `active`; the statement puts all of
/// them under the key of the status that the row has now.
fn changed_words(scope: &Scope, change: &Change<'_>, patch: &Patch) -> Statement {
    let active = Key::of(scope.actor(), Status::Active);
    let inactive = Key::of(scope.actor(), Status::Inactive);
    Statement::new(
        "UPDATE contexts_fts SET name = replace(coalesce(?5, contexts_fts.name), old, new), \
         data = replace(coalesce(?6, contexts_fts.data), old, new), \
         systems = replace(coalesce(?7, contexts_fts.systems), old, new), \
         tools = replace(coalesce(?8, contexts_fts.tools), old, new) \
         FROM (SELECT row_id, iif(status = 'inactive', ?3, ?4) AS old, \
         iif(status = 'inactive', ?4, ?3) AS new \
         FROM contexts WHERE chitty_id = ?1 AND revision = ?2) AS changed \
         WHERE contexts_fts.rowid = changed.row_id",
    )
    .bind(change.id.as_str())
    .bind(change.event.id.as_str())
    .bind(active.as_str())
    .bind(inactive.as_str())
    .bind(patch.name.as_ref().map(|name| name_column(name.text(), &active)))
    .bind(patch.data.as_ref().map(|list| list.words.under(&active)))
    .bind(patch.systems.as_ref().map(|list| list.words.under(&active)))
    .bind(patch.tools.as_ref().map(|list| list.words.under(&active)))
}

/// Deletes a context softly: the row stays, its words are deleted, and its name becomes free. Also returns
/// whether the context had a key, whose revocation is due then.
///
/// # Errors
/// [`Failure`].
pub async fn delete(
    ready: Ready<'_>,
    scope: &Scope,
    change: &Change<'_>,
) -> Result<(ChangeOutcome, bool), Failure> {
    let row = change_row(scope, change, "status = 'deleted', deleted_at = ?4", "");
    let words = Statement::new(
        "DELETE FROM contexts_fts \
         WHERE rowid = (SELECT row_id FROM contexts WHERE chitty_id = ?1 AND revision = ?2)",
    )
    .bind(change.id.as_str())
    .bind(change.event.id.as_str());
    // The context's key and its connections end with it.
    let mut rest: Vec<Statement> = credentials::end(change.event).into();
    rest.extend(connections::store::end_with_context(change.event));
    rest.push(lineage::forget(change.event));
    let (changed, rest) = perform(ready, scope, change, [row, words], rest).await?;
    Ok((changed, rest.into_iter().next().is_some_and(|ended| !ended.is_empty())))
}

/// Returns the statement that updates one live context of the caller, if the caller accepts its revision.
fn change_row(scope: &Scope, change: &Change<'_>, set: &str, condition: &str) -> Statement {
    Statement::new(format!(
        "UPDATE contexts SET {set}, updated_at = ?4, revision = ?5, \
         words_written = words_written + 1 \
         WHERE chitty_id = ?2 AND owner_chitty_id = ?1 AND deleted_at IS NULL \
         AND (?3 IS NULL OR revision IN (SELECT value FROM json_each(?3))){condition} \
         RETURNING shown AS document"
    ))
    .bind(scope.actor())
    .bind(change.id.as_str())
    .bind(change.if_match.as_json())
    .bind(change.event.at.as_str())
    .bind(change.event.id.as_str())
}

/// Executes the batch of a change. Returns the outcome of the change, and the results of the statements
/// `rest`.
async fn perform(
    ready: Ready<'_>,
    scope: &Scope,
    change: &Change<'_>,
    [row, words]: [Statement; 2],
    rest: Vec<Statement>,
) -> Result<(ChangeOutcome, Vec<Vec<Row>>), Failure> {
    let before = Statement::new(
        "SELECT revision FROM contexts \
         WHERE chitty_id = ?2 AND owner_chitty_id = ?1 AND deleted_at IS NULL",
    )
    .bind(scope.actor())
    .bind(change.id.as_str());
    let (event, overdue_ms) = (change.event, change.overdue_ms);
    let event_row = outbox::insert_if_changed(event, overdue_ms, "contexts", "chitty_id");
    let batch = [before, row, words, event_row].into_iter().chain(rest).collect();
    let mut results = scope.write(ready, batch).await?.into_iter();
    let changed = ChangeOutcome::read(results.next(), results.next(), &change.if_match)?;
    Ok((changed, results.skip(2).collect()))
}
