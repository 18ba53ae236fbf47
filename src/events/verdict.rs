//! The verdict on a message, as a pure function.

use chitty_core::Backoff;

/// The pauses between deliveries of one message, in seconds.
pub const PAUSES_S: Backoff = Backoff { first: 2, longest: 300 };

/// After how many deliveries of one message the consumer stops waiting for a failure to pass. The queue makes
/// four deliveries and then gives up; the sweep announces the events of the outbox again, at longer pauses.
const DELIVERIES: u32 = 3;

/// The outcome for the event of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All effects of the event have taken place, now or before; or the event has a dead letter.
    Settled,
    /// The event is in the outbox and not told yet. Holds the pause that was asked for, if any, in seconds.
    Open(Option<u32>),
    /// Only this message knows of the event, and it is not told yet. Holds the same pause.
    OnlyHere(Option<u32>),
}

/// The verdict on a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Acknowledge it.
    Ack,
    /// Deliver it again after this many seconds.
    Retry(u32),
    /// Store it as a dead letter, for this reason.
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
        // The sweep announces it again, so the queue's few deliveries are not spent on an outage.
        Outcome::Open(_) if attempts >= DELIVERIES => Verdict::Ack,
        Outcome::Open(asked) => pause(asked),
        Outcome::OnlyHere(_) if attempts >= DELIVERIES => {
            Verdict::Dead("the event could not be told".to_owned())
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
