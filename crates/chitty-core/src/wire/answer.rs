//! The reading of what a service answers. An error under a 2xx status is never read as an answer, nor is a body
//! that is not JSON.

use serde_json::Value;

use crate::error::ServiceError;
use crate::service::Service;
use crate::transport::HttpResponse;
use crate::verdict::{self, FailureKind};

/// A 2xx answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// Its JSON; null for 204.
    pub(crate) body: Value,
    /// The index of the variant that was answered.
    pub(crate) variant: usize,
}

/// Returns the JSON of a 2xx answer, unless the JSON itself reports a failure. 3xx counts as malformed: no
/// service redirects its API, so a redirect comes from somebody else. `answers` are the statuses that
/// answer what the call asks.
pub(super) fn read(
    service: Service,
    response: &HttpResponse,
    answers: &[u16],
) -> Result<Value, ServiceError> {
    let status = response.status;
    let kind = match status {
        204 => return Ok(Value::Null),
        200..=299 => {
            let body: Value = serde_json::from_slice(&response.body)
                .map_err(|_| ServiceError::malformed(service, status, "the answer is not JSON"))?;
            return match says_it_failed(&body) {
                true => {
                    Err(ServiceError::malformed(service, status, "an error under a 2xx status"))
                }
                false => Ok(body),
            };
        }
        status if answers.contains(&status) => FailureKind::Refused,
        status => verdict::of_status(status),
    };
    Err(ServiceError {
        service,
        kind,
        status: Some(status),
        retry_after_s: retry_after_seconds(response),
        in_doubt: false,
        detail: format!("answered {status}"),
    })
}

/// Whether the body of a refusal says `valid: false`: then it is about the token that is being checked.
pub(super) fn says_invalid(body: &[u8]) -> bool {
    let body: Option<Value> = serde_json::from_slice(body).ok();
    body.and_then(|body| body.get("valid")?.as_bool()) == Some(false)
}

/// Whether a body reports a failure: `success: false`, or an `error` without a verdict beside it (for a
/// token that is not `valid`, an `error` says why).
fn says_it_failed(body: &Value) -> bool {
    let has = |name: &str| body.get(name).is_some_and(|value| !value.is_null());
    let is = |name: &str| body.get(name).and_then(Value::as_bool);
    if is("fallback") == Some(true) {
        // ChittyID's own way to say "later", which its client reads.
        return false;
    }
    is("success") == Some(false)
        || (has("error") && !["success", "valid", "verified"].into_iter().any(has))
}

/// Reads `Retry-After` in its delay-seconds form (RFC 9110 §10.2.3). No ChittyOS service uses the date
/// form, which counts as absent.
fn retry_after_seconds(response: &HttpResponse) -> Option<u32> {
    response.retry_after.as_deref()?.trim().parse().ok()
}

/// Returns the first of `names` that is a string, at the top level or under `data` or `result`, in which
/// some versions of the services wrap it.
pub(crate) fn first_string<'v>(body: &'v Value, names: &[&str]) -> Option<&'v str> {
    let places = [Some(body), body.get("data"), body.get("result")];
    places
        .into_iter()
        .flatten()
        .find_map(|place| names.iter().find_map(|name| place.get(name)?.as_str()))
}
