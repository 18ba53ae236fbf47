//! The rules for headers: which go to a target, which come back, and which may carry a credential.
//!
//! The gateway may reach a ChittyOS service behind its public entrance, so such a service gets only headers
//! that say what is asked for. Other targets also get the headers of their own APIs, but none that steers a
//! hop, a rewriting proxy or a server that overrides methods, and none that is a second credential beside the
//! stored one. The words of a name decide that, because new names of the kind are always invented. Only
//! headers that describe the answer come back from a target.

/// The headers of the connection between two hops (RFC 9110 §7.6.1 and its predecessors). They pass in
/// neither direction.
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

/// The headers that this gateway and its runtime set themselves, or that they act on for a caller.
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

/// The caller's headers that go to a ChittyOS service, beside `accept` and all `accept-…` except
/// `accept-encoding`.
const TO_CHITTYOS: [&str; 9] = [
    "content-type",
    // The body goes to the target compressed as it came.
    "content-encoding",
    "range",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "if-range",
];

/// Parts of the names of steering headers, by which hops, proxies, servers and frameworks tell each other
/// where a request goes, who sends it and what to do with it.
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

/// Whole words in the names of steering headers.
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

/// Parts of the names of headers that carry credentials.
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

/// Whole words in the names of headers that carry credentials.
const SECRET_WORDS: [&str; 17] = [
    "key", "keys", "pass", "pat", "pin", "otp", "totp", "mfa", "2fa", "sid", "sig", "hmac", "dpop",
    "sso", "saml", "ticket", "login",
];

/// The words of which the header of a stored credential must have at least one in its name.
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

/// Words beside which a word such as `key` does not mean a credential.
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

/// The headers of a target's answer that come back. `content-type`, `location` and the status come back by
/// another way. The gateway itself sets `cache-control`.
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

/// Beginnings of the `x-` headers that do not come back, because they act in a browser or a proxy, or are
/// this gateway's own.
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

/// The relations of a link that make a browser load something (HTML standard §4.6.7).
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

/// Returns the letters and digits of a name, without the separators of its words.
fn compact(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_alphanumeric()).collect()
}

fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(['-', '_', '.']).filter(|word| !word.is_empty())
}

/// Whether something between the caller and the target's own program may act on a header: it belongs to one
/// hop, is the gateway's own, or has the name of a steering header.
fn steers(name: &str) -> bool {
    let compact = compact(name);
    HOP.contains(&name)
        || OWN.contains(&name)
        || name.starts_with("upgrade-")
        || name.starts_with("proxy")
        || STEERING_PARTS.iter().any(|part| compact.contains(part))
        || words(name).any(|word| STEERING_WORDS.contains(&word))
}

/// Whether a header carries a credential, by its name. `idempotency-key` does not.
fn is_secret(name: &str) -> bool {
    const KEYS_THAT_OPEN_NOTHING: [&str; 2] = ["idempotency-key", "x-idempotency-key"];
    if KEYS_THAT_OPEN_NOTHING.contains(&name) {
        return false;
    }
    let compact = compact(name);
    // `author` names a writer and has nothing to do with authentication.
    let proves = |word: &str| word.starts_with("auth") && word != "author" && word != "authors";
    SECRET_PARTS.iter().any(|part| compact.contains(part))
        || words(name).any(|word| proves(word) || SECRET_WORDS.contains(&word))
}

/// Whether the header of this name (in lower case) may carry a stored credential: the name has a word for a
/// credential, and steers nothing.
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
        // `x-chittyos-api-key` carries a key; all other names with `chitty` steer.
        && (name == "x-chittyos-api-key" || !steers(name))
}

/// Returns the caller's headers that go to the target. `own` is the header that carries the stored
/// credential.
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
        // Other characters, such as `_`, are unusual, but many servers read them like a hyphen.
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        plain && !steers(name) && !is_secret(name)
    };
    headers
        .into_iter()
        .filter(|(name, _)| goes(name) && !named.contains(name) && own != Some(name.as_str()))
        .collect()
}

/// Whether a header of a target's answer comes back to the caller.
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

/// Whether the query of a `GET` or `HEAD` request asks the target for a writing method.
pub fn overrides_method(query: &str) -> bool {
    const WRITING: [&str; 5] = ["post", "put", "patch", "delete", "merge"];
    form_urlencoded::parse(query.as_bytes()).any(|(name, value)| {
        compact(&name.to_ascii_lowercase()).contains("method")
            && WRITING.contains(&value.trim().to_ascii_lowercase().as_str())
    })
}

#[cfg(test)]
mod tests;
