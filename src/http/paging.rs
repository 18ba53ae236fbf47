//! Keyset paging: `limit`, an opaque `cursor`, and the link to the next page.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::http::problem::Problem;
use crate::http::request::Request;

/// The largest page.
pub const MAX_LIMIT: i64 = 100;

/// How many entries the caller wants: 1 to [`MAX_LIMIT`].
///
/// # Errors
/// 422 for anything else.
pub fn limit(request: &Request<'_>, default: i64) -> Result<i64, Problem> {
    let Some(text) = request.query("limit") else { return Ok(default) };
    match text.parse() {
        Ok(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(limit),
        _ => Err(Problem::invalid("?limit", "must be a whole number from 1 to 100")),
    }
}

/// Where a page starts: the sort keys of its first entry, which may be gone by then. Opaque to
/// callers; they hand back what they were given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor<const N: usize>(pub [String; N]);

/// Separates the keys. No key holds one: they are ids, instants and numbers.
const SEPARATOR: char = '|';

impl<const N: usize> Cursor<N> {
    /// The caller's cursor, if it sent one.
    ///
    /// # Errors
    /// 422 when it is none of ours.
    pub fn of(request: &Request<'_>) -> Result<Option<Self>, Problem> {
        request.query("cursor").map(|text| Self::decode(&text)).transpose()
    }

    fn decode(text: &str) -> Result<Self, Problem> {
        URL_SAFE_NO_PAD
            .decode(text)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .and_then(|keys| {
                let keys: Vec<String> = keys.split(SEPARATOR).map(str::to_owned).collect();
                keys.try_into().ok()
            })
            .map(Cursor)
            .ok_or_else(invalid_cursor)
    }

    /// The opaque text.
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.join("|"))
    }
}

/// What is said of a cursor that is not one.
pub fn invalid_cursor() -> Problem {
    Problem::invalid("?cursor", "is not a cursor of this list: use a `next_cursor` as it was given")
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

    #[test]
    fn a_cursor_comes_back_as_it_was_given_and_nothing_else_passes() {
        let cursor = Cursor(["2026-01-02T03:04:05.678Z".to_owned(), "CHITTY-SYS-X".to_owned()]);
        assert_eq!(Cursor::decode(&cursor.encode()).unwrap(), cursor);
        let three = Cursor(["a".to_owned(), "b".to_owned(), "c".to_owned()]);
        for text in ["", "x", "!!!!", "%00", &three.encode(), &URL_SAFE_NO_PAD.encode([0xff, b'|'])]
        {
            assert!(Cursor::<2>::decode(text).is_err(), "{text}");
        }
    }
}
