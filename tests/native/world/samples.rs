//! The sample requests of `tests/requests.json`. The end-to-end tests send them too
//! (`tests/e2e/harness/requests.mjs`).
//!
//! - `requests` has one for every route that asks for a permission, by the method and the described path: what
//!   its `{id}` and `{path}` stand for (`id`, `rest`), its `query` and its `body`, and what other actors meet who
//!   send it (`other`).
//! - `entities` says how one of each kind is made: the path and the body of its creation, the place of its id in
//!   the reply, and the quota that counts it. A later kind may name earlier ones.
//! - `watched` has the tables in which requests change something, each with the columns that show it.
//!
//! In all of them `{context}` stands for the id of a context, and so on; `{n}` is a number.

use std::collections::BTreeMap;

use chittyconnect::access::route::Route;
use serde_json::Value;

use super::{Isolate, TestRequest};

/// Who makes the entities, and who sends what only an administrator may send.
const ACTOR: &str = "dev-a";
const ADMIN: &str = "dev-root+admin";

/// The ids of entities by their kinds.
pub(crate) type Ids = BTreeMap<String, String>;

fn list() -> Value {
    serde_json::from_str(include_str!("../../requests.json")).unwrap()
}

/// How a kind stands for its id.
fn placeholder(kind: &str) -> String {
    format!("{{{kind}}}")
}

/// A value with ids in the places of their kinds.
fn filled(value: &Value, ids: &Ids) -> Value {
    let put = |text: String, (kind, id): (&String, &String)| text.replace(&placeholder(kind), id);
    serde_json::from_str(&ids.iter().fold(value.to_string(), put)).unwrap()
}

/// A kind of entity, and how one is made.
pub(crate) struct EntityKind(Value);

impl EntityKind {
    /// Every kind, each after those that its body names.
    pub(crate) fn all() -> Vec<EntityKind> {
        list()["entities"].as_array().unwrap().iter().cloned().map(EntityKind).collect()
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0[name].as_str()
    }

    fn name(&self) -> &str {
        self.text("kind").unwrap()
    }

    /// The path of its creation.
    pub(crate) fn path(&self) -> &str {
        self.text("path").unwrap()
    }

    /// The name of the quota that counts such entities, if one does.
    pub(crate) fn quota(&self) -> Option<&str> {
        self.text("quota")
    }

    /// The body of the creation of a further one.
    pub(crate) fn body(&self, n: usize, ids: &Ids) -> Value {
        let mut ids = ids.clone();
        ids.insert("n".to_owned(), n.to_string());
        filled(&self.0["body"], &ids)
    }

    /// Makes those that the body of this kind names and `ids` lacks.
    pub(crate) async fn prepare(&self, gateway: &Isolate, ids: &mut Ids) {
        make(gateway, &self.0["body"], ids).await;
    }
}

/// Whether a text names a kind of entity that `ids` lacks.
fn needs(text: &str, kind: &EntityKind, ids: &Ids) -> bool {
    !ids.contains_key(kind.name()) && text.contains(&placeholder(kind.name()))
}

/// Makes one of each kind of entity that `value` names and `ids` lacks, with those that it needs itself.
pub(crate) async fn make(gateway: &Isolate, value: &Value, ids: &mut Ids) {
    let kinds = EntityKind::all();
    // 1. Find out which are needed: a kind names earlier ones only.
    let mut named = value.to_string();
    for kind in kinds.iter().rev() {
        if needs(&named, kind, ids) {
            named += &kind.0["body"].to_string();
        }
    }
    // 2. Make these.
    for kind in &kinds {
        if needs(&named, kind, ids) {
            let made = gateway.post(kind.path(), ACTOR, &kind.body(1, ids)).await;
            assert!((200..300).contains(&made.status), "{}: {made:?}", kind.name());
            let id = made.json.pointer(kind.text("id").unwrap()).and_then(Value::as_str);
            ids.insert(kind.name().to_owned(), id.unwrap().to_owned());
        }
    }
}

/// The sample request of a route.
pub(crate) struct Sample {
    method: &'static str,
    path: String,
    row: Value,
}

impl Sample {
    /// The sample of a route, if it asks for a permission.
    pub(crate) fn of(route: &Route) -> Option<Self> {
        let (method, path) = (route.method.as_str(), route.described_path());
        let row = list()["requests"].get(format!("{method} {path}"))?.clone();
        Some(Sample { method, path, row })
    }

    /// Whether only an administrator may send it.
    pub(crate) fn is_for_administrators(&self) -> bool {
        self.row["other"] == "admin"
    }

    /// Whether its reply does not end.
    pub(crate) fn is_stream(&self) -> bool {
        self.row["isStream"] == true
    }

    /// The path and the query of the request.
    pub(crate) fn target(&self, ids: &Ids) -> String {
        let row = filled(&self.row, ids);
        let text = |name: &str| row[name].as_str().unwrap_or_default();
        self.path.replace("{id}", text("id")).replace("{path}", text("rest")) + text("query")
    }

    /// The request. Makes what it names and `ids` lacks.
    pub(crate) async fn request(&self, gateway: &Isolate, ids: &mut Ids) -> TestRequest {
        make(gateway, &self.row, ids).await;
        let token = if self.is_for_administrators() { ADMIN } else { ACTOR };
        let request = TestRequest::new(self.method, &self.target(ids)).token(token);
        match filled(&self.row, ids).get("body") {
            Some(body) => request.json(body),
            None => request,
        }
    }
}
