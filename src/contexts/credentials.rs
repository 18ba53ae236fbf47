//! The key of a context: made by ChittyAuth when the context is made, or anew by a change, shown once.
//!
//! It is a part of the authority of whoever has it made (a [`Grant`]), is on record before ChittyAuth is
//! asked for it (an [`Intent`]), and is the context's by the batch that makes or changes the context, or
//! nobody's, and then taken back. What calls with it here is the context, bounded by what the key stands
//! on, and counts against the limits of its maker.

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
use crate::connections::{provisioned, secrets};
use crate::contexts::input::KeyDraft;
use crate::store::Ready;
use crate::store::event::Event;

/// The scopes of a key for which none are named, as far as its maker holds them.
const USUAL_SCOPES: [&str; 2] = ["contexts:read", "contexts:write"];

/// What stands for a key's scopes and the rest where the reply to its creation is repeated: SQL for JSON,
/// over a row of `contexts` that has a key.
pub const REPLAYED: &str = "(SELECT json_object('type', 'provisioned', 'status', 'already_shown', \
     'key_id', key_id, 'scopes', json(scopes), 'expires_at', expires_at) \
     FROM context_keys AS k WHERE k.chitty_id = contexts.chitty_id)";

/// As much of the caller's authority as the key of a context gets. Nothing has been made by then, and what
/// could not be kept is said.
///
/// # Errors
/// 403 where the caller does not hold it, or by a credential that cannot have one made; 503 without a key
/// to seal with, or while ChittyAuth is known to be down; storage failures.
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
    // An identity that is minted while ChittyAuth is known to be down is minted in vain.
    if let BreakerState::Open { until_ms } = app.core.breaker(Service::Auth)
        && app.now_ms() < until_ms
    {
        return Err(Problem::new(
            Code::CredentialUnavailable,
            "ChittyAuth does not answer, so no key was made and nothing stored. Repeat the request.",
        ));
    }
    Ok(match wanted.life_s {
        Some(life_s) => grant.until(now_ms + life_s * 1000),
        None => grant,
    })
}

/// A key that ChittyAuth has made for a context that does not have it yet.
pub struct Key {
    chitty_id: String,
    secret: String,
    key_id: Option<String>,
    sealed: String,
    grant: Grant,
    intent: Intent,
}

impl Key {
    /// Has ChittyAuth make a key for a context, on record before it is asked.
    ///
    /// # Errors
    /// 503 where it does not; what may have been made is taken back then.
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
            // What is provisioned is a key with its intent.
            _ => Err(Problem::new(Code::CredentialUnavailable, "ChittyAuth did not make a key.")),
        }
    }

    fn expires_at(&self) -> String {
        time::iso8601(self.grant.ends_ms().unwrap_or_default())
    }

    /// What an event tells of it.
    pub fn told(&self) -> Value {
        json!({ "type": "provisioned", "key_id": self.key_id })
    }

    /// The key as it is shown this once.
    fn shown(&self) -> Value {
        json!({
            "type": "provisioned", "status": "issued", "key": self.secret, "key_id": self.key_id,
            "scopes": self.grant.scopes(), "expires_at": self.expires_at(),
        })
    }

    /// The body of a reply, which is a JSON object, with the key in it.
    pub fn show_in(&self, body: &str) -> String {
        let open = body.strip_suffix('}').unwrap_or(body);
        format!("{open},\"credentials\":{}}}", self.shown())
    }

    /// The statements by which the context gets it, where it is as `event` has left it: for the batch of
    /// that, behind the context. The batch fails as a whole where somebody has begun to take the key back.
    pub fn taken(&self, event: &Event) -> Vec<Statement> {
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
            standing::made(&sha256, &self.chitty_id, self.grant.scopes(), source, &until),
            standing::sponsored(&self.chitty_id, &source.actor),
            self.intent.fulfilled_for_context(&self.chitty_id, &self.sealed),
        ]
    }

    /// Has it taken back, if the context has not got it: also after a batch of which nobody knows whether
    /// it took place.
    pub async fn abandon(&self, app: &App, ready: Ready<'_>) {
        self.intent.abandon(app, ready, Some(&self.sealed)).await;
    }
}

/// Whether a batch failed because somebody had begun to take the key back.
pub fn is_taken_back(error: &str) -> bool {
    error.contains("NOT NULL constraint failed: context_keys.chitty_id")
}

/// The statements that end the key of a context, for the batch of the event that has changed the context:
/// it is good for nothing here from then on, and is to be revoked. The first returns a row where there was
/// one.
pub fn end(event: &Event) -> [Statement; 3] {
    const KEY: &str = "FROM context_keys WHERE chitty_id = ?1 \
         AND EXISTS (SELECT 1 FROM contexts WHERE chitty_id = ?1 AND revision = ?2)";
    let give_up = Statement::new(format!(
        "INSERT INTO credential_revocations (id, connection_id, sealed, due_at, created_at) \
         SELECT ?2 || '/key', chitty_id, sealed, ?3, ?3 {KEY} RETURNING 1 AS ended"
    ));
    let refuse = Statement::new(format!(
        "UPDATE made_tokens SET expires_at = min(expires_at, ?3) \
         WHERE token_sha256 = (SELECT token_sha256 {KEY})"
    ));
    let (context, revision, at) = (event.entity_id.as_str(), event.id.as_str(), event.at.as_str());
    [
        give_up.bind(context).bind(revision).bind(at),
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
    /// `issued` where `key` is there; `already_shown` where the reply to a creation is repeated.
    status: String,
    /// The key, for `Authorization: Bearer`; shown this once.
    #[schema(required = false)]
    key: String,
    /// By what ChittyAuth knows it.
    key_id: Option<String>,
    /// What it may.
    scopes: Vec<String>,
    /// ISO-8601 UTC with milliseconds.
    expires_at: String,
}
