//! `/v1/delegate`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_kit::fields::{Fields, Member};
use http_kit::problem::Problem;
use http_kit::request::Request;
use seams::{ids, time};
use serde_json::{Value, json};

use crate::access::caller::scope_place::ScopePlace;
use crate::access::caller::{Grant, Scope, THIS_GATEWAY};
use crate::access::creation::Creation;
use crate::access::idempotency::{self, Idempotency};
use crate::access::listing::{PageRequest, word};
use crate::access::quota::{QuotaKind, Quotas};
use crate::access::reply::{After, Outcome, Reply};
use crate::access::service_name::{is_service_name, service_name};
use crate::app::{App, Settings};
use crate::delegation::store::{self, Draft};
use crate::delegation::{LIFE_S, MAX_DEPTH, USUAL_LIFE_S};
use crate::store::Ready;
use crate::store::event::{Event, EventKind};
use crate::store::ids::DelegationId;

#[cfg(not(target_family = "wasm"))]
use crate::delegation::views::{
    DelegationDraftView, DelegationListView, DelegationReplyView, IntrospectionView,
    RevocationView, ValidationDraftView,
};

/// The `aud` in the reply to a validation that names no service: this gateway, as in the tokens of
/// ChittyAuth.
const AUDIENCE: &str = "chittyconnect";

/// The most bytes of a delegation's metadata.
const MAX_METADATA_BYTES: usize = 4096;

/// The request body, validated.
struct DelegationInput {
    target_service: String,
    grant: Grant,
    expires_in_s: Option<u64>,
    metadata: String,
}

/// Delegate: make a token with which somebody else acts for you.
///
/// If `target_service` is `chittyconnect`, the token is a bearer token for this gateway. Otherwise
/// it is valid at that service, and here on the connections to it. Its scopes are at most yours,
/// and shrink when yours do. It can be delegated further, with at most its scopes and its remaining
/// time, to a chain of at most five delegations. The token is shown once; a replay of the reply
/// shows the delegation without it.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    post,
    path = "/v1/delegate",
    operation_id = "delegationsCreate",
    tag = "delegation",
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters.")),
    request_body = DelegationDraftView,
    responses(
        (status = 201, description = "Delegated.", body = DelegationReplyView, headers(("ETag" = String), ("Location" = String))),
        (status = 403, description = "`quota_exceeded`: you have as many delegations as you may have."),
        (status = 422, description = "A value is not acceptable, such as a scope that you do not hold."),
    ),
))]
pub async fn create(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    // 1. Read the draft and the idempotency key.
    let body = request.json_bytes().await?;
    let sent = validated(&body, Grant::of(&scope))?;
    let key = Idempotency::of(request, "delegations.create", &body)?;
    // 2. Replay a stored reply, or settle the end within the bounds of the caller's credential.
    let look_up = key.as_ref().map(|key| key.look_up(&scope, request.now_ms));
    let (bounds, stored) = store::bounds(ready, &scope, look_up).await?;
    if let Some(replay) = idempotency::replay(key.as_ref(), stored)? {
        return Ok(replay);
    }
    let now_ms = app.now_ms();
    let expires_ms = end(&sent, bounds.as_ref(), now_ms)?;
    // 3. Make the token; store the delegation with the token's hash, the event and the reply in one batch.
    let id = DelegationId::new(now_ms);
    let token = format!("cdt_{}", URL_SAFE_NO_PAD.encode(ids::secret()?));
    let payload = json!({ "target_service": sent.target_service, "scopes": sent.grant.scopes() });
    let kind = EventKind::DelegationCreated;
    let event = Event::caused(request, &scope, kind, id.as_str(), payload, now_ms);
    let draft = Draft {
        token_sha256: ids::sha256_hex(&token),
        target_service: sent.target_service,
        grant: &sent.grant,
        metadata: sent.metadata,
        expires_at: time::iso8601(expires_ms),
    };
    let quota = [Quotas::of(app).of_caller(QuotaKind::Delegations, &scope, &event.at)];
    let creation = Creation::new(app, event, "/v1/delegate", &quota, key.as_ref());
    let json = match store::insert(ready, &scope, &draft, &creation).await {
        Ok(json) => json,
        Err(error) => {
            return idempotency::after(error, ready, &scope, key.as_ref(), request.now_ms).await;
        }
    };
    // 4. Reply with the token, which no other reply contains, and announce the event.
    let mut delegation: Value = serde_json::from_str(&json).unwrap_or_default();
    if let Some(members) = delegation.as_object_mut() {
        members.insert("token".to_owned(), token.into());
    }
    let text = json!({ "success": true, "delegation": delegation });
    Ok(creation.reply(text.to_string()))
}

