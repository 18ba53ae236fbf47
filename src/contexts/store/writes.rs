//! Changes to contexts: each is one batch of the row, its words in the index, and its event.

use chitty_core::ChittyId;
use http_kit::names::Name;
use http_kit::precondition::{ChangeOutcome, IfMatch};
use http_kit::problem::{Code, Problem};
use seams::db::{DbError, Params, Row, Statement, first_row};

use crate::access::caller::{Scope, WriteError};
use crate::access::idempotency::{Idempotency, StoredReply};
use crate::access::quota::Quota;
use crate::connections;
use crate::contexts::Status;
use crate::contexts::credentials::{self, Key as MadeKey};
use crate::contexts::input::{Draft, List, Patch};
use crate::contexts::search::{Key, name_column};
use crate::contexts::store::former_names::{self, Patience};
use crate::contexts::store::{former_words, said};
use crate::store::event::Event;
use crate::store::minting::MintIntent;
use crate::store::{Ready, outbox};

/// The unique index over the name keys of live contexts, as SQLite's errors name it.
const LIVE_NAME: &str = "contexts_live_key";

/// The id of the live context of the owner `?1` whose name has the key `?2`.
const HOLDER_OF_NAME: &str = "SELECT chitty_id FROM contexts \
     WHERE owner_chitty_id = ?1 AND ifnull(name_key, name) = ?2 AND deleted_at IS NULL";

/// The conditions of a creation that do not concern the minted id: a free name, and room in the quota.
#[derive(Clone, Copy)]
pub struct CreationNeeds<'a> {
    /// The name.
    pub name: &'a Name,
    /// How many contexts the owner may have.
    pub quota: &'a Quota,
    /// The instant of the request, in ms since the Unix epoch.
    pub now_ms: u64,
}

/// Checks before a mint whether a context can be created and, if so, records the intent to mint in the same
/// round trip. Returns the row of the reply that is stored under the request's idempotency key, if there is
/// one; then no intent is recorded.
///
/// # Errors
/// 403 when the caller may do nothing or its quota is used up, 409 when the name is taken; storage failures.
pub async fn check_free(
    ready: Ready<'_>,
    scope: &Scope,
    wanted: &CreationNeeds<'_>,
    key: Option<&Idempotency>,
    intent: &MintIntent,
) -> Result<Vec<Row>, Problem> {
    // Almost always the creation can take place. The statement that records the intent checks that itself;
    // only if it records nothing, further queries find out why.
    let record = record_if_free(scope, wanted, key, intent);
    let (stored, recorded) = match key {
        None => (Vec::new(), ready.db().batch(vec![record]).await?.pop()),
        Some(key) => {
            let both = vec![key.look_up(scope, wanted.now_ms), record];
            let mut results = scope.read(ready, both).await?;
            let recorded = results.pop();
            (results.pop().unwrap_or_default(), recorded)
        }
    };
    if !stored.is_empty() || recorded.is_some_and(|rows| !rows.is_empty()) {
        return Ok(stored);
    }
    let mut patience = Patience::default();
    loop {
        let mut checks = checks(scope, wanted, key, intent);
        checks.push(former_names::next(Some(scope.actor())));
        let mut results = scope.read(ready, checks).await?;
        // A name can be compared only with names that have their keys.
        let former = results.pop().unwrap_or_default();
        if former.is_empty() {
            return judge(results, wanted.quota);
        }
        patience.settle(ready, former).await?;
    }
}

/// Returns the statements of [`check_free`]: the queries for the holder of the name, the quota and the stored
/// reply, and the one that records the intent if the creation can take place.
fn checks(
    scope: &Scope,
    wanted: &CreationNeeds<'_>,
    key: Option<&Idempotency>,
    intent: &MintIntent,
) -> Vec<Statement> {
    let CreationNeeds { name, quota, now_ms } = *wanted;
    let holder = Statement::new(HOLDER_OF_NAME).bind(scope.actor()).bind(name.key());
    let stored = match key {
        Some(key) => key.look_up(scope, now_ms),
        None => Statement::new("SELECT 1 AS stored WHERE 0"),
    };
    vec![holder, quota.question(), stored, record_if_free(scope, wanted, key, intent)]
}

