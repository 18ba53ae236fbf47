//! Search: what is found, in which order, whatever is typed.

use serde_json::json;

use crate::world::{Isolate, World, run};

async fn names(gateway: &Isolate, query: &str) -> Vec<String> {
    let query: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
    let answer = gateway.get(&format!("/v1/contexts/search?q={query}"), Some("dev-a")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let list = answer.json["contexts"].as_array().unwrap();
    assert_eq!(answer.json["count"], list.len());
    list.iter().map(|context| context["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_field_is_searched_and_words_are_found_as_people_write_them() {
    let (_, gateway) = World::warm();
    run(async {
        let body = json!({
            "name": "Quarterly Report",
            "data": [{"repository": "chitty/Connect"}, "line one\nbreak", 4711, "Crème brûlée"],
            "systems": ["GitHub"],
            "tools": [{"name": "full-text search"}],
        });
        gateway.create("dev-a", &body).await;
        gateway.create("dev-a", &json!({"name": "東京 🚀 launch"})).await;
        for query in [
            "quarterly",
            "REPORT",
            "reports",
            "quart",
            "repo",
            "repository",
            "connect",
            "break",
            "4711",
            "creme",
            "brûlée",
            "github",
            "search text",
            "report github",
        ] {
            assert_eq!(names(&gateway, query).await, ["Quarterly Report"], "{query}");
        }
        for query in ["launch", "🚀", "東", "京 launch", "東京"] {
            assert_eq!(names(&gateway, query).await, ["東京 🚀 launch"], "{query}");
        }
        for query in ["missing", "quarterly missing", "uarterly", "%", "\"", "💥"] {
            assert_eq!(names(&gateway, query).await, Vec::<String>::new(), "{query}");
        }
        assert_eq!(names(&gateway, "").await.len(), 2, "nothing asked for: everything");
    });
}

#[test]
fn no_input_is_an_error_or_an_operator() {
    let (_, gateway) = World::warm();
    run(async {
        gateway.create("dev-a", &json!({"name": "and or not near"})).await;
        for query in [
            "and or not near",
            "NOT near",
            "near AND",
            "\"and\" OR \"near",
            "(not",
            "near)",
            "near*",
            "^and",
            "name : near",
            "- near",
            "+near",
            "{near}",
            "near; drop table contexts",
            "'near'",
            "near\\",
            "NEAR(and not, 5)",
            "%near%",
            "near_",
            "\u{0}near",
            "near🚀".split('🚀').next().unwrap(),
        ] {
            let found = names(&gateway, query).await;
            // A word that is not there (`name`, `drop`, …) may keep it from being found.
            assert!(found.len() <= 1, "{query}");
            if query.split_whitespace().all(|word| word.to_lowercase().contains("near")) {
                assert_eq!(found.len(), 1, "{query}");
            }
        }
        let long = "x".repeat(201);
        let answer = gateway.get(&format!("/v1/contexts/search?q={long}"), Some("dev-a")).await;
        assert_eq!((answer.status, answer.code()), (422, "validation_failed"));
        assert!(names(&gateway, &"word ".repeat(40)).await.is_empty());
    });
}

#[test]
fn the_name_itself_comes_first_then_names_with_the_words_then_the_rest() {
    let (_, gateway) = World::warm();
    run(async {
        gateway.create("dev-a", &json!({"name": "alpha"})).await;
        gateway.create("dev-a", &json!({"name": "the alpha one"})).await;
        gateway.create("dev-a", &json!({"name": "something", "data": ["alpha"]})).await;
        gateway.create("dev-a", &json!({"name": "alphabet soup"})).await;
        gateway.create("dev-a", &json!({"name": "elsewhere", "tools": ["alpha"]})).await;
        let order = ["alpha", "alphabet soup", "the alpha one", "elsewhere", "something"];
        assert_eq!(names(&gateway, "alpha").await, order);
        // Page by page the order is the same.
        for limit in 1..=4 {
            let mut seen = Vec::new();
            let mut target = format!("/v1/contexts/search?q=alpha&limit={limit}");
            loop {
                let page = gateway.get(&target, Some("dev-a")).await;
                for context in page.json["contexts"].as_array().unwrap() {
                    seen.push(context["name"].as_str().unwrap().to_owned());
                }
                let Some(link) = page.headers.get("link") else { break };
                target = link.split(['<', '>']).nth(1).unwrap().to_owned();
            }
            assert_eq!(seen, order, "limit {limit}");
        }
        let bad = gateway.get("/v1/contexts/search?q=a&cursor=OXx4", Some("dev-a")).await;
        assert_eq!((bad.status, bad.code()), (422, "validation_failed"), "tier 9");
    });
}

#[test]
fn status_and_changes_are_followed() {
    let (_, gateway) = World::warm();
    run(async {
        let id = gateway.create("dev-a", &json!({"name": "before", "data": ["kept"]})).await;
        let path = format!("/v1/contexts/{id}");
        gateway.patch(&path, "dev-a", &json!({"name": "after"})).await;
        assert_eq!(names(&gateway, "before").await, Vec::<String>::new());
        assert_eq!(names(&gateway, "after kept").await, ["after"]);
        gateway.patch(&path, "dev-a", &json!({"status": "inactive"})).await;
        let count = |query: &'static str| {
            let gateway = gateway.clone();
            async move {
                let target = format!("/v1/contexts/search?{query}");
                gateway.get(&target, Some("dev-a")).await.json["count"].clone()
            }
        };
        assert_eq!(count("q=after").await, 0);
        assert_eq!(count("q=after&status=inactive").await, 1);
        assert_eq!(count("q=after&status=all").await, 1);
        assert_eq!(count("q=after&status=active").await, 0);
        assert_eq!(count("q=&status=inactive").await, 1);
        gateway.delete(&path, "dev-a").await;
        assert_eq!(count("q=after&status=all").await, 0);
    });
}
