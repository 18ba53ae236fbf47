//! Health checks of the services.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::error::ServiceError;
use crate::retry::Repeat;
use crate::service::Service;
use crate::session::Session;
use crate::verdict::{self, FailureKind};
use crate::wire::{Call, Variant};

/// The latency from which on a healthy service counts as degraded, in ms.
pub const DEGRADED_MS: u64 = 500;

/// The health of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceHealth {
    /// The service says that it is well, and answered in less than [`DEGRADED_MS`].
    Healthy,
    /// The service says that it is degraded, answered 429, or took [`DEGRADED_MS`] or longer to say that
    /// it is well.
    Degraded,
    /// The service did not answer, answered an error or nonsense, or says that it is not well.
    Down,
}

impl ServiceHealth {
    /// Returns the serialized form.
    pub fn as_str(self) -> &'static str {
        match self {
            ServiceHealth::Healthy => "healthy",
            ServiceHealth::Degraded => "degraded",
            ServiceHealth::Down => "down",
        }
    }
}

/// The result of one health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HealthReport {
    /// The health of the service.
    pub status: ServiceHealth,
    /// How long the check took, in ms.
    pub latency: u64,
    /// Why the service is down: the stable name of a failure ([`FailureKind::as_str`]), or `unwell` if the
    /// service says so itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'static str>,
    /// The HTTP status of the answer; `None` without an answer. For a check by [`Session::health`], 200 stands
    /// for every 2xx. It is not serialized.
    #[serde(skip)]
    pub status_code: Option<u16>,
}

impl HealthReport {
    /// Returns the report of an answer that was received without this crate: its HTTP status, its JSON (null
    /// if its body is no JSON), and how long it took, in ms.
    pub fn of_answer(status: u16, body: &Value, latency: u64) -> Self {
        if !(200..300).contains(&status) {
            return HealthReport::of_failure(verdict::of_status(status), Some(status), latency);
        }
        let slow = latency >= DEGRADED_MS;
        let (health, error) = match word(body) {
            Word::Well if !slow => (ServiceHealth::Healthy, None),
            Word::Well | Word::Degraded => (ServiceHealth::Degraded, None),
            Word::Unwell => (ServiceHealth::Down, Some("unwell")),
        };
        HealthReport { status: health, latency, error, status_code: Some(status) }
    }

    /// Returns the report of a check that failed after this time, in ms, with the HTTP status if there was an
    /// answer.
    pub fn of_failure(kind: FailureKind, status: Option<u16>, latency: u64) -> Self {
        let (health, error) = match status {
            // A service that answers 429 is up, but busy.
            Some(429) => (ServiceHealth::Degraded, None),
            _ => (ServiceHealth::Down, Some(kind.as_str())),
        };
        HealthReport { status: health, latency, error, status_code: status }
    }
}

impl Session {
    /// Checks the health of a service with `GET /health`, even if its breaker is open. `timeout_ms`
    /// bounds the whole check. Never fails: a service that does not answer is [`ServiceHealth::Down`].
    pub async fn health(&self, service: Service, timeout_ms: u32) -> HealthReport {
        check(self, service, timeout_ms).await
    }

    /// Checks the health of every service, six at a time (a Worker may wait for six answers at once),
    /// each for at most `timeout_ms`.
    pub async fn health_of_all(&self, timeout_ms: u32) -> BTreeMap<Service, HealthReport> {
        let checks = Service::ALL
            .iter()
            .map(|service| async move { (*service, self.health(*service, timeout_ms).await) });
        self.batch(6, checks).await.into_iter().collect()
    }
}

async fn check(session: &Session, service: Service, timeout_ms: u32) -> HealthReport {
    let call = Call {
        timeout_ms: Some(timeout_ms),
        guarded: false,
        ..Call::new("health", Repeat::Never, vec![Variant::get(service, "/health")])
    };
    let sent_ms = session.wire.clock.now_ms();
    let answer = session.call(call).await;
    let latency = session.wire.clock.now_ms().saturating_sub(sent_ms);
    report(answer.map(|answer| answer.body), latency)
}

