//! The rules for the endpoint of a connection and for the paths below it.
//!
//! A caller names a URL and the gateway calls it with a credential, so these rules decide what a caller can
//! make the gateway reach. They accept only those forms of a URL that every parser reads alike, so that the
//! runtime calls exactly the URL that was checked here. They refuse an IP address in any spelling (the last
//! label of a name must be letters), a port, a user, and a name that belongs to a machine or a private
//! network. They do not check the address that a public name resolves to: no private network is reachable
//! from the platform's edge.

use std::fmt;

use chitty_core::Service;
use percent_encoding::percent_decode_str;

/// The domain of the ChittyOS services.
const CHITTYOS_DOMAIN: &str = "chitty.cc";

/// The domains of ChittyOS. A connection reaches a host below them only by the name of its service.
const CHITTYOS_DOMAINS: [&str; 2] = [CHITTYOS_DOMAIN, "ch1tty.com"];

/// The hosts below [`CHITTYOS_DOMAIN`] that are this gateway: a connection to one would lead back here.
const GATEWAY: [&str; 4] = ["api", "connect", "connect-staging", "mcp"];

/// The built-in services of ChittyOS that this gateway does not call itself, by their names. With those of
/// [`Service::ALL`] they are the ecosystem's catalog without this gateway.
const OTHER_CHITTYOS: [&str; 34] = [
    "assets",
    "brand",
    "cases",
    "chain",
    "charter",
    "concierge",
    "contextual",
    "credit",
    "dispute",
    "entry",
    "evidence",
    "explorer",
    "finance",
    "flow",
    "force",
    "forge",
    "gateway",
    "insight",
    "intel",
    "ledger",
    "monitor",
    "oracle",
    "pay",
    "proof",
    "resolution",
    "router",
    "schema",
    "score",
    "stake",
    "sync",
    "task",
    "trace",
    "track",
    "trust",
];

/// The path of a service's health check where nothing else is known: every service of ChittyOS has it.
pub const USUAL_HEALTH_PATH: &str = "/health";

/// The built-in services whose host below [`CHITTYOS_DOMAIN`] is not their name: the name and the host.
const OTHER_HOSTS: [(&str, &str); 1] = [("task", "tasks")];

/// Top-level names that are not public (RFC 6761, RFC 6762, RFC 7686, RFC 8375, and those that private
/// networks use).
pub(crate) const PRIVATE_SUFFIXES: [&str; 12] = [
    "localhost",
    "local",
    "internal",
    "localdomain",
    "lan",
    "home",
    "corp",
    "intranet",
    "private",
    "onion",
    "arpa",
    "invalid",
];

/// Public domains whose names resolve to the address that is written in front of them, or to the local
/// machine.
const MIRRORS: [&str; 8] = [
    "nip.io",
    "sslip.io",
    "xip.io",
    "localtest.me",
    "lvh.me",
    "vcap.me",
    "lacolhost.com",
    "traefik.me",
];

/// The longest endpoint, in bytes.
pub const MAX_ENDPOINT_BYTES: usize = 2048;

/// The longest path below an endpoint, in bytes.
const MAX_PATH_BYTES: usize = 4096;

/// The endpoint of a connection: a host, and the path below which its requests go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// A DNS name in lower case.
    pub host: String,
    /// Empty, or a path that begins with a slash and does not end with one.
    pub path: String,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}{}", self.host, self.path)
    }
}

/// The built-in services of ChittyOS, by their names.
pub(super) fn built_in() -> impl Iterator<Item = &'static str> {
    Service::ALL.iter().map(|service| service.host()).chain(OTHER_CHITTYOS)
}

/// Whether this is the name of a built-in ChittyOS service, in the form that
/// [`crate::access::service_name::service_name`] returns.
pub fn is_chittyos(service: &str) -> bool {
    built_in().any(|name| name == service)
}

