//! The Ready gate, the migrations and the registration.

use std::fs;

use chittyconnect::sealing::Sealer;
use chittyconnect::store::migrations::{MIGRATIONS, statements};
use futures_util::future::join_all;
use serde_json::json;

use crate::world::{Behaviour, Database, Fault, SEALING_KEYS, TestRequest, World, run};

const SCHEMA: &str = "SELECT sql FROM sqlite_schema WHERE name NOT LIKE 'd1_%' ORDER BY name";

#[test]
fn the_list_of_migrations_is_the_folder() {
    let mut files: Vec<String> = fs::read_dir("migrations")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".sql"))
        .collect();
    files.sort();
    assert_eq!(MIGRATIONS.map(|(name, _)| name.to_owned()).to_vec(), files);
}

#[test]
fn cutting_a_migration_gives_the_same_schema_as_running_it_whole() {
    let (cut, whole) = (Database::empty(), Database::empty());
    for (name, sql) in MIGRATIONS {
        whole.execute(&fs::read_to_string(format!("migrations/{name}")).unwrap());
        let statements = statements(sql);
        assert!(!statements.is_empty(), "{name}");
        for statement in statements {
            // Only the body of a trigger holds a semicolon.
            let whole = !statement.contains(';') || statement.starts_with("CREATE TRIGGER");
            assert!(!statement.contains("--") && whole, "{name}: {statement}");
            cut.execute(&statement);
        }
    }
    let normal = |schema: Vec<String>| -> Vec<String> {
        // Comments are part of the stored text; what is defined is the rest.
        let lines = |sql: String| {
            let code = sql.lines().filter(|line| !line.trim_start().starts_with("--"));
            code.map(str::trim).collect::<Vec<_>>().join(" ")
        };
        schema.into_iter().map(lines).collect()
    };
    assert_eq!(normal(cut.cells(SCHEMA)), normal(whole.cells(SCHEMA)));
}

#[test]
fn what_was_counted_before_a_series_was_one_row_is_taken_over() {
    let db = Database::empty();
    for (name, sql) in MIGRATIONS {
        if name.contains("pack_metrics") {
            db.execute(
                "INSERT INTO metrics (family, labels, part, position, value) VALUES \
                 ('requests', 'a=\"1\"', '', 0, 5), ('seconds', 'a=\"1\"', 'sum', 0, 1234), \
                 ('seconds', 'a=\"1\"', 'bucket', 10, 4), ('seconds', 'a=\"1\"', 'bucket', 9, 3), \
                 ('seconds', 'a=\"1\"', 'count', 0, 4)",
            );
        }
        db.execute(sql);
    }
    let packed = db.cells("SELECT family || counts FROM metric_series ORDER BY family");
    assert_eq!(packed, ["requests[5]", "seconds[3,4,4,1234]"]);
}

#[test]
fn the_first_request_on_an_empty_database_works() {
    let world = World::new();
    let gateway = world.isolate();
    run(async {
        let list = gateway.get("/v1/contexts", Some("dev-a")).await;
        assert_eq!(list.status, 200);
        assert_eq!(world.db.count("d1_migrations"), MIGRATIONS.len());
    });
}

#[test]
fn with_the_schema_there_the_gate_is_one_read_and_then_nothing() {
    let (world, _) = World::warm();
    let fresh = world.isolate();
    run(async {
        let (answer, _) =
            fresh.send_only(TestRequest::new("GET", "/v1/contexts").token("dev-a")).await;
        // The gate, what the caller is granted, and the list.
        assert_eq!((answer.status, world.db.calls()), (200, 3));
        fresh.send_only(TestRequest::new("GET", "/v1/contexts").token("dev-a")).await;
        assert_eq!(world.db.calls(), 4);
    });
}

#[test]
fn what_wrangler_has_applied_is_not_applied_again() {
    let world = World::new();
    world.db.execute(
        "CREATE TABLE d1_migrations (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, \
         applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL)",
    );
    for (name, sql) in &MIGRATIONS[..3] {
        world.db.execute(sql);
        world.db.execute(&format!("INSERT INTO d1_migrations (name) VALUES ('{name}')"));
    }
    run(async {
        assert_eq!(world.isolate().get("/v1/contexts", Some("dev-a")).await.status, 200);
        let names = MIGRATIONS.map(|(name, _)| name.to_owned());
        assert_eq!(world.db.cells("SELECT name FROM d1_migrations ORDER BY id"), names);
    });
}

