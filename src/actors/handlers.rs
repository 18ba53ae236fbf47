//! `/v1/actors`.

use chitty_core::ChittyId;
use http_kit::precondition::{ChangeOutcome, etag};
use http_kit::problem::{Code, Problem};
use http_kit::request::Request;
use serde_json::json;

use crate::access::caller::{Scope, TokenCache, WriteError, scopes, token_of};
use crate::access::change::Change;
use crate::access::creation::Creation;
use crate::access::idempotency::{self, Idempotency};
use crate::access::listing::{PageRequest, word};
use crate::access::reply::{After, Outcome, Reply, Secret};
use crate::actors::store::{self, Filter};
use crate::actors::{STATUSES, TYPES, input};
use crate::app::{App, Slot};
use crate::store::Ready;
use crate::store::event::{Event, EventKind};

#[cfg(not(target_family = "wasm"))]
use crate::actors::views::{
    ActorListView, ActorPatchView, ActorRegistrationView, ActorReplyView, CapabilitiesView,
    GrantView, OwnActorView, ShownActorView,
};

/// Register yourself.
///
/// Your ChittyID is the one that ChittyAuth vouches for. `capabilities` come from ChittyAuth and
/// from administrators: a body that names one that you do not hold is refused.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    post,
    path = "/v1/actors/register",
    operation_id = "actorsRegister",
    tag = "actors",
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters.")),
    request_body = ActorRegistrationView,
    responses(
        (status = 201, description = "Registered.", body = ActorReplyView, headers(("ETag" = String), ("Location" = String))),
        (status = 409, description = "`already_registered`."),
        (status = 422, description = "A value is not acceptable."),
    ),
))]
pub async fn register(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    // 1. Admit only the actor's own token, and read the registration.
    scope.by_own_token(ready).await?;
    let body = request.json_bytes().await?;
    let new = input::registration(&body, &scope.held_scopes())?;
    let key = Idempotency::of(request, "actors.register", &body)?;
    // 2. Replay a stored reply, or refuse a second registration.
    let look_up = || key.as_ref().map(|key| key.look_up(&scope, request.now_ms));
    let (is_registered, stored) = store::is_registered(ready, &scope, look_up()).await?;
    if let Some(replay) = idempotency::replay(key.as_ref(), stored)? {
        return Ok(replay);
    }
    if is_registered {
        return Err(already_registered(&scope));
    }
    // 3. Store the actor, the event and the reply in one batch.
    let payload = json!({ "actor_type": new.actor_type });
    let kind = EventKind::ActorRegistered;
    let event = Event::caused(request, &scope, kind, scope.actor(), payload, app.now_ms());
    let creation = Creation::new(app, event, "/v1/actors", &[], key.as_ref());
    match store::register(ready, &scope, &new, &creation).await {
        Ok(Some(text)) => {
            // 4. Reply; announce the event, and learn the actor's principal.
            let reply = creation.reply(text);
            Ok(match scope.principal_id() {
                Some(_) => reply,
                None => {
                    let (actor, token) = (scope.actor().to_owned(), Secret(token_of(request)?));
                    reply.then(After::LearnPrincipal { actor, token })
                }
            })
        }
        Ok(None) => Err(already_registered(&scope)),
        Err(WriteError::Refused(problem)) => Err(problem),
        // Another request may have been faster, with the same idempotency key or another.
        Err(WriteError::Db(error)) => {
            let (is_registered, stored) = store::is_registered(ready, &scope, look_up()).await?;
            match idempotency::replay(key.as_ref(), stored)? {
                Some(replay) => Ok(replay),
                None if is_registered => Err(already_registered(&scope)),
                None => Err(error.into()),
            }
        }
    }
}

fn already_registered(scope: &Scope) -> Problem {
    Problem::new(
        Code::AlreadyRegistered,
        "You have registered before. Change your description with PATCH /v1/actors/{id}.",
    )
    .existing(Some(scope.actor().to_owned()))
}

/// Read yourself, and the scopes of the credential in use.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/v1/actors/me",
    operation_id = "actorsMe",
    tag = "actors",
    responses((status = 200, description = "Yourself, registered or not.", body = OwnActorView, headers(("ETag" = String)))),
))]
pub async fn me(_: &App, ready: Ready<'_>, scope: Scope, _: &Request<'_>) -> Outcome {
    // 1. Read the caller's own row.
    let found = store::get(ready, &scope, scope.actor()).await?;
    let scopes = json!(scope.held_scopes());
    // 2. Reply; a caller that has not registered is told how to.
    Ok(match found.filter(|found| found.is_registered) {
        Some(found) => {
            let text = format!("{{\"actor\":{},\"scopes\":{scopes}}}", found.json);
            Reply::json(text).header("etag", etag(&found.revision))
        }
        None => {
            let text = json!({
                "actor": {
                    "chitty_id": scope.actor(), "chittyId": scope.actor(), "registered": false,
                    "message": "Register with POST /v1/actors/register.",
                },
                "scopes": scopes,
            });
            Reply::json(text.to_string())
        }
    })
}

