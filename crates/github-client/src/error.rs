//! The errors of calls to GitHub.

/// Why a call to GitHub failed. The error shows nothing of what was sent or received.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}", .kind.text(), shown(*.status))]
pub struct GithubError {
    /// What kind of failure it is.
    pub kind: ErrorKind,
    /// The HTTP status, where GitHub answered.
    pub status: Option<u16>,
    /// After how many seconds the call may be repeated, if that is known.
    pub retry_after_s: Option<u32>,
}

/// The kinds of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The client lacks a setting of the App that the call needs, or the App's key does not sign.
    NotConfigured,
    /// No answer: no connection, or none in time.
    Unreachable,
    /// GitHub's rate limit is reached. No call succeeds until the limit ends, and the client makes none.
    RateLimited,
    /// 401 or 403, or GitHub does not accept the code of a callback.
    Refused,
    /// 404 or 410: the resource does not exist, or this caller may not see it.
    NotFound,
    /// 422 and every other 4xx; also an answer or a file that is larger than the client reads.
    Invalid,
    /// 5xx, or another isolate has been fetching the token for too long.
    Unavailable,
    /// An answer that is not as GitHub documents it, such as a redirection out of the API.
    Unreadable,
    /// The store of the tokens did not answer.
    Storage,
}

impl ErrorKind {
    fn text(self) -> &'static str {
        match self {
            ErrorKind::NotConfigured => "the GitHub App is not configured for this",
            ErrorKind::Unreachable => "GitHub does not answer",
            ErrorKind::RateLimited => "GitHub's rate limit is reached",
            ErrorKind::Refused => "GitHub refuses",
            ErrorKind::NotFound => "GitHub does not have it",
            ErrorKind::Invalid => "GitHub does not accept the request, or the content is too large",
            ErrorKind::Unavailable => "GitHub is not available",
            ErrorKind::Unreadable => "GitHub's answer is not understood",
            ErrorKind::Storage => "the database did not answer",
        }
    }
}

fn shown(status: Option<u16>) -> String {
    status.map(|status| format!(" ({status})")).unwrap_or_default()
}

impl GithubError {
    /// Whether the same call may succeed later without anybody doing anything.
    pub fn is_transient(&self) -> bool {
        match self.kind {
            ErrorKind::Unreachable
            | ErrorKind::RateLimited
            | ErrorKind::Unavailable
            | ErrorKind::Unreadable
            | ErrorKind::Storage => true,
            ErrorKind::NotConfigured
            | ErrorKind::Refused
            | ErrorKind::NotFound
            | ErrorKind::Invalid => false,
        }
    }

    /// Returns an error without a status.
    pub fn new(kind: ErrorKind) -> Self {
        GithubError { kind, status: None, retry_after_s: None }
    }

    /// Returns the error of a status that is no success.
    pub(crate) fn of_status(status: u16) -> Self {
        let kind = match status {
            401 | 403 => ErrorKind::Refused,
            404 | 410 => ErrorKind::NotFound,
            400..=499 => ErrorKind::Invalid,
            500..=599 => ErrorKind::Unavailable,
            _ => ErrorKind::Unreadable,
        };
        GithubError { status: Some(status), ..GithubError::new(kind) }
    }

    /// Sets after how many seconds the call may be repeated.
    pub(crate) fn retry_after(self, seconds: Option<u32>) -> Self {
        GithubError { retry_after_s: seconds, ..self }
    }

    /// Whether the answer was larger than the client reads.
    pub(crate) fn is_too_large(&self) -> bool {
        self.kind == ErrorKind::Invalid && self.status.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_decides_the_kind_and_whether_it_is_transient() {
        for (status, kind, is_transient) in [
            (401, ErrorKind::Refused, false),
            (403, ErrorKind::Refused, false),
            (404, ErrorKind::NotFound, false),
            (410, ErrorKind::NotFound, false),
            (409, ErrorKind::Invalid, false),
            (422, ErrorKind::Invalid, false),
            (500, ErrorKind::Unavailable, true),
            (503, ErrorKind::Unavailable, true),
            (302, ErrorKind::Unreadable, true),
        ] {
            let error = GithubError::of_status(status);
            assert_eq!((error.kind, error.is_transient()), (kind, is_transient), "{status}");
            assert!(error.to_string().ends_with(&format!("({status})")), "{error}");
        }
        assert_eq!(GithubError::new(ErrorKind::Unreachable).to_string(), "GitHub does not answer");
    }
}
