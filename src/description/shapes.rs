//! Bounds and patterns for the members of requests, as the code checks them; no other members are allowed. A
//! bound that an attribute of a view gives (`#[schema(max_length = 200)]`) wins over the one in this file.

use std::collections::BTreeSet;

use chitty_core::EntityLabel;
use http_kit::paging::MAX_LIMIT;
use serde_json::{Map, Value, json};

use super::{kind, member, parameters, put};
use crate::access::caller::scopes::MAX_SCOPES;
use crate::connections::headers::CREDENTIAL_WORDS;
use crate::connections::provisioned::LIFE_MS;
use crate::delegation::LIFE_S;
use crate::discovery::endpoint::{MAX_ENDPOINT_BYTES, PRIVATE_SUFFIXES};
use crate::identities::input::MAX_ID_CHARS;

/// Text without control characters.
const TEXT: &str = r"^[^\u0000-\u001F\u007F-\u009F]+$";
/// Text without control characters that is not all blank.
const NAME: &str = r"^[^\u0000-\u001F\u007F-\u009F]*[^\s\u0000-\u001F\u007F-\u009F][^\u0000-\u001F\u007F-\u009F]*$";
/// An e-mail address: something, `@`, a host with a dot.
const EMAIL: &str = r"^[^\s@\u0000-\u001F\u007F-\u009F]+@[^\s@.\u0000-\u001F\u007F-\u009F]+(\.[^\s@.\u0000-\u001F\u007F-\u009F]+)+$";
/// An https URL of visible ASCII.
const LINK: &str = r"^https://[!$-.0-;=@-\[\]-~][!#-;=?-\[\]-~]*$";
/// A path that begins with a slash and has no `.` or `..` segment. Of all percent escapes it allows those of
/// a blank and of a two-byte UTF-8 character.
const PATH: &str = r"(?!.*/(%20)*\.{1,2}(%20)*([;/]|$))/([A-Za-z0-9/._~!$&'()*+,;=:@-]|%20|%([Cc][3-9A-Fa-f]|[Dd][0-9A-Fa-f])%[89ABab][0-9A-Fa-f])*";
/// A decoded path below an endpoint, without `.` or `..` segments in any spelling.
const BELOW: &str = r"^(?!(.*/)?\s*\.{1,2}\s*([;?#/]|$))[^\\%\u0000-\u001F\u007F-\u009F\u00AD\u2000-\u206F\u2215\u2216\u29F5\u3002\uFE50-\uFEFF\uFF00-\uFFEF]+$";
/// The name of a service.
const SERVICE: &str = "^[A-Za-z0-9][A-Za-z0-9._-]*$";
/// Visible ASCII.
const VISIBLE: &str = "^[!-~]+$";
/// A scope.
const SCOPE: &str = "^[A-Za-z0-9:*._-]{1,100}$";
/// Every accepted form of a ChittyID. A pattern cannot check the checksum.
const CHITTY_ID: &str = "^(did:chitty:)?(CHITTY-[A-Z]+-[A-Za-z0-9-]+|[0-9]{2}-[1-9A-Z]-[A-Z]{3}-[0-9]{4}-[PLTEA]-[0-9]{2,4}-[0-5]-[0-9]{1,2})$";

/// A pattern for the name of a kind of identity, in upper or lower case.
fn kind_of_identity() -> String {
    let names = EntityLabel::NAMES.iter().map(|(name, _)| in_any_case(&name.to_ascii_lowercase()));
    format!("^({})$", names.collect::<Vec<_>>().join("|"))
}

