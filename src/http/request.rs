//! What a handler reads of a request.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;

use chitty_core::Session;
use serde_json::value::RawValue;

use crate::app::App;
use crate::http::budget::Budget;
use crate::http::problem::{Code, Problem};
use crate::http::trace::Trace;
use crate::platform::inbound::{BodyError, HeldBody, Inbound, Intake};

/// The largest body that is read, in bytes.
pub const MAX_BODY_BYTES: usize = 1 << 20;

/// A routed request.
pub struct Request<'a> {
    /// Path parameter `{id}`, percent-decoded; empty where the route has none.
    pub id: String,
    /// What follows the part of the path that the route names, as it was sent: percent-encoded, with
    /// the slash before it and the one at its end.
    pub rest: &'a str,
    /// Correlation.
    pub trace: &'a Trace,
    /// When it arrived, in ms since the Unix epoch: one instant for all that it writes.
    pub now_ms: u64,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) inbound: &'a dyn Inbound,
    /// What is left of the limit that it was counted against last.
    pub(crate) budget: Cell<Option<Budget>>,
}

impl<'a> Request<'a> {
    /// The path as routed, without query and trailing slash.
    pub fn path(&self) -> &'a str {
        self.path
    }

    /// The first query parameter of this name; an empty one counts as absent.
    pub fn query(&self, name: &str) -> Option<Cow<'a, str>> {
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

    /// A header.
    pub fn header(&self, name: &str) -> Option<String> {
        self.inbound.header(name)
    }

    /// Calls to other services because of this request: they carry its correlation, and the
    /// `X-Session-ID` that the caller sent.
    pub fn session(&self, app: &App) -> Session {
        app.core.session(self.trace.call(self.header("x-session-id")))
    }

    /// The body of a request that must carry JSON, as it was sent.
    ///
    /// # Errors
    /// 415 unless the content type is JSON, 413 over [`MAX_BODY_BYTES`], 400 when it breaks off.
    pub async fn json_bytes(&self) -> Result<Vec<u8>, Problem> {
        let content_type = self.header("content-type").unwrap_or_default();
        if !is_json(&content_type) {
            return Err(Problem::new(
                Code::UnsupportedMediaType,
                "Send the body as JSON with the header `Content-Type: application/json`.",
            ));
        }
        self.body_bytes(MAX_BODY_BYTES).await
    }

    /// The body, whatever it is.
    ///
    /// # Errors
    /// 413 over `limit` bytes, 400 when it breaks off.
    pub async fn body_bytes(&self, limit: usize) -> Result<Vec<u8>, Problem> {
        self.inbound.body(limit).await.map_err(|error| no_body(error, limit))
    }

    /// The body, whatever it is; each piece of it is taken from the intake as it comes.
    ///
    /// # Errors
    /// Those of [`Request::body_bytes`]; 503 where there is no room.
    pub async fn gradual_bytes(
        &self,
        limit: usize,
        intake: &dyn Intake,
    ) -> Result<Vec<u8>, Problem> {
        let body = self.inbound.gradual_body(limit, intake).await;
        body.map(|body| body.bytes()).map_err(|error| no_body(error, limit))
    }

    /// The body, whatever it is, where the runtime keeps it.
    ///
    /// # Errors
    /// Those of [`Request::body_bytes`].
    pub async fn held_body(&self, limit: usize) -> Result<Box<dyn HeldBody>, Problem> {
        self.inbound.held_body(limit).await.map_err(|error| no_body(error, limit))
    }
}

/// Why there is no body, for the caller.
pub(crate) fn no_body(error: BodyError, limit: usize) -> Problem {
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

/// The members of a JSON object, each still as it was written.
pub type Members<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

/// Reads a JSON object, leaving the reading of each member to whoever knows what it may be. Of a
/// repeated member the last counts.
///
/// # Errors
/// 400 when it is not JSON, 422 when it is JSON but no object.
pub fn parse_object(bytes: &[u8]) -> Result<Members<'_>, Problem> {
    let is_object = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    let members = if is_object {
        serde_json::from_slice(bytes)
    } else {
        // Of what it is instead, which may be as long as a body, nothing is said.
        serde_json::from_slice::<&RawValue>(bytes).map(|_| None)
    };
    match members {
        Ok(Some(members)) => Ok(members),
        Ok(None) => Err(Problem::invalid("", "must be a JSON object")),
        Err(error) => {
            Err(Problem::new(Code::MalformedRequest, format!("The body is not JSON: {error}.")))
        }
    }
}

/// `application/json` or any `+json` type; a charset, if named, must be UTF-8 (RFC 8259 §8.1).
fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
    let json =
        kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"));
    json && parts.all(|parameter| {
        let parameter = parameter.to_ascii_lowercase();
        match parameter.strip_prefix("charset=") {
            Some(charset) => charset.trim_matches('"') == "utf-8",
            None => true,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types() {
        for good in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
            "application/merge-patch+json",
            "application/json; version=1",
        ] {
            assert!(is_json(good), "{good}");
        }
        for bad in ["", "text/plain", "text/json", "application/json; charset=latin1", "json"] {
            assert!(!is_json(bad), "{bad}");
        }
    }
}
