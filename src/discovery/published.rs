//! The published status of each watch.

use chitty_core::watch::State;
use seams::db::{DbError, Row, Statement};
use seams::time;
use serde_json::Value;

/// The statement that reads the published status of every watch.
pub(crate) fn overview() -> Statement {
    Statement::new("SELECT service, state, is_down, status, updated_at FROM service_connections")
}

/// The published status of a watch.
pub(crate) struct ServiceStatus {
    pub(crate) service: String,
    pub(crate) state: String,
    pub(crate) is_down: bool,
    /// The status as the state machine serializes it.
    pub(crate) status: Value,
    pub(crate) updated_at: String,
}

impl ServiceStatus {
    /// Reads a row of [`overview`].
    pub(crate) fn read(mut row: Row) -> Result<Self, DbError> {
        Ok(ServiceStatus {
            service: row.text("service")?,
            state: row.text("state")?,
            is_down: row.flag("is_down")?,
            status: serde_json::from_str(&row.text("status")?).map_err(|_| DbError::Shape)?,
            updated_at: row.text("updated_at")?,
        })
    }

    /// Whether the watch has published within the last `age_ms`.
    pub(crate) fn is_recent(&self, now_ms: u64, age_ms: u64) -> bool {
        let at_ms = time::parse(&self.updated_at).unwrap_or(0);
        now_ms.saturating_sub(at_ms) < age_ms
    }

    /// Whether the service is connected.
    pub(crate) fn is_connected(&self) -> bool {
        self.state == State::Connected.as_str()
    }

    /// Whether the service is watched: an administrator can disconnect it.
    pub(crate) fn is_watched(&self) -> bool {
        self.state != State::Disconnected.as_str()
    }

    /// The state in one word: `active`, `degraded`, `down`, or `unknown` while the service is not watched.
    pub(crate) fn word(&self) -> &'static str {
        match () {
            () if self.is_connected() => "active",
            () if self.is_down => "down",
            () if !self.is_watched() => "unknown",
            () => "degraded",
        }
    }

    /// How long the service has been connected as of now, in ms; 0 while it is not.
    pub(crate) fn uptime_ms(&self, now_ms: u64) -> u64 {
        let since_ms = self.status.get("since").and_then(Value::as_u64);
        let since_ms = since_ms.filter(|_| self.is_connected());
        since_ms.map_or(0, |since_ms| now_ms.saturating_sub(since_ms))
    }
}
