//! Credentials that are made or renewed for a connection, or a context, that is not there yet.
//!
//! Before ChittyAuth is asked for a key there is a row that says what it was asked for, under which key
//! for repeats; after a renewal there is one with what came of it. It is a revocation that is due after a
//! while, and the batch that gives the credential to its connection removes it. So whatever happens in
//! between (a lost answer, one that cannot be read, a process that ends), the cron finds the row and
//! takes back what may have been made, until that is confirmed. And a connection is only made as long as
//! nobody has begun to take its credential back.

use chitty_core::{CallContext, ProvisionRequest, ServiceError, Session};
use http_kit::problem::{Code, Problem};
use seams::db::{DbError, Params, Statement};
use seams::{ids, log, time};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::connections::credential::{Credential, Oauth};
use crate::connections::{call, secrets};
use crate::store::Ready;
use crate::store::event::Event;

/// How long the making of a connection may take before what it made is taken back, in ms: longer than
/// its calls with their deadlines.
const INTENT_MS: u64 = 120_000;

/// The pauses between attempts to record what has been renewed, in ms.
const WRITE_PAUSES_MS: [u64; 3] = [100, 400, 1500];

/// What may have to be taken back. Only ever at rest sealed.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub enum RevocationTarget {
    /// Whatever ChittyAuth has made of this request. Its key for repeats tells.
    Asked {
        /// The request, as it was sent.
        asked: ProvisionRequest,
    },
    /// A credential that is known.
    Known(Credential),
}

/// A credential for a connection.
pub struct NewCredential {
    /// The credential.
    pub credential: Credential,
    /// Under which it was made or renewed, if it was for this connection.
    pub intent: Option<Intent>,
}

/// The row that says what is to be taken back unless a connection gets it.
pub struct Intent {
    id: String,
    connection_id: String,
}

impl Intent {
    /// Puts on record what may have to be taken back.
    async fn record(
        app: &App,
        ready: Ready<'_>,
        id: String,
        connection_id: &str,
        sealed: &str,
    ) -> Result<Self, DbError> {
        let now_ms = app.now_ms();
        // Doing it twice is as good as once: its first answer may have been lost.
        let insert = Statement::new(
            "INSERT INTO credential_revocations (id, connection_id, sealed, due_at, created_at) \
             VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (id) DO NOTHING",
        )
        .bind(id.as_str())
        .bind(connection_id)
        .bind(sealed)
        .bind(time::iso8601(now_ms + INTENT_MS))
        .bind(time::iso8601(now_ms));
        let mut pauses = WRITE_PAUSES_MS.into_iter();
        loop {
            match (ready.db().batch(vec![insert.clone()]).await, pauses.next()) {
                (Ok(_), _) => return Ok(Intent { id, connection_id: connection_id.to_owned() }),
                (Err(_), Some(pause_ms)) => app.sleep(pause_ms).await,
                (Err(error), None) => return Err(error),
            }
        }
    }

    /// The statement that ends it, for the batch of the event by which the connection gets the
    /// credential.
    pub fn fulfilled(&self, event: &Event) -> Statement {
        let place = "connections WHERE connection_id = ?1 AND revision = ?2";
        self.fulfilled_where(place, &event.entity_id, &event.id)
    }

    /// The same, for a batch that puts the credential in place of another of the connection's.
    pub fn fulfilled_by(&self, connection_id: &str, sealed: &str) -> Statement {
        let place = "connection_secrets WHERE connection_id = ?1 AND sealed = ?2";
        self.fulfilled_where(place, connection_id, sealed)
    }

    /// The same, for a batch by which a context gets the credential as its key.
    pub fn fulfilled_for_context(&self, chitty_id: &str, sealed: &str) -> Statement {
        let place = "context_keys WHERE chitty_id = ?1 AND sealed = ?2";
        self.fulfilled_where(place, chitty_id, sealed)
    }

    /// Ends it where the credential is in its place: SQL for a row, over the entity (`?1`) and what that has
    /// since the batch (`?2`).
    fn fulfilled_where(&self, place: &str, entity: &str, new: &str) -> Statement {
        Statement::new(format!(
            "DELETE FROM credential_revocations WHERE id = ?3 AND EXISTS (SELECT 1 FROM {place})"
        ))
        .bind(entity)
        .bind(new)
        .bind(self.id.as_str())
    }

