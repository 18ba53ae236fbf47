//! The seam to the targets of connections. The gateway's own calls to ChittyOS services go through
//! [`chitty_core::Transport`] instead.

use std::rc::Weak;

use async_trait::async_trait;
use chitty_core::{Service, TransportError};

use crate::memory::Share;

/// One request to a target.
#[derive(Debug, Clone)]
pub struct OutsideRequest {
    /// The ChittyOS service that is the target, if it is one: some runtimes reach it by another way than its
    /// URL.
    pub service: Option<Service>,
    /// The method as on the wire.
    pub method: String,
    /// Absolute URL.
    pub url: String,
    /// Names in lower case, values ready to send.
    pub headers: Vec<(String, String)>,
    /// The body, if there is one.
    pub body: Option<Vec<u8>>,
    /// Milliseconds for connecting, waiting and reading the body together.
    pub deadline_ms: u32,
    /// The most bytes of the answer's body to read.
    pub max_body_bytes: usize,
    /// The caller's share of the memory, if it holds one. It grows by each piece of the answer's body as that
    /// arrives; when it cannot grow, the result is [`TransportError::TooLarge`].
    pub share: Weak<Share>,
}

/// A complete answer.
#[derive(Debug, Clone)]
pub struct OutsideResponse {
    /// HTTP status. A redirect is not followed and arrives as a response.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl OutsideResponse {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Sends one request. An implementation must honour the deadline and the bound, must not follow
/// redirects and must not retry.
#[async_trait(?Send)]
pub trait Outside {
    /// Performs the request and reads the whole (bounded) answer.
    async fn send(&self, request: OutsideRequest) -> Result<OutsideResponse, TransportError>;
}
