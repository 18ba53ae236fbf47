//! The credentials of connections at rest: sealed, kept fresh, and taken back at the end.
//!
//! A refresh token may be good for one use only, so of all isolates one refreshes at a time: it holds a
//! lease on the row, and writes under the version that it read. The others go on with the old
//! token while that lasts, and wait for the new one otherwise.

use chitty_core::Backoff;
use futures_util::StreamExt;
use serde_json::Value;

use crate::app::App;
use crate::connections::call;
use crate::connections::credential::{Credential, Oauth, REFRESH_EARLY_MS};
use crate::connections::store::{self, Link, Sealed};
use crate::events::{Event, EventKind};
use crate::http::problem::{Code, Problem};
use crate::init::Ready;
use crate::platform::db::{DbError, Row, Statement};
use crate::platform::{ids, log, time};
use crate::work::{self, Batch, Bounds, Due};

/// How much longer than the calls that it is for a lease lasts, in ms.
const LEASE_MS: u64 = 30_000;

/// How long a request waits for another isolate's refresh, and how often it looks, in ms.
const WAIT_MS: u64 = 5000;
const LOOK_MS: u64 = 150;

/// How long before its end the cron, which runs every minute, replaces an access token that nobody uses,
/// in ms.
pub const AHEAD_MS: u64 = 3 * 60_000;

/// How many credentials one run of the cron refreshes or revokes, and how many of them at once. Each is
/// up to four round trips.
const AT_MOST: usize = 300;
const AT_ONCE: usize = 2;

/// The pauses between two attempts to revoke, in ms: up to an hour.
const REVOKE_PAUSES_MS: Backoff = Backoff { first: 60_000, longest: 3_600_000 };

/// How long it is tried, in ms: a week. After that the credential is removed all the same.
const REVOKE_FOR_MS: u64 = 7 * 24 * 3_600_000;

/// Where the credential of a connection belongs: sealed for any other place it does not open.
fn place(connection_id: &str) -> String {
    format!("connection/{connection_id}")
}

/// Seals a credential for its connection.
///
/// # Errors
/// 503 without a key.
pub fn seal(app: &App, connection_id: &str, credential: &Credential) -> Result<Sealed, Problem> {
    let json = serde_json::to_string(credential).unwrap_or_default();
    let text = app.config.sealer.seal(&place(connection_id), &json).map_err(|error| {
        log::error("credential_not_sealed", &[("error", &error.to_string())]);
        Problem::new(
            Code::NotReady,
            "The gateway has no key to store a credential with; GET /health lists what is missing.",
        )
    })?;
    let expires_at = credential.expires_at_ms().map(time::iso8601);
    Ok(Sealed { kind: credential.kind(), text, expires_at })
}

fn open(app: &App, connection_id: &str, sealed: &str) -> Result<Credential, Problem> {
    let opened = app.config.sealer.open(&place(connection_id), sealed);
    opened.ok().and_then(|json| serde_json::from_str(&json).ok()).ok_or_else(|| {
        log::error("credential_does_not_open", &[("connection_id", connection_id)]);
        Problem::new(
            Code::CredentialUnavailable,
            "The stored credential was sealed with a key that the gateway no longer has. Hand it \
             in again with PATCH.",
        )
    })
}

/// A credential as it was read.
struct Kept {
    credential: Credential,
    version: i64,
}

async fn kept(app: &App, ready: Ready<'_>, id: &str) -> Result<Option<Kept>, Problem> {
    let query =
        Statement::new("SELECT sealed, version FROM connection_secrets WHERE connection_id = ?1");
    let Some(mut row) = ready.db().rows(query.bind(id)).await?.into_iter().next() else {
        return Ok(None);
    };
    let (sealed, version) = (row.text(0)?, row.integer(1)?);
    Ok(Some(Kept { credential: open(app, id, &sealed)?, version }))
}

/// The credential of a connection, good for use now; `None` where it has none.
///
/// # Errors
/// 502 when whoever gave it does not renew it any more, 503 when it cannot be had at the moment.
pub async fn usable(
    app: &App,
    ready: Ready<'_>,
    link: &Link,
) -> Result<Option<Credential>, Problem> {
    if !link.has_credential {
        return Ok(None);
    }
    match fresh(app, ready, &link.id, REFRESH_EARLY_MS).await? {
        Some(credential) => Ok(Some(credential)),
        // Gone since the link was read: so is the connection.
        None => Err(Problem::new(
            Code::ConnectionInactive,
            "The connection has just been disconnected.",
        )),
    }
}

