//! Tokens of installations: looked up in the isolate, in `TOKEN_KV` and in the database, and only then
//! fetched from GitHub.
//!
//! Only one isolate at a time fetches the token of an installation: it holds a lease on the installation's
//! row, and the others read the row until the token is there. A token is sealed everywhere but in the
//! isolate. Without a key to seal it, the token is kept in the isolate only.

use std::rc::Rc;

use seams::db::{DbError, Statement, first_row};
use seams::outside::OutsideResponse;
use seams::{log, time};
use serde::Deserialize;

use super::cached_token::{CachedToken, Content, EARLY_MS, open, seal};
use super::error::{ErrorKind, GithubError};
use super::limits::RateBucket;
use super::request::{self, Call};
use crate::app::{App, Slot};
use crate::github::client::ClientState;
use crate::store::Ready;
use crate::store::work::{Claim, Due, Queue};

/// The longest that a token is kept, in ms: GitHub's tokens are valid for an hour.
const MAX_LIFE_MS: u64 = 3_600_000;

/// How much longer a lease lasts than the deadline of the call that it is for, in ms.
const LEASE_MARGIN_MS: u64 = 10_000;

/// How often a request looks for a token that another isolate is fetching, and the pause between two looks,
/// in ms: five seconds in all.
const LOOKS: u32 = 33;
const LOOK_MS: u64 = 150;

/// The shortest life of an entry in KV, in seconds: a platform limit.
const MIN_TTL_S: u64 = 60;

/// The longest token that is accepted, in bytes.
const MAX_TOKEN_BYTES: usize = 8192;

/// The key in `TOKEN_KV`.
fn kv_key(id: i64) -> String {
    format!("github:installation:{id}")
}

/// Returns a token of an installation, valid for at least another five minutes.
///
/// # Errors
/// [`ErrorKind::NotFound`] if there is no such installation, [`ErrorKind::Refused`] if it is suspended;
/// otherwise the reason why no token could be fetched.
pub async fn installation_token(
    app: &App,
    ready: Ready<'_>,
    installation_id: i64,
) -> Result<String, GithubError> {
    let held = usable(app, ready, installation_id, None).await?;
    Ok(held.token.clone())
}

/// Makes a call as an installation. If GitHub refuses the token, the client forgets it everywhere and
/// repeats the call once with another.
pub(super) async fn send(
    app: &App,
    ready: Ready<'_>,
    id: i64,
    call: &Call,
) -> Result<OutsideResponse, GithubError> {
    let who = RateBucket::Installation(id);
    // Checked here too, so that no token is fetched for a call that is not made.
    ClientState::of(app).limits.check(who, app.now_ms())?;
    let held = usable(app, ready, id, None).await?;
    let answered = request::send(app, who, Some(&held.token), call).await;
    if !matches!(&answered, Err(error) if error.status == Some(401)) {
        return answered;
    }
    forget(app, ready, id, &held).await;
    let fresh = usable(app, ready, id, Some(&held.token)).await?;
    request::send(app, who, Some(&fresh.token), call).await
}

async fn usable(
    app: &App,
    ready: Ready<'_>,
    id: i64,
    refused: Option<&str>,
) -> Result<Rc<CachedToken>, GithubError> {
    let here = || ClientState::of(app).tokens.get(id, app.now_ms(), refused);
    if let Some(held) = here() {
        return Ok(held);
    }
    if !app.config.sealer.is_ready() {
        let Content { token, expires_at_ms } = fetch(app, id).await?;
        let held = CachedToken { token, expires_at_ms, sealed: None };
        return Ok(ClientState::of(app).tokens.put(id, held, app.now_ms()));
    }
    if let Some(held) = in_kv(app, id, refused).await {
        return Ok(ClientState::of(app).tokens.put(id, held, app.now_ms()));
    }
    for _ in 0..=LOOKS {
        let sealed = in_database(ready, id).await?;
        let now_ms = app.now_ms();
        let held = sealed.as_deref().and_then(|sealed| open(app, id, sealed));
        if let Some(held) = held.filter(|held| held.is_good(now_ms, refused)) {
            return Ok(ClientState::of(app).tokens.put(id, held, now_ms));
        }
        if let Some(claim) = take_lease(app, ready, id, sealed).await? {
            return fetch_under(app, ready, id, &claim).await;
        }
        // Another isolate is fetching it.
        app.sleep(LOOK_MS).await;
        if let Some(held) = here() {
            return Ok(held);
        }
    }
    Err(GithubError::new(ErrorKind::Unavailable).retry_after(Some(1)))
}

