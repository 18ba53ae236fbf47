//! The layers of the gateway: an import points down. What must not know the gateway at all is a crate.

use std::fs;
use std::path::{Path, PathBuf};

/// The modules of `src`, from the ground up: each may import those before it.
const ORDER: [&str; 28] = [
    "sealing",
    "config",
    "app",   // what an isolate has
    "store", // the schema, the outbox, work
    "access",
    "keys",
    "actors",
    "audit",
    "delegation", // who may what
    "events",
    "discovery",
    "connections",
    "identities",
    "contexts",
    "registration",
    "ecosystem",
    "orchestrations",
    "github",
    "metrics",
    "health", // one a resource
    "openapi",
    "routes",
    "description",
    "edge",
    "tasks", // what brings them together
    "workers",
    "doors",
    "lib", // the runtime
];

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
    let rank = |module: &str| ORDER.iter().position(|one| *one == module);
    let mut upward = Vec::new();
    for path in &found {
        let inner = path.strip_prefix(&src).unwrap().to_str().unwrap();
        let own = inner.split(['/', '.']).next().unwrap();
        let own = rank(own).unwrap_or_else(|| panic!("give {own} its place in ORDER"));
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
