//! `/v1/ecosystem`: the services as this gateway sees them.

use chitty_core::{BreakerState, Service};
use http_kit::fields::nothing;
use http_kit::problem::{Code, Problem};
use http_kit::request::Request;
use seams::db::{Row, Statement};
use seams::{log, time};
use serde_json::{Value, json};

use crate::access::caller::Scope;
use crate::access::reply::{After, Outcome, Reply};
use crate::app::{App, Slot};
use crate::audit::BEGUN;
use crate::discovery::published::{self, ServiceStatus};
use crate::ecosystem::watch::Command;
use crate::registration::Registration;
use crate::store::event::{Event, EventKind};
use crate::store::{Ready, outbox};

#[cfg(not(target_family = "wasm"))]
use crate::ecosystem::views::{EcosystemView, ServiceView, WatchReplyView};

/// How many of a service's latest events a reply shows.
const EVENTS_SHOWN: i64 = 20;

/// List every service with its connection, its statistics and its breaker.
///
/// All isolates share the connection; the breaker is that of the answering isolate.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/v1/ecosystem",
    operation_id = "ecosystemList",
    tag = "ecosystem",
    responses((status = 200, description = "The services and the gateway's own registration.", body = EcosystemView)),
))]
pub async fn list(app: &App, ready: Ready<'_>, scope: Scope, _: &Request<'_>) -> Outcome {
    // 1. Read the published status of each watch.
    let published = read(scope.rows(ready, published::overview()).await?)?;
    // 2. Reply with them, this isolate's breakers, and the registration.
    let services: Vec<Value> =
        Service::ALL.iter().map(|service| view(app, *service, &published)).collect();
    let text = json!({
        "services": services,
        "count": services.len(),
        "registration": registration(app),
    });
    Ok(Reply::json(text.to_string()))
}

/// Show one service, with the latest events of its connection, newest first.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/v1/ecosystem/{id}",
    operation_id = "ecosystemShow",
    tag = "ecosystem",
    params(("id" = String, Path, description = "Its name, such as `id` or `chittyid`.")),
    responses(
        (status = 200, description = "The service.", body = ServiceView),
        (status = 404, description = "There is no such service."),
    ),
))]
pub async fn show(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    // 1. Read the published status of each watch and the latest events of the service.
    let service = service(request)?;
    let events = Statement::new(
        "SELECT id, event, data, at FROM connection_events WHERE service = ?1 \
         ORDER BY id DESC LIMIT ?2",
    )
    .bind(service.host())
    .bind(EVENTS_SHOWN);
    let mut results = scope.read(ready, vec![published::overview(), events]).await?.into_iter();
    // 2. Reply with the service and its events; for ChittyID, also with the registration.
    let mut shown = view(app, service, &read(results.next().unwrap_or_default())?);
    let mut events = Vec::new();
    for mut row in results.next().unwrap_or_default() {
        let data: Value = serde_json::from_str(&row.text("data")?).unwrap_or_default();
        events.push(json!({
            "id": row.integer("id")?,
            "event": row.text("event")?,
            "data": data,
            "at": row.text("at")?,
        }));
    }
    if let Some(shown) = shown.as_object_mut() {
        shown.insert("events".to_owned(), events.into());
        if service == Service::Id {
            shown.insert("registration".to_owned(), registration(app));
        }
    }
    Ok(Reply::json(shown.to_string()))
}

/// Check a service's health now.
///
/// The reply follows when the check has ended, after at most five seconds (the default of
/// `HEALTH_CHECK_TIMEOUT_MS`).
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    post,
    path = "/v1/ecosystem/{id}/check",
    operation_id = "ecosystemCheck",
    tag = "ecosystem",
    params(("id" = String, Path, description = "Its name, such as `id` or `chittyid`.")),
    responses(
        (status = 200, description = "The connection after the check.", body = WatchReplyView),
        (status = 404, description = "There is no such service."),
    ),
))]
pub async fn check(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    command(app, ready, scope, request, Command::Check).await
}

/// Connect to a service.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    post,
    path = "/v1/ecosystem/{id}/connect",
    operation_id = "ecosystemConnect",
    tag = "ecosystem",
    params(("id" = String, Path, description = "Its name, such as `id` or `chittyid`.")),
    responses(
        (status = 200, description = "The connection after the first check.", body = WatchReplyView),
        (status = 404, description = "There is no such service."),
    ),
))]
pub async fn connect(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    command(app, ready, scope, request, Command::Connect).await
}

/// Disconnect a service: the gateway stops checking it until a caller connects or resets it.
///
/// Only the watch ends; the gateway still calls the service.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    post,
    path = "/v1/ecosystem/{id}/disconnect",
    operation_id = "ecosystemDisconnect",
    tag = "ecosystem",
    params(("id" = String, Path, description = "Its name, such as `id` or `chittyid`.")),
    responses(
        (status = 200, description = "The connection.", body = WatchReplyView),
        (status = 404, description = "There is no such service."),
    ),
))]
pub async fn disconnect(
    app: &App,
    ready: Ready<'_>,
    scope: Scope,
    request: &Request<'_>,
) -> Outcome {
    command(app, ready, scope, request, Command::Disconnect).await
}

