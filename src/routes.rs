//! The route table: one line for each route, with the permission that it requires. A handler that works on
//! owned data takes a `Scope`, which only a granted permission yields, so a forgotten check does not compile.

use std::sync::OnceLock;

use http_kit::parameters::Parameters;

use crate::access::caller::Permission;
use crate::access::rates::Class;
use crate::access::route::{Access, Method, Route, Table};
use crate::actors::{handlers as actors, whoami};
use crate::audit::handlers as audit;
use crate::connections::create::create as create_connection;
use crate::connections::{handlers as connections, proxy};
use crate::contexts::create::create as create_context;
use crate::contexts::{handlers as contexts, lineage, verification};
use crate::delegation::handlers as delegation;
use crate::discovery::handlers as discovery;
use crate::ecosystem::{handlers as ecosystem, stream};
use crate::events::{handlers as events, timeline};
use crate::github::install::{self, callback, transfer};
use crate::github::installations::handlers as installations;
use crate::github::webhook;
use crate::identities::handlers as identities;
use crate::keys::handlers as keys;
use crate::metrics::handlers as metrics;
use crate::orchestrations::handlers as orchestrations;
use crate::{health, openapi};

macro_rules! open {
    ($method:ident $path:literal => $handler:path) => {
        Route {
            method: Method::$method,
            path: $path,
            access: Access::Open(|app, request| Box::pin($handler(app, request))),
            parameters: Parameters::NONE,
        }
    };
}

macro_rules! counted {
    ($method:ident $path:literal, $class:ident => $handler:path) => {
        Route {
            method: Method::$method,
            path: $path,
            access: Access::Counted(Class::$class, |app, request| Box::pin($handler(app, request))),
            parameters: Parameters::NONE,
        }
    };
}

macro_rules! scoped {
    ($method:ident $path:literal, $permission:ident => $handler:path) => {
        Route {
            method: Method::$method,
            path: $path,
            access: Access::Scoped(Permission::$permission, |app, ready, scope, request| {
                Box::pin($handler(app, ready, scope, request))
            }),
            parameters: Parameters::NONE,
        }
    };
}

