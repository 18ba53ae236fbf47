//! The request as a handler reads it.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;

use chitty_core::{ChittyCore, Session};
use seams::inbound::{BodyError, Inbound, Intake, RuntimeBody};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::body::{self, Coding};
use crate::budget::Budget;
use crate::parameters::Parameters;
use crate::problem::{Code, FieldError, Problem};
use crate::trace::Trace;

/// The largest body that is read, in bytes.
pub const MAX_BODY_BYTES: usize = 1 << 20;

/// A routed request.
pub struct Request<'a> {
    /// Path parameter `{id}`, percent-decoded; empty where the route has none.
    pub id: String,
    /// The rest of the path after the part that the route names, as it was sent: percent-encoded, with the
    /// slash before it and the one at its end.
    pub rest: &'a str,
    /// The request id and the trace context.
    pub trace: &'a Trace,
    /// When the request arrived, in ms since the Unix epoch. Everything that the request writes has this
    /// instant.
    pub now_ms: u64,
    /// The path as routed, without query and trailing slash.
    pub path: &'a str,
    /// The query as it was sent, without its question mark.
    pub query: &'a str,
    /// Which query parameters the route takes.
    pub parameters: Parameters,
    /// The request as the runtime has it.
    pub inbound: &'a dyn Inbound,
    /// The rest of the rate limit against which the request was counted last.
    pub budget: Cell<Option<Budget>>,
}

impl<'a> Request<'a> {
    /// The path as routed, without query and trailing slash.
    pub fn path(&self) -> &'a str {
        self.path
    }

    /// The first query parameter of this name, decoded; an empty one counts as absent. The route must declare
    /// that it reads the parameter.
    pub fn query(&self, name: &str) -> Option<Cow<'a, str>> {
        debug_assert!(self.parameters.reads(name), "the route does not say that it reads ?{name}");
        self.query_pairs().find(|(key, _)| key == name).map(|(_, v)| v).filter(|v| !v.is_empty())
    }

    /// All query parameters in order, decoded.
    pub fn query_pairs(&self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> + use<'a> {
        form_urlencoded::parse(self.query.as_bytes())
    }

    /// The query as it was sent, without its question mark.
    pub fn raw_query(&self) -> &'a str {
        self.query
    }

    /// The method as it was sent.
    pub fn method(&self) -> String {
        self.inbound.method()
    }

    /// Every header, names in lower case.
    pub fn headers(&self) -> Vec<(String, String)> {
        self.inbound.headers()
    }

    /// The value of a header; several of one name are joined by `, `.
    pub fn header(&self, name: &str) -> Option<String> {
        self.inbound.header(name)
    }

    /// Returns a session for calls to other services on behalf of this request. The calls carry its request
    /// id, its trace context and the `X-Session-ID` that the caller sent.
    pub fn session(&self, core: &ChittyCore) -> Session {
        core.session(self.trace.call(self.header("x-session-id")))
    }

    /// Returns the body of a request that must carry JSON, unpacked and without a byte order mark.
    ///
    /// # Errors
    /// 415 unless the content type is JSON in UTF-8 and the content coding is known, 413 over
    /// [`MAX_BODY_BYTES`], 400 when it breaks off or is empty.
    pub async fn json_bytes(&self) -> Result<Vec<u8>, Problem> {
        if let Err(refusal) = body::check_json(&self.header("content-type").unwrap_or_default()) {
            let is_empty = self.header("content-type").is_none() && self.read().await?.is_empty();
            return Err(if is_empty { body::empty() } else { refusal });
        }
        let bytes = self.read().await?;
        let text = body::text(&bytes)?;
        Ok(if text.len() == bytes.len() { bytes } else { text.to_vec() })
    }

    /// The same for a request that requires no member: `null` and no body, with or without a content type,
    /// count as an empty object.
    ///
    /// # Errors
    /// Those of [`Request::json_bytes`], except for an empty body.
    pub async fn optional_json_bytes(&self) -> Result<Vec<u8>, Problem> {
        let bytes = self.read().await?;
        if matches!(bytes.trim_ascii(), b"" | b"null") {
            return Ok(b"{}".to_vec());
        }
        body::check_json(&self.header("content-type").unwrap_or_default())?;
        let text = body::text(&bytes)?;
        Ok(if text.len() == bytes.len() { bytes } else { text.to_vec() })
    }

    /// Returns the unpacked body. It may have at most [`MAX_BODY_BYTES`] both packed and unpacked.
    async fn read(&self) -> Result<Vec<u8>, Problem> {
        let coding = Coding::of(self.header("content-encoding").as_deref())?;
        let bytes = self.body_bytes(MAX_BODY_BYTES).await?;
        // Some clients send `Content-Encoding: gzip` with an empty body.
        if bytes.is_empty() { Ok(bytes) } else { coding.decode(bytes, MAX_BODY_BYTES) }
    }

    /// Returns the body as it was sent, whatever its type.
    ///
    /// # Errors
    /// 413 over `limit` bytes, 400 when it breaks off.
    pub async fn body_bytes(&self, limit: usize) -> Result<Vec<u8>, Problem> {
        self.inbound.body(limit).await.map_err(|error| no_body(error, limit))
    }

    /// Returns the body as it was sent, whatever its type. `intake` admits each piece of it as it arrives.
    ///
    /// # Errors
    /// Those of [`Request::body_bytes`]; 503 when `intake` has no room for a piece.
    pub async fn gradual_bytes(
        &self,
        limit: usize,
        intake: &dyn Intake,
    ) -> Result<Vec<u8>, Problem> {
        let body = self.inbound.gradual_body(limit, intake).await;
        body.map(|body| body.bytes()).map_err(|error| no_body(error, limit))
    }

    /// Returns the body as it was sent, whatever its type, and leaves it in the runtime's memory.
    ///
    /// # Errors
    /// Those of [`Request::body_bytes`].
    pub async fn held_body(&self, limit: usize) -> Result<Box<dyn RuntimeBody>, Problem> {
        self.inbound.held_body(limit).await.map_err(|error| no_body(error, limit))
    }
}