async fn fresh(
    app: &App,
    ready: Ready<'_>,
    id: &str,
    early_ms: u64,
) -> Result<Option<Credential>, Problem> {
    let until_ms = app.now_ms() + WAIT_MS;
    loop {
        let Some(kept) = kept(app, ready, id).await? else { return Ok(None) };
        let now_ms = app.now_ms();
        let Credential::Oauth(oauth) = &kept.credential else { return Ok(Some(kept.credential)) };
        if oauth.is_good_for(early_ms, now_ms) {
            return Ok(Some(kept.credential));
        }
        let end_ms = now_ms + LEASE_MS + u64::from(app.config.connection_timeout_ms);
        let lease = Lease { version: kept.version, until: time::iso8601(end_ms) };
        if lease.take(ready, id, now_ms).await? {
            return refresh(app, ready, id, oauth, &lease).await.map(Some);
        }
        // Somebody else is at it.
        if oauth.is_good_for(0, now_ms) {
            return Ok(Some(kept.credential));
        }
        if now_ms >= until_ms {
            return Err(unavailable());
        }
        app.sleep(LOOK_MS).await;
    }
}

fn unavailable() -> Problem {
    Problem::new(
        Code::CredentialUnavailable,
        "The access token has ended and could not be renewed just now. Repeat the request.",
    )
}

/// The right to refresh a version of a credential, which only its holder gives back.
struct Lease {
    version: i64,
    /// Until when it lasts: it is held as long as the row says the same.
    until: String,
}

impl Lease {
    /// Takes it, if nobody has it; whether it was taken.
    async fn take(&self, ready: Ready<'_>, id: &str, now_ms: u64) -> Result<bool, DbError> {
        let take = Statement::new(
            "UPDATE connection_secrets SET leased_until = ?3 \
             WHERE connection_id = ?1 AND version = ?2 AND leased_until < ?4 RETURNING 1 AS taken",
        )
        .bind(id)
        .bind(self.version)
        .bind(self.until.as_str())
        .bind(time::iso8601(now_ms));
        let results = ready.db().batch(vec![take]).await?;
        Ok(results.into_iter().next().is_some_and(|rows| !rows.is_empty()))
    }

    /// The statement that gives it back, and sets what else there is to set.
    fn give_back(&self, id: &str, set: &str) -> Statement {
        Statement::new(format!(
            "UPDATE connection_secrets SET {set}leased_until = '' \
             WHERE connection_id = ?1 AND version = ?2 AND leased_until = ?3"
        ))
        .bind(id)
        .bind(self.version)
        .bind(self.until.as_str())
    }
}

/// What came of asking for another access token.
pub enum Renewal {
    /// Here it is.
    Done(Oauth),
    /// It was refused: it will be refused again.
    Refused,
    /// Nobody knows.
    Open,
}

/// Asks for another access token (RFC 6749 §6).
pub async fn renew(app: &App, oauth: &Oauth) -> Renewal {
    let form = [("grant_type", "refresh_token"), ("refresh_token", oauth.refresh_token.as_str())];
    let client = (oauth.client_id.as_str(), oauth.client_secret.as_deref());
    let answer = match call::post_form(app, &oauth.token_endpoint, client, &form).await {
        Ok(answer) => answer,
        Err(error) => {
            log::warn("refresh_failed", &[("error", &error.to_string())]);
            return Renewal::Open;
        }
    };
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    match answer.status {
        200..=299 => {}
        400 | 401 | 403 => return Renewal::Refused,
        _ => return Renewal::Open,
    }
    let Some(access_token) = text("access_token").filter(|token| is_sound(token)) else {
        return Renewal::Open;
    };
    let life_s = body.get("expires_in").and_then(Value::as_u64).filter(|s| *s < 1 << 32);
    Renewal::Done(Oauth {
        access_token: Some(access_token),
        expires_at_ms: life_s.map(|life_s| app.now_ms() + life_s * 1000),
        refresh_token: text("refresh_token")
            .filter(|token| is_sound(token))
            .unwrap_or_else(|| oauth.refresh_token.clone()),
        ..oauth.clone()
    })
}

fn is_sound(token: &str) -> bool {
    (1..=8192).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic())
}

