//! What passes through connections: headers, paths and bodies, and what never does.

use chittyconnect::connections::credential::{Credential, Oauth};
use chittyconnect::connections::{proxy, secrets};
use chittyconnect::tasks;
use futures_util::future::{join, join_all};
use seams::outside::{OutsideRequest, OutsideResponse};
use serde_json::{Value, json};

use crate::world::{Answer, Isolate, TestRequest, World, killed_after, run, yield_now};
use chittyconnect::app::Slot;
use chittyconnect::connections::proxy::PassingBodies;

/// Everything that a caller should not be able to say to a target, with what it is known for.
const NEVER: [&str; 48] = [
    "X-Chitty-Internal-Binding",
    "X-Chitty-ID",
    "X-ChittyID",
    "X-ChittyOS-Caller",
    "X-ChittyOS-API-Key",
    "X-ChittyConnect-Origin",
    "X-Source-Service",
    "X-Worker-Name",
    "X-Service-Token",
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-Original-Host",
    "X-Forwarded-For",
    "X-Forwarded-Prefix",
    "Forwarded",
    "X-Real-IP",
    "True-Client-IP",
    "X-Client-IP",
    "Via",
    "CF-Connecting-IP",
    "CF-Access-Client-Id",
    "X-HTTP-Method-Override",
    "X-HTTP-Method",
    "X-Method-Override",
    "X-Accel-Redirect",
    "X-Middleware-Subrequest",
    "X-Remote-User",
    "X-MS-Client-Principal",
    "Private-Token",
    "Job-Token",
    "X-Vault-Token",
    "X-Amz-Security-Token",
    "X-API-Key",
    "X-Goog-Api-Key",
    "Apikey",
    "X-Auth-Token",
    "X-Access-Token",
    "X-Partner-Key",
    "Ocp-Apim-Subscription-Key",
    "X-Hasura-Admin-Secret",
    "Cookie",
    "Cookie2",
    "Proxy-Authorization",
    "Signature",
    "X-CSRF-Token",
    "Origin",
    "Sec-Fetch-Site",
    "User-Agent",
];

async fn connect(gateway: &Isolate, more: Value) -> String {
    let mut body = json!({
        "source_chitty_id": "CHITTY-PEO-a", "source_type": "actor", "target_service": "partner",
        "target_endpoint": "https://api.partner.example/v1", "scopes": ["read", "write"],
    });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    let made = gateway.post("/v1/connections", "dev-a", &body).await;
    assert_eq!(made.status, 201, "{made:?}");
    made.json["connection"]["connection_id"].as_str().unwrap().to_owned()
}

async fn through(gateway: &Isolate, id: &str, path: &str) -> Answer {
    gateway.get(&format!("/v1/connections/{id}/proxy/{path}"), Some("dev-a")).await
}

