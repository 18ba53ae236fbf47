//! Every statement that the gateway runs finds its rows by an index.

use std::cell::Cell;

use chittyconnect::access::route::{Method, Route};
use chittyconnect::routes::ROUTES;
use chittyconnect::store::migrations::MIGRATIONS;
use serde_json::{Value, json};

use crate::world::outside::answer;
use crate::world::samples::{Ids, Sample};
use crate::world::{Behaviour, Isolate, TestRequest, World, run};

/// Tables that a statement may read whole, each with the reason.
const READ_WHOLE: [(&str, &str); 8] = [
    ("contexts_fts", "an index itself: see `a_search_walks_the_index_in_its_own_order`"),
    ("registration_steps", "it has at most seven rows"),
    ("github_recovery", "it has one row"),
    ("registry_refresh", "it has one row"),
    ("service_addresses", "it is compared with a list of at most a thousand, and read whole"),
    ("registered_services", "it is read within bounds, once a minute"),
    ("service_connections", "a row a service, and all of them are wanted"),
    ("metric_series", "a row a sample, and all of them are wanted"),
];

/// Runs every kind of request there is, so that the log holds every statement: the sample of every route, and
/// what only some requests lead to, such as a filter, a fault or another kind of credential.
fn exercised() -> World {
    let (world, gateway) = World::warm();
    run(async {
        let create = TestRequest::new("POST", "/v1/contexts").token("dev-a");
        let create = create.json(&json!({"name": "n"})).header("idempotency-key", "k");
        for _ in 0..2 {
            gateway.send(create.clone()).await;
        }
        for name in ["n two", "n three", "n"] {
            gateway.post("/v1/contexts", "dev-a", &json!({"name": name})).await;
        }
        for list in ["contexts?limit=1", "contexts/search?q=n&limit=1", "contexts/search?limit=1"] {
            let since = if list.contains("search") { "" } else { "&since=2026-01-01" };
            for narrowed in ["", "&status=active", since, "&status=all"] {
                let target = format!("/v1/{list}{narrowed}");
                let page = gateway.get(&target, Some("dev-a")).await;
                let cursor = page.json["next_cursor"].as_str().expect(&target);
                gateway.get(&format!("{target}&cursor={cursor}"), Some("dev-a")).await;
            }
        }
        for name in ["t one", "t two"] {
            gateway.create("dev-a", &json!({"name": name, "type": "t"})).await;
        }
        for target in ["?type=t&limit=1", "?type=t&status=active&since=2026-01-01&limit=1"] {
            let target = format!("/v1/contexts{target}");
            let page = gateway.get(&target, Some("dev-a")).await;
            let cursor = page.json["next_cursor"].as_str().expect(&target);
            gateway.get(&format!("{target}&cursor={cursor}"), Some("dev-a")).await;
        }
        let id = gateway.create("dev-a", &json!({"name": "gone"})).await;
        let path = format!("/v1/contexts/{id}");
        gateway.patch(&path, "dev-a", &json!({"name": "n two"})).await;
        gateway.patch(&path, "dev-a", &json!({"name": "going"})).await;
        gateway.delete(&path, "dev-a").await;
        gateway.get(&path, Some("dev-a")).await;
        gateway.deliver_all().await;
        let former = "INSERT INTO contexts (chitty_id, name, owner_chitty_id, created_at, updated_at, \
             revision) VALUES ('CHITTY-CONTEXT-f', ' é', 'CHITTY-PEO-a', '2026', '2026', 'r')";
        world.db.execute(former);
        gateway.get("/v1/contexts/search?q=caf%C3%A9", Some("dev-a")).await;
        for _ in 0..2 {
            let verify = format!("{path}/verify").replace(&id, "CHITTY-CONTEXT-f");
            let verify = TestRequest::new("POST", &verify).token("dev-a");
            gateway.send(verify.header("idempotency-key", "v")).await;
        }
        gateway.get("/v1/contexts/CHITTY-CONTEXT-f/lineage", Some("dev-a")).await;
        gateway.patch("/v1/contexts/CHITTY-CONTEXT-f", "dev-a", &json!({"data": []})).await;
        world.objects.awake.set(true);
        chittyconnect::tasks::scheduled(&gateway.app).await;
        gateway.get("/v1/ecosystem/id", Some("dev-a")).await;
        for path in ["/api/services", "/api/services/nobody", "/api/services/status"] {
            gateway.get(path, None).await;
        }
        gateway.get("/api/registry/whoami", Some("dev-a")).await;
        gateway.get("/v1/ecosystem/events", Some("dev-a")).await;
        gateway.get("/metrics", None).await;
        let flow = TestRequest::new("POST", "/v1/orchestrations/user-registration").token("dev-a");
        let flow = flow.json(&json!({"email": "a@example.org"})).header("idempotency-key", "k");
        let run = gateway.send(flow).await;
        gateway.get(&run.headers["location"], Some("dev-a")).await;
        let token = run.json["orchestration"]["result"]["token"].as_str().unwrap();
        gateway.get("/v1/contexts", Some(token)).await;
        let further = json!({"target_service": "connect", "scopes": ["read"]});
        gateway.post("/v1/delegate", token, &further).await;
        gateway.deliver_all().await;
        world.outside.set(|request| {
            let page =
                r#"[{"id":7,"guid":"m","delivered_at":"2026-01-02T00:00:00Z","event":"push"}]"#;
            Ok(answer(200, if request.url.contains("/hook/") { page } else { "{}" }))
        });
        exercise_access(&gateway).await;
        exercise_doubts(&world, &gateway).await;
        exercise_samples(&gateway).await;
        world.db.execute("UPDATE installations SET owner_chitty_id = 'CHITTY-PEO-a'");
        gateway.delete("/v1/github/installations/3/owner", "dev-a").await;
        world.advance_ms(100_000_000);
        gateway.create("dev-a", &json!({"name": "late"})).await;
        world.advance_ms(100_000_000);
        chittyconnect::tasks::scheduled(&gateway.app).await;
    });
    world
}