/// Refreshes under the lease and puts the new credential in place of the old one.
async fn refresh(
    app: &App,
    ready: Ready<'_>,
    id: &str,
    oauth: &Oauth,
    lease: &Lease,
) -> Result<Credential, Problem> {
    match renew(app, oauth).await {
        Renewal::Done(renewed) => {
            let credential = Credential::Oauth(renewed);
            let sealed = seal(app, id, &credential)?;
            // Also after the lease: what was renewed is good, as long as the version is the one that it
            // came from.
            let put = Statement::new(
                "UPDATE connection_secrets SET sealed = ?3, expires_at = ?4, \
                 version = version + 1, leased_until = '' \
                 WHERE connection_id = ?1 AND version = ?2 RETURNING 1 AS taken",
            )
            .bind(id)
            .bind(lease.version)
            .bind(sealed.text.as_str())
            .bind(sealed.expires_at.as_deref());
            let results = ready.db().batch(vec![put]).await?;
            if results.into_iter().next().is_some_and(|rows| rows.is_empty()) {
                // The connection has ended or has another credential: this one is nobody's.
                abandon(app, ready, id, &sealed.text).await;
                return Err(Problem::not_found("connection"));
            }
            Ok(credential)
        }
        Renewal::Refused => {
            let error = "the credential was not renewed: hand in another";
            let kind = EventKind::ConnectionFailed;
            let payload = serde_json::json!({ "error": error });
            let event = Event::new(app.now_ms(), kind, id, "chittyconnect", payload, None);
            let overdue_ms = app.config.outbox_overdue_ms;
            let mut batch = store::fail(&event, error, overdue_ms, lease.version, &lease.until);
            // It is not tried again by itself.
            batch.push(lease.give_back(id, "expires_at = NULL, "));
            ready.db().batch(batch).await?;
            Err(Problem::new(
                Code::TargetRefusedCredential,
                "The access token has ended, and whoever gave it does not renew it. Hand in \
                 another credential with PATCH.",
            ))
        }
        Renewal::Open => {
            ready.db().batch(vec![lease.give_back(id, "")]).await?;
            if oauth.is_good_for(0, app.now_ms()) {
                return Ok(Credential::Oauth(oauth.clone()));
            }
            Err(unavailable())
        }
    }
}

/// Refreshes what ends soon, until the time is up; the cron runs it.
pub async fn refresh_due(app: &App, ready: Ready<'_>, until_ms: u64) {
    let take = async |limit| {
        let by = time::iso8601(app.now_ms() + AHEAD_MS);
        match store::take_ending(ready, &by, limit).await {
            Ok(due) => Some(due),
            Err(error) => {
                log::warn("refresh_not_looked", &[("error", &error.to_string())]);
                None
            }
        }
    };
    work::taken(app, Bounds { batch: 2 * AT_ONCE, at_most: AT_MOST, until_ms }, take)
        .for_each_concurrent(AT_ONCE, |id| async move {
            if let Err(problem) = fresh(app, ready, &id, AHEAD_MS).await {
                let fields = [("connection_id", id.as_str()), ("error", &problem.detail)];
                log::warn("refresh_failed", &fields);
            }
        })
        .await;
}

/// Puts a credential among those that are to be revoked.
pub async fn abandon(app: &App, ready: Ready<'_>, connection_id: &str, sealed: &str) {
    let now = time::iso8601(app.now_ms());
    let put = Statement::new(
        "INSERT INTO credential_revocations (id, connection_id, sealed, due_at, created_at) \
         VALUES (?1, ?2, ?3, ?4, ?4)",
    )
    .bind(ids::event(app.now_ms()))
    .bind(connection_id)
    .bind(sealed)
    .bind(now);
    if let Err(error) = ready.db().batch(vec![put]).await {
        let fields = [("connection_id", connection_id), ("error", &error.to_string())];
        log::error("credential_not_revoked", &fields);
    }
}

/// A credential that is to be revoked.
struct Revocation {
    id: String,
    connection_id: String,
    sealed: String,
    attempts: i64,
    created_at: String,
    /// Until when it is this run's.
    leased_until: String,
}

impl Revocation {
    fn read(mut row: Row) -> Result<Self, DbError> {
        Ok(Revocation {
            id: row.text(0)?,
            connection_id: row.text(1)?,
            sealed: row.text(2)?,
            attempts: row.integer(3)?,
            created_at: row.text(4)?,
            leased_until: row.text(5)?,
        })
    }
}

/// The credentials that are to be revoked.
pub const REVOCATIONS: Due = Due {
    name: "credential_revocations",
    from: "credential_revocations AS r",
    key: "id",
    owner: "(SELECT owner_chitty_id FROM connections AS c WHERE c.connection_id = r.connection_id)",
    at: "due_at",
    condition: "id IS NOT NULL",
};

