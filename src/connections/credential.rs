//! The credentials of connections: how a caller hands them in, what is sealed of them, and in which header
//! the target gets them.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_kit::fields::{Fields, Member};
use serde::{Deserialize, Serialize};

use crate::connections::headers::may_carry_credential;
use crate::discovery::endpoint::Endpoint;

/// The most characters of a secret.
const MAX_SECRET_CHARS: usize = 4096;

/// How long before its expiry a request renews the access token that it uses, in ms.
pub const REFRESH_EARLY_MS: u64 = 60_000;

/// The credential of a connection. At rest it is always sealed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Credential {
    /// A key in a header of its own.
    ApiKey {
        /// The secret.
        key: String,
        /// The header, in lower case.
        header: String,
    },
    /// A bearer token (RFC 6750).
    Bearer {
        /// The secret.
        token: String,
    },
    /// User and password (RFC 7617).
    Basic {
        /// The user, which is not secret.
        username: String,
        /// The secret.
        password: String,
    },
    /// OAuth 2 with a refresh token (RFC 6749 §6).
    Oauth(Oauth),
    /// A key that ChittyAuth made for this connection.
    Provisioned {
        /// The secret.
        key: String,
        /// The id for revoking the key, if ChittyAuth returned one.
        key_id: Option<String>,
    },
}

/// A credential of OAuth 2.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Oauth {
    /// The URL that renews access tokens.
    pub token_endpoint: String,
    /// The URL that revokes tokens (RFC 7009), if there is one.
    pub revocation_endpoint: Option<String>,
    /// The OAuth client.
    pub client_id: String,
    /// The secret of the client, unless it is a public client.
    pub client_secret: Option<String>,
    /// The refresh token, which the server may replace at each use.
    pub refresh_token: String,
    /// The access token in use.
    pub access_token: Option<String>,
    /// When the access token expires, in ms since the Unix epoch, if that is known.
    pub expires_at_ms: Option<u64>,
}

impl fmt::Debug for Credential {
    /// Shows the type only, and no secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

impl Oauth {
    /// Whether there is an access token that lasts for `ms` milliseconds from now on.
    pub fn is_good_for(&self, ms: u64, now_ms: u64) -> bool {
        self.access_token.is_some() && self.expires_at_ms.is_none_or(|at| at > now_ms + ms)
    }
}

impl Credential {
    /// The type, as in `credential_type`.
    pub fn kind(&self) -> &'static str {
        match self {
            Credential::ApiKey { .. } => "api_key",
            Credential::Bearer { .. } => "bearer",
            Credential::Basic { .. } => "basic",
            Credential::Oauth(_) => "oauth",
            Credential::Provisioned { .. } => "provisioned",
        }
    }

    /// The header for the target; `None` for OAuth without an access token.
    pub fn header(&self) -> Option<(String, String)> {
        let authorization = |value: String| Some(("authorization".to_owned(), value));
        match self {
            Credential::ApiKey { key, header } => Some((header.clone(), key.clone())),
            Credential::Bearer { token: secret } | Credential::Provisioned { key: secret, .. } => {
                authorization(format!("Bearer {secret}"))
            }
            Credential::Basic { username, password } => {
                let pair = STANDARD.encode(format!("{username}:{password}"));
                authorization(format!("Basic {pair}"))
            }
            Credential::Oauth(oauth) => oauth
                .access_token
                .as_ref()
                .and_then(|token| authorization(format!("Bearer {token}"))),
        }
    }

    /// When the access token expires, in ms since the Unix epoch, if there is one and that is known.
    pub fn expires_at_ms(&self) -> Option<u64> {
        match self {
            Credential::Oauth(oauth) => oauth.expires_at_ms,
            _ => None,
        }
    }
}

/// The credential that a caller hands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialInput {
    /// A credential that is complete, or that a refresh token completes.
    In(Credential),
    /// A key that ChittyAuth is to make.
    Provision,
}

/// The types of credentials.
pub const TYPES: [&str; 5] = ["api_key", "bearer", "basic", "oauth", "provisioned"];

