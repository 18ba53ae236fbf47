//! Decodes the body that a client sends: checks its content type and content coding, unpacks it, and returns
//! the problem for a body that is not accepted. Pure.

use std::borrow::Cow;

use crate::problem::{Code, Problem};

/// The content coding of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// Not compressed.
    Identity,
    /// Compressed by gzip (RFC 1952).
    Gzip,
}

impl Coding {
    /// Reads `Content-Encoding`.
    ///
    /// # Errors
    /// 415 with `Accept-Encoding` for any other coding, and for more than one.
    pub fn of(header: Option<&str>) -> Result<Self, Problem> {
        let header = header.unwrap_or_default().trim();
        match header.to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Coding::Identity),
            "gzip" | "x-gzip" => Ok(Coding::Gzip),
            _ => Err(Problem::new(
                Code::UnsupportedMediaType,
                format!(
                    "`Content-Encoding: {}` is not supported. Send the body uncompressed, or with \
                     `Content-Encoding: gzip`.",
                    shown(header)
                ),
            )
            .header("accept-encoding", "gzip, identity".to_owned())),
        }
    }

    /// Returns the uncompressed body. Never unpacks more than `limit` bytes; returns an `Identity` body
    /// unchanged, whatever its length.
    ///
    /// # Errors
    /// 413 if the unpacked body is longer than `limit` bytes; 400 if the body is not in this coding.
    pub fn decode(self, bytes: Vec<u8>, limit: usize) -> Result<Vec<u8>, Problem> {
        match self {
            Coding::Identity => Ok(bytes),
            Coding::Gzip => gunzip(&bytes, limit).map_err(|error| match error {
                GzipError::TooLarge => Problem::new(
                    Code::PayloadTooLarge,
                    format!("The body may hold at most {limit} bytes, unpacked."),
                ),
                GzipError::Broken => Problem::new(
                    Code::MalformedRequest,
                    "`Content-Encoding: gzip` was sent, but the body is not one complete gzip member. \
                     Compress it once, or leave the header out.",
                ),
            }),
        }
    }
}

/// Why a body cannot be unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GzipError {
    /// The unpacked body would be larger than the limit.
    TooLarge,
    /// The body is not exactly one complete gzip member.
    Broken,
}

/// Unpacks one gzip member (RFC 1952 §2.3). Its last four bytes state the unpacked length, so the buffer has
/// that length, or `limit` if that is less. A member whose content differs from its stated length or CRC is
/// refused.
fn gunzip(bytes: &[u8], limit: usize) -> Result<Vec<u8>, GzipError> {
    use miniz_oxide::inflate::TINFLStatus;
    use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    use miniz_oxide::inflate::core::{DecompressorOxide, decompress};
    let content = gzip_content(bytes).ok_or(GzipError::Broken)?;
    let (packed, length) = content.split_last_chunk::<4>().ok_or(GzipError::Broken)?;
    let (packed, crc) = packed.split_last_chunk::<4>().ok_or(GzipError::Broken)?;
    let length = u32::from_le_bytes(*length) as usize;
    let mut unpacked = vec![0; length.min(limit)];
    let (status, taken, given) = decompress(
        &mut Box::<DecompressorOxide>::default(),
        packed,
        &mut unpacked,
        0,
        TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
    );
    if status == TINFLStatus::HasMoreOutput && length > limit {
        return Err(GzipError::TooLarge);
    }
    let is_whole = status == TINFLStatus::Done
        && (taken, given) == (packed.len(), length)
        && u32::from_le_bytes(*crc) == crc32(&unpacked);
    if is_whole { Ok(unpacked) } else { Err(GzipError::Broken) }
}