/// The sample request of every route, by an administrator and by an actor, with a second page of every list.
/// What removes something comes last.
async fn exercise_samples(gateway: &Isolate) {
    let there = [("actor", "CHITTY-PEO-a"), ("installation", "3"), ("dead_letter", "dl_x")];
    let mut ids: Ids = there.map(|(kind, id)| (kind.to_owned(), id.to_owned())).into();
    let mut routes: Vec<&Route> = ROUTES.iter().collect();
    routes.sort_by_key(|route| route.method == Method::Delete);
    for route in routes {
        let Some(sample) = Sample::of(route).filter(|sample| !sample.is_stream()) else { continue };
        let request = sample.request(gateway, &mut ids).await;
        let key = format!("{}{}", route.method.as_str(), route.path);
        let request = request.header("idempotency-key", &key);
        gateway.send(request.clone().token("dev-root+admin")).await;
        gateway.send(request).await;
        if route.parameters.read().unwrap_or_default().contains(&"cursor") {
            let target = sample.target(&ids);
            let target = format!("{target}{}limit=1", if target.contains('?') { '&' } else { '?' });
            let page = gateway.get(&target, Some("dev-a")).await;
            if let Some(cursor) = page.json["next_cursor"].as_str() {
                gateway.get(&format!("{target}&cursor={cursor}"), Some("dev-a")).await;
            }
        }
    }
}

/// Mints that are in doubt, events that only a message knows of, and rows that nobody can read.
async fn exercise_doubts(world: &World, gateway: &Isolate) {
    let calls = Cell::new(0);
    world.services.script("id", move || {
        calls.set(calls.get() + 1);
        if calls.get() <= 2 { Behaviour::Lost } else { Behaviour::Work }
    });
    gateway.post("/v1/contexts", "dev-a", &json!({"name": "in doubt"})).await;
    let flow = json!({"email": "b@example.org"});
    gateway.post("/v1/orchestrations/user-registration", "dev-a", &flow).await;
    let id = gateway.create("dev-a", &json!({"name": "n four"})).await;
    let message = world.queue.messages.borrow()[0].clone();
    let unrecorded = message.replace("\"id\":\"evt_", "\"id\":\"evt_f");
    world.queue.messages.borrow_mut().push(unrecorded);
    world.db.execute(&format!(
        "INSERT INTO outbox (event_id, event_type, entity_type, entity_id, actor_id, created_at, \
         due_at) VALUES ('evt_x', 'context.exploded', 'context', '{id}', 'y', '', '9')"
    ));
    gateway.deliver_all().await;
    let given_back = "UPDATE outbox SET leased_until = ?1, in_doubt = in_doubt - 1";
    for written in ["INSERT OR IGNORE INTO outbox", given_back] {
        assert!(world.db.log().iter().any(|sql| sql.starts_with(written)), "{written}");
    }
}

