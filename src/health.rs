//! `GET /health`: the gateway's own status. The handler calls nothing, not even the database, so it answers
//! when everything else is down. With `?full=true` it also checks the health of every service.
//!
//! The HTTP status is 200 even while the gateway is `degraded`, as document 004 specifies: a degraded gateway
//! still serves, and a monitor that took it out of service would turn a weakness into an outage.

use std::collections::BTreeMap;

use chitty_core::watch::{State, Statistics, Status, Watch};
use chitty_core::{HealthReport, Service, ServiceHealth};
use http_kit::problem::Problem;
use http_kit::request::Request;
use seams::time;
use serde::Serialize;

use crate::access::caller::jwt::Expectation;
use crate::access::quota::Quotas;
use crate::access::rates::Rates;
use crate::access::reply::{Outcome, Reply};
use crate::app::{App, Settings, Slot};
use crate::config::{Deficiency, VERSION};
use crate::ecosystem::news::NewsMemory;
use crate::ecosystem::{self, probe};
use crate::registration::{AutoRegister, Registration, Step};
use crate::store::{Database, Schema};
use crate::{audit, connections, github, keys, metrics};

#[cfg(not(target_family = "wasm"))]
use crate::ecosystem::views::StatisticsView;

/// The missing or invalid bindings, secrets and variables of the gateway and all its folders.
struct Deficiencies(Vec<Deficiency>);

impl Slot for Deficiencies {
    fn new(app: &App) -> Self {
        let lists = [
            app.config.deficiencies.as_slice(),
            Expectation::deficiencies(app),
            Rates::deficiencies(app),
            Quotas::deficiencies(app),
            keys::settings::Settings::deficiencies(app),
            audit::settings::Settings::deficiencies(app),
            connections::settings::Settings::deficiencies(app),
            ecosystem::settings::Settings::deficiencies(app),
            AutoRegister::deficiencies(app),
            metrics::settings::Settings::deficiencies(app),
            github::settings::Settings::deficiencies(app),
        ];
        Deficiencies(lists.concat())
    }
}

/// The gateway's own status.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(utoipa::ToSchema))]
pub struct Health<'a> {
    /// `ok`, or `degraded` when the database or the registration failed, `missing` is not empty, ChittyID is
    /// not connected, or (with `?full=true`) a service is not healthy.
    #[cfg_attr(not(target_family = "wasm"), schema(example = "ok"))]
    status: &'static str,
    /// Always `chittyconnect`.
    service: &'static str,
    /// The gateway's version.
    version: &'static str,
    /// The commit that the gateway was built from, 40 hexadecimal digits; null if it was built outside a
    /// repository.
    commit: Option<&'a str>,
    /// True if files differed from that commit when the gateway was built; otherwise absent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(not(target_family = "wasm"), schema(required = false))]
    modified: bool,
    /// `development`, `staging` or `production`.
    environment: &'static str,
    /// When the gateway answered, ISO-8601 UTC.
    timestamp: String,
    /// The connection to ChittyID, as the answering isolate last read it.
    connection: &'a WatchHealth<'a>,
    /// The same connection, at the place where document 004 shows it.
    chittyid: ChittyIdHealth<'a>,
    /// The database, as the answering isolate last saw it.
    database: DatabaseHealth,
    /// The gateway's own registration.
    ecosystem: EcosystemHealth<'a>,
    /// Bindings, secrets and variables that are missing or invalid, and how to fix each.
    #[cfg_attr(not(target_family = "wasm"), schema(value_type = Vec<DeficiencySchema>))]
    missing: &'a [Deficiency],
    /// With `?full=true`: the health of every service, by its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(not(target_family = "wasm"), schema(value_type = Option<BTreeMap<String, ServiceReportSchema>>))]
    services: Option<&'a BTreeMap<Service, HealthReport>>,
    /// With `?full=true`: when the services were checked, at most five seconds ago; ISO-8601 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    checked_at: Option<String>,
}

/// The connection to ChittyID.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(not(target_family = "wasm"), derive(utoipa::ToSchema), schema(as = ConnectionHealth))]
pub struct WatchHealth<'a> {
    /// Whether the answering isolate knows the connection's state. False just after the isolate has started
    /// and while no watch reports on ChittyID; the other members mean nothing then.
    initialized: bool,
    /// `DISCONNECTED`, `CONNECTING`, `CONNECTED`, `RECONNECTING` or `FAILED`.
    #[cfg_attr(not(target_family = "wasm"), schema(value_type = String))]
    state: State,
    /// Whether the last check succeeded and the connection was not disconnected since.
    is_healthy: bool,
    /// The number of the reconnect attempt that is planned or under way; 0 when connected.
    reconnect_attempts: u32,
    /// How long the connection has lasted, in ms; 0 when it is not connected.
    uptime: u64,
    /// When the last check that this isolate knows of ended, ISO-8601.
    last_check_at: Option<String>,
    /// The connection's counters.
    #[cfg_attr(not(target_family = "wasm"), schema(value_type = StatisticsView))]
    stats: &'a Statistics,
}

