//! Connection strings with a password: `scheme://user:password@host`, and `Server=…;Password=…;`.

use super::literal::is_password;
use crate::cut;

/// Whether a line has a connection string with a password that looks real: a URL to a remote host, or pairs
/// with any host.
pub(super) fn has_password(line: &str) -> bool {
    has_url(line) || has_pairs(line)
}

fn has_url(line: &str) -> bool {
    line.match_indices("://").any(|(at, _)| {
        let before = line.get(..at).unwrap_or_default();
        let has_scheme = before.bytes().next_back().is_some_and(|b| b.is_ascii_alphanumeric());
        let rest = line.get(at + 3..).unwrap_or_default();
        // The authority of the URL ends at the first character that it cannot contain. Only 512 bytes of it
        // are read, so that a line with many `://` takes time in proportion to their number.
        let rest = cut(rest, 512);
        let is_end = |c: char| c.is_whitespace() || "/\"'`<>\\,()|".contains(c);
        let authority = rest.split(is_end).next().unwrap_or_default();
        let Some((login, host)) = authority.rsplit_once('@') else { return false };
        let Some((user, password)) = login.split_once(':') else { return false };
        has_scheme && password != user && is_password(password) && is_elsewhere(host)
    })
}

/// Whether a host is remote: neither this machine, nor a bare name in its network, nor a variable, nor a name
/// for documentation (RFC 2606).
fn is_elsewhere(host: &str) -> bool {
    let name = host.split([':', '?', '#', ';']).next().unwrap_or_default().to_ascii_lowercase();
    let reserved = [".local", ".localhost", ".test", ".example", ".invalid", ".internal"];
    name.contains('.')
        && !name.contains('$')
        && !name.contains('{')
        && !name.starts_with("127.")
        && name != "0.0.0.0"
        && !["example.com", "example.org", "example.net"].iter().any(|end| name.ends_with(end))
        && !reserved.iter().any(|end| name.ends_with(end))
}

/// Whether a line has `Server=…;Password=…;`, the form of Microsoft's databases.
fn has_pairs(line: &str) -> bool {
    if !line.contains(';') {
        return false;
    }
    let lower = line.to_ascii_lowercase();
    let has_host = ["server=", "data source=", "host="].iter().any(|name| lower.contains(name));
    has_host
        && ["password=", "pwd="].iter().any(|name| {
            lower.match_indices(name).any(|(at, _)| {
                let value = cut(line.get(at + name.len()..).unwrap_or_default(), 256);
                is_password(value.split([';', '"', '\'', '`']).next().unwrap_or_default())
            })
        })
}
