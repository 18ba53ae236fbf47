//! Where a connection may lead, and which paths there.
//!
//! A caller names a URL and the gateway calls it with a credential, so this decides what the gateway can
//! be made to reach. It accepts a small part of what URLs can be: the part in which nothing means
//! two things to two parsers, so that what was judged here is what the runtime calls. No IP
//! address in any spelling (the last label of a name is letters), no port, no user, no name that
//! belongs to a machine or a private network. What a public name resolves to is the platform's
//! affair: from its edge no private network is reachable.

use std::fmt;

use percent_encoding::percent_decode_str;

/// Where ChittyOS services are.
const CHITTYOS_DOMAIN: &str = "chitty.cc";

/// The services of ChittyOS, by their hosts below [`CHITTYOS_DOMAIN`] (the ecosystem's catalogue, but
/// for this gateway itself).
const CHITTYOS: [&str; 47] = [
    "api",
    "assets",
    "auth",
    "beacon",
    "brand",
    "canon",
    "cases",
    "certify",
    "chain",
    "charter",
    "chat",
    "chronicle",
    "concierge",
    "contextual",
    "credit",
    "dispute",
    "dna",
    "entry",
    "evidence",
    "explorer",
    "finance",
    "flow",
    "force",
    "forge",
    "gateway",
    "id",
    "insight",
    "intel",
    "ledger",
    "mint",
    "monitor",
    "oracle",
    "pay",
    "proof",
    "register",
    "registry",
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
    "verify",
];

/// Top-level names that are no public ones (RFC 6761, RFC 6762, RFC 7686, RFC 8375, and what private
/// networks use).
const PRIVATE_SUFFIXES: [&str; 12] = [
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

/// Public names that resolve to whatever address stands in front of them, or to the caller's own
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

/// A place that a connection may lead to: a host and the path at which it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// A DNS name in lower case.
    pub host: String,
    /// Empty, or a path with a slash before and none after it.
    pub path: String,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}{}", self.host, self.path)
    }
}

/// Whether this is the name of a ChittyOS service, as [`crate::delegation::service_name`] writes it.
pub fn is_chittyos(service: &str) -> bool {
    CHITTYOS.contains(&service)
}

impl Endpoint {
    /// The host of a ChittyOS service.
    pub fn of_chittyos(service: &str) -> Self {
        Endpoint { host: format!("{service}.{CHITTYOS_DOMAIN}"), path: String::new() }
    }

    /// Reads where a connection to `service` is to lead.
    ///
    /// # Errors
    /// What is wrong, in words for the caller.
    pub fn for_service(service: &str, text: &str) -> Result<Self, String> {
        let endpoint = Endpoint::parse(text).map_err(str::to_owned)?;
        let own = Endpoint::of_chittyos(service).host;
        if is_chittyos(service) {
            if endpoint.host != own {
                return Err(format!("must be under https://{own}, the host of that service"));
            }
        } else if is_below(&endpoint.host, CHITTYOS_DOMAIN) {
            return Err(format!("is a ChittyOS host: name its service, not {service}"));
        }
        Ok(endpoint)
    }

    /// Reads an https URL that names a public host and begins somewhere on it.
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

/// Whether a host is a DNS name that can be public: labels of letters, digits and inner hyphens, at
/// least two, the last of them letters or punycode, and none of the names that are private.
fn is_public_name(host: &str) -> bool {
    let labels: Vec<&str> = host.split('.').collect();
    let sound = |label: &&str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let Some(last) = labels.last() else { return false };
    let top = last.len() >= 2
        && (last.bytes().all(|b| b.is_ascii_lowercase()) || last.starts_with("xn--"));
    host.len() <= 253
        && labels.len() >= 2
        && labels.iter().all(sound)
        && top
        && !PRIVATE_SUFFIXES.contains(last)
        && !MIRRORS.iter().any(|mirror| is_below(host, mirror))
}

/// Whether a host is of a name that nobody can own (RFC 2606, RFC 6761): in development the sandbox
/// plays them.
pub fn is_reserved(host: &str) -> bool {
    ["example", "test", "example.com", "example.net", "example.org"]
        .iter()
        .any(|domain| is_below(host, domain) && host != *domain)
        || ["example.com", "example.net", "example.org"].contains(&host)
}

/// Judges a path as it is to be sent, percent-encoded: visible characters of a path (RFC 3986 §3.3), and
/// no segment that leads upwards or stays, however often it is decoded.
///
/// # Errors
/// What is wrong, in words for the caller.
pub fn check_path(path: &str) -> Result<(), &'static str> {
    const UPWARDS: &str = "must not have the segments . or .., in any spelling";
    if path.len() > MAX_PATH_BYTES {
        return Err("must have at most 4096 characters");
    }
    let of_a_path = |b: u8| b.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(&b);
    if !path.bytes().all(of_a_path) {
        return Err("must be made of the characters of a path; others are percent-encoded");
    }
    let mut text = path.to_owned();
    for _ in 0..4 {
        if text.split(['/', '\\']).any(|segment| segment == "." || segment == "..") {
            return Err(UPWARDS);
        }
        if text.contains(['\\', '\0', '\r', '\n']) {
            return Err("must not have a backslash or a control character, in any spelling");
        }
        let decoded = percent_decode_str(&text).decode_utf8_lossy().into_owned();
        if decoded == text {
            return Ok(());
        }
        text = decoded;
    }
    Err("must not be percent-encoded that often")
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
    fn a_chittyos_service_is_reached_at_its_own_host_only() {
        assert!(Endpoint::for_service("cases", "https://cases.chitty.cc/api").is_ok());
        for text in [
            "https://id.chitty.cc",
            "https://chitty.cc",
            "https://cases.chitty.cc.evil.example",
            "https://evil.example",
            "https://x.cases.chitty.cc",
        ] {
            assert!(Endpoint::for_service("cases", text).is_err(), "{text}");
        }
        for text in ["https://id.chitty.cc", "https://connect.chitty.cc", "https://chitty.cc"] {
            assert!(Endpoint::for_service("github", text).is_err(), "{text}");
        }
        assert!(Endpoint::for_service("github", "https://notchitty.cc").is_ok());
        assert!(!is_chittyos("connect"));
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
        for good in ["", "/", "/a/b", "/a%2Fb", "/...", "/a/..b", "/x%20y", "//evil.example", "/@x"]
        {
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
        ] {
            assert!(check_path(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_has_one_reading(text in "https://[ -~]{0,40}") {
            if let Ok(endpoint) = Endpoint::parse(&text) {
                let again = endpoint.to_string();
                prop_assert_eq!(Endpoint::parse(&again), Ok(endpoint.clone()));
                prop_assert!(!endpoint.host.contains(['@', ':', '\\', '/', '%', '[']));
                prop_assert!(endpoint.host.parse::<std::net::IpAddr>().is_err());
            }
        }
    }
}