#[test]
fn a_failure_at_any_call_is_answered_503_and_mended_by_the_next_request() {
    // One read, then a batch and a read for each migration.
    for failing in 1..=(1 + 2 * MIGRATIONS.len()) {
        for fault in [Fault::Before, Fault::After] {
            let world = World::new();
            let gateway = world.isolate();
            world.db.set_fault(move |call| if call == failing { fault } else { Fault::None });
            run(async {
                let request = || TestRequest::new("GET", "/v1/contexts").token("dev-a");
                let (first, _) = gateway.send_only(request()).await;
                assert_eq!((first.status, first.code()), (503, "not_ready"), "call {failing}");
                assert_eq!(first.headers["retry-after"], "2");
                let (second, _) = gateway.send_only(request()).await;
                assert_eq!(second.status, 200, "call {failing} {fault:?}");
                assert_eq!(world.db.count("d1_migrations"), MIGRATIONS.len());
            });
        }
    }
}

#[test]
fn any_number_of_racing_isolates_make_one_schema_and_one_identity() {
    let world = World::new();
    let isolates: Vec<_> = (0..8).map(|_| world.isolate()).collect();
    run(async {
        let requests = isolates.iter().flat_map(|isolate| {
            [isolate.get("/v1/contexts", Some("dev-a")), isolate.get("/v1/contexts", Some("dev-b"))]
        });
        for answer in join_all(requests).await {
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        assert_eq!(world.db.count("d1_migrations"), MIGRATIONS.len());
        assert_eq!(world.services.calls("id").len(), 1, "the lease lets one mint");
        // Those that did not hold the lease look again and agree.
        world.advance_ms(5_000);
        for isolate in &isolates {
            isolate.get("/health", None).await;
            let health = isolate.get("/health", None).await;
            assert_eq!(health.json["ecosystem"]["chitty_id"], "CHITTY-CONTEXT-000001");
        }
        assert_eq!(world.services.calls("id").len(), 1);
        assert_eq!(world.db.count("contexts"), 1);
        assert_eq!(
            world.db.cell("SELECT name || owner_chitty_id FROM contexts").unwrap(),
            "chittyconnectCHITTY-CONTEXT-000001"
        );
    });
}

#[test]
fn with_chittyid_down_the_gateway_serves_and_tries_again_with_pauses() {
    let world = World::new();
    let gateway = world.isolate();
    world.services.set("id", Behaviour::Unreachable);
    run(async {
        let tries = || world.services.calls("id").len();
        for _ in 0..10 {
            assert_eq!(gateway.get("/v1/contexts", Some("dev-a")).await.status, 200);
        }
        assert_eq!(tries(), 1, "not at every request");
        for _ in 0..60 {
            world.advance_ms(10_000);
            gateway.get("/health", None).await;
        }
        // Ten minutes: pauses of 1 s, 2 s, … at most 300 s, jittered, looked at every 10 s.
        assert!((4..=40).contains(&tries()), "{}", tries());
        world.services.set("id", Behaviour::Work);
        for _ in 0..31 {
            world.advance_ms(10_000);
            gateway.get("/health", None).await;
        }
        let health = gateway.get("/health", None).await;
        assert_eq!(health.json["ecosystem"]["state"], "registered");
        assert_eq!(health.json["status"], "ok");
    });
}

#[test]
fn a_holder_of_the_lease_that_dies_is_followed_by_another() {
    let (world, _) = World::warm();
    unregister(&world);
    world.db.execute("UPDATE registration_lease SET expires_at = '2026-01-02T03:05:05.000Z'");
    let gateway = world.isolate();
    run(async {
        gateway.get("/health", None).await;
        assert_eq!(world.services.calls("id").len(), 0, "somebody may be at it");
        world.advance_ms(60_000);
        gateway.get("/health", None).await;
        assert_eq!(world.services.calls("id").len(), 1);
        assert_eq!(world.db.count("registration_steps"), 7);
    });
}

#[test]
fn the_registration_resumes_at_the_step_that_failed() {
    let services = ["id", "dna", "auth", "register", "verify", "certify"];
    let names = ["mint", "dna", "keys", "register", "verify", "certify", "log"];
    for (at, service) in services.iter().enumerate() {
        let world = World::new();
        let gateway = world.isolate();
        world.services.set(service, Behaviour::Busy(503, 0));
        run(async {
            let before = gateway.get("/health", None).await;
            assert_eq!(before.json["ecosystem"]["state"], "pending");
            let health = gateway.get("/health", None).await;
            let ecosystem = &health.json["ecosystem"];
            assert_eq!(health.json["status"], "degraded");
            assert_eq!(ecosystem["completed"], json!(names[..at]), "{service}");
            assert_eq!(ecosystem["pending"], json!(names[at..]), "{service}");
            let error = format!("chitty{service}_unavailable");
            assert_eq!(ecosystem["last_error"], error);
            world.services.set(service, Behaviour::Work);
            world.advance_ms(10_000);
            gateway.get("/health", None).await;
            let health = gateway.get("/health", None).await;
            assert_eq!(health.json["ecosystem"]["state"], "registered", "{}", health.text);
            // What had succeeded was not done again.
            for (other, name) in services.iter().enumerate() {
                let failed = if other == at { world.services.calls(name).len() - 1 } else { 0 };
                assert_eq!(world.services.calls(name).len() - failed, 1, "{service} {name}");
            }
            assert_eq!(world.db.count("outbox WHERE event_type = 'service.initialized'"), 1);
        });
    }
}

#[test]
fn the_gateways_key_is_kept_sealed_and_goes_nowhere_else() {
    let (world, gateway) = World::warm();
    let sealed = world.api_keys.values.borrow()["service:chittyconnect"].clone();
    let sealer = Sealer::parse(SEALING_KEYS).unwrap();
    assert_eq!(sealer.open("service:chittyconnect", &sealed).unwrap(), "cc_live_secret_1");
    let fresh = World::new();
    run(fresh.isolate().get("/health", None));
    for service in ["id", "dna", "register", "verify", "certify", "chronicle"] {
        for call in fresh.services.calls(service) {
            assert!(!format!("{call:?}").contains("cc_live"), "{call:?}");
        }
    }
    let steps = world.db.cells("SELECT result FROM registration_steps ORDER BY step");
    assert!(steps.contains(&"key_1".to_owned()) && !steps.concat().contains("cc_live"));
    assert!(!run(gateway.get("/health", None)).text.contains("cc_live"));
}

#[test]
fn without_a_sealing_key_there_is_no_key_and_the_gateway_serves() {
    let world = World::new();
    let gateway = world.isolate_with(&[("SEALING_KEYS", None)]);
    run(async {
        gateway.get("/health", None).await;
        let health = gateway.get("/health", None).await;
        assert_eq!(health.json["ecosystem"]["last_error"], "sealing_keys_missing");
        assert_eq!(world.services.calls("auth").len(), 0, "nothing was asked for in vain");
        assert_eq!(gateway.get("/v1/contexts", Some("dev-a")).await.status, 200);
    });
}

#[test]
fn registering_is_left_out_until_it_is_switched_on() {
    let world = World::new();
    let off = world.isolate_with(&[("REGISTRY_AUTO_REGISTER", Some("false"))]);
    run(async {
        off.get("/health", None).await;
        let health = off.get("/health", None).await;
        assert_eq!(health.json["ecosystem"]["state"], "registered");
        assert_eq!(world.services.calls("register").len(), 0);
        let on = world.isolate();
        on.get("/health", None).await;
        assert_eq!(world.services.calls("register").len(), 1);
        assert_eq!(world.db.count("registration_steps"), 7);
    });
}

#[test]
fn a_verification_that_does_not_say_so_is_none() {
    for answer in [r#"{"verified":false,"status":"PASS"}"#, r#"{"status":"REVIEW"}"#, "{}"] {
        let world = World::new();
        let gateway = world.isolate();
        world.services.set("verify", Behaviour::Answer(200, answer.to_owned()));
        run(async {
            gateway.get("/health", None).await;
            let health = gateway.get("/health", None).await;
            assert_eq!(health.json["ecosystem"]["pending"], json!(["verify", "certify", "log"]));
            assert_eq!(world.services.calls("certify").len(), 0);
        });
    }
}

#[test]
fn an_identity_minted_too_late_is_reported_as_orphaned() {
    // The lease has run out under two slow isolates: both mint, one step is recorded.
    let (world, _) = World::warm();
    unregister(&world);
    let (a, b) = (world.isolate(), world.isolate());
    world.db.execute(
        "CREATE TRIGGER always_free AFTER UPDATE ON registration_lease \
         BEGIN UPDATE registration_lease SET expires_at = '', next_attempt_at = ''; END",
    );
    world.db.execute("UPDATE registration_lease SET expires_at = ''");
    run(async {
        futures_util::future::join(a.get("/health", None), b.get("/health", None)).await;
        assert_eq!(world.services.calls("id").len(), 2);
        assert_eq!(world.db.count("registration_steps"), 7);
        let kept = "SELECT result FROM registration_steps WHERE step = 'mint'";
        let kept = world.db.cell(kept).unwrap();
        let orphan = world
            .db
            .cell("SELECT entity_id FROM outbox WHERE event_type = 'identity.orphaned'")
            .unwrap();
        assert_ne!(kept, orphan);
        for isolate in [&a, &b] {
            let health = isolate.get("/health", None).await;
            assert_eq!(health.json["ecosystem"]["chitty_id"], kept);
        }
    });
}

/// Takes the registration back, the lease excepted.
fn unregister(world: &World) {
    for table in ["registration_steps", "contexts", "contexts_fts", "outbox"] {
        world.db.execute(&format!("DELETE FROM {table}"));
    }
}
