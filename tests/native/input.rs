//! What clients send: spelled in their own ways, misspelt, or more than anybody reads.

use http_kit::request::{MAX_BODY_BYTES, MAX_REPORTED};
use serde_json::{Value, json};

use crate::world::{Answer, Isolate, TestRequest, World, run};

const ALICE: &str = "dev-alice";
const ADMIN: &str = "dev-root+admin";

fn said(answer: &Answer) -> Vec<(&str, &str)> {
    let errors = answer.json["errors"].as_array().into_iter().flatten();
    errors.map(|one| (one["pointer"].as_str().unwrap(), one["detail"].as_str().unwrap())).collect()
}

async fn connection(gateway: &Isolate) -> String {
    let body = json!({
        "source_chitty_id": "CHITTY-PEO-root", "source_type": "actor", "target_service": "cases",
    });
    let made = gateway.post("/v1/connections", ADMIN, &body).await;
    format!("/v1/connections/{}", made.json["connection"]["connection_id"].as_str().unwrap())
}

#[test]
fn a_member_that_nobody_reads_is_refused_by_every_route_that_reads_a_body() {
    let (world, gateway) = World::warm();
    run(async {
        let id = gateway.create(ADMIN, &json!({"name": "n"})).await;
        let context = format!("/v1/contexts/{id}");
        let connection = connection(&gateway).await;
        let key = gateway.post("/v1/keys", ADMIN, &json!({"name": "k", "scopes": ["read"]})).await;
        let key = format!("/v1/keys/{}", key.json["key"]["key_id"].as_str().unwrap());
        let rows = || world.db.cells("SELECT event_id FROM outbox").len();
        let before = rows();
        let source = json!({
            "source_chitty_id": "CHITTY-PEO-root", "source_type": "actor", "target_service": "x.y",
            "target_endpoint": "https://a.example",
            "credentials": {"type": "bearer", "token": "t", "tokn": "u"},
        });
        let none = json!({});
        for (method, path, body, member, meant) in [
            ("POST", "/v1/contexts", json!({"name": "m"}), "sytems", "`systems`"),
            ("POST", "/v1/contexts/create", json!({"name": "m"}), "Name", "`name`"),
            ("PATCH", &context, json!({"name": "m"}), "stauts", "`status`"),
            (
                "POST",
                "/v1/actors/register",
                json!({"actor_type": "ai"}),
                "displayName",
                "`display_name`",
            ),
            ("PATCH", "/v1/actors/CHITTY-PEO-root", json!({"email": null}), "e-mail", "`email`"),
            (
                "PUT",
                "/v1/actors/CHITTY-PEO-b/capabilities",
                json!({"capabilities": []}),
                "capability",
                "`capabilities`",
            ),
            (
                "POST",
                "/v1/connections",
                json!({"target_service": "cases"}),
                "endpoint",
                "`target_endpoint`",
            ),
            ("PATCH", &connection, json!({"status": "active"}), "scope", "`scopes`"),
            ("POST", &format!("{connection}/check"), none.clone(), "force", "nothing is"),
            (
                "POST",
                "/v1/delegate",
                json!({"target_service": "cases"}),
                "expires_in",
                "`expires_in_seconds`",
            ),
            ("POST", "/v1/delegate/validate", json!({"token": "t"}), "service", "`target_service`"),
            ("POST", "/v1/keys", json!({"name": "k", "scopes": ["read"]}), "scope", "`scopes`"),
            ("POST", &format!("{key}/rotate"), none.clone(), "grace", "`grace_seconds`"),
            (
                "POST",
                "/v1/orchestrations/user-registration",
                json!({"email": "a@b.example"}),
                "roles",
                "`role`",
            ),
            ("POST", "/v1/events/dead-letters/replay", none.clone(), "befor", "`before`"),
            ("POST", "/v1/events/dead-letters/dl_1/replay", none.clone(), "force", "nothing is"),
            ("POST", "/v1/ecosystem/id/check", none.clone(), "force", "nothing is"),
            ("POST", "/v1/ecosystem/id/connect", none.clone(), "force", "nothing is"),
            ("POST", "/v1/ecosystem/id/disconnect", none.clone(), "force", "nothing is"),
            ("POST", "/v1/ecosystem/id/reset", none, "force", "nothing is"),
        ] {
            let mut body = body;
            body[member] = json!("x");
            let answer =
                gateway.send(TestRequest::new(method, path).token(ADMIN).json(&body)).await;
            assert_eq!((answer.status, answer.code()), (422, "unknown_field"), "{path} {answer:?}");
            let pointer = format!("/{member}");
            let found = said(&answer).into_iter().find(|(at, _)| *at == pointer);
            let (_, detail) = found.unwrap_or_else(|| panic!("{path}: {answer:?}"));
            assert!(detail.contains(meant), "{path}: {detail}");
            let told = answer.json["detail"].as_str().unwrap();
            assert!(told.starts_with("Nothing was changed."), "{told}");
        }
        let deletion = TestRequest::new("DELETE", &context).token(ADMIN).json(&json!({"force": 1}));
        let deletion = deletion.header("content-length", "11");
        assert_eq!(gateway.send(deletion).await.code(), "unknown_field");
        let nested = gateway.post("/v1/connections", ADMIN, &source).await;
        assert_eq!(
            said(&nested),
            [("/credentials/tokn", "is not known here: did you mean `token`?")]
        );
        assert_eq!(rows(), before, "nothing of it was done");
        let deletion = TestRequest::new("DELETE", &context).token(ADMIN).json(&json!({}));
        assert_eq!(gateway.send(deletion.header("content-length", "2")).await.status, 200);
    });
}

