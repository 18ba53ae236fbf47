//! Who is calling, and what they may touch.
//!
//! [`Caller::authenticate`] finds out who stands behind a credential: a ChittyAuth token (a JWT is
//! verified here, `jwt`; an opaque one is asked of ChittyAuth), or a credential that this gateway
//! keeps itself (`kept`: delegated tokens and API keys). The answer is remembered in the isolate for a
//! short time. [`Caller::scope`] turns a caller into a [`Scope`], which is what handlers work with:
//! every read and write of theirs goes through it, together with what must hold at that moment.

mod cache;
pub mod jwt;
mod kept;
mod scope;
pub mod scopes;

use std::rc::Rc;

use chitty_core::{ChittyId, TokenCheck};
use serde_json::json;

use self::cache::Expiry;
pub use self::cache::TokenCache;
pub use self::scope::{Scope, WriteError};
pub use self::scopes::Permission;
use crate::app::App;
use crate::http::limits::{Class, Overrides};
use crate::http::problem::{Code, Problem};
use crate::http::request::Request;
use crate::init::Ready;
use crate::platform::db::{Statement, first_row};
use crate::platform::{ids, log, time};

/// By which credential somebody calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A token that ChittyAuth vouches for.
    Token {
        /// SHA-256 of the token, in hex.
        sha256: String,
        /// When it ends (ISO-8601 UTC), if that is known.
        expires_at: Option<String>,
    },
    /// A token that this gateway has made for somebody to act for its delegator.
    Delegation {
        /// SHA-256 of the token, in hex.
        sha256: String,
        /// `dlg_…`
        id: String,
        /// The path of its delegation.
        path: String,
    },
    /// An API key of this gateway.
    Key {
        /// SHA-256 of the key, in hex.
        sha256: String,
        /// `key_…`
        id: String,
    },
}

/// An authenticated caller.
#[derive(Debug, Clone)]
pub struct Caller {
    actor: ChittyId,
    /// What the credential itself carries.
    scopes: Vec<String>,
    /// A token: what an administrator has granted beside what it carries. Any other credential: what
    /// of what it carries still has something to stand on. As of a moment ago: it says what the
    /// caller may hand on, never what it may do.
    granted: Vec<String>,
    credential: Credential,
    /// For which service it is good, where that is not this gateway.
    audience: Option<String>,
    limits: Overrides,
}

/// The longest token that is looked at, in bytes. ChittyAuth's own are below 1 KB.
const MAX_TOKEN_BYTES: usize = 4096;

/// How long the bearer of a credential that this gateway keeps itself is remembered, in ms. Only the
/// name: whether it is still good is read with each request.
const KEEP_OWN_MS: u64 = 60_000;

impl Caller {
    /// Finds out who is calling.
    ///
    /// # Errors
    /// 401 without a good credential; 503 when ChittyAuth cannot be asked, so that nobody throws a
    /// good token away because of an outage; 429 when the caller's address has shown too many
    /// unknown credentials.
    pub async fn authenticate(
        app: &App,
        ready: Ready<'_>,
        request: &Request<'_>,
    ) -> Result<Rc<Caller>, Problem> {
        let token = token_of(request)?;
        let key = TokenCache::key(&token);
        if let Some(caller) = app.tokens.get(&key, request.now_ms) {
            return Ok(caller);
        }
        // What is not known here costs a question elsewhere, so it counts for the address: a token
        // that somebody has made up does not buy another budget.
        app.limits.of_address(request, Class::Authenticate).await?;
        let sha256 = ids::hex(&key);
        let (mut caller, keep_ms, expiry) = if token.starts_with(kept::DELEGATION_PREFIX) {
            let (caller, expiry) = kept::delegation(ready, sha256, request.now_ms).await?;
            (caller, KEEP_OWN_MS, expiry)
        } else if token.starts_with(kept::KEY_PREFIX) {
            let (caller, expiry) = kept::key(ready, sha256, request.now_ms).await?;
            (caller, KEEP_OWN_MS, expiry)
        } else {
            let (caller, expiry) = vouched(app, ready, request, &token, sha256).await?;
            (caller, app.config.auth_cache_ms, expiry)
        };
        caller.limits = app.limits.overrides(caller.actor.as_str()).await;
        let caller = Rc::new(caller);
        app.tokens.put(key, &caller, app.now_ms(), keep_ms, expiry);
        Ok(caller)
    }

    /// Who it is.
    pub fn actor(&self) -> &str {
        self.actor.as_str()
    }

    /// By which credential.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// What the credential itself carries.
    pub fn carried(&self) -> &[String] {
        &self.scopes
    }

    /// What an operator has set for the actor in place of the usual limits.
    pub fn limits(&self) -> &Overrides {
        &self.limits
    }

