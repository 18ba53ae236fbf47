//! The handlers of `/v1/connections`, except those of `create` and `proxy`.

use http_kit::fields::nothing;
use http_kit::precondition::{ChangeOutcome, IfMatch, etag, none_match_hits};
use http_kit::problem::{Code, Problem};
use http_kit::request::Request;
use seams::time;
use serde_json::{Value, json};

use crate::access::caller::Scope;
use crate::access::listing::{PageRequest, word};
use crate::access::quota::{Quota, QuotaKind, Quotas};
use crate::access::reply::{After, Body, Outcome, Reply};
use crate::access::service_name::service_name;
use crate::app::{App, Settings};
use crate::connections::call::{Base, is_closed};
use crate::connections::credential::CredentialInput;
use crate::connections::input::{self, Patch};
use crate::connections::intents::Intent;
use crate::connections::store::{self, Change, Filter, SealedCredential};
use crate::connections::{STATUSES, TYPES, check, create, secrets};
use crate::store::Ready;
use crate::store::event::{Event, EventKind};
use crate::store::ids::ConnectionId;

#[cfg(not(target_family = "wasm"))]
use crate::connections::views::{
    ConnectionHistoryView, ConnectionListView, ConnectionPatchView, ConnectionReplyView,
    ConnectionStatusView, ConnectionView, DisconnectedView,
};

/// List your connections, newest first.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/v1/connections",
    operation_id = "connectionsList",
    tag = "connections",
    params(
        ("source" = Option<String>, Query, description = "Only connections of this context or actor."),
        ("target" = Option<String>, Query, description = "Only connections to this service."),
        ("type" = Option<String>, Query, description = "`api`, `webhook`, `oauth` or `direct`."),
        ("status" = Option<String>, Query, description = "`active`, `inactive`, `failed` or `disconnected`."),
        ("limit" = Option<u8>, Query, description = "1 to 100; 100 by default."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before."),
    ),
    responses(
        (status = 200, description = "A page.", body = ConnectionListView, headers(("Link" = String))),
        (status = 422, description = "A parameter is not acceptable."),
    ),
))]
pub async fn list(_: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    // 1. Read the filters.
    let mut errors = Vec::new();
    let filter = Filter {
        source: request.query("source").map(|text| text.into_owned()),
        target: request.query("target").map(|text| service_name(&text)),
        connection_type: word(request, "type", &TYPES, &mut errors),
        status: word(request, "status", &STATUSES, &mut errors),
    };
    if !errors.is_empty() {
        return Err(Problem::validation(errors));
    }
    // 2. Read the page, and reply.
    let page = store::list(ready, &scope, &filter, PageRequest::of(request)?).await?;
    Ok(page.reply(request, "connections", &[]))
}

/// Read a connection.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/v1/connections/{id}",
    operation_id = "connectionsShow",
    tag = "connections",
    params(
        ("id" = String, Path, description = "Its `connection_id`."),
        ("If-None-Match" = Option<String>, Header, description = "An `ETag`: 304 if the connection still has it."),
    ),
    responses(
        (status = 200, description = "The connection.", body = ConnectionView, headers(("ETag" = String))),
        (status = 304, description = "Not changed, except by checks and uses.", headers(("ETag" = String))),
        (status = 404, description = "You have no such connection."),
    ),
))]
pub async fn show(_: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    // 1. Read the connection.
    let id = ConnectionId::of(request)?;
    let found = store::get(ready, &scope, &id).await?;
    // 2. Reply, without a body if the caller has this version.
    let unchanged = request
        .header("if-none-match")
        .is_some_and(|header| none_match_hits(&header, &found.revision));
    let reply = if unchanged { Reply::new(304, Body::Empty) } else { Reply::json(found.json) };
    Ok(reply.header("etag", etag(&found.revision)))
}

/// Read the status of a connection, as it was last recorded. `POST …/check` checks it anew.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/v1/connections/{id}/status",
    operation_id = "connectionsStatus",
    tag = "connections",
    params(("id" = String, Path, description = "Its `connection_id`.")),
    responses(
        (status = 200, description = "The recorded status.", body = ConnectionStatusView),
        (status = 404, description = "You have no such connection."),
    ),
))]
pub async fn status(_: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    let id = ConnectionId::of(request)?;
    Ok(Reply::json(store::status(ready, &scope, &id).await?))
}

