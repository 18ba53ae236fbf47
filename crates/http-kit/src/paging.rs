//! Keyset paging: `limit`, an opaque `cursor`, and the link to the next page.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use seams::ids;

use crate::numbers::whole;
use crate::problem::Problem;
use crate::request::Request;

/// The most entries of a page.
pub const MAX_LIMIT: i64 = 100;

/// Returns how many entries the caller wants, 1 to [`MAX_LIMIT`]; `default` if it does not say.
///
/// # Errors
/// 422 for anything else.
pub fn limit(request: &Request<'_>, default: i64) -> Result<i64, Problem> {
    let Some(text) = request.query("limit") else { return Ok(default) };
    match whole(&text).and_then(|limit| i64::try_from(limit).ok()) {
        Some(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(limit),
        _ => Err(Problem::invalid("?limit", "must be a whole number from 1 to 100")),
    }
}

/// Where a page starts: the sort keys of its first entry. The entry itself may have been deleted meanwhile.
/// Opaque to callers, who send it back unchanged to the list that returned it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor<const N: usize>(pub [String; N]);

/// Separates the list from the keys, and the keys from each other. No key contains it: keys are ids, instants
/// and numbers.
const SEPARATOR: char = '|';

impl<const N: usize> Cursor<N> {
    /// The caller's cursor, if it sent one.
    ///
    /// # Errors
    /// 422 when it is not a cursor, or belongs to another list or to the same list with other filters.
    pub fn of(request: &Request<'_>) -> Result<Option<Self>, Problem> {
        let Some(text) = request.query("cursor") else { return Ok(None) };
        let (list, cursor) = Self::decode(&text).ok_or_else(invalid_cursor)?;
        if list == list_of::<N>(request) { Ok(Some(cursor)) } else { Err(foreign_cursor()) }
    }

    fn decode(text: &str) -> Option<(String, Self)> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let (list, keys) = text.split_once(SEPARATOR)?;
        let keys: Vec<String> = keys.split(SEPARATOR).map(str::to_owned).collect();
        Some((list.to_owned(), Cursor(keys.try_into().ok()?)))
    }

    /// Returns the opaque text of the cursor, for the list that the request asks for.
    pub fn encode(&self, request: &Request<'_>) -> String {
        self.encode_for(&list_of::<N>(request))
    }

    fn encode_for(&self, list: &str) -> String {
        URL_SAFE_NO_PAD.encode(format!("{list}{SEPARATOR}{}", self.0.join("|")))
    }
}

/// Returns what identifies a list in its cursors: a hash of its path and its filters. The page size may
/// change from page to page, except where the cursor is a page number (a cursor of one key).
fn list_of<const N: usize>(request: &Request<'_>) -> String {
    let path = request.path();
    let mut parts: Vec<String> = request
        .query_pairs()
        .filter(|(name, value)| {
            name != "cursor" && !value.is_empty() && (N == 1 || name != "limit")
        })
        .map(|(name, value)| format!("{}={name}{value}", name.len()))
        .collect();
    parts.sort_unstable();
    // `…/list`, the path in the predecessor's API, is the same list.
    let path = path.strip_suffix("/list").unwrap_or(path);
    let mut hash = ids::sha256_hex(&format!("{path}?{}", parts.join("&")));
    hash.truncate(12);
    hash
}

/// 422 for a cursor that cannot be read.
pub fn invalid_cursor() -> Problem {
    Problem::invalid("?cursor", "is not a cursor of this list: use a `next_cursor` as it was given")
}

fn foreign_cursor() -> Problem {
    Problem::invalid(
        "?cursor",
        "is not a cursor of this list with these parameters: use it with the path and the \
         parameters of the page that returned it, or leave it out to get the first page",
    )
}

