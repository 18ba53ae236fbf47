//! Connections.

use chitty_core::TransportError;
use chittyconnect::tasks;
use futures_util::future::join_all;
use seams::outside::OutsideResponse;
use serde_json::{Value, json};

use crate::world::outside::answer;
use crate::world::{Answer, Behaviour, Isolate, TestRequest, World, run};

fn partner(more: Value) -> Value {
    let mut body = json!({
        "source_chitty_id": "CHITTY-PEO-a", "source_type": "actor", "target_service": "partner",
        "target_endpoint": "https://api.partner.example/v1",
    });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

async fn connect(gateway: &Isolate, more: Value) -> String {
    let made = gateway.post("/v1/connections", "dev-a", &partner(more)).await;
    assert_eq!(made.status, 201, "{made:?}");
    let id = made.json["connection"]["connection_id"].as_str().unwrap();
    assert_eq!(made.headers["location"], format!("/v1/connections/{id}"));
    id.to_owned()
}

async fn through(gateway: &Isolate, id: &str, path: &str) -> Answer {
    gateway.get(&format!("/v1/connections/{id}/proxy/{path}"), Some("dev-a")).await
}

/// Whose cron asks no host but those of connections.
const WITHOUT_GITHUB: &[(&str, Option<&str>)] = &[("GITHUB_APP_ID", None)];

#[test]
fn a_connection_lives_and_ends() {
    let (world, gateway) = World::warm();
    run(async {
        let key = json!({"type": "api_key", "key": "s3cret-key", "header": "X-Partner-Key"});
        let id = connect(&gateway, json!({
            "credentials": key, "check_path": "/me", "scopes": ["read", "write"], "config": {"a": 1},
        })).await;
        let tried = world.outside.take();
        assert_eq!(tried.len(), 1, "tried once");
        assert_eq!(tried[0].url, "https://api.partner.example/v1/me");
        assert!(tried[0].headers.contains(&("x-partner-key".to_owned(), "s3cret-key".to_owned())));

        let path = format!("/v1/connections/{id}");
        let shown = gateway.get(&path, Some("dev-a")).await;
        assert_eq!(shown.json["credential_type"], "api_key");
        assert_eq!(shown.json["config"], json!({"a": 1}));
        assert!(!world.db.dump().contains("s3cret-key"), "sealed");

        let post = TestRequest::new("POST", &format!("{path}/proxy/things?x=1&y=%2F"))
            .token("dev-a")
            .header("cookie", "session=1")
            .header("x-api-key", "callers-own")
            .header("x-partner-key", "callers-own")
            .header("accept", "text/plain")
            .header("content-type", "application/octet-stream")
            .body(vec![0u8, 255, 1]);
        assert_eq!(gateway.send(post).await.status, 200);
        let sent = world.outside.take().remove(0);
        assert_eq!(
            (sent.method.as_str(), sent.url.as_str()),
            ("POST", "https://api.partner.example/v1/things?x=1&y=%2F")
        );
        assert_eq!(sent.body.as_deref(), Some(&[0u8, 255, 1][..]));
        let value = |name: &str| {
            let found: Vec<_> = sent.headers.iter().filter(|(key, _)| key == name).collect();
            assert!(found.len() <= 1, "{name} twice");
            found.first().map(|(_, value)| value.clone())
        };
        assert_eq!(value("x-partner-key").as_deref(), Some("s3cret-key"));
        assert_eq!(value("accept").as_deref(), Some("text/plain"));
        for gone in ["authorization", "cookie", "x-api-key"] {
            assert_eq!(value(gone), None, "{gone}");
        }
        let status = gateway.get(&format!("{path}/status"), Some("dev-a")).await;
        assert_eq!(status.json["request_count"], 1);
        assert_eq!(status.json["service_health"], "healthy");

        assert_eq!(gateway.delete(&path, "dev-a").await.status, 200);
        assert_eq!(world.db.count("connection_secrets"), 0);
        assert_eq!(through(&gateway, &id, "x").await.code(), "connection_inactive");
        assert_eq!(gateway.delete(&path, "dev-a").await.status, 200, "ended before");
        assert_eq!(
            gateway.patch(&path, "dev-a", &json!({"status": "active"})).await.code(),
            "not_found"
        );
        let history = gateway.get(&format!("{path}/history"), Some("dev-a")).await;
        let events: Vec<&str> = history.json["history"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["event"].as_str().unwrap())
            .collect();
        assert_eq!(events, ["connection.disconnected", "connection.used", "connection.created"]);
        assert!(world.outside.take().is_empty());
    });
}

#[test]
fn of_many_creations_of_one_connection_one_wins() {
    for endpoint in [json!("https://api.partner.example/v1"), json!(null)] {
        let (world, a) = World::warm();
        let b = world.isolate();
        run(async {
            let mut body = partner(json!({"target_endpoint": endpoint}));
            if endpoint.is_null() {
                body["target_service"] = json!("chittycases");
                body["credentials"] = json!({"type": "provisioned"});
            }
            let requests = (0..30).map(|n| {
                let gateway = if n % 2 == 0 { &a } else { &b };
                gateway.post("/v1/connections", "dev-a", &body)
            });
            let answers = join_all(requests).await;
            let won: Vec<&Answer> = answers.iter().filter(|a| a.status == 201).collect();
            assert_eq!(won.len(), 1);
            let id = &won[0].json["connection"]["connection_id"];
            for lost in answers.iter().filter(|a| a.status != 201) {
                assert_eq!(lost.code(), "connection_exists", "{lost:?}");
                assert_eq!(&lost.json["existing_connection_id"], id);
            }
            assert_eq!(world.db.count("connections"), 1);
            assert_eq!(world.db.count("outbox WHERE event_type = 'connection.created'"), 1);
            // Every key that was made for nothing is taken back.
            tasks::scheduled(&a.app).await;
            tasks::scheduled(&a.app).await;
            let called = |end: &str| {
                world.services.calls("auth").iter().filter(|call| call.url.ends_with(end)).count()
            };
            let made = called("/v1/keys/provision");
            if endpoint.is_null() {
                assert!(made >= 1);
                let own = 1; // The gateway's own, made before.
                assert_eq!(called("/v1/api-keys/revoke"), made - own, "of {made}");
            }
            assert_eq!(world.db.count("credential_revocations"), 0);
        });
    }
}

#[test]
fn the_source_is_the_callers_and_so_is_the_connection() {
    let (world, gateway) = World::warm();
    run(async {
        let context = gateway.create("dev-a", &json!({"name": "n"})).await;
        for (token, source, kind) in [
            ("dev-b", "CHITTY-PEO-a", "actor"),
            ("dev-b", context.as_str(), "context"),
            ("dev-a", context.as_str(), "actor"),
            ("dev-a", "CHITTY-PEO-a", "context"),
        ] {
            let body = partner(json!({"source_chitty_id": source, "source_type": kind}));
            let refused = gateway.post("/v1/connections", token, &body).await;
            assert_eq!(refused.code(), "not_found", "{token} {source} {kind}");
        }
        let id =
            connect(&gateway, json!({"source_chitty_id": context, "source_type": "context"})).await;
        for (method, path) in [
            ("GET", ""),
            ("PATCH", ""),
            ("DELETE", ""),
            ("GET", "/status"),
            ("POST", "/check"),
            ("GET", "/history"),
            ("GET", "/proxy/x"),
            ("DELETE", "/proxy/x"),
        ] {
            let request = TestRequest::new(method, &format!("/v1/connections/{id}{path}"));
            let body = if path == "/check" { json!({}) } else { json!({"scopes": ["write"]}) };
            let request = request.token("dev-b").json(&body);
            assert_eq!(gateway.send(request).await.code(), "not_found", "{method} {path}");
        }
        assert_eq!(gateway.get("/v1/connections", Some("dev-b")).await.json["count"], 0);
        assert!(world.outside.take().is_empty());

        // A context takes its connections along when it goes.
        gateway.delete(&format!("/v1/contexts/{context}"), "dev-a").await;
        let shown = gateway.get(&format!("/v1/connections/{id}"), Some("dev-a")).await;
        assert_eq!(shown.json["status"], "disconnected");
        assert_eq!(through(&gateway, &id, "x").await.code(), "connection_inactive");
        assert_eq!(world.db.count("audit WHERE action = 'connection.disconnected'"), 1);
    });
}

#[test]
fn a_token_for_one_service_uses_connections_to_it_only() {
    let (_, gateway) = World::warm();
    run(async {
        let other = connect(&gateway, json!({})).await;
        let cases = connect(
            &gateway,
            json!({
                "target_service": "cases", "target_endpoint": null, "scopes": ["read", "write"],
            }),
        )
        .await;
        let body = json!({"target_service": "chittycases", "scopes": ["read"]});
        let made = gateway.post("/v1/delegate", "dev-a", &body).await;
        let token = made.json["delegation"]["token"].as_str().unwrap();
        let get = async |path: String| gateway.get(&path, Some(token)).await;
        assert_eq!(get(format!("/v1/connections/{cases}/proxy/x")).await.status, 200);
        assert_eq!(get(format!("/v1/connections/{other}/proxy/x")).await.code(), "not_found");
        assert_eq!(get(format!("/v1/connections/{other}")).await.code(), "not_found");
        assert_eq!(get("/v1/connections".to_owned()).await.json["count"], 1);
        let write =
            TestRequest::new("POST", &format!("/v1/connections/{cases}/proxy/x")).token(token);
        assert_eq!(gateway.send(write).await.code(), "insufficient_scope");
    });
}

#[test]
fn the_proxy_lets_through_what_the_connection_is_for() {
    let (world, gateway) = World::warm();
    run(async {
        let id = connect(&gateway, json!({})).await;
        let base = format!("/v1/connections/{id}/proxy");
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let write = TestRequest::new(method, &format!("{base}/x")).token("dev-a");
            assert_eq!(gateway.send(write).await.code(), "insufficient_scope", "{method}");
        }
        let trace = TestRequest::new("TRACE", &format!("{base}/x")).token("dev-a");
        assert_eq!(gateway.send(trace).await.code(), "method_not_allowed");
        for path in ["../x", "%2e%2e/x", "a/%2E./b", "%252e%252e/x", "a%5c..%5cb", "a\\b", "a%00b"]
        {
            assert_eq!(through(&gateway, &id, path).await.status, 422, "{path}");
        }
        assert!(world.outside.take().is_empty(), "nothing went out");
        for path in
            ["/evil.example/x", "@evil.example", "https://evil.example", ":80", "x?u=//evil"]
        {
            assert_eq!(through(&gateway, &id, path).await.status, 200, "{path}");
            let url = world.outside.take().remove(0).url;
            assert_eq!(url, format!("https://api.partner.example/v1/{path}"));
        }
        let head = TestRequest::new("HEAD", &format!("{base}/x")).token("dev-a");
        assert_eq!(gateway.send(head).await.status, 200);
        assert_eq!(world.outside.take()[0].method, "HEAD");
        let large =
            TestRequest::new("POST", &format!("{base}/x"))
                .token("dev-a")
                .body(vec![0; (1 << 20) + 1]);
        assert_eq!(gateway.send(large).await.code(), "payload_too_large");
    });
}

