//! The isolate's cache of the callers behind credentials.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use sha2::{Digest, Sha256};

use super::identity::Caller;
use super::standing::NOTED_MS;
use crate::app::{App, Slot};

/// The SHA-256 of a credential.
pub(super) type TokenKey = [u8; 32];

/// When a credential ends, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expiry {
    At(u64),
    /// Not stated: the credential is valid until its issuer refuses it.
    Open,
    /// Stated in a form that cannot be read: the caller is valid for this request only and is not cached.
    Unreadable,
}

impl Expiry {
    pub(super) fn is_past(self, now_ms: u64) -> bool {
        matches!(self, Expiry::At(at) if at <= now_ms)
    }
}

/// The callers behind credentials that were used lately, by the SHA-256 of the credential. Each is
/// kept for a bounded time and never past the credential's expiry.
#[derive(Default)]
pub struct TokenCache {
    entries: RefCell<BTreeMap<TokenKey, (Rc<Caller>, u64)>>,
    /// The scopes of a token that this isolate has lately written to the database, and when it did
    /// (ms), by the token's SHA-256 in hex.
    noted: RefCell<BTreeMap<String, (u64, String)>>,
}

impl Slot for TokenCache {
    fn new(_: &App) -> Self {
        Self::default()
    }
}

/// The most credentials that are kept. At a few hundred bytes each, they stay below a megabyte.
const MAX_CACHED_TOKENS: usize = 2048;

impl TokenCache {
    pub(super) fn key(token: &str) -> TokenKey {
        Sha256::digest(token.as_bytes()).into()
    }

    pub(super) fn get(&self, key: &TokenKey, now_ms: u64) -> Option<Rc<Caller>> {
        let entries = self.entries.borrow();
        let (caller, until) = entries.get(key)?;
        (now_ms < *until).then(|| Rc::clone(caller))
    }

    /// Keeps a caller for `keep_ms`, but not past `expiry`; 0 keeps nothing.
    pub(super) fn put(
        &self,
        key: TokenKey,
        caller: &Rc<Caller>,
        now_ms: u64,
        keep_ms: u64,
        expiry: Expiry,
    ) {
        let until = match expiry {
            Expiry::At(at) => at.min(now_ms + keep_ms),
            Expiry::Open => now_ms + keep_ms,
            Expiry::Unreadable => return,
        };
        if until <= now_ms {
            return;
        }
        let mut entries = self.entries.borrow_mut();
        if entries.len() >= MAX_CACHED_TOKENS {
            entries.retain(|_, (_, until)| now_ms < *until);
        }
        if entries.len() >= MAX_CACHED_TOKENS {
            // Keys are hashes, so the first is as good as a random one.
            entries.pop_first();
        }
        entries.insert(key, (Rc::clone(caller), until));
    }

    /// Whether this request has to write the scopes `carried` of a token to the database: one
    /// request of a burst does.
    pub(super) fn takes_note(&self, sha256: &str, carried: &str, now_ms: u64) -> bool {
        let mut noted = self.noted.borrow_mut();
        let is_recent = |at_ms: u64| now_ms.abs_diff(at_ms) < NOTED_MS;
        if noted.get(sha256).is_some_and(|(at_ms, known)| is_recent(*at_ms) && known == carried) {
            return false;
        }
        if noted.len() >= MAX_CACHED_TOKENS {
            noted.retain(|_, (at_ms, _)| is_recent(*at_ms));
        }
        if noted.len() >= MAX_CACHED_TOKENS {
            noted.pop_first();
        }
        noted.insert(sha256.to_owned(), (now_ms, carried.to_owned()));
        true
    }

    /// Lets the next request write the scopes of a token again, because the last write failed or
    /// ChittyAuth has refused the token.
    pub(super) fn forget_note(&self, sha256: &str) {
        self.noted.borrow_mut().remove(sha256);
    }

    /// Removes the callers of an actor whose grants or status this isolate has just changed. Other
    /// isolates use the old grants until their entries expire, but only for what the actor may hand
    /// on: each request reads from the database what the actor may do.
    pub fn forget(&self, actor: &str) {
        self.entries.borrow_mut().retain(|_, (caller, _)| caller.actor.as_str() != actor);
    }
}

#[cfg(test)]
mod tests {
    use chitty_core::ChittyId;

    use super::super::Credential;
    use super::*;

    fn caller() -> Rc<Caller> {
        Rc::new(Caller {
            actor: ChittyId::parse("CHITTY-PEO-a").unwrap(),
            principal_id: None,
            scopes: Vec::new(),
            granted: Vec::new(),
            credential: Credential::Token {
                sha256: String::new(),
                expires_at: None,
                is_made: false,
            },
            audience: None,
            ends_ms: None,
            sponsor: None,
            limits: Default::default(),
        })
    }

    #[test]
    fn an_answer_is_kept_for_its_time_and_never_past_its_expiry() {
        let cache = TokenCache::default();
        let key = TokenCache::key("t");
        cache.put(key, &caller(), 1000, 60_000, Expiry::At(31_000));
        assert!(cache.get(&key, 30_999).is_some());
        assert!(cache.get(&key, 31_000).is_none());
        cache.put(key, &caller(), 1000, 60_000, Expiry::At(u64::MAX));
        assert!(cache.get(&key, 60_999).is_some());
        assert!(cache.get(&key, 61_000).is_none());

        let cache = TokenCache::default();
        cache.put(key, &caller(), 1000, 60_000, Expiry::Unreadable);
        cache.put(key, &caller(), 1000, 0, Expiry::Open);
        assert!(cache.get(&key, 1000).is_none());

        cache.put(key, &caller(), 1000, 60_000, Expiry::Open);
        cache.forget("CHITTY-PEO-b");
        assert!(cache.get(&key, 1000).is_some());
        cache.forget("CHITTY-PEO-a");
        assert!(cache.get(&key, 1000).is_none());
    }

    #[test]
    fn the_cache_is_bounded() {
        let cache = TokenCache::default();
        for n in 0..3000 {
            cache.put(TokenCache::key(&n.to_string()), &caller(), 1000, 60_000, Expiry::Open);
        }
        assert_eq!(cache.entries.borrow().len(), MAX_CACHED_TOKENS);
    }
}