/// Every kind of request about actors, credentials and connections.
async fn exercise_access(gateway: &Isolate) {
    const ADMIN: &str = "dev-root+admin";
    let keyed = |path: &str, body: &Value| {
        let request = TestRequest::new("POST", path).token("dev-a").json(body);
        request.header("idempotency-key", &format!("k{path}{body}"))
    };
    for _ in 0..2 {
        gateway.send(keyed("/v1/actors/register", &json!({"actor_type": "ai"}))).await;
    }
    let make = json!({"target_service": "connect", "scopes": ["read", "write"]});
    let token =
        gateway.send(keyed("/v1/delegate", &make)).await.json["delegation"]["token"].clone();
    let make = json!({"name": "n", "scopes": ["read", "write"]});
    let key = gateway.send(keyed("/v1/keys", &make)).await.json["key"].clone();
    let make = json!({
        "source_chitty_id": "CHITTY-PEO-a", "source_type": "actor", "target_service": "cases",
        "credentials": {"type": "bearer", "token": "t"},
    });
    let made = gateway.send(keyed("/v1/connections", &make)).await;
    gateway.post("/v1/connections", "dev-a", &make).await;
    let made_for_it = json!({
        "source_chitty_id": "CHITTY-PEO-a", "source_type": "actor", "target_service": "finance",
        "credentials": {"type": "provisioned"},
    });
    for _ in 0..2 {
        gateway.post("/v1/connections", "dev-a", &made_for_it).await;
    }
    let make = json!({"name": "with-a-key", "credentials": "provisioned"});
    let with_key = gateway.send(keyed("/v1/contexts", &make)).await;
    assert_eq!(with_key.status, 201, "{with_key:?}");
    let with_key = with_key.headers["location"].clone();
    gateway.patch(&with_key, "dev-a", &json!({"credentials": "provisioned", "name": "anew"})).await;
    gateway.delete(&with_key, "dev-a").await;
    let link = made.headers["location"].clone();
    let make = json!({
        "source_chitty_id": "CHITTY-PEO-a", "source_type": "actor", "target_service": "evidence",
        "credentials": {"type": "provisioned"},
    });
    let provisioned = gateway.send(keyed("/v1/connections", &make)).await;
    let provisioned = format!("{}/proxy/x", provisioned.headers["location"]);
    for token in ["dev-a", "dev-a+connections:read"] {
        gateway.get(&provisioned, Some(token)).await;
    }
    let granting = "dev-b+actors:admin";
    gateway
        .put("/v1/actors/CHITTY-PEO-d/capabilities", granting, &json!({"capabilities": []}))
        .await;
    let me = "/v1/actors/CHITTY-PEO-a";
    let credentials = ["dev-a", ADMIN, token.as_str().unwrap(), key["key"].as_str().unwrap()];
    for credential in credentials {
        for path in [
            "/v1/actors/me",
            me,
            "/v1/actors/CHITTY-PEO-b",
            &format!("{me}/capabilities"),
            "/v1/actors",
            "/v1/actors?status=active",
            "/v1/actors?type=ai",
            "/v1/contexts",
            "/v1/connections",
            "/v1/connections?source=CHITTY-PEO-a&target=cases",
            &link,
            &format!("{link}/status"),
            &format!("{link}/history"),
            &format!("{link}/proxy/x"),
            "/v1/delegate",
            "/v1/delegate?status=active",
            "/v1/keys",
            "/v1/keys?owner=all",
            &format!("/v1/keys/{}", key["key_id"].as_str().unwrap()),
            "/v1/audit",
            "/v1/audit?action=context.created",
            "/v1/audit?entity=CHITTY-PEO-a",
            "/v1/audit?actor=CHITTY-PEO-a",
            "/v1/audit/verify",
        ] {
            gateway.get(path, Some(credential)).await;
        }
        let further = json!({"target_service": "connect", "scopes": ["read"]});
        let made = gateway.post("/v1/delegate", credential, &further).await;
        if let Some(id) = made.json["delegation"]["token_id"].as_str() {
            gateway.delete(&format!("/v1/delegate/{id}"), credential).await;
        }
        gateway.patch(me, credential, &json!({"display_name": "A"})).await;
        gateway
            .patch(&link, credential, &json!({"scopes": ["read"], "check_path": "/health"}))
            .await;
        gateway.post(&format!("{link}/check"), credential, &json!(null)).await;
    }
    let validate = TestRequest::new("POST", "/v1/delegate/validate").json(&json!({"token": token}));
    gateway.send(validate).await;
    gateway.put(&format!("{me}/capabilities"), ADMIN, &json!({"capabilities": ["x"]})).await;
    gateway.patch("/v1/actors/CHITTY-PEO-c", ADMIN, &json!({"status": "suspended"})).await;
    let path = format!("/v1/keys/{}", key["key_id"].as_str().unwrap());
    gateway.send(keyed(&format!("{path}/rotate"), &json!({}))).await;
    gateway.delete(&path, "dev-a").await;
    gateway.get("/v1/contexts", Some("unknown")).await;
    for path in ["", "?type=x", "?entity=x", "/dl_x"] {
        gateway.get(&format!("/v1/events/dead-letters{path}"), Some(ADMIN)).await;
    }
    for filter in [json!({}), json!({"type": "x"}), json!({"entity": "x", "before": "2026-01-01"})]
    {
        gateway.post("/v1/events/dead-letters/replay", ADMIN, &filter).await;
    }
    gateway.post("/v1/events/dead-letters/dl_x/replay", ADMIN, &json!(null)).await;
    for credential in ["dev-a", ADMIN] {
        for narrowed in ["", "&type=key.created", "&since=2026-01-01&until=2027-01-01"] {
            for list in
                ["entity=CHITTY-PEO-a", "entity=github:repository:7", "owner=all", "limit=1"]
            {
                let target = format!("/v1/events?{list}{narrowed}");
                let page = gateway.get(&target, Some(credential)).await;
                if let Some(cursor) = page.json["next_cursor"].as_str() {
                    gateway.get(&format!("{target}&cursor={cursor}"), Some(credential)).await;
                }
            }
        }
    }
    gateway.delete(&link, "dev-a").await;
    let pull = json!({
        "action": "opened", "number": 1, "pull_request": {"number": 1, "head": {"sha": "c"}},
        "repository": {"id": 7, "full_name": "o/r"}, "installation": {"id": 3},
    });
    let installed = json!({
        "action": "created", "repositories": [{"id": 7, "full_name": "o/r"}],
        "installation": {"id": 3, "account": {"id": 8, "login": "o", "type": "User"}},
    });
    let gone = json!({"action": "deleted", "installation": {"id": 3, "account": null}});
    let events = [("installation", &installed), ("pull_request", &pull), ("installation", &gone)];
    for (number, (event, payload)) in events.into_iter().enumerate() {
        gateway.webhook(&format!("d-{number}"), event, payload).await;
        gateway.deliver_webhooks().await;
    }
    for path in ["", "?owner=all", "/3", "/CHITTY-CONTEXT-x"] {
        for credential in ["dev-a", ADMIN] {
            gateway.get(&format!("/v1/github/installations{path}"), Some(credential)).await;
        }
    }
    chittyconnect::tasks::scheduled(&gateway.app).await;
}

