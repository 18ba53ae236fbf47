//! Connections: a context or an actor bound to a service, with a credential that the gateway keeps.
//!
//! `create` and `handlers` are the HTTP side and `proxy` the way through; `input` the rules for what a
//! caller sends, `headers` what goes along and comes back, `credential` what a connection may carry.
//! Credentials are sealed by `secrets`, renewed by `renewal` and taken back by `revocations`; `intents` are
//! those that are made for connections to come. `check` finds out whether a target works, `call` reaches
//! it; `store` is the SQL.

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
#[cfg(not(target_family = "wasm"))]
pub(crate) mod views;

use futures_util::future::{LocalBoxFuture, join_all};

use crate::app::App;
use crate::store::Ready;

/// The kinds of sources.
pub const SOURCE_TYPES: [&str; 2] = ["context", "actor"];

/// The kinds of connections.
pub const TYPES: [&str; 4] = ["api", "webhook", "oauth", "direct"];

/// What a connection can be.
pub const STATUSES: [&str; 4] = ["active", "inactive", "failed", "disconnected"];

/// What the proxy can be let do.
pub const SCOPES: [&str; 2] = ["read", "write"];

/// How much longer a lease lasts than the calls that it is for, in ms.
const LEASE_MS: u64 = 30_000;

/// What the cron does for connections: refresh what ends soon, check what is due, revoke what is over.
/// The three go side by side, so that none keeps another from its turn; no more is begun after
/// `until_ms`.
pub async fn cron(app: &App, ready: Ready<'_>, until_ms: u64) {
    let parts: Vec<LocalBoxFuture<'_, ()>> = vec![
        Box::pin(async move {
            renewal::write_all_again(app, ready).await;
            renewal::refresh_due(app, ready, until_ms).await;
        }),
        Box::pin(check::check_due(app, ready, until_ms)),
        Box::pin(revocations::revoke_due(app, ready, until_ms)),
    ];
    join_all(parts).await;
}
