//! What a caller may send about a context. Pure: text in, checked values or a list of errors out.
//!
//! Members that are not listed here are ignored, as the predecessor did: its callers send some.

use serde_json::Value;
use serde_json::value::RawValue;

use crate::contexts::Status;
use crate::contexts::search::Words;
use crate::http::problem::{FieldError, Problem};
use crate::http::request::{Members, parse_object};
use crate::names::Name;

/// The most entries of `data`.
const MAX_DATA_ENTRIES: usize = 1000;

/// The most entries of `systems` and of `tools`.
const MAX_LIST_ENTRIES: usize = 100;

/// The most bytes of `data`, `systems` and `tools` each, as JSON: a D1 row holds 2 MB, and a
/// context holds them twice, once as returned.
const MAX_FIELD_BYTES: usize = 192 * 1024;

/// A checked array: its JSON, and the words in it for the search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// JSON of an array, as it was sent: numbers keep every digit.
    pub json: String,
    /// The words in it, for the index.
    pub words: Words,
}

impl List {
    /// No entries.
    pub fn empty() -> Self {
        List { json: "[]".to_owned(), words: Words::default() }
    }
}

/// A context to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Checked, in its normal form.
    pub name: Name,
    /// Empty unless sent.
    pub data: List,
    /// Empty unless sent.
    pub systems: List,
    /// Empty unless sent.
    pub tools: List,
    /// Active unless sent.
    pub status: Status,
}

/// The changes to a context: only what was sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Patch {
    /// A new name.
    pub name: Option<Name>,
    /// Replaces all data.
    pub data: Option<List>,
    /// Replaces all systems.
    pub systems: Option<List>,
    /// Replaces all tools.
    pub tools: Option<List>,
    /// A new status.
    pub status: Option<Status>,
}

impl Patch {
    /// The names of what changes, for the event.
    pub fn changed(&self) -> Vec<&'static str> {
        let fields = [
            ("name", self.name.is_some()),
            ("data", self.data.is_some()),
            ("systems", self.systems.is_some()),
            ("tools", self.tools.is_some()),
            ("status", self.status.is_some()),
        ];
        fields.into_iter().filter(|(_, sent)| *sent).map(|(name, _)| name).collect()
    }
}

/// Reads the body of a creation.
///
/// # Errors
/// 400 when it is not JSON; 422 naming every member that is not acceptable.
pub fn draft(body: &[u8]) -> Result<Draft, Problem> {
    let members = parse_object(body)?;
    let mut errors = Vec::new();
    let fields = fields(&members, &mut errors);
    if fields.name.is_none() && !members.contains_key("name") {
        errors.push(FieldError::new("/name", "is required"));
    }
    match fields.name {
        Some(name) if errors.is_empty() => Ok(Draft {
            name,
            data: fields.data.unwrap_or_else(List::empty),
            systems: fields.systems.unwrap_or_else(List::empty),
            tools: fields.tools.unwrap_or_else(List::empty),
            status: fields.status.unwrap_or(Status::Active),
        }),
        _ => Err(Problem::validation(errors)),
    }
}

/// Reads the body of a change.
///
/// # Errors
/// 400 when it is not JSON; 422 naming every member that is not acceptable, or when there is none
/// to change.
pub fn patch(body: &[u8]) -> Result<Patch, Problem> {
    let members = parse_object(body)?;
    let mut errors = Vec::new();
    let patch = fields(&members, &mut errors);
    if errors.is_empty() && patch == Patch::default() {
        errors.push(FieldError::new("", "needs one of name, data, systems, tools, status"));
    }
    if errors.is_empty() { Ok(patch) } else { Err(Problem::validation(errors)) }
}

/// Reads every known member that was sent, and collects what is wrong.
fn fields(members: &Members<'_>, errors: &mut Vec<FieldError>) -> Patch {
    let mut read = Reader { members, errors };
    Patch {
        name: read.name(),
        data: read.list("data", MAX_DATA_ENTRIES),
        systems: read.list("systems", MAX_LIST_ENTRIES),
        tools: read.list("tools", MAX_LIST_ENTRIES),
        status: read.status(),
    }
}

struct Reader<'r, 'm> {
    members: &'r Members<'m>,
    errors: &'r mut Vec<FieldError>,
}

impl<'m> Reader<'_, 'm> {
    fn raw(&self, name: &str) -> Option<&'m RawValue> {
        self.members.get(name).copied()
    }

    fn wrong<T>(&mut self, pointer: String, detail: String) -> Option<T> {
        self.errors.push(FieldError::new(pointer, detail));
        None
    }

    fn name(&mut self) -> Option<Name> {
        let raw = self.raw("name")?.get();
        let Ok(name) = serde_json::from_str::<String>(raw) else {
            return self.wrong("/name".to_owned(), "must be a text".to_owned());
        };
        Name::parse(&name)
            .map_err(|fault| self.errors.push(FieldError::new("/name", fault.to_string())))
            .ok()
    }

    fn list(&mut self, name: &'static str, most: usize) -> Option<List> {
        let raw = self.raw(name)?.get();
        let pointer = format!("/{name}");
        // Before it is read: it may be as long as a body.
        if raw.len() > MAX_FIELD_BYTES {
            return self.wrong(pointer, format!("must be at most {MAX_FIELD_BYTES} bytes as JSON"));
        }
        let entries = match serde_json::from_str::<Value>(raw) {
            Ok(Value::Array(entries)) => entries,
            Ok(_) => return self.wrong(pointer, "must be an array".to_owned()),
            // A number beyond what JSON numbers can hold, or half a surrogate pair.
            Err(error) => return self.wrong(pointer, format!("cannot be read: {error}")),
        };
        if entries.len() > most {
            return self.wrong(pointer, format!("must have at most {most} entries"));
        }
        Some(List { json: raw.to_owned(), words: Words::of(&entries) })
    }

    fn status(&mut self) -> Option<Status> {
        let raw = self.raw("status")?.get();
        let status = serde_json::from_str::<String>(raw).ok();
        if status.as_deref() == Some("deleted") {
            let detail = "cannot be set to deleted: use DELETE";
            return self.wrong("/status".to_owned(), detail.to_owned());
        }
        match status.as_deref().and_then(Status::parse) {
            Some(status) => Some(status),
            None => self.wrong("/status".to_owned(), "must be active or inactive".to_owned()),
        }
    }
}