/// All routes.
#[rustfmt::skip]
pub static ROUTES: &[Route] = &[
    open!(Get "/" => health::show).reads(&["full"]).ignores_others(),
    open!(Get "/health" => health::show).reads(&["full"]).ignores_others(),
    open!(Get "/api/health" => health::show).reads(&["full"]).ignores_others(),
    open!(Get "/api/v1/status" => health::show).reads(&["full"]).ignores_others(),
    open!(Get "/openapi.json" => openapi::show).ignores_others(),
    open!(Get "/metrics" => metrics::show).ignores_others(),

    open!(Get     "/.well-known/chitty.json"    => discovery::document).ignores_others(),
    open!(Get     "/api/services"               => discovery::list).ignores_others(),
    open!(Get     "/api/registry/services"      => discovery::list).ignores_others(),
    counted!(Get  "/api/services/status",        Public => discovery::statuses),
    counted!(Get  "/api/services/{id}",          Public => discovery::show),
    counted!(Get  "/api/services/{id}/status",   Public => discovery::status),
    counted!(Get  "/api/registry/services/{id}", Public => discovery::show),
    counted!(Get  "/api/discover/{id}",          Public => discovery::locate),
    counted!(Post "/api/v1/connect/discover",    Public => discovery::discover),
    scoped!(Get   "/api/registry/whoami",        ActorsRead => whoami::whoami),

    scoped!(Post   "/v1/contexts",        ContextsWrite => create_context),
    scoped!(Post   "/v1/contexts/create", ContextsWrite => create_context),
    scoped!(Get    "/v1/contexts",        ContextsRead  => contexts::list).reads(&["status", "type", "since", "limit", "cursor"]),
    scoped!(Get    "/v1/contexts/list",   ContextsRead  => contexts::list).reads(&["status", "type", "since", "limit", "cursor"]),
    scoped!(Get    "/v1/contexts/search", ContextsRead  => contexts::search).reads(&["q", "status", "limit", "cursor"]).tolerates(&["owner"]),
    scoped!(Get    "/v1/contexts/{id}",   ContextsRead  => contexts::show).tolerates(&["resolve"]),
    scoped!(Patch  "/v1/contexts/{id}",   ContextsWrite => contexts::change),
    scoped!(Delete "/v1/contexts/{id}",   ContextsWrite => contexts::remove),
    scoped!(Post   "/v1/contexts/{id}/verify",  ContextsWrite => verification::verify),
    scoped!(Get    "/v1/contexts/{id}/lineage", ContextsRead  => lineage::show),

    scoped!(Post  "/v1/actors/register",          ActorsWrite => actors::register),
    scoped!(Get   "/v1/actors/me",                ActorsRead  => actors::me),
    scoped!(Get   "/v1/actors",                   ActorsAdmin => actors::list).reads(&["type", "status", "limit", "cursor"]),
    scoped!(Get   "/v1/actors/list",              ActorsAdmin => actors::list).reads(&["type", "status", "limit", "cursor"]),
    scoped!(Get   "/v1/actors/{id}",              ActorsRead  => actors::show),
    scoped!(Patch "/v1/actors/{id}",              ActorsWrite => actors::change),
    scoped!(Get   "/v1/actors/{id}/capabilities", ActorsRead  => actors::capabilities),
    scoped!(Put   "/v1/actors/{id}/capabilities", ActorsAdmin => actors::grant),

    scoped!(Post   "/v1/connections",              ConnectionsWrite => create_connection),
    scoped!(Get    "/v1/connections",              ConnectionsRead  => connections::list).reads(&["source", "target", "type", "status", "limit", "cursor"]),
    scoped!(Get    "/v1/connections/list",         ConnectionsRead  => connections::list).reads(&["source", "target", "type", "status", "limit", "cursor"]),
    scoped!(Get    "/v1/connections/{id}",         ConnectionsRead  => connections::show),
    scoped!(Patch  "/v1/connections/{id}",         ConnectionsWrite => connections::change),
    scoped!(Delete "/v1/connections/{id}",         ConnectionsWrite => connections::remove),
    scoped!(Get    "/v1/connections/{id}/status",  ConnectionsRead  => connections::status),
    scoped!(Post   "/v1/connections/{id}/check",   ConnectionsWrite => connections::check),
    scoped!(Get    "/v1/connections/{id}/history", ConnectionsRead  => connections::history).reads(&["limit", "cursor"]),
    scoped!(Get    "/v1/connections/{id}/proxy",         ConnectionsRead  => proxy::forward).passes_query(),
    scoped!(Get    "/v1/connections/{id}/proxy/{*path}", ConnectionsRead  => proxy::forward).passes_query(),
    scoped!(Post   "/v1/connections/{id}/proxy",         ConnectionsWrite => proxy::forward).passes_query(),
    scoped!(Post   "/v1/connections/{id}/proxy/{*path}", ConnectionsWrite => proxy::forward).passes_query(),
    scoped!(Put    "/v1/connections/{id}/proxy",         ConnectionsWrite => proxy::forward).passes_query(),
    scoped!(Put    "/v1/connections/{id}/proxy/{*path}", ConnectionsWrite => proxy::forward).passes_query(),
    scoped!(Patch  "/v1/connections/{id}/proxy",         ConnectionsWrite => proxy::forward).passes_query(),
    scoped!(Patch  "/v1/connections/{id}/proxy/{*path}", ConnectionsWrite => proxy::forward).passes_query(),
    scoped!(Delete "/v1/connections/{id}/proxy",         ConnectionsWrite => proxy::forward).passes_query(),
    scoped!(Delete "/v1/connections/{id}/proxy/{*path}", ConnectionsWrite => proxy::forward).passes_query(),

    scoped!(Post   "/v1/delegate",          DelegationsWrite => delegation::create),
    scoped!(Get    "/v1/delegate",          DelegationsRead  => delegation::list).reads(&["status", "limit", "cursor"]),
    counted!(Post  "/v1/delegate/validate", Validate => delegation::validate),
    scoped!(Delete "/v1/delegate/{id}",     DelegationsWrite => delegation::revoke),

    scoped!(Post   "/v1/keys",             KeysWrite => keys::create),
    scoped!(Get    "/v1/keys",             KeysRead  => keys::list).reads(&["owner", "limit", "cursor"]),
    scoped!(Get    "/v1/keys/{id}",        KeysRead  => keys::show),
    scoped!(Post   "/v1/keys/{id}/rotate", KeysWrite => keys::rotate),
    scoped!(Delete "/v1/keys/{id}",        KeysWrite => keys::revoke),

    scoped!(Get "/v1/audit",        AuditRead  => audit::list).reads(&["actor", "entity", "action", "limit", "cursor"]),
    scoped!(Get "/v1/audit/verify", AuditAdmin => audit::verify).reads(&["from"]),

    scoped!(Get    "/v1/events",                          EventsRead  => timeline::timeline).reads(&["entity", "owner", "type", "since", "until", "limit", "cursor"]),
    scoped!(Get    "/v1/events/dead-letters",             EventsAdmin => events::list).reads(&["type", "entity", "limit", "cursor"]),
    scoped!(Post   "/v1/events/dead-letters/replay",      EventsAdmin => events::replay_many),
    scoped!(Get    "/v1/events/dead-letters/{id}",        EventsAdmin => events::show),
    scoped!(Post   "/v1/events/dead-letters/{id}/replay", EventsAdmin => events::replay),
    scoped!(Delete "/v1/events/dead-letters/{id}",        EventsAdmin => events::discard),

    scoped!(Get  "/v1/ecosystem",                 EcosystemRead  => ecosystem::list),
    scoped!(Get  "/v1/ecosystem/events",          EcosystemRead  => stream::events).reads(&["service"]),
    scoped!(Get  "/v1/ecosystem/{id}",            EcosystemRead  => ecosystem::show),
    scoped!(Post "/v1/ecosystem/{id}/check",      EcosystemAdmin => ecosystem::check),
    scoped!(Post "/v1/ecosystem/{id}/connect",    EcosystemAdmin => ecosystem::connect),
    scoped!(Post "/v1/ecosystem/{id}/disconnect", EcosystemAdmin => ecosystem::disconnect),
    scoped!(Post "/v1/ecosystem/{id}/reset",      EcosystemAdmin => ecosystem::reset),

    open!(Post "/integrations/github/webhook"  => webhook::receive).ignores_others(),
    counted!(Get  "/integrations/github/install",  Install => install::begin).reads(&["claim"]),
    counted!(Get  "/integrations/github/callback", Install => callback::come_back).reads(&["state", "code", "error", "installation_id", "setup_action"]).ignores_others(),
    counted!(Post "/integrations/github/confirm",  Install => transfer::confirm),

    scoped!(Get    "/v1/github/installations",                   GithubRead  => installations::list).reads(&["owner", "limit", "cursor"]),
    scoped!(Get    "/v1/github/installations/{id}",              GithubRead  => installations::show),
    scoped!(Delete "/v1/github/installations/{id}/owner",        GithubWrite => installations::release),
    scoped!(Get    "/v1/github/installations/{id}/repositories", GithubRead  => installations::repositories).reads(&["limit", "cursor"]),

    scoped!(Post "/api/chittyid/mint",          IdentitiesWrite => identities::mint),
    scoped!(Post "/api/chittyid/validate",      IdentitiesRead  => identities::validate),
    scoped!(Get  "/api/chittyid/validate/{id}", IdentitiesRead  => identities::show),

    scoped!(Post "/v1/orchestrations/{id}", OrchestrationsWrite => orchestrations::start),
    scoped!(Get  "/v1/orchestrations/{id}", OrchestrationsRead  => orchestrations::show),
];

