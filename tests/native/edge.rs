//! The edge: what holds for every path.

use chitty_core::HttpRequest;
use serde_json::json;

use crate::world::{Behaviour, TestRequest, World, run};

#[test]
fn paths_and_methods() {
    let (_, gateway) = World::warm();
    run(async {
        for (method, path, status, code) in [
            ("GET", "/v1/contextsXYZ", 404, "unknown_path"),
            ("GET", "/v2", 404, "unknown_path"),
            ("GET", "", 404, "unknown_path"),
            ("PUT", "/v1/contexts", 405, "method_not_allowed"),
            ("PROPFIND", "/v1/contexts", 405, "method_not_allowed"),
            ("get", "/v1/contexts", 405, "method_not_allowed"),
            ("POST", "/health", 405, "method_not_allowed"),
            ("POST", "/v1/contexts/search", 405, "method_not_allowed"),
            ("GET", "/v1/contexts/create", 405, "method_not_allowed"),
            ("GET", "/v1/contexts/%ff", 400, "malformed_request"),
        ] {
            let answer = gateway.send(TestRequest::new(method, path).token("dev-a")).await;
            assert_eq!((answer.status, answer.code()), (status, code), "{method} {path}");
            assert_eq!(answer.headers.contains_key("allow"), status == 405);
        }
        let put = gateway.send(TestRequest::new("PUT", "/v1/contexts")).await;
        assert_eq!(put.headers["allow"], "POST, GET, HEAD, OPTIONS");
    });
}

#[test]
fn a_trailing_slash_and_an_escaped_id_are_the_same_resource() {
    let (_, gateway) = World::warm();
    run(async {
        let id = gateway.create("dev-a", &json!({"name": "n"})).await;
        for path in [
            format!("/v1/contexts/{id}/"),
            format!("/v1/contexts/{}", id.replace('-', "%2D")),
            format!("/v1/contexts/did:chitty:{id}"),
            format!("/v1/contexts/{id}?"),
        ] {
            assert_eq!(gateway.get(&path, Some("dev-a")).await.status, 200, "{path}");
        }
        for path in ["/v1/contexts/x", "/v1/contexts/03-0-ERR-0001-T-2602-0-08"] {
            let answer = gateway.get(path, Some("dev-a")).await;
            assert_eq!((answer.status, answer.code()), (404, "not_found"), "{path}");
        }
    });
}

#[test]
fn head_and_options() {
    let (_, gateway) = World::warm();
    run(async {
        let made = gateway.post("/v1/contexts", "dev-a", &json!({"name": "n"})).await;
        let path = &made.headers["location"];
        let head = gateway.send(TestRequest::new("HEAD", path).token("dev-a")).await;
        assert_eq!((head.status, head.text.as_str()), (200, ""));
        assert_eq!(head.headers["etag"], made.headers["etag"]);
        assert_eq!(gateway.send(TestRequest::new("HEAD", path)).await.status, 401);

        let preflight = TestRequest::new("OPTIONS", path)
            .header("origin", "https://app.chitty.cc")
            .header("access-control-request-method", "PATCH");
        let options = gateway.send(preflight).await;
        assert_eq!(options.status, 204);
        assert_eq!(options.headers["allow"], "GET, PATCH, DELETE, HEAD, OPTIONS");
        assert_eq!(options.headers["access-control-allow-methods"], options.headers["allow"]);
        assert!(options.headers["access-control-allow-headers"].contains("Idempotency-Key"));
        assert_eq!(options.headers["access-control-allow-origin"], "*");
        assert!(!head.headers.contains_key("access-control-allow-origin"), "asked without origin");
    });
}

