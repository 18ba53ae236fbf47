//! Request signatures: HMAC-SHA256 (RFC 2104) over the content of a request, its time and a nonce, so
//! that somebody who has read a request can neither alter nor repeat it. Pure.
//!
//! The signed text is
//! `v1 ⏎ key id ⏎ timestamp ⏎ nonce ⏎ METHOD ⏎ path?query ⏎ SHA-256 of the body, in hex`.
//! It leaves out the host, because a gateway in front of a service may change it, and the content type,
//! because the services read only JSON.

use std::collections::BTreeMap;
use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// Header with the id of the key.
pub const KEY_ID_HEADER: &str = "x-chittyos-key-id";
/// Header with the instant of signing, in ms since the Unix epoch.
pub const TIMESTAMP_HEADER: &str = "x-chittyos-timestamp";
/// Header with the nonce.
pub const NONCE_HEADER: &str = "x-chittyos-nonce";
/// Header with the signature, `v1=` and 64 hex digits.
pub const SIGNATURE_HEADER: &str = "x-chittyos-signature";

/// How far a timestamp may be from the verifier's clock, in ms, in either direction.
pub const MAX_SKEW_MS: u64 = 5 * 60_000;

/// The most nonces that are remembered. Further requests within the window are refused, so that no
/// nonce is forgotten.
const MAX_NONCES: usize = 10_000;

/// The longest nonce that is accepted, in bytes.
const MAX_NONCE_BYTES: usize = 64;

/// A shared secret with its name, so that keys can be replaced one by one.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// The id of the key. Visible ASCII.
    pub id: String,
    /// The secret. At least as long as the hash (32 bytes).
    pub secret: Vec<u8>,
}

impl fmt::Debug for SigningKey {
    /// Leaves out the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The parts of a request that are signed.
#[derive(Debug, Clone, Copy)]
pub struct SigningInput<'a> {
    /// The method as sent, in upper case.
    pub method: &'a str,
    /// The path as sent, with the query.
    pub target: &'a str,
    /// The body; empty when there is none.
    pub body: &'a [u8],
}

/// The headers of a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// [`KEY_ID_HEADER`]
    pub key_id: String,
    /// [`TIMESTAMP_HEADER`]
    pub timestamp_ms: u64,
    /// [`NONCE_HEADER`]
    pub nonce: String,
    /// [`SIGNATURE_HEADER`]
    pub value: String,
}

/// Why a signature is not accepted. A sender without a known key never learns more than `Mismatch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// No known key has this id, or the signature was not made with this key for this request.
    #[error("the signature does not match")]
    Mismatch,
    /// The timestamp is too old, or in the future.
    #[error("the timestamp is more than five minutes off")]
    Skew,
    /// The nonce was used before.
    #[error("the nonce was used before")]
    Replayed,
    /// The window already holds the most nonces that are remembered.
    #[error("too many signed requests at once")]
    Overrun,
}

/// Signs a request. The nonce must never have been used with this key: 128 random bits suffice.
///
/// ```
/// use chitty_core::signing::{NonceWindow, SigningInput, SigningKey, sign, verify};
///
/// let key = SigningKey { id: "2026".to_owned(), secret: vec![7; 32] };
/// let request = SigningInput { method: "POST", target: "/v1/mint", body: b"{}" };
/// let signature = sign(&key, request, 1_000, "9f86d081884c7d65");
///
/// let mut seen = NonceWindow::default();
/// assert!(verify(&[key.clone()], request, &signature, 2_000, &mut seen).is_ok());
/// assert!(verify(&[key], request, &signature, 2_000, &mut seen).is_err(), "replayed");
/// ```
pub fn sign(
    key: &SigningKey,
    request: SigningInput<'_>,
    timestamp_ms: u64,
    nonce: &str,
) -> Signature {
    let mac = mac(key, request, timestamp_ms, nonce).finalize().into_bytes();
    Signature {
        key_id: key.id.clone(),
        timestamp_ms,
        nonce: nonce.to_owned(),
        value: format!("v1={}", hex(&mac)),
    }
}

/// Verifies a signature and remembers its nonce. The comparison takes the same time wherever two
/// values differ.
///
/// # Errors
/// [`SignatureError`]. A nonce is remembered only if everything else is right, so that strangers
/// cannot fill the window.
pub fn verify(
    keys: &[SigningKey],
    request: SigningInput<'_>,
    signature: &Signature,
    now_ms: u64,
    seen: &mut NonceWindow,
) -> Result<(), SignatureError> {
    let key = keys.iter().find(|key| key.id == signature.key_id).ok_or(SignatureError::Mismatch)?;
    let claimed = signature.value.strip_prefix("v1=").and_then(unhex);
    let claimed = claimed.ok_or(SignatureError::Mismatch)?;
    mac(key, request, signature.timestamp_ms, &signature.nonce)
        .verify_slice(&claimed)
        .map_err(|_| SignatureError::Mismatch)?;
    if signature.timestamp_ms.abs_diff(now_ms) > MAX_SKEW_MS {
        return Err(SignatureError::Skew);
    }
    seen.take(&signature.nonce, signature.timestamp_ms, now_ms)
}

/// The nonces of accepted requests, kept at least as long as their timestamps are accepted.
#[derive(Debug, Default)]
pub struct NonceWindow {
    /// Each nonce with its timestamp.
    seen: BTreeMap<String, u64>,
}

