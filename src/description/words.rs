//! Closed sets of words: the members and parameters that hold such words, and the words. The words come from
//! the code's own list where it has one.

use std::collections::BTreeSet;

use chitty_core::{EntityLabel, FLOWS, ROLES, SagaStatus, Service, ServiceHealth};
use http_kit::problem::Code;
use serde_json::{Value, json};

use super::{member, parameters};
use crate::actors;
use crate::config::Environment;
use crate::connections::{self, credential};
use crate::registration::Step;
use crate::store::event::EventKind;

/// A closed set.
type Words = Vec<&'static str>;

const DEFICIENCIES: [&str; 3] = ["binding", "secret", "variable"];
const WATCH_STATES: [&str; 5] =
    ["DISCONNECTED", "CONNECTING", "CONNECTED", "RECONNECTING", "FAILED"];
const WATCH_EVENTS: [&str; 7] = [
    "connected",
    "disconnected",
    "reconnecting",
    "unhealthy",
    "stateChange",
    "error",
    "maxReconnectAttemptsReached",
];
const STEP_STATES: [&str; 8] =
    ["pending", "started", "done", "skipped", "failed", "compensating", "compensated", "stuck"];
const SERVICE_STATUSES: [&str; 5] = ["active", "degraded", "down", "deprecated", "unknown"];
const REGISTRATION_STATES: [&str; 3] = ["pending", "registered", "degraded"];

/// The members of schemas that hold one word, or a list of words, of a set. `*` is every schema.
#[rustfmt::skip]
fn members() -> Vec<(&'static str, &'static str, Words)> {
    let services: Words = Service::ALL.iter().map(|service| service.as_str()).collect();
    let credential_types = credential::TYPES.to_vec();
    let own_status = vec!["active", "expired", "revoked"];
    let may_set = vec!["active", "inactive"];
    vec![
        ("*", "actor_type", actors::TYPES.to_vec()),
        ("Actor", "status", actors::STATUSES.to_vec()),
        ("ActorPatch", "status", actors::STATUSES.to_vec()),
        ("Capabilities", "status", actors::STATUSES.to_vec()),

        ("Context", "status", vec!["active", "inactive", "deleted"]),
        ("ContextDraft", "status", may_set.clone()),
        ("ContextPatch", "status", may_set.clone()),
        ("ContextKeyDraft", "type", vec!["provisioned"]),
        ("ContextKey", "type", vec!["provisioned"]),
        ("ContextKey", "status", vec!["issued", "already_shown"]),

        ("*", "source_type", connections::SOURCE_TYPES.to_vec()),
        ("*", "connection_type", connections::TYPES.to_vec()),
        ("*", "credential_type", credential_types.clone()),
        ("Link", "status", connections::STATUSES.to_vec()),
        ("Link", "scopes", connections::SCOPES.to_vec()),
        ("LinkDraft", "scopes", connections::SCOPES.to_vec()),
        ("LinkPatch", "scopes", connections::SCOPES.to_vec()),
        ("LinkPatch", "status", may_set),
        ("LinkHealth", "status", connections::STATUSES.to_vec()),
        ("LinkHealth", "service_health", vec!["healthy", "unhealthy", "unknown"]),
        ("LinkEvent", "event", events_of("connection")),
        ("ApiKeyCredential", "type", vec!["api_key"]),
        ("BearerCredential", "type", vec!["bearer"]),
        ("BasicCredential", "type", vec!["basic"]),
        ("OauthCredential", "type", vec!["oauth"]),
        ("ProvisionedCredential", "type", vec!["provisioned"]),

        ("Delegation", "status", own_status.clone()),
        ("ActiveToken", "token_type", vec!["Bearer"]),
        ("Key", "status", own_status),

        ("*", "entity_type", entity_types()),
        ("AuditEntry", "outcome", vec!["done", "begun", "failed", "undone"]),
        ("AuditVerdict", "result", vec!["valid", "altered", "unreadable"]),
        ("DeadLetter", "queue", vec!["CONTEXT_OPS_QUEUE", "EVENT_Q"]),

        ("CatalogEntry", "status", SERVICE_STATUSES.to_vec()),
        ("CatalogEntry", "sources", vec!["catalog", "registry", "registration", "gateway"]),
        ("DiscoveredService", "status", SERVICE_STATUSES.to_vec()),
        ("DiscoveryDocument", "ecosystem", vec!["ChittyOS"]),
        ("LocatedService", "status", SERVICE_STATUSES.to_vec()),
        ("ServiceGist", "status", SERVICE_STATUSES.to_vec()),
        ("LiveStatus", "status", vec!["healthy", "degraded", "down", "unknown"]),
        ("ApiCapabilities", "authentication", vec!["api_key", "bearer_token"]),
        ("CredentialInUse", "type", vec!["token", "key", "delegation"]),

        ("Service", "service", services.clone()),
        ("Service", "status", vec!["active", "degraded", "down", "unknown"]),
        ("Connection", "state", WATCH_STATES.to_vec()),
        ("ConnectionStatistics", "currentState", WATCH_STATES.to_vec()),
        ("ConnectionEvent", "event", WATCH_EVENTS.to_vec()),
        ("ConnectionReply", "service", services.clone()),
        ("Breaker", "state", vec!["closed", "half_open", "open"]),
        ("Registration", "state", REGISTRATION_STATES.to_vec()),
        ("Registration", "completed", Step::ALL.map(Step::as_str).to_vec()),
        ("Registration", "pending", Step::ALL.map(Step::as_str).to_vec()),

        ("DatabaseHealth", "state", vec!["pending", "ready", "failed"]),
        ("Deficiency", "kind", DEFICIENCIES.to_vec()),
        ("EcosystemHealth", "state", REGISTRATION_STATES.to_vec()),
        ("Health", "status", vec!["ok", "degraded"]),
        ("ConnectionHealth", "state", WATCH_STATES.to_vec()),
        ("Health", "service", vec!["chittyconnect"]),
        ("Health", "environment", [Environment::Development, Environment::Staging, Environment::Production].map(Environment::as_str).to_vec()),
        ("ServiceReport", "status", [ServiceHealth::Healthy, ServiceHealth::Degraded, ServiceHealth::Down].map(ServiceHealth::as_str).to_vec()),

        ("Orchestration", "flow", FLOWS.map(|flow| flow.name).to_vec()),
        ("Orchestration", "status", [SagaStatus::Running, SagaStatus::Completed, SagaStatus::Compensating, SagaStatus::Compensated, SagaStatus::Failed].map(SagaStatus::as_str).to_vec()),
        ("OrchestrationInput", "role", ROLES.map(|(name, _)| name).to_vec()),
        ("OrchestrationStep", "state", STEP_STATES.to_vec()),

        ("Installation", "account_type", vec!["User", "Organization"]),
        ("Installation", "accountType", vec!["User", "Organization"]),
        ("Installation", "repository_selection", vec!["all", "selected"]),
        ("Installation", "repositorySelection", vec!["all", "selected"]),
        ("Installation", "status", vec!["active", "suspended", "uninstalled"]),
        ("Webhook", "status", vec!["ok"]),

        ("IdentityReply", "type", EntityLabel::ALL.map(EntityLabel::label).to_vec()),
        ("IdentityReply", "entity", vec!["P", "L", "T", "E", "A"]),
        ("IdentityValidity", "status", vec!["valid", "invalid", "pending"]),

        ("Problem", "code", Code::ALL.iter().map(|code| code.as_str()).collect()),
        ("Problem", "service", services),
    ]
}

