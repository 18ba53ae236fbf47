//! The path of a request through the gateway: correlation → route → schema → caller → permission → handler →
//! reply.

mod hints;

use std::borrow::Cow;
use std::cell::Cell;

use http_kit::fields;
use http_kit::problem::{Code, Problem};
use http_kit::request::Request;
use http_kit::trace::Trace;
use percent_encoding::percent_decode_str;
use seams::inbound::Inbound;

use self::hints::with_hint;
use crate::access::caller::Caller;
use crate::access::limits::Limits;
use crate::access::reply::{After, Body, Outcome, Reply};
use crate::access::route::{Access, Match, Method, Route, Table};
use crate::actors::last_seen::RecentActors;
use crate::app::{App, Slot};
use crate::metrics::{self, Plan, Recorder};
use crate::registration;
use crate::store::Ready;

/// Headers of every reply, against caching, protocol downgrades and content sniffing. Headers against framing
/// and scripts are not among them: the few replies that are pages add their own (`github::page`), and so do
/// the static pages at `/docs`.
pub const COMMON_HEADERS: [(&str, &str); 3] = [
    ("cache-control", "no-store"),
    ("strict-transport-security", "max-age=31536000; includeSubDomains"),
    ("x-content-type-options", "nosniff"),
];

/// The reply headers that a browser's script may read, beyond those that CORS always exposes.
const EXPOSED_HEADERS: &str = "ETag, Link, Location, Retry-After, RateLimit, RateLimit-Policy, X-Request-ID, \
     Idempotency-Replayed, traceparent";

/// The header that lets a script of another origin read a reply.
const ALLOW_ORIGIN: &str = "access-control-allow-origin";

/// Answers one request. Never fails: every error becomes a reply.
pub async fn serve(app: &App, table: &Table, inbound: &dyn Inbound) -> Reply {
    let now_ms = app.now_ms();
    let trace = Trace::of(inbound, now_ms);
    let method = inbound.method();
    let label = Cell::new(metrics::UNMATCHED);
    let mut reply = match answer(app, table, inbound, &method, &trace, now_ms, &label).await {
        Ok(reply) => reply,
        Err(problem) => {
            let is_change = !matches!(method.as_str(), "GET" | "HEAD");
            let problem = if is_change { problem.of_a_change() } else { problem };
            problem.into_reply(&trace, &inbound.origin())
        }
    };
    if method == "HEAD" {
        reply.body = Body::Empty;
    }
    if registration::is_due(app, now_ms) {
        reply.after.push(After::Initialize);
    }
    let latency_ms = app.now_ms().saturating_sub(now_ms);
    Recorder::of(app).record(method_label(&method), label.get(), reply.status, latency_ms);
    if RecentActors::of(app).is_due(now_ms) {
        reply.after.push(After::NoteSeen);
    }
    if Plan::of(app).take_turn(app, now_ms) {
        reply.after.push(After::HandOver);
    }
    if inbound.header("origin").is_some() {
        // Any origin may call: callers authenticate by a header that no browser sends by itself, so
        // there is no ambient authority to protect (Fetch standard, CORS without credentials).
        reply = reply.header("access-control-expose-headers", EXPOSED_HEADERS);
        // A document that caches may keep has this header in any case.
        if reply.header_value(ALLOW_ORIGIN).is_none() {
            reply = reply.header(ALLOW_ORIGIN, "*");
        }
    }
    reply.header("x-request-id", trace.request_id).header("traceparent", trace.traceparent)
}

async fn answer(
    app: &App,
    table: &Table,
    inbound: &dyn Inbound,
    method: &str,
    trace: &Trace,
    now_ms: u64,
    label: &Cell<&'static str>,
) -> Result<Reply, Problem> {
    let target = inbound.target();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    // A path with one trailing slash names the same resource.
    let whole = path;
    let path = path.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(path);
    let matched = table.find(path).ok_or_else(|| unknown_path(table, path))?;
    if let Some(route) = matched.routes.first() {
        label.set(route.path);
    }
    let route = match method {
        "OPTIONS" => return Ok(options(&matched, inbound)),
        _ => choose(&matched, method)?,
    };
    let id = decode(matched.id)?;
    let rest = rest(route, whole, path);
    let (parameters, budget) = (route.parameters, Cell::default());
    let request = Request { id, rest, trace, now_ms, path, query, parameters, inbound, budget };
    let outcome = admitted(app, route, &request).await;
    match request.budget.get() {
        Some(budget) => budget.add_headers(outcome),
        None => outcome,
    }
}

/// Checks whether a request may pass, and runs its handler if so.
async fn admitted(app: &App, route: &Route, request: &Request<'_>) -> Outcome {
    let parameters = route.parameters;
    let reply = match route.access {
        Access::Open(handler) => {
            parameters.check(request)?;
            handler(app, request).await
        }
        Access::Counted(class, handler) => {
            Limits::of(app).of_address(request, class).await?;
            parameters.check(request)?;
            handler(app, request).await
        }
        Access::Scoped(permission, handler) => {
            let ready = Ready::ensure(app).await?;
            let caller = Caller::authenticate(app, ready, request).await?;
            Limits::of(app).of_actor(&caller, request, route.class()).await?;
            RecentActors::of(app).note(&caller, request.now_ms);
            let scope = caller.scope(permission, request.now_ms);
            scope.admit_to(ready, permission, route.method != Method::Get).await?;
            parameters.check(request)?;
            if route.method == Method::Delete && !route.is_proxy() {
                no_members(request).await?;
            }
            handler(app, ready, scope, request).await
        }
    };
    match reply {
        Ok(reply) => Ok(reply.warning(&parameters.warnings(request))),
        Err(problem) => Err(with_hint(problem, request)),
    }
}

