//! `GET /openapi.json`: the API description. `npm run openapi` generates it natively with utoipa (see
//! `description`), and the build copies it to the static files, so that the worker contains neither the
//! generator nor the text. A test fails when the file differs from what the code generates.

use http_kit::problem::{Code, Problem};
use http_kit::request::Request;
use seams::log;

use crate::access::reply::{Body, Outcome, Reply};
use crate::app::App;

/// The path of the description among the static files (`scripts/lib/docs-page.mjs` puts it there).
pub const FILE: &str = "/docs/openapi.json";

/// Show this API description.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "openapi",
    tag = "gateway",
    responses(
        (status = 200, description = "OpenAPI 3.1.", body = Object),
        (status = 503, description = "`storage_unavailable`: the static files could not be read."),
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
