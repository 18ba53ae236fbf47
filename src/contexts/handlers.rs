//! `/v1/contexts`: each handler is extract → decide → one batch → reply.

use chitty_core::{ChittyId, EntityLabel, MintRequest};
use serde_json::json;

use crate::app::App;
use crate::contexts::input::{self, Draft, Status};
use crate::contexts::store::{self, Changed, Failure, Filter, Page};
use crate::events::{Event, EventKind, outbox};
use crate::http::caller::Scope;
use crate::http::idempotency::{Idempotency, Stored};
use crate::http::paging::{self, Cursor};
use crate::http::precondition::{IfMatch, etag, none_match_hits};
use crate::http::problem::{Code, FieldError, Problem};
use crate::http::reply::{After, Body, Reply};
use crate::http::request::Request;
use crate::init::Ready;
use crate::platform::time;

#[cfg(not(target_family = "wasm"))]
use crate::contexts::{Context, ContextList, ContextReply, Deleted};
#[cfg(not(target_family = "wasm"))]
use crate::http::problem::ProblemBody;

/// Page sizes where the caller names none; the predecessor's.
const LIST_LIMIT: i64 = 100;
const SEARCH_LIMIT: i64 = 50;

/// The most characters of a search.
const MAX_QUERY_CHARS: usize = 200;

/// Make a context.
///
/// Its ChittyID is minted by ChittyID; while that is down the answer is 503 and nothing is stored.
/// Send an `Idempotency-Key` to be able to repeat the request safely for 24 hours.
//
// Minting cannot be repeated or taken back, so everything that can refuse the creation comes before
// it: the body, the key, the caller's state, the name.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    post,
    path = "/v1/contexts",
    operation_id = "contextsCreate",
    tag = "contexts",
    params(
        ("Idempotency-Key" = Option<String>, Header,
            description = "1 to 255 visible ASCII characters, best a fresh UUID. The same key with the same body gives the same reply, with `Idempotency-Replayed: true`."),
    ),
    request_body = input::ContextDraft,
    responses(
        (status = 201, description = "Made.", body = ContextReply,
            headers(("ETag" = String), ("Location" = String), ("Idempotency-Replayed" = String))),
        (status = 409, description = "`name_taken`: `existing_chitty_id` is the context that has the name.", body = ProblemBody<'_>, content_type = "application/problem+json"),
        (status = 422, description = "A value is not acceptable, or the idempotency key was used for another request.", body = ProblemBody<'_>, content_type = "application/problem+json"),
    ),
))]
pub async fn create(
    app: &App,
    ready: Ready<'_>,
    scope: Scope,
    request: &Request<'_>,
) -> Result<Reply, Problem> {
    // 1. Extract and check.
    let body = request.json_bytes().await?;
    let draft = input::draft(&body)?;
    let key = Idempotency::of(request, "contexts.create", &body)?;
    // 2. Replay, or find out what is in the way.
    let look_up = key.as_ref().map(|key| key.look_up(&scope, request.now_ms));
    let stored = store::check_free(ready, &scope, &draft.name, look_up).await?;
    if let Some(replay) = key.as_ref().map(|key| key.replay(stored)).transpose()?.flatten() {
        return Ok(replay);
    }
    // 3. Mint.
    let id = mint(app, &scope, request).await?;
    // 4. The row, its words, its event and the reply to the key, in one batch.
    let changed = json!({ "status": draft.status.as_str() });
    let event = event(app, EventKind::ContextCreated, &id, &scope, changed, request);
    let tag = etag(&event.id);
    let location = format!("/v1/contexts/{id}");
    let reply = Stored { status: 201, etag: &tag, location: &location };
    let kept = key.as_ref().map(|key| (key, &reply, request.now_ms));
    let overdue_ms = app.config.outbox_overdue_ms;
    let text = match store::insert(ready, &scope, &id, &draft, &event, overdue_ms, kept).await {
        Ok(text) => text,
        Err(failure) => {
            match recover(app, ready, &scope, &id, &draft, &key, failure, request).await? {
                Recovered::Committed(text) => text,
                Recovered::Replayed(reply) => return Ok(reply),
            }
        }
    };
    // 5. Reply, then announce.
    Ok(Reply::new(201, Body::Json(text))
        .header("etag", tag)
        .header("location", location)
        .then(After::Announce(event)))
}

