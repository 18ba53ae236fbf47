//! Ids that the gateway may make itself: request, trace and event ids. (Only ChittyID makes ChittyIDs.)

use sha2::{Digest, Sha256};
use uuid::Builder;

/// A UUIDv7 (RFC 9562 §5.7): `now_ms` first, so that ids sort by time, then 74 random bits.
pub fn uuid_v7(now_ms: u64) -> String {
    let mut random = [0u8; 10];
    fill(&mut random);
    Builder::from_unix_timestamp_millis(now_ms, &random).into_uuid().hyphenated().to_string()
}

/// The id of an event: `evt_` and a UUIDv7.
pub fn event(now_ms: u64) -> String {
    format!("evt_{}", uuid_v7(now_ms))
}

/// The lower bound of the ids of events at this instant or later; ids of earlier events sort before it.
pub fn first_event_of(at_ms: u64) -> String {
    let at_ms = at_ms.min((1 << 48) - 1);
    format!("evt_{:08x}-{:04x}", at_ms >> 16, at_ms & 0xffff)
}

/// `N` random bytes as lower-case hex.
pub fn random_hex<const N: usize>() -> String {
    let mut bytes = [0u8; N];
    fill(&mut bytes);
    hex(&bytes)
}

/// 256 random bits, for a secret.
///
/// # Errors
/// When the runtime returned no random bytes.
pub fn secret() -> Result<[u8; 32], NoRandomness> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

/// The runtime returned no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRandomness;

/// SHA-256 of a text, as lower-case hex.
pub fn sha256_hex(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// A random number below `bound`, for jitter. It is slightly biased for bounds near 2^32; those of jitter are
/// far smaller.
pub fn random_below(bound: u32) -> u32 {
    let mut bytes = [0u8; 4];
    fill(&mut bytes);
    u32::from_le_bytes(bytes) % bound.max(1)
}

/// Bytes as lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
        text
    })
}

/// Fills `bytes` with random bytes of the runtime. If the runtime has none the bytes stay zero: the ids made
/// here need to be distinct, not secret, and a constraint of the database refuses a repeated one.
fn fill(bytes: &mut [u8]) {
    if let Err(error) = getrandom::fill(bytes) {
        crate::log::error("random_unavailable", &[("error", &error.to_string())]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_distinct_and_sort_by_time() {
        let early = event(1_767_322_245_678);
        let late = event(1_767_322_245_679);
        assert!(early < late, "{early} {late}");
        assert_ne!(event(1), event(1));
        assert_eq!(early.len(), 40);
        let (first, next) = (first_event_of(1_767_322_245_678), first_event_of(1_767_322_245_679));
        assert!(first < early && early < next && next < late, "{first} {early} {next} {late}");
        assert!(first_event_of(0) < first && late < first_event_of(u64::MAX));
        assert_eq!(hex(&[0, 15, 255]), "000fff");
        assert_eq!(random_hex::<8>().len(), 16);
    }
}
