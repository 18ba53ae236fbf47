//! The catalog of services: their names and states for everybody who asks, and the addresses at which this
//! gateway calls them.
//!
//! The catalog unites the built-in list, ChittyRegistry's list and the services that were registered here
//! (`catalog`). An isolate keeps it in memory (`memory`) and shows it as the discovery document and as
//! lists (`handlers`); `live` asks the services how they are.
//!
//! The gateway asks the registry for its list every five minutes, in the background (`refresh`). One isolate
//! asks for all of them, and the database keeps the answer until the next one, however long the registry is
//! down. A request that names an unknown service may ask once more.
//!
//! Anybody can put an entry into the registry, while the gateway sends credentials to the addresses of
//! services and trusts their answers. So an entry decides only a service's name below `chitty.cc`, and that
//! must be one of the service's own names ([`endpoint::own_name`]), whose holder decides who answers there
//! anyway. The name replaces the built-in one in the deployment's own URL template, so nothing else of a URL
//! comes from the registry: no scheme, no port, no other domain, and only the path of a health check. The
//! registry cannot set the address of this gateway, of ChittyAuth (which says who each caller is) or of
//! itself, and an operator's configuration goes before the registry. A connection to a service that only the
//! registry knows keeps the host that it was created with.

mod catalog;
mod document;
pub mod endpoint;
pub mod handlers;
mod listed;
mod live;
mod lookup;
mod memory;
mod names;
pub(crate) mod published;
mod refresh;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod views;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use chitty_core::Service;
use http_kit::problem::Problem;
use seams::db::{DbError, Row, Statement, first_row};
use seams::time;

use crate::app::{App, Slot};
use crate::discovery::endpoint::{Endpoint, is_chittyos, own_name, usual_host};
pub(crate) use crate::discovery::refresh::{cron, refresh_if_due};
use crate::store::Ready;

/// How long a list counts as fresh, in ms.
pub const FRESH_MS: u64 = 300_000;

/// The age from which on a list is stale, in ms: two refreshes have failed.
const STALE_MS: u64 = 2 * FRESH_MS;

/// The pause after a request that the registry did not answer, in ms.
const AFTER_FAILURE_MS: u64 = 60_000;

/// The shortest pause between the last request and one because of an unknown name, in ms.
const AFTER_MISS_MS: u64 = 30_000;

/// The metric of the refreshes.
pub(crate) const REFRESHES: &str = "chittyconnect_discovery_refreshes_total";

/// The services whose address the registry cannot set.
const FIXED: [Service; 2] = [Service::Auth, Service::Registry];

/// What an isolate knows of the addresses in the registry's list.
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
        let moved = self.moved.borrow().get(service).cloned();
        moved.unwrap_or_else(|| usual_host(service).to_owned())
    }

    /// Reads the rows of [`age`]: notes whether the list is due for a refresh, and whether another isolate
    /// has changed the catalog.
    pub(crate) fn note_age(&self, app: &App, rows: Vec<Row>) -> Result<(), DbError> {
        let Some(mut row) = first_row(Some(rows)) else { return Ok(()) };
        let ago = |at: String| app.now_ms().saturating_sub(time::parse(&at).unwrap_or(0));
        let tried_ms = ago(row.text("tried_at")?);
        let refreshed_ms = ago(row.text("refreshed_at")?);
        self.is_due.set(refreshed_ms >= FRESH_MS && tried_ms >= AFTER_FAILURE_MS);
        memory::follow(app, row.integer("catalog_version")?);
        Ok(())
    }
}

/// The query for the built-in services that have moved.
pub(crate) fn look() -> Statement {
    Statement::new(
        "SELECT name, host FROM service_addresses WHERE is_moved = 1 ORDER BY name LIMIT 100",
    )
}

/// The query for the age of the list, and for the number that rises with each change of the catalog.
pub(crate) fn age() -> Statement {
    Statement::new(
        "SELECT tried_at, refreshed_at, catalog_version FROM registry_refresh WHERE one = 1",
    )
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
    is_chittyos(name) && !is_fixed && host != usual_host(name) && own_name(name, &place).is_some()
}

/// Returns the URL at which this deployment calls the service of ChittyOS that has the name `host` below
/// `chitty.cc`, without a trailing slash. The core services have their configured URLs.
pub(crate) fn origin(app: &App, service: &str, host: &str) -> String {
    match Service::parse(service).filter(|_| is_chittyos(service)) {
        Some(core) => app.core.endpoint(core),
        None => app.config.service_url_template.replace("{name}", host),
    }
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
    match refresh::for_unknown_name(app, ready).await {
        true => Ok(stored_endpoint(ready, service).await?),
        false => Ok(None),
    }
}

async fn stored_endpoint(ready: Ready<'_>, service: &str) -> Result<Option<Endpoint>, DbError> {
    let query = Statement::new("SELECT host FROM service_addresses WHERE name = ?1").bind(service);
    let Some(mut row) = first_row(Some(ready.db().rows(query).await?)) else { return Ok(None) };
    let endpoint = Endpoint::of_chittyos(&row.text("host")?);
    let is_own = own_name(service, &endpoint.host).is_some() && !is_chittyos(service);
    Ok(is_own.then_some(endpoint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_moves_no_fixed_or_unknown_service() {
        assert!(is_moved("id", "eu.id") && is_moved("cases", "chittycases"));
        assert!(is_moved("task", "task"));
        for (name, host) in [
            ("auth", "eu.auth"),
            ("registry", "eu.registry"),
            ("id", "id"),
            ("id", "evil"),
            ("task", "tasks"),
            ("weather", "eu.weather"),
        ] {
            assert!(!is_moved(name, host), "{name} {host}");
        }
    }
}
