//! The key of a context. ChittyAuth makes it when the context is created, or when a change asks for another;
//! one reply shows it, once.
//!
//! The key carries a part of the authority of the caller that requests it (a [`Grant`]). Its [`Intent`] is
//! recorded before ChittyAuth is called. The batch that creates or changes the context gives the context the
//! key; a key that no context gets is revoked. A request to this gateway with the key acts as the context,
//! within the authority that the key came from, and counts against the limits of the caller that requested
//! it.

use chitty_core::{BreakerState, ChittyId, Service};
use http_kit::problem::{Code, Problem};
use http_kit::request::Request;
use seams::db::{Params, Statement};
use seams::{ids, time};
use serde_json::{Value, json};

use crate::access::caller::{Grant, Scope, THIS_GATEWAY, standing};
use crate::app::App;
use crate::connections::credential::Credential;
use crate::connections::intents::{Intent, NewCredential};
use crate::connections::{SCHEDULE_REVOCATION, provisioned, secrets};
use crate::contexts::input::KeyDraft;
use crate::store::Ready;
use crate::store::event::Event;

/// The scopes of a key for which the caller names none, as far as the caller holds them.
const USUAL_SCOPES: [&str; 2] = ["contexts:read", "contexts:write"];

/// SQL for the member `credentials` in the stored reply to a creation, over a row of `contexts` that has a
/// key: JSON without the key itself.
pub const REPLAYED: &str = "(SELECT json_object('type', 'provisioned', 'status', 'already_shown', \
     'key_id', key_id, 'scopes', json(scopes), 'expires_at', expires_at) \
     FROM context_keys AS k WHERE k.chitty_id = contexts.chitty_id)";

/// Returns the part of the caller's authority that the key of a context gets. Before anything is made, this
/// checks all that can refuse the key without a call to ChittyAuth.
///
/// # Errors
/// 403 when the caller does not hold the scopes, or its credential may not request a key; 503 when the
/// gateway has no key to seal with, or ChittyAuth is known to be down; storage failures.
pub async fn grant(
    app: &App,
    ready: Ready<'_>,
    scope: &Scope,
    wanted: &KeyDraft,
    now_ms: u64,
) -> Result<Grant, Problem> {
    let asked = match wanted.scopes.as_slice() {
        [] => {
            let usual = USUAL_SCOPES.map(str::to_owned);
            Grant::of(scope).within(&usual).scopes().to_vec()
        }
        named => named.to_vec(),
    };
    secrets::seal_text(app, "", "")?;
    let grant = provisioned::grant_of(ready, scope, &asked, now_ms).await?;
    // While ChittyAuth is known to be down, an identity would be minted in vain.
    if let BreakerState::Open { until_ms } = app.core.breaker(Service::Auth)
        && app.now_ms() < until_ms
    {
        return Err(Problem::new(
            Code::CredentialUnavailable,
            "ChittyAuth does not answer, so no key was made and nothing was stored. Repeat the request.",
        ));
    }
    Ok(match wanted.life_s {
        Some(life_s) => grant.until(now_ms + life_s * 1000),
        None => grant,
    })
}

/// A key that ChittyAuth has made for a context, before the batch that gives it to the context.
pub struct Key {
    chitty_id: String,
    secret: String,
    key_id: Option<String>,
    sealed: String,
    grant: Grant,
    intent: Intent,
}

impl Key {
    /// Records an intent and has ChittyAuth make a key for a context.
    ///
    /// # Errors
    /// 503 when ChittyAuth makes no key; a key that it may have made nevertheless is revoked.
    pub async fn make(
        app: &App,
        ready: Ready<'_>,
        request: &Request<'_>,
        id: &ChittyId,
        grant: Grant,
    ) -> Result<Self, Problem> {
        let of = (id.as_str(), THIS_GATEWAY);
        let made = provisioned::make(app, ready, request, id.as_str(), of, &grant).await?;
        let sealed = secrets::seal(app, id.as_str(), &made.credential)?.text;
        match made {
            NewCredential {
                credential: Credential::Provisioned { key: secret, key_id },
                intent: Some(intent),
            } => {
                let chitty_id = id.as_str().to_owned();
                Ok(Key { chitty_id, secret, key_id, sealed, grant, intent })
            }
            // `provisioned::make` returns a key with its intent.
            _ => Err(Problem::new(Code::CredentialUnavailable, "ChittyAuth did not make a key.")),
        }
    }

    fn expires_at(&self) -> String {
        time::iso8601(self.grant.ends_ms().unwrap_or_default())
    }

