//! Search: what is found, in which order, whatever is typed.

use chittyconnect::contexts::Status;
use chittyconnect::contexts::search::{Key, Query, Words};
use serde_json::json;

use crate::world::{Fault, Isolate, TestRequest, World, run};

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

#[test]
fn words_are_found_inside_texts_of_every_script() {
    let (_, gateway) = World::warm();
    run(async {
        for (name, queries) in [
            ("ประเทศไทยสวยงาม", &["ไทย", "ประเทศ", "สวย", "ประเทศไทย", "งาม", "ย"][..]),
            ("ພາສາລາວງາມ", &["ລາວ", "ພາສາ"]),
            ("ភាសាខ្មែរល្អ", &["ខ្មែរ", "ភាសា"]),
            ("မြန်မာဘာသာစကား", &["ဘာသာ", "မြန်မာ", "စကား"]),
            ("고속도로에서의 안전운전", &["도로", "고속도로", "운전", "로에", "안전"]),
            ("東京都庁舎", &["京都", "都庁", "東京", "舎"]),
            ("コンピューター科学", &["ピュー", "科学", "ｺﾝﾋﾟｭｰﾀｰ"]),
            ("Ελλάδα και οδός", &["ελλαδα", "ΕΛΛΆΔΑ", "Ελλα", "οδος", "ΟΔΟΣ"]),
            ("Ёлка Чайковский", &["елка", "чайковский", "ЧАЙК"]),
            ("Việt Nam Đồng", &["viet", "dong", "đồng", "VIỆT"]),
            ("Łódź Straße", &["lodz", "strasse", "STRASSE", "łódź"]),
            ("مُحَمَّد می\u{200c}خواهم", &["محمد", "خواهم", "میخواهم", "می\u{200c}خواهم"]),
            ("שָׁלוֹם", &["שלום", "שָׁלוֹם"]),
            ("İstanbul ısparta", &["istanbul", "ISTANBUL", "isparta", "ISPARTA"]),
            ("हिन्दी भाषा", &["हिन्दी", "भाषा"]),
            ("🫠 🇩🇪 👩🏽\u{200d}🚀", &["🫠", "🇩🇪", "🚀", "👩"]),
            ("ﬁne Ｆｕｌｌ", &["fine", "full"]),
        ] {
            gateway.create("dev-a", &json!({"name": name})).await;
            let data = json!({"name": format!("data {name}"), "data": [{"deep": [name]}]});
            gateway.create("dev-a", &data).await;
            for query in queries {
                let found = names(&gateway, query).await;
                assert_eq!(found.len(), 2, "{query} in {name}: {found:?}");
                assert!(found.contains(&name.to_owned()), "{query} in {name}: {found:?}");
            }
        }
        for query in
            ["ไทด", "ทยไ", "도속", "京東", "елко", "йод", "чаиковский", "🇪🇩", "🫡", "ελλαδος"]
        {
            assert_eq!(names(&gateway, query).await, Vec::<String>::new(), "{query}");
        }
    });
}

/// The virtual table of the words, as the first migration makes it.
fn words_table() -> rusqlite::Connection {
    let (_, sql) = chittyconnect::store::migrations::MIGRATIONS[0];
    let at = sql.find("CREATE VIRTUAL TABLE").unwrap();
    let connection = rusqlite::Connection::open_in_memory().unwrap();
    connection.execute_batch(&sql[at..]).unwrap();
    connection
}

#[test]
fn no_word_is_blank_to_the_index() {
    let key = Key::of("o", Status::Active);
    let connection = words_table();
    let put = "INSERT INTO contexts_fts (rowid, data) VALUES (?1, ?2)";
    // A word that holds nothing but characters that the index takes for blank is found by this.
    connection.execute(put, (0, format!("{}w", key.as_str()))).unwrap();
    let every = (0x80..0x3_0000_u32).filter(|c| match c {
        0x3400..0x9f00 | 0xac00..0xd700 | 0x1_7000..0x1_8d00 | 0x2_0000.. => c % 97 == 0,
        _ => c % 5 == 0,
    });
    // One s alone is its own plural to the stemmer, and found all the same.
    let is_word = |c: &char| {
        let query = Query::of(&c.to_string(), "o", Some(Status::Active));
        matches!(query, Query::Words { .. })
            && Words::of(&[json!(c.to_string())]).under(&key) != format!("{}ws", key.as_str())
    };
    let characters: Vec<char> = every.filter_map(char::from_u32).filter(is_word).collect();
    connection.execute_batch("BEGIN").unwrap();
    for c in &characters {
        let words = Words::of(&[json!(c.to_string())]).under(&key);
        connection.execute(put, (u32::from(*c), words)).unwrap();
    }
    connection.execute_batch("COMMIT").unwrap();
    let mut blank = Vec::new();
    for c in characters {
        let query = Query::of(&c.to_string(), "o", Some(Status::Active));
        let Query::Words { now, .. } = query else { continue };
        let find = "SELECT count(*), min(rowid) FROM contexts_fts \
             WHERE contexts_fts MATCH ?1 AND rowid IN (0, ?2)";
        let found = connection.query_row(find, (now.elsewhere, u32::from(c)), |row| {
            Ok((row.get::<_, u32>(0)?, row.get::<_, Option<u32>>(1)?))
        });
        if found.unwrap() != (1, Some(u32::from(c))) {
            blank.push(format!("{:04x}", u32::from(c)));
        }
    }
    assert!(blank.is_empty(), "{}", blank.join(" "));
}

const FORMER: &str = "CHITTY-CONTEXT-former";

