//! `GET /openapi.json`: the API description. It is made natively by utoipa (see `description`, run by
//! `npm run openapi`), and the build puts it among the static files, so that the worker carries neither a
//! generator nor the text; a test fails when the file is not what the code says.

use http_kit::problem::{Code, Problem};
use http_kit::request::Request;
use seams::log;

use crate::access::reply::{Body, Outcome, Reply};
use crate::app::App;

/// Where it is among the static files (`scripts/lib/docs-page.mjs`).
pub const FILE: &str = "/docs/openapi.json";

/// This description.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "openapi",
    tag = "gateway",
    responses(
        (status = 200, description = "OpenAPI 3.1.", body = Object),
        (status = 503, description = "`storage_unavailable`: the static files did not answer."),
    ),
))]
pub async fn show(app: &App, _: &Request<'_>) -> Outcome {
    let read = match &app.assets {
        Some(assets) => assets.read(FILE).await,
        None => Err("ASSETS is not bound".to_owned()),
    };
    let body = read.map_err(|error| {
        log::error("description_unavailable", &[("error", &error)]);
        Problem::new(
            Code::StorageUnavailable,
            "The description could not be read from the static files (binding ASSETS). Repeat the \
             request; if that does not help, report it with the request_id.",
        )
    })?;
    let body = Body::Runtime { content_type: "application/json", body };
    Ok(Reply::new(200, body).header("cache-control", "max-age=300"))
}
