//! Entity tags and the conditions on them (RFC 9110 §13.1).

use seams::db::{DbError, Row, first_row};

use crate::problem::{Code, Problem};
use crate::request::Request;

/// The condition in `If-Match`, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// No condition.
    Absent,
    /// `*`: any existing version.
    Any,
    /// One of these revisions. Weak tags never match a change (strong comparison) and are left out.
    OneOf(Vec<String>),
}

/// The outcome of a conditional change.
#[derive(Debug)]
pub enum ChangeOutcome {
    /// The change took place. Holds the entity as it is now, in the JSON that the caller gets.
    Done(String),
    /// The caller has no such entity.
    Missing,
    /// The entity has another revision than `If-Match` asks for.
    Stale,
}

impl ChangeOutcome {
    /// Reads the results of the first two statements of such a change: the `revision` before it, and the change
    /// itself, which returns the entity as it is now, as `document`.
    ///
    /// # Errors
    /// [`DbError::Shape`].
    pub fn read(
        before: Option<Vec<Row>>,
        changed: Option<Vec<Row>>,
        if_match: &IfMatch,
    ) -> Result<Self, DbError> {
        if let Some(mut row) = first_row(changed) {
            return Ok(ChangeOutcome::Done(row.text("document")?));
        }
        let before = first_row(before);
        Ok(match before.map(|mut row| row.text("revision")).transpose()? {
            Some(revision) if !if_match.allows(&revision) => ChangeOutcome::Stale,
            _ => ChangeOutcome::Missing,
        })
    }

    /// Returns the entity as it is now, as JSON. `what` names its kind.
    ///
    /// # Errors
    /// 404 for [`ChangeOutcome::Missing`], 412 for [`ChangeOutcome::Stale`].
    pub fn into_json(self, what: &'static str) -> Result<String, Problem> {
        match self {
            ChangeOutcome::Done(json) => Ok(json),
            ChangeOutcome::Missing => Err(Problem::not_found(what)),
            ChangeOutcome::Stale => Err(Problem::new(
                Code::PreconditionFailed,
                format!("The {what} is not as you last read it. Read it again and decide anew."),
            )),
        }
    }
}

impl IfMatch {
    /// Reads the condition of a request.
    pub fn of(request: &Request<'_>) -> Self {
        IfMatch::parse(request.header("if-match").as_deref())
    }

    /// Reads the header. A text that is not a strong entity tag matches nothing.
    pub fn parse(header: Option<&str>) -> Self {
        match header.map(str::trim) {
            None => IfMatch::Absent,
            Some("*") => IfMatch::Any,
            Some(list) => IfMatch::OneOf(
                list.split(',').filter_map(|tag| strong(tag.trim())).map(revision_of).collect(),
            ),
        }
    }

    /// Whether the condition lets an entity of this revision be changed.
    pub fn allows(&self, revision: &str) -> bool {
        match self {
            IfMatch::Absent | IfMatch::Any => true,
            IfMatch::OneOf(revisions) => revisions.iter().any(|given| given == revision),
        }
    }

    /// The revisions as a JSON array for `json_each`; `None` if any revision will do.
    pub fn as_json(&self) -> Option<String> {
        match self {
            IfMatch::Absent | IfMatch::Any => None,
            IfMatch::OneOf(revisions) => serde_json::to_string(revisions).ok(),
        }
    }
}

/// Returns the revision in an entity tag. The number after the dot counts what other services have said about
/// the entity since then; that does not make the caller's revision stale.
fn revision_of(tag: &str) -> String {
    tag.split_once('.').map_or(tag, |(revision, _)| revision).to_owned()
}

/// The `ETag` of a revision, or of a revision with the count of what was learned since (`revision.count`).
pub fn etag(revision: &str) -> String {
    format!("\"{revision}\"")
}

/// Whether `If-None-Match` says that the caller already has this revision (weak comparison).
pub fn none_match_hits(header: &str, revision: &str) -> bool {
    header.trim() == "*"
        || header
            .split(',')
            .any(|tag| strong(tag.trim().trim_start_matches("W/")) == Some(revision))
}

fn strong(tag: &str) -> Option<&str> {
    tag.strip_prefix('"')?.strip_suffix('"').filter(|inner| !inner.contains('"'))
}

#[cfg(test)]
mod tests {
    use seams::db::Value;

    use super::*;

    #[test]
    fn if_match() {
        assert!(IfMatch::parse(None).allows("r1"));
        assert!(IfMatch::parse(Some("*")).allows("r1"));
        assert!(IfMatch::parse(Some("\"r1.2\"")).allows("r1"), "the count is ignored");
        assert!(IfMatch::parse(Some("\"r0\", \"r1\"")).allows("r1"));
        for header in ["\"r2\"", "W/\"r1\"", "r1", "", "\"r1", "\"\""] {
            assert!(!IfMatch::parse(Some(header)).allows("r1"), "{header}");
        }
        assert_eq!(IfMatch::parse(Some("\"a\", \"b\"")).as_json().unwrap(), r#"["a","b"]"#);
        assert_eq!(IfMatch::parse(Some("x")).as_json().unwrap(), "[]");
        assert_eq!(IfMatch::parse(Some("*")).as_json(), None);
    }

    #[test]
    fn if_none_match() {
        for header in ["*", "\"r1\"", "W/\"r1\"", "\"r0\", W/\"r1\""] {
            assert!(none_match_hits(header, "r1"), "{header}");
        }
        for header in ["", "r1", "\"r2\""] {
            assert!(!none_match_hits(header, "r1"), "{header}");
        }
    }

    #[test]
    fn the_outcome_of_a_change_is_read_from_its_statements() {
        let row = |text: &str| {
            let cell = || Value::Text(text.to_owned());
            Some(vec![Row::of([("revision", cell()), ("document", cell())])])
        };
        let came = |before, changed, if_match: &str| {
            let outcome = ChangeOutcome::read(before, changed, &IfMatch::parse(Some(if_match)));
            outcome.unwrap().into_json("context").map_err(|problem| problem.code)
        };
        assert_eq!(came(row("r1"), row("{}"), "\"r1\""), Ok("{}".to_owned()));
        assert_eq!(came(row("r2"), None, "\"r1\""), Err(Code::PreconditionFailed));
        assert_eq!(came(row("r1"), None, "\"r1\""), Err(Code::NotFound));
        assert_eq!(came(None, None, "*"), Err(Code::NotFound));
        assert_eq!(etag("r1"), "\"r1\"");
    }
}
