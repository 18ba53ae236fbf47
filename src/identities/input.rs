//! What a caller may send.

use chitty_core::EntityLabel;
use http_kit::fields::{Fields, Member};
use http_kit::problem::Problem;
use serde_json::Value;

/// The most bytes of what is said of an identity.
const MAX_METADATA_BYTES: usize = 4096;

/// The longest text that is looked at as an id, in characters.
pub(crate) const MAX_ID_CHARS: usize = 256;

/// The names under which callers send the kind.
const KINDS: [&str; 4] = ["entity", "type", "entityType", "entity_type"];

/// The names under which callers send an id.
const IDS: [&str; 4] = ["chittyId", "chitty_id", "chittyid", "id"];

/// What is to be minted.
#[derive(Debug, Clone, PartialEq)]
pub struct MintDraft {
    /// Of which kind.
    pub label: EntityLabel,
    /// What ChittyID is to keep beside it; a JSON object.
    pub metadata: Value,
}

/// Reads the body of a mint.
///
/// # Errors
/// 400 when it is not JSON, 422 with all that is not acceptable.
pub fn wanted(body: &[u8]) -> Result<MintDraft, Problem> {
    let mut fields = Fields::of(body)?;
    let named = one_of(&mut fields, &KINDS, 32);
    let label = named.as_deref().and_then(EntityLabel::parse);
    if let (Some(_), None) = (&named, label) {
        let labels = EntityLabel::ALL.map(EntityLabel::label).join(", ");
        let name = sent(&fields, &KINDS);
        fields.wrong(
            name,
            format!(
                "must be one of {labels}; person, place, property, event, authority, information"
            ),
        );
    }
    let metadata = fields.object("metadata", MAX_METADATA_BYTES).value();
    let metadata: Value = metadata
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_else(|| Value::Object(Default::default()));
    if holds_email(&metadata) {
        fields.wrong("metadata", "must hold no e-mail address: ChittyID keeps it beside the id");
    }
    fields.finish()?;
    // Without one there is an error, with which it has ended.
    Ok(MintDraft { label: label.unwrap_or(EntityLabel::Person), metadata })
}

/// Reads the body of a validation: a text that may be an id.
///
/// # Errors
/// 400 when it is not JSON, 422 when there is none.
pub fn asked(body: &[u8]) -> Result<String, Problem> {
    let mut fields = Fields::of(body)?;
    let id = one_of(&mut fields, &IDS, MAX_ID_CHARS);
    fields.finish()?;
    Ok(id.unwrap_or_default())
}

/// The text of the one of these members that is sent, which must be one.
fn one_of(fields: &mut Fields<'_>, names: &[&'static str], max: usize) -> Option<String> {
    let mut found: Option<String> = None;
    for name in names {
        let Member::Value(text) = fields.text(name, max) else { continue };
        match &found {
            Some(other) if *other != text => {
                fields.wrong(name, "contradicts another spelling of it")
            }
            _ => found = Some(text),
        }
    }
    if found.is_none() && !fields.has_errors() {
        fields.wrong(sent(fields, names), "is required");
    }
    found
}

/// The first of these members that is there, or the first of all.
fn sent(fields: &Fields<'_>, names: &[&'static str]) -> &'static str {
    let first = names.first().copied().unwrap_or_default();
    names.iter().copied().find(|name| fields.has(name)).unwrap_or(first)
}

/// Whether a JSON value has an e-mail address in it, as a name or within a text.
fn holds_email(value: &Value) -> bool {
    match value {
        Value::String(text) => is_with_email(text),
        Value::Array(values) => values.iter().any(holds_email),
        Value::Object(members) => {
            members.iter().any(|(name, value)| is_with_email(name) || holds_email(value))
        }
        _ => false,
    }
}

/// Whether an e-mail address is in a text. `user@host:path` and `user@host/path` are places, not addresses.
fn is_with_email(text: &str) -> bool {
    text.match_indices('@').any(|(at, _)| {
        let (before, after) = (text.get(..at), text.get(at + 1..));
        let local = |c: char| c.is_alphanumeric() || "._%+-'\"".contains(c);
        let named = before.and_then(|before| before.chars().next_back()).is_some_and(local);
        let after = after.unwrap_or_default();
        let end = after.find(|c: char| !(c.is_alphanumeric() || c == '.' || c == '-'));
        let (host, rest) = after.split_at(end.unwrap_or(after.len()));
        let mut rest = rest.chars();
        let place = matches!(rest.next(), Some(':' | '/'))
            && rest.next().is_some_and(|next| !next.is_whitespace());
        let top = host.trim_end_matches('.').rsplit_once('.');
        let is_host = top.is_some_and(|(domain, top)| {
            !domain.is_empty() && top.chars().count() > 1 && top.chars().all(char::is_alphabetic)
        });
        named && is_host && !place
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_kind_has_several_names_and_one_meaning() {
        let kind = |body: Value| wanted(body.to_string().as_bytes()).map(|wanted| wanted.label);
        for label in EntityLabel::ALL {
            for name in KINDS {
                assert_eq!(kind(json!({ name: label.label() })).unwrap(), label);
                assert_eq!(kind(json!({ name: label.label().to_lowercase() })).unwrap(), label);
            }
        }
        assert_eq!(kind(json!({"entity": "thing"})).unwrap(), EntityLabel::Property);
        assert_eq!(kind(json!({"entity": "E", "type": "E"})).unwrap(), EntityLabel::Event);
        for wrong in [
            json!({}),
            json!({"entity": null}),
            json!({"entity": 1}),
            json!({"entity": "SERVICE"}),
            json!({"entity": "PEO", "type": "EVNT"}),
            json!({"entity": "PEO", "metadata": []}),
            json!({"entity": "PEO", "metadata": {"a": "x".repeat(4096)}}),
        ] {
            assert!(kind(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_address_of_anybody_goes_along() {
        for bad in [
            json!({"email": "bob@example.org"}),
            json!({"note": "ask Bob <bob.b+x@mail.example.org>."}),
            json!({"a": {"b": ["x", "mailto:bob@example.org?subject=x"]}}),
            json!({"bob@example.org": true}),
            json!({"a": "jürgen@bücher.example"}),
            json!({"a": "bob@example.org: hello"}),
        ] {
            assert!(holds_email(&bad), "{bad}");
        }
        for good in [
            json!({"at": "2026-01-01", "handle": "@bob", "n": 7, "flag": null}),
            json!({"repository": "git@github.com:chittyos/chittyconnect.git"}),
            json!({"database": "postgres://user@db.example.org/main"}),
            json!({"package": "@chittyos/core@1.2.3"}),
            json!({"rate": "5 @ 3.50"}),
        ] {
            assert!(!holds_email(&good), "{good}");
        }
    }

    #[test]
    fn an_id_has_several_names() {
        for name in IDS {
            assert_eq!(asked(json!({ name: "x" }).to_string().as_bytes()).unwrap(), "x");
        }
        assert!(asked(b"{}").is_err());
        assert!(asked(br#"{"id": "a", "chittyId": "b"}"#).is_err());
    }
}