#[test]
fn bodies() {
    let (world, gateway) = World::warm();
    let post = |content_type: &str, body: &str| {
        let request = TestRequest::new("POST", "/v1/contexts").token("dev-a").body(body);
        if content_type.is_empty() { request } else { request.header("content-type", content_type) }
    };
    let json_type = "application/json";
    let good = r#"{"name":"n"}"#;
    run(async {
        for (content_type, body, status, code) in [
            ("", good, 415, "unsupported_media_type"),
            ("", "", 400, "malformed_request"),
            ("text/plain", good, 415, "unsupported_media_type"),
            ("application/json; charset=latin1", good, 415, "unsupported_media_type"),
            (json_type, "", 400, "malformed_request"),
            (json_type, "{", 400, "malformed_request"),
            (json_type, "{\"name\":\"n\"} x", 400, "malformed_request"),
            (json_type, "[]", 422, "validation_failed"),
            (json_type, "null", 422, "validation_failed"),
            (json_type, "{}", 422, "validation_failed"),
        ] {
            let answer = gateway.send(post(content_type, body)).await;
            assert_eq!((answer.status, answer.code()), (status, code), "{content_type} {body}");
        }
        let deep = format!("{{\"name\":\"n\",\"data\":{}{}}}", "[".repeat(9999), "]".repeat(9999));
        assert!(matches!(gateway.send(post(json_type, &deep)).await.status, 400 | 422));
        let large = gateway.send(post(json_type, &" ".repeat((1 << 20) + 1))).await;
        assert_eq!((large.status, large.code()), (413, "payload_too_large"));
        let mut broken = post(json_type, good);
        broken.broken = true;
        assert_eq!(gateway.send(broken).await.code(), "malformed_request");
        assert_eq!(world.services.calls("id").len(), 0, "nothing minted for a bad body");
        assert_eq!(gateway.send(post("application/merge-patch+json", good)).await.status, 201);
    });
}

#[test]
fn tokens() {
    let (world, gateway) = World::warm();
    run(async {
        let get = || TestRequest::new("GET", "/v1/contexts");
        for (header, code) in [
            (None, "authentication_required"),
            (Some("Basic YTpi"), "authentication_required"),
            (Some("dev-a"), "authentication_required"),
            (Some("Bearer nobody"), "invalid_token"),
            (Some("Bearer a b"), "invalid_token"),
        ] {
            let request = header.map_or(get(), |value| get().header("authorization", value));
            let answer = gateway.send(request).await;
            assert_eq!((answer.status, answer.code()), (401, code), "{header:?}");
            let challenge = &answer.headers["www-authenticate"];
            assert_eq!(challenge.contains("invalid_token"), code == "invalid_token");
        }
        // A token that may read may not write, and the other way round.
        let read_only = "dev-a+contexts:read";
        assert_eq!(gateway.get("/v1/contexts", Some(read_only)).await.status, 200);
        let refused = gateway.post("/v1/contexts", read_only, &json!({"name": "n"})).await;
        assert_eq!((refused.status, refused.code()), (403, "insufficient_scope"));
        assert!(refused.json["detail"].as_str().unwrap().contains("contexts:write"));
        assert_eq!(gateway.get("/v1/contexts", Some("dev-a+write")).await.status, 403);
        assert_eq!(gateway.get("/v1/contexts", Some("dev-a+chittyid:read")).await.status, 403);
        assert_eq!(world.services.calls("id").len(), 0);
    });
}