impl<'a> WatchHealth<'a> {
    fn of(status: &'a Status, initialized: bool) -> Self {
        WatchHealth {
            initialized,
            state: status.state,
            is_healthy: status.is_healthy,
            reconnect_attempts: status.reconnect_attempts,
            uptime: status.uptime,
            last_check_at: status.last_check_at.map(time::iso8601),
            stats: &status.stats,
        }
    }
}

/// ChittyID.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(utoipa::ToSchema))]
pub struct ChittyIdHealth<'a> {
    /// The connection to it.
    connection: &'a WatchHealth<'a>,
}

/// The health of a service.
#[cfg(not(target_family = "wasm"))]
#[derive(utoipa::ToSchema)]
#[schema(as = ServiceReport)]
#[allow(dead_code, reason = "the schema of HealthReport, which is chitty-core's")]
pub(crate) struct ServiceReportSchema {
    /// `healthy`, `degraded` (the service says so, or took half a second or longer to answer), or `down`.
    status: String,
    /// How long the service's answer took, in ms.
    latency: u64,
    /// Why the service is down.
    error: Option<String>,
}

/// The database.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(utoipa::ToSchema))]
pub struct DatabaseHealth {
    /// `pending` until the database is first used, then `ready`; `failed` after an error, until a later use
    /// succeeds.
    state: &'static str,
}

/// The registration in the ecosystem.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(utoipa::ToSchema))]
pub struct EcosystemHealth<'a> {
    /// `pending`, `registered`, or `degraded` after a failed attempt, until a later one succeeds.
    state: &'static str,
    /// The gateway's own ChittyID, once it has one.
    chitty_id: Option<&'a str>,
    /// The steps of the registration that have succeeded, in order.
    completed: &'a [Step],
    /// The remaining steps, in order. A later request or the cron continues with them.
    pending: &'a [Step],
    /// Why the last attempt failed: the service and the failure.
    last_error: Option<&'a str>,
}

/// A binding, secret or variable that is missing or invalid.
#[cfg(not(target_family = "wasm"))]
#[derive(utoipa::ToSchema)]
#[schema(as = Deficiency)]
#[allow(dead_code, reason = "the schema of Deficiency, whose strings are static")]
pub(crate) struct DeficiencySchema {
    /// Its name.
    name: String,
    /// `binding`, `secret` or `variable`.
    kind: String,
    /// What is wrong, and how to fix it.
    problem: String,
}

/// Show the gateway's own status. It calls no other service unless `full` is true.
///
/// With `full=true` the gateway checks all services in parallel, which takes at most five seconds, and reuses
/// the results for five seconds. A service that is not healthy makes the gateway `degraded`.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/health",
    operation_id = "health",
    tag = "gateway",
    params(("full" = Option<bool>, Query, description = "Whether to check every service too.")),
    responses(
        (status = 200, description = "The gateway answers; `status` says whether it is `degraded`.", body = Health<'_>),
        (status = 422, description = "A parameter is not acceptable."),
    ),
))]
pub async fn show(app: &App, request: &Request<'_>) -> Outcome {
    // 1. Check every service, if the caller asks for that.
    let full = match request.query("full").as_deref() {
        Some("true") => Some(probe::services(app).await),
        Some("false") | None => None,
        Some(_) => return Err(Problem::invalid("?full", "must be true or false")),
    };
    // 2. Judge what this isolate knows: the database, the registration, ChittyID and the settings.
    let database = Schema::of(app).state();
    let registration = Registration::of(app).progress();
    let known = NewsMemory::of(app).identity(request.now_ms);
    let unheard;
    let connection = match known.as_deref() {
        Some(status) => WatchHealth::of(status, true),
        None => {
            unheard = Watch::default().status(request.now_ms);
            WatchHealth::of(&unheard, false)
        }
    };
    let connected = connection.is_healthy || !connection.initialized;
    let all_well = |reports: &BTreeMap<Service, HealthReport>| {
        reports.values().all(|report| report.status == ServiceHealth::Healthy)
    };
    let missing = &Deficiencies::of(app).0;
    let degraded = database == Database::Failed
        || registration.as_str() == "degraded"
        || !missing.is_empty()
        || !connected
        || full.as_ref().is_some_and(|(reports, _)| !all_well(reports));
    // 3. Reply with all of it, also while the gateway is degraded.
    let health = Health {
        status: if degraded { "degraded" } else { "ok" },
        service: "chittyconnect",
        version: VERSION,
        commit: app.build.commit.as_deref(),
        modified: app.build.modified,
        environment: app.config.environment.as_str(),
        timestamp: time::iso8601(request.now_ms),
        connection: &connection,
        chittyid: ChittyIdHealth { connection: &connection },
        database: DatabaseHealth { state: database.as_str() },
        ecosystem: EcosystemHealth {
            state: registration.as_str(),
            chitty_id: registration.chitty_id.as_deref(),
            completed: &registration.completed,
            pending: &registration.pending,
            last_error: registration.last_error.as_deref(),
        },
        missing,
        checked_at: full.as_ref().map(|(_, at_ms)| time::iso8601(*at_ms)),
        services: full.as_ref().map(|(reports, _)| reports.as_ref()),
    };
    // Plain data, so serializing cannot fail.
    Ok(Reply::json(serde_json::to_string(&health).unwrap_or_default()))
}
