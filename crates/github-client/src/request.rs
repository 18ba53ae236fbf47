//! One call to GitHub: the headers that every call has, and the meaning of the answer.

use std::rc::Weak;

use chitty_core::TransportError;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use seams::log;
use seams::outside::{OutsideRequest, OutsideResponse};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Client;
use crate::config::Config;
use crate::error::{ErrorKind, GithubError};
use crate::limits::{self, RateBucket};

/// The version of the REST API that this client is written for.
const API_VERSION: &str = "2022-11-28";

/// The media type of the REST API's answers.
const API_TYPE: &str = "application/vnd.github+json";

/// The most bytes of an answer that are read, unless the call says otherwise.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// The characters that are encoded in a path: all but the unreserved ones (RFC 3986 §2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A call, without the credential of its caller.
pub(crate) struct Call {
    method: &'static str,
    url: String,
    accept: &'static str,
    etag: Option<String>,
    content_type: Option<&'static str>,
    body: Option<Vec<u8>>,
    max_bytes: usize,
}

impl Call {
    /// A read of the API. `path` begins with a slash and is encoded.
    pub(crate) fn get(config: &Config, path: &str) -> Self {
        Call {
            method: "GET",
            url: format!("{}{path}", config.api_url),
            accept: API_TYPE,
            etag: None,
            content_type: None,
            body: None,
            max_bytes: MAX_ANSWER_BYTES,
        }
    }

    /// A change without a body.
    pub(crate) fn bare(config: &Config, method: &'static str, path: &str) -> Self {
        Call { method, ..Call::get(config, path) }
    }

    /// A change with a body.
    pub(crate) fn json(
        config: &Config,
        method: &'static str,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Self, GithubError> {
        let body = serde_json::to_vec(body).map_err(|_| GithubError::new(ErrorKind::Invalid))?;
        let content_type = Some("application/json");
        Ok(Call { content_type, body: Some(body), ..Call::bare(config, method, path) })
    }

    /// A form for GitHub's pages.
    pub(crate) fn form(config: &Config, path: &str, fields: &[(&str, &str)]) -> Self {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        Call {
            url: format!("{}{path}", config.web_url),
            accept: "application/json",
            content_type: Some("application/x-www-form-urlencoded"),
            body: Some(form.finish().into_bytes()),
            ..Call::bare(config, "POST", path)
        }
    }

    /// Sets how many bytes of the answer are read at most.
    pub(crate) fn up_to(self, max_bytes: usize) -> Self {
        Call { max_bytes, ..self }
    }

    /// Makes the call conditional: the answer is a 304 while the resource still has this ETag.
    pub(crate) fn unless(self, etag: Option<String>) -> Self {
        Call { etag, ..self }
    }

    fn request(&self, config: &Config, token: Option<&str>) -> OutsideRequest {
        let mut headers = vec![
            ("user-agent".to_owned(), config.user_agent.clone()),
            ("accept".to_owned(), self.accept.to_owned()),
        ];
        let mut add = |name: &str, value: String| headers.push((name.to_owned(), value));
        if self.accept == API_TYPE {
            add("x-github-api-version", API_VERSION.to_owned());
        }
        if let Some(token) = token {
            add("authorization", format!("Bearer {token}"));
        }
        if let Some(etag) = &self.etag {
            add("if-none-match", etag.clone());
        }
        if let Some(content_type) = self.content_type {
            add("content-type", content_type.to_owned());
        }
        OutsideRequest {
            service: None,
            method: self.method.to_owned(),
            url: self.url.clone(),
            headers,
            body: self.body.clone(),
            deadline_ms: config.deadline_ms,
            max_body_bytes: self.max_bytes,
            share: Weak::new(),
        }
    }
}

