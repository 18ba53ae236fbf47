//! The addresses of services: an entry of ChittyRegistry that passes the checks here goes before the
//! built-in address.
//!
//! The gateway asks the registry for its list every five minutes, in the background. One isolate asks for
//! all of them, and the database keeps the answer until the next one, however long the registry is down. A
//! creation that names an unknown service may ask once more.
//!
//! Anybody can put an entry into the registry, while the gateway sends credentials to the addresses of
//! services and trusts their answers. So an entry decides only a service's name below `chitty.cc`, and that
//! must be one of the service's own names ([`own_name`]), whose holder decides who answers there anyway. The
//! name replaces the built-in one in the deployment's own URL template, so nothing else of a URL comes from
//! the registry: no scheme, no port, no path, no other domain. The registry cannot set the address of this
//! gateway, of ChittyAuth (which says who each caller is) or of itself, and an operator's configuration goes
//! before the registry. A connection to a service that only the registry knows keeps the host that it was
//! created with.

pub mod endpoint;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use chitty_core::{CallContext, Service, ServiceEntry};
use http_kit::problem::Problem;
use seams::db::{DbError, Row, Statement, first_row};
use seams::{log, time};
use serde_json::{Value, json};

use crate::access::service_name::{is_service_name, service_name};
use crate::app::{App, Slot};
use crate::discovery::endpoint::{Endpoint, is_chittyos, is_gateway, own_name};
use crate::store::Ready;

/// How long a list counts as fresh, in ms.
pub const FRESH_MS: u64 = 300_000;

/// The pause after a request that the registry did not answer, in ms.
const AFTER_FAILURE_MS: u64 = 60_000;

/// The shortest pause between the last request and one because of an unknown name, in ms.
const AFTER_MISS_MS: u64 = 30_000;

/// The most services that the gateway keeps: about ten times as many as there are.
const MAX_SERVICES: usize = 1000;

/// The states, in the registry's words, in which the gateway does not call a service.
const GONE: [&str; 5] = ["deprecated", "planned", "retired", "removed", "suspended"];

/// The services whose address the registry cannot set.
const FIXED: [Service; 2] = [Service::Auth, Service::Registry];

/// What an isolate knows of the registry's list.
#[derive(Default)]
pub struct Directory {
    /// The names below `chitty.cc` of the built-in services that have moved, by service.
    moved: RefCell<BTreeMap<String, String>>,
    /// Whether the list was due for a refresh at the last handover.
    is_due: Cell<bool>,
}

impl Slot for Directory {
    fn new(_: &App) -> Self {
        Self::default()
    }
}

impl Directory {
    /// The name below `chitty.cc` of a built-in service.
    pub fn name_of(&self, service: &str) -> String {
        self.moved.borrow().get(service).cloned().unwrap_or_else(|| service.to_owned())
    }

    /// Reads the rows of [`age`] and notes whether the list is due for a refresh.
    pub(crate) fn note_age(&self, app: &App, rows: Vec<Row>) -> Result<(), DbError> {
        let Some(mut row) = first_row(Some(rows)) else { return Ok(()) };
        let ago = |at: String| app.now_ms().saturating_sub(time::parse(&at).unwrap_or(0));
        let tried_ms = ago(row.text("tried_at")?);
        let refreshed_ms = ago(row.text("refreshed_at")?);
        self.is_due.set(refreshed_ms >= FRESH_MS && tried_ms >= AFTER_FAILURE_MS);
        Ok(())
    }
}

/// The query for the built-in services that have moved.
pub(crate) fn look() -> Statement {
    Statement::new(
        "SELECT name, host FROM service_addresses WHERE is_moved = 1 ORDER BY name LIMIT 100",
    )
}

/// The query for the age of the list.
pub(crate) fn age() -> Statement {
    Statement::new("SELECT tried_at, refreshed_at FROM registry_refresh WHERE one = 1")
}

/// Takes over the rows of [`look`]. Checks them again, because another version may have written them.
pub(crate) fn take(app: &App, rows: Vec<Row>) -> Result<(), DbError> {
    let mut moved = BTreeMap::new();
    for mut row in rows {
        let (name, host) = (row.text("name")?, row.text("host")?);
        if is_moved(&name, &host) {
            moved.insert(name, host);
        }
    }
    if *Directory::of(app).moved.borrow() != moved {
        let core =
            moved.iter().filter_map(|(name, host)| Some((Service::parse(name)?, host.clone())));
        app.core.relocate(core.collect());
        *Directory::of(app).moved.borrow_mut() = moved;
    }
    Ok(())
}

/// Whether `host` is another name to which the built-in service `name` may move.
fn is_moved(name: &str, host: &str) -> bool {
    let place = Endpoint::of_chittyos(host).host;
    let is_fixed = Service::parse(name).is_some_and(|service| FIXED.contains(&service));
    is_chittyos(name) && !is_fixed && host != name && own_name(name, &place).is_some()
}

