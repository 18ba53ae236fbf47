//! The seam to an incoming request: read lazily, because each header read costs (the edge reads
//! only those it needs).

use std::any::Any;

use async_trait::async_trait;

/// An incoming HTTP request.
#[async_trait(?Send)]
pub trait Inbound {
    /// The method as the client wrote it.
    fn method(&self) -> String;

    /// Path and query as the client wrote them, percent-encoded, without scheme and host.
    fn target(&self) -> String;

    /// Where the client has found this gateway: scheme and host, without a slash at its end.
    fn origin(&self) -> String;

    /// A header's value; several of one name are joined by `, `.
    fn header(&self, name: &str) -> Option<String>;

    /// Every header, names in lower case.
    fn headers(&self) -> Vec<(String, String)>;

    /// The whole body. Reads at most `limit` bytes.
    async fn body(&self, limit: usize) -> Result<Vec<u8>, BodyError>;

    /// The whole body, kept where the runtime keeps it. Reads at most `limit` bytes.
    async fn held_body(&self, limit: usize) -> Result<Box<dyn RuntimeBody>, BodyError>;

    /// The same, of which each piece is taken as it comes, if there is room for it.
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

/// Who says whether there is room for a body that is coming in.
pub trait Intake {
    /// Takes so many further bytes; `false` when there is no room for them.
    fn take(&self, bytes: usize) -> bool;
}

/// A body that need not be taken into this program's own memory, which grows and never shrinks: long
/// ones are verified and stored from where they are.
#[async_trait(?Send)]
pub trait RuntimeBody: Any {
    /// How many bytes it has.
    fn length(&self) -> usize;

    /// A copy of it.
    fn bytes(&self) -> Vec<u8>;

    /// Whether `code` is the HMAC-SHA256 of it under this key, compared in constant time. `Err` holds
    /// what the runtime said when it could not tell.
    async fn has_hmac(&self, key: &[u8], code: &[u8; 32]) -> Result<bool, String>;
}

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// More than the limit, declared or sent.
    TooLarge,
    /// The client went away, or the stream broke.
    Broken,
    /// There was no room for more of it.
    Crowded,
}