#[test]
fn what_the_target_answers_stays_within_its_bounds() {
    let (world, gateway) = World::warm();
    let with = |status: u16, headers: &[(&str, &str)]| {
        let headers: Vec<(String, String)> =
            headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        move |_: &_| Ok(OutsideResponse { status, headers: headers.clone(), body: b"{}".to_vec() })
    };
    run(async {
        let id = connect(&gateway, json!({})).await;
        let cases: [(u16, &str, u16, &str); 8] = [
            (302, "https://evil.example/", 502, "target_redirected"),
            (307, "//evil.example/", 502, "target_redirected"),
            (301, "/v2/elsewhere", 502, "target_redirected"),
            (302, "/v1/y?z=1", 302, ""),
            (401, "", 502, "target_refused_credential"),
            (404, "", 404, ""),
            (500, "", 500, ""),
            (204, "", 204, ""),
        ];
        for (status, location, seen, code) in cases {
            world.outside.set(with(
                status,
                &[
                    ("location", location),
                    ("set-cookie", "a=b"),
                    ("etag", "\"1\""),
                    ("access-control-allow-origin", "*"),
                    ("content-type", "text/html"),
                ],
            ));
            let answer = through(&gateway, &id, "x").await;
            assert_eq!((answer.status, answer.code()), (seen, code), "{status} {location}");
            assert!(!answer.headers.contains_key("set-cookie"));
            if code.is_empty() {
                assert_eq!(
                    answer.headers["content-security-policy"],
                    "default-src 'none'; sandbox"
                );
                assert_eq!(answer.headers["etag"], "\"1\"");
            }
            if seen == 302 {
                let to = format!("/v1/connections/{id}/proxy/y?z=1");
                assert_eq!(answer.headers["location"], to);
            }
        }
        for (error, status, code) in [
            (TransportError::Timeout, 504, "target_timeout"),
            (TransportError::TooLarge(9), 502, "target_unavailable"),
            (
                TransportError::Unreachable("dns: secret.internal".to_owned()),
                502,
                "target_unavailable",
            ),
        ] {
            world.outside.set(move |_| Err(error.clone()));
            let answer = through(&gateway, &id, "x").await;
            assert_eq!((answer.status, answer.code()), (status, code));
            assert!(!answer.text.contains("secret"));
        }
    });
}

