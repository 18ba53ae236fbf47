//! ChittyAuth (`auth.chitty.cc`): checks tokens, and makes and revokes tokens and API keys.

use std::fmt;

use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::call::CallContext;
use crate::error::ServiceError;
use crate::id::ChittyId;
use crate::retry::Repeat;
use crate::service::Service;
use crate::services::answers::GONE;
use crate::session::Session;
use crate::token::ServiceToken;
use crate::wire::{Call, Variant, Wire, first_string, segment};

/// What ChittyAuth says about a valid token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenInfo {
    /// The bearer.
    pub actor: ChittyId,
    /// The bearer's principal, if ChittyAuth named one.
    pub principal_id: Option<String>,
    /// The scopes of the token.
    pub scopes: Vec<String>,
    /// When the token expires, as ChittyAuth wrote it (ISO-8601), if it said so.
    pub expires_at: Option<String>,
}

/// Whether a token is valid. An outage gives neither answer: it is a [`ServiceError`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenCheck {
    /// The token is valid.
    Valid(TokenInfo),
    /// The token is unknown, expired or revoked.
    Invalid,
}

/// The token or key to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvisionRequest {
    /// The bearer.
    pub chitty_id: String,
    /// The scopes.
    pub scopes: Vec<String>,
    /// The service at which it is valid.
    pub service: String,
    /// The lifetime in seconds; `None` means ChittyAuth's own default.
    pub expires_in_s: Option<u64>,
    /// Sent as `Idempotency-Key`.
    pub idempotency_key: Option<String>,
}

/// A token or a key that ChittyAuth has made.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The secret itself.
    pub secret: String,
    /// The id by which it is revoked, if ChittyAuth named one.
    pub id: Option<String>,
    /// The scopes that ChittyAuth granted.
    pub scopes: Vec<String>,
    /// When it expires, as ChittyAuth wrote it (ISO-8601), if it said so.
    pub expires_at: Option<String>,
}

impl fmt::Debug for Credential {
    /// Leaves out the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Client of ChittyAuth.
pub struct AuthClient<'a> {
    pub(crate) session: &'a Session,
}

