//! Nothing happens off the record: every route that changes anything writes who did it, by which
//! credential, to what, and with which outcome, in the transaction of the change.

use chittyconnect::access::route::{Method, Route};
use chittyconnect::routes::ROUTES;
use serde_json::{Value, json};

use crate::timeline::NOBODYS;
use crate::world::outside::answer;
use crate::world::samples::{self, Ids, Sample};
use crate::world::{Behaviour, Isolate, TestRequest, World, WrittenTables, run};

const ADMIN: &str = "dev-root+admin";

/// Routes that change nothing of their own, each with the reason.
const CHANGES_NOTHING: [(&str, &str, &str); 4] = [
    ("POST", "/api/chittyid/validate", "asks ChittyID a question"),
    ("POST", "/v1/delegate/validate", "answers a question"),
    ("POST", "/api/v1/connect/discover", "says where the services are"),
    (
        "POST",
        "/integrations/github/webhook",
        "hands the delivery over to the queue; its consumer records what comes of it",
    ),
];

/// Tables whose rows are no change of anything, each with the reason.
const NO_CHANGE: [(&str, &str); 8] = [
    ("mint_intents", "an identity that is to be minted: what comes of it is recorded"),
    ("vouchers", "what ChittyAuth has said of an actor, noted as it is heard"),
    ("idempotency_keys", "the reply to what was recorded in the same transaction"),
    ("github_states", "that a way back from GitHub was used"),
    ("github_tokens", "a cache of GitHub's tokens"),
    ("service_addresses", "a copy of ChittyRegistry's list"),
    ("registry_refresh", "when ChittyRegistry was asked"),
    ("outbox", "the event itself, which the audit records by itself"),
];

/// Tables in which there may be steps of what was recorded before: those of a run, whose beginning and end
/// are looked at below, with what it has made; and what an object finds out that was commanded.
const STEPS: [&str; 5] =
    ["orchestrations", "sponsors", "made_tokens", "service_connections", "connection_events"];

/// What a route is tried with.
struct Attempt {
    request: TestRequest,
    actor: &'static str,
}

async fn connection(gateway: &Isolate) -> String {
    let body = json!({
        "source_chitty_id": "CHITTY-PEO-a", "source_type": "actor", "target_service": "partner",
        "target_endpoint": "https://api.partner.example/v1", "scopes": ["read", "write"],
        "check_path": "/health",
    });
    let made = gateway.post("/v1/connections", "dev-a", &body).await;
    assert_eq!(made.status, 201, "{made:?}");
    made.headers["location"].clone()
}

async fn dead_letter(world: &World, gateway: &Isolate) -> String {
    gateway.create("dev-a", &json!({"name": "n"})).await;
    world.services.set("chronicle", Behaviour::Answer(422, "{}".to_owned()));
    gateway.deliver_all().await;
    world.services.set("chronicle", Behaviour::Work);
    world.db.cell("SELECT id FROM dead_letters").unwrap()
}

