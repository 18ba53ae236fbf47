//! The ChittyOS services as the gateway sees them: answers to requests, good or bad.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

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
    /// It does what it should, and what comes in place of its answer cannot be read.
    Garbled,
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
    /// Each minted id, with the intent that was named with it.
    mints: RefCell<Vec<(String, String)>>,
    /// The steps of each lineage at ChittyDNA, by their events' ids.
    lineages: RefCell<BTreeMap<String, Vec<String>>>,
    /// The signs of life that Beacon has taken, by their events' ids.
    beacons: RefCell<Vec<String>>,
    /// The idempotency keys that ChittyDNA and Beacon have seen.
    seen_keys: RefCell<BTreeSet<String>>,
    keys: Cell<u32>,
    /// What ChittyAuth has made and not revoked: secrets by id.
    live: RefCell<BTreeMap<String, String>>,
    /// What it has answered to each idempotency key.
    answered: RefCell<BTreeMap<String, Value>>,
    /// What calls meet whose URL ends so.
    at: RefCell<Vec<(String, Behaviour)>>,
    entries: RefCell<Vec<Value>>,
    /// What ChittyRegistry lists.
    pub(crate) tools: RefCell<Vec<Value>>,
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

    /// Sets what calls meet from now on whose URL ends so.
    pub(crate) fn at(&self, end: &str, behaviour: Behaviour) {
        self.at.borrow_mut().insert(0, (end.to_owned(), behaviour));
    }

    /// The ids of the keys and tokens that ChittyAuth has made and not revoked.
    pub(crate) fn live(&self) -> Vec<String> {
        self.live.borrow().keys().cloned().collect()
    }

    /// Makes a key or a token; once for each idempotency key.
    fn make(
        &self,
        request: &HttpRequest,
        shown: impl FnOnce(u32) -> (String, String, Value),
    ) -> Value {
        let key = request.headers.iter().find(|(name, _)| *name == "idempotency-key");
        let key = key.map(|(_, key)| key.clone());
        if let Some(answer) = key.as_ref().and_then(|key| self.answered.borrow().get(key).cloned())
        {
            return answer;
        }
        let n = self.keys.get() + 1;
        self.keys.set(n);
        let (id, secret, answer) = shown(n);
        self.live.borrow_mut().insert(id, secret);
        if let Some(key) = key {
            self.answered.borrow_mut().insert(key, answer.clone());
        }
        answer
    }

    fn revoke(&self, id: &Value) -> (u16, Value) {
        match id.as_str().and_then(|id| self.live.borrow_mut().remove(id)) {
            Some(_) => (200, json!({"success": true})),
            None => (404, json!({"success": false})),
        }
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

    /// Each minted id, with the intent that was named with it.
    pub(crate) fn mints(&self) -> Vec<(String, String)> {
        self.mints.borrow().clone()
    }

    /// The steps of a lineage after its beginning, by their events' ids; `None` where it has not begun.
    pub(crate) fn lineage(&self, id: &str) -> Option<Vec<String>> {
        self.lineages.borrow().get(id).cloned()
    }

    /// The signs of life that Beacon has taken, by their events' ids.
    pub(crate) fn beacons(&self) -> Vec<String> {
        self.beacons.borrow().clone()
    }

    /// ChittyDNA and Beacon recognise a repeat by its key.
    fn is_repeat(&self, request: &HttpRequest) -> bool {
        let key = request.headers.iter().find(|(name, _)| *name == "idempotency-key");
        key.is_some_and(|(_, key)| !self.seen_keys.borrow_mut().insert(key.clone()))
    }

    fn dna(&self, request: &HttpRequest, body: &Value) -> (u16, Value) {
        if request.method == HttpMethod::Get {
            let id = request.url.rsplit('/').next().unwrap();
            return match self.lineages.borrow().get(id) {
                Some(steps) => (200, json!({"dna_id": format!("dna-of-{id}"), "events": steps})),
                None => (404, json!({"success": false, "error": "no such lineage"})),
            };
        }
        let id = body["chittyId"].as_str().unwrap().to_owned();
        let mut lineages = self.lineages.borrow_mut();
        if request.url.ends_with("/initialize") {
            lineages.entry(id.clone()).or_default();
            return (200, json!({"success": true, "dna_id": format!("dna-of-{id}")}));
        }
        let Some(steps) = lineages.get_mut(&id) else {
            return (404, json!({"success": false, "error": "no such lineage"}));
        };
        if !self.is_repeat(request) {
            steps.push(body["changes"]["eventId"].as_str().unwrap().to_owned());
        }
        (200, json!({"success": true}))
    }

    /// Those of ChittyChronicle's entries that a question is about, newest first. It has no end where it
    /// is about an entity.
    fn found(&self, url: &str) -> Value {
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let asked: BTreeMap<String, String> =
            form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let is = |entry: &Value, name: &str| {
            asked.get(name).is_none_or(|wanted| entry[name] == **wanted)
        };
        let limit = asked.get("limit").map_or(100, |limit| limit.parse().unwrap());
        let entries = self.entries.borrow();
        let matching = entries.iter().rev().filter(|entry| {
            let text = entry.to_string();
            ["service", "action", "userId"].into_iter().all(|name| is(entry, name))
                && asked.get("query").is_none_or(|words| text.contains(words))
        });
        Value::Array(matching.take(limit).cloned().collect())
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
            "auth" if request.url.ends_with("/v1/api-keys/revoke") => self.revoke(&body["key_id"]),
            "id" if request.url.ends_with("/api/validate") => {
                (200, json!({"success": true, "valid": body["id"] != "03-1-USA-5537-P-2602-0-38"}))
            }
            "id" => {
                let n = self.minted.get() + 1;
                self.minted.set(n);
                let id = format!("CHITTY-CONTEXT-{n:06}");
                let intent = body["metadata"]["intent"].as_str().unwrap_or_default().to_owned();
                self.mints.borrow_mut().push((id.clone(), intent));
                (200, json!({"success": true, "chittyId": id}))
            }
            "auth" if request.url.ends_with("/v1/keys/provision") => {
                let made = self.make(request, |n| {
                    let (id, secret) = (format!("key_{n}"), format!("cc_live_secret_{n}"));
                    let answer = json!({"api_key": secret, "key_id": id});
                    (id, secret, answer)
                });
                let grant =
                    json!({"valid": true, "chittyId": body["chittyId"], "scope": body["scopes"]});
                let key = made["api_key"].as_str().unwrap().to_owned();
                self.tokens.borrow_mut().insert(key, grant);
                (201, made)
            }
            "auth" if request.url.ends_with("/v1/tokens/provision") => {
                let made = self.make(request, |n| {
                    let (id, secret) = (format!("tok_{n}"), format!("ca_live_{n}"));
                    let answer = json!({"token": secret, "tokenId": id, "scope": body["scope"]});
                    (id, secret, answer)
                });
                let grant =
                    json!({"valid": true, "chittyId": body["chittyId"], "scope": body["scope"]});
                let token = made["token"].as_str().unwrap().to_owned();
                self.tokens.borrow_mut().insert(token, grant);
                (201, made)
            }
            "auth" if request.url.ends_with("/v1/tokens/revoke") => self.revoke(&body["tokenId"]),
            "auth" if request.url.ends_with("/v1/auth/validate") => (401, json!({"valid": false})),
            "auth" => {
                let name = body["token"].as_str().unwrap();
                let is_live = self.live.borrow().values().any(|secret| name == secret);
                let made = self.tokens.borrow().get(name).cloned();
                let (status, mut answer) = match made {
                    Some(grant) if is_live => (200, grant),
                    Some(_) => (401, json!({"valid": false, "error": "revoked"})),
                    None if is_live => {
                        (200, json!({"valid": true, "chittyId": "CHITTY-PEO-a", "scope": []}))
                    }
                    None => token(name),
                };
                match self.said.borrow().get(name) {
                    None => (status, answer),
                    Some(None) => (401, json!({"valid": false, "error": "revoked"})),
                    Some(Some(scopes)) => {
                        answer["scope"] = json!(scopes);
                        (200, answer)
                    }
                }
            }
            "dna" => self.dna(request, &body),
            "registry" => {
                (200, json!({"success": true, "tools": *self.tools.borrow(), "count": 0}))
            }
            "register" => (201, json!({"success": true, "chitty_id": "CHITTY-SERVICE-1"})),
            "verify" => (
                200,
                json!({"verified": true, "status": "PASS", "verification_id": "ver_1", "confidence_score": 0.9}),
            ),
            "certify" => (201, json!({"id": "cert_1", "status": "active"})),
            "canon" => (200, json!({"success": true, "id": "canon_1"})),
            "beacon" => {
                if let (false, Some(id)) =
                    (self.is_repeat(request), body["data"]["eventId"].as_str())
                {
                    self.beacons.borrow_mut().push(id.to_owned());
                }
                (202, json!({"success": true}))
            }
            "chronicle" if request.method == HttpMethod::Get => (200, self.found(&request.url)),
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
        let at = self.at.borrow().iter().find(|(end, _)| request.url.ends_with(end)).cloned();
        let behaviour = at.map(|(_, behaviour)| behaviour);
        let behaviour = behaviour
            .or_else(|| self.scripts.borrow_mut().get_mut(&service).map(|script| script()));
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
            Behaviour::Garbled => {
                self.answer(&service, &request);
                answer(200, None, "<html>a proxy</html>".to_owned())
            }
            Behaviour::Hang => Err(TransportError::Timeout),
            Behaviour::Unreachable => Err(TransportError::Unreachable("refused".to_owned())),
            Behaviour::Answer(status, body) => answer(status, None, body),
            Behaviour::Busy(status, seconds) => answer(status, Some(seconds), "{}".to_owned()),
        }
    }
}
