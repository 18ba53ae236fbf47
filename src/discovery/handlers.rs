//! The discovery document, the list of services and their health, for callers without a credential.

use http_kit::fields::Fields;
use http_kit::precondition::{etag, none_match_hits};
use http_kit::problem::Problem;
use http_kit::request::Request;
use seams::time;
use serde_json::{Value, json};

use crate::access::reply::{Body, Outcome, Reply};
use crate::access::service_name::is_service_name;
use crate::app::App;
use crate::discovery::catalog::Entry;
use crate::discovery::document::TaggedText;
use crate::discovery::{live, lookup, memory};

#[cfg(not(target_family = "wasm"))]
use crate::discovery::document::{CatalogList, DiscoveryDocument};
#[cfg(not(target_family = "wasm"))]
use crate::discovery::live::{LiveStatus, LiveStatuses};
#[cfg(not(target_family = "wasm"))]
use crate::discovery::views::{LocatedServiceView, LocatedServicesView, LocationDraftView};

/// How long others may keep a document: as long as an isolate does, and while they fetch it again.
const CACHE_CONTROL: &str = "public, max-age=60, stale-while-revalidate=240";

/// Returns the reply with a text, or 304 if the caller has it already.
fn tagged(request: &Request<'_>, found: &TaggedText) -> Reply {
    let unchanged =
        request.header("if-none-match").is_some_and(|sent| none_match_hits(&sent, &found.tag));
    let reply = match unchanged {
        true => Reply::new(304, Body::Empty),
        false => Reply::json(found.text.clone()),
    };
    reply.header("etag", etag(&found.tag))
}

/// The same for a document that caches may keep. It can be read from every origin, whether or not the request
/// that fills a cache names one.
fn cached(request: &Request<'_>, found: &TaggedText) -> Reply {
    tagged(request, found)
        .header("cache-control", CACHE_CONTROL)
        .header("access-control-allow-origin", "*")
}

/// Show the discovery document: where the services of ChittyOS are, and what this gateway can do.
///
/// It is one line of JSON. It comes from the gateway's memory, at most a minute old, also while
/// ChittyRegistry and the database are down; `registry.stale` says that the registry's list is not fresh.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/.well-known/chitty.json",
    operation_id = "discoveryDocument",
    tag = "discovery",
    params(("If-None-Match" = Option<String>, Header, description = "An `ETag`: 304 if the document still has it.")),
    responses(
        (status = 200, description = "The document.", body = DiscoveryDocument, headers(("ETag" = String))),
        (status = 304, description = "Not changed.", headers(("ETag" = String))),
    ),
))]
pub async fn document(app: &App, request: &Request<'_>) -> Outcome {
    Ok(cached(request, &memory::current(app).await.texts(app).document))
}

/// List the services of ChittyOS.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/api/services",
    operation_id = "servicesList",
    tag = "discovery",
    params(("If-None-Match" = Option<String>, Header, description = "An `ETag`: 304 if the list still has it.")),
    responses(
        (status = 200, description = "Every service, sorted by name.", body = CatalogList, headers(("ETag" = String))),
        (status = 304, description = "Not changed.", headers(("ETag" = String))),
    ),
))]
pub async fn list(app: &App, request: &Request<'_>) -> Outcome {
    Ok(cached(request, &memory::current(app).await.texts(app).list))
}

/// Show a service.
///
/// For an unknown name the gateway asks ChittyRegistry, at most twice a minute.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/api/services/{id}",
    operation_id = "servicesShow",
    tag = "discovery",
    params(
        ("id" = String, Path, description = "Its name, such as `chittyid`, `id` or `ChittyID`; or its ChittyID."),
        ("If-None-Match" = Option<String>, Header, description = "An `ETag`: 304 if the service still has it."),
    ),
    responses(
        (status = 200, description = "The service.", body = Entry, headers(("ETag" = String))),
        (status = 304, description = "Not changed.", headers(("ETag" = String))),
        (status = 404, description = "There is no such service."),
    ),
))]
pub async fn show(app: &App, request: &Request<'_>) -> Outcome {
    let entry = lookup::find(app, &request.id).await?;
    Ok(tagged(request, &TaggedText::of(&entry)))
}

