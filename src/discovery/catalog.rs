//! The entries of the catalog: what the built-in list, ChittyRegistry's list and the registrations say of each
//! service, united. Pure.

use std::collections::{BTreeMap, BTreeSet};

use seams::time;
use serde::{Deserialize, Serialize};

use crate::access::caller::THIS_GATEWAY;
use crate::config::VERSION;
use crate::discovery::endpoint::{Endpoint, USUAL_HEALTH_PATH, built_in, is_chittyos, own_name};
use crate::discovery::listed::Listed;
use crate::discovery::names::{is_catalog_name, is_shown_name};

/// The name of this gateway in the catalog.
const OWN_NAME: &str = "chittyconnect";

/// How long a retired service stays in the catalog after its last change, in ms.
const RETIRED_MS: u64 = 30 * 24 * 3_600_000;

/// The state of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Active,
    Degraded,
    Down,
    Deprecated,
    Unknown,
}

impl Status {
    /// The state that a word of ChittyRegistry, of a registration or of the watch means.
    pub(super) fn of_word(word: &str) -> Self {
        match word {
            "active" | "deployed" | "live" => Status::Active,
            "degraded" | "maintenance" => Status::Degraded,
            "down" | "inactive" => Status::Down,
            "deprecated" | "retired" => Status::Deprecated,
            _ => Status::Unknown,
        }
    }

    /// The same state, unless it is unknown.
    fn known(self) -> Option<Self> {
        (self != Status::Unknown).then_some(self)
    }
}

/// A service that was registered here. Also the form in which the catalog's copy in KV holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Registered {
    /// The name in the form in which names are compared.
    pub(super) name: String,
    /// The name as it was registered.
    pub(super) shown_name: String,
    /// Whether the registration was made by a credential that names the service, or was confirmed.
    pub(super) is_confirmed: bool,
    /// The name of its host below `chitty.cc`.
    pub(super) host: String,
    /// The path of the health check; `None` is the usual one.
    pub(super) health_path: Option<String>,
    pub(super) version: Option<String>,
    pub(super) description: Option<String>,
    pub(super) capabilities: Vec<String>,
    /// The word of the registration.
    pub(super) status: String,
    pub(super) last_deployed_at: Option<String>,
    pub(super) last_beacon_at: Option<String>,
    pub(super) updated_at: String,
}

impl Registered {
    /// Whether the service has retired so long ago that only another list can keep it in the catalog.
    fn is_gone(&self, now_ms: u64) -> bool {
        let since_ms = time::parse(&self.updated_at).unwrap_or(0);
        self.status == "retired" && now_ms.saturating_sub(since_ms) > RETIRED_MS
    }

    /// Whether the registered host is one of the service's own. Checked again, because another version may
    /// have written it.
    fn has_own_host(&self) -> bool {
        own_name(&self.name, &Endpoint::of_chittyos(&self.host).host).is_some()
    }
}

/// The lists that the catalog unites with the built-in one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lists {
    pub(super) listed: Vec<Listed>,
    pub(super) registered: Vec<Registered>,
    /// When ChittyRegistry last answered; `None` if it never has.
    pub(super) refreshed_at: Option<String>,
}

