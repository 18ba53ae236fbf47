//! The request bodies about contexts. Pure: text in, checked values or a list of errors out.

use http_kit::fields::{Fields, Member, unknown, unreadable};
use http_kit::names::Name;
use http_kit::problem::{FieldError, Problem};
use http_kit::request::{Members, parse_object};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::access::caller::scope_place::ScopePlace;
use crate::connections::provisioned::LIFE_MS;
use crate::contexts::Status;
use crate::contexts::search::Words;

/// The most entries of `data`.
const MAX_DATA_ENTRIES: usize = 1000;

/// The most entries of `systems` and of `tools`.
const MAX_LIST_ENTRIES: usize = 100;

/// The most characters of a type.
const MAX_TYPE_CHARS: usize = 64;

/// The members that the body of a creation or a change may have.
const KNOWN: [&str; 8] =
    ["name", "type", "data", "systems", "tools", "customizations", "status", "credentials"];

/// The most bytes of `data`, `systems`, `tools` and `customizations` each, as JSON. A D1 row holds 2 MB, and
/// the row of a context holds all but the last twice: as columns, and in the JSON that is returned.
const MAX_FIELD_BYTES: usize = 192 * 1024;

/// A checked array: its JSON, and its words for the search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// The JSON of the array, as it was sent, so that numbers keep every digit.
    pub json: String,
    /// The words in the array, for the search index.
    pub words: Words,
}

impl List {
    /// The empty array.
    pub fn empty() -> Self {
        List { json: "[]".to_owned(), words: Words::default() }
    }
}

/// The key that a caller requests for a context.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyDraft {
    /// The requested scopes, such as `cases:read`; if empty, the key gets the usual scopes.
    pub scopes: Vec<String>,
    /// The requested life, in s; `None` for the longest possible.
    pub life_s: Option<u64>,
}

/// A context to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The name, checked and in its normal form.
    pub name: Name,
    /// Empty unless sent.
    pub data: List,
    /// Empty unless sent.
    pub systems: List,
    /// Empty unless sent.
    pub tools: List,
    /// The `type` of the context, if sent.
    pub kind: Option<String>,
    /// The JSON of an object, as it was sent.
    pub customizations: Option<String>,
    /// Active unless sent.
    pub status: Status,
    /// The key to be made for the context, if requested.
    pub key: Option<KeyDraft>,
}

/// The changes to a context: only the members that were sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Patch {
    /// A new name.
    pub name: Option<Name>,
    /// New data, in place of all that there was.
    pub data: Option<List>,
    /// New systems, in place of all that there were.
    pub systems: Option<List>,
    /// New tools, in place of all that there were.
    pub tools: Option<List>,
    /// A new type; null removes the type.
    pub kind: Member<String>,
    /// New customizations, in place of all that there were; null removes them.
    pub customizations: Member<String>,
    /// A new status.
    pub status: Option<Status>,
    /// A new key in place of the one that there was; null only ends that one.
    pub key: Member<KeyDraft>,
}

impl Patch {
    /// Returns the names of the members that change, for the event.
    pub fn changed_names(&self) -> Vec<&'static str> {
        let fields = [
            ("name", self.name.is_some()),
            ("type", self.kind.is_sent()),
            ("data", self.data.is_some()),
            ("systems", self.systems.is_some()),
            ("tools", self.tools.is_some()),
            ("customizations", self.customizations.is_sent()),
            ("status", self.status.is_some()),
            ("credentials", self.key.is_sent()),
        ];
        fields.into_iter().filter(|(_, sent)| *sent).map(|(name, _)| name).collect()
    }
}

/// Reads the body of a creation.
///
/// # Errors
/// 400 when the body is not JSON; 422 naming every member that is not acceptable.
pub fn draft(body: &[u8]) -> Result<Draft, Problem> {
    let members = parse_object(body)?;
    let mut errors = unknown(&members, "", &KNOWN);
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
            kind: fields.kind.value(),
            customizations: fields.customizations.value(),
            status: fields.status.unwrap_or(Status::Active),
            key: fields.key.value(),
        }),
        _ => Err(Problem::validation(errors)),
    }
}

