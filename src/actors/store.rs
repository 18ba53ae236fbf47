//! The SQL of actors.

use http_kit::fields::Member;
use http_kit::precondition::ChangeOutcome;
use http_kit::problem::Problem;
use seams::db::{Params, Row, Statement};
use serde_json::json;

use crate::access::caller::{Scope, WriteError};
use crate::access::change::Change;
use crate::access::creation::Creation;
use crate::access::listing::{Newest, Page, PageRequest};
use crate::actors::input::{Patch, Profile, Registration};
use crate::store::{Ready, outbox};

/// SQL for all capabilities of an actor, as a JSON array: those that ChittyAuth vouches for, then
/// those that an administrator has granted.
const CAPABILITIES: &str = "(SELECT json_group_array(value) FROM \
     (SELECT value FROM json_each(actors.vouched) UNION ALL \
     SELECT value FROM json_each(actors.capabilities) \
     WHERE value NOT IN (SELECT value FROM json_each(actors.vouched))))";

/// SQL for an actor as a JSON object, as the actor itself and administrators see it.
fn full() -> String {
    format!(
        "json_object('chitty_id', chitty_id, 'chittyId', chitty_id, \
         'registered', json(iif(registered_at IS NULL, 'false', 'true')), \
         'actor_type', actor_type, 'display_name', display_name, 'email', email, \
         'avatar_url', avatar_url, 'capabilities', json({CAPABILITIES}), \
         'chitty_dna_id', chitty_dna_id, 'chitty_auth_principal_id', chitty_auth_principal_id, \
         'last_seen_at', last_seen_at, 'session_count', session_count, 'status', status, \
         'created_at', created_at, 'updated_at', updated_at)"
    )
}

/// SQL for an actor as a JSON object, as others see it.
const PUBLIC: &str = "json_object('chitty_id', chitty_id, 'chittyId', chitty_id, \
     'actor_type', actor_type, 'display_name', display_name, 'avatar_url', avatar_url)";

/// SQL for the version of an actor: its revision, and how many ids other services have added to it.
/// Such an addition is no change by anybody, so it leaves the revision as it is.
const VERSION: &str = "revision || iif(chitty_auth_principal_id IS NULL AND chitty_dna_id IS NULL, '', \
     '.' || ((chitty_auth_principal_id IS NOT NULL) + (chitty_dna_id IS NOT NULL)))";

/// An actor with its version.
#[derive(Debug)]
pub struct ActorState {
    /// The version, for the entity tag.
    pub revision: String,
    /// The actor as it is returned.
    pub json: String,
    /// Whether it has registered itself.
    pub is_registered: bool,
}

/// An actor as the caller may see it.
#[derive(Debug)]
pub struct ActorDocument {
    /// The version, for the entity tag; `None` if the caller sees only a part.
    pub revision: Option<String>,
    /// The actor as it is returned.
    pub json: String,
}

/// Reads an actor. The actor itself and administrators get all of it; others get what everybody may
/// see, if it has registered and is not deleted.
///
/// # Errors
/// 401 or 403 if the caller lacks the permission; storage failures.
pub async fn show(
    ready: Ready<'_>,
    scope: &Scope,
    id: &str,
) -> Result<Option<ActorDocument>, Problem> {
    let mut params = Params::default();
    let id_at = params.add(id);
    let all = match scope.actor() == id {
        true => "1".to_owned(),
        false => scope.is_admin_sql(&mut params),
    };
    let query = params.statement(format!(
        "SELECT iif(shows_all, {VERSION}, NULL) AS revision, iif(shows_all, {}, {PUBLIC}) AS item \
         FROM (SELECT {all} AS shows_all) CROSS JOIN actors WHERE chitty_id = {id_at} \
         AND (shows_all OR (registered_at IS NOT NULL AND status <> 'deleted'))",
        full()
    ));
    let Some(mut row) = scope.rows(ready, query).await?.into_iter().next() else {
        return Ok(None);
    };
    Ok(Some(ActorDocument { revision: row.optional_text("revision")?, json: row.text("item")? }))
}

/// Reads all of an actor, for the actor itself.
///
/// # Errors
/// 401 or 403 if the caller lacks the permission; storage failures.
pub async fn get(ready: Ready<'_>, scope: &Scope, id: &str) -> Result<Option<ActorState>, Problem> {
    let query = Statement::new(format!(
        "SELECT {VERSION} AS revision, {} AS item, registered_at IS NOT NULL AS is_registered \
         FROM actors WHERE chitty_id = ?1",
        full()
    ));
    let Some(mut row) = scope.rows(ready, query.bind(id)).await?.into_iter().next() else {
        return Ok(None);
    };
    Ok(Some(ActorState {
        revision: row.text("revision")?,
        json: row.text("item")?,
        is_registered: row.flag("is_registered")?,
    }))
}

