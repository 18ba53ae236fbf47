//! The proxy of a connection: sends a caller's request to the target with the stored credential.
//!
//! The caller chooses the method, a path below the connection's endpoint, the query and the body. The gateway
//! decides everything else: where the request goes, which headers go along and which come back. It follows
//! no redirect, so no answer of the target sends it elsewhere.

use std::rc::Rc;

use chitty_core::TransportError;
use http_kit::problem::{Code, Problem};
use http_kit::request::{MAX_BODY_BYTES, Request};
use seams::memory::Memory;
use seams::outside::{OutsideRequest, OutsideResponse};
use seams::{log, time};
use serde_json::json;

use crate::access::caller::Scope;
use crate::access::reply::{After, Body, Outcome, Reply};
use crate::app::{App, Slot};
use crate::audit::BEGUN;
use crate::connections::call::{Base, is_closed};
use crate::connections::credential::Credential;
use crate::connections::headers::{self, overrides_method};
use crate::connections::store::{self, Connection};
use crate::connections::{provisioned, renewal};
use crate::discovery::endpoint;
use crate::store::Ready;
use crate::store::event::{Event, EventKind};
use crate::store::ids::ConnectionId;

/// The memory of this isolate for the bodies that pass through connections.
pub struct PassingBodies(pub Rc<Memory>);

impl Slot for PassingBodies {
    fn new(_: &App) -> Self {
        PassingBodies(Memory::new(MAX_HELD_BYTES))
    }
}

/// The most bytes of bodies, of requests and answers together, that an isolate holds at a time for
/// connections. The platform gives an isolate 128 MB, of which webhooks have a share of their own.
pub const MAX_HELD_BYTES: usize = 32 << 20;

/// Send a request to the target, with the stored credential.
///
/// `GET` and `HEAD` need the connection's scope `read`, every other method `write`. The path, the query and
/// the body go to the target unchanged. Of your headers, those go along that are meant for the target itself;
/// to a ChittyOS service only `Accept…`, `Content-Type`, `Content-Encoding`, `If-…`, `Range` and
/// `Idempotency-Key`. Your credentials and cookies never go along. The target's answer comes back with its
/// status and the headers that describe it, with two exceptions: 401 and 407 become 502
/// `target_refused_credential`, and a redirect that leaves the connection's endpoint becomes 502
/// `target_redirected`.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/v1/connections/{id}/proxy/{path}",
    operation_id = "connectionsProxy",
    tag = "connections",
    params(
        ("id" = String, Path, description = "Its `connection_id`."),
        ("path" = String, Path, description = "The path below the connection's endpoint, slashes included."),
    ),
    responses(
        (status = 200, description = "The target's answer, with its own status."),
        (status = 404, description = "You have no such connection."),
        (status = 409, description = "`connection_inactive`."),
        (status = 422, description = "The path is not acceptable."),
        (status = 502, description = "`target_refused_credential`, `target_redirected`, `target_unavailable`."),
        (status = 503, description = "`not_ready`: more bodies pass through connections than the gateway can hold. `credential_unavailable`."),
        (status = 504, description = "`target_timeout`."),
    ),
))]
pub async fn forward(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    // 1. Check the path and the method, and read the body and the id.
    let path = request.rest;
    endpoint::check_path(path).map_err(|detail| Problem::invalid("path", detail))?;
    let method = request.method();
    let is_read = matches!(method.as_str(), "GET" | "HEAD");
    if is_read && overrides_method(request.raw_query()) {
        let detail = "asks for another method than the request's: send a request of that method";
        return Err(Problem::invalid("?method", detail));
    }
    let share = PassingBodies::of(app).0.share();
    let body = match is_read {
        true => Vec::new(),
        false => request.gradual_bytes(MAX_BODY_BYTES, &*share).await?,
    };
    let id = ConnectionId::of(request)?;
    // 2. Read the connection and count its use, in one round trip.
    let now = time::iso8601(request.now_ms);
    let needed = if is_read { "read" } else { "write" };
    // A request that may change something at the target is recorded before it is sent. Only the target knows
    // its outcome.
    let payload = json!({ "method": method, "outcome": BEGUN });
    let kind = EventKind::ConnectionUsed;
    let used = Event::caused(request, &scope, kind, id.as_str(), payload, app.now_ms());
    let used = (!is_read).then_some(&used);
    let connection = store::use_connection(ready, &scope, &id, needed, &now, used).await?;
    // 3. Refuse a connection that is not active, lacks the scope, or has an endpoint that is not allowed.
    admit(&connection, needed)?;
    if is_closed(app, &connection.service, &connection.endpoint) {
        return Err(Problem::new(
            Code::ConnectionInactive,
            "The endpoint of this connection is not allowed: for example, it is this gateway. Disconnect \
             it and make another.",
        ));
    }
    // 4. Get a credential that is good now: have an ended key replaced, and renew an old access token.
    let rekeyed = provisioned::see_to(app, ready, &scope, request, &connection, needed).await?;
    let credential = renewal::usable(app, ready, &connection).await?;
    // 5. Put the call together: the caller's headers that may pass, and the stored credential.
    let mut call = call_to(app, &connection, request, &method, credential.as_ref());
    call.body = (!body.is_empty()).then_some(body);
    call.share = Rc::downgrade(&share);
    // 6. Send it, and reply with the target's answer.
    let origin = call.url.clone();
    match app.outside.send(call).await {
        Ok(answer) => {
            let reply = returned(&connection, &origin, answer)?;
            Ok(rekeyed.into_iter().fold(reply, |reply, event| reply.then(After::Announce(event))))
        }
        Err(TransportError::TooLarge(_)) if share.was_refused() => Err(too_much()),
        Err(error) => Err(failed(&error)),
    }
}

