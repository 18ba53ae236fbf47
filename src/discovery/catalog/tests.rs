use super::*;
use crate::discovery::names::key_of;

const NOW_MS: u64 = 1_767_323_045_000;

fn listed(name: &str, host: &str) -> Listed {
    Listed {
        name: name.to_owned(),
        host: host.to_owned(),
        listed_name: Some(format!("chitty{name}")),
        chitty_id: None,
        status: Some("active".to_owned()),
        health_path: None,
    }
}

fn registered(name: &str) -> Registered {
    Registered {
        name: name.to_owned(),
        shown_name: format!("chitty{name}"),
        is_confirmed: true,
        host: name.to_owned(),
        health_path: None,
        version: Some("1.2.3".to_owned()),
        description: None,
        capabilities: vec!["api".to_owned()],
        status: "registered".to_owned(),
        last_deployed_at: None,
        last_beacon_at: None,
        updated_at: time::iso8601(NOW_MS),
    }
}

fn catalog_of(lists: &Lists, watched: &[(&str, Status)]) -> Vec<Entry> {
    let watched = watched.iter().map(|(name, status)| ((*name).to_owned(), *status)).collect();
    let url_of =
        |name: &str, host: Option<&str>| format!("https://{}.chitty.cc", host.unwrap_or(name));
    let around = Surroundings {
        watched: &watched,
        url_of: &url_of,
        own_url: "https://connect.chitty.cc",
        now_ms: NOW_MS,
    };
    unite(lists, &around)
}

fn lists(listed: Vec<Listed>, registered: Vec<Registered>) -> Lists {
    Lists { listed, registered, refreshed_at: None }
}

fn find<'e>(entries: &'e [Entry], id: &str) -> Option<&'e Entry> {
    entries.iter().find(|entry| entry.id == id)
}

#[test]
fn without_any_list_there_are_the_built_in_services_and_the_gateway() {
    let entries = catalog_of(&Lists::default(), &[]);
    assert_eq!(entries.len(), built_in().count() + 1);
    assert!(entries.is_sorted_by_key(|entry| &entry.name));
    let id = find(&entries, "id").unwrap();
    assert_eq!((id.name.as_str(), id.status), ("chittyid", Status::Unknown));
    assert_eq!(
        (id.sources.as_slice(), id.verified, id.registered),
        (&["catalog"][..], true, false)
    );
    assert_eq!(id.health, "https://id.chitty.cc/health");
    assert_eq!(id.direct_mcp.as_deref(), Some("https://id.chitty.cc/mcp"));
    let own = find(&entries, "connect").unwrap();
    assert_eq!((own.name.as_str(), own.status), ("chittyconnect", Status::Active));
    assert_eq!((own.url.as_str(), &own.mcp), ("https://connect.chitty.cc", &None));
}

#[test]
fn the_lists_are_united_and_say_what_knows_a_service() {
    let mut weather = listed("weather", "eu.weather");
    weather.chitty_id = Some("03-1-USA-0001-P-2611-0-92".to_owned());
    weather.health_path = Some("/up".to_owned());
    let mut own = registered("weather");
    own.status = "active".to_owned();
    let lists = lists(vec![weather], vec![own, registered("rain"), registered("cases")]);
    let entries = catalog_of(&lists, &[]);
    let weather = find(&entries, "weather").unwrap();
    assert_eq!(weather.sources, ["registry", "registration"]);
    assert_eq!(weather.health, "https://eu.weather.chitty.cc/up");
    assert_eq!(weather.health, weather.health_url);
    assert_eq!(weather.version.as_deref(), Some("1.2.3"));
    assert_eq!(weather.chitty_id.as_deref(), Some("03-1-USA-0001-P-2611-0-92"));
    assert_eq!(weather.registered_status.as_deref(), Some("active"));
    let rain = find(&entries, "rain").unwrap();
    assert_eq!(
        (rain.sources.as_slice(), rain.url.as_str()),
        (&["registration"][..], "https://rain.chitty.cc")
    );
    assert_eq!(find(&entries, "cases").unwrap().sources, ["catalog", "registration"]);
    let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    let distinct: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(distinct.len(), names.len());
}

#[test]
fn a_state_comes_from_the_watch_then_from_the_registration_then_from_the_registry() {
    let status = |watched: Option<Status>, registration: Option<&str>, registry: Option<&str>| {
        let mut one = listed("id", "id");
        one.status = registry.map(str::to_owned);
        let own = registration.map(|word| {
            let mut own = registered("id");
            own.status = word.to_owned();
            own
        });
        let watched = watched.map(|status| ("id", status));
        let lists = lists(vec![one], own.into_iter().collect());
        let entries = catalog_of(&lists, watched.as_slice());
        find(&entries, "id").unwrap().status
    };
    let down = Some(Status::Down);
    assert_eq!(status(down, Some("active"), Some("active")), Status::Down);
    assert_eq!(status(Some(Status::Unknown), Some("deployed"), Some("down")), Status::Active);
    assert_eq!(status(None, Some("registered"), Some("live")), Status::Active);
    assert_eq!(status(None, Some("planned"), Some("in_progress")), Status::Unknown);
    assert_eq!(status(None, None, None), Status::Unknown);
    for (word, expected) in [
        ("active", Status::Active),
        ("deployed", Status::Active),
        ("live", Status::Active),
        ("degraded", Status::Degraded),
        ("maintenance", Status::Degraded),
        ("down", Status::Down),
        ("inactive", Status::Down),
        ("deprecated", Status::Deprecated),
        ("retired", Status::Deprecated),
        ("needs_deployment", Status::Unknown),
        ("Active", Status::Unknown),
    ] {
        assert_eq!(Status::of_word(word), expected, "{word}");
        assert_eq!(status(None, Some(word), None), expected, "{word}");
    }
}