/// Read an actor.
///
/// The actor and administrators see all of it. Everybody else sees its ChittyID, name, type and avatar only.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/v1/actors/{id}",
    operation_id = "actorsShow",
    tag = "actors",
    params(("id" = String, Path, description = "Its ChittyID.")),
    responses(
        (status = 200, description = "The actor.", body = ShownActorView, headers(("ETag" = String))),
        (status = 404, description = "No such actor has registered."),
    ),
))]
pub async fn show(_: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    let id = actor_id(request)?;
    let shown = store::show(ready, &scope, id.as_str()).await?.ok_or_else(not_found)?;
    let reply = Reply::json(format!("{{\"actor\":{}}}", shown.json));
    Ok(match shown.revision {
        Some(revision) => reply.header("etag", etag(&revision)),
        None => reply,
    })
}

/// Returns the scope that reads and changes all of an actor: its own, or one that requires an administrator.
fn full_scope(scope: Scope, id: &ChittyId) -> Scope {
    if scope.actor() == id.as_str() { scope } else { scope.demanding_admin() }
}

/// Returns the refusal of a caller that is not an administrator as 404, so that it does not learn
/// which other actors exist. Any other problem stays, and so does the refusal of a caller that may
/// do nothing with actors at all.
async fn as_not_found(ready: Ready<'_>, scope: &Scope, problem: Problem) -> Problem {
    if problem.code != Code::InsufficientScope {
        return problem;
    }
    scope.check(ready).await.err().unwrap_or_else(not_found)
}

/// Change an actor: yourself, or as an administrator any actor.
///
/// Only an administrator can change `status`, and nobody can change their own. It can also be set
/// for an actor that has not registered.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    patch,
    path = "/v1/actors/{id}",
    operation_id = "actorsChange",
    tag = "actors",
    params(
        ("id" = String, Path, description = "Its ChittyID."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that you expect: 412 if the actor has another by now."),
    ),
    request_body = ActorPatchView,
    responses(
        (status = 200, description = "Changed.", body = ActorReplyView, headers(("ETag" = String))),
        (status = 404, description = "There is no such actor that you may change."),
        (status = 412, description = "The actor has changed since."),
        (status = 422, description = "A value is not acceptable."),
    ),
))]
pub async fn change(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    // 1. Read the patch; to change another actor, require an administrator.
    let id = actor_id(request)?;
    let patch = input::patch(&request.json_bytes().await?)?;
    let is_own = scope.actor() == id.as_str();
    let own = scope.clone();
    let scope = full_scope(scope, &id);
    // 2. Refuse a change of one's own status, and one by a delegated token.
    if patch.status.is_some() {
        admits_status(ready, &scope, is_own).await?;
    }
    // 3. Store the change and its event in one batch.
    let mut changes: Vec<&str> = Vec::new();
    let profile = &patch.profile;
    for (name, sent) in [
        ("display_name", profile.display_name.is_sent()),
        ("email", profile.email.is_sent()),
        ("avatar_url", profile.avatar_url.is_sent()),
        ("status", patch.status.is_some()),
    ] {
        changes.extend(sent.then_some(name));
    }
    let payload = json!({ "changes": changes, "status": patch.status });
    let kind = EventKind::ActorUpdated;
    let event = Event::caused(request, &scope, kind, id.as_str(), payload, app.now_ms());
    let change = Change::of(app, request, &id, &event);
    match store::update(ready, &scope, &change, &patch).await {
        // 4. Forget the actor's cached tokens, reply, and announce the event.
        Ok(updated) => changed_reply(app, &id, event, &updated.into_json("actor")?),
        Err(error) => Err(as_not_found(ready, &own, error.into()).await),
    }
}

/// Refuses a change of the caller's own status, and a change by a delegated token. `scope` already
/// requires an administrator if the actor is another one.
async fn admits_status(ready: Ready<'_>, scope: &Scope, is_own: bool) -> Result<(), Problem> {
    if is_own {
        scope.check(ready).await?;
        return Err(Problem::new(
            Code::InsufficientScope,
            "Only an administrator can change an actor's status, and nobody can change their own.",
        ));
    }
    scope.not_delegated(ready).await
}

fn changed_reply(app: &App, id: &ChittyId, event: Event, json: &str) -> Outcome {
    TokenCache::of(app).forget(id.as_str());
    let text = format!("{{\"success\":true,\"message\":\"Actor updated\",\"actor\":{json}}}");
    Ok(Reply::json(text).header("etag", etag(event.id.as_str())).then(After::Announce(event)))
}

