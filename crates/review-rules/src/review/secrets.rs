//! Finds possible secrets in a line. A finding names the kind of a secret and never repeats the secret.

use super::Rule;
use super::literal::{distinct, is_secret};
use crate::cut;

/// A kind of secret that is recognized by its beginning.
struct Shape {
    rule: Rule,
    beginnings: &'static [&'static str],
    /// Whether a byte may follow the beginning.
    takes: fn(u8) -> bool,
    /// The least and the most bytes that follow the beginning.
    least: usize,
    most: usize,
}

fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn is_upper_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

fn is_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'/'
}

const SHAPES: &[Shape] = &[
    Shape {
        rule: Rule { name: "aws-access-key", what: "looks like an AWS access key id" },
        beginnings: &["AKIA", "ASIA", "ABIA", "ACCA"],
        takes: is_upper_alphanumeric,
        least: 16,
        most: 16,
    },
    Shape {
        rule: Rule { name: "github-token", what: "looks like a GitHub token" },
        beginnings: &["ghp_", "gho_", "ghs_", "ghu_", "ghr_"],
        takes: is_word,
        least: 36,
        most: 255,
    },
    Shape {
        rule: Rule { name: "github-token", what: "looks like a GitHub fine-grained token" },
        beginnings: &["github_pat_"],
        takes: is_word,
        least: 40,
        most: 255,
    },
    Shape {
        rule: Rule { name: "slack-token", what: "looks like a Slack token" },
        beginnings: &["xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxe-", "xapp-"],
        takes: is_base64url,
        least: 20,
        most: 255,
    },
    Shape {
        rule: Rule { name: "slack-webhook", what: "looks like the address of a Slack webhook" },
        beginnings: &["hooks.slack.com/services/T"],
        takes: is_path,
        least: 30,
        most: 100,
    },
    Shape {
        rule: Rule { name: "stripe-key", what: "looks like a live key of Stripe" },
        beginnings: &["sk_live_", "rk_live_"],
        takes: is_alphanumeric,
        least: 16,
        most: 255,
    },
    Shape {
        rule: Rule { name: "google-api-key", what: "looks like a Google API key" },
        beginnings: &["AIza"],
        takes: is_base64url,
        least: 35,
        most: 35,
    },
    Shape {
        rule: Rule { name: "npm-token", what: "looks like an npm token" },
        beginnings: &["npm_"],
        takes: is_alphanumeric,
        least: 36,
        most: 36,
    },
];

const PRIVATE_KEY: Rule = Rule { name: "private-key", what: "looks like a private key" };
const JWT: Rule = Rule { name: "jwt", what: "looks like a signed JSON Web Token" };
const ASSIGNED: Rule = Rule {
    name: "assigned-secret",
    what: "a value that looks real is assigned to a password, secret, token or key",
};
const CONNECTION: Rule =
    Rule { name: "connection-string", what: "a connection string with a password in it" };

/// Returns the rules that a line breaks, each once. `next` is the line below, if the patch shows it. In tests
/// only known shapes and private keys count; `is_unquoted` says that values may have no quotes.
pub(super) fn find(line: &str, next: Option<&str>, in_tests: bool, is_unquoted: bool) -> Vec<Rule> {
    let mut found: Vec<Rule> =
        SHAPES.iter().filter(|shape| shape.is_in(line)).map(|shape| shape.rule).collect();
    found.dedup_by_key(|rule| rule.name);
    if has_private_key(line, next) {
        found.push(PRIVATE_KEY);
    }
    // Tests are full of made-up secrets.
    if !in_tests {
        if has_jwt(line) {
            found.push(JWT);
        }
        if super::connection::has_password(line) {
            found.push(CONNECTION);
        }
        // A value that another rule has found is not reported again.
        if found.is_empty() && has_assignment(line, is_unquoted) {
            found.push(ASSIGNED);
        }
    }
    found
}

impl Shape {
    fn is_in(&self, line: &str) -> bool {
        self.beginnings.iter().any(|beginning| {
            line.match_indices(beginning).any(|(at, _)| {
                let (before, rest) = (line.get(..at), line.get(at + beginning.len()..));
                let is_begun =
                    before.and_then(|text| text.bytes().next_back()).is_some_and(is_word);
                let rest = rest.unwrap_or_default();
                // One byte more than `most` shows that the text is too long.
                let body = run(cut(rest, self.most + 1), self.takes);
                !is_begun && (self.least..=self.most).contains(&body.len()) && !is_made_up(body)
            })
        })
    }
}

/// Returns the bytes at the beginning of a text that `takes` accepts.
fn run(text: &str, takes: impl Fn(u8) -> bool) -> &str {
    let length = text.bytes().position(|byte| !takes(byte)).unwrap_or(text.len());
    text.get(..length).unwrap_or_default()
}

/// Whether a text in the shape of a secret is plainly none, as in documentation.
fn is_made_up(body: &str) -> bool {
    let lower = body.to_ascii_lowercase();
    lower.contains("example")
        || lower.contains("xxxx")
        || lower.contains("your")
        || distinct(body.as_bytes()) < 7
}