#[test]
fn a_hundred_thousand_unknown_members_are_refused_with_the_first_of_them() {
    let (_, gateway) = World::warm();
    let members: Vec<String> = (0..90_000).map(|n| format!("\"{n:05}\":0")).collect();
    let body = format!("{{{}}}", members.join(","));
    assert!(body.len() < MAX_BODY_BYTES);
    let request = TestRequest::new("POST", "/v1/contexts").token(ALICE).body(body);
    let answer = run(gateway.send(request.header("content-type", "application/json")));
    assert_eq!((answer.status, answer.code()), (422, "unknown_field"));
    // And that the name is missing.
    assert_eq!(said(&answer).len(), MAX_REPORTED + 1);
    assert!(answer.text.len() < 10_000);
}

#[test]
fn a_query_parameter_that_no_route_reads_is_refused() {
    let (_, gateway) = World::warm();
    run(async {
        let id = gateway.create(ALICE, &json!({"name": "n"})).await;
        for (target, parameter, meant) in [
            ("/v1/contexts?stauts=active", "?stauts", "`status`"),
            ("/v1/contexts?page=2", "?page", "`limit`"),
            ("/v1/contexts?Limit=2", "?Limit", "`limit`"),
            ("/v1/contexts/search?query=x", "?query", "`q`"),
            ("/v1/audit?entityid=x", "?entityid", "`entity`"),
            ("/v1/keys?owner_id=x", "?owner_id", "`owner`"),
            ("/v1/actors/me?verbose", "?verbose", "nothing is"),
            (&format!("/v1/contexts/{id}?fields=name"), "?fields", "nothing is"),
        ] {
            let answer = gateway.get(target, Some(ALICE)).await;
            assert_eq!((answer.status, answer.code()), (422, "unknown_parameter"), "{target}");
            let errors = said(&answer);
            assert_eq!(errors[0].0, parameter, "{target}");
            assert!(errors[0].1.contains(meant), "{target}: {}", errors[0].1);
            assert!(!answer.json["detail"].as_str().unwrap().contains("changed"), "it only reads");
        }
        // On a change too; and who is nobody is told that first.
        let posted = gateway.post("/v1/contexts?dry_run=true", ALICE, &json!({"name": "m"})).await;
        assert_eq!(posted.code(), "unknown_parameter");
        assert!(posted.json["detail"].as_str().unwrap().starts_with("Nothing was changed."));
        assert_eq!(gateway.get("/v1/contexts?x=1", None).await.status, 401);
        let twice = gateway.get("/v1/contexts?limit=1&limit=2", Some(ALICE)).await;
        assert_eq!((twice.code(), said(&twice)[0].0), ("validation_failed", "?limit"));
        let many: String = (0..1000).map(|n| format!("{n}=1&")).collect();
        let many = gateway.get(&format!("/v1/contexts?{many}"), Some(ALICE)).await;
        assert_eq!(said(&many).len(), MAX_REPORTED);
    });
}

