//! Sealing: the gateway encrypts secrets at rest with AES-256-GCM. The key is a secret of the deployment,
//! so a reader of a store learns none of the secrets in it.
//!
//! A sealed text is `v1.<key id>.<base64url of nonce and ciphertext>`. It is bound to the place where it
//! is stored (the additional data of GCM), so it does not open in another place.

use std::fmt;

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// The length of a nonce in bytes (NIST SP 800-38D §8.2.2: random, 96 bits).
const NONCE_BYTES: usize = 12;

/// The key in `wrangler.toml` for a developer's machine. It is public, so a deployed gateway does not use it.
const DEVELOPMENT_KEY: &[u8; 32] = b"development-only-development-onl";

/// A key with its name.
#[derive(Clone)]
struct Key {
    id: String,
    bytes: [u8; 32],
}

/// The sealing keys. The first one seals and every one opens, so keys can be replaced one by one.
#[derive(Clone, Default)]
pub struct Sealer {
    keys: Vec<Key>,
}

impl fmt::Debug for Sealer {
    /// Shows the ids of the keys only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

/// Why a text was not sealed or not opened. Says nothing about the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The deployment has no key.
    #[error("no sealing key")]
    NoKey,
    /// The runtime gave no randomness.
    #[error("no randomness")]
    NoRandomness,
    /// The text was altered, belongs to another place, or was sealed with a key that is gone.
    #[error("does not open")]
    DoesNotOpen,
}

impl Sealer {
    /// Reads keys in the form `id:base64 of 32 bytes`, separated by commas; the first one seals.
    /// Returns `None` if any of them has another form.
    pub fn parse(text: &str) -> Option<Self> {
        let key = |entry: &str| {
            let (id, bytes) = entry.trim().split_once(':')?;
            let named =
                (1..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
            let bytes = STANDARD.decode(bytes).ok()?.try_into().ok()?;
            named.then(|| Key { id: id.to_owned(), bytes })
        };
        text.split(',').map(key).collect::<Option<Vec<_>>>().map(|keys| Sealer { keys })
    }

    /// Returns the sealer as it is if the development key is not among its keys.
    ///
    /// # Errors
    /// If the development key was among them: a sealer with the other keys.
    pub fn without_development_key(mut self) -> Result<Self, Self> {
        let before = self.keys.len();
        self.keys.retain(|key| &key.bytes != DEVELOPMENT_KEY);
        if self.keys.len() == before { Ok(self) } else { Err(self) }
    }

    /// Whether there is a key to seal with.
    pub fn is_ready(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Seals a secret for one place, such as `API_KEYS/service:chittyconnect`.
    ///
    /// # Errors
    /// If there is no key or no randomness.
    pub fn seal(&self, place: &str, secret: &str) -> Result<String, SealError> {
        let key = self.keys.first().ok_or(SealError::NoKey)?;
        let mut nonce = [0u8; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|_| SealError::NoRandomness)?;
        let payload = Payload { msg: secret.as_bytes(), aad: place.as_bytes() };
        let sealed = cipher(key)
            .encrypt(&Nonce::from(nonce), payload)
            .map_err(|_| SealError::DoesNotOpen)?;
        let bytes = [nonce.as_slice(), &sealed].concat();
        Ok(format!("v1.{}.{}", key.id, URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// Opens a text that was sealed for the same place.
    ///
    /// # Errors
    /// [`SealError::DoesNotOpen`] for any other text.
    pub fn open(&self, place: &str, sealed: &str) -> Result<String, SealError> {
        let mut parts = sealed.split('.');
        let (Some("v1"), Some(id), Some(text), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(SealError::DoesNotOpen);
        };
        let key = self.keys.iter().find(|key| key.id == id).ok_or(SealError::DoesNotOpen)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| SealError::DoesNotOpen)?;
        let (nonce, sealed) =
            bytes.split_first_chunk::<NONCE_BYTES>().ok_or(SealError::DoesNotOpen)?;
        let payload = Payload { msg: sealed, aad: place.as_bytes() };
        let secret = cipher(key)
            .decrypt(&Nonce::from(*nonce), payload)
            .map_err(|_| SealError::DoesNotOpen)?;
        String::from_utf8(secret).map_err(|_| SealError::DoesNotOpen)
    }
}

fn cipher(key: &Key) -> Aes256Gcm {
    Aes256Gcm::new(&key.bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OLD: &str = "old:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    const NEW: &str = "new:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

    fn sealer(keys: &[&str]) -> Sealer {
        Sealer::parse(&keys.join(",")).unwrap()
    }

    #[test]
    fn keys_are_replaced_one_by_one() {
        let sealed = sealer(&[OLD]).seal("place", "secret").unwrap();
        let both = sealer(&[NEW, OLD]);
        assert_eq!(both.open("place", &sealed).unwrap(), "secret");
        let sealed = both.seal("place", "secret").unwrap();
        assert!(sealed.starts_with("v1.new."));
        assert_eq!(sealer(&[OLD]).open("place", &sealed), Err(SealError::DoesNotOpen));
        assert_eq!(Sealer::default().seal("place", "secret"), Err(SealError::NoKey));
    }

    #[test]
    fn the_key_of_a_developers_machine_is_known_under_any_name() {
        let toml = include_str!("../wrangler.toml");
        let line = toml.lines().find_map(|line| line.strip_prefix("SEALING_KEYS = \"")).unwrap();
        let public = line.trim_end_matches('"');
        let renamed = public.replace("dev:", "k9:");
        for text in [public, &renamed] {
            let left = sealer(&[text, NEW]).without_development_key().unwrap_err();
            assert!(left.seal("place", "secret").unwrap().starts_with("v1.new."));
            assert!(!sealer(&[text]).without_development_key().unwrap_err().is_ready());
        }
        assert!(sealer(&[OLD, NEW]).without_development_key().is_ok());
    }

    #[test]
    fn keys_are_read_whole_or_not_at_all() {
        for bad in ["", "k", "k:", ":AAAA", "k:AAAA", &format!("{OLD},"), &format!("{OLD},k:x")] {
            assert!(Sealer::parse(bad).is_none(), "{bad}");
        }
        assert!(!format!("{:?}", sealer(&[OLD])).contains("AAAA"));
    }

    proptest! {
        #[test]
        fn an_altered_or_moved_text_does_not_open(secret in ".{0,60}", at in 0usize..200, place in "[a-z]{1,8}") {
            let sealer = sealer(&[OLD]);
            let sealed = sealer.seal(&place, &secret).unwrap();
            prop_assert_eq!(sealer.open(&place, &sealed).unwrap(), secret.clone());
            prop_assert!(sealer.open(&(place.clone() + "x"), &sealed).is_err());
            prop_assert_ne!(sealer.seal(&place, &secret).unwrap(), sealed.clone(), "never twice alike");
            let mut altered = sealed.into_bytes();
            let at = at % altered.len();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            prop_assert!(sealer.open(&place, &String::from_utf8(altered).unwrap()).is_err());
        }
    }
}