/// Reads the body of a change.
///
/// # Errors
/// 400 when the body is not JSON; 422 naming every member that is not acceptable, or when the body changes
/// nothing.
pub fn patch(body: &[u8]) -> Result<Patch, Problem> {
    let members = parse_object(body)?;
    let mut errors = unknown(&members, "", &KNOWN);
    let patch = fields(&members, &mut errors);
    if errors.is_empty() && patch == Patch::default() {
        errors.push(FieldError::new("", format!("needs one of {}", KNOWN.join(", "))));
    }
    if errors.is_empty() { Ok(patch) } else { Err(Problem::validation(errors)) }
}

/// Reads every known member that was sent, and adds the errors found to `errors`.
fn fields(members: &Members<'_>, errors: &mut Vec<FieldError>) -> Patch {
    let mut read = Reader { members, errors };
    Patch {
        name: read.name(),
        data: read.list("data", MAX_DATA_ENTRIES),
        systems: read.list("systems", MAX_LIST_ENTRIES),
        tools: read.list("tools", MAX_LIST_ENTRIES),
        kind: read.kind(),
        customizations: read.customizations(),
        status: read.status(),
        key: read.key(),
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
        // The length is checked before parsing, because the member may be as long as a whole body.
        if raw.len() > MAX_FIELD_BYTES {
            return self.wrong(pointer, format!("must be at most {MAX_FIELD_BYTES} bytes as JSON"));
        }
        let entries = match serde_json::from_str::<Value>(raw) {
            Ok(Value::Array(entries)) => entries,
            Ok(_) => return self.wrong(pointer, "must be an array".to_owned()),
            // A number out of range, half a surrogate pair, or too deep a nesting.
            Err(error) => return self.wrong(pointer, unreadable(&error).to_owned()),
        };
        if entries.len() > most {
            return self.wrong(pointer, format!("must have at most {most} entries"));
        }
        Some(List { json: raw.to_owned(), words: Words::of(&entries) })
    }

    fn kind(&mut self) -> Member<String> {
        let Some(raw) = self.raw("type") else { return Member::Absent };
        let kind = match serde_json::from_str::<Option<String>>(raw.get()) {
            Ok(None) => return Member::Null,
            Ok(kind) => kind,
            Err(_) => None,
        };
        let is_good = |kind: &String| {
            (1..=MAX_TYPE_CHARS).contains(&kind.chars().count())
                && kind.trim() == kind
                && !kind.chars().any(char::is_control)
        };
        match kind.filter(is_good) {
            Some(kind) => Member::Value(kind),
            None => {
                let detail = format!("must be a text of 1 to {MAX_TYPE_CHARS} characters, or null");
                self.wrong::<()>("/type".to_owned(), detail);
                Member::Absent
            }
        }
    }

    fn customizations(&mut self) -> Member<String> {
        let Some(raw) = self.raw("customizations").map(RawValue::get) else {
            return Member::Absent;
        };
        let detail = match raw.len() <= MAX_FIELD_BYTES {
            false => format!("must be at most {MAX_FIELD_BYTES} bytes as JSON"),
            true => match serde_json::from_str::<Value>(raw) {
                Ok(Value::Null) => return Member::Null,
                Ok(Value::Object(_)) => return Member::Value(raw.to_owned()),
                Ok(_) => "must be an object, or null".to_owned(),
                Err(error) => unreadable(&error).to_owned(),
            },
        };
        self.wrong::<()>("/customizations".to_owned(), detail);
        Member::Absent
    }

    /// Reads `credentials`: `"provisioned"`, or an object of that type with further wishes, or null.
    fn key(&mut self) -> Member<KeyDraft> {
        let Some(raw) = self.raw("credentials").map(RawValue::get) else { return Member::Absent };
        if raw == "null" {
            return Member::Null;
        }
        if serde_json::from_str::<String>(raw).is_ok_and(|word| word == "provisioned") {
            return Member::Value(KeyDraft::default());
        }
        if !raw.starts_with('{') {
            let detail = "must be `provisioned`, an object with the `type` `provisioned`, or null";
            self.wrong::<()>("/credentials".to_owned(), detail.to_owned());
            return Member::Absent;
        }
        let body = format!("{{\"credentials\":{raw}}}");
        match key_draft(body.as_bytes()) {
            Ok(draft) => Member::Value(draft),
            Err(problem) => {
                self.errors.extend_from_slice(problem.errors());
                Member::Absent
            }
        }
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

/// Reads the object `credentials` of a body that has no other member.
fn key_draft(body: &[u8]) -> Result<KeyDraft, Problem> {
    let mut fields = Fields::of(body)?;
    let mut draft = KeyDraft::default();
    if let Some(mut inner) = fields.within("credentials") {
        let kind = inner.word("type", &["provisioned"]);
        inner.required("type", kind);
        draft.scopes =
            ScopePlace::Services.read(&mut inner, "scopes", 1).value().unwrap_or_default();
        let life_s =
            inner.number("expires_in_seconds", LIFE_MS.start() / 1000, LIFE_MS.end() / 1000);
        draft.life_s = life_s.value();
        fields.absorb(inner);
    }
    fields.finish()?;
    Ok(draft)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn body(text: &str) -> Result<Draft, Vec<String>> {
        draft(text.as_bytes()).map_err(|problem| {
            let reply: http_kit::reply::Reply<()> = problem.into_reply(
                &http_kit::trace::Trace {
                    tracestate: None,
                    request_id: String::new(),
                    traceparent: String::new(),
                },
                "",
            );
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
        assert_eq!(draft.kind.as_deref(), Some("session"));
        assert_eq!(draft.customizations.as_deref(), Some(r#"{"agents":[]}"#));
        let draft = body(r#"{"name":"a","type":null,"customizations":null}"#).unwrap();
        assert_eq!((draft.kind, draft.customizations), (None, None));
    }

    #[test]
    fn an_error_points_to_each_member_that_is_not_acceptable() {
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
            (r#"{"name":"a","nmae":"b"}"#.to_owned(), "/nmae"),
            (r#"{"name":"a","type":""}"#.to_owned(), "/type"),
            (r#"{"name":"a","type":" session"}"#.to_owned(), "/type"),
            (r#"{"name":"a","type":7}"#.to_owned(), "/type"),
            (format!(r#"{{"name":"a","type":"{}"}}"#, "x".repeat(65)), "/type"),
            (r#"{"name":"a","customizations":[]}"#.to_owned(), "/customizations"),
            (r#"{"name":"a","customizations":{"a":1e999}}"#.to_owned(), "/customizations"),
            (
                format!(r#"{{"name":"a","customizations":{{"a":"{}"}}}}"#, "x".repeat(192 * 1024)),
                "/customizations",
            ),
            (r#"[]"#.to_owned(), ""),
            (r#""name""#.to_owned(), ""),
        ] {
            assert_eq!(body(&text).unwrap_err(), [pointer], "{}", &text[..text.len().min(60)]);
        }
        assert!(body(&format!(r#"{{"name":"{}"}}"#, "é".repeat(200))).is_ok());
        assert_eq!(body("{").unwrap_err(), Vec::<String>::new(), "not JSON: no field to name");
    }

    #[test]
    fn a_patch_without_a_change_is_refused() {
        assert!(patch(b"{}").is_err());
        let unknown = patch(br#"{"stauts":"active"}"#).unwrap_err();
        assert_eq!(unknown.code, http_kit::problem::Code::UnknownField);
        assert!(unknown.errors()[0].detail.contains("`status`"), "{:?}", unknown.errors());
        let cleared = patch(br#"{"type":null,"customizations":{}}"#).unwrap();
        assert_eq!(cleared.changed_names(), ["type", "customizations"]);
        assert_eq!(cleared.kind, Member::Null);
        assert_eq!(
            patch(br#"{"status":"active","tools":[]}"#).unwrap().changed_names(),
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
