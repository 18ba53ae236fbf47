//! Credentials that end are renewed in time.
//!
//! A refresh token may be good for one use only, so of all isolates one refreshes at a time: it holds a
//! lease on the row, and writes under the version that it read. The others go on with the old
//! token while that lasts, and wait for the new one otherwise. What has been renewed and cannot be written
//! is kept in the isolate, used from there, and written again; where it is lost with the isolate, the row
//! says that a renewal was begun, and the connection says so once the old token is refused.

use std::cell::RefCell;
use std::collections::BTreeMap;

use chitty_core::TransportError;
use http_kit::problem::{Code, Problem};
use seams::db::{DbError, Row, Statement, first_row};
use seams::log;
use serde_json::Value;

use crate::app::{App, Slot};
use crate::connections::LEASE_MS;
use crate::connections::call;
use crate::connections::credential::{Credential, Oauth, REFRESH_EARLY_MS};
use crate::connections::headers::may_carry_credential;
use crate::connections::secrets::{abandon, kept, seal};
use crate::connections::store::{self, Link, REFRESHES, RENEWAL_PAUSE, RENEWALS, SealedCredential};
use crate::store::Ready;
use crate::store::event::{Event, EventKind};
use crate::store::work::{self, Bounds, Claim, Hold, Queue, Work};

/// The pauses between attempts to write what has been renewed, in ms.
const WRITE_PAUSES_MS: [u64; 4] = [100, 400, 1500, 4000];

/// How much that could not be written an isolate keeps.
const MAX_UNWRITTEN: usize = 64;

/// How long a request waits for another isolate's refresh, and how often it looks, in ms.
const WAIT_MS: u64 = 5000;
const LOOK_MS: u64 = 150;

/// How long before its end the cron, which runs every minute, replaces an access token that nobody uses,
/// in ms.
pub const AHEAD_MS: u64 = 3 * 60_000;