    /// What of the caller's rows a request may touch under a permission. Whether it has that is judged
    /// with the handler's first read or write.
    pub fn scope(self: Rc<Self>, permission: Permission, now_ms: u64) -> Scope {
        Scope::of(self, permission, now_ms)
    }
}

/// A caller by a token of ChittyAuth.
async fn vouched(
    app: &App,
    ready: Ready<'_>,
    request: &Request<'_>,
    token: &str,
    sha256: String,
) -> Result<(Caller, Expiry), Problem> {
    let (actor, scopes, expires_at) = match jwt::Token::parse(token) {
        Some(jwt) => {
            let claims = jwt.verify(app, request).await?;
            (claims.actor, claims.scopes, Some(time::iso8601(claims.expires_ms)))
        }
        None => {
            let answer = request.session(app).auth().validate(token).await.map_err(|error| {
                Problem::upstream(
                    Code::AuthenticationUnavailable,
                    "ChittyAuth did not answer. Your token may well be good: keep it and repeat \
                     the request.",
                    &error,
                )
            })?;
            let TokenCheck::Valid(info) = answer else {
                note_refused(ready, &sha256, request.now_ms).await;
                return Err(invalid_token());
            };
            (info.actor, info.scopes, info.expires_at)
        }
    };
    let expiry = match expires_at.as_deref() {
        None => Expiry::Open,
        Some(text) => time::parse(text).map_or(Expiry::Unreadable, Expiry::At),
    };
    if expiry.is_past(app.now_ms()) {
        return Err(invalid_token());
    }
    let granted = note_vouched(ready, &sha256, actor.as_str(), &scopes).await?;
    let expires_at = match expiry {
        Expiry::At(at) => Some(time::iso8601(at)),
        Expiry::Open | Expiry::Unreadable => None,
    };
    let caller = Caller {
        actor,
        scopes,
        granted,
        credential: Credential::Token { sha256, expires_at },
        audience: None,
        limits: Overrides::default(),
    };
    Ok((caller, expiry))
}

/// Takes over what ChittyAuth says now into what was delegated by this token, and reads what an
/// administrator has granted beside it.
async fn note_vouched(
    ready: Ready<'_>,
    sha256: &str,
    actor: &str,
    scopes: &[String],
) -> Result<Vec<String>, Problem> {
    let note = Statement::new(
        "UPDATE delegations SET source_scopes = ?2 WHERE source_token = ?1 AND source_scopes <> ?2",
    )
    .bind(sha256)
    .bind(json!(scopes).to_string());
    let granted =
        Statement::new("SELECT capabilities FROM actors WHERE chitty_id = ?1").bind(actor);
    let mut results = ready.db().batch(vec![note, granted]).await?;
    let row = first_row(results.pop());
    row.map_or(Ok(Vec::new()), |mut row| Ok(scopes::list(&row.text(0)?)))
}

/// A token that is refused before its end has been revoked: what was delegated by it has nothing left
/// to stand on.
async fn note_refused(ready: Ready<'_>, sha256: &str, now_ms: u64) {
    let note = Statement::new(
        "UPDATE delegations SET source_scopes = '[]' \
         WHERE source_token = ?1 AND (source_expires_at IS NULL OR source_expires_at > ?2)",
    )
    .bind(sha256)
    .bind(time::iso8601(now_ms));
    if let Err(error) = ready.db().batch(vec![note]).await {
        log::warn("refusal_not_noted", &[("error", &error.to_string())]);
    }
}

/// The credential of a request: `Authorization: Bearer`, or one of the headers in which the ecosystem
/// sends API keys.
fn token_of(request: &Request<'_>) -> Result<String, Problem> {
    if let Some(header) = request.header("authorization") {
        return bearer(&header).map(str::to_owned);
    }
    let key = request.header("x-chittyos-api-key").or_else(|| request.header("x-api-key"));
    sound(key.ok_or_else(authentication_required)?.trim()).map(str::to_owned)
}

/// The token of an `Authorization` header: scheme `Bearer` in any case, then visible ASCII
/// (RFC 6750 §2.1).
fn bearer(header: &str) -> Result<&str, Problem> {
    let Some((scheme, token)) = header.trim().split_once(' ') else {
        return Err(authentication_required());
    };
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(authentication_required());
    }
    sound(token.trim())
}

fn sound(token: &str) -> Result<&str, Problem> {
    let sound =
        (1..=MAX_TOKEN_BYTES).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic());
    if sound { Ok(token) } else { Err(invalid_token()) }
}

fn authentication_required() -> Problem {
    Problem::new(
        Code::AuthenticationRequired,
        "Send a token in the header `Authorization: Bearer <token>`, or an API key in \
         `X-ChittyOS-API-Key`.",
    )
}

/// 401 for whatever does not open the door: which of the reasons it is helps only who guesses.
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
        assert_eq!(code(&format!("Bearer {}", "a".repeat(4097))), Code::InvalidToken);
    }
}