#[test]
fn what_machines_ask_never_fails_because_of_its_query() {
    let (_, gateway) = World::warm();
    run(async {
        for target in [
            "/health?_=1767323045",
            "/?x",
            "/health?full=false&full=no&y=",
            "/openapi.json?v=2",
            "/.well-known/chitty.json?v=2",
            "/api/services?category=core",
            "/api/registry/services?x",
        ] {
            assert_eq!(gateway.get(target, None).await.status, 200, "{target}");
        }
        let hook = gateway.send(TestRequest::new("POST", "/integrations/github/webhook?x=1")).await;
        assert_eq!(hook.status, 401);
        let back = gateway.get("/integrations/github/callback?error=access_denied", None).await;
        assert_eq!(back.status, 200, "a page that says so");
    });
}

#[test]
fn what_known_callers_send_is_kept_and_returned_and_filtered_on_or_named() {
    let (world, gateway) = World::warm();
    run(async {
        let body = json!({
            "type": "session", "name": "sync-1",
            "customizations": {"agents": [{"name": "reviewer"}], "commands": [], "n": 1.5},
        });
        let text = body.to_string().replace("1.5", "1.50");
        let request = TestRequest::new("POST", "/v1/contexts").token(ALICE).body(text);
        let made = gateway.send(request.header("content-type", "application/json")).await;
        assert_eq!(made.status, 201, "{made:?}");
        let context = &made.json["context"];
        assert_eq!(
            (&context["type"], &context["customizations"]),
            (&body["type"], &body["customizations"])
        );
        assert!(made.text.contains("1.50"), "as it was sent");
        let path = made.headers["location"].clone();
        world.advance_ms(1000);
        gateway.create(ALICE, &json!({"name": "plain"})).await;
        let plain = gateway
            .create(ALICE, &json!({"name": "other", "type": "project", "status": "inactive"}))
            .await;
        let names = |answer: Answer| -> Vec<String> {
            let contexts =
                answer.json["contexts"].as_array().unwrap_or_else(|| panic!("{answer:?}")).clone();
            contexts.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
        };
        for (query, found) in [
            ("?type=session", vec!["sync-1"]),
            ("?type=session&since=2026-01-02T03:04:06Z", vec![]),
            ("?type=session&since=2026-01-02T03:04:05Z", vec!["sync-1"]),
            ("?type=project&status=inactive", vec!["other"]),
            ("?type=project&status=active", vec![]),
            ("?type=Session", vec![]),
            ("", vec!["other", "plain", "sync-1"]),
        ] {
            for list in ["/v1/contexts", "/v1/contexts/list"] {
                let answer = gateway.get(&format!("{list}{query}"), Some(ALICE)).await;
                assert_eq!(names(answer), found, "{list}{query}");
            }
        }
        let changed =
            gateway.patch(&path, ALICE, &json!({"type": null, "customizations": {"a": 1}})).await;
        let context = &changed.json["context"];
        assert_eq!(
            (&context["type"], &context["customizations"]),
            (&Value::Null, &json!({"a": 1}))
        );
        let kept = gateway.patch(&path, ALICE, &json!({"tools": ["x"]})).await;
        assert_eq!(
            kept.json["context"]["customizations"],
            json!({"a": 1}),
            "what is not sent stays"
        );
        let told = world
            .db
            .cell("SELECT payload FROM outbox WHERE event_type = 'context.updated' LIMIT 1");
        assert!(told.unwrap().contains("[\"type\",\"customizations\"]"));
        // What does nothing here is taken, and named.
        let shown = gateway.get(&format!("/v1/contexts/{plain}?resolve=true"), Some(ALICE)).await;
        assert_eq!(shown.status, 200);
        assert_eq!(shown.json["warnings"], json!(["The parameter `resolve` does nothing here."]));
        assert_eq!(shown.json["name"], "other");
        let found = gateway.get("/v1/contexts/search?q=plain&owner=x", Some(ALICE)).await;
        assert_eq!(found.json["warnings"], json!(["The parameter `owner` does nothing here."]));
        let quiet = gateway.get(&format!("/v1/contexts/{plain}"), Some(ALICE)).await;
        assert!(quiet.json.get("warnings").is_none());
    });
}

