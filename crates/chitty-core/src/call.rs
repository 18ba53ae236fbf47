//! The context that every upstream call of one request or session carries.

/// Headers that correlate upstream calls with the request that caused them. All values are sent
/// unchanged, so they must be safe header values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallContext {
    /// Sent as `X-Request-ID`.
    pub request_id: Option<String>,
    /// Sent as `traceparent` (W3C Trace Context).
    pub traceparent: Option<String>,
    /// Sent as `tracestate` (W3C Trace Context), which is meaningful only beside a `traceparent`.
    pub tracestate: Option<String>,
    /// Sent as `X-Session-ID`: groups several requests.
    pub session_id: Option<String>,
}