    /// The condition under which nobody has begun to take the credential back.
    pub fn is_open(&self, params: &mut Params) -> String {
        let id = params.add(self.id.as_str());
        format!("EXISTS (SELECT 1 FROM credential_revocations WHERE id = {id} AND attempts = 0)")
    }

    /// Has the credential taken back at once, if no connection has got it: also after a batch of which
    /// nobody knows whether it took place. `sealed` is the credential, where it is known. What is not
    /// noted here is taken back later.
    pub async fn abandon(&self, app: &App, ready: Ready<'_>, sealed: Option<&str>) {
        let update = Statement::new(
            "UPDATE credential_revocations SET due_at = ?2, sealed = ifnull(?3, sealed) \
             WHERE id = ?1 AND attempts = 0",
        )
        .bind(self.id.as_str())
        .bind(time::iso8601(app.now_ms()))
        .bind(sealed);
        self.note(ready, update).await;
    }

    /// Forgets it: nothing was made.
    async fn forget(&self, ready: Ready<'_>) {
        let delete =
            Statement::new("DELETE FROM credential_revocations WHERE id = ?1 AND attempts = 0");
        self.note(ready, delete.bind(self.id.as_str())).await;
    }

    async fn note(&self, ready: Ready<'_>, statement: Statement) {
        if let Err(error) = ready.db().batch(vec![statement]).await {
            let fields = [("connection_id", &self.connection_id), ("error", &error.to_string())];
            log::warn("intent_not_noted", &fields.map(|(name, value)| (name, value.as_str())));
        }
    }
}

/// Has ChittyAuth make a key, on record before it is asked. Of a context its ChittyID stands for the
/// `connection_id`, here and in what is sealed.
///
/// # Errors
/// 503: it did not make one, or nobody knows, and then it is taken back.
pub async fn provision(
    app: &App,
    ready: Ready<'_>,
    session: &Session,
    connection_id: &str,
    wanted: ProvisionRequest,
) -> Result<NewCredential, Problem> {
    let id = ids::event(app.now_ms());
    let asked = ProvisionRequest { idempotency_key: Some(id.clone()), ..wanted };
    let sealed = seal(app, connection_id, &RevocationTarget::Asked { asked: asked.clone() })?;
    let intent = Intent::record(app, ready, id, connection_id, &sealed).await?;
    match session.auth().provision_key(&asked).await {
        Ok(made) => {
            let credential = Credential::Provisioned { key: made.secret, key_id: made.id };
            Ok(NewCredential { credential, intent: Some(intent) })
        }
        Err(error) => {
            if error.may_have_had_its_effect() {
                intent.abandon(app, ready, None).await;
            } else {
                intent.forget(ready).await;
            }
            Err(Problem::upstream(
                Code::CredentialUnavailable,
                "ChittyAuth did not make a key, so nothing was stored. Repeat the request.",
                &error,
            ))
        }
    }
}

/// Puts on record what a credential that was handed in has been renewed to.
///
/// # Errors
/// Storage failures; no key to seal it with.
pub async fn renewed(
    app: &App,
    ready: Ready<'_>,
    connection_id: &str,
    handed: &Oauth,
    renewed: Oauth,
) -> Result<NewCredential, Problem> {
    // What was handed in and goes on is its owner's, and may be in use elsewhere.
    let is_same = handed.refresh_token == renewed.refresh_token;
    let refresh_token = if is_same { String::new() } else { renewed.refresh_token.clone() };
    let made = Credential::Oauth(Oauth { refresh_token, ..renewed.clone() });
    let sealed = seal(app, connection_id, &RevocationTarget::Known(made))?;
    let id = ids::event(app.now_ms());
    let intent = Intent::record(app, ready, id, connection_id, &sealed).await?;
    Ok(NewCredential { credential: Credential::Oauth(renewed), intent: Some(intent) })
}

