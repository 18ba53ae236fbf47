//! What becomes of a message: pure.

use chitty_core::Backoff;

/// The pauses between deliveries of one message, in seconds.
pub const PAUSES_S: Backoff = Backoff { first: 2, longest: 300 };

/// How many deliveries of one message are spent on what may pass by itself. The queue gives four and
/// then gives up; whatever has a row in the outbox is swept from there, with longer pauses.
const DELIVERIES: u32 = 3;

/// What has become of the event of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All its effects have taken place, now or before; or it has a dead letter.
    Settled,
    /// It is in the outbox and still to be told; when to be asked again, if that was said, in seconds.
    Open(Option<u32>),
    /// Only this message knows of it, and it is still to be told.
    OnlyHere(Option<u32>),
}

/// The verdict on a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is dealt with.
    Ack,
    /// Again after so many seconds.
    Retry(u32),
    /// To the dead letters, and why.
    Dead(String),
}

/// The verdict on a message that was delivered `attempts` times.
pub fn of(outcome: Outcome, attempts: u32, jitter: impl FnOnce(u32) -> u32) -> Verdict {
    let pause = |asked: Option<u32>| {
        let pause_s = PAUSES_S.pause(attempts, jitter);
        Verdict::Retry(pause_s.max(asked.unwrap_or(0)).min(PAUSES_S.longest))
    };
    match outcome {
        Outcome::Settled => Verdict::Ack,
        // The sweep tells it again: the queue's few deliveries are not burnt for an outage.
        Outcome::Open(_) if attempts >= DELIVERIES => Verdict::Ack,
        Outcome::Open(asked) => pause(asked),
        Outcome::OnlyHere(_) if attempts >= DELIVERIES => {
            Verdict::Dead("it could not be told".to_owned())
        }
        Outcome::OnlyHere(asked) => pause(asked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts() {
        let no_jitter = |bound: u32| bound.saturating_sub(1);
        assert_eq!(of(Outcome::Settled, 9, no_jitter), Verdict::Ack);
        for (attempts, pause) in [(1, 2), (2, 4)] {
            assert_eq!(of(Outcome::Open(None), attempts, no_jitter), Verdict::Retry(pause));
            assert_eq!(of(Outcome::OnlyHere(None), attempts, no_jitter), Verdict::Retry(pause));
        }
        assert_eq!(of(Outcome::Open(Some(40)), 1, no_jitter), Verdict::Retry(40));
        assert_eq!(of(Outcome::Open(Some(4000)), 1, no_jitter), Verdict::Retry(300));
        assert_eq!(of(Outcome::Open(None), 3, no_jitter), Verdict::Ack);
        assert!(matches!(of(Outcome::OnlyHere(None), 3, no_jitter), Verdict::Dead(_)));
    }
}
