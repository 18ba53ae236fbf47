//! `GET /api/registry/whoami`: the calling actor in the words of the gateway's predecessor.

use http_kit::request::Request;
use seams::time;
use serde_json::{Value, json};

use crate::access::caller::{Credential, Scope};
use crate::access::reply::{Outcome, Reply};
use crate::actors::store;
use crate::app::App;
use crate::store::Ready;

#[cfg(not(target_family = "wasm"))]
use crate::actors::views::WhoAmIView;

/// The type of an account whose actor has not registered.
const STANDARD: &str = "standard";

/// Say who you are: your ChittyID, your scopes, and what is left of your rate limit.
///
/// The members are those of the gateway's predecessor. The gateway has no sessions, flags or quota of storage,
/// and says so. `GET /v1/actors/me` shows all of the actor.
#[cfg_attr(not(target_family = "wasm"), utoipa::path(
    get,
    path = "/api/registry/whoami",
    operation_id = "registryWhoami",
    tag = "actors",
    responses((status = 200, description = "Who you are.", body = WhoAmIView)),
))]
pub async fn whoami(_: &App, ready: Ready<'_>, scope: Scope, request: &Request<'_>) -> Outcome {
    // 1. Read the caller's own row.
    let found = store::get(ready, &scope, scope.actor()).await?;
    let found = found.filter(|found| found.is_registered);
    let actor: Value =
        found.and_then(|found| serde_json::from_str(&found.json).ok()).unwrap_or_default();
    let text = |name: &str| actor.get(name).and_then(Value::as_str);
    // 2. Reply with it, the credential, and what is left of the limit.
    let answer = json!({
        "success": true,
        "data": {
            "tenant": {
                "chitty_id": scope.actor(),
                "name": text("display_name").unwrap_or_else(|| scope.actor()),
                "account_type": text("actor_type").unwrap_or(STANDARD),
            },
            "session": {
                "session_id": null,
                "created_at": null,
                "last_activity": time::iso8601(request.now_ms),
                "active_files": [],
                "active_tasks": [],
            },
            "scopes": scope.held_scopes(),
            "flags": {
                "mcp_enabled": false,
                "context_consciousness_enabled": false,
                "memory_cloude_enabled": false,
                "beta_features": [],
            },
            "quota": {
                "storage_bytes": null,
                "api_calls_remaining": request.budget.get().map(|budget| budget.left),
            },
            "credential": credential(&scope),
        },
    });
    Ok(Reply::json(answer.to_string()))
}

/// The kind of the credential, its id if it has one, and when it ends if that is known.
fn credential(scope: &Scope) -> Value {
    let (kind, id) = match scope.credential() {
        Credential::Token { .. } => ("token", None),
        Credential::Key { id, .. } => ("key", Some(id.as_str())),
        Credential::Delegation { id, .. } => ("delegation", Some(id.as_str())),
    };
    json!({ "type": kind, "id": id, "expires_at": scope.ends_ms().map(time::iso8601) })
}
