//! What has happened, listed for whose it was.

use std::collections::BTreeSet;

use chittyconnect::store::event::{Event, EventKind, Message};
use chittyconnect::store::migrations::MIGRATIONS;
use chittyconnect::store::outbox;
use seams::db::Db;
use serde_json::{Value, json};

use crate::world::database::Database;
use crate::world::{Answer, Isolate, TestRequest, World, run};

const ADMIN: &str = "dev-root+admin";

/// The types of entities that nobody owns.
pub(crate) const NOBODYS: [&str; 4] = ["service", "audit", "identity", "dead_letter"];

/// The events of a page, as `type entity`.
fn named(page: &Answer) -> Vec<String> {
    assert_eq!(page.status, 200, "{}", page.text);
    let events = page.json["events"].as_array().unwrap().iter();
    events.map(|event| format!("{} {}", text(event, "type"), text(event, "entity_id"))).collect()
}

/// The ids of the events that somebody is shown, page by page.
async fn ids(gateway: &Isolate, target: &str, token: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = gateway.get(&format!("{target}{cursor}"), Some(token)).await;
        assert_eq!(page.status, 200, "{target} {}", page.text);
        let events = page.json["events"].as_array().unwrap();
        ids.extend(events.iter().map(|event| text(event, "id").to_owned()));
        let Some(next) = page.json["next_cursor"].as_str() else { return ids };
        cursor = format!("&cursor={next}");
    }
}

fn text<'a>(event: &'a Value, name: &str) -> &'a str {
    event[name].as_str().unwrap()
}

/// Everything that somebody can own, made and changed; returns the entities.
async fn own_much(world: &World, gateway: &Isolate) -> BTreeSet<String> {
    let keyed = |path: &str, body: &Value| {
        let request = TestRequest::new("POST", path).token("dev-a").json(body);
        request.header("idempotency-key", path)
    };
    let mut entities = BTreeSet::from(["CHITTY-PEO-a".to_owned()]);
    gateway.send(keyed("/v1/actors/register", &json!({"actor_type": "ai"}))).await;
    world.advance_ms(1);
    let context = gateway.create("dev-a", &json!({"name": "n"})).await;
    world.advance_ms(1);
    gateway.patch(&format!("/v1/contexts/{context}"), "dev-a", &json!({"name": "m"})).await;
    let link = json!({
        "source_chitty_id": "CHITTY-PEO-a", "source_type": "actor", "target_service": "cases",
        "credentials": {"type": "bearer", "token": "t"},
    });
    world.advance_ms(1);
    let link = gateway.send(keyed("/v1/connections", &link)).await;
    let link = text(&link.json["connection"], "connection_id").to_owned();
    world.advance_ms(1);
    let proxied = format!("/v1/connections/{link}/proxy/x");
    gateway.post(&proxied, "dev-a", &json!({})).await;
    world.advance_ms(1);
    gateway.delete(&format!("/v1/connections/{link}"), "dev-a").await;
    let make = json!({"target_service": "connect", "scopes": ["read"]});
    world.advance_ms(1);
    let delegation = gateway.send(keyed("/v1/delegate", &make)).await;
    let delegation = text(&delegation.json["delegation"], "token_id").to_owned();
    let make = json!({"name": "n", "scopes": ["read"]});
    world.advance_ms(1);
    let key = gateway.send(keyed("/v1/keys", &make)).await;
    let key = text(&key.json["key"], "key_id").to_owned();
    world.advance_ms(1);
    gateway.delete(&format!("/v1/keys/{key}"), "dev-a").await;
    world.advance_ms(1);
    let flow = keyed("/v1/orchestrations/user-registration", &json!({"email": "a@example.org"}));
    let run = gateway.send(flow).await;
    let run = text(&run.json["orchestration"], "id").to_owned();
    gateway.deliver_all().await;
    world.advance_ms(1);
    gateway.delete(&format!("/v1/contexts/{context}"), "dev-a").await;
    entities.extend([context, link, delegation, key, run]);
    entities
}

