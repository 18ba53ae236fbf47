//! The tokens of installations: looked up in the isolate, in `TOKEN_KV` and in the database, and only then
//! fetched from GitHub.
//!
//! Only one isolate at a time fetches the token of an installation: it holds a lease on the installation's
//! row, and the others read the row until the token is there. A token is sealed everywhere but in the
//! isolate. Without a key to seal it, the token is kept in the isolate only.

mod cache;
mod sealed;

use std::rc::Rc;

use async_trait::async_trait;
use github_client::{ErrorKind, GithubError, InstallationToken, TokenStore};
use seams::db::{DbError, Statement, first_row};
use seams::{log, time};

use self::cache::TokenCache;
use self::sealed::{open, seal};
use crate::app::{App, Slot};
use crate::github::client;
use crate::store::Ready;
use crate::store::work::{Claim, Due, Queue};

/// How much longer a lease lasts than the deadline of the call that it is for, in ms.
const LEASE_MARGIN_MS: u64 = 10_000;

/// How often a request looks for a token that another isolate is fetching, and the pause between two looks,
/// in ms: five seconds in all.
const LOOKS: u32 = 33;
const LOOK_MS: u64 = 150;

/// The shortest life of an entry in KV, in seconds: a platform limit.
const MIN_TTL_S: u64 = 60;

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
    let held = StoredTokens { app, ready }.usable_token(installation_id, None).await?;
    Ok(held.token.clone())
}

/// The tokens of all installations, in the isolate, in KV and in the database.
pub struct StoredTokens<'a> {
    /// The isolate.
    pub app: &'a App,
    /// The database.
    pub ready: Ready<'a>,
}

#[async_trait(?Send)]
impl TokenStore for StoredTokens<'_> {
    async fn usable_token(
        &self,
        id: i64,
        refused: Option<&str>,
    ) -> Result<Rc<InstallationToken>, GithubError> {
        let (app, ready) = (self.app, self.ready);
        let here = || TokenCache::of(app).get(id, app.now_ms(), refused);
        let keep_here = |token| TokenCache::of(app).put(id, token, app.now_ms());
        if let Some(held) = here() {
            return Ok(held);
        }
        if !app.config.sealer.is_ready() {
            return client(app).issue_token(id).await.map(keep_here);
        }
        if let Some(held) = in_kv(app, id, refused).await {
            return Ok(keep_here(held));
        }
        for _ in 0..=LOOKS {
            let sealed = in_database(ready, id).await.map_err(storage_failed)?;
            let held = sealed.as_deref().and_then(|sealed| open(app, id, sealed));
            if let Some(held) = held.filter(|held| held.is_usable(app.now_ms(), refused)) {
                return Ok(keep_here(held));
            }
            let taken = take_lease(app, ready, id, sealed).await.map_err(storage_failed)?;
            if let Some(claim) = taken {
                return fetch_under(app, ready, id, &claim).await;
            }
            // Another isolate is fetching it.
            app.sleep(LOOK_MS).await;
            if let Some(held) = here() {
                return Ok(held);
            }
        }
        Err(GithubError { retry_after_s: Some(1), ..GithubError::new(ErrorKind::Unavailable) })
    }

    async fn forget(&self, id: i64, refused: &InstallationToken) {
        let (app, ready) = (self.app, self.ready);
        TokenCache::of(app).forget(id, &refused.token);
        forget_in_kv(app, id).await;
        let Some(sealed) = &refused.sealed else { return };
        let erase = Statement::new(
            "UPDATE github_tokens SET sealed = NULL, expires_at = '' \
             WHERE installation_id = ?1 AND sealed = ?2",
        );
        let erase = erase.bind(id).bind(sealed.as_str());
        if let Err(error) = ready.db().batch(vec![erase]).await {
            log::warn("github_token_not_forgotten", &[("error", &error.to_string())]);
        }
    }
}

/// Returns the error of a database that does not answer, and writes a line to the log.
fn storage_failed(error: DbError) -> GithubError {
    log::error("github_storage_failed", &[("error", &error.to_string())]);
    GithubError::new(ErrorKind::Storage)
}

/// Returns the token in KV. If there is none, or it cannot be used, the caller asks the database.
async fn in_kv(app: &App, id: i64, refused: Option<&str>) -> Option<InstallationToken> {
    let kv = app.tokens_kv.as_ref()?;
    let sealed = match kv.get(&kv_key(id)).await {
        Ok(sealed) => sealed?,
        Err(error) => {
            log::warn("github_token_not_read", &[("error", &error)]);
            return None;
        }
    };
    open(app, id, &sealed).filter(|held| held.is_usable(app.now_ms(), refused))
}

async fn in_database(ready: Ready<'_>, id: i64) -> Result<Option<String>, DbError> {
    let query = Statement::new("SELECT sealed FROM github_tokens WHERE installation_id = ?1");
    match ready.db().rows(query.bind(id)).await?.into_iter().next() {
        Some(mut row) => row.optional_text("sealed"),
        None => Ok(None),
    }
}

/// The rows by the lease on the fetch of a token.
const QUEUE: Queue = Queue {
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

/// Fetches a token under the lease and stores it where other isolates find it.
async fn fetch_under(
    app: &App,
    ready: Ready<'_>,
    id: i64,
    claim: &Claim,
) -> Result<Rc<InstallationToken>, GithubError> {
    let mut held = match client(app).issue_token(id).await {
        Ok(issued) => issued,
        Err(error) => {
            release(ready, claim).await;
            return Err(error);
        }
    };
    held.sealed = seal(app, id, &held);
    match &held.sealed {
        // It is as good when it is not kept: this isolate has it.
        None => release(ready, claim).await,
        Some(sealed) => match keep(ready, claim, sealed, held.expires_at_ms).await {
            Ok(true) => put_in_kv(app, id, &held).await,
            Ok(false) => held.sealed = None,
            Err(error) => log::warn("github_token_not_kept", &[("error", &error.to_string())]),
        },
    }
    Ok(TokenCache::of(app).put(id, held, app.now_ms()))
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
async fn put_in_kv(app: &App, id: i64, held: &InstallationToken) {
    let (Some(kv), Some(sealed)) = (&app.tokens_kv, &held.sealed) else { return };
    let left_ms = held.usable_for_ms(app.now_ms());
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
    TokenCache::of(app).remove(installation_id);
    forget_in_kv(app, installation_id).await;
}
