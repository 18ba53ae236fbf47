//! The seam to RSA signatures: WebCrypto in a Worker.

use async_trait::async_trait;

/// Makes RS256 signatures (RFC 7518 §3.3: RSASSA-PKCS1-v1_5 with SHA-256).
#[async_trait(?Send)]
pub trait Rs256 {
    /// Signs a message with a key in PKCS#8 DER. `Err` holds the runtime's message.
    async fn sign(&self, pkcs8: &[u8], message: &[u8]) -> Result<Vec<u8>, String>;
}
