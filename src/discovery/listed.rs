//! The services that ChittyRegistry lists, as far as its entries are accepted.

use std::collections::BTreeMap;

use chitty_core::{ChittyId, ServiceEntry};
use seams::log;
use serde::{Deserialize, Serialize};

use crate::access::service_name::is_service_name;
use crate::discovery::endpoint::{
    Endpoint, USUAL_HEALTH_PATH, check_path, is_gateway, own_name, usual_host,
};
use crate::discovery::names::{is_shown_name, key_of};

/// The most services that the gateway keeps: about ten times as many as there are.
pub(super) const MAX_SERVICES: usize = 1000;

/// The longest path of a health check, in bytes.
const MAX_HEALTH_PATH_BYTES: usize = 200;

/// The states, in the registry's words, in which the gateway does not call a service.
const GONE: [&str; 5] = ["deprecated", "planned", "retired", "removed", "suspended"];

/// A service as ChittyRegistry lists it. Also the form in which the catalog's copy in KV holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Listed {
    /// The name in the form in which names are compared, such as `weather`.
    pub(super) name: String,
    /// The name of its host below `chitty.cc`.
    pub(super) host: String,
    /// The name as the registry spells it.
    pub(super) listed_name: Option<String>,
    pub(super) chitty_id: Option<String>,
    /// The registry's word for the state, in small letters and with underscores for blanks.
    pub(super) status: Option<String>,
    /// The path of the health check; `None` is the usual one.
    pub(super) health_path: Option<String>,
}

/// Returns the services of a list, sorted by name, as far as they are accepted. A service whose entries
/// disagree about its host is left out, unless one of them gives its usual host.
pub(super) fn accepted(entries: &[ServiceEntry]) -> Vec<Listed> {
    let mut said: BTreeMap<String, BTreeMap<String, Listed>> = BTreeMap::new();
    let mut refused = 0_usize;
    for entry in entries {
        let Some(found) = listed(entry) else {
            refused += 1;
            continue;
        };
        let hosts = said.entry(found.name.clone()).or_default();
        // Of several entries for one host, the one with the usual name counts, or else the first one.
        let counts = |known: &Listed| has_usual_name(&found) && !has_usual_name(known);
        if hosts.get(&found.host).is_none_or(counts) {
            hosts.insert(found.host.clone(), found);
        }
    }
    let mut accepted = Vec::new();
    for (name, mut hosts) in said {
        let usual = hosts.remove(usual_host(&name));
        let only = (hosts.len() == 1).then(|| hosts.into_values().next()).flatten();
        match usual.or(only) {
            Some(found) if accepted.len() < MAX_SERVICES => accepted.push(found),
            _ => refused += 1,
        }
    }
    if refused > 0 {
        log::info("registry_entries_left_out", &[("count", &refused.to_string())]);
    }
    accepted
}

fn has_usual_name(listed: &Listed) -> bool {
    let name = listed.listed_name.as_deref().and_then(|name| name.strip_prefix("chitty"));
    name == Some(listed.name.as_str())
}

/// Reads an entry; `None` if it is not accepted.
fn listed(entry: &ServiceEntry) -> Option<Listed> {
    let (name, host) = place(entry)?;
    let chitty_id = entry.chitty_id.as_deref().filter(|id| ChittyId::parse(id).is_ok());
    Some(Listed {
        listed_name: is_shown_name(&entry.name, &name).then(|| entry.name.clone()),
        chitty_id: chitty_id.map(str::to_owned),
        status: entry.status.as_deref().and_then(word),
        health_path: health_path(&name, entry),
        name,
        host,
    })
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
    let name = key_of(&entry.name);
    let url = entry.url.as_deref()?;
    // The path of the URL is ignored: the clients know the paths of the services.
    let scheme = "https://";
    let rest = url.strip_prefix(scheme)?;
    let origin = rest.split('/').next().unwrap_or_default();
    let endpoint = Endpoint::parse(&format!("{scheme}{origin}")).ok()?;
    let host = own_name(&name, &endpoint.host)?.to_owned();
    (!is_gateway(&name)).then_some((name, host))
}

/// Returns a word for a state in the form in which it is stored; `None` if it cannot be one.
fn word(status: &str) -> Option<String> {
    let word = status.trim().to_ascii_lowercase().replace([' ', '-'], "_");
    let is_word =
        (1..=32).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    is_word.then_some(word)
}

