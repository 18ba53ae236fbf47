//! The queue seam: sending, and the messages of a delivery.

use async_trait::async_trait;

/// The most messages of one `sendBatch` (platform limit).
const MAX_BATCH_MESSAGES: usize = 100;

/// The most bytes of one `sendBatch`, below the platform's 256 KB.
const MAX_BATCH_BYTES: usize = 240_000;

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

/// Cuts messages into batches within the platform's limits.
pub fn batches(messages: &[String]) -> impl Iterator<Item = &[String]> {
    let mut rest = messages;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fitting = rest.iter().take(MAX_BATCH_MESSAGES).take_while(|message| {
            bytes += message.len();
            bytes <= MAX_BATCH_BYTES
        });
        // A message beyond the limit goes alone, for the platform to refuse.
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
    fn a_message_beyond_the_limit_goes_alone() {
        let messages = ["a".to_owned(), "x".repeat(MAX_BATCH_BYTES + 1), "b".to_owned()];
        let sizes: Vec<usize> = batches(&messages).map(<[String]>::len).collect();
        assert_eq!(sizes, [1, 1, 1]);
    }
}