#[test]
fn everything_that_is_ones_own_is_in_one_list_and_nothing_else() {
    let (world, gateway) = World::warm();
    run(async {
        let entities = own_much(&world, &gateway).await;
        gateway.create("dev-b", &json!({"name": "of another"})).await;
        let list = ids(&gateway, "/v1/events?limit=2", "dev-a").await;
        assert!(
            list.is_sorted_by(|newer, older| newer > older),
            "newest first, each once: {list:?}"
        );
        let mut each = BTreeSet::new();
        for entity in &entities {
            let of_it =
                ids(&gateway, &format!("/v1/events?limit=1&entity={entity}"), "dev-a").await;
            assert!(!of_it.is_empty(), "{entity}");
            each.extend(of_it);
        }
        assert_eq!(list.iter().cloned().collect::<BTreeSet<_>>(), each);
        assert!(list.len() >= 11, "{list:?}");
        // What has an owner says so, whatever it is.
        let unowned = "SELECT DISTINCT entity_type FROM audit WHERE owner_id IS NULL";
        for entity in world.db.cells(unowned) {
            assert!(NOBODYS.contains(&&*entity), "{entity}");
        }
        let others = named(&gateway.get("/v1/events", Some("dev-b")).await);
        assert_eq!(others.len(), 1, "{others:?}");
        assert!(named(&gateway.get("/v1/events", Some("dev-c")).await).is_empty());
        // An administrator's own list is no other; all of it is asked for.
        assert!(named(&gateway.get("/v1/events", Some(ADMIN)).await).is_empty());
        let all = ids(&gateway, "/v1/events?owner=all&limit=3", ADMIN).await;
        assert_eq!(all.len(), world.db.count("audit"));
        let refused = gateway.get("/v1/events?owner=all", Some("dev-a")).await;
        assert_eq!((refused.status, refused.code()), (403, "insufficient_scope"));
        let of_one = "/v1/events?owner=all&entity=CHITTY-PEO-a";
        assert_eq!(gateway.get(of_one, Some("dev-a")).await.status, 403);
        assert_eq!(gateway.get(of_one, Some(ADMIN)).await.status, 200);
        for wrong in ["owner=mine", "since=x", "until=x", "limit=0"] {
            let answer = gateway.get(&format!("/v1/events?{wrong}"), Some(ADMIN)).await;
            assert_eq!((answer.status, answer.code()), (422, "validation_failed"), "{wrong}");
        }
    });
}

#[test]
fn the_list_is_narrowed_by_type_and_by_time() {
    let (world, gateway) = World::warm();
    run(async {
        let mut at = Vec::new();
        for n in 0..4 {
            world.advance_ms(1000);
            at.push(seams::time::iso8601(world.clock_ms()));
            let id = gateway.create("dev-a", &json!({"name": format!("n{n}")})).await;
            gateway
                .patch(&format!("/v1/contexts/{id}"), "dev-a", &json!({"name": format!("m{n}")}))
                .await;
        }
        for (narrowed, expected) in [
            ("", 8),
            ("type=context.created", 4),
            ("type=key.created", 0),
            (&format!("since={}", at[1]), 6),
            (&format!("until={}", at[1]), 2),
            (&format!("since={}&until={}&type=context.updated", at[1], at[3]), 2),
        ] {
            let page = gateway.get(&format!("/v1/events?{narrowed}"), Some("dev-a")).await;
            assert_eq!(page.json["count"], expected, "{narrowed} {}", page.text);
            let all = ids(&gateway, &format!("/v1/events?limit=1&{narrowed}"), "dev-a").await;
            assert_eq!(all.len(), expected, "{narrowed}");
        }
    });
}

