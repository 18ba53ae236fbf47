//! What a signed delivery may look like: JSON or a form, and what is refused so that it is red at GitHub.

use chittyconnect::tasks;
use serde_json::{Value, json};

use crate::world::{Isolate, TestRequest, World, run, signed};

const ADMIN: &str = "dev-root+admin";
const FORM: &str = "application/x-www-form-urlencoded";

fn push() -> Value {
    json!({
        "ref": "refs/heads/main", "after": "c1", "commits": [{"message": "a+b & 50% é"}],
        "repository": {"id": 7, "full_name": "octo/hello"}, "installation": {"id": 3},
    })
}

fn installation(event: &str, login: &str, updated_at: &str) -> Value {
    let account = json!({"id": 8, "login": login, "type": "Organization"});
    json!({
        "action": event, "repositories": [],
        "installation": {
            "id": 3, "account": account, "repository_selection": "all", "permissions": {},
            "events": ["push"], "created_at": "2026-01-01T00:00:00Z", "updated_at": updated_at,
        },
    })
}

/// A delivery as GitHub sends it where the webhook is set to `application/x-www-form-urlencoded`.
fn form(id: &str, event: &str, payload: &Value) -> TestRequest {
    let mut form = form_urlencoded::Serializer::new(String::new());
    let body = form.append_pair("payload", &payload.to_string()).finish();
    signed(id, event, body.as_bytes())
        .header("content-type", FORM)
        .header("content-length", &body.len().to_string())
}

/// What was told of deliveries, as `action delivery`.
async fn told(world: &World, gateway: &Isolate) -> Vec<String> {
    gateway.deliver_webhooks().await;
    gateway.deliver_all().await;
    let entries = world.services.entries();
    let told = entries.iter().map(|entry| {
        let delivery = entry["metadata"]["payload"]["delivery_id"].as_str().unwrap_or_default();
        format!("{} {delivery}", entry["action"].as_str().unwrap())
    });
    told.collect()
}

#[test]
fn a_form_is_read_as_the_json_that_it_holds() {
    let (world, gateway) = World::warm();
    run(async {
        let sent = gateway.send(form("d-form", "push", &push())).await;
        assert_eq!((sent.status, &sent.json["delivery_id"]), (202, &json!("d-form")));
        assert_eq!(gateway.webhook("d-json", "push", &push()).await.status, 202);
        assert_eq!(told(&world, &gateway).await, ["github.push d-form", "github.push d-json"]);
        let facts = world.db.cells("SELECT facts FROM github_deliveries ORDER BY delivery_id");
        assert_eq!(facts[0], facts[1]);
        assert!(facts[0].contains("\"commits\":1"), "{}", facts[0]);
        // The charset is said by some who send it again.
        let request =
            form("d-2", "push", &push()).header("content-type", &format!("{FORM}; charset=utf-8"));
        assert_eq!(gateway.send(request).await.status, 202);
    });
}

#[test]
fn a_long_form_waits_in_storage_and_is_read_there() {
    let (world, gateway) = World::warm();
    run(async {
        let mut long = push();
        long["x"] = "é%+&".repeat(60_000).into();
        assert_eq!(gateway.send(form("d-1", "push", &long)).await.status, 202);
        assert_eq!(world.cache.values.borrow().len(), 1);
        assert_eq!(told(&world, &gateway).await, ["github.push d-1"]);
        assert!(world.cache.values.borrow().is_empty(), "the stored body is let go of");
    });
}

