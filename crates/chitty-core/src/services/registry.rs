//! ChittyRegistry (`registry.chitty.cc`): the list of services.

use serde_json::Value;

use crate::cache::CachePolicy;
use crate::error::ServiceError;
use crate::retry::Repeat;
use crate::service::Service;
use crate::session::{CachedAnswer, Session};
use crate::wire::{Call, Variant, first_string, segment};

/// How long the list is used: five minutes, and a day when the registry fails.
const KEEP: CachePolicy = CachePolicy { fresh_ms: 300_000, stale_ms: 24 * 3_600_000 };

/// The members in which the generations of the registry send the list.
const LIST_NAMES: [&str; 4] = ["tools", "services", "entries", "data"];

/// A registered service, read from any of the shapes in which the registry sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceEntry {
    /// Its name, such as `chittyid`.
    pub name: String,
    /// Its ChittyID, if it has one.
    pub chitty_id: Option<String>,
    /// Its base URL without a trailing slash, if the registry knows one.
    pub url: Option<String>,
    /// The URL of its health check, if it is known.
    pub health_url: Option<String>,
    /// Its state in the registry's words, such as `active`.
    pub status: Option<String>,
}

/// Client of ChittyRegistry.
pub struct RegistryClient<'a> {
    pub(crate) session: &'a Session,
}

