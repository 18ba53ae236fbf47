//! Who is calling, and what they may touch.
//!
//! [`Caller::authenticate`] finds out who stands behind a credential: a ChittyAuth token (a JWT is
//! verified here, `jwt`; an opaque one is asked of ChittyAuth), or a credential that this gateway
//! keeps itself (`kept`: delegated tokens and API keys). The answer is remembered in the isolate for a
//! short time. [`Caller::scope`] turns a caller into a [`Scope`], which is what handlers work with:
//! every read and write of theirs goes through it, together with what must hold at that moment.

mod cache;
mod grant;
pub mod jwt;
mod kept;
mod scope;
pub mod scope_place;
pub mod scopes;
pub mod standing;

use std::rc::Rc;

use chitty_core::{ChittyId, TokenCheck};
use http_kit::problem::{Code, Problem};
use http_kit::request::Request;
use seams::db::{Row, Statement, first_row};
use seams::{ids, log, time};
use serde_json::json;

use self::cache::Expiry;
pub use self::cache::TokenCache;
pub use self::grant::{Grant, Source};
pub use self::scope::{Scope, WriteError};
pub use self::scopes::Permission;
use self::standing::{Backing, Standing};
use crate::access::limits::Limits;
use crate::access::rates::{Class, Overrides};
use crate::app::{App, Slot};
use crate::store::Ready;

/// The names by which this gateway is the target itself.
pub const THIS_GATEWAY: &str = "connect";

/// By which credential somebody calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A token that ChittyAuth vouches for.
    Token {
        /// SHA-256 of the token, in hex.
        sha256: String,
        /// When it ends (ISO-8601 UTC), if that is known.
        expires_at: Option<String>,
        /// Whether it was made at the request of another caller of this gateway: then it stands on
        /// the credential by which that called.
        is_made: bool,
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

impl Credential {
    /// Its SHA-256, in hex.
    pub fn sha256(&self) -> &str {
        match self {
            Credential::Token { sha256, .. }
            | Credential::Delegation { sha256, .. }
            | Credential::Key { sha256, .. } => sha256,
        }
    }
}

/// An authenticated caller.
#[derive(Debug, Clone)]
pub struct Caller {
    actor: ChittyId,
    /// Its principal at ChittyAuth, where ChittyAuth or the token says it.
    principal_id: Option<String>,
    /// What the credential itself carries.
    scopes: Vec<String>,
    /// A token: what an administrator has granted beside what it carries. Any other credential: what
    /// of what it carries still has something to stand on. As of a moment ago: it says what the
    /// caller may hand on, never what it may do.
    granted: Vec<String>,
    credential: Credential,
    /// For which service it is good, where that is not this gateway.
    audience: Option<String>,
    /// When the credential ends, in ms since the Unix epoch, as far as is known.
    ends_ms: Option<u64>,
    /// Against whose limits its requests count, where the identity was minted for another caller.
    sponsor: Option<String>,
    limits: Overrides,
}

/// SQL for the sponsor of the actor bound as `?1`.
const SPONSOR: &str = "(SELECT sponsor_chitty_id FROM sponsors WHERE chitty_id = ?1)";

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
        if let Some(caller) = TokenCache::of(app).get(&key, request.now_ms) {
            return Ok(caller);
        }
        // What is not known here costs a question elsewhere, so it counts for the address: a token
        // that somebody has made up does not buy another budget.
        Limits::of(app).of_address(request, Class::Authenticate).await?;
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
        caller.limits = Limits::of(app).overrides(caller.answers_for()).await;
        let caller = Rc::new(caller);
        TokenCache::of(app).put(key, &caller, app.now_ms(), keep_ms, expiry);
        Ok(caller)
    }

    /// Who it is.
    pub fn actor(&self) -> &str {
        self.actor.as_str()
    }

    /// Its principal at ChittyAuth, where its credential says it.
    pub fn principal_id(&self) -> Option<&str> {
        self.principal_id.as_deref()
    }

    /// Against whose limits its requests count: its own, or those of the caller for whom its identity
    /// was minted.
    pub fn answers_for(&self) -> &str {
        self.sponsor.as_deref().unwrap_or_else(|| self.actor())
    }

    /// By which credential.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// What the credential itself carries.
    pub fn carried(&self) -> &[String] {
        &self.scopes
    }

    /// Whether ChittyAuth vouches for the credential itself, and it stands on nothing else.
    fn is_vouched_for(&self) -> bool {
        matches!(self.credential, Credential::Token { is_made: false, .. })
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
    let (actor, principal_id, scopes, expires_at) = match jwt::Token::parse(token) {
        Some(jwt) => {
            let claims = jwt.verify(app, request).await?;
            let expires_at = Some(time::iso8601(claims.expires_ms));
            (claims.actor, claims.principal_id, claims.scopes, expires_at)
        }
        None => {
            let answer = request.session(&app.core).auth().validate(token).await.map_err(|error| {
                Problem::upstream(
                    Code::AuthenticationUnavailable,
                    "ChittyAuth did not answer. Your token may well be good: keep it and repeat \
                     the request.",
                    &error,
                )
            })?;
            let TokenCheck::Valid(info) = answer else {
                TokenCache::of(app).forget_note(&sha256);
                note_refused(ready, &sha256, request.now_ms).await;
                return Err(invalid_token());
            };
            (info.actor, info.principal_id, info.scopes, info.expires_at)
        }
    };
    let scopes = scopes::carried(scopes);
    let expiry = match expires_at.as_deref() {
        None => Expiry::Open,
        Some(text) => time::parse(text).map_or(Expiry::Unreadable, Expiry::At),
    };
    if expiry.is_past(app.now_ms()) {
        return Err(invalid_token());
    }
    let ends_ms = match expiry {
        Expiry::At(at) => Some(at),
        Expiry::Open => None,
        // Nobody knows: so much, and no more, is certain.
        Expiry::Unreadable => Some(request.now_ms + UNREADABLE_MS),
    };
    let expires_at = ends_ms.map(time::iso8601);
    let known = note_vouched(app, ready, &sha256, actor.as_str(), &scopes).await?;
    let (scopes, is_made) = match known.made {
        Some(made) => (scopes::intersection(&scopes, &made.held()), true),
        None => (scopes, false),
    };
    let caller = Caller {
        actor,
        principal_id: principal_id.filter(|id| is_principal(id)),
        scopes,
        granted: known.granted,
        credential: Credential::Token { sha256, expires_at, is_made },
        audience: None,
        ends_ms,
        sponsor: known.sponsor,
        limits: Overrides::default(),
    };
    Ok((caller, expiry))
}

