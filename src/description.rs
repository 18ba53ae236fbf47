//! Generates the API description from the handlers' annotations. Native only.

mod examples;
mod rules;
mod shapes;
mod words;

use http_kit::problem::{FieldErrorSchema, ProblemBody};
use serde_json::Value;
use utoipa::openapi::path::{Operation, Parameter, PathItem};
use utoipa::openapi::{LicenseBuilder, RefOr};
use utoipa::{Modify, OpenApi};

use crate::access::route::{Method, Route};
use crate::actors::{handlers as actors, whoami};
use crate::audit::handlers as audit;
use crate::connections::{handlers as connections, proxy};
use crate::contexts::views::{ContextDraft, ContextPatch};
use crate::contexts::{Context, handlers as contexts};
use crate::delegation::handlers as delegation;
use crate::discovery::handlers as discovery;
use crate::ecosystem::{handlers as ecosystem, stream};
use crate::events::{handlers as events, timeline};
use crate::github::install::{self, callback, transfer};
use crate::github::installations::handlers as installations;
use crate::github::webhook;
use crate::health;
use crate::identities::handlers as identities;
use crate::keys::handlers as keys;
use crate::metrics::handlers as metrics;
use crate::orchestrations::handlers as orchestrations;

/// Operations that repeat the description of another path: the predecessor's paths, and the proxy's other
/// methods and its path without a suffix. Each entry is the method, the path, and the path that it repeats.
const ALIASES: [(Method, &str, &str); 18] = [
    (Method::Get, "/", "/health"),
    (Method::Get, "/api/health", "/health"),
    (Method::Get, "/api/v1/status", "/health"),
    (Method::Post, "/v1/contexts/create", "/v1/contexts"),
    (Method::Get, "/v1/contexts/list", "/v1/contexts"),
    (Method::Get, "/v1/actors/list", "/v1/actors"),
    (Method::Get, "/v1/connections/list", "/v1/connections"),
    (Method::Get, "/api/registry/services", "/api/services"),
    (Method::Get, "/api/registry/services/{id}", "/api/services/{id}"),
    (Method::Post, PROXY, PROXY),
    (Method::Put, PROXY, PROXY),
    (Method::Patch, PROXY, PROXY),
    (Method::Delete, PROXY, PROXY),
    (Method::Get, BARE_PROXY, PROXY),
    (Method::Post, BARE_PROXY, PROXY),
    (Method::Put, BARE_PROXY, PROXY),
    (Method::Patch, BARE_PROXY, PROXY),
    (Method::Delete, BARE_PROXY, PROXY),
];

/// The proxy's path. One handler serves every method, so only GET is annotated.
const PROXY: &str = "/v1/connections/{id}/proxy/{path}";

/// The proxy's path for the target's endpoint itself.
const BARE_PROXY: &str = "/v1/connections/{id}/proxy";

