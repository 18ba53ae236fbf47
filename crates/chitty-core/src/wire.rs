//! The one way a call is made: breaker → attempt within a deadline → verdict → perhaps another
//! attempt. What the clients see is JSON of a 2xx answer, or why there is none.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value;

use crate::breaker::{Breaker, BreakerConfig, BreakerState, Outcome};
use crate::call::CallContext;
use crate::clock::Clock;
use crate::error::{FailureKind, ServiceError};
use crate::retry::{self, Repeat, RetryBudget};
use crate::service::Service;
use crate::transport::{HttpMethod, HttpRequest, HttpResponse, Transport};

/// The most bytes of a service's answer that are read. The largest real answer is a registry list
/// of some tens of kilobytes.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// One configuration for all services.
#[derive(Debug, Clone)]
pub struct CoreConfig {
    /// Where the services are; `{name}` stands for [`Service::host`]. No trailing slash.
    pub url_template: String,
    /// Sent as `User-Agent`. ChittyID refuses agents that look like scripts.
    pub user_agent: String,
    /// Bearer tokens by service.
    pub tokens: BTreeMap<Service, String>,
    /// Deadline of a whole call, retries included, in milliseconds. An attempt that takes all of it
    /// is the last.
    pub timeout_ms: u32,
    /// When a service that keeps failing is left alone.
    pub breaker: BreakerConfig,
}

/// What every client calls through.
pub(crate) struct Wire {
    config: CoreConfig,
    transport: Rc<dyn Transport>,
    clock: Rc<dyn Clock>,
    services: RefCell<BTreeMap<Service, Standing>>,
}

/// What is remembered of a service.
struct Standing {
    breaker: Breaker,
    budget: RetryBudget,
}

impl Wire {
    pub(crate) fn new(
        config: CoreConfig,
        transport: Rc<dyn Transport>,
        clock: Rc<dyn Clock>,
    ) -> Self {
        Wire { config, transport, clock, services: RefCell::default() }
    }

    /// The state of a service's breaker.
    pub(crate) fn breaker(&self, service: Service) -> BreakerState {
        self.standing(service, |standing| standing.breaker.state())
    }

    /// A `POST` of JSON, answered by JSON with a 2xx status.
    pub(crate) async fn post(
        &self,
        service: Service,
        path: &str,
        body: &Value,
        repeat: Repeat,
        cx: &CallContext,
    ) -> Result<Value, ServiceError> {
        let deadline_ms = self.clock.now_ms() + u64::from(self.config.timeout_ms);
        let body = body.to_string();
        self.standing(service, |standing| standing.budget.deposit());
        let mut attempt = 0;
        // Ends by returning: `retry::pause` bounds the attempts.
        loop {
            attempt += 1;
            let left_ms = deadline_ms.saturating_sub(self.clock.now_ms());
            let request = HttpRequest {
                method: HttpMethod::Post,
                url: self.url(service, path),
                headers: self.headers(service, cx),
                body: Some(body.clone()),
                deadline_ms: u32::try_from(left_ms).unwrap_or(u32::MAX).max(1),
                max_body_bytes: MAX_ANSWER_BYTES,
            };
            let error = match self.attempt(service, request).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let left_ms = deadline_ms.saturating_sub(self.clock.now_ms());
            match retry::pause(repeat, attempt, &error, left_ms) {
                Some(pause) if self.standing(service, |s| s.budget.withdraw()) => {
                    let jittered = self.clock.jitter(pause.ceiling_ms).max(pause.least_ms);
                    self.clock.sleep(u64::from(jittered)).await;
                }
                _ => return Err(error),
            }
        }
    }

    /// One attempt, if the breaker lets it through.
    async fn attempt(&self, service: Service, request: HttpRequest) -> Result<Value, ServiceError> {
        let now_ms = self.clock.now_ms();
        self.standing(service, |standing| standing.breaker.admit(now_ms))
            .map_err(|wait_ms| ServiceError::circuit_open(service, wait_ms))?;
        let result = match self.transport.send(request).await {
            Ok(response) => read(service, &response),
            Err(error) => Err(ServiceError::transport(service, &error)),
        };
        let now_ms = self.clock.now_ms();
        self.standing(service, |standing| standing.breaker.record(now_ms, outcome(&result)));
        result
    }

    /// Works on what is remembered of a service. Never across an await.
    fn standing<T>(&self, service: Service, work: impl FnOnce(&mut Standing) -> T) -> T {
        let mut services = self.services.borrow_mut();
        let standing = services.entry(service).or_insert_with(|| Standing {
            breaker: Breaker::new(self.config.breaker),
            budget: RetryBudget::default(),
        });
        work(standing)
    }

    fn url(&self, service: Service, path: &str) -> String {
        let mut url = self.config.url_template.replace("{name}", service.host());
        url.push_str(path);
        url
    }

    fn headers(&self, service: Service, cx: &CallContext) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("accept", "application/json".to_owned()),
            ("content-type", "application/json".to_owned()),
            ("user-agent", self.config.user_agent.clone()),
        ];
        if let Some(token) = self.config.tokens.get(&service) {
            headers.push(("authorization", format!("Bearer {token}")));
        }
        if let Some(id) = &cx.request_id {
            headers.push(("x-request-id", id.clone()));
        }
        if let Some(trace) = &cx.traceparent {
            headers.push(("traceparent", trace.clone()));
        }
        headers
    }
}

/// What a call says about the health of its service.
fn outcome(result: &Result<Value, ServiceError>) -> Outcome {
    match result {
        Ok(_) => Outcome::Success,
        Err(error) => match error.kind {
            FailureKind::Refused => Outcome::Success,
            FailureKind::CircuitOpen => Outcome::Neutral,
            _ if error.status == Some(429) => Outcome::Neutral,
            FailureKind::Timeout
            | FailureKind::Unreachable
            | FailureKind::Unavailable
            | FailureKind::Malformed => Outcome::Failure,
        },
    }
}

/// The JSON of a 2xx answer. 3xx counts as malformed: no service redirects its API, so a redirect is
/// somebody else answering.
fn read(service: Service, response: &HttpResponse) -> Result<Value, ServiceError> {
    let kind = match response.status {
        200..=299 => {
            return serde_json::from_slice(&response.body).map_err(|_| {
                ServiceError::malformed(service, response.status, "the answer is not JSON")
            });
        }
        429 | 500..=599 => FailureKind::Unavailable,
        400..=499 => FailureKind::Refused,
        _ => FailureKind::Malformed,
    };
    Err(ServiceError {
        service,
        kind,
        status: Some(response.status),
        retry_after_s: retry_after_seconds(response),
        detail: format!("answered {}", response.status),
    })
}

/// `Retry-After` in its delay-seconds form (RFC 9110 §10.2.3). The date form is not used by any
/// ChittyOS service and counts as absent.
fn retry_after_seconds(response: &HttpResponse) -> Option<u32> {
    response.retry_after.as_deref()?.trim().parse().ok()
}

/// The first of `names` that is a string, at the top level or under `data` or `result`, where some
/// versions of the services wrap it.
pub(crate) fn first_string<'v>(body: &'v Value, names: &[&str]) -> Option<&'v str> {
    let places = [Some(body), body.get("data"), body.get("result")];
    places
        .into_iter()
        .flatten()
        .find_map(|place| names.iter().find_map(|name| place.get(name)?.as_str()))
}