/// Returns the endpoint that ChittyRegistry lists for a service that is not built in. If the name is unknown
/// and no isolate has asked the registry within `AFTER_MISS_MS`, asks it once.
///
/// # Errors
/// When the database does not answer.
pub async fn find(app: &App, ready: Ready<'_>, service: &str) -> Result<Option<Endpoint>, Problem> {
    // 1. Look into the stored list.
    if let Some(found) = stored_endpoint(ready, service).await? {
        return Ok(Some(found));
    }
    // 2. Ask the registry, if nobody has just done so, and look again.
    match refresh(app, ready, AFTER_MISS_MS, 0).await {
        Ok(true) => Ok(stored_endpoint(ready, service).await?),
        Ok(false) => Ok(None),
        Err(error) => {
            log::warn("registry_not_kept", &[("error", &error.to_string())]);
            Ok(None)
        }
    }
}

async fn stored_endpoint(ready: Ready<'_>, service: &str) -> Result<Option<Endpoint>, DbError> {
    let query = Statement::new("SELECT host FROM service_addresses WHERE name = ?1").bind(service);
    let Some(mut row) = first_row(Some(ready.db().rows(query).await?)) else { return Ok(None) };
    let endpoint = Endpoint::of_chittyos(&row.text("host")?);
    let is_own = own_name(service, &endpoint.host).is_some() && !is_chittyos(service);
    Ok(is_own.then_some(endpoint))
}

/// Asks the registry if the last handover or the cron has marked the list as due.
pub(crate) async fn refresh_if_due(app: &App, ready: Ready<'_>) {
    if !Directory::of(app).is_due.take() {
        return;
    }
    if let Err(error) = refresh(app, ready, AFTER_FAILURE_MS, FRESH_MS).await {
        log::warn("registry_not_kept", &[("error", &error.to_string())]);
    }
}

/// The same for the cron, which runs without a handover, so it marks the list as due itself.
pub(crate) async fn cron(app: &App, ready: Ready<'_>) {
    Directory::of(app).is_due.set(true);
    refresh_if_due(app, ready).await;
}

/// Asks the registry and stores its list, if the last request was at least `tried_ms` ago and the last answer
/// at least `refreshed_ms` ago. Returns whether it stored a list.
async fn refresh(
    app: &App,
    ready: Ready<'_>,
    tried_ms: u64,
    refreshed_ms: u64,
) -> Result<bool, DbError> {
    // 1. Take the turn to ask, which notes the time for all isolates.
    let now_ms = app.now_ms();
    let ago = |ms: u64| time::iso8601(now_ms.saturating_sub(ms));
    let lease = Statement::new(
        "UPDATE registry_refresh SET tried_at = ?1 \
         WHERE one = 1 AND tried_at <= ?2 AND refreshed_at <= ?3 RETURNING one",
    )
    .bind(ago(0))
    .bind(ago(tried_ms))
    .bind(ago(refreshed_ms));
    if ready.db().rows(lease).await?.is_empty() {
        return Ok(false);
    }
    // 2. Ask the registry, and leave out the entries that do not pass the checks.
    let listed = app.core.session(CallContext::default()).registry().list_now().await;
    let accepted = match listed {
        Ok(entries) => accepted_hosts(&entries),
        Err(error) => {
            log::warn("registry_unread", &[("error", &error.to_string())]);
            return Ok(false);
        }
    };
    // 3. Store the list in place of the old one, and read which services have moved, in one batch.
    let rows: Vec<Value> = accepted
        .iter()
        .map(|(name, host)| json!([name, host, i64::from(is_moved(name, host))]))
        .collect();
    let rows = Value::Array(rows).to_string();
    let forget = Statement::new(
        "DELETE FROM service_addresses WHERE name NOT IN \
         (SELECT json_extract(value, '$[0]') FROM json_each(?1))",
    );
    let keep = Statement::new(
        "INSERT INTO service_addresses (name, host, is_moved) SELECT json_extract(value, '$[0]'), \
         json_extract(value, '$[1]'), json_extract(value, '$[2]') FROM json_each(?1) WHERE TRUE \
         ON CONFLICT (name) DO UPDATE SET host = excluded.host, is_moved = excluded.is_moved",
    );
    let note = Statement::new("UPDATE registry_refresh SET refreshed_at = ?1 WHERE one = 1");
    let batch = vec![forget.bind(rows.as_str()), keep.bind(rows), note.bind(ago(0)), look()];
    let moved = ready.db().batch(batch).await?.pop().unwrap_or_default();
    // 4. Use the new addresses in this isolate.
    take(app, moved)?;
    Ok(true)
}

/// Returns the names below `chitty.cc` that a list gives to services, as far as they are accepted. A service
/// whose entries disagree is left out, unless one of them gives its usual name.
fn accepted_hosts(entries: &[ServiceEntry]) -> BTreeMap<String, String> {
    let mut said: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut refused = 0_usize;
    for entry in entries {
        match place(entry) {
            Some((name, host)) => {
                said.entry(name).or_default().insert(host);
            }
            None => refused += 1,
        }
    }
    let mut accepted = BTreeMap::new();
    for (name, hosts) in said {
        let usual = hosts.contains(&name).then(|| name.clone());
        let only = (hosts.len() == 1).then(|| hosts.into_iter().next()).flatten();
        match usual.or(only) {
            Some(host) if accepted.len() < MAX_SERVICES => {
                accepted.insert(name, host);
            }
            _ => refused += 1,
        }
    }
    if refused > 0 {
        log::info("registry_entries_left_out", &[("count", &refused.to_string())]);
    }
    accepted
}