#[test]
fn a_filter_that_finds_nothing_because_of_a_slip_says_so() {
    let (_, gateway) = World::warm();
    run(async {
        for (path, hint) in [
            ("/v1/events?type=context.creatd", "did you mean `context.created`?"),
            ("/v1/audit?action=key.rotate", "did you mean `key.rotated`?"),
            ("/v1/events/dead-letters?type=Context.Created", "did you mean `context.created`?"),
            ("/v1/events?type=zzz", "no event has this name"),
            ("/v1/events?since=2026-01-31T09:30:00", "%2B for the plus"),
            ("/v1/events?until=yesterday", "such as 2026-01-31T09:30:00Z"),
        ] {
            let refused = gateway.get(path, Some("dev-root+admin")).await;
            assert_eq!(refused.status, 422, "{path}");
            let detail = refused.json["errors"][0]["detail"].as_str().unwrap();
            assert!(detail.contains(hint), "{path}: {detail}");
        }
        for path in [
            "/v1/events?type=github.push",
            "/v1/events?since=20260131T093000Z&until=2026-01-31T09:30Z",
            "/v1/events?since=2026-01-31T09:30:00+01:00",
        ] {
            assert_eq!(gateway.get(path, Some("dev-a")).await.status, 200, "{path}");
        }
    });
}

/// The trigger finds the owners of entities whose events do not say them. (That every event has an owner unless
/// nobody can own its entity, is looked at for each writing route: see `record`.)
#[test]
fn the_trigger_looks_for_no_owner_of_what_nobody_owns() {
    let (world, _) = World::warm();
    let trigger = "SELECT sql FROM sqlite_schema WHERE name = 'audit_every_event'";
    let trigger = world.db.cell(trigger).unwrap();
    for entity in NOBODYS {
        assert!(EventKind::ALL.iter().any(|kind| kind.entity_type() == entity), "{entity}");
        assert!(!trigger.contains(&format!("WHEN '{entity}' THEN")), "{entity}");
    }
}

/// Writes an event of an entity, which says its owner or none.
async fn told(world: &World, kind: EventKind, entity: &str, owner: Option<&str>) {
    world.advance_ms(1);
    let event = Event::new(world.clock_ms(), kind, entity, "CHITTY-PEO-x", json!({}), None);
    let event = Event { owner_id: owner.map(str::to_owned), ..event };
    assert!(!Message::encode(&event).contains("owner"), "it is no part of the message");
    world.db.batch(vec![outbox::insert(&event, 0)]).await.unwrap();
}

/// An entity whose table the list does not know is its owner's, as its newest event says.
#[test]
fn an_event_can_say_whose_its_entity_is() {
    let (world, gateway) = World::warm();
    run(async {
        let shown = async |token: &str| {
            let page = gateway.get("/v1/events?entity=note_1", Some(token)).await;
            if page.status == 404 { None } else { Some(named(&page).len()) }
        };
        let kind = EventKind::IdentityMinted;
        assert_eq!(shown("dev-a").await, None);
        told(&world, kind.clone(), "note_1", Some("CHITTY-PEO-a")).await;
        assert_eq!((shown("dev-a").await, shown("dev-b").await), (Some(1), None));
        assert_eq!(named(&gateway.get("/v1/events", Some("dev-a")).await).len(), 1);
        // It is somebody else's from now on, and what was before is not.
        told(&world, kind.clone(), "note_1", Some("CHITTY-PEO-b")).await;
        assert_eq!((shown("dev-a").await, shown("dev-b").await), (None, Some(1)));
        assert_eq!(shown(ADMIN).await, Some(2));
        // And then nobody's.
        told(&world, kind, "note_1", None).await;
        assert_eq!((shown("dev-a").await, shown("dev-b").await), (None, None));
        assert_eq!(shown(ADMIN).await, Some(3));
    });
}

#[test]
fn an_entity_with_a_table_is_whose_the_table_says() {
    let (world, gateway) = World::warm();
    run(async {
        // An event may say it before the trigger looks for it.
        told(&world, EventKind::ContextUpdated, "CHITTY-CONTEXT-none", Some("CHITTY-PEO-a")).await;
        let owner = "SELECT owner_id FROM audit WHERE entity_id = 'CHITTY-CONTEXT-none'";
        assert_eq!(world.db.cell(owner).unwrap(), "CHITTY-PEO-a");
        let target = "/v1/events?entity=CHITTY-CONTEXT-none";
        assert_eq!(gateway.get(target, Some("dev-a")).await.status, 404);
        let id = gateway.create("dev-a", &json!({"name": "n"})).await;
        let newest = "SELECT owner_id FROM audit ORDER BY seq DESC LIMIT 1";
        assert_eq!(world.db.cell(newest).unwrap(), "CHITTY-PEO-a", "{id}");
    });
}

