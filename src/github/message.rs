//! Messages of the queue `EVENT_Q`: webhook deliveries on their way to being recorded.
//!
//! A message is one line of JSON, which says what was delivered, and after a line feed the payload
//! exactly as GitHub sent it: nothing is parsed or escaped before GitHub has its answer. Where the
//! payload is too long for a queue, it is in storage and the line says under which key.

use serde::{Deserialize, Serialize};

use crate::github::encoding::Encoding;

/// The most bytes of a message, below what the platform takes (128 KB of 1000 bytes, metadata included).
pub const MAX_BYTES: usize = 120_000;

/// The line of a message. The version is the tag, so that a reader meets an unknown one as what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "version")]
pub enum Head {
    /// The first version.
    #[serde(rename = "1")]
    V1(WebhookDelivery),
}

/// What was delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookDelivery {
    /// What this is, so that it is not taken for an event of the gateway.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// GitHub's own id of the delivery (`X-GitHub-Delivery`): by it a repeat is recognised.
    pub delivery_id: String,
    /// `X-GitHub-Event`.
    pub event: String,
    /// When the gateway took it, ISO-8601 UTC.
    pub received_at: String,
    /// The trace of the request that brought it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// How what is stored carries the payload; what follows is always the payload itself.
    #[serde(default, skip_serializing_if = "Encoding::is_json")]
    pub encoding: Encoding,
    /// Where the payload is, if it does not follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elsewhere: Option<PayloadPlace>,
}

/// The one kind of message there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
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
    /// Nowhere any more: what matters of it is on record.
    Recorded,
    /// Only at GitHub, under this number: it never arrived.
    AtGithub(String),
}

/// The text that goes on the queue.
pub fn encode(delivered: &WebhookDelivery, payload: &str) -> String {
    // Texts and unit variants: this cannot fail.
    let head = serde_json::to_string(&Head::V1(delivered.clone())).unwrap_or_default();
    if delivered.elsewhere.is_some() { head } else { format!("{head}\n{payload}") }
}

/// Reads a message: what was delivered, and the payload that follows.
///
/// # Errors
/// What is wrong with it, in words.
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
            kind: Kind::Delivery,
            delivery_id: "72d3162e-cc78-11e3-81ab-4c9367dc0958".to_owned(),
            event: "push".to_owned(),
            received_at: "2026-01-02T03:04:05.678Z".to_owned(),
            traceparent: None,
            encoding: Encoding::Json,
            elsewhere,
        }
    }

    /// What is in flight during a deploy is read by the next version, so these lines never change.
    const GOLDEN: &str = include_str!("../../tests/native/golden/github-messages-v1.txt");

    #[test]
    fn messages_are_written_and_read_as_they_always_were() {
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
    fn a_form_that_is_stored_is_said_so() {
        let elsewhere = Some(PayloadPlace::Stored("github/payload/1".to_owned()));
        let form = WebhookDelivery { encoding: Encoding::Form, ..delivered(elsewhere) };
        let text = encode(&form, "");
        assert!(text.contains(r#""encoding":"form""#), "{text}");
        assert_eq!(decode(&text).unwrap(), (form, ""));
    }

    #[test]
    fn what_is_no_delivery_is_said_so() {
        let event = r#"{"version":"1","id":"evt_1","type":"context.created","entity_id":"x","actor_id":"y","at":"z","payload":{}}"#;
        let other = encode(&delivered(None), "{}").replace("\"1\"", "\"2\"");
        for text in ["", "x", "{}", event, &other] {
            assert!(decode(text).is_err(), "{text}");
        }
    }
}
