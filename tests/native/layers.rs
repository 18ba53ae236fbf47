//! The layers of the gateway: an import points down. What must not know the gateway at all is a crate.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The modules of `src`, from the ground up, as `src/lib.rs` lists them: each may import those before it.
fn order() -> Vec<String> {
    let text = fs::read_to_string("src/lib.rs").unwrap();
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let named = text.lines().filter_map(|line| {
        let rest = line.strip_prefix("pub mod ").or(line.strip_prefix("pub(crate) mod "))?;
        Some(rest.chars().take_while(|c| is_name(*c)).collect::<String>())
    });
    named.chain(["lib".to_owned()]).collect()
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn imports_point_down() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&src, &mut found);
    let order = order();
    let rank = |module: &str| order.iter().position(|one| one == module);
    let mut upward = Vec::new();
    for path in &found {
        let inner = path.strip_prefix(&src).unwrap().to_str().unwrap();
        let own = inner.split(['/', '.']).next().unwrap();
        let own = rank(own).unwrap_or_else(|| panic!("give {own} its line in src/lib.rs"));
        let text = fs::read_to_string(path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        let code: Vec<&str> =
            code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for rest in code.join("\n").split("crate::").skip(1) {
            let end = if rest.starts_with('{') { '}' } else { ':' };
            for name in rest.split([end, ';']).next().unwrap().split([',', '{']) {
                let name = name.trim().split(':').next().unwrap();
                let name: String =
                    name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if !name.is_empty() && rank(&name).is_none_or(|other| other > own) {
                    upward.push(format!("{inner} imports {name}"));
                }
            }
        }
        let is_outer = inner.starts_with("workers") || inner == "lib.rs";
        let names_worker =
            code.iter().any(|line| line.contains("use worker") || line.contains("worker::"));
        assert!(is_outer || !names_worker, "{inner} names the `worker` crate");
    }
    assert!(found.len() > 100, "the sources were not found");
    assert!(upward.is_empty(), "{upward:#?}");
}

/// A file without its line in `main.rs` is not compiled, so its tests would not run.
#[test]
fn every_file_of_these_tests_has_its_line() {
    let main = include_str!("main.rs");
    for entry in fs::read_dir("tests/native").unwrap() {
        let path = entry.unwrap().path();
        let is_module =
            path.extension().is_some_and(|end| end == "rs") || path.join("mod.rs").exists();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let line = format!("mod {name};");
        let has_line = name == "main" || main.lines().any(|one| one == line);
        assert!(!is_module || has_line, "tests/native/main.rs lacks `{line}`");
    }
}

/// Which folders may name a table in their SQL, where its own is not the only one: what an actor is and may,
/// which is one matter in five folders; the outbox, which the consumer of its events works off; and statements
/// over two resources, which one transaction or one index needs. Any other folder asks the table's own for
/// its SQL.
const SHARED_TABLES: [(&str, &[&str]); 17] = [
    ("actors", &["access", "actors", "events"]),
    ("keys", &["access", "actors", "delegation", "keys"]),
    ("key_secrets", &["access", "delegation", "keys"]),
    ("delegations", &["access", "delegation", "keys"]),
    ("made_tokens", &["access", "delegation"]),
    ("audit", &["audit", "events"]),
    ("outbox", &["store", "events"]),
    ("dead_letters", &["store", "events"]),
    // A replay opens the event or the delivery with its letter.
    ("github_deliveries", &["github", "events"]),
    // A context is the source of connections, and its owner's quota counts them.
    ("connections", &["access", "audit", "connections"]),
    ("contexts", &["connections", "contexts", "events"]),
    // What a token stands on is noted in the credentials that were made by it.
    ("connection_secrets", &["access", "connections"]),
    ("credential_revocations", &["connections"]),
    ("installations", &["events", "github"]),
    // The catalog shows what the watch publishes, and the watch asks the catalog where services are.
    ("service_connections", &["discovery", "ecosystem"]),
    ("assertions", &["store"]),
    ("quota_assertions", &["access"]),
];

#[test]
fn the_sql_of_a_table_stands_in_one_folder() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tables = BTreeSet::new();
    for entry in fs::read_dir(root.join("migrations")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        for rest in text.split("CREATE TABLE ").skip(1) {
            tables.insert(rest.split([' ', '(']).next().unwrap().to_owned());
        }
    }
    let src = root.join("src");
    let mut found = Vec::new();
    files(&src, &mut found);
    let mut folders: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in &found {
        let folder = path.strip_prefix(&src).unwrap().to_str().unwrap().split(['/', '.']).next();
        let text = fs::read_to_string(path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for verb in ["FROM ", "INTO ", "UPDATE ", "JOIN "] {
            for rest in code.split(verb).skip(1) {
                let end = |c: char| !c.is_ascii_lowercase() && c != '_';
                let table = rest.split(end).next().unwrap();
                if tables.contains(table) {
                    let of = folders.entry(table.to_owned()).or_default();
                    of.insert(folder.unwrap().to_owned());
                }
            }
        }
    }
    assert!(folders.len() > 30, "the statements were not found");
    let strangers: Vec<_> = folders
        .into_iter()
        .filter(|(table, folders)| {
            let shared = SHARED_TABLES.iter().find(|(name, _)| name == table);
            match shared {
                Some((_, may)) => folders.iter().any(|folder| !may.contains(&folder.as_str())),
                None => folders.len() > 1,
            }
        })
        .collect();
    assert!(strangers.is_empty(), "{strangers:#?}");
}
