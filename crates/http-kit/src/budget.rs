//! The rest of a rate limit, and the headers in which a reply reports it.

use crate::problem::{Code, Problem};
use crate::reply::Reply;

/// The window of every rate limit, in ms.
pub const WINDOW_MS: u64 = 60_000;

/// The rest of a rate limit after a request was counted, as far as this isolate knows: other isolates may
/// have let requests of the same subject through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// The name of the class of requests that the limit applies to.
    pub class: &'static str,
    /// The number of requests allowed in a window.
    pub limit: u32,
    /// The number of requests left in this window.
    pub left: u32,
    /// The time left in this window, in ms.
    pub left_ms: u64,
}

impl Budget {
    /// Returns the same budget with no requests left.
    #[must_use]
    pub fn with_none_left(self) -> Self {
        Budget { left: 0, ..self }
    }

    /// The seconds until the next window, at least 1.
    fn seconds(self) -> u32 {
        u32::try_from(self.left_ms.div_ceil(1000)).unwrap_or(60).max(1)
    }

    /// Returns 429 with the seconds until the next window. [`Budget::add_headers`] adds the headers that every
    /// reply has.
    pub fn refusal(self) -> Problem {
        let (name, limit, seconds) = (self.class, self.limit, self.seconds());
        Problem::new(
            Code::RateLimited,
            format!(
                "At most {limit} requests of the class `{name}` a minute. Wait {seconds} seconds."
            ),
        )
        .retry_after(seconds)
    }

    /// Adds the headers `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers) to a reply
    /// or a problem.
    ///
    /// # Errors
    /// The problem in `outcome`, with the same headers.
    pub fn add_headers<W>(self, outcome: Result<Reply<W>, Problem>) -> Result<Reply<W>, Problem> {
        let (name, limit, left) = (self.class, self.limit, self.left);
        let policy = format!("\"{name}\";q={limit};w={}", WINDOW_MS / 1000);
        let state = format!("\"{name}\";r={left};t={}", self.seconds());
        match outcome {
            Ok(reply) => Ok(reply.header("ratelimit-policy", policy).header("ratelimit", state)),
            Err(problem) => {
                Err(problem.header("ratelimit-policy", policy).header("ratelimit", state))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::Body;

    fn headers(budget: Budget) -> (String, String) {
        let reply = budget.add_headers(Ok(Reply::<()>::new(200, Body::Empty))).unwrap();
        let header = |name| reply.header_value(name).unwrap().to_owned();
        (header("ratelimit-policy"), header("ratelimit"))
    }

    #[test]
    fn the_headers_report_the_time_left_in_whole_seconds() {
        let budget = Budget { class: "read", limit: 10, left: 3, left_ms: 1001 };
        let policy = "\"read\";q=10;w=60".to_owned();
        assert_eq!(headers(budget), (policy.clone(), "\"read\";r=3;t=2".to_owned()));
        assert_eq!(headers(budget.with_none_left()).1, "\"read\";r=0;t=2");
        assert_eq!(headers(Budget { left_ms: 0, ..budget }).1, "\"read\";r=3;t=1");
        let refusal = budget.refusal();
        assert_eq!(refusal.code, Code::RateLimited);
        assert!(refusal.detail.contains("At most 10") && refusal.detail.contains("Wait 2 seconds"));
        let refused = budget.add_headers(Err::<Reply<()>, _>(refusal)).unwrap_err();
        let trace = crate::trace::Trace {
            request_id: String::new(),
            traceparent: String::new(),
            tracestate: None,
        };
        let reply: Reply<()> = refused.into_reply(&trace, "");
        assert_eq!(reply.header_value("retry-after"), Some("2"));
        assert_eq!(reply.header_value("ratelimit-policy"), Some(policy.as_str()));
    }
}