#[test]
fn a_credential_that_is_refused_is_not_stored() {
    let (world, gateway) = World::warm();
    run(async {
        world.outside.status(401);
        let bearer = json!({"type": "bearer", "token": "s3cret"});
        let more = json!({"credentials": bearer, "check_path": "/me"});
        let refused = gateway.post("/v1/connections", "dev-a", &partner(more.clone())).await;
        assert_eq!((refused.status, refused.code()), (422, "credential_refused"));
        assert_eq!(world.db.count("connections") + world.db.count("connection_secrets"), 0);
        // A target that is ill says nothing about the credential.
        world.outside.status(500);
        let id = connect(&gateway, more).await;
        let status = gateway.get(&format!("/v1/connections/{id}/status"), Some("dev-a")).await;
        assert_eq!(status.json["service_health"], "unhealthy");
        world.outside.status(403);
        let patch = json!({"credentials": {"type": "bearer", "token": "other"}});
        let path = format!("/v1/connections/{id}");
        assert_eq!(gateway.patch(&path, "dev-a", &patch).await.code(), "credential_refused");
        world.outside.status(200);
        assert_eq!(gateway.patch(&path, "dev-a", &patch).await.status, 200);
        world.outside.take();
        through(&gateway, &id, "x").await;
        let sent = world.outside.take().remove(0);
        assert!(sent.headers.contains(&("authorization".to_owned(), "Bearer other".to_owned())));
    });
}