impl Client<'_> {
    /// Makes a call. A success is a 2xx, or a 304 where the call has an ETag.
    ///
    /// # Errors
    /// Any other status or a transport error. Fails without a call while GitHub's rate limit for this caller
    /// is in force.
    pub(crate) async fn send(
        &self,
        who: RateBucket,
        token: Option<&str>,
        call: &Call,
    ) -> Result<OutsideResponse, GithubError> {
        self.state.limits.check(who, self.clock.now_ms())?;
        let mut request = call.request(self.config, token);
        let is_read = call.method == "GET";
        let mut answer = self.perform(&request, is_read).await?;
        // The repository has been renamed.
        if is_read && let Some(url) = moved_to(self.config, &answer) {
            request.url = url;
            answer = self.perform(&request, is_read).await?;
        }
        let now_ms = self.clock.now_ms();
        if let Some(until_ms) = limits::until_ms(&answer, now_ms) {
            self.state.limits.set(who, until_ms, now_ms);
            let error =
                GithubError { status: Some(answer.status), ..limits::limited(until_ms, now_ms) };
            let wait_s = error.retry_after_s.unwrap_or_default().to_string();
            log::warn("github_rate_limited", &[("who", &format!("{who:?}")), ("wait_s", &wait_s)]);
            return Err(error);
        }
        match answer.status {
            200..=299 => Ok(answer),
            304 if call.etag.is_some() => Ok(answer),
            status => {
                Err(GithubError::of_status(status).retry_after(limits::retry_after_s(&answer)))
            }
        }
    }

    /// Sends a request. Repeats a read once if GitHub broke down and did not say when to try again.
    async fn perform(
        &self,
        request: &OutsideRequest,
        is_read: bool,
    ) -> Result<OutsideResponse, GithubError> {
        let mut result = self.outside.send(request.clone()).await;
        let broke_down = match &result {
            Ok(answer) => answer.status >= 500 && answer.header("retry-after").is_none(),
            Err(error) => matches!(error, TransportError::Unreachable(_)),
        };
        if is_read && broke_down {
            result = self.outside.send(request.clone()).await;
        }
        result.map_err(|error| {
            GithubError::new(match error {
                TransportError::TooLarge(_) => ErrorKind::Invalid,
                TransportError::Timeout | TransportError::Unreachable(_) => ErrorKind::Unreachable,
            })
        })
    }
}

/// Returns the target of a redirection, but only within the API, because the token is sent there too.
fn moved_to(config: &Config, answer: &OutsideResponse) -> Option<String> {
    let location = matches!(answer.status, 301 | 302 | 307 | 308)
        .then(|| answer.header("location"))
        .flatten()?;
    let path = location.strip_prefix(&config.api_url)?;
    // A URL parser resolves dot segments and reads backslashes as slashes, which could lead out of the API.
    let unsafe_parts = ["/..", "/%2e", "/.%2e", "\\"];
    let lower = path.to_ascii_lowercase();
    let is_within = path.starts_with('/')
        && path.bytes().all(|byte| byte.is_ascii_graphic())
        && !unsafe_parts.iter().any(|part| lower.contains(part));
    is_within.then(|| location.to_owned())
}

/// Reads the JSON body of an answer.
///
/// # Errors
/// [`ErrorKind::Unreadable`] for a body of another form.
pub(crate) fn read<T: DeserializeOwned>(answer: &OutsideResponse) -> Result<T, GithubError> {
    serde_json::from_slice(&answer.body).map_err(|_| GithubError {
        status: Some(answer.status),
        ..GithubError::new(ErrorKind::Unreadable)
    })
}

/// Joins the segments of a path: each is encoded, with a slash before it.
///
/// # Errors
/// [`ErrorKind::Invalid`] for segments that would change the path: empty ones and dots.
pub(crate) fn path<'s>(segments: impl Iterator<Item = &'s str>) -> Result<String, GithubError> {
    let mut path = String::new();
    for segment in segments {
        if matches!(segment, "" | "." | "..") {
            return Err(GithubError::new(ErrorKind::Invalid));
        }
        path.push('/');
        path.extend(utf8_percent_encode(segment, SEGMENT));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_encoded_and_cannot_change_the_path() {
        let made = |text: &str| path(text.split('/')).ok();
        assert_eq!(made(".github/a b?.yml").as_deref(), Some("/.github/a%20b%3F.yml"));
        for bad in ["", "a/../b", "a//b", "./a", "a/"] {
            assert_eq!(made(bad), None, "{bad}");
        }
    }
}