/// Numbers that are compared as text have 9 after 10.
#[test]
fn pages_go_on_where_the_numbers_of_the_entries_get_longer() {
    let (world, gateway) = World::warm();
    run(async {
        let link = json!({
            "source_chitty_id": "CHITTY-PEO-a", "source_type": "actor", "target_service": "cases",
            "credentials": {"type": "bearer", "token": "t"},
        });
        let link = gateway.post("/v1/connections", "dev-a", &link).await;
        let link = text(&link.json["connection"], "connection_id").to_owned();
        for n in 0..12 {
            let scopes = if n % 2 == 0 { json!(["read"]) } else { json!(["read", "write"]) };
            let path = format!("/v1/connections/{link}");
            assert_eq!(gateway.patch(&path, "dev-a", &json!({"scopes": scopes})).await.status, 200);
        }
        let last: i64 = world.db.cell("SELECT max(seq) FROM audit").unwrap().parse().unwrap();
        assert!((10..100).contains(&last), "{last}");
        let entity = ids(&gateway, &format!("/v1/events?limit=2&entity={link}"), "dev-a").await;
        assert_eq!(entity.len(), 13);
        assert_eq!(entity.iter().collect::<BTreeSet<_>>().len(), 13, "each once");
        let mut seen = 0;
        let mut cursor = String::new();
        loop {
            let target = format!("/v1/connections/{link}/history?limit=2{cursor}");
            let page = gateway.get(&target, Some("dev-a")).await;
            seen += page.json["count"].as_i64().unwrap();
            let Some(next) = page.json["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
            assert!(seen < 20, "the same again and again");
        }
        assert_eq!(seen, 13);
    });
}

/// What happens in the repositories of an installation is its owner's to see, and not the next one's.
#[test]
fn an_installation_that_changes_hands_takes_nothing_of_what_was_along() {
    let (world, gateway) = World::warm();
    run(async {
        let account = json!({"id": 8, "login": "octo", "type": "Organization"});
        let installed = json!({
            "action": "created", "repositories": [{"id": 7, "full_name": "octo/hello"}],
            "installation": {"id": 3, "account": account},
        });
        let push = json!({
            "ref": "refs/heads/main", "after": "c", "installation": {"id": 3},
            "repository": {"id": 7, "full_name": "octo/hello"},
        });
        let deliver = async |id: &str, event: &str, payload: &Value| {
            world.advance_ms(10);
            assert_eq!(gateway.webhook(id, event, payload).await.status, 202);
            gateway.deliver_webhooks().await;
        };
        // What the browser's way back does: see `github_ownership`.
        let own = |owner: &str| {
            let owner = if owner.is_empty() { "NULL".to_owned() } else { format!("'{owner}'") };
            world.db.execute(&format!("UPDATE installations SET owner_chitty_id = {owner}"));
        };
        deliver("d-0", "installation", &installed).await;
        let id = world.db.cell("SELECT chitty_id FROM installations").unwrap();
        deliver("d-nobody", "push", &push).await;
        for (owner, delivery) in [("CHITTY-PEO-a", "d-a"), ("CHITTY-PEO-b", "d-b"), ("", "d-none")]
        {
            own(owner);
            deliver(delivery, "push", &push).await;
        }
        own("CHITTY-PEO-b");
        let deliveries = |page: &Answer| -> Vec<String> {
            assert_eq!(page.status, 200, "{}", page.text);
            let events = page.json["events"].as_array().unwrap().iter();
            let pushes = events.filter(|event| event["type"] == "github.push");
            pushes.map(|event| text(&event["payload"], "delivery_id").to_owned()).collect()
        };
        let shown = async |target: &str, token: &str| {
            gateway.get(&format!("/v1/events{target}"), Some(token)).await
        };
        assert_eq!(deliveries(&shown("", "dev-a").await), ["d-a"]);
        assert_eq!(deliveries(&shown("", "dev-b").await), ["d-b"]);
        for entity in [&*id, "github:repository:7"] {
            let target = format!("?entity={entity}");
            let by_b = shown(&target, "dev-b").await;
            assert_eq!(deliveries(&by_b), ["d-none", "d-b", "d-nobody"], "{entity}");
            let all = ["d-none", "d-b", "d-a", "d-nobody"];
            assert_eq!(deliveries(&shown(&target, ADMIN).await), all, "{entity}");
            assert_eq!(shown(&target, "dev-c").await.status, 404, "{entity}");
            let narrowed = shown(&format!("{target}&type=github.push&limit=1"), "dev-b").await;
            assert_eq!(deliveries(&narrowed), ["d-none"], "{entity}");
        }
        assert_eq!(shown(&format!("?entity={id}"), "dev-a").await.status, 404);
        let of_old = shown("?entity=github:repository:7", "dev-a").await;
        assert!(!deliveries(&of_old).contains(&"d-b".to_owned()), "{}", of_old.text);
        // What it was called before is the installation's own.
        let types = named(&shown(&format!("?entity={id}"), "dev-b").await);
        assert!(types.contains(&format!("github.app.installed {id}")), "{types:?}");
    });
}

/// What was on record before is found too, for whose it was then.
#[test]
fn the_entries_of_before_get_their_owners() {
    let db = Database::empty();
    let place = MIGRATIONS.iter().position(|(name, _)| name.starts_with("0026")).unwrap();
    let (before, after) = MIGRATIONS.split_at(place);
    before.iter().for_each(|(_, sql)| db.execute(sql));
    db.execute(
        "INSERT INTO contexts (chitty_id, name, owner_chitty_id, created_at, updated_at, revision) \
         VALUES ('C', 'n', 'a', '', '', '')",
    );
    db.execute(
        "INSERT INTO installations (installation_id, chitty_id, account_id, account_login, \
         account_type, repository_selection, installed_at, updated_at, owner_chitty_id) \
         VALUES (3, 'I', 8, 'o', 'User', 'all', '', '', 'b')",
    );
    let events = [
        ("context.created", "context", "C", "a", "{}", "a"),
        ("actor.registered", "actor", "a", "a", "{}", "a"),
        ("identity.orphaned", "identity", "X", "a", "{}", ""),
        ("github.push", "repository", "github:repository:7", "I", "{}", ""),
        ("github.app.claimed", "installation", "I", "a", "{}", "a"),
        ("github.push", "repository", "github:repository:7", "I", "{}", "a"),
        ("github.app.released", "installation", "I", "root", r#"{"from":"a"}"#, "a"),
        ("github.push", "repository", "github:repository:7", "I", "{}", ""),
        ("github.app.claimed", "installation", "I", "b", "{}", "b"),
        ("github.push", "repository", "github:repository:7", "I", "{}", "b"),
    ];
    for (n, (action, kind, entity, actor, detail, _)) in events.iter().enumerate() {
        db.execute(&format!(
            "INSERT INTO outbox (event_id, event_type, entity_type, entity_id, actor_id, payload, \
             created_at, due_at) VALUES ('evt_{n}', '{action}', '{kind}', '{entity}', '{actor}', \
             '{detail}', '', '')"
        ));
    }
    after.iter().for_each(|(_, sql)| db.execute(sql));
    let owners = db.cells("SELECT ifnull(owner_id, '') FROM audit ORDER BY seq");
    let expected: Vec<&str> = events.iter().map(|(.., owner)| *owner).collect();
    assert_eq!(owners, expected);
    // The record is as closed as before.
    for sql in ["UPDATE audit SET owner_id = 'x'", "DELETE FROM audit"] {
        assert!(db.try_execute(sql).unwrap_err().to_string().contains("append-only"), "{sql}");
    }
}
