//! `GET /v1/events`: the events of the caller's own entities, or of one entity.
//!
//! Each audit entry records who owned the entity at that time (`migrations/0026…`, `0032…`). The list finds
//! entries by that owner, and hides them from a later owner of the entity.

use http_kit::paging::{Cursor, invalid_cursor};
use http_kit::problem::{FieldError, Problem};
use http_kit::request::Request;
use seams::db::{Params, Statement};
use seams::{ids, time};

use crate::access::caller::Scope;
use crate::access::event::kind_asked_for;
use crate::access::listing::{Newest, Page, PageRequest, SEPARATOR};
use crate::access::reply::Outcome;
use crate::app::App;
use crate::store::Ready;

#[cfg(not(target_family = "wasm"))]
use crate::events::views::TimelineView;

/// The types of entities whose tables say who owns each now: the type, the table, its key and the owner. The
/// owner of an entity of another type is in its newest event.
const OWNED: [(&str, &str, &str, &str); 6] = [
    ("context", "contexts", "chitty_id", "owner_chitty_id"),
    ("connection", "connections", "connection_id", "owner_chitty_id"),
    ("delegation", "delegations", "delegation_id", "delegator_chitty_id"),
    ("key", "keys", "key_id", "owner_chitty_id"),
    ("orchestration", "orchestrations", "id", "owner_chitty_id"),
    ("installation", "installations", "chitty_id", "owner_chitty_id"),
];

/// An event as it is returned: SQL for a JSON object.
const ITEM: &str = "json_object('id', event_id, 'type', action, 'entity_type', entity_type, \
     'entity_id', entity_id, 'actor_id', actor_id, 'via', via, 'at', at, \
     'payload', json(detail), 'told', json(iif(EXISTS (SELECT 1 FROM outbox AS o \
     WHERE o.event_id = audit.event_id AND o.done_at IS NULL), 'false', 'true')))";

/// List the events of your entities, newest first.
///
/// Without `entity`: the events of all entities that were yours at the time, including the repositories of
/// your installations. With `entity`: the events of that entity (for an installation, also those of its
/// repositories), except events from a time when it was somebody else's. The list comes from this gateway's
/// own record, so it has an event at once, even while ChittyChronicle is down; `told` says whether
/// ChittyChronicle has been told.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/v1/events",
    operation_id = "eventsTimeline",
    tag = "events",
    params(
        ("entity" = Option<String>, Query, description = "The id of a context, an actor, a connection, a delegation, a key, a run, an installation or a repository (`github:repository:…`)."),
        ("type" = Option<String>, Query, description = "Only events of this type, such as `context.created`."),
        ("since" = Option<String>, Query, description = "Only events at or after this ISO-8601 instant or date."),
        ("until" = Option<String>, Query, description = "Only events before this ISO-8601 instant or date."),
        ("owner" = Option<String>, Query, description = "`all`: the events of all entities, with and without an owner. Administrators only."),
        ("limit" = Option<u8>, Query, description = "1 to 100; 100 by default."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before."),
    ),
    responses(
        (status = 200, description = "A page.", body = TimelineView, headers(("Link" = String))),
        (status = 404, description = "You have no such entity."),
        (status = 422, description = "A parameter is not acceptable."),
    ),
))]
pub async fn timeline(_: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    // 1. Read the filters, and whose events to list.
    let asked = PageRequest::of(request)?;
    let entity = request.query("entity");
    let mut params = Params::default();
    let narrowed = narrowed(request, &mut params)?;
    let of_all = match request.query("owner").as_deref() {
        None => false,
        Some("all") => true,
        Some(_) => return Err(Problem::invalid("?owner", "must be `all`, or left out")),
    };
    // 2. Require an administrator for the events of all owners.
    let scope = if of_all { scope.demanding_admin() } else { scope };
    // 3. Read the page, and reply.
    let page = match entity {
        Some(entity) => of_entity(ready, &scope, &entity, &narrowed, params, asked).await?,
        None if of_all => {
            page_of("1".to_owned() + &narrowed).read(ready, &scope, params, asked).await?
        }
        None => {
            let condition = format!("owner_id = {}{narrowed}", params.add(scope.actor()));
            page_of(condition).read(ready, &scope, params, asked).await?
        }
    };
    Ok(page.reply(request, "events", &[]))
}

