//! The lineage of a context at ChittyDNA, for its owner.

use http_kit::problem::{Code, Problem};
use http_kit::request::Request;
use seams::{log, time};
use serde_json::{Value, json};

use crate::access::caller::Scope;
use crate::access::reply::{Outcome, Reply};
use crate::app::App;
use crate::contexts::handlers::context_id;
use crate::contexts::store::lineage::{self, LineageRow};
use crate::store::Ready;

#[cfg(not(target_family = "wasm"))]
use crate::contexts::Lineage;

/// How long a stored lineage is shown without asking ChittyDNA again, in ms.
const FRESH_MS: u64 = 300_000;

/// The longest lineage that is stored, in bytes.
const MAX_LINEAGE_BYTES: usize = 128 * 1024;

/// Read the lineage of a context: its history at ChittyDNA.
///
/// The gateway asks ChittyDNA again when the stored lineage is five minutes old. While ChittyDNA is down,
/// the reply is the stored lineage with its age, and `stale` is true.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/v1/contexts/{id}/lineage",
    operation_id = "contextsLineage",
    tag = "contexts",
    params(("id" = String, Path, description = "Its ChittyID.")),
    responses(
        (status = 200, description = "The lineage, with its age.", body = Lineage),
        (status = 404, description = "You have no such context, or ChittyDNA has no lineage of it yet."),
        (status = 503, description = "`lineage_unavailable`: ChittyDNA gave no usable answer, and no lineage is stored."),
    ),
))]
pub async fn show(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    // 1. Read the stored lineage, and reply with it while it is fresh.
    let id = context_id(request)?;
    let stored = lineage::read(ready, &scope, &id).await?;
    let stored = stored.ok_or_else(|| Problem::not_found("context"))?;
    let now_ms = app.now_ms();
    if let Some(stored) = stored.as_ref().filter(|stored| now_ms < stored.read_ms + FRESH_MS) {
        return Ok(shown(id.as_str(), stored, now_ms, false));
    }
    // 2. Ask ChittyDNA.
    let asked = request.session(&app.core).dna().lineage(&id).await;
    let lineage = asked.map(|lineage| lineage.to_string());
    // 3. Store a usable answer, and reply; without one, reply with the stored lineage as stale.
    match (lineage, stored) {
        (Ok(lineage), _) if lineage.len() <= MAX_LINEAGE_BYTES => {
            let fresh = LineageRow { lineage, read_ms: app.now_ms() };
            if let Err(error) = lineage::keep(ready, &id, &fresh.lineage, fresh.read_ms).await {
                log::warn("lineage_not_kept", &[("error", &error.to_string())]);
            }
            Ok(shown(id.as_str(), &fresh, fresh.read_ms, false))
        }
        (Err(error), None) if error.status == Some(404) => Err(Problem::not_found("lineage")),
        (Err(error), None) => Err(Problem::upstream(
            Code::LineageUnavailable,
            "ChittyDNA did not answer, and no lineage of this context is stored. Repeat the request later.",
            &error,
        )),
        (Ok(_), None) => Err(Problem::new(
            Code::LineageUnavailable,
            "ChittyDNA's answer is longer than the 128 KiB that this gateway passes on.",
        )),
        (_, Some(stored)) => Ok(shown(id.as_str(), &stored, app.now_ms(), true)),
    }
}

fn shown(id: &str, row: &LineageRow, now_ms: u64, is_stale: bool) -> Reply {
    let lineage: Value = serde_json::from_str(&row.lineage).unwrap_or_default();
    let text = json!({
        "chitty_id": id, "lineage": lineage, "read_at": time::iso8601(row.read_ms),
        "age_seconds": now_ms.saturating_sub(row.read_ms) / 1000, "stale": is_stale,
    });
    Reply::json(text.to_string())
}
