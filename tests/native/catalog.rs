//! The catalog of services: what everybody may ask about them, and that it is answered whatever is down.

use chitty_core::TransportError;
use chittyconnect::tasks;
use futures_util::future::join;
use serde_json::{Value, json};

use crate::world::outside::answer;
use crate::world::{Answer, Behaviour, Fault, Isolate, TestRequest, World, run, simulate};

const DOCUMENT: &str = "/.well-known/chitty.json";

/// How many services are built in.
const BUILT_IN: usize = 46;

/// How many of them chitty-core has clients for, which are watched.
const CORE: usize = 12;

fn tool(name: &str, url: &str) -> Value {
    json!({"name": name, "endpoints": [url, format!("{url}/health")], "status": "active"})
}

fn list(world: &World, tools: &[(&str, &str)]) {
    *world.services.tools.borrow_mut() = tools.iter().map(|(name, url)| tool(name, url)).collect();
}

fn asked(world: &World) -> usize {
    let calls = world.services.calls("registry");
    calls.iter().filter(|call| call.url.ends_with("/api/v1/tools")).count()
}

/// Puts a registration on record, as if it had been made here.
fn register(world: &World, name: &str, is_confirmed: bool, status: &str) {
    let at = seams::time::iso8601(world.clock_ms());
    let confirmed = i64::from(is_confirmed);
    world.db.execute(&format!(
        "INSERT INTO registered_services (name, shown_name, owner, is_confirmed, host, version, \
         capabilities, status, created_at, updated_at, revision) VALUES ('{name}', \
         'chitty{name}', 'actor:CHITTY-PEO-a', {confirmed}, '{name}', '1.2.3', '[\"api\"]', \
         '{status}', '{at}', '{at}', 'r1'); \
         UPDATE registry_refresh SET catalog_version = catalog_version + 1"
    ));
}

async fn document(gateway: &Isolate) -> Answer {
    let answer = gateway.get(DOCUMENT, None).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer
}

/// The service of a name in a document or a list.
fn named<'a>(answer: &'a Answer, name: &str) -> Option<&'a Value> {
    answer.json["services"].as_array().unwrap().iter().find(|one| one["name"] == name)
}

fn names(answer: &Answer) -> Vec<&str> {
    let services = answer.json["services"].as_array().unwrap();
    services.iter().map(|one| one["name"].as_str().unwrap()).collect()
}

/// Every text in a value.
fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(members) => members.values().for_each(|member| texts(member, found)),
        _ => {}
    }
}