fn report(answer: Result<Value, ServiceError>, latency: u64) -> HealthReport {
    match answer {
        Ok(body) => HealthReport::of_answer(200, &body, latency),
        Err(error) => HealthReport::of_failure(error.kind, error.status, latency),
    }
}

enum Word {
    Well,
    Degraded,
    Unwell,
}

/// Reads the body of a health check. The services use many words for their status, and ChittyChronicle
/// answers a list. A 2xx without a status means that the service is well.
fn word(body: &Value) -> Word {
    match body.get("status") {
        None | Some(Value::Null) => Word::Well,
        Some(Value::String(word)) => match word.to_ascii_lowercase().as_str() {
            "ok" | "healthy" | "operational" | "up" | "active" | "pass" => Word::Well,
            "degraded" | "warn" => Word::Degraded,
            _ => Word::Unwell,
        },
        Some(_) => Word::Unwell,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_service_is_healthy_only_if_its_body_says_so_or_has_no_status() {
        let status = |body: Value, latency| report(Ok(body), latency).status;
        for word in ["ok", "healthy", "operational", "up", "active", "pass", "OK"] {
            assert_eq!(status(json!({ "status": word }), 10), ServiceHealth::Healthy, "{word}");
        }
        assert_eq!(
            status(json!([{"service": "a", "failed_count": 3}]), 10),
            ServiceHealth::Healthy
        );
        assert_eq!(status(json!({}), 499), ServiceHealth::Healthy);
        assert_eq!(status(json!({"status": "ok"}), 500), ServiceHealth::Degraded);
        assert_eq!(status(json!({"status": "degraded"}), 1), ServiceHealth::Degraded);
        for word in [json!("down"), json!("error"), json!(false), json!("")] {
            assert_eq!(status(json!({ "status": word }), 1), ServiceHealth::Down);
        }
    }

    #[test]
    fn a_service_without_an_answer_is_down_and_a_busy_one_is_degraded() {
        let error = |kind, status| ServiceError {
            service: Service::Id,
            kind,
            status,
            retry_after_s: None,
            in_doubt: false,
            detail: String::new(),
        };
        let busy = report(Err(error(FailureKind::Unavailable, Some(429))), 1);
        assert_eq!(busy.status, ServiceHealth::Degraded);
        let down = report(Err(error(FailureKind::Timeout, None)), 5000);
        assert_eq!((down.status, down.error), (ServiceHealth::Down, Some("timeout")));
        assert_eq!((busy.status_code, down.status_code), (Some(429), None));
        assert_eq!(
            serde_json::to_value(&down).unwrap(),
            json!({"status": "down", "latency": 5000, "error": "timeout"})
        );
    }

    #[test]
    fn an_answer_that_was_received_elsewhere_is_judged_likewise() {
        let status = |status, body: Value| HealthReport::of_answer(status, &body, 1);
        for (code, body, health, error) in [
            (200, json!({"status": "ok"}), ServiceHealth::Healthy, None),
            (204, Value::Null, ServiceHealth::Healthy, None),
            (200, json!({"status": "degraded"}), ServiceHealth::Degraded, None),
            (200, json!({"status": "down"}), ServiceHealth::Down, Some("unwell")),
            (429, Value::Null, ServiceHealth::Degraded, None),
            (302, Value::Null, ServiceHealth::Down, Some("malformed")),
            (404, Value::Null, ServiceHealth::Down, Some("denied")),
            (503, json!({"status": "ok"}), ServiceHealth::Down, Some("unavailable")),
        ] {
            let report = status(code, body);
            assert_eq!((report.status, report.error), (health, error), "{code}");
            assert_eq!(report.status_code, Some(code));
        }
    }
}