impl AuthClient<'_> {
    /// Checks an opaque token with `POST /v1/tokens/validate`; if ChittyAuth does not know that path,
    /// with `POST /v1/auth/validate` and the token itself as the bearer token.
    ///
    /// # Errors
    /// Only failures that leave the question open: no answer, 5xx, 429, or an answer without a verdict.
    /// `valid: false` is a verdict, [`TokenCheck::Invalid`]. So is 401 or 403, unless it may be about
    /// this program's own token, which the call carries too.
    pub async fn validate(&self, token: &str) -> Result<TokenCheck, ServiceError> {
        let own = Variant {
            bearer: Some(token.to_owned()),
            body: None,
            ..Variant::post(Service::Auth, "/v1/auth/validate", Value::Null)
        };
        let variants = vec![
            Variant::post(Service::Auth, "/v1/tokens/validate", json!({ "token": token })),
            own,
        ];
        let call =
            Call { refusal_is_verdict: true, ..Call::new("auth.validate", Repeat::Safe, variants) };
        match self.session.call(call).await {
            // The older path says "valid" by its status alone.
            Ok(answer) if answer.variant == 1 && answer.body.get("valid").is_none() => {
                bearer(&answer.body).map(TokenCheck::Valid).map_err(malformed)
            }
            Ok(answer) => verdict(&answer.body).map_err(malformed),
            // Any other 4xx is about our call, not about the token: an outage to the caller.
            Err(error) => Err(error),
        }
    }

    /// Returns the principal of a token's bearer with `POST /v1/auth/validate`, which names it even if
    /// `POST /v1/tokens/validate` does not. `None` if the token does not belong to `bearer_id`, if the
    /// answer names no principal, or if ChittyAuth answers 401 or 404.
    ///
    /// # Errors
    /// No answer, or an answer without a bearer.
    pub async fn principal(
        &self,
        token: &str,
        bearer_id: &str,
    ) -> Result<Option<String>, ServiceError> {
        let variant = Variant {
            bearer: Some(token.to_owned()),
            body: None,
            ..Variant::post(Service::Auth, "/v1/auth/validate", Value::Null)
        };
        let call =
            Call::new("auth.principal", Repeat::Safe, vec![variant]).answered_by(&[401, 404]);
        let info = match self.session.call(call).await {
            Ok(answer) => bearer(&answer.body).map_err(malformed)?,
            Err(ServiceError { status: Some(401 | 404), .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(info.principal_id.filter(|_| info.actor.as_str() == bearer_id))
    }

    /// Makes a token with `POST /v1/tokens/provision`.
    ///
    /// # Errors
    /// No answer, a refusal, or an answer without a token or without the id by which it is revoked.
    pub async fn provision_token(
        &self,
        request: &ProvisionRequest,
    ) -> Result<Credential, ServiceError> {
        let body = json!({
            "chittyId": request.chitty_id,
            "scope": request.scopes,
            "service": request.service,
            "expiresIn": request.expires_in_s,
        });
        let variant = Variant::post(Service::Auth, "/v1/tokens/provision", body);
        let call = Call::new("auth.provision_token", Repeat::WhenTurnedAway, vec![variant]);
        // 403 is a refusal: this identity must not have this token.
        let call = call.keyed(request.idempotency_key.as_deref()).answered_by(&[403]);
        let made = credential(&self.session.call(call).await?.body).map_err(malformed)?;
        match made.id {
            Some(_) => Ok(made),
            None => Err(malformed("the answer has a token, but not its id".to_owned())),
        }
    }

    /// Replaces a token by a new one with `POST /v1/tokens/refresh`.
    ///
    /// # Errors
    /// No answer, a refusal, or an answer without a token.
    pub async fn refresh_token(&self, token: &str) -> Result<Credential, ServiceError> {
        let answer = self.session.call(refresh_call(token)).await?;
        credential(&answer.body).map_err(malformed)
    }

    /// Revokes a token with `POST /v1/tokens/revoke`. A token that ChittyAuth does not find (404) counts as
    /// revoked only if ChittyAuth also says that the token itself is not valid, because an outage may
    /// answer 404 too.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub async fn revoke_token(
        &self,
        token_id: &str,
        token: &str,
        reason: &str,
    ) -> Result<(), ServiceError> {
        let body = json!({ "tokenId": token_id, "reason": reason });
        let variant = Variant::post(Service::Auth, "/v1/tokens/revoke", body);
        let call = Call::new("auth.revoke_token", Repeat::Safe, vec![variant]).answered_by(GONE);
        let revoked = self.session.tell(call).await;
        self.confirmed(revoked, token).await
    }

    /// Completes a revocation: after 404, asks ChittyAuth whether the secret is still valid.
    async fn confirmed(
        &self,
        revoked: Result<(), ServiceError>,
        secret: &str,
    ) -> Result<(), ServiceError> {
        match revoked {
            Err(ServiceError { status: Some(410), .. }) => Ok(()),
            Err(error) if error.status == Some(404) => match self.validate(secret).await {
                Ok(TokenCheck::Invalid) => Ok(()),
                Ok(TokenCheck::Valid(_)) | Err(_) => Err(error),
            },
            revoked => revoked,
        }
    }

    /// Makes an API key with `POST /v1/keys/provision`, or its older path.
    ///
    /// # Errors
    /// No answer, a refusal, or an answer without a key.
    pub async fn provision_key(
        &self,
        request: &ProvisionRequest,
    ) -> Result<Credential, ServiceError> {
        let body = json!({
            "chittyId": request.chitty_id,
            "scopes": request.scopes,
            "service": request.service,
            "expiresIn": request.expires_in_s,
        });
        let variants = vec![
            Variant::post(Service::Auth, "/v1/keys/provision", body.clone()),
            Variant::post(Service::Auth, "/api/keys/provision", body),
        ];
        let call = Call::new("auth.provision_key", Repeat::WhenTurnedAway, variants)
            .keyed(request.idempotency_key.as_deref())
            .answered_by(&[403]);
        credential(&self.session.call(call).await?.body).map_err(malformed)
    }

    /// Replaces the key of an entity with `POST /v1/keys/rotate/{id}`.
    ///
    /// # Errors
    /// No answer, a refusal, or an answer without a key.
    pub async fn rotate_key(&self, chitty_id: &ChittyId) -> Result<Credential, ServiceError> {
        let path = format!("/v1/keys/rotate/{}", segment(chitty_id.as_str()));
        let variant = Variant::post(Service::Auth, path, json!({}));
        let call = Call::new("auth.rotate_key", Repeat::WhenTurnedAway, vec![variant])
            .answered_by(&[403, 404]);
        credential(&self.session.call(call).await?.body).map_err(malformed)
    }

    /// Revokes a key with `POST /v1/api-keys/revoke`, by its id, or by the key itself if ChittyAuth named
    /// no id. Treats a key that ChittyAuth does not find as [`AuthClient::revoke_token`] treats a token.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub async fn revoke_key(
        &self,
        key_id: Option<&str>,
        key: &str,
        reason: &str,
    ) -> Result<(), ServiceError> {
        let body = match key_id {
            Some(key_id) => json!({ "key_id": key_id, "reason": reason }),
            None => json!({ "api_key": key, "reason": reason }),
        };
        let variant = Variant::post(Service::Auth, "/v1/api-keys/revoke", body);
        let call = Call::new("auth.revoke_key", Repeat::Safe, vec![variant]).answered_by(GONE);
        let revoked = self.session.tell(call).await;
        self.confirmed(revoked, key).await
    }

    /// Returns the public keys that verify ChittyAuth's JWTs (RFC 7517), with
    /// `GET /.well-known/jwks.json` or its older path.
    ///
    /// # Errors
    /// No answer, or an answer without a list of keys.
    pub async fn jwks(&self) -> Result<Vec<Value>, ServiceError> {
        let variants = vec![
            Variant::get(Service::Auth, "/.well-known/jwks.json"),
            Variant::get(Service::Auth, "/v1/oauth/jwks"),
        ];
        let answer = self.session.read(Call::new("auth.jwks", Repeat::Safe, variants)).await?;
        let keys = answer.get("keys").and_then(Value::as_array);
        keys.cloned().ok_or_else(|| malformed("the answer has no keys".to_owned()))
    }
}