/// The call to a target, without a body: the caller's path, query and headers that may pass, the trace, and the
/// stored credential.
fn call_to(
    app: &App,
    connection: &Connection,
    request: &Request<'_>,
    method: &str,
    credential: Option<&Credential>,
) -> OutsideRequest {
    let base = Base::of(app, &connection.service, &connection.endpoint);
    let query = match request.raw_query() {
        "" => String::new(),
        query => format!("?{query}"),
    };
    let mut call = base.request(app, method, &format!("{}{query}", request.rest));
    let shown = credential.and_then(Credential::header);
    let own = shown.as_ref().map(|(name, _)| name.as_str());
    let to_chittyos =
        endpoint::is_chittyos(&connection.service) || connection.endpoint.is_of_chittyos();
    call.headers.extend(headers::forwarded(request.headers(), own, to_chittyos));
    let trace = &request.trace;
    call.headers.extend([
        ("x-request-id".to_owned(), trace.request_id.clone()),
        ("traceparent".to_owned(), trace.traceparent.clone()),
    ]);
    let tracestate = trace.tracestate.clone();
    call.headers.extend(tracestate.map(|state| ("tracestate".to_owned(), state)));
    call.headers.extend(shown);
    call
}

fn too_much() -> Problem {
    Problem::new(
        Code::NotReady,
        "More bodies pass through connections at the moment than the gateway can hold. If this request \
         may be repeated, repeat it.",
    )
}

/// Refuses a connection that is not active, has lost its source, or does not have the scope `needed`.
fn admit(connection: &Connection, needed: &str) -> Result<(), Problem> {
    if connection.status != "active" || !connection.has_source {
        let status =
            if connection.has_source { connection.status.as_str() } else { "without its source" };
        return Err(Problem::new(
            Code::ConnectionInactive,
            format!("The connection is {status}. GET …/status says why."),
        ));
    }
    if connection.scopes.iter().any(|scope| scope == needed) {
        return Ok(());
    }
    Err(Problem::new(
        Code::InsufficientScope,
        format!("The connection itself has no scope `{needed}`. If it should, add it with PATCH."),
    ))
}

/// Turns the target's answer into the gateway's reply.
fn returned(connection: &Connection, url: &str, answer: OutsideResponse) -> Outcome {
    let location = match answer.status {
        401 | 407 => {
            return Err(Problem::new(
                Code::TargetRefusedCredential,
                "The target does not accept the stored credential any more. Hand in another with \
                 PATCH.",
            ));
        }
        300..=399 => {
            answer.header("location").map(|to| redirected(connection, url, to)).transpose()?
        }
        _ => None,
    };
    let is_ascii = |text: &str| text.bytes().all(|b| (0x20..0x7f).contains(&b));
    let content_type = answer.header("content-type").filter(|text| is_ascii(text));
    let content_type = content_type.map(str::to_owned);
    let body = match answer.status {
        // The Fetch standard's null body statuses.
        204 | 205 | 304 => Body::Empty,
        _ => Body::Bytes { content_type, bytes: answer.body },
    };
    // The runtime cannot make a response of 1xx, and targets send none as their final answer.
    let status = if (200..600).contains(&answer.status) { answer.status } else { 502 };
    let mut reply = Reply::new(status, body)
        // A browser must not run the target's content under this gateway's origin.
        .header("content-security-policy", "default-src 'none'; sandbox")
        .header("x-chittyconnect-target", connection.service.clone());
    for (name, value) in answer.headers {
        if headers::returns(&name, &value) {
            reply = reply.header(name, value);
        }
    }
    Ok(match location {
        Some(location) => reply.header("location", location),
        None => reply,
    })
}