/// List the history of a connection, newest first.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/v1/connections/{id}/history",
    operation_id = "connectionsHistory",
    tag = "connections",
    params(
        ("id" = String, Path, description = "Its `connection_id`."),
        ("limit" = Option<u8>, Query, description = "1 to 100; 100 by default."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before."),
    ),
    responses(
        (status = 200, description = "A page.", body = ConnectionHistoryView, headers(("Link" = String))),
        (status = 404, description = "You have no such connection."),
    ),
))]
pub async fn history(_: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    let (asked, id) = (PageRequest::of(request)?, ConnectionId::of(request)?);
    let page = store::history(ready, &scope, &id, asked).await?;
    Ok(page.reply(request, "history", &[]))
}

/// Check a connection now: call its target at its `check_path`, with its credential.
///
/// Three failed checks in a row make an active connection `failed`; a good check makes it `active` again. An
/// inactive or disconnected connection cannot be checked.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    post,
    path = "/v1/connections/{id}/check",
    operation_id = "connectionsCheck",
    tag = "connections",
    params(("id" = String, Path, description = "Its `connection_id`.")),
    responses(
        (status = 200, description = "The status after the check.", body = ConnectionStatusView),
        (status = 404, description = "You have no such connection."),
        (status = 409, description = "`connection_inactive`: the connection is inactive or disconnected, has no `check_path`, or its source is gone."),
    ),
))]
pub async fn check(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    // 1. Read the connection; the request has no body.
    nothing(request).await?;
    let id = ConnectionId::of(request)?;
    let connection = store::connection(ready, &scope, &id).await?;
    // 2. Refuse a connection that cannot be checked.
    let detail = match connection.status.as_str() {
        _ if !connection.has_source => Some("The source of the connection is gone."),
        "active" | "failed" if connection.check_path.is_none() => {
            Some("The connection has no `check_path`. Set one with PATCH if the target has one.")
        }
        "active" | "failed" => None,
        _ => Some("An inactive or disconnected connection cannot be checked."),
    };
    if let Some(detail) = detail {
        return Err(Problem::new(Code::ConnectionInactive, detail));
    }
    // 3. Check the target, and record the result with the caller's event in one batch.
    let kind = EventKind::ConnectionChecked;
    let asked = Event::caused(request, &scope, kind, id.as_str(), json!({}), app.now_ms());
    let asked = check::check(app, ready, &connection, asked).await?;
    // 4. Reply with the status that is now on record, and announce the event.
    let reply = Reply::json(store::status(ready, &scope, &id).await?);
    Ok(match asked {
        Some(asked) => reply.then(After::Announce(asked)),
        None => reply,
    })
}

/// Change a connection: each member that you send replaces the old value.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    patch,
    path = "/v1/connections/{id}",
    operation_id = "connectionsChange",
    tag = "connections",
    params(
        ("id" = String, Path, description = "Its `connection_id`."),
        ("If-Match" = Option<String>, Header, description = "An `ETag`: 412 if the connection has another by now."),
    ),
    request_body = ConnectionPatchView,
    responses(
        (status = 200, description = "Changed.", body = ConnectionReplyView, headers(("ETag" = String))),
        (status = 403, description = "`quota_exceeded`: you have as many connections with a `check_path` as you may."),
        (status = 404, description = "You have no such connection, or it is disconnected."),
        (status = 409, description = "`connection_exists`: the source has another active connection to that service and endpoint. `connection_inactive`: its endpoint is not allowed."),
        (status = 412, description = "It has changed since."),
        (status = 422, description = "A value is not acceptable, or the target refuses the credential."),
    ),
))]
pub async fn change(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    // 1. Read the patch, and the quota that a new check path needs.
    let patch = input::patch(&request.json_bytes().await?, request.now_ms)?;
    let id = ConnectionId::of(request)?;
    let quota = patch.check_path.as_ref().map(|_| {
        let (kind, now) = (QuotaKind::CheckedConnections, time::iso8601(request.now_ms));
        Quotas::of(app).of_caller(kind, &scope, &now).for_connection(&id)
    });
    // Steps 2 and 3 are in `new_credential`.
    let sealed = new_credential(app, ready, &scope, request, &id, &patch, quota.as_ref()).await?;
    // 4. Store the change, the credential and the event in one batch.
    let payload = json!({ "changes": patch.changed_names() });
    let kind = EventKind::ConnectionUpdated;
    let event = Event::caused(request, &scope, kind, id.as_str(), payload, app.now_ms());
    let asked = Change { quota, ..conditional(app, request, &event) };
    let secret = sealed.as_ref().map(|(sealed, intent)| (sealed, intent.as_ref()));
    let changed = store::update(ready, &scope, &asked, &patch, secret, &check::next(app)).await;
    // 5. Have a renewed credential revoked that the connection has not got.
    if let (false, Some((_, Some(intent)))) =
        (matches!(changed, Ok(ChangeOutcome::Done(_))), &sealed)
    {
        intent.abandon(app, ready, None).await;
    }
    // 6. Reply; announce the event, and revoke a credential that was replaced.
    let json = match changed {
        Ok(changed) => changed.into_json("connection")?,
        Err(error) if store::is_taken(&error) => {
            return Err(Problem::new(
                Code::ConnectionExists,
                "The source has another active connection to that service and endpoint.",
            ));
        }
        Err(error) => return Err(error.into()),
    };
    let text =
        format!("{{\"success\":true,\"message\":\"Connection updated\",\"connection\":{json}}}");
    let tag = etag(event.id.as_str());
    let reply = Reply::json(text).header("etag", tag).then(After::Announce(event));
    Ok(if sealed.is_some() { reply.then(After::RevokeCredentials) } else { reply })
}