/// The problem for a body that could not be read.
pub fn no_body(error: BodyError, limit: usize) -> Problem {
    match error {
        BodyError::TooLarge => {
            Problem::new(Code::PayloadTooLarge, format!("The body may hold at most {limit} bytes."))
        }
        BodyError::Broken => Problem::new(
            Code::MalformedRequest,
            "The body broke off before its end. Send the request again.",
        ),
        BodyError::Crowded => Problem::new(
            Code::NotReady,
            "There is no room for the body just now. Send the request again.",
        ),
    }
}

/// The members of a JSON object, by name; each value is still the text that was sent.
pub type Members<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

/// The members of an object, and the names that it has more than once.
#[derive(Debug, Default)]
pub struct Object<'a> {
    /// The members; of a repeated member, the last one.
    pub members: Members<'a>,
    /// The repeated names, at most [`MAX_REPORTED`].
    pub repeated: Vec<String>,
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Object<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut object = Object::default();
                while let Some((name, value)) = map.next_entry::<Cow<'de, str>, &'de RawValue>()? {
                    let is_noted = object.repeated.len() >= MAX_REPORTED
                        || object.repeated.iter().any(|one| *one == name);
                    if object.members.insert(name.clone(), value).is_some() && !is_noted {
                        object.repeated.push(name.into_owned());
                    }
                }
                Ok(object)
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// The most members with one kind of fault that a problem names; a body may have a hundred thousand.
pub const MAX_REPORTED: usize = 20;

/// Reads a JSON object. Leaves the values of its members unread, for code that knows their types.
///
/// # Errors
/// 400 when it is not JSON, 422 when it is JSON but no object, or has a member twice.
pub fn parse_object(bytes: &[u8]) -> Result<Members<'_>, Problem> {
    let is_object = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    let object = if is_object {
        serde_json::from_slice::<Object<'_>>(bytes).map(Some)
    } else {
        // Checks only that it is JSON. No error quotes the value, which may be as long as a body.
        serde_json::from_slice::<&RawValue>(bytes).map(|_| None)
    };
    match object {
        Ok(Some(object)) if object.repeated.is_empty() => Ok(object.members),
        Ok(Some(object)) => {
            let twice = |name: &String| FieldError::new(pointer("", name), TWICE);
            Err(Problem::validation(object.repeated.iter().map(twice).collect()))
        }
        Ok(None) => Err(Problem::invalid(
            "",
            match bytes.trim_ascii_start().first() {
                Some(b'[') => "must be a JSON object, but is an array: send one object a request",
                Some(b'"') => "must be a JSON object, but is a text: send no JSON within a string",
                _ => "must be a JSON object, such as {\"name\": \"value\"}",
            },
        )),
        Err(error) => Err(not_json(bytes, &error)),
    }
}

/// The detail of the error for a member or parameter that was sent more than once.
pub const TWICE: &str = "is there more than once: send it once";