/// Reads the member `credentials`, and notes in `fields` what is wrong with it.
pub fn read(fields: &mut Fields<'_>, now_ms: u64) -> Option<CredentialInput> {
    /// The members of all types.
    const MEMBERS: [&str; 12] = [
        "key",
        "header",
        "token",
        "username",
        "password",
        "token_endpoint",
        "revocation_endpoint",
        "client_id",
        "client_secret",
        "refresh_token",
        "access_token",
        "expires_in",
    ];
    if fields
        .raw("credentials")
        .is_some_and(|raw| raw.get() != "null" && !raw.get().starts_with('{'))
    {
        let detail = "must be an object that says its `type`, such as `{\"type\": \"bearer\", \"token\": …}`";
        fields.wrong("credentials", detail);
        return None;
    }
    let mut inner = fields.within("credentials")?;
    let kind = inner.word("type", &TYPES);
    if kind.as_ref().is_none() {
        // Without a type, the members of every type count as known.
        inner.knows(&MEMBERS);
    }
    let handed = match inner.required("type", kind) {
        Some("api_key") => api_key(&mut inner),
        Some("bearer") => secret(&mut inner, "token").map(|token| Credential::Bearer { token }),
        Some("basic") => basic(&mut inner),
        Some("oauth") => oauth(&mut inner, now_ms),
        Some(_) => {
            fields.absorb(inner);
            return Some(CredentialInput::Provision);
        }
        None => None,
    };
    fields.absorb(inner);
    handed.map(CredentialInput::In)
}

/// Reads a secret that goes into a header: visible ASCII only.
fn secret(fields: &mut Fields<'_>, name: &'static str) -> Option<String> {
    let text = fields.text(name, MAX_SECRET_CHARS);
    let text = fields.required(name, text)?;
    if text.bytes().all(|b| b.is_ascii_graphic()) {
        return Some(text);
    }
    let detail = match text.split_once(char::is_whitespace) {
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("bearer") => {
            "must be sent without `Bearer`: the gateway adds that"
        }
        Some(_) => "must have only visible ASCII characters, and no white space",
        None => "must have only visible ASCII characters",
    };
    fields.wrong(name, detail);
    None
}

fn api_key(fields: &mut Fields<'_>) -> Option<Credential> {
    let key = secret(fields, "key");
    let header = match fields.text("header", 64) {
        Member::Value(name) => name.to_ascii_lowercase(),
        Member::Null | Member::Absent => "x-api-key".to_owned(),
    };
    if !may_carry_credential(&header) {
        fields.wrong(
            "header",
            "must be `authorization`, or a name with a word for a credential (such as key, token, auth or \
             secret) and no word about where a request goes or who sends it",
        );
        return None;
    }
    Some(Credential::ApiKey { key: key?, header })
}

fn basic(fields: &mut Fields<'_>) -> Option<Credential> {
    let username = fields.text("username", 256);
    let username = fields.required("username", username);
    if username.as_ref().is_some_and(|name| name.contains(':')) {
        fields.wrong("username", "must not have a colon (RFC 7617)");
    }
    let password = fields.text("password", MAX_SECRET_CHARS);
    let password = fields.required("password", password)?;
    Some(Credential::Basic { username: username?, password })
}

fn oauth(fields: &mut Fields<'_>, now_ms: u64) -> Option<Credential> {
    let token_endpoint = endpoint(fields, "token_endpoint");
    if token_endpoint.is_none() && !fields.has("token_endpoint") {
        fields.wrong("token_endpoint", "is required");
    }
    let revocation_endpoint = endpoint(fields, "revocation_endpoint");
    let client_id = secret(fields, "client_id");
    let optional = |fields: &mut Fields<'_>, name: &'static str| {
        if matches!(fields.any(name), Member::Value(_)) { secret(fields, name) } else { None }
    };
    let client_secret = optional(fields, "client_secret");
    let access_token = optional(fields, "access_token");
    let refresh_token = secret(fields, "refresh_token");
    let life_s = fields.number("expires_in", 1, 10 * 365 * 24 * 3600).value();
    Some(Credential::Oauth(Oauth {
        token_endpoint: token_endpoint?,
        revocation_endpoint,
        client_id: client_id?,
        client_secret,
        refresh_token: refresh_token?,
        expires_at_ms: life_s.filter(|_| access_token.is_some()).map(|s| now_ms + s * 1000),
        access_token,
    }))
}

