//! Who is calling, and what they may touch.
//!
//! [`Caller::authenticate`] asks ChittyAuth about an opaque bearer token and keeps a positive
//! answer in the isolate for a short time. A [`Scope`] is what a handler works with: it exists only
//! for a caller whose token carries the route's [`Permission`], and every query on owned data
//! starts from it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use chitty_core::{ChittyId, TokenCheck, TokenInfo};
use sha2::{Digest, Sha256};

use crate::app::App;
use crate::http::problem::{Code, Problem};
use crate::http::request::Request;
use crate::platform::db::{Row, Statement};
use crate::platform::time;

/// What a route asks of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Seeing one's contexts.
    ContextsRead,
    /// Making, changing and deleting one's contexts.
    ContextsWrite,
    /// Seeing how the ChittyOS services are.
    EcosystemRead,
    /// Commanding the connections to the services: administrators only.
    EcosystemAdmin,
    /// Seeing one's runs of flows.
    OrchestrationsRead,
    /// Running flows.
    OrchestrationsWrite,
}

impl Permission {
    /// The narrowest scope that grants it.
    pub fn as_str(self) -> &'static str {
        match self {
            Permission::ContextsRead => "contexts:read",
            Permission::ContextsWrite => "contexts:write",
            Permission::EcosystemRead => "ecosystem:read",
            Permission::EcosystemAdmin => "ecosystem:admin",
            Permission::OrchestrationsRead => "orchestrations:read",
            Permission::OrchestrationsWrite => "orchestrations:write",
        }
    }

    /// Whether a scope grants it: the scope itself, `contexts:*`, the broad `read` or `write`, or
    /// an administrator's `admin`, `admin:*`, `*`. Writing does not include reading.
    fn granted_by(self, scope: &str) -> bool {
        let own = self.as_str();
        let (resource, action) = own.split_once(':').unwrap_or((own, ""));
        is_admin(scope)
            || scope == own
            || scope == action
            || scope.strip_suffix(":*") == Some(resource)
    }
}

/// Whether a scope is an administrator's.
fn is_admin(scope: &str) -> bool {
    matches!(scope, "admin" | "admin:*" | "*")
}

/// An authenticated caller.
#[derive(Debug, Clone)]
pub struct Caller {
    actor: ChittyId,
    scopes: Vec<String>,
}

/// The rows that a caller may touch: those of one owner.
#[derive(Debug, Clone)]
pub struct Scope {
    actor: ChittyId,
    is_admin: bool,
}

impl Scope {
    /// SQL for the state of the actor bound as `?1`. What must hold at once is read with the
    /// handler's own data, so that it costs no round trip; [`Scope::admit`] judges it. An actor
    /// without a row is active.
    pub const STATE_SQL: &'static str = "(SELECT status FROM actors WHERE chitty_id = ?1)";

    /// SQL condition under which the actor bound as `?1` may change anything.
    pub const MAY_ACT_SQL: &'static str =
        "NOT EXISTS (SELECT 1 FROM actors WHERE chitty_id = ?1 AND status <> 'active')";

    /// Judges what [`Scope::STATE_SQL`] read.
    ///
    /// # Errors
    /// 403 for an actor that is suspended or deleted.
    pub fn admit(state: Option<&str>) -> Result<(), Problem> {
        match state {
            None | Some("active") => Ok(()),
            Some(_) => Err(Problem::new(
                Code::ActorSuspended,
                "This actor may do nothing at the moment. Ask an administrator.",
            )),
        }
    }

    /// The statement that reads the state of the actor, for handlers that have no row of their own to
    /// read it with.
    pub fn state(&self) -> Statement {
        Statement::new("SELECT status FROM actors WHERE chitty_id = ?1").bind(self.actor())
    }

    /// Judges the rows that [`Scope::state`] found.
    ///
    /// # Errors
    /// 403 for an actor that is suspended or deleted.
    pub fn admit_row(rows: Option<Vec<Row>>) -> Result<(), Problem> {
        match rows.into_iter().flatten().next() {
            Some(mut row) => Scope::admit(Some(&row.text(0)?)),
            None => Ok(()),
        }
    }

    /// Whether the caller is an administrator.
    pub fn is_admin(&self) -> bool {
        self.is_admin
    }

    /// Whose rows these are, and who does what is done.
    pub fn actor(&self) -> &str {
        self.actor.as_str()
    }
}

/// The longest token that is looked at, in bytes. ChittyAuth's own are below 1 KB.
const MAX_TOKEN_BYTES: usize = 4096;

impl Caller {
    /// Finds out who is calling.
    ///
    /// # Errors
    /// 401 without a good token; 503 when ChittyAuth cannot be asked, so that nobody throws a good
    /// token away because of an outage.
    pub async fn authenticate(app: &App, request: &Request<'_>) -> Result<Caller, Problem> {
        let header = request.header("authorization").ok_or_else(authentication_required)?;
        let token = bearer(&header)?;
        let key = TokenCache::key(token);
        if let Some(caller) = app.tokens.get(&key, request.now_ms) {
            return Ok(caller);
        }
        let answer = request.session(app).auth().validate(token).await.map_err(|error| {
            Problem::upstream(
                Code::AuthenticationUnavailable,
                "ChittyAuth did not answer. Your token may well be good: keep it and repeat \
                     the request.",
                &error,
            )
        })?;
        let TokenCheck::Valid(info) = answer else { return Err(invalid_token()) };
        let expiry = Expiry::of(&info);
        let now = app.now_ms();
        if expiry.is_past(now) {
            return Err(invalid_token());
        }
        let caller = Caller { actor: info.actor, scopes: info.scopes };
        app.tokens.put(key, caller.clone(), now, expiry);
        Ok(caller)
    }

