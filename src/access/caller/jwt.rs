//! JWTs of ChittyAuth (RFC 7519), verified here: ES256 only, against ChittyAuth's published keys.
//!
//! This code chooses the algorithm, not the token: a token that names another algorithm is refused
//! before its key is looked up (RFC 8725 §3.1), and a key is used only for the algorithm and the
//! use that its own entry states.

use std::cell::{Cell, RefCell};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chitty_core::ChittyId;
use http_kit::problem::{Code, Problem};
use http_kit::request::Request;
use seams::es256::PublicKey;
use seams::log;
use serde::Deserialize;
use serde_json::Value;

use super::bearer::invalid_token;
use crate::app::{App, Settings, Slot};
use crate::config::{Config, Reader};

/// How far the clocks of ChittyAuth and this gateway may be apart, in seconds.
const SKEW_S: u64 = 30;

/// The longest life of a token of ChittyAuth, in seconds. ChittyAuth did not make a token that
/// claims a longer one.
const MAX_LIFE_S: u64 = 24 * 3600;

/// How long the published keys are used before they are fetched again, in ms.
const KEEP_KEYS_MS: u64 = 10 * 60_000;

/// How often the keys are fetched because of an unknown key id, at most, and within what time, in
/// ms. A request with a further unknown key id in that time gets 503 with `Retry-After`.
const UNKNOWN_KEY_LOOKS: u32 = 5;
const UNKNOWN_KEY_WINDOW_MS: u64 = 10_000;

/// The most keys that are kept; ChittyAuth publishes one or two.
const MAX_KEYS: usize = 20;

/// A token split into its parts, not verified yet.
#[derive(Debug)]
pub struct Token<'a> {
    /// The signed part: header and claims as they were sent.
    signed: &'a str,
    header: Header,
    claims: &'a str,
    signature: &'a str,
}

#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    /// What kind of token it is (RFC 7519 §5.1, RFC 9068 §2.1).
    #[serde(default)]
    typ: Option<Value>,
    /// Extensions that a verifier must understand (RFC 7515 §4.1.11). This one understands none.
    #[serde(default)]
    crit: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct RawClaims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: f64,
    nbf: Option<f64>,
    iat: Option<f64>,
    chitty_id: Option<String>,
    #[serde(rename = "chittyId")]
    chitty_id_camel: Option<String>,
    principal_id: Option<Value>,
    #[serde(rename = "principalId")]
    principal_id_camel: Option<Value>,
    #[serde(alias = "scopes")]
    scope: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// The claims of a valid token.
#[derive(Debug, PartialEq, Eq)]
pub struct Claims {
    /// The actor that the token names.
    pub actor: ChittyId,
    /// The actor's principal at ChittyAuth, if the token names it.
    pub principal_id: Option<String>,
    /// The scopes that the token carries.
    pub scopes: Vec<String>,
    /// When it ends, in ms since the Unix epoch, with the tolerance for clock skew added.
    pub expires_ms: u64,
}

/// The issuer and the audiences that a token must name.
#[derive(Debug, Clone)]
pub struct Expectation {
    /// `iss`
    pub issuer: String,
    /// One of these must be in `aud`.
    pub audiences: Vec<String>,
}

impl Settings for Expectation {
    fn read(config: &Config, reader: &mut Reader) -> Self {
        let issuer = reader.text("CHITTYAUTH_ISSUER");
        let audiences = match reader.text("CHITTYAUTH_AUDIENCE") {
            Some(list) => list.split(',').map(|audience| audience.trim().to_owned()).collect(),
            None => vec!["chittyconnect".to_owned(), config.public_url.clone()],
        };
        Expectation {
            issuer: issuer.unwrap_or_else(|| "https://auth.chitty.cc".to_owned()),
            audiences,
        }
    }
}

