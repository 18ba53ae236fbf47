//! `GET /openapi.json`: the API description. It is made natively by utoipa (see `description`, run by
//! `npm run openapi`) and embedded as text, so that the worker carries no generator; a test fails
//! when the two differ.

use http_kit::request::Request;

use crate::access::reply::{Body, Outcome, Reply};
use crate::app::App;

/// The committed description.
pub const DOCUMENT: &str = include_str!("../openapi.json");

/// This description.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "openapi",
    tag = "gateway",
    responses((status = 200, description = "OpenAPI 3.1.", body = Object)),
))]
pub async fn show(_: &App, _: &Request<'_>) -> Outcome {
    Ok(Reply::new(200, Body::StaticJson(DOCUMENT)).header("cache-control", "max-age=300"))
}
