//! Which headers go to a target, which come back, and in which a credential may stand.
//!
//! To a ChittyOS service, which may be reached past its public door, only headers go that say what is
//! asked for. Other targets also get headers of their own APIs, but none by which a hop, a proxy that
//! rewrites, or a server that overrides methods is steered, and none that is a credential beside the
//! stored one: that is judged by the words of a name, because such names are invented anew. From a target
//! only headers come back that describe its answer.

/// What belongs to the connection between two hops (RFC 9110 §7.6.1, and those before it). Stays in
/// both directions.
const HOP: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// What this gateway and its runtime say themselves, and what they answer for a caller.
const OWN: [&str; 16] = [
    "host",
    "content-length",
    "accept-encoding",
    "expect",
    "user-agent",
    "origin",
    "referer",
    "date",
    "early-data",
    "from",
    "max-forwards",
    "alt-used",
    "x-request-id",
    "x-session-id",
    "traceparent",
    "tracestate",
];

/// What a ChittyOS service gets of a caller, beside all that begins with `accept`.
const TO_CHITTYOS: [&str; 9] = [
    "content-type",
    // How the body is compressed: it goes along as it came.
    "content-encoding",
    "range",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "if-range",
];

/// Parts of a name by which hops, proxies, servers and frameworks learn from each other where a request
/// goes, whose it is and what is to be done with it.
const STEERING_PARTS: [&str; 22] = [
    "forward",
    "original",
    "rewrite",
    "override",
    "method",
    "redirect",
    "sendfile",
    "reproxy",
    "realip",
    "clientip",
    "userip",
    "remote",
    "chitty",
    "principal",
    "impersonat",
    "middleware",
    "subrequest",
    "appengine",
    "envoy",
    "akamai",
    "fastly",
    "cookie",
];

/// Words of such a name.
const STEERING_WORDS: [&str; 46] = [
    "ip",
    "ips",
    "addr",
    "address",
    "url",
    "uri",
    "path",
    "pathinfo",
    "query",
    "host",
    "hostname",
    "server",
    "scheme",
    "proto",
    "protocol",
    "port",
    "http",
    "https",
    "ssl",
    "tls",
    "cert",
    "certificate",
    "proxy",
    "via",
    "hop",
    "cdn",
    "cf",
    "real",
    "accel",
    "arr",
    "invoke",
    "internal",
    "worker",
    "source",
    "caller",
    "consumer",
    "user",
    "username",
    "userid",
    "uid",
    "sudo",
    "as",
    "behalf",
    "sec",
    "rack",
    "wsgi",
];

/// Parts of a name that says of itself that it is a credential.
const SECRET_PARTS: [&str; 13] = [
    "token",
    "secret",
    "passw",
    "passphrase",
    "credential",
    "apikey",
    "jwt",
    "bearer",
    "session",
    "csrf",
    "xsrf",
    "signature",
    "assertion",
];

/// Words of such a name.
const SECRET_WORDS: [&str; 17] = [
    "key", "keys", "pass", "pat", "pin", "otp", "totp", "mfa", "2fa", "sid", "sig", "hmac", "dpop",
    "sso", "saml", "ticket", "login",
];

/// The words that the name of a credential's header has: one of them at least.
pub(crate) const CREDENTIAL_WORDS: [&str; 12] = [
    "authorization",
    "auth",
    "key",
    "apikey",
    "accesskey",
    "token",
    "authtoken",
    "secret",
    "password",
    "credential",
    "jwt",
    "pat",
];

/// Words that a key may have beside it and be no credential.
const NO_CREDENTIAL_WORDS: [&str; 10] = [
    "idempotency",
    "cache",
    "surrogate",
    "csrf",
    "xsrf",
    "session",
    "websocket",
    "pins",
    "routing",
    "partition",
];

/// What comes back of a target's answer. `content-type`, `location` and the status come too, by another
/// way; how long it may be kept is the gateway's to say.
const RETURNED: [&str; 14] = [
    "accept-ranges",
    "age",
    "allow",
    "content-disposition",
    "content-language",
    "content-range",
    "deprecation",
    "etag",
    "expires",
    "last-modified",
    "link",
    "retry-after",
    "sunset",
    "vary",
];

/// Beginnings of `x-` headers of answers that act in a browser or a proxy, or that are this gateway's.
const NOT_RETURNED_X: [&str; 21] = [
    "x-accel-",
    "x-cache",
    "x-cdn",
    "x-chitty",
    "x-content-",
    "x-dns-prefetch",
    "x-download-options",
    "x-frame",
    "x-idempoten",
    "x-lighttpd",
    "x-litespeed",
    "x-permitted",
    "x-powered-by",
    "x-rate",
    "x-request-id",
    "x-robots",
    "x-source",
    "x-ua-",
    "x-varnish",
    "x-webkit",
    "x-xss",
];

