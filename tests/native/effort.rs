//! What one request costs the isolate: the worst bodies that fit, through every route that takes one.
//!
//! Work is compared with work of the same run and the same thread, so the speed of the machine does not
//! matter: what a route does with a body is held against parsing that body, and against parsing the list
//! of short words that is as long as a body. In the deployed worker the latter takes some 20 ms.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use chittyconnect::access::route::Method;
use chittyconnect::routes::ROUTES;
use seams::ids::sha256_hex;
use serde_json::{Value, json};

use crate::world::{Isolate, TestRequest, World, cpu_ns, run, signed};

/// The longest body that is read.
const BODY_BYTES: usize = 1 << 20;

/// How many times the list of short words a route may cost beyond parsing its body twice: the 50 ms of the
/// deployed worker.
const FACTOR: u64 = 4;

const ADMIN: &str = "dev-root+admin";

/// JSON values, each with its kind.
type Values = Vec<(&'static str, String)>;

/// JSON values of about so many bytes, each the worst of its kind.
fn worst(bytes: usize) -> Rc<Values> {
    thread_local! {
        /// Made once for each length, because making them takes longer than reading them.
        static MADE: RefCell<BTreeMap<usize, Rc<Values>>> = RefCell::default();
    }
    MADE.with_borrow_mut(|made| {
        Rc::clone(made.entry(bytes).or_insert_with(|| Rc::new(make(bytes))))
    })
}

fn make(bytes: usize) -> Values {
    let list = |item: &dyn Fn(usize) -> String| {
        let mut text = String::from("[");
        for n in 0.. {
            let item = item(n);
            if text.len() + item.len() + 2 > bytes {
                break;
            }
            text += if n == 0 { "" } else { "," };
            text += &item;
        }
        text + "]"
    };
    let repeated = |text: &str| format!("\"{}\"", text.repeat(bytes / text.len()));
    let ideographs: String =
        (0..bytes / 3).filter_map(|n| char::from_u32(0x4e00 + (n % 20_000) as u32)).collect();
    let members = list(&|n| format!("\"k{n:x}\":0"));
    let deep = bytes / 2;
    vec![
        ("different words", list(&|n| format!("\"{n:x}\""))),
        ("one word", list(&|_| "\"read\"".to_owned())),
        ("numbers", list(&|n| n.to_string())),
        ("empty lists", list(&|_| "[]".to_owned())),
        ("members", format!("{{{}}}", &members[1..members.len() - 1])),
        ("nesting", format!("{}{}", "[".repeat(deep), "]".repeat(deep))),
        ("shallow nesting", list(&|_| format!("{}{}", "[".repeat(100), "]".repeat(100)))),
        ("separators", repeated(", /;.")),
        ("percent", repeated("%25")),
        ("at signs", repeated("a@b.")),
        ("escapes", repeated("\\u00e9")),
        ("combining", repeated("e\u{301}\u{302}")),
        ("emoji", repeated("\u{1f680}")),
        ("letters", repeated("a")),
        ("words in a text", repeated("a b ")),
        ("ideographs", format!("\"{ideographs}\"")),
    ]
}

/// The members that a route reads, as the API description has them.
fn members(method: &str, path: &str) -> Vec<String> {
    let api: Value = serde_json::from_str(include_str!("../../openapi.json")).unwrap();
    let operation = &api["paths"][path][method.to_ascii_lowercase()];
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
    let name = schema.as_str().and_then(|name| name.rsplit('/').next()).unwrap_or_default();
    let properties = api["components"]["schemas"][name]["properties"].as_object();
    properties.map(|members| members.keys().cloned().collect()).unwrap_or_default()
}

/// What must be right for a route to look at the rest.
fn base(path: &str) -> Value {
    match path {
        "/v1/contexts" | "/v1/contexts/create" => json!({"name": "worst"}),
        "/v1/actors/register" => json!({"actor_type": "ai"}),
        "/v1/connections" => json!({
            "source_chitty_id": "CHITTY-PEO-root", "source_type": "actor", "target_service": "cases",
            "credentials": {"type": "oauth", "token_endpoint": "https://a.example/", "client_id": "c"},
        }),
        "/v1/delegate" => json!({"target_service": "connect"}),
        "/v1/keys" => json!({"name": "n", "scopes": ["read"]}),
        "/v1/orchestrations/{id}" => json!({"email": "a@example.org"}),
        _ => json!({}),
    }
}

/// The bodies for a route: each worst value as each member, as all of them, and as the whole.
fn bodies(method: &str, path: &str) -> Vec<(String, String)> {
    let members = members(method, path);
    let base = base(path);
    let with = |names: &[&String], value: &str| {
        let others = base.as_object().into_iter().flatten();
        let others = others.filter(|(name, _)| !names.contains(name));
        let mut parts: Vec<String> =
            others.map(|(name, value)| format!("\"{name}\":{value}")).collect();
        parts.extend(names.iter().map(|name| format!("\"{name}\":{value}")));
        format!("{{{}}}", parts.join(","))
    };
    let mut bodies = Vec::new();
    for (kind, value) in worst(BODY_BYTES - 1024).iter() {
        // Where members are read the whole has only to be taken apart.
        if members.is_empty() || matches!(*kind, "members" | "nesting" | "emoji") {
            bodies.push(((*kind).to_owned(), value.clone()));
        }
        // One alone is as long as can be where there is a list to be read.
        for name in members.iter().filter(|_| *kind == "different words") {
            bodies.push((format!("{kind} as {name}"), with(&[name], value)));
        }
    }
    if !members.is_empty() {
        let all: Vec<&String> = members.iter().collect();
        for (kind, value) in worst((BODY_BYTES - 1024) / members.len()).iter() {
            bodies.push((format!("{kind} as every member"), with(&all, value)));
        }
    }
    if path.starts_with("/v1/contexts") {
        // As much as is accepted: what is looked at longest.
        for (kind, value) in worst(190 << 10).iter() {
            let text = format!(
                "{{\"name\":\"{}\",\"data\":[{value}],\"systems\":[{value}],\"tools\":[{value}]}}",
                sha256_hex(kind)
            );
            bodies.push((format!("{kind} to be stored"), text));
        }
    }
    bodies
}

/// Who has something of everything, and where it is.
struct Home {
    world: World,
    gateway: Isolate,
    ids: Vec<(&'static str, String)>,
    sent: Cell<u32>,
}

impl Home {
    fn new() -> Self {
        let (world, gateway) = World::warm();
        let ids = run(async {
            gateway.post("/v1/actors/register", ADMIN, &json!({"actor_type": "ai"})).await;
            let context = gateway.create(ADMIN, &json!({"name": "home"})).await;
            let link = json!({
                "source_chitty_id": "CHITTY-PEO-root", "source_type": "actor", "target_service": "cases",
                "scopes": ["read", "write"],
            });
            let link = gateway.post("/v1/connections", ADMIN, &link).await;
            let key =
                gateway.post("/v1/keys", ADMIN, &json!({"name": "n", "scopes": ["read"]})).await;
            let id = |value: &Value| value.as_str().unwrap().to_owned();
            vec![
                ("/v1/contexts/", context),
                ("/v1/actors/", "CHITTY-PEO-root".to_owned()),
                ("/v1/connections/", id(&link.json["connection"]["connection_id"])),
                ("/v1/keys/", id(&key.json["key"]["key_id"])),
                ("/v1/ecosystem/", "id".to_owned()),
                ("/v1/orchestrations/", "user-registration".to_owned()),
                ("/v1/events/dead-letters/", "dl_x".to_owned()),
            ]
        });
        Home { world, gateway, ids, sent: Cell::new(0) }
    }

    fn request(&self, method: Method, path: &str, body: &str) -> TestRequest {
        let id =
            self.ids.iter().find(|(start, _)| path.starts_with(start)).map(|(_, id)| id.as_str());
        let target = path.replace("{id}", id.unwrap_or_default()).replace("{*path}", "x");
        let request = match path {
            "/integrations/github/webhook" => signed("d-1", "push", body.as_bytes()),
            _ => TestRequest::new(method.as_str(), &target).token(ADMIN).body(body),
        };
        let kind = if path.ends_with("/confirm") { "text/plain" } else { "application/json" };
        self.sent.set(self.sent.get() + 1);
        request.header("content-type", kind).header("idempotency-key", &self.sent.get().to_string())
    }

    /// What the isolate does for a request, beside its database, in ns of CPU.
    fn effort(&self, request: TestRequest) -> u64 {
        let (before, stored) = (cpu_ns(), self.world.db.effort_ns());
        let answer = run(self.gateway.send_only(request)).0;
        let effort = (cpu_ns() - before).saturating_sub(self.world.db.effort_ns() - stored);
        assert!(answer.status < 500 || answer.status == 502, "{} {}", answer.status, answer.text);
        effort
    }
}

/// What it takes to parse a body, in ns of CPU.
fn parsing(body: &str) -> u64 {
    let before = cpu_ns();
    let _ = std::hint::black_box(serde_json::from_str::<Value>(body));
    cpu_ns() - before
}

#[test]
fn no_body_costs_a_writing_route_of_contexts_more_than_a_few_times_its_parsing() {
    no_body_costs_much(|path| path.starts_with("/v1/contexts"), 3);
}

#[test]
fn no_body_costs_another_writing_route_more_than_a_few_times_its_parsing() {
    no_body_costs_much(|path| !path.starts_with("/v1/contexts"), 24);
}

/// Sends the bodies through each writing route of these paths, of which there are so many at least.
fn no_body_costs_much(is_meant: fn(&str) -> bool, least: usize) {
    let words = worst(BODY_BYTES - 1024);
    let unit = (0..3).map(|_| parsing(&words[0].1)).max().unwrap();
    let is_writing = |method| !matches!(method, Method::Get | Method::Delete);
    let routes = ROUTES.iter().filter(|route| is_writing(route.method) && is_meant(route.path));
    let routes: Vec<_> = routes.collect();
    assert!(routes.len() >= least, "{}", routes.len());
    for route in routes {
        let (home, method) = (Home::new(), route.method.as_str());
        for (kind, body) in bodies(method, &route.described_path()) {
            assert!(body.len() <= BODY_BYTES, "{kind}: {}", body.len());
            // What a busy machine adds does not come again and again, and is never that much.
            let slow = (0..3).take_while(|_| {
                let effort = home.effort(home.request(route.method, route.path, &body));
                let place = format!("{method} {}: {kind}", route.path);
                assert!(effort < 50 * unit, "{place} took {} times as long", effort / unit);
                effort > FACTOR * unit && effort > FACTOR * unit + 2 * parsing(&body)
            });
            assert!(slow.count() < 3, "{method} {}: {kind}", route.path);
        }
    }
}

#[test]
fn no_header_and_no_query_costs_much() {
    let words = worst(BODY_BYTES - 1024);
    let unit = (0..3).map(|_| parsing(&words[0].1)).max().unwrap();
    let home = Home::new();
    // As long as all headers together may be at the edge.
    let texts = |part: &str| part.repeat((100 << 10) / part.len());
    let parts =
        ["\"a\",", "W/\"a\", ", ",", "a b ", "\"", "-", "text/html;q=0.1,", "%25", "a|", "=&"];
    let names = [
        "accept",
        "accept-language",
        "authorization",
        "content-type",
        "idempotency-key",
        "if-match",
        "if-none-match",
        "last-event-id",
        "origin",
        "traceparent",
        "tracestate",
        "user-agent",
        "x-chittyos-api-key",
        "x-request-id",
        "x-session-id",
    ];
    let check = |what: &str, request: &dyn Fn() -> TestRequest| {
        let slow = (0..3).take_while(|_| home.effort(request()) > unit);
        assert!(slow.count() < 3, "{what}");
    };
    for route in ROUTES.iter().filter(|route| route.path.starts_with("/v1/contexts")) {
        for part in parts {
            for name in names {
                let value = if name == "authorization" {
                    format!("Bearer {}", texts(part))
                } else {
                    texts(part)
                };
                let what = format!("{} {}: {part} as {name}", route.method.as_str(), route.path);
                check(&what, &|| home.request(route.method, route.path, "{}").header(name, &value));
            }
            for name in ["q", "cursor", "limit", "status", "since", "x"] {
                let target = format!("{}?{name}={}", route.path, texts(part));
                let what = format!("{} {}: {part} as ?{name}", route.method.as_str(), route.path);
                check(&what, &|| home.request(route.method, &target, "{}"));
            }
        }
    }
}
