//! The request bodies that a caller may send.

use chitty_core::EntityLabel;
use http_kit::fields::{Fields, Member};
use http_kit::problem::Problem;
use serde_json::Value;

/// The longest `metadata` of an identity, as JSON, in bytes.
const MAX_METADATA_BYTES: usize = 4096;

/// The longest text that is accepted as an id to validate, in characters.
pub(crate) const MAX_ID_CHARS: usize = 256;

/// The member names under which callers send the kind of an identity.
const KINDS: [&str; 4] = ["entity", "type", "entityType", "entity_type"];

/// The member names under which callers send an id.
const IDS: [&str; 4] = ["chittyId", "chitty_id", "chittyid", "id"];

/// The identity to be minted.
#[derive(Debug, Clone, PartialEq)]
pub struct MintDraft {
    /// The kind of the identity.
    pub label: EntityLabel,
    /// The metadata that ChittyID is to keep with the id; a JSON object.
    pub metadata: Value,
}

/// Reads the body of a mint.
///
/// # Errors
/// 400 when the body is not JSON, 422 naming every member that is not acceptable.
pub fn draft(body: &[u8]) -> Result<MintDraft, Problem> {
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
    if has_email(&metadata) {
        fields.wrong("metadata", "must hold no e-mail address: ChittyID keeps it with the id");
    }
    fields.finish()?;
    // Without a label, `finish` has returned the error already.
    Ok(MintDraft { label: label.unwrap_or(EntityLabel::Person), metadata })
}

/// Reads the body of a validation: a text that may be an id.
///
/// # Errors
/// 400 when the body is not JSON, 422 when it has no such text or contradictory ones.
pub fn id_text(body: &[u8]) -> Result<String, Problem> {
    let mut fields = Fields::of(body)?;
    let id = one_of(&mut fields, &IDS, MAX_ID_CHARS);
    fields.finish()?;
    Ok(id.unwrap_or_default())
}

/// Returns the text of these members. At least one must be sent, and all that are sent must be equal.
fn one_of(fields: &mut Fields<'_>, names: &[&'static str], max: usize) -> Option<String> {
    let mut found: Option<String> = None;
    for name in names {
        let Member::Value(text) = fields.text(name, max) else { continue };
        match &found {
            Some(other) if *other != text => {
                fields.wrong(name, "contradicts the same member under another name")
            }
            _ => found = Some(text),
        }
    }
    if found.is_none() && !fields.has_errors() {
        fields.wrong(sent(fields, names), "is required");
    }
    found
}

/// Returns the first of these names that the body has, or else the first name.
fn sent(fields: &Fields<'_>, names: &[&'static str]) -> &'static str {
    let first = names.first().copied().unwrap_or_default();
    names.iter().copied().find(|name| fields.has(name)).unwrap_or(first)
}

/// Whether a JSON value has an e-mail address in a member name or in a text.
fn has_email(value: &Value) -> bool {
    match value {
        Value::String(text) => has_email_in_text(text),
        Value::Array(values) => values.iter().any(has_email),
        Value::Object(members) => {
            members.iter().any(|(name, value)| has_email_in_text(name) || has_email(value))
        }
        _ => false,
    }
}

/// Whether a text has an e-mail address in it. `user@host:path` and `user@host/path` are locations, not
/// addresses.
fn has_email_in_text(text: &str) -> bool {
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
    fn every_name_of_a_kind_is_read_and_contradictions_are_refused() {
        let kind = |body: Value| draft(body.to_string().as_bytes()).map(|draft| draft.label);
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
    fn e_mail_addresses_are_found_and_other_texts_with_an_at_sign_are_not() {
        for bad in [
            json!({"email": "bob@example.org"}),
            json!({"note": "ask Bob <bob.b+x@mail.example.org>."}),
            json!({"a": {"b": ["x", "mailto:bob@example.org?subject=x"]}}),
            json!({"bob@example.org": true}),
            json!({"a": "jürgen@bücher.example"}),
            json!({"a": "bob@example.org: hello"}),
        ] {
            assert!(has_email(&bad), "{bad}");
        }
        for good in [
            json!({"at": "2026-01-01", "handle": "@bob", "n": 7, "flag": null}),
            json!({"repository": "git@github.com:chittyos/chittyconnect.git"}),
            json!({"database": "postgres://user@db.example.org/main"}),
            json!({"package": "@chittyos/core@1.2.3"}),
            json!({"rate": "5 @ 3.50"}),
        ] {
            assert!(!has_email(&good), "{good}");
        }
    }

    #[test]
    fn every_name_of_an_id_is_read_and_contradictions_are_refused() {
        for name in IDS {
            assert_eq!(id_text(json!({ name: "x" }).to_string().as_bytes()).unwrap(), "x");
        }
        assert!(id_text(b"{}").is_err());
        assert!(id_text(br#"{"id": "a", "chittyId": "b"}"#).is_err());
    }
}
