//! The tokens of installations: GitHub issues them, and a [`TokenStore`] keeps them.

use std::fmt;
use std::rc::Rc;

use async_trait::async_trait;
use seams::time;
use serde::Deserialize;

use crate::Client;
use crate::error::{ErrorKind, GithubError};
use crate::request::{self, Call};

/// How long before its expiry a token is no longer used, in ms.
const EARLY_MS: u64 = 5 * 60_000;

/// The longest that a token is kept, in ms: GitHub's tokens are valid for an hour.
const MAX_LIFE_MS: u64 = 3_600_000;

/// The longest token that is accepted, in bytes.
const MAX_TOKEN_BYTES: usize = 8192;

/// The token of an installation. Its `Debug` output does not show the token.
pub struct InstallationToken {
    /// The token itself.
    pub token: String,
    /// When it expires, in ms since the Unix epoch. It is not used in the last five minutes.
    pub expires_at_ms: u64,
    /// The sealed token, as the store has it elsewhere; `None` if only this isolate has the token. The client
    /// does not read it.
    pub sealed: Option<String>,
}

impl fmt::Debug for InstallationToken {
    /// Omits the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstallationToken").field("expires_at_ms", &self.expires_at_ms).finish()
    }
}

impl InstallationToken {
    /// For how long it may still be used, in ms; 0 in its last five minutes.
    pub fn usable_for_ms(&self, now_ms: u64) -> u64 {
        self.expires_at_ms.saturating_sub(now_ms + EARLY_MS)
    }

    /// Whether it may be used now. A token that GitHub has just refused may not.
    pub fn is_usable(&self, now_ms: u64, refused: Option<&str>) -> bool {
        self.usable_for_ms(now_ms) > 0 && refused != Some(self.token.as_str())
    }
}

/// Keeps the tokens of installations.
#[async_trait(?Send)]
pub trait TokenStore {
    /// Returns a token of an installation that may be used now, and that is not the one that GitHub has just
    /// refused. Fetches one by [`Client::issue_token`] if the store has none; only one isolate at a time
    /// should fetch the token of an installation.
    ///
    /// # Errors
    /// Those of [`Client::issue_token`]; [`ErrorKind::Storage`] if the store does not answer,
    /// [`ErrorKind::Unavailable`] if another isolate has been fetching the token for too long.
    async fn usable_token(
        &self,
        installation_id: i64,
        refused: Option<&str>,
    ) -> Result<Rc<InstallationToken>, GithubError>;

    /// Forgets a token that GitHub has refused. If that fails, GitHub refuses the token again, and another is
    /// fetched then.
    async fn forget(&self, installation_id: i64, refused: &InstallationToken);
}

/// GitHub's answer.
#[derive(Deserialize)]
struct IssuedToken {
    token: String,
    expires_at: String,
}

impl Client<'_> {
    /// Asks GitHub for a token of an installation. It is valid for at least another five minutes.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such installation, [`ErrorKind::Refused`] if it is suspended,
    /// [`ErrorKind::NotConfigured`] without an App; otherwise the reason why there is no token.
    pub async fn issue_token(
        &self,
        installation_id: i64,
    ) -> Result<InstallationToken, GithubError> {
        let path = format!("/app/installations/{installation_id}/access_tokens");
        let answer = self.send_as_app(&Call::bare(self.config, "POST", &path)).await?;
        let issued: IssuedToken = request::read(&answer)?;
        let now_ms = self.clock.now_ms();
        let expires_at_ms = time::parse(&issued.expires_at).unwrap_or_default();
        let is_sound = (1..=MAX_TOKEN_BYTES).contains(&issued.token.len())
            && issued.token.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_sound || expires_at_ms <= now_ms + EARLY_MS {
            return Err(GithubError::new(ErrorKind::Unreadable));
        }
        let expires_at_ms = expires_at_ms.min(now_ms + MAX_LIFE_MS);
        Ok(InstallationToken { token: issued.token, expires_at_ms, sealed: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_debug_output_shows_no_token() {
        let token =
            InstallationToken { token: "ghs_secret".to_owned(), expires_at_ms: 1, sealed: None };
        assert!(!format!("{token:?}").contains("ghs_"));
    }
}
