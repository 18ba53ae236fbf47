//! The answers of other services about a context, for its owner: the verification by ChittyVerify, and the
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

/// How long a stored lineage is shown without asking ChittyDNA again, in ms.
const FRESH_MS: u64 = 300_000;

/// The longest lineage that is stored, in bytes.
const MAX_LINEAGE_BYTES: usize = 128 * 1024;

/// The longest `status` and `verification_id` of ChittyVerify that are stored, in bytes.
const MAX_WORD_BYTES: usize = 200;

/// Have a context verified by ChittyVerify.
///
/// The gateway stores the answer of ChittyVerify with its time, and shows it with the context. While
/// ChittyVerify is down, the reply is 503 and the last answer stays stored. Send an `Idempotency-Key` to be
/// able to repeat the request safely.
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
        (status = 200, description = "ChittyVerify has answered; `verified` is its verdict.", body = VerificationReply, headers(("Idempotency-Replayed" = String))),
        (status = 404, description = "You have no such context."),
        (status = 503, description = "`verification_unavailable`: ChittyVerify gave no verdict."),
    ),
))]
pub async fn verify(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    // 1. Read the id and the idempotency key.
    let id = context_id(request)?;
    let operation = format!("contexts.verify/{id}");
    let key = Idempotency::of(request, &operation, &[])?;
    // 2. Replay a stored reply, or find the context with its DNA id.
    let look_up = key.as_ref().map(|key| key.look_up(&scope, request.now_ms));
    let (dna_id, stored) = said::before_verification(ready, &scope, &id, look_up).await?;
    if let Some(replay) = idempotency::replay(key.as_ref(), stored)? {
        return Ok(replay);
    }
    let dna_id = dna_id.ok_or_else(|| Problem::not_found("context"))?;
    // 3. Ask ChittyVerify.
    let asked =
        request.session(&app.core).verify().context(&id, dna_id.as_deref(), "chittyconnect").await;
    let found = asked.map_err(|error| {
        Problem::upstream(
            Code::VerificationUnavailable,
            "ChittyVerify gave no verdict. Its last answer stays stored. Repeat the request later.",
            &error,
        )
    })?;
    // 4. Store its answer, the event and the reply in one batch.
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
        // 5. Reply, and announce the event.
        Ok(Some(text)) => Ok(Reply::json(text).then(After::Announce(event))),
        Ok(None) => Err(Problem::not_found("context")),
        Err(WriteError::Refused(problem)) => Err(problem),
        Err(error) => {
            // If the context was deleted meanwhile, there is no reply to store, and so the batch failed.
            let (dna_id, _) = said::before_verification(ready, &scope, &id, None).await?;
            dna_id.ok_or_else(|| Problem::not_found("context"))?;
            idempotency::after(error, ready, &scope, key.as_ref(), request.now_ms).await
        }
    }
}

/// Whether a text of ChittyVerify's answer is fit to be stored.
fn is_word(text: &str) -> bool {
    (1..=MAX_WORD_BYTES).contains(&text.len()) && !text.contains(char::is_control)
}

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
pub async fn lineage(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    // 1. Read the stored lineage, and reply with it while it is fresh.
    let id = context_id(request)?;
    let stored = said::lineage(ready, &scope, &id).await?;
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
            if let Err(error) = said::keep_lineage(ready, &id, &fresh.lineage, fresh.read_ms).await
            {
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
