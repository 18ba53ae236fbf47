//! ChittyAuth (`auth.chitty.cc`): who a token belongs to.

use serde_json::{Value, json};

use crate::call::CallContext;
use crate::error::ServiceError;
use crate::id::ChittyId;
use crate::retry::Repeat;
use crate::service::Service;
use crate::wire::{Wire, first_string};

/// What ChittyAuth vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenInfo {
    /// The bearer.
    pub actor: ChittyId,
    /// The scopes that the token carries.
    pub scopes: Vec<String>,
    /// When it ends, as ChittyAuth wrote it (ISO-8601), if it said so.
    pub expires_at: Option<String>,
}

/// The two answers to "is this token good". An outage is neither: it is a [`ServiceError`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenCheck {
    /// It is.
    Valid(TokenInfo),
    /// It is not: unknown, expired or revoked.
    Invalid,
}

/// Client of ChittyAuth.
pub struct AuthClient<'a> {
    pub(crate) wire: &'a Wire,
}

impl AuthClient<'_> {
    /// Asks about an opaque token with `POST /v1/tokens/validate`.
    ///
    /// # Errors
    /// Only what leaves the question open: no answer, 5xx, 429, an answer that names neither
    /// verdict. A 401, a 403 or `valid: false` is a verdict: [`TokenCheck::Invalid`].
    pub async fn validate(
        &self,
        token: &str,
        cx: &CallContext,
    ) -> Result<TokenCheck, ServiceError> {
        let body = json!({ "token": token });
        let answer =
            self.wire.post(Service::Auth, "/v1/tokens/validate", &body, Repeat::Safe, cx).await;
        match answer {
            Ok(answer) => verdict(&answer)
                .map_err(|detail| ServiceError::malformed(Service::Auth, 200, detail)),
            Err(ServiceError { status: Some(401 | 403), .. }) => Ok(TokenCheck::Invalid),
            // Any other 4xx is about our call, not about the token: an outage to the caller.
            Err(error) => Err(error),
        }
    }
}

/// Reads the verdict of a 2xx answer. Only an explicit `valid: true` with a sound actor is one in
/// favour; a missing field is not.
fn verdict(answer: &Value) -> Result<TokenCheck, String> {
    match answer.get("valid").and_then(Value::as_bool) {
        Some(true) => {}
        Some(false) => return Ok(TokenCheck::Invalid),
        None => return Err("the answer has no verdict".to_owned()),
    }
    let names = ["chittyId", "chitty_id", "sub"];
    let id = answer
        .get("actor")
        .and_then(|actor| first_string(actor, &names))
        .or_else(|| first_string(answer, &names))
        .ok_or("valid, but of nobody")?;
    let actor = ChittyId::parse(id).map_err(|error| format!("the actor's id is none: {error}"))?;
    let scopes = match answer.get("scope").or_else(|| answer.get("scopes")) {
        Some(Value::Array(list)) => {
            list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        // RFC 6749 §3.3 writes a scope list as one string.
        Some(Value::String(list)) => list.split_ascii_whitespace().map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    let expires_at = answer.get("expiresAt").and_then(Value::as_str).map(str::to_owned);
    Ok(TokenCheck::Valid(TokenInfo { actor, scopes, expires_at }))
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
}
