//! `GET /v1/events`: what has happened to one's own entities, or to one of them.
//!
//! Each entry notes whose its entity was when it happened (`migrations/0026…`): by that it is found, and by
//! that it is kept from whoever has the entity later.

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

/// An event as it is returned: SQL for a JSON object.
const ITEM: &str = "json_object('id', event_id, 'type', action, 'entity_type', entity_type, \
     'entity_id', entity_id, 'actor_id', actor_id, 'via', via, 'at', at, \
     'payload', json(detail), 'told', json(iif(EXISTS (SELECT 1 FROM outbox AS o \
     WHERE o.event_id = audit.event_id AND o.done_at IS NULL), 'false', 'true')))";

/// What has happened to what is yours, newest first.
///
/// Without `entity`: to everything that was yours when it happened, the repositories of your installations
/// included. With it: to that one, of an installation with what has happened in its repositories, and of
/// what was somebody else's for a while without that. From this gateway's own record, so it is there at once
/// and while ChittyChronicle is down; `told` says whether Chronicle has heard of it.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/v1/events",
    operation_id = "eventsTimeline",
    tag = "events",
    params(
        ("entity" = Option<String>, Query, description = "The id of a context, an actor, a connection, a delegation, a key, a run, an installation or a repository (`github:repository:…`)."),
        ("type" = Option<String>, Query, description = "Only events of this type, such as `context.created`."),
        ("since" = Option<String>, Query, description = "Only what has happened at this ISO-8601 instant or date, or later."),
        ("until" = Option<String>, Query, description = "Only what has happened before it."),
        ("owner" = Option<String>, Query, description = "`all` is everybody's, and nobody's. Administrators only."),
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
    let asked = PageRequest::of(request)?;
    let entity = request.query("entity");
    let mut params = Params::default();
    let narrowed = narrowed(request, &mut params)?;
    let of_all = match request.query("owner").as_deref() {
        None => false,
        Some("all") => true,
        Some(_) => return Err(Problem::invalid("?owner", "must be `all`, or left out")),
    };
    let scope = if of_all { scope.demanding_admin() } else { scope };
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

/// SQL for what `type`, `since` and `until` ask for. The ids of events begin with their time; an index over
/// types would be no use beside that over the owners.
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

/// The list of what fits a condition.
fn page_of(condition: String) -> Newest<'static> {
    Newest { from: "audit", keys: ["event_id", "seq"], item: ITEM, condition }
}

/// What has happened to one entity, as far as the caller may see it.
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
        "SELECT count(*), group_concat(item, '{SEPARATOR}'), min(seq) || '|' FROM (SELECT seq, \
         {ITEM} AS item FROM ({to_it} UNION ALL {in_its_repositories}) AS audit \
         ORDER BY seq DESC LIMIT {limit_at})"
    ));
    let mut results = scope.read(ready, vec![visible(scope, entity), page]).await?.into_iter();
    if results.next().is_none_or(|rows| rows.is_empty()) {
        return Err(Problem::not_found("entity").adding(
            "`entity` is its ChittyID, or its own id such as `conn_…`, as the `entity_id` of events \
             has it.",
        ));
    }
    Ok(Page::of(results.next().unwrap_or_default(), limit)?)
}

/// The statement that finds a row if the caller may see what happens to an entity.
fn visible(scope: &Scope, entity: &str) -> Statement {
    let mut params = Params::default();
    let (id, own) = (params.add(entity), params.add(scope.actor()));
    let admin = scope.is_admin_sql(&mut params);
    let owned = [
        ("contexts", "chitty_id", "owner_chitty_id"),
        ("connections", "connection_id", "owner_chitty_id"),
        ("delegations", "delegation_id", "delegator_chitty_id"),
        ("keys", "key_id", "owner_chitty_id"),
        ("orchestrations", "id", "owner_chitty_id"),
        ("installations", "chitty_id", "owner_chitty_id"),
    ]
    .map(|(table, key, owner)| {
        format!("EXISTS (SELECT 1 FROM {table} WHERE {key} = {id} AND {owner} = {own})")
    })
    .join(" OR ");
    let in_repository = format!(
        "EXISTS (SELECT 1 FROM audit WHERE owner_id = {own} AND entity_type = 'repository' \
         AND entity_id = {id})"
    );
    params.statement(format!(
        "SELECT 1 AS found WHERE {id} = {own} OR {owned} OR {in_repository} OR \
         ({admin} AND EXISTS (SELECT 1 FROM audit WHERE entity_id = {id}))"
    ))
}