/// A service of the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(utoipa::ToSchema))]
#[cfg_attr(not(target_family = "wasm"), schema(as = CatalogEntry))]
pub(crate) struct Entry {
    /// The name of its repository, such as `chittyid`: ASCII letters, digits and inner hyphens only.
    pub(super) name: String,
    /// Its name without the prefix, in small letters.
    pub(super) id: String,
    /// The URL at which this deployment calls it, without a trailing slash.
    pub(super) url: String,
    /// The URL of its health check.
    pub(super) health: String,
    /// The same as `health`, for callers of ChittyRegistry.
    pub(super) health_url: String,
    /// The URL of its MCP server through this gateway, as far as the gateway leads there; null if the service
    /// has none.
    pub(super) mcp: Option<String>,
    /// The URL of its MCP server at its own host.
    pub(super) direct_mcp: Option<String>,
    /// The URL of its API through this gateway, as far as the gateway leads there.
    pub(super) api: String,
    /// The URL of its API at its own host.
    pub(super) direct_api: String,
    /// `active`, `degraded`, `down`, `deprecated` or `unknown`.
    #[cfg_attr(not(target_family = "wasm"), schema(value_type = String))]
    pub(super) status: Status,
    /// The version that was registered last.
    pub(super) version: Option<String>,
    /// What it is, in the words of its registration.
    pub(super) description: Option<String>,
    /// What it can do, in the words of its registration.
    pub(super) capabilities: Vec<String>,
    /// Its ChittyID, if ChittyRegistry names one.
    pub(super) chitty_id: Option<String>,
    /// Whether it was registered at this gateway.
    pub(super) registered: bool,
    /// Whether it is built in, listed by ChittyRegistry, or registered by a credential that names it.
    pub(super) verified: bool,
    /// What knows it: `catalog` is the built-in list, `registry` is ChittyRegistry, `registration` a
    /// registration at this gateway, `gateway` this gateway itself.
    #[cfg_attr(not(target_family = "wasm"), schema(value_type = Vec<String>))]
    pub(super) sources: Vec<&'static str>,
    /// When it was last deployed, ISO-8601.
    pub(super) last_deployed: Option<String>,
    /// When it last gave a sign of life here, ISO-8601.
    pub(super) last_beacon_at: Option<String>,
    /// When its registration last changed, ISO-8601.
    pub(super) updated_at: Option<String>,
    /// The word of its registration, if it was registered here.
    #[serde(skip)]
    pub(super) registered_status: Option<String>,
}

impl Entry {
    /// Whether it is the entry of this gateway.
    pub(super) fn is_this_gateway(&self) -> bool {
        self.id == THIS_GATEWAY
    }
}

/// What the catalog is made with beside the lists.
pub(super) struct Surroundings<'a> {
    /// What the watch says of the services that it watches, by name.
    pub(super) watched: &'a BTreeMap<String, Status>,
    /// Returns the URL of a service. The second argument is the host that a list gives it, if one does.
    pub(super) url_of: &'a dyn Fn(&str, Option<&str>) -> String,
    /// The URL of this gateway.
    pub(super) own_url: &'a str,
    pub(super) now_ms: u64,
}

/// Returns the entries of the catalog, sorted by name.
pub(super) fn unite(lists: &Lists, around: &Surroundings<'_>) -> Vec<Entry> {
    let listed: BTreeMap<&str, &Listed> =
        lists.listed.iter().map(|one| (one.name.as_str(), one)).collect();
    let registered: BTreeMap<&str, &Registered> =
        lists.registered.iter().map(|one| (one.name.as_str(), one)).collect();
    let mut names: BTreeSet<&str> = built_in().collect();
    names.extend(listed.keys().copied());
    names.extend(registered.keys().copied());
    let known = names.into_iter().filter(|name| is_catalog_name(name));
    let facts = known.map(|key| Facts {
        key,
        listed: listed.get(key).copied(),
        registered: registered.get(key).copied(),
    });
    let mut entries: Vec<Entry> = facts.filter_map(|facts| facts.entry(around)).collect();
    entries.push(gateway(around.own_url, registered.get(THIS_GATEWAY).copied()));
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    entries
}

/// What is known of one service.
struct Facts<'a> {
    key: &'a str,
    listed: Option<&'a Listed>,
    registered: Option<&'a Registered>,
}