/// Inserts the intent if the creation can take place. The statement returns a row if it wrote one.
fn record_if_free(
    scope: &Scope,
    wanted: &CreationNeeds<'_>,
    key: Option<&Idempotency>,
    intent: &MintIntent,
) -> Statement {
    let CreationNeeds { name, quota, now_ms } = *wanted;
    let mut params = Params::default();
    let (owner, wanted) = (params.add(scope.actor()), params.add(name.key()));
    let mut is_free = format!(
        "{} AND NOT EXISTS (SELECT 1 FROM contexts WHERE owner_chitty_id = {owner} \
         AND ifnull(name_key, name) = {wanted} AND deleted_at IS NULL) AND NOT EXISTS \
         (SELECT 1 FROM contexts AS former WHERE owner_chitty_id = {owner} AND {}) AND NOT {}",
        scope.may_sql(&mut params),
        former_names::CONDITION,
        quota.is_full(&mut params),
    );
    if let Some(key) = key {
        let is_unused = key.is_unused_sql(scope, now_ms, &mut params);
        is_free += &format!(" AND {is_unused}");
    }
    intent.record_if(params, &is_free)
}

/// Returns the row of the stored reply, if there is one, or the problem that prevents the creation, from the
/// results of [`checks`].
fn judge(results: Vec<Vec<Row>>, quota: &Quota) -> Result<Vec<Row>, Problem> {
    let mut results = results.into_iter();
    let holder = first_row(results.next());
    let room = results.next().unwrap_or_default();
    let stored = results.next().unwrap_or_default();
    let recorded = results.next().unwrap_or_default();
    match holder.map(|mut row| row.text("chitty_id")).transpose()? {
        // With a stored reply, the request is a repeat and has itself created the context with this name.
        Some(existing) if stored.is_empty() => Err(Failure::NameTaken(Some(existing)).into()),
        None if stored.is_empty() => {
            quota.judge(&room)?;
            // Without a recorded intent, nothing may be minted.
            if recorded.is_empty() { Err(DbError::Shape.into()) } else { Ok(stored) }
        }
        _ => Ok(stored),
    }
}

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
            Failure::OverQuota(error) | Failure::Db(error) => Problem::storage(&error),
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

/// SQL for the body of the reply to a creation, over a row of `contexts`.
const CREATED: &str = "'{\"success\":true,\"context\":' || shown || '}'";

/// Returns SQL for the body that is stored for repeats of a creation with a key for the context: without that
/// key.
fn replayed() -> String {
    format!(
        "'{{\"success\":true,\"context\":' || shown || ',\"credentials\":' || {} || '}}'",
        credentials::REPLAYED
    )
}

/// A context to be stored, with all that its batch writes.
pub struct Insertion<'a> {
    /// The id that ChittyID has minted.
    pub id: &'a ChittyId,
    /// The intent under which the id was minted; the batch settles it.
    pub intent: &'a MintIntent,
    /// The content of the context.
    pub draft: &'a Draft,
    /// The event of the creation; its id becomes the revision.
    pub event: &'a Event,
    /// How long after its instant the event is overdue, in ms.
    pub overdue_ms: u64,
    /// How many contexts the owner may have.
    pub quota: &'a Quota,
    /// The request's idempotency key.
    pub key: Option<&'a Idempotency>,
    /// The key that ChittyAuth has made for the context, if the caller requested one.
    pub made_for_it: Option<&'a MadeKey>,
    /// The reply to be stored under the idempotency key.
    pub reply: StoredReply<'a>,
}