#[test]
fn the_document_is_one_line_and_every_address_of_this_gateway_in_it_answers() {
    let (world, gateway) = World::warm();
    run(async {
        let found = document(&gateway).await;
        assert!(!found.text.contains(['\n', '\r']), "{}", found.text);
        assert!(
            found.text.starts_with(r#"{"version":"1.0.0","ecosystem":"ChittyOS","updated_at":""#)
        );
        assert!(found.headers["cache-control"].contains("max-age=60"));
        assert_eq!(found.headers["access-control-allow-origin"], "*");
        let json = &found.json;
        assert_eq!(json["endpoints"]["connect_base"], "http://localhost:8787");
        assert_eq!(json["endpoints"]["auth"], "http://services/auth");
        assert_eq!(
            json["capabilities"]["api"]["authentication"],
            json!(["api_key", "bearer_token"])
        );
        assert_eq!(json["capabilities"]["mcp"]["tools_count"], 0);
        for absent in [
            &json["endpoints"]["jwks"],
            &json["capabilities"]["services"]["register"],
            &json["context_sync"],
        ] {
            assert_eq!(absent, &Value::Null, "it comes with what it names");
        }
        let id = named(&found, "chittyid").unwrap();
        let members =
            ["url", "mcp", "direct_mcp", "api", "direct_api", "health", "status", "verified"];
        assert!(members.iter().all(|member| !id[*member].is_null()), "{id}");
        assert_eq!(id["health"], "http://services/id/health");
        assert_eq!(named(&found, "chittytask").unwrap()["url"], "http://services/tasks");
        let own = named(&found, "chittyconnect").unwrap();
        assert_eq!((&own["status"], &own["mcp"]), (&json!("active"), &Value::Null));

        let mut all = Vec::new();
        texts(json, &mut all);
        let own: Vec<&str> =
            all.iter().filter_map(|text| text.strip_prefix("http://localhost:8787")).collect();
        assert!(own.len() > 8, "{own:?}");
        // The page is a static file.
        for path in own.into_iter().filter(|path| *path != "/docs") {
            let answer = gateway.get(if path.is_empty() { "/" } else { path }, None).await;
            assert!(matches!(answer.status, 200 | 401), "{path}: {}", answer.text);
        }
        let head = gateway.send(TestRequest::new("HEAD", DOCUMENT)).await;
        assert_eq!((head.status, head.text.as_str()), (200, ""));
        let from = TestRequest::new("GET", DOCUMENT).header("origin", "https://app.chitty.cc");
        assert_eq!(gateway.send(from).await.headers["access-control-allow-origin"], "*");
        assert_eq!(asked(&world), 0, "nobody is asked for it");
    });
}

#[test]
fn it_comes_from_memory_and_is_read_at_most_once_a_minute() {
    let (world, gateway) = World::warm();
    run(async {
        for (pause_ms, calls) in [(0, 1), (1, 0), (59_998, 0), (1, 1), (30_000, 0)] {
            world.advance_ms(pause_ms);
            world.db.reset_calls();
            document(&gateway).await;
            gateway.get("/api/services", None).await;
            gateway.get("/api/services/chittyid", None).await;
            assert_eq!(world.db.calls(), calls, "{pause_ms}");
        }
        // One request reads for all.
        world.advance_ms(60_000);
        world.db.reset_calls();
        join(document(&gateway), document(&gateway)).await;
        assert_eq!(world.db.calls(), 1);
        let fresh = world.isolate();
        join(document(&fresh), document(&fresh)).await;
        let reads = world.db.log().iter().filter(|sql| sql.contains("AS registered")).count();
        assert_eq!(reads, 4, "those of this test");
    });
}

#[test]
fn its_tag_stays_while_nothing_changes_and_changes_with_any_change() {
    let (world, gateway) = World::warm();
    run(async {
        list(&world, &[("chittyalmanac", "https://almanac.chitty.cc")]);
        tasks::scheduled(&gateway.app).await;
        let tags = async || {
            let mut tags = Vec::new();
            for path in [DOCUMENT, "/api/services", "/api/services/almanac"] {
                let answer = gateway.get(path, None).await;
                tags.push(answer.headers["etag"].clone());
                let again =
                    TestRequest::new("GET", path).header("if-none-match", &tags[tags.len() - 1]);
                let again = gateway.send(again).await;
                assert_eq!((again.status, again.text.as_str()), (304, ""), "{path}");
                assert_eq!(again.headers["etag"], answer.headers["etag"]);
            }
            tags
        };
        let first = tags().await;
        let before = document(&gateway).await.json["registry"]["refreshed_at"].clone();
        world.advance_ms(300_000);
        tasks::scheduled(&gateway.app).await;
        assert_eq!(asked(&world), 2);
        let after = document(&gateway).await.json["registry"]["refreshed_at"].clone();
        assert_ne!(before, after);
        assert_eq!(tags().await, first, "the same list once more");

        register(&world, "almanac", true, "degraded");
        world.advance_ms(60_000);
        let second = tags().await;
        assert!(first.iter().zip(&second).all(|(one, other)| one != other));
        let entry = gateway.get("/api/services/ChittyAlmanac", None).await.json;
        assert_eq!((&entry["status"], &entry["version"]), (&json!("degraded"), &json!("1.2.3")));
        list(&world, &[("chittyalmanac", "https://eu.almanac.chitty.cc")]);
        world.advance_ms(300_000);
        tasks::scheduled(&gateway.app).await;
        assert_ne!(tags().await[0], second[0]);
    });
}

#[test]
fn while_the_registry_is_down_its_last_list_stays_and_is_marked_stale() {
    let (world, gateway) = World::warm();
    run(async {
        let never = document(&gateway).await.json["registry"].clone();
        assert_eq!(never, json!({"refreshed_at": null, "stale": true}));
        list(&world, &[("chittyalmanac", "https://almanac.chitty.cc")]);
        tasks::scheduled(&gateway.app).await;
        world.services.set("registry", Behaviour::Answer(503, "{}".to_owned()));
        let mut last = None;
        for minute in 0..30 {
            let found = document(&gateway).await;
            assert_eq!(found.json["registry"]["stale"], minute >= 10, "{minute}");
            assert!(named(&found, "chittyalmanac").is_some());
            if minute == 10 {
                assert_ne!(last, Some(found.headers["etag"].clone()), "that is a change");
            }
            last = Some(found.headers["etag"].clone());
            world.advance_ms(60_000);
            tasks::scheduled(&gateway.app).await;
        }
        let error = world.db.cell("SELECT last_error FROM registry_refresh").unwrap();
        assert_eq!(error, "unavailable");
        world.services.set("registry", Behaviour::Work);
        world.advance_ms(60_000);
        tasks::scheduled(&gateway.app).await;
        assert_eq!(document(&gateway).await.json["registry"]["stale"], false);
        assert_eq!(world.db.cell("SELECT last_error FROM registry_refresh").unwrap(), "NULL");
        let page = gateway.get("/metrics", None).await.text;
        let stored = "chittyconnect_discovery_refreshes_total{outcome=\"stored\"} 2";
        assert!(page.contains(stored), "{page}");
        assert!(page.contains("chittyconnect_discovery_refreshes_total{outcome=\"unread\"} "));
    });
}

#[test]
fn while_the_database_is_down_there_is_a_copy_and_the_document_is_never_empty() {
    let (world, gateway) = World::warm();
    run(async {
        list(&world, &[("chittyalmanac", "https://almanac.chitty.cc")]);
        tasks::scheduled(&gateway.app).await;
        world.db.set_fault(|_| Fault::Before);
        world.advance_ms(120_000);
        // An isolate that has been here before.
        assert!(named(&document(&gateway).await, "chittyalmanac").is_some());
        // A new one, which takes the copy in KV.
        let fresh = world.isolate();
        let copied = document(&fresh).await;
        assert!(named(&copied, "chittyalmanac").is_some());
        assert_eq!(copied.json["registry"]["stale"], false);
        let unknown = fresh.get("/api/services/nobody", None).await;
        assert_eq!((unknown.status, unknown.code()), (404, "not_found"));
        // And one that has nothing at all.
        world.cache.mute.set(true);
        let bare = world.isolate();
        let built_in = document(&bare).await;
        assert_eq!(names(&built_in).len(), BUILT_IN + 1);
        assert_eq!(built_in.json["registry"]["stale"], true);
        assert_eq!(bare.get("/api/services/cases", None).await.status, 200);
        let unread = bare.get("/api/services/almanac", None).await;
        assert_eq!((unread.status, unread.code()), (503, "storage_unavailable"), "not: none");
        assert_eq!(bare.get("/api/services/status", None).await.status, 200);

        world.db.set_fault(|_| Fault::None);
        world.cache.mute.set(false);
        world.advance_ms(5_000);
        assert_eq!(bare.get("/api/services/almanac", None).await.status, 200);
        // Without KV too, and when the copy cannot be put there.
        world.cache.down.set(true);
        world.advance_ms(300_000);
        tasks::scheduled(&gateway.app).await;
        assert!(named(&document(&gateway).await, "chittyalmanac").is_some());
    });
}

#[test]
fn a_service_that_has_moved_is_shown_where_this_deployment_calls_it() {
    let (world, gateway) = World::warm();
    run(async {
        list(
            &world,
            &[
                ("chittydna", "https://eu.dna.chitty.cc"),
                ("chittycases", "https://chittycases.chitty.cc"),
                ("chittyauth", "https://eu.auth.chitty.cc"),
                ("chittyledger", "https://evil.chitty.cc"),
                ("ChittyAlmanac", "https://eu.almanac.chitty.cc"),
                ("chittytasks", "https://eu.tasks.chitty.cc"),
            ],
        );
        tasks::scheduled(&gateway.app).await;
        let found = document(&gateway).await;
        for (name, url) in [
            ("chittydna", "http://services/eu.dna"),
            ("chittycases", "http://services/chittycases"),
            ("chittyauth", "http://services/auth"),
            ("chittyledger", "http://services/ledger"),
            ("ChittyAlmanac", "http://services/eu.almanac"),
            ("chittytask", "http://services/eu.tasks"),
        ] {
            let service = named(&found, name).unwrap();
            assert_eq!(service["url"], url, "{name}");
            assert_eq!(service["direct_api"], format!("{url}/api"), "{name}");
        }
        assert!(named(&found, "chittytasks").is_none(), "it is the same service");
    });
}

#[test]
fn only_names_that_a_shell_leaves_alone_are_listed_and_many_fit() {
    let (world, gateway) = World::warm();
    run(async {
        let mut tools: Vec<Value> = (0..1100)
            .map(|n| tool(&format!("chittys{n:04}"), &format!("https://s{n:04}.chitty.cc")))
            .collect();
        for name in ["$(id)", "a b", "*", "-n", "`id`", "a;b", "../x", "keys", "status", "a_b"] {
            tools.insert(0, tool(name, &format!("https://{name}.chitty.cc")));
        }
        *world.services.tools.borrow_mut() = tools;
        tasks::scheduled(&gateway.app).await;
        for n in 0..120 {
            register(&world, &format!("unconfirmed{n:03}"), false, "registered");
        }
        for name in ["rain", "a b", "$(id)"] {
            register(&world, name, true, "deployed");
        }
        world.advance_ms(60_000);
        for path in [DOCUMENT, "/api/services", "/api/registry/services"] {
            let found = gateway.get(path, None).await;
            let names = names(&found);
            // `keys` is one of the registry's thousand, and not in the catalog.
            assert_eq!(names.len(), BUILT_IN + 1 + 999 + 100 + 1, "{path}");
            let is_plain = |name: &&str| {
                name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                    && !name.starts_with('-')
            };
            assert!(names.iter().all(is_plain), "{names:?}");
            assert!(names.is_sorted());
            assert!(found.text.len() < 1_000_000 && !found.text.contains('\n'), "{path}");
            assert!(named(&found, "chittyrain").is_some(), "confirmed ones go first");
        }
    });
}

#[test]
fn an_unknown_name_asks_the_registry_at_most_twice_a_minute() {
    let (world, one) = World::warm();
    run(async {
        let two = world.isolate();
        for _ in 0..5 {
            for isolate in [&one, &two] {
                let unknown = isolate.get("/api/services/nobody", None).await;
                assert_eq!((unknown.status, unknown.code()), (404, "not_found"));
            }
        }
        assert_eq!(asked(&world), 1);
        list(&world, &[("chittynobody", "https://nobody.chitty.cc")]);
        world.advance_ms(29_999);
        assert_eq!(one.get("/api/discover/nobody", None).await.status, 404);
        assert_eq!(asked(&world), 1);
        world.advance_ms(5_000);
        let found = one.get("/api/discover/Chitty%4Eobody", None).await;
        assert_eq!((found.status, &found.json["url"]), (200, &json!("http://services/nobody")));
        assert_eq!(two.get("/api/services/nobody", None).await.status, 200, "from the database");
        assert_eq!(asked(&world), 2);
        // What can be no name asks nobody.
        world.advance_ms(60_000);
        for odd in ["$(id)", "a%20b", "..", "keys", "connect-staging", "%2e%2e%2fx", "x.y"] {
            let refused = one.get(&format!("/api/services/{odd}"), None).await;
            assert_eq!(refused.status, 404, "{odd}");
        }
        assert_eq!(asked(&world), 2);
        // A registry that hangs is no reason to refuse.
        world.services.set("registry", Behaviour::Hang);
        assert_eq!(one.get("/api/services/somebody", None).await.status, 404);
    });
}

#[test]
fn what_one_isolate_has_stored_the_others_show_after_their_next_handover() {
    let (world, _) = World::warm();
    let vars = [("HANDOVER_SECONDS", Some("3"))];
    let (one, two) = (world.isolate_with(&vars), world.isolate_with(&vars));
    run(async {
        list(&world, &[("chittyalmanac", "https://almanac.chitty.cc")]);
        join(document(&one), document(&two)).await;
        assert_eq!(asked(&world), 1, "in the background, by one of them");
        for isolate in [&one, &two] {
            document(isolate).await;
            assert!(named(&document(isolate).await, "chittyalmanac").is_some());
        }
        register(&world, "rain", true, "deployed");
        world.advance_ms(10_000);
        assert!(named(&document(&two).await, "chittyrain").is_none(), "its copy is fresh");
        let after = document(&two).await;
        assert_eq!(named(&after, "chittyrain").unwrap()["status"], "active");
    });
}

#[test]
fn a_state_is_what_the_watch_says_while_it_says_something() {
    let (world, gateway) = World::warm();
    world.objects.awake.set(true);
    run(async {
        list(&world, &[("chittyid", "https://id.chitty.cc")]);
        world.services.tools.borrow_mut()[0]["status"] = "degraded".into();
        tasks::scheduled(&gateway.app).await;
        let status = async || {
            let found = document(&gateway).await;
            named(&found, "chittyid").unwrap()["status"].as_str().unwrap().to_owned()
        };
        world.advance_ms(60_000);
        assert_eq!(status().await, "active");
        world.db.execute("UPDATE service_connections SET state = 'RECONNECTING', is_down = 1");
        world.advance_ms(60_000);
        assert_eq!(status().await, "down");
        world.db.execute("UPDATE service_connections SET is_down = 0");
        world.advance_ms(60_000);
        assert_eq!(status().await, "degraded");
        world.db.execute("UPDATE service_connections SET state = 'CONNECTED'");
        world.advance_ms(60_000);
        assert_eq!(status().await, "active");
        world.advance_ms(120_000);
        assert_eq!(
            status().await,
            "degraded",
            "the watch is silent, so the registry's word counts"
        );
    });
}

#[test]
fn callers_of_the_predecessor_find_a_service() {
    let (_, gateway) = World::warm();
    run(async {
        // By its name in any form, and without a credential.
        for name in ["chittyid", "id", "ChittyID", "CHITTYID"] {
            let asks = TestRequest::new("GET", &format!("/api/discover/{name}"));
            let found = gateway.send(asks.header("x-source-service", "chittycommand")).await;
            let expected = json!({
                "success": true, "service": "chittyid", "name": "chittyid",
                "url": "http://services/id", "health": "http://services/id/health",
                "status": "unknown",
            });
            assert_eq!((found.status, &found.json), (200, &expected), "{name}");
            for path in ["/api/services", "/api/registry/services"] {
                let entry = gateway.get(&format!("{path}/{name}"), None).await;
                assert_eq!(entry.json["id"], "id", "{}", entry.text);
                assert_eq!(entry.json["sources"], json!(["catalog"]));
                assert_eq!(entry.json["version"], Value::Null);
            }
        }
        assert_eq!(gateway.get("/api/services/chittyconnect", None).await.json["id"], "connect");

        let discover = async |body: Option<Value>| {
            let request = TestRequest::new("POST", "/api/v1/connect/discover");
            gateway.send(body.map_or(request.clone(), |body| request.json(&body))).await
        };
        for body in [None, Some(json!({})), Some(json!(null)), Some(json!({"service": null}))] {
            let all = discover(body).await;
            assert_eq!(all.json["metadata"]["count"], BUILT_IN + 1, "{}", all.text);
            assert_eq!(all.json["metadata"]["timestamp"], "2026-01-02T03:04:05.000Z");
            assert!(all.json.get("url").is_none());
        }
        let one = discover(Some(json!({"service": "ChittyCases"}))).await;
        assert_eq!(
            (&one.json["service"], &one.json["url"]),
            (&json!("chittycases"), &json!("http://services/cases"))
        );
        for (body, status, code) in [
            (json!({"service": "nobody"}), 404, "not_found"),
            (json!({"service": "a b"}), 422, "validation_failed"),
            (json!({"service": 7}), 422, "validation_failed"),
            (json!({"name": "cases"}), 422, "unknown_field"),
            (json!([]), 422, "validation_failed"),
        ] {
            let refused = discover(Some(body.clone())).await;
            assert_eq!((refused.status, refused.code()), (status, code), "{body}");
        }
        let unread = gateway.get("/api/discover/cases?verbose=1", None).await;
        assert_eq!(unread.code(), "unknown_parameter");
    });
}

#[test]
fn a_caller_learns_who_it_is_in_the_predecessors_words() {
    let (_, gateway) = World::warm_with(&[("RATE_LIMIT_READ", Some("100"))]);
    run(async {
        let whoami = async |token: &str| gateway.get("/api/registry/whoami", Some(token)).await;
        let new = whoami("dev-a").await.json;
        assert_eq!(new["success"], true);
        let data = &new["data"];
        let tenant = json!({
            "chitty_id": "CHITTY-PEO-a", "name": "CHITTY-PEO-a", "account_type": "standard",
        });
        assert_eq!(data["tenant"], tenant);
        assert_eq!(data["scopes"], json!(["read", "write"]));
        assert_eq!(data["quota"], json!({"storage_bytes": null, "api_calls_remaining": 99}));
        assert_eq!(
            (&data["credential"]["type"], &data["credential"]["id"]),
            (&json!("token"), &Value::Null)
        );
        assert_eq!(data["session"]["last_activity"], "2026-01-02T03:04:05.000Z");
        let body = json!({"actor_type": "ai", "display_name": "Ada"});
        gateway.post("/v1/actors/register", "dev-a", &body).await;
        let tenant = json!({"chitty_id": "CHITTY-PEO-a", "name": "Ada", "account_type": "ai"});
        assert_eq!(whoami("dev-a").await.json["data"]["tenant"], tenant);

        let body = json!({"name": "n", "scopes": ["actors:read"], "expires_in_seconds": 600});
        let key = gateway.post("/v1/keys", "dev-a", &body).await.json["key"].clone();
        let by_key = whoami(key["key"].as_str().unwrap()).await.json["data"].clone();
        assert_eq!(by_key["credential"]["type"], "key");
        assert_eq!(by_key["credential"]["id"], key["key_id"]);
        assert_eq!(by_key["credential"]["expires_at"], key["expires_at"]);
        assert_eq!(by_key["scopes"], json!(["actors:read"]));
        let body = json!({"target_service": "connect", "scopes": ["read"]});
        let made = gateway.post("/v1/delegate", "dev-a", &body).await.json["delegation"].clone();
        let delegated = whoami(made["token"].as_str().unwrap()).await.json["data"].clone();
        assert_eq!(delegated["credential"]["type"], "delegation");
        assert_eq!(delegated["credential"]["id"], made["token_id"]);
        assert_eq!(whoami("dev-a+contexts:read").await.code(), "insufficient_scope");
        assert_eq!(gateway.get("/api/registry/whoami", None).await.status, 401);
    });
}

#[test]
fn questions_about_single_services_count_for_the_address_and_the_document_does_not() {
    let (world, gateway) = World::warm_with(&[("RATE_LIMIT_PUBLIC", Some("4"))]);
    run(async {
        let ask = |path: &str, address: &str| {
            gateway.send(TestRequest::new("GET", path).header("cf-connecting-ip", address))
        };
        let paths = [
            "/api/services/id",
            "/api/discover/id",
            "/api/services/id/status",
            "/api/services/status",
        ];
        for path in paths {
            let answer = ask(path, "192.0.2.1").await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text);
            assert!(answer.headers["ratelimit"].starts_with("\"public\";r="), "{path}");
        }
        let refused = ask("/api/registry/services/id", "192.0.2.1").await;
        assert_eq!(refused.code(), "rate_limited");
        let discover = TestRequest::new("POST", "/api/v1/connect/discover");
        let discover = discover.header("cf-connecting-ip", "192.0.2.1");
        assert_eq!(gateway.send(discover).await.code(), "rate_limited");
        assert_eq!(ask("/api/services/id", "192.0.2.2").await.status, 200);
        for path in [DOCUMENT, "/api/services", "/api/registry/services"] {
            let answer = ask(path, "192.0.2.1").await;
            assert_eq!((answer.status, answer.headers.get("ratelimit")), (200, None), "{path}");
        }
        world.advance_ms(60_000);
        world.limiter.counts.borrow_mut().clear();
        assert_eq!(ask("/api/services/id", "192.0.2.1").await.status, 200);
    });
}