/// A context whose words an earlier version has written: each as it was typed, whole, with its beginnings.
fn put_former(world: &World, id: &str, name: &str, data: &str) {
    let key = Key::of("CHITTY-PEO-a", Status::Active);
    let key = key.as_str();
    let mut words = format!("{key}z");
    for word in name.split(' ') {
        let beginnings = word.char_indices().skip(2).map(|(at, _)| &word[..at]);
        for beginning in beginnings.chain([word]) {
            words += &format!(" {key}n{beginning}");
        }
    }
    world.db.execute(&format!(
        "INSERT INTO contexts (chitty_id, name, owner_chitty_id, data, created_at, updated_at, \
         revision) VALUES ('{id}', '{name}', 'CHITTY-PEO-a', '[\"{data}\"]', '2026', '2026', 'r'); \
         INSERT INTO contexts_fts (rowid, name, data, systems, tools) \
         SELECT row_id, '{words}', '{key}w{data}', '', '' FROM contexts WHERE chitty_id = '{id}'"
    ));
}

async fn unprepared(gateway: &Isolate) -> String {
    let metrics = gateway.get("/metrics", None).await.text;
    let family = "chittyconnect_contexts_unprepared{what=\"words\"} ";
    metrics.lines().find_map(|line| line.strip_prefix(family)).unwrap().to_owned()
}

#[test]
fn words_from_before_are_found_as_before_and_then_as_now() {
    let (world, gateway) = World::warm();
    put_former(&world, FORMER, "Ελλάδα report", "ภาษาไทย");
    run(async {
        gateway.create("dev-a", &json!({"name": "new Ελλάδα"})).await;
        for query in ["report", "rep", "Ελλάδα report", "Ελλάδα ภาษาไทย", "ภาษาไทย"]
        {
            assert_eq!(names(&gateway, query).await, ["Ελλάδα report"], "{query}");
        }
        assert_eq!(names(&gateway, "Ελλάδα").await, ["new Ελλάδα", "Ελλάδα report"]);
        assert_eq!(names(&gateway, "ελλαδα").await, ["new Ελλάδα"], "not yet");
        assert_eq!(unprepared(&gateway).await, "1");
        let etag = gateway.get(&format!("/v1/contexts/{FORMER}"), Some("dev-a")).await;
        // Two runs at once, of which one does not hear how it ended.
        world.db.set_fault_at("INSERT OR REPLACE INTO contexts_fts", Fault::After, 1);
        let other = world.isolate();
        futures_util::future::join(
            chittyconnect::tasks::scheduled(&gateway.app),
            chittyconnect::tasks::scheduled(&other.app),
        )
        .await;
        world.advance_ms(2000);
        assert_eq!(unprepared(&gateway).await, "0");
        for query in ["report", "ελλαδα REPORT", "ΕΛΛΆΔΑ ไทย", "ภาษา rep"]
        {
            assert_eq!(names(&gateway, query).await, ["Ελλάδα report"], "{query}");
        }
        assert_eq!(names(&gateway, "ελλαδα").await, ["new Ελλάδα", "Ελλάδα report"]);
        let after = gateway.get(&format!("/v1/contexts/{FORMER}"), Some("dev-a")).await;
        assert_eq!((&after.text, &after.headers["etag"]), (&etag.text, &etag.headers["etag"]));
    });
}

#[test]
fn a_context_with_words_from_before_is_changed_whole() {
    let (world, gateway) = World::warm();
    put_former(&world, FORMER, "Ελλάδα", "ภาษาไทย");
    put_former(&world, "CHITTY-CONTEXT-gone", "gone", "ภาษาไทย");
    run(async {
        let path = format!("/v1/contexts/{FORMER}");
        let stale = TestRequest::new("PATCH", &path).token("dev-a").header("if-match", "\"x\"");
        let stale = gateway.send(stale.json(&json!({"name": "n"}))).await;
        assert_eq!((stale.status, stale.code()), (412, "precondition_failed"));
        let changed = gateway.patch(&path, "dev-a", &json!({"systems": ["Αθήνα"]})).await;
        assert_eq!(changed.status, 200);
        for query in ["ελλαδα", "ไทย αθηνα", "ελλα αθηνα"] {
            assert_eq!(names(&gateway, query).await, ["Ελλάδα"], "{query}");
        }
        let inactive = gateway.patch(&path, "dev-a", &json!({"status": "inactive"})).await;
        assert_eq!(inactive.status, 200);
        assert_eq!(names(&gateway, "ελλαδα").await, Vec::<String>::new());
        assert_eq!(gateway.delete("/v1/contexts/CHITTY-CONTEXT-gone", "dev-a").await.status, 200);
        assert_eq!(names(&gateway, "ภาษาไทย").await, Vec::<String>::new());
        world.advance_ms(2000);
        assert_eq!(unprepared(&gateway).await, "0");
    });
}

#[test]
fn what_an_earlier_version_changes_meanwhile_is_written_anew() {
    let (world, gateway) = World::warm();
    run(async {
        let id = gateway.create("dev-a", &json!({"name": "Αθήνα"})).await;
        // As it changes a name: the words are those of before.
        let key = Key::of("CHITTY-PEO-a", Status::Active);
        world.db.execute(&format!(
            "UPDATE contexts SET name = 'Πάτρα', revision = 'other' WHERE chitty_id = '{id}'; \
             UPDATE contexts_fts SET name = '{0}z {0}nΠάτρα' \
             WHERE rowid = (SELECT row_id FROM contexts WHERE chitty_id = '{id}')",
            key.as_str()
        ));
        assert_eq!(names(&gateway, "Πάτρα").await, ["Πάτρα"]);
        chittyconnect::tasks::scheduled(&gateway.app).await;
        assert_eq!(names(&gateway, "πατρα").await, ["Πάτρα"]);
    });
}
