//! Callers: their authentication, and the rows that they may touch.
//!
//! [`Caller::authenticate`] identifies the actor behind a credential. It verifies a JWT of
//! ChittyAuth itself (`jwt`), and asks ChittyAuth about an opaque token. Delegated tokens and API
//! keys are in this gateway's own database (`stored`). The isolate caches the result for a short
//! time. [`Caller::scope`] turns a caller into a [`Scope`]: handlers do all their reads and writes
//! through it, and each of these also checks that the caller has the permission at that moment.

mod bearer;
mod cache;
mod grant;
pub mod identity;
pub mod jwt;
mod scope;
pub mod scope_place;
mod scope_verdict;
pub mod scopes;
pub mod standing;
mod stored;
mod write_error;

use std::rc::Rc;

use chitty_core::{TokenCheck, TokenInfo};
use http_kit::problem::{Code, Problem};
use http_kit::request::Request;
use seams::db::{Row, Statement, first_row};
use seams::{ids, log, time};
use serde_json::json;

use self::bearer::invalid_token;
pub(crate) use self::bearer::token_of;
use self::cache::Expiry;
pub use self::cache::TokenCache;
pub use self::grant::Grant;
use self::identity::SPONSOR;
pub use self::identity::{Caller, Credential, THIS_GATEWAY};
pub use self::scope::Scope;
pub use self::scopes::Permission;
pub use self::standing::Source;
use self::standing::{Backing, CredentialTable};
pub use self::write_error::WriteError;
use crate::access::limits::Limits;
use crate::access::rates::{Class, Overrides};
use crate::app::{App, Slot};
use crate::store::Ready;

/// How long the isolate caches the caller behind a delegated token or an API key, in ms. Whether
/// the credential is still valid is not cached: each request reads it from the database.
const KEEP_OWN_MS: u64 = 60_000;

impl Caller {
    /// Identifies the caller of a request.
    ///
    /// # Errors
    /// 401 without a valid credential. 503 if ChittyAuth cannot be asked, so that no client discards a valid
    /// token because of an outage. 429 if the caller's address has sent too many unknown credentials.
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
        // An unknown credential costs a query or a call, so it counts for the address: a made-up
        // token gives no further budget.
        Limits::of(app).of_address(request, Class::Authenticate).await?;
        let sha256 = ids::hex(&key);
        let (mut caller, keep_ms, expiry) = if token.starts_with(stored::DELEGATION_PREFIX) {
            let (caller, expiry) = stored::delegation(ready, sha256, request.now_ms).await?;
            (caller, KEEP_OWN_MS, expiry)
        } else if token.starts_with(stored::KEY_PREFIX) {
            let (caller, expiry) = stored::key(ready, sha256, request.now_ms).await?;
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
}

/// Returns the caller behind a token of ChittyAuth.
async fn vouched(
    app: &App,
    ready: Ready<'_>,
    request: &Request<'_>,
    token: &str,
    sha256: String,
) -> Result<(Caller, Expiry), Problem> {
    let TokenInfo { actor, principal_id, scopes, expires_at } = match jwt::Token::parse(token) {
        Some(jwt) => {
            let claims = jwt.verify(app, request).await?;
            TokenInfo {
                actor: claims.actor,
                principal_id: claims.principal_id,
                scopes: claims.scopes,
                expires_at: Some(time::iso8601(claims.expires_ms)),
            }
        }
        None => validated(app, ready, request, token, &sha256).await?,
    };
    let scopes = scopes::limit_carried(scopes);
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
        // The end is not known, so the token counts as valid for a short time only.
        Expiry::Unreadable => Some(request.now_ms + UNREADABLE_MS),
    };
    let expires_at = ends_ms.map(time::iso8601);
    let known = note_vouched(app, ready, &sha256, actor.as_str(), &scopes).await?;
    let (scopes, is_made) = match known.made {
        Some(made) => (scopes::intersection(&scopes, &made.held_scopes()), true),
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

/// Has ChittyAuth validate a token that is no JWT.
async fn validated(
    app: &App,
    ready: Ready<'_>,
    request: &Request<'_>,
    token: &str,
    sha256: &str,
) -> Result<TokenInfo, Problem> {
    let answer = request.session(&app.core).auth().validate(token).await.map_err(|error| {
        Problem::upstream(
            Code::AuthenticationUnavailable,
            "ChittyAuth did not answer. Your token may be valid: keep it and repeat the request.",
            &error,
        )
    })?;
    let TokenCheck::Valid(info) = answer else {
        TokenCache::of(app).forget_note(sha256);
        note_refused(ready, sha256, request.now_ms).await;
        return Err(invalid_token());
    };
    Ok(info)
}

/// The longest id of a principal that is stored, in bytes.
const MAX_PRINCIPAL_BYTES: usize = 200;

/// Whether a text may be the id of a principal.
pub(crate) fn is_principal(id: &str) -> bool {
    (1..=MAX_PRINCIPAL_BYTES).contains(&id.len()) && !id.contains(char::is_control)
}

/// How long, in ms, a token whose end cannot be read counts as valid: the longest life of a
/// credential that it makes.
const UNREADABLE_MS: u64 = 60_000;

/// The gateway's own record of a ChittyAuth token and of its bearer.
#[derive(Default)]
struct TokenRecord {
    /// The scopes that an administrator has granted the bearer.
    granted: Vec<String>,
    sponsor: Option<String>,
    /// The scopes that back the token, if ChittyAuth made it at the request of another caller.
    made: Option<Backing>,
}

impl TokenRecord {
    fn read(row: Option<Row>) -> Result<Self, Problem> {
        let Some(mut row) = row else { return Ok(TokenRecord::default()) };
        let is_made = row.flag("is_made")?;
        let granted = row.optional_text("bearer_granted")?;
        Ok(TokenRecord {
            granted: granted.map(|json| scopes::list(&json)).unwrap_or_default(),
            sponsor: row.optional_text("sponsor")?,
            made: is_made.then(|| Backing::read(&mut row)).transpose()?,
        })
    }
}

/// Records the scopes that ChittyAuth reports now for a token and its bearer, so that they bound
/// everything that either has made; at most once in [`standing::NOTED_MS`] for the same scopes.
/// Returns the gateway's record of both.
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
        "SELECT (SELECT capabilities FROM actors WHERE chitty_id = ?1) AS bearer_granted, \
         {SPONSOR} AS sponsor, k.token_sha256 IS NOT NULL AS is_made, {} \
         FROM (SELECT 1 AS one) LEFT JOIN made_tokens AS k ON k.token_sha256 = ?2",
        Backing::columns(CredentialTable::Made, "?3"),
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

/// Returns the statements that record the scopes of a ChittyAuth token in everything that the token has made.
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

/// Takes the scopes away from everything that the token has made: ChittyAuth refuses the token before
/// its end, so the token has been revoked. API keys depend on their owner instead and stay valid.
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
