//! The App's private key, as GitHub issues it (PKCS#1) or as other tools write it (PKCS#8).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// `AlgorithmIdentifier` of an RSA key: rsaEncryption with NULL parameters (RFC 8017 appendix A.1).
const RSA: [u8; 15] =
    [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// An RSA private key. Its `Debug` output does not show the key.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey {
    pkcs8: Vec<u8>,
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey")
    }
}

impl PrivateKey {
    /// Reads a PEM text (RFC 7468). Its lines may also be separated by a literal `\n`, as in secrets that
    /// are stored on one line. Returns `None` unless it is an RSA private key without a passphrase.
    pub fn parse(pem: &str) -> Option<Self> {
        let pem = pem.replace("\\n", "\n");
        let body = |label: &str| {
            let (_, rest) = pem.split_once(&format!("-----BEGIN {label}-----"))?;
            let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
            let text: String = body.split_ascii_whitespace().collect();
            STANDARD.decode(text).ok().filter(|der| der.first() == Some(&0x30))
        };
        match (body("RSA PRIVATE KEY"), body("PRIVATE KEY")) {
            (Some(pkcs1), _) => Some(PrivateKey { pkcs8: wrapped(&pkcs1) }),
            (None, Some(pkcs8)) => Some(PrivateKey { pkcs8 }),
            (None, None) => None,
        }
    }

    /// Returns the key as PKCS#8 (RFC 5958) in DER, the format that WebCrypto imports.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }
}

/// Wraps a PKCS#1 key as PKCS#8: version 0, the algorithm, the key as an octet string.
fn wrapped(pkcs1: &[u8]) -> Vec<u8> {
    let content = [[0x02, 0x01, 0x00].as_slice(), &RSA, &tagged(0x04, pkcs1)].concat();
    tagged(0x30, &content)
}

/// Returns a DER element. The content must be shorter than 2^32 bytes.
fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let significant: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    let length = match u8::try_from(content.len()) {
        Ok(short @ 0..=127) => vec![short],
        _ => {
            let count = u8::try_from(significant.len()).unwrap_or(0);
            [&[0x80 | count], significant.as_slice()].concat()
        }
    };
    [&[tag], length.as_slice(), content].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key that was made for the sandbox, in both forms.
    const KEYS: &str = include_str!("../../../sandbox/github/app-keys.mjs");

    fn pem(label: &str) -> String {
        let from = KEYS.find(&format!("-----BEGIN {label}-----")).unwrap();
        let end = format!("-----END {label}-----");
        let to = KEYS[from..].find(&end).unwrap() + from + end.len();
        KEYS[from..to].to_owned()
    }

    #[test]
    fn both_forms_parse_to_the_same_key() {
        let one = PrivateKey::parse(&pem("RSA PRIVATE KEY")).unwrap();
        let other = PrivateKey::parse(&pem("PRIVATE KEY").replace('\n', "\\n")).unwrap();
        assert!(one == other);
        assert!(one.pkcs8().len() > 1000);
        assert_eq!(format!("{one:?}"), "PrivateKey");
    }

    #[test]
    fn texts_that_are_no_rsa_key_are_refused() {
        for text in [
            "",
            "key",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
            "-----BEGIN EC PRIVATE KEY-----\nMAAA\n-----END EC PRIVATE KEY-----",
            "-----BEGIN RSA PRIVATE KEY-----\nMAAA",
        ] {
            assert!(PrivateKey::parse(text).is_none(), "{text}");
        }
    }
}