fn validated(body: &[u8], held: Grant) -> Result<DelegationInput, Problem> {
    let mut fields = Fields::of(body)?;
    let target = fields.text("target_service", 64);
    let target = fields.required("target_service", target).unwrap_or_default();
    if !target.is_empty() && !is_service_name(&target) {
        fields.wrong("target_service", "must be the name of a service, such as `chittycases`");
    }
    let scopes = ScopePlace::Credential.read(&mut fields, "scopes", 1);
    let is_named = fields.has("scopes") && scopes != Member::Null;
    let grant = match scopes.value() {
        Some(asked) => held.clone().narrowed(&asked).unwrap_or_else(|more| {
            fields.wrong("scopes", format!("you do not hold {more}"));
            held.within(&[])
        }),
        // As in the predecessor: `read`, as far as the maker holds it.
        None => {
            let grant = held.within(&["read".to_owned()]);
            if grant.scopes().is_empty() && !is_named {
                fields.wrong("scopes", "is required: you do not hold `read`");
            }
            grant
        }
    };
    let expires_in_s = fields.number("expires_in_seconds", *LIFE_S.start(), *LIFE_S.end()).value();
    let metadata = fields.object("metadata", MAX_METADATA_BYTES).value();
    fields.finish()?;
    Ok(DelegationInput {
        target_service: service_name(&target),
        grant,
        expires_in_s,
        metadata: metadata.unwrap_or_else(|| "{}".to_owned()),
    })
}

/// Returns when the delegation ends, in ms since the Unix epoch, within the bounds of the
/// credential that makes it.
fn end(
    sent: &DelegationInput,
    bounds: Option<&store::Bounds>,
    now_ms: u64,
) -> Result<u64, Problem> {
    let asked_ms = now_ms + sent.expires_in_s.unwrap_or(USUAL_LIFE_S) * 1000;
    let Some(bounds) = bounds else { return Ok(asked_ms) };
    if bounds.depth >= MAX_DEPTH {
        return Err(Problem::invalid(
            "",
            format!(
                "this token is the last of a chain of {MAX_DEPTH}: it cannot be delegated further"
            ),
        ));
    }
    if let Some(service) = &bounds.target_service
        && *service != sent.target_service
    {
        let detail = format!("must be `{service}`: your token is for that service");
        return Err(Problem::invalid("/target_service", detail));
    }
    let Some(last_ms) = bounds.expires_at.as_deref().map(time::parse) else { return Ok(asked_ms) };
    let last_ms = last_ms.unwrap_or_default();
    let left_s = last_ms.saturating_sub(now_ms) / 1000;
    if left_s < *LIFE_S.start() || (sent.expires_in_s.is_some() && asked_ms > last_ms) {
        let detail = format!("your own credential ends in {left_s} seconds");
        return Err(Problem::invalid("/expires_in_seconds", detail));
    }
    Ok(asked_ms.min(last_ms))
}

/// List your delegations, newest first, without their tokens.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/v1/delegate",
    operation_id = "delegationsList",
    tag = "delegation",
    params(
        ("status" = Option<String>, Query, description = "`active`, or `all` (the default): also those that ended within the last day."),
        ("limit" = Option<u8>, Query, description = "1 to 100; 100 by default."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before."),
    ),
    responses(
        (status = 200, description = "A page.", body = DelegationListView, headers(("Link" = String))),
        (status = 422, description = "A parameter is not acceptable."),
    ),
))]
pub async fn list(_: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    // 1. Read the filter.
    let mut errors = Vec::new();
    let status = word(request, "status", &["active", "all"], &mut errors);
    if !errors.is_empty() {
        return Err(Problem::validation(errors));
    }
    // 2. Read the page, and reply.
    let active = status == Some("active");
    let page =
        store::list(ready, &scope, active, request.now_ms, PageRequest::of(request)?).await?;
    Ok(page.reply(request, "delegations", &[]))
}

