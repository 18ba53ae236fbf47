//! Where services are: what ChittyRegistry says is used, and nothing that it says is believed further than it
//! must be.

use chitty_core::Service;
use chittyconnect::tasks;
use futures_util::future::join;
use serde_json::{Value, json};

use crate::world::{Answer, Behaviour, Isolate, World, run};

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

async fn connect(gateway: &Isolate, service: &str, more: Value) -> Answer {
    let mut body = json!({
        "source_chitty_id": "CHITTY-PEO-a", "source_type": "actor", "target_service": service,
    });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    gateway.post("/v1/connections", "dev-a+read,write,almanac:read", &body).await
}

#[test]
fn a_connection_names_a_service_that_only_the_registry_knows() {
    let (world, gateway) = World::warm();
    run(async {
        list(
            &world,
            &[("chittyalmanac", "https://almanac.chitty.cc"), ("x", "https://x.chitty.cc")],
        );
        let made =
            connect(&gateway, "ChittyAlmanac", json!({"credentials": {"type": "provisioned"}}))
                .await;
        assert_eq!(made.status, 201, "{}", made.text);
        let link = &made.json["connection"];
        assert_eq!(link["target_service"], "almanac");
        assert_eq!(link["target_endpoint"], "https://almanac.chitty.cc");
        assert_eq!(
            world.outside.take()[0].url,
            "http://services/almanac/health",
            "tried where this deployment has it"
        );
        let id = link["connection_id"].as_str().unwrap();
        let path = format!("/v1/connections/{id}/proxy/today");
        assert_eq!(gateway.get(&path, Some("dev-a+read,almanac:read")).await.status, 200);
        let through = world.outside.take().pop().unwrap();
        assert_eq!(through.url, "http://services/almanac/today");
        let shown = through.headers.iter().find(|(name, _)| name == "authorization").unwrap();
        assert!(shown.1.contains("cc_live_secret"), "with its own key");

        // It keeps its host, whatever the registry says later.
        list(&world, &[("chittyalmanac", "https://eu.almanac.chitty.cc")]);
        world.advance_ms(300_000);
        tasks::scheduled(&gateway.app).await;
        world.outside.take();
        gateway.get(&path, Some("dev-a+read,almanac:read")).await;
        assert_eq!(world.outside.take().pop().unwrap().url, "http://services/almanac/today");
        let spelled =
            json!({"target_endpoint": "https://eu.almanac.chitty.cc/v2", "check_path": null});
        let other = connect(&gateway, "almanac", spelled).await;
        assert_eq!(
            (other.status, &other.json["connection"]["target_endpoint"]),
            (201, &json!("https://eu.almanac.chitty.cc/v2"))
        );
        let wrong = json!({"target_endpoint": "https://id.chitty.cc"});
        assert_eq!(connect(&gateway, "almanac", wrong).await.code(), "validation_failed");
    });
}

#[test]
fn a_service_whose_host_is_not_its_name_is_reached_at_its_host() {
    let (world, gateway) = World::warm();
    run(async {
        let usual = "https://tasks.chitty.cc";
        let made = connect(&gateway, "task", json!({})).await;
        assert_eq!(made.status, 201, "{}", made.text);
        assert!(made.json["connection"]["target_endpoint"].is_null(), "the usual one");
        let spelled = connect(&gateway, "chittytask", json!({"target_endpoint": usual})).await;
        assert_eq!(spelled.code(), "connection_exists", "the same endpoint");
        let by_name = json!({"target_endpoint": "https://task.chitty.cc"});
        let by_name = connect(&gateway, "task", by_name).await;
        assert_eq!(by_name.status, 201, "{}", by_name.text);
        let calls = world.outside.take();
        for call in &calls {
            assert_eq!(call.url, "http://services/tasks/health");
        }
        assert!(calls.len() >= 2);
        let wrong = json!({"target_endpoint": usual});
        assert_eq!(connect(&gateway, "almanac", wrong).await.code(), "validation_failed");
    });
}

#[test]
fn a_name_that_nobody_knows_asks_the_registry_at_most_once_in_a_while() {
    let (world, gateway) = World::warm();
    run(async {
        let other = world.isolate();
        let unknown = json!({"check_path": null});
        for _ in 0..3 {
            for isolate in [&gateway, &other] {
                let refused = connect(isolate, "nobody", unknown.clone()).await;
                assert_eq!(refused.code(), "validation_failed");
                assert!(refused.text.contains("ChittyRegistry"), "{}", refused.text);
            }
        }
        assert_eq!(asked(&world), 1);
        let elsewhere = json!({"target_endpoint": "https://api.github.com", "check_path": null});
        list(
            &world,
            &[("github", "https://github.chitty.cc"), ("nobody", "https://nobody.chitty.cc")],
        );
        let github = connect(&gateway, "github", elsewhere).await;
        assert_eq!(
            github.json["connection"]["target_endpoint"], "https://api.github.com",
            "the caller's word"
        );
        world.advance_ms(30_000);
        let (one, two) = join(
            connect(&gateway, "nobody", unknown.clone()),
            connect(&other, "nobody", unknown.clone()),
        )
        .await;
        assert!(one.status == 201 || two.status == 201, "{} {}", one.text, two.text);
        assert_eq!(asked(&world), 2);
        world.services.set("registry", Behaviour::Hang);
        world.advance_ms(30_000);
        let slow = connect(&gateway, "somebody", unknown).await;
        assert_eq!(slow.code(), "validation_failed", "{}", slow.text);
    });
}