/// Returns the document as it is committed: indented JSON with a line feed at its end.
pub fn document() -> String {
    let mut document = serde_json::to_value(Description::openapi()).unwrap_or_default();
    shapes::refine(&mut document);
    words::close(&mut document);
    rules::apply(&mut document);
    examples::add(&mut document);
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "ChittyConnect",
        description = "The edge gateway of the ChittyOS ecosystem.\n\n\
            Every reply carries `X-Request-ID` and `traceparent`; a request may send both. Errors are \
            `application/problem+json` (RFC 9457) with a stable `code`. Lists are paged by \
            `limit` and `cursor`; `next_cursor` and the `Link` header lead to the next page. \
            `ETag`, `If-Match` and `If-None-Match` work on every entity that has a version. OPTIONS \
            works on every path, HEAD on every path that has GET.",
        contact(name = "ChittyConnect", url = "https://connect.chitty.cc/docs")
    ),
    servers(
        (url = "/", description = "The gateway that serves this description."),
        (url = "https://connect.chitty.cc", description = "Production."),
        (url = "http://localhost:8787", description = "On your machine, after `npm start`.")
    ),
    paths(
        health::show,
        crate::openapi::show,
        crate::contexts::create::create,
        contexts::list,
        contexts::search,
        contexts::show,
        contexts::change,
        contexts::remove,
        crate::contexts::verification::verify,
        crate::contexts::lineage::show,
        actors::register,
        actors::me,
        whoami::whoami,
        actors::list,
        actors::show,
        actors::change,
        actors::capabilities,
        actors::grant,
        crate::connections::create::create,
        connections::list,
        connections::show,
        connections::change,
        connections::remove,
        connections::status,
        connections::check,
        connections::history,
        proxy::forward,
        delegation::create,
        delegation::list,
        delegation::validate,
        delegation::revoke,
        keys::create,
        keys::list,
        keys::show,
        keys::rotate,
        keys::revoke,
        audit::list,
        audit::verify,
        timeline::timeline,
        events::list,
        events::show,
        events::replay,
        events::replay_many,
        events::discard,
        metrics::show,
        discovery::document,
        discovery::list,
        discovery::show,
        discovery::statuses,
        discovery::status,
        discovery::locate,
        discovery::discover,
        ecosystem::list,
        ecosystem::show,
        ecosystem::check,
        ecosystem::connect,
        ecosystem::disconnect,
        ecosystem::reset,
        stream::events,
        identities::mint,
        identities::validate,
        identities::show,
        orchestrations::start,
        orchestrations::show,
        webhook::receive,
        install::begin,
        callback::come_back,
        transfer::confirm,
        installations::list,
        installations::show,
        installations::release,
        installations::repositories
    ),
    components(schemas(
        Context,
        ContextDraft,
        ContextPatch,
        ProblemBody,
        FieldErrorSchema,
        health::Health,
        health::DeficiencySchema,
        health::ServiceReportSchema
    )),
    tags(
        (name = "contexts", description = "The contexts in which actors work."),
        (name = "actors", description = "Persons, services and AI agents, each with a ChittyID."),
        (name = "connections", description = "Connections from contexts and actors to services, with their credentials."),
        (name = "delegation", description = "Tokens that let somebody else act for an actor."),
        (name = "keys", description = "API keys of this gateway."),
        (name = "audit", description = "Who did what to which entity."),
        (name = "events", description = "Events, and dead letters: events that were given up."),
        (name = "discovery", description = "Where the services of ChittyOS are, and how they are, for everybody."),
        (name = "ecosystem", description = "The ChittyOS services as this gateway sees them."),
        (name = "identities", description = "ChittyIDs of all nine kinds, minted and validated by ChittyID."),
        (name = "orchestrations", description = "Flows over several services, which complete or are undone."),
        (name = "github", description = "The GitHub App: its webhook and its installations."),
        (name = "gateway", description = "The gateway itself.")
    ),
    modifiers(&Licence, &Aliases)
)]
struct Description;

/// Adds the licence to the document.
struct Licence;

impl Modify for Licence {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        // The derive reads the licence from Cargo.toml, which has none, and leaves an empty name.
        let licence = LicenseBuilder::new().name("MIT").identifier(Some("MIT"));
        document.info.license = Some(licence.build());
    }
}

/// Adds the operations of [`ALIASES`], each with the description that it repeats.
struct Aliases;

impl Modify for Aliases {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for (method, alias, path) in ALIASES {
            let described = if path == PROXY { Method::Get } else { method };
            let canonical = document.paths.paths.get_mut(path);
            let Some(found) = canonical.and_then(|item| slot(item, described)?.as_mut()) else {
                continue;
            };
            let mut copy = found.clone();
            let suffix = match alias {
                PROXY => method.as_str().to_owned(),
                BARE_PROXY => format!("{}Bare", method.as_str()),
                "/api/health" => "Api".to_owned(),
                "/api/v1/status" => "Status".to_owned(),
                _ => "Alias".to_owned(),
            };
            copy.operation_id = copy.operation_id.map(|id| format!("{id}{suffix}"));
            if alias == BARE_PROXY {
                let is_path =
                    |one: &RefOr<Parameter>| matches!(one, RefOr::T(one) if one.name == "path");
                copy.parameters.iter_mut().for_each(|all| all.retain(|one| !is_path(one)));
            }
            if path != PROXY {
                copy.description = Some(format!("The same as `{} {path}`.", method.as_str()));
            }
            let item = document.paths.paths.entry(alias.to_owned()).or_default();
            if let Some(slot) = slot(item, method) {
                *slot = Some(copy);
            }
        }
    }
}

