//! GitHub's signature over a webhook: `X-Hub-Signature-256: sha256=` and the HMAC-SHA256 of the body as
//! lower-case hex, under the secret that both sides know.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Returns the HMAC in the header, or `None` for a malformed header.
pub fn code(header: &str) -> Option<[u8; 32]> {
    let hex = header.strip_prefix("sha256=")?.as_bytes();
    if hex.len() != 64 {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut code = [0; 32];
    for (place, pair) in code.iter_mut().zip(hex.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *place = digit(*high)? << 4 | digit(*low)?;
    }
    Some(code)
}

/// Whether `code` is the HMAC of the body under one of these secrets, compared in constant time.
pub fn is_good(secrets: &[Vec<u8>], body: &[u8], code: &[u8; 32]) -> bool {
    secrets.iter().any(|secret| {
        // HMAC takes keys of any length (RFC 2104 §3).
        let Ok(mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(secret) else { return false };
        mac.chain_update(body).verify_slice(code).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From GitHub's documentation, "Testing the webhook payload validation".
    const HEADER: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    #[test]
    fn githubs_own_example_is_good_under_any_of_the_secrets() {
        let code = code(HEADER).unwrap();
        let secret = b"It's a Secret to Everybody".to_vec();
        let both = [b"newer".to_vec(), secret.clone()];
        assert!(is_good(&both, b"Hello, World!", &code));
        assert!(is_good(std::slice::from_ref(&secret), b"Hello, World!", &code));
        assert!(!is_good(&[secret], b"Hello, World?", &code));
        assert!(!is_good(&[b"newer".to_vec()], b"Hello, World!", &code));
        assert!(!is_good(&[], b"Hello, World!", &code));
    }

    #[test]
    fn anything_else_is_no_signature() {
        let long = format!("{HEADER}0");
        for text in ["", "sha256=", "sha1=757107ea0eb2509fc211221cce984b8a37570b6d", &long] {
            assert!(code(text).is_none(), "{text}");
        }
        assert!(code(&HEADER.replace("75", "7g")).is_none());
        assert!(code(&HEADER.to_ascii_uppercase()).is_none());
    }
}
