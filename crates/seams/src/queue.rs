//! The queue seam: sending messages, and handling delivered ones.

use async_trait::async_trait;

/// The most messages of one `sendBatch` (platform limit).
const MAX_BATCH_MESSAGES: usize = 100;

/// The most bytes of one `sendBatch`, below the platform's limit of 256 KB.
const MAX_BATCH_BYTES: usize = 240_000;

/// Sends to one queue.
#[async_trait(?Send)]
pub trait Queue {
    /// Sends the messages, each a text of at most 128 KB (platform limit), in as few calls as the platform
    /// allows. `Err` holds the platform's message; some of the messages may have been sent.
    async fn send(&self, messages: Vec<String>) -> Result<(), String>;
}

/// One delivered message. Exactly one of `ack` and `retry` is called for each.
pub trait Delivery {
    /// The text, or `None` when the message is not text.
    fn body(&self) -> Option<String>;

    /// How often the message has been delivered, from 1.
    fn attempts(&self) -> u32;

    /// Acknowledges the message: the queue does not deliver it again.
    fn ack(&self);

    /// Asks the queue to deliver the message again after `delay_s` seconds. Past the queue's limit of retries
    /// the message goes to the dead-letter queue.
    fn retry(&self, delay_s: u32);
}

/// Cuts messages into batches within the platform's limits.
pub fn batches(messages: &[String]) -> impl Iterator<Item = &[String]> {
    let mut rest = messages;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fitting = rest.iter().take(MAX_BATCH_MESSAGES).take_while(|message| {
            bytes += message.len();
            bytes <= MAX_BATCH_BYTES
        });
        // A message beyond the limit gets a batch of its own; the platform refuses it.
        let count = fitting.count().max(1).min(rest.len());
        let (batch, after) = rest.split_at(count);
        rest = after;
        (!batch.is_empty()).then_some(batch)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn batches_keep_every_message_in_order_and_the_limits(
            sizes in proptest::collection::vec(prop_oneof![0usize..400, 0usize..130_000], 0..300)
        ) {
            let messages: Vec<String> = sizes.iter().map(|size| "x".repeat(*size)).collect();
            let cut: Vec<&[String]> = batches(&messages).collect();
            prop_assert_eq!(cut.concat(), messages.clone());
            for batch in cut {
                let bytes: usize = batch.iter().map(String::len).sum();
                prop_assert!((1..=MAX_BATCH_MESSAGES).contains(&batch.len()));
                prop_assert!(bytes <= MAX_BATCH_BYTES);
            }
        }
    }

    #[test]
    fn a_message_beyond_the_limit_gets_a_batch_of_its_own() {
        let messages = ["a".to_owned(), "x".repeat(MAX_BATCH_BYTES + 1), "b".to_owned()];
        let sizes: Vec<usize> = batches(&messages).map(<[String]>::len).collect();
        assert_eq!(sizes, [1, 1, 1]);
    }
}