/// Returns the path through the connection for the `location` of a redirect. Accepts only a location on the
/// target's own host, at or below the endpoint.
fn redirected(connection: &Connection, url: &str, to: &str) -> Result<String, Problem> {
    let elsewhere = || {
        Problem::new(
            Code::TargetRedirected,
            "The target redirects to a place outside the endpoint of the connection.",
        )
    };
    let through = |path: &str| {
        let below = path.strip_prefix(connection.endpoint.path.as_str()).filter(|below| {
            below.is_empty() || below.starts_with('/') || connection.endpoint.path.is_empty()
        });
        let below = below.ok_or_else(elsewhere)?;
        let (path, _) = below.split_once('?').unwrap_or((below, ""));
        endpoint::check_path(path).map_err(|_| elsewhere())?;
        let below = below.strip_prefix('/').unwrap_or(below);
        Ok(format!("/v1/connections/{}/proxy/{below}", connection.id))
    };
    let is_plain = to.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if !is_plain {
        return Err(elsewhere());
    }
    if to.starts_with('/') && !to.starts_with("//") {
        return through(to);
    }
    // The host as the caller knows it, or as this deployment reaches it.
    let public = format!("https://{}", connection.endpoint.host);
    let reached = url.split('/').take(3).collect::<Vec<_>>().join("/");
    for origin in [public, reached] {
        if let Some(path) = to.strip_prefix(origin.as_str())
            && path.starts_with('/')
        {
            return through(path);
        }
    }
    Err(elsewhere())
}

fn failed(error: &TransportError) -> Problem {
    match error {
        TransportError::Timeout => {
            Problem::new(Code::TargetTimeout, "The target did not answer in time.")
        }
        TransportError::TooLarge(limit) => Problem::new(
            Code::TargetUnavailable,
            format!("The target's answer has more than {limit} bytes, too many to pass on."),
        ),
        TransportError::Unreachable(error) => {
            log::warn("target_unreachable", &[("error", error)]);
            Problem::new(Code::TargetUnavailable, "The target could not be reached.")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::endpoint::Endpoint;

    fn connection() -> Connection {
        Connection {
            id: ConnectionId::parse("conn_1").unwrap(),
            revision: String::new(),
            service: "partner".to_owned(),
            endpoint: Endpoint::parse("https://api.partner.example/v1").unwrap(),
            scopes: vec!["read".to_owned()],
            status: "active".to_owned(),
            check_path: None,
            has_credential: false,
            is_provisioned: false,
            has_source: true,
        }
    }

    #[test]
    fn a_redirect_leads_through_the_connection_or_is_refused() {
        let url = "http://127.0.0.1:8788/_outside/api.partner.example/v1/x";
        let through = |to: &str| redirected(&connection(), url, to);
        assert_eq!(through("/v1/y?z=1").unwrap(), "/v1/connections/conn_1/proxy/y?z=1");
        assert_eq!(
            through("https://api.partner.example/v1/y").unwrap(),
            "/v1/connections/conn_1/proxy/y"
        );
        for to in [
            "https://evil.example/v1/y",
            "//evil.example/v1",
            "https://api.partner.example.evil.example/v1/y",
            "https://api.partner.example@evil.example/v1/y",
            "http://api.partner.example/v1/y",
            "/v2/y",
            "/v1x",
            "/v1/../admin",
            "/\\evil.example",
            "y",
            "javascript:alert(1)",
        ] {
            assert!(through(to).is_err(), "{to}");
        }
    }

    #[test]
    fn a_connection_is_used_within_its_scopes_and_while_it_is_active() {
        assert!(admit(&connection(), "read").is_ok());
        assert_eq!(admit(&connection(), "write").unwrap_err().code, Code::InsufficientScope);
        let failed = Connection { status: "failed".to_owned(), ..connection() };
        assert_eq!(admit(&failed, "read").unwrap_err().code, Code::ConnectionInactive);
        let orphan = Connection { has_source: false, ..connection() };
        assert_eq!(admit(&orphan, "read").unwrap_err().code, Code::ConnectionInactive);
    }
}