/// The longest id of a principal that is kept, in bytes.
const MAX_PRINCIPAL_BYTES: usize = 200;

/// Whether a text may be the id of a principal.
pub(crate) fn is_principal(id: &str) -> bool {
    (1..=MAX_PRINCIPAL_BYTES).contains(&id.len()) && !id.contains(char::is_control)
}

/// How long a token whose end cannot be read counts as good for what is made by it, in ms.
const UNREADABLE_MS: u64 = 60_000;

/// What is on record here of a token of ChittyAuth and its bearer.
#[derive(Default)]
struct TokenRecord {
    /// What an administrator has granted the bearer.
    granted: Vec<String>,
    sponsor: Option<String>,
    /// What the token stands on, where it was made at the request of another caller.
    made: Option<Backing>,
}

impl TokenRecord {
    fn read(row: Option<Row>) -> Result<Self, Problem> {
        let Some(mut row) = row else { return Ok(TokenRecord::default()) };
        let is_made = row.integer(2)? == 1;
        Ok(TokenRecord {
            granted: row.optional_text(0)?.map(|json| scopes::list(&json)).unwrap_or_default(),
            sponsor: row.optional_text(1)?,
            made: is_made.then(|| Backing::read(&mut row, 3)).transpose()?,
        })
    }
}

/// Takes over what ChittyAuth says now of a token and of its bearer into everything that was made by
/// either, and reads what is on record of both.
async fn note_vouched(
    app: &App,
    ready: Ready<'_>,
    sha256: &str,
    actor: &str,
    scopes: &[String],
) -> Result<TokenRecord, Problem> {
    let now_ms = app.now_ms();
    let carried = json!(scopes).to_string();
    let look = Statement::new(format!(
        "SELECT (SELECT capabilities FROM actors WHERE chitty_id = ?1) AS own, \
         {SPONSOR} AS sponsor, k.token_sha256 IS NOT NULL AS is_made, {} \
         FROM (SELECT 1 AS one) LEFT JOIN made_tokens AS k ON k.token_sha256 = ?2",
        Backing::columns(Standing::Made, "?3"),
    ))
    .bind(actor)
    .bind(sha256)
    .bind(standing::cutoff(now_ms));
    if !TokenCache::of(app).takes_note(sha256, &carried, now_ms) {
        return TokenRecord::read(ready.db().rows(look).await?.into_iter().next());
    }
    let mut batch = note_carried(sha256, &carried);
    batch.push(standing::note(actor, scopes, now_ms));
    batch.push(look);
    let written = ready.db().batch(batch).await;
    if written.is_err() {
        TokenCache::of(app).forget_note(sha256);
    }
    TokenRecord::read(first_row(written?.pop()))
}

