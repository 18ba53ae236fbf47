//! The route table: one line a route. What a route asks of its caller stands beside it; a handler
//! that works on owned data takes a `Scope`, which only a granted permission gives, so a forgotten
//! check does not compile.

use std::sync::OnceLock;

use futures_util::future::LocalBoxFuture;

use crate::app::App;
use crate::contexts::create::create as create_context;
use crate::contexts::handlers as contexts;
use crate::health;
use crate::http::caller::{Permission, Scope};
use crate::http::problem::Problem;
use crate::http::reply::Reply;
use crate::http::request::Request;
use crate::init::Ready;
use crate::openapi;

/// What a handler comes to.
pub type Outcome = Result<Reply, Problem>;

/// A handler that anyone may call and that works without a database.
pub type OpenHandler = for<'a> fn(&'a App, &'a Request<'a>) -> LocalBoxFuture<'a, Outcome>;

/// A handler on the caller's own data.
pub type ScopedHandler =
    for<'a> fn(&'a App, Ready<'a>, Scope, &'a Request<'a>) -> LocalBoxFuture<'a, Outcome>;

/// What stands between a request and its handler.
pub enum Access {
    /// Nothing.
    Open(OpenHandler),
    /// A schema, a good token, and this permission.
    Scoped(Permission, ScopedHandler),
}

/// The methods of the API. HEAD and OPTIONS are the edge's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Creates.
    Post,
    /// Changes.
    Patch,
    /// Deletes.
    Delete,
}

impl Method {
    /// As on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

/// One line of the table.
pub struct Route {
    /// Method.
    pub method: Method,
    /// Path; `{id}` is a parameter.
    pub path: &'static str,
    /// Who may, and what happens.
    pub access: Access,
}

macro_rules! open {
    ($method:ident $path:literal => $handler:path) => {
        Route {
            method: Method::$method,
            path: $path,
            access: Access::Open(|app, request| Box::pin($handler(app, request))),
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
        }
    };
}

/// The table.
#[rustfmt::skip]
pub static ROUTES: [Route; 11] = [
    open!(Get "/" => health::show),
    open!(Get "/health" => health::show),
    open!(Get "/openapi.json" => openapi::show),

    scoped!(Post   "/v1/contexts",        ContextsWrite => create_context),
    scoped!(Post   "/v1/contexts/create", ContextsWrite => create_context),
    scoped!(Get    "/v1/contexts",        ContextsRead  => contexts::list),
    scoped!(Get    "/v1/contexts/list",   ContextsRead  => contexts::list),
    scoped!(Get    "/v1/contexts/search", ContextsRead  => contexts::search),
    scoped!(Get    "/v1/contexts/{id}",   ContextsRead  => contexts::show),
    scoped!(Patch  "/v1/contexts/{id}",   ContextsWrite => contexts::change),
    scoped!(Delete "/v1/contexts/{id}",   ContextsWrite => contexts::remove),
];

/// The routes of a path, with its parameter.
pub struct Matched<'p> {
    /// One route a method.
    pub routes: &'static [&'static Route],
    /// `{id}` as in the path, percent-encoded.
    pub id: &'p str,
}

/// Finds the routes of a path. The matcher is built once an isolate.
pub fn find(path: &str) -> Option<Matched<'_>> {
    static MATCHER: OnceLock<matchit::Router<Vec<&'static Route>>> = OnceLock::new();
    let found = MATCHER.get_or_init(matcher).at(path).ok()?;
    Some(Matched { id: found.params.get("id").unwrap_or_default(), routes: found.value })
}

fn matcher() -> matchit::Router<Vec<&'static Route>> {
    let mut matcher = matchit::Router::new();
    let mut done: Vec<&str> = Vec::new();
    for route in &ROUTES {
        if !done.contains(&route.path) {
            done.push(route.path);
            let same = ROUTES.iter().filter(|other| other.path == route.path).collect();
            // Two paths in conflict are a fault of the table; a test inserts each of them.
            if let Err(error) = matcher.insert(route.path, same) {
                crate::platform::log::error("route_conflict", &[("error", &error.to_string())]);
            }
        }
    }
    matcher
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_found_by_its_path_and_only_once() {
        for route in &ROUTES {
            let path = route.path.replace("{id}", "x%20y");
            let found = find(&path).unwrap();
            let same = |other: &&Route| other.method == route.method && other.path == route.path;
            assert_eq!(found.routes.iter().copied().filter(same).count(), 1, "{}", route.path);
            if route.path.contains("{id}") {
                assert_eq!(found.id, "x%20y");
            }
        }
        for path in ["/v1/contextsXYZ", "/v1", "/v1/contexts/a/b", "", "v1/contexts", "/Health"] {
            assert!(find(path).is_none(), "{path}");
        }
    }
}