/// Returns the token in KV. If there is none, or it cannot be used, the caller asks the database.
async fn in_kv(app: &App, id: i64, refused: Option<&str>) -> Option<CachedToken> {
    let kv = app.tokens_kv.as_ref()?;
    let sealed = match kv.get(&kv_key(id)).await {
        Ok(sealed) => sealed?,
        Err(error) => {
            log::warn("github_token_not_read", &[("error", &error)]);
            return None;
        }
    };
    open(app, id, &sealed).filter(|held| held.is_good(app.now_ms(), refused))
}

async fn in_database(ready: Ready<'_>, id: i64) -> Result<Option<String>, DbError> {
    let query = Statement::new("SELECT sealed FROM github_tokens WHERE installation_id = ?1");
    match ready.db().rows(query.bind(id)).await?.into_iter().next() {
        Some(mut row) => row.optional_text("sealed"),
        None => Ok(None),
    }
}

/// The rows by the lease on the fetch of a token.
pub(super) const QUEUE: Queue = Queue {
    due: Due::all("github_tokens", &["installation_id"], "leased_until"),
    lease: "leased_until",
    attempts: "0",
    set: "",
};

/// Takes the lease, unless another isolate has it or the row is no longer what was read.
async fn take_lease(
    app: &App,
    ready: Ready<'_>,
    id: i64,
    read: Option<String>,
) -> Result<Option<Claim>, DbError> {
    let lease_ms = u64::from(app.config.connection_timeout_ms) + LEASE_MARGIN_MS;
    let row = Statement::new(
        "INSERT INTO github_tokens (installation_id) VALUES (?1) ON CONFLICT DO NOTHING",
    );
    let take = QUEUE.claim_one(id, lease_ms, app.now_ms(), "AND sealed IS ?4", "").bind(read);
    let taken = ready.db().batch(vec![row.bind(id), take]).await?.pop().unwrap_or_default();
    Ok(QUEUE.read(taken)?.pop().map(|(claim, _)| claim))
}

/// GitHub's answer.
#[derive(Deserialize)]
struct IssuedToken {
    token: String,
    expires_at: String,
}

/// Asks GitHub for a token.
async fn fetch(app: &App, id: i64) -> Result<Content, GithubError> {
    let path = format!("/app/installations/{id}/access_tokens");
    let answer = super::app::send(app, &Call::bare(app, "POST", &path)).await?;
    let issued: IssuedToken = request::read(&answer)?;
    let now_ms = app.now_ms();
    let expires_at_ms = time::parse(&issued.expires_at).unwrap_or_default();
    let is_sound = (1..=MAX_TOKEN_BYTES).contains(&issued.token.len())
        && issued.token.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_sound || expires_at_ms <= now_ms + EARLY_MS {
        return Err(GithubError::new(ErrorKind::Unreadable));
    }
    let expires_at_ms = expires_at_ms.min(now_ms + MAX_LIFE_MS);
    Ok(Content { token: issued.token, expires_at_ms })
}

