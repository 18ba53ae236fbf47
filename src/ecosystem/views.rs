//! The schemas of the requests and replies of `/v1/ecosystem`, for the API description only.

use utoipa::ToSchema;

/// A ChittyOS service as this gateway sees it.
#[derive(ToSchema)]
#[schema(as = Service)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct ServiceView {
    /// The service's common name, such as `chittyid`.
    service: String,
    /// The service's host below `chitty.cc`, such as `id`.
    name: String,
    /// The URL at which the gateway calls the service.
    url: String,
    /// `active`, `degraded`, `down`, or `unknown` while the service is not watched.
    status: String,
    /// The connection to the service; null until the watch has published it.
    connection: Option<WatchView>,
    /// When the watch last published the connection, ISO-8601.
    updated_at: Option<String>,
    /// The breaker of the answering isolate.
    breaker: BreakerView,
    /// Only when one service is shown: the latest events of its connection, newest first.
    events: Option<Vec<WatchEventView>>,
    /// Only when ChittyID is shown: the gateway's own registration.
    registration: Option<RegistrationView>,
}

/// The connection to a service.
#[derive(ToSchema)]
#[schema(as = Connection, rename_all = "camelCase")]
#[allow(dead_code, reason = "a description")]
pub(crate) struct WatchView {
    /// `DISCONNECTED`, `CONNECTING`, `CONNECTED`, `RECONNECTING` or `FAILED`.
    state: String,
    /// Whether the last check succeeded.
    is_healthy: bool,
    /// The number of the reconnect attempt that is planned or under way; 0 when connected.
    reconnect_attempts: u32,
    /// How long the connection has lasted, in ms; 0 when it is not connected.
    uptime: u64,
    /// Why the last check failed.
    last_error: Option<String>,
    /// When the last check ended, ISO-8601.
    last_check_at: Option<String>,
    /// How long the last check took, in ms.
    last_latency_ms: Option<u64>,
    /// When the next check is due, ISO-8601.
    next_check_at: Option<String>,
    /// When the state last changed, ISO-8601.
    since: Option<String>,
    /// The connection's counters.
    stats: StatisticsView,
}

/// The counters of a connection.
#[derive(ToSchema)]
#[schema(as = ConnectionStatistics, rename_all = "camelCase")]
#[allow(dead_code, reason = "a description")]
pub(crate) struct StatisticsView {
    /// How often the first attempt connected.
    total_connections: u64,
    /// How often a later attempt reconnected.
    total_reconnections: u64,
    /// How many attempts failed.
    total_failures: u64,
    /// How many health checks ended.
    total_health_checks: u64,
    /// How many health checks succeeded.
    successful_health_checks: u64,
    /// How many health checks failed.
    failed_health_checks: u64,
    /// The share of health checks that succeeded, such as `97.96%`.
    health_check_success_rate: String,
    /// The same as `state` of the connection.
    current_state: String,
    /// The same as `uptime` of the connection.
    uptime: u64,
}

/// The breaker of a service.
#[derive(ToSchema)]
#[schema(as = Breaker)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct BreakerView {
    /// `closed`, `half_open` or `open`.
    state: String,
    /// While the breaker is open: until when, ISO-8601.
    until: Option<String>,
}

/// An event of a connection.
#[derive(ToSchema)]
#[schema(as = ConnectionEvent)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct WatchEventView {
    /// The event's number, which rises with each event.
    id: u64,
    /// `connected`, `disconnected`, `reconnecting`, `unhealthy`, `stateChange`, `error` or
    /// `maxReconnectAttemptsReached`.
    event: String,
    /// The event's data.
    #[schema(value_type = Object)]
    data: (),
    /// When the event happened, ISO-8601.
    at: String,
}

/// The gateway's own registration.
#[derive(ToSchema)]
#[schema(as = Registration)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct RegistrationView {
    /// `pending`, `registered` or `degraded`.
    state: String,
    /// The gateway's ChittyID.
    chitty_id: Option<String>,
    /// The steps that have succeeded.
    completed: Vec<String>,
    /// The remaining steps.
    pending: Vec<String>,
    /// Why the last attempt failed: the service and the failure.
    last_error: Option<String>,
}

/// Every service, and the gateway's own registration.
#[derive(ToSchema)]
#[schema(as = Ecosystem)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct EcosystemView {
    /// The services.
    services: Vec<ServiceView>,
    /// How many services there are.
    count: u64,
    /// The gateway's own registration.
    registration: RegistrationView,
}

/// A connection after a command.
#[derive(ToSchema)]
#[schema(as = ConnectionReply)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct WatchReplyView {
    /// Always true.
    success: bool,
    /// The common name of the service.
    service: String,
    /// The connection after the command.
    connection: WatchView,
}
