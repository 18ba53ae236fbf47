//! `/v1/connections`, but for the way through, which is a file of its own.

use chitty_core::ProvisionRequest;
use serde_json::{Value, json};

use crate::app::App;
use crate::connections::call::Base;
use crate::connections::check::{self, Health};
use crate::connections::credential::{Credential, Handed};
use crate::connections::input::{self, Draft};
use crate::connections::secrets::{self, Renewal};
use crate::connections::store::{self, Change, Filter, FirstCheck, Sealed};
use crate::connections::{STATUSES, TYPES};
use crate::delegation::service_name;
use crate::events::{Event, EventKind};
use crate::http::Outcome;
use crate::http::caller::{Scope, WriteError};
use crate::http::idempotency::Idempotency;
use crate::http::listing::{Asked, word};
use crate::http::precondition::{Changed, IfMatch, etag, none_match_hits};
use crate::http::problem::{Code, Problem};
use crate::http::reply::{After, Body, Reply};
use crate::http::request::Request;
use crate::init::Ready;
use crate::platform::{ids, time};

#[cfg(not(target_family = "wasm"))]
use crate::openapi::schemas::{
    DisconnectedView, LinkDraftView, LinkHistoryView, LinkListView, LinkPatchView, LinkReplyView,
    LinkStatusView, LinkView,
};

/// Connect a context or yourself to a service.
///
/// One active connection for each source, service and endpoint. A credential is tried once at
/// `check_path`, where there is one, and sealed before it is stored; it is never returned. A
/// ChittyOS service needs no endpoint, and ChittyAuth can make the key for it (`provisioned`).
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    post,
    path = "/v1/connections",
    operation_id = "connectionsCreate",
    tag = "connections",
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters.")),
    request_body = LinkDraftView,
    responses(
        (status = 201, description = "Connected.", body = LinkReplyView, headers(("ETag" = String), ("Location" = String))),
        (status = 404, description = "You have no such source."),
        (status = 409, description = "`connection_exists`: `existing_connection_id` is the one that is there."),
        (status = 422, description = "A value is not acceptable, or the target refuses the credential (`credential_refused`)."),
    ),
))]
pub async fn create(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    let body = request.json_bytes().await?;
    let draft = input::draft(&body, request.now_ms)?;
    within_audience(&scope, &draft.target_service)?;
    let key = Idempotency::of(request, "connections.create", &body)?;
    let look_up = || key.as_ref().map(|key| key.look_up(&scope, request.now_ms));
    let stored = store::check_free(ready, &scope, &draft, look_up()).await?;
    if let Some(replay) = key.as_ref().map(|key| key.replay(stored)).transpose()?.flatten() {
        return Ok(replay);
    }
    let id = format!("conn_{}", ids::uuid_v7(app.now_ms()));
    let base = Base::of(app, &draft.target_service, &draft.endpoint());
    let handed = draft.credentials.as_ref();
    let credential = match obtain(app, request, &draft, handed).await {
        Ok(credential) => credential,
        // A refresh token may be good for one use only, and that by another request with this key.
        Err(problem) => return twin(app, ready, &scope, key.as_ref(), request, problem).await,
    };
    // From here on what was made or renewed is to be taken back if nothing comes of it.
    let is_own = handed.is_some_and(|handed| match (handed, &credential) {
        (Handed::In(handed), Some(obtained)) => handed != obtained,
        (Handed::Provision, _) => true,
        (Handed::In(_), None) => false,
    });
    let sealed = credential.as_ref().map(|one| secrets::seal(app, &id, one)).transpose()?;
    let made = async {
        let health =
            first_check(app, &base, draft.check_path.as_deref(), credential.as_ref()).await?;
        let check = FirstCheck {
            at: health.as_ref().map(|_| time::iso8601(app.now_ms())),
            error: health.and_then(|health| health.error()),
            due_at: draft.check_path.as_ref().map(|_| due_at(app)),
        };
        let payload = json!({
            "source": draft.source.as_str(), "target_service": draft.target_service,
            "credential_type": credential.as_ref().map(Credential::kind),
        });
        let kind = EventKind::ConnectionCreated;
        let event = Event::caused(request, &scope, kind, &id, payload, app.now_ms());
        let overdue_ms = app.config.outbox_overdue_ms;
        let (sealed, key) = (sealed.as_ref(), key.as_ref());
        let made =
            store::insert(ready, &scope, &draft, sealed, &check, &event, overdue_ms, key).await;
        match made {
            Ok(Some(text)) => Ok(Reply::new(201, Body::Json(text))
                .header("etag", etag(&event.id))
                .header("location", format!("/v1/connections/{id}"))
                .then(After::Announce(event))),
            Ok(None) => Err(Problem::not_found(draft.source_type)),
            Err(WriteError::Refused(problem)) => Err(problem),
            Err(error) => match replay(ready, &scope, key, request).await? {
                Some(replay) => Ok(replay),
                None if store::is_taken(&error) => Err(store::taken(ready, &draft).await),
                None => match store::check_free(ready, &scope, &draft, None).await {
                    Ok(_) => Err(error.into()),
                    Err(problem) => Err(problem),
                },
            },
        }
    }
    .await;
    let is_new =
        made.as_ref().is_ok_and(|reply| reply.header_value("idempotency-replayed").is_none());
    if let (false, true, Some(sealed)) = (is_new, is_own, &sealed) {
        secrets::abandon(app, ready, &id, &sealed.text).await;
    }
    made
}

