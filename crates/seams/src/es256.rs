//! The seam to the verification of ECDSA signatures: WebCrypto in a Worker.

use async_trait::async_trait;

/// A point on P-256, big-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey {
    /// First coordinate.
    pub x: [u8; 32],
    /// Second coordinate.
    pub y: [u8; 32],
}

impl PublicKey {
    /// The uncompressed form (SEC 1 §2.3.3).
    pub fn uncompressed(&self) -> [u8; 65] {
        let mut bytes = [4; 65];
        let (_, coordinates) = bytes.split_at_mut(1);
        for (place, byte) in coordinates.iter_mut().zip(self.x.iter().chain(&self.y)) {
            *place = *byte;
        }
        bytes
    }
}

/// Verifies ES256 signatures (RFC 7518 §3.4).
#[async_trait(?Send)]
pub trait Es256 {
    /// Whether `signature` (r and s, 32 bytes each) is a signature of `message` by the key. `Err` holds the
    /// runtime's message when it could not tell.
    async fn verify(
        &self,
        key: &PublicKey,
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool, String>;
}