async fn mint(app: &App, scope: &Scope, request: &Request<'_>) -> Result<ChittyId, Problem> {
    let wanted = MintRequest {
        label: EntityLabel::Context,
        metadata: json!({ "owner": scope.actor(), "service": "chittyconnect" }),
        timestamp: time::iso8601(app.now_ms()),
    };
    app.core.id().mint(&wanted, &request.trace.call()).await.map_err(|error| {
        Problem::upstream(
            Code::IdentityAuthorityUnavailable,
            "ChittyID did not mint an identity, so nothing was stored. Repeat the request later.",
            &error,
        )
    })
}

enum Recovered {
    /// The batch had been committed after all; the reply's body.
    Committed(String),
    /// Another request with the same idempotency key was faster; its reply.
    Replayed(Reply),
}

/// After a batch that failed: what there is to reply all the same, or the problem. The minted id is
/// in use or reported as orphaned.
#[allow(clippy::too_many_arguments, reason = "the whole state of a creation that failed")]
async fn recover(
    app: &App,
    ready: Ready<'_>,
    scope: &Scope,
    id: &ChittyId,
    draft: &Draft,
    key: &Option<Idempotency>,
    failure: Failure,
    request: &Request<'_>,
) -> Result<Recovered, Problem> {
    if let Failure::Db(_) = failure
        && let Ok(Some(text)) = store::created(ready, id).await
    {
        return Ok(Recovered::Committed(text));
    }
    let reason = match &failure {
        Failure::NameTaken(_) => "name_taken",
        Failure::LostRace => "idempotency_race",
        Failure::Db(_) => "storage_unavailable",
    };
    outbox::report_orphan(app, Some(ready), id, scope.actor(), reason).await;
    // A request with the same key holds the same name, so either constraint may have spoken first.
    if let Some(key) = key
        && !matches!(failure, Failure::Db(_))
    {
        let rows = ready.db().rows(key.look_up(scope, request.now_ms)).await?;
        if let Some(reply) = key.replay(rows)? {
            return Ok(Recovered::Replayed(reply));
        }
    }
    match failure {
        Failure::NameTaken(_) => {
            let existing = store::id_of_name(ready, scope, &draft.name).await?;
            Err(Failure::NameTaken(existing).into())
        }
        failure => Err(failure.into()),
    }
}

/// List one's contexts, newest first.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/v1/contexts",
    operation_id = "contextsList",
    tag = "contexts",
    params(
        ("status" = Option<String>, Query, description = "`active`, `inactive` or `all` (the default)."),
        ("since" = Option<String>, Query, description = "Only what was made at this ISO-8601 instant or date, or later."),
        ("limit" = Option<u8>, Query, description = "1 to 100; 100 by default."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before."),
    ),
    responses(
        (status = 200, description = "A page.", body = ContextList, headers(("Link" = String))),
        (status = 422, description = "A parameter is not acceptable.", body = ProblemBody<'_>, content_type = "application/problem+json"),
    ),
))]
pub async fn list(
    _: &App,
    ready: Ready<'_>,
    scope: Scope,
    request: &Request<'_>,
) -> Result<Reply, Problem> {
    let mut errors = Vec::new();
    let filter =
        Filter { status: status(request, None, &mut errors), since: since(request, &mut errors) };
    if !errors.is_empty() {
        return Err(Problem::validation(errors));
    }
    let limit = paging::limit(request, LIST_LIMIT)?;
    let page = store::list(ready, &scope, &filter, limit, Cursor::of(request)?).await?;
    Ok(listing(request, &page, None))
}