/// The reply of another request with the same idempotency key, if there is one that is about to end;
/// the problem otherwise.
async fn twin(
    app: &App,
    ready: Ready<'_>,
    scope: &Scope,
    key: Option<&Idempotency>,
    request: &Request<'_>,
    problem: Problem,
) -> Outcome {
    const WAIT_MS: u64 = 3000;
    const LOOK_MS: u64 = 150;
    if key.is_none() || problem.code != Code::CredentialRefused {
        return Err(problem);
    }
    for _ in 0..WAIT_MS / LOOK_MS {
        if let Some(replay) = replay(ready, scope, key, request).await? {
            return Ok(replay);
        }
        app.sleep(LOOK_MS).await;
    }
    Err(problem)
}

async fn replay(
    ready: Ready<'_>,
    scope: &Scope,
    key: Option<&Idempotency>,
    request: &Request<'_>,
) -> Result<Option<Reply>, Problem> {
    let Some(key) = key else { return Ok(None) };
    key.replay(scope.rows(ready, key.look_up(scope, request.now_ms)).await?)
}

/// A token for one service makes connections to that service only.
fn within_audience(scope: &Scope, service: &str) -> Result<(), Problem> {
    match scope.audience() {
        Some(audience) if audience != service => Err(Problem::new(
            Code::WrongTargetService,
            format!("This token is good for the service `{audience}` only."),
        )),
        _ => Ok(()),
    }
}

/// The credential to be stored: as it was handed in, with an access token where it needs one, or made
/// by ChittyAuth.
async fn obtain(
    app: &App,
    request: &Request<'_>,
    draft: &Draft,
    handed: Option<&Handed>,
) -> Result<Option<Credential>, Problem> {
    match handed {
        None => Ok(None),
        Some(Handed::In(Credential::Oauth(oauth))) if !oauth.is_good_for(0, app.now_ms()) => {
            match secrets::renew(app, oauth).await {
                Renewal::Done(renewed) => Ok(Some(Credential::Oauth(renewed))),
                Renewal::Refused => Err(refused("The token endpoint does not renew this.")),
                Renewal::Open => Err(Problem::new(
                    Code::CredentialUnavailable,
                    "The token endpoint did not answer, so nothing was stored. Repeat the request.",
                )),
            }
        }
        Some(Handed::In(credential)) => Ok(Some(credential.clone())),
        Some(Handed::Provision) => {
            let wanted = ProvisionRequest {
                chitty_id: draft.source.as_str().to_owned(),
                scopes: draft
                    .scopes
                    .iter()
                    .map(|scope| format!("{}:{scope}", draft.target_service))
                    .collect(),
                service: draft.target_service.clone(),
                expires_in_s: None,
                idempotency_key: None,
            };
            let made = request.session(app).auth().provision_key(&wanted).await;
            let made = made.map_err(|error| {
                Problem::upstream(
                    Code::CredentialUnavailable,
                    "ChittyAuth did not make a key, so nothing was stored. Repeat the request.",
                    &error,
                )
            })?;
            Ok(Some(Credential::Provisioned { key: made.secret, key_id: made.id }))
        }
    }
}

fn refused(detail: &'static str) -> Problem {
    Problem::new(Code::CredentialRefused, format!("{detail} Nothing was stored."))
}

