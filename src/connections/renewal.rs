//! The renewal of OAuth credentials before their access tokens expire.
//!
//! A refresh token may be good for one use only, so only one isolate refreshes a credential at a time: it
//! holds a lease on the row, and writes only in place of the version that it has read. The others use the old
//! access token while it is good, and otherwise wait for the new one. If an isolate cannot write a renewed
//! credential, it keeps it in memory, uses it from there, and writes it later: see `unwritten_renewals`. If
//! such a credential is lost with its isolate, the row still shows that a renewal was begun, and the error of
//! the connection says so once the old refresh token is refused.

use chitty_core::TransportError;
use http_kit::problem::{Code, Problem};
use seams::db::{DbError, Row, Statement};
use seams::log;
use serde_json::Value;

use crate::app::{App, Slot};
use crate::connections::LEASE_MS;
use crate::connections::call;
use crate::connections::credential::{Credential, Oauth, REFRESH_EARLY_MS};
use crate::connections::headers::may_carry_credential;
use crate::connections::secrets::{abandon, credential_row, seal};
use crate::connections::store::{self, Connection, REFRESHES, RENEWAL_PAUSE, RENEWALS};
use crate::connections::unwritten_renewals::{UnwrittenRenewal, UnwrittenRenewals, write_again};
use crate::store::Ready;
use crate::store::event::{Event, EventKind};
use crate::store::ids::ConnectionId;
use crate::store::work::{self, Bounds, Claim, Hold, Queue, Work};

/// The pauses between attempts to write a renewed credential, in ms.
const WRITE_PAUSES_MS: [u64; 4] = [100, 400, 1500, 4000];

/// How long a request waits for another isolate's refresh, and the pause between its looks, in ms.
const WAIT_MS: u64 = 5000;
const LOOK_MS: u64 = 150;

/// How long before its expiry the cron, which runs every minute, renews an access token that no request has
/// renewed, in ms.
pub const AHEAD_MS: u64 = 3 * 60_000;

/// How many credentials one run of the cron refreshes, and how many at once. Each takes up to five round
/// trips.
const AT_MOST: usize = 300;
const AT_ONCE: usize = 2;

/// Returns the credential of a connection, good for use now; `None` if it has none.
///
/// # Errors
/// 502 if the token endpoint refuses to renew it, 503 if it cannot be renewed or used at the moment, 409 if
/// the connection has just been disconnected.
pub async fn usable(
    app: &App,
    ready: Ready<'_>,
    connection: &Connection,
) -> Result<Option<Credential>, Problem> {
    if !connection.has_credential {
        return Ok(None);
    }
    match fresh(app, ready, &connection.id, REFRESH_EARLY_MS).await? {
        // It was handed in before there was this rule.
        Some(Credential::ApiKey { header, .. }) if !may_carry_credential(&header) => {
            Err(Problem::new(
                Code::CredentialUnavailable,
                "The stored credential is for a header that may not carry one. Hand it in again with \
                 PATCH, for another header.",
            ))
        }
        Some(credential) => Ok(Some(credential)),
        // The credential was deleted after the connection was read: it has been disconnected.
        None => Err(Problem::new(
            Code::ConnectionInactive,
            "The connection has just been disconnected.",
        )),
    }
}

async fn fresh(
    app: &App,
    ready: Ready<'_>,
    id: &ConnectionId,
    early_ms: u64,
) -> Result<Option<Credential>, Problem> {
    let until_ms = app.now_ms() + WAIT_MS;
    loop {
        // 1. Write a renewed credential that this isolate could not write before.
        if let Some(unwritten) = write_again(app, ready, id).await
            && unwritten.oauth.is_good_for(0, app.now_ms())
        {
            return Ok(Some(Credential::Oauth(unwritten.oauth)));
        }
        // 2. Use the stored credential while it is good for long enough.
        let Some(kept) = credential_row(app, ready, id).await? else { return Ok(None) };
        let now_ms = app.now_ms();
        let Credential::Oauth(oauth) = &kept.credential else { return Ok(Some(kept.credential)) };
        if oauth.is_good_for(early_ms, now_ms) {
            return Ok(Some(kept.credential));
        }
        // 3. Take the lease on the refresh, and refresh.
        let lease_ms = LEASE_MS + u64::from(app.config.connection_timeout_ms);
        let is_same = "AND version = ?4";
        let claim =
            REFRESHES.claim_one(id, lease_ms, now_ms, is_same, "version").bind(kept.version);
        let rows = ready.db().batch(vec![claim]).await?.pop().unwrap_or_default();
        if let Some((claim, _)) = REFRESHES.read(rows)?.pop() {
            return refresh(app, ready, id, oauth, kept.version, &claim).await.map(Some);
        }
        // 4. While another request or the cron holds the lease, use the old token or wait for the new one.
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
        "The access token has expired and could not be renewed just now. Repeat the request.",
    )
}

/// What came of asking for another access token.
pub enum Renewal {
    /// The renewed credential.
    Done(Oauth),
    /// The token endpoint refused, and will refuse again.
    Refused,
    /// The token endpoint gave no usable answer. A repeat may succeed.
    Open {
        /// Whether the token endpoint may have issued another token that did not arrive.
        in_doubt: bool,
    },
}