#[test]
fn a_misspelt_scope_is_refused_wherever_scopes_are_given() {
    let (_, gateway) = World::warm();
    run(async {
        let source = json!({"source_chitty_id": "CHITTY-PEO-root", "source_type": "actor", "target_service": "cases"});
        let made = gateway.post("/v1/contexts", ADMIN, &json!({"name": "n"})).await;
        let context =
            format!("/v1/contexts/{}", made.json["context"]["chitty_id"].as_str().unwrap());
        let made = gateway.post("/v1/connections", ADMIN, &source).await;
        let id =
            made.json["connection"]["connection_id"].as_str().unwrap_or_else(|| panic!("{made:?}"));
        let connection = format!("/v1/connections/{id}");
        let with = |mut body: Value, name: &str, value: Value| {
            body[name] = value;
            body
        };
        let key = |scope: &str| json!({"credentials": {"type": "provisioned", "scopes": [scope]}});
        for (method, path, body, at, meant) in [
            (
                "POST",
                "/v1/delegate",
                json!({"target_service": "connect", "scopes": ["contexts:raed"]}),
                "/scopes",
                "contexts:read",
            ),
            (
                "POST",
                "/v1/delegate",
                json!({"target_service": "cases", "scopes": ["contexts:raed"]}),
                "/scopes",
                "contexts:read",
            ),
            (
                "POST",
                "/v1/delegate",
                json!({"target_service": "cases", "scopes": ["contexts: read"]}),
                "/scopes",
                "contexts:read",
            ),
            (
                "POST",
                "/v1/keys",
                json!({"name": "k", "scopes": ["read", "contexts:raed"]}),
                "/scopes",
                "contexts:read",
            ),
            (
                "PUT",
                "/v1/actors/CHITTY-PEO-b/capabilities",
                json!({"capabilities": ["contexts:raed"]}),
                "/capabilities",
                "contexts:read",
            ),
            (
                "POST",
                "/v1/actors/register",
                json!({"actor_type": "human", "capabilities": ["contexts:raed"]}),
                "/capabilities",
                "contexts:read",
            ),
            (
                "POST",
                "/v1/contexts",
                with(key("cases:raed"), "name", json!("m")),
                "/credentials/scopes",
                "cases:read",
            ),
            (
                "POST",
                "/v1/contexts",
                with(key("contexts:raed"), "name", json!("m")),
                "/credentials/scopes",
                "contexts:read",
            ),
            (
                "POST",
                "/v1/contexts",
                with(key("raed"), "name", json!("m")),
                "/credentials/scopes",
                "contexts:read",
            ),
            (
                "POST",
                "/v1/contexts",
                with(key("cases/read"), "name", json!("m")),
                "/credentials/scopes",
                "cases:read",
            ),
            ("PATCH", context.as_str(), key("cases:wirte"), "/credentials/scopes", "cases:write"),
            (
                "POST",
                "/v1/connections",
                with(source.clone(), "scopes", json!(["raed"])),
                "/scopes",
                "read",
            ),
            (
                "POST",
                "/v1/connections",
                with(source.clone(), "scopes", json!(["cases:raed"])),
                "/scopes",
                "read",
            ),
            ("PATCH", connection.as_str(), json!({"scopes": ["Write"]}), "/scopes", "write"),
        ] {
            let request = TestRequest::new(method, path).token(ADMIN).json(&body);
            let answer = gateway.send(request).await;
            assert_eq!((answer.status, answer.code()), (422, "validation_failed"), "{path} {body}");
            let errors = said(&answer);
            assert_eq!((errors.len(), errors[0].0), (1, at), "{path} {body}: {errors:?}");
            let told = format!("did you mean `{meant}`?");
            assert!(errors[0].1.ends_with(&told), "{path} {body}: {}", errors[0].1);
        }
        // A service of ChittyOS, and anybody's word, mean something elsewhere.
        for scopes in [json!(["chronicle:read"]), json!(["deploy"]), json!(["cases:approve"])] {
            let body = json!({"target_service": "chronicle", "scopes": scopes});
            assert_eq!(gateway.post("/v1/delegate", ADMIN, &body).await.status, 201, "{body}");
        }
    });
}

