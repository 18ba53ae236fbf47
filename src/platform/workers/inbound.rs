//! A runtime request behind [`Inbound`].

use async_trait::async_trait;
use worker::web_sys;

use super::fetch::{ReadError, headers, read};
use crate::platform::inbound::{BodyError, Inbound};

/// The runtime's request.
pub(crate) struct WebRequest(pub(crate) web_sys::Request);

#[async_trait(?Send)]
impl Inbound for WebRequest {
    fn method(&self) -> String {
        self.0.method()
    }

    fn target(&self) -> String {
        // Absolute, as the runtime made it; `Url` would cost 188 KB of tables to say the same.
        let url = self.0.url();
        let after_scheme = url.find("://").map_or(0, |at| at + 3);
        let path =
            url.get(after_scheme..).and_then(|rest| rest.find('/')).map(|at| after_scheme + at);
        path.and_then(|at| url.get(at..)).unwrap_or("/").to_owned()
    }

    fn header(&self, name: &str) -> Option<String> {
        self.0.headers().get(name).ok().flatten()
    }

    fn headers(&self) -> Vec<(String, String)> {
        headers(&self.0.headers())
    }

    async fn body(&self, limit: usize) -> Result<Vec<u8>, BodyError> {
        let declared = self.header("content-length").and_then(|length| length.parse().ok());
        if declared.is_some_and(|length: usize| length > limit) {
            return Err(BodyError::TooLarge);
        }
        read(self.0.body(), limit).await.map_err(|error| match error {
            ReadError::TooLarge => BodyError::TooLarge,
            ReadError::Broken(_) => BodyError::Broken,
        })
    }
}