/// Reads the capabilities of an actor by their origin, for itself and for administrators.
///
/// # Errors
/// 401 or 403 if the caller lacks the permission; storage failures.
pub async fn capabilities(
    ready: Ready<'_>,
    scope: &Scope,
    id: &str,
) -> Result<Option<String>, Problem> {
    let query = Statement::new(format!(
        "SELECT json_object('chitty_id', chitty_id, 'actor_type', actor_type, 'status', status, \
         'capabilities', json({CAPABILITIES}), \
         'capability_count', json_array_length({CAPABILITIES}), \
         'vouched', json(vouched), 'granted', json(capabilities)) AS document \
         FROM actors WHERE chitty_id = ?1"
    ));
    let rows = scope.rows(ready, query.bind(id)).await?;
    let json = rows.into_iter().next().map(|mut row| row.text("document")).transpose();
    Ok(json?)
}

/// The filters of a list.
#[derive(Debug, Default)]
pub struct Filter {
    /// Only this type.
    pub actor_type: Option<&'static str>,
    /// Only this status.
    pub status: Option<&'static str>,
}

/// Lists all actors, newest first.
///
/// # Errors
/// 401 or 403 if the caller lacks the permission; storage failures.
pub async fn list(
    ready: Ready<'_>,
    scope: &Scope,
    filter: &Filter,
    asked: PageRequest,
) -> Result<Page, Problem> {
    let mut params = Params::default();
    let mut condition = "1".to_owned();
    if let Some(actor_type) = filter.actor_type {
        condition += &format!(" AND actor_type = {}", params.add(actor_type));
    }
    if let Some(status) = filter.status {
        condition += &format!(" AND status = {}", params.add(status));
    }
    let item = full();
    let list = Newest { from: "actors", keys: ["created_at", "chitty_id"], item: &item, condition };
    list.read(ready, scope, params, asked).await
}

/// SQL for the body of the reply to a registration, over a row of `actors`.
fn registration_reply_sql() -> String {
    format!("'{{\"success\":true,\"actor\":' || {} || '}}'", full())
}

/// Registers the caller. A status or a grant that an administrator has set before stays. Returns
/// the reply's body, or `None` if the caller has registered before.
///
/// # Errors
/// [`WriteError`]; if the caller has registered before and there is an idempotency key, the failure to store the reply.
pub async fn register(
    ready: Ready<'_>,
    scope: &Scope,
    new: &Registration,
    creation: &Creation<'_>,
) -> Result<Option<String>, WriteError> {
    let event = &creation.event;
    let Profile { display_name, email, avatar_url } = &new.profile;
    let insert = Statement::new(format!(
        "INSERT INTO actors (chitty_id, actor_type, display_name, email, avatar_url, vouched, \
         last_seen_at, session_count, created_at, updated_at, registered_at, revision, \
         chitty_auth_principal_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1, ?7, ?7, ?7, ?8, ?9) \
         ON CONFLICT (chitty_id) DO UPDATE SET actor_type = excluded.actor_type, \
         display_name = excluded.display_name, email = excluded.email, \
         avatar_url = excluded.avatar_url, vouched = excluded.vouched, \
         last_seen_at = excluded.last_seen_at, session_count = session_count + 1, \
         updated_at = excluded.updated_at, registered_at = excluded.registered_at, \
         revision = excluded.revision, chitty_auth_principal_id = \
         coalesce(excluded.chitty_auth_principal_id, chitty_auth_principal_id) \
         WHERE registered_at IS NULL RETURNING {} AS body",
        registration_reply_sql()
    ))
    .bind(scope.actor())
    .bind(new.actor_type)
    .bind(display_name.as_ref().map(String::as_str))
    .bind(email.as_ref().map(String::as_str))
    .bind(avatar_url.as_ref().map(String::as_str))
    .bind(json!(scope.carried_scopes()).to_string())
    .bind(event.at.as_str())
    .bind(event.id.as_str())
    .bind(scope.principal_id());
    let stored = format!(
        "SELECT {} FROM actors WHERE chitty_id = ?1 AND revision = ?2",
        registration_reply_sql()
    );
    creation.write_if_stored(ready, scope, vec![insert], ("actors", "chitty_id"), &stored).await
}

/// Returns whether the caller has registered, and the rows that `look_up` finds in the same round trip.
///
/// # Errors
/// 401 or 403 if the caller lacks the permission; storage failures.
pub async fn is_registered(
    ready: Ready<'_>,
    scope: &Scope,
    look_up: Option<Statement>,
) -> Result<(bool, Vec<Row>), Problem> {
    let check = Statement::new(
        "SELECT 1 AS found FROM actors WHERE chitty_id = ?1 AND registered_at IS NOT NULL",
    )
    .bind(scope.actor());
    let mut results =
        scope.read(ready, [check].into_iter().chain(look_up).collect()).await?.into_iter();
    let is_registered = results.next().is_some_and(|rows| !rows.is_empty());
    Ok((is_registered, results.next().unwrap_or_default()))
}