/// Refuses a deletion whose body has members: the path says everything, so they would be ignored.
async fn no_members(request: &Request<'_>) -> Result<(), Problem> {
    let is_chunked = request.header("transfer-encoding").is_some();
    match request.inbound.declared_length() {
        None | Some(0) if !is_chunked => Ok(()),
        _ => fields::nothing(request).await,
    }
}

/// Returns 404 for an unknown path, with the nearest known path as a suggestion.
fn unknown_path(table: &Table, path: &str) -> Problem {
    let near = table.nearest(path);
    let hint = near.map(|near| format!("Did you mean {near}? ")).unwrap_or_default();
    let detail = format!("{hint}GET /openapi.json lists every path; /docs shows them.");
    Problem::new(Code::UnknownPath, detail)
}

/// Returns the rest of the path behind the part that the route names: it begins with a slash, and keeps a
/// trailing slash. Empty if nothing follows.
fn rest<'p>(route: &Route, whole: &'p str, path: &str) -> &'p str {
    let at = match route.path.split_once("/{*") {
        // Skips as many segments as the route names, each with its slash.
        Some((named, _)) => whole.match_indices('/').nth(named.matches('/').count()),
        None => whole.match_indices('/').find(|(at, _)| *at == path.len()),
    };
    at.and_then(|(at, _)| whole.get(at..)).unwrap_or_default()
}

/// The method as a metric label; `other` for an unknown one, since a caller may send anything.
fn method_label(method: &str) -> &'static str {
    const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    METHODS.into_iter().find(|known| *known == method).unwrap_or("other")
}

/// Finds the route for a method. HEAD uses the route of GET.
fn choose(matched: &Match<'_, '_>, method: &str) -> Result<&'static Route, Problem> {
    let wanted = if method == "HEAD" { Method::Get.as_str() } else { method };
    matched.routes.iter().copied().find(|route| route.method.as_str() == wanted).ok_or_else(|| {
        let allowed = allowed(matched);
        let detail = format!("This path takes {allowed}.");
        Problem::new(Code::MethodNotAllowed, detail).header("allow", allowed)
    })
}

fn allowed(matched: &Match<'_, '_>) -> String {
    let mut methods: Vec<&str> = matched.routes.iter().map(|route| route.method.as_str()).collect();
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    methods.push("OPTIONS");
    methods.join(", ")
}

/// The request headers that the gateway's own routes read.
const OWN_HEADERS: [&str; 14] = [
    "Authorization",
    "X-ChittyOS-API-Key",
    "X-API-Key",
    "Content-Type",
    "Content-Encoding",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "X-Request-ID",
    "X-Session-ID",
    "X-Source-Service",
    "Last-Event-ID",
    "traceparent",
    "tracestate",
];

/// Answers `OPTIONS`, including a CORS preflight. A proxied request may carry any header that the target
/// needs, so for the proxy the reply allows the headers that the browser asks for; the proxy decides later
/// which of them it forwards.
fn options(matched: &Match<'_, '_>, inbound: &dyn Inbound) -> Reply {
    let methods = allowed(matched);
    let mut headers = OWN_HEADERS.join(", ");
    if matched.routes.iter().any(|route| route.is_proxy()) {
        let asked = inbound.header("access-control-request-headers").unwrap_or_default();
        for name in asked_headers(&asked) {
            headers += ", ";
            headers += name;
        }
    }
    Reply::new(204, Body::Empty)
        .header("allow", methods.clone())
        .header("access-control-allow-methods", methods)
        .header("access-control-allow-headers", headers)
        .header("access-control-max-age", "86400")
        .header("vary", "Access-Control-Request-Headers")
}

/// Returns the header names that a preflight asks for, without the gateway's own. Reads the first 50, and
/// leaves out those that are not tokens (RFC 9110 §5.6.2) or are longer than 64 bytes.
fn asked_headers(asked: &str) -> impl Iterator<Item = &str> {
    const MAX_HEADERS: usize = 50;
    const MAX_NAME_BYTES: usize = 64;
    let is_name = |name: &&str| {
        (1..=MAX_NAME_BYTES).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
            && *name != "*"
            && !OWN_HEADERS.iter().any(|own| own.eq_ignore_ascii_case(name))
    };
    asked.split(',').map(str::trim).take(MAX_HEADERS).filter(is_name)
}

/// Percent-decodes a path parameter.
fn decode(text: &str) -> Result<String, Problem> {
    percent_decode_str(text).decode_utf8().map(Cow::into_owned).map_err(|_| {
        Problem::new(Code::MalformedRequest, "The path has a percent escape that is not UTF-8.")
    })
}