/// Forget a connection's state and statistics. The gateway connects again within a minute.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    post,
    path = "/v1/ecosystem/{id}/reset",
    operation_id = "ecosystemReset",
    tag = "ecosystem",
    params(("id" = String, Path, description = "Its name, such as `id` or `chittyid`.")),
    responses(
        (status = 200, description = "The connection, as new.", body = WatchReplyView),
        (status = 404, description = "There is no such service."),
    ),
))]
pub async fn reset(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    command(app, ready, scope, request, Command::Reset).await
}

async fn command(
    app: &App,
    ready: Ready<'_>,
    scope: Scope,
    request: &Request<'_>,
    command: Command,
) -> Outcome {
    // 1. Read which service is meant; the request has no body.
    nothing(request).await?;
    let service = service(request)?;
    // 2. Write the event before the command is sent, so that no command goes unrecorded.
    let kind = EventKind::ServiceCommanded;
    let payload = json!({ "command": command.as_str(), "outcome": BEGUN });
    let event = Event::caused(request, &scope, kind, service.as_str(), payload, app.now_ms());
    scope.write(ready, vec![outbox::insert(&event, app.config.outbox_overdue_ms)]).await?;
    // 3. Send the command to the object that watches the service.
    let Some(objects) = app.watches.as_deref() else {
        return Err(unavailable(
            "The binding SERVICE_CONNECTION is missing; GET /health lists all that is missing.",
        ));
    };
    let answer = objects.ask(service, command.as_str()).await.map_err(|error| {
        log::warn("connection_not_asked", &[("service", service.as_str()), ("error", &error)]);
        unavailable("The connection's object did not answer. Repeat the request.")
    })?;
    // 4. Reply with the watch as it is now, and announce the event.
    let status: Value = serde_json::from_str(&answer).unwrap_or_default();
    let text = json!({
        "success": true,
        "service": service.as_str(),
        "connection": readable(&status, app.now_ms()),
    });
    Ok(Reply::json(text.to_string()).then(After::Announce(event)))
}

fn unavailable(detail: &'static str) -> Problem {
    Problem::new(Code::ConnectionUnavailable, detail)
}

fn service(request: &Request<'_>) -> Result<Service, Problem> {
    Service::parse(&request.id).ok_or_else(|| {
        Problem::new(Code::NotFound, "There is no such service. GET /v1/ecosystem lists them.")
    })
}

fn read(rows: Vec<Row>) -> Result<Vec<ServiceStatus>, Problem> {
    Ok(rows.into_iter().map(ServiceStatus::read).collect::<Result<Vec<_>, _>>()?)
}

fn view(app: &App, service: Service, published: &[ServiceStatus]) -> Value {
    let found = published.iter().find(|published| published.service == service.host());
    json!({
        "service": service.as_str(),
        "name": service.host(),
        "url": app.core.endpoint(service),
        "status": found.map_or("unknown", ServiceStatus::word),
        "connection": found.map(|found| readable(&found.status, app.now_ms())),
        "updated_at": found.map(|found| found.updated_at.clone()),
        "breaker": breaker(app, service),
    })
}

/// The published status, with its instants as ISO-8601 and its uptime as of now.
fn readable(status: &Value, now_ms: u64) -> Value {
    let mut status = status.clone();
    let connected = status.get("state").and_then(Value::as_str) == Some("CONNECTED");
    let since_ms = status.get("since").and_then(Value::as_u64).filter(|_| connected);
    let uptime_ms = since_ms.map_or(0, |since_ms| now_ms.saturating_sub(since_ms));
    for pointer in ["/uptime", "/stats/uptime"] {
        if let Some(value) = status.pointer_mut(pointer) {
            *value = uptime_ms.into();
        }
    }
    for name in ["lastCheckAt", "nextCheckAt", "since"] {
        if let Some(value) = status.get_mut(name)
            && let Some(ms) = value.as_u64()
        {
            *value = time::iso8601(ms).into();
        }
    }
    status
}

fn breaker(app: &App, service: Service) -> Value {
    match app.core.breaker(service) {
        BreakerState::Closed => json!({ "state": "closed" }),
        BreakerState::HalfOpen { .. } => json!({ "state": "half_open" }),
        BreakerState::Open { until_ms } => {
            json!({ "state": "open", "until": time::iso8601(until_ms) })
        }
    }
}

fn registration(app: &App) -> Value {
    let progress = Registration::of(app).progress();
    let mut text = json!(*progress);
    if let Some(text) = text.as_object_mut() {
        text.insert("state".to_owned(), progress.as_str().into());
    }
    text
}