#[test]
fn one_isolate_asks_for_all_every_five_minutes_and_what_was_said_stays_while_it_is_down() {
    let (world, _) = World::warm();
    let vars = [("HANDOVER_SECONDS", Some("3"))];
    let (one, two) = (world.isolate_with(&vars), world.isolate_with(&vars));
    run(async {
        list(
            &world,
            &[
                ("chittyalmanac", "https://almanac.chitty.cc"),
                ("chittydna", "https://eu.dna.chitty.cc"),
            ],
        );
        let minutes = async |count: u64| {
            for _ in 0..count {
                world.advance_ms(60_000);
                join(one.get("/health", None), two.get("/health", None)).await;
                tasks::scheduled(&one.app).await;
            }
        };
        join(one.get("/health", None), two.get("/health", None)).await;
        minutes(1).await;
        assert_eq!(asked(&world), 1);
        assert_eq!(two.app.core.endpoint(Service::Dna), "http://services/eu.dna");
        minutes(4).await;
        assert_eq!(asked(&world), 2, "after five minutes");
        world.services.set("registry", Behaviour::Answer(503, "{}".to_owned()));
        minutes(60).await;
        assert_eq!(two.app.core.endpoint(Service::Dna), "http://services/eu.dna", "the last word");
        let link = connect(&one, "almanac", json!({"check_path": null})).await;
        assert_eq!(link.status, 201, "{}", link.text);
        world.services.set("registry", Behaviour::Answer(200, "[]".to_owned()));
        minutes(5).await;
        assert_eq!(one.app.core.endpoint(Service::Dna), "http://services/dna", "as built in");
        assert_eq!(world.db.count("service_addresses"), 0);
    });
}

#[test]
fn a_poisoned_registry_moves_nothing_to_where_somebody_else_is() {
    let (world, _) = World::warm();
    let gateway = world.isolate_with(&[
        ("CHITTYCHRONICLE_SERVICE_URL", Some("http://services/chronicle")),
        ("HANDOVER_SECONDS", Some("3")),
    ]);
    run(async {
        let evil: Vec<(&str, &str)> = [
            "auth", "id", "mint", "registry", "register", "dna", "verify", "certify", "beacon",
            "canon", "chat", "cases",
        ]
        .into_iter()
        .map(|name| (name, "https://evil.chitty.cc"))
        .chain([
            ("auth", "https://eu.auth.chitty.cc"),
            ("registry", "https://eu.registry.chitty.cc"),
            ("chronicle", "https://eu.chronicle.chitty.cc"),
            ("weather", "https://auth.chitty.cc"),
            ("sunshine", "https://evil.example"),
            ("rain", "http://rain.chitty.cc"),
            ("connect", "https://connect.chitty.cc"),
            ("mcp", "https://x.mcp.chitty.cc"),
        ])
        .collect();
        list(&world, &evil);
        tasks::scheduled(&gateway.app).await;
        gateway.get("/health", None).await;
        assert_eq!(asked(&world), 1);
        for service in Service::ALL {
            let expected = format!("http://services/{}", service.host());
            assert_eq!(gateway.app.core.endpoint(*service), expected);
        }
        for name in ["weather", "sunshine", "rain"] {
            let refused = connect(&gateway, name, json!({"check_path": null})).await;
            assert_eq!(refused.code(), "validation_failed", "{name}");
        }
        let cases = connect(&gateway, "cases", json!({})).await;
        assert_eq!(cases.status, 201);
        assert_eq!(world.outside.take().pop().unwrap().url, "http://services/cases/health");
        let hosts =
            world.db.cells("SELECT name || ' ' || host || ' ' || is_moved FROM service_addresses");
        assert_eq!(hosts, ["auth eu.auth 0", "chronicle eu.chronicle 1", "registry eu.registry 0"]);

        // What somebody has written past all that is judged again.
        world.db.execute("INSERT INTO service_addresses (name, host, is_moved) VALUES ('id', 'evil', 1), ('cases', 'auth', 1), ('weather', 'id', 0)");
        world.advance_ms(10_000);
        gateway.get("/health", None).await;
        assert_eq!(gateway.app.core.endpoint(Service::Id), "http://services/id");
        assert_eq!(connect(&gateway, "weather", json!({})).await.code(), "validation_failed");
    });
}

#[test]
fn a_service_that_has_moved_is_called_and_watched_where_it_is() {
    let (world, _) = World::warm();
    world.objects.awake.set(true);
    let gateway = world.isolate_with(&[("HANDOVER_SECONDS", Some("3"))]);
    run(async {
        list(
            &world,
            &[
                ("chittycases", "https://chittycases.chitty.cc"),
                ("chittyid", "https://chittyid.chitty.cc"),
            ],
        );
        tasks::scheduled(&gateway.app).await;
        gateway.get("/health", None).await;
        assert_eq!(gateway.app.core.endpoint(Service::Id), "http://services/chittyid");
        connect(&gateway, "cases", json!({})).await;
        assert_eq!(world.outside.take().pop().unwrap().url, "http://services/chittycases/health");
        // The object that watches it has no requests of its own.
        for _ in 0..3 {
            world.advance_ms(60_000);
            world.objects.fire_due(Service::Id).await;
        }
        let watched = world.services.calls("chittyid");
        assert!(
            watched.iter().any(|call| call.url == "http://services/chittyid/health"),
            "{watched:?}"
        );
        let seen = gateway.get("/v1/ecosystem/id", Some("dev-a")).await;
        assert_eq!(seen.json["url"], "http://services/chittyid");
    });
}
