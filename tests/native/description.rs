//! The API description and the documentation say what the code does.

use chittyconnect::access::route::{Access, Route};
use chittyconnect::routes::{self, ROUTES};
use chittyconnect::{actors, description, edge};
use http_kit::problem::Code;
use serde_json::{Value, json};

use crate::world::{DESCRIPTION, Isolate, TestRequest, World, run};

#[test]
fn the_committed_description_is_up_to_date() {
    assert!(
        DESCRIPTION == description::document(),
        "openapi.json is out of date: run `npm run openapi` and commit it"
    );
}

#[test]
fn every_route_is_described_and_nothing_else() {
    let document = document();
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

/// The committed description.
fn document() -> Value {
    serde_json::from_str(DESCRIPTION).unwrap()
}

/// What a reference leads to; what is none is itself.
fn resolved<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => value,
    }
}

fn operation<'d>(document: &'d Value, route: &Route) -> &'d Value {
    let method = route.method.as_str().to_lowercase();
    &document["paths"][route.described_path()][method]
}

fn parameters(operation: &Value) -> Vec<&Value> {
    operation["parameters"].as_array().map(|all| all.iter().collect()).unwrap_or_default()
}

/// Every operation says all by which it can be refused, and how one authenticates: by the table of routes,
/// so that a new one cannot forget it.
#[test]
fn every_operation_says_how_it_refuses() {
    let document = document();
    for route in ROUTES {
        let operation = operation(&document, route);
        let what = format!("{} {}", route.method.as_str(), route.path);
        let mut expected: Vec<u16> = match route.access {
            Access::Scoped(..) => vec![401, 403, 422, 429, 500, 503],
            Access::Counted(..) => vec![422, 429, 500, 503],
            Access::Open(_) => vec![],
        };
        let content = operation["requestBody"]["content"].as_object();
        if let Some(content) = content {
            expected.extend([400, 413]);
            expected.extend(content.contains_key("application/json").then_some(415));
        }
        if route.path.contains("{id}") {
            expected.extend([400, 404]);
        }
        let names: Vec<&str> =
            parameters(operation).iter().map(|one| one["name"].as_str().unwrap()).collect();
        expected.extend(names.contains(&"If-Match").then_some(412));
        let responses = operation["responses"].as_object().unwrap();
        for status in expected {
            assert!(responses.contains_key(&status.to_string()), "{what} lacks {status}");
        }
        for (status, response) in responses {
            let response = resolved(&document, response);
            assert!(response["description"].is_string(), "{what} {status}");
            if status.starts_with(['4', '5']) {
                let media = &response["content"]["application/problem+json"];
                assert_eq!(media["schema"]["$ref"], "#/components/schemas/Problem", "{what}");
                assert_eq!(media["example"]["status"].to_string(), *status, "{what}");
            }
        }
        // Only what another host answers may be anything.
        assert_eq!(responses.contains_key("default"), route.path.contains("/proxy"), "{what}");
        let security = operation["security"].as_array().unwrap();
        if let Access::Scoped(permission, _) = route.access {
            let ways: Vec<&str> = security
                .iter()
                .map(|one| {
                    let (name, scopes) = one.as_object().unwrap().iter().next().unwrap();
                    assert_eq!(scopes[0], permission.as_str(), "{what}");
                    name.as_str()
                })
                .collect();
            assert_eq!(ways, ["bearer", "chittyosApiKey", "apiKey"], "{what}");
        }
        for way in security.iter().flat_map(|one| one.as_object().unwrap().keys()) {
            assert!(document["components"]["securitySchemes"][way].is_object(), "{what} {way}");
        }
    }
    assert_eq!(document["servers"][0]["url"], "/");
}

/// Where the words between backticks are a closed set, they are an enum; no generated client has to read
/// the description.
#[test]
fn what_is_one_of_some_words_says_which() {
    let document = document();
    let lacks = |schema: &Value, description: &Value| {
        let description = description.as_str().unwrap_or_default();
        let words = description.split('`').skip(1).step_by(2);
        let plain = words.filter(|word| {
            word.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_') && !word.is_empty()
        });
        let is_text = schema["type"] == "string" || schema["type"][0] == "string";
        let of_words = schema["items"]["type"] == "string";
        let is_closed = schema["enum"].is_array() || schema["items"]["enum"].is_array();
        (is_text || of_words) && plain.count() > 1 && !is_closed
    };
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        for (member, schema) in schema["properties"].as_object().into_iter().flatten() {
            assert!(!lacks(schema, &schema["description"]), "{name}.{member}");
        }
    }
    for route in ROUTES {
        for parameter in parameters(operation(&document, route)) {
            let what = format!("{} {}", route.path, parameter["name"]);
            // What GitHub says there is GitHub's to extend.
            let in_query = parameter["in"] == "query" && parameter["name"] != "setup_action";
            assert!(!in_query || !lacks(&parameter["schema"], &parameter["description"]), "{what}");
            if parameter["name"] == "limit" {
                let schema = &parameter["schema"];
                assert_eq!((&schema["minimum"], &schema["maximum"]), (&json!(1), &json!(100)));
            }
        }
    }
    // Two that the code has a list of.
    let members = |schema: &str, member: &str| {
        document["components"]["schemas"][schema]["properties"][member]["enum"].clone()
    };
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(members("Problem", "code"), json!(codes));
    assert_eq!(members("Actor", "actor_type"), json!(actors::TYPES));
}