/// Returns the bytes after the header of a gzip member; `None` for a header that is incomplete or not valid.
fn gzip_content(bytes: &[u8]) -> Option<&[u8]> {
    const HEADER_CRC: u8 = 2;
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    let [0x1f, 0x8b, 8, flags, _, _, _, _, _, _, rest @ ..] = bytes else { return None };
    if flags & 0xe0 != 0 {
        return None;
    }
    let mut rest = rest;
    if flags & EXTRA != 0 {
        let [low, high, after @ ..] = rest else { return None };
        rest = after.get(usize::from(u16::from_le_bytes([*low, *high]))..)?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let end = rest.iter().position(|byte| *byte == 0)?;
            rest = rest.get(end + 1..)?;
        }
    }
    if flags & HEADER_CRC != 0 {
        rest = rest.get(2..)?;
    }
    Some(rest)
}

/// The CRC-32 of RFC 1952 §8.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 16] = {
        let mut table = [0; 16];
        let mut n = 0;
        while n < 16 {
            let mut crc = n as u32;
            let mut bit = 0;
            while bit < 4 {
                crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
                bit += 1;
            }
            #[allow(clippy::indexing_slicing, reason = "runs at compile time, and n is below 16")]
            {
                table[n] = crc;
            }
            n += 1;
        }
        table
    };
    let step = |crc: u32, nibble: u32| {
        let entry = TABLE.get(((crc ^ nibble) & 15) as usize).copied().unwrap_or_default();
        (crc >> 4) ^ entry
    };
    !bytes.iter().fold(!0, |crc, byte| {
        let byte = u32::from(*byte);
        step(step(crc, byte), byte >> 4)
    })
}

/// Checks a `Content-Type`. Accepts `application/json` and any `application/…+json`, in UTF-8 (RFC 8259 §8.1)
/// under any name that clients use for it.
///
/// # Errors
/// 415 that names what was sent, and what to send.
pub fn check_json(content_type: &str) -> Result<(), Problem> {
    let mut parts = content_type.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
    let is_json =
        kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"));
    if !is_json {
        let sent = match kind.as_str() {
            "" => Cow::Borrowed("No `Content-Type` was sent."),
            kind => format!("`Content-Type: {}` was sent.", shown(kind)).into(),
        };
        return Err(Problem::new(
            Code::UnsupportedMediaType,
            format!(
                "{sent} Send the body as JSON with the header `Content-Type: application/json`."
            ),
        ));
    }
    let charset = parts
        .filter_map(|parameter| parameter.split_once('='))
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))
        .map(|(_, charset)| charset.trim().trim_matches(['"', '\'']).trim())
        .find(|charset| !is_utf8(charset));
    match charset {
        None => Ok(()),
        Some(charset) => Err(Problem::new(
            Code::UnsupportedMediaType,
            format!(
                "`charset={}` was sent. Send the body in UTF-8, with the header `Content-Type: \
                 application/json`.",
                shown(charset)
            ),
        )),
    }
}

/// Whether a charset is UTF-8 or its subset ASCII, under any name that clients use for them. An empty name
/// counts as UTF-8.
fn is_utf8(charset: &str) -> bool {
    let plain: String = charset
        .chars()
        .filter(|c| !matches!(c, '-' | '_' | ' '))
        .map(|c| c.to_ascii_lowercase())
        .collect();
    matches!(plain.as_str(), "" | "utf8" | "unicode11utf8" | "utf8mb4" | "usascii" | "ascii")
}

/// Returns the JSON text in a body, without the byte order mark that some clients put before UTF-8.
///
/// # Errors
/// 400 for an empty body, and for one in UTF-16 or UTF-32.
pub fn text(bytes: &[u8]) -> Result<&[u8], Problem> {
    let malformed = |detail: &'static str| Err(Problem::new(Code::MalformedRequest, detail));
    match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => Ok(rest),
        // The byte order marks of UTF-16 and UTF-32, or a zero byte beside an ASCII character (RFC 4627 §3).
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, ..] | [b'{' | b'[' | b'"' | b' ', 0, ..] => {
            malformed(
                "The body is in UTF-16 or UTF-32. Send it in UTF-8, without a byte order mark.",
            )
        }
        _ if bytes.iter().all(u8::is_ascii_whitespace) => Err(empty()),
        _ => Ok(bytes),
    }
}

