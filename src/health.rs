//! `GET /health`: what this gateway knows of itself. Asks nobody, not even its database, so it
//! answers when everything else is down. With `?full=true` it asks every service how it is.
//!
//! It answers 200 also when it is `degraded`, as document 004 has it: the gateway serves then, and who
//! takes it out of service for that would make an outage of a weakness.

use std::collections::BTreeMap;

use chitty_core::connection::{Connection, State, Statistics, Status};
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
use crate::ecosystem::watch::NewsMemory;
use crate::ecosystem::{self, probe};
use crate::registration::{AutoRegister, Registration, Step};
use crate::store::{Database, Schema};
use crate::{audit, connections, github, keys, metrics};

#[cfg(not(target_family = "wasm"))]
use crate::ecosystem::views::StatisticsView;

/// What is missing or senseless of all that the gateway and its folders go by.
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

/// The reply.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(utoipa::ToSchema))]
pub struct Health<'a> {
    /// `ok`, or `degraded` when the database or the registration failed, something is missing, or
    /// ChittyID is not connected.
    #[cfg_attr(not(target_family = "wasm"), schema(example = "ok"))]
    status: &'static str,
    /// Always `chittyconnect`.
    service: &'static str,
    /// The gateway's version.
    version: &'static str,
    /// The commit that it was built from, 40 hexadecimal digits; null where it was built outside a
    /// repository.
    commit: Option<&'a str>,
    /// Whether files differed from that commit; only then it is there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(not(target_family = "wasm"), schema(required = false))]
    modified: bool,
    /// `development`, `staging` or `production`.
    environment: &'static str,
    /// ISO-8601 UTC.
    timestamp: String,
    /// The connection to ChittyID, as the isolate that answers has last heard of it.
    connection: &'a ConnectionHealth<'a>,
    /// The same connection, where document 004 has it on its page.
    chittyid: ChittyIdHealth<'a>,
    /// The schema, as the isolate that answers has last seen it.
    database: DatabaseHealth,
    /// The gateway's own registration.
    ecosystem: EcosystemHealth<'a>,
    /// Bindings, secrets and variables that are missing or senseless, and what to do.
    #[cfg_attr(not(target_family = "wasm"), schema(value_type = Vec<DeficiencySchema>))]
    missing: &'a [Deficiency],
    /// With `?full=true`: every service by its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(not(target_family = "wasm"), schema(value_type = Option<BTreeMap<String, ServiceReportSchema>>))]
    services: Option<&'a BTreeMap<Service, HealthReport>>,
    /// With `?full=true`: when the services were asked; at most five seconds ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    checked_at: Option<String>,
}

/// The connection to ChittyID.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(not(target_family = "wasm"), derive(utoipa::ToSchema))]
pub struct ConnectionHealth<'a> {
    /// Whether the isolate that answers has heard of the connection. False in its first moments, and where
    /// nobody watches; the rest says nothing then.
    initialized: bool,
    /// `DISCONNECTED`, `CONNECTING`, `CONNECTED`, `RECONNECTING` or `FAILED`.
    #[cfg_attr(not(target_family = "wasm"), schema(value_type = String))]
    state: State,
    /// Whether the last check succeeded, and nobody has disconnected it since.
    is_healthy: bool,
    /// Which attempt to reconnect is planned or under way; 0 when connected.
    reconnect_attempts: u32,
    /// For how long it has been connected, in ms; 0 when it is not.
    uptime: u64,
    /// When the last check ended that this isolate has heard of, ISO-8601.
    last_check_at: Option<String>,
    /// What was counted.
    #[cfg_attr(not(target_family = "wasm"), schema(value_type = StatisticsView))]
    stats: &'a Statistics,
}

impl<'a> ConnectionHealth<'a> {
    fn of(status: &'a Status, initialized: bool) -> Self {
        ConnectionHealth {
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
    connection: &'a ConnectionHealth<'a>,
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
pub struct EcosystemHealth<'a> {
    /// `pending`, `registered`, or `degraded` while it is tried again.
    state: &'static str,
    /// The gateway's own ChittyID, once it has one.
    chitty_id: Option<&'a str>,
    /// The steps of the registration that have succeeded, in order.
    completed: &'a [Step],
    /// The steps that are still to be taken, in order. A later request or the cron goes on with them.
    pending: &'a [Step],
    /// Why the last try failed: who, and how.
    last_error: Option<&'a str>,
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
    responses(
        (status = 200, description = "Always; `status` says how it is.", body = Health<'_>),
        (status = 422, description = "A parameter is not acceptable."),
    ),
))]
pub async fn show(app: &App, request: &Request<'_>) -> Outcome {
    let full = match request.query("full").as_deref() {
        Some("true") => Some(probe::services(app).await),
        Some("false") | None => None,
        Some(_) => return Err(Problem::invalid("?full", "must be true or false")),
    };
    let database = Schema::of(app).state();
    let registration = Registration::of(app).progress();
    let known = NewsMemory::of(app).identity(request.now_ms);
    let unheard;
    let connection = match known.as_deref() {
        Some(status) => ConnectionHealth::of(status, true),
        None => {
            unheard = Connection::default().status(request.now_ms);
            ConnectionHealth::of(&unheard, false)
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
    // Strings and lists of them: this cannot fail.
    Ok(Reply::json(serde_json::to_string(&health).unwrap_or_default()))
}