/// Check the health of every service.
///
/// The gateway knows the health of the services that it watches, and asks the others, in at most ten seconds.
/// It keeps the results for half a minute.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/api/services/status",
    operation_id = "servicesStatuses",
    tag = "discovery",
    responses((status = 200, description = "The health of every service; a service that does not answer is `down`.", body = LiveStatuses)),
))]
pub async fn statuses(app: &App, _: &Request<'_>) -> Outcome {
    let statuses = live::all(app).await;
    // Plain data, so serializing cannot fail.
    Ok(Reply::json(serde_json::to_string(&*statuses).unwrap_or_default()))
}

/// Check the health of a service.
///
/// The gateway keeps the result for five seconds.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/api/services/{id}/status",
    operation_id = "servicesStatus",
    tag = "discovery",
    params(("id" = String, Path, description = "Its name, such as `chittyid`, `id` or `ChittyID`; or its ChittyID.")),
    responses(
        (status = 200, description = "The health of the service; one that does not answer is `down`.", body = LiveStatus),
        (status = 404, description = "There is no such service."),
    ),
))]
pub async fn status(app: &App, request: &Request<'_>) -> Outcome {
    // 1. Find the service.
    let entry = lookup::find(app, &request.id).await?;
    // 2. Ask how it is, and reply. Plain data, so serializing cannot fail.
    let status = live::one(app, &entry).await;
    Ok(Reply::json(serde_json::to_string(&*status).unwrap_or_default()))
}

/// Say where a service is.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/api/discover/{id}",
    operation_id = "servicesLocate",
    tag = "discovery",
    params(("id" = String, Path, description = "Its name, such as `chittyid`, `id` or `ChittyID`; or its ChittyID.")),
    responses(
        (status = 200, description = "Where it is.", body = LocatedServiceView),
        (status = 404, description = "There is no such service."),
    ),
))]
pub async fn locate(app: &App, request: &Request<'_>) -> Outcome {
    let entry = lookup::find(app, &request.id).await?;
    let text = json!({
        "success": true,
        "service": entry.name,
        "name": entry.name,
        "url": entry.url,
        "health": entry.health,
        "status": entry.status,
    });
    Ok(Reply::json(text.to_string()))
}

/// Say where all services are, and where one of them is. It changes nothing.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    post,
    path = "/api/v1/connect/discover",
    operation_id = "servicesDiscover",
    tag = "discovery",
    request_body = Option<LocationDraftView>,
    responses(
        (status = 200, description = "Where they are.", body = LocatedServicesView),
        (status = 404, description = "There is no such service."),
        (status = 422, description = "A value is not acceptable."),
    ),
))]
pub async fn discover(app: &App, request: &Request<'_>) -> Outcome {
    // 1. Read which service is asked for, if one is.
    let body = request.optional_json_bytes().await?;
    let service = asked_for(&body)?;
    let found = match &service {
        Some(service) => Some(lookup::find(app, service).await?),
        None => None,
    };
    // 2. Reply with the whole catalog, and with that service.
    let snapshot = memory::current(app).await;
    let mut text = json!({
        "success": true,
        "services": snapshot.entries.iter().map(brief).collect::<Vec<_>>(),
        "metadata": {
            "timestamp": time::iso8601(request.now_ms),
            "count": snapshot.entries.len(),
        },
    });
    if let (Some(found), Some(text)) = (found, text.as_object_mut()) {
        text.insert("service".to_owned(), found.name.into());
        text.insert("url".to_owned(), found.url.into());
    }
    Ok(Reply::json(text.to_string()))
}

fn asked_for(body: &[u8]) -> Result<Option<String>, Problem> {
    let mut fields = Fields::of(body)?;
    let service = fields.text("service", 64).value();
    if service.as_ref().is_some_and(|name| !is_service_name(name)) {
        fields.wrong("service", "must be the name of a service, such as `chittycases`");
    }
    fields.finish()?;
    Ok(service)
}

/// An entry in few words.
fn brief(entry: &Entry) -> Value {
    json!({
        "name": entry.name,
        "url": entry.url,
        "health": entry.health,
        "status": entry.status,
    })
}
