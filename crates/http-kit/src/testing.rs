//! Requests for the tests of this crate.

use async_trait::async_trait;
use futures_util::FutureExt;
use seams::inbound::{BodyError, Inbound, Intake, RuntimeBody};

use crate::parameters::Parameters;
use crate::request::Request;
use crate::trace::Trace;

/// An incoming request of these parts.
struct TestInbound<'a> {
    target: &'a str,
    headers: &'a [(&'a str, &'a str)],
    body: &'a [u8],
}

#[async_trait(?Send)]
impl Inbound for TestInbound<'_> {
    fn method(&self) -> String {
        "POST".to_owned()
    }

    fn target(&self) -> String {
        self.target.to_owned()
    }

    fn origin(&self) -> String {
        "http://gateway".to_owned()
    }

    fn header(&self, name: &str) -> Option<String> {
        let found = self.headers.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| (*value).to_owned())
    }

    fn headers(&self) -> Vec<(String, String)> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        self.headers.iter().map(own).collect()
    }

    async fn body(&self, limit: usize) -> Result<Vec<u8>, BodyError> {
        if self.body.len() > limit { Err(BodyError::TooLarge) } else { Ok(self.body.to_vec()) }
    }

    async fn held_body(&self, _: usize) -> Result<Box<dyn RuntimeBody>, BodyError> {
        Err(BodyError::Broken)
    }

    async fn gradual_body(
        &self,
        _: usize,
        _: &dyn Intake,
    ) -> Result<Box<dyn RuntimeBody>, BodyError> {
        Err(BodyError::Broken)
    }
}

/// Calls `look` with a request for `target`, whose route takes `parameters`, and returns its result.
pub(crate) fn requested<T>(
    target: &str,
    parameters: Parameters,
    headers: &[(&str, &str)],
    body: &[u8],
    look: impl AsyncFnOnce(&Request<'_>) -> T,
) -> T {
    let inbound = TestInbound { target, headers, body };
    let trace = Trace { request_id: String::new(), traceparent: String::new(), tracestate: None };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let request = Request {
        id: String::new(),
        rest: "",
        trace: &trace,
        now_ms: 0,
        path,
        query,
        parameters,
        inbound: &inbound,
        budget: Default::default(),
    };
    look(&request).now_or_never().unwrap()
}