/// Whether there is a PEM header with a private key after it. Code that looks for the header has no key.
fn has_private_key(line: &str, next: Option<&str>) -> bool {
    let Some((_, rest)) = line.split_once("-----BEGIN ") else { return false };
    let Some((label, rest)) = rest.split_once("-----") else { return false };
    let is_label = label.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b' ');
    if !is_label || !(label.ends_with("PRIVATE KEY") || label.ends_with("PRIVATE KEY BLOCK")) {
        return false;
    }
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    let is_key = |text: &str, least: usize| {
        text.split(|c: char| !u8::try_from(c).is_ok_and(is_base64))
            .any(|part| part.len() >= least && distinct(part.as_bytes()) > 6)
    };
    if rest.trim().is_empty() {
        // The next line is the key, or says how it is encrypted.
        return next.is_none_or(|next| {
            is_key(next, 32) || next.contains("Proc-Type:") || next.contains("Version:")
        });
    }
    // The key follows in the same line, or in a literal that continues in the next line.
    let escaped = rest.trim_start_matches("\\r").strip_prefix("\\n").or(rest.strip_prefix(' '));
    escaped.is_some_and(|rest| is_key(rest, 24) || next.is_some_and(|next| is_key(next, 40)))
}

/// Whether a line has a JSON Web Token: three parts, of which the first two are JSON objects. The sample
/// token that everybody copies does not count.
fn has_jwt(line: &str) -> bool {
    let is_part = |byte: u8| is_base64url(byte) || byte == b'.';
    line.match_indices("eyJ").any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.bytes().next_back());
        if before.is_some_and(is_part) {
            return false;
        }
        let mut parts = run(line.get(at..).unwrap_or_default(), is_part).split('.');
        let (Some(header), Some(claims), Some(signature)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return false;
        };
        header.len() >= 12
            && claims.len() >= 10
            && claims.starts_with("eyJ")
            && !claims.starts_with("eyJzdWIiOiIxMjM0NTY3ODkw")
            && signature.len() >= 16
            && !is_made_up(signature)
    })
}

/// The endings of names that hold a secret, in lower case and without separators.
const NAMES: &[&str] = &[
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "secretkey",
    "accesskey",
    "privatekey",
    "authkey",
    "encryptionkey",
    "signingkey",
    "secretkeybase",
];

/// Parts of names that hold no secret whatever their ending, such as `publicKeyToken`, `nextPageToken`.
const NO_NAMES: &[&str] = &["public", "page", "continuation", "cancellation"];

/// Whether a line assigns a literal that looks real to such a name.
fn has_assignment(line: &str, is_unquoted: bool) -> bool {
    line.match_indices([':', '=']).any(|(at, sign)| {
        let before = line.get(..at).unwrap_or_default();
        let after = cut(line.get(at + 1..).unwrap_or_default(), 300);
        names_a_secret(before, sign == "=") && literal(after, is_unquoted).is_some_and(is_secret)
    })
}

/// Whether the name just before an assignment is that of a secret. A quote or a type may stand between them,
/// as in `"password":`, `TOKEN: &str =`, `token :=` and `secret ==`.
fn names_a_secret(before: &str, may_be_typed: bool) -> bool {
    // Only the last 48 bytes are read: no name is longer, and this runs for each `=` of a line.
    let from = before.len().saturating_sub(48);
    let before = before.get(before.ceil_char_boundary(from)..).unwrap_or_default();
    let before = before.trim_end_matches([' ', '\t', ':', '=', '!', '"', '\'', '`', ']', '?']);
    // This quick check rules out nearly all assignments.
    if !before.ends_with(|c: char| c.is_ascii_alphanumeric()) {
        return false;
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let end_is_secret = |text: &str| {
        let name = text.rsplit(|c: char| !is_name(c)).next().unwrap_or_default();
        let letters = name.bytes().filter(u8::is_ascii_alphanumeric);
        let plain: String = letters.map(|byte| char::from(byte.to_ascii_lowercase())).collect();
        NAMES.iter().any(|ending| plain.ends_with(ending))
            && !NO_NAMES.iter().any(|part| plain.contains(part))
    };
    let is_type = |text: &str| !text.contains([',', ';', '{', '(', '"']);
    let untyped = before.rsplit_once(':').filter(|(_, kind)| may_be_typed && is_type(kind));
    end_is_secret(before) || untyped.is_some_and(|(name, _)| end_is_secret(name.trim_end()))
}

/// Returns the literal at the beginning of a text: in quotes or, if `is_unquoted`, also without them.
fn literal(after: &str, is_unquoted: bool) -> Option<&str> {
    let text = after.trim_start_matches(['=', '>', ' ', '\t']);
    // The prefixes of raw, byte and formatted literals.
    let marked = text.trim_start_matches(['@', 'r', 'b', 'f', '#']);
    if let Some(quote) = marked.chars().next().filter(|c| "\"'`".contains(*c)) {
        return marked.get(1..)?.split_once(quote).map(|(value, _)| value);
    }
    let value = text.split([' ', '\t', ',', ';']).next().unwrap_or_default();
    // A call or an index is code.
    (is_unquoted && !value.contains(['(', '[', '"', '\''])).then_some(value)
}

#[cfg(test)]
#[path = "secrets_tests.rs"]
mod tests;