/// Revokes what is due, until the time is up; run after the end of a connection, and by the cron.
pub async fn revoke_due(app: &App, ready: Ready<'_>, until_ms: u64) {
    // Longer than the calls for one batch take: two tokens each, one after another.
    let lease_ms = LEASE_MS + 4 * u64::from(app.config.connection_timeout_ms);
    let take = async |limit| match take_revocations(app, ready, lease_ms, limit).await {
        Ok(due) => Some(due),
        Err(error) => {
            log::warn("revocation_not_looked", &[("error", &error.to_string())]);
            None
        }
    };
    work::taken(app, Bounds { batch: AT_ONCE, at_most: AT_MOST, until_ms }, take)
        .for_each_concurrent(AT_ONCE, |due| revoke_one(app, ready, due))
        .await;
}

/// Takes credentials that are to be revoked: put off before it is tried, so that no other run tries it
/// too.
async fn take_revocations(
    app: &App,
    ready: Ready<'_>,
    lease_ms: u64,
    limit: i64,
) -> Result<Batch<Revocation>, DbError> {
    let take = Statement::new(format!(
        "UPDATE credential_revocations SET due_at = ?2, attempts = attempts + 1 WHERE id IN ({}) \
         RETURNING id, connection_id, sealed, attempts, created_at, due_at",
        REVOCATIONS.keys("?1", "?3")
    ))
    .bind(time::iso8601(app.now_ms()))
    .bind(time::iso8601(app.now_ms() + lease_ms))
    .bind(limit);
    let rows = ready.db().batch(vec![take]).await?.into_iter().next().unwrap_or_default();
    let taken = rows.len();
    Ok(Batch {
        rows: rows.into_iter().filter_map(|row| Revocation::read(row).ok()).collect(),
        taken,
    })
}

/// Revokes one credential, and notes what came of it while it is still this run's.
async fn revoke_one(app: &App, ready: Ready<'_>, due: Revocation) {
    let done = revoke(app, &due).await;
    let age_ms = app.now_ms().saturating_sub(time::parse(&due.created_at).unwrap_or_default());
    let over = age_ms > REVOKE_FOR_MS;
    let write = match done {
        Err(error) if !over => {
            log::warn("revocation_failed", &[("error", &error)]);
            let attempt = u32::try_from(due.attempts).unwrap_or(u32::MAX);
            let pause_ms = REVOKE_PAUSES_MS.pause(attempt, |bound| app.jitter(bound));
            Statement::new(
                "UPDATE credential_revocations SET due_at = ?3, last_error = ?4 \
                 WHERE id = ?1 AND due_at = ?2",
            )
            .bind(due.id.as_str())
            .bind(due.leased_until.as_str())
            .bind(time::iso8601(app.now_ms() + u64::from(pause_ms)))
            .bind(error)
        }
        // Done for good, whoever holds it by now.
        Ok(()) => {
            Statement::new("DELETE FROM credential_revocations WHERE id = ?1").bind(due.id.as_str())
        }
        Err(_) => {
            let id = due.connection_id.as_str();
            log::error("credential_never_revoked", &[("connection_id", id)]);
            Statement::new("DELETE FROM credential_revocations WHERE id = ?1 AND due_at = ?2")
                .bind(due.id.as_str())
                .bind(due.leased_until.as_str())
        }
    };
    if let Err(error) = ready.db().batch(vec![write]).await {
        log::warn("revocation_not_noted", &[("error", &error.to_string())]);
    }
}

/// Takes a credential back where it came from. `Err` says why that is not certain yet.
async fn revoke(app: &App, due: &Revocation) -> Result<(), String> {
    let credential =
        open(app, &due.connection_id, &due.sealed).map_err(|p| p.detail.into_owned())?;
    match credential {
        Credential::Oauth(oauth) => {
            let Some(endpoint) = &oauth.revocation_endpoint else { return Ok(()) };
            let client = (oauth.client_id.as_str(), oauth.client_secret.as_deref());
            let tokens = [
                Some(("refresh_token", &oauth.refresh_token)),
                oauth.access_token.as_ref().map(|token| ("access_token", token)),
            ];
            for (hint, token) in tokens.into_iter().flatten() {
                let form = [("token", token.as_str()), ("token_type_hint", hint)];
                let answer = call::post_form(app, endpoint, client, &form).await;
                let answer = answer.map_err(|error| error.to_string())?;
                // RFC 7009 §2.2: also a token that is not known is answered 200.
                if !(200..300).contains(&answer.status) {
                    return Err(format!("status {}", answer.status));
                }
            }
            Ok(())
        }
        Credential::Provisioned { key_id: Some(key_id), .. } => {
            let cx = chitty_core::CallContext::default();
            let session = app.core.session(cx);
            let revoked = session.auth().revoke_key(&key_id, "connection ended").await;
            revoked.map_err(|error| error.to_string())
        }
        _ => Ok(()),
    }
}
