//! `/v1/orchestrations`: runs of the flows that chitty-core defines.
//!
//! A run is a saga ([`chitty_core::Saga`]) whose journal is a row in the database. The request that starts a
//! run advances it as far as possible. If an outage or a crash stops it, a later request or the cron resumes
//! it ([`run`]). The stored state is sealed, since it holds personal data and the token that the run made.

pub mod handlers;
pub mod run;
pub mod store;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod views;

use chitty_core::{FLOWS, Flow, Saga};
use serde_json::{Map, Value, json};

/// Finds a flow by its name.
fn flow(name: &str) -> Option<&'static Flow> {
    FLOWS.into_iter().find(|flow| flow.name == name)
}

/// The member of a step's result that is secret.
const SECRET: &str = "token";

/// A run as its owner sees it; with the secret only if `reveal` is true.
fn view(row: &store::Orchestration, reveal: bool) -> Value {
    let Saga { id, flow, status, steps, .. } = &row.saga;
    let shown = |result: &Value| -> Map<String, Value> {
        let members = result.as_object().cloned().unwrap_or_default();
        members.into_iter().filter(|(name, _)| name != SECRET).collect()
    };
    let mut outcome = Map::new();
    let mut list = Vec::new();
    for step in steps {
        let result = step.result.as_ref().map(&shown);
        if status.as_str() == "completed" {
            outcome.extend(result.clone().unwrap_or_default());
            let secret = step.result.as_ref().and_then(|result| result.get(SECRET));
            if let Some(secret) = secret.filter(|_| reveal) {
                outcome.insert(SECRET.to_owned(), secret.clone());
            }
        }
        list.push(json!({
            "name": step.name,
            "state": step.state,
            "attempts": step.attempts,
            "in_doubt": step.in_doubt,
            "error": step.error,
            "result": result,
        }));
    }
    json!({
        "id": id,
        "flow": flow,
        "status": status,
        "steps": list,
        "result": outcome,
        "created_at": row.saga.started_at,
        "updated_at": row.updated_at,
    })
}
