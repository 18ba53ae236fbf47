//! The ChittyOS services as the gateway sees them: answers to requests, good or bad.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chitty_core::{HttpMethod, HttpRequest, HttpResponse, Transport, TransportError};
use serde_json::{Value, json};

use super::outside::signing_key;
use super::yield_now;

/// What a service does.
#[derive(Debug, Clone)]
pub(crate) enum Behaviour {
    /// What it should.
    Work,
    /// No answer within the deadline.
    Hang,
    /// No connection.
    Unreachable,
    /// It does what it should, and its answer gets lost.
    Lost,
    /// Another answer.
    Answer(u16, String),
    /// Another answer, with `Retry-After`.
    Busy(u16, u32),
}

/// Decides what each call to a service meets.
type Script = Box<dyn FnMut() -> Behaviour>;

#[derive(Default)]
pub(crate) struct Services {
    scripts: RefCell<BTreeMap<String, Script>>,
    calls: RefCell<Vec<(String, HttpRequest)>>,
    minted: Cell<u32>,
    keys: Cell<u32>,
    entries: RefCell<Vec<Value>>,
    /// The tokens that ChittyAuth has made, with what it says of each.
    tokens: RefCell<BTreeMap<String, Value>>,
    /// What it says of a token from now on: these scopes, or that it is good for nothing.
    said: RefCell<BTreeMap<String, Option<Vec<String>>>>,
    /// Which signing keys ChittyAuth publishes.
    pub(crate) published: RefCell<Vec<u8>>,
}

impl Services {
    /// Sets what a service (`id`, `auth`, `chronicle`) does from now on.
    pub(crate) fn set(&self, service: &str, behaviour: Behaviour) {
        self.script(service, move || behaviour.clone());
    }

    /// Sets what each call to a service meets from now on.
    pub(crate) fn script(&self, service: &str, script: impl FnMut() -> Behaviour + 'static) {
        self.scripts.borrow_mut().insert(service.to_owned(), Box::new(script));
    }

    /// Sets what ChittyAuth says of a token from now on: that it carries these scopes, or that it is
    /// good for nothing.
    pub(crate) fn say(&self, token: &str, scopes: Option<&[&str]>) {
        let scopes = scopes.map(|scopes| scopes.iter().map(|one| (*one).to_owned()).collect());
        self.said.borrow_mut().insert(token.to_owned(), scopes);
    }

    /// The requests to a service, in order.
    pub(crate) fn calls(&self, service: &str) -> Vec<HttpRequest> {
        let calls = self.calls.borrow();
        calls.iter().filter(|(name, _)| name == service).map(|(_, call)| call.clone()).collect()
    }

    pub(crate) fn reset_calls(&self) {
        self.calls.borrow_mut().clear();
        self.entries.borrow_mut().clear();
    }

    /// The entries that ChittyChronicle has taken.
    pub(crate) fn entries(&self) -> Vec<Value> {
        self.entries.borrow().clone()
    }