impl<'a> Token<'a> {
    /// Splits a token into its parts. Returns `None` if it is no JWT: three parts, of which the
    /// first is a JSON object that names an algorithm.
    pub fn parse(token: &'a str) -> Option<Self> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        if claims.contains('.') {
            return None;
        }
        let header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        Some(Token { signed, header, claims, signature })
    }

    /// Verifies the token: the algorithm first, then the claims, and the signature last.
    ///
    /// # Errors
    /// 401 if any of them is wrong; 503 if ChittyAuth's keys cannot be fetched or the signature
    /// cannot be checked.
    pub async fn verify(&self, app: &App, request: &Request<'_>) -> Result<Claims, Problem> {
        let header = &self.header;
        if header.alg != "ES256" || header.crit.is_some() || !is_access_token(header.typ.as_ref()) {
            return Err(invalid_token());
        }
        let kid = self.header.kid.as_deref().ok_or_else(invalid_token)?;
        let signature = URL_SAFE_NO_PAD.decode(self.signature).map_err(|_| invalid_token())?;
        // The claims are judged first: that costs nothing, and a token with wrong claims causes no
        // fetch of keys.
        let claims = self.judge(Expectation::of(app), app.now_ms()).ok_or_else(invalid_token)?;
        let key = Jwks::of(app).key(app, request, kid).await?;
        let verified = app.es256.verify(&key, self.signed.as_bytes(), &signature).await;
        match verified {
            Ok(true) => Ok(claims),
            Ok(false) => Err(invalid_token()),
            Err(error) => {
                log::error("verification_failed", &[("error", &error)]);
                Err(Problem::new(
                    Code::AuthenticationUnavailable,
                    "The signature of your token could not be checked. Keep the token and repeat \
                     the request.",
                ))
            }
        }
    }

    /// Returns the claims, if all of them are acceptable.
    fn judge(&self, expected: &Expectation, now_ms: u64) -> Option<Claims> {
        let bytes = URL_SAFE_NO_PAD.decode(self.claims).ok()?;
        let claims: RawClaims = serde_json::from_slice(&bytes).ok()?;
        let is_meant = |audience: &String| expected.audiences.contains(audience);
        let meant = match &claims.aud {
            Audience::One(audience) => is_meant(audience),
            Audience::Many(audiences) => audiences.iter().any(is_meant),
        };
        let now_s = now_ms / 1000;
        let (exp, nbf, iat) = (
            seconds(claims.exp)?,
            claims.nbf.map_or(Some(0), seconds)?,
            claims.iat.map_or(Some(0), seconds)?,
        );
        let in_time = exp.saturating_add(SKEW_S) > now_s
            && nbf <= now_s + SKEW_S
            && iat <= now_s + SKEW_S
            && exp <= now_s.max(iat) + MAX_LIFE_S + SKEW_S;
        if claims.iss != expected.issuer || !meant || !in_time {
            return None;
        }
        // The token of a service names the service in a claim of its own.
        let id = claims.chitty_id.or(claims.chitty_id_camel).unwrap_or(claims.sub);
        let scopes = match claims.scope {
            Some(Value::String(text)) => text.split_ascii_whitespace().map(str::to_owned).collect(),
            Some(Value::Array(list)) => {
                list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            _ => Vec::new(),
        };
        let expires_ms = exp.saturating_add(SKEW_S).saturating_mul(1000);
        let principal_id = [claims.principal_id, claims.principal_id_camel]
            .into_iter()
            .find_map(|id| id?.as_str().map(str::to_owned));
        Some(Claims { actor: ChittyId::parse(&id).ok()?, principal_id, scopes, expires_ms })
    }
}

/// Whether a token of this type may be an access token. Id tokens, logout tokens and the like name
/// a type of their own (RFC 8725 §3.11).
fn is_access_token(typ: Option<&Value>) -> bool {
    const TYPES: [&str; 3] = ["jwt", "at+jwt", "application/at+jwt"];
    typ.is_none_or(|typ| {
        typ.as_str().is_some_and(|typ| TYPES.iter().any(|known| typ.eq_ignore_ascii_case(known)))
    })
}

/// A NumericDate (RFC 7519 §2) in whole seconds.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
fn seconds(date: f64) -> Option<u64> {
    (date.is_finite() && (0.0..=253_402_300_799.0).contains(&date)).then_some(date as u64)
}

