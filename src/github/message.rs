//! Messages of the queue `EVENT_Q`: webhook deliveries that are not recorded yet.
//!
//! A message is one line of JSON that describes the delivery, a line feed, and the payload as JSON text,
//! neither reformatted nor escaped. A payload that is too long for a message is in storage, and the line
//! has its key.

use serde::{Deserialize, Serialize};

use crate::github::encoding::Encoding;

/// The most bytes of a message. The platform's limit is 128 KB of 1000 bytes, metadata included.
pub const MAX_BYTES: usize = 120_000;

/// The first line of a message. The version is the tag, so that a reader recognises an unknown version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "version")]
pub enum Head {
    /// The first version.
    #[serde(rename = "1")]
    V1(WebhookDelivery),
}

/// A webhook delivery, without its payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookDelivery {
    /// Tells a delivery from an event of the gateway.
    #[serde(rename = "type")]
    pub kind: MessageKind,
    /// GitHub's own id of the delivery (`X-GitHub-Delivery`), by which duplicates are recognised.
    pub delivery_id: String,
    /// `X-GitHub-Event`.
    pub event: String,
    /// When the gateway received it, ISO-8601 UTC.
    pub received_at: String,
    /// The trace of GitHub's request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// How a stored body carries the payload. A payload that follows the line is always JSON.
    #[serde(default, skip_serializing_if = "Encoding::is_json")]
    pub encoding: Encoding,
    /// Where the payload is, if it does not follow the line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elsewhere: Option<PayloadPlace>,
}

/// The kind of a message; there is only one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MessageKind {
    /// A webhook delivery.
    #[serde(rename = "github.delivery")]
    Delivery,
}

/// Where a payload is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayloadPlace {
    /// In `CHITTYCONNECT_KV`, under this key.
    Stored(String),
    /// Discarded: the delivery is recorded, with the facts that its handler needs.
    Recorded,
    /// Only at GitHub, under this number of the delivery: it never arrived.
    AtGithub(String),
}

/// Returns the text of a message.
pub fn encode(delivered: &WebhookDelivery, payload: &str) -> String {
    // Serializing strings and unit variants cannot fail.
    let head = serde_json::to_string(&Head::V1(delivered.clone())).unwrap_or_default();
    if delivered.elsewhere.is_some() { head } else { format!("{head}\n{payload}") }
}

/// Reads a message: the delivery, and the payload that follows the line.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub fn decode(message: &str) -> Result<(WebhookDelivery, &str), String> {
    let (head, payload) = message.split_once('\n').unwrap_or((message, ""));
    match serde_json::from_str(head) {
        Ok(Head::V1(delivered)) => Ok((delivered, payload)),
        Err(error) => Err(format!("the message cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivered(elsewhere: Option<PayloadPlace>) -> WebhookDelivery {
        WebhookDelivery {
            kind: MessageKind::Delivery,
            delivery_id: "72d3162e-cc78-11e3-81ab-4c9367dc0958".to_owned(),
            event: "push".to_owned(),
            received_at: "2026-01-02T03:04:05.678Z".to_owned(),
            traceparent: None,
            encoding: Encoding::Json,
            elsewhere,
        }
    }

    /// The next version reads the messages that are in flight during a deploy, so these lines never change.
    const GOLDEN: &str = include_str!("../../tests/native/golden/github-messages-v1.txt");

    #[test]
    fn messages_keep_the_format_of_the_golden_file() {
        let forms = [
            (None, "{ \"ref\": \"a\",\n\n1}"),
            (Some(PayloadPlace::Stored("github/payload/72d3162e".to_owned())), ""),
            (Some(PayloadPlace::Recorded), ""),
            (Some(PayloadPlace::AtGithub("7000000001".to_owned())), ""),
        ];
        let golden: Vec<&str> = GOLDEN.split("----\n").collect();
        assert_eq!(golden.len(), forms.len());
        for (golden, (elsewhere, payload)) in golden.iter().zip(forms) {
            let golden = golden.strip_suffix('\n').unwrap();
            let delivered = delivered(elsewhere);
            assert_eq!(encode(&delivered, payload), golden);
            assert_eq!(decode(golden).unwrap(), (delivered, payload));
        }
    }

    #[test]
    fn the_message_of_a_stored_form_names_its_encoding() {
        let elsewhere = Some(PayloadPlace::Stored("github/payload/1".to_owned()));
        let form = WebhookDelivery { encoding: Encoding::Form, ..delivered(elsewhere) };
        let text = encode(&form, "");
        assert!(text.contains(r#""encoding":"form""#), "{text}");
        assert_eq!(decode(&text).unwrap(), (form, ""));
    }

    #[test]
    fn a_message_that_is_no_delivery_is_an_error() {
        let event = r#"{"version":"1","id":"evt_1","type":"context.created","entity_id":"x","actor_id":"y","at":"z","payload":{}}"#;
        let other = encode(&delivered(None), "{}").replace("\"1\"", "\"2\"");
        for text in ["", "x", "{}", event, &other] {
            assert!(decode(text).is_err(), "{text}");
        }
    }
}
