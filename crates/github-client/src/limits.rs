//! GitHub's rate limits: which answers set one, and which callers have to wait.
//!
//! The primary limit counts the calls of a caller by the hour; the secondary limits guard GitHub against
//! bursts. GitHub may block a caller altogether that keeps calling while a limit is in force, so the client
//! makes no such calls.

use std::cell::RefCell;
use std::collections::BTreeMap;

use seams::outside::OutsideResponse;
use serde::Deserialize;

use crate::error::{ErrorKind, GithubError};

/// The caller to whom GitHub counts a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RateBucket {
    /// The App itself.
    App,
    /// The OAuth client: a call without a token.
    Client,
    /// A user. The client remembers no limits of users: each user has a limit of their own, and a token that
    /// is used for one visit.
    User,
    /// An installation, by its number.
    Installation(i64),
}

/// The longest wait that the client believes, in seconds: GitHub's windows last an hour.
const MAX_WAIT_S: u64 = 3660;

/// The wait if GitHub does not say how long, in seconds; its documentation asks for a minute.
const UNSAID_WAIT_S: u64 = 60;

/// The most callers whose limits are remembered.
const MAX_WAITING: usize = 512;

/// The callers who have to wait, each with the end of the wait, in ms since the Unix epoch.
#[derive(Default)]
pub(crate) struct Limits(RefCell<BTreeMap<RateBucket, u64>>);

impl Limits {
    /// Fails while the caller's limit is in force.
    pub(crate) fn check(&self, who: RateBucket, now_ms: u64) -> Result<(), GithubError> {
        match self.0.borrow().get(&who) {
            Some(until_ms) if now_ms < *until_ms => Err(limited(*until_ms, now_ms)),
            _ => Ok(()),
        }
    }

    /// Remembers a caller's limit until it ends.
    pub(crate) fn set(&self, who: RateBucket, until_ms: u64, now_ms: u64) {
        if who == RateBucket::User {
            return;
        }
        let mut waiting = self.0.borrow_mut();
        if waiting.len() >= MAX_WAITING {
            waiting.retain(|_, until| now_ms < *until);
        }
        if waiting.len() >= MAX_WAITING {
            let soonest = waiting.iter().min_by_key(|(_, until)| **until).map(|(who, _)| *who);
            soonest.map(|who| waiting.remove(&who));
        }
        let until = waiting.entry(who).or_default();
        // A late answer may say an earlier end than the answers before it.
        *until = until_ms.max(*until);
    }
}

/// Returns the error of a call that has to wait.
pub(crate) fn limited(until_ms: u64, now_ms: u64) -> GithubError {
    let seconds = until_ms.saturating_sub(now_ms).div_ceil(1000);
    let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
    GithubError::new(ErrorKind::RateLimited).retry_after(Some(seconds))
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    message: String,
}

/// Returns the end of the limit that an answer sets, in ms since the Unix epoch; `None` if it sets none.
pub(crate) fn until_ms(answer: &OutsideResponse, now_ms: u64) -> Option<u64> {
    if !matches!(answer.status, 403 | 429) {
        return None;
    }
    let now_s = now_ms / 1000;
    let primary_s = (number(answer, "x-ratelimit-remaining") == Some(0))
        .then(|| number(answer, "x-ratelimit-reset"))
        .flatten()
        // The window ends within that second at the latest.
        .map(|reset| (reset + 1).saturating_sub(now_s));
    let said_s = primary_s.max(number(answer, "retry-after"));
    let wait_s = match said_s {
        Some(said_s) => said_s.clamp(1, MAX_WAIT_S),
        None if answer.status == 429 || mentions_a_limit(answer) => UNSAID_WAIT_S,
        None => return None,
    };
    Some(now_ms + wait_s * 1000)
}

/// Returns after how many seconds to try again, if the answer says so.
pub(crate) fn retry_after_s(answer: &OutsideResponse) -> Option<u32> {
    let seconds = number(answer, "retry-after")?.clamp(1, MAX_WAIT_S);
    u32::try_from(seconds).ok()
}

fn number(answer: &OutsideResponse, header: &str) -> Option<u64> {
    answer.header(header)?.trim().parse().ok().filter(|number| *number < 1 << 40)
}

fn mentions_a_limit(answer: &OutsideResponse) -> bool {
    let refusal = serde_json::from_slice::<Refusal>(&answer.body);
    refusal.is_ok_and(|Refusal { message }| {
        let message = message.to_ascii_lowercase();
        message.contains("rate limit") || message.contains("abuse detection")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_767_323_045_500;

    fn wait_ms(status: u16, headers: &[(&str, &str)], body: &str) -> Option<u64> {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let body = body.as_bytes().to_vec();
        let answer = OutsideResponse { status, headers: headers.collect(), body };
        until_ms(&answer, NOW_MS).map(|until| until - NOW_MS)
    }

    #[test]
    fn limits_are_told_from_refusals() {
        let used_up = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1767323105")];
        let left = [("x-ratelimit-remaining", "7"), ("x-ratelimit-reset", "1767323105")];
        let secondary = r#"{"message":"You have exceeded a secondary rate limit."}"#;
        for (status, headers, body, wait) in [
            (403, &used_up[..], "{}", Some(61_000)),
            (429, &used_up[..], "{}", Some(61_000)),
            (200, &used_up[..], "{}", None),
            (404, &used_up[..], "{}", None),
            (403, &left[..], "{}", None),
            (403, &left[..], secondary, Some(60_000)),
            (403, &[], r#"{"message":"Resource not accessible by integration"}"#, None),
            (403, &[], "<html>rate limit</html>", None),
            (429, &[], "", Some(60_000)),
            (403, &[("retry-after", "5")], secondary, Some(5_000)),
            (403, &[("retry-after", "0")], "", Some(1_000)),
            (403, &[("retry-after", "99999999")], "", Some(3_660_000)),
            (403, &[("retry-after", "soon")], secondary, Some(60_000)),
            (403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1")], "", Some(1_000)),
        ] {
            assert_eq!(wait_ms(status, headers, body), wait, "{status} {headers:?} {body}");
        }
        let both = [used_up[0], used_up[1], ("retry-after", "5")];
        assert_eq!(wait_ms(403, &both, secondary), Some(61_000), "the longer one");
    }

    #[test]
    fn each_caller_waits_alone_and_the_memory_is_bounded() {
        let limits = Limits::default();
        limits.set(RateBucket::Installation(1), 5000, 0);
        limits.set(RateBucket::Installation(1), 2000, 0);
        let error = limits.check(RateBucket::Installation(1), 3001).unwrap_err();
        assert_eq!((error.kind, error.retry_after_s), (ErrorKind::RateLimited, Some(2)));
        assert!(limits.check(RateBucket::Installation(1), 5000).is_ok());
        assert!(limits.check(RateBucket::Installation(2), 0).is_ok());
        limits.set(RateBucket::User, 5000, 0);
        assert!(limits.check(RateBucket::User, 0).is_ok());
        for id in 0..2000 {
            limits.set(RateBucket::Installation(id), 10_000 + id.unsigned_abs(), 0);
        }
        assert_eq!(limits.0.borrow().len(), MAX_WAITING);
        assert!(limits.check(RateBucket::Installation(1999), 0).is_err());
    }
}
