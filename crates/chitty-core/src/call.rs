//! What travels with every upstream call of one request or session.

/// Correlation of upstream calls with what caused them. All values are sent as they are, so they
/// must be safe header values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallContext {
    /// Sent as `X-Request-ID`.
    pub request_id: Option<String>,
    /// Sent as `traceparent` (W3C Trace Context).
    pub traceparent: Option<String>,
    /// Sent as `tracestate` (W3C Trace Context), which makes sense beside a `traceparent` only.
    pub tracestate: Option<String>,
    /// Sent as `X-Session-ID`: what belongs together beyond one request.
    pub session_id: Option<String>,
}