#[test]
fn checks_fail_a_connection_and_bring_it_back_but_never_one_that_has_ended() {
    let (world, gateway) = World::warm();
    run(async {
        let id = connect(&gateway, json!({"check_path": "/health"})).await;
        let check = async || {
            let path = format!("/v1/connections/{id}/check");
            gateway.post(&path, "dev-a", &json!(null)).await
        };
        world.outside.status(500);
        for (n, status) in [(1, "active"), (2, "active"), (3, "failed"), (4, "failed")] {
            let answer = check().await;
            assert_eq!(
                (&answer.json["status"], &answer.json["error_count"]),
                (&json!(status), &json!(n))
            );
            assert_eq!(answer.json["last_error"], "the target answers with status 500");
        }
        assert_eq!(through(&gateway, &id, "x").await.code(), "connection_inactive");
        world.outside.status(200);
        let answer = check().await;
        assert_eq!(
            (&answer.json["status"], &answer.json["error_count"]),
            (&json!("active"), &json!(0))
        );
        for (action, times) in [("connection.failed", 1), ("connection.recovered", 1)] {
            assert_eq!(world.db.count(&format!("audit WHERE action = '{action}'")), times);
        }
        // While it had failed, another took its place: then it stays failed.
        world.outside.status(500);
        for _ in 0..3 {
            check().await;
        }
        world.outside.status(200);
        connect(&gateway, json!({})).await;
        assert_eq!(check().await.json["status"], "failed");
        gateway.delete(&format!("/v1/connections/{id}"), "dev-a").await;
        assert_eq!(check().await.code(), "connection_inactive");
        let shown = gateway.get(&format!("/v1/connections/{id}"), Some("dev-a")).await;
        assert_eq!(shown.json["status"], "disconnected");
    });
}

