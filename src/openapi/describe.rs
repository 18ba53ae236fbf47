//! Makes the API description from the handlers' annotations. Native only.

use utoipa::openapi::path::{Operation, Parameter, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi};

use crate::actors::handlers as actors;
use crate::audit::handlers as audit;
use crate::connections::{handlers as connections, proxy};
use crate::contexts::{Context, handlers as contexts, input};
use crate::delegation::handlers as delegation;
use crate::ecosystem::{handlers as ecosystem, stream};
use crate::events::handlers as events;
use crate::events::timeline;
use crate::github::installations::handlers as installations;
use crate::github::{install, webhook};
use crate::health;
use crate::http::problem::{FieldErrorSchema, ProblemBody};
use crate::http::route::{Access, Method};
use crate::identities::handlers as identities;
use crate::keys::handlers as keys;
use crate::metrics::handlers as metrics;
use crate::orchestrations::handlers as orchestrations;
use crate::routes::ROUTES;

/// Paths of the predecessor, and the ones that they stand for.
const ALIASES: [(Method, &str, &str); 16] = [
    (Method::Get, "/", "/health"),
    (Method::Get, "/api/health", "/health"),
    (Method::Get, "/api/v1/status", "/health"),
    (Method::Post, "/v1/contexts/create", "/v1/contexts"),
    (Method::Get, "/v1/contexts/list", "/v1/contexts"),
    (Method::Get, "/v1/actors/list", "/v1/actors"),
    (Method::Get, "/v1/connections/list", "/v1/connections"),
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

/// One handler for every method, described once.
const PROXY: &str = "/v1/connections/{id}/proxy/{path}";

/// The same, for the endpoint itself.
const BARE_PROXY: &str = "/v1/connections/{id}/proxy";

/// The document as it is committed: indented JSON with a line feed at its end.
pub fn document() -> String {
    let mut text = Description::openapi().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "ChittyConnect",
        description = "The edge gateway of the ChittyOS ecosystem.\n\n\
            Every reply carries `X-Request-ID` and `traceparent`; both are accepted too. Errors are \
            `application/problem+json` (RFC 9457) with a stable `code`. Lists are paged by \
            `limit` and `cursor`; `next_cursor` and the `Link` header lead to the next page. \
            `ETag`, `If-Match` and `If-None-Match` work on what has a version. HEAD and OPTIONS \
            work on every path."
    ),
    paths(
        health::show,
        super::show,
        crate::contexts::create::create,
        contexts::list,
        contexts::search,
        contexts::show,
        contexts::change,
        contexts::remove,
        actors::register,
        actors::me,
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
        install::come_back,
        install::confirm,
        installations::list,
        installations::show,
        installations::release,
        installations::repositories
    ),
    components(schemas(
        Context,
        input::ContextDraft,
        input::ContextPatch,
        ProblemBody,
        FieldErrorSchema,
        health::Health,
        health::DeficiencySchema,
        health::ServiceReportSchema
    )),
    tags(
        (name = "contexts", description = "What an actor works in."),
        (name = "actors", description = "Who acts."),
        (name = "connections", description = "Contexts and actors bound to services, with the credential for it."),
        (name = "delegation", description = "Tokens by which somebody else acts for an actor."),
        (name = "keys", description = "API keys of this gateway."),
        (name = "audit", description = "Who did what to which entity."),
        (name = "events", description = "What has happened, and what could not be told."),
        (name = "ecosystem", description = "The ChittyOS services as this gateway sees them."),
        (name = "identities", description = "ChittyIDs of all nine kinds, minted and validated by ChittyID."),
        (name = "orchestrations", description = "Flows over several services: all of it, or nothing."),
        (name = "github", description = "The GitHub App: its webhook, and where it is installed."),
        (name = "gateway", description = "The gateway itself.")
    ),
    modifiers(&Bearer, &Aliases, &Guards, &Problems)
)]
struct Description;

/// The way to authenticate.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A token of ChittyAuth. With the sandbox: `dev-<name>`."))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
        // The derive takes it from Cargo.toml, where there is none, and leaves an empty name.
        document.info.license = None;
    }
}

/// What stands before every route on owned data, as the route table has it.
struct Guards;

impl Modify for Guards {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for route in ROUTES {
            let Access::Scoped(permission, _) = route.access else { continue };
            let item = document.paths.paths.get_mut(&route.described_path());
            let Some(operation) = item.and_then(|item| operation(item, route.method)) else {
                continue;
            };
            let scope = permission.as_str();
            let requirement =
                utoipa::openapi::security::SecurityRequirement::new("bearer", [scope]);
            operation.security = Some(vec![requirement]);
            for (status, description) in [
                ("401", "No token, or none that is good."),
                ("403", "The token does not carry the scope, or the actor is suspended."),
                ("503", "A service or the database did not answer; see `Retry-After`."),
            ] {
                let response = ResponseBuilder::new().description(description).build();
                operation.responses.responses.insert(status.to_owned(), RefOr::T(response));
            }
        }
    }
}

/// The body of every reply that says no.
struct Problems;

impl Modify for Problems {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let schema = RefOr::Ref(Ref::from_schema_name("Problem"));
        let content = ContentBuilder::new().schema(Some(schema)).build();
        for route in ROUTES {
            let item = document.paths.paths.get_mut(&route.described_path());
            let Some(operation) = item.and_then(|item| operation(item, route.method)) else {
                continue;
            };
            for (status, response) in &mut operation.responses.responses {
                if let (true, RefOr::T(response)) = (status.starts_with(['4', '5']), response) {
                    let media_type = "application/problem+json".to_owned();
                    response.content.insert(media_type, RefOr::T(content.clone()));
                }
            }
        }
    }
}

/// The predecessor's paths, described like what they stand for.
struct Aliases;

impl Modify for Aliases {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for (method, alias, path) in ALIASES {
            let described = if path == PROXY { Method::Get } else { method };
            let canonical = document.paths.paths.get_mut(path);
            let Some(found) = canonical.and_then(|item| operation(item, described)) else {
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

fn operation(item: &mut PathItem, method: Method) -> Option<&mut Operation> {
    slot(item, method)?.as_mut()
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
