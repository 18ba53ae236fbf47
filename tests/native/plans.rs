//! Every statement that the gateway runs finds its rows by an index.

use serde_json::json;

use crate::world::{TestRequest, World, run};

/// Runs every kind of request there is, so that the log holds every statement.
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
            for narrowed in ["", "&status=active", "&since=2026-01-01", "&status=all"] {
                let target = format!("/v1/{list}{narrowed}");
                let page = gateway.get(&target, Some("dev-a")).await;
                let cursor = page.json["next_cursor"].as_str().expect(&target);
                gateway.get(&format!("{target}&cursor={cursor}"), Some("dev-a")).await;
            }
        }
        let id = gateway.create("dev-a", &json!({"name": "gone"})).await;
        let path = format!("/v1/contexts/{id}");
        gateway.patch(&path, "dev-a", &json!({"name": "n two"})).await;
        gateway.patch(&path, "dev-a", &json!({"name": "going"})).await;
        gateway.delete(&path, "dev-a").await;
        gateway.get(&path, Some("dev-a")).await;
        gateway.deliver_all().await;
        world.objects.awake.set(true);
        chittyconnect::tasks::scheduled(&gateway.app).await;
        gateway.get("/v1/ecosystem/id", Some("dev-a")).await;
        gateway.get("/v1/ecosystem/events", Some("dev-a")).await;
        gateway.get("/metrics", None).await;
        let flow = TestRequest::new("POST", "/v1/orchestrations/user-registration").token("dev-a");
        let flow = flow.json(&json!({"email": "a@example.org"})).header("idempotency-key", "k");
        let run = gateway.send(flow).await;
        gateway.get(&run.headers["location"], Some("dev-a")).await;
        gateway.deliver_all().await;
        world.advance_ms(100_000_000);
        gateway.create("dev-a", &json!({"name": "late"})).await;
        world.advance_ms(100_000_000);
        chittyconnect::tasks::scheduled(&gateway.app).await;
    });
    world
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
    });
    assert!(statements.len() > 25, "{}", statements.len());
    let tables = [
        "contexts",
        "outbox",
        "actors",
        "connections",
        "installations",
        "idempotency_keys",
        // Not registration_steps: it has at most seven rows.
        "registration_lease",
        "orchestrations",
        "connection_events",
        // Not service_connections and metrics, which are read whole: a row a service, and a row a
        // sample.
    ];
    for sql in statements {
        for step in world.db.plan(&sql) {
            let table = step.strip_prefix("SCAN ").and_then(|rest| rest.split(' ').next());
            let scanned = table.is_some_and(|table| tables.contains(&table));
            assert!(!scanned, "{step}\n{sql}");
            assert!(!step.contains("USE TEMP B-TREE"), "{step}\n{sql}");
        }
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
        let index = if sql.contains("AND status") {
            "contexts_live_status"
        } else {
            "contexts_live_created"
        };
        assert!(plan.contains(&format!("SEARCH contexts USING INDEX {index}")), "{plan}\n{sql}");
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
