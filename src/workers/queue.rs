//! Queues behind the [`Queue`] and [`Delivery`] seams.
//!
//! Bodies are texts made by serde_json: the `worker` crate's own serialization would lose maps.

use async_trait::async_trait;
use js_sys::{Array, Object, Reflect};
use seams::log;
use seams::queue::{Delivery, Queue, batches};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use worker::worker_sys;

use super::thrown;

/// A queue that this worker sends to.
pub(crate) struct Producer {
    binding: worker_sys::Queue,
}

impl Producer {
    pub(crate) fn new(binding: worker_sys::Queue) -> Self {
        Producer { binding }
    }

    /// Sends a single message as it is, which is cheaper: the runtime wraps a batch in base64 and JSON.
    async fn send_one(&self, message: &str) -> Result<(), JsValue> {
        let options = object(&[("contentType", JsValue::from_str("text"))])?;
        let sent = self.binding.send(JsValue::from_str(message), options.into())?;
        JsFuture::from(sent).await.map(|_| ())
    }

    async fn send_batch(&self, messages: &[String]) -> Result<(), JsValue> {
        let requests = Array::new();
        for message in messages {
            let request = object(&[
                ("body", JsValue::from_str(message)),
                ("contentType", JsValue::from_str("text")),
            ])?;
            requests.push(&request);
        }
        let sent = self.binding.send_batch(requests, JsValue::UNDEFINED)?;
        JsFuture::from(sent).await.map(|_| ())
    }
}

#[async_trait(?Send)]
impl Queue for Producer {
    async fn send(&self, messages: Vec<String>) -> Result<(), String> {
        for batch in batches(&messages) {
            let sent = match batch {
                [message] => self.send_one(message).await,
                _ => self.send_batch(batch).await,
            };
            sent.map_err(|error| thrown(&error))?;
        }
        Ok(())
    }
}

/// A delivered message.
pub(crate) struct QueueMessage {
    message: worker_sys::Message,
}

/// The messages of a batch.
pub(crate) fn deliveries(batch: &worker_sys::MessageBatch) -> Vec<QueueMessage> {
    match batch.messages() {
        Ok(messages) => messages
            .iter()
            .map(|message| QueueMessage { message: message.unchecked_into() })
            .collect(),
        Err(error) => {
            log::error("batch_unreadable", &[("error", &thrown(&error))]);
            Vec::new()
        }
    }
}

impl Delivery for QueueMessage {
    fn body(&self) -> Option<String> {
        self.message.body().ok()?.as_string()
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 101")]
    fn attempts(&self) -> u32 {
        // The `worker` crate's binding lacks `attempts` (workers-rs #1057).
        Reflect::get(&self.message, &JsValue::from_str("attempts"))
            .ok()
            .and_then(|attempts| attempts.as_f64())
            .map_or(1, |attempts| attempts as u32)
    }

    fn ack(&self) {
        if let Err(error) = self.message.ack() {
            log::error("ack_failed", &[("error", &thrown(&error))]);
        }
    }

    fn retry(&self, delay_s: u32) {
        let retried = object(&[("delaySeconds", JsValue::from(delay_s))])
            .and_then(|options| self.message.retry(options.into()));
        if let Err(error) = retried {
            log::error("retry_failed", &[("error", &thrown(&error))]);
        }
    }
}

fn object(members: &[(&str, JsValue)]) -> Result<Object, JsValue> {
    let object = Object::new();
    for (name, value) in members {
        Reflect::set(&object, &JsValue::from_str(name), value)?;
    }
    Ok(object)
}