/// Tries a credential, or the bare target, once.
async fn first_check(
    app: &App,
    base: &Base,
    path: Option<&str>,
    credential: Option<&Credential>,
) -> Result<Option<Health>, Problem> {
    let Some(path) = path else { return Ok(None) };
    let health = check::ask(app, base, path, credential).await;
    match (&health, credential) {
        (Health::Refused, Some(_)) => Err(refused("The target does not accept this credential.")),
        _ => Ok(Some(health)),
    }
}

/// When the cron checks next.
fn due_at(app: &App) -> String {
    let interval_ms = app.config.connection_check_ms;
    let spread = u32::try_from(interval_ms / 4 + 1).unwrap_or(u32::MAX);
    time::iso8601(app.now_ms() + interval_ms + u64::from(app.jitter(spread)))
}

/// List one's connections, newest first.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/v1/connections",
    operation_id = "connectionsList",
    tag = "connections",
    params(
        ("source" = Option<String>, Query, description = "Only of this context or actor."),
        ("target" = Option<String>, Query, description = "Only to this service."),
        ("type" = Option<String>, Query, description = "`api`, `webhook`, `oauth` or `direct`."),
        ("status" = Option<String>, Query, description = "`active`, `inactive`, `failed` or `disconnected`."),
        ("limit" = Option<u8>, Query, description = "1 to 100; 100 by default."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before."),
    ),
    responses(
        (status = 200, description = "A page.", body = LinkListView, headers(("Link" = String))),
        (status = 422, description = "A parameter is not acceptable."),
    ),
))]
pub async fn list(_: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
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
    let page = store::list(ready, &scope, &filter, Asked::of(request)?).await?;
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
        (status = 200, description = "The connection.", body = LinkView, headers(("ETag" = String))),
        (status = 304, description = "Not changed, but for what checks and use have noted."),
        (status = 404, description = "You have no such connection."),
    ),
))]
pub async fn show(_: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    let found = store::get(ready, &scope, &request.id).await?;
    let unchanged = request
        .header("if-none-match")
        .is_some_and(|header| none_match_hits(&header, &found.revision));
    let reply = if unchanged { Reply::new(304, Body::Empty) } else { Reply::json(found.json) };
    Ok(reply.header("etag", etag(&found.revision)))
}

/// How a connection is. Reads what is on record; `…/check` finds out anew.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/v1/connections/{id}/status",
    operation_id = "connectionsStatus",
    tag = "connections",
    params(("id" = String, Path, description = "Its `connection_id`.")),
    responses(
        (status = 200, description = "How it is.", body = LinkStatusView),
        (status = 404, description = "You have no such connection."),
    ),
))]
pub async fn status(_: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    Ok(Reply::json(store::status(ready, &scope, &request.id).await?))
}

/// What was done to a connection, newest first.
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
        (status = 200, description = "A page.", body = LinkHistoryView, headers(("Link" = String))),
        (status = 404, description = "You have no such connection."),
    ),
))]
pub async fn history(_: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    let page = store::history(ready, &scope, &request.id, Asked::of(request)?).await?;
    Ok(page.reply(request, "history", &[]))
}

/// Check a connection now: its target, with its credential, at its `check_path`.
///
/// After three checks in a row that found something wrong an active connection has failed; a good one
/// brings it back. One that is inactive or disconnected is not checked.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    post,
    path = "/v1/connections/{id}/check",
    operation_id = "connectionsCheck",
    tag = "connections",
    params(("id" = String, Path, description = "Its `connection_id`.")),
    responses(
        (status = 200, description = "How it is now.", body = LinkStatusView),
        (status = 404, description = "You have no such connection."),
        (status = 409, description = "`connection_inactive`: there is nothing to check."),
    ),
))]
pub async fn check(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    let link = store::link(ready, &scope, &request.id).await?;
    let detail = match link.status.as_str() {
        _ if !link.has_source => Some("The source of the connection is gone."),
        "active" | "failed" if link.check_path.is_none() => {
            Some("The connection has no check_path. PATCH it if the target has one.")
        }
        "active" | "failed" => None,
        _ => Some("An inactive or disconnected connection is not checked."),
    };
    if let Some(detail) = detail {
        return Err(Problem::new(Code::ConnectionInactive, detail));
    }
    check::check(app, ready, &link, scope.actor()).await?;
    Ok(Reply::json(store::status(ready, &scope, &request.id).await?))
}