/// Signed, and refused: nothing is handed over, nothing becomes a dead letter.
#[test]
fn what_cannot_be_read_is_refused_and_never_acknowledged() {
    let (world, gateway) = World::warm();
    run(async {
        let deep = format!("{{\"x\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let json = |event: &str, body: &str| signed("d-1", event, body.as_bytes());
        let typed = |kind: &str| json("push", &push().to_string()).header("content-type", kind);
        let long = format!("{{\"x\":\"{}", "x".repeat(200_000));
        let long = json("push", &long).header("content-length", &long.len().to_string());
        let plain = |text: &str| json("push", text).header("content-type", FORM);
        for (request, status, code) in [
            (json("push", "not json"), 400, "malformed_request"),
            (json("push", ""), 400, "malformed_request"),
            (json("push", "[1]"), 400, "malformed_request"),
            (json("push", "\"text\""), 400, "malformed_request"),
            (json("push", "{\"ref\":"), 400, "malformed_request"),
            (json("unheard_of", "null"), 400, "malformed_request"),
            (signed("d-1", "push", &[b'"', 0xe9, b'"']), 400, "malformed_request"),
            (long, 400, "malformed_request"),
            (plain("payload=not+json"), 400, "malformed_request"),
            (plain("payload=%ff%7B%7D"), 400, "malformed_request"),
            (plain("a=b"), 400, "malformed_request"),
            (plain(&push().to_string()), 400, "malformed_request"),
            (typed(""), 415, "unsupported_media_type"),
            (typed("text/plain"), 415, "unsupported_media_type"),
            (typed("multipart/form-data; boundary=x"), 415, "unsupported_media_type"),
            (json("push", "{}"), 422, "validation_failed"),
            (json("push", r#"{"repository": "octo/hello"}"#), 422, "validation_failed"),
            (json("push", &deep), 422, "validation_failed"),
            (json("installation", r#"{"action": "created"}"#), 422, "validation_failed"),
            (json("installation", r#"{"installation": {"id": "x"}}"#), 422, "validation_failed"),
            (json("pull_request", &push().to_string()), 422, "validation_failed"),
            (json("issues", &push().to_string()), 422, "validation_failed"),
            (json("installation_target", &push().to_string()), 422, "validation_failed"),
        ] {
            let answer = gateway.send(request).await;
            assert_eq!((answer.status, answer.code()), (status, code), "{}", answer.text);
        }
        assert!(world.github_events.messages.borrow().is_empty());
        assert!(world.cache.values.borrow().is_empty());
        let letters = gateway.get("/v1/events/dead-letters", Some(ADMIN)).await;
        assert_eq!(letters.json["count"], 0);
        let named = gateway.send(json("pull_request", "{}")).await;
        let pointers: Vec<&Value> = named.json["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| &error["pointer"])
            .collect();
        assert_eq!(pointers, [&json!("/repository"), &json!("/pull_request")]);
        // What the App does nothing with may look as GitHub likes, however deep.
        for event in ["ping", "star", "unheard_of"] {
            assert_eq!(gateway.send(json(event, &deep)).await.status, 202, "{event}");
        }
    });
}

#[test]
fn a_renamed_account_has_its_new_name_whatever_order_it_comes_in() {
    let renamed = |from: &str, to: &str| {
        let account = json!({"id": 8, "login": to, "type": "Organization"});
        json!({
            "action": "renamed", "account": account, "changes": {"login": {"from": from}},
            "target_type": "Organization", "installation": {"id": 3},
        })
    };
    let as_organization = |from: &str, to: &str| {
        json!({
            "action": "renamed", "organization": {"id": 8, "login": to},
            "changes": {"login": {"from": from}}, "installation": {"id": 3},
        })
    };
    let (world, gateway) = World::warm();
    run(async {
        let made = installation("created", "one", "2026-01-01T00:00:00Z");
        gateway.webhook("d-0", "installation", &made).await;
        let foreign = json!({
            "action": "renamed", "account": {"id": 9, "login": "else"}, "installation": {"id": 3},
        });
        let steps = [
            ("installation_target", renamed("one", "two"), "two"),
            ("organization", as_organization("two", "three"), "three"),
            // Late: what has followed it is known.
            ("installation_target", renamed("one", "two"), "three"),
            ("installation_target", renamed("three", "two"), "two"),
            ("organization", as_organization("four", "five"), "five"),
            ("installation_target", renamed("two", "four"), "five"),
            ("installation_target", foreign, "five"),
            (
                "organization",
                json!({"action": "member_added", "installation": {"id": 3},
                "organization": {"id": 8, "login": "six"}}),
                "five",
            ),
        ];
        for (n, (event, payload, expected)) in steps.into_iter().enumerate() {
            world.advance_ms(10);
            gateway.webhook(&format!("d-{}", n + 1), event, &payload).await;
            gateway.deliver_webhooks().await;
            let one = gateway.get("/v1/github/installations/3", Some(ADMIN)).await;
            assert_eq!(one.json["account"], expected, "{n} {one:?}");
        }
        gateway.deliver_all().await;
        // Chronicle is told by numbers, as ever.
        let entries = world.services.entries();
        let entry = entries.iter().find(|entry| entry["action"] == "github.installation_target");
        let payload = &entry.unwrap()["metadata"]["payload"];
        assert_eq!(payload["installation_id"], 3);
        assert!(!payload.to_string().contains("two"), "{payload}");
        tasks::scheduled(&gateway.app).await;
    });
}