/// SQL for the filters `type`, `since` and `until`. The ids of events begin with their time. The `+` before
/// `action` keeps SQLite from using an index over types, which serves worse than the one over owners.
fn narrowed(request: &Request<'_>, params: &mut Params) -> Result<String, Problem> {
    let mut errors = Vec::new();
    let mut sql = String::new();
    for (name, comparison) in [("since", ">="), ("until", "<")] {
        let Some(text) = request.query(name) else { continue };
        match time::read(&text) {
            Some(at_ms) => {
                let first = ids::first_event_of(at_ms);
                sql += &format!(" AND event_id {comparison} {}", params.add(first));
            }
            None => {
                errors.push(FieldError::new(format!("?{name}"), time::FORM));
            }
        }
    }
    if let Some(kind) = kind_asked_for(request, "type", &mut errors) {
        sql += &format!(" AND +action = {}", params.add(&*kind));
    }
    if errors.is_empty() { Ok(sql) } else { Err(Problem::validation(errors)) }
}

/// The list of the audit entries that fit a condition.
fn page_of(condition: String) -> Newest<'static> {
    Newest { from: "audit", keys: ["event_id", "seq"], item: ITEM, condition }
}

/// Reads a page of the events of one entity that the caller may see.
async fn of_entity(
    ready: Ready<'_>,
    scope: &Scope,
    entity: &str,
    narrowed: &str,
    mut params: Params,
    PageRequest { limit, cursor }: PageRequest,
) -> Result<Page, Problem> {
    let mut narrowed = narrowed.to_owned();
    if let Some(Cursor([seq, _])) = cursor {
        let seq: i64 = seq.parse().map_err(|_| invalid_cursor())?;
        narrowed += &format!(" AND seq <= {}", params.add(seq));
    }
    let (id, own) = (params.add(entity), params.add(scope.actor()));
    let (limit_at, admin) = (params.add(limit + 1), scope.is_admin_sql(&mut params));
    // Each part walks its own index from the newest on and stops after a page.
    let part = |condition: &str| {
        format!(
            "SELECT * FROM (SELECT * FROM audit WHERE {condition} \
             AND (owner_id IS NULL OR owner_id = {own} OR {admin}){narrowed} \
             ORDER BY seq DESC LIMIT {limit_at})"
        )
    };
    let to_it = part(&format!("entity_id = {id}"));
    let in_its_repositories = part(&format!(
        "EXISTS (SELECT 1 FROM installations WHERE chitty_id = {id}) AND actor_id = {id} \
         AND entity_type = 'repository'"
    ));
    let page = params.statement(format!(
        "SELECT count(*) AS item_count, group_concat(item, '{SEPARATOR}') AS items, \
         min(seq) || '|' AS last_keys FROM (SELECT seq, \
         {ITEM} AS item FROM ({to_it} UNION ALL {in_its_repositories}) AS audit \
         ORDER BY seq DESC LIMIT {limit_at})"
    ));
    let mut results = scope.read(ready, vec![visible(scope, entity), page]).await?.into_iter();
    if results.next().is_none_or(|rows| rows.is_empty()) {
        return Err(Problem::not_found("entity").adding(
            "`entity` must be a ChittyID or another id such as `conn_…`, like the `entity_id` of events.",
        ));
    }
    Ok(Page::of(results.next().unwrap_or_default(), limit)?)
}

/// The statement that returns a row if the caller may see the events of an entity.
fn visible(scope: &Scope, entity: &str) -> Statement {
    let mut params = Params::default();
    let (id, own) = (params.add(entity), params.add(scope.actor()));
    let admin = scope.is_admin_sql(&mut params);
    let has = |(_, table, key, owner): (&str, &str, &str, &str)| {
        format!("EXISTS (SELECT 1 FROM {table} WHERE {key} = {id} AND {owner} = {own})")
    };
    let owned = OWNED.map(has).join(" OR ");
    let in_repository = format!(
        "EXISTS (SELECT 1 FROM audit WHERE owner_id = {own} AND entity_type = 'repository' \
         AND entity_id = {id})"
    );
    let types = OWNED.map(|(kind, ..)| format!("'{kind}'")).join(", ");
    let by_newest_event = format!(
        "(SELECT owner_id = {own} AND entity_type NOT IN ('actor', 'repository', {types}) \
         FROM audit WHERE entity_id = {id} ORDER BY seq DESC LIMIT 1)"
    );
    params.statement(format!(
        "SELECT 1 AS found WHERE {id} = {own} OR {owned} OR {in_repository} OR {by_newest_event} \
         OR ({admin} AND EXISTS (SELECT 1 FROM audit WHERE entity_id = {id}))"
    ))
}
