//! What a route is, and how the routes of a path are found.

use futures_util::future::LocalBoxFuture;
use http_kit::nearest::nearest;
use http_kit::parameters::Parameters;
use http_kit::request::Request;

use crate::access::caller::{Permission, Scope};
use crate::access::rates::Class;
use crate::access::reply::Outcome;
use crate::app::App;
use crate::store::Ready;

/// A handler that anyone may call and that works without a database.
pub type OpenHandler = for<'a> fn(&'a App, &'a Request<'a>) -> LocalBoxFuture<'a, Outcome>;

/// A handler on the caller's own data.
pub type ScopedHandler =
    for<'a> fn(&'a App, Ready<'a>, Scope, &'a Request<'a>) -> LocalBoxFuture<'a, Outcome>;

/// What stands between a request and its handler.
pub enum Access {
    /// Nothing.
    Open(OpenHandler),
    /// This limit of the address that asks.
    Counted(Class, OpenHandler),
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
    /// Replaces.
    Put,
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
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

/// One line of the table.
pub struct Route {
    /// Method.
    pub method: Method,
    /// Path; `{id}` is a parameter, `{*path}` whatever follows.
    pub path: &'static str,
    /// Who may, and what happens.
    pub access: Access,
    /// Which query parameters it takes.
    pub parameters: Parameters,
}

impl Route {
    /// The same route, which reads these query parameters.
    pub const fn reads(self, names: &'static [&'static str]) -> Self {
        Route { parameters: self.parameters.reading(names), ..self }
    }

    /// The same route, to which callers send these too, though it does not read them.
    pub const fn tolerates(self, names: &'static [&'static str]) -> Self {
        Route { parameters: self.parameters.tolerating(names), ..self }
    }

    /// The same route, which is asked by machines that append what they like: a health check never fails
    /// because of its query.
    pub const fn ignores_others(self) -> Self {
        Route { parameters: self.parameters.ignoring_others(), ..self }
    }

    /// The same route, which passes the whole query on.
    pub const fn passes_query(self) -> Self {
        Route { parameters: self.parameters.passed_on(), ..self }
    }

    /// Whether it passes the query, and so the headers, of a caller on.
    pub fn is_proxy(&self) -> bool {
        self.parameters.are_passed_on()
    }

    /// Its path as the API description has it.
    pub fn described_path(&self) -> String {
        self.path.replace("{*", "{")
    }

    /// As what a request counts against the caller's limits.
    pub fn class(&self) -> Class {
        match (&self.access, self.method) {
            (Access::Scoped(permission, _), Method::Post) if permission.mints() => Class::Mint,
            (_, Method::Get) => Class::Read,
            _ => Class::Write,
        }
    }
}

/// The most bytes and segments of a path for which a near one is looked for.
const MAX_NEAR_BYTES: usize = 128;
const MAX_NEAR_SEGMENTS: usize = 8;

/// The path of a table that somebody who asked for `path` most likely meant, if one is near: segment by
/// segment, with what is a parameter left open. Bounded: who asks for nothing that is there must not
/// cost more than who does.
pub fn nearest_path(routes: &[Route], path: &str) -> Option<String> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    if path.len() > MAX_NEAR_BYTES || segments.len() > MAX_NEAR_SEGMENTS {
        return None;
    }
    // As it was sent; without `/api` before it; with `/v1` before it.
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

/// How far the segments of a path are from those of a route, if they are near. A parameter fits whatever
/// stands there, a little worse than a word that is the same.
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
            // A few slips, or another case: farther than the same word.
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
    /// One route a method.
    pub routes: &'t [&'static Route],
    /// `{id}` as in the path, percent-encoded.
    pub id: &'p str,
}

impl Table {
    /// Prepares the search. Two paths in conflict are a fault of the table, which its tests find.
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

    /// The routes of a path.
    pub fn find<'t, 'p>(&'t self, path: &'p str) -> Option<Match<'t, 'p>> {
        let found = self.matcher.at(path).ok()?;
        let id = found.params.get("id").unwrap_or_default();
        Some(Match { routes: found.value, id })
    }

    /// The path that is near to one that is not there; see [`nearest_path`].
    pub fn nearest(&self, path: &str) -> Option<String> {
        nearest_path(self.routes, path)
    }
}
