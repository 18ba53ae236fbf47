//! The path and query of a URL. Any text that becomes a part of them is percent-encoded, so it cannot lead to
//! another path.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};

/// The characters that are encoded in a path segment: all but the unreserved ones (RFC 3986 §2.3). The
/// dot is encoded too, so that no text becomes the segment `..`.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~');

/// Returns the path and query of an absolute URL.
pub(super) fn target(url: &str) -> &str {
    let after_scheme = url.find("://").map_or(0, |at| at + 3);
    let path = url.get(after_scheme..).and_then(|rest| rest.find('/')).map(|at| after_scheme + at);
    path.and_then(|at| url.get(at..)).unwrap_or("/")
}

/// Percent-encodes any text as a path segment.
pub(crate) fn segment(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, SEGMENT).to_string()
}

/// Returns the query string of the pairs that have a value, with its question mark; empty if none has.
pub(crate) fn query(pairs: &[(&str, Option<&str>)]) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        if let Some(value) = value {
            text.push(if text.is_empty() { '?' } else { '&' });
            text += &format!("{name}={}", segment(value));
        }
    }
    text
}
