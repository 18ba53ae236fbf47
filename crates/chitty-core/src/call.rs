//! What travels with every upstream call of one request.

/// Correlation of an upstream call with the request that caused it. Both values are sent as they
/// are, so they must be safe header values.
#[derive(Debug, Clone, Default)]
pub struct CallContext {
    /// Sent as `X-Request-ID`.
    pub request_id: Option<String>,
    /// Sent as `traceparent` (W3C Trace Context).
    pub traceparent: Option<String>,
}