#[test]
fn no_statement_scans_a_table_or_sorts_one() {
    let world = exercised();
    let mut statements = world.db.log();
    statements.sort();
    statements.dedup();
    // How deep the outbox is takes a look at every open row, of an index that has no others.
    statements.retain(|sql| !sql.contains("AS depth"));
    statements.retain(|sql| {
        !["CREATE", "ALTER", "DROP"].iter().any(|ddl| sql.starts_with(ddl))
            && !sql.contains("d1_migrations")
            // A migration fills what it makes from all that is there, once.
            && !MIGRATIONS.iter().any(|(_, text)| text.contains(sql.as_str()))
    });
    assert!(statements.len() > 25, "{}", statements.len());
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB 'sqlite_*'";
    let mut tables = world.db.cells(tables);
    tables.retain(|table| !READ_WHOLE.iter().any(|(name, _)| name == table));
    assert!(tables.len() > 30, "{tables:?}");
    let mut faults = Vec::new();
    for sql in statements {
        for step in world.db.plan(&sql) {
            let table = step.strip_prefix("SCAN ").and_then(|rest| rest.split(' ').next());
            let scanned = table.is_some_and(|table| tables.iter().any(|one| one == table));
            // An administrator's page of everything walks an index, or the rows by their numbers,
            // and ends with its limit.
            let in_order = step.contains("USING INDEX") || sql.contains("ORDER BY seq DESC LIMIT");
            let walked = scanned && in_order && sql.contains("LIMIT");
            let sorted = step.contains("USE TEMP B-TREE");
            // Two pages are merged to one.
            let merged = sorted && sql.contains("UNION ALL SELECT * FROM (SELECT * FROM audit");
            // What is due is shared out by owner: of an index, and no more than its limit.
            let shared = sorted && sql.contains("AS turn") && sql.contains("LIMIT 5000");
            if (scanned && !walked) || (sorted && !merged && !shared) {
                faults.push(format!("{step}\n{sql}\n"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What a creation writes costs an index as much as a row.
#[test]
fn every_index_of_what_a_creation_writes_is_read() {
    let world = exercised();
    let mut statements = world.db.log();
    statements.retain(|sql| !["CREATE", "ALTER", "DROP"].iter().any(|ddl| sql.starts_with(ddl)));
    statements.sort();
    statements.dedup();
    let steps: Vec<String> = statements.iter().flat_map(|sql| world.db.plan(sql)).collect();
    let indexes = world.db.cells(
        "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL \
         AND tbl_name IN ('contexts', 'outbox', 'audit', 'mint_intents', 'idempotency_keys')",
    );
    assert!(indexes.len() > 10, "{indexes:?}");
    for index in indexes {
        let is_read = |step: &String| step.split(' ').any(|word| word == index);
        assert!(steps.iter().any(is_read), "nothing reads {index}");
    }
}

#[test]
fn a_list_page_is_one_range_of_one_index() {
    let world = exercised();
    let log = world.db.log();
    let lists: Vec<&String> = log
        .iter()
        .filter(|sql| sql.contains("min(created_at") && !sql.contains("AS depth"))
        .collect();
    assert!(!lists.is_empty());
    for sql in lists {
        let plan = world.db.plan(sql).join("\n");
        let index = match (sql.contains("AND type"), sql.contains("AND status")) {
            (true, true) => "contexts_live_type_status",
            (true, false) => "contexts_live_type",
            (false, true) => "contexts_live_status",
            (false, false) => "contexts_live_created",
        };
        assert!(plan.contains(&format!("SEARCH contexts USING INDEX {index} ")), "{plan}\n{sql}");
        let bounded = plan.contains("(created_at,chitty_id)<") || plan.contains("created_at>");
        let asked = sql.contains("(created_at, chitty_id) <=") || sql.contains("created_at >=");
        assert_eq!(bounded, asked, "{plan}\n{sql}");
    }
}

#[test]
fn a_search_walks_the_index_in_its_own_order() {
    let world = exercised();
    let log = world.db.log();
    for sql in log.iter().filter(|sql| sql.contains("contexts_fts MATCH")) {
        for step in world.db.plan(sql).iter().filter(|step| step.contains("contexts_fts")) {
            assert!(step.contains("VIRTUAL TABLE INDEX") && step.contains('M'), "{step}");
        }
    }
}
