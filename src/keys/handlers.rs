//! `/v1/keys`.

use chitty_core::ChittyId;
use http_kit::fields::Fields;
use http_kit::names::Name;
use http_kit::precondition::etag;
use http_kit::problem::{Code, Problem};
use http_kit::request::Request;
use seams::{ids, time};
use serde_json::{Value, json};

use crate::access::caller::scope_place::ScopePlace;
use crate::access::caller::{Credential, Grant, Scope};
use crate::access::creation::Creation;
use crate::access::idempotency::{self, Idempotency};
use crate::access::listing::PageRequest;
use crate::access::quota::{QuotaKind, Quotas};
use crate::access::reply::{After, Outcome, Reply};
use crate::app::{App, Settings};
use crate::keys::settings::Settings as KeySettings;
use crate::keys::store::{self, Change, Draft, Revocation, Secret};
use crate::store::Ready;
use crate::store::event::{Event, EventKind};
use crate::store::ids::KeyId;

#[cfg(not(target_family = "wasm"))]
use crate::keys::views::{
    KeyDraftView, KeyListView, KeyReplyView, KeyRevocationView, KeyView, RotationView,
};

/// The longest life of a key that has an end, in seconds: five years.
pub(crate) const MAX_LIFE_S: u64 = 5 * 365 * 24 * 3600;

/// The longest time that a replaced secret stays valid, in seconds: a week.
pub(crate) const MAX_GRACE_S: u64 = 7 * 24 * 3600;

/// Makes a secret. Returns the key, which is shown once, and what is stored of it.
fn new_secret() -> Result<(String, Secret), Problem> {
    let key = format!("chitty_{}", ids::hex(&ids::secret()?));
    let hint = key.get(key.len() - 4..).unwrap_or_default().to_owned();
    let sha256 = ids::sha256_hex(&key);
    Ok((key, Secret { sha256, hint }))
}

/// Returns the body of the only reply that shows the key.
fn reply_with_key(json: &str, secret: String) -> String {
    let mut key: Value = serde_json::from_str(json).unwrap_or_default();
    if let Some(members) = key.as_object_mut() {
        members.insert("key".to_owned(), secret.into());
    }
    json!({ "success": true, "key": key }).to_string()
}

/// Make an API key.
///
/// Only a ChittyAuth token can make one. The key carries at most the scopes that you hold; an
/// administrator can make one for another actor with `actor_chitty_id`. The key is shown once; a
/// replay of the reply leaves it out.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    post,
    path = "/v1/keys",
    operation_id = "keysCreate",
    tag = "keys",
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters.")),
    request_body = KeyDraftView,
    responses(
        (status = 201, description = "Made.", body = KeyReplyView, headers(("ETag" = String), ("Location" = String))),
        (status = 403, description = "`quota_exceeded`: the owner has as many keys as it may have."),
        (status = 422, description = "A value is not acceptable, such as a scope that you do not hold."),
    ),
))]
pub async fn create(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    // 1. Admit only a lasting token of ChittyAuth, and read the draft.
    scope.by_lasting_token(ready).await?;
    let body = request.json_bytes().await?;
    let mut fields = Fields::of(&body)?;
    let name = fields.name("name");
    let name = fields.required("name", name);
    let asked = ScopePlace::Credential.read(&mut fields, "scopes", 1);
    let asked = fields.required("scopes", asked).unwrap_or_default();
    let held = Grant::of(&scope);
    let grant = held.clone().narrowed(&asked).unwrap_or_else(|more| {
        fields.wrong("scopes", format!("you do not hold {more}"));
        held.within(&[])
    });
    let life_s = fields.number("expires_in_seconds", 60, MAX_LIFE_S).value();
    let owner = fields.text("actor_chitty_id", 128).value();
    if owner.as_ref().is_some_and(|owner| ChittyId::parse(owner).is_err()) {
        fields.wrong("actor_chitty_id", "must be a ChittyID");
    }
    fields.finish()?;
    // 2. Require an administrator for a key of another actor.
    let owner = owner.filter(|owner| owner != scope.actor());
    let scope = match owner {
        None => scope,
        Some(_) => scope.demanding_admin(),
    };
    // 3. Replay a stored reply.
    let key = Idempotency::of(request, "keys.create", &body)?;
    if let Some(replay) = idempotency::find(ready, &scope, key.as_ref(), request.now_ms).await? {
        return Ok(replay);
    }
    // 4. Make the secret; store the key with the secret's hash, the event and the reply in one batch.
    let now_ms = app.now_ms();
    let (secret, kept) = new_secret()?;
    let owner = owner.unwrap_or_else(|| scope.actor().to_owned());
    let id = KeyId::new(now_ms);
    let payload = json!({ "owner": owner, "scopes": grant.scopes() });
    let kind = EventKind::KeyCreated;
    let event = Event::caused(request, &scope, kind, id.as_str(), payload, now_ms);
    let draft = Draft {
        owner: &owner,
        name: name.as_ref().map(Name::text).unwrap_or_default(),
        grant: &grant,
        expires_at: life_s.map(|life_s| time::iso8601(now_ms + life_s * 1000)),
    };
    let quota = [Quotas::of(app).of_owner(QuotaKind::Keys, &owner, &scope, &event.at)];
    let creation = Creation::new(app, event, "/v1/keys", &quota, key.as_ref());
    let json = match store::insert(ready, &scope, &draft, &kept, &creation).await {
        Ok(json) => json,
        Err(error) => {
            return idempotency::after(error, ready, &scope, key.as_ref(), request.now_ms).await;
        }
    };
    // 5. Reply with the secret, which no other reply shows, and announce the event.
    Ok(creation.reply(reply_with_key(&json, secret)))
}

