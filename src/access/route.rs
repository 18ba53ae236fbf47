//! Routes, and the search for the routes of a path.

use futures_util::future::LocalBoxFuture;
use http_kit::nearest::nearest;
use http_kit::parameters::Parameters;
use http_kit::request::Request;

use crate::access::caller::{Permission, Scope};
use crate::access::rates::Class;
use crate::access::reply::Outcome;
use crate::app::App;
use crate::store::Ready;

/// A handler that anyone may call. It is given no database.
pub type OpenHandler = for<'a> fn(&'a App, &'a Request<'a>) -> LocalBoxFuture<'a, Outcome>;

/// A handler for an authenticated caller, which reads and writes through the caller's [`Scope`].
pub type ScopedHandler =
    for<'a> fn(&'a App, Ready<'a>, Scope, &'a Request<'a>) -> LocalBoxFuture<'a, Outcome>;

/// The checks that a request must pass before it reaches its handler.
pub enum Access {
    /// No check.
    Open(OpenHandler),
    /// The rate limit of this class for the address that sent the request.
    Counted(Class, OpenHandler),
    /// A database with its schema, a valid credential, and this permission.
    Scoped(Permission, ScopedHandler),
}

/// The methods of the API. HEAD and OPTIONS are the edge's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Creates.
    Post,
    /// Replaces.
    Put,
    /// Changes.
    Patch,
    /// Deletes.
    Delete,
}

impl Method {
    /// The method's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

/// One line of the route table.
pub struct Route {
    /// Method.
    pub method: Method,
    /// The path; `{id}` is a parameter, `{*path}` is the whole rest of the path.
    pub path: &'static str,
    /// The access check, with the handler.
    pub access: Access,
    /// The query parameters that it accepts.
    pub parameters: Parameters,
}

impl Route {
    /// The same route, whose handler reads these query parameters.
    pub const fn reads(self, names: &'static [&'static str]) -> Self {
        Route { parameters: self.parameters.reading(names), ..self }
    }

    /// The same route, which also accepts these query parameters from callers, though it does not read them.
    pub const fn tolerates(self, names: &'static [&'static str]) -> Self {
        Route { parameters: self.parameters.tolerating(names), ..self }
    }

    /// The same route, which ignores all other query parameters. It is for callers that append
    /// parameters of their own: a health check must not fail because of its query.
    pub const fn ignores_others(self) -> Self {
        Route { parameters: self.parameters.ignoring_others(), ..self }
    }

    /// The same route, which forwards the whole query to the target.
    pub const fn passes_query(self) -> Self {
        Route { parameters: self.parameters.passed_on(), ..self }
    }

    /// Whether it forwards the caller's query, and so the caller's headers too.
    pub fn is_proxy(&self) -> bool {
        self.parameters.are_passed_on()
    }

    /// The path as the API description writes it: without the `*` of `{*path}`.
    pub fn described_path(&self) -> String {
        self.path.replace("{*", "{")
    }

    /// The class in which a request counts against the caller's limits.
    pub fn class(&self) -> Class {
        match (&self.access, self.method) {
            (Access::Scoped(permission, _), Method::Post) if permission.mints() => Class::Mint,
            (_, Method::Get) => Class::Read,
            _ => Class::Write,
        }
    }
}

/// The longest path, in bytes and in segments, for which a near path is looked for.
const MAX_NEAR_BYTES: usize = 128;
const MAX_NEAR_SEGMENTS: usize = 8;

/// Returns the path in the table that a request for the unknown `path` most likely meant, if one is
/// near. It compares segment by segment, and a parameter matches any segment. The work is bounded:
/// a request for an unknown path must not cost more than one for a known path.
pub fn nearest_path(routes: &[Route], path: &str) -> Option<String> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    if path.len() > MAX_NEAR_BYTES || segments.len() > MAX_NEAR_SEGMENTS {
        return None;
    }
    // As sent; without a leading `/api`; each of these with `/v1` in front.
    let mut ways = vec![segments.clone()];
    if let ["api", rest @ ..] = segments.as_slice() {
        ways.push(rest.to_vec());
    }
    for way in ways.clone() {
        if way.first().is_some_and(|first| !first.eq_ignore_ascii_case("v1")) {
            ways.push(["v1"].into_iter().chain(way).collect());
        }
    }
    let mut best: Option<(usize, &str)> = None;
    for (cost, way) in ways.iter().enumerate() {
        for route in routes {
            let far = far_from(way, route.path).map(|far| 10 * far + cost);
            if let Some(far) = far
                && best.is_none_or(|(least, _)| far < least)
            {
                best = Some((far, route.path));
            }
        }
    }
    best.map(|(_, path)| path.replace("{*", "{"))
}

/// Returns the distance between the segments of a path and those of a route, or `None` if they are
/// not near. A parameter matches any segment, but counts as a little farther than an equal word.
fn far_from(segments: &[&str], path: &str) -> Option<usize> {
    let route = path.split('/').filter(|segment| !segment.is_empty());
    let route: Vec<&str> = route.collect();
    if route.len() != segments.len() || route.is_empty() {
        return None;
    }
    let mut far = 0;
    for (segment, known) in segments.iter().zip(route) {
        far += match () {
            () if *segment == known => 0,
            () if known.starts_with('{') => 1,
            // A few typing errors, or upper case: farther than a parameter.
            () => {
                nearest(segment, [known])?;
                2
            }
        };
    }
    Some(far)
}

/// A table of routes, ready to be searched.
pub struct Table {
    routes: &'static [Route],
    matcher: matchit::Router<Vec<&'static Route>>,
}

/// The routes of a path, with its parameter.
pub struct Match<'t, 'p> {
    /// The routes of the path, one for each method.
    pub routes: &'t [&'static Route],
    /// The value of `{id}` as it stands in the path, percent-encoded; empty if the path has none.
    pub id: &'p str,
}

impl Table {
    /// Builds the table. Two paths in conflict are a mistake in the table, which its tests find;
    /// here it is logged.
    pub fn new(routes: &'static [Route]) -> Self {
        let mut matcher = matchit::Router::new();
        let mut done: Vec<&str> = Vec::new();
        for route in routes {
            if !done.contains(&route.path) {
                done.push(route.path);
                let same = routes.iter().filter(|other| other.path == route.path).collect();
                if let Err(error) = matcher.insert(route.path, same) {
                    seams::log::error("route_conflict", &[("error", &error.to_string())]);
                }
            }
        }
        Table { routes, matcher }
    }

    /// Returns the routes of a path, if it has any.
    pub fn find<'t, 'p>(&'t self, path: &'p str) -> Option<Match<'t, 'p>> {
        let found = self.matcher.at(path).ok()?;
        let id = found.params.get("id").unwrap_or_default();
        Some(Match { routes: found.value, id })
    }

    /// Returns the path that is nearest to an unknown one; see [`nearest_path`].
    pub fn nearest(&self, path: &str) -> Option<String> {
        nearest_path(self.routes, path)
    }
}