/// Returns the table, prepared once per isolate.
pub fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| Table::new(ROUTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_found_by_its_path_and_only_once() {
        for route in ROUTES {
            let path = route.path.replace("{id}", "x%20y").replace("{*path}", "a/b");
            let found = table().find(&path).unwrap();
            let same = |other: &&Route| other.method == route.method && other.path == route.path;
            assert_eq!(found.routes.iter().copied().filter(same).count(), 1, "{}", route.path);
            if route.path.contains("{id}") {
                assert_eq!(found.id, "x%20y");
            }
        }
        for path in ["/v1/contextsXYZ", "/v1", "/v1/contexts/a/b", "", "v1/contexts", "/Health"] {
            assert!(table().find(path).is_none(), "{path}");
        }
    }

    #[test]
    fn no_parameter_hides_a_path_without_one() {
        for route in ROUTES.iter().filter(|route| !route.path.contains('{')) {
            let found = table().find(route.path).unwrap();
            assert!(found.routes.iter().all(|found| found.path == route.path), "{}", route.path);
        }
    }

    #[test]
    fn the_nearest_path_is_named() {
        for (path, near) in [
            ("/v1/context", Some("/v1/contexts")),
            ("/V1/Contexts", Some("/v1/contexts")),
            ("/v1//contexts", Some("/v1/contexts")),
            ("/contexts", Some("/v1/contexts")),
            ("/api/v1/contexts", Some("/v1/contexts")),
            ("/api/contexts", Some("/v1/contexts")),
            ("/v1/context/03-1-USA-0001-P-2611-0-42", Some("/v1/contexts/{id}")),
            ("/v1/contexts/serach", None),
            ("/v1/conections/x/status", Some("/v1/connections/{id}/status")),
            ("/v1/delegates", Some("/v1/delegate")),
            ("/heatlh", Some("/health")),
            ("/wp-login.php", None),
            ("/api/service", Some("/api/services")),
            ("/.well-known/chitty.jsn", Some("/.well-known/chitty.json")),
            ("/", None),
            ("", None),
            ("/v2", None),
        ] {
            // A path that fits a parameter is found, so it is not unknown.
            if table().find(path).is_none() {
                assert_eq!(table().nearest(path).as_deref(), near, "{path}");
            }
        }
        assert_eq!(table().nearest(&"/v1/contexts".repeat(100)), None);
    }
}