/// The bounds of members of request bodies.
#[rustfmt::skip]
fn bounds() -> Vec<(&'static str, &'static str, Value)> {
    let text = |max: usize| json!({ "minLength": 1, "maxLength": max, "pattern": TEXT });
    let secret = json!({ "minLength": 1, "maxLength": 4096, "pattern": VISIBLE });
    let service = json!({ "minLength": 1, "maxLength": 64, "pattern": SERVICE });
    let endpoint = json!({ "maxLength": MAX_ENDPOINT_BYTES, "pattern": endpoint() });
    let path = json!({ "maxLength": 1024, "pattern": format!("^{PATH}$") });
    let id = json!({ "maxLength": 128, "pattern": CHITTY_ID, "format": "chitty-id" });
    let scopes = |min: u8| json!({ "minItems": min, "maxItems": MAX_SCOPES });
    let words = json!({ "minItems": 1, "maxItems": MAX_SCOPES });
    let email = json!({ "maxLength": 254, "pattern": EMAIL });
    let url = json!({ "maxLength": 2048, "pattern": LINK });
    let object = json!({ "type": "object" });
    vec![
        ("ActorRegistration", "display_name", text(200)),
        ("ActorRegistration", "email", email.clone()),
        ("ActorRegistration", "avatar_url", url.clone()),
        ("ActorRegistration", "capabilities", scopes(0)),
        ("ActorPatch", "display_name", text(200)),
        ("ActorPatch", "email", email.clone()),
        ("ActorPatch", "avatar_url", url),
        ("Grant", "capabilities", scopes(0)),
        ("IdentityDraft", "entity", json!({ "pattern": kind_of_identity() })),
        ("IdentityValidation", "chittyId", text(MAX_ID_CHARS)),
        ("ContextDraft", "type", text(64)),
        ("ContextPatch", "type", text(64)),
        ("ContextDraft", "name", json!({ "pattern": NAME })),
        ("ContextPatch", "name", json!({ "pattern": NAME })),
        ("ContextKeyDraft", "scopes", json!({ "minItems": 1, "maxItems": MAX_SCOPES, "items": { "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}:(read|write)$" } })),
        ("ContextKeyDraft", "expires_in_seconds", json!({ "minimum": LIFE_MS.start() / 1000, "maximum": LIFE_MS.end() / 1000 })),
        ("LocationDraft", "service", service.clone()),
        ("DelegationDraft", "target_service", service.clone()),
        ("DelegationDraft", "scopes", scopes(1)),
        ("DelegationDraft", "expires_in_seconds", json!({ "minimum": LIFE_S.start(), "maximum": LIFE_S.end() })),
        ("ValidationDraft", "token", text(4096)),
        ("ValidationDraft", "target_service", text(64)),
        ("KeyDraft", "name", text(200)),
        ("KeyDraft", "scopes", scopes(1)),
        ("KeyDraft", "expires_in_seconds", json!({ "minimum": 60, "maximum": crate::keys::handlers::MAX_LIFE_S })),
        ("KeyDraft", "actor_chitty_id", id.clone()),
        ("Rotation", "grace_seconds", json!({ "minimum": 0, "maximum": crate::keys::handlers::MAX_GRACE_S })),
        ("LinkDraft", "source_chitty_id", id),
        ("LinkDraft", "target_service", service),
        ("LinkDraft", "target_endpoint", endpoint.clone()),
        ("LinkDraft", "scopes", words.clone()),
        ("LinkDraft", "check_path", path.clone()),
        ("LinkPatch", "scopes", words),
        ("LinkPatch", "check_path", path),
        ("ApiKeyCredential", "key", secret.clone()),
        ("ApiKeyCredential", "header", json!({ "minLength": 1, "maxLength": 64, "pattern": credential_header() })),
        ("BearerCredential", "token", secret.clone()),
        ("BasicCredential", "username", json!({ "minLength": 1, "maxLength": 256, "pattern": r"^[^:\u0000-\u001F\u007F-\u009F]+$" })),
        ("BasicCredential", "password", text(4096)),
        ("OauthCredential", "token_endpoint", endpoint.clone()),
        ("OauthCredential", "revocation_endpoint", endpoint),
        ("OauthCredential", "client_id", secret.clone()),
        ("OauthCredential", "client_secret", secret.clone()),
        ("OauthCredential", "refresh_token", secret.clone()),
        ("OauthCredential", "access_token", secret),
        ("OauthCredential", "expires_in", json!({ "minimum": 1, "maximum": 315_360_000 })),
        ("ReplayDraft", "type", text(100)),
        ("ReplayDraft", "entity", text(128)),
        ("ReplayDraft", "before", instant_or_date()),
        ("OrchestrationInput", "email", email),
        ("*", "config", object.clone()),
        ("*", "detail", object.clone()),
        ("*", "metadata", object.clone()),
        ("*", "payload", object.clone()),
        ("*", "permissions", object),
        ("DelegationDraft", "metadata", json!({ "type": ["object", "null"] })),
        ("LinkDraft", "config", json!({ "type": ["object", "null"] })),
    ]
}

/// The bounds of query parameters and headers, on every path that has them.
#[rustfmt::skip]
fn bounds_of_parameters() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        ("query", "limit", json!({ "minimum": 1, "maximum": MAX_LIMIT })),
        ("query", "from", json!({ "minimum": 1 })),
        ("query", "q", json!({ "maxLength": 200 })),
        ("query", "since", instant_or_date()),
        ("query", "until", instant_or_date()),
        ("header", "Idempotency-Key", json!({ "minLength": 1, "maxLength": 255, "pattern": VISIBLE })),
        ("path", "path", json!({ "pattern": BELOW })),
    ]
}