fn seal(app: &App, connection_id: &str, what: &RevocationTarget) -> Result<String, Problem> {
    // Plain data: this cannot fail.
    secrets::seal_text(app, connection_id, &serde_json::to_string(what).unwrap_or_default())
}

/// Takes back what a row is about, where it came from. `Err` says why that is not certain yet.
/// `leased_until` is the instant until which the row is the caller's.
pub async fn take_back(
    app: &App,
    ready: Ready<'_>,
    id: &str,
    connection_id: &str,
    leased_until: &str,
    sealed: &str,
) -> Result<(), String> {
    let text = secrets::open_text(app, connection_id, sealed).ok_or("it does not open")?;
    let what = serde_json::from_str(&text).map_err(|_| "it cannot be read")?;
    let credential = match what {
        RevocationTarget::Known(credential) => credential,
        RevocationTarget::Asked { asked } => match find_out(app, &asked).await? {
            Some(credential) => {
                let known = secrets::seal(app, connection_id, &credential);
                let known = known.map_err(|problem| problem.detail.into_owned())?;
                remember(ready, id, leased_until, &known.text).await;
                credential
            }
            None => return Ok(()),
        },
    };
    let used =
        secrets::stored(app, ready, connection_id).await.map_err(|error| error.to_string())?;
    revoke(app, &credential, used.as_ref()).await
}

/// What ChittyAuth has made of a request: asked once more under the same key it answers as it did. `None`
/// is that it has made nothing.
async fn find_out(app: &App, asked: &ProvisionRequest) -> Result<Option<Credential>, String> {
    // A request that is refused for what it asks for was refused the first time.
    let is_verdict =
        |error: &ServiceError| !error.in_doubt && matches!(error.status, Some(400 | 413 | 422));
    let session = app.core.session(CallContext::default());
    match session.auth().provision_key(asked).await {
        Ok(made) => Ok(Some(Credential::Provisioned { key: made.secret, key_id: made.id })),
        Err(error) if is_verdict(&error) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// Keeps what has been found out, so that it need not be asked for again.
async fn remember(ready: Ready<'_>, id: &str, leased_until: &str, sealed: &str) {
    let update = Statement::new(
        "UPDATE credential_revocations SET sealed = ?3 WHERE id = ?1 AND due_at = ?2",
    )
    .bind(id)
    .bind(leased_until)
    .bind(sealed);
    if let Err(error) = ready.db().batch(vec![update]).await {
        log::warn("revocation_not_noted", &[("error", &error.to_string())]);
    }
}

/// Revokes a credential, but for what the connection uses now.
async fn revoke(
    app: &App,
    credential: &Credential,
    used: Option<&Credential>,
) -> Result<(), String> {
    const REASON: &str = "what it was made for has ended";
    match credential {
        Credential::Oauth(oauth) => {
            let used = match used {
                Some(Credential::Oauth(used)) => Some(used),
                _ => None,
            };
            revoke_oauth(app, oauth, used).await
        }
        Credential::Provisioned { .. } if used == Some(credential) => Ok(()),
        Credential::Provisioned { key, key_id } => {
            let session = app.core.session(CallContext::default());
            let revoked = session.auth().revoke_key(key_id.as_deref(), key, REASON).await;
            revoked.map_err(|error| error.to_string())
        }
        // Whoever handed it in is to end it.
        Credential::ApiKey { .. } | Credential::Bearer { .. } | Credential::Basic { .. } => Ok(()),
    }
}

async fn revoke_oauth(app: &App, oauth: &Oauth, used: Option<&Oauth>) -> Result<(), String> {
    let Some(endpoint) = &oauth.revocation_endpoint else { return Ok(()) };
    let client = (oauth.client_id.as_str(), oauth.client_secret.as_deref());
    let is_used = |token: &String| {
        token.is_empty()
            || used.is_some_and(|used| {
                used.refresh_token == *token || used.access_token.as_ref() == Some(token)
            })
    };
    let tokens = [
        Some(("refresh_token", &oauth.refresh_token)),
        oauth.access_token.as_ref().map(|token| ("access_token", token)),
    ];
    for (hint, token) in tokens.into_iter().flatten().filter(|(_, token)| !is_used(token)) {
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
