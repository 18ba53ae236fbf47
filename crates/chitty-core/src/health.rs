//! How a service is.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::error::ServiceError;
use crate::retry::Repeat;
use crate::service::Service;
use crate::session::Session;
use crate::verdict::FailureKind;
use crate::wire::{Call, Variant};

/// From this latency on a service that answers counts as degraded, in ms.
pub const DEGRADED_MS: u64 = 500;

/// How a service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceHealth {
    /// It says that it is well, and says so soon.
    Healthy,
    /// It says that it is not quite well, or took [`DEGRADED_MS`] or longer to say that it is.
    Degraded,
    /// It did not answer, answered an error or nonsense, or says that it is not well.
    Down,
}

impl ServiceHealth {
    /// As it is serialized.
    pub fn as_str(self) -> &'static str {
        match self {
            ServiceHealth::Healthy => "healthy",
            ServiceHealth::Degraded => "degraded",
            ServiceHealth::Down => "down",
        }
    }
}

/// One answer to "how are you".
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HealthReport {
    /// How it is.
    pub status: ServiceHealth,
    /// How long the answer took, in ms.
    pub latency: u64,
    /// Why it is down: a failure's stable name, or `unwell`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'static str>,
}

impl Session {
    /// Asks a service how it is, with `GET /health`, an open breaker notwithstanding. `timeout_ms`
    /// bounds the whole of it. Never fails: that there was no answer is an answer too.
    pub async fn health(&self, service: Service, timeout_ms: u32) -> HealthReport {
        check(self, service, timeout_ms).await
    }

    /// Asks every service how it is, six at a time (a Worker may wait for six answers at once), each
    /// for at most `timeout_ms`.
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
    let slow = latency >= DEGRADED_MS;
    let (status, error) = match answer {
        Ok(body) => match word(&body) {
            Word::Well if !slow => (ServiceHealth::Healthy, None),
            Word::Well | Word::Degraded => (ServiceHealth::Degraded, None),
            Word::Unwell => (ServiceHealth::Down, Some("unwell")),
        },
        // It answers, and asks to be asked less: it is up.
        Err(ServiceError { status: Some(429), .. }) => (ServiceHealth::Degraded, None),
        Err(error) => (ServiceHealth::Down, Some(FailureKind::as_str(error.kind))),
    };
    HealthReport { status, latency, error }
}

enum Word {
    Well,
    Degraded,
    Unwell,
}

/// What a health body says. The services word it in many ways, and ChittyChronicle answers a list;
/// a 2xx without a word is a good one.
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
    fn bodies_are_many_and_a_bad_one_is_not_taken_for_a_good_one() {
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
    fn no_answer_is_down_and_a_busy_one_is_up() {
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
        assert_eq!(
            serde_json::to_value(&down).unwrap(),
            json!({"status": "down", "latency": 5000, "error": "timeout"})
        );
    }
}