/// A pattern for a word in upper, lower or mixed case.
fn in_any_case(word: &str) -> String {
    word.chars().map(|c| format!("[{}{c}]", c.to_ascii_uppercase())).collect()
}

/// A pattern for an https URL whose host is a public domain name.
fn endpoint() -> String {
    let label = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
    let private = PRIVATE_SUFFIXES.map(in_any_case).join("|");
    let top = "([A-Za-z]{2,63}|[Xx][Nn]--[A-Za-z0-9-]*[A-Za-z0-9])";
    format!("^https://({label}\\.)+(?!({private})(:|/|$)){top}(:443)?({PATH})?$")
}

/// A pattern for the name of a header, one word of which marks it as a credential. The pattern cannot exclude
/// names whose other words steer a request (see `connections::headers`).
fn credential_header() -> String {
    let words = CREDENTIAL_WORDS.map(in_any_case).join("|");
    format!("^([A-Za-z][A-Za-z0-9]*[-_])*({words})([-_][A-Za-z0-9]+)*$")
}

/// A schema for an ISO-8601 instant or date, from 1970 on.
fn instant_or_date() -> Value {
    json!({
        "pattern": r"^(19[7-9]|[2-9][0-9][0-9])",
        "anyOf": [{ "format": "date-time" }, { "format": "date" }],
    })
}

/// Whether a member of a reply holds an instant, by its name: this API names all instants like this.
fn is_instant(name: &str) -> bool {
    name.ends_with("_at")
        || name.ends_with("At")
        || ["at", "timestamp", "until", "since", "created", "last_health_check"].contains(&name)
        || ["next_health_check", "lastChecked", "last_deployed", "last_activity"].contains(&name)
}

/// Writes all bounds and patterns into the document.
pub(super) fn refine(document: &mut Value) {
    bound(document);
    for (place, name, more) in bounds_of_parameters() {
        for parameter in parameters(document).filter(|found| found.is(place, name)) {
            if let Some(schema) = parameter.value.pointer_mut("/schema") {
                merge(schema, &more);
                // A parameter is never null: `null` would be text.
                not_null(schema);
            }
        }
    }
    for parameter in parameters(document) {
        // The gateway treats an empty parameter as absent, so only an optional one may be empty.
        let is_required = parameter.value.get("required") == Some(&json!(true));
        if parameter.value.get("in") == Some(&json!("query")) && !is_required {
            put(parameter.value, "allowEmptyValue", json!(true));
        }
        if let Some(schema) = parameter.value.pointer_mut("/schema") {
            not_null(schema);
            if is_required && schema.get("type") == Some(&json!("string")) {
                put(schema, "minLength", json!(1));
            }
        }
    }
    for name in bodies(document) {
        close(document, &name);
    }
    instants(document);
    unite(document);
}

fn bound(document: &mut Value) {
    let names = names(document);
    for (schema, name, more) in bounds() {
        for one in names.iter().filter(|one| schema == "*" || one.as_str() == schema) {
            // In some schemas, such as that of problems, a member of such a name is text.
            // A schema that is referred to has its own bounds.
            let is_meant = |found: &&mut Value| {
                (schema != "*" || kind(found) != "string") && found.get("$ref").is_none()
            };
            if let Some(found) = member(document, one, name).filter(is_meant) {
                let more = without_given(found, &more);
                merge(found, &more);
            }
        }
    }
    for (schema, name) in [
        ("ActorRegistration", "capabilities"),
        ("Grant", "capabilities"),
        ("DelegationDraft", "scopes"),
        ("KeyDraft", "scopes"),
    ] {
        let items = member(document, schema, name).and_then(|found| found.pointer_mut("/items"));
        if let Some(items) = items {
            put(items, "pattern", json!(SCOPE));
        }
    }
}

/// Returns the bounds that no attribute of the view gives. utoipa itself gives types, the schemas of items, and
/// the minimum 0 of unsigned numbers.
fn without_given(schema: &Value, bounds: &Value) -> Value {
    let mut left = bounds.clone();
    if let (Value::Object(left), Value::Object(schema)) = (&mut left, schema) {
        left.retain(|name, _| match (name.as_str(), schema.get(name)) {
            ("type" | "items", _) | (_, None) => true,
            ("minimum", Some(minimum)) => minimum.as_u64() == Some(0),
            (_, Some(_)) => false,
        });
    }
    left
}

