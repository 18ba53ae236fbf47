//! What a user does with contexts, and the rules that hold while doing it.

use chittyconnect::contexts::Context;
use serde_json::{Value, json};

use crate::world::{Behaviour, TestRequest, World, run};

const ALICE: &str = "dev-alice";
const BOB: &str = "dev-bob";

#[test]
fn a_context_is_made_found_changed_and_deleted() {
    let (world, gateway) = World::warm();
    run(async {
        let body = json!({"name": "release 42", "data": [{"repo": "chitty"}], "tools": ["search"]});
        let made = gateway.post("/v1/contexts", ALICE, &body).await;
        assert_eq!(made.status, 201);
        assert_eq!(made.json["success"], true);
        let id = made.json["context"]["chitty_id"].as_str().unwrap();
        let path = format!("/v1/contexts/{id}");
        assert_eq!(made.headers["location"], path);

        let read = gateway.get(&path, Some(ALICE)).await;
        assert_eq!(read.status, 200);
        assert_eq!(read.json, made.json["context"]);
        assert_eq!(read.headers["etag"], made.headers["etag"]);

        world.advance_ms(1000);
        let change = json!({"name": "release 43", "systems": ["github"], "status": "inactive"});
        let changed = gateway.patch(&path, ALICE, &change).await;
        assert_eq!(changed.status, 200);
        let context = &changed.json["context"];
        assert_eq!(context["name"], "release 43");
        assert_eq!(context["systems"], json!(["github"]));
        assert_eq!(context["data"], json!([{"repo": "chitty"}]), "what is not sent stays");
        assert_ne!(context["updated_at"], context["created_at"]);
        assert_ne!(changed.headers["etag"], made.headers["etag"]);

        let deleted = gateway.delete(&path, ALICE).await;
        assert_eq!(deleted.status, 200);
        assert_eq!(deleted.json["chitty_id"], id);
        for answer in [
            gateway.get(&path, Some(ALICE)).await,
            gateway.patch(&path, ALICE, &change).await,
            gateway.delete(&path, ALICE).await,
        ] {
            assert_eq!((answer.status, answer.code()), (404, "not_found"));
        }
        let row = world.db.cell("SELECT status || deleted_at FROM contexts WHERE name LIKE 'rel%'");
        assert_eq!(row.unwrap(), "deleted2026-01-02T03:04:06.000Z", "deleted softly");
    });
}

#[test]
fn the_returned_json_is_what_the_described_type_says() {
    let (_, gateway) = World::warm();
    run(async {
        let id = gateway.create(ALICE, &json!({"name": "a \"quoted\" \\ 🚀 name"})).await;
        let read = gateway.get(&format!("/v1/contexts/{id}"), Some(ALICE)).await;
        let context: Context = serde_json::from_str(&read.text).unwrap();
        assert_eq!(context.name, "a \"quoted\" \\ 🚀 name");
        let owner = "CHITTY-PEO-alice";
        assert_eq!([&context.owner, &context.owner_chitty_id], [owner, owner]);
        assert_eq!([&context.chitty_id_camel, &context.context_id_camel], [&id, &id]);
        assert_eq!(serde_json::to_value(&context).unwrap(), read.json, "no member more or less");
    });
}

