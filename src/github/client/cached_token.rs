//! The token of an installation as it is kept: in plain text in the isolate, sealed elsewhere.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use seams::log;
use serde::{Deserialize, Serialize};

use crate::app::App;

/// How long before its expiry a token is no longer used, in ms.
pub(super) const EARLY_MS: u64 = 5 * 60_000;

/// The most installations whose tokens an isolate keeps.
const MAX_TOKENS: usize = 256;

/// The token of an installation.
pub(super) struct CachedToken {
    /// The token itself.
    pub(super) token: String,
    /// When it expires, in ms since the Unix epoch. It is not used in the last five minutes.
    pub(super) expires_at_ms: u64,
    /// The sealed token, as it is in the database; `None` if only this isolate has the token.
    pub(super) sealed: Option<String>,
}

impl fmt::Debug for CachedToken {
    /// Omits the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedToken").field("expires_at_ms", &self.expires_at_ms).finish()
    }
}

impl CachedToken {
    /// Whether it may be used now. A token that GitHub has just refused may not.
    pub(super) fn is_good(&self, now_ms: u64, refused: Option<&str>) -> bool {
        now_ms + EARLY_MS < self.expires_at_ms && refused != Some(self.token.as_str())
    }
}

/// The tokens that an isolate keeps.
#[derive(Default)]
pub(super) struct InstallationTokens(RefCell<BTreeMap<i64, Rc<CachedToken>>>);

impl InstallationTokens {
    /// Returns the token of an installation, if it may be used now.
    pub(super) fn get(
        &self,
        id: i64,
        now_ms: u64,
        refused: Option<&str>,
    ) -> Option<Rc<CachedToken>> {
        let held = self.0.borrow().get(&id).cloned();
        held.filter(|held| held.is_good(now_ms, refused))
    }

    /// Keeps a token. If there are too many, it replaces the one that expires first.
    pub(super) fn put(&self, id: i64, held: CachedToken, now_ms: u64) -> Rc<CachedToken> {
        let mut kept = self.0.borrow_mut();
        if kept.len() >= MAX_TOKENS {
            kept.retain(|_, held| held.is_good(now_ms, None));
        }
        if kept.len() >= MAX_TOKENS {
            let soonest = kept.iter().min_by_key(|(_, held)| held.expires_at_ms).map(|(id, _)| *id);
            soonest.map(|id| kept.remove(&id));
        }
        let held = Rc::new(held);
        kept.insert(id, Rc::clone(&held));
        held
    }

    /// Forgets the token of an installation, if it is still this one.
    pub(super) fn forget(&self, id: i64, token: &str) {
        let mut kept = self.0.borrow_mut();
        if kept.get(&id).is_some_and(|held| held.token == token) {
            kept.remove(&id);
        }
    }

    /// Forgets the token of an installation.
    pub(super) fn remove(&self, id: i64) {
        self.0.borrow_mut().remove(&id);
    }
}

/// The content that is sealed.
#[derive(Serialize, Deserialize)]
pub(super) struct Content {
    pub(super) token: String,
    pub(super) expires_at_ms: u64,
}

/// The place for which a token is sealed, so that it cannot be opened as another installation's.
fn place(id: i64) -> String {
    format!("github/installation/{id}")
}

/// Seals a token for its installation. Returns `None`, and writes a line to the log, if that fails.
pub(super) fn seal(app: &App, id: i64, content: &Content) -> Option<String> {
    let json = serde_json::to_string(content).ok()?;
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
pub(super) fn open(app: &App, id: i64, sealed: &str) -> Option<CachedToken> {
    let json = app.config.sealer.open(&place(id), sealed).ok()?;
    let Content { token, expires_at_ms } = serde_json::from_str(&json).ok()?;
    Some(CachedToken { token, expires_at_ms, sealed: Some(sealed.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(token: &str, expires_at_ms: u64) -> CachedToken {
        CachedToken { token: token.to_owned(), expires_at_ms, sealed: None }
    }

    #[test]
    fn the_cache_is_bounded_and_its_debug_output_shows_no_token() {
        let kept = InstallationTokens::default();
        for id in 0..1000 {
            kept.put(id, held("t", 1_000_000 + id.unsigned_abs()), 0);
        }
        assert_eq!(kept.0.borrow().len(), MAX_TOKENS);
        assert!(kept.get(999, 0, None).is_some());
        assert!(!format!("{:?}", held("ghs_secret", 1)).contains("ghs_"));
    }

    #[test]
    fn only_the_refused_token_is_forgotten() {
        let kept = InstallationTokens::default();
        kept.put(1, held("new", 10_000_000), 0);
        kept.forget(1, "old");
        assert!(kept.get(1, 0, Some("old")).is_some());
        assert!(kept.get(1, 0, Some("new")).is_none());
        kept.forget(1, "new");
        assert!(kept.get(1, 0, None).is_none());
    }
}
