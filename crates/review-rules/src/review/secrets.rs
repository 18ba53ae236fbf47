//! Possible secrets in a line. What is found is named by its kind; it is never repeated.

use super::Rule;
use super::literal::{distinct, is_secret};
use crate::cut;

/// Secrets that are known by how they begin.
struct Shape {
    rule: Rule,
    beginnings: &'static [&'static str],
    /// Whether a byte may follow.
    takes: fn(u8) -> bool,
    /// How many bytes follow, at least and at most.
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
    what: "a password, secret, token or key is given a value that looks real",
};
const CONNECTION: Rule =
    Rule { name: "connection-string", what: "a connection string with a password in it" };

/// The rules that a line breaks, each once. `next` is the added line below. In tests, and where
/// values have no quotes, other things are expected.
pub(super) fn find(line: &str, next: Option<&str>, in_tests: bool, is_unquoted: bool) -> Vec<Rule> {
    let mut found: Vec<Rule> =
        SHAPES.iter().filter(|shape| shape.is_in(line)).map(|shape| shape.rule).collect();
    found.dedup_by_key(|rule| rule.name);
    if has_private_key(line, next) {
        found.push(PRIVATE_KEY);
    }
    // Made up ones are what tests are made of.
    if !in_tests {
        if has_jwt(line) {
            found.push(JWT);
        }
        if super::connection::has_password(line) {
            found.push(CONNECTION);
        }
        // A value that is named by what it is need not be named again.
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
                // No further than what is too long.
                let body = run(cut(rest, self.most + 1), self.takes);
                !is_begun && (self.least..=self.most).contains(&body.len()) && !is_made_up(body)
            })
        })
    }
}

/// The bytes at the beginning that `takes` holds for.
fn run(text: &str, takes: impl Fn(u8) -> bool) -> &str {
    let length = text.bytes().position(|byte| !takes(byte)).unwrap_or(text.len());
    text.get(..length).unwrap_or_default()
}

/// Whether a secret of a known kind is plainly none, as in documentation.
fn is_made_up(body: &str) -> bool {
    let lower = body.to_ascii_lowercase();
    lower.contains("example")
        || lower.contains("xxxx")
        || lower.contains("your")
        || distinct(body.as_bytes()) < 7
}

/// A PEM header with a key after it: code that looks for the header has none.
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
    // In one line, or in a literal that goes on with the next.
    let escaped = rest.trim_start_matches("\\r").strip_prefix("\\n").or(rest.strip_prefix(' '));
    escaped.is_some_and(|rest| is_key(rest, 24) || next.is_some_and(|next| is_key(next, 40)))
}

/// Three parts, of which two are JSON objects. The one that everybody copies is none.
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

/// How a name ends that is given a secret, in small letters and without separators.
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

/// What a name may have in it and then names no secret, such as `publicKeyToken`, `nextPageToken`.
const NO_NAMES: &[&str] = &["public", "page", "continuation", "cancellation"];

/// Whether something with such a name is given a literal that looks real.
fn has_assignment(line: &str, is_unquoted: bool) -> bool {
    line.match_indices([':', '=']).any(|(at, sign)| {
        let before = line.get(..at).unwrap_or_default();
        let after = cut(line.get(at + 1..).unwrap_or_default(), 300);
        names_a_secret(before, sign == "=") && literal(after, is_unquoted).is_some_and(is_secret)
    })
}

/// Whether the name just before an assignment is one of a secret. Between them may be a quote or a
/// type, as in `"password":`, `TOKEN: &str =`, `token :=` and `secret ==`.
fn names_a_secret(before: &str, may_be_typed: bool) -> bool {
    // No name is that long: each `=` of a line costs as much.
    let from = before.len().saturating_sub(48);
    let before = before.get(before.ceil_char_boundary(from)..).unwrap_or_default();
    let before = before.trim_end_matches([' ', '\t', ':', '=', '!', '"', '\'', '`', ']', '?']);
    // Nearly every assignment is known by this to be of something else.
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

/// The literal at the beginning: with quotes, or in files of settings without.
fn literal(after: &str, is_unquoted: bool) -> Option<&str> {
    let text = after.trim_start_matches(['=', '>', ' ', '\t']);
    // The marks of raw, byte and formatted literals.
    let marked = text.trim_start_matches(['@', 'r', 'b', 'f', '#']);
    if let Some(quote) = marked.chars().next().filter(|c| "\"'`".contains(*c)) {
        return marked.get(1..)?.split_once(quote).map(|(value, _)| value);
    }
    let value = text.split([' ', '\t', ',', ';']).next().unwrap_or_default();
    // A call or a place in a table is code.
    (is_unquoted && !value.contains(['(', '[', '"', '\''])).then_some(value)
}

#[cfg(test)]
#[path = "secrets_tests.rs"]
mod tests;