#[test]
fn an_outage_of_chittyauth_is_not_a_refusal() {
    let (world, gateway) = World::warm_with(&[("BREAKER_MIN_CALLS", Some("0"))]);
    run(async {
        // Warm token: known for a minute.
        assert_eq!(gateway.get("/v1/contexts", Some("dev-warm")).await.status, 200);
        for behaviour in [
            Behaviour::Hang,
            Behaviour::Unreachable,
            Behaviour::Busy(503, 7),
            Behaviour::Busy(429, 100_000),
            Behaviour::Answer(404, "{}".to_owned()),
            Behaviour::Answer(302, String::new()),
            Behaviour::Answer(200, "<html>".to_owned()),
            Behaviour::Answer(200, "{}".to_owned()),
            Behaviour::Answer(200, r#"{"valid":true}"#.to_owned()),
            Behaviour::Answer(200, r#"{"valid":true,"chittyId":"admin"}"#.to_owned()),
        ] {
            world.services.set("auth", behaviour.clone());
            let answer = gateway.get("/v1/contexts", Some("dev-cold")).await;
            let expected = (503, "authentication_unavailable");
            assert_eq!((answer.status, answer.code()), expected, "{behaviour:?}");
            assert_eq!(answer.json["service"], "chittyauth");
            let wait = match behaviour {
                Behaviour::Busy(503, _) => "7",
                Behaviour::Busy(_, _) => "300",
                _ => "5",
            };
            assert_eq!(answer.headers["retry-after"], wait);
            assert_eq!(gateway.get("/v1/contexts", Some("dev-warm")).await.status, 200);
        }
        world.advance_ms(60_000);
        assert_eq!(gateway.get("/v1/contexts", Some("dev-warm")).await.status, 503);
        for verdict in [
            Behaviour::Answer(401, r#"{"valid":false}"#.to_owned()),
            Behaviour::Answer(403, "no".to_owned()),
            Behaviour::Answer(200, r#"{"valid":false}"#.to_owned()),
            Behaviour::Answer(
                200,
                r#"{"valid":true,"chittyId":"CHITTY-PEO-x","expiresAt":"2020-01-01T00:00:00Z"}"#
                    .to_owned(),
            ),
        ] {
            world.services.set("auth", verdict);
            assert_eq!(gateway.get("/v1/contexts", Some("dev-warm")).await.status, 401);
        }
    });
}

#[test]
fn the_token_cache_can_be_switched_off() {
    let (world, _) = World::warm();
    let gateway = world.isolate_with(&[("AUTH_CACHE_SECONDS", Some("0"))]);
    run(async {
        for _ in 0..3 {
            gateway.get("/v1/contexts", Some("dev-a")).await;
        }
        assert_eq!(world.services.calls("auth").len(), 3);
    });
}

#[test]
fn correlation_is_accepted_returned_and_passed_upstream() {
    let (world, gateway) = World::warm();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    run(async {
        let create = TestRequest::new("POST", "/v1/contexts")
            .token("dev-a")
            .json(&json!({"name": "n"}))
            .header("x-request-id", "job-42")
            .header("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01"))
            .header("tracestate", "vendor=1")
            .header("x-session-id", "session-7");
        let answer = gateway.send(create).await;
        assert_eq!(answer.headers["x-request-id"], "job-42");
        let parent = &answer.headers["traceparent"];
        assert!(parent.starts_with(&format!("00-{trace}-")) && parent.ends_with("-01"));
        assert!(!parent.contains("00f067aa0ba902b7"), "a span of its own");
        gateway.deliver_all().await;
        let header = |call: &HttpRequest, name: &str| {
            let found = call.headers.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        for service in ["auth", "id", "chronicle"] {
            let call = &world.services.calls(service)[0];
            assert_eq!(&header(call, "traceparent"), parent, "{service}");
            assert!(header(call, "user-agent").starts_with("ChittyConnect/"));
        }
        for service in ["auth", "id"] {
            let call = &world.services.calls(service)[0];
            assert_eq!(header(call, "x-request-id"), "job-42");
            assert_eq!(header(call, "tracestate"), "vendor=1");
            assert_eq!(header(call, "x-session-id"), "session-7");
        }
        let unsound = TestRequest::new("GET", "/health").header("x-request-id", "a\nb c");
        let answer = gateway.send(unsound).await;
        assert_eq!(answer.headers["x-request-id"].len(), 36);
    });
}

#[test]
fn secrets_stay_out_of_replies_events_and_rows() {
    let (world, _) = World::warm();
    let secret = "s3cr3t-service-token";
    let gateway = world.isolate_with(&[
        ("CHITTY_ID_SERVICE_TOKEN", Some(secret)),
        ("CHITTY_AUTH_SERVICE_TOKEN", Some(secret)),
    ]);
    run(async {
        let create = TestRequest::new("POST", "/v1/contexts").json(&json!({"name": "n"}));
        let create = create.token("dev-alice").header("idempotency-key", "k");
        let made = gateway.send(create).await;
        world.services.set("id", Behaviour::Answer(500, secret.to_owned()));
        let failed = gateway.post("/v1/contexts", "dev-alice", &json!({"name": "m"})).await;
        assert_eq!(failed.status, 503);
        let call = &world.services.calls("id")[0];
        assert!(call.headers.contains(&("authorization", format!("Bearer {secret}"))));
        let rows = world.db.cells("SELECT actor_id || key || body FROM idempotency_keys").join("");
        let queue = world.queue.messages.borrow().join("");
        for text in [&made.text, &failed.text, &rows, &queue] {
            assert!(!text.contains(secret) && !text.contains("dev-alice"), "{text}");
        }
    });
}