/// The usual name of a service's host below `chitty.cc`: nearly always the name of the service.
pub fn usual_host(service: &str) -> &str {
    OTHER_HOSTS.iter().find(|(name, _)| *name == service).map_or(service, |(_, host)| *host)
}

/// The name of the service that has this host below `chitty.cc`: `task` for `tasks`. The reverse of
/// [`usual_host`].
pub fn service_at(host: &str) -> &str {
    OTHER_HOSTS.iter().find(|(_, other)| *other == host).map_or(host, |(name, _)| *name)
}

/// Whether a text can be one label of a DNS name: 1 to 63 small letters, digits and inner hyphens.
pub fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Returns the name of `host` below `chitty.cc`, if it is one of the service's own names. For the service
/// `weather` these are `weather`, `chittyweather` and each name below one of them: the holder of those two
/// decides who answers there, whatever ChittyRegistry says. A built-in service also has its usual host.
pub fn own_name<'h>(service: &str, host: &'h str) -> Option<&'h str> {
    let name = host.strip_suffix(CHITTYOS_DOMAIN)?.strip_suffix('.')?;
    let (front, last) = match name.rsplit_once('.') {
        Some((front, last)) => (Some(front), last),
        None => (None, name),
    };
    let is_own = last == service
        || last == usual_host(service)
        || last.strip_prefix("chitty") == Some(service);
    let sound = front.is_none_or(|front| front.split('.').all(is_label));
    (is_own && is_label(service) && sound && !is_gateway(service)).then_some(name)
}

/// Whether a target of this name would lead back into this gateway.
pub fn is_gateway(service: &str) -> bool {
    GATEWAY.contains(&service)
}

impl Endpoint {
    /// The host of this name below `chitty.cc`.
    pub fn of_chittyos(name: &str) -> Self {
        Endpoint { host: format!("{name}.{CHITTYOS_DOMAIN}"), path: String::new() }
    }

    /// The usual host of a ChittyOS service.
    pub fn usual(service: &str) -> Self {
        Endpoint::of_chittyos(usual_host(service))
    }

    /// The endpoint without a host, to which no connection may lead.
    pub fn nowhere() -> Self {
        Endpoint { host: String::new(), path: String::new() }
    }

    /// Reads the endpoint of a connection to `service`. `registered` is the endpoint that ChittyRegistry
    /// lists for the service, if it was asked and knows it.
    ///
    /// # Errors
    /// What is wrong, in words for the caller.
    pub fn for_service(
        service: &str,
        text: &str,
        registered: Option<&Endpoint>,
    ) -> Result<Self, String> {
        let endpoint = Endpoint::parse(text).map_err(str::to_owned)?;
        let own = Endpoint::usual(service).host;
        if is_chittyos(service) {
            // The host by its name is good too, where the usual one is another.
            if endpoint.host != own && endpoint.host != Endpoint::of_chittyos(service).host {
                return Err(format!("must be under https://{own}, the host of that service"));
            }
        } else if registered.is_some_and(|registered| registered.host == endpoint.host) {
            return Ok(endpoint);
        } else if endpoint.is_of_chittyos() {
            return Err(format!(
                "is a ChittyOS host: target_service must be its service, not {service}"
            ));
        }
        Ok(endpoint)
    }

