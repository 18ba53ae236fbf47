//! Hints for refused requests whose text shows the mistake: an id of another kind, a placeholder copied from
//! a manual, an entity tag without its quotes. A hint depends only on how the request is written, never on
//! which entities exist.

use chitty_core::{ChittyId, IdError};

use http_kit::precondition::IfMatch;
use http_kit::problem::{Code, Problem};
use http_kit::request::Request;

use crate::store::ids::{ConnectionId, DelegationId, EventId, KeyId};

/// The kinds of ids: the beginning of the paths that take the id, the noun for its entity, and the id's
/// prefix. The prefix is empty for a ChittyID, which has no fixed one.
const KINDS: [(&str, &str, &str); 8] = [
    ("/v1/contexts/", "context", ""),
    ("/v1/actors/", "actor", ""),
    ("/v1/connections/", "connection", ConnectionId::PREFIX),
    ("/v1/delegate/", "delegation", DelegationId::PREFIX),
    ("/v1/keys/", "key", KeyId::PREFIX),
    ("/v1/events/dead-letters/", "dead letter", "dl_"),
    ("/v1/orchestrations/", "run", "orc_"),
    ("/v1/events/", "event", EventId::PREFIX),
];

/// Adds to a problem the hint that the request gives, if any.
pub(super) fn with_hint(problem: Problem, request: &Request<'_>) -> Problem {
    let hint = match problem.code {
        Code::NotFound if !request.id.is_empty() => about_id(request.path(), &request.id),
        Code::PreconditionFailed => about_if_match(request.header("if-match").as_deref()),
        _ => None,
    };
    match hint {
        Some(hint) => problem.adding(&hint),
        None => problem,
    }
}

/// Returns what is wrong with the form of an id, or `None`.
fn about_id(path: &str, id: &str) -> Option<String> {
    const QUOTES: [char; 5] = ['"', '\'', '`', '“', '”'];
    let (_, kind, front) = KINDS.iter().find(|(route, _, _)| path.starts_with(route))?;
    if id.starts_with(QUOTES) || id.ends_with(QUOTES) {
        return Some("The id was sent with quotes: leave them out.".to_owned());
    }
    if id.trim() != id {
        return Some("The id was sent with a space before or after it: leave it out.".to_owned());
    }
    if id.starts_with(['{', '<', ':', '$', '['])
        || matches!(id, "undefined" | "null" | "None" | "id")
    {
        return Some(format!("This is a placeholder: put the id of the {kind} in its place."));
    }
    let is_other = |(_, _, other): &&(&str, &str, &str)| !other.is_empty() && id.starts_with(other);
    if let Some((_, other, begins)) = KINDS.iter().find(is_other)
        && begins != front
    {
        let (other, kind) = (one(other), one(kind));
        return Some(format!(
            "An id that starts with `{begins}` is the id of {other}, not of {kind}."
        ));
    }
    match *front {
        "" if matches!(ChittyId::parse(id), Err(IdError::Checksum)) => {
            Some("The id's check digits do not match: a character is mistyped.".to_owned())
        }
        "" if ChittyId::parse(id).is_err() && is_in_small_letters(id) => {
            Some(format!("A ChittyID is written in capitals: `{}`.", id.to_ascii_uppercase()))
        }
        "" if ChittyId::parse(id).is_err() => Some(match *kind {
            "context" => "This is not a ChittyID. To find a context by its name, GET \
                          /v1/contexts/search?q=…; its `chitty_id` is the id."
                .to_owned(),
            kind => format!("This is not a ChittyID. The id of {} is a ChittyID.", one(kind)),
        }),
        "" => None,
        // It may be the name of a flow, which the handler checks.
        "orc_" if !id.contains('_') => None,
        front if !id.starts_with(front) => {
            Some(format!("The id of a {kind} begins with `{front}`."))
        }
        _ => None,
    }
}

fn is_in_small_letters(id: &str) -> bool {
    ChittyId::parse(&id.to_ascii_uppercase()).is_ok()
}

/// A noun with its article.
fn one(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e']) { "an" } else { "a" };
    format!("{article} {noun}")
}

/// Returns what is wrong with the form of `If-Match`, or `None`.
fn about_if_match(header: Option<&str>) -> Option<String> {
    let header = header?;
    let IfMatch::OneOf(tags) = IfMatch::parse(Some(header)) else { return None };
    let detail = match tags.is_empty() {
        false => return None,
        true if header.trim_start().starts_with("W/") => {
            "`If-Match` has a weak tag (`W/…`), which never matches: send the `ETag` exactly as this \
             gateway returned it."
        }
        true => {
            "`If-Match` has no entity tag: send the `ETag` as returned, with its quotes, or `*`."
        }
    };
    Some(detail.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_an_id_says_what_is_wrong() {
        for (path, id, says) in [
            ("/v1/contexts/x", "\"03-1-USA-0001-P-2611-0-42\"", Some("quotes")),
            ("/v1/contexts/x", "{id}", Some("placeholder")),
            ("/v1/contexts/x", "undefined", Some("placeholder")),
            ("/v1/contexts/x", "03-1-usa-9002-t-2602-0-81", Some("`03-1-USA-9002-T-2602-0-81`")),
            ("/v1/contexts/x", "03-1-USA-9003-T-2602-0-81", Some("mistyped")),
            ("/v1/contexts/x", "03-1-usa-9003-t-2602-0-81", Some("not a ChittyID")),
            ("/v1/contexts/x", "03-1-USA-9002-T-2602-0-81", None),
            ("/v1/contexts/x", " CHITTY-PEO-a", Some("space")),
            ("/v1/contexts/x", "conn_1", Some("`conn_` is the id of a connection")),
            ("/v1/contexts/x", "my release", Some("search")),
            ("/v1/contexts/x", "CHITTY-PEO-a", None),
            ("/v1/actors/x", "alice", Some("ChittyID")),
            ("/v1/connections/x/status", "CHITTY-PEO-a", Some("begins with `conn_`")),
            ("/v1/connections/x", "dlg_1", Some("is the id of a delegation")),
            ("/v1/connections/x", "conn_1", None),
            ("/v1/keys/x", "chitty_abc", Some("begins with `key_`")),
            ("/v1/orchestrations/x", "secure-usr", None),
            ("/v1/orchestrations/x", "key_1", Some("is the id of a key")),
            ("/v1/events/dead-letters/x", "evt_1", Some("is the id of an event")),
            ("/v1/ecosystem/x", "{id}", None),
        ] {
            let said = about_id(path, id);
            assert_eq!(said.is_some(), says.is_some(), "{path} {id}: {said:?}");
            assert!(said.unwrap_or_default().contains(says.unwrap_or_default()), "{path} {id}");
        }
    }

    #[test]
    fn the_form_of_an_entity_tag_says_what_is_wrong() {
        for (header, says) in [
            (Some("evt_1"), Some("with its quotes")),
            (Some("W/\"evt_1\""), Some("weak")),
            (Some("\"evt_1\""), None),
            (Some("*"), None),
            (None, None),
        ] {
            let said = about_if_match(header);
            assert_eq!(said.is_some(), says.is_some(), "{header:?}");
            assert!(said.unwrap_or_default().contains(says.unwrap_or_default()));
        }
    }
}