#[test]
fn values_come_back_digit_by_digit() {
    let (_, gateway) = World::warm();
    let data = r#"[123456789012345678901234567890,1.10,"é🚀\u0000\"",{"b":1,"a":[null,true]}]"#;
    run(async {
        let request = TestRequest::new("POST", "/v1/contexts")
            .token(ALICE)
            .header("content-type", "application/json")
            .body(format!(r#"{{"name":"n","data":{data}}}"#));
        let made = gateway.send(request).await;
        assert_eq!(made.status, 201);
        assert!(made.text.contains(data), "{}", made.text);
    });
}

#[test]
fn nobody_sees_another_actors_context_in_any_way() {
    let (world, gateway) = World::warm();
    run(async {
        let body = json!({"name": "secret plan"});
        let create = TestRequest::new("POST", "/v1/contexts").json(&body);
        let create = create.header("idempotency-key", "k1");
        let made = gateway.send(create.clone().token(ALICE)).await;
        let id = made.json["context"]["chitty_id"].as_str().unwrap();
        let path = format!("/v1/contexts/{id}");
        let before = world.db.cells("SELECT revision FROM contexts");
        for answer in [
            gateway.get(&path, Some(BOB)).await,
            gateway.patch(&path, BOB, &json!({"name": "mine"})).await,
            gateway.delete(&path, BOB).await,
        ] {
            assert_eq!((answer.status, answer.code()), (404, "not_found"));
        }
        assert_eq!(world.db.cells("SELECT revision FROM contexts"), before);
        for target in
            ["/v1/contexts", "/v1/contexts/search?q=secret", "/v1/contexts/search?status=all"]
        {
            let list = gateway.get(target, Some(BOB)).await;
            assert_eq!(list.json["contexts"], json!([]), "{target}");
        }
        // The same key and the same name are bob's own to use.
        let his = gateway.send(create.token(BOB)).await;
        assert_eq!(his.status, 201);
        assert!(!his.headers.contains_key("idempotency-replayed"));
        assert_ne!(his.json["context"]["chitty_id"], id);
        // Not even the cursor of alice's page shows anything.
        gateway.create(ALICE, &json!({"name": "another"})).await;
        let page = gateway.get("/v1/contexts?limit=1", Some(ALICE)).await;
        let cursor = page.json["next_cursor"].as_str().unwrap();
        let his = gateway.get(&format!("/v1/contexts?cursor={cursor}"), Some(BOB)).await;
        assert!(!his.text.contains("CHITTY-PEO-alice"), "{}", his.text);
    });
}

#[test]
fn a_name_is_unique_among_the_owners_live_contexts() {
    let (world, gateway) = World::warm();
    run(async {
        let id = gateway.create(ALICE, &json!({"name": "one"})).await;
        let minted = world.services.calls("id").len();
        let taken = gateway.post("/v1/contexts", ALICE, &json!({"name": "one"})).await;
        assert_eq!((taken.status, taken.code()), (409, "name_taken"));
        assert_eq!(taken.json["existing_chitty_id"], id);
        assert_eq!(world.services.calls("id").len(), minted, "nothing minted for a refusal");

        let other = gateway.create(ALICE, &json!({"name": "two"})).await;
        let path = format!("/v1/contexts/{other}");
        let renamed = gateway.patch(&path, ALICE, &json!({"name": "one"})).await;
        assert_eq!((renamed.status, renamed.code()), (409, "name_taken"));
        assert_eq!(renamed.json["existing_chitty_id"], id);
        let same = gateway.patch(&path, ALICE, &json!({"name": "two"})).await;
        assert_eq!(same.status, 200, "one's own name is free");

        gateway.delete(&format!("/v1/contexts/{id}"), ALICE).await;
        gateway.create(ALICE, &json!({"name": "one"})).await;
    });
}

#[test]
fn a_repeated_creation_takes_place_once() {
    let (world, gateway) = World::warm();
    run(async {
        let body = json!({"name": "once", "data": [1]});
        let create = |path: &str, body: &Value, key: &str| {
            let request = TestRequest::new("POST", path).token(ALICE).json(body);
            request.header("idempotency-key", key)
        };
        let first = gateway.send(create("/v1/contexts", &body, "k")).await;
        assert_eq!(first.status, 201);
        assert!(!first.headers.contains_key("idempotency-replayed"));
        // The alias is the same operation.
        for path in ["/v1/contexts", "/v1/contexts/create"] {
            let again = gateway.send(create(path, &body, "k")).await;
            assert_eq!((again.status, &again.text), (201, &first.text));
            for name in ["etag", "location"] {
                assert_eq!(again.headers[name], first.headers[name]);
            }
            assert_eq!(again.headers["idempotency-replayed"], "true");
        }
        assert_eq!(world.services.calls("id").len(), 1);

        let other = gateway.send(create("/v1/contexts", &json!({"name": "else"}), "k")).await;
        assert_eq!((other.status, other.code()), (422, "idempotency_key_reused"));
        for key in ["", "a b", "é", &"x".repeat(256)] {
            let bad = gateway.send(create("/v1/contexts", &body, key)).await;
            assert_eq!((bad.status, bad.code()), (422, "validation_failed"), "{key}");
        }
        // A replay shows the reply of then, even when the context is gone by now.
        let id = first.json["context"]["chitty_id"].as_str().unwrap();
        gateway.delete(&format!("/v1/contexts/{id}"), ALICE).await;
        let again = gateway.send(create("/v1/contexts", &body, "k")).await;
        assert_eq!(again.text, first.text);
        // After 24 hours the key is as good as new.
        world.advance_ms(24 * 3_600_000);
        let anew = gateway.send(create("/v1/contexts", &body, "k")).await;
        assert_eq!(anew.status, 201);
        assert_ne!(anew.text, first.text);
    });
}

#[test]
fn a_failed_creation_leaves_its_key_free() {
    let (_, gateway) = World::warm();
    run(async {
        gateway.create(ALICE, &json!({"name": "taken"})).await;
        let with_key = |name: &str| {
            let request = TestRequest::new("POST", "/v1/contexts").token(ALICE);
            request.json(&json!({"name": name})).header("idempotency-key", "k")
        };
        assert_eq!(gateway.send(with_key("taken")).await.status, 409);
        assert_eq!(gateway.send(with_key("free")).await.status, 201);
    });
}

#[test]
fn changes_can_be_bound_to_the_version_that_was_read() {
    let (_, gateway) = World::warm();
    run(async {
        let made = gateway.post("/v1/contexts", ALICE, &json!({"name": "v"})).await;
        let path = made.headers["location"].clone();
        let etag = made.headers["etag"].clone();
        let patch = |etag: &str| {
            let request = TestRequest::new("PATCH", &path).token(ALICE);
            request.json(&json!({"data": [1]})).header("if-match", etag)
        };
        let delete =
            |etag: &str| TestRequest::new("DELETE", &path).token(ALICE).header("if-match", etag);
        let changed = gateway.send(patch(&etag)).await;
        assert_eq!(changed.status, 200);
        let weak = format!("W/{}", changed.headers["etag"]);
        for stale in [etag.as_str(), weak.as_str(), "\"x\"", "nonsense"] {
            for request in [patch(stale), delete(stale)] {
                let refused = gateway.send(request).await;
                assert_eq!((refused.status, refused.code()), (412, "precondition_failed"));
            }
        }
        assert_eq!(gateway.send(patch("*")).await.status, 200);

        let read = gateway.get(&path, Some(ALICE)).await;
        let get = TestRequest::new("GET", &path).token(ALICE);
        let unchanged =
            gateway.send(get.clone().header("if-none-match", &read.headers["etag"])).await;
        assert_eq!((unchanged.status, unchanged.text.as_str()), (304, ""));
        assert_eq!(unchanged.headers["etag"], read.headers["etag"]);
        assert_eq!(gateway.send(get.header("if-none-match", &etag)).await.status, 200);

        let current = format!("\"other\", {}", read.headers["etag"]);
        assert_eq!(gateway.send(delete(&current)).await.status, 200);
    });
}

#[test]
fn lists_go_page_by_page_newest_first_without_gap_or_repeat() {
    let (world, gateway) = World::warm();
    run(async {
        let mut names = Vec::new();
        for n in 0..25 {
            let name = format!("c{n:02}");
            gateway.create(ALICE, &json!({"name": name})).await;
            names.push(name);
            // Some share an instant.
            if n % 3 == 0 {
                world.advance_ms(1000);
            }
        }
        let mut seen = Vec::new();
        let mut target = "/v1/contexts?limit=10&status=active".to_owned();
        for expected in [10, 10, 5] {
            let page = gateway.get(&target, Some(ALICE)).await;
            assert_eq!(page.json["count"], expected);
            for context in page.json["contexts"].as_array().unwrap() {
                seen.push(context["name"].as_str().unwrap().to_owned());
            }
            match page.headers.get("link") {
                Some(link) => {
                    target = link.split(['<', '>']).nth(1).unwrap().to_owned();
                    assert!(target.contains(page.json["next_cursor"].as_str().unwrap()));
                    assert!(target.starts_with("/v1/contexts?limit=10&status=active&cursor="));
                    // What comes in between does not shift the pages.
                    let name = format!("late {expected} {}", seen.len());
                    gateway.create(ALICE, &json!({"name": name})).await;
                }
                None => assert_eq!(page.json["next_cursor"], Value::Null),
            }
        }
        let mut sorted = seen.clone();
        sorted.sort();
        assert_eq!(sorted, names);
        assert!(seen.first().unwrap() > seen.last().unwrap(), "newest first");

        let all = gateway.get("/v1/contexts/list", Some(ALICE)).await;
        assert_eq!(all.json["count"], 27);
        // A page that ends exactly with the list has no next one.
        let exact = gateway.get("/v1/contexts?limit=27", Some(ALICE)).await;
        assert_eq!(exact.json["next_cursor"], Value::Null);
    });
}

#[test]
fn lists_are_narrowed_by_status_and_time() {
    let (world, gateway) = World::warm();
    run(async {
        gateway.create(ALICE, &json!({"name": "old"})).await;
        world.advance_ms(60_000);
        gateway.create(ALICE, &json!({"name": "aside", "status": "inactive"})).await;
        gateway.create(ALICE, &json!({"name": "new"})).await;
        for (query, count) in [
            ("", 3),
            ("?status=all", 3),
            ("?status=", 3),
            ("?status=active", 2),
            ("?status=inactive", 1),
            ("?since=2026-01-02T03:04:30Z", 2),
            ("?since=2026-01-02T04:05:05%2B01:00", 2),
            ("?since=2026-01-02", 3),
            ("?since=2026-01-03", 0),
            ("?since=2026-01-02T03:05:05.000Z&status=active&limit=5", 1),
        ] {
            let list = gateway.get(&format!("/v1/contexts{query}"), Some(ALICE)).await;
            assert_eq!(list.json["count"], count, "{query}");
            assert_eq!(list.json["contexts"].as_array().unwrap().len(), count, "{query}");
        }
        for (query, pointer) in [
            ("status=deleted", "?status"),
            ("since=yesterday", "?since"),
            ("limit=0", "?limit"),
            ("limit=101", "?limit"),
            ("limit=x", "?limit"),
            ("cursor=x", "?cursor"),
        ] {
            let list = gateway.get(&format!("/v1/contexts?{query}"), Some(ALICE)).await;
            assert_eq!((list.status, list.code()), (422, "validation_failed"), "{query}");
            assert_eq!(list.json["errors"][0]["pointer"], pointer);
        }
    });
}

#[test]
fn every_change_writes_its_event_and_tells_chronicle() {
    let (world, gateway) = World::warm();
    run(async {
        let id = gateway.create(ALICE, &json!({"name": "told", "data": ["private"]})).await;
        let path = format!("/v1/contexts/{id}");
        gateway.patch(&path, ALICE, &json!({"status": "inactive", "tools": []})).await;
        gateway.delete(&path, ALICE).await;
        let kinds = ["context.created", "context.updated", "context.deleted"];
        let of_entity = format!("FROM outbox WHERE entity_id = '{id}' ORDER BY seq");
        assert_eq!(world.db.cells(&format!("SELECT event_type {of_entity}")), kinds);

        gateway.deliver_all().await;
        let entries = world.services.entries();
        let ids = world.db.cells(&format!("SELECT event_id {of_entity}"));
        for ((entry, kind), event) in entries.iter().zip(kinds).zip(&ids) {
            assert_eq!(entry["service"], "chittyconnect");
            assert_eq!(entry["action"], kind);
            assert_eq!(entry["userId"], "CHITTY-PEO-alice");
            assert_eq!(entry["metadata"]["entityId"], id);
            assert_eq!(entry["metadata"]["eventId"], *event);
        }
        assert_eq!(entries.len(), 3);
        assert_eq!(entries[1]["metadata"]["payload"], json!({"changes": ["tools", "status"]}));
        assert!(!entries.iter().any(|entry| entry.to_string().contains("private")));
        assert_eq!(world.db.count("outbox WHERE done_at IS NULL"), 0);
    });
}

#[test]
fn a_refused_change_writes_no_event() {
    let (world, gateway) = World::warm();
    run(async {
        let id = gateway.create(ALICE, &json!({"name": "kept"})).await;
        let events = world.db.count("outbox");
        let path = format!("/v1/contexts/{id}");
        gateway.patch(&path, BOB, &json!({"name": "x"})).await;
        gateway.delete(&path, BOB).await;
        let stale = TestRequest::new("DELETE", &path).token(ALICE).header("if-match", "\"x\"");
        gateway.send(stale).await;
        gateway.patch(&path, ALICE, &json!({"name": 7})).await;
        assert_eq!(world.db.count("outbox"), events);
        assert_eq!(world.queue.messages.borrow().len(), 1);
    });
}

#[test]
fn a_suspended_actor_is_refused_everywhere_from_the_next_request_on() {
    let (world, gateway) = World::warm();
    run(async {
        let id = gateway.create(ALICE, &json!({"name": "mine"})).await;
        let path = format!("/v1/contexts/{id}");
        world.db.execute(
            "INSERT INTO actors (chitty_id, actor_type, status, created_at, updated_at) \
             VALUES ('CHITTY-PEO-alice', 'human', 'suspended', '', '')",
        );
        let before = world.db.cells("SELECT revision FROM contexts");
        for answer in [
            gateway.get(&path, Some(ALICE)).await,
            gateway.get("/v1/contexts/CHITTY-CONTEXT-none", Some(ALICE)).await,
            gateway.get("/v1/contexts", Some(ALICE)).await,
            gateway.get("/v1/contexts/search?q=mine", Some(ALICE)).await,
            gateway.post("/v1/contexts", ALICE, &json!({"name": "more"})).await,
            gateway.patch(&path, ALICE, &json!({"name": "x"})).await,
            gateway.delete(&path, ALICE).await,
        ] {
            assert_eq!((answer.status, answer.code()), (403, "actor_suspended"));
        }
        assert_eq!(world.db.cells("SELECT revision FROM contexts"), before);
        world.db.execute("UPDATE actors SET status = 'active'");
        assert_eq!(gateway.get(&path, Some(ALICE)).await.status, 200);
    });
}

#[test]
fn a_creation_and_what_follows_take_few_statements() {
    let (world, gateway) = World::warm();
    run(async {
        gateway.create(ALICE, &json!({"name": "before"})).await;
        gateway.deliver_all().await;
        let writes = |from: usize| -> Vec<String> { world.db.log().split_off(from) };
        let begun = world.db.log().len();
        let id = gateway.create(ALICE, &json!({"name": "n"})).await;
        let made = writes(begun);
        assert!(
            made[0].starts_with("INSERT INTO mint_intents"),
            "one statement asks all: {made:?}"
        );
        assert!(made[1].starts_with("INSERT INTO assertions"), "{made:?}");
        assert_eq!(made.len(), 7, "{made:?}");
        let begun = world.db.log().len();
        gateway.deliver_all().await;
        let learned = writes(begun);
        let kept = learned.iter().filter(|sql| sql.starts_with("UPDATE contexts SET"));
        assert_eq!(kept.count(), 1, "{learned:?}");
        let context = gateway.get(&format!("/v1/contexts/{id}"), Some(ALICE)).await;
        assert!(context.json["chitty_dna_id"].is_string(), "{context:?}");
        assert!(context.json["chitty_chronicle_timeline_id"].is_string(), "{context:?}");
    });
}

#[test]
fn a_page_shows_each_context_as_it_is_read() {
    let (_, gateway) = World::warm();
    run(async {
        let text = "},\n{ \"type\":null ,\r\n} ".repeat(9);
        let bodies = [
            json!({"name": "w one"}),
            json!({"name": "w two", "type": "t", "data": [text]}),
            json!({"name": "w three", "customizations": {"a": [text, {}]}}),
            json!({"name": "w four", "data": [text], "tools": ["é", "}"]}),
            json!({"name": "w five", "type": "t", "customizations": {}}),
            json!({"name": "w six", "data": [{}], "systems": []}),
        ];
        let mut read = Vec::new();
        for body in &bodies {
            let id = gateway.create(ALICE, body).await;
            read.insert(0, gateway.get(&format!("/v1/contexts/{id}"), Some(ALICE)).await.json);
        }
        for limit in 1..=7 {
            for list in ["contexts?status=all", "contexts/search?q=w&owner=x"] {
                let page = format!("/v1/{list}&limit={limit}");
                let page = gateway.get(&page, Some(ALICE)).await;
                let count = limit.min(6);
                assert_eq!(page.json["contexts"], json!(read[..count]), "{list} {limit}");
                assert_eq!(page.json["count"], count);
                assert_eq!(
                    page.json["warnings"].is_array(),
                    list.contains("owner"),
                    "{}",
                    page.text
                );
            }
        }
        let none = gateway.get("/v1/contexts/search?q=none&owner=x", Some(ALICE)).await;
        assert_eq!((&none.json["contexts"], &none.json["count"]), (&json!([]), &json!(0)));
        assert!(none.json["warnings"].is_array());
    });
}

#[test]
fn round_trips() {
    let (world, gateway) = World::warm();
    run(async {
        let id = gateway.create(ALICE, &json!({"name": "n"})).await;
        let path = format!("/v1/contexts/{id}");
        let count = |what: &str, db, id, auth| {
            let upstream = |name| world.services.calls(name).len();
            assert_eq!(world.db.calls(), db, "D1 calls of {what}");
            assert_eq!((upstream("id"), upstream("auth")), (id, auth), "upstream calls of {what}");
            world.db.reset_calls();
            world.services.reset_calls();
        };
        // Whoever has not been here for a minute is looked at: one read of what it is granted, and
        // after the reply a note that it was seen.
        count("a first create", 4, 1, 1);
        gateway.get(&path, Some(ALICE)).await;
        count("get", 1, 0, 0);
        gateway.get("/v1/contexts", Some(ALICE)).await;
        count("list", 1, 0, 0);
        gateway.get("/v1/contexts/search?q=n", Some(ALICE)).await;
        count("search", 1, 0, 0);
        gateway.patch(&path, ALICE, &json!({"name": "m"})).await;
        count("patch", 1, 0, 0);
        gateway.delete(&path, ALICE).await;
        count("delete", 1, 0, 0);
        gateway.create(ALICE, &json!({"name": "n"})).await;
        // What can refuse is read before anything is minted; then one batch.
        count("create", 2, 1, 0);
    });
}

#[test]
fn one_name_in_two_spellings_is_one_name() {
    let (world, gateway) = World::warm();
    run(async {
        let id = gateway.create(ALICE, &json!({"name": "cafe\u{301} bar"})).await;
        let path = format!("/v1/contexts/{id}");
        let read = gateway.get(&path, Some(ALICE)).await;
        assert_eq!(read.json["name"], "café bar", "kept in the normal form");
        let other = gateway.create(ALICE, &json!({"name": "other"})).await;
        let other = format!("/v1/contexts/{other}");
        let minted = world.services.calls("id").len();
        for name in
            ["café bar", "cafe\u{301} bar", " café  bar\n", "café\u{a0}bar", "café\u{3000}bar"]
        {
            let made = gateway.post("/v1/contexts", ALICE, &json!({"name": name})).await;
            assert_eq!((made.status, made.code()), (409, "name_taken"), "{name:?}");
            assert_eq!(made.json["existing_chitty_id"], id, "{name:?}");
            let renamed = gateway.patch(&other, ALICE, &json!({"name": name})).await;
            assert_eq!((renamed.status, renamed.code()), (409, "name_taken"), "{name:?}");
            assert_eq!(renamed.json["existing_chitty_id"], id, "{name:?}");
            let query: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
            let found = gateway.get(&format!("/v1/contexts/search?q={query}"), Some(ALICE)).await;
            assert_eq!(found.json["contexts"][0]["chitty_id"], id, "{name:?}");
        }
        assert_eq!(world.services.calls("id").len(), minted, "nothing is minted for a refusal");
        let again = gateway.patch(&path, ALICE, &json!({"name": "cafe\u{301} bar "})).await;
        assert_eq!(again.status, 200, "one's own name is free in every spelling");
        gateway.create(BOB, &json!({"name": "café bar"})).await;
    });
}

#[test]
fn a_name_that_cannot_be_seen_is_refused_with_what_to_leave_out() {
    let (world, gateway) = World::warm();
    run(async {
        let id = gateway.create(ALICE, &json!({"name": "seen"})).await;
        let path = format!("/v1/contexts/{id}");
        for (name, part) in [
            ("\u{200b}", "U+200B"),
            ("seen\u{200b}", "U+200B"),
            ("\u{feff}seen", "U+FEFF"),
            ("\u{3164}", "U+3164"),
            ("\u{301}", "U+0301"),
            ("\u{2003}\u{a0}", "blank"),
            ("a\u{1}", "U+0001"),
        ] {
            let made = gateway.post("/v1/contexts", ALICE, &json!({"name": name})).await;
            let renamed = gateway.patch(&path, ALICE, &json!({"name": name})).await;
            let key = json!({"name": name, "scopes": ["read"]});
            let key = gateway.post("/v1/keys", ALICE, &key).await;
            for answer in [made, renamed, key] {
                assert_eq!((answer.status, answer.code()), (422, "validation_failed"), "{name:?}");
                assert_eq!(answer.json["errors"][0]["pointer"], "/name");
                let detail = answer.json["errors"][0]["detail"].as_str().unwrap();
                assert!(detail.contains(part), "{name:?}: {detail}");
            }
        }
        assert_eq!(world.db.count("contexts WHERE owner_chitty_id = 'CHITTY-PEO-alice'"), 1);
        let labelled = json!({"name": " my  ke\u{301}y ", "scopes": ["read"]});
        let labelled = gateway.post("/v1/keys", ALICE, &labelled).await;
        assert_eq!(labelled.json["key"]["name"], "my kéy");
    });
}

/// Contexts as they were made before names had keys.
fn put_former(world: &World, names: &[(&str, &str)]) {
    for (id, name) in names {
        world.db.execute(&format!(
            "INSERT INTO contexts (chitty_id, name, owner_chitty_id, created_at, updated_at, \
             revision) VALUES ('{id}', '{name}', 'CHITTY-PEO-alice', '2026-01-01', '2026-01-01', 'r')"
        ));
    }
}

#[test]
fn names_from_before_are_unique_from_the_first_request_on() {
    for (name, holder) in [
        ("café", "CHITTY-CONTEXT-nfd"),
        ("cafe\u{301}", "CHITTY-CONTEXT-nfd"),
        ("blank", "CHITTY-CONTEXT-blank"),
        ("plain name", "CHITTY-CONTEXT-plain"),
    ] {
        for renames in [false, true] {
            let (world, gateway) = World::warm();
            put_former(
                &world,
                &[
                    ("CHITTY-CONTEXT-nfd", "cafe\u{301}"),
                    ("CHITTY-CONTEXT-blank", " blank "),
                    ("CHITTY-CONTEXT-plain", "plain name"),
                ],
            );
            run(async {
                let taken = match renames {
                    false => gateway.post("/v1/contexts", ALICE, &json!({"name": name})).await,
                    true => {
                        put_former(&world, &[("CHITTY-CONTEXT-other", "other")]);
                        let path = "/v1/contexts/CHITTY-CONTEXT-other";
                        gateway.patch(path, ALICE, &json!({"name": name})).await
                    }
                };
                assert_eq!((taken.status, taken.code()), (409, "name_taken"), "{name:?}");
                assert_eq!(taken.json["existing_chitty_id"], holder, "{name:?}");
                assert_eq!(world.services.calls("id").len(), 0, "nothing is minted");
            });
        }
    }
}

#[test]
fn two_names_from_before_that_are_alike_both_stay() {
    let (world, gateway) = World::warm();
    put_former(
        &world,
        &[
            ("CHITTY-CONTEXT-1", "cafe\u{301}"),
            ("CHITTY-CONTEXT-2", "café"),
            ("CHITTY-CONTEXT-3", " x"),
            ("CHITTY-CONTEXT-4", "x "),
            ("CHITTY-CONTEXT-5", "\u{200b}"),
        ],
    );
    let (other, _) = (world.isolate(), ());
    run(async {
        // Two runs of the cron at once settle each name once.
        futures_util::future::join(
            chittyconnect::tasks::scheduled(&gateway.app),
            chittyconnect::tasks::scheduled(&other.app),
        )
        .await;
        let keys = world.db.cells(
            "SELECT replace(ifnull(name_key, '-'), char(10), '|') FROM contexts \
             WHERE owner_chitty_id = 'CHITTY-PEO-alice' ORDER BY chitty_id",
        );
        let zero_width = "\u{200b}";
        assert_eq!(keys, ["café|CHITTY-CONTEXT-1", "café", "x", "x|CHITTY-CONTEXT-4", zero_width]);
        for id in 1..=5 {
            let path = format!("/v1/contexts/CHITTY-CONTEXT-{id}");
            assert_eq!(gateway.get(&path, Some(ALICE)).await.status, 200);
        }
        let taken = gateway.post("/v1/contexts", ALICE, &json!({"name": "x"})).await;
        assert_eq!(taken.json["existing_chitty_id"], "CHITTY-CONTEXT-3");
        // Each gets a name of its own when it is given one.
        let path = "/v1/contexts/CHITTY-CONTEXT-4";
        assert_eq!(gateway.patch(path, ALICE, &json!({"name": "y "})).await.status, 200);
        let taken = gateway.post("/v1/contexts", ALICE, &json!({"name": "y"})).await;
        assert_eq!(taken.json["existing_chitty_id"], "CHITTY-CONTEXT-4");
    });
}

#[test]
fn a_name_that_a_version_without_keys_gives_is_keyed_too() {
    let (world, gateway) = World::warm();
    run(async {
        let id = gateway.create(ALICE, &json!({"name": "né"})).await;
        world.db.execute(&format!(
            "UPDATE contexts SET name = ' e\u{301}t\u{e9}' WHERE chitty_id = '{id}'"
        ));
        let taken = gateway.post("/v1/contexts", ALICE, &json!({"name": "été"})).await;
        assert_eq!((taken.status, taken.code()), (409, "name_taken"));
        gateway.create(ALICE, &json!({"name": "né"})).await;
    });
}

#[test]
fn an_owner_with_very_many_names_from_before_is_asked_to_wait_and_then_served() {
    let (world, gateway) = World::warm();
    world.db.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500) \
         INSERT INTO contexts (chitty_id, name, owner_chitty_id, created_at, updated_at, revision) \
         SELECT 'CHITTY-CONTEXT-' || i, 'é' || i, 'CHITTY-PEO-alice', '2026-01-01', '2026-01-01', 'r' \
         FROM n",
    );
    run(async {
        let body = json!({"name": "e\u{301}1400"});
        let first = gateway.post("/v1/contexts", ALICE, &body).await;
        assert_eq!((first.status, first.code()), (503, "not_ready"));
        assert!(first.headers.contains_key("retry-after"));
        let second = gateway.post("/v1/contexts", ALICE, &body).await;
        assert_eq!((second.status, second.code()), (409, "name_taken"));
    });
}

