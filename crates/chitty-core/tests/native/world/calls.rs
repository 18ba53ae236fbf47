//! Every call of the clients: its variants, what it sends, and which answers it accepts.

use chitty_core::{
    CertificateRequest, EntityLabel, Entry, EntryQuery, FailureKind, MintRequest, ProvisionRequest,
    Registration, ServiceError, Session,
};
use futures_util::future::LocalBoxFuture;
use serde_json::{Value, json};

use super::{ID, id};

/// When a call is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeats {
    /// After every transient failure.
    Safely,
    /// Only after it was turned away.
    WhenTurnedAway,
    /// Never.
    Never,
}

/// A call, with its arguments.
pub(crate) struct Call {
    pub(crate) name: &'static str,
    pub(crate) repeats: Repeats,
    /// Whether identical calls of a session share one request.
    pub(crate) shared: bool,
    /// Whether it carries the idempotency key `key-1`.
    pub(crate) keyed: bool,
    /// The variants (method, host and path) in the order in which they are tried.
    pub(crate) spellings: &'static [&'static str],
    /// The body of each variant; null for no body. The last one also holds for all variants after it.
    pub(crate) bodies: Vec<Value>,
    /// A good answer.
    pub(crate) good: Value,
    /// The result of the good answer.
    pub(crate) yields: &'static str,
    /// Bodies that this call does not accept, even under a 200.
    pub(crate) not_answers: Vec<Value>,
    /// The result when every variant gets 404: an outage (`Denied`), or an answer to what the call asks for.
    pub(crate) when_not_there: Result<&'static str, FailureKind>,
    pub(crate) make: fn(Session) -> LocalBoxFuture<'static, Result<String, ServiceError>>,
}

impl Call {
    /// Returns the requests when every variant gets 404. After a revocation, ChittyAuth is also asked
    /// whether the credential is still valid.
    pub(crate) fn lines_when_nowhere(&self) -> Vec<&'static str> {
        let validate: &[&str] = match self.name {
            "auth.revoke_token" | "auth.revoke_key" => {
                &["POST auth/v1/tokens/validate", "POST auth/v1/auth/validate"]
            }
            _ => &[],
        };
        [self.spellings, validate].concat()
    }

    /// Returns the body of a variant.
    pub(crate) fn body(&self, spelling: usize) -> &Value {
        &self.bodies[spelling.min(self.bodies.len() - 1)]
    }
}

/// `call!(session => future, result => text)`.
macro_rules! call {
    ($session:ident => $future:expr, $result:pat => $text:expr) => {
        |$session: Session| {
            Box::pin(async move {
                let $result = $future.await?;
                Ok($text.to_string())
            })
        }
    };
}

const NOTHING: &str = "()";

/// Returns the call of this name.
pub(crate) fn call_named(name: &str) -> Call {
    all_calls().into_iter().find(|call| call.name == name).expect("a name of the list")
}