fn malformed(detail: String) -> ServiceError {
    ServiceError::malformed(Service::Auth, 200, detail)
}

fn refresh_call(token: &str) -> Call {
    let variant = Variant::post(Service::Auth, "/v1/tokens/refresh", json!({ "token": token }));
    // ChittyAuth could refuse a repeat, because the first attempt has replaced the token.
    Call::new("auth.refresh_token", Repeat::WhenTurnedAway, vec![variant]).answered_by(&[401, 403])
}

/// Replaces a service's token by a new one, within `timeout_ms`.
pub(crate) fn refresh<'a>(
    wire: &'a Wire,
    token: &'a str,
    timeout_ms: u32,
    cx: &'a CallContext,
) -> LocalBoxFuture<'a, Result<ServiceToken, ServiceError>> {
    // Boxed, because it recurses: like any other call, it may first refresh ChittyAuth's own token.
    Box::pin(async move {
        let call = Call { timeout_ms: Some(timeout_ms), ..refresh_call(token) };
        let answer = wire.call(&call, cx).await?;
        let fresh = credential(&answer.body).map_err(malformed)?;
        let expires_at_ms = fresh
            .expires_at
            .as_deref()
            .and_then(|text| chrono::DateTime::parse_from_rfc3339(text).ok())
            .and_then(|at| u64::try_from(at.timestamp_millis()).ok());
        Ok(ServiceToken { secret: fresh.secret, expires_at_ms })
    })
}

/// Reads a token or a key from any of the members in which ChittyAuth sends it.
fn credential(answer: &Value) -> Result<Credential, String> {
    let secret = first_string(answer, &["token", "api_key", "apiKey", "accessToken", "key"])
        .filter(|secret| !secret.is_empty())
        .ok_or("the answer has no credential")?;
    let text = |names: &[&str]| first_string(answer, names).map(str::to_owned);
    Ok(Credential {
        secret: secret.to_owned(),
        id: text(&["tokenId", "token_id", "keyId", "key_id"]),
        scopes: scopes(answer),
        expires_at: text(&["expiresAt", "expires_at"]),
    })
}