/// 400 for an empty body.
pub fn empty() -> Problem {
    Problem::new(
        Code::MalformedRequest,
        "The body is empty. Send a JSON object with the header `Content-Type: application/json`.",
    )
}

/// The part of a client's text that an error can quote: its first 80 printable ASCII characters that are no
/// backquotes.
fn shown(text: &str) -> String {
    const MAX_CHARS: usize = 80;
    text.chars().filter(|c| matches!(c, ' '..='~') && *c != '`').take(MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types() {
        for good in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
            "application/json; charset=utf8",
            "application/json; charset=UTF_8",
            "application/json; charset='utf-8'",
            "application/json; charset=\"utf-8 \"",
            "application/json ; Charset = utf-8 ;",
            "application/json; charset=us-ascii",
            "application/json; charset=",
            "application/merge-patch+json",
            "application/json; version=1",
        ] {
            assert!(check_json(good).is_ok(), "{good}");
        }
        for (bad, named) in [
            ("", "No `Content-Type`"),
            ("text/plain", "text/plain"),
            ("text/json", "text/json"),
            ("application/json; charset=latin1", "charset=latin1"),
            ("application/json; charset=utf-16", "charset=utf-16"),
            ("application/json; charset=utf-8; charset=koi8-r", "charset=koi8-r"),
            ("application/x-www-form-urlencoded", "application/x-www-form-urlencoded"),
            ("json", "json"),
        ] {
            let problem = check_json(bad).unwrap_err();
            assert_eq!(problem.code, Code::UnsupportedMediaType);
            assert!(problem.detail.contains(named), "{bad}: {}", problem.detail);
            assert!(
                problem.detail.contains("Content-Type: application/json"),
                "{}",
                problem.detail
            );
        }
        let long = check_json(&"`\u{7f}é".repeat(10_000)).unwrap_err();
        assert!(long.detail.len() < 200);
    }

    fn gzip(content: &[u8], flags: u8, extra: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3];
        bytes.extend(extra);
        bytes.extend(miniz_oxide::deflate::compress_to_vec(content, 6));
        bytes.extend(crc32(content).to_le_bytes());
        bytes.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
        bytes
    }

    #[test]
    fn gzip_is_unpacked_whole_or_not_at_all() {
        // The published check value of this CRC.
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        let content = br#"{"name":"a name of some length, of some length, of some length"}"#;
        for (flags, extra) in [
            (0, &b""[..]),
            (8, b"body.json\0"),
            (16, b"a comment\0"),
            (4, b"\x03\0abc"),
            (2, b"\x12\x34"),
            (30, b"\x01\0xname\0comment\0\x12\x34"),
        ] {
            let packed = gzip(content, flags, extra);
            assert_eq!(gunzip(&packed, 1000).unwrap(), content, "{flags}");
            for end in 0..packed.len() {
                assert_eq!(gunzip(&packed[..end], 1000), Err(GzipError::Broken), "{flags} {end}");
            }
            for at in packed.len() - 8..packed.len() {
                let mut bent = packed.clone();
                bent[at] ^= 1;
                assert_eq!(gunzip(&bent, 1000), Err(GzipError::Broken));
            }
        }
        let packed = gzip(content, 0, b"");
        assert_eq!(gunzip(&packed, content.len()).unwrap(), content);
        assert_eq!(gunzip(&packed, content.len() - 1), Err(GzipError::TooLarge));
        let twice = [packed.clone(), packed.clone()].concat();
        assert_eq!(gunzip(&twice, 1000), Err(GzipError::Broken));
        assert_eq!(gunzip(&gzip(content, 0x20, b""), 1000), Err(GzipError::Broken));
        assert_eq!(gunzip(b"{}", 1000), Err(GzipError::Broken));
    }

    #[test]
    fn a_bomb_is_refused_before_it_expands() {
        let bomb = gzip(&vec![b' '; 64 << 20], 0, b"");
        assert!(bomb.len() < 1 << 17, "{}", bomb.len());
        assert_eq!(gunzip(&bomb, 1 << 20), Err(GzipError::TooLarge));
        // A bomb that states a small length is unpacked up to that length only, and refused.
        let mut lying = bomb;
        let at = lying.len() - 4;
        lying[at..].copy_from_slice(&100u32.to_le_bytes());
        assert_eq!(gunzip(&lying, 1 << 20), Err(GzipError::Broken));
    }

    #[test]
    fn codings() {
        for (header, coding) in [
            (None, Coding::Identity),
            (Some(""), Coding::Identity),
            (Some("identity"), Coding::Identity),
            (Some("gzip"), Coding::Gzip),
            (Some(" GZIP "), Coding::Gzip),
            (Some("x-gzip"), Coding::Gzip),
        ] {
            assert_eq!(Coding::of(header).unwrap(), coding, "{header:?}");
        }
        for header in ["br", "deflate", "zstd", "gzip, gzip", "gzip;q=1", "*"] {
            let problem = Coding::of(Some(header)).unwrap_err();
            assert_eq!(problem.code, Code::UnsupportedMediaType, "{header}");
            assert!(problem.detail.contains(header) && problem.detail.contains("gzip"));
        }
    }

    #[test]
    fn marks_before_the_text() {
        assert_eq!(text(b"\xef\xbb\xbf{}").unwrap(), b"{}");
        assert_eq!(text(b"{}").unwrap(), b"{}");
        for (bytes, says) in [
            (&b""[..], "empty"),
            (b" \r\n", "empty"),
            (b"\xff\xfe{\0}\0", "UTF-8"),
            (b"\xfe\xff\0{\0}", "UTF-8"),
            (b"{\0}\0", "UTF-8"),
            (b"\0{\0}", "UTF-8"),
        ] {
            let problem = text(bytes).unwrap_err();
            assert_eq!(problem.code, Code::MalformedRequest);
            assert!(problem.detail.contains(says), "{}", problem.detail);
        }
    }

    /// `{"name": "nnnnnnnnnnnn"}`, compressed.
    const PACKED: [u8; 34] = [
        31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 171, 86, 202, 75, 204, 77, 85, 178, 82, 80, 202, 67, 2,
        74, 181, 0, 57, 0, 140, 141, 24, 0, 0, 0,
    ];

    #[test]
    fn a_compressed_body_is_unpacked_up_to_its_limit_and_no_further() {
        const TEXT: &[u8] = b"{\"name\": \"nnnnnnnnnnnn\"}";
        let decode = |bytes: &[u8], limit| Coding::Gzip.decode(bytes.to_vec(), limit);
        assert_eq!(decode(&PACKED, 100).unwrap(), TEXT);
        assert_eq!(decode(&PACKED, TEXT.len()).unwrap(), TEXT);
        let code = |bytes: &[u8], limit| decode(bytes, limit).unwrap_err().code;
        assert_eq!(code(&PACKED, TEXT.len() - 1), Code::PayloadTooLarge);
        assert_eq!(code(TEXT, 100), Code::MalformedRequest);
        // Members that state too small a length or a wrong CRC, or that end too early.
        let at = PACKED.len();
        let mut shorter = PACKED;
        shorter[at - 4] = 10;
        assert_eq!(code(&shorter, 10), Code::MalformedRequest);
        assert_eq!(code(&shorter, 100), Code::MalformedRequest);
        let mut other = PACKED;
        other[at - 8] ^= 1;
        assert_eq!(code(&other, 100), Code::MalformedRequest);
        assert_eq!(code(&PACKED[..at - 1], 100), Code::MalformedRequest);
        assert_eq!(Coding::Identity.decode(TEXT.to_vec(), 1).unwrap(), TEXT);
    }
}