/// Changes an actor. A status can also be set for an actor that has never called, so that it is
/// refused when it does.
///
/// # Errors
/// [`WriteError`].
pub async fn update(
    ready: Ready<'_>,
    scope: &Scope,
    change: &Change<'_>,
    patch: &Patch,
) -> Result<ChangeOutcome, WriteError> {
    let mut params = Params::default();
    let mut set = String::new();
    let Profile { display_name, email, avatar_url } = &patch.profile;
    let fields = [("display_name", display_name), ("email", email), ("avatar_url", avatar_url)];
    for (column, sent) in fields {
        let value = match sent {
            Member::Absent => continue,
            Member::Null => None,
            Member::Value(value) => Some(value.as_str()),
        };
        set += &format!("{column} = {}, ", params.add(value));
    }
    if let Some(status) = patch.status {
        set += &format!("status = {}, ", params.add(status));
    }
    perform(
        ready,
        scope,
        change,
        params,
        &Setting { set: &set, before: None },
        patch.status.is_some(),
    )
    .await
}

/// Reads the capabilities that an actor has been granted, as the stored JSON array.
///
/// # Errors
/// 401 or 403 if the caller lacks the permission; storage failures.
pub async fn granted_capabilities(
    ready: Ready<'_>,
    scope: &Scope,
    id: &str,
) -> Result<String, Problem> {
    let query = Statement::new("SELECT capabilities FROM actors WHERE chitty_id = ?1").bind(id);
    let row = scope.rows(ready, query).await?.into_iter().next();
    Ok(row.map(|mut row| row.text("capabilities")).transpose()?.unwrap_or_else(|| "[]".to_owned()))
}

/// Replaces the capabilities that an administrator grants an actor, which need not have called yet.
/// With `before`, replaces them only if they are `before` at this moment.
///
/// # Errors
/// [`WriteError`].
pub async fn grant(
    ready: Ready<'_>,
    scope: &Scope,
    change: &Change<'_>,
    granted: &[String],
    before: Option<&str>,
) -> Result<ChangeOutcome, WriteError> {
    let mut params = Params::default();
    let set = format!("capabilities = {}, ", params.add(json!(granted).to_string()));
    let before = before.map(|before| params.add(before));
    perform(ready, scope, change, params, &Setting { set: &set, before: before.as_deref() }, true)
        .await
}

/// SQL for the display name of an actor, or NULL; `id` is SQL for its ChittyID.
pub fn name_sql(id: &str) -> String {
    format!("(SELECT display_name FROM actors WHERE chitty_id = {id})")
}

/// SQL for the capabilities of an actor as a JSON array, or NULL; `id` is SQL for its ChittyID.
pub fn capabilities_sql(id: &str) -> String {
    format!("(SELECT capabilities FROM actors AS a WHERE a.chitty_id = {id})")
}

/// SQL for whether an actor is on record and not active; `id` is SQL for its ChittyID.
pub fn is_inactive_sql(id: &str) -> String {
    format!("EXISTS (SELECT 1 FROM actors WHERE chitty_id = {id} AND status <> 'active')")
}

/// The columns that a change sets, and the grants that it requires before it (a placeholder), if any.
struct Setting<'a> {
    set: &'a str,
    before: Option<&'a str>,
}

async fn perform(
    ready: Ready<'_>,
    scope: &Scope,
    change: &Change<'_>,
    mut params: Params,
    setting: &Setting<'_>,
    is_put_on_record: bool,
) -> Result<ChangeOutcome, WriteError> {
    let Change { id, event, if_match, overdue_ms } = change;
    let set = setting.set;
    let before_is =
        setting.before.map_or_else(String::new, |before| format!("AND capabilities = {before} "));
    let mut batch = Vec::new();
    if is_put_on_record {
        // Only its id is known. It names its type when it registers.
        let insert = Statement::new(
            "INSERT INTO actors (chitty_id, actor_type, created_at, updated_at) \
             VALUES (?1, 'service', ?2, ?2) ON CONFLICT DO NOTHING",
        );
        batch.push(insert.bind(id.as_str()).bind(event.at.as_str()));
    }
    let skipped = batch.len();
    let before = Statement::new("SELECT revision FROM actors WHERE chitty_id = ?1");
    batch.push(before.bind(id.as_str()));
    let (at, revision) = (params.add(event.at.as_str()), params.add(event.id.as_str()));
    let (id_at, revisions) = (params.add(id.as_str()), params.add(if_match.as_json()));
    batch.push(params.statement(format!(
        "UPDATE actors SET {set}updated_at = {at}, revision = {revision} WHERE chitty_id = {id_at} \
         AND ({revisions} IS NULL OR revision IN (SELECT value FROM json_each({revisions}))) \
         {before_is}RETURNING {} AS document",
        full()
    )));
    batch.push(outbox::insert_if_changed(event, *overdue_ms, "actors", "chitty_id"));
    let mut results = scope.write(ready, batch).await?.into_iter().skip(skipped);
    Ok(ChangeOutcome::read(results.next(), results.next(), if_match)?)
}