/// Change a connection: what is sent replaces what was there.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    patch,
    path = "/v1/connections/{id}",
    operation_id = "connectionsChange",
    tag = "connections",
    params(
        ("id" = String, Path, description = "Its `connection_id`."),
        ("If-Match" = Option<String>, Header, description = "An `ETag`: 412 if the connection has another by now."),
    ),
    request_body = LinkPatchView,
    responses(
        (status = 200, description = "Changed.", body = LinkReplyView, headers(("ETag" = String))),
        (status = 404, description = "You have no such connection that is not disconnected."),
        (status = 409, description = "`connection_exists`: another has become active."),
        (status = 412, description = "It has changed since."),
        (status = 422, description = "A value is not acceptable, or the target refuses the credential."),
    ),
))]
pub async fn change(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    let patch = input::patch(&request.json_bytes().await?, request.now_ms)?;
    let mut sealed: Option<Sealed> = None;
    if let Some(handed) = &patch.credentials {
        let link = store::link(ready, &scope, &request.id).await?;
        if link.status == "disconnected" {
            return Err(Problem::not_found("connection"));
        }
        // Before anybody is asked: a refresh token may be good for one use only.
        if !IfMatch::of(request).allows(&link.revision) {
            Changed::Stale.done("connection")?;
        }
        let Handed::In(credential) = handed else {
            let detail = "are provisioned when a connection is made";
            return Err(Problem::invalid("/credentials", detail));
        };
        let credential = match credential {
            Credential::Oauth(oauth) if !oauth.is_good_for(0, app.now_ms()) => {
                match secrets::renew(app, oauth).await {
                    Renewal::Done(renewed) => Credential::Oauth(renewed),
                    Renewal::Refused => {
                        return Err(refused("The token endpoint does not renew this."));
                    }
                    Renewal::Open => {
                        return Err(Problem::new(
                            Code::CredentialUnavailable,
                            "The token endpoint did not answer, so nothing was changed.",
                        ));
                    }
                }
            }
            credential => credential.clone(),
        };
        let base = Base::of(app, &link.service, &link.endpoint);
        let path = patch.check_path.as_ref().or(link.check_path.as_ref());
        first_check(app, &base, path.map(String::as_str), Some(&credential)).await?;
        sealed = Some(secrets::seal(app, &request.id, &credential)?);
    }
    let payload = json!({ "changes": patch.changed() });
    let kind = EventKind::ConnectionUpdated;
    let event = Event::caused(request, &scope, kind, &request.id, payload, app.now_ms());
    let asked = conditional(app, request, &event);
    let changed = store::update(ready, &scope, &asked, &patch, sealed.as_ref(), &due_at(app)).await;
    let json = match changed {
        Ok(changed) => changed.done("connection")?,
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
    let reply = Reply::json(text).header("etag", etag(&event.id)).then(After::Announce(event));
    Ok(if sealed.is_some() { reply.then(After::RevokeCredentials) } else { reply })
}

fn conditional<'a>(app: &App, request: &Request<'_>, event: &'a Event) -> Change<'a> {
    Change { event, if_match: IfMatch::of(request), overdue_ms: app.config.outbox_overdue_ms }
}

/// Disconnect. The credential is removed at once, and revoked where it came from: if that does not
/// succeed at first, it is tried again for a week.
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
        (status = 200, description = "Disconnected, now or before.", body = DisconnectedView),
        (status = 404, description = "You have no such connection."),
        (status = 412, description = "It has changed since."),
    ),
))]
pub async fn remove(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    let kind = EventKind::ConnectionDisconnected;
    let event = Event::caused(request, &scope, kind, &request.id, json!({}), app.now_ms());
    let asked = conditional(app, request, &event);
    let text = json!({
        "success": true, "message": "Connection disconnected", "connection_id": request.id,
    });
    let reply = |text: Value| Reply::json(text.to_string());
    match store::disconnect(ready, &scope, &asked).await?.done("connection") {
        Ok(_) => Ok(reply(text).then(After::Announce(event)).then(After::RevokeCredentials)),
        Err(problem) if problem.code == Code::NotFound => {
            match store::is_disconnected(ready, &scope, &request.id).await? {
                true => Ok(reply(text)),
                false => Err(problem),
            }
        }
        Err(problem) => Err(problem),
    }
}