/// Returns the path of an entry's health check, if it is at a host of the service and is not the usual one.
fn health_path(name: &str, entry: &ServiceEntry) -> Option<String> {
    let rest = entry.health_url.as_deref()?.strip_prefix("https://")?;
    let (authority, path) = rest.split_at(rest.find('/')?);
    let endpoint = Endpoint::parse(&format!("https://{authority}")).ok()?;
    own_name(name, &endpoint.host)?;
    let is_sound = path.len() <= MAX_HEALTH_PATH_BYTES && check_path(path).is_ok();
    (is_sound && path != USUAL_HEALTH_PATH).then(|| path.to_owned())
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
            ("chittytask", "https://tasks.chitty.cc", "tasks"),
            ("chittytasks", "https://tasks.chitty.cc", "tasks"),
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
        let said = |name: &str, urls: &[&str]| {
            let entries: Vec<_> = urls.iter().map(|url| entry(name, url)).collect();
            accepted(&entries).pop().map(|found| found.host)
        };
        assert_eq!(said("cases", &["https://a.cases.chitty.cc"]).as_deref(), Some("a.cases"));
        let two = ["https://a.cases.chitty.cc", "https://b.cases.chitty.cc"];
        assert_eq!(said("cases", &two), None);
        let usual = ["https://a.cases.chitty.cc", "https://cases.chitty.cc"];
        assert_eq!(said("cases", &usual).as_deref(), Some("cases"));
        let tasks = ["https://task.chitty.cc", "https://tasks.chitty.cc"];
        assert_eq!(said("chittytask", &tasks).as_deref(), Some("tasks"));
        let many: Vec<_> = (0..2000)
            .map(|n| entry(&format!("s{n}"), &format!("https://s{n}.chitty.cc")))
            .collect();
        assert_eq!(accepted(&many).len(), MAX_SERVICES);
    }

    #[test]
    fn of_what_else_an_entry_says_only_sound_values_are_kept() {
        let read = |entry: ServiceEntry| accepted(&[entry]).pop().unwrap();
        let base = || entry("ChittyWeather", "https://weather.chitty.cc");
        let plain = read(base());
        assert_eq!(plain.listed_name.as_deref(), Some("ChittyWeather"));
        assert_eq!((plain.chitty_id, plain.health_path), (None, None));
        let health = |url: &str| {
            read(ServiceEntry { health_url: Some(url.to_owned()), ..base() }).health_path
        };
        assert_eq!(health("https://weather.chitty.cc/api/health").as_deref(), Some("/api/health"));
        for url in [
            "https://weather.chitty.cc/health",
            "https://weather.chitty.cc",
            "https://id.chitty.cc/api/health",
            "https://evil.example/api/health",
            "http://weather.chitty.cc/api/health",
            "https://weather.chitty.cc/../health",
            "https://weather.chitty.cc/%2e%2e/health",
            "https://weather.chitty.cc/health?x=1",
        ] {
            assert_eq!(health(url), None, "{url}");
        }
        let status =
            |text: &str| read(ServiceEntry { status: Some(text.to_owned()), ..base() }).status;
        assert_eq!(status("In Progress").as_deref(), Some("in_progress"));
        assert_eq!(status("Live").as_deref(), Some("live"));
        for text in ["", "$(id)", "up\nnow", &"x".repeat(33)] {
            assert_eq!(status(text), None, "{text}");
        }
        let id = |text: &str| read(ServiceEntry { chitty_id: Some(text.to_owned()), ..base() });
        let good = "03-1-USA-0001-P-2611-0-92";
        assert_eq!(id(good).chitty_id.as_deref(), Some(good));
        assert_eq!(id("03-1-USA-0001-P-2611-0-93").chitty_id, None);
        // An entry under the service's usual name goes before another one for the same host.
        let twice = [entry("weather", "https://weather.chitty.cc"), base()];
        assert_eq!(accepted(&twice).pop().unwrap().listed_name.as_deref(), Some("weather"));
        let usual = [
            entry("weather", "https://weather.chitty.cc"),
            entry("chittyweather", "https://weather.chitty.cc"),
        ];
        let named = accepted(&usual).pop().unwrap().listed_name;
        assert_eq!(named.as_deref(), Some("chittyweather"));
    }
}