/// The keys that ChittyAuth publishes, as this isolate last saw them.
#[derive(Default)]
pub struct Jwks {
    keys: RefCell<Vec<(String, PublicKey)>>,
    fetched_ms: Cell<u64>,
    /// When the current window of fetches for unknown key ids began (ms), and how many there were.
    looks: Cell<(u64, u32)>,
}

impl Slot for Jwks {
    fn new(_: &App) -> Self {
        Self::default()
    }
}

impl Jwks {
    /// Returns the key with the id `kid`.
    ///
    /// Fetched keys are used for ten minutes, and longer while ChittyAuth does not answer. For an
    /// unknown id they are fetched again, within bounds: only keys that were fetched after the
    /// request came can show that there is no such key.
    async fn key(&self, app: &App, request: &Request<'_>, kid: &str) -> Result<PublicKey, Problem> {
        let (known, now_ms) = (self.find(kid), app.now_ms());
        if self.fetched_ms.get() > 0 {
            match known {
                Some(key) if now_ms.saturating_sub(self.fetched_ms.get()) < KEEP_KEYS_MS => {
                    return Ok(key);
                }
                Some(_) => {}
                None => self.take_look(now_ms)?,
            }
        }
        match request.session(&app.core).auth().jwks().await {
            Ok(keys) => {
                let keys = keys.iter().filter_map(usable).take(MAX_KEYS).collect();
                self.keys.replace(keys);
                self.fetched_ms.set(app.now_ms());
                self.find(kid).ok_or_else(invalid_token)
            }
            Err(error) => known.ok_or_else(|| {
                Problem::upstream(
                    Code::AuthenticationUnavailable,
                    "ChittyAuth's keys cannot be fetched. Your token may be valid: keep it and \
                     repeat the request.",
                    &error,
                )
            }),
        }
    }

    /// Counts a fetch of the keys for an unknown id; 503 if there were too many.
    fn take_look(&self, now_ms: u64) -> Result<(), Problem> {
        let (since_ms, count) = self.looks.get();
        let age_ms = now_ms.saturating_sub(since_ms);
        if count == 0 || age_ms >= UNKNOWN_KEY_WINDOW_MS {
            self.looks.set((now_ms, 1));
        } else if count < UNKNOWN_KEY_LOOKS {
            self.looks.set((since_ms, count + 1));
        } else {
            return Err(unknown_key(UNKNOWN_KEY_WINDOW_MS - age_ms));
        }
        Ok(())
    }

    fn find(&self, kid: &str) -> Option<PublicKey> {
        self.keys.borrow().iter().find(|(id, _)| id == kid).map(|(_, key)| *key)
    }
}

/// 503: whether there is such a key is not known yet.
fn unknown_key(rest_ms: u64) -> Problem {
    Problem::new(
        Code::AuthenticationUnavailable,
        "The key that signed your token is not known here yet. Your token may be valid: keep it \
         and repeat the request.",
    )
    .retry_after(u32::try_from(rest_ms.div_ceil(1000)).unwrap_or(1))
}

