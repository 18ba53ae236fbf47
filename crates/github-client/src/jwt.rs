//! The JWTs with which the App authenticates.

use std::cell::RefCell;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use seams::log;
use serde_json::json;

use crate::Client;
use crate::error::{ErrorKind, GithubError};

/// How far back a JWT is dated, in seconds: GitHub refuses a JWT from its future, and clocks differ.
const BACK_S: u64 = 60;

/// How long a JWT is valid, in seconds: GitHub accepts ten minutes by its own clock, and clocks differ.
const LIFE_S: u64 = 540;

/// How long before its expiry a JWT is no longer used, in seconds.
const EARLY_S: u64 = 60;

/// The latest JWT, and until when it is used, in ms since the Unix epoch.
#[derive(Default)]
pub(crate) struct JwtCache(RefCell<Option<(String, u64)>>);

impl JwtCache {
    /// Forgets a JWT that GitHub has refused.
    pub(crate) fn forget(&self, jwt: &str) {
        let mut kept = self.0.borrow_mut();
        if kept.as_ref().is_some_and(|(known, _)| known == jwt) {
            *kept = None;
        }
    }
}

impl Client<'_> {
    /// Returns a JWT that is valid for at least another minute.
    ///
    /// # Errors
    /// [`ErrorKind::NotConfigured`] without an App, or if its key does not sign.
    pub(crate) async fn jwt(&self) -> Result<String, GithubError> {
        let not_configured = || GithubError::new(ErrorKind::NotConfigured);
        let now_ms = self.clock.now_ms();
        if let Some((jwt, until_ms)) = &*self.state.jwt.0.borrow()
            && now_ms < *until_ms
        {
            return Ok(jwt.clone());
        }
        let app = self.config.app.as_ref().ok_or_else(not_configured)?;
        let now_s = now_ms / 1000;
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = part(json!({"alg": "RS256", "typ": "JWT"}));
        let claims = part(json!({
            "iat": now_s.saturating_sub(BACK_S), "exp": now_s + LIFE_S, "iss": app.id.to_string(),
        }));
        let signed = format!("{header}.{claims}");
        let signature = self.rs256.sign(app.key.pkcs8(), signed.as_bytes()).await;
        let signature = signature.map_err(|error| {
            log::error("github_jwt_not_signed", &[("error", &error)]);
            not_configured()
        })?;
        let jwt = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
        let until_ms = (now_s + LIFE_S - EARLY_S) * 1000;
        self.state.jwt.0.replace(Some((jwt.clone(), until_ms)));
        Ok(jwt)
    }
}
