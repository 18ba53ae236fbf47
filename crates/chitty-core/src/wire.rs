//! The one way a call is made: where to, with which headers, and how an answer is read.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value;

use crate::call::CallContext;
use crate::error::{FailureKind, ServiceError};
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
    /// Deadline of one attempt, in milliseconds.
    pub timeout_ms: u32,
}

/// What every client calls through.
pub(crate) struct Wire {
    pub(crate) config: CoreConfig,
    pub(crate) transport: Rc<dyn Transport>,
}

impl Wire {
    /// One `POST` of JSON, one attempt. Any answer is returned, whatever its status; only its
    /// absence is an error.
    pub(crate) async fn post(
        &self,
        service: Service,
        path: &str,
        body: &Value,
        cx: &CallContext,
    ) -> Result<HttpResponse, ServiceError> {
        let request = HttpRequest {
            method: HttpMethod::Post,
            url: self.url(service, path),
            headers: self.headers(service, cx),
            body: Some(body.to_string()),
            deadline_ms: self.config.timeout_ms,
            max_body_bytes: MAX_ANSWER_BYTES,
        };
        self.transport.send(request).await.map_err(|error| ServiceError::transport(service, &error))
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

/// Sorts a status into success or one of the failures. 3xx counts as malformed: no service
/// redirects its API, so a redirect is somebody else answering.
pub(crate) fn expect_success(
    service: Service,
    response: &HttpResponse,
) -> Result<(), ServiceError> {
    let kind = match response.status {
        200..=299 => return Ok(()),
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

/// The body as JSON, or [`FailureKind::Malformed`].
pub(crate) fn json(service: Service, response: &HttpResponse) -> Result<Value, ServiceError> {
    serde_json::from_slice(&response.body)
        .map_err(|_| ServiceError::malformed(service, response.status, "the answer is not JSON"))
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