#[test]
fn who_validates_a_token_names_one_service_and_a_list_is_told_so() {
    let (_, gateway) = World::warm();
    run(async {
        for list in [json!([]), json!(["connect"]), json!(["connect", "cases"])] {
            let body = json!({"token": "cdt_x", "target_service": list});
            let request = TestRequest::new("POST", "/v1/delegate/validate").json(&body);
            let answer = gateway.send(request).await;
            assert_eq!((answer.status, answer.code()), (422, "validation_failed"), "{list}");
            let errors = said(&answer);
            assert_eq!(errors[0].0, "/target_service");
            assert!(errors[0].1.ends_with("not a list"), "{}", errors[0].1);
        }
    });
}

#[test]
fn bodies_are_read_as_clients_send_them() {
    let (world, gateway) = World::warm();
    let post = |content_type: &str, body: Vec<u8>| {
        TestRequest::new("POST", "/v1/contexts")
            .token(ALICE)
            .body(body)
            .header("content-type", content_type)
    };
    run(async {
        for (n, content_type) in [
            "application/json; charset=utf8",
            "application/json;charset=UTF_8",
            "application/json; charset=\"utf-8 \"",
        ]
        .iter()
        .enumerate()
        {
            let body = format!("{{\"name\":\"charset {n}\"}}");
            assert_eq!(
                gateway.send(post(content_type, body.into())).await.status,
                201,
                "{content_type}"
            );
        }
        let latin = gateway.send(post("application/json; charset=latin1", b"{}".to_vec())).await;
        assert_eq!(latin.status, 415);
        assert!(latin.json["detail"].as_str().unwrap().contains("charset=latin1"));
        let marked = [&b"\xef\xbb\xbf"[..], br#"{"name":"marked"}"#].concat();
        assert_eq!(gateway.send(post("application/json", marked)).await.status, 201);
        let wide: Vec<u8> = "{\"name\":\"n\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let wide = gateway.send(post("application/json", wide)).await;
        assert_eq!((wide.status, wide.code()), (400, "malformed_request"));
        assert!(wide.json["detail"].as_str().unwrap().contains("UTF-8"));
        let minted = world.services.calls("id").len();
        // gzip(1) of {"name":"packed"}
        let packed = include_bytes!("golden/packed.json.gz").to_vec();
        let gzip =
            |body: Vec<u8>| post("application/json", body).header("content-encoding", "gzip");
        let made = gateway.send(gzip(packed.clone())).await;
        assert_eq!(
            (made.status, &made.json["context"]["name"]),
            (201, &json!("packed")),
            "{made:?}"
        );
        let cut = gateway.send(gzip(packed[..packed.len() - 1].to_vec())).await;
        assert_eq!((cut.status, cut.code()), (400, "malformed_request"));
        let bomb = gateway.send(gzip(include_bytes!("golden/bomb.json.gz").to_vec())).await;
        assert_eq!((bomb.status, bomb.code()), (413, "payload_too_large"));
        let brotli = post("application/json", packed).header("content-encoding", "br");
        let brotli = gateway.send(brotli).await;
        assert_eq!(
            (brotli.status, brotli.headers["accept-encoding"].as_str()),
            (415, "gzip, identity")
        );
        assert_eq!(world.services.calls("id").len(), minted + 1);
    });
}

#[test]
fn where_nothing_is_required_no_body_will_do() {
    let (_, gateway) = World::warm();
    run(async {
        let connection = connection(&gateway).await;
        let key = gateway.post("/v1/keys", ADMIN, &json!({"name": "k", "scopes": ["read"]})).await;
        let rotate = format!("/v1/keys/{}/rotate", key.json["key"]["key_id"].as_str().unwrap());
        let check = format!("{connection}/check");
        for path in [rotate.as_str(), "/v1/events/dead-letters/replay", &check] {
            for body in ["", " \r\n", "{}", "null"] {
                let bare = TestRequest::new("POST", path).token(ADMIN).body(body);
                if matches!(body, "" | " \r\n" | "null") {
                    assert_eq!(gateway.send(bare.clone()).await.status, 200, "{path} {body:?}");
                }
                let form = bare.clone().header("content-type", "application/x-www-form-urlencoded");
                let expected = if body == "{}" { 415 } else { 200 };
                assert_eq!(gateway.send(form).await.status, expected, "{path} {body:?}");
                let typed = bare.header("content-type", "application/json");
                assert_eq!(gateway.send(typed).await.status, 200, "{path} {body:?}");
            }
        }
        let needed = gateway.send(TestRequest::new("POST", "/v1/contexts").token(ALICE)).await;
        assert_eq!((needed.status, needed.code()), (400, "malformed_request"));
        assert!(needed.json["detail"].as_str().unwrap().contains("empty"));
    });
}

#[test]
fn whole_numbers_and_instants_are_read_in_bodies_and_queries() {
    let (_, gateway) = World::warm();
    run(async {
        for (number, status) in [
            ("600.0", 201),
            ("6e2", 201),
            ("0.6e3", 201),
            ("60", 201),
            ("59.99", 422),
            ("-0.0", 422),
            ("1e400", 422),
            ("9007199254740993", 422),
            ("\"600\"", 422),
            ("null", 201),
        ] {
            let body = format!(
                "{{\"target_service\":\"cases\",\"scopes\":[\"read\"],\"expires_in_seconds\":{number}}}"
            );
            let request = TestRequest::new("POST", "/v1/delegate").token(ALICE).body(body);
            let answer = gateway.send(request.header("content-type", "application/json")).await;
            assert_eq!(answer.status, status, "{number} {answer:?}");
        }
        for (limit, status) in
            [("2.0", 200), ("1e1", 200), ("0", 422), ("100.5", 422), ("-1", 422), ("1e400", 422)]
        {
            let answer = gateway.get(&format!("/v1/contexts?limit={limit}"), Some(ALICE)).await;
            assert_eq!(answer.status, status, "{limit}");
        }
        assert_eq!(gateway.get("/v1/audit/verify?from=1e0", Some(ADMIN)).await.status, 200);
        for (since, status) in [
            ("2026-01-01T00:00Z", 200),
            ("2026-01-01T00:00:00+01:00", 200),
            ("2026-01-01T00:00:00%2B01:00", 200),
            ("20260101T000000Z", 200),
            ("2026-01-01t00:00:00z", 200),
            ("2026-01-01", 200),
            ("2026-01-01T00:00:00", 422),
            ("1767323045", 422),
        ] {
            let answer = gateway.get(&format!("/v1/contexts?since={since}"), Some(ALICE)).await;
            assert_eq!(answer.status, status, "{since}");
            if status == 422 {
                assert!(said(&answer)[0].1.contains("2026-01-31T09:30:00Z"), "shows the form");
            }
        }
        let replay = |before: &str| json!({"before": before});
        for (before, status) in [("2026-01-01T00:00Z", 200), ("20260101", 200), ("soon", 422)] {
            let answer =
                gateway.post("/v1/events/dead-letters/replay", ADMIN, &replay(before)).await;
            assert_eq!(answer.status, status, "{before}");
        }
    });
}

#[test]
fn a_cursor_belongs_to_its_list_and_to_what_that_is_narrowed_to() {
    let (_, gateway) = World::warm();
    run(async {
        for name in ["a", "b", "c"] {
            gateway.create(ADMIN, &json!({"name": name, "type": "t"})).await;
        }
        let cursor =
            |answer: Answer| answer.json["next_cursor"].as_str().expect("a next page").to_owned();
        let of_list = cursor(gateway.get("/v1/contexts?limit=1", Some(ADMIN)).await);
        let of_type = cursor(gateway.get("/v1/contexts?type=t&limit=1", Some(ADMIN)).await);
        let of_search = cursor(gateway.get("/v1/contexts/search?limit=1", Some(ADMIN)).await);
        let of_audit = cursor(gateway.get("/v1/audit?limit=1", Some(ADMIN)).await);
        for (target, status) in [
            (format!("/v1/contexts?cursor={of_list}"), 200),
            (format!("/v1/contexts?limit=2&cursor={of_list}"), 200),
            (format!("/v1/contexts/list?limit=2&cursor={of_list}"), 200),
            (format!("/v1/contexts?status=&cursor={of_list}"), 200),
            (format!("/v1/contexts?cursor={of_type}&type=t"), 200),
            (format!("/v1/contexts/search?cursor={of_search}"), 200),
            (format!("/v1/audit?cursor={of_audit}"), 200),
            (format!("/v1/contexts?type=t&cursor={of_list}"), 422),
            (format!("/v1/contexts?cursor={of_type}"), 422),
            (format!("/v1/contexts?type=u&cursor={of_type}"), 422),
            (format!("/v1/contexts?cursor={of_search}"), 422),
            (format!("/v1/contexts/search?q=a&cursor={of_search}"), 422),
            (format!("/v1/contexts/search?cursor={of_list}"), 422),
            (format!("/v1/connections?cursor={of_list}"), 422),
            (format!("/v1/keys?cursor={of_list}"), 422),
            (format!("/v1/audit?cursor={of_list}"), 422),
            (format!("/v1/actors?cursor={of_audit}"), 422),
            (format!("/v1/events?entity=CHITTY-PEO-root&cursor={of_audit}"), 422),
            ("/v1/contexts?cursor=nonsense".to_owned(), 422),
        ] {
            let answer = gateway.get(&target, Some(ADMIN)).await;
            assert_eq!(answer.status, status, "{target}: {answer:?}");
            if status == 422 {
                assert_eq!(said(&answer)[0].0, "?cursor");
            }
        }
    });
}

#[test]
fn a_browser_may_send_the_headers_that_are_read() {
    let (_, gateway) = World::warm();
    let preflight = |path: &str, asked: &str| {
        TestRequest::new("OPTIONS", path)
            .header("origin", "https://app.example")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", asked)
    };
    run(async {
        let allowed = |answer: Answer| answer.headers["access-control-allow-headers"].clone();
        let own = allowed(gateway.send(preflight("/v1/contexts", "x-anything")).await);
        for name in ["Authorization", "X-API-Key", "X-ChittyOS-API-Key", "Content-Encoding"] {
            assert!(own.split(", ").any(|one| one == name), "{name} in {own}");
        }
        assert!(!own.contains("x-anything"));
        let asked = "content-type, private-token,x-goog-api-client, bad name, *, a(b, , x\u{e9}";
        let proxied = allowed(gateway.send(preflight("/v1/connections/c/proxy/x", asked)).await);
        assert!(proxied.starts_with(&own));
        assert_eq!(&proxied[own.len()..], ", private-token, x-goog-api-client");
        let many: Vec<String> = (0..1000).map(|n| format!("x-{n}-{}", "y".repeat(50))).collect();
        let many =
            allowed(gateway.send(preflight("/v1/connections/c/proxy", &many.join(","))).await);
        assert!(many.len() < 4000);
    });
}

#[test]
fn an_answer_says_what_to_do_next() {
    let (_, gateway) = World::warm();
    run(async {
        let detail = |answer: &Answer| answer.json["detail"].as_str().unwrap().to_owned();
        for (path, near) in [
            ("/v1/context", "Did you mean /v1/contexts?"),
            ("/v1//contexts", "Did you mean /v1/contexts?"),
            ("/V1/Contexts", "Did you mean /v1/contexts?"),
            ("/contexts", "Did you mean /v1/contexts?"),
            ("/v1/conections/x/status", "Did you mean /v1/connections/{id}/status?"),
        ] {
            let answer = gateway.get(path, Some(ALICE)).await;
            assert_eq!((answer.status, answer.code()), (404, "unknown_path"), "{path}");
            assert!(detail(&answer).contains(near), "{path}: {}", detail(&answer));
        }
        let far = gateway.get("/wp-admin/setup.php", None).await;
        assert!(!detail(&far).contains("mean"), "{}", detail(&far));
        assert_eq!(
            far.json["type"], "http://gateway.test:8787/docs/errors#unknown_path",
            "where the caller found the gateway"
        );
        let hook = |header: Option<&str>| {
            let hook = TestRequest::new("POST", "/integrations/github/webhook").body("{}");
            header.map_or(hook.clone(), |value| hook.header("x-hub-signature-256", value))
        };
        for (header, says) in [
            (None, "is missing"),
            (Some("sha1=abc"), "must be `sha256=`"),
            (Some(&*format!("sha256={}", "0".repeat(64))), "not signed with"),
        ] {
            let answer = gateway.send(hook(header)).await;
            assert_eq!((answer.status, answer.code()), (401, "invalid_signature"));
            assert!(detail(&answer).contains(says), "{header:?}: {}", detail(&answer));
        }
    });
}

#[test]
fn an_id_of_another_form_is_answered_like_an_unknown_one_and_without_the_database() {
    let (world, gateway) = World::warm();
    run(async {
        assert_eq!(gateway.get("/v1/keys", Some(ALICE)).await.status, 200);
        for (method, path) in [
            ("GET", "/v1/connections/conn_{id}"),
            ("GET", "/v1/connections/conn_{id}/status"),
            ("GET", "/v1/connections/conn_{id}/history"),
            ("GET", "/v1/connections/conn_{id}/proxy/x"),
            ("POST", "/v1/connections/conn_{id}/proxy/x"),
            ("POST", "/v1/connections/conn_{id}/check"),
            ("PATCH", "/v1/connections/conn_{id}"),
            ("DELETE", "/v1/connections/conn_{id}"),
            ("GET", "/v1/keys/key_{id}"),
            ("POST", "/v1/keys/key_{id}/rotate"),
            ("DELETE", "/v1/keys/key_{id}"),
            ("DELETE", "/v1/delegate/dlg_{id}"),
        ] {
            let mut answers = Vec::new();
            for id in ["none", "n%C3%A9e"] {
                let request = TestRequest::new(method, &path.replace("{id}", id)).token(ALICE);
                let request = match method {
                    "PATCH" => request.json(&json!({"scopes": ["read"]})),
                    _ => request,
                };
                world.db.reset_calls();
                let (answer, _) = gateway.send_only(request).await;
                assert_eq!((answer.status, answer.code()), (404, "not_found"), "{method} {path}");
                answers.push((answer.json["detail"].clone(), world.db.calls() > 0));
            }
            let detail = answers[0].0.clone();
            assert_eq!(answers, [(detail.clone(), true), (detail, false)], "{method} {path}");
        }
    });
}
