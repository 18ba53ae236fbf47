//! `/v1/audit`.

use http_kit::numbers::whole;
use http_kit::paging::{Cursor, invalid_cursor};
use http_kit::problem::{Code, Problem};
use http_kit::request::Request;
use seams::db::Params;
use serde_json::json;

use crate::access::caller::Scope;
use crate::access::event::kind_asked_for;
use crate::access::listing::{Page, PageRequest, SEPARATOR};
use crate::access::reply::{Outcome, Reply};
use crate::app::App;
use crate::audit::verify as verification;
use crate::store::Ready;

#[cfg(not(target_family = "wasm"))]
use crate::audit::views::{AuditListView, AuditVerdictView};

/// An entry as it is returned: SQL for a JSON object.
const ITEM: &str = "json_object('seq', seq, 'event_id', event_id, 'at', at, 'actor_id', actor_id, \
     'via', via, 'action', action, 'entity_type', entity_type, 'entity_id', entity_id, \
     'outcome', outcome, 'detail', json(detail))";

/// List the entries of the audit, newest first.
///
/// Administrators see all entries. Others see what they did and what was done to them.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/v1/audit",
    operation_id = "auditList",
    tag = "audit",
    params(
        ("actor" = Option<String>, Query, description = "Only entries of this actor. An actor other than yourself is for administrators only."),
        ("entity" = Option<String>, Query, description = "Only entries about the entity with this id."),
        ("action" = Option<String>, Query, description = "Only entries of this action, such as `context.created`."),
        ("limit" = Option<u8>, Query, description = "1 to 100; 100 by default."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before."),
    ),
    responses(
        (status = 200, description = "A page.", body = AuditListView, headers(("Link" = String))),
        (status = 422, description = "A parameter is not acceptable."),
    ),
))]
pub async fn list(_: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    // 1. Read the filters, and where the page begins.
    let PageRequest { limit, cursor } = PageRequest::of(request)?;
    let mut params = Params::default();
    let mut narrowed = String::new();
    if let Some(entity) = request.query("entity") {
        narrowed += &format!(" AND entity_id = {}", params.add(&*entity));
    }
    let mut errors = Vec::new();
    if let Some(action) = kind_asked_for(request, "action", &mut errors) {
        narrowed += &format!(" AND action = {}", params.add(&*action));
    }
    if !errors.is_empty() {
        return Err(Problem::validation(errors));
    }
    if let Some(Cursor([seq, _])) = cursor {
        let seq: i64 = seq.parse().map_err(|_| invalid_cursor())?;
        narrowed += &format!(" AND seq <= {}", params.add(seq));
    }
    // 2. Settle whose entries the page has; those of another actor require an administrator.
    let actor = request.query("actor");
    let limit_at = params.add(limit + 1);
    let page = |condition: &str| {
        format!(
            "SELECT * FROM (SELECT * FROM audit WHERE {condition}{narrowed} \
             ORDER BY seq DESC LIMIT {limit_at})"
        )
    };
    let asks_for_others = actor.as_ref().is_some_and(|actor| actor != scope.actor());
    let own = params.add(scope.actor());
    let (reader, rows) = match actor {
        Some(actor) if actor == scope.actor() => (scope, page(&format!("actor_id = {own}"))),
        Some(actor) => {
            let actor = params.add(&*actor);
            (scope.demanding_admin(), page(&format!("actor_id = {actor} AND {own} IS NOT NULL")))
        }
        // Each of the three queries walks its own index from the newest entry on and stops after a page.
        None => {
            let admin = scope.is_admin_sql(&mut params);
            let all = page(&admin);
            let deeds = page(&format!("NOT {admin} AND actor_id = {own}"));
            let fate = page(&format!("NOT {admin} AND entity_id = {own} AND actor_id <> {own}"));
            (scope, format!("{all} UNION ALL {deeds} UNION ALL {fate}"))
        }
    };
    // 3. Read the page, and reply.
    let query = params.statement(format!(
        "SELECT count(*) AS item_count, group_concat(item, '{SEPARATOR}') AS items, \
         min(seq) || '|' AS last_keys \
         FROM (SELECT seq, {ITEM} AS item FROM ({rows}) ORDER BY seq DESC LIMIT {limit_at})"
    ));
    let rows = reader.rows(ready, query).await.map_err(|problem| match problem.code {
        Code::InsufficientScope if asks_for_others => {
            Problem::invalid("?actor", "must be your own ChittyID, or left out")
        }
        _ => problem,
    })?;
    Ok(Page::of(rows, limit)?.reply(request, "entries", &[]))
}

/// Compare the audit with its seals. Administrators only.
///
/// One call compares about 10,000 entries, in the archive and in the database. `verified` says exactly
/// which, and `next` is the `from` of the next call. `result` is `valid`, `altered` (see `fault`), or
/// `unreadable`: a part of the archive cannot be read (see `unreadable`), which does not mean that anybody
/// has altered it.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/v1/audit/verify",
    operation_id = "auditVerify",
    tag = "audit",
    params(("from" = Option<i64>, Query, description = "The number of the entry to begin with; 1 by default.")),
    responses(
        (status = 200, description = "Whether the compared entries match their seals.", body = AuditVerdictView),
        (status = 422, description = "A parameter is not acceptable."),
    ),
))]
pub async fn verify(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    // 1. Check the permission, and read where to begin.
    scope.check(ready).await?;
    let from = match request.query("from") {
        None => 1,
        Some(text) => match whole(&text).and_then(|from| i64::try_from(from).ok()) {
            Some(from) if from >= 1 => from,
            _ => return Err(Problem::invalid("?from", "must be a whole number, 1 or more")),
        },
    };
    // 2. Compare entries with their seals, up to the bound of one call.
    let verdict = verification::verify(app, ready, from).await?;
    // 3. Reply with the entries that were compared, and with the result.
    let result = match (&verdict.fault, &verdict.unreadable) {
        (Some(_), _) => "altered",
        (None, Some(_)) => "unreadable",
        (None, None) => "valid",
    };
    let verified = verdict.from.zip(verdict.head.as_ref());
    let text = json!({
        "result": result,
        "valid": result == "valid",
        "verified": verified.map(|(from, head)| json!({ "from": from, "to": head.seq })),
        "checked": verdict.checked_count(),
        "archived": verdict.archived,
        "sealed_to": verdict.head.as_ref().map(|head| head.seq),
        "unsealed": verdict.unsealed,
        "fault": verdict.fault.map(|(seq, what)| json!({ "seq": seq, "what": what })),
        "unreadable": verdict.unreadable.map(|part| {
            json!({ "from": part.from, "to": part.to, "what": part.what })
        }),
        "head": verdict.head.map(|head| json!({ "seq": head.seq, "hash": head.hash })),
        "next": verdict.next,
    });
    Ok(Reply::json(text.to_string()))
}