/// Fetches a token under the lease and stores it where other isolates find it.
async fn fetch_under(
    app: &App,
    ready: Ready<'_>,
    id: i64,
    claim: &Claim,
) -> Result<Rc<CachedToken>, GithubError> {
    let content = match fetch(app, id).await {
        Ok(content) => content,
        Err(error) => {
            release(ready, claim).await;
            return Err(error);
        }
    };
    let mut held = CachedToken {
        sealed: seal(app, id, &content),
        token: content.token,
        expires_at_ms: content.expires_at_ms,
    };
    match &held.sealed {
        // It is as good when it is not kept: this isolate has it.
        None => release(ready, claim).await,
        Some(sealed) => match keep(ready, claim, sealed, held.expires_at_ms).await {
            Ok(true) => cache(app, id, &held).await,
            Ok(false) => held.sealed = None,
            Err(error) => log::warn("github_token_not_kept", &[("error", &error.to_string())]),
        },
    }
    Ok(ClientState::of(app).tokens.put(id, held, app.now_ms()))
}

/// Stores a token in the database, if the lease is still held: the installation may be gone.
async fn keep(
    ready: Ready<'_>,
    claim: &Claim,
    sealed: &str,
    expires_at_ms: u64,
) -> Result<bool, DbError> {
    let put = claim.release().set("sealed", sealed).set("expires_at", time::iso8601(expires_at_ms));
    let results = ready.db().batch(vec![put.statement().returning("1 AS is_kept")]).await?;
    Ok(first_row(results.into_iter().next()).is_some())
}

/// Stores a token in KV, for as long as it may be used.
async fn cache(app: &App, id: i64, held: &CachedToken) {
    let (Some(kv), Some(sealed)) = (&app.tokens_kv, &held.sealed) else { return };
    let left_ms = held.expires_at_ms.saturating_sub(app.now_ms() + EARLY_MS);
    let Some(ttl_s) = u32::try_from(left_ms / 1000).ok().filter(|s| u64::from(*s) >= MIN_TTL_S)
    else {
        return;
    };
    if let Err(error) = kv.put(&kv_key(id), sealed, Some(ttl_s)).await {
        log::warn("github_token_not_cached", &[("error", &error)]);
    }
}

/// Lets the next isolate try, and deletes a row without a token.
async fn release(ready: Ready<'_>, claim: &Claim) {
    let statements = vec![claim.delete_if("sealed IS NULL"), claim.release().statement()];
    if let Err(error) = ready.db().batch(statements).await {
        // The lease ends by itself.
        log::warn("github_lease_not_released", &[("error", &error.to_string())]);
    }
}

/// Forgets a token that GitHub has refused, in the isolate, in KV and in the database. If that fails, GitHub
/// refuses the token again, and another is fetched then.
async fn forget(app: &App, ready: Ready<'_>, id: i64, held: &CachedToken) {
    ClientState::of(app).tokens.forget(id, &held.token);
    forget_in_kv(app, id).await;
    let Some(sealed) = &held.sealed else { return };
    let erase = Statement::new(
        "UPDATE github_tokens SET sealed = NULL, expires_at = '' \
         WHERE installation_id = ?1 AND sealed = ?2",
    );
    let erase = erase.bind(id).bind(sealed.as_str());
    if let Err(error) = ready.db().batch(vec![erase]).await {
        log::warn("github_token_not_forgotten", &[("error", &error.to_string())]);
    }
}

async fn forget_in_kv(app: &App, id: i64) {
    if let Some(kv) = &app.tokens_kv
        && let Err(error) = kv.delete(&kv_key(id)).await
    {
        log::warn("github_token_not_forgotten", &[("error", &error)]);
    }
}

/// Forgets the token of an installation that is uninstalled or suspended, in this isolate and in KV. The
/// transaction that marks the installation deletes the token in the database. Other isolates keep the token
/// until GitHub refuses it, which it does at once.
pub async fn forget_installation(app: &App, installation_id: i64) {
    ClientState::of(app).tokens.remove(installation_id);
    forget_in_kv(app, installation_id).await;
}