/// 400 for a body that is not JSON, with a hint at the likely mistake.
fn not_json(bytes: &[u8], error: &serde_json::Error) -> Problem {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace()).copied();
    let at = line_offset(bytes, error.line(), error.column());
    let before = bytes.get(..at).unwrap_or_default();
    let here = bytes.get(at).copied();
    let last = before.iter().rfind(|byte| !byte.is_ascii_whitespace()).copied();
    let is_form = first.is_some_and(|b| b.is_ascii_alphabetic() || b == b'%')
        && bytes.iter().take(1024).any(|b| *b == b'=');
    let hint = match (last, here) {
        _ if is_form => " It looks like a form: send a JSON object, such as {\"name\": \"value\"}.",
        _ if std::str::from_utf8(bytes).is_err() => " It is not in UTF-8: send it in UTF-8.",
        _ if error.is_eof() => " It ends too early: close every string, array and object.",
        (Some(b','), Some(b'}' | b']')) => " Remove the comma before it.",
        (_, Some(b'\'')) => " Put strings and names in double quotes.",
        (_, Some(b'N' | b'I' | b'-' | b'+' | b'.' | b'0'..=b'9')) => {
            " JSON has no NaN, no Infinity, and no numbers such as `.5`, `+1` or `01`."
        }
        (_, Some(b'T' | b'F' | b'u')) => " JSON writes `true`, `false` and `null`.",
        (_, Some(b'/' | b'#')) => " JSON has no comments.",
        (Some(b'{' | b','), Some(b'a'..=b'z' | b'A'..=b'Z' | b'_')) => {
            " Put the names of members in double quotes."
        }
        _ => "",
    };
    Problem::new(Code::MalformedRequest, format!("The body is not JSON: {error}.{hint}"))
}

/// Returns the offset in bytes of a line and column, both counted from 1 as by serde_json.
fn line_offset(bytes: &[u8], line: usize, column: usize) -> usize {
    let line = line.saturating_sub(1);
    let from = match line {
        0 => 0,
        _ => {
            let mut ends = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n');
            ends.nth(line - 1).map_or(bytes.len(), |(at, _)| at + 1)
        }
    };
    (from + column.saturating_sub(1)).min(bytes.len())
}