    /// Reads a URL that a caller hands in with a credential and that the gateway will call. Refuses the
    /// hosts of ChittyOS.
    ///
    /// # Errors
    /// What is wrong, in words for the caller.
    pub fn for_credential(text: &str) -> Result<Self, &'static str> {
        let endpoint = Endpoint::parse(text)?;
        match endpoint.is_of_chittyos() {
            true => Err("must not be a ChittyOS host"),
            false => Ok(endpoint),
        }
    }

    /// Whether the host is one of ChittyOS.
    pub fn is_of_chittyos(&self) -> bool {
        CHITTYOS_DOMAINS.iter().any(|domain| is_below(&self.host, domain))
    }

    /// Reads an https URL of a public host, with or without a path.
    ///
    /// # Errors
    /// What is wrong, in words for the caller.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > MAX_ENDPOINT_BYTES {
            return Err("must have at most 2048 characters");
        }
        let rest = text.strip_prefix("https://").ok_or("must be an https URL")?;
        if rest.contains(['?', '#']) {
            return Err("must have neither query nor fragment");
        }
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let authority = authority.strip_suffix(":443").unwrap_or(authority);
        let host = authority.to_ascii_lowercase();
        if host.contains('@') {
            return Err("must not name a user");
        }
        if host.contains(':') && !host.starts_with('[') {
            return Err("must not name a port");
        }
        if !is_public_name(&host) {
            return Err(
                "must name a public host by its DNS name, not an address or a private name",
            );
        }
        let path = path.trim_end_matches('/');
        check_path(path)?;
        Ok(Endpoint { host, path: path.to_owned() })
    }
}

/// Whether a host is the domain or a name below it.
fn is_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|front| front.is_empty() || front.ends_with('.'))
}

/// Whether a host is a DNS name that can be public: at least two labels of letters, digits and inner hyphens,
/// the last one of letters or punycode, and not below a private name or a mirror.
fn is_public_name(host: &str) -> bool {
    let labels: Vec<&str> = host.split('.').collect();
    let Some(last) = labels.last() else { return false };
    let top = last.len() >= 2
        && (last.bytes().all(|b| b.is_ascii_lowercase()) || last.starts_with("xn--"));
    host.len() <= 253
        && labels.len() >= 2
        && labels.iter().all(|label| is_label(label))
        && top
        && !PRIVATE_SUFFIXES.contains(last)
        && !MIRRORS.iter().any(|mirror| is_below(host, mirror))
}

/// Whether a host has a name that nobody can own (RFC 2606, RFC 6761). In development the sandbox plays such
/// hosts.
pub fn is_reserved(host: &str) -> bool {
    ["example", "test", "example.com", "example.net", "example.org"]
        .iter()
        .any(|domain| is_below(host, domain) && host != *domain)
        || ["example.com", "example.net", "example.org"].contains(&host)
}

/// Checks a path in its percent-encoded form, as it will be sent. It must be made of the characters of a path
/// (RFC 3986 §3.3), and must not have a segment `.` or `..` in any reading that a server is known to use:
/// after repeated decoding, without the parameters of a segment (`..;x`), without what follows the end that a
/// second parser sees (`..%23`), without blanks around the segment, and with characters folded to dots and
/// slashes. The encoded bytes must be UTF-8 in its shortest form: overlong forms serve only to hide such
/// characters.
///
/// # Errors
/// What is wrong, in words for the caller.
pub fn check_path(path: &str) -> Result<(), &'static str> {
    const ROUNDS: usize = 4;
    if path.len() > MAX_PATH_BYTES {
        return Err("must have at most 4096 characters");
    }
    let of_a_path = |b: u8| b.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(&b);
    if !path.bytes().all(of_a_path) {
        return Err("must have only the characters of a URL path; percent-encode all others");
    }
    if !is_percent_encoded(path) {
        return Err("must have two hexadecimal digits after each %");
    }
    let mut text = path.to_owned();
    for _ in 0..ROUNDS {
        check_reading(&text)?;
        let decoded: Vec<u8> = percent_decode_str(&text).collect();
        let decoded = String::from_utf8(decoded)
            .map_err(|_| "must be percent-encoded UTF-8, in its shortest form")?;
        if decoded == text {
            return Ok(());
        }
        text = decoded;
    }
    Err("must not be percent-encoded more than three times over")
}