impl NonceWindow {
    fn take(&mut self, nonce: &str, timestamp_ms: u64, now_ms: u64) -> Result<(), SignatureError> {
        if nonce.len() > MAX_NONCE_BYTES {
            return Err(SignatureError::Mismatch);
        }
        if self.seen.len() >= MAX_NONCES {
            self.seen.retain(|_, at| at.abs_diff(now_ms) <= MAX_SKEW_MS);
        }
        if self.seen.contains_key(nonce) {
            return Err(SignatureError::Replayed);
        }
        if self.seen.len() >= MAX_NONCES {
            return Err(SignatureError::Overrun);
        }
        self.seen.insert(nonce.to_owned(), timestamp_ms);
        Ok(())
    }
}

fn mac(
    key: &SigningKey,
    request: SigningInput<'_>,
    timestamp_ms: u64,
    nonce: &str,
) -> Hmac<Sha256> {
    // HMAC takes a key of any length (RFC 2104 §2), so this never fails. The empty key of the unused
    // branch would not match a signature by a real key.
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&key.secret)
        .unwrap_or_else(|_| <Hmac<Sha256> as KeyInit>::new(&Default::default()));
    let head = format!(
        "v1\n{}\n{timestamp_ms}\n{nonce}\n{}\n{}\n{}",
        key.id,
        request.method,
        request.target,
        hex(&Sha256::digest(request.body)),
    );
    mac.update(head.as_bytes());
    mac
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REQUEST: SigningInput<'_> =
        SigningInput { method: "POST", target: "/v1/mint?a=1", body: b"{}" };

    fn key(id: &str) -> SigningKey {
        SigningKey { id: id.to_owned(), secret: id.repeat(32).into_bytes() }
    }

    fn check(
        keys: &[SigningKey],
        request: SigningInput<'_>,
        signature: &Signature,
        now: u64,
    ) -> Result<(), SignatureError> {
        verify(keys, request, signature, now, &mut NonceWindow::default())
    }

    #[test]
    fn the_signature_is_pinned() {
        let key = SigningKey { id: "k".to_owned(), secret: b"secret".to_vec() };
        let signature = sign(&key, SigningInput { method: "GET", target: "/", body: b"" }, 0, "n");
        // printf 'v1\nk\n0\nn\nGET\n/\n%s' "$(printf '' | sha256sum | cut -c1-64)" | openssl dgst -sha256 -hmac secret
        assert_eq!(
            signature.value,
            "v1=2d08f276db6da2a28a8a751213473eb8b23885f59a98387486e527db80e0420f"
        );
    }

    #[test]
    fn keys_are_replaced_one_by_one() {
        let keys = [key("old"), key("new")];
        for key in &keys {
            assert_eq!(check(&keys, REQUEST, &sign(key, REQUEST, 1000, "n"), 1000), Ok(()));
        }
        let gone = sign(&key("gone"), REQUEST, 1000, "n");
        assert_eq!(check(&keys, REQUEST, &gone, 1000), Err(SignatureError::Mismatch));
        let renamed = Signature { key_id: "new".to_owned(), ..sign(&keys[0], REQUEST, 1000, "n") };
        assert_eq!(check(&keys, REQUEST, &renamed, 1000), Err(SignatureError::Mismatch));
    }

    #[test]
    fn a_secret_does_not_show_in_debug_output() {
        assert!(!format!("{:?}", key("s")).contains("115"), "{:?}", key("s"));
    }

    #[test]
    fn a_nonce_is_accepted_once_and_a_forged_signature_does_not_use_it_up() {
        let mut seen = NonceWindow::default();
        let good = sign(&key("k"), REQUEST, 1000, "n");
        let forged = Signature { value: format!("v1={}", "0".repeat(64)), ..good.clone() };
        let keys = [key("k")];
        assert_eq!(verify(&keys, REQUEST, &forged, 1000, &mut seen), Err(SignatureError::Mismatch));
        assert_eq!(verify(&keys, REQUEST, &good, 1000, &mut seen), Ok(()));
        assert_eq!(verify(&keys, REQUEST, &good, 1001, &mut seen), Err(SignatureError::Replayed));
    }

    #[test]
    fn the_window_is_bounded_and_moves_on() {
        let mut seen = NonceWindow::default();
        for n in 0..MAX_NONCES {
            assert_eq!(seen.take(&n.to_string(), 1000, 1000), Ok(()));
        }
        assert_eq!(seen.take("more", 1000, 1000), Err(SignatureError::Overrun));
        assert_eq!(seen.take("0", 1000, 1000), Err(SignatureError::Replayed));
        let later = 1000 + MAX_SKEW_MS + 1;
        assert_eq!(seen.take("more", later, later), Ok(()));
        assert_eq!(seen.seen.len(), 1);
    }

    proptest! {
        #[test]
        fn only_the_signed_request_is_accepted_and_only_in_its_time(
            body in proptest::collection::vec(any::<u8>(), 0..50), other in proptest::collection::vec(any::<u8>(), 0..50),
            target in "/[a-z]{0,9}", other_target in "/[a-z]{0,9}",
            at in 0u64..10_000_000, now in 0u64..10_000_000,
        ) {
            let keys = [key("k")];
            let request = SigningInput { method: "POST", target: &target, body: &body };
            let signature = sign(&keys[0], request, at, "n");
            let verdict = check(&keys, request, &signature, now);
            prop_assert_eq!(verdict.is_ok(), at.abs_diff(now) <= MAX_SKEW_MS);
            let altered = SigningInput { method: "POST", target: &other_target, body: &other };
            if (&other_target, &other) != (&target, &body) {
                prop_assert_eq!(check(&keys, altered, &signature, at), Err(SignatureError::Mismatch));
            }
            let moved = Signature { timestamp_ms: at + 1, ..signature };
            prop_assert_eq!(check(&keys, request, &moved, at), Err(SignatureError::Mismatch));
        }
    }
}