/// A body takes no member that it does not name, and no generated type takes a member that may be left
/// out for one that must be there.
#[test]
fn what_is_sent_is_described_to_the_last_member() {
    let document = document();
    let mut schemas: Vec<&Value> = Vec::new();
    for route in ROUTES {
        let body = &operation(&document, route)["requestBody"]["content"]["application/json"];
        let schema = &body["schema"];
        if schema["$ref"].is_string() {
            schemas.push(resolved(&document, schema));
        }
    }
    assert!(schemas.len() > 10);
    while let Some(schema) = schemas.pop() {
        assert!(
            schema["properties"].is_null() || schema["additionalProperties"] == false,
            "{schema}"
        );
        let members = schema["properties"].as_object();
        for (name, member) in members.into_iter().flatten() {
            assert!(member["default"].is_null(), "{name}");
        }
        let inner = members.into_iter().flat_map(|all| all.values());
        let either = schema["oneOf"].as_array();
        let parts = inner.chain(either.into_iter().flatten());
        let parts = parts.flat_map(|part| {
            let either = part["oneOf"].as_array();
            std::iter::once(part).chain(either.into_iter().flatten())
        });
        schemas.extend(
            parts.filter(|part| part["$ref"].is_string()).map(|part| resolved(&document, part)),
        );
    }
}

/// Whoever reads the description sees what a body and an answer look like.
#[test]
fn every_body_and_answer_has_an_example() {
    let document = document();
    for route in ROUTES {
        let operation = operation(&document, route);
        let body = &operation["requestBody"]["content"]["application/json"]["schema"];
        let answers = operation["responses"].as_object().unwrap().values();
        let answers = answers.map(|one| &one["content"]["application/json"]["schema"]);
        for schema in answers.chain([body]).filter(|schema| schema["$ref"].is_string()) {
            let schema = resolved(&document, schema);
            let example = &schema["examples"][0];
            assert!(example.is_object(), "{} {schema}", route.path);
            for (name, member) in schema["properties"].as_object().into_iter().flatten() {
                let can_be_null = member["type"][1] == "null" || member["oneOf"].is_array();
                assert!(can_be_null || !example[name].is_null(), "{}: {name}", route.path);
            }
        }
    }
}

#[test]
fn the_query_parameters_of_every_route_are_described_and_no_others() {
    let document: Value = serde_json::from_str(DESCRIPTION).unwrap();
    for route in ROUTES {
        let operation = route.method.as_str().to_lowercase();
        let operation = &document["paths"][route.described_path()][operation];
        let described: Vec<&str> = operation["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|parameter| parameter["in"] == "query")
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect();
        let mut read = route.parameters.read().unwrap_or_default().to_vec();
        let mut described = described;
        read.sort_unstable();
        described.sort_unstable();
        assert_eq!(described, read, "{} {}", route.method.as_str(), route.path);
    }
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
    assert_eq!((answer.status, answer.text.as_str()), (200, DESCRIPTION));
    assert_eq!(answer.headers["cache-control"], "max-age=300");
    let request = TestRequest::new("GET", "/openapi.json");
    let reply = run(edge::serve(&gateway.app, routes::table(), &request));
    assert_eq!(reply.body.content_type(), Some("application/json"));
}

#[test]
fn without_the_static_files_the_description_is_refused_and_all_else_works() {
    let (world, gateway) = World::warm();
    let refused = |gateway: &Isolate| {
        let answer = run(gateway.get("/openapi.json", None));
        assert_eq!((answer.status, answer.code()), (503, "storage_unavailable"));
        assert!(answer.json["detail"].as_str().unwrap().contains("ASSETS"), "{}", answer.text);
        assert_eq!(answer.headers.get("cache-control"), None, "kept by nobody");
        assert_eq!(run(gateway.get("/health", None)).status, 200);
    };
    world.assets.down.set(true);
    refused(&gateway);
    world.assets.down.set(false);
    assert_eq!(run(gateway.get("/openapi.json", None)).status, 200);
    refused(&world.isolate_with(&[("ASSETS", None)]));
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