#[test]
fn the_cron_checks_what_is_due_and_spreads_it_out() {
    let (world, gateway) = World::warm_with(WITHOUT_GITHUB);
    run(async {
        for n in 0..40 {
            let endpoint = format!("https://h{n}.partner.example");
            connect(&gateway, json!({"check_path": "/health", "target_endpoint": endpoint})).await;
        }
        world.outside.take();
        tasks::scheduled(&gateway.app).await;
        assert!(world.outside.take().is_empty(), "nothing is due yet");
        world.advance_ms(400_000);
        tasks::scheduled(&gateway.app).await;
        assert_eq!(world.outside.take().len(), 40, "all that is due");
        tasks::scheduled(&gateway.app).await;
        assert!(world.outside.take().is_empty(), "none twice");
        let due = world.db.cell("SELECT count(DISTINCT check_due_at) FROM connections");
        assert!(due.unwrap().parse::<usize>().unwrap() > 10, "not all at once again");
    });
}

/// A token endpoint where every refresh token is good once.
fn rotating(world: &World) {
    let mut next = 0;
    world.outside.set(move |request| {
        let body = String::from_utf8(request.body.clone().unwrap_or_default()).unwrap();
        if !request.url.ends_with("/token") {
            return Ok(answer(200, "{}"));
        }
        if !body.contains(&format!("refresh_token=r{next}&")) && !body.ends_with(&format!("refresh_token=r{next}")) {
            return Ok(answer(400, r#"{"error":"invalid_grant"}"#));
        }
        next += 1;
        let body = json!({"access_token": format!("a{next}"), "refresh_token": format!("r{next}"), "expires_in": 3600});
        Ok(answer(200, &body.to_string()))
    });
}

fn oauth() -> Value {
    json!({"credentials": {
        "type": "oauth", "token_endpoint": "https://login.partner.example/token",
        "revocation_endpoint": "https://login.partner.example/revoke",
        "client_id": "c", "client_secret": "s", "refresh_token": "r0",
    }})
}

fn bearers(world: &World) -> Vec<String> {
    let calls = world.outside.take().into_iter().filter(|call| call.url.ends_with("/x"));
    calls
        .map(|call| call.headers.into_iter().find(|(name, _)| name == "authorization").unwrap().1)
        .collect()
}

#[test]
fn an_access_token_is_renewed_once_however_many_ask() {
    let (world, a) = World::warm();
    let b = world.isolate();
    rotating(&world);
    run(async {
        let id = connect(&a, oauth()).await;
        through(&a, &id, "x").await;
        assert_eq!(bearers(&world), ["Bearer a1"]);
        // A minute before its end and after it.
        for (wait_ms, token) in [(3_550_000, "Bearer a2"), (3_700_000, "Bearer a3")] {
            world.advance_ms(wait_ms);
            let requests = (0..10).map(|n| through(if n % 2 == 0 { &a } else { &b }, &id, "x"));
            for answer in join_all(requests).await {
                assert_eq!(answer.status, 200, "{answer:?}");
            }
            let calls = bearers(&world);
            assert_eq!(calls.len(), 10);
            assert!(calls.contains(&token.to_owned()), "{calls:?}");
            through(&a, &id, "x").await;
            assert_eq!(bearers(&world), [token]);
        }
        // The cron renews what nobody uses.
        world.advance_ms(3_450_000);
        tasks::scheduled(&a.app).await;
        through(&a, &id, "x").await;
        assert_eq!(bearers(&world), ["Bearer a4"]);
    });
}

#[test]
fn a_refresh_that_is_refused_fails_the_connection_and_one_that_is_not_answered_does_not() {
    let (world, gateway) = World::warm();
    rotating(&world);
    run(async {
        let id = connect(&gateway, oauth()).await;
        world.advance_ms(3_590_000);
        world.outside.set(|request| match request.url.ends_with("/token") {
            true => Err(TransportError::Timeout),
            false => Ok(answer(200, "{}")),
        });
        assert_eq!(through(&gateway, &id, "x").await.status, 200, "the old token still works");
        world.advance_ms(10_000);
        assert_eq!(through(&gateway, &id, "x").await.code(), "credential_unavailable");
        world.outside.status(400);
        assert_eq!(through(&gateway, &id, "x").await.code(), "target_refused_credential");
        let status = gateway.get(&format!("/v1/connections/{id}/status"), Some("dev-a")).await;
        assert_eq!(status.json["status"], "failed");
    });
}

#[test]
fn a_credential_is_revoked_in_the_end_even_if_not_at_first() {
    let (world, gateway) = World::warm_with(WITHOUT_GITHUB);
    rotating(&world);
    run(async {
        let id = connect(&gateway, oauth()).await;
        world.outside.take();
        world.outside.status(503);
        assert_eq!(gateway.delete(&format!("/v1/connections/{id}"), "dev-a").await.status, 200);
        assert_eq!(world.db.count("connection_secrets"), 0);
        assert_eq!(world.db.count("credential_revocations"), 1);
        assert_eq!(world.outside.take().len(), 1);
        tasks::scheduled(&gateway.app).await;
        assert!(world.outside.take().is_empty(), "after a pause");
        world.outside.status(200);
        world.advance_ms(120_000);
        tasks::scheduled(&gateway.app).await;
        let revoked: Vec<String> = world
            .outside
            .take()
            .into_iter()
            .map(|call| String::from_utf8(call.body.unwrap()).unwrap())
            .collect();
        assert_eq!(
            revoked,
            ["token=r1&token_type_hint=refresh_token", "token=a1&token_type_hint=access_token"]
        );
        assert_eq!(world.db.count("credential_revocations"), 0);
    });
}

#[test]
fn a_key_is_made_by_chittyauth_and_taken_back() {
    let (world, gateway) = World::warm();
    run(async {
        let more = json!({
            "target_service": "ChittyCases", "target_endpoint": null, "credentials": {"type": "provisioned"},
        });
        let id = connect(&gateway, more.clone()).await;
        through(&gateway, &id, "api/whoami").await;
        let sent = world.outside.take().pop().unwrap();
        assert_eq!(sent.url, "http://services/cases/api/whoami");
        assert!(
            sent.headers.iter().any(
                |(name, value)| name == "authorization" && value.starts_with("Bearer cc_live_")
            )
        );
        gateway.delete(&format!("/v1/connections/{id}"), "dev-a").await;
        let revoked = world
            .services
            .calls("auth")
            .iter()
            .filter(|call| call.url.ends_with("/v1/api-keys/revoke"))
            .count();
        assert_eq!((revoked, world.db.count("credential_revocations")), (1, 0));
        world.services.set("auth", Behaviour::Unreachable);
        let failed = gateway.post("/v1/connections", "dev-a", &partner(more)).await;
        assert_eq!(failed.code(), "credential_unavailable");
        assert_eq!(world.db.count("connections"), 1);
    });
}

#[test]
fn without_a_sealing_key_no_credential_is_taken() {
    let world = World::new();
    let gateway = world.isolate_with(&[("SEALING_KEYS", None)]);
    run(async {
        let more = json!({"credentials": {"type": "bearer", "token": "s3cret"}});
        let refused = gateway.post("/v1/connections", "dev-a", &partner(more)).await;
        assert_eq!(refused.code(), "not_ready");
        assert_eq!(world.db.count("connections"), 0);
        connect(&gateway, json!({})).await;
    });
}