/// The body of a creation, for the API description.
#[cfg(not(target_family = "wasm"))]
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "describes what `draft` reads")]
pub(crate) struct ContextDraft {
    /// Unique among your contexts that are not deleted. Kept in Unicode NFC, without white space at its
    /// ends, runs of white space as one space; characters that cannot be seen are refused.
    #[schema(min_length = 1, max_length = 200, example = "release-42")]
    name: String,
    /// Any JSON values; at most 1000 entries and 192 KiB.
    #[schema(required = false, max_items = 1000)]
    data: Vec<Value>,
    /// Any JSON values; at most 100 entries and 192 KiB.
    #[schema(required = false, max_items = 100, example = json!(["github"]))]
    systems: Vec<Value>,
    /// Any JSON values; at most 100 entries and 192 KiB.
    #[schema(required = false, max_items = 100, example = json!(["search"]))]
    tools: Vec<Value>,
    /// `active` or `inactive`.
    #[schema(required = false, default = "active", example = "active")]
    status: String,
}

/// The body of a change: only what is to change. Arrays are replaced whole.
#[cfg(not(target_family = "wasm"))]
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "describes what `patch` reads")]
pub(crate) struct ContextPatch {
    /// Unique among your contexts that are not deleted; in the same form as at the creation.
    #[schema(required = false, min_length = 1, max_length = 200)]
    name: String,
    /// Any JSON values; at most 1000 entries and 192 KiB.
    #[schema(required = false, max_items = 1000)]
    data: Vec<Value>,
    /// Any JSON values; at most 100 entries and 192 KiB.
    #[schema(required = false, max_items = 100)]
    systems: Vec<Value>,
    /// Any JSON values; at most 100 entries and 192 KiB.
    #[schema(required = false, max_items = 100)]
    tools: Vec<Value>,
    /// `active` or `inactive`.
    #[schema(required = false, example = "inactive")]
    status: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn body(text: &str) -> Result<Draft, Vec<String>> {
        draft(text.as_bytes()).map_err(|problem| {
            let reply = problem.into_reply(&crate::http::trace::Trace {
                tracestate: None,
                request_id: String::new(),
                traceparent: String::new(),
            });
            let value: Value = serde_json::from_str(reply.body.text().unwrap()).unwrap();
            let errors = value["errors"].as_array().cloned().unwrap_or_default();
            errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
        })
    }

    #[test]
    fn a_minimal_and_a_full_draft() {
        let draft = body(r#"{"name":"a"}"#).unwrap();
        assert_eq!((draft.name.text(), draft.status), ("a", Status::Active));
        assert_eq!(draft.data, List::empty());
        let draft = body(
            r#"{"name":"é🚀","data":[ {"k": 1} ],"systems":["s"],"tools":[],"status":"inactive",
                "type":"session","customizations":{"agents":[]}}"#,
        )
        .unwrap();
        assert_eq!(draft.data.json, r#"[ {"k": 1} ]"#);
        assert_eq!(draft.data.words, Words::of(&[serde_json::json!({"k": 1})]));
        assert_eq!(draft.status, Status::Inactive);
    }

    #[test]
    fn every_unacceptable_member_is_named() {
        let errors = body(r#"{"name":7,"data":{},"systems":"x","tools":null,"status":"deleted"}"#);
        assert_eq!(errors.unwrap_err(), ["/name", "/data", "/systems", "/tools", "/status"]);
        for (text, pointer) in [
            (r#"{}"#.to_owned(), "/name"),
            (r#"{"name":""}"#.to_owned(), "/name"),
            (r#"{"name":"  "}"#.to_owned(), "/name"),
            (r#"{"name":"a\u0000"}"#.to_owned(), "/name"),
            (format!(r#"{{"name":"{}"}}"#, "é".repeat(201)), "/name"),
            (r#"{"name":"a","data":[1e999]}"#.to_owned(), "/data"),
            (format!(r#"{{"name":"a","tools":[{}1]}}"#, "1,".repeat(100)), "/tools"),
            (format!(r#"{{"name":"a","data":["{}"]}}"#, "x".repeat(192 * 1024)), "/data"),
            (r#"[]"#.to_owned(), ""),
            (r#""name""#.to_owned(), ""),
        ] {
            assert_eq!(body(&text).unwrap_err(), [pointer], "{}", &text[..text.len().min(60)]);
        }
        assert!(body(&format!(r#"{{"name":"{}"}}"#, "é".repeat(200))).is_ok());
        assert_eq!(body("{").unwrap_err(), Vec::<String>::new(), "not JSON: no field to name");
    }

    #[test]
    fn a_patch_needs_something_to_change() {
        assert!(patch(b"{}").is_err());
        assert!(patch(br#"{"unknown":1}"#).is_err());
        assert_eq!(
            patch(br#"{"status":"active","tools":[]}"#).unwrap().changed(),
            ["tools", "status"]
        );
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = draft(&bytes);
            let _ = patch(&bytes);
        }
    }
}