/// Returns the id and the key of an entry of a JWK set (RFC 7517, RFC 7518 §6.2), if it is a key
/// for ES256 signatures.
fn usable(jwk: &Value) -> Option<(String, PublicKey)> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let fits = |name: &str, value: &str| text(name).is_none_or(|found| found == value);
    if text("kty") != Some("EC")
        || text("crv") != Some("P-256")
        || !fits("alg", "ES256")
        || !fits("use", "sig")
    {
        return None;
    }
    let coordinate = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok()?.try_into().ok();
    let key = PublicKey { x: coordinate("x")?, y: coordinate("y")? };
    Some((text("kid")?.to_owned(), key))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW_S: u64 = 1_767_323_045;

    fn token(header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.c2ln", part(header), part(claims))
    }

    fn judged(claims: &Value) -> Option<Claims> {
        let text = token(&json!({"alg": "ES256", "kid": "k"}), claims);
        let expected = Expectation {
            issuer: "https://auth.chitty.cc".to_owned(),
            audiences: vec!["chittyconnect".to_owned(), "https://connect.chitty.cc".to_owned()],
        };
        Token::parse(&text).unwrap().judge(&expected, NOW_S * 1000)
    }

    fn good() -> Value {
        json!({
            "iss": "https://auth.chitty.cc", "aud": "chittyconnect",
            "sub": "did:chitty:CHITTY-PEO-alice", "exp": NOW_S + 60, "scope": "read write",
        })
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = good();
        claims[name] = value;
        claims
    }

    #[test]
    fn claims_are_accepted_within_their_time_and_for_this_gateway() {
        let claims = judged(&good()).unwrap();
        assert_eq!(claims.scopes, ["read", "write"]);
        for fine in [
            with("aud", json!(["other", "https://connect.chitty.cc"])),
            with("exp", json!(NOW_S - 29)),
            with("exp", json!(NOW_S as f64 + 0.5)),
            with("nbf", json!(NOW_S + 29)),
            with("scope", json!(["read"])),
        ] {
            assert!(judged(&fine).is_some(), "{fine}");
        }
        let service = with("sub", json!("service"));
        assert!(judged(&service).is_none(), "nobody");
        let mut named = service;
        named["chitty_id"] = json!("CHITTY-SYS-router");
        assert_eq!(judged(&named).unwrap().actor.as_str(), "CHITTY-SYS-router");
    }

    #[test]
    fn claims_that_are_not_acceptable() {
        for bad in [
            with("iss", json!("https://auth.chitty.cc.evil.example")),
            with("aud", json!("chittycases")),
            with("aud", json!([])),
            with("exp", json!(NOW_S - 30)),
            with("exp", json!(NOW_S + 2 * MAX_LIFE_S)),
            with("exp", json!("tomorrow")),
            with("exp", json!(-1)),
            with("nbf", json!(NOW_S + 31)),
            with("iat", json!(NOW_S + 31)),
            with("sub", json!("alice")),
        ] {
            assert_eq!(judged(&bad), None, "{bad}");
        }
        for missing in ["iss", "aud", "exp", "sub"] {
            let mut claims = good();
            claims.as_object_mut().unwrap().remove(missing);
            assert_eq!(judged(&claims), None, "{missing}");
        }
    }

    #[test]
    fn types_of_tokens() {
        for good in [json!("JWT"), json!("jwt"), json!("at+jwt"), json!("application/AT+JWT")] {
            assert!(is_access_token(Some(&good)), "{good}");
        }
        assert!(is_access_token(None));
        for bad in ["id+jwt", "logout+jwt", "dpop+jwt", "JWS", "", "at+jwt ", "jwt/at+jwt"] {
            assert!(!is_access_token(Some(&json!(bad))), "{bad}");
        }
        assert!(!is_access_token(Some(&json!(["JWT"]))));
    }

    #[test]
    fn a_text_that_is_no_jwt_is_opaque() {
        for text in ["", "a.b.c", "dev-alice", "..", "e30.e30.e30", "a.b.c.d"] {
            assert!(Token::parse(text).is_none(), "{text}");
        }
        assert!(Token::parse(&token(&json!({"alg": "none"}), &good())).is_some());
    }

    #[test]
    fn a_key_is_used_only_for_what_its_entry_states() {
        let jwk = json!({
            "kty": "EC", "crv": "P-256", "kid": "k", "alg": "ES256", "use": "sig",
            "x": "antxXPMzKWWGfUfI-jp9Yfjak7I-UJayhncwAZt-A4U",
            "y": "i02_JzYTO3u5yqgaz19wqAbdE2NxiUqRAVRnDDtGlJU",
        });
        assert!(usable(&jwk).is_some());
        for (name, value) in [
            ("kty", json!("RSA")),
            ("crv", json!("P-384")),
            ("alg", json!("HS256")),
            ("use", json!("enc")),
            ("x", json!("AAAA")),
            ("kid", json!(null)),
        ] {
            let mut bad = jwk.clone();
            bad[name] = value;
            assert!(usable(&bad).is_none(), "{name}");
        }
    }
}
