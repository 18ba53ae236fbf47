//! The transfer: gives an installation to the actor who asked for it.
//!
//! The browser that comes back from GitHub may belong to somebody else, who was given the address. So its
//! user confirms the transfer ([`confirm`]). The actor and the former owner are both told, and an
//! installation whose owner has changed since it was asked for is not transferred.

use http_kit::problem::{Code, Problem};
use http_kit::request::Request;
use seams::db::{DbError, first_row};
use serde_json::json;

use crate::access::reply::{After, Outcome, Reply};
use crate::app::App;
use crate::github::install::refusal::{BEGIN_AGAIN, or_page, owned_by_another, refused};
use crate::github::install::state::{QUESTION, Question, open, use_once};
use crate::github::installations::store::{self, Claim, ShownInstallation};
use crate::github::{page, visit};
use crate::store::event::{Event, EventKind};
use crate::store::{Ready, outbox};

/// The largest form that is read, in bytes.
const MAX_FORM_BYTES: usize = 8 << 10;

/// Gives an installation to an actor. Returns the events for the actor and the former owner, and none if the
/// actor owns the installation already.
pub(super) async fn transfer(
    app: &App,
    ready: Ready<'_>,
    claim: &Claim<'_>,
    chitty_id: &str,
    request: &Request<'_>,
) -> Result<Vec<Event>, Problem> {
    let (now_ms, overdue_ms) = (app.now_ms(), app.config.outbox_overdue_ms);
    let traceparent = Some(request.trace.traceparent.as_str());
    let from = claim.from.filter(|from| *from != claim.actor);
    let mut payload = json!({ "installation_id": claim.id });
    if let (Some(payload), Some(from)) = (payload.as_object_mut(), from) {
        payload.insert("from".to_owned(), from.into());
    }
    let kind = EventKind::AppClaimed;
    // The actor acts through the callback from GitHub, which has no credential.
    let by_callback = |event| Event { via: Some("github:install".to_owned()), ..event };
    let claimed = Event::new(now_ms, kind, chitty_id, claim.actor, payload, traceparent);
    let claimed = by_callback(claimed);
    let lost = from.map(|from| {
        let payload = json!({ "installation_id": claim.id, "chitty_id": chitty_id });
        let kind = EventKind::InstallationLost;
        by_callback(Event::new(now_ms, kind, from, claim.actor, payload, traceparent))
    });
    let mut statements = vec![
        store::claim(claim, claimed.id.as_str(), now_ms),
        store::owner(claim.id),
        outbox::insert_if_changed(&claimed, overdue_ms, "installations", "chitty_id"),
    ];
    let table = "installations";
    let beside = |lost| outbox::insert_beside(lost, overdue_ms, &claimed, table, "chitty_id");
    statements.extend(lost.as_ref().map(beside));
    let mut results = ready.db().batch(statements).await?.into_iter();
    let has_changed = results.next().is_some_and(|rows| !rows.is_empty());
    let owner = store::read_owner(results.next().unwrap_or_default())?;
    match owner.as_deref() {
        Some(owner) if owner == claim.actor && has_changed => {
            Ok(std::iter::once(claimed).chain(lost).collect())
        }
        Some(owner) if owner == claim.actor => Ok(Vec::new()),
        owner if owner == claim.from => Err(Problem::new(
            Code::ActorSuspended,
            "The actor who asked for the installation is suspended. Ask an administrator.",
        )),
        // The owner has changed since the claim was made.
        _ => Err(owned_by_another()),
    }
}

/// Returns the page, after which the events are announced.
pub(super) fn announcing(page: Reply, events: Vec<Event>) -> Reply {
    events.into_iter().fold(page, |page, event| page.then(After::Announce(event)))
}

/// Confirm that the actor who asked for an installation is to own it.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    post,
    path = "/integrations/github/confirm",
    operation_id = "githubConfirm",
    tag = "github",
    request_body(content = String, content_type = "application/x-www-form-urlencoded",
        description = "The form of the page that the callback showed."),
    responses(
        (status = 200, description = "A page: the actor owns the installation.", content_type = "text/html"),
        (status = 403, description = "`installation_refused`: the question is no longer valid."),
        (status = 409, description = "`installation_owned`: the owner has changed since the question was asked."),
    ),
))]
pub async fn confirm(app: &App, request: &Request<'_>) -> Outcome {
    or_page(app, request, answer(app, request).await)
}

async fn answer(app: &App, request: &Request<'_>) -> Outcome {
    // 1. Open the question; its answer must come in time.
    let form = request.body_bytes(MAX_FORM_BYTES).await?;
    let question = form_urlencoded::parse(&form).find(|(name, _)| name == "question");
    let question = question.and_then(|(_, text)| open::<Question>(app, QUESTION, &text));
    let question = question.filter(|question| request.now_ms < question.until_ms);
    let question = question.ok_or_else(|| refused(BEGIN_AGAIN))?;
    // 2. Mark the question as answered; to a repeat, show the outcome again.
    let ready = Ready::ensure(app).await?;
    let id = question.installation_id;
    if !use_once(ready, &question.nonce, question.until_ms).await? {
        return answered_before(app, ready, request, &question).await;
    }
    // 3. Give the installation to the actor, with the events, in one batch.
    let known = ready.db().batch(vec![store::select_record(id)]).await?;
    let known = first_row(known.into_iter().next()).ok_or_else(|| refused(BEGIN_AGAIN))?;
    let known = store::read_record(known)?;
    let (github_id, github_login) = &question.github;
    let claim = Claim {
        id,
        actor: &question.actor,
        from: question.from.as_deref(),
        github: (*github_id, github_login.as_deref()),
    };
    let events = transfer(app, ready, &claim, &known.chitty_id, request).await?;
    // 4. Reply with the page, and announce the events.
    let seen = store::shown_installation(ready, id, None).await?.ok_or(DbError::Shape)?;
    let origin = page::origin(request, &app.config.public_url);
    Ok(announcing(page::claimed(&seen.shown, &origin), events))
}

/// Answers a question that has been answered before: the browser sees the outcome again.
async fn answered_before(
    app: &App,
    ready: Ready<'_>,
    request: &Request<'_>,
    question: &Question,
) -> Outcome {
    let seen = store::shown_installation(ready, question.installation_id, None).await?;
    let is_theirs = |seen: &ShownInstallation| {
        seen.shown.owner.as_ref().is_some_and(|owner| owner.id == question.actor)
    };
    match seen.filter(is_theirs) {
        Some(seen) if visit::is_by_browser(request) => {
            Ok(page::claimed(&seen.shown, &page::origin(request, &app.config.public_url)))
        }
        _ => Err(refused(BEGIN_AGAIN)),
    }
}
