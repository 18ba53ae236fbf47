//! `/v1/contexts`, except the creation, which is in `create`. Each handler is extract → decide → one batch →
//! reply.

use chitty_core::ChittyId;
use http_kit::names::Name;
use http_kit::paging::{self, Cursor};
use http_kit::precondition::{etag, none_match_hits};
use http_kit::problem::{FieldError, Problem};
use http_kit::request::Request;
use seams::time;
use serde_json::json;

use crate::access::caller::Scope;
use crate::access::change::Change;
use crate::access::reply::{After, Body, Reply};
use crate::app::App;
use crate::contexts::credentials::{self, Key};
use crate::contexts::input::{self, KeyDraft};
use crate::contexts::store::{self, Filter};
use crate::contexts::{Status, event};
use crate::store::Ready;
use crate::store::event::EventKind;

#[cfg(not(target_family = "wasm"))]
use crate::contexts::views::ContextPatch;
#[cfg(not(target_family = "wasm"))]
use crate::contexts::{Context, ContextList, ContextReply, DeletionView};

/// The page sizes if the caller names none. They are those of the predecessor.
const LIST_LIMIT: i64 = 100;
const SEARCH_LIMIT: i64 = 50;

/// The most characters of a search text.
const MAX_QUERY_CHARS: usize = 200;

/// List one's contexts, newest first.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/v1/contexts",
    operation_id = "contextsList",
    tag = "contexts",
    params(
        ("status" = Option<String>, Query, description = "`active`, `inactive` or `all` (the default)."),
        ("type" = Option<String>, Query, description = "Only contexts of this type."),
        ("since" = Option<String>, Query, description = "Only contexts created at this ISO-8601 instant or date, or later."),
        ("limit" = Option<u8>, Query, description = "1 to 100; 100 by default."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before."),
    ),
    responses(
        (status = 200, description = "A page.", body = ContextList, headers(("Link" = String))),
        (status = 422, description = "A parameter is not acceptable."),
    ),
))]
pub async fn list(
    _: &App,
    ready: Ready<'_>,
    scope: Scope,
    request: &Request<'_>,
) -> Result<Reply, Problem> {
    // 1. Read the filters.
    let mut errors = Vec::new();
    let filter = Filter {
        status: status(request, None, &mut errors),
        kind: request.query("type").map(|text| text.into_owned()),
        since: since(request, &mut errors),
    };
    if !errors.is_empty() {
        return Err(Problem::validation(errors));
    }
    // 2. Read the page, and reply.
    let limit = paging::limit(request, LIST_LIMIT)?;
    let page = store::list(ready, &scope, &filter, limit, Cursor::of(request)?).await?;
    Ok(page.reply(request, "contexts", &[]))
}

/// Search one's contexts by the words in them.
///
/// A context matches if it contains every word of `q`: in its name (the beginning of a word is enough), its
/// data, its systems or its tools. In scripts that write words together (Chinese, Japanese, Korean, Thai,
/// Lao, Khmer, Myanmar) any part of a word matches. Case and English endings do not matter, nor do
/// diacritics in scripts where they are an addition to a letter. No character of `q` is an operator.
/// The context whose name is `q` comes first, then contexts with all words in the name, then the others;
/// the newest come first in each group.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/v1/contexts/search",
    operation_id = "contextsSearch",
    tag = "contexts",
    params(
        ("q" = Option<String>, Query, description = "The search text, at most 200 characters. Without it, all contexts match."),
        ("status" = Option<String>, Query, description = "`active` (the default), `inactive` or `all`."),
        ("limit" = Option<u8>, Query, description = "1 to 100; 50 by default."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before."),
    ),
    responses(
        (status = 200, description = "A page, with `q` as `query`.", body = ContextList, headers(("Link" = String))),
        (status = 422, description = "A parameter is not acceptable."),
    ),
))]
pub async fn search(
    _: &App,
    ready: Ready<'_>,
    scope: Scope,
    request: &Request<'_>,
) -> Result<Reply, Problem> {
    // 1. Read the search text and the status.
    let text = request.query("q").unwrap_or_default();
    let mut errors = Vec::new();
    if text.chars().count() > MAX_QUERY_CHARS {
        errors.push(FieldError::new("?q", "must have at most 200 characters"));
    }
    // As with the predecessor, a search finds inactive contexts only if `status` asks for them.
    let status = status(request, Some(Status::Active), &mut errors);
    if !errors.is_empty() {
        return Err(Problem::validation(errors));
    }
    // 2. Read the page of matches, and reply.
    let limit = paging::limit(request, SEARCH_LIMIT)?;
    let page = store::find(ready, &scope, &text, status, limit, Cursor::of(request)?).await?;
    Ok(page.reply(request, "contexts", &[("query", &text)]))
}

/// Reads the `status` filter; `all` is no filter.
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