/// Relations of a link by which a browser begins to load something (HTML standard §4.6.7).
const LOADING_RELATIONS: [&str; 13] = [
    "preload",
    "prefetch",
    "preconnect",
    "prerender",
    "dns-prefetch",
    "stylesheet",
    "icon",
    "manifest",
    "expect",
    "compression-dictionary",
    "pingback",
    "service-worker",
    "serviceworker",
];

/// The name without what stands between its words.
fn compact(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_alphanumeric()).collect()
}

fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(['-', '_', '.']).filter(|word| !word.is_empty())
}

/// Whether something between the caller and the target's own program may listen to a header: it is of
/// one hop, the gateway's own, or of a name by which requests are steered.
fn steers(name: &str) -> bool {
    let compact = compact(name);
    HOP.contains(&name)
        || OWN.contains(&name)
        || name.starts_with("upgrade-")
        || name.starts_with("proxy")
        || STEERING_PARTS.iter().any(|part| compact.contains(part))
        || words(name).any(|word| STEERING_WORDS.contains(&word))
}

/// Whether a header is a credential by its name. `idempotency-key` is none.
fn is_secret(name: &str) -> bool {
    const KEYS_THAT_OPEN_NOTHING: [&str; 2] = ["idempotency-key", "x-idempotency-key"];
    if KEYS_THAT_OPEN_NOTHING.contains(&name) {
        return false;
    }
    let compact = compact(name);
    // Of a person who wrote something, not of one who proves something.
    let proves = |word: &str| word.starts_with("auth") && word != "author" && word != "authors";
    SECRET_PARTS.iter().any(|part| compact.contains(part))
        || words(name).any(|word| proves(word) || SECRET_WORDS.contains(&word))
}

/// Whether a credential may stand in the header of this name (in lower case): it says of itself that it
/// is a credential, and steers nothing.
pub fn may_carry_credential(name: &str) -> bool {
    let sound = name
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
    let describes = ["accept", "access-control-", "content-", "if-", "www-", "set-"];
    sound
        && (1..=64).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && words(name).any(|word| CREDENTIAL_WORDS.contains(&word))
        && !words(name).any(|word| NO_CREDENTIAL_WORDS.contains(&word))
        && !describes.iter().any(|front| name.starts_with(front))
        // A key of a ChittyOS gateway is one; nothing else of such a name is.
        && (name == "x-chittyos-api-key" || !steers(name))
}

/// The headers of a caller's that go along. `own` is the header that the stored credential stands in.
pub fn forwarded(
    headers: Vec<(String, String)>,
    own: Option<&str>,
    to_chittyos: bool,
) -> Vec<(String, String)> {
    let named: Vec<String> = headers
        .iter()
        .filter(|(name, _)| name == "connection")
        .flat_map(|(_, value)| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let goes = |name: &str| {
        if to_chittyos {
            return name != "accept-encoding"
                && (name == "accept"
                    || name.starts_with("accept-")
                    || TO_CHITTYOS.contains(&name));
        }
        // No header has one, but a name with one is the same as one with a hyphen to many servers.
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        plain && !steers(name) && !is_secret(name)
    };
    headers
        .into_iter()
        .filter(|(name, _)| goes(name) && !named.contains(name) && own != Some(name.as_str()))
        .collect()
}

/// Whether a header of a target's answer comes back.
pub fn returns(name: &str, value: &str) -> bool {
    if !value.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return false;
    }
    if name == "link" {
        let value = value.to_ascii_lowercase();
        return !LOADING_RELATIONS.iter().any(|relation| value.contains(relation));
    }
    if name.starts_with("x-") {
        return !NOT_RETURNED_X.iter().any(|front| name.starts_with(front))
            && !steers(name)
            && !is_secret(name);
    }
    RETURNED.contains(&name)
}

/// Whether the query of a reading request asks for another method.
pub fn overrides_method(query: &str) -> bool {
    const WRITING: [&str; 5] = ["post", "put", "patch", "delete", "merge"];
    form_urlencoded::parse(query.as_bytes()).any(|(name, value)| {
        compact(&name.to_ascii_lowercase()).contains("method")
            && WRITING.contains(&value.trim().to_ascii_lowercase().as_str())
    })
}

#[cfg(test)]
mod tests;