#[test]
fn by_which_ids_other_services_know_a_context_is_kept_and_changes_nothing() {
    let (world, gateway) = World::warm();
    run(async {
        let made = gateway.post("/v1/contexts", ALICE, &json!({"name": "known"})).await;
        let id = made.json["context"]["chitty_id"].as_str().unwrap().to_owned();
        let path = format!("/v1/contexts/{id}");
        assert_eq!(made.json["context"]["chitty_dna_id"], json!(null));
        // ChittyDNA's first answer gets lost: what it has begun has the same id when it is asked again.
        world.services.set("dna", Behaviour::Lost);
        gateway.deliver_all().await;
        let half = gateway.get(&path, Some(ALICE)).await;
        assert_eq!(half.json["chitty_dna_id"], json!(null));
        assert_eq!(half.json["chitty_chronicle_timeline_id"], "1", "the entry where it begins");
        world.services.set("dna", Behaviour::Work);
        world.advance_ms(3_600_000);
        chittyconnect::tasks::scheduled(&gateway.app).await;
        gateway.deliver_all().await;
        let known = gateway.get(&path, Some(ALICE)).await;
        assert_eq!(known.json["chitty_dna_id"], format!("dna-of-{id}"));
        assert_eq!(known.json["updated_at"], made.json["context"]["updated_at"]);
        let list = gateway.get("/v1/contexts", Some(ALICE)).await;
        assert_eq!(list.json["contexts"][0]["chitty_dna_id"], format!("dna-of-{id}"));

        // A copy from before is not the newest any more, and what was decided by it may be done.
        let first = made.headers["etag"].clone();
        let asked =
            |tag: &str| TestRequest::new("GET", &path).token(ALICE).header("if-none-match", tag);
        assert_eq!(gateway.send(asked(&first)).await.status, 200);
        let newest = known.headers["etag"].clone();
        assert_eq!(gateway.send(asked(&newest)).await.status, 304);
        for tag in [first, newest] {
            let patch = TestRequest::new("PATCH", &path).token(ALICE).header("if-match", &tag);
            let changed = gateway.send(patch.json(&json!({"tools": []}))).await;
            let expected = if tag.contains('.') { 412 } else { 200 };
            assert_eq!(changed.status, expected, "{tag}: {changed:?}");
        }
        // The timeline is the one of the first entry, whatever comes.
        world.services.at("/api/entries", Behaviour::Answer(200, r#"{"id":"2"}"#.to_owned()));
        gateway.deliver_all().await;
        let known = gateway.get(&path, Some(ALICE)).await;
        assert_eq!(known.json["chitty_chronicle_timeline_id"], "1");
        let patch = TestRequest::new("PATCH", &path).token(ALICE);
        let patch = patch.header("if-match", &known.headers["etag"]);
        assert_eq!(gateway.send(patch.json(&json!({"tools": []}))).await.status, 200);
    });
}

#[test]
fn ids_that_are_none_are_not_kept() {
    for (dna, timeline) in
        [("x".repeat(201), "y".repeat(201)), ("a\\u0000".to_owned(), String::new())]
    {
        let (world, gateway) = World::warm();
        run(async {
            let id = gateway.create(ALICE, &json!({"name": "n"})).await;
            let dna = Behaviour::Answer(200, format!(r#"{{"dna_id":"{dna}"}}"#));
            world.services.at("/initialize", dna);
            let entry = Behaviour::Answer(200, format!(r#"{{"timeline_id":"{timeline}"}}"#));
            world.services.at("/api/entries", entry);
            gateway.deliver_all().await;
            let read = gateway.get(&format!("/v1/contexts/{id}"), Some(ALICE)).await;
            assert_eq!(read.json["chitty_dna_id"], json!(null));
            assert_eq!(read.json["chitty_chronicle_timeline_id"], json!(null));
            assert_eq!(
                world.db.cell("SELECT count(*) FROM outbox WHERE done_at IS NULL").unwrap(),
                "0"
            );
        });
    }
}

#[test]
fn a_context_is_verified_and_the_last_answer_is_kept() {
    let (world, gateway) = World::warm();
    run(async {
        let id = gateway.create(ALICE, &json!({"name": "n"})).await;
        gateway.deliver_all().await;
        let path = format!("/v1/contexts/{id}");
        let before = gateway.get(&path, Some(ALICE)).await;
        assert_eq!(before.json.get("verification"), None);
        let verify = || {
            let request = TestRequest::new("POST", &format!("{path}/verify")).token(ALICE);
            request.header("idempotency-key", "v1")
        };
        let first = gateway.send(verify()).await;
        assert_eq!(first.status, 200, "{first:?}");
        let said = &first.json["verification"];
        assert_eq!((&said["verified"], &said["status"]), (&json!(true), &json!("PASS")));
        assert_eq!(said["confidence_percent"], 90);
        let asked = world.services.calls("verify");
        let body: Value = serde_json::from_str(asked[0].body.as_deref().unwrap()).unwrap();
        assert_eq!(body["dnaId"], format!("dna-of-{id}"));
        // Again with the same key: the same answer, and nobody is asked.
        let again = gateway.send(verify()).await;
        assert_eq!((again.status, &again.json), (200, &first.json));
        assert_eq!(again.headers["idempotency-replayed"], "true");
        assert_eq!(world.services.calls("verify").len(), 1);

        let shown = gateway.get(&path, Some(ALICE)).await;
        assert_eq!(&shown.json["verification"], said);
        assert_ne!(shown.headers["etag"], before.headers["etag"]);
        let context: Context = serde_json::from_str(&shown.text).unwrap();
        assert_eq!(serde_json::to_value(&context).unwrap(), shown.json);
        // To verify is no change of the context: what was decided before it may be done.
        let patch = TestRequest::new("PATCH", &path).token(ALICE);
        let patch = patch.header("if-match", &before.headers["etag"]);
        assert_eq!(gateway.send(patch.json(&json!({"tools": ["t"]}))).await.status, 200);

        // Down: said so, and what was said last stays.
        for behaviour in
            [Behaviour::Hang, Behaviour::Answer(500, "{}".to_owned()), Behaviour::Garbled]
        {
            world.services.set("verify", behaviour);
            world.advance_ms(60_000);
            let down = gateway.post(&format!("{path}/verify"), ALICE, &json!(null)).await;
            assert_eq!((down.status, down.code()), (503, "verification_unavailable"));
            let shown = gateway.get(&path, Some(ALICE)).await;
            assert_eq!(&shown.json["verification"], said);
        }
        world.services.set("verify", Behaviour::Answer(200, r#"{"status":"FAIL"}"#.to_owned()));
        world.advance_ms(120_000);
        let failed = gateway.post(&format!("{path}/verify"), ALICE, &json!(null)).await;
        assert_eq!(failed.json["verification"]["verified"], false);
        let events = world.db.cells(
            "SELECT actor_id || ' ' || json_extract(detail, '$.verified') FROM audit \
             WHERE action = 'context.verified' ORDER BY seq",
        );
        assert_eq!(events, ["CHITTY-PEO-alice 1", "CHITTY-PEO-alice 0"]);
        let his = gateway.post(&format!("{path}/verify"), BOB, &json!(null)).await;
        assert_eq!((his.status, his.code()), (404, "not_found"));
    });
}

#[test]
fn the_lineage_of_a_context_is_shown_fresh_or_with_its_age() {
    let (world, gateway) = World::warm();
    run(async {
        let id = gateway.create(ALICE, &json!({"name": "n"})).await;
        let path = format!("/v1/contexts/{id}/lineage");
        let early = gateway.get(&path, Some(ALICE)).await;
        assert_eq!((early.status, early.code()), (404, "not_found"), "it has not begun");
        gateway.deliver_all().await;
        let first = gateway.get(&path, Some(ALICE)).await;
        assert_eq!(first.status, 200, "{first:?}");
        assert_eq!(first.json["lineage"]["dna_id"], format!("dna-of-{id}"));
        assert_eq!((&first.json["stale"], &first.json["age_seconds"]), (&json!(false), &json!(0)));
        // Within five minutes nobody is asked again.
        let asked = world.services.calls("dna").len();
        world.advance_ms(299_000);
        let cached = gateway.get(&path, Some(ALICE)).await;
        assert_eq!(cached.json["age_seconds"], 299);
        assert_eq!(world.services.calls("dna").len(), asked);
        // Then it is, and while it is down the last one is shown with its age.
        world.services.set("dna", Behaviour::Answer(500, "{}".to_owned()));
        world.advance_ms(3_600_000);
        let stale = gateway.get(&path, Some(ALICE)).await;
        assert_eq!((stale.status, &stale.json["stale"]), (200, &json!(true)));
        assert_eq!(stale.json["lineage"], first.json["lineage"]);
        assert_eq!(stale.json["read_at"], first.json["read_at"]);
        world.services.set("dna", Behaviour::Work);
        world.advance_ms(3_600_000);
        let fresh = gateway.get(&path, Some(ALICE)).await;
        assert_eq!((&fresh.json["stale"], &fresh.json["age_seconds"]), (&json!(false), &json!(0)));
        // Nobody else's, and gone with the context.
        let his = gateway.get(&path, Some(BOB)).await;
        assert_eq!((his.status, his.code()), (404, "not_found"));
        gateway.delete(&format!("/v1/contexts/{id}"), ALICE).await;
        assert_eq!(gateway.get(&path, Some(ALICE)).await.status, 404);
        assert_eq!(world.db.count("context_lineages"), 0);
        world.services.set("dna", Behaviour::Hang);
        let other = gateway.create(ALICE, &json!({"name": "m"})).await;
        let never = gateway.get(&format!("/v1/contexts/{other}/lineage"), Some(ALICE)).await;
        assert_eq!((never.status, never.code()), (503, "lineage_unavailable"));
    });
}
