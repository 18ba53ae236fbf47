//! Intents: the records of credentials that are made or renewed for a connection, or a context, before it has
//! them.
//!
//! Before the gateway asks ChittyAuth for a key, it writes a row with the request and its idempotency key;
//! after a renewal, it writes a row with the new credential. The row is a revocation that becomes due after a
//! while, and the batch that gives the credential to its connection deletes it. So whatever happens in
//! between (a lost answer, an answer that cannot be read, a process that ends), the cron finds the row and
//! revokes the credential that may have been made, until that is confirmed. A connection is created only
//! while nobody has begun to revoke its credential.

use chitty_core::{CallContext, ProvisionRequest, ServiceError, Session};
use http_kit::problem::{Code, Problem};
use seams::db::{DbError, Params, Statement};
use seams::{ids, log, time};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::connections::credential::{Credential, Oauth};
use crate::connections::{SCHEDULE_REVOCATION, call, secrets};
use crate::store::Ready;
use crate::store::event::Event;
use crate::store::ids::ConnectionId;

/// How long after its intent a credential that no connection has got is revoked, in ms: longer than the calls
/// of a creation with their deadlines.
const INTENT_MS: u64 = 120_000;

/// The pauses between attempts to record an intent, in ms.
const WRITE_PAUSES_MS: [u64; 3] = [100, 400, 1500];

/// The credential that may have to be revoked. At rest it is always sealed.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub enum RevocationTarget {
    /// The key that ChittyAuth may have made for this request. Repeating the request with its idempotency
    /// key tells which.
    Asked {
        /// The request, as it was sent.
        asked: ProvisionRequest,
    },
    /// A credential that is known.
    Known(Credential),
}

/// A credential that a connection or a context is to get.
pub struct NewCredential {
    /// The credential.
    pub credential: Credential,
    /// The intent under which it was made or renewed; `None` if it was handed in and needed neither.
    pub intent: Option<Intent>,
}

/// The row with a credential that is revoked unless a connection or a context gets it.
pub struct Intent {
    id: String,
    /// The id of the connection or context.
    entity_id: String,
}

impl Intent {
    /// Records the credential that may have to be revoked.
    async fn record(
        app: &App,
        ready: Ready<'_>,
        id: String,
        entity_id: &str,
        sealed: &str,
    ) -> Result<Self, DbError> {
        let now_ms = app.now_ms();
        // The statement may run twice, because the answer to the first attempt may have been lost.
        let insert = Statement::new(format!(
            "{SCHEDULE_REVOCATION} VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (id) DO NOTHING"
        ))
        .bind(id.as_str())
        .bind(entity_id)
        .bind(sealed)
        .bind(time::iso8601(now_ms + INTENT_MS))
        .bind(time::iso8601(now_ms));
        let mut pauses = WRITE_PAUSES_MS.into_iter();
        loop {
            match (ready.db().batch(vec![insert.clone()]).await, pauses.next()) {
                (Ok(_), _) => return Ok(Intent { id, entity_id: entity_id.to_owned() }),
                (Err(_), Some(pause_ms)) => app.sleep(pause_ms).await,
                (Err(error), None) => return Err(error),
            }
        }
    }

    /// The statement that ends the intent, for the batch of the event that gives the credential to the
    /// connection.
    pub fn fulfil(&self, event: &Event) -> Statement {
        let place = "connections WHERE connection_id = ?1 AND revision = ?2";
        self.fulfil_where(place, &event.entity_id, event.id.as_str())
    }

    /// The same, for a batch that puts the credential in place of another one of the connection.
    pub fn fulfil_replacement(&self, id: &ConnectionId, sealed: &str) -> Statement {
        let place = "connection_secrets WHERE connection_id = ?1 AND sealed = ?2";
        self.fulfil_where(place, id.as_str(), sealed)
    }

    /// The same, for a batch that gives the credential to a context as its key.
    pub fn fulfil_for_context(&self, chitty_id: &str, sealed: &str) -> Statement {
        let place = "context_keys WHERE chitty_id = ?1 AND sealed = ?2";
        self.fulfil_where(place, chitty_id, sealed)
    }

    /// Ends the intent if the batch has put the credential in its place. `place` is SQL for the row there, by
    /// the entity (`?1`) and by the value that the batch has written into the row (`?2`).
    fn fulfil_where(&self, place: &str, entity: &str, new: &str) -> Statement {
        Statement::new(format!(
            "DELETE FROM credential_revocations WHERE id = ?3 AND EXISTS (SELECT 1 FROM {place})"
        ))
        .bind(entity)
        .bind(new)
        .bind(self.id.as_str())
    }

    /// SQL for whether nobody has begun to revoke the credential.
    pub fn is_open(&self, params: &mut Params) -> String {
        let id = params.add(self.id.as_str());
        format!("EXISTS (SELECT 1 FROM credential_revocations WHERE id = {id} AND attempts = 0)")
    }

    /// Makes the revocation of the credential due at once, if no connection has got it. May also follow a
    /// batch of which nobody knows whether it took place. `sealed` is the credential, if it is known. If this
    /// fails, the credential is revoked later, when the intent becomes due.
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

