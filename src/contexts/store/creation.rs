//! The creation of contexts: what is checked before ChittyID mints the id, and the one batch that stores the row,
//! its words in the index, its event and the reply to repeats.

use chitty_core::ChittyId;
use http_kit::names::Name;
use http_kit::problem::Problem;
use seams::db::{DbError, Params, Row, Statement, first_row};

use crate::access::caller::Scope;
use crate::access::creation::Creation;
use crate::access::idempotency::Idempotency;
use crate::access::quota::Quota;
use crate::contexts::Status;
use crate::contexts::credentials::{self, Key as MadeKey};
use crate::contexts::input::{Draft, List};
use crate::contexts::search::{Key, name_column};
use crate::contexts::store::failure::{Failure, HOLDER_OF_NAME};
use crate::contexts::store::former_names::{self, Patience};
use crate::store::Ready;
use crate::store::event::Event;
use crate::store::minting::MintIntent;

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
    /// What it has in common with every creation.
    pub creation: &'a Creation<'a>,
    /// The key that ChittyAuth has made for the context, if the caller requested one.
    pub made_for_it: Option<&'a MadeKey>,
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
    let event = &new.creation.event;
    let mut own = insert_statements(scope.actor(), new.id, new.draft, event);
    own.push(new.intent.fulfil());
    own.extend(new.made_for_it.into_iter().flat_map(|made| made.assign(event)));
    let shown = new.made_for_it.map_or_else(|| CREATED.to_owned(), |_| replayed());
    let stored = format!("SELECT {shown} FROM contexts WHERE chitty_id = ?1 AND revision = ?2");
    let body = new.creation.write(ready, scope, own, &stored).await?;
    Ok(body.ok_or(DbError::Shape)?)
}

/// Returns the body of the reply to a creation whose batch failed, if the batch was committed nevertheless.
///
/// # Errors
/// Storage failures.
pub async fn committed_reply(ready: Ready<'_>, id: &ChittyId) -> Result<Option<String>, DbError> {
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
