//! `GET /health`: what this gateway knows of itself. Asks nobody, not even its database, so it
//! answers when everything else is down. With `?full=true` it asks every service how it is.

use std::collections::BTreeMap;

use chitty_core::{HealthReport, Service, ServiceHealth};
use serde::Serialize;

use crate::app::App;
use crate::config::{Deficiency, VERSION};
use crate::ecosystem::probe;
use crate::http::Outcome;
use crate::http::reply::Reply;
use crate::http::request::Request;
use crate::init;
use crate::platform::time;

/// The reply.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(utoipa::ToSchema))]
pub struct Health<'a> {
    /// `healthy`, or `degraded` when the database or the registration failed, or something is
    /// missing.
    #[cfg_attr(not(target_family = "wasm"), schema(example = "healthy"))]
    status: &'static str,
    /// Always `chittyconnect`.
    service: &'static str,
    /// The gateway's version.
    version: &'static str,
    /// `development`, `staging` or `production`.
    environment: &'static str,
    /// ISO-8601 UTC.
    timestamp: String,
    /// The schema, as the isolate that answers has last seen it.
    database: DatabaseHealth,
    /// The gateway's own registration.
    ecosystem: EcosystemHealth,
    /// Bindings, secrets and variables that are missing or senseless, and what to do.
    #[cfg_attr(not(target_family = "wasm"), schema(value_type = Vec<DeficiencySchema>))]
    missing: &'a [Deficiency],
    /// With `?full=true`: every service by its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(not(target_family = "wasm"), schema(value_type = Option<BTreeMap<String, ServiceReportSchema>>))]
    services: Option<BTreeMap<Service, HealthReport>>,
    /// With `?full=true`: when the services were asked; at most five seconds ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    checked_at: Option<String>,
}

/// How a service is.
#[cfg(not(target_family = "wasm"))]
#[derive(utoipa::ToSchema)]
#[schema(as = ServiceReport)]
#[allow(dead_code, reason = "the schema of HealthReport, which is chitty-core's")]
pub(crate) struct ServiceReportSchema {
    /// `healthy`, `degraded` (it says so, or took half a second or longer), or `down`.
    status: String,
    /// How long its answer took, in ms.
    latency: u64,
    /// Why it is down.
    error: Option<String>,
}

/// The database.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(utoipa::ToSchema))]
pub struct DatabaseHealth {
    /// `pending` until a request needed it, `ready`, or `failed` until a request finds it mended.
    state: &'static str,
}

/// The registration in the ecosystem.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(utoipa::ToSchema))]
pub struct EcosystemHealth {
    /// `pending`, `registered`, or `degraded` while it is tried again.
    state: &'static str,
    /// The gateway's own ChittyID, once it has one.
    chitty_id: Option<String>,
    /// The steps of the registration that have succeeded, in order.
    completed: Vec<init::registration::Step>,
    /// The steps that are still to be taken, in order. A later request or the cron goes on with them.
    pending: Vec<init::registration::Step>,
    /// Why the last try failed: who, and how.
    last_error: Option<String>,
}

/// A missing thing.
#[cfg(not(target_family = "wasm"))]
#[derive(utoipa::ToSchema)]
#[schema(as = Deficiency)]
#[allow(dead_code, reason = "the schema of Deficiency, whose strings are static")]
pub(crate) struct DeficiencySchema {
    /// Its name.
    name: String,
    /// `binding`, `secret` or `variable`.
    kind: String,
    /// What is wrong and what to do.
    problem: String,
}

/// What the gateway knows of itself. No other service is asked, unless `full` says so.
///
/// With `full=true` all services are asked side by side, which takes five seconds at most; the answers
/// are shown again for five seconds. A service that is down makes the gateway `degraded`.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/health",
    operation_id = "health",
    tag = "gateway",
    params(("full" = Option<bool>, Query, description = "Whether to ask every service too.")),
    responses((status = 200, description = "Always; `status` says how it is.", body = Health<'_>)),
))]
pub async fn show(app: &App, request: &Request<'_>) -> Outcome {
    let database = app.init.database();
    let registration = app.init.registration();
    let full = match request.query("full").as_deref() {
        Some("true") => Some(probe::services(app).await),
        _ => None,
    };
    let all_well = |reports: &BTreeMap<Service, HealthReport>| {
        reports.values().all(|report| report.status == ServiceHealth::Healthy)
    };
    let degraded = database == init::Database::Failed
        || registration.as_str() == "degraded"
        || !app.config.deficiencies.is_empty()
        || full.as_ref().is_some_and(|(reports, _)| !all_well(reports));
    let health = Health {
        status: if degraded { "degraded" } else { "healthy" },
        service: "chittyconnect",
        version: VERSION,
        environment: app.config.environment.as_str(),
        timestamp: time::iso8601(request.now_ms),
        database: DatabaseHealth { state: database.as_str() },
        ecosystem: EcosystemHealth {
            state: registration.as_str(),
            chitty_id: registration.chitty_id,
            completed: registration.completed,
            pending: registration.pending,
            last_error: registration.last_error,
        },
        missing: &app.config.deficiencies,
        checked_at: full.as_ref().map(|(_, at_ms)| time::iso8601(*at_ms)),
        services: full.map(|(reports, _)| BTreeMap::clone(&reports)),
    };
    // Strings and lists of them: this cannot fail.
    Ok(Reply::json(serde_json::to_string(&health).unwrap_or_default()))
}
