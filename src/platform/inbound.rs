//! The seam to an incoming request: read lazily, because each header read costs (the edge reads
//! only those it needs).

use async_trait::async_trait;

/// An incoming HTTP request.
#[async_trait(?Send)]
pub trait Inbound {
    /// The method as the client wrote it.
    fn method(&self) -> String;

    /// Path and query as the client wrote them, percent-encoded, without scheme and host.
    fn target(&self) -> String;

    /// A header's value; several of one name are joined by `, `.
    fn header(&self, name: &str) -> Option<String>;

    /// Every header, names in lower case.
    fn headers(&self) -> Vec<(String, String)>;

    /// The whole body. Reads at most `limit` bytes.
    async fn body(&self, limit: usize) -> Result<Vec<u8>, BodyError>;
}

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// More than the limit, declared or sent.
    TooLarge,
    /// The client went away, or the stream broke.
    Broken,
}