/// Returns the service of an entry and its name below `chitty.cc`; `None` if the service is gone, is this
/// gateway, or does not own that name.
fn place(entry: &ServiceEntry) -> Option<(String, String)> {
    let is_gone = entry
        .status
        .as_deref()
        .is_some_and(|status| GONE.contains(&status.to_ascii_lowercase().as_str()));
    if is_gone || !is_service_name(&entry.name) {
        return None;
    }
    let name = service_name(&entry.name);
    let url = entry.url.as_deref()?;
    // The path of the URL is ignored: the clients know the paths of the services.
    let scheme = "https://";
    let rest = url.strip_prefix(scheme)?;
    let origin = rest.split('/').next().unwrap_or_default();
    let endpoint = Endpoint::parse(&format!("{scheme}{origin}")).ok()?;
    let host = own_name(&name, &endpoint.host)?.to_owned();
    (!is_gateway(&name)).then_some((name, host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, url: &str) -> ServiceEntry {
        ServiceEntry {
            name: name.to_owned(),
            chitty_id: None,
            url: Some(url.to_owned()),
            health_url: None,
            status: Some("active".to_owned()),
        }
    }

    #[test]
    fn an_entry_gives_a_service_only_a_name_of_its_own() {
        for (name, url, host) in [
            ("chittyweather", "https://weather.chitty.cc", "weather"),
            ("weather", "https://chittyweather.chitty.cc/api/v1", "chittyweather"),
            ("ChittyWeather", "https://EU.weather.chitty.cc:443", "eu.weather"),
            ("cases", "https://a.b.cases.chitty.cc", "a.b.cases"),
        ] {
            let said = place(&entry(name, url));
            assert_eq!(said.map(|(_, host)| host).as_deref(), Some(host), "{name} {url}");
        }
        for (name, url) in [
            ("chittyauth", "https://evil.chitty.cc"),
            ("chittyauth", "https://auth.chitty.cc.evil.example"),
            ("chittyauth", "https://evil.example"),
            ("chittyauth", "https://auth.ch1tty.com"),
            ("chittyauth", "https://evil-auth.chitty.cc"),
            ("chittyauth", "https://auth.evil.chitty.cc"),
            ("weather", "http://weather.chitty.cc"),
            ("weather", "https://weather.chitty.cc:8443"),
            ("weather", "https://user@weather.chitty.cc"),
            ("weather", "https://weather.chitty.cc@evil.example"),
            ("weather", "https://weather.chitty.cc?x"),
            ("weather", "https://-x.weather.chitty.cc"),
            ("weather", "https://..weather.chitty.cc"),
            ("weather", "https://id.chitty.cc"),
            ("weather", "https://chitty.cc"),
            ("weather", "https://169.254.169.254"),
            ("weather", ""),
            ("chittyconnect", "https://connect.chitty.cc"),
            ("connect", "https://x.connect.chitty.cc"),
            ("mcp", "https://mcp.chitty.cc"),
            ("api", "https://x.api.chitty.cc"),
            ("a.b", "https://a.b.chitty.cc"),
            ("", "https://weather.chitty.cc"),
            ("{name}", "https://{name}.chitty.cc"),
        ] {
            assert_eq!(place(&entry(name, url)), None, "{name} {url}");
        }
        let gone = ServiceEntry {
            status: Some("Deprecated".to_owned()),
            ..entry("w", "https://w.chitty.cc")
        };
        assert_eq!(place(&gone), None);
    }

    #[test]
    fn a_service_whose_entries_disagree_is_left_out_unless_one_has_its_usual_name() {
        let said = |urls: &[&str]| {
            let entries: Vec<_> = urls.iter().map(|url| entry("cases", url)).collect();
            accepted_hosts(&entries).remove("cases")
        };
        assert_eq!(said(&["https://a.cases.chitty.cc"]).as_deref(), Some("a.cases"));
        assert_eq!(said(&["https://a.cases.chitty.cc", "https://b.cases.chitty.cc"]), None);
        let usual = ["https://a.cases.chitty.cc", "https://cases.chitty.cc"];
        assert_eq!(said(&usual).as_deref(), Some("cases"));
        let many: Vec<_> = (0..2000)
            .map(|n| entry(&format!("s{n}"), &format!("https://s{n}.chitty.cc")))
            .collect();
        assert_eq!(accepted_hosts(&many).len(), MAX_SERVICES);
    }

    #[test]
    fn the_registry_moves_no_fixed_or_unknown_service() {
        assert!(is_moved("id", "eu.id") && is_moved("cases", "chittycases"));
        for (name, host) in [
            ("auth", "eu.auth"),
            ("registry", "eu.registry"),
            ("id", "id"),
            ("id", "evil"),
            ("weather", "eu.weather"),
        ] {
            assert!(!is_moved(name, host), "{name} {host}");
        }
    }
}
