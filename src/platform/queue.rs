//! The queue seam: sending, and the messages of a delivery.

use async_trait::async_trait;

/// Sends to one queue.
#[async_trait(?Send)]
pub trait Queue {
    /// Sends the messages, each a text of at most 128 KB (platform limit), in as few calls as the
    /// platform allows. `Err` holds what the platform said; some may have been sent.
    async fn send(&self, messages: Vec<String>) -> Result<(), String>;
}

/// One delivered message. Exactly one of `ack` and `retry` is called for each.
pub trait Delivery {
    /// The text, or `None` when the message is not text.
    fn body(&self) -> Option<String>;

    /// How often it has been delivered, from 1.
    fn attempts(&self) -> u32;

    /// It is dealt with.
    fn ack(&self);

    /// Deliver it again after `delay_s` seconds; past the queue's limit it goes to the dead-letter
    /// queue.
    fn retry(&self, delay_s: u32);
}
