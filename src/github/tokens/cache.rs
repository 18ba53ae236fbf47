//! The tokens of installations that an isolate keeps, in plain text.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use github_client::InstallationToken;

use crate::app::{App, Slot};

/// The most installations whose tokens an isolate keeps.
const MAX_TOKENS: usize = 256;

/// The tokens that an isolate keeps.
#[derive(Default)]
pub(super) struct TokenCache(RefCell<BTreeMap<i64, Rc<InstallationToken>>>);

impl Slot for TokenCache {
    fn new(_: &App) -> Self {
        Self::default()
    }
}

impl TokenCache {
    /// Returns the token of an installation, if it may be used now.
    pub(super) fn get(
        &self,
        id: i64,
        now_ms: u64,
        refused: Option<&str>,
    ) -> Option<Rc<InstallationToken>> {
        let held = self.0.borrow().get(&id).cloned();
        held.filter(|held| held.is_usable(now_ms, refused))
    }

    /// Keeps a token. If there are too many, it replaces the one that expires first.
    pub(super) fn put(
        &self,
        id: i64,
        token: InstallationToken,
        now_ms: u64,
    ) -> Rc<InstallationToken> {
        let mut kept = self.0.borrow_mut();
        if kept.len() >= MAX_TOKENS {
            kept.retain(|_, held| held.is_usable(now_ms, None));
        }
        if kept.len() >= MAX_TOKENS {
            let soonest = kept.iter().min_by_key(|(_, held)| held.expires_at_ms).map(|(id, _)| *id);
            soonest.map(|id| kept.remove(&id));
        }
        let token = Rc::new(token);
        kept.insert(id, Rc::clone(&token));
        token
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

#[cfg(test)]
mod tests {
    use super::*;

    fn held(token: &str, expires_at_ms: u64) -> InstallationToken {
        InstallationToken { token: token.to_owned(), expires_at_ms, sealed: None }
    }

    #[test]
    fn the_cache_is_bounded() {
        let kept = TokenCache::default();
        for id in 0..1000 {
            kept.put(id, held("t", 1_000_000 + id.unsigned_abs()), 0);
        }
        assert_eq!(kept.0.borrow().len(), MAX_TOKENS);
        assert!(kept.get(999, 0, None).is_some());
    }

    #[test]
    fn only_the_refused_token_is_forgotten() {
        let kept = TokenCache::default();
        kept.put(1, held("new", 10_000_000), 0);
        kept.forget(1, "old");
        assert!(kept.get(1, 0, Some("old")).is_some());
        assert!(kept.get(1, 0, Some("new")).is_none());
        kept.forget(1, "new");
        assert!(kept.get(1, 0, None).is_none());
    }
}