/// Search one's contexts by the words in them.
///
/// Every word must be there: in the name (its beginning is enough), in the data, the systems or the
/// tools. Case, diacritics and English endings do not matter; nothing that is typed is an operator.
/// First comes the context whose name was typed, then those with all words in the name, then the
/// rest, each newest first.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/v1/contexts/search",
    operation_id = "contextsSearch",
    tag = "contexts",
    params(
        ("q" = Option<String>, Query, description = "At most 200 characters. Without it, everything is found."),
        ("status" = Option<String>, Query, description = "`active` (the default), `inactive` or `all`."),
        ("limit" = Option<u8>, Query, description = "1 to 100; 50 by default."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before."),
    ),
    responses(
        (status = 200, description = "A page, with the query.", body = ContextList, headers(("Link" = String))),
        (status = 422, description = "A parameter is not acceptable.", body = ProblemBody<'_>, content_type = "application/problem+json"),
    ),
))]
pub async fn search(
    _: &App,
    ready: Ready<'_>,
    scope: Scope,
    request: &Request<'_>,
) -> Result<Reply, Problem> {
    let text = request.query("q").unwrap_or_default();
    let mut errors = Vec::new();
    if text.chars().count() > MAX_QUERY_CHARS {
        errors.push(FieldError::new("?q", "must have at most 200 characters"));
    }
    // As the predecessor: what is put aside is found only when asked for.
    let status = status(request, Some(Status::Active), &mut errors);
    if !errors.is_empty() {
        return Err(Problem::validation(errors));
    }
    let limit = paging::limit(request, SEARCH_LIMIT)?;
    let page = store::find(ready, &scope, &text, status, limit, Cursor::of(request)?).await?;
    Ok(listing(request, &page, Some(&text)))
}

/// The `status` filter; `all` lifts it.
fn status(
    request: &Request<'_>,
    default: Option<Status>,
    errors: &mut Vec<FieldError>,
) -> Option<Status> {
    match request.query("status").as_deref() {
        None => default,
        Some("all") => None,
        Some(text) => {
            let status = Status::parse(text);
            if status.is_none() {
                errors.push(FieldError::new("?status", "must be active, inactive or all"));
            }
            status
        }
    }
}

/// The `since` filter in the form in which instants are stored.
fn since(request: &Request<'_>, errors: &mut Vec<FieldError>) -> Option<String> {
    let text = request.query("since")?;
    let instant = time::parse(&text).map(time::iso8601);
    if instant.is_none() {
        errors.push(FieldError::new("?since", "must be an ISO-8601 instant or date"));
    }
    instant
}

/// The envelope of a list, around items that are JSON already.
fn listing(request: &Request<'_>, page: &Page, query: Option<&str>) -> Reply {
    let next = page.next.as_deref();
    let mut text = format!("{{\"contexts\":[{}],\"count\":{}", page.items, page.count);
    if let Some(query) = query {
        text += &format!(",\"query\":{}", json!(query));
    }
    text += &format!(",\"next_cursor\":{}}}", json!(next));
    let reply = Reply::json(text);
    match next {
        Some(cursor) => reply.header("link", paging::next_link(request, cursor)),
        None => reply,
    }
}

/// Read a context.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/v1/contexts/{id}",
    operation_id = "contextsShow",
    tag = "contexts",
    params(
        ("id" = String, Path, description = "Its ChittyID."),
        ("If-None-Match" = Option<String>, Header, description = "An `ETag`: 304 if the context still has it."),
    ),
    responses(
        (status = 200, description = "The context.", body = Context, headers(("ETag" = String))),
        (status = 304, description = "Not changed."),
        (status = 404, description = "You have no such context.", body = ProblemBody<'_>, content_type = "application/problem+json"),
    ),
))]
pub async fn show(
    _: &App,
    ready: Ready<'_>,
    scope: Scope,
    request: &Request<'_>,
) -> Result<Reply, Problem> {
    let found = store::get(ready, &scope, &context_id(request)?).await?;
    let unchanged = request
        .header("if-none-match")
        .is_some_and(|header| none_match_hits(&header, &found.revision));
    let reply = if unchanged { Reply::new(304, Body::Empty) } else { Reply::json(found.json) };
    Ok(reply.header("etag", etag(&found.revision)))
}