/// Asks for another access token (RFC 6749 §6).
pub async fn renew(app: &App, oauth: &Oauth) -> Renewal {
    let form = [("grant_type", "refresh_token"), ("refresh_token", oauth.refresh_token.as_str())];
    let client = (oauth.client_id.as_str(), oauth.client_secret.as_deref());
    let answer = match call::post_form(app, &oauth.token_endpoint, client, &form).await {
        Ok(answer) => answer,
        Err(error) => {
            log::warn("refresh_failed", &[("error", &error.to_string())]);
            // `Unreachable` alone does not show whether the request has arrived; only `NO_URL` means that
            // none was sent.
            let in_doubt =
                !matches!(&error, TransportError::Unreachable(why) if why == call::NO_URL);
            return Renewal::Open { in_doubt };
        }
    };
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    match answer.status {
        200..=299 => {}
        400 | 401 | 403 => return Renewal::Refused,
        // The endpoint turned the request away, or did not understand it.
        404 | 405 | 429 => return Renewal::Open { in_doubt: false },
        _ => return Renewal::Open { in_doubt: true },
    }
    let Some(access_token) = text("access_token").filter(|token| is_sound(token)) else {
        // The endpoint reports success, but the new token cannot be read.
        return Renewal::Open { in_doubt: true };
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
    id: &ConnectionId,
    oauth: &Oauth,
    version: i64,
    claim: &Claim,
) -> Result<Credential, Problem> {
    match renew(app, oauth).await {
        Renewal::Done(renewed) => {
            let credential = Credential::Oauth(renewed.clone());
            let sealed = seal(app, id.as_str(), &credential)?;
            let renewed = UnwrittenRenewal { version, oauth: renewed, sealed };
            match renewed.write(app, ready, id, &WRITE_PAUSES_MS).await {
                Ok(true) => Ok(credential),
                Ok(false) => {
                    // The connection has ended or has another credential, so nothing uses this one.
                    abandon(app, ready, id, &renewed.sealed.text).await;
                    Err(Problem::not_found("connection"))
                }
                Err(error) => {
                    let fields = [("connection_id", id.as_str()), ("error", &error.to_string())];
                    log::error("renewed_credential_unwritten", &fields);
                    UnwrittenRenewals::of(app).put(id, renewed);
                    // The credential is good although it is not written.
                    Ok(credential)
                }
            }
        }
        Renewal::Refused => Err(refused(app, ready, id, claim).await?),
        Renewal::Open { in_doubt } => {
            let release = claim.release();
            let release = if in_doubt { release.also("in_doubt = in_doubt + 1") } else { release };
            ready.db().batch(vec![release.statement()]).await?;
            if oauth.is_good_for(0, app.now_ms()) {
                return Ok(Credential::Oauth(oauth.clone()));
            }
            Err(unavailable())
        }
    }
}

/// Marks a connection failed whose credential is not renewed any more.
async fn refused(
    app: &App,
    ready: Ready<'_>,
    id: &ConnectionId,
    claim: &Claim,
) -> Result<Problem, DbError> {
    // Each attempt of this version that nobody has heard of counts.
    let (error, detail) = match claim.attempts {
        0 => (
            "the credential was not renewed: hand in another",
            "The token endpoint refuses to renew the access token. Hand in another credential with \
             PATCH.",
        ),
        // A renewal whose answer was lost has probably used up the refresh token.
        _ => (
            "the credential was not renewed, and an earlier renewal was lost: hand in another",
            "The token endpoint refuses to renew the access token. The answer to an earlier renewal was \
             lost, and that renewal may have used up the refresh token. Hand in another credential with \
             PATCH.",
        ),
    };
    let kind = EventKind::ConnectionFailed;
    let payload = serde_json::json!({ "error": error });
    let event = Event::new(app.now_ms(), kind, id.as_str(), "chittyconnect", payload, None);
    let overdue_ms = app.config.outbox_overdue_ms;
    let mut batch = store::fail(&event, error, overdue_ms, claim);
    // The cron does not try it again.
    batch.push(claim.release().also("expires_at = NULL").statement());
    ready.db().batch(batch).await?;
    Ok(Problem::new(Code::TargetRefusedCredential, detail))
}

/// Renews the credentials that end soon, until the time is up; the cron runs it.
pub async fn refresh_due(app: &App, ready: Ready<'_>, until_ms: u64) {
    let bounds = Bounds {
        batch: 2 * AT_ONCE,
        at_once: AT_ONCE,
        noted_at_once: 1,
        at_most: AT_MOST,
        until_ms,
    };
    work::run(app, ready, &Renewals, bounds).await;
}

struct Renewals;

impl Work for Renewals {
    type Item = ConnectionId;

    const QUEUE: &'static Queue = &RENEWALS;

    fn hold(&self, _: &App) -> Hold {
        RENEWAL_PAUSE
    }

    fn columns(&self) -> String {
        "connection_id".to_owned()
    }

    fn due_ms(&self, app: &App) -> u64 {
        app.now_ms() + AHEAD_MS
    }

    fn read(&self, _: &App, mut row: Row) -> Result<ConnectionId, String> {
        ConnectionId::from_row(&mut row, "connection_id").map_err(|error| error.to_string())
    }

    /// The renewal itself writes the new credential, under its own lease.
    async fn perform(
        &self,
        app: &App,
        ready: Ready<'_>,
        _: &Claim,
        id: ConnectionId,
    ) -> Vec<Statement> {
        if let Err(problem) = fresh(app, ready, &id, AHEAD_MS).await {
            let fields = [("connection_id", id.as_str()), ("error", &problem.detail)];
            log::warn("refresh_failed", &fields);
        }
        Vec::new()
    }
}
