//! Connections: a context or an actor bound to a service, with a credential that the gateway keeps.
//!
//! `create` and `handlers` serve the HTTP API, and `proxy` passes requests on to targets. `input` reads the
//! bodies of requests, `headers` has the rules for the headers that pass, and `credential` the types of
//! credentials. `secrets` seals credentials, `renewal` renews them, `unwritten_renewals` keeps those that could
//! not be written, `revocations` revokes them, `provisioned` has ChittyAuth make keys, and `intents` records
//! credentials that are made for a connection before it exists. `check` finds out whether a target works,
//! `call` calls it, and `store` is the SQL.

pub mod call;
pub mod check;
pub mod create;
pub mod credential;
pub mod handlers;
pub mod headers;
pub mod input;
pub mod intents;
pub mod provisioned;
pub mod proxy;
pub mod renewal;
pub mod revocations;
pub mod secrets;
pub mod settings;
pub mod store;
pub mod unwritten_renewals;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod views;

use futures_util::future::{LocalBoxFuture, join_all};

use crate::app::App;
use crate::store::Ready;

/// The kinds of sources.
pub const SOURCE_TYPES: [&str; 2] = ["context", "actor"];

/// The kinds of connections.
pub const TYPES: [&str; 4] = ["api", "webhook", "oauth", "direct"];

/// The statuses of a connection.
pub const STATUSES: [&str; 4] = ["active", "inactive", "failed", "disconnected"];

/// The scopes of a connection: what its proxy lets through.
pub const SCOPES: [&str; 2] = ["read", "write"];

/// How much longer a lease lasts than the calls that it covers, in ms.
const LEASE_MS: u64 = 30_000;

/// How a statement begins that schedules revocations. It ends with the values: `VALUES (…)` or a query.
pub const SCHEDULE_REVOCATION: &str =
    "INSERT INTO credential_revocations (id, connection_id, sealed, due_at, created_at)";

/// Does the cron's work for connections: renews credentials that expire soon, checks connections that are
/// due, and revokes credentials that have ended. The three run side by side, so that none delays another.
/// None of them begins new work after `until_ms`.
pub async fn cron(app: &App, ready: Ready<'_>, until_ms: u64) {
    let parts: Vec<LocalBoxFuture<'_, ()>> = vec![
        Box::pin(async move {
            unwritten_renewals::write_all_again(app, ready).await;
            renewal::refresh_due(app, ready, until_ms).await;
        }),
        Box::pin(check::check_due(app, ready, until_ms)),
        Box::pin(revocations::revoke_due(app, ready, until_ms)),
    ];
    join_all(parts).await;
}
