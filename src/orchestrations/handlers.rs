//! The handlers of `/v1/orchestrations`.

use chitty_core::{FLOWS, Flow, Saga, SagaStatus, role_of, role_scopes};
use http_kit::fields::{unknown, unreadable};
use http_kit::problem::{Code, FieldError, Problem};
use http_kit::request::{Request, parse_object};
use seams::db::DbError;
use seams::{ids, log, time};
use serde_json::{Value, json};

use crate::access::caller::{Grant, Scope};
use crate::access::idempotency;
use crate::access::reply::{After, Body, Outcome, Reply};
use crate::app::App;
use crate::audit::BEGUN;
use crate::orchestrations::store::{self, Orchestration, StoreError};
use crate::orchestrations::{flow, run, view};
use crate::store::Ready;
use crate::store::event::{Event, EventKind};

#[cfg(not(target_family = "wasm"))]
use crate::orchestrations::views::{
    OrchestrationInputView, OrchestrationReplyView, OrchestrationView,
};

/// Run a flow.
///
/// `user-registration` makes an identity, a token and a registry entry for a user; `secure-user` also makes a
/// canonical record. A run completes, or is undone. The reply is 201 when the run has completed; 202 when a
/// service could not be reached, in which case the gateway continues by itself; 502 when a service refused
/// and the completed steps were undone. With an `Idempotency-Key` you may repeat the request: the reply then
/// shows the state of the same run. Only these replies contain the token, and only for the credential that
/// started the run.
///
/// The token carries at most the scopes that you hold (`viewer` reads, `user` also writes, `admin`
/// administers). It ends with your credential, at the latest after a day, and this gateway refuses it as soon
/// as it refuses your credential. Requests of the new identity count against your limits. A delegated token
/// cannot start a run.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    post,
    path = "/v1/orchestrations/{id}",
    operation_id = "orchestrationsRun",
    tag = "orchestrations",
    params(
        ("id" = String, Path, description = "The flow: `user-registration` or `secure-user`."),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters: repeats of the request under the same key start only one run."),
    ),
    request_body = OrchestrationInputView,
    responses(
        (status = 201, description = "Completed.", body = OrchestrationReplyView, headers(("Location" = String))),
        (status = 202, description = "Under way; `Location` is the path of the run.", body = OrchestrationReplyView, headers(("Location" = String))),
        (status = 403, description = "The role has more scopes than you hold, or your token is a delegated one (`delegated_credential`)."),
        (status = 404, description = "There is no such flow."),
        (status = 422, description = "A value is not acceptable, or the idempotency key belongs to another request."),
        (status = 502, description = "`orchestration_failed`: a service refused."),
    ),
))]
pub async fn start(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    // 1. Find the flow, and read its input.
    let Some(flow) = flow(&request.id) else {
        let names: Vec<&str> = FLOWS.iter().map(|flow| flow.name).collect();
        let detail = format!("There is no such flow. The flows are {}.", names.join(", "));
        return Err(Problem::new(Code::NotFound, detail));
    };
    let body = request.json_bytes().await?;
    let mut input = input(flow, &body)?;
    // 2. Settle the authority of the token to be made; refuse a run that could not be sealed.
    let grant = for_role(ready, &scope, role_of(&input), request.now_ms).await?;
    if !app.config.sealer.is_ready() {
        return Err(Problem::new(
            Code::NotReady,
            "The gateway has no sealing key to store a run with; GET /health lists what is missing.",
        ));
    }
    // 3. Show the run that was started under the idempotency key.
    let key = idempotency::key(request)?;
    let fingerprint = idempotency::fingerprint(&format!("orchestrations/{}", flow.name), &body);
    let look_up = key.as_deref().map(|key| store::by_key(scope.actor(), key));
    let mut results = scope.read(ready, look_up.into_iter().collect()).await?.into_iter();
    if let Some(row) = store::read_first(app, results.next().unwrap_or_default())? {
        return replay(&row, &scope, &fingerprint);
    }
    // 4. Store the run, leased to this request, and its event in one batch.
    record_grant(&mut input, &grant, &scope, request.now_ms);
    let id = format!("orc_{}", ids::uuid_v7(request.now_ms));
    let saga = Saga::new(flow, id, input, time::iso8601(request.now_ms));
    let payload = json!({ "flow": flow.name, "outcome": BEGUN });
    let kind = EventKind::OrchestrationStarted;
    let started = Event::caused(request, &scope, kind, &saga.id, payload, app.now_ms());
    let key = key.as_deref();
    let inserted = store::insert(app, ready, &scope, key, &fingerprint, &started, saga).await?;
    let Some(mut row) = inserted else {
        // Another request with this key was faster.
        let rows = ready.db().rows(store::by_key(scope.actor(), key.unwrap_or_default())).await?;
        let row = store::read_first(app, rows)?.ok_or(DbError::Shape)?;
        return replay(&row, &scope, &fingerprint);
    };
    // 5. Advance the run as far as possible.
    let ended = run::advance(app, ready, &request.session(&app.core), &mut row).await;
    // 6. Reply with its state and its token, and announce its beginning and its end.
    reply(&row, true).map(|reply| {
        let told = [Some(started), ended].into_iter().flatten();
        told.fold(reply, |reply, event| reply.then(After::Announce(event)))
    })
}