impl RegistryClient<'_> {
    /// Returns every registered service, with `GET /api/v1/tools` or its older paths. The list is cached
    /// for five minutes; when the registry fails, the last good list is used for a day.
    ///
    /// # Errors
    /// A refusal. No answer, or an answer without a list, if no earlier list can be used.
    pub async fn list(&self) -> Result<CachedAnswer<Vec<ServiceEntry>>, ServiceError> {
        let check = |answer: &Value| entries(answer).map(|_| ()).ok_or_else(no_list);
        let answer = self.session.read_cached(list_call(), KEEP, check).await?;
        let entries = entries(&answer.value).ok_or_else(no_list)?;
        Ok(answer.map(|_| entries))
    }

    /// Returns the list without the cache, for a caller that has a cache of its own.
    ///
    /// # Errors
    /// No answer, or an answer without a list.
    pub async fn list_now(&self) -> Result<Vec<ServiceEntry>, ServiceError> {
        let answer = self.session.read(list_call()).await?;
        entries(&answer).ok_or_else(no_list)
    }

    /// Returns one service by its ChittyID, with `GET /api/v1/tools/{id}` or its older path; `None` if
    /// there is none.
    ///
    /// # Errors
    /// No answer, or an answer that is no service.
    pub async fn one(&self, id: &str) -> Result<Option<ServiceEntry>, ServiceError> {
        let id = segment(id);
        let variants = vec![
            Variant::get(Service::Registry, format!("/api/v1/tools/{id}")),
            Variant::get(Service::Registry, format!("/api/services/{id}")),
        ];
        let call = Call::new("registry.one", Repeat::Safe, variants).answered_by(&[404]);
        let answer = match self.session.read(call).await {
            Ok(answer) => answer,
            Err(ServiceError { status: Some(404), .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let found = answer.get("tool").or_else(|| answer.get("service")).unwrap_or(&answer);
        entry(found)
            .map(Some)
            .ok_or_else(|| ServiceError::malformed(Service::Registry, 200, "not a service"))
    }

    /// Returns the services whose name contains `text`, ignoring case. The registry's own search answers
    /// made-up data, so this looks through the [list](Self::list).
    ///
    /// # Errors
    /// Those of the list.
    pub async fn search(
        &self,
        text: &str,
    ) -> Result<CachedAnswer<Vec<ServiceEntry>>, ServiceError> {
        let wanted = text.to_ascii_lowercase();
        let list = self.list().await?;
        Ok(list.map(|entries| {
            let matches = |entry: &ServiceEntry| entry.name.to_ascii_lowercase().contains(&wanted);
            entries.into_iter().filter(matches).collect()
        }))
    }
}

fn list_call() -> Call {
    let variants = ["/api/v1/tools", "/api/services", "/api/v1/services", "/v1/services/discover"]
        .map(|path| Variant::get(Service::Registry, path))
        .to_vec();
    Call::new("registry.list", Repeat::Safe, variants)
}

fn no_list() -> ServiceError {
    ServiceError::malformed(Service::Registry, 200, "not a list of services")
}

/// Reads the services from a list in any shape. Leaves out an entry that is no service, because one bad
/// entry must not hide the others.
fn entries(answer: &Value) -> Option<Vec<ServiceEntry>> {
    let named = || LIST_NAMES.iter().find_map(|name| answer.get(name)?.as_array());
    let list = answer.as_array().or_else(named)?;
    Some(list.iter().filter_map(entry).collect())
}

fn entry(value: &Value) -> Option<ServiceEntry> {
    let text = |names: &[&str]| first_string(value, names).map(str::to_owned);
    let name = text(&["name", "serviceName", "service_name", "id"])?;
    let endpoints = value.get("endpoints");
    let absolute = endpoints
        .and_then(Value::as_array)
        .and_then(|list| list.iter().filter_map(Value::as_str).find_map(origin));
    let url = text(&["url", "baseUrl", "base_url"])
        .or(absolute)
        .map(|url| url.trim_end_matches('/').to_owned());
    let health = text(&["health_url"])
        .or_else(|| endpoints?.get("health")?.as_str().map(str::to_owned))
        .or_else(|| value.get("healthCheck")?.get("path")?.as_str().map(str::to_owned))
        .unwrap_or_else(|| "/health".to_owned());
    let health_url = match (&url, health.contains("://")) {
        (_, true) => Some(health),
        (Some(url), false) => Some(format!("{url}/{}", health.trim_start_matches('/'))),
        (None, false) => None,
    };
    Some(ServiceEntry {
        name,
        chitty_id: text(&["chitty_id", "chittyId", "chittyid"]),
        url,
        health_url,
        status: text(&["status"]),
    })
}

/// Returns the scheme and host of an absolute URL.
fn origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next().filter(|host| !host.is_empty())?;
    Some(format!("{scheme}://{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_come_in_many_shapes() {
        let one = json!({"name": "chittyid", "chitty_id": "x", "endpoints": ["/x", "https://id.chitty.cc/v1", "https://id.chitty.cc/health"], "status": "active"});
        let expected = ServiceEntry {
            name: "chittyid".to_owned(),
            chitty_id: Some("x".to_owned()),
            url: Some("https://id.chitty.cc".to_owned()),
            health_url: Some("https://id.chitty.cc/health".to_owned()),
            status: Some("active".to_owned()),
        };
        for list in [
            json!([one]),
            json!({"success": true, "tools": [one], "count": 1}),
            json!({"services": [one, 7, {"no": "name"}]}),
            json!({"entries": [one]}),
            json!({"data": [one]}),
        ] {
            assert_eq!(entries(&list).as_deref(), Some(std::slice::from_ref(&expected)), "{list}");
        }
        for none in [json!({}), json!({"tools": {}}), json!("tools"), json!(null)] {
            assert_eq!(entries(&none), None, "{none}");
        }
    }

    #[test]
    fn addresses_come_in_many_shapes() {
        for (value, url, health) in [
            (
                json!({"name": "a", "url": "https://a/"}),
                Some("https://a"),
                Some("https://a/health"),
            ),
            (
                json!({"serviceName": "a", "baseUrl": "https://a", "healthCheck": {"path": "/up"}}),
                Some("https://a"),
                Some("https://a/up"),
            ),
            (
                json!({"id": "a", "base_url": "https://a", "endpoints": {"health": "/h"}}),
                Some("https://a"),
                Some("https://a/h"),
            ),
            (json!({"name": "a", "health_url": "https://b/h"}), None, Some("https://b/h")),
            (json!({"name": "a", "endpoints": ["/relative"]}), None, None),
        ] {
            let entry = entry(&value).unwrap();
            assert_eq!(
                (entry.url.as_deref(), entry.health_url.as_deref()),
                (url, health),
                "{value}"
            );
        }
    }
}