/// Reads a URL that the gateway will call. The rules for the endpoint of a connection apply, and hosts of
/// ChittyOS are refused.
fn endpoint(fields: &mut Fields<'_>, name: &'static str) -> Option<String> {
    let text = fields.text(name, crate::discovery::endpoint::MAX_ENDPOINT_BYTES).value()?;
    match Endpoint::for_credential(&text) {
        Ok(endpoint) => Some(endpoint.to_string()),
        Err(detail) => {
            fields.wrong(name, detail);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handed(json: &str) -> Result<Option<CredentialInput>, ()> {
        let body = format!("{{\"credentials\":{json}}}");
        let mut fields = Fields::of(body.as_bytes()).unwrap();
        let handed = read(&mut fields, 1000);
        fields.finish().map(|()| handed).map_err(|_| ())
    }

    #[test]
    fn a_credential_of_each_type_is_accepted() {
        let Ok(Some(CredentialInput::In(key))) = handed(r#"{"type":"api_key","key":"s3cret"}"#)
        else {
            panic!("a key")
        };
        assert_eq!(key.header(), Some(("x-api-key".to_owned(), "s3cret".to_owned())));
        assert!(!format!("{key:?}").contains("s3cret"));
        let Ok(Some(CredentialInput::In(basic))) =
            handed(r#"{"type":"basic","username":"u","password":"p"}"#)
        else {
            panic!("a password")
        };
        assert_eq!(basic.header().unwrap().1, "Basic dTpw");
        assert_eq!(handed(r#"{"type":"provisioned"}"#), Ok(Some(CredentialInput::Provision)));
        assert_eq!(handed("null"), Ok(None));
        let oauth = r#"{"type":"oauth","token_endpoint":"https://login.partner.example/token",
            "client_id":"c","refresh_token":"r","access_token":"a","expires_in":60}"#;
        let Ok(Some(CredentialInput::In(Credential::Oauth(oauth)))) = handed(oauth) else {
            panic!("oauth")
        };
        assert_eq!(oauth.expires_at_ms, Some(61_000));
        assert!(oauth.is_good_for(59_000, 1000) && !oauth.is_good_for(60_000, 1000));
    }

    #[test]
    fn the_credentials_of_other_versions_are_read() {
        for sealed in include_str!("../../tests/native/golden/credentials-v1.jsonl").lines() {
            let credential: Credential = serde_json::from_str(sealed).unwrap();
            assert_eq!(serde_json::to_string(&credential).unwrap(), sealed);
            let newer = sealed.replacen('{', r#"{"later":1,"#, 1);
            assert!(serde_json::from_str::<Credential>(&newer).is_ok_and(|it| it == credential));
        }
    }

    #[test]
    fn incomplete_and_unsafe_credentials_are_refused() {
        for bad in [
            r#""key""#,
            "{}",
            r#"{"type":"password"}"#,
            r#"{"type":"api_key"}"#,
            r#"{"type":"api_key","key":"a b"}"#,
            r#"{"type":"api_key","key":"k","header":"Host"}"#,
            r#"{"type":"api_key","key":"k","header":"X: y"}"#,
            r#"{"type":"api_key","key":"k","header":"CF-Connecting-IP"}"#,
            r#"{"type":"api_key","key":"k","header":"X-ChittyID"}"#,
            r#"{"type":"api_key","key":"k","header":"X-Forwarded-For"}"#,
            r#"{"type":"api_key","key":"k","header":"Forwarded"}"#,
            r#"{"type":"api_key","key":"k","header":"X-Real-IP"}"#,
            r#"{"type":"api_key","key":"k","header":"User-Agent"}"#,
            r#"{"type":"oauth","token_endpoint":"https://auth.chitty.cc/t","client_id":"c","refresh_token":"r"}"#,
            r#"{"type":"oauth","token_endpoint":"https://a.example/t","revocation_endpoint":"https://id.chitty.cc/r","client_id":"c","refresh_token":"r"}"#,
            r#"{"type":"basic","username":"a:b","password":"p"}"#,
            r#"{"type":"oauth","client_id":"c","refresh_token":"r"}"#,
            r#"{"type":"oauth","token_endpoint":"https://127.0.0.1/","client_id":"c","refresh_token":"r"}"#,
            r#"{"type":"oauth","token_endpoint":"https://a.example","revocation_endpoint":"http://a.example","client_id":"c","refresh_token":"r"}"#,
        ] {
            assert!(handed(bad).is_err(), "{bad}");
        }
    }
}