/// Revoke a delegation, and every delegation that was made with it.
///
/// The revocation takes effect with the next request, everywhere.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    delete,
    path = "/v1/delegate/{id}",
    operation_id = "delegationsRevoke",
    tag = "delegation",
    params(("id" = String, Path, description = "Its `token_id`.")),
    responses(
        (status = 200, description = "Revoked, now or before.", body = RevocationView),
        (status = 404, description = "You have no such delegation."),
    ),
))]
pub async fn revoke(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    // 1. Revoke the delegation and those below it, with the event, in one batch.
    let id = DelegationId::of(request)?;
    let kind = EventKind::DelegationRevoked;
    let event = Event::caused(request, &scope, kind, id.as_str(), json!({}), app.now_ms());
    let overdue_ms = app.config.outbox_overdue_ms;
    let revoked = store::revoke(ready, &scope, &id, &event, overdue_ms).await?;
    let Some(is_news) = revoked else { return Err(Problem::not_found("delegation")) };
    // 2. Reply; announce the event unless the delegation was revoked before.
    let text = json!({ "success": true, "message": "Delegation revoked", "token_id": id });
    let reply = Reply::json(text.to_string());
    Ok(if is_news { reply.then(After::Announce(event)) } else { reply })
}

/// Ask whether a delegated token is valid, and for what (in the manner of RFC 7662).
///
/// No credential but the token itself is needed. A service names itself as `target_service`;
/// without it, the question is whether the token is valid at this gateway. About a token that is
/// not valid there, the reply says nothing else.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    post,
    path = "/v1/delegate/validate",
    operation_id = "delegationsValidate",
    tag = "delegation",
    request_body = ValidationDraftView,
    responses(
        (status = 200, description = "`active` or not.", body = IntrospectionView),
        (status = 422, description = "There is no token in the body."),
        (status = 429, description = "`rate_limited`: too many validations from this address."),
    ),
))]
pub async fn validate(app: &App, request: &Request<'_>) -> Outcome {
    // 1. Read the token and the name of the service.
    let body = request.json_bytes().await?;
    let mut fields = Fields::of(&body)?;
    let token = fields.text("token", 4096);
    let token = fields.required("token", token).unwrap_or_default();
    let asked = fields.text("target_service", 64).value();
    fields.finish()?;
    // 2. Find the delegation, if it is good at that service.
    let ready = Ready::ensure(app).await?;
    let good = match token.starts_with("cdt_") {
        true => store::good(ready, &ids::sha256_hex(&token), request.now_ms).await?,
        false => None,
    };
    let service = asked.as_deref().map_or_else(|| THIS_GATEWAY.to_owned(), service_name);
    let good = good.filter(|good| good.target_service == service);
    // 3. Reply with its facts, or only that it is not valid.
    let answer = good.and_then(|good| {
        let scopes = good.scopes;
        let seconds = |at: &str| time::parse(at).unwrap_or_default() / 1000;
        (!scopes.is_empty()).then(|| {
            json!({
                "active": true,
                "valid": true,
                "token_type": "Bearer",
                "scope": scopes.join(" "),
                "sub": good.delegator,
                // The service compares it with its own name, so it is spelt as in the request.
                "aud": asked.as_deref().unwrap_or(AUDIENCE),
                "iat": seconds(&good.created_at),
                "exp": seconds(&good.expires_at),
                "jti": good.id,
                "delegation": {
                    "token_id": good.id,
                    "delegator_chitty_id": good.delegator,
                    "target_service": good.target_service,
                    "scopes": scopes,
                    "expires_at": good.expires_at,
                },
            })
        })
    });
    let answer = answer.unwrap_or_else(|| json!({ "active": false, "valid": false }));
    Ok(Reply::json(answer.to_string()))
}