/// List your API keys, newest first, without their secrets.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/v1/keys",
    operation_id = "keysList",
    tag = "keys",
    params(
        ("owner" = Option<String>, Query, description = "The owner's ChittyID, or `all`; yours by default. Any other is for administrators only."),
        ("limit" = Option<u8>, Query, description = "1 to 100; 100 by default."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before."),
    ),
    responses(
        (status = 200, description = "A page.", body = KeyListView, headers(("Link" = String))),
        (status = 422, description = "A parameter is not acceptable."),
    ),
))]
pub async fn list(_: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    // 1. Read whose keys to list; those of another owner require an administrator.
    let asked = PageRequest::of(request)?;
    let wanted = request.query("owner");
    let own = scope.actor().to_owned();
    let (scope, owner) = match wanted.as_deref() {
        None => (scope, Some(own.as_str())),
        Some(owner) if owner == own => (scope, Some(own.as_str())),
        Some("all") => (scope.demanding_admin(), None),
        Some(owner) => (scope.demanding_admin(), Some(owner)),
    };
    // 2. Read the page, and reply.
    let page = store::list(ready, &scope, owner, request.now_ms, asked).await?;
    Ok(page.reply(request, "keys", &[]))
}

/// Read an API key, without its secret.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/v1/keys/{id}",
    operation_id = "keysShow",
    tag = "keys",
    params(("id" = String, Path, description = "Its `key_id`.")),
    responses(
        (status = 200, description = "The key.", body = KeyView),
        (status = 404, description = "You have no such key."),
    ),
))]
pub async fn show(_: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    let id = KeyId::of(request)?;
    let key = store::get(ready, &scope, &id, request.now_ms).await?;
    key.map(Reply::json).ok_or_else(|| Problem::not_found("key"))
}

