//! What requests and replies of the services of the ecosystem look like: for the API description only.

use utoipa::ToSchema;

/// A ChittyOS service as this gateway sees it.
#[derive(ToSchema)]
#[schema(as = Service)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct ServiceView {
    /// The name that people know it by, such as `chittyid`.
    service: String,
    /// Its host below `chitty.cc`, such as `id`.
    name: String,
    /// Where the gateway calls it.
    url: String,
    /// `active`, `degraded`, `down`, or `unknown` while nobody watches it.
    status: String,
    /// Its connection, once it was watched.
    connection: Option<ConnectionView>,
    /// When the connection was last published, ISO-8601.
    updated_at: Option<String>,
    /// The breaker of the isolate that answers.
    breaker: BreakerView,
    /// Of a single service: the last events of its connection, newest first.
    events: Option<Vec<ConnectionEventView>>,
    /// Of ChittyID: the gateway's own registration.
    registration: Option<RegistrationView>,
}

/// The connection to a service.
#[derive(ToSchema)]
#[schema(as = Connection, rename_all = "camelCase")]
#[allow(dead_code, reason = "a description")]
pub(crate) struct ConnectionView {
    /// `DISCONNECTED`, `CONNECTING`, `CONNECTED`, `RECONNECTING` or `FAILED`.
    state: String,
    /// Whether the last check succeeded.
    is_healthy: bool,
    /// Which attempt to reconnect is planned or under way; 0 when connected.
    reconnect_attempts: u32,
    /// For how long it has been connected, in ms.
    uptime: u64,
    /// Why the last check failed.
    last_error: Option<String>,
    /// When the last check ended, ISO-8601.
    last_check_at: Option<String>,
    /// How long it took, in ms.
    last_latency_ms: Option<u64>,
    /// When the next check is due, ISO-8601.
    next_check_at: Option<String>,
    /// Since when it is in this state, ISO-8601.
    since: Option<String>,
    /// What was counted.
    stats: StatisticsView,
}

/// What was counted of a connection.
#[derive(ToSchema)]
#[schema(as = ConnectionStatistics, rename_all = "camelCase")]
#[allow(dead_code, reason = "a description")]
pub(crate) struct StatisticsView {
    /// How often it was made.
    total_connections: u64,
    /// How often it was taken up again.
    total_reconnections: u64,
    /// Attempts that failed.
    total_failures: u64,
    /// Checks.
    total_health_checks: u64,
    /// Checks that succeeded.
    successful_health_checks: u64,
    /// Checks that failed.
    failed_health_checks: u64,
    /// Such as `97.96%`.
    health_check_success_rate: String,
    /// As `state`.
    current_state: String,
    /// As `uptime`.
    uptime: u64,
}

/// A breaker.
#[derive(ToSchema)]
#[schema(as = Breaker)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct BreakerView {
    /// `closed`, `half_open` or `open`.
    state: String,
    /// Until when it is open, ISO-8601.
    until: Option<String>,
}

/// What happened to a connection.
#[derive(ToSchema)]
#[schema(as = ConnectionEvent)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct ConnectionEventView {
    /// Rises with each event.
    id: u64,
    /// `connected`, `disconnected`, `reconnecting`, `unhealthy`, `stateChange`, `error` or
    /// `maxReconnectAttemptsReached`.
    event: String,
    /// What belongs to it.
    #[schema(value_type = Object)]
    data: (),
    /// When, ISO-8601.
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
    /// The steps that are still to be taken.
    pending: Vec<String>,
    /// Why the last try failed.
    last_error: Option<String>,
}

/// Every service.
#[derive(ToSchema)]
#[schema(as = Ecosystem)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct EcosystemView {
    /// The services.
    services: Vec<ServiceView>,
    /// How many.
    count: u64,
    /// The gateway's own registration.
    registration: RegistrationView,
}

/// A connection after a command.
#[derive(ToSchema)]
#[schema(as = ConnectionReply)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct ConnectionReplyView {
    /// Always true.
    success: bool,
    /// Whose connection.
    service: String,
    /// How it is now.
    connection: ConnectionView,
}