/// The health of a service, in the answer about all of them.
fn health<'a>(answer: &'a Answer, name: &str) -> &'a Value {
    &answer.json["services"][name]
}

#[test]
fn the_watched_services_are_not_asked_and_the_others_once_for_everybody() {
    let (world, gateway) = World::warm();
    world.objects.awake.set(true);
    run(async {
        tasks::scheduled(&gateway.app).await;
        world.services.reset_calls();
        world.outside.take();
        let all = gateway.get("/api/services/status", None).await;
        assert_eq!(all.status, 200, "{}", all.text);
        assert_eq!(all.json["services"].as_object().unwrap().len(), BUILT_IN + 1);
        let id = health(&all, "chittyid");
        assert_eq!(
            (&id["serviceId"], &id["url"]),
            (&json!("chittyid"), &json!("http://services/id"))
        );
        assert_eq!((&id["status"], &id["statusCode"]), (&json!("healthy"), &json!(200)));
        assert!(id["lastChecked"].is_string() && id["latency_ms"].is_u64(), "{id}");
        assert_eq!(health(&all, "chittyconnect")["status"], "healthy");
        let cases = health(&all, "chittycases");
        assert_eq!((&cases["status"], &cases["statusCode"]), (&json!("healthy"), &json!(200)));
        assert!(world.services.calls("id").is_empty());
        let calls = world.outside.take();
        assert_eq!(calls.len(), BUILT_IN - CORE);
        for call in &calls {
            assert!(call.url.ends_with("/health"), "{}", call.url);
            let secret = call.headers.iter().find(|(name, _)| name == "authorization");
            assert_eq!(secret, None, "{}", call.url);
        }
        let again = gateway.get("/api/services/status", None).await;
        assert_eq!(again.text, all.text);
        assert!(world.outside.take().is_empty(), "kept for half a minute");
        world.advance_ms(30_000);
        gateway.get("/api/services/status", None).await;
        assert_eq!(world.outside.take().len(), BUILT_IN - CORE);

        // The watch is silent: now they are asked too.
        world.advance_ms(60_000);
        gateway.get("/api/services/status", None).await;
        assert_eq!(world.services.calls("id").len(), 1);
        world.services.set("id", Behaviour::Answer(503, "{}".to_owned()));
        world.advance_ms(30_000);
        let down = gateway.get("/api/services/status", None).await;
        let id = health(&down, "chittyid");
        assert_eq!((&id["status"], &id["statusCode"]), (&json!("down"), &json!(503)));
        assert_eq!((down.status, &id["error"]), (200, &json!("unavailable")));
        // What the watch says of one that is lost.
        world.db.execute(
            "UPDATE service_connections SET state = 'RECONNECTING', is_down = 1, \
             status = json_set(status, '$.lastError', 'timeout'), \
             updated_at = '2099-01-01T00:00:00.000Z' WHERE service = 'dna'",
        );
        world.services.reset_calls();
        let dna = gateway.get("/api/services/dna/status", None).await.json;
        assert_eq!((&dna["status"], &dna["error"]), (&json!("down"), &json!("timeout")));
        assert_eq!(dna["statusCode"], Value::Null);
        assert!(world.services.calls("dna").is_empty());
    });
}