    /// Deletes the intent, because no credential was made.
    async fn forget(&self, ready: Ready<'_>) {
        let delete =
            Statement::new("DELETE FROM credential_revocations WHERE id = ?1 AND attempts = 0");
        self.note(ready, delete.bind(self.id.as_str())).await;
    }

    async fn note(&self, ready: Ready<'_>, statement: Statement) {
        if let Err(error) = ready.db().batch(vec![statement]).await {
            let fields = [("connection_id", &self.entity_id), ("error", &error.to_string())];
            log::warn("intent_not_noted", &fields.map(|(name, value)| (name, value.as_str())));
        }
    }
}

/// Has ChittyAuth make a key, and records the intent before that. `entity_id` is the id of the connection or
/// context that is to get the key; the key is sealed for it.
///
/// # Errors
/// 503 if ChittyAuth did not make a key, or if that is in doubt: then the key is revoked. Storage failures.
pub async fn provision(
    app: &App,
    ready: Ready<'_>,
    session: &Session,
    entity_id: &str,
    wanted: ProvisionRequest,
) -> Result<NewCredential, Problem> {
    let id = ids::event(app.now_ms());
    let asked = ProvisionRequest { idempotency_key: Some(id.clone()), ..wanted };
    let sealed = seal(app, entity_id, &RevocationTarget::Asked { asked: asked.clone() })?;
    let intent = Intent::record(app, ready, id, entity_id, &sealed).await?;
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

/// Records the intent for a credential that was handed in and has been renewed.
///
/// # Errors
/// Storage failures; no key to seal it with.
pub async fn record_renewal(
    app: &App,
    ready: Ready<'_>,
    connection_id: &ConnectionId,
    handed: &Oauth,
    renewed: Oauth,
) -> Result<NewCredential, Problem> {
    // A refresh token that was handed in and not replaced is not revoked: its owner may use it elsewhere.
    let is_same = handed.refresh_token == renewed.refresh_token;
    let refresh_token = if is_same { String::new() } else { renewed.refresh_token.clone() };
    let made = Credential::Oauth(Oauth { refresh_token, ..renewed.clone() });
    let entity_id = connection_id.as_str();
    let sealed = seal(app, entity_id, &RevocationTarget::Known(made))?;
    let id = ids::event(app.now_ms());
    let intent = Intent::record(app, ready, id, entity_id, &sealed).await?;
    Ok(NewCredential { credential: Credential::Oauth(renewed), intent: Some(intent) })
}

fn seal(app: &App, entity_id: &str, what: &RevocationTarget) -> Result<String, Problem> {
    // The serialization of plain data cannot fail.
    secrets::seal_text(app, entity_id, &serde_json::to_string(what).unwrap_or_default())
}

/// Revokes the credential of the row `id` at its issuer. `entity_id` is the id of its connection or context.
/// `Err` says why the revocation is not certain yet. `leased_until` is the end of the lease that this run has
/// on the row.
pub async fn take_back(
    app: &App,
    ready: Ready<'_>,
    id: &str,
    entity_id: &str,
    leased_until: &str,
    sealed: &str,
) -> Result<(), String> {
    let text = secrets::open_text(app, entity_id, sealed).ok_or("the row does not open")?;
    let what = serde_json::from_str(&text).map_err(|_| "the row cannot be read")?;
    let credential = match what {
        RevocationTarget::Known(credential) => credential,
        RevocationTarget::Asked { asked } => match find_out(app, &asked).await? {
            Some(credential) => {
                let known = secrets::seal(app, entity_id, &credential);
                let known = known.map_err(|problem| problem.detail.into_owned())?;
                remember(ready, id, leased_until, &known.text).await;
                credential
            }
            None => return Ok(()),
        },
    };
    let used =
        secrets::credential(app, ready, entity_id).await.map_err(|error| error.to_string())?;
    revoke(app, &credential, used.as_ref()).await
}

/// Finds out which key ChittyAuth has made for a request: asked again with the same idempotency key, it gives
/// the same answer. Returns `None` if it has made no key.
async fn find_out(app: &App, asked: &ProvisionRequest) -> Result<Option<Credential>, String> {
    // ChittyAuth refuses the request for its content, so it has refused it the first time too.
    let is_verdict =
        |error: &ServiceError| !error.in_doubt && matches!(error.status, Some(400 | 413 | 422));
    let session = app.core.session(CallContext::default());
    match session.auth().provision_key(asked).await {
        Ok(made) => Ok(Some(Credential::Provisioned { key: made.secret, key_id: made.id })),
        Err(error) if is_verdict(&error) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// Stores the credential that was found, so that no later attempt has to ask again.
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

/// Revokes a credential, except the keys and tokens that the connection uses now.
async fn revoke(
    app: &App,
    credential: &Credential,
    used: Option<&Credential>,
) -> Result<(), String> {
    const REASON: &str = "nothing uses this key any more";
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
        // The caller who handed it in must revoke it.
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
        // RFC 7009 §2.2: the answer is 200 for an unknown token too.
        if !(200..300).contains(&answer.status) {
            return Err(format!("status {}", answer.status));
        }
    }
    Ok(())
}