/// Give an API key a new secret.
///
/// The old secret stays valid for a while, so that nothing fails in the meantime. Only a ChittyAuth
/// token or the key itself can do this, but no secret that has been rotated out.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    post,
    path = "/v1/keys/{id}/rotate",
    operation_id = "keysRotate",
    tag = "keys",
    params(
        ("id" = String, Path, description = "Its `key_id`."),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters."),
    ),
    request_body = Option<RotationView>,
    responses(
        (status = 200, description = "Rotated.", body = KeyReplyView, headers(("ETag" = String))),
        (status = 403, description = "`retired_key`: the secret has been rotated out."),
        (status = 404, description = "You have no such key that is active."),
    ),
))]
pub async fn rotate(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    // 1. Admit the key itself or a lasting token; read the time of grace, the idempotency key and the id.
    match scope.credential() {
        Credential::Key { id, .. } if id.as_str() == request.id => {}
        _ => scope.by_lasting_token(ready).await?,
    }
    let body = request.optional_json_bytes().await?;
    let mut fields = Fields::of(&body)?;
    let grace_s = fields.number("grace_seconds", 0, MAX_GRACE_S).value();
    fields.finish()?;
    let key = Idempotency::of(request, &format!("keys.rotate/{}", request.id), &body)?;
    let id = KeyId::of(request)?;
    // 2. Replay a stored reply.
    if let Some(replay) = idempotency::find(ready, &scope, key.as_ref(), request.now_ms).await? {
        return Ok(replay);
    }
    // 3. Make the secret; store its hash, the end of the old one, the event and the reply in one batch.
    let (secret, kept) = new_secret()?;
    let now_ms = app.now_ms();
    let grace_ms = grace_s.map_or(KeySettings::of(app).grace_ms, |seconds| seconds * 1000);
    let grace_until = time::iso8601(now_ms + grace_ms);
    let payload = json!({ "previous_valid_until": grace_until });
    let kind = EventKind::KeyRotated;
    let event = Event::caused(request, &scope, kind, id.as_str(), payload, now_ms);
    let overdue_ms = app.config.outbox_overdue_ms;
    let change = Change { event: &event, overdue_ms };
    match store::rotate(ready, &scope, &change, &kept, &grace_until, key.as_ref()).await {
        // 4. Reply with the secret, which no other reply shows, or say why nothing was rotated.
        Ok(Some(json)) => Ok(Reply::json(reply_with_key(&json, secret))
            .header("etag", etag(event.id.as_str()))
            .then(After::Announce(event))),
        Ok(None) => Err(why_unchanged(ready, &scope).await),
        Err(error) => {
            // If there was no key to rotate, there is no reply to store, so the batch fails.
            let found = store::get(ready, &scope, &id, request.now_ms).await?;
            if !found.is_some_and(|key| key.contains("\"status\":\"active\"")) {
                return Err(Problem::not_found("key"));
            }
            if store::is_retired(ready, &scope).await? {
                return Err(retired());
            }
            idempotency::after(error, ready, &scope, key.as_ref(), request.now_ms).await
        }
    }
}

/// Returns why there was no key to change.
async fn why_unchanged(ready: Ready<'_>, scope: &Scope) -> Problem {
    match store::is_retired(ready, scope).await {
        Ok(true) => retired(),
        Ok(false) => Problem::not_found("key"),
        Err(problem) => problem,
    }
}

fn retired() -> Problem {
    Problem::new(
        Code::RetiredKey,
        "This secret has been rotated out: it can neither rotate nor revoke the key. Use the new \
         secret, or a ChittyAuth token.",
    )
}

/// Revoke an API key, and the delegations that were made with it.
///
/// The revocation takes effect with the next request, everywhere.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    delete,
    path = "/v1/keys/{id}",
    operation_id = "keysRevoke",
    tag = "keys",
    params(("id" = String, Path, description = "Its `key_id`.")),
    responses(
        (status = 200, description = "Revoked, now or before.", body = KeyRevocationView),
        (status = 404, description = "You have no such key."),
    ),
))]
pub async fn revoke(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    // 1. Revoke the key and the delegations made with it, with the event, in one batch.
    let id = KeyId::of(request)?;
    let kind = EventKind::KeyRevoked;
    let event = Event::caused(request, &scope, kind, id.as_str(), json!({}), app.now_ms());
    let overdue_ms = app.config.outbox_overdue_ms;
    let change = Change { event: &event, overdue_ms };
    let is_news = match store::revoke(ready, &scope, &change).await? {
        Revocation::Done { is_news } => is_news,
        Revocation::Missing => return Err(Problem::not_found("key")),
        Revocation::Retired => return Err(retired()),
    };
    // 2. Reply; announce the event unless the key was revoked before.
    let text = json!({ "success": true, "message": "Key revoked", "key_id": id });
    let reply = Reply::json(text.to_string());
    Ok(if is_news { reply.then(After::Announce(event)) } else { reply })
}