#[allow(clippy::too_many_lines, reason = "a list")]
pub(crate) fn all_calls() -> Vec<Call> {
    let mint = json!({
        "type": "CONTEXT", "entity": "P", "entityType": "person", "entity_type": "person",
        "characterization": "Synthetic", "metadata": {"m": 1}, "timestamp": "t",
    });
    let token = json!({"chittyId": ID, "scope": ["read"], "service": "s", "expiresIn": 60});
    let key = json!({"chittyId": ID, "scopes": ["read"], "service": "s", "expiresIn": 60});
    let no_credential = || vec![json!({}), json!({"token": ""}), json!({"token": 7}), json!([])];
    let evolve = json!({"chittyId": ID, "event": "e", "changes": {"c": 1}, "timestamp": "t"});
    let older_dna = json!({
        "chittyId": ID, "chittyid": ID, "type": "context", "metadata": {}, "genesis": {"g": 1},
    });
    let registration = json!({
        "name": "n", "description": "d", "version": "1", "endpoints": ["https://n/health"], "more": 1,
    });
    let no_verdict = || vec![json!({}), json!({"valid": "true"}), json!({"valid": null}), json!(1)];
    let entry = json!({
        "service": "chittyconnect", "action": "a", "userId": ID, "status": "success",
        "metadata": {
            "event": "a", "eventId": "key-1", "entityId": "e", "entityType": "context",
            "timestamp": "t", "payload": {"p": 1},
        },
    });
    vec![
        Call {
            name: "id.mint",
            repeats: Repeats::WhenTurnedAway,
            shared: false,
            keyed: true,
            spellings: &["POST id/v1/mint", "POST mint/api/mint"],
            bodies: vec![mint],
            good: json!({"success": true, "chittyId": ID}),
            yields: ID,
            not_answers: vec![
                json!({}),
                json!({"success": true}),
                json!({"chittyId": 7}),
                json!({"chittyId": "x"}),
                json!({"chittyId": "03-0-ERR-0001-T-2602-0-08"}),
                json!({"chittyId": "03-1-USA-9002-T-2602-0-82"}),
            ],
            when_not_there: Err(FailureKind::Denied),
            make: call!(session => session.id().mint(&MintRequest {
                label: EntityLabel::Context,
                metadata: json!({"m": 1}),
                timestamp: "t".to_owned(),
                idempotency_key: Some("key-1".to_owned()),
                timeout_ms: None,
            }), id => id),
        },
        Call {
            name: "id.validate",
            repeats: Repeats::Safely,
            shared: true,
            keyed: false,
            spellings: &[
                "POST id/api/validate",
                "GET id/v1/validate/CHITTY-PEO-0001",
                "POST id/v1/validate",
            ],
            bodies: vec![json!({"id": ID}), json!(null), json!({"chittyId": ID})],
            good: json!({"valid": true}),
            yields: "Valid",
            not_answers: no_verdict(),
            when_not_there: Err(FailureKind::Denied),
            make: call!(session => session.id().validate(ID), found => format!("{found:?}")),
        },
        Call {
            name: "id.info",
            repeats: Repeats::Safely,
            shared: true,
            keyed: false,
            spellings: &["GET id/v1/CHITTY-PEO-0001/info"],
            bodies: vec![json!(null)],
            good: json!({"chittyId": ID, "trustLevel": 3}),
            yields: "Some(Some(3))",
            not_answers: vec![json!({}), json!({"chittyId": "CHITTY-PEO-2"}), json!([ID])],
            when_not_there: Ok("None"),
            make: call!(session => session.id().info(&id()), found => {
                format!("{:?}", found.map(|info| info.trust_level))
            }),
        },
        Call {
            name: "auth.validate",
            repeats: Repeats::Safely,
            shared: false,
            keyed: false,
            spellings: &["POST auth/v1/tokens/validate", "POST auth/v1/auth/validate"],
            bodies: vec![json!({"token": "s3cret"}), json!(null)],
            good: json!({"valid": true, "chittyId": ID}),
            yields: "valid",
            not_answers: vec![
                json!({"valid": "true", "chittyId": ID}),
                json!({"valid": true}),
                json!({"valid": true, "chittyId": "admin"}),
                json!([true]),
            ],
            when_not_there: Err(FailureKind::Denied),
            make: call!(session => session.auth().validate("s3cret"), found => match found {
                chitty_core::TokenCheck::Valid(_) => "valid",
                chitty_core::TokenCheck::Invalid => "invalid",
            }),
        },
        Call {
            name: "auth.principal",
            repeats: Repeats::Safely,
            shared: false,
            keyed: false,
            spellings: &["POST auth/v1/auth/validate"],
            bodies: vec![json!(null)],
            good: json!({"actor": {"chittyId": ID, "principalId": "prn-1"}}),
            yields: "prn-1",
            not_answers: vec![json!({}), json!({"actor": {}}), json!([true])],
            when_not_there: Ok(NOTHING),
            make: call!(session => session.auth().principal("s3cret", ID), found => {
                found.unwrap_or_else(|| NOTHING.to_owned())
            }),
        },
        Call {
            name: "auth.provision_token",
            repeats: Repeats::WhenTurnedAway,
            shared: false,
            keyed: true,
            spellings: &["POST auth/v1/tokens/provision"],
            bodies: vec![token],
            good: json!({"token": "t1", "tokenId": "i1", "scope": ["read"]}),
            yields: "t1",
            not_answers: no_credential(),
            when_not_there: Err(FailureKind::Denied),
            make: call!(session => session.auth().provision_token(&provision()), made => made.secret),
        },
        Call {
            name: "auth.refresh_token",
            repeats: Repeats::WhenTurnedAway,
            shared: false,
            keyed: false,
            spellings: &["POST auth/v1/tokens/refresh"],
            bodies: vec![json!({"token": "t0"})],
            good: json!({"accessToken": "t1"}),
            yields: "t1",
            not_answers: no_credential(),
            when_not_there: Err(FailureKind::Denied),
            make: call!(session => session.auth().refresh_token("t0"), made => made.secret),
        },
        Call {
            name: "auth.revoke_token",
            repeats: Repeats::Safely,
            shared: false,
            keyed: false,
            spellings: &["POST auth/v1/tokens/revoke"],
            bodies: vec![json!({"tokenId": "i1", "reason": "r"})],
            good: json!({"success": true}),
            yields: NOTHING,
            not_answers: vec![],
            when_not_there: Err(FailureKind::Refused),
            make: call!(session => session.auth().revoke_token("i1", "t1", "r"), () => NOTHING),
        },
        Call {
            name: "auth.provision_key",
            repeats: Repeats::WhenTurnedAway,
            shared: false,
            keyed: true,
            spellings: &["POST auth/v1/keys/provision", "POST auth/api/keys/provision"],
            bodies: vec![key],
            good: json!({"api_key": "k1", "key_id": "i1"}),
            yields: "k1",
            not_answers: no_credential(),
            when_not_there: Err(FailureKind::Denied),
            make: call!(session => session.auth().provision_key(&provision()), made => made.secret),
        },
        Call {
            name: "auth.rotate_key",
            repeats: Repeats::WhenTurnedAway,
            shared: false,
            keyed: false,
            spellings: &["POST auth/v1/keys/rotate/CHITTY-PEO-0001"],
            bodies: vec![json!({})],
            good: json!({"data": {"apiKey": "k2", "keyId": "i2"}}),
            yields: "k2",
            not_answers: no_credential(),
            when_not_there: Err(FailureKind::Refused),
            make: call!(session => session.auth().rotate_key(&id()), made => made.secret),
        },
        Call {
            name: "auth.revoke_key",
            repeats: Repeats::Safely,
            shared: false,
            keyed: false,
            spellings: &["POST auth/v1/api-keys/revoke"],
            bodies: vec![json!({"key_id": "i1", "reason": "r"})],
            good: json!({"success": true}),
            yields: NOTHING,
            not_answers: vec![],
            when_not_there: Err(FailureKind::Refused),
            make: call!(session => session.auth().revoke_key(Some("i1"), "k1", "r"), () => NOTHING),
        },
        Call {
            name: "auth.jwks",
            repeats: Repeats::Safely,
            shared: true,
            keyed: false,
            spellings: &["GET auth/.well-known/jwks.json", "GET auth/v1/oauth/jwks"],
            bodies: vec![json!(null)],
            good: json!({"keys": [{"kid": "1"}]}),
            yields: "1",
            not_answers: vec![json!({}), json!({"keys": {}}), json!([{"kid": "1"}])],
            when_not_there: Err(FailureKind::Denied),
            make: call!(session => session.auth().jwks(), keys => keys.len()),
        },
        Call {
            name: "registry.list",
            repeats: Repeats::Safely,
            shared: true,
            keyed: false,
            spellings: &[
                "GET registry/api/v1/tools",
                "GET registry/api/services",
                "GET registry/api/v1/services",
                "GET registry/v1/services/discover",
            ],
            bodies: vec![json!(null)],
            good: json!({"tools": [{"name": "a"}, {"name": "b"}, {"no": "name"}]}),
            yields: "a b",
            not_answers: vec![json!({}), json!({"tools": {}}), json!("tools"), json!(null)],
            when_not_there: Err(FailureKind::Denied),
            make: call!(session => session.registry().list(), list => {
                let names: Vec<String> = list.value.into_iter().map(|entry| entry.name).collect();
                names.join(" ")
            }),
        },
        Call {
            name: "registry.one",
            repeats: Repeats::Safely,
            shared: true,
            keyed: false,
            spellings: &["GET registry/api/v1/tools/a%2F%3F", "GET registry/api/services/a%2F%3F"],
            bodies: vec![json!(null)],
            good: json!({"tool": {"name": "a", "url": "https://a/"}}),
            yields: "Some(\"https://a\")",
            not_answers: vec![json!({}), json!({"tool": {"url": "https://a"}}), json!([])],
            when_not_there: Ok("None"),
            make: call!(session => session.registry().one("a/?"), found => {
                format!("{:?}", found.map(|entry| entry.url.unwrap()))
            }),
        },
        Call {
            name: "register.register",
            repeats: Repeats::Safely,
            shared: false,
            keyed: false,
            spellings: &["POST register/api/v1/register", "POST register/api/register"],
            bodies: vec![registration],
            good: json!({"success": true, "chitty_id": ID, "certificate_id": "c"}),
            yields: r#"Some("CHITTY-PEO-0001") Some("c")"#,
            not_answers: vec![json!({}), json!({"success": "true"}), json!({"status": "pending"})],
            when_not_there: Err(FailureKind::Denied),
            make: call!(session => session.register().register(&Registration {
                name: "n".to_owned(),
                description: "d".to_owned(),
                version: "1".to_owned(),
                endpoints: vec!["https://n/health".to_owned()],
                more: [("more".to_owned(), json!(1))].into_iter().collect(),
            }), made => format!("{:?} {:?}", made.chitty_id, made.certificate)),
        },
        Call {
            name: "register.challenge",
            repeats: Repeats::Safely,
            shared: false,
            keyed: false,
            spellings: &["POST register/api/v1/challenge"],
            bodies: vec![json!({"name": "n", "endpoint": "https://n"})],
            good: json!({"well_known_path": "/.well-known/n", "key_authorization": "k"}),
            yields: "/.well-known/n k",
            not_answers: vec![
                json!({}),
                json!({"well_known_path": "/n"}),
                json!({"key_authorization": "k"}),
            ],
            when_not_there: Err(FailureKind::Denied),
            make: call!(session => session.register().challenge("n", "https://n"), found => {
                format!("{} {}", found.well_known_path, found.key_authorization)
            }),
        },
        Call {
            name: "register.status",
            repeats: Repeats::Safely,
            shared: true,
            keyed: false,
            spellings: &["GET register/api/v1/status"],
            bodies: vec![json!(null)],
            good: json!({"pending": 2}),
            yields: r#"{"pending":2}"#,
            not_answers: vec![],
            when_not_there: Err(FailureKind::Denied),
            make: call!(session => session.register().status(), status => status),
        },
        Call {
            name: "register.set_status",
            repeats: Repeats::Safely,
            shared: false,
            keyed: false,
            spellings: &["PATCH register/api/services/a%20b/status"],
            bodies: vec![json!({"status": "deprecated"})],
            good: json!({"success": true}),
            yields: "true",
            not_answers: vec![],
            when_not_there: Ok("false"),
            make: call!(session => session.register().set_status("a b", "deprecated"), done => done),
        },
        Call {
            name: "dna.initialize",
            repeats: Repeats::Safely,
            shared: false,
            keyed: false,
            spellings: &[
                "POST dna/v1/dna/initialize",
                "POST dna/v1/initialize",
                "POST dna/api/initialize",
            ],
            bodies: vec![
                json!({"chittyId": ID, "entityType": "context", "genesis": {"g": 1}}),
                older_dna,
            ],
            good: json!({"dna_id": "dna-1"}),
            yields: "dna-1",
            not_answers: vec![json!({}), json!({"success": true}), json!({"dna_id": 1}), json!([])],
            when_not_there: Err(FailureKind::Denied),
            make: call!(session => session.dna().initialize(&id(), "context", json!({"g": 1})), id => id),
        },
        Call {
            name: "dna.evolve",
            repeats: Repeats::Never,
            shared: false,
            keyed: true,
            spellings: &["POST dna/v1/dna/evolve", "PUT dna/v1/update/CHITTY-PEO-0001"],
            bodies: vec![evolve],
            good: json!({"success": true}),
            yields: NOTHING,
            not_answers: vec![],
            when_not_there: Err(FailureKind::Refused),
            make: call!(session => session.dna().evolve(&id(), "e", json!({"c": 1}), "t", Some("key-1")), _ => {
                NOTHING
            }),
        },
        Call {
            name: "dna.lineage",
            repeats: Repeats::Safely,
            shared: true,
            keyed: false,
            spellings: &["GET dna/v1/dna/CHITTY-PEO-0001", "GET dna/api/lineage/CHITTY-PEO-0001"],
            bodies: vec![json!(null)],
            good: json!({"dna_id": "dna-1"}),
            yields: "dna-1",
            not_answers: vec![json!([]), json!(null), json!("dna-1")],
            when_not_there: Err(FailureKind::Refused),
            make: call!(session => session.dna().lineage(&id()), lineage => {
                lineage["dna_id"].as_str().unwrap_or_default().to_owned()
            }),
        },
        Call {
            name: "verify.context",
            repeats: Repeats::Safely,
            shared: false,
            keyed: false,
            spellings: &[
                "POST verify/v1/verify/context",
                "POST verify/v1/verify/context/CHITTY-PEO-0001",
                "POST verify/api/verify/context",
            ],
            bodies: vec![json!({"chittyId": ID, "dnaId": "dna-1", "service": "s"})],
            good: json!({"status": "PASS", "verification_id": "v", "confidence_score": 0.956}),
            yields: "true v 96",
            not_answers: vec![
                json!({}),
                json!({"verified": "true"}),
                json!({"id": "v"}),
                json!([]),
            ],
            when_not_there: Err(FailureKind::Denied),
            make: call!(session => session.verify().context(&id(), Some("dna-1"), "s"), found => {
                let (id, percent) = (found.id.unwrap(), found.confidence_percent.unwrap());
                format!("{} {id} {percent}", found.verified)
            }),
        },
        Call {
            name: "certify.issue",
            repeats: Repeats::WhenTurnedAway,
            shared: false,
            keyed: true,
            spellings: &["POST certify/api/v1/issue", "POST certify/v1/certify"],
            bodies: vec![
                json!({
                    "chittyid": ID, "entity_data": {"legal_name": "n"}, "trust_score": 80,
                    "verification_report": {"v": 1},
                }),
                json!({
                    "chittyId": ID, "service": "n", "compliance": ["chittyos-v1"],
                    "security_level": "standard",
                }),
            ],
            good: json!({"id": "cert-1", "status": "active"}),
            yields: "cert-1",
            not_answers: vec![json!({}), json!({"success": true}), json!({"id": 7})],
            when_not_there: Err(FailureKind::Denied),
            make: call!(session => session.certify().issue(&CertificateRequest {
                chitty_id: id(),
                legal_name: "n".to_owned(),
                trust_score: 80,
                verification: json!({"v": 1}),
                idempotency_key: Some("key-1".to_owned()),
            }), id => id),
        },
        Call {
            name: "certify.verify",
            repeats: Repeats::Safely,
            shared: true,
            keyed: false,
            spellings: &["POST certify/api/v1/verify"],
            bodies: vec![json!({"certificate_id": "cert-1"})],
            good: json!({"valid": false, "error": "revoked"}),
            yields: "false",
            not_answers: no_verdict(),
            when_not_there: Err(FailureKind::Refused),
            make: call!(session => session.certify().verify("cert-1"), holds => holds),
        },
        Call {
            name: "certify.revoke",
            repeats: Repeats::Safely,
            shared: false,
            keyed: false,
            spellings: &["POST certify/api/v1/revoke"],
            bodies: vec![json!({"certificate_id": "cert-1", "reason": "r"})],
            good: json!({"success": true}),
            yields: NOTHING,
            not_answers: vec![],
            when_not_there: Ok(NOTHING),
            make: call!(session => session.certify().revoke("cert-1", "r"), () => NOTHING),
        },
        Call {
            name: "chronicle.append",
            repeats: Repeats::Never,
            shared: false,
            keyed: true,
            spellings: &["POST chronicle/api/entries", "POST chronicle/events"],
            bodies: vec![entry],
            good: json!({"id": "1"}),
            yields: "1",
            not_answers: vec![],
            when_not_there: Err(FailureKind::Denied),
            make: call!(session => session.chronicle().append(&Entry {
                action: "a",
                actor: ID,
                entity_id: "e",
                entity_type: "context",
                event_id: "key-1",
                timestamp: "t",
                payload: &json!({"p": 1}),
                is_replayed: false,
            }), told => told.unwrap_or_default()),
        },
        Call {
            name: "chronicle.query",
            repeats: Repeats::Safely,
            shared: true,
            keyed: false,
            spellings: &[
                "GET chronicle/api/entries?action=a%26b&startDate=2026&limit=5",
                "GET chronicle/events?action=a%26b&startDate=2026&limit=5",
            ],
            bodies: vec![json!(null)],
            good: json!([{"id": "1"}, {"id": "2"}]),
            yields: "2",
            not_answers: vec![json!({}), json!({"events": {}}), json!(null)],
            when_not_there: Err(FailureKind::Denied),
            make: call!(session => session.chronicle().query(&EntryQuery {
                action: Some("a&b"),
                start: Some("2026"),
                limit: Some(5),
                ..EntryQuery::default()
            }), entries => entries.len()),
        },
        Call {
            name: "chronicle.timeline",
            repeats: Repeats::Safely,
            shared: true,
            keyed: false,
            spellings: &["GET chronicle/timeline?startDate=2025&endDate=2026"],
            bodies: vec![json!(null)],
            good: json!({"events": [{"id": "1"}]}),
            yields: "1",
            not_answers: vec![json!({}), json!({"events": 1}), json!("x")],
            when_not_there: Err(FailureKind::Denied),
            make: call!(session => session.chronicle().timeline("2025", "2026"), entries => {
                entries.len()
            }),
        },
        Call {
            name: "beacon.send",
            repeats: Repeats::Never,
            shared: false,
            keyed: true,
            spellings: &["POST beacon/api/beacon", "POST beacon/track"],
            bodies: vec![
                json!({"event": "e", "data": {"d": 1}}),
                json!({"app": "chittyconnect", "event": "e", "data": {"d": 1}}),
            ],
            good: json!({"success": true}),
            yields: NOTHING,
            not_answers: vec![],
            when_not_there: Err(FailureKind::Denied),
            make: call!(session => session.beacon().send("e", json!({"d": 1}), Some("key-1")), () => NOTHING),
        },
        Call {
            name: "canon.category",
            repeats: Repeats::Safely,
            shared: true,
            keyed: false,
            spellings: &["GET canon/canon/case-types"],
            bodies: vec![json!(null)],
            good: json!({"data": ["a"]}),
            yields: r#"["a"]"#,
            not_answers: vec![json!({}), json!([])],
            when_not_there: Err(FailureKind::Refused),
            make: call!(session => session.canon().category("case-types"), data => data),
        },
        Call {
            name: "canon.validate",
            repeats: Repeats::Safely,
            shared: true,
            keyed: false,
            spellings: &["POST canon/canon/validate"],
            bodies: vec![json!({"type": "k", "value": "v"})],
            good: json!({"valid": true}),
            yields: "true",
            not_answers: no_verdict(),
            when_not_there: Err(FailureKind::Denied),
            make: call!(session => session.canon().validate("k", "v"), valid => valid),
        },
        Call {
            name: "canon.search",
            repeats: Repeats::Safely,
            shared: true,
            keyed: false,
            spellings: &["GET canon/canon/search?q=a%20b&category=c"],
            bodies: vec![json!(null)],
            good: json!({"results": [1, 2]}),
            yields: "2",
            not_answers: vec![json!({}), json!({"results": {}}), json!([])],
            when_not_there: Err(FailureKind::Denied),
            make: call!(session => session.canon().search("a b", Some("c")), found => found.len()),
        },
        Call {
            name: "canon.create_record",
            repeats: Repeats::WhenTurnedAway,
            shared: false,
            keyed: true,
            spellings: &["POST canon/canon/records"],
            bodies: vec![json!({"r": 1})],
            good: json!({"canonId": "canon-1"}),
            yields: "canon-1",
            not_answers: vec![json!({}), json!({"success": true}), json!({"id": 7})],
            when_not_there: Err(FailureKind::Denied),
            make: call!(session => session.canon().create_record(&json!({"r": 1}), Some("key-1")), id => id),
        },
        Call {
            name: "canon.remove_record",
            repeats: Repeats::Safely,
            shared: false,
            keyed: false,
            spellings: &["DELETE canon/canon/records/canon-1"],
            bodies: vec![json!(null)],
            good: json!({"success": true}),
            yields: NOTHING,
            not_answers: vec![],
            when_not_there: Ok(NOTHING),
            make: call!(session => session.canon().remove_record("canon-1"), () => NOTHING),
        },
        Call {
            name: "chat.propagate",
            repeats: Repeats::Never,
            shared: false,
            keyed: false,
            spellings: &["POST chat/api/v1/contexts/propagate"],
            bodies: vec![json!({"c": 1})],
            good: json!({"success": true}),
            yields: NOTHING,
            not_answers: vec![],
            when_not_there: Err(FailureKind::Denied),
            make: call!(session => session.chat().propagate_context(&json!({"c": 1})), () => NOTHING),
        },
        Call {
            name: "chat.send_message",
            repeats: Repeats::Never,
            shared: false,
            keyed: false,
            spellings: &["POST chat/api/v1/messages"],
            bodies: vec![json!({"content": "c", "chittyId": ID, "channel": null})],
            good: json!({"success": true}),
            yields: NOTHING,
            not_answers: vec![],
            when_not_there: Err(FailureKind::Denied),
            make: call!(session => session.chat().send_message(ID, "c", None), () => NOTHING),
        },
    ]
}

fn provision() -> ProvisionRequest {
    ProvisionRequest {
        chitty_id: ID.to_owned(),
        scopes: vec!["read".to_owned()],
        service: "s".to_owned(),
        expires_in_s: Some(60),
        idempotency_key: Some("key-1".to_owned()),
    }
}

/// Returns a call's outcome in a form that can be compared: its result, or the kind of its failure.
pub(crate) fn comparable(result: Result<String, ServiceError>) -> Result<String, FailureKind> {
    result.map_err(|error| error.kind)
}
