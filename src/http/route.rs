//! What a route is, and how the routes of a path are found.

use futures_util::future::LocalBoxFuture;

use crate::app::App;
use crate::http::Outcome;
use crate::http::caller::{Permission, Scope};
use crate::http::limits::Class;
use crate::http::request::Request;
use crate::init::Ready;

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
}

impl Route {
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

/// A table of routes, ready to be searched.
pub struct Table {
    matcher: matchit::Router<Vec<&'static Route>>,
}

/// The routes of a path, with its parameter.
pub struct Matched<'t, 'p> {
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
                    crate::platform::log::error("route_conflict", &[("error", &error.to_string())]);
                }
            }
        }
        Table { matcher }
    }

    /// The routes of a path.
    pub fn find<'t, 'p>(&'t self, path: &'p str) -> Option<Matched<'t, 'p>> {
        let found = self.matcher.at(path).ok()?;
        let id = found.params.get("id").unwrap_or_default();
        Some(Matched { routes: found.value, id })
    }
}
