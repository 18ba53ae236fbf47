//! What a handler answers, before a runtime turns it into a response.

use std::borrow::Cow;
use std::fmt;

use futures_util::stream::LocalBoxStream;

/// An answer. `W` is the work that may be left for afterwards.
#[derive(Debug)]
pub struct Reply<W> {
    /// HTTP status; 200 to 599.
    pub status: u16,
    /// The body with its type.
    pub body: Body,
    /// Headers beyond those that every reply has.
    pub headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    /// What is to be done once the reply is on its way.
    pub after: Vec<W>,
}

/// A body.
pub enum Body {
    /// None at all.
    Empty,
    /// JSON text.
    Json(String),
    /// JSON text of a problem.
    Problem(String),
    /// JSON text that never changes.
    StaticJson(&'static str),
    /// Text of another type.
    Text {
        /// Its media type.
        content_type: &'static str,
        /// The text.
        text: String,
    },
    /// Bytes of whatever type.
    Bytes {
        /// Their media type, if that is known.
        content_type: Option<String>,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Pieces as they come.
    Stream {
        /// The media type of the whole.
        content_type: &'static str,
        /// The pieces. Dropped when the client has gone.
        stream: LocalBoxStream<'static, Vec<u8>>,
    },
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.content_type(), self.text())
    }
}

impl Body {
    /// Its media type.
    pub fn content_type(&self) -> Option<&str> {
        match self {
            Body::Empty => None,
            Body::Json(_) | Body::StaticJson(_) => Some("application/json"),
            Body::Problem(_) => Some("application/problem+json"),
            Body::Text { content_type, .. } | Body::Stream { content_type, .. } => {
                Some(content_type)
            }
            Body::Bytes { content_type, .. } => content_type.as_deref(),
        }
    }

    /// Its text, unless it is still to come or may be no text.
    pub fn text(&self) -> Option<&str> {
        match self {
            Body::Empty | Body::Bytes { .. } | Body::Stream { .. } => None,
            Body::Json(text) | Body::Problem(text) | Body::Text { text, .. } => Some(text),
            Body::StaticJson(text) => Some(text),
        }
    }
}

impl<W> Reply<W> {
    /// A reply with nothing but a status and a body.
    pub fn new(status: u16, body: Body) -> Self {
        Reply { status, body, headers: Vec::new(), after: Vec::new() }
    }

    /// JSON text with status 200.
    pub fn json(text: String) -> Self {
        Reply::new(200, Body::Json(text))
    }

    /// Adds a header. The value must be visible ASCII.
    #[must_use]
    pub fn header(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds what the caller should know to a JSON object, as its member `warnings`.
    #[must_use]
    pub fn warning(mut self, warnings: &[String]) -> Self {
        if let Body::Json(text) = &mut self.body
            && !warnings.is_empty()
            && text.ends_with('}')
        {
            text.pop();
            let comma = if text.ends_with('{') { "" } else { "," };
            text.push_str(&format!("{comma}\"warnings\":{}}}", serde_json::json!(warnings)));
        }
        self
    }

    /// Adds work for afterwards.
    #[must_use]
    pub fn then(mut self, work: W) -> Self {
        self.after.push(work);
        self
    }

    /// The value of a header that the handler set.
    pub fn header_value(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_ref())
    }
}