    /// The rows that the caller may touch under this permission.
    ///
    /// # Errors
    /// 403 when the token does not carry it.
    pub fn scope(self, permission: Permission) -> Result<Scope, Problem> {
        if self.scopes.iter().any(|scope| permission.granted_by(scope)) {
            let is_admin = self.scopes.iter().any(|scope| is_admin(scope));
            return Ok(Scope { actor: self.actor, is_admin });
        }
        Err(Problem::new(
            Code::InsufficientScope,
            format!("Use a token that carries the scope `{}`.", permission.as_str()),
        ))
    }
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
    let token = token.trim();
    let sound =
        (1..=MAX_TOKEN_BYTES).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic());
    if sound { Ok(token) } else { Err(invalid_token()) }
}

fn authentication_required() -> Problem {
    Problem::new(
        Code::AuthenticationRequired,
        "Send a ChittyAuth token in the header `Authorization: Bearer <token>`.",
    )
}

fn invalid_token() -> Problem {
    Problem::new(
        Code::InvalidToken,
        "ChittyAuth does not know this token, or it has expired or been revoked. Get a new one.",
    )
}

/// When a token ends, as far as is known.
#[derive(Clone, Copy)]
enum Expiry {
    At(u64),
    /// Not said: it holds until ChittyAuth says otherwise.
    Open,
    /// Said in a way that cannot be read: the answer holds for this request only.
    Unreadable,
}

impl Expiry {
    fn of(info: &TokenInfo) -> Self {
        match info.expires_at.as_deref() {
            None => Expiry::Open,
            Some(text) => time::parse(text).map_or(Expiry::Unreadable, Expiry::At),
        }
    }

    fn is_past(self, now_ms: u64) -> bool {
        matches!(self, Expiry::At(at) if at <= now_ms)
    }
}

type TokenKey = [u8; 32];

/// Positive answers of ChittyAuth, by the token's SHA-256, each kept for a bounded time and never
/// past the token's expiry.
pub struct TokenCache {
    keep_ms: u64,
    entries: RefCell<BTreeMap<TokenKey, (Caller, u64)>>,
}

/// How many answers are kept. At a few hundred bytes each this stays below a megabyte.
const MAX_CACHED_TOKENS: usize = 2048;

impl TokenCache {
    /// A cache that keeps an answer for `keep_ms`; with 0 it keeps none.
    pub fn new(keep_ms: u64) -> Self {
        TokenCache { keep_ms, entries: RefCell::default() }
    }

    fn key(token: &str) -> TokenKey {
        Sha256::digest(token.as_bytes()).into()
    }

    fn get(&self, key: &TokenKey, now_ms: u64) -> Option<Caller> {
        let entries = self.entries.borrow();
        let (caller, until) = entries.get(key)?;
        (now_ms < *until).then(|| caller.clone())
    }

    fn put(&self, key: TokenKey, caller: Caller, now_ms: u64, expiry: Expiry) {
        let until = match expiry {
            Expiry::At(at) => at.min(now_ms + self.keep_ms),
            Expiry::Open => now_ms + self.keep_ms,
            Expiry::Unreadable => return,
        };
        if until <= now_ms {
            return;
        }
        let mut entries = self.entries.borrow_mut();
        if entries.len() >= MAX_CACHED_TOKENS {
            entries.retain(|_, (_, until)| now_ms < *until);
        }
        if entries.len() >= MAX_CACHED_TOKENS {
            // Keys are hashes, so the first is as good as a random one.
            entries.pop_first();
        }
        entries.insert(key, (caller, until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_grant_what_they_name_and_no_more() {
        let grants = |scope| Permission::ContextsWrite.granted_by(scope);
        for scope in ["contexts:write", "contexts:*", "write", "admin", "admin:*", "*"] {
            assert!(grants(scope), "{scope}");
        }
        for scope in ["", "contexts", "contexts:read", "read", "contexts:write2", "actors:*", ":*"]
        {
            assert!(!grants(scope), "{scope}");
        }
    }

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

    fn caller(name: &str) -> Caller {
        Caller {
            actor: ChittyId::parse(&format!("CHITTY-PEO-{name}")).unwrap(),
            scopes: Vec::new(),
        }
    }

    #[test]
    fn an_answer_is_kept_for_its_time_and_never_past_its_expiry() {
        let cache = TokenCache::new(60_000);
        let key = TokenCache::key("t");
        cache.put(key, caller("a"), 1000, Expiry::At(31_000));
        assert!(cache.get(&key, 30_999).is_some());
        assert!(cache.get(&key, 31_000).is_none());
        cache.put(key, caller("a"), 1000, Expiry::At(u64::MAX));
        assert!(cache.get(&key, 60_999).is_some());
        assert!(cache.get(&key, 61_000).is_none());

        let cache = TokenCache::new(60_000);
        cache.put(key, caller("a"), 1000, Expiry::Unreadable);
        assert!(cache.get(&key, 1000).is_none());
        let off = TokenCache::new(0);
        off.put(key, caller("a"), 1000, Expiry::Open);
        assert!(off.get(&key, 1000).is_none());
    }

    #[test]
    fn the_cache_is_bounded() {
        let cache = TokenCache::new(60_000);
        for n in 0..3000 {
            cache.put(TokenCache::key(&n.to_string()), caller("a"), 1000, Expiry::Open);
        }
        assert_eq!(cache.entries.borrow().len(), MAX_CACHED_TOKENS);
    }
}
