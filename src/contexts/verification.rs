//! The verification of a context by ChittyVerify, for its owner.

use http_kit::problem::{Code, Problem};
use http_kit::request::Request;
use serde_json::json;

use crate::access::caller::{Scope, WriteError};
use crate::access::idempotency::{self, Idempotency};
use crate::access::reply::{After, Outcome, Reply};
use crate::app::App;
use crate::contexts::event;
use crate::contexts::handlers::context_id;
use crate::contexts::store::verification;
use crate::store::Ready;
use crate::store::event::EventKind;

#[cfg(not(target_family = "wasm"))]
use crate::contexts::VerificationReply;

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
    let (dna_id, stored) = verification::find_context(ready, &scope, &id, look_up).await?;
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
    let kept =
        verification::keep(ready, &scope, &event, overdue_ms, &verification, key.as_ref()).await;
    match kept {
        // 5. Reply, and announce the event.
        Ok(Some(text)) => Ok(Reply::json(text).then(After::Announce(event))),
        Ok(None) => Err(Problem::not_found("context")),
        Err(WriteError::Refused(problem)) => Err(problem),
        Err(error) => {
            // If the context was deleted meanwhile, there is no reply to store, and so the batch failed.
            let (dna_id, _) = verification::find_context(ready, &scope, &id, None).await?;
            dna_id.ok_or_else(|| Problem::not_found("context"))?;
            idempotency::after(error, ready, &scope, key.as_ref(), request.now_ms).await
        }
    }
}

/// Whether a text of ChittyVerify's answer is fit to be stored.
fn is_word(text: &str) -> bool {
    (1..=MAX_WORD_BYTES).contains(&text.len()) && !text.contains(char::is_control)
}