    /// Returns the description of the key for an event's payload.
    pub fn description(&self) -> Value {
        json!({ "type": "provisioned", "key_id": self.key_id })
    }

    /// Returns the key as the one reply shows it.
    fn shown(&self) -> Value {
        json!({
            "type": "provisioned", "status": "issued", "key": self.secret, "key_id": self.key_id,
            "scopes": self.grant.scopes(), "expires_at": self.expires_at(),
        })
    }

    /// Returns the body of a reply, a JSON object, with the key added as its member `credentials`.
    pub fn show_in(&self, body: &str) -> String {
        let open = body.strip_suffix('}').unwrap_or(body);
        format!("{open},\"credentials\":{}}}", self.shown())
    }

    /// Returns the statements that give the context the key, if the change of `event` took place. They belong
    /// in the batch of that change, after the context's row. The whole batch fails if the revocation of the
    /// key has begun.
    pub fn assign(&self, event: &Event) -> Vec<Statement> {
        let sha256 = ids::sha256_hex(&self.secret);
        let mut params = Params::default();
        let (id, open) = (params.add(self.chitty_id.as_str()), self.intent.is_open(&mut params));
        let revision = params.add(event.id.as_str());
        let values = [
            params.add(self.sealed.as_str()),
            params.add(self.key_id.as_deref()),
            params.add(sha256.as_str()),
            params.add(json!(self.grant.scopes()).to_string()),
            params.add(self.expires_at()),
            params.add(event.at.as_str()),
        ];
        let keep = params.statement(format!(
            "INSERT INTO context_keys (chitty_id, sealed, key_id, token_sha256, scopes, expires_at, \
             created_at) SELECT iif({open}, {id}, NULL), {} \
             FROM contexts WHERE chitty_id = {id} AND revision = {revision}",
            values.join(", ")
        ));
        let source = self.grant.source();
        let until = self.expires_at();
        vec![
            keep,
            standing::record_token(&sha256, &self.chitty_id, self.grant.scopes(), source, &until),
            standing::record_sponsor(&self.chitty_id, &source.actor),
            self.intent.fulfil_for_context(&self.chitty_id, &self.sealed),
        ]
    }

    /// Has the key revoked, unless the context has got it. This also holds after a batch of which nobody
    /// knows whether it was committed.
    pub async fn abandon(&self, app: &App, ready: Ready<'_>) {
        self.intent.abandon(app, ready, Some(&self.sealed)).await;
    }
}

/// Whether a batch failed because the revocation of its key had begun.
pub fn is_taken_back(error: &str) -> bool {
    error.contains("NOT NULL constraint failed: context_keys.chitty_id")
}

/// Returns the statements that end the key of a context, for the batch of the event that changes the
/// context. From then on this gateway refuses the key, and its revocation is due. The first statement
/// returns a row if there was a key.
pub fn end(event: &Event) -> [Statement; 3] {
    const KEY: &str = "FROM context_keys WHERE chitty_id = ?1 \
         AND EXISTS (SELECT 1 FROM contexts WHERE chitty_id = ?1 AND revision = ?2)";
    let revoke = Statement::new(format!(
        "{SCHEDULE_REVOCATION} \
         SELECT ?2 || '/key', chitty_id, sealed, ?3, ?3 {KEY} RETURNING 1 AS ended"
    ));
    let refuse = standing::end_tokens(&format!("SELECT token_sha256 {KEY}"));
    let (context, revision, at) = (event.entity_id.as_str(), event.id.as_str(), event.at.as_str());
    [
        revoke.bind(context).bind(revision).bind(at),
        refuse.bind(context).bind(revision).bind(at),
        Statement::new(format!("DELETE {KEY}")).bind(context).bind(revision),
    ]
}

/// A key that ChittyAuth has made for a context.
#[cfg(not(target_family = "wasm"))]
#[derive(utoipa::ToSchema)]
#[schema(as = ContextKey)]
#[allow(dead_code, reason = "describes what the handlers put together")]
pub(crate) struct KeyView {
    /// Always `provisioned`.
    r#type: String,
    /// `issued` if the reply contains the `key`; `already_shown` if the reply to a creation is repeated.
    status: String,
    /// The key, to be sent as `Authorization: Bearer`. Only this reply shows it.
    #[schema(required = false)]
    key: String,
    /// The id of the key at ChittyAuth.
    key_id: Option<String>,
    /// The scopes of the key.
    scopes: Vec<String>,
    /// When the key expires: ISO-8601 UTC with milliseconds.
    expires_at: String,
}
