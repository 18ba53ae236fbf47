//! The reply of a handler, before the runtime turns it into a response.

use std::borrow::Cow;
use std::fmt;

use futures_util::stream::LocalBoxStream;
use seams::db::{RuntimeText, Text};
use seams::inbound::RuntimeBody;

/// A reply. `W` is the type of the work that can be done after it.
#[derive(Debug)]
pub struct Reply<W> {
    /// HTTP status; 200 to 599.
    pub status: u16,
    /// The body with its type.
    pub body: Body,
    /// Headers beyond those that every reply has.
    pub headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    /// The work to do once the reply is on its way.
    pub after: Vec<W>,
}

/// The body of a reply.
pub enum Body {
    /// No body.
    Empty,
    /// JSON text.
    Json(String),
    /// JSON text in the runtime's memory.
    RuntimeJson(RuntimeText),
    /// JSON text of a problem.
    Problem(String),
    /// Text of another type.
    Text {
        /// Its media type.
        content_type: &'static str,
        /// The text.
        text: String,
    },
    /// Bytes of any type.
    Bytes {
        /// Their media type, if that is known.
        content_type: Option<String>,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// A body in the runtime's memory, which this program only passes on.
    Runtime {
        /// Its media type.
        content_type: &'static str,
        /// The whole body.
        body: Box<dyn RuntimeBody>,
    },
    /// A body that is sent in pieces, each as soon as it exists.
    Stream {
        /// The media type of the whole body.
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

impl From<String> for Body {
    fn from(text: String) -> Self {
        Body::Json(text)
    }
}

impl From<Text> for Body {
    fn from(text: Text) -> Self {
        match text {
            Text::Own(text) => Body::Json(text),
            Text::Runtime(text) => Body::RuntimeJson(text),
        }
    }
}

impl Body {
    /// The media type of the body.
    pub fn content_type(&self) -> Option<&str> {
        match self {
            Body::Empty => None,
            Body::Json(_) | Body::RuntimeJson(_) => Some("application/json"),
            Body::Problem(_) => Some("application/problem+json"),
            Body::Text { content_type, .. }
            | Body::Runtime { content_type, .. }
            | Body::Stream { content_type, .. } => Some(content_type),
            Body::Bytes { content_type, .. } => content_type.as_deref(),
        }
    }

    /// The text of the body; `None` for an empty body, for bytes, for a stream, and for a body in the
    /// runtime's memory.
    pub fn text(&self) -> Option<&str> {
        match self {
            Body::Empty
            | Body::RuntimeJson(_)
            | Body::Bytes { .. }
            | Body::Runtime { .. }
            | Body::Stream { .. } => None,
            Body::Json(text) | Body::Problem(text) | Body::Text { text, .. } => Some(text),
        }
    }
}

impl<W> Reply<W> {
    /// A reply with nothing but a status and a body.
    pub fn new(status: u16, body: Body) -> Self {
        Reply { status, body, headers: Vec::new(), after: Vec::new() }
    }

    /// JSON text with status 200.
    pub fn json(text: impl Into<Body>) -> Self {
        Reply::new(200, text.into())
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

    /// Adds the member `warnings` to a reply that is a JSON object. Leaves any other reply unchanged.
    #[must_use]
    pub fn warning(mut self, warnings: &[String]) -> Self {
        if warnings.is_empty() {
            return self;
        }
        let text = match std::mem::replace(&mut self.body, Body::Empty) {
            Body::Json(text) if text.ends_with('}') => Text::Own(text),
            // A JSON text in the runtime's memory is always an object.
            Body::RuntimeJson(text) => Text::Runtime(text),
            other => {
                self.body = other;
                return self;
            }
        };
        let is_empty = matches!(&text, Text::Own(text) if text == "{}");
        let comma = if is_empty { "" } else { "," };
        let more = format!("{comma}\"warnings\":{}}}", serde_json::json!(warnings));
        self.body = text.before_last("}").unwrap_or_default().between("", &more).into();
        self
    }

    /// Adds work to do after the reply.
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

#[cfg(test)]
mod tests {
    use super::*;

    type Plain = Reply<()>;

    #[test]
    fn a_body_says_its_type_and_its_text() {
        let text = || "{}".to_owned();
        for (body, content_type, shown) in [
            (Body::Empty, None, None),
            (Body::Json(text()), Some("application/json"), Some("{}")),
            (Body::Problem(text()), Some("application/problem+json"), Some("{}")),
            (Body::Text { content_type: "text/html", text: text() }, Some("text/html"), Some("{}")),
            (
                Body::Bytes { content_type: Some("image/png".to_owned()), bytes: vec![1] },
                Some("image/png"),
                None,
            ),
            (Body::Bytes { content_type: None, bytes: vec![1] }, None, None),
        ] {
            assert_eq!((body.content_type(), body.text()), (content_type, shown));
            assert_eq!(format!("{body:?}"), format!("{content_type:?} {shown:?}"));
        }
    }

    #[test]
    fn warnings_are_a_member_of_an_object() {
        let warned = |body: Body| {
            let reply = Plain::new(200, body).warning(&["a \"b\"".to_owned()]);
            reply.body.text().map(str::to_owned)
        };
        let object = |text: &str| warned(Body::Json(text.to_owned()));
        assert_eq!(object("{}").unwrap(), r#"{"warnings":["a \"b\""]}"#);
        assert_eq!(object(r#"{"a":{}}"#).unwrap(), r#"{"a":{},"warnings":["a \"b\""]}"#);
        assert_eq!(object("[1]").unwrap(), "[1]");
        assert_eq!(warned(Body::Problem("{}".to_owned())).unwrap(), "{}");
        assert_eq!(Plain::json("{}".to_owned()).warning(&[]).body.text(), Some("{}"));
    }
}
