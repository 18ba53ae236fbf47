//! The transport: the one interface between this crate and a runtime's HTTP client.

use async_trait::async_trait;

use crate::service::Service;

/// The methods that the service clients use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpMethod {
    /// `GET`
    Get,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
}

impl HttpMethod {
    /// Returns the method as it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            HttpMethod::Get => "GET",
            HttpMethod::Post => "POST",
            HttpMethod::Put => "PUT",
            HttpMethod::Patch => "PATCH",
            HttpMethod::Delete => "DELETE",
        }
    }
}

/// One attempt of one call.
#[derive(Debug, Clone)]
pub struct HttpRequest {
    /// The service that is called, for runtimes that reach a service by another way than its URL.
    pub service: Service,
    /// The method.
    pub method: HttpMethod,
    /// Absolute URL.
    pub url: String,
    /// Header names and values, ready to send.
    pub headers: Vec<(&'static str, String)>,
    /// JSON text, if the method carries a body.
    pub body: Option<String>,
    /// Milliseconds for connecting, waiting and reading the body together.
    pub deadline_ms: u32,
    /// The most bytes of answer body to read; more is [`TransportError::TooLarge`].
    pub max_body_bytes: usize,
}

/// A complete answer.
#[derive(Debug, Clone)]
pub struct HttpResponse {
    /// HTTP status. A redirect is not followed: its own status stands here.
    pub status: u16,
    /// The `Retry-After` header.
    pub retry_after: Option<String>,
    /// The whole body, at most `max_body_bytes`.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The deadline passed, in any phase of the request.
    #[error("no answer within the deadline")]
    Timeout,
    /// The connection could not be made, or it broke.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// The body is larger than the caller allowed.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

/// Sends one request. An implementation must honour `deadline_ms` and `max_body_bytes`, must not
/// follow redirects and must not retry.
#[async_trait(?Send)]
pub trait Transport {
    /// Performs the request and reads the whole (bounded) answer.
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, TransportError>;
}