/// Whether two hexadecimal digits follow each percent sign.
fn is_percent_encoded(path: &str) -> bool {
    path.split('%').skip(1).all(|after| {
        after.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// Checks one reading of a path: its text after some rounds of decoding.
fn check_reading(text: &str) -> Result<(), &'static str> {
    if text.chars().any(|c| c.is_control() || c == '\\') {
        return Err("must not have a backslash or a control character, encoded or not");
    }
    let folded: String = text.chars().filter_map(fold).collect();
    // Some old servers read `%u002e` as a dot.
    let is_unicode_escape = |after: &str| {
        after
            .strip_prefix(['u', 'U'])
            .and_then(|digits| digits.as_bytes().get(..4))
            .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if folded.split('%').skip(1).any(is_unicode_escape) {
        return Err("must not have an escape of the form %u0000");
    }
    let leads_upwards = |segment: &str| {
        let name = segment.split([';', '?', '#']).next().unwrap_or_default();
        // The third one, U+2025, shows two dots in one character.
        matches!(name.trim(), "." | ".." | "\u{2025}")
    };
    if folded.split(['/', '\\']).any(leads_upwards) {
        return Err("must not have the segments . or .., in any spelling");
    }
    Ok(())
}

/// Returns the character that `c` becomes on a server that folds compatible characters to ASCII; `None` for
/// an invisible one.
fn fold(c: char) -> Option<char> {
    match c {
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' => None,
        '\u{2024}' | '\u{3002}' | '\u{fe52}' | '\u{ff61}' => Some('.'),
        '\u{2044}' | '\u{2215}' => Some('/'),
        '\u{2216}' | '\u{29f5}' | '\u{fe68}' => Some('\\'),
        // The fullwidth forms are in the order of ASCII.
        '\u{ff01}'..='\u{ff5e}' => u32::from(c).checked_sub(0xfee0).and_then(char::from_u32),
        other => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn public_hosts_are_accepted() {
        for (text, host, path) in [
            ("https://api.github.com", "api.github.com", ""),
            ("https://API.GitHub.com/", "api.github.com", ""),
            ("https://api.partner.example/v1/", "api.partner.example", "/v1"),
            ("https://a-b.c0.co:443/x/y", "a-b.c0.co", "/x/y"),
            ("https://xn--bcher-kva.xn--p1ai/%20x", "xn--bcher-kva.xn--p1ai", "/%20x"),
        ] {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!((endpoint.host.as_str(), endpoint.path.as_str()), (host, path), "{text}");
        }
    }

    #[test]
    fn whatever_else_a_url_can_be_is_refused() {
        for text in [
            "",
            "http://api.github.com",
            "HTTPS://api.github.com",
            "//api.github.com",
            "https:api.github.com",
            "https:/api.github.com",
            "https:///api.github.com",
            "https://",
            "https://localhost",
            "https://api.localhost",
            "https://gateway.local/x",
            "https://metadata.google.internal/computeMetadata/v1",
            "https://169.254.169.254/latest",
            "https://127.0.0.1",
            "https://127.1",
            "https://2130706433",
            "https://0x7f000001",
            "https://0x7f.1",
            "https://0177.0.0.01",
            "https://127.0.0.1.",
            "https://example.com.",
            "https://[::1]",
            "https://[::ffff:127.0.0.1]/",
            "https://[fd00::1]",
            "https://10.0.0.1",
            "https://192.168.1.1",
            "https://127.0.0.1.nip.io",
            "https://localtest.me",
            "https://api.github.com:8443",
            "https://api.github.com:80",
            "https://user@api.github.com",
            "https://api.github.com@evil.example",
            "https://api.github.com\\@evil.example",
            "https://api.github.com\\evil.example",
            "https://api.github.com%2eevil.example",
            "https://api%00.github.com",
            "https://api.github.com#@evil.example",
            "https://api.github.com?x",
            "https://api.github.com/a/../b",
            "https://api.github.com/%2e%2e/b",
            "https://api.github.com/%252e%252e/b",
            "https://api.github.com/a b",
            "https://api.github.com\t.evil.example",
            " https://api.github.com",
            "https://b\u{fc}cher.example",
            "https://\u{ff11}\u{ff12}\u{ff17}.0.0.1",
            "https://a..b.com",
            "https://-a.com",
            "https://com",
            "https://a.c",
            "https://x.arpa",
        ] {
            assert!(Endpoint::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_endpoint_is_as_long_as_it_may_be_and_its_refusal_says_why() {
        let of_length = |bytes: usize| {
            let front = "https://a.example/";
            format!("{front}{}", "x".repeat(bytes - front.len()))
        };
        let longest = of_length(MAX_ENDPOINT_BYTES);
        assert_eq!(Endpoint::parse(&longest).unwrap().to_string(), longest);
        let refusal = |text: &str| Endpoint::parse(text).unwrap_err();
        assert!(refusal(&of_length(MAX_ENDPOINT_BYTES + 1)).contains("2048"));
        assert!(refusal("https://a.example:8443/").contains("port"));
        assert!(refusal("https://[2001:db8::1]/").contains("DNS name"));
    }

    #[test]
    fn a_service_that_the_registry_knows_is_reached_where_it_says() {
        let registered = Endpoint::parse("https://other.chitty.cc").unwrap();
        let at = |text: &str| Endpoint::for_service("weather", text, Some(&registered));
        assert!(at("https://other.chitty.cc/v2").is_ok());
        assert!(at("https://third.chitty.cc").is_err());
        assert!(at("https://weather.example").is_ok());
    }

    #[test]
    fn the_own_names_of_a_service() {
        for (host, name) in [
            ("weather.chitty.cc", "weather"),
            ("chittyweather.chitty.cc", "chittyweather"),
            ("eu.weather.chitty.cc", "eu.weather"),
            ("a-1.b.chittyweather.chitty.cc", "a-1.b.chittyweather"),
        ] {
            assert_eq!(own_name("weather", host), Some(name), "{host}");
        }
        let long = format!("{}.weather.chitty.cc", "x".repeat(64));
        for host in [
            "chitty.cc",
            "weatherchitty.cc",
            "weather.chitty.cc.example",
            "other.chitty.cc",
            "weather.other.chitty.cc",
            "chitty.chitty.cc",
            ".weather.chitty.cc",
            "a..weather.chitty.cc",
            "-a.weather.chitty.cc",
            "a-.weather.chitty.cc",
            "A.weather.chitty.cc",
            "a_b.weather.chitty.cc",
            &long,
        ] {
            assert_eq!(own_name("weather", host), None, "{host}");
        }
        // A gateway has none, and neither has what is no label.
        assert_eq!(own_name("mcp", "mcp.chitty.cc"), None);
        for service in ["", "-a", "a-", "a.b", "A"] {
            assert_eq!(own_name(service, &format!("{service}.chitty.cc")), None, "{service}");
        }
    }

    #[test]
    fn a_chittyos_service_is_reached_at_its_own_host_only() {
        assert!(Endpoint::for_service("cases", "https://cases.chitty.cc/api", None).is_ok());
        for text in [
            "https://id.chitty.cc",
            "https://chitty.cc",
            "https://cases.chitty.cc.evil.example",
            "https://evil.example",
            "https://x.cases.chitty.cc",
        ] {
            assert!(Endpoint::for_service("cases", text, None).is_err(), "{text}");
        }
        for text in ["https://id.chitty.cc", "https://connect.chitty.cc", "https://chitty.cc"] {
            assert!(Endpoint::for_service("github", text, None).is_err(), "{text}");
        }
        assert!(Endpoint::for_service("github", "https://notchitty.cc", None).is_ok());
        assert!(Endpoint::for_service("github", "https://mcp.ch1tty.com/x", None).is_err());
        for service in ["connect", "api", "mcp"] {
            assert!(is_gateway(service) && !is_chittyos(service), "{service}");
        }
        assert!(!is_gateway("gateway") && is_chittyos("gateway"));
        assert!(Endpoint::for_credential("https://login.partner.example/token").is_ok());
        for text in ["https://auth.chitty.cc/token", "https://chitty.cc", "https://a.ch1tty.com"] {
            assert!(Endpoint::for_credential(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_service_whose_host_has_another_name_is_reached_at_both() {
        assert_eq!((usual_host("task"), service_at("tasks")), ("tasks", "task"));
        assert_eq!((usual_host("cases"), service_at("cases")), ("cases", "cases"));
        assert_eq!(Endpoint::usual("task").host, "tasks.chitty.cc");
        for text in ["https://tasks.chitty.cc/v1", "https://task.chitty.cc"] {
            assert!(Endpoint::for_service("task", text, None).is_ok(), "{text}");
        }
        assert!(Endpoint::for_service("cases", "https://tasks.chitty.cc", None).is_err());
        assert_eq!(own_name("task", "tasks.chitty.cc"), Some("tasks"));
        assert_eq!(own_name("task", "chittytask.chitty.cc"), Some("chittytask"));
        assert_eq!(own_name("task", "eu.tasks.chitty.cc"), Some("eu.tasks"));
        assert_eq!(own_name("cases", "tasks.chitty.cc"), None);
        for (name, _) in OTHER_HOSTS {
            assert!(is_chittyos(name) && !is_chittyos(usual_host(name)), "{name}");
        }
    }

    #[test]
    fn reserved_names() {
        for host in ["api.partner.example", "example.com", "a.example.org", "x.test"] {
            assert!(is_reserved(host), "{host}");
        }
        for host in ["example.co", "notexample.com", "example.com.evil.net", "chitty.cc"] {
            assert!(!is_reserved(host), "{host}");
        }
    }

    #[test]
    fn paths() {
        for good in [
            "",
            "/",
            "/a/b",
            "/a%2Fb",
            "/...",
            "/a/..b",
            "/x%20y",
            "//evil.example",
            "/@x",
            "/a;v=1/b;w",
            "/;x",
            "/%C3%A9/%E2%82%AC/%F0%9F%9A%80",
            "/100%25",
            "/a..;b",
            "/..a;",
            "/x%3fy=..",
        ] {
            assert!(check_path(good).is_ok(), "{good}");
        }
        for bad in [
            "/..",
            "/../x",
            "/a/..",
            "/./a",
            "/%2e%2e/x",
            "/.%2E/x",
            "/%252e%252e/x",
            "/a%2f..%2fb",
            "/..%5cx",
            "/a\\b",
            "/%5c",
            "/a?b",
            "/a#b",
            "/a b",
            "/%00",
            "/%0d%0aX: y",
            "/é",
            "/..;/x",
            "/.;/x",
            "/..;a=b/x",
            "/%2e%2e;/x",
            "/x/..;/..;/y",
            "/..%3b/x",
            "/..%253bx/y",
            "/%252e%252e;x",
            "/a;%2f../x",
            "/%c0%ae%c0%ae/x",
            "/..%c0%af",
            "/%c1%9c..",
            "/%e0%80%ae%e0%80%ae/x",
            "/%f0%80%80%ae./x",
            "/%f8%80%80%80%ae./x",
            "/%25c0%25ae/x",
            "/%c0%2e/x",
            "/%E0;x",
            "/%ed%a0%80",
            "/..%23/x",
            "/..%3fx/y",
            "/..%20/x",
            "/%20../x",
            "/..%09/x",
            "/..%7f/x",
            "/%u002e%u002e/x",
            "/%25u002e./x",
            "/%2",
            "/%",
            "/%%32%65",
            "/%zz",
            "/%ef%bc%8e%ef%bc%8e/x",
            "/a%ef%bc%8f..%ef%bc%8fx",
            "/a%e2%88%95../x",
            "/%e2%80%a5/x",
            "/.%e2%80%8b./x",
            "/..%ef%bc%9bx/y",
        ] {
            assert!(check_path(bad).is_err(), "{bad}");
        }
        let long = |bytes| format!("/{}", "a".repeat(bytes - 1));
        assert!(check_path(&long(MAX_PATH_BYTES)).is_ok());
        assert!(check_path(&long(MAX_PATH_BYTES + 1)).is_err());
    }

    /// Spells a character in a way that some server reads as that character.
    fn spelled(c: char, how: u8, layers: u8) -> String {
        let code = u32::from(c);
        let mut text = match how {
            0 => c.to_string(),
            1 => format!("%{code:02x}"),
            2 => format!("%{code:02X}"),
            3 => format!("%{:02x}%{:02x}", 0xc0 | (code >> 6), 0x80 | (code & 0x3f)),
            4 => format!("%e0%{:02x}%{:02x}", 0x80 | (code >> 6), 0x80 | (code & 0x3f)),
            5 => format!("%f0%80%{:02x}%{:02x}", 0x80 | (code >> 6), 0x80 | (code & 0x3f)),
            6 => format!("%u{code:04x}"),
            _ => {
                let wide = char::from_u32(code + 0xfee0).unwrap().to_string();
                wide.bytes().map(|byte| format!("%{byte:02x}")).collect()
            }
        };
        for _ in 0..layers {
            text = text.replace('%', "%25");
        }
        text
    }

    proptest! {
        /// A path with a segment `.` or `..` is refused, however its dots, the slashes around it and the
        /// part behind it that a server cuts off are spelled.
        #[test]
        fn no_spelling_of_a_step_up_is_accepted(
            front in "(/[a-z]{1,4}){0,2}", back in "(/[a-z]{1,4}){0,2}",
            dots in 1usize..=2, hows in prop::array::uniform4(0u8..8), layers in prop::array::uniform4(0u8..3),
            cut in prop::sample::select(vec!["", ";", ";x=1", "%3b", "%253bx", "%23", "%3fy", "%20", "%00"]),
        ) {
            let dot = |n: usize| spelled('.', hows[n], layers[n]);
            let step: String = (0..dots).map(dot).collect();
            let (before, after) = (spelled('/', hows[2], layers[2]), spelled('/', hows[3], layers[3]));
            let path = format!("{front}{before}{step}{cut}{after}{back}");
            prop_assert!(check_path(&path).is_err(), "{}", path);
        }

        /// An accepted path stays below its beginning on a server that decodes, cuts parameters off and
        /// resolves, in any order and any number of times.
        #[test]
        fn an_accepted_path_stays_below_its_beginning(path in "(/|\\.|;|%2[eEfF]|%3[bB]|%25|%c0%ae|%5c|[ab]|=){0,24}") {
            if check_path(&path).is_ok() {
                let mut text = path.clone();
                for _ in 0..6 {
                    for segment in text.split(['/', '\\']) {
                        let name = segment.split(';').next().unwrap();
                        prop_assert!(name != ".." && name != ".", "{} as {}", path, text);
                    }
                    text = percent_decode_str(&text).decode_utf8_lossy().into_owned();
                }
            }
        }

        /// The rules accept plain paths.
        #[test]
        fn an_ordinary_path_is_accepted(path in "(/[a-zA-Z0-9_~-]{1,8}(\\.[a-z]{1,4})?(;v=[0-9])?){0,6}/?") {
            prop_assert!(check_path(&path).is_ok(), "{}", path);
        }

        #[test]
        fn an_accepted_endpoint_has_one_reading(text in "https://[ -~]{0,40}") {
            if let Ok(endpoint) = Endpoint::parse(&text) {
                let again = endpoint.to_string();
                prop_assert_eq!(Endpoint::parse(&again), Ok(endpoint.clone()));
                prop_assert!(!endpoint.host.contains(['@', ':', '\\', '/', '%', '[']));
                prop_assert!(endpoint.host.parse::<std::net::IpAddr>().is_err());
            }
        }
    }
}