/// Returns the credential that a patch hands in, if it does, tried at the target and sealed, with the intent
/// under which it was renewed, if it was.
async fn new_credential(
    app: &App,
    ready: Ready<'_>,
    scope: &Scope,
    request: &Request<'_>,
    id: &ConnectionId,
    patch: &Patch,
    quota: Option<&Quota>,
) -> Result<Option<(SealedCredential, Option<Intent>)>, Problem> {
    let Some(handed) = &patch.credentials else { return Ok(None) };
    // 2. Check all that can refuse a new credential before another service is called.
    if let Some(quota) = quota {
        quota.judge(&scope.rows(ready, quota.question()).await?)?;
    }
    let connection = store::connection(ready, scope, id).await?;
    if connection.status == "disconnected" {
        return Err(Problem::not_found("connection"));
    }
    if is_closed(app, &connection.service, &connection.endpoint) {
        return Err(Problem::new(
            Code::ConnectionInactive,
            "The endpoint of this connection is not allowed. Disconnect it and make another.",
        ));
    }
    // Before the token endpoint is asked: a refresh token may be good for one use only.
    if !IfMatch::of(request).allows(&connection.revision) {
        ChangeOutcome::Stale.into_json("connection")?;
    }
    let CredentialInput::In(credential) = handed else {
        let detail = "can be `provisioned` only when a connection is made";
        return Err(Problem::invalid("/credentials", detail));
    };
    // 3. Renew the credential if it needs that, try it at the target, and seal it.
    let obtained = create::complete(app, ready, id, credential).await?;
    let base = Base::of(app, &connection.service, &connection.endpoint);
    let path = patch.check_path.as_ref().or(connection.check_path.as_ref()).map(String::as_str);
    let tried = create::first_check(app, &base, path, Some(&obtained.credential)).await;
    if let (Err(_), Some(intent)) = (&tried, &obtained.intent) {
        intent.abandon(app, ready, None).await;
    }
    tried?;
    Ok(Some((secrets::seal(app, id.as_str(), &obtained.credential)?, obtained.intent)))
}

fn conditional<'a>(app: &App, request: &Request<'_>, event: &'a Event) -> Change<'a> {
    let overdue_ms = app.config.outbox_overdue_ms;
    Change { event, if_match: IfMatch::of(request), overdue_ms, quota: None }
}

/// Disconnect. The gateway deletes the credential at once and, where it can, revokes it at its issuer,
/// repeating that until it is confirmed.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    delete,
    path = "/v1/connections/{id}",
    operation_id = "connectionsRemove",
    tag = "connections",
    params(
        ("id" = String, Path, description = "Its `connection_id`."),
        ("If-Match" = Option<String>, Header, description = "An `ETag`: 412 if the connection has another by now."),
    ),
    responses(
        (status = 200, description = "Disconnected, now or earlier.", body = DisconnectedView),
        (status = 404, description = "You have no such connection."),
        (status = 412, description = "It has changed since."),
    ),
))]
pub async fn remove(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    // 1. End the connection, and give up its credential, with the event in one batch.
    let id = ConnectionId::of(request)?;
    let kind = EventKind::ConnectionDisconnected;
    let event = Event::caused(request, &scope, kind, id.as_str(), json!({}), app.now_ms());
    let asked = conditional(app, request, &event);
    let text = json!({
        "success": true, "message": "Connection disconnected", "connection_id": id,
    });
    let reply = |text: Value| Reply::json(text.to_string());
    match store::disconnect(ready, &scope, &asked).await?.into_json("connection") {
        // 2. Reply, to a repeat too; announce the event, and revoke the credential.
        Ok(_) => Ok(reply(text).then(After::Announce(event)).then(After::RevokeCredentials)),
        Err(problem) if problem.code == Code::NotFound => {
            match store::is_disconnected(ready, &scope, &id).await? {
                true => Ok(reply(text)),
                false => Err(problem),
            }
        }
        Err(problem) => Err(problem),
    }
}