#[test]
fn an_answer_of_any_kind_is_a_health() {
    let (world, gateway) = World::warm();
    run(async {
        register(&world, "cases", true, "deployed");
        let status = async || {
            world.advance_ms(5_000);
            let one = gateway.get("/api/services/cases/status", None).await;
            assert_eq!(one.status, 200, "{}", one.text);
            assert_eq!(one.json["registered_status"], "deployed");
            let text = |name: &str| one.json[name].as_str().unwrap_or_default().to_owned();
            (text("status"), one.json["statusCode"].as_u64().unwrap_or(0), text("error"))
        };
        for (code, body, status_is, error) in [
            (200, r#"{"status":"ok"}"#, "healthy", ""),
            (200, "ok", "healthy", ""),
            (204, "", "healthy", ""),
            (200, r#"{"status":"degraded"}"#, "degraded", ""),
            (200, r#"{"status":"down"}"#, "down", "unwell"),
            (429, "{}", "degraded", ""),
            (302, "", "down", "malformed"),
            (401, "{}", "down", "denied"),
            (503, "{}", "down", "unavailable"),
        ] {
            world.outside.set(move |_| Ok(answer(code, body)));
            let expected = (status_is.to_owned(), u64::from(code), error.to_owned());
            assert_eq!(status().await, expected, "{code} {body}");
        }
        for (failure, error) in [
            (TransportError::Timeout, "timeout"),
            (TransportError::Unreachable("refused".to_owned()), "unreachable"),
            (TransportError::TooLarge(1), "malformed"),
        ] {
            let failure = std::cell::RefCell::new(Some(failure));
            world
                .outside
                .set(move |_| Err(failure.borrow_mut().take().unwrap_or(TransportError::Timeout)));
            assert_eq!(status().await, ("down".to_owned(), 0, error.to_owned()));
        }
        assert_eq!(gateway.get("/api/services/nobody/status", None).await.status, 404);
        // It is kept for five seconds.
        world.outside.take();
        world.advance_ms(5_000);
        for _ in 0..3 {
            gateway.get("/api/services/chittycases/status", None).await;
        }
        assert_eq!(world.outside.take().len(), 1);
    });
}

#[test]
fn a_service_that_hangs_is_waited_for_once_and_all_of_them_within_ten_seconds() {
    let (world, gateway) = World::warm();
    let ask = || gateway.send_only(TestRequest::new("GET", "/api/services/status"));
    world.outside.take_time(&world.clock, |request| match request.url.contains("/cases/") {
        true => 60_000,
        false => 10,
    });
    simulate(&world, async {
        let began_ms = world.clock_ms();
        let ((one, _), (two, _)) = join(ask(), ask()).await;
        let took_ms = world.clock_ms() - began_ms;
        assert!((5_000..5_500).contains(&took_ms), "{took_ms}");
        assert_eq!(one.text, two.text);
        assert_eq!(health(&one, "chittycases")["error"], "timeout");
        assert_eq!(health(&one, "chittyledger")["status"], "healthy");
        let cases = |calls: Vec<seams::outside::OutsideRequest>| {
            calls.iter().filter(|call| call.url.contains("/cases/")).count()
        };
        assert_eq!(cases(world.outside.take()), 1);
        assert!(world.outside.most_waiting.get() <= 6);
        ask().await;
        assert_eq!(world.clock_ms() - began_ms, took_ms, "nobody waits again");
    });

    world.advance_ms(60_000);
    world.outside.take_time(&world.clock, |_| 60_000);
    simulate(&world, async {
        let began_ms = world.clock_ms();
        let (all, _) = ask().await;
        assert_eq!(all.status, 200);
        let took_ms = world.clock_ms() - began_ms;
        assert!((10_000..10_500).contains(&took_ms), "{took_ms}");
        let of = |status: &str| {
            let services = all.json["services"].as_object().unwrap();
            services.values().filter(|one| one["status"] == status).count()
        };
        assert_eq!(of("down"), 12, "twice six");
        // Those between the twelve have answered at once: this gateway, and seven of the core services.
        assert_eq!(of("healthy"), 8);
        assert_eq!(of("unknown"), BUILT_IN + 1 - 12 - 8, "there was no time for them");
    });
}

#[test]
fn a_service_that_nobody_vouches_for_is_asked_only_by_itself() {
    let (world, gateway) = World::warm();
    run(async {
        register(&world, "rain", false, "registered");
        let all = gateway.get("/api/services/status", None).await;
        let rain = health(&all, "chittyrain");
        assert_eq!((&rain["status"], &rain["lastChecked"]), (&json!("unknown"), &Value::Null));
        let asked = |world: &World| {
            world.outside.take().iter().filter(|call| call.url.contains("/rain/")).count()
        };
        assert_eq!(asked(&world), 0);
        let one = gateway.get("/api/services/rain/status", None).await;
        assert_eq!(one.json["status"], "healthy");
        assert_eq!(asked(&world), 1);
        let entry = gateway.get("/api/services/rain", None).await.json;
        assert_eq!((&entry["verified"], &entry["registered"]), (&json!(false), &json!(true)));
    });
}
