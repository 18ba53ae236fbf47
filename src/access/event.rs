//! Events that a request causes, and the filter of a list by an event's name.

use std::borrow::Cow;

use http_kit::nearest::nearest;
use http_kit::problem::FieldError;
use http_kit::request::Request;
use serde_json::Value;

use crate::access::caller::Scope;
use crate::store::event::{Event, EventKind, GithubEventName};

impl Event {
    /// A new event that a caller's request causes at `now_ms`.
    pub fn caused(
        request: &Request<'_>,
        scope: &Scope,
        kind: EventKind,
        entity_id: &str,
        payload: Value,
        now_ms: u64,
    ) -> Self {
        let traceparent = Some(request.trace.traceparent.as_str());
        let event = Event::new(now_ms, kind, entity_id, scope.actor(), payload, traceparent);
        Event { via: Some(scope.credential_name()), ..event }
    }
}

/// Reads a filter by an event's name. A name that no event has becomes an error that suggests the nearest
/// name; names with GitHub's prefix are always accepted, because GitHub can add events at any time.
pub(crate) fn kind_asked_for<'a>(
    request: &Request<'a>,
    parameter: &str,
    errors: &mut Vec<FieldError>,
) -> Option<Cow<'a, str>> {
    let name = request.query(parameter)?;
    let mut known = EventKind::ALL.iter().map(EventKind::as_str);
    if name.starts_with(GithubEventName::PREFIX) || known.any(|one| one == name) {
        return Some(name);
    }
    let near = nearest(&name, EventKind::ALL.iter().map(EventKind::as_str));
    let hint = near.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
    errors.push(FieldError::new(format!("?{parameter}"), format!("no event has this name{hint}")));
    None
}
