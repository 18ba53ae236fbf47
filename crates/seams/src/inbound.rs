//! The seam to an incoming request. It is read lazily, because each read of a header costs time: the edge
//! reads only the headers that it needs.

use std::any::Any;

use async_trait::async_trait;

/// An incoming HTTP request.
#[async_trait(?Send)]
pub trait Inbound {
    /// The method as the client wrote it.
    fn method(&self) -> String;

    /// Path and query as the client wrote them, percent-encoded, without scheme and host.
    fn target(&self) -> String;

    /// The scheme and host under which the client reached this gateway, without a slash at the end.
    fn origin(&self) -> String;

    /// A header's value; several of one name are joined by `, `.
    fn header(&self, name: &str) -> Option<String>;

    /// Every header, names in lower case.
    fn headers(&self) -> Vec<(String, String)>;

    /// The whole body. Reads at most `limit` bytes.
    async fn body(&self, limit: usize) -> Result<Vec<u8>, BodyError>;

    /// The whole body, which stays in the runtime's memory. Reads at most `limit` bytes.
    async fn held_body(&self, limit: usize) -> Result<Box<dyn RuntimeBody>, BodyError>;

    /// The same, but asks `intake` for room for each piece as it arrives.
    async fn gradual_body(
        &self,
        limit: usize,
        intake: &dyn Intake,
    ) -> Result<Box<dyn RuntimeBody>, BodyError>;

    /// The length that the client has declared, in bytes.
    fn declared_length(&self) -> Option<usize> {
        self.header("content-length").and_then(|length| length.parse().ok())
    }
}

/// Decides whether there is room for a body that is arriving.
pub trait Intake {
    /// Takes room for this many more bytes; `false` when there is none.
    fn take(&self, bytes: usize) -> bool;
}

/// A body that stays out of this program's own memory, which grows and never shrinks. A long body is verified
/// and stored without being copied into it.
#[async_trait(?Send)]
pub trait RuntimeBody: Any {
    /// The length of the body in bytes.
    fn length(&self) -> usize;

    /// Copies the body into this program.
    fn bytes(&self) -> Vec<u8>;

    /// Whether `code` is the HMAC-SHA256 of the body under this key, compared in constant time. `Err` holds
    /// the runtime's message when it could not tell.
    async fn has_hmac(&self, key: &[u8], code: &[u8; 32]) -> Result<bool, String>;
}

/// Why a body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// The body is longer than the limit, as declared or as sent.
    TooLarge,
    /// The client went away, or the stream broke.
    Broken,
    /// There was no room for more of the body.
    Crowded,
}