/// Creates a context: the row, its words, its event and, with an idempotency key, the reply, in one batch.
/// Returns the reply's body.
///
/// # Errors
/// [`Failure`]; then nothing of the batch is stored. After [`Failure::Db`] that is not certain.
pub async fn insert(
    ready: Ready<'_>,
    scope: &Scope,
    new: &Insertion<'_>,
) -> Result<String, Failure> {
    let mut batch = insert_statements(scope.actor(), new.id, new.draft, new.event);
    batch.push(outbox::insert(new.event, new.overdue_ms));
    batch.push(new.intent.fulfilled());
    batch.extend(new.made_for_it.into_iter().flat_map(|made| made.taken(new.event)));
    if let Some(key) = new.key {
        let shown = new.made_for_it.map_or_else(|| CREATED.to_owned(), |_| replayed());
        let body = format!("SELECT {shown} FROM contexts WHERE chitty_id = ?1 AND revision = ?2");
        batch.extend(key.store(scope, new.event, &new.reply, &body));
    }
    batch.extend(new.quota.assertion());
    let results = scope.write(ready, batch).await?;
    let row = first_row(results.into_iter().next());
    Ok(row.ok_or(DbError::Shape)?.text("body")?)
}

/// Returns the body of the reply to a creation whose batch failed, if the batch was committed nevertheless.
///
/// # Errors
/// Storage failures.
pub async fn created(ready: Ready<'_>, id: &ChittyId) -> Result<Option<String>, DbError> {
    let query = format!("SELECT {CREATED} AS body FROM contexts WHERE chitty_id = ?1");
    let rows = ready.db().rows(Statement::new(query).bind(id.as_str())).await?;
    rows.into_iter().next().map(|mut row| row.text("body")).transpose()
}

/// Returns the statements that create the gateway's own context, whose owner is the context itself.
pub fn insert_own(id: &ChittyId, name: &'static str, event: &Event) -> Vec<Statement> {
    let draft = Draft {
        name: Name::own(name),
        data: List::empty(),
        systems: List::empty(),
        tools: List::empty(),
        kind: None,
        customizations: None,
        status: Status::Active,
        key: None,
    };
    insert_statements(id.as_str(), id, &draft, event)
}

fn insert_statements(owner: &str, id: &ChittyId, draft: &Draft, event: &Event) -> Vec<Statement> {
    let row = Statement::new(format!(
        "INSERT INTO contexts (owner_chitty_id, chitty_id, name, data, systems, tools, status, \
         created_at, updated_at, revision, type, customizations, name_key, words_written) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9, ?10, json(?11), ?12, 1) \
         RETURNING {CREATED} AS body"
    ))
    .bind(owner)
    .bind(id.as_str())
    .bind(draft.name.text())
    .bind(draft.data.json.as_str())
    .bind(draft.systems.json.as_str())
    .bind(draft.tools.json.as_str())
    .bind(draft.status.as_str())
    .bind(event.at.as_str())
    .bind(event.id.as_str())
    .bind(draft.kind.as_deref())
    .bind(draft.customizations.as_deref())
    .bind(draft.name.key());
    let key = Key::of(owner, draft.status);
    let words = Statement::new(
        "INSERT INTO contexts_fts (rowid, name, data, systems, tools) \
         SELECT row_id, ?2, ?3, ?4, ?5 FROM contexts WHERE chitty_id = ?1",
    )
    .bind(id.as_str())
    .bind(name_column(draft.name.text(), &key))
    .bind(draft.data.words.under(&key))
    .bind(draft.systems.words.under(&key))
    .bind(draft.tools.words.under(&key));
    vec![row, words]
}

/// A change of one context of the caller.
pub struct Change<'a> {
    /// The ChittyID of the context.
    pub id: &'a ChittyId,
    /// The event of the change; its id becomes the revision.
    pub event: &'a Event,
    /// The revisions that the caller accepts for the change.
    pub if_match: IfMatch,
    /// How long after its instant the event is overdue, in ms.
    pub overdue_ms: u64,
}

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
        rest.extend(made_for_it.into_iter().flat_map(|made| made.taken(change.event)));
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
    rest.push(said::forget_lineage(change.event));
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