/// The query parameters that hold one word of a set, by path.
#[rustfmt::skip]
fn words_of_parameters() -> Vec<(&'static str, &'static str, Words)> {
    let of_contexts = vec!["active", "inactive", "all"];
    vec![
        ("/v1/actors", "type", actors::TYPES.to_vec()),
        ("/v1/actors", "status", actors::STATUSES.to_vec()),
        ("/v1/connections", "type", connections::TYPES.to_vec()),
        ("/v1/connections", "status", connections::STATUSES.to_vec()),
        ("/v1/contexts", "status", of_contexts.clone()),
        ("/v1/contexts/search", "status", of_contexts),
        ("/v1/events", "owner", vec!["all"]),
        ("/v1/delegate", "status", vec!["active", "all"]),
        ("/v1/github/installations", "owner", vec!["all"]),
        ("/integrations/github/install", "claim", vec!["true"]),
    ]
}

/// The query parameters that hold the name of an event, by path.
const NAMES_OF_EVENTS: [(&str, &str); 3] =
    [("/v1/events", "type"), ("/v1/events/dead-letters", "type"), ("/v1/audit", "action")];

/// The pattern for the name of an event: one of the gateway's own names, or one that GitHub chose.
fn name_of_an_event() -> String {
    let own: Vec<String> =
        EventKind::ALL.iter().map(|kind| kind.as_str().replace('.', r"\.")).collect();
    format!(r"^({}|github\.[!-~]+)$", own.join("|"))
}

/// The names of the events of a kind of entity.
fn events_of(entity: &str) -> Words {
    // These names are static. The names that GitHub chooses are not, and are not in the list.
    let of_it = EventKind::ALL.iter().filter(|kind| kind.entity_type() == entity);
    of_it.map(EventKind::as_str).collect()
}

/// The kinds of entities that have events.
fn entity_types() -> Words {
    let named = EventKind::ALL.iter().map(EventKind::entity_type);
    named.chain(["repository"]).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Writes the words of every closed set into the document.
pub(super) fn close(document: &mut Value) {
    let names: Vec<String> = match document.pointer("/components/schemas") {
        Some(Value::Object(schemas)) => schemas.keys().cloned().collect(),
        _ => Vec::new(),
    };
    for (schema, name, words) in members() {
        for one in names.iter().filter(|one| schema == "*" || one.as_str() == schema) {
            if let Some(found) = member(document, one, name) {
                limit_to(found, &words);
            }
        }
    }
    for (path, name) in NAMES_OF_EVENTS {
        for parameter in parameters(document).filter(|found| found.stands_for(path)) {
            if parameter.is("query", name)
                && let Some(Value::Object(schema)) = parameter.value.pointer_mut("/schema")
            {
                schema.insert("pattern".to_owned(), name_of_an_event().into());
            }
        }
    }
    for (path, name, words) in words_of_parameters() {
        for parameter in parameters(document).filter(|found| found.stands_for(path)) {
            if parameter.is("query", name)
                && let Some(schema) = parameter.value.pointer_mut("/schema")
            {
                limit_to(schema, &words);
            }
        }
    }
}

/// Limits a schema, or the items of a list, to these words, and to null if it is nullable.
fn limit_to(schema: &mut Value, words: &[&str]) {
    let target = match schema.get("items").is_some() {
        true => schema.pointer_mut("/items"),
        false => Some(schema),
    };
    let Some(Value::Object(target)) = target else { return };
    if target.contains_key("$ref") {
        return;
    }
    let can_be_null = target
        .get("type")
        .and_then(Value::as_array)
        .is_some_and(|all| all.contains(&json!("null")));
    let mut all: Vec<Value> = words.iter().map(|word| json!(word)).collect();
    all.extend(can_be_null.then_some(Value::Null));
    target.insert("enum".to_owned(), all.into());
}