/// Reads the verdict of a 2xx answer. Only an explicit `valid: true` with the valid id of an actor means
/// valid; a missing field does not.
fn verdict(answer: &Value) -> Result<TokenCheck, String> {
    match answer.get("valid").and_then(Value::as_bool) {
        Some(true) => {}
        Some(false) => return Ok(TokenCheck::Invalid),
        None => return Err("the answer has no verdict".to_owned()),
    }
    bearer(answer).map(TokenCheck::Valid)
}

/// Reads the bearer from an answer that says that a token is valid.
fn bearer(answer: &Value) -> Result<TokenInfo, String> {
    let names = ["chittyId", "chitty_id", "sub"];
    let id = answer
        .get("actor")
        .and_then(|actor| first_string(actor, &names))
        .or_else(|| first_string(answer, &names))
        .ok_or("valid, but without a bearer")?;
    let actor = ChittyId::parse(id).map_err(|error| format!("the actor's id: {error}"))?;
    let expires_at = first_string(answer, &["expiresAt", "expires_at"]).map(str::to_owned);
    let names = ["principalId", "principal_id"];
    let principal = answer.get("actor").and_then(|actor| first_string(actor, &names));
    let principal_id = principal.or_else(|| first_string(answer, &names)).map(str::to_owned);
    Ok(TokenInfo { actor, principal_id, scopes: scopes(answer), expires_at })
}

fn scopes(answer: &Value) -> Vec<String> {
    match answer.get("scope").or_else(|| answer.get("scopes")) {
        Some(Value::Array(list)) => {
            list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        // RFC 6749 §3.3 writes a scope list as one string.
        Some(Value::String(list)) => list.split_ascii_whitespace().map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_needs_an_explicit_field_and_a_sound_actor() {
        let id = "03-1-USA-0970-P-2603-0-54";
        let TokenCheck::Valid(info) = verdict(&json!({
            "valid": true, "chittyId": id, "scope": ["read", "write"],
            "expiresAt": "2026-01-01T00:00:00.000Z",
        }))
        .unwrap() else {
            panic!("should be valid")
        };
        assert_eq!(info.actor.as_str(), id);
        assert_eq!(info.scopes, ["read", "write"]);
        assert_eq!(info.expires_at.as_deref(), Some("2026-01-01T00:00:00.000Z"));

        let wrapped = json!({"valid": true, "actor": {"chittyId": id}, "scope": "read write"});
        assert!(matches!(verdict(&wrapped), Ok(TokenCheck::Valid(info)) if info.scopes.len() == 2));
        assert_eq!(verdict(&json!({"valid": false, "chittyId": id})), Ok(TokenCheck::Invalid));
        for nonsense in [
            json!({"chittyId": id}),
            json!({"valid": "true", "chittyId": id}),
            json!({"valid": true}),
            json!({"valid": true, "chittyId": "admin"}),
            json!([true]),
        ] {
            assert!(verdict(&nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn credentials_have_many_names_and_do_not_show() {
        for answer in [
            json!({"token": "s3cret", "tokenId": "i", "scope": ["read"]}),
            json!({"api_key": "s3cret", "key_id": "i", "scopes": "read"}),
            json!({"data": {"apiKey": "s3cret", "keyId": "i"}, "scopes": ["read"]}),
        ] {
            let made = credential(&answer).unwrap();
            assert_eq!(
                (made.secret.as_str(), made.id.as_deref()),
                ("s3cret", Some("i")),
                "{answer}"
            );
            assert_eq!(made.scopes, ["read"]);
            assert!(!format!("{made:?}").contains("s3cret"));
        }
        for answer in [json!({}), json!({"token": ""}), json!({"token": 7}), json!("token")] {
            assert!(credential(&answer).is_err(), "{answer}");
        }
    }
}