    /// The keys that ChittyAuth publishes: those of these numbers.
    fn jwks(&self) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let key = |number: &u8| {
            let point = signing_key(*number).verifying_key().to_encoded_point(false);
            json!({
                "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig",
                "kid": format!("key-{number}"),
                "x": encode(point.x().unwrap()), "y": encode(point.y().unwrap()),
            })
        };
        let keys: Vec<Value> = self.published.borrow().iter().map(key).collect();
        json!({ "keys": keys })
    }

    fn answer(&self, service: &str, request: &HttpRequest) -> (u16, Value) {
        let body: Value = serde_json::from_str(request.body.as_deref().unwrap_or("null")).unwrap();
        if request.url.ends_with("/health") {
            return (200, json!({"status": "healthy"}));
        }
        match service {
            "auth" if request.url.ends_with("/jwks.json") => (200, self.jwks()),
            "auth" if request.url.ends_with("/v1/api-keys/revoke") => {
                (200, json!({"success": true}))
            }
            "id" => {
                let n = self.minted.get() + 1;
                self.minted.set(n);
                (200, json!({"success": true, "chittyId": format!("CHITTY-CONTEXT-{n:06}")}))
            }
            "auth" if request.url.ends_with("/v1/keys/provision") => {
                let n = self.keys.get() + 1;
                self.keys.set(n);
                (
                    201,
                    json!({"api_key": format!("cc_live_secret_{n}"), "key_id": format!("key_{n}")}),
                )
            }
            "auth" if request.url.ends_with("/v1/tokens/provision") => {
                let n = self.keys.get() + 1;
                self.keys.set(n);
                let made =
                    json!({"valid": true, "chittyId": body["chittyId"], "scope": body["scope"]});
                self.tokens.borrow_mut().insert(format!("ca_live_{n}"), made);
                (
                    201,
                    json!({"token": format!("ca_live_{n}"), "tokenId": format!("tok_{n}"), "scope": body["scope"]}),
                )
            }
            "auth" if request.url.ends_with("/v1/tokens/revoke") => (200, json!({"success": true})),
            "auth" => {
                let name = body["token"].as_str().unwrap();
                let made = self.tokens.borrow().get(name).cloned();
                let (status, mut answer) = made.map_or_else(|| token(name), |made| (200, made));
                match self.said.borrow().get(name) {
                    None => (status, answer),
                    Some(None) => (401, json!({"valid": false, "error": "revoked"})),
                    Some(Some(scopes)) => {
                        answer["scope"] = json!(scopes);
                        (200, answer)
                    }
                }
            }
            "dna" => {
                (200, json!({"success": true, "dna_id": format!("dna-of-{}", body["chittyId"])}))
            }
            "register" => (201, json!({"success": true, "chitty_id": "CHITTY-SERVICE-1"})),
            "verify" => (
                200,
                json!({"verified": true, "status": "PASS", "verification_id": "ver_1", "confidence_score": 0.9}),
            ),
            "certify" => (201, json!({"id": "cert_1", "status": "active"})),
            "canon" => (200, json!({"success": true, "id": "canon_1"})),
            "beacon" => (202, json!({"success": true})),
            "chronicle" if request.method == HttpMethod::Get => {
                (200, Value::Array(self.entries.borrow().clone()))
            }
            "chronicle" => {
                self.entries.borrow_mut().push(body);
                (200, json!({"id": "1", "timestamp": "2026-01-02T03:04:05.000Z"}))
            }
            other => panic!("no such service: {other}"),
        }
    }
}

/// `dev-<name>` is actor `CHITTY-PEO-<name>` with read and write; `dev-<name>+<scope>,…` with those
/// scopes only; anything else is nobody's.
fn token(token: &str) -> (u16, Value) {
    let Some(rest) = token.strip_prefix("dev-") else {
        return (401, json!({"valid": false, "error": "unknown token"}));
    };
    let (name, scopes) = match rest.split_once('+') {
        Some((name, scopes)) => (name, json!(scopes.split(',').collect::<Vec<&str>>())),
        None => (rest, json!(["read", "write"])),
    };
    let id = format!("CHITTY-PEO-{name}");
    let expires = "2027-01-01T00:00:00.000Z";
    (200, json!({"valid": true, "chittyId": id, "scope": scopes, "expiresAt": expires}))
}

#[async_trait(?Send)]
impl Transport for Services {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, TransportError> {
        yield_now().await;
        let path = request.url.strip_prefix("http://services/").expect("the configured host");
        let service = path.split('/').next().unwrap().to_owned();
        self.calls.borrow_mut().push((service.clone(), request.clone()));
        let behaviour = self.scripts.borrow_mut().get_mut(&service).map(|script| script());
        let answer = |status, retry_after: Option<u32>, body: String| {
            let retry_after = retry_after.map(|seconds| seconds.to_string());
            Ok(HttpResponse { status, retry_after, body: body.into_bytes() })
        };
        yield_now().await;
        match behaviour.unwrap_or(Behaviour::Work) {
            Behaviour::Work => {
                let (status, body) = self.answer(&service, &request);
                answer(status, None, body.to_string())
            }
            Behaviour::Lost => {
                self.answer(&service, &request);
                Err(TransportError::Timeout)
            }
            Behaviour::Hang => Err(TransportError::Timeout),
            Behaviour::Unreachable => Err(TransportError::Unreachable("refused".to_owned())),
            Behaviour::Answer(status, body) => answer(status, None, body),
            Behaviour::Busy(status, seconds) => answer(status, Some(seconds), "{}".to_owned()),
        }
    }
}