/// Returns the JSON pointer (RFC 6901) to a member, below the member `prefix` if that is not empty. Cuts the
/// name to 64 characters, because it may be as long as a body.
pub fn pointer(prefix: &str, name: &str) -> String {
    const MAX_CHARS: usize = 64;
    let escaped = name.replace('~', "~0").replace('/', "~1");
    let mut cut: String = escaped.chars().take(MAX_CHARS).collect();
    if cut.len() < escaped.len() {
        cut.push('…');
    }
    match prefix {
        "" => format!("/{cut}"),
        prefix => format!("/{prefix}/{cut}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::requested;

    #[test]
    fn a_member_that_is_there_twice_is_named() {
        let problem = parse_object(br#"{"a":1,"b":2,"\u0061":3,"a":4}"#).unwrap_err();
        assert_eq!(problem.code, Code::ValidationFailed);
        assert_eq!(problem.errors(), [FieldError::new("/a", TWICE)]);
        let many: String = (0..50_000).map(|n| format!("\"{n}\":1,\"{n}\":1,")).collect();
        let many = format!("{{{}\"z\":1}}", many);
        assert_eq!(parse_object(many.as_bytes()).unwrap_err().errors().len(), MAX_REPORTED);
    }

    #[test]
    fn a_body_that_is_not_json_gets_a_hint() {
        for (body, says) in [
            (r#"{"name": "n",}"#, "comma"),
            (r#"{"data": [1, ]}"#, "comma"),
            ("{'name': 'n'}", "double quotes"),
            (r#"{name: "n"}"#, "double quotes"),
            (r#"{"data": [NaN]}"#, "NaN"),
            (r#"{"data": [01]}"#, "NaN"),
            (r#"{"data": [.5]}"#, "NaN"),
            (r#"{"data": [True]}"#, "`true`"),
            ("{\n  // a comment\n  \"name\": 1}", "comments"),
            (r#"{"name": "n""#, "ends too early"),
            ("name=n&data=1", "form"),
            ("%7B=1", "form"),
        ] {
            let problem = parse_object(body.as_bytes()).unwrap_err();
            assert_eq!(problem.code, Code::MalformedRequest, "{body}");
            assert!(problem.detail.contains(says), "{body}: {}", problem.detail);
        }
    }

    #[test]
    fn a_body_that_is_neither_an_object_nor_a_form_gets_its_own_detail() {
        for body in ["name", "9=1", "!a=1"] {
            let problem = parse_object(body.as_bytes()).unwrap_err();
            assert!(!problem.detail.contains("form"), "{body}: {}", problem.detail);
        }
        for (body, says) in
            [("[{}]", "an array"), ("\"{}\"", "a text"), ("7", "must be a JSON object")]
        {
            let problem = parse_object(body.as_bytes()).unwrap_err();
            assert_eq!(problem.code, Code::ValidationFailed);
            assert!(problem.errors()[0].detail.contains(says), "{body}");
        }
    }

    #[test]
    fn a_body_in_another_charset_gets_a_hint() {
        for body in [&b"{\"name\":\"caf\xe9\"}"[..], b"{\"caf\xe9\":1}"] {
            let problem = parse_object(body).unwrap_err();
            assert_eq!(problem.code, Code::MalformedRequest);
            assert!(problem.detail.contains("send it in UTF-8"), "{}", problem.detail);
        }
    }

    #[test]
    fn pointers() {
        assert_eq!(pointer("", "a/b~c"), "/a~1b~0c");
        assert_eq!(pointer("credentials", "x"), "/credentials/x");
        assert_eq!(pointer("", &"é".repeat(1000)).chars().count(), 66);
    }

    const JSON: (&str, &str) = ("content-type", "application/json");

    fn read(headers: &[(&str, &str)], body: &[u8], is_optional: bool) -> Result<String, Code> {
        let read = async |request: &Request<'_>| match is_optional {
            true => request.optional_json_bytes().await,
            false => request.json_bytes().await,
        };
        let read = requested("/v1/contexts", Parameters::NONE, headers, body, read);
        read.map(|bytes| String::from_utf8(bytes).unwrap()).map_err(|problem| problem.code)
    }

    #[test]
    fn a_body_is_read_as_its_headers_say() {
        assert_eq!(read(&[JSON], b"{}", false), Ok("{}".to_owned()));
        assert_eq!(
            read(&[JSON], b"\xef\xbb\xbf{}", false),
            Ok("{}".to_owned()),
            "without its mark"
        );
        assert_eq!(read(&[], b"{}", false), Err(Code::UnsupportedMediaType));
        assert_eq!(read(&[], b"", false), Err(Code::MalformedRequest));
        assert_eq!(read(&[JSON], b"", false), Err(Code::MalformedRequest));
        let long = vec![b' '; MAX_BODY_BYTES + 1];
        assert_eq!(read(&[JSON], &long, false), Err(Code::PayloadTooLarge));
        assert!(read(&[JSON], &long[1..], true).is_ok());
        let unknown = [JSON, ("content-encoding", "br")];
        assert_eq!(read(&unknown, b"{}", false), Err(Code::UnsupportedMediaType));
        let gzip = [JSON, ("content-encoding", "gzip")];
        assert_eq!(read(&gzip, b"{}", false), Err(Code::MalformedRequest));
        assert_eq!(read(&gzip, b"", true), Ok("{}".to_owned()), "nothing to compress");
    }

    #[test]
    fn an_optional_body_may_be_left_out() {
        for body in [&b""[..], b" \n", b"null", b" null "] {
            assert_eq!(read(&[], body, true), Ok("{}".to_owned()));
        }
        assert_eq!(read(&[JSON], b"\xef\xbb\xbf[]", true), Ok("[]".to_owned()));
        assert_eq!(read(&[], b"{}", true), Err(Code::UnsupportedMediaType));
    }

    #[test]
    fn a_query_is_decoded_and_an_empty_parameter_is_absent() {
        let parameters = Parameters::NONE.reading(&["q", "x", "y"]);
        let headers = [("accept", "text/html")];
        let target = "/v1/contexts?q=a%20b&x=&q=c";
        requested(target, parameters, &headers, b"", async |request: &Request<'_>| {
            assert_eq!(request.query("q").as_deref(), Some("a b"));
            assert_eq!((request.query("x"), request.query("y")), (None, None));
            assert_eq!(request.query_pairs().count(), 3);
            assert_eq!((request.path(), request.raw_query()), ("/v1/contexts", "q=a%20b&x=&q=c"));
            assert_eq!(request.header("accept").as_deref(), Some("text/html"));
            assert_eq!(request.headers(), [("accept".to_owned(), "text/html".to_owned())]);
            assert_eq!(request.method(), "POST");
        });
    }
}