/// Notes what a token of ChittyAuth carries, in everything that was made by it.
fn note_carried(sha256: &str, scopes: &str) -> Vec<Statement> {
    [
        "UPDATE delegations SET source_scopes = ?2 WHERE source_token = ?1 AND source_scopes <> ?2",
        "UPDATE keys SET source_scopes = ?2 WHERE source_token = ?1 AND source_scopes <> ?2",
        "UPDATE connection_secrets SET source_scopes = ?2 \
         WHERE source_token = ?1 AND source_scopes <> ?2",
        "UPDATE made_tokens SET source_scopes = ?2 WHERE source_token = ?1 AND source_scopes <> ?2",
    ]
    .map(|sql| Statement::new(sql).bind(sha256).bind(scopes))
    .into()
}

/// A token that is refused before its end has been revoked: what was made by it has nothing left to
/// stand on. API keys stand on their owner and go on.
async fn note_refused(ready: Ready<'_>, sha256: &str, now_ms: u64) {
    let now = time::iso8601(now_ms);
    let notes = [
        "UPDATE delegations SET source_scopes = '[]' WHERE source_token = ?1 \
         AND (source_expires_at IS NULL OR source_expires_at > ?2)",
        "UPDATE connection_secrets SET source_scopes = '[]' \
         WHERE source_token = ?1 AND key_expires_at > ?2",
        "UPDATE made_tokens SET source_scopes = '[]' WHERE source_token = ?1 AND expires_at > ?2",
    ];
    let notes = notes.map(|sql| Statement::new(sql).bind(sha256).bind(now.as_str()));
    if let Err(error) = ready.db().batch(notes.into()).await {
        log::warn("refusal_not_noted", &[("error", &error.to_string())]);
    }
}

/// The credential of a request: `Authorization: Bearer`, or one of the headers in which the ecosystem
/// sends API keys.
pub(crate) fn token_of(request: &Request<'_>) -> Result<String, Problem> {
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
        return Err(not_bearer("`Authorization` was sent without a scheme, or without a token."));
    };
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(not_bearer("`Authorization` was sent with another scheme than `Bearer`."));
    }
    sound(token.trim())
}

fn sound(token: &str) -> Result<&str, Problem> {
    let refused = |detail: String| Err(Problem::new(Code::InvalidToken, detail));
    if token.len() > MAX_TOKEN_BYTES {
        return refused(format!(
            "This token or key is too long: at most {MAX_TOKEN_BYTES} bytes are taken."
        ));
    }
    if token.split_whitespace().nth(1).is_some() {
        return refused(
            "A token has no spaces. Send `Authorization: Bearer <token>`: the word `Bearer` once, and \
             the token alone."
                .to_owned(),
        );
    }
    // No token begins so (RFC 6750 §2.1, `b64token`).
    if token.starts_with(['"', '\'', '<', '$', '{']) {
        return refused(
            "This is a token in quotes, or the place where one should stand. Send the token alone."
                .to_owned(),
        );
    }
    let sound = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
    if sound { Ok(token) } else { Err(invalid_token()) }
}

fn authentication_required() -> Problem {
    Problem::new(Code::AuthenticationRequired, SEND_A_TOKEN)
}

/// What to do without a credential.
const SEND_A_TOKEN: &str = "Send a token in the header `Authorization: Bearer <token>`, or an API key in \
     `X-ChittyOS-API-Key`.";

fn not_bearer(what: &str) -> Problem {
    Problem::new(Code::AuthenticationRequired, format!("{what} {SEND_A_TOKEN}"))
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
        for (header, says) in [
            ("dev-a", "without a scheme"),
            ("Token abc", "another scheme"),
            ("Bearer Bearer abc", "`Bearer` once"),
            ("Bearer \"abc\"", "in quotes"),
            ("Bearer <token>", "should stand"),
            ("Bearer $TOKEN", "should stand"),
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