/// Adds members to a schema. A nullable type stays nullable.
fn merge(schema: &mut Value, more: &Value) {
    let (Value::Object(schema), Value::Object(more)) = (schema, more) else { return };
    for (name, value) in more {
        let value = match (name.as_str(), schema.get("oneOf").is_some() || is_nullable(schema)) {
            ("type", true) => json!([value, "null"]),
            _ => value.clone(),
        };
        schema.insert(name.clone(), value);
    }
}

fn is_nullable(schema: &Map<String, Value>) -> bool {
    schema.get("type").and_then(Value::as_array).is_some_and(|all| all.contains(&json!("null")))
}

/// Removes `null` from the types and values of a schema.
fn not_null(schema: &mut Value) {
    let Some(Value::Array(types)) = schema.get("type") else { return };
    let first = types.iter().find(|one| **one != json!("null")).cloned();
    if let Some(first) = first {
        put(schema, "type", first);
    }
    if let Some(Value::Array(words)) = schema.pointer_mut("/enum") {
        words.retain(|word| !word.is_null());
    }
}

fn names(document: &Value) -> Vec<String> {
    match document.pointer("/components/schemas") {
        Some(Value::Object(schemas)) => schemas.keys().cloned().collect(),
        _ => Vec::new(),
    }
}

/// Returns the names of the schemas of JSON request bodies, nested ones included.
pub(super) fn bodies(document: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let Some(Value::Object(paths)) = document.pointer("/paths") else { return found };
    let operations = paths.values().filter_map(Value::as_object).flat_map(Map::values);
    for operation in operations {
        if let Some(body) = operation.pointer("/requestBody/content/application~1json/schema") {
            reach(document, body, &mut found);
        }
    }
    found
}

/// Collects the names of the schemas that a schema refers to.
fn reach(document: &Value, schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(members) => {
            if let Some(name) = members.get("$ref").and_then(Value::as_str) {
                let name = name.trim_start_matches("#/components/schemas/");
                if found.insert(name.to_owned())
                    && let Some(inner) = document.pointer(&format!("/components/schemas/{name}"))
                {
                    reach(document, inner, found);
                }
            }
            members.values().for_each(|inner| reach(document, inner, found));
        }
        Value::Array(items) => items.iter().for_each(|inner| reach(document, inner, found)),
        _ => {}
    }
}

/// Forbids members that a body's schema does not name, and control characters in bounded texts. Requires at
/// least one member of a patch.
fn close(document: &mut Value, name: &str) {
    let Some(schema) = document.pointer_mut(&format!("/components/schemas/{name}")) else { return };
    if schema.get("properties").is_some() {
        put(schema, "additionalProperties", json!(false));
    }
    if let Some(Value::Object(members)) = schema.pointer_mut("/properties") {
        for member in members.values_mut().filter_map(Value::as_object_mut) {
            // Generators of client types treat a member with a default as required.
            member.remove("default");
            // A bounded text has no control characters, unless another pattern is given.
            if member.contains_key("maxLength") && !member.contains_key("pattern") {
                member.insert("pattern".to_owned(), json!(TEXT));
            }
        }
    }
    if name.ends_with("Patch") {
        put(schema, "minProperties", json!(1));
    }
}

fn instants(document: &mut Value) {
    let sent = bodies(document);
    let Some(Value::Object(schemas)) = document.pointer_mut("/components/schemas") else { return };
    for (_, schema) in schemas.iter_mut().filter(|(name, _)| !sent.contains(name.as_str())) {
        let Some(Value::Object(members)) = schema.pointer_mut("/properties") else { continue };
        for (_, member) in members.iter_mut().filter(|(name, _)| is_instant(name)) {
            put(member, "format", json!("date-time"));
        }
    }
}

/// Describes unions. Fixes the member that is always true or false in a variant, by which readers tell the
/// variants apart; uses `anyOf` where a value may match several variants.
fn unite(document: &mut Value) {
    for (schema, name, value) in [
        ("UnregisteredActor", "registered", false),
        ("ActiveToken", "active", true),
        ("ActiveToken", "valid", true),
        ("InactiveToken", "active", false),
        ("InactiveToken", "valid", false),
    ] {
        if let Some(found) = member(document, schema, name) {
            put(found, "const", json!(value));
        }
    }
    // A whole actor also matches the schema of its public part, so `oneOf` would be wrong.
    let visible = document.pointer_mut("/components/schemas/VisibleActor");
    if let Some(Value::Object(visible)) = visible
        && let Some(either) = visible.remove("oneOf")
    {
        visible.insert("anyOf".to_owned(), either);
    }
}