fn slot(item: &mut PathItem, method: Method) -> Option<&mut Option<Operation>> {
    Some(match method {
        Method::Get => &mut item.get,
        Method::Post => &mut item.post,
        Method::Put => &mut item.put,
        Method::Patch => &mut item.patch,
        Method::Delete => &mut item.delete,
    })
}

/// Finds the operation of a route in the document.
fn operation<'d>(document: &'d mut Value, route: &Route) -> Option<&'d mut Value> {
    let path = route.described_path().replace('/', "~1");
    let method = route.method.as_str().to_ascii_lowercase();
    document.pointer_mut(&format!("/paths/{path}/{method}"))
}

/// Finds a member of a schema in the document.
fn member<'d>(document: &'d mut Value, schema: &str, name: &str) -> Option<&'d mut Value> {
    document.pointer_mut(&format!("/components/schemas/{schema}/properties/{name}"))
}

/// A parameter of an operation, in the document.
struct ParameterEntry<'d> {
    path: &'d str,
    value: &'d mut Value,
}

impl ParameterEntry<'_> {
    /// Whether the parameter belongs to this path or to an alias of it.
    fn stands_for(&self, path: &str) -> bool {
        let is_alias = |(_, alias, canonical): &(Method, &str, &str)| {
            *alias == self.path && *canonical == path
        };
        self.path == path || ALIASES.iter().any(is_alias)
    }

    /// Whether the parameter has this name and place (`query`, `path` or `header`).
    fn is(&self, place: &str, name: &str) -> bool {
        let says =
            |member: &str, text: &str| self.value.get(member).and_then(Value::as_str) == Some(text);
        says("in", place) && says("name", name)
    }
}

/// Returns every parameter of every operation in the document.
fn parameters(document: &mut Value) -> impl Iterator<Item = ParameterEntry<'_>> {
    let paths = document.pointer_mut("/paths").and_then(Value::as_object_mut);
    paths.into_iter().flatten().flat_map(|(path, item)| {
        let operations = item.as_object_mut().into_iter().flatten();
        operations.flat_map(move |(_, operation)| {
            let all = operation.pointer_mut("/parameters").and_then(Value::as_array_mut);
            all.into_iter().flatten().map(move |value| ParameterEntry { path, value })
        })
    })
}

/// Returns the type of a schema other than `null`, or an empty text.
fn kind(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(kind)) => kind,
        Some(Value::Array(kinds)) => {
            kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or("")
        }
        _ => "",
    }
}

/// Sets a member of an object.
fn put(target: &mut Value, name: &str, value: Value) {
    if let Value::Object(members) = target {
        members.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A view whose attributes say other than the tables of this folder.
    #[derive(utoipa::ToSchema)]
    #[schema(as = KeyDraft)]
    #[allow(dead_code, reason = "a description")]
    struct KeyDraftView {
        /// With a bound and an example of its own.
        #[schema(min_length = 1, max_length = 7, example = "own")]
        name: String,
        /// With a bound of its own, and one of the tables.
        #[schema(maximum = 90)]
        expires_in_seconds: u32,
        /// With a bound only.
        #[schema(max_length = 9)]
        note: String,
        /// Text, although a member of this name is usually an object.
        detail: String,
    }

    #[utoipa::path(
        post,
        path = "/v1/keys",
        request_body = KeyDraftView,
        responses((status = 201, description = "Made."))
    )]
    #[allow(dead_code, reason = "a description")]
    fn create() {}

    #[derive(OpenApi)]
    #[openapi(paths(create), components(schemas(KeyDraftView)))]
    struct Described;

    #[test]
    fn what_an_attribute_of_a_view_says_wins() {
        let mut document = serde_json::to_value(Described::openapi()).unwrap();
        shapes::refine(&mut document);
        examples::add(&mut document);
        let schema = &document["components"]["schemas"]["KeyDraft"];
        let members = &schema["properties"];
        assert_eq!(members["name"]["maxLength"], 7, "{schema}");
        let life = &members["expires_in_seconds"];
        assert_eq!(life["minimum"], 60, "{schema}");
        assert_eq!(life["maximum"].as_f64(), Some(90.0), "{schema}");
        // The tables give the rest: texts have no control characters.
        assert_eq!(members["note"]["pattern"], members["name"]["pattern"]);
        assert_eq!(members["detail"]["type"], "string");
        assert_eq!(schema["examples"][0]["name"], "own");
    }
}
