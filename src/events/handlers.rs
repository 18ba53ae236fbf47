//! The handlers of `/v1/events/dead-letters`.

use std::borrow::Cow;

use http_kit::fields::{Fields, nothing};
use http_kit::problem::Problem;
use http_kit::request::Request;
use seams::db::Statement;
use seams::time;
use serde_json::{Value, json};

use crate::access::caller::Scope;
use crate::access::event::kind_asked_for;
use crate::access::listing::PageRequest;
use crate::access::reply::{After, Outcome, Reply};
use crate::app::App;
use crate::events::dead::{self, Filter};
use crate::store::event::{Event, EventKind};
use crate::store::{Ready, outbox};

#[cfg(not(target_family = "wasm"))]
use crate::events::views::{
    DeadLetterListView, DeadLetterView, DiscardedView, ReplayDraftView, ReplayedView,
};

fn filter(request: &Request<'_>) -> Result<Filter, Problem> {
    let mut errors = Vec::new();
    let event_type = kind_asked_for(request, "type", &mut errors).map(Cow::into_owned);
    if !errors.is_empty() {
        return Err(Problem::validation(errors));
    }
    let entity = request.query("entity").map(Cow::into_owned);
    Ok(Filter { event_type, entity, ..Filter::default() })
}

/// List dead letters, newest first. Administrators only.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/v1/events/dead-letters",
    operation_id = "deadLettersList",
    tag = "events",
    params(
        ("type" = Option<String>, Query, description = "Only dead letters of events of this type."),
        ("entity" = Option<String>, Query, description = "Only dead letters about this entity."),
        ("limit" = Option<u8>, Query, description = "1 to 100; 100 by default."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before."),
    ),
    responses((status = 200, description = "A page.", body = DeadLetterListView, headers(("Link" = String)))),
))]
pub async fn list(_: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    let page = dead::list(ready, &scope, &filter(request)?, PageRequest::of(request)?).await?;
    Ok(page.reply(request, "dead_letters", &[]))
}

/// Read a dead letter. Administrators only.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/v1/events/dead-letters/{id}",
    operation_id = "deadLettersShow",
    tag = "events",
    params(("id" = String, Path, description = "Its id, `dl_…`.")),
    responses(
        (status = 200, description = "The dead letter, with the message as it was.", body = DeadLetterView),
        (status = 404, description = "There is no such dead letter."),
    ),
))]
pub async fn show(_: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    let found = dead::get(ready, &scope, &request.id).await?;
    found.map(Reply::json).ok_or_else(|| Problem::not_found("dead letter"))
}

/// Replay a dead letter: the gateway processes its message again. Administrators only.
///
/// A second replay does no more than the first: an event that was told is not told again.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    post,
    path = "/v1/events/dead-letters/{id}/replay",
    operation_id = "deadLettersReplay",
    tag = "events",
    params(("id" = String, Path, description = "Its id, `dl_…`.")),
    responses(
        (status = 200, description = "The message is sent again.", body = ReplayedView),
        (status = 404, description = "There is no such dead letter."),
    ),
))]
pub async fn replay(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    // 1. Take the letter from the path; the request has no body. Steps 2 and 3 are in `send_again`.
    nothing(request).await?;
    let filter = Filter { id: Some(request.id.clone()), ..Filter::default() };
    let (replayed, reply) = send_again(app, ready, &scope, request, &filter, &request.id).await?;
    // 4. Say so if there is no such letter.
    if replayed == 0 { Err(Problem::not_found("dead letter")) } else { Ok(reply) }
}

/// Replay the dead letters that match, oldest first, at most 100. Administrators only.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    post,
    path = "/v1/events/dead-letters/replay",
    operation_id = "deadLettersReplayMany",
    tag = "events",
    request_body = Option<ReplayDraftView>,
    responses(
        (status = 200, description = "The messages are sent again.", body = ReplayedView),
        (status = 422, description = "A value is not acceptable."),
    ),
))]
pub async fn replay_many(
    app: &App,
    ready: Ready<'_>,
    scope: Scope,
    request: &Request<'_>,
) -> Outcome {
    // 1. Read which letters to replay. Steps 2 and 3 are in `send_again`.
    let body = request.optional_json_bytes().await?;
    let mut fields = Fields::of(&body)?;
    let event_type = fields.text("type", 100).value();
    let entity = fields.text("entity", 128).value();
    let before = fields.text("before", 40).value();
    let instant = before.as_deref().and_then(time::read);
    if before.is_some() && instant.is_none() {
        fields.wrong("before", time::FORM);
    }
    fields.finish()?;
    // Leaves out dead letters that were replayed already, so that repeated calls reach all of them.
    let before = instant.map(time::iso8601);
    let filter = Filter { id: None, event_type, entity, before, is_waiting: true };
    Ok(send_again(app, ready, &scope, request, &filter, "*").await?.1)
}

async fn send_again(
    app: &App,
    ready: Ready<'_>,
    scope: &Scope,
    request: &Request<'_>,
    filter: &Filter,
    entity: &str,
) -> Result<(usize, Reply), Problem> {
    // 2. Mark the letters replayed, open their events again, and record the replay, in one batch.
    let kind = EventKind::DeadLettersReplayed;
    let payload = json!({ "type": filter.event_type, "entity": filter.entity });
    let event = Event::caused(request, scope, kind, entity, payload, app.now_ms());
    let told = replayed_row(&event, app.config.outbox_overdue_ms);
    let replayed = dead::replay(ready, scope, filter, &event, told).await?;
    // 3. Reply; afterwards announce the event, and send the messages again.
    let ids: Vec<&str> = replayed.iter().map(|letter| letter.id.as_str()).collect();
    let text = json!({ "success": true, "replayed": ids.len(), "ids": ids }).to_string();
    let count = ids.len();
    let messages = replayed.into_iter().map(|letter| (letter.queue, letter.body)).collect();
    let reply = Reply::json(text);
    Ok((
        count,
        if count == 0 {
            reply
        } else {
            reply.then(After::Announce(event)).then(After::SendAgain(messages))
        },
    ))
}

/// Discard a dead letter: its event is never told. Administrators only.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    delete,
    path = "/v1/events/dead-letters/{id}",
    operation_id = "deadLettersDiscard",
    tag = "events",
    params(("id" = String, Path, description = "Its id, `dl_…`.")),
    responses(
        (status = 200, description = "The dead letter is discarded.", body = DiscardedView),
        (status = 404, description = "There is no such dead letter."),
    ),
))]
pub async fn discard(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    // 1. Prepare the event, and find the letter.
    let kind = EventKind::DeadLetterDiscarded;
    let event = Event::caused(request, &scope, kind, &request.id, json!({}), app.now_ms());
    let told = outbox::insert(&event, app.config.outbox_overdue_ms);
    if dead::get(ready, &scope, &request.id).await?.is_none() {
        return Err(Problem::not_found("dead letter"));
    }
    // 2. Delete the letter, mark its event done, and record the discard, in one batch.
    dead::discard(ready, &scope, &request.id, &event, told).await?;
    // 3. Reply, and announce the event.
    let text: Value =
        json!({ "success": true, "message": "Dead letter discarded", "id": request.id });
    Ok(Reply::json(text.to_string()).then(After::Announce(event)))
}

/// The outbox row of the event for a replay, written only if dead letters were replayed.
fn replayed_row(event: &Event, overdue_ms: u64) -> Statement {
    let condition = "EXISTS (SELECT 1 FROM dead_letters WHERE replayed_at = ?8)";
    outbox::insert_if(event, overdue_ms, condition)
}