/// Read the capabilities of an actor, by their origin.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/v1/actors/{id}/capabilities",
    operation_id = "actorsCapabilities",
    tag = "actors",
    params(("id" = String, Path, description = "Its ChittyID.")),
    responses(
        (status = 200, description = "Its capabilities.", body = CapabilitiesView),
        (status = 404, description = "There is no such actor whose capabilities you may see."),
    ),
))]
pub async fn capabilities(
    _: &App,
    ready: Ready<'_>,
    scope: Scope,
    request: &Request<'_>,
) -> Outcome {
    let id = actor_id(request)?;
    match store::capabilities(ready, &full_scope(scope.clone(), &id), id.as_str()).await {
        Ok(json) => json.map(Reply::json).ok_or_else(not_found),
        Err(problem) => Err(as_not_found(ready, &scope, problem).await),
    }
}

/// Replace the capabilities that an actor is granted beyond those that ChittyAuth vouches for.
/// Administrators only.
///
/// A caller with `actors:admin` alone can grant and take away only scopes that it holds itself.
///
/// The change takes effect with the next request: a scope that is taken away is gone from the
/// actor's keys and delegations too.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    put,
    path = "/v1/actors/{id}/capabilities",
    operation_id = "actorsGrant",
    tag = "actors",
    params(
        ("id" = String, Path, description = "Its ChittyID."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that you expect: 412 if the actor has another by now."),
    ),
    request_body = GrantView,
    responses(
        (status = 200, description = "Replaced.", body = ActorReplyView, headers(("ETag" = String))),
        (status = 412, description = "The actor has changed since."),
        (status = 422, description = "A value is not acceptable."),
    ),
))]
pub async fn grant(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    // 1. Read the scopes; a delegated token grants nothing.
    scope.not_delegated(ready).await?;
    let id = actor_id(request)?;
    let granted = input::capabilities(&request.json_bytes().await?)?;
    // 2. Refuse a grant to oneself, and of scopes that the caller does not hold.
    let held = scope.held_scopes();
    let holds = |one: &String| scopes::holds(&held, one);
    if scope.actor() == id.as_str() || !granted.iter().all(holds) {
        scope.check(ready).await?;
        return Err(not_held());
    }
    // 3. As an administrator, store the grant and its event in one batch, and reply.
    let payload = json!({ "granted": granted });
    let kind = EventKind::ActorCapabilitiesChanged;
    let event = Event::caused(request, &scope, kind, id.as_str(), payload, app.now_ms());
    let change = Change::of(app, request, &id, &event);
    if scopes::is_admin(&held) {
        let json =
            store::grant(ready, &scope, &change, &granted, None).await?.into_json("actor")?;
        return changed_reply(app, &id, event, &json);
    }
    // 4. As another caller, check that it holds what it takes away, then store and reply likewise.
    // Another change may come between the read and the write, which then changes nothing.
    for _ in 0..ATTEMPTS {
        let before = store::granted_capabilities(ready, &scope, id.as_str()).await?;
        let taken = scopes::list(&before).into_iter().filter(|one| !scopes::holds(&granted, one));
        if !taken.collect::<Vec<String>>().iter().all(holds) {
            return Err(not_held());
        }
        match store::grant(ready, &scope, &change, &granted, Some(&before)).await? {
            ChangeOutcome::Missing => {}
            done => return changed_reply(app, &id, event, &done.into_json("actor")?),
        }
    }
    Err(Problem::new(
        Code::StorageUnavailable,
        "The actor's grants keep changing. Repeat the request.",
    ))
}

/// How often a grant is tried if the caller may take away only what it holds itself.
const ATTEMPTS: u32 = 3;

fn not_held() -> Problem {
    Problem::new(
        Code::InsufficientScope,
        "You can grant and take away only scopes that you hold, and only for other actors.",
    )
}

/// List actors, newest first. Administrators only.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/v1/actors",
    operation_id = "actorsList",
    tag = "actors",
    params(
        ("type" = Option<String>, Query, description = "`human`, `ai`, `service` or `system`."),
        ("status" = Option<String>, Query, description = "`active`, `suspended` or `deleted`."),
        ("limit" = Option<u8>, Query, description = "1 to 100; 100 by default."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before."),
    ),
    responses(
        (status = 200, description = "A page.", body = ActorListView, headers(("Link" = String))),
        (status = 422, description = "A parameter is not acceptable."),
    ),
))]
pub async fn list(_: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    // 1. Read the filters.
    let mut errors = Vec::new();
    let filter = Filter {
        actor_type: word(request, "type", &TYPES, &mut errors),
        status: word(request, "status", &STATUSES, &mut errors),
    };
    if !errors.is_empty() {
        return Err(Problem::validation(errors));
    }
    // 2. Read the page, and reply.
    let page = store::list(ready, &scope, &filter, PageRequest::of(request)?).await?;
    Ok(page.reply(request, "actors", &[]))
}

/// Returns the id in the path; 404 if it is no ChittyID.
fn actor_id(request: &Request<'_>) -> Result<ChittyId, Problem> {
    ChittyId::parse(&request.id).map_err(|_| not_found())
}

fn not_found() -> Problem {
    Problem::new(Code::NotFound, "There is no such actor that you may see or change.")
}