#[test]
fn a_name_is_that_of_the_repository_and_the_registry_renames_no_built_in_service() {
    let name = |id: &str, listed_name: Option<&str>, shown: Option<&str>| {
        let mut one = listed(id, id);
        one.listed_name = listed_name.map(str::to_owned);
        let own = shown.map(|shown| Registered { shown_name: shown.to_owned(), ..registered(id) });
        let lists = lists(vec![one], own.into_iter().collect());
        find(&catalog_of(&lists, &[]), id).unwrap().name.clone()
    };
    assert_eq!(name("auth", Some("ChittyAuth"), None), "chittyauth");
    assert_eq!(name("auth", Some("auth"), None), "chittyauth");
    assert_eq!(name("auth", Some("auth"), Some("ChittyAuth")), "ChittyAuth");
    assert_eq!(name("weather", Some("ChittyWeather"), None), "ChittyWeather");
    assert_eq!(name("weather", Some("weather"), Some("chittyweather")), "chittyweather");
    assert_eq!(name("weather", None, None), "chittyweather");
    // A name of another service, or one that a shell would expand, is not shown.
    for odd in ["chittycases", "$(weather)", "weather*", "-weather", "weather x", "weather\n"] {
        assert_eq!(name("weather", Some(odd), Some(odd)), "chittyweather", "{odd}");
    }
}

#[test]
fn names_that_a_shell_expands_or_that_mean_something_else_are_not_listed() {
    let odd = [
        "$(x)",
        "a b",
        "*",
        "-n",
        "a;b",
        "a\nb",
        "A",
        "ï",
        "a.b",
        "a_b",
        "",
        "connect",
        "api",
        "mcp",
        "connect-staging",
        "keys",
        "contexts",
        "events",
        "audit",
        "github",
        "status",
        "v1",
        "docs",
        "integrations",
    ];
    for name in odd {
        assert!(!is_catalog_name(name), "{name}");
        let lists = lists(vec![listed(name, name)], vec![registered(name)]);
        let entries = catalog_of(&lists, &[]);
        assert_eq!(entries.len(), built_in().count() + 1, "{name}");
    }
    let longest = "x".repeat(63);
    let names: Vec<&str> = built_in().collect();
    for name in names.into_iter().chain(["weather", "a-1", "0", &longest]) {
        assert!(is_catalog_name(name), "{name}");
    }
}

#[test]
fn a_registration_alone_keeps_a_service_at_its_own_host_and_not_for_ever() {
    let shown = |own: Registered, listed: Vec<Listed>| {
        let entries = catalog_of(&lists(listed, vec![own]), &[]);
        find(&entries, "rain").map(|entry| (entry.url.clone(), entry.verified))
    };
    let url = "https://rain.chitty.cc".to_owned();
    assert_eq!(shown(registered("rain"), vec![]), Some((url.clone(), true)));
    let unconfirmed = || Registered { is_confirmed: false, ..registered("rain") };
    assert_eq!(shown(unconfirmed(), vec![]), Some((url.clone(), false)));
    assert_eq!(shown(unconfirmed(), vec![listed("rain", "rain")]), Some((url.clone(), true)));
    let elsewhere = || Registered { host: "cases".to_owned(), ..registered("rain") };
    assert_eq!(shown(elsewhere(), vec![]), None);
    assert_eq!(shown(elsewhere(), vec![listed("rain", "rain")]), Some((url.clone(), true)));
    let retired = |days: u64| Registered {
        status: "retired".to_owned(),
        updated_at: time::iso8601(NOW_MS - days * 24 * 3_600_000),
        ..registered("rain")
    };
    assert!(shown(retired(30), vec![]).is_some());
    assert_eq!(shown(retired(31), vec![]), None);
    assert_eq!(shown(retired(31), vec![listed("rain", "rain")]), Some((url, true)));
}

#[test]
fn a_service_is_found_in_either_form_and_in_any_case() {
    for text in ["cases", "chittycases", "ChittyCases", "CASES"] {
        assert_eq!(key_of(text), "cases", "{text}");
    }
    assert_eq!(key_of("chittytasks"), "task");
    assert_eq!(key_of("chittychittycases"), "chittycases", "the prefix is taken off once");
}