/// The shortest and the longest life of a token for a new identity, in ms. A shorter one is not worth making.
const LIFE_MS: std::ops::RangeInclusive<u64> = 60_000..=24 * 3_600_000;

/// The seconds that the gateway takes off the life that it requests for the token: ChittyAuth counts from the
/// step that makes the token, which comes later than now, after the steps before it.
const HEAD_START_S: u64 = 15;

/// Returns the part of the caller's authority that the token of a new identity gets.
async fn for_role(
    ready: Ready<'_>,
    scope: &Scope,
    role: &str,
    now_ms: u64,
) -> Result<Grant, Problem> {
    scope.first_hand(ready).await?;
    let grant = match Grant::of(scope).narrowed(&role_scopes(role)) {
        Ok(grant) => grant.confirmed(ready, scope).await?.until(now_ms + LIFE_MS.end()),
        Err(more) => return Err(scope.lacking(ready, &more).await),
    };
    if grant.ends_ms().is_some_and(|ends_ms| ends_ms < now_ms + LIFE_MS.start()) {
        return Err(Problem::new(
            Code::DelegatedCredential,
            "Your own credential ends within a minute, and the new token would end with it. Use \
             another.",
        ));
    }
    Ok(grant)
}

/// Adds to the run's input the grant that its token depends on, and the credential that may see the token.
fn record_grant(input: &mut Value, grant: &Grant, scope: &Scope, now_ms: u64) {
    let Some(members) = input.as_object_mut() else { return };
    let ends_ms = grant.ends_ms().unwrap_or(now_ms + LIFE_MS.end());
    members.insert("until".to_owned(), time::iso8601(ends_ms).into());
    let left_s = ends_ms.saturating_sub(now_ms) / 1000;
    members.insert("expires_in_s".to_owned(), left_s.saturating_sub(HEAD_START_S).max(1).into());
    members.insert(store::SOURCE.to_owned(), json!(grant.source()));
    members.insert(store::STARTED_BY.to_owned(), scope.credential().sha256().into());
}

fn input(flow: &Flow, body: &[u8]) -> Result<Value, Problem> {
    // Refuses a body that is not an object in the same words as elsewhere.
    let members = parse_object(body)?;
    let input: Value =
        serde_json::from_slice(body).map_err(|error| Problem::invalid("", unreadable(&error)))?;
    let mut errors = unknown(&members, "", flow.members);
    let wrong = (flow.check)(&input).into_iter();
    errors.extend(wrong.map(|error| FieldError::new(error.pointer, error.detail)));
    if !errors.is_empty() {
        return Err(Problem::validation(errors));
    }
    Ok(input)
}

fn replay(row: &Orchestration, scope: &Scope, fingerprint: &str) -> Outcome {
    if row.fingerprint != fingerprint {
        return Err(idempotency::key_reused());
    }
    let reveal = row.saga.input.get(store::STARTED_BY).and_then(Value::as_str)
        == Some(scope.credential().sha256());
    let mut reply = reply(row, reveal)?.header("idempotency-replayed", "true");
    if !row.saga.status.is_final() {
        reply = reply.then(After::Orchestrate(row.saga.id.clone()));
    }
    Ok(reply)
}

/// The reply to the caller that started a run; with the token that the run made if `reveal` is true.
fn reply(row: &Orchestration, reveal: bool) -> Outcome {
    let location = format!("/v1/orchestrations/{}", row.saga.id);
    let status = match row.saga.status {
        SagaStatus::Completed => 201,
        SagaStatus::Running | SagaStatus::Compensating => 202,
        SagaStatus::Compensated | SagaStatus::Failed => {
            let detail = match row.saga.status {
                SagaStatus::Failed => {
                    "A service refused, and a step that had been taken could not be undone: see \
                     GET "
                }
                _ => "A service refused. The steps that had been taken are undone: see GET ",
            };
            return Err(Problem::new(Code::OrchestrationFailed, format!("{detail}{location}.")));
        }
    };
    let text = json!({ "success": true, "orchestration": view(row, reveal) });
    Ok(Reply::new(status, Body::Json(text.to_string())).header("location", location))
}

/// Show a run: its steps, their results, and what was undone.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/v1/orchestrations/{id}",
    operation_id = "orchestrationsShow",
    tag = "orchestrations",
    params(("id" = String, Path, description = "The run's id, `orc_…`.")),
    responses(
        (status = 200, description = "The run, without the token that it made.", body = OrchestrationView),
        (status = 404, description = "You have no such run."),
    ),
))]
pub async fn show(app: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    // 1. Read the run.
    let rows = scope.rows(ready, store::by_id_for(&request.id, &scope)).await?;
    let row = store::read_first(app, rows)?;
    let row = row.ok_or_else(|| Problem::not_found("orchestration"))?;
    // 2. Reply without its token; afterwards advance a run that has not ended.
    let mut reply = Reply::json(view(&row, false).to_string());
    if !row.saga.status.is_final() {
        reply = reply.then(After::Orchestrate(row.saga.id));
    }
    Ok(reply)
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Db(error) => error.into(),
            StoreError::Refused(problem) => *problem,
            StoreError::Sealed(_) => {
                log::error("orchestration_sealed", &[("error", &error.to_string())]);
                Problem::new(
                    Code::Internal,
                    "This run was sealed with a key that the gateway no longer has.",
                )
            }
        }
    }
}
