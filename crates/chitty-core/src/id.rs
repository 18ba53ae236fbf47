//! [`ChittyId`]: the id of an entity, minted by an authority.

use std::fmt;

/// A ChittyID. It comes only from parsing an authority's answer, a stored row or a caller's input.
///
/// Accepted forms (the ecosystem has had several; ids stay opaque strings of at most 128 bytes):
/// - canonical, `VV-G-LLL-SSSS-T-YYMM-C-XX`, with its mod-97 checksum enforced;
/// - its older spellings, with a letter for the region, a shorter `YYM` or a one-digit checksum,
///   which cannot be checked;
/// - the first generation, `CHITTY-<TYPE>-<rest>`;
/// - `did:chitty:` before any of these. The prefix is dropped, so that both spellings of one
///   identity are equal.
///
/// Error ids (`…-0-ERR-…`), which ChittyID returns when it could not mint, are not accepted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChittyId(Box<str>);

/// Why a text is not a ChittyID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text has none of the accepted forms.
    #[error("not a ChittyID")]
    Form,
    /// The form is canonical, but the checksum is wrong: the id is mistyped or made up.
    #[error("the checksum does not match")]
    Checksum,
    /// An error id, which stands for an identity that was not minted.
    #[error("an error id, not an identity")]
    ErrorId,
}

/// The longest id that is accepted, in bytes.
const MAX_BYTES: usize = 128;

impl ChittyId {
    /// Parses any accepted form.
    ///
    /// # Errors
    /// [`IdError`] says what is wrong.
    ///
    /// ```
    /// use chitty_core::{ChittyId, IdError};
    ///
    /// let id = ChittyId::parse("did:chitty:03-1-USA-9002-T-2602-0-81")?;
    /// assert_eq!(id.as_str(), "03-1-USA-9002-T-2602-0-81");
    /// assert_eq!(ChittyId::parse("03-1-USA-9003-T-2602-0-81"), Err(IdError::Checksum));
    /// # Ok::<(), IdError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let text = text.strip_prefix("did:chitty:").unwrap_or(text);
        if text.len() > MAX_BYTES {
            return Err(IdError::Form);
        }
        if let Some(rest) = text.strip_prefix("CHITTY-") {
            first_generation(rest)?;
        } else {
            segmented(text)?;
        }
        Ok(ChittyId(text.into()))
    }

    /// Returns the id as text, without `did:chitty:`. It has only ASCII letters, digits and dashes, so
    /// it is safe in a URL path, a header and a log.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChittyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks `<TYPE>-<rest>`, the part after `CHITTY-`.
fn first_generation(rest: &str) -> Result<(), IdError> {
    let (kind, tail) = rest.split_once('-').ok_or(IdError::Form)?;
    let sound = !kind.is_empty()
        && kind.bytes().all(|b| b.is_ascii_uppercase())
        && !tail.is_empty()
        && tail.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if sound { Ok(()) } else { Err(IdError::Form) }
}

/// Checks the eight segments of the canonical form and its older spellings.
fn segmented(text: &str) -> Result<(), IdError> {
    let parts: Vec<&str> = text.split('-').collect();
    let [version, region, place, sequence, kind, month, trust, check] = parts.as_slice() else {
        return Err(IdError::Form);
    };
    let digits = |s: &str, min: usize, max: usize| {
        (min..=max).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_digit())
    };
    let letter = |s: &str, allowed: &str| s.len() == 1 && allowed.contains(s);
    let form = digits(version, 2, 2)
        && region.len() == 1
        && region.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
        && place.len() == 3
        && place.bytes().all(|b| b.is_ascii_uppercase())
        && digits(sequence, 4, 4)
        && letter(kind, "PLTEA")
        && digits(month, 2, 4)
        && letter(trust, "012345")
        && digits(check, 1, 2);
    if !form {
        return Err(IdError::Form);
    }
    if *place == "ERR" || *region == "0" {
        return Err(IdError::ErrorId);
    }
    let canonical = digits(region, 1, 1) && month.len() == 4 && check.len() == 2;
    if canonical && check.parse() != Ok(checksum(text)) {
        return Err(IdError::Checksum);
    }
    Ok(())
}

/// Returns the mod-97 checksum over the first seven segments: a digit counts as one decimal place, a
/// letter as two (A = 10 … Z = 35), and the result is 98 minus the remainder, modulo 97.
fn checksum(id: &str) -> u32 {
    let body = id.rsplit_once('-').map_or(id, |(body, _)| body);
    let remainder = body.bytes().filter(|b| *b != b'-').fold(0u32, |c, b| {
        if b.is_ascii_digit() {
            (c * 10 + u32::from(b - b'0')) % 97
        } else {
            (c * 100 + u32::from(b.wrapping_sub(55))) % 97
        }
    });
    (98 - remainder) % 97
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIVE: [&str; 5] = [
        "03-1-USA-9002-T-2602-0-81",
        "03-1-USA-0970-P-2603-0-54",
        "03-1-USA-5537-P-2602-0-38",
        "03-1-USA-9636-T-2605-1-75",
        "03-1-USA-6434-T-2605-1-54",
    ];

    #[test]
    fn live_ids_pass_and_any_changed_digit_fails() {
        for id in LIVE {
            assert_eq!(ChittyId::parse(id).unwrap().as_str(), id);
            for (at, old) in id.char_indices().filter(|(_, c)| c.is_ascii_digit()) {
                for new in '0'..='9' {
                    if new != old {
                        let mut changed = id.to_owned();
                        changed.replace_range(at..=at, &new.to_string());
                        assert!(ChittyId::parse(&changed).is_err(), "{changed}");
                    }
                }
            }
        }
    }

    #[test]
    fn other_accepted_forms() {
        for id in [
            "03-1-USA-0001-P-251-3-82",
            "03-C-USA-0001-P-2510-3-82",
            "03-1-USA-0001-P-2510-3-8",
            "CHITTY-CONTEXT-0b0c4e0e-0f3c-4a39-8a3c-0a5a3b2c1d0e",
            "CHITTY-SYS-CHITTYCONNECT",
        ] {
            assert_eq!(ChittyId::parse(id).unwrap().as_str(), id);
            let did = format!("did:chitty:{id}");
            assert_eq!(ChittyId::parse(&did), ChittyId::parse(id));
        }
    }

    #[test]
    fn error_ids_and_other_texts_are_refused() {
        for id in ["03-0-ERR-0001-T-2602-0-08", "03-1-ERR-0001-T-2602-0-08"] {
            assert_eq!(ChittyId::parse(id), Err(IdError::ErrorId), "{id}");
        }
        for text in [
            "",
            "did:chitty:",
            "CHITTY-",
            "CHITTY--x",
            "CHITTY-context-x",
            "CHITTY-SYS-a b",
            "03-1-USA-9002-T-2602-0",
            "03-1-USA-9002-T-2602-0-81-1",
            "03-1-usa-9002-T-2602-0-81",
            "03-1-USA-9002-X-2602-0-81",
            "03-1-USA-9002-T-2602-9-81",
            "03-1-USA-9002-T-2602-0-81\n",
            "CP-A-001-1234-P-2509-I-82",
            "'; drop table contexts; --",
        ] {
            assert_eq!(ChittyId::parse(text), Err(IdError::Form), "{text}");
        }
        assert_eq!(ChittyId::parse(&format!("CHITTY-SYS-{}", "A".repeat(128))), Err(IdError::Form));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_what_passes_is_plain_ascii(text in "\\PC{0,140}") {
            if let Ok(id) = ChittyId::parse(&text) {
                prop_assert!(id.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
            }
        }
    }
}
