//! The sealed tokens of installations, as they are kept outside the isolate.

use std::borrow::Cow;

use github_client::InstallationToken;
use seams::log;
use serde::{Deserialize, Serialize};

use crate::app::App;

/// The content that is sealed.
#[derive(Serialize, Deserialize)]
struct Content<'t> {
    token: Cow<'t, str>,
    expires_at_ms: u64,
}

/// The place for which a token is sealed, so that it cannot be opened as another installation's.
fn place(id: i64) -> String {
    format!("github/installation/{id}")
}

/// Seals a token for its installation. Returns `None`, and writes a line to the log, if that fails.
pub(super) fn seal(app: &App, id: i64, token: &InstallationToken) -> Option<String> {
    let content =
        Content { token: token.token.as_str().into(), expires_at_ms: token.expires_at_ms };
    let json = serde_json::to_string(&content).ok()?;
    match app.config.sealer.seal(&place(id), &json) {
        Ok(sealed) => Some(sealed),
        Err(error) => {
            log::error("github_token_not_sealed", &[("error", &error.to_string())]);
            None
        }
    }
}

/// Opens a token that was sealed for the same installation. Returns `None` if that fails, such as for a
/// sealing key that is gone; another token is fetched then.
pub(super) fn open(app: &App, id: i64, sealed: &str) -> Option<InstallationToken> {
    let json = app.config.sealer.open(&place(id), sealed).ok()?;
    let Content { token, expires_at_ms } = serde_json::from_str(&json).ok()?;
    let (token, sealed) = (token.into_owned(), Some(sealed.to_owned()));
    Some(InstallationToken { token, expires_at_ms, sealed })
}
