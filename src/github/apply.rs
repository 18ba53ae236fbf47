//! The effects of a delivery: the statements of its one batch, by event. Pure.
//!
//! Every delivery has one event, and may request one job. Only the events of installations and their
//! accounts change anything else here: GitHub itself keeps what happens in a repository.

use seams::db::Statement;
use serde_json::{Value, json};

use crate::app::App;
use crate::github::deliveries::{DeliveryClaim, InstallationRecord};
use crate::github::installations::store;
use crate::github::jobs::{self, JobKind};
use crate::github::payload::Facts;
use crate::store::event::{Event, EventKind, GithubEventName};
use crate::store::outbox;

/// The events whose names at the gateway include the action. All other events are named without it.
const HANDLED: [&str; 8] = [
    "installation",
    "installation_repositories",
    "pull_request",
    "issues",
    "issue_comment",
    "release",
    "check_run",
    "workflow_run",
];

/// The actions after which a pull request is reviewed.
const REVIEWED: [&str; 4] = ["opened", "reopened", "synchronize", "ready_for_review"];

/// The actions after which an issue is labelled.
const TRIAGED: [&str; 3] = ["opened", "reopened", "edited"];

/// The effects of a delivery.
pub struct Plan {
    /// The event of the delivery.
    pub event: Event,
    /// The statements of the batch, without the mark that the delivery is done.
    pub statements: Vec<Statement>,
    /// Whether the batch makes a job due now.
    pub asks_for_work: bool,
}

/// Whether a delivery describes an installation as a whole.
pub fn is_about_installation(event: &str) -> bool {
    matches!(event, "installation" | "installation_repositories")
}

/// Returns the effects of a delivery whose identity is `chitty_id`. `known` is the record of its
/// installation, if there is one.
pub fn plan(
    app: &App,
    row: &DeliveryClaim,
    chitty_id: &str,
    known: Option<&InstallationRecord>,
) -> Plan {
    let event = event(app, row, chitty_id, known);
    let overdue_ms = app.config.outbox_overdue_ms;
    let mut statements = match known {
        Some(known) if is_about_installation(&row.event) => {
            installation(row, known, event.id.as_str(), app.now_ms())
        }
        Some(_) => renamed(row, event.id.as_str(), app.now_ms()).into_iter().collect(),
        None => Vec::new(),
    };
    // A job of an installation that is not on record yet waits until it is.
    let job = if known.is_none_or(|known| known.is_live) { job(app, row) } else { None };
    let asks_for_work = job.is_some() && known.is_some();
    statements.extend(job);
    statements.push(open_delivery_row(&event, overdue_ms));
    Plan { event, statements, asks_for_work }
}

/// Returns the event of a delivery. It has numbers, and the names of repositories and commits.
fn event(
    app: &App,
    row: &DeliveryClaim,
    chitty_id: &str,
    known: Option<&InstallationRecord>,
) -> Event {
    let Facts { action, .. } = &row.facts;
    let action = action.as_deref().filter(|_| HANDLED.contains(&row.event.as_str()));
    // An action that is no word is left out of the name; the payload has it.
    let name =
        GithubEventName::of(&row.event, action).or_else(|| GithubEventName::of(&row.event, None));
    let kind = EventKind::Github(name.unwrap_or_else(GithubEventName::unnamed));
    let own = known.map(|known| known.chitty_id.clone());
    let by_number = row.facts.installation_id().map(|id| format!("github:installation:{id}"));
    let actor = own.clone().or(by_number).unwrap_or_else(|| "github:app".to_owned());
    let entity =
        if kind.entity_type() == "installation" { actor.clone() } else { row.facts.lane() };
    let traceparent = row.traceparent.as_deref();
    Event::new(app.now_ms(), kind, &entity, &actor, payload(row, chitty_id), traceparent)
}

fn payload(row: &DeliveryClaim, chitty_id: &str) -> Value {
    let facts = &row.facts;
    let mut payload = json!({
        "delivery_id": row.delivery_id,
        "chitty_id": chitty_id,
        "event": row.event,
        "received_at": row.received_at,
    });
    let mut facts_json = serde_json::to_value(facts).unwrap_or_default();
    if let (Some(payload), Some(members)) = (payload.as_object_mut(), facts_json.as_object_mut()) {
        // These hold names of accounts, which stay out of events.
        for name in ["installation", "account", "organization", "changes"] {
            members.remove(name);
        }
        for name in ["repositories", "repositories_added", "repositories_removed"] {
            if let Some(Value::Array(list)) = members.remove(name) {
                members.insert(format!("{name}_count"), list.len().into());
            }
        }
        if let Some(id) = facts.installation_id() {
            members.insert("installation_id".to_owned(), id.into());
        }
        payload.append(members);
    }
    payload
}

/// Returns the statements by which an event of an installation changes its row.
fn installation(
    row: &DeliveryClaim,
    known: &InstallationRecord,
    revision: &str,
    now_ms: u64,
) -> Vec<Statement> {
    let facts = &row.facts;
    let Some(installation) = &facts.installation else { return Vec::new() };
    let id = installation.id;
    let is_deleted = row.event == "installation" && facts.action.as_deref() == Some("deleted");
    if is_deleted {
        let end = store::uninstall(id, &row.received_at, revision);
        return vec![end, store::forget_token_unless_live(id)];
    }
    let mut statements = Vec::new();
    if installation.account.is_some() {
        statements.push(store::upsert(installation, &known.chitty_id, revision, now_ms));
        statements.push(store::forget_token_unless_live(id));
    }
    let added = [facts.repositories.as_slice(), &facts.repositories_added].concat();
    if !added.is_empty() || !facts.repositories_removed.is_empty() {
        statements.push(store::change_repositories(id, &added, &facts.repositories_removed));
    }
    statements
}

/// Returns the statement that gives the account of an installation its new name, if it was renamed.
fn renamed(row: &DeliveryClaim, revision: &str, now_ms: u64) -> Option<Statement> {
    let (account, from) = row.facts.renamed(&row.event)?;
    let id = row.facts.installation_id()?;
    Some(store::rename_account(id, account, from, revision, now_ms))
}

/// Returns the statement that requests the job of a delivery, if it has one.
fn job(app: &App, row: &DeliveryClaim) -> Option<Statement> {
    let Facts { action, repository, pull_request, issue, .. } = &row.facts;
    let (action, repository) = (action.as_deref()?, repository.as_ref()?);
    let (kind, number, head) = match row.event.as_str() {
        "pull_request" if REVIEWED.contains(&action) => {
            let pull = pull_request.as_ref()?;
            (JobKind::Review, pull.number, Some(pull.head.sha.as_str()))
        }
        "issues" if TRIAGED.contains(&action) => {
            (JobKind::Triage, issue.as_ref().filter(|issue| !issue.is_pull_request)?.number, None)
        }
        _ => return None,
    };
    let installation_id = row.facts.installation_id()?;
    Some(jobs::ask_for(app, kind, installation_id, repository, number, head))
}

/// Writes the outbox row of the event of a delivery, but only while the delivery is open: a worker that has
/// processed the delivery has written the event already.
fn open_delivery_row(event: &Event, overdue_ms: u64) -> Statement {
    let condition = "EXISTS (SELECT 1 FROM github_deliveries \
         WHERE delivery_id = json_extract(?6, '$.delivery_id') AND done_at IS NULL)";
    outbox::insert_if(event, overdue_ms, condition)
}