fn names(sent: &OutsideRequest) -> Vec<&str> {
    let mut names: Vec<&str> = sent.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_target_hears_of_the_caller_what_it_may_hear() {
    let (world, gateway) = World::warm();
    run(async {
        let key = json!({"type": "api_key", "key": "k", "header": "X-Stored-Key"});
        let elsewhere = connect(&gateway, json!({"credentials": key})).await;
        let cases = json!({"target_service": "cases", "target_endpoint": null, "check_path": null});
        let chittyos = connect(&gateway, cases).await;
        for (id, own) in [(&elsewhere, &["x-custom", "x-stored-key"][..]), (&chittyos, &[])] {
            let mut request = TestRequest::new("POST", &format!("/v1/connections/{id}/proxy/x"))
                .token("dev-a")
                .header("accept", "text/plain")
                .header("accept-language", "de")
                .header("content-type", "text/plain")
                .header("idempotency-key", "i")
                .header("if-match", "\"1\"")
                .header("range", "bytes=0-1")
                .header("x-custom", "1")
                .header("x-stored-key", "callers-own")
                .header("tracestate", "a=1")
                .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
                .body("b");
            for name in NEVER {
                request = request.header(&name.to_ascii_lowercase(), "callers-own");
            }
            world.outside.take();
            assert_eq!(gateway.send(request).await.status, 200);
            let sent = world.outside.take().remove(0);
            let mut expected = vec![
                "accept",
                "accept-language",
                "content-type",
                "idempotency-key",
                "if-match",
                "range",
                "traceparent",
                "tracestate",
                "user-agent",
                "x-request-id",
            ];
            expected.extend(own);
            expected.sort_unstable();
            assert_eq!(names(&sent), expected);
            assert!(!format!("{sent:?}").contains("callers-own"), "{sent:?}");
        }
    });
}

#[test]
fn a_read_only_token_does_not_write_by_another_name_of_the_method() {
    let (world, gateway) = World::warm();
    run(async {
        let id = connect(&gateway, json!({})).await;
        for query in ["_method=DELETE", "x=1&httpMethod=put", "method=%70atch"] {
            let refused = through(&gateway, &id, &format!("x?{query}")).await;
            assert_eq!((refused.status, refused.code()), (422, "validation_failed"), "{query}");
        }
        assert!(world.outside.take().is_empty());
        assert_eq!(through(&gateway, &id, "x?method=flickr.photos.search").await.status, 200);
    });
}

#[test]
fn no_path_leaves_the_endpoint_in_any_reading() {
    let (world, gateway) = World::warm();
    run(async {
        let id = connect(&gateway, json!({})).await;
        for path in [
            "..;/admin",
            "x/..;/..;/admin",
            "%2e%2e;/admin",
            "..;a=b/admin",
            ".;/x",
            "..%3b/admin",
            "..%253b/admin",
            "%252e%252e;/x",
            "%c0%ae%c0%ae/x",
            "..%c0%afx",
            "%e0%80%ae%e0%80%ae/x",
            "%u002e%u002e/x",
            "..%23/x",
            "..%3f/x",
            "..%20/x",
            "..%09/x",
            "%ef%bc%8e%ef%bc%8e/x",
            "a%ef%bc%8f..%ef%bc%8fx",
            "%5c..%5cx",
            "%25%32%65%25%32%65/x",
            "%zz",
            "a%2f..;%2fx",
        ] {
            let refused = through(&gateway, &id, path).await;
            assert_eq!((refused.status, refused.code()), (422, "validation_failed"), "{path}");
        }
        assert!(world.outside.take().is_empty(), "nothing went out");
        // A redirect is judged as a path is.
        world.outside.set(|_| {
            let headers = vec![("location".to_owned(), "/v1/..;/admin".to_owned())];
            Ok(OutsideResponse { status: 302, headers, body: Vec::new() })
        });
        assert_eq!(through(&gateway, &id, "x").await.code(), "target_redirected");
    });
}

#[test]
fn no_connection_leads_back_into_the_gateway_or_with_a_credential_into_chittyos() {
    let (world, gateway) = World::warm();
    run(async {
        for service in ["api", "connect", "ChittyConnect", "mcp", "connect-staging"] {
            for endpoint in [json!(null), json!("https://api.partner.example")] {
                let body = json!({
                    "source_chitty_id": "CHITTY-PEO-a", "source_type": "actor",
                    "target_service": service, "target_endpoint": endpoint,
                });
                let refused = gateway.post("/v1/connections", "dev-a", &body).await;
                assert_eq!(refused.code(), "validation_failed", "{service} {endpoint}");
            }
        }
        for own in ["token_endpoint", "revocation_endpoint"] {
            for url in
                ["https://auth.chitty.cc/x", "https://connect.chitty.cc", "https://a.ch1tty.com"]
            {
                let mut credential = json!({
                    "type": "oauth", "token_endpoint": "https://login.partner.example/token",
                    "client_id": "c", "refresh_token": "r",
                });
                credential[own] = json!(url);
                let body = json!({
                    "source_chitty_id": "CHITTY-PEO-a", "source_type": "actor",
                    "target_service": "partner", "target_endpoint": "https://api.partner.example",
                    "credentials": credential,
                });
                let refused = gateway.post("/v1/connections", "dev-a", &body).await;
                let pointer = format!("/credentials/{own}");
                assert_eq!(refused.json["errors"][0]["pointer"], pointer, "{url}");
            }
        }
        assert!(world.outside.take().is_empty());
    });
}

#[test]
fn what_was_stored_before_there_was_a_rule_is_not_used_against_it() {
    let (world, gateway) = World::warm();
    run(async {
        let id = connect(&gateway, json!({"credentials": {"type": "bearer", "token": "t"}})).await;
        let store = |credential: &Credential| {
            let sealed = secrets::seal(&gateway.app, &id, credential).unwrap().text;
            world.db.execute(&format!("UPDATE connection_secrets SET sealed = '{sealed}'"));
        };
        store(&Credential::ApiKey { key: "k".to_owned(), header: "x-chittyid".to_owned() });
        assert_eq!(through(&gateway, &id, "x").await.code(), "credential_unavailable");
        store(&Credential::Oauth(Oauth {
            token_endpoint: "https://auth.chitty.cc/token".to_owned(),
            revocation_endpoint: None,
            client_id: "c".to_owned(),
            client_secret: None,
            refresh_token: "r".to_owned(),
            access_token: None,
            expires_at_ms: None,
        }));
        assert_eq!(through(&gateway, &id, "x").await.code(), "credential_unavailable");
        store(&Credential::Bearer { token: "t".to_owned() });
        assert_eq!(through(&gateway, &id, "x").await.status, 200);
        world.outside.take();
        for place in [
            "target_endpoint = 'https://api.partner.example/..;/x'",
            "target_endpoint = 'https://mcp.ch1tty.com'",
            "target_service = 'api', target_endpoint = NULL",
        ] {
            world.db.execute(&format!("UPDATE connections SET {place}"));
            assert_eq!(through(&gateway, &id, "x").await.code(), "connection_inactive", "{place}");
            let patch =
                json!({"credentials": {"type": "bearer", "token": "t"}, "check_path": "/x"});
            let path = format!("/v1/connections/{id}");
            let refused = gateway.patch(&path, "dev-a", &patch).await;
            assert_eq!(refused.code(), "connection_inactive", "{place}");
        }
        assert!(world.outside.take().is_empty(), "nothing went out");
    });
}

#[test]
fn a_row_of_another_rule_keeps_no_other_from_its_check() {
    let (world, gateway) = World::warm_with(&[("GITHUB_APP_ID", None)]);
    run(async {
        let old = connect(&gateway, json!({"check_path": "/health"})).await;
        let more = json!({"check_path": "/health", "target_endpoint": "https://b.partner.example"});
        let good = connect(&gateway, more).await;
        let place = "https://api.partner.example/%c0%ae";
        world.db.execute(&format!(
            "UPDATE connections SET target_endpoint = '{place}' WHERE connection_id = '{old}'"
        ));
        world.outside.take();
        for _ in 0..3 {
            world.advance_ms(400_000);
            tasks::scheduled(&gateway.app).await;
            let asked: Vec<String> =
                world.outside.take().into_iter().map(|call| call.url).collect();
            assert_eq!(asked, ["https://b.partner.example/health"]);
        }
        for (id, status) in [(&old, "failed"), (&good, "active")] {
            let shown = gateway.get(&format!("/v1/connections/{id}"), Some("dev-a")).await;
            assert_eq!(shown.json["status"], status);
        }
    });
}

#[test]
fn of_an_answer_comes_back_what_describes_it() {
    let (world, gateway) = World::warm();
    run(async {
        let id = connect(&gateway, json!({})).await;
        let kept = [
            ("etag", "\"1\""),
            ("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT"),
            ("content-language", "de"),
            ("content-disposition", "attachment"),
            ("vary", "accept"),
            ("retry-after", "3"),
            ("x-total-count", "7"),
            ("link", "<https://api.partner.example/v1/x?page=2>; rel=\"next\""),
        ];
        let gone = [
            "nel",
            "report-to",
            "reporting-endpoints",
            "accept-ch",
            "critical-ch",
            "speculation-rules",
            "ratelimit",
            "ratelimit-policy",
            "x-ratelimit-remaining",
            "idempotency-replayed",
            "clear-site-data",
            "service-worker-allowed",
            "alt-svc",
            "strict-transport-security",
            "access-control-allow-origin",
            "x-request-id",
            "set-cookie",
            "set-login",
            "content-location",
            "permissions-policy",
            "x-frame-options",
            "sourcemap",
            "server-timing",
            "x-accel-redirect",
            "x-chittyid",
            "refresh",
            "www-authenticate",
        ];
        let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let mut headers: Vec<(String, String)> = kept.into_iter().map(pair).collect();
        headers.extend(gone.map(|name| pair((name, "targets-own"))));
        headers.push(pair(("link", "<https://e.example/x>; rel=preload")));
        world.outside.set(move |_| {
            Ok(OutsideResponse { status: 200, headers: headers.clone(), body: b"{}".to_vec() })
        });
        let answer = through(&gateway, &id, "x").await;
        assert_eq!(answer.status, 200);
        for (name, value) in kept {
            assert_eq!(answer.headers.get(name).map(String::as_str), Some(value), "{name}");
        }
        assert!(!format!("{:?}", answer.headers).contains("targets-own"), "{:?}", answer.headers);
    });
}

#[test]
fn bodies_that_pass_are_held_within_bounds_and_given_back() {
    let (world, gateway) = World::warm();
    run(async {
        let id = connect(&gateway, json!({})).await;
        world.outside.set(|_| {
            let body = vec![b'x'; 4 << 20];
            Ok(OutsideResponse { status: 200, headers: Vec::new(), body })
        });
        let memory = &PassingBodies::of(&gateway.app).0;
        let most = std::cell::Cell::new(0);
        let base = format!("/v1/connections/{id}/proxy/x");
        let requests = (0..20).map(|_| async {
            let post = TestRequest::new("POST", &base).token("dev-a").body(vec![0; 1 << 20]);
            let answer = gateway.send(post).await;
            most.set(memory.held_bytes().max(most.get()));
            answer
        });
        let answers = join_all(requests).await;
        let full = answers.iter().filter(|answer| answer.code() == "not_ready").count();
        let good = answers.iter().filter(|answer| answer.status == 200).count();
        assert!(full > 0 && good > 0 && full + good == 20, "{full} {good}");
        assert!(
            answers
                .iter()
                .all(|answer| answer.status == 200 || answer.headers["retry-after"] == "5")
        );
        assert!(most.get() <= proxy::MAX_HELD_BYTES);
        assert_eq!(memory.held_bytes(), 0, "all of it is given back");
        assert_eq!(through(&gateway, &id, "x").await.status, 200);
    });
}

#[test]
fn a_body_that_stalls_holds_no_more_than_has_come_of_it() {
    let (world, gateway) = World::warm();
    run(async {
        let id = connect(&gateway, json!({})).await;
        let memory = &PassingBodies::of(&gateway.app).0;
        let most = std::cell::Cell::new(0);
        let path = format!("/v1/connections/{id}/proxy/x");
        let mut request = TestRequest::new("POST", &path).token("dev-a").body(vec![0; 1 << 20]);
        request.stalls_after = Some(1);
        let look = async {
            loop {
                most.set(memory.held_bytes().max(most.get()));
                yield_now().await;
            }
        };
        let ended: Option<(_, ())> = killed_after(200, join(gateway.send(request), look)).await;
        assert!(ended.is_none());
        // It comes in two pieces, of which the second never does.
        assert_eq!(most.get(), (1 << 19) + 1);
        assert_eq!(memory.held_bytes(), 0, "it is given back with the request");
        assert!(world.outside.take().iter().all(|call| !call.url.ends_with("/x")));
    });
}