/// How many credentials one run of the cron refreshes, and how many at once. One is up to five round trips.
const AT_MOST: usize = 300;
const AT_ONCE: usize = 2;

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
        // It was handed in before that was a rule.
        Some(Credential::ApiKey { header, .. }) if !may_carry_credential(&header) => {
            Err(Problem::new(
                Code::CredentialUnavailable,
                "The stored credential stands in a header in which none may stand. Hand it in again \
                 with PATCH, in another.",
            ))
        }
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
        if let Some(unwritten) = write_again(app, ready, id).await
            && unwritten.oauth.is_good_for(0, app.now_ms())
        {
            return Ok(Some(Credential::Oauth(unwritten.oauth)));
        }
        let Some(kept) = kept(app, ready, id).await? else { return Ok(None) };
        let now_ms = app.now_ms();
        let Credential::Oauth(oauth) = &kept.credential else { return Ok(Some(kept.credential)) };
        if oauth.is_good_for(early_ms, now_ms) {
            return Ok(Some(kept.credential));
        }
        let lease_ms = LEASE_MS + u64::from(app.config.connection_timeout_ms);
        let is_same = "AND version = ?4";
        let claim =
            REFRESHES.claim_one(id, lease_ms, now_ms, is_same, "version").bind(kept.version);
        let rows = ready.db().batch(vec![claim]).await?.pop().unwrap_or_default();
        if let Some((claim, _)) = REFRESHES.read(rows)?.pop() {
            return refresh(app, ready, id, oauth, kept.version, &claim).await.map(Some);
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

/// What came of asking for another access token.
pub enum Renewal {
    /// Here it is.
    Done(Oauth),
    /// It was refused: it will be refused again.
    Refused,
    /// Nobody knows.
    Open {
        /// Whether there may be another token that did not arrive.
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
            // What could not be called at all is said as unreachable too, and cannot be told apart.
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
        // Turned away, or not understood.
        404 | 405 | 429 => return Renewal::Open { in_doubt: false },
        _ => return Renewal::Open { in_doubt: true },
    }
    let Some(access_token) = text("access_token").filter(|token| is_sound(token)) else {
        // It has answered, and nobody can read what.
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
    id: &str,
    oauth: &Oauth,
    version: i64,
    claim: &Claim,
) -> Result<Credential, Problem> {
    match renew(app, oauth).await {
        Renewal::Done(renewed) => {
            let credential = Credential::Oauth(renewed.clone());
            let sealed = seal(app, id, &credential)?;
            let renewed = UnwrittenRenewal { version, oauth: renewed, sealed };
            match renewed.write(app, ready, id, &WRITE_PAUSES_MS).await {
                Ok(true) => Ok(credential),
                Ok(false) => {
                    // The connection has ended or has another credential: this one is nobody's.
                    abandon(app, ready, id, &renewed.sealed.text).await;
                    Err(Problem::not_found("connection"))
                }
                Err(error) => {
                    let fields = [("connection_id", id), ("error", &error.to_string())];
                    log::error("renewed_credential_unwritten", &fields);
                    UnwrittenRenewals::of(app).put(id, renewed);
                    // It is good all the same.
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
async fn refused(app: &App, ready: Ready<'_>, id: &str, claim: &Claim) -> Result<Problem, DbError> {
    // Each attempt of this version that nobody has heard of counts.
    let (error, detail) = match claim.attempts {
        0 => (
            "the credential was not renewed: hand in another",
            "The access token has ended, and whoever gave it does not renew it. Hand in another \
             credential with PATCH.",
        ),
        // The old one was used up by a renewal that nobody has heard of.
        _ => (
            "the credential was not renewed, and an earlier renewal was lost: hand in another",
            "The access token has ended. An earlier renewal was not heard of, and may have used up what \
             there is to renew it with. Hand in another credential with PATCH.",
        ),
    };
    let kind = EventKind::ConnectionFailed;
    let payload = serde_json::json!({ "error": error });
    let event = Event::new(app.now_ms(), kind, id, "chittyconnect", payload, None);
    let overdue_ms = app.config.outbox_overdue_ms;
    let mut batch = store::fail(&event, error, overdue_ms, claim);
    // The cron does not try it again.
    batch.push(claim.release().also("expires_at = NULL").statement());
    ready.db().batch(batch).await?;
    Ok(Problem::new(Code::TargetRefusedCredential, detail))
}

/// A renewed credential that is not in the database yet.
#[derive(Clone)]
struct UnwrittenRenewal {
    /// The version that it takes the place of.
    version: i64,
    oauth: Oauth,
    sealed: SealedCredential,
}

/// What this isolate has renewed and could not write, by connection.
#[derive(Default)]
pub struct UnwrittenRenewals(RefCell<BTreeMap<String, UnwrittenRenewal>>);

impl Slot for UnwrittenRenewals {
    fn new(_: &App) -> Self {
        Self::default()
    }
}

impl UnwrittenRenewals {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    fn put(&self, id: &str, renewed: UnwrittenRenewal) {
        let mut held = self.0.borrow_mut();
        if held.len() < MAX_UNWRITTEN {
            held.insert(id.to_owned(), renewed);
        }
    }

    fn get(&self, id: &str) -> Option<UnwrittenRenewal> {
        self.0.borrow().get(id).cloned()
    }

    fn remove(&self, id: &str, version: i64) {
        let mut held = self.0.borrow_mut();
        if held.get(id).is_some_and(|unwritten| unwritten.version == version) {
            held.remove(id);
        }
    }
}

impl UnwrittenRenewal {
    /// Writes it in the place of its version, also after the lease: it is good as long as the version is
    /// the one that it came from. Whether it is there in the end; one whose first write was not answered
    /// is recognised.
    async fn write(
        &self,
        app: &App,
        ready: Ready<'_>,
        id: &str,
        pauses_ms: &[u64],
    ) -> Result<bool, DbError> {
        let put = Statement::new(
            "UPDATE connection_secrets SET sealed = ?3, expires_at = ?4, \
             version = version + 1, leased_until = '', in_doubt = 0 \
             WHERE connection_id = ?1 AND version = ?2",
        )
        .bind(id)
        .bind(self.version)
        .bind(self.sealed.text.as_str())
        .bind(self.sealed.expires_at.as_deref());
        let look = Statement::new(
            "SELECT 1 AS written FROM connection_secrets WHERE connection_id = ?1 AND sealed = ?2",
        )
        .bind(id)
        .bind(self.sealed.text.as_str());
        let mut pauses = pauses_ms.iter();
        loop {
            let error = match ready.db().batch(vec![put.clone(), look.clone()]).await {
                Ok(results) => return Ok(first_row(results.into_iter().nth(1)).is_some()),
                Err(error) => error,
            };
            let Some(pause_ms) = pauses.next() else { return Err(error) };
            app.sleep(*pause_ms).await;
        }
    }
}

/// Writes again what this isolate has renewed for a connection and could not write. Returns it while it
/// still cannot.
async fn write_again(app: &App, ready: Ready<'_>, id: &str) -> Option<UnwrittenRenewal> {
    let unwritten = UnwrittenRenewals::of(app).get(id)?;
    match unwritten.write(app, ready, id, &[]).await {
        Ok(is_there) => {
            UnwrittenRenewals::of(app).remove(id, unwritten.version);
            if !is_there {
                abandon(app, ready, id, &unwritten.sealed.text).await;
            }
            None
        }
        Err(error) => {
            log::warn("renewed_credential_unwritten", &[("error", &error.to_string())]);
            Some(unwritten)
        }
    }
}

/// The same for all of them; the cron runs it.
pub async fn write_all_again(app: &App, ready: Ready<'_>) {
    let ids: Vec<String> = UnwrittenRenewals::of(app).0.borrow().keys().cloned().collect();
    for id in ids {
        write_again(app, ready, &id).await;
    }
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
    /// The id of the connection.
    type Item = String;

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

    fn read(&self, _: &App, mut row: Row) -> Result<String, String> {
        row.text(0).map_err(|error| error.to_string())
    }

    /// The renewal itself writes the new credential, under its own lease.
    async fn perform(&self, app: &App, ready: Ready<'_>, _: &Claim, id: String) -> Vec<Statement> {
        if let Err(problem) = fresh(app, ready, &id, AHEAD_MS).await {
            let fields = [("connection_id", id.as_str()), ("error", &problem.detail)];
            log::warn("refresh_failed", &fields);
        }
        Vec::new()
    }
}
