//! What other services say of a context, for its owner: whether ChittyVerify finds it whole, and its
//! lineage at ChittyDNA.

use http_kit::problem::{Code, Problem};
use http_kit::request::Request;
use seams::{log, time};
use serde_json::{Value, json};

use crate::access::caller::{Scope, WriteError};
use crate::access::idempotency::{self, Idempotency};
use crate::access::reply::{After, Outcome, Reply};
use crate::app::App;
use crate::contexts::event;
use crate::contexts::handlers::context_id;
use crate::contexts::store::said::{self, LineageRow};
use crate::store::Ready;
use crate::store::event::EventKind;

#[cfg(not(target_family = "wasm"))]
use crate::contexts::{Lineage, VerificationReply};

/// How long a lineage is shown without asking again, in ms.
const FRESH_MS: u64 = 300_000;

/// The longest lineage that is kept, in bytes.
const MAX_LINEAGE_BYTES: usize = 128 * 1024;

/// The longest text that is kept of ChittyVerify's answer, in bytes.
const MAX_WORD_BYTES: usize = 200;

/// Have a context verified by ChittyVerify.
///
/// Its answer is kept with its time, and shown with the context. While ChittyVerify is down the answer is
/// 503, and the last one stays. Send an `Idempotency-Key` to be able to repeat the request safely.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    post,
    path = "/v1/contexts/{id}/verify",
    operation_id = "contextsVerify",
    tag = "contexts",
    params(
        ("id" = String, Path, description = "Its ChittyID."),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters."),
    ),
    responses(
        (status = 200, description = "Asked; `verified` says what came of it.", body = VerificationReply, headers(("Idempotency-Replayed" = String))),
        (status = 404, description = "You have no such context."),
        (status = 503, description = "`verification_unavailable`: ChittyVerify gave no verdict."),
    ),
))]
pub async fn verify(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    let id = context_id(request)?;
    let operation = format!("contexts.verify/{id}");
    let key = Idempotency::of(request, &operation, &[])?;
    let look_up = key.as_ref().map(|key| key.look_up(&scope, request.now_ms));
    let (dna_id, stored) = said::before_verification(ready, &scope, &id, look_up).await?;
    if let Some(replay) = idempotency::replay(key.as_ref(), stored)? {
        return Ok(replay);
    }
    let dna_id = dna_id.ok_or_else(|| Problem::not_found("context"))?;
    let asked =
        request.session(&app.core).verify().context(&id, dna_id.as_deref(), "chittyconnect").await;
    let found = asked.map_err(|error| {
        Problem::upstream(
            Code::VerificationUnavailable,
            "ChittyVerify gave no verdict. What it said last is kept; repeat the request later.",
            &error,
        )
    })?;
    let payload = json!({ "verified": found.verified });
    let event = event(app, EventKind::ContextVerified, &id, &scope, payload, request);
    let verification = json!({
        "verified": found.verified,
        "status": found.status.filter(|text| is_word(text)),
        "verification_id": found.id.filter(|text| is_word(text)),
        "confidence_percent": found.confidence_percent,
        "verified_at": event.at,
        "event_id": event.id,
    });
    let overdue_ms = app.config.outbox_overdue_ms;
    let kept = said::verified(ready, &scope, &event, overdue_ms, &verification, key.as_ref()).await;
    match kept {
        Ok(Some(text)) => Ok(Reply::json(text).then(After::Announce(event))),
        Ok(None) => Err(Problem::not_found("context")),
        Err(WriteError::Refused(problem)) => Err(problem),
        Err(error) => {
            // Where the context is gone meanwhile there is no reply to keep, and the batch fails.
            let (dna_id, _) = said::before_verification(ready, &scope, &id, None).await?;
            dna_id.ok_or_else(|| Problem::not_found("context"))?;
            idempotency::after(error, ready, &scope, key.as_ref(), request.now_ms).await
        }
    }
}

fn is_word(text: &str) -> bool {
    (1..=MAX_WORD_BYTES).contains(&text.len()) && !text.contains(char::is_control)
}

/// Read the lineage of a context: how it came to be, as ChittyDNA tells it.
///
/// Asked for again after five minutes. While ChittyDNA is down the last one is shown, `stale` and with its
/// age.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/v1/contexts/{id}/lineage",
    operation_id = "contextsLineage",
    tag = "contexts",
    params(("id" = String, Path, description = "Its ChittyID.")),
    responses(
        (status = 200, description = "The lineage, with its age.", body = Lineage),
        (status = 404, description = "You have no such context, or ChittyDNA has no lineage of it yet."),
        (status = 503, description = "`lineage_unavailable`: ChittyDNA did not answer, and never has."),
    ),
))]
pub async fn lineage(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    let id = context_id(request)?;
    let told = said::lineage(ready, &scope, &id).await?;
    let told = told.ok_or_else(|| Problem::not_found("context"))?;
    let now_ms = app.now_ms();
    if let Some(told) = told.as_ref().filter(|told| now_ms < told.read_ms + FRESH_MS) {
        return Ok(shown(id.as_str(), told, now_ms, false));
    }
    let asked = request.session(&app.core).dna().lineage(&id).await;
    let lineage = asked.map(|lineage| lineage.to_string());
    match (lineage, told) {
        (Ok(lineage), _) if lineage.len() <= MAX_LINEAGE_BYTES => {
            let told = LineageRow { lineage, read_ms: app.now_ms() };
            if let Err(error) = said::keep_lineage(ready, &id, &told.lineage, told.read_ms).await {
                log::warn("lineage_not_kept", &[("error", &error.to_string())]);
            }
            Ok(shown(id.as_str(), &told, told.read_ms, false))
        }
        (Err(error), None) if error.status == Some(404) => Err(Problem::not_found("lineage")),
        (Err(error), None) => Err(Problem::upstream(
            Code::LineageUnavailable,
            "ChittyDNA did not answer, and has not told this lineage before. Repeat the request later.",
            &error,
        )),
        (Ok(_), None) => Err(Problem::new(
            Code::LineageUnavailable,
            "ChittyDNA's answer is longer than what is passed on.",
        )),
        (_, Some(told)) => Ok(shown(id.as_str(), &told, app.now_ms(), true)),
    }
}

fn shown(id: &str, told: &LineageRow, now_ms: u64, is_stale: bool) -> Reply {
    let lineage: Value = serde_json::from_str(&told.lineage).unwrap_or_default();
    let text = json!({
        "chitty_id": id, "lineage": lineage, "read_at": time::iso8601(told.read_ms),
        "age_seconds": now_ms.saturating_sub(told.read_ms) / 1000, "stale": is_stale,
    });
    Reply::json(text.to_string())
}
