//! Examples of the bodies of requests and replies. The value of a member is the one that an attribute of its
//! view gives (`#[schema(example = "…")]`), or else the one that this file has for its name.

use serde_json::{Map, Value, json};

use super::{kind, put, shapes};
use crate::routes::ROUTES;

/// The example value of a member by its name, and by its schema where the name is ambiguous.
#[rustfmt::skip]
fn value(schema: &str, name: &str) -> Option<Value> {
    const ID: &str = "03-1-USA-0001-P-2611-0-92";
    const CONTEXT: &str = "03-1-USA-0002-P-2611-0-16";
    let uuid = |prefix: &str| json!(format!("{prefix}_019b7a5e-1c5d-7000-8000-000000000001"));
    let is_context = schema.starts_with("Context") || schema == "Deleted";
    Some(match (schema, name) {
        ("IdentityDraft", "entity") | ("IdentityReply", "type") => json!("EVNT"),
        ("DiscoveryEndpoints" | "ServiceCapabilities" | "Onboarding" | "ApiCapabilities"
            | "McpCapabilities" | "DiscoveryDocument" | "CatalogEntry" | "DiscoveredService"
            | "LocatedService" | "ServiceGist" | "LocatedServices" | "LocationDraft"
            | "LiveStatus" | "LiveStatuses", name) => return of_the_catalog(schema, name),
        ("Tenant", "account_type") => json!("human"),
        ("Tenant", "name") => json!("Ada"),
        ("TenantSession", "created_at") => Value::Null,
        (_, "active_files" | "active_tasks" | "beta_features") => json!([]),
        ("IdentityReply", "entity") => json!("E"),
        (_, "warnings") => json!(["`resolve` is not read here"]),
        ("DeadLetter" | "Discarded", "id") => uuid("dl"),
        ("Event", "id") => uuid("evt"),
        ("Orchestration", "id") => uuid("orc"),
        ("Repository", "id") => json!(1_296_269),
        ("Event", "type") | ("ReplayDraft", "type") => json!("context.created"),
        ("AuditFault", "what") => json!("the entry was altered"),
        ("AuditUnreadable", "what") => json!("a part of the archive is missing"),
        ("Disconnected", "message") => json!("Connection disconnected"),
        ("ContextKey", "key") => json!("cc_live_5e1f0d3c"),
        ("ContextKey", "key_id") => json!("key_7b1e"),
        ("ContextKey", "status") => json!("issued"),
        ("ContextKey" | "ContextKeyDraft", "scopes") => json!(["cases:read"]),
        ("ContextReply", "message") => json!("Context updated"),
        ("Deficiency", "name") => json!("GITHUB_APP_ID"),
        ("Key" | "KeyDraft", "name") => json!("deployment"),
        ("Service", "name") => json!("id"),
        ("OrchestrationStep", "name") => json!("mint"),
        ("OrchestrationStep", "result") | ("Orchestration", "result") => json!({ "chitty_id": ID }),
        ("Deficiency", "problem") => json!("Set it with `wrangler secret put`."),
        ("LinkDraft" | "Link", "target_service") => json!("chittycases"),
        ("LinkDraft" | "Link", "target_endpoint") => json!("https://cases.chitty.cc/api"),
        ("Link" | "LinkDraft", "source_chitty_id") => json!(CONTEXT),
        ("Health", "services") => json!({ "id": { "status": "healthy", "latency": 12, "error": null } }),
        ("KeyDraft" | "Key" | "Delegation" | "DelegationDraft" | "DelegationGist", "scopes") => json!(["contexts:read"]),
        ("Problem", "code") => json!("not_found"),
        ("Problem", "detail") => json!("You have no context of this id."),
        ("FieldError", "detail") => json!("is required"),
        ("ConnectionReply", "service") => json!("chittyid"),
        (_, "key_id") => uuid("key"),
        (_, "token_id" | "delegation_id" | "jti") => uuid("dlg"),
        (_, "connection_id" | "existing_connection_id") => uuid("conn"),
        (_, "event_id") => uuid("evt"),
        (_, "ids") => json!([uuid("dl")]),
        (_, "chitty_id" | "chittyId" | "contextId") if is_context => json!(CONTEXT),
        (_, "entity_id" | "entity") => json!(CONTEXT),
        (_, "chitty_id" | "chittyId" | "owner" | "owner_chitty_id" | "delegator_chitty_id" | "actor_chitty_id"
            | "actor_id" | "created_by" | "sub" | "existing_chitty_id") => json!(ID),
        (_, "chitty_dna_id") => json!("dna_7f3a"),
        (_, "chitty_auth_principal_id") => json!("prn_5b21"),
        (_, "chitty_chronicle_timeline_id") => json!("tl_90c4"),
        (_, "name") => json!("release-42"),
        (_, "display_name") => json!("Ada"),
        (_, "email") => json!("ada@example.org"),
        (_, "avatar_url") => json!("https://example.org/ada.png"),
        (_, "systems") => json!(["github"]),
        (_, "tools") => json!(["search"]),
        (_, "data") => match schema { "ConnectionEvent" => json!({}), _ => json!([{ "version": 42 }]) },
        (_, "metadata") => json!({ "purpose": "nightly run" }),
        (_, "config") => json!({ "team": "platform" }),
        (_, "permissions") => json!({ "checks": "write" }),
        (_, "payload" | "detail") => json!({ "changes": ["name"] }),
        (_, "capabilities" | "vouched" | "granted" | "scopes") => json!(["read"]),
        (_, "scope") => json!("contexts:read"),
        (_, "target_service") => json!("chittyconnect"),
        (_, "aud") => json!("chittyconnect"),
        (_, "check_path") => json!("/health"),
        (_, "via") => json!("key:key_019b7a5e-1c5d-7000-8000-000000000001"),
        (_, "action" | "event_type" | "eventType") => json!("context.created"),
        (_, "query") => json!("release"),
        (_, "next_cursor") => json!("MjAyNi0wMS0wMlQwMzowNDowNS4wMDBafDAz"),
        (_, "message") => json!("Done"),
        (_, "token") => json!("cdt_k3yT0k3nThatIsShownOnce"),
        (_, "key") => json!("chitty_5e1f0d3c"),
        (_, "hint") => json!("0d3c"),
        (_, "hash") => json!("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
        (_, "header") => json!("X-API-Key"),
        (_, "username" | "client_id") => json!("partner"),
        (_, "password" | "client_secret" | "refresh_token" | "access_token") => json!("a-secret"),
        (_, "token_endpoint") => json!("https://login.example.org/token"),
        (_, "revocation_endpoint") => json!("https://login.example.org/revoke"),
        (_, "before") => json!("2026-01-02"),
        (_, "body") => json!("{}"),
        (_, "reason") => json!("ChittyChronicle refused it"),
        (_, "url") => json!("https://id.chitty.cc"),
        (_, "error" | "last_error" | "lastError") => json!("timeout"),
        (_, "healthCheckSuccessRate") => json!("97.96%"),
        (_, "version") => json!("0.1.0"),
        ("Installation", "events") => json!(["push"]),
        (_, "account") => json!("octo-org"),
        (_, "account_avatar_url") => json!("https://avatars.githubusercontent.com/u/1"),
        (_, "delivery_id" | "deliveryId") => json!("72d3162e-cc78-11e3-81ab-4c9367dc0958"),
        (_, "full_name") => json!("octo-org/hello"),
        (_, "default_branch") => json!("main"),
        (_, "html_url") => json!("https://github.com/octo-org/hello"),
        (_, "type") => return None,
        (_, "title") => json!("There is no such entity"),
        (_, "request_id") => json!("019b7a5e-1c5d-7000-8000-000000000001"),
        (_, "pointer") => json!("/name"),
        (_, "count" | "total_count" | "replayed" | "capability_count") => json!(1),
        (_, "installation_id" | "installationId" | "account_id") => json!(4_242),
        (_, "expires_in_seconds" | "expires_in") => json!(3600),
        (_, "grace_seconds") => json!(600),
        (_, "iat") => json!(1_767_323_045),
        (_, "exp") => json!(1_767_326_645),
        (_, "status") if schema == "Problem" => json!(404),
        _ => return None,
    })
}

/// The example value of a member of the catalog's documents.
#[rustfmt::skip]
fn of_the_catalog(schema: &str, name: &str) -> Option<Value> {
    const CONNECT: &str = "https://connect.chitty.cc";
    const ID: &str = "https://id.chitty.cc";
    let of_connect = |path: &str| json!(format!("{CONNECT}{path}"));
    let of_id = |path: &str| json!(format!("{ID}{path}"));
    Some(match (schema, name) {
        ("DiscoveryEndpoints", "connect_base" | "api_base" | "mcp_base") => json!(CONNECT),
        ("DiscoveryEndpoints", "sse") => of_connect("/v1/ecosystem/events"),
        ("DiscoveryEndpoints", "auth") => json!("https://auth.chitty.cc"),
        ("DiscoveryEndpoints", "registry") => json!("https://registry.chitty.cc"),
        (_, "register" | "register_url") => json!("https://register.chitty.cc"),
        ("ServiceCapabilities", "discovery") => of_connect("/api/services"),
        ("ServiceCapabilities", "health_check") => of_connect("/health"),
        ("ServiceCapabilities", "status") => of_connect("/api/services/status"),
        (_, "get_started") => json!("https://get.chitty.cc"),
        (_, "device_code_flow") => json!("https://auth.chitty.cc/device"),
        (_, "docs") => of_connect("/docs"),
        (_, "openapi_spec") => of_connect("/openapi.json"),
        ("ApiCapabilities", "version") => json!("v1"),
        ("DiscoveryDocument", "version") => json!("1.0.0"),
        (_, "protocol_version") => json!("2025-06-18"),
        (_, "resource_uri_scheme") => json!("resource://connect/{session_id}/{sha256}-{basename}"),
        (_, "name" | "service" | "serviceId") => json!("chittyid"),
        ("CatalogEntry", "id") => json!("id"),
        (_, "url") => json!(ID),
        (_, "health" | "health_url") => of_id("/health"),
        (_, "mcp" | "direct_mcp") => of_id("/mcp"),
        (_, "api" | "direct_api") => of_id("/api"),
        (_, "version") => json!("1.4.0"),
        (_, "description") => json!("Mints and validates ChittyIDs."),
        (_, "capabilities") => json!(["api", "mcp"]),
        (_, "chitty_id") => json!("03-1-USA-9002-T-2602-0-81"),
        ("LiveStatus", "statusCode") => json!(200),
        ("LiveStatus", "error") => json!("timeout"),
        ("LiveStatus", "registered_status") => json!("active"),
        ("LiveStatuses", "services") => json!({
            "chittyid": {
                "serviceId": "chittyid", "name": "chittyid", "url": ID, "status": "healthy",
                "statusCode": 200, "lastChecked": "2026-01-02T03:04:05.678Z", "latency_ms": 12,
                "registered_status": null,
            },
        }),
        _ => return None,
    })
}

/// Adds an example to the schemas of all JSON request bodies, nested ones included, and of all JSON replies.
pub(super) fn add(document: &mut Value) {
    let mut names = shapes::bodies(document);
    for route in ROUTES {
        let path = route.described_path().replace('~', "~0").replace('/', "~1");
        let method = route.method.as_str().to_ascii_lowercase();
        let responses = document.pointer(&format!("/paths/{path}/{method}/responses"));
        let Some(Value::Object(responses)) = responses else { continue };
        let schemas = responses
            .values()
            .filter_map(|one| one.pointer("/content/application~1json/schema/$ref")?.as_str());
        names.extend(schemas.filter_map(|one| Some(one.rsplit_once('/')?.1.to_owned())));
    }
    for name in names {
        let example = of_schema(document, &name);
        if let Some(schema) = document.pointer_mut(&format!("/components/schemas/{name}")) {
            put(schema, "examples", json!([example]));
        }
    }
}

fn of_schema(document: &Value, name: &str) -> Value {
    let schema = document.pointer(&format!("/components/schemas/{name}"));
    schema.map_or(Value::Null, |schema| of(document, schema, name, ""))
}

/// An example of a member `name` of the schema `within`.
fn of(document: &Value, schema: &Value, within: &str, name: &str) -> Value {
    if let Some(given) = schema.get("example") {
        return given.clone();
    }
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        return of_schema(document, reference.trim_start_matches("#/components/schemas/"));
    }
    let either = schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Value::as_array);
    if let Some(either) = either.filter(|_| schema.get("format").is_none()) {
        let is_null = |one: &&Value| one.get("type") == Some(&json!("null"));
        let is_format = |one: &&Value| one.get("format").is_some();
        if let Some(first) = either.iter().find(|one| !is_null(one) && !is_format(one)) {
            return of(document, first, within, name);
        }
    }
    if let Some(always) = schema.get("const") {
        return always.clone();
    }
    if let Some(value) = value(within, name) {
        return value;
    }
    if let Some(first) = schema.pointer("/enum/0") {
        return first.clone();
    }
    if schema.get("format") == Some(&json!("date-time")) {
        return json!("2026-01-02T03:04:05.678Z");
    }
    match kind(schema) {
        "object" => object(document, schema, within),
        "array" => schema
            .get("items")
            .map_or(json!([]), |items| json!([of(document, items, within, name)])),
        "boolean" => json!(!matches!(name, "private" | "archived")),
        "integer" | "number" => schema.get("minimum").cloned().map_or(json!(1), at_least_one),
        "string" if name == "type" => json!("https://connect.chitty.cc/docs/errors#not_found"),
        // A member without an example: a test reports it.
        _ => Value::Null,
    }
}

fn at_least_one(minimum: Value) -> Value {
    if minimum.as_u64() == Some(0) { json!(1) } else { minimum }
}

fn object(document: &Value, schema: &Value, within: &str) -> Value {
    let Some(Value::Object(members)) = schema.get("properties") else { return json!({}) };
    let named = members.iter().map(|(name, member)| {
        let value = of(document, member, within, name);
        (name.clone(), value)
    });
    Value::Object(named.collect::<Map<String, Value>>())
}