/// Change a context: what is sent replaces what was there.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    patch,
    path = "/v1/contexts/{id}",
    operation_id = "contextsChange",
    tag = "contexts",
    params(
        ("id" = String, Path, description = "Its ChittyID."),
        ("If-Match" = Option<String>, Header, description = "An `ETag`: 412 if the context has another by now."),
    ),
    request_body = input::ContextPatch,
    responses(
        (status = 200, description = "Changed.", body = ContextReply, headers(("ETag" = String))),
        (status = 404, description = "You have no such context.", body = ProblemBody<'_>, content_type = "application/problem+json"),
        (status = 409, description = "`name_taken`.", body = ProblemBody<'_>, content_type = "application/problem+json"),
        (status = 412, description = "It has changed since.", body = ProblemBody<'_>, content_type = "application/problem+json"),
        (status = 422, description = "A value is not acceptable.", body = ProblemBody<'_>, content_type = "application/problem+json"),
    ),
))]
pub async fn change(
    app: &App,
    ready: Ready<'_>,
    scope: Scope,
    request: &Request<'_>,
) -> Result<Reply, Problem> {
    let id = context_id(request)?;
    let patch = input::patch(&request.json_bytes().await?)?;
    let if_match = IfMatch::parse(request.header("if-match").as_deref());
    let fields = json!({ "changes": patch.changed() });
    let event = event(app, EventKind::ContextUpdated, &id, &scope, fields, request);
    let overdue_ms = app.config.outbox_overdue_ms;
    let changed =
        match store::update(ready, &scope, &id, &patch, &if_match, &event, overdue_ms).await {
            Err(Failure::NameTaken(_)) => {
                let name = patch.name.as_deref().unwrap_or_default();
                let existing = store::id_of_name(ready, &scope, name).await?;
                return Err(Failure::NameTaken(existing).into());
            }
            outcome => outcome?,
        };
    let json = done(changed)?;
    let text = format!("{{\"success\":true,\"message\":\"Context updated\",\"context\":{json}}}");
    Ok(Reply::json(text).header("etag", etag(&event.id)).then(After::Announce(event)))
}

/// Delete a context. Its name is free again.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    delete,
    path = "/v1/contexts/{id}",
    operation_id = "contextsRemove",
    tag = "contexts",
    params(
        ("id" = String, Path, description = "Its ChittyID."),
        ("If-Match" = Option<String>, Header, description = "An `ETag`: 412 if the context has another by now."),
    ),
    responses(
        (status = 200, description = "Deleted.", body = Deleted),
        (status = 404, description = "You have no such context.", body = ProblemBody<'_>, content_type = "application/problem+json"),
        (status = 412, description = "It has changed since.", body = ProblemBody<'_>, content_type = "application/problem+json"),
    ),
))]
pub async fn remove(
    app: &App,
    ready: Ready<'_>,
    scope: Scope,
    request: &Request<'_>,
) -> Result<Reply, Problem> {
    let id = context_id(request)?;
    let if_match = IfMatch::parse(request.header("if-match").as_deref());
    let event = event(app, EventKind::ContextDeleted, &id, &scope, json!({}), request);
    let overdue_ms = app.config.outbox_overdue_ms;
    done(store::delete(ready, &scope, &id, &if_match, &event, overdue_ms).await?)?;
    let text = json!({
        "success": true, "message": "Context deleted",
        "chitty_id": id.as_str(), "chittyId": id.as_str(), "contextId": id.as_str(),
    });
    Ok(Reply::json(text.to_string()).then(After::Announce(event)))
}

/// The id in the path. One that is no ChittyID is one that nobody has.
fn context_id(request: &Request<'_>) -> Result<ChittyId, Problem> {
    ChittyId::parse(&request.id).map_err(|_| Problem::not_found("context"))
}

fn event(
    app: &App,
    kind: EventKind,
    id: &ChittyId,
    scope: &Scope,
    payload: serde_json::Value,
    request: &Request<'_>,
) -> Event {
    let traceparent = Some(request.trace.traceparent.as_str());
    Event::new(app.now_ms(), kind, id.as_str(), scope.actor(), payload, traceparent)
}

fn done(changed: Changed) -> Result<String, Problem> {
    match changed {
        Changed::Done(json) => Ok(json),
        Changed::Missing => Err(Problem::not_found("context")),
        Changed::Stale => Err(Problem::new(
            Code::PreconditionFailed,
            "The context is not as you last read it. Read it again and decide anew.",
        )),
        Changed::Refused(refusal) => Err(refusal),
    }
}