/// GitHub, where user 5 has installed the App as installation 3.
fn github(world: &World) {
    world.outside.set(|request| {
        let installation = json!({
            "id": 3, "account": {"id": 5, "login": "ada", "type": "User"},
            "repository_selection": "all", "permissions": {}, "events": [],
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
            "suspended_at": null,
        });
        let path = request.url.strip_prefix("http://github").unwrap().split('?').next().unwrap();
        Ok(match path {
            "/web/login/oauth/access_token" => {
                answer(200, r#"{"access_token":"ghu_1","token_type":"bearer","scope":""}"#)
            }
            "/api/user" => answer(200, r#"{"id":5,"login":"ada","type":"User"}"#),
            "/api/app/installations/3" => answer(200, &installation.to_string()),
            "/api/user/installations" => {
                answer(200, &json!({"total_count": 1, "installations": [installation]}).to_string())
            }
            "/api/app/installations/3/access_tokens" => {
                answer(201, r#"{"token":"ghs_1","expires_at":"2026-01-02T04:00:00Z"}"#)
            }
            other => panic!("{other}"),
        })
    });
}

async fn way_back(gateway: &Isolate) -> String {
    let begun = gateway.get("/integrations/github/install", Some("dev-a")).await;
    let state = begun.headers["location"].split_once("state=").unwrap().1;
    format!("/integrations/github/callback?state={state}&code=c&installation_id=3")
}

/// The request for a route at which the way back from GitHub, or an installation, has to be there before.
async fn by_github(world: &World, gateway: &Isolate, route: &Route) -> Option<TestRequest> {
    match (route.method.as_str(), route.path) {
        ("GET", "/integrations/github/callback") => {
            github(world);
            Some(TestRequest::new("GET", &way_back(gateway).await))
        }
        ("DELETE", "/v1/github/installations/{id}/owner") => {
            github(world);
            let back = TestRequest::new("GET", &way_back(gateway).await);
            assert_eq!(gateway.send(back).await.status, 200);
            let path = route.path.replace("{id}", "3");
            Some(TestRequest::new("DELETE", &path).token("dev-a"))
        }
        ("POST", "/integrations/github/confirm") => {
            github(world);
            let back = TestRequest::new("GET", &way_back(gateway).await);
            let asked = gateway.send(back.header("accept", "text/html")).await;
            let question = asked.text.split_once("name=\"question\" value=\"").unwrap().1;
            let question = question.split('"').next().unwrap();
            let form = format!("question={question}");
            let request = TestRequest::new("POST", route.path).body(form);
            Some(request.header("content-type", "application/x-www-form-urlencoded"))
        }
        _ => None,
    }
}

/// A request for each writing route, that succeeds; with what has to be there before.
async fn attempt(world: &World, gateway: &Isolate, route: &Route) -> Option<Attempt> {
    if let Some(request) = by_github(world, gateway, route).await {
        return Some(Attempt { request, actor: "CHITTY-PEO-a" });
    }
    let sample = Sample::of(route)?;
    let mut ids = Ids::new();
    match route.path {
        path if path.starts_with("/v1/events/dead-letters") => {
            ids.insert("dead_letter".to_owned(), dead_letter(world, gateway).await);
        }
        path if path.starts_with("/v1/ecosystem/") => world.objects.awake.set(true),
        // Without a path there is nothing to check.
        "/v1/connections/{id}/check" => {
            samples::make(gateway, &json!("{connection}"), &mut ids).await;
            let path = format!("/v1/connections/{}", ids["connection"]);
            let patched = gateway.patch(&path, "dev-a", &json!({"check_path": "/health"})).await;
            assert_eq!(patched.status, 200, "{patched:?}");
        }
        // The flow that makes most.
        "/v1/orchestrations/{id}" => {
            let path = "/v1/orchestrations/user-registration";
            let request = TestRequest::new("POST", path).token("dev-a");
            let request = request.json(&json!({"email": "u@example.org"}));
            return Some(Attempt { request, actor: "CHITTY-PEO-a" });
        }
        _ => {}
    }
    let actor = if sample.is_for_administrators() { "CHITTY-PEO-root" } else { "CHITTY-PEO-a" };
    Some(Attempt { request: sample.request(gateway, &mut ids).await, actor })
}

fn is_change(table: &str) -> bool {
    !NO_CHANGE.iter().any(|(name, _)| *name == table)
}

/// The transactions that have changed something, or have put something on record.
fn changes(written: Vec<WrittenTables>) -> Vec<WrittenTables> {
    let counts = |written: &WrittenTables| {
        !written.audit.is_empty() || written.tables.iter().any(|table| is_change(table))
    };
    written.into_iter().filter(counts).collect()
}

/// Tries a route; returns what its transactions have changed.
fn tried(route: &Route) -> (Vec<WrittenTables>, &'static str) {
    let (method, path) = (route.method.as_str(), route.path);
    let (world, gateway) = World::warm();
    let Some(Attempt { request, actor }) = run(attempt(&world, &gateway, route)) else {
        panic!(
            "tests/requests.json has no {method} {path}: add it, or say here why it changes nothing"
        );
    };
    world.db.watch();
    let (answer, _) = run(gateway.send_only(request));
    assert!((200..300).contains(&answer.status), "{method} {path}: {answer:?}");
    (changes(world.db.watched()), actor)
}

fn assert_is_full(entry: &Value, route: &str) {
    for part in ["actor_id", "action", "entity_type", "entity_id", "outcome"] {
        assert!(
            entry[part].as_str().is_some_and(|text| !text.is_empty()),
            "{route} {part} {entry}"
        );
    }
}

#[test]
fn every_writing_route_is_on_record() {
    let mut exempt = Vec::new();
    for route in ROUTES {
        let (method, path) = (route.method.as_str(), route.path);
        let is_writing = route.method != Method::Get || path == "/integrations/github/callback";
        if !is_writing {
            continue;
        }
        if CHANGES_NOTHING.iter().any(|(other, at, _)| (*other, *at) == (method, path)) {
            exempt.push((method, path));
            continue;
        }
        let at = format!("{method} {path}");
        let (changes, actor) = tried(route);
        assert!(!changes.is_empty(), "{at} changes nothing: say why");
        let mut by_caller = 0;
        for (number, change) in changes.iter().enumerate() {
            change.audit.iter().for_each(|entry| assert_is_full(entry, &at));
            let mut changed = change.tables.iter().filter(|table| is_change(table));
            let is_step = number > 0 && changed.all(|table| STEPS.contains(&&**table));
            assert!(is_step || !change.audit.is_empty(), "{at} is off the record: {change:?}");
            for entry in change.audit.iter().filter(|entry| entry["actor_id"] == actor) {
                let credential = entry["via"].as_str().unwrap_or_default();
                assert!(!credential.is_empty(), "{at} says no credential: {entry}");
                let is_nobodys = NOBODYS.iter().any(|kind| entry["entity_type"] == *kind);
                assert_ne!(entry["owner_id"].is_string(), is_nobodys, "{at}: whose? {entry}");
                by_caller += 1;
            }
        }
        assert!(by_caller > 0, "{at} does not say who did it: {changes:?}");
    }
    assert_eq!(exempt.len(), CHANGES_NOTHING.len(), "an exemption of no route");
}

#[test]
fn what_is_exempt_changes_nothing_and_nor_does_a_read() {
    let (world, gateway) = World::warm();
    run(async {
        let link = connection(&gateway).await;
        let id = link.rsplit('/').next().unwrap().to_owned();
        let body = json!({"target_service": "connect", "scopes": ["read"]});
        let made = gateway.post("/v1/delegate", "dev-a", &body).await.json;
        world.db.watch();
        let validate = json!({"token": made["delegation"]["token"]});
        let validate = TestRequest::new("POST", "/v1/delegate/validate").json(&validate);
        let (answer, _) = gateway.send_only(validate).await;
        assert_eq!(answer.json["active"], true);
        let validate = json!({"chittyId": "03-1-USA-9002-T-2602-0-81"});
        let validate = TestRequest::new("POST", "/api/chittyid/validate").json(&validate);
        assert_eq!(gateway.send_only(validate.token("dev-a")).await.0.json["valid"], true);
        for body in [json!({"service": "cases"}), json!({"service": "nobody"}), json!({})] {
            let discover = TestRequest::new("POST", "/api/v1/connect/discover").json(&body);
            let (answer, _) = gateway.send_only(discover).await;
            assert!(matches!(answer.status, 200 | 404), "{answer:?}");
        }
        gateway.webhook("d-1", "push", &json!({"repository": {"id": 7, "full_name": "o/r"}})).await;
        for route in ROUTES.iter().filter(|route| route.method == Method::Get) {
            let path = route.path.replace("{id}", &id).replace("{*path}", "x");
            for token in ["dev-a", ADMIN] {
                gateway.send_only(TestRequest::new("GET", &path).token(token)).await;
            }
        }
        let changed = changes(world.db.watched());
        // A read through a connection counts its use; the page of metrics hands over what was counted.
        let is_count = |written: &WrittenTables| {
            let counts = ["connections", "metric_series", "metric_isolates"];
            written.tables.iter().all(|table| counts.contains(&&**table))
        };
        assert!(changed.iter().all(is_count), "{changed:?}");
    });
}

#[test]
fn a_run_is_on_record_from_its_beginning_to_its_end_whoever_ends_it() {
    let entries = |world: &World| {
        world.db.cells(
            "SELECT action || ' ' || outcome || ' ' || actor_id || ' ' || (via LIKE 'token:%') \
             FROM audit WHERE entity_type = 'orchestration' ORDER BY seq",
        )
    };
    let told = |world: &World| {
        let entries = world.services.entries();
        let names = entries.iter().map(|entry| entry["action"].as_str().unwrap().to_owned());
        names.filter(|name| name.starts_with("orchestration.")).collect::<Vec<_>>()
    };
    for (service, behaviour, end) in [
        ("register", Behaviour::Work, "completed done"),
        ("register", Behaviour::Unreachable, "completed done"),
        ("register", Behaviour::Answer(400, "{}".to_owned()), "undone undone"),
    ] {
        let (world, gateway) = World::warm();
        run(async {
            world.services.set(service, behaviour);
            let body = json!({"email": "u@example.org"});
            gateway.post("/v1/orchestrations/secure-user", "dev-a", &body).await;
            world.services.set(service, Behaviour::Work);
            for _ in 0..3 {
                world.advance_ms(70_000);
                chittyconnect::tasks::scheduled(&gateway.app).await;
                gateway.deliver_all().await;
            }
            let expected = [
                "orchestration.started begun CHITTY-PEO-a 1".to_owned(),
                format!("orchestration.{end} CHITTY-PEO-a 1"),
            ];
            assert_eq!(entries(&world), expected);
            let end = end.split(' ').next().unwrap();
            assert_eq!(told(&world), ["orchestration.started", &format!("orchestration.{end}")]);
            assert!(!world.db.dump().contains("u@example.org"));
            let id = world.db.cell("SELECT id FROM orchestrations").unwrap();
            let seen = gateway.get(&format!("/v1/events?entity={id}"), Some("dev-a")).await;
            assert_eq!(seen.json["count"], 2, "{seen:?}");
            let others = gateway.get(&format!("/v1/events?entity={id}"), Some("dev-b")).await;
            assert_eq!(others.status, 404);
        });
    }
}

#[test]
fn a_fault_at_any_call_leaves_no_run_without_its_entries() {
    use crate::world::Fault;
    for failing in 1..=16 {
        for fault in [Fault::Before, Fault::After] {
            let (world, gateway) = World::warm();
            run(async {
                world.db.set_fault(move |call| if call == failing { fault } else { Fault::None });
                let body = json!({"email": "u@example.org"});
                gateway.post("/v1/orchestrations/secure-user", "dev-a", &body).await;
                world.db.set_fault(|_| Fault::None);
                for _ in 0..3 {
                    world.advance_ms(60_000);
                    chittyconnect::tasks::scheduled(&gateway.app).await;
                }
                let runs = world.db.count("orchestrations WHERE status = 'completed'");
                for action in ["orchestration.started", "orchestration.completed"] {
                    let entries = world.db.count(&format!("audit WHERE action = '{action}'"));
                    assert_eq!(entries, runs, "call {failing} {fault:?} {action}");
                }
            });
        }
    }
}