/// The `Link` header to the next page (RFC 8288): this request with another cursor.
pub fn next_link(request: &Request<'_>, cursor: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in request.query_pairs().filter(|(name, _)| name != "cursor") {
        query.append_pair(&name, &value);
    }
    query.append_pair("cursor", cursor);
    let path: Cow<'_, str> = request.path().into();
    format!("<{path}?{}>; rel=\"next\"", query.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::Parameters;
    use crate::problem::Code;
    use crate::testing::requested;

    #[test]
    fn a_cursor_is_decoded_as_it_was_encoded_and_no_other_text_is_one() {
        let cursor = Cursor(["2026-01-02T03:04:05.678Z".to_owned(), "CHITTY-SYS-X".to_owned()]);
        let text = cursor.encode_for("0123456789ab");
        assert_eq!(Cursor::decode(&text).unwrap(), ("0123456789ab".to_owned(), cursor));
        let three = Cursor(["a".to_owned(), "b".to_owned(), "c".to_owned()]).encode_for("list");
        let bare = URL_SAFE_NO_PAD.encode("2026-01-02T03:04:05.678Z|CHITTY-SYS-X");
        for text in ["", "x", "!!!!", "%00", &three, &bare, &URL_SAFE_NO_PAD.encode([0xff, b'|'])] {
            assert!(Cursor::<2>::decode(text).is_none(), "{text}");
        }
    }

    const LISTED: Parameters = Parameters::NONE.reading(&["limit", "cursor", "status"]);

    fn at<T>(target: &str, look: impl Fn(&Request<'_>) -> T) -> T {
        requested(target, LISTED, &[], b"", async |request: &Request<'_>| look(request))
    }

    #[test]
    fn a_page_has_one_to_a_hundred_entries() {
        let asked = |query: &str| {
            at(&format!("/v1/contexts{query}"), |request| limit(request, 7)).map_err(|p| p.code)
        };
        assert_eq!(asked(""), Ok(7));
        assert_eq!((asked("?limit=1"), asked("?limit=100")), (Ok(1), Ok(100)));
        for bad in ["0", "101", "-1", "1.5", "x", "99999999999999999999"] {
            assert_eq!(asked(&format!("?limit={bad}")), Err(Code::ValidationFailed), "{bad}");
        }
    }

    #[test]
    fn a_cursor_belongs_to_its_list_and_its_filters() {
        let cursor = Cursor(["a".to_owned(), "b".to_owned()]);
        let text = at("/v1/contexts?status=active&limit=2", |request| cursor.encode(request));
        let read = |target: &str| at(&format!("{target}&cursor={text}"), Cursor::<2>::of);
        for same in [
            "/v1/contexts?status=active&limit=2",
            "/v1/contexts?limit=9&status=active",
            "/v1/contexts/list?status=active&x=",
        ] {
            assert_eq!(read(same).unwrap().as_ref(), Some(&cursor), "{same}");
        }
        for other in ["/v1/actors?status=active", "/v1/contexts?status=inactive", "/v1/contexts?"] {
            let refused = read(other).unwrap_err();
            assert!(refused.errors()[0].detail.contains("these parameters"), "{other}");
        }
        assert_eq!(at("/v1/contexts", Cursor::<2>::of).unwrap(), None);
        let garbage = at("/v1/contexts?cursor=x", Cursor::<2>::of).unwrap_err();
        assert!(garbage.errors()[0].detail.contains("as it was given"));
        let counted = Cursor(["5".to_owned()]);
        let text = at("/v1/x?limit=2", |request| counted.encode(request));
        let read = |target: &str| at(&format!("{target}&cursor={text}"), Cursor::<1>::of);
        assert_eq!(read("/v1/x?limit=2").unwrap(), Some(counted.clone()));
        assert!(read("/v1/x?limit=3").is_err(), "a page number belongs to its page size");
    }

    #[test]
    fn the_next_page_is_this_one_with_another_cursor() {
        let link = at("/v1/contexts?cursor=old&status=a%20b", |request| next_link(request, "new"));
        assert_eq!(link, "</v1/contexts?status=a+b&cursor=new>; rel=\"next\"");
    }
}