/// Reads the `since` filter, in the form in which instants are stored.
fn since(request: &Request<'_>, errors: &mut Vec<FieldError>) -> Option<String> {
    let text = request.query("since")?;
    let instant = time::read(&text).map(time::iso8601);
    if instant.is_none() {
        errors.push(FieldError::new("?since", time::FORM));
    }
    instant
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
        (status = 304, description = "Not changed.", headers(("ETag" = String))),
        (status = 404, description = "You have no such context."),
    ),
))]
pub async fn show(
    _: &App,
    ready: Ready<'_>,
    scope: Scope,
    request: &Request<'_>,
) -> Result<Reply, Problem> {
    // 1. Read the context.
    let found = store::get(ready, &scope, &context_id(request)?).await?;
    // 2. Reply, without a body if the caller has this version.
    let unchanged =
        request.header("if-none-match").is_some_and(|header| none_match_hits(&header, &found.tag));
    let reply = if unchanged { Reply::new(304, Body::Empty) } else { Reply::json(found.json) };
    Ok(reply.header("etag", etag(&found.tag)))
}

/// Change a context: each member that you send replaces the present one.
///
/// With `credentials`, ChittyAuth makes a new key for the context, which only this reply shows, and the
/// present key is revoked. Use that if the key, or the reply with the key, was lost.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    patch,
    path = "/v1/contexts/{id}",
    operation_id = "contextsChange",
    tag = "contexts",
    params(
        ("id" = String, Path, description = "Its ChittyID."),
        ("If-Match" = Option<String>, Header, description = "An `ETag`: 412 if the context has another by now."),
    ),
    request_body = ContextPatch,
    responses(
        (status = 200, description = "Changed.", body = ContextReply, headers(("ETag" = String))),
        (status = 404, description = "You have no such context."),
        (status = 409, description = "`name_taken`: another context of yours has this name."),
        (status = 412, description = "The context has changed since."),
        (status = 422, description = "A value is not acceptable."),
    ),
))]
pub async fn change(
    app: &App,
    ready: Ready<'_>,
    scope: Scope,
    request: &Request<'_>,
) -> Result<Reply, Problem> {
    // 1. Read the patch.
    let id = context_id(request)?;
    let patch = input::patch(&request.json_bytes().await?)?;
    // 2. Have ChittyAuth make another key, if one is asked for.
    let made = match patch.key.as_ref() {
        Some(wanted) => Some(another_key(app, ready, &scope, request, &id, wanted).await?),
        None => None,
    };
    // 3. Store the change, the key and the event in one batch.
    let mut fields = json!({ "changes": patch.changed_names() });
    if let (Some(made), Some(fields)) = (&made, fields.as_object_mut()) {
        fields.insert("credentials".to_owned(), made.description());
    }
    let event = event(app, EventKind::ContextUpdated, &id, &scope, fields, request);
    let change = Change::of(app, request, &id, &event);
    let changed = match store::update(ready, &scope, &change, &patch, made.as_ref()).await {
        Ok(changed) => changed.into_json("context"),
        Err(failure) => {
            let name = patch.name.as_ref().map(Name::key).unwrap_or_default();
            Err(store::explain(ready, &scope, name, failure).await)
        }
    };
    // 4. Have a key revoked that the context has not got.
    if let (Err(_), Some(made)) = (&changed, &made) {
        made.abandon(app, ready).await;
    }
    let json = changed?;
    // 5. Reply, with a key that was made; announce the event, and revoke a key that was replaced.
    let mut text =
        format!("{{\"success\":true,\"message\":\"Context updated\",\"context\":{json}}}");
    if let Some(made) = &made {
        text = made.show_in(&text);
    }
    let tag = etag(event.id.as_str());
    let reply = Reply::json(text).header("etag", tag).then(After::Announce(event));
    Ok(if patch.key.is_sent() { reply.then(After::RevokeCredentials) } else { reply })
}

/// Has a new key made for a context of the caller. The batch of the change gives the context the key.
async fn another_key(
    app: &App,
    ready: Ready<'_>,
    scope: &Scope,
    request: &Request<'_>,
    id: &ChittyId,
    wanted: &KeyDraft,
) -> Result<Key, Problem> {
    // A context that is not there, or a scope that the caller lacks, refuses the change before a key is made.
    store::get(ready, scope, id).await?;
    let grant = credentials::grant(app, ready, scope, wanted, request.now_ms).await?;
    Key::make(app, ready, request, id, grant).await
}

/// Delete a context. Its name becomes free again, and its key is revoked.
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
        (status = 200, description = "Deleted.", body = DeletionView),
        (status = 404, description = "You have no such context."),
        (status = 412, description = "The context has changed since."),
    ),
))]
pub async fn remove(
    app: &App,
    ready: Ready<'_>,
    scope: Scope,
    request: &Request<'_>,
) -> Result<Reply, Problem> {
    // 1. Delete the context and end its key and its connections, with the event, in one batch.
    let id = context_id(request)?;
    let event = event(app, EventKind::ContextDeleted, &id, &scope, json!({}), request);
    let change = Change::of(app, request, &id, &event);
    let (changed, had_key) = store::delete(ready, &scope, &change).await?;
    changed.into_json("context")?;
    // 2. Reply; announce the event, and revoke a key that the context had.
    let text = json!({
        "success": true, "message": "Context deleted",
        "chitty_id": id.as_str(), "chittyId": id.as_str(), "contextId": id.as_str(),
    });
    let reply = Reply::json(text.to_string()).then(After::Announce(event));
    Ok(if had_key { reply.then(After::RevokeCredentials) } else { reply })
}

/// Returns the id in the path. If it is not a ChittyID, no context has it, so the error is 404.
pub(super) fn context_id(request: &Request<'_>) -> Result<ChittyId, Problem> {
    ChittyId::parse(&request.id).map_err(|_| Problem::not_found("context"))
}
