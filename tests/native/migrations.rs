//! Migrations that fail, and what the documents of the database and of security say.

use std::fs;

use chittyconnect::store::migrations::{MIGRATIONS, statements};
use seams::db::{Db, Statement};

use crate::world::database::Database;
use crate::world::{TestRequest, World, run};

/// What there is: the schema, and what the book says.
fn all_of(db: &Database) -> Vec<String> {
    let mut all = db.cells("SELECT name || ifnull(sql, '') FROM sqlite_schema ORDER BY name");
    all.extend(db.cells("SELECT name FROM d1_migrations ORDER BY id"));
    all
}

fn with_a_book() -> Database {
    let db = Database::empty();
    db.execute(
        "CREATE TABLE d1_migrations (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE)",
    );
    db
}

#[test]
fn a_migration_that_fails_leaves_nothing() {
    let db = with_a_book();
    run(async {
        for (name, sql) in MIGRATIONS {
            let book = Statement::new("INSERT INTO d1_migrations (name) VALUES (?1)").bind(name);
            let cut = statements(sql).into_iter().map(Statement::new);
            let whole: Vec<Statement> = std::iter::once(book).chain(cut).collect();
            let before = all_of(&db);
            // All of it has been done when it fails.
            let mut broken = whole.clone();
            broken.push(Statement::new("INSERT INTO nowhere VALUES (1)"));
            assert!(db.batch(broken).await.is_err(), "{name}");
            assert_eq!(all_of(&db), before, "{name}");
            db.batch(whole).await.unwrap();
            assert_ne!(all_of(&db), before, "{name}");
        }
    });
}

#[test]
fn the_gateway_goes_on_from_a_migration_that_failed_once_it_can() {
    let world = World::new();
    let gateway = world.isolate();
    // In the way of the third.
    world.db.execute("CREATE TABLE actors (x TEXT)");
    run(async {
        let request = || TestRequest::new("GET", "/v1/contexts").token("dev-a");
        for _ in 0..2 {
            let (answer, _) = gateway.send_only(request()).await;
            assert_eq!((answer.status, answer.code()), (503, "not_ready"));
            assert_eq!(world.db.count("d1_migrations"), 2);
            let tables = "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'actors_%'";
            assert_eq!(world.db.cell(tables).unwrap(), "0", "nothing of it is there");
        }
        world.db.execute("DROP TABLE actors");
        assert_eq!(gateway.send_only(request()).await.0.status, 200);
        assert_eq!(world.db.count("d1_migrations"), MIGRATIONS.len());
    });
}

/// What stands between a document's fences of a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let rest = text.split(&fence).skip(1);
    rest.map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn every_query_of_the_documents_can_be_asked() {
    let (world, _) = World::warm();
    let text = fs::read_to_string("migrations/README.md").unwrap();
    let queries: Vec<String> =
        blocks(&text, "sql").iter().flat_map(|block| statements(block)).collect();
    assert!(queries.len() >= 10, "{}", queries.len());
    for query in &queries {
        assert!(query.starts_with("SELECT"), "an operator only looks: {query}");
        // Fails where a table or a column is not there.
        assert!(!world.db.plan(query).is_empty(), "{query}");
        world.db.execute(query);
    }
}

/// The document has a list of the older ones, which do not all say it themselves.
#[test]
fn every_migration_says_what_it_does() {
    let text = fs::read_to_string("migrations/README.md").unwrap();
    for (file, _) in MIGRATIONS {
        if file < "0032" {
            let name = file.trim_end_matches(".sql");
            assert!(text.contains(&format!("| `{name}` |")), "{name} is not in the list");
        } else {
            let sql = fs::read_to_string(format!("migrations/{file}")).unwrap();
            assert!(sql.starts_with("-- "), "the first line of {file} must say what it does");
        }
    }
}

#[test]
fn every_test_that_the_security_audit_names_is_there() {
    let text = fs::read_to_string("docs/security.md").unwrap();
    let mut named = 0;
    for line in text.lines() {
        let links: Vec<(&str, &str)> = line
            .split('[')
            .skip(1)
            .filter_map(|rest| rest.split_once("](../"))
            .map(|(name, rest)| (name, rest.split(')').next().unwrap()))
            .filter(|(_, file)| file.ends_with(".rs") || file.ends_with(".mjs"))
            .collect();
        let is_threat = line.starts_with("| ") && line.matches(" | ").count() == 2;
        let is_heading = line.contains("| Threat |") || line.contains("| Where it is |");
        let is_asset = !text[text.find("## Threats").unwrap()..].contains(line);
        assert!(!links.is_empty() || !is_threat || is_heading || is_asset, "no test: {line}");
        for (name, file) in links {
            let source = fs::read_to_string(file).unwrap_or_else(|_| panic!("there is no {file}"));
            let expected = match name.strip_prefix('`') {
                Some(name) => format!("fn {}()", name.trim_end_matches('`')),
                None => format!("test({name}"),
            };
            assert!(source.contains(&expected), "{file} has no {name}");
            named += 1;
        }
    }
    assert!(named >= 40, "{named}");
}
