//! The credential of a request, as it was sent.

use http_kit::problem::{Code, Problem};
use http_kit::request::Request;

/// The longest token that is accepted, in bytes. ChittyAuth's own are below 1 KB.
const MAX_TOKEN_BYTES: usize = 4096;

/// Returns the credential of a request: from `Authorization: Bearer`, or from one of the headers in
/// which the ecosystem sends API keys.
pub(crate) fn token_of(request: &Request<'_>) -> Result<String, Problem> {
    if let Some(header) = request.header("authorization") {
        return bearer(&header).map(str::to_owned);
    }
    let key = request.header("x-chittyos-api-key").or_else(|| request.header("x-api-key"));
    checked(key.ok_or_else(authentication_required)?.trim()).map(str::to_owned)
}

/// Returns the token of an `Authorization` header: scheme `Bearer` in any case, then visible ASCII
/// (RFC 6750 §2.1).
fn bearer(header: &str) -> Result<&str, Problem> {
    let Some((scheme, token)) = header.trim().split_once(' ') else {
        return Err(not_bearer("`Authorization` was sent without a scheme, or without a token."));
    };
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(not_bearer("`Authorization` was sent with another scheme than `Bearer`."));
    }
    checked(token.trim())
}

/// Returns the token if it can be one; otherwise 401, which says what is wrong with it.
fn checked(token: &str) -> Result<&str, Problem> {
    let refused = |detail: String| Err(Problem::new(Code::InvalidToken, detail));
    if token.len() > MAX_TOKEN_BYTES {
        return refused(format!(
            "This token or key is too long: at most {MAX_TOKEN_BYTES} bytes are accepted."
        ));
    }
    if token.split_whitespace().nth(1).is_some() {
        return refused(
            "A token has no spaces. Send `Authorization: Bearer <token>`: the word `Bearer` once, \
             then only the token."
                .to_owned(),
        );
    }
    // No token begins with one of these (RFC 6750 §2.1, `b64token`).
    if token.starts_with(['"', '\'', '<', '$', '{']) {
        return refused(
            "This is a token in quotes, or a placeholder for a token. Send the token alone."
                .to_owned(),
        );
    }
    let is_sound = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
    if is_sound { Ok(token) } else { Err(invalid_token()) }
}

fn authentication_required() -> Problem {
    Problem::new(Code::AuthenticationRequired, SEND_A_TOKEN)
}

/// The advice to a caller without a credential.
const SEND_A_TOKEN: &str = "Send a token in the header `Authorization: Bearer <token>`, or an API key in \
     `X-ChittyOS-API-Key`.";

fn not_bearer(what: &str) -> Problem {
    Problem::new(Code::AuthenticationRequired, format!("{what} {SEND_A_TOKEN}"))
}

/// 401 for any credential that is not valid. It does not say why, because that would help only an
/// attacker who guesses credentials.
pub(crate) fn invalid_token() -> Problem {
    Problem::new(
        Code::InvalidToken,
        "This token or key is unknown here, or it has expired or been revoked. Get a new one.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearer_headers() {
        assert_eq!(bearer("Bearer abc").unwrap(), "abc");
        assert_eq!(bearer("bearer   a.b-c ").unwrap(), "a.b-c");
        let code = |header: &str| bearer(header).unwrap_err().code;
        assert_eq!(code("Basic abc"), Code::AuthenticationRequired);
        assert_eq!(code("Bearer"), Code::AuthenticationRequired);
        assert_eq!(code("Bearer a b"), Code::InvalidToken);
        assert_eq!(code("Bearer é"), Code::InvalidToken);
        for (header, says) in [
            ("dev-a", "without a scheme"),
            ("Token abc", "another scheme"),
            ("Bearer Bearer abc", "`Bearer` once"),
            ("Bearer \"abc\"", "in quotes"),
            ("Bearer <token>", "a placeholder"),
            ("Bearer $TOKEN", "a placeholder"),
        ] {
            let said = bearer(header).unwrap_err().detail;
            assert!(said.contains(says), "{header}: {said}");
        }
        let long = bearer(&format!("Bearer {}", "a".repeat(4097))).unwrap_err();
        assert_eq!(long.code, Code::InvalidToken);
        assert!(long.detail.contains("too long"), "{}", long.detail);
        assert!(bearer(&format!("Bearer {}", "a".repeat(4096))).is_ok());
    }
}