impl Facts<'_> {
    /// The entry of the service; `None` if no list keeps it in the catalog.
    fn entry(&self, around: &Surroundings<'_>) -> Option<Entry> {
        let Facts { key, listed, registered } = *self;
        let is_built_in = is_chittyos(key);
        let is_known = is_built_in || listed.is_some();
        // A registration alone keeps a service only at a host of its own, and not for ever.
        let alone = registered.filter(|one| one.has_own_host() && !one.is_gone(around.now_ms));
        let host = match listed {
            Some(listed) => Some(listed.host.as_str()),
            None if is_built_in => None,
            None => Some(alone?.host.as_str()),
        };
        let url = (around.url_of)(key, host);
        let health_path = registered
            .and_then(|one| one.health_path.clone())
            .or_else(|| listed?.health_path.clone())
            .unwrap_or_else(|| USUAL_HEALTH_PATH.to_owned());
        let health = format!("{url}{health_path}");
        // `mcp` and `api` lead through this gateway once it has proxies. Until then they are the direct URLs.
        let (mcp, api) = (format!("{url}/mcp"), format!("{url}/api"));
        Some(Entry {
            name: self.name(),
            id: key.to_owned(),
            health_url: health.clone(),
            health,
            mcp: Some(mcp.clone()),
            direct_mcp: Some(mcp),
            api: api.clone(),
            direct_api: api,
            status: self.status(around),
            version: registered.and_then(|one| one.version.clone()),
            description: registered.and_then(|one| one.description.clone()),
            capabilities: registered.map(|one| one.capabilities.clone()).unwrap_or_default(),
            chitty_id: listed.and_then(|one| one.chitty_id.clone()),
            registered: registered.is_some(),
            verified: is_known || registered.is_some_and(|one| one.is_confirmed),
            sources: self.sources(),
            last_deployed: registered.and_then(|one| one.last_deployed_at.clone()),
            last_beacon_at: registered.and_then(|one| one.last_beacon_at.clone()),
            updated_at: registered.map(|one| one.updated_at.clone()),
            registered_status: registered.map(|one| one.status.clone()),
            url,
        })
    }

    /// The name of the service's repository. That of a built-in service is known; only a registration spells
    /// it otherwise. That of another service is as the registry spells it.
    fn name(&self) -> String {
        let registered = self.registered.map(|one| one.shown_name.as_str());
        let listed = self.listed.and_then(|one| one.listed_name.as_deref());
        let listed = listed.filter(|_| !is_chittyos(self.key));
        let is_sound = |name: &&str| is_shown_name(name, self.key);
        let shown = registered.filter(is_sound).or(listed.filter(is_sound));
        shown.map_or_else(|| format!("chitty{}", self.key), str::to_owned)
    }

    /// The first state that is known: from the watch, from the registration, from the registry.
    fn status(&self, around: &Surroundings<'_>) -> Status {
        let watched = around.watched.get(self.key).copied();
        let registered = self.registered.map(|one| Status::of_word(&one.status));
        let listed = self.listed.and_then(|one| one.status.as_deref()).map(Status::of_word);
        let all = [watched, registered, listed];
        all.into_iter().flatten().find_map(Status::known).unwrap_or(Status::Unknown)
    }

    fn sources(&self) -> Vec<&'static str> {
        let built_in = is_chittyos(self.key).then_some("catalog");
        let listed = self.listed.map(|_| "registry");
        let registered = self.registered.map(|_| "registration");
        [built_in, listed, registered].into_iter().flatten().collect()
    }
}

/// The entry of this gateway. Its API is below its own URL. It has no MCP server yet, so `mcp` and
/// `direct_mcp` are null until that answers.
fn gateway(url: &str, registered: Option<&Registered>) -> Entry {
    let health = format!("{url}{USUAL_HEALTH_PATH}");
    let own = ["gateway"].into_iter();
    Entry {
        name: OWN_NAME.to_owned(),
        id: THIS_GATEWAY.to_owned(),
        url: url.to_owned(),
        health_url: health.clone(),
        health,
        mcp: None,
        direct_mcp: None,
        api: url.to_owned(),
        direct_api: url.to_owned(),
        // It answers, or nobody would read this.
        status: Status::Active,
        version: Some(VERSION.to_owned()),
        description: registered.and_then(|one| one.description.clone()),
        capabilities: registered.map(|one| one.capabilities.clone()).unwrap_or_default(),
        chitty_id: None,
        registered: registered.is_some(),
        verified: true,
        sources: own.chain(registered.map(|_| "registration")).collect(),
        last_deployed: registered.and_then(|one| one.last_deployed_at.clone()),
        last_beacon_at: registered.and_then(|one| one.last_beacon_at.clone()),
        updated_at: registered.map(|one| one.updated_at.clone()),
        registered_status: registered.map(|one| one.status.clone()),
    }
}

#[cfg(test)]
mod tests;
