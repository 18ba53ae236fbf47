//! The API description and the documentation say what the code does.

use chittyconnect::http::problem::Code;
use chittyconnect::openapi::{DOCUMENT, describe};
use chittyconnect::routes::ROUTES;
use serde_json::Value;

use crate::world::{World, run};

#[test]
fn the_committed_description_is_up_to_date() {
    assert!(
        DOCUMENT == describe::document(),
        "openapi.json is out of date: run `npm run openapi` and commit it"
    );
}

#[test]
fn every_route_is_described_and_nothing_else() {
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let mut described: Vec<String> = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            described.push(format!("{} {path}", method.to_uppercase()));
            assert!(operation["summary"].is_string(), "{method} {path}");
            assert!(operation["operationId"].is_string(), "{method} {path}");
        }
    }
    let mut routed: Vec<String> = ROUTES
        .iter()
        .map(|route| format!("{} {}", route.method.as_str(), route.described_path()))
        .collect();
    described.sort();
    routed.sort();
    assert_eq!(described, routed);
}

#[test]
fn every_error_code_is_documented() {
    let page = std::fs::read_to_string("docs/errors.md").unwrap();
    for code in Code::ALL {
        let row = format!("| `{}` | {} |", code.as_str(), code.status());
        assert!(page.contains(&row), "docs/errors.md lacks the row {row}");
    }
    let rows = page.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, Code::ALL.len(), "docs/errors.md has a row that is no code");
}

#[test]
fn it_is_served_as_committed() {
    let (_, gateway) = World::warm();
    let answer = run(gateway.get("/openapi.json", None));
    assert_eq!((answer.status, answer.text.as_str()), (200, DOCUMENT));
}

/// The App is made from this file: what GitHub is told must be what there is.
#[test]
fn the_manifest_of_the_github_app_leads_to_routes_that_exist() {
    let manifest: Value =
        serde_json::from_str(include_str!("../../github-app-manifest.json")).unwrap();
    let base = manifest["url"].as_str().unwrap();
    let is_routed = |url: &Value, method: &str| {
        let path = url.as_str().unwrap().strip_prefix(base).unwrap();
        ROUTES.iter().any(|route| route.path == path && route.method.as_str() == method)
    };
    assert!(is_routed(&manifest["hook_attributes"]["url"], "POST"));
    assert!(is_routed(&manifest["callback_urls"][0], "GET"));
    // Without the code nobody can show that an installation is theirs.
    assert_eq!(manifest["request_oauth_on_install"], true);
    // What the App does there needs these; and it may do no more.
    let may = &manifest["default_permissions"];
    for (name, level) in [("checks", "write"), ("contents", "read"), ("issues", "write")] {
        assert_eq!(may[name], level, "{name}");
    }
}
