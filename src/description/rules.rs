//! The parts of an operation's description that follow from the route table: how to authenticate, which
//! refusals it has, and which headers its replies have. No handler can forget them.

use http_kit::problem::Code;
use serde_json::{Value, json};

use super::{operation, put};
use crate::access::route::{Access, Method, Route};
use crate::routes::ROUTES;

/// The refusals: status, name and meaning.
#[rustfmt::skip]
const REFUSALS: [(u16, &str, &str); 14] = [
    (400, "BadRequest", "The request cannot be parsed: the body is not JSON or is incomplete, or the path has an escape that is not UTF-8."),
    (401, "Unauthorized", "The credential is missing or not valid."),
    (403, "Forbidden", "The credential does not carry the scope, or the actor may not do this."),
    (404, "NotFound", "The entity does not exist, or you may not see it."),
    (409, "Conflict", "The request conflicts with what exists already."),
    (412, "PreconditionFailed", "The entity has changed since you read it."),
    (413, "PayloadTooLarge", "The body is too large."),
    (415, "UnsupportedMediaType", "The content type or encoding of the body is not supported here."),
    (422, "Unprocessable", "A value is not acceptable; `errors` names each such value and says what is wrong with it."),
    (429, "TooManyRequests", "Too many requests of one class; wait `Retry-After` seconds."),
    (500, "InternalError", "A fault of the gateway. Report it with the `request_id`."),
    (502, "BadGateway", "A service or a target failed, refused, or sent an unusable answer."),
    (503, "Unavailable", "A service or the database did not answer; wait `Retry-After` seconds."),
    (504, "GatewayTimeout", "The target took too long."),
];

/// The headers of replies: name, schema and meaning.
#[rustfmt::skip]
fn headers() -> Value {
    let text = |description: &str, example: &str| {
        json!({ "description": description, "schema": { "type": "string" }, "example": example })
    };
    let seconds = json!({ "type": "integer", "minimum": 0 });
    json!({
        "ETag": text("The version of the entity, for `If-Match` and `If-None-Match`.", "\"evt_019b7a5e-1c5d-7000-8000-000000000001\""),
        "Idempotency-Replayed": text("`true` if this repeats the reply to an earlier request with the same `Idempotency-Key`.", "true"),
        "Link": text("The next page (RFC 8288), if there is one.", "</v1/contexts?cursor=abc>; rel=\"next\""),
        "Location": text("The path of the entity.", "/v1/contexts/03-1-USA-0001-P-2611-0-92"),
        "RateLimit": text("How many requests of the class are left, and for how many seconds (draft-ietf-httpapi-ratelimit-headers).", "\"read\";r=1187;t=23"),
        "RateLimit-Policy": text("How many requests of the class are allowed in a window, and how many seconds a window lasts.", "\"read\";q=1200;w=60"),
        "Retry-After": { "description": "How many seconds to wait before the next request.", "schema": seconds, "example": 5 },
        "WWW-Authenticate": text("How to authenticate (RFC 6750).", "Bearer realm=\"chittyconnect\""),
        "X-Request-ID": text("The id of the request: the one that you sent, or a new one.", "019b7a5e-1c5d-7000-8000-000000000001"),
    })
}

/// The ways to authenticate.
fn schemes() -> Value {
    let header = |name: &str| json!({ "type": "apiKey", "in": "header", "name": name, "description": "An API key of this gateway." });
    json!({
        "bearer": {
            "type": "http", "scheme": "bearer",
            "description": "A token of ChittyAuth, a delegated token or an API key of this gateway. \
                With the sandbox: `dev-<name>`.",
        },
        "chittyosApiKey": header("X-ChittyOS-API-Key"),
        "apiKey": header("X-API-Key"),
        "metricsToken": {
            "type": "http", "scheme": "bearer",
            "description": "The `METRICS_TOKEN` of the deployment; optional on a developer's machine.",
        },
    })
}

/// Writes what the route table says into the document.
pub(super) fn apply(document: &mut Value) {
    for route in ROUTES {
        let Some(operation) = operation(document, route) else { continue };
        put(operation, "security", security(route));
        // The form on the page that the callback returns.
        let form = "/requestBody/content/application~1x-www-form-urlencoded/schema";
        if let Some(schema) = operation.pointer_mut(form) {
            *schema = json!({
                "type": "object",
                "required": ["question"],
                "properties": { "question": { "type": "string", "example": "a-sealed-question" } },
            });
        }
        describe_refusals(route, operation);
        describe_headers(route, operation);
    }
    let Some(components) = document.pointer_mut("/components") else { return };
    put(components, "securitySchemes", schemes());
    put(components, "headers", headers());
    let shared = REFUSALS
        .iter()
        .map(|(status, name, description)| ((*name).to_owned(), refusal(*status, description)));
    put(components, "responses", Value::Object(shared.collect()));
}

fn security(route: &Route) -> Value {
    match (&route.access, route.path) {
        (Access::Scoped(permission, _), _) => {
            let scope = permission.as_str();
            json!([{ "bearer": [scope] }, { "chittyosApiKey": [scope] }, { "apiKey": [scope] }])
        }
        // A credential decides who will own the installation; without one, nobody owns it.
        (_, "/integrations/github/install") => {
            json!([{}, { "bearer": [] }, { "chittyosApiKey": [] }, { "apiKey": [] }])
        }
        (_, "/metrics") => json!([{ "metricsToken": [] }, {}]),
        _ => json!([]),
    }
}

/// The statuses with which a route refuses, as its access, path, body and headers imply them.
fn statuses(route: &Route, operation: &Value) -> Vec<u16> {
    let mut all = Vec::new();
    match route.access {
        // A header or a parameter that is not acceptable is refused everywhere.
        Access::Scoped(..) => all.extend([401, 403, 422, 429, 500, 503]),
        Access::Counted(..) => all.extend([422, 429, 500, 503]),
        Access::Open(_) if route.method == Method::Get => {}
        Access::Open(_) => all.extend([429, 500, 503]),
    }
    if route.path.contains("{id}") {
        all.extend([400, 404]);
    }
    if operation.get("requestBody").is_some() {
        all.extend([400, 413]);
        let json = operation.pointer("/requestBody/content/application~1json");
        all.extend(json.is_some().then_some(415));
    }
    // An optional credential may still be invalid.
    if security(route).as_array().is_some_and(|ways| ways.contains(&json!({ "bearer": [] }))) {
        all.extend([401, 403]);
    }
    if has_header(operation, "If-Match") {
        all.push(412);
    }
    all
}

fn has_header(operation: &Value, name: &str) -> bool {
    let all = operation.get("parameters").and_then(Value::as_array);
    all.is_some_and(|all| all.iter().any(|one| one.get("name") == Some(&json!(name))))
}

/// Describes every refusal, in the words of the handler's annotation where it has some (OpenAPI 3.1 allows a
/// description beside a reference).
fn describe_refusals(route: &Route, operation: &mut Value) {
    let all = statuses(route, operation);
    let Some(Value::Object(responses)) = operation.pointer_mut("/responses") else { return };
    let is_page = |page: &Value| page.pointer("/content/text~1html").is_some();
    // Such an operation redirects a browser to GitHub or shows it a page.
    let shows_pages = responses.get("200").is_some_and(is_page) || responses.contains_key("302");
    for (status, name, usual) in REFUSALS {
        let key = status.to_string();
        let said = responses.get(&key).and_then(|one| one.get("description").cloned());
        if said.is_none() && !all.contains(&status) {
            continue;
        }
        let mut refused = json!({ "$ref": format!("#/components/responses/{name}") });
        if shows_pages {
            refused = refusal(status, usual);
            // A client that accepts HTML gets a page.
            if let Some(content) = refused.pointer_mut("/content") {
                put(content, "text/html", json!({ "schema": { "type": "string" } }));
            }
        }
        if let Some(said) = said {
            put(&mut refused, "description", said);
        }
        responses.insert(key, refused);
    }
}

fn header(name: &str) -> Value {
    json!({ "$ref": format!("#/components/headers/{name}") })
}

/// A refusal, with an example of the first code that has this status.
fn refusal(status: u16, description: &str) -> Value {
    let mut headers = json!({
        "X-Request-ID": header("X-Request-ID"),
        "RateLimit": header("RateLimit"),
        "RateLimit-Policy": header("RateLimit-Policy"),
    });
    match status {
        401 | 403 => put(&mut headers, "WWW-Authenticate", header("WWW-Authenticate")),
        429 | 503 => put(&mut headers, "Retry-After", header("Retry-After")),
        _ => {}
    }
    let mut media = json!({ "schema": { "$ref": "#/components/schemas/Problem" } });
    if let Some(code) = first(status) {
        put(&mut media, "example", example(code, description));
    }
    json!({
        "description": description,
        "headers": headers,
        "content": { "application/problem+json": media },
    })
}

fn first(status: u16) -> Option<Code> {
    Code::ALL.iter().copied().find(|code| code.status() == status)
}

fn example(code: Code, detail: &str) -> Value {
    let name = code.as_str();
    let mut example = json!({
        "type": format!("https://connect.chitty.cc/docs/errors#{name}"),
        "title": code.title(),
        "status": code.status(),
        "detail": detail,
        "code": name,
        "request_id": "019b7a5e-1c5d-7000-8000-000000000001",
    });
    if code.status() == 422 {
        let error = json!({ "pointer": "/name", "detail": "is required" });
        put(&mut example, "errors", json!([error]));
    }
    example
}

/// Describes the headers of successful replies.
fn describe_headers(route: &Route, operation: &mut Value) {
    let can_be_replayed = has_header(operation, "Idempotency-Key");
    let is_counted = !matches!(route.access, Access::Open(_));
    let Some(Value::Object(responses)) = operation.pointer_mut("/responses") else { return };
    if route.path.contains("/proxy") {
        let description = "The target's answer, with its own status and content type.";
        responses.insert("default".to_owned(), json!({ "description": description }));
    }
    let granted = |status: &str| status.starts_with(['2', '3']) || status == "default";
    for (_, response) in responses.iter_mut().filter(|(status, _)| granted(status)) {
        let named = match response.get("headers") {
            Some(Value::Object(named)) => named.keys().cloned().collect(),
            _ => Vec::new(),
        };
        let own = ["X-Request-ID"].into_iter();
        let counted = ["RateLimit", "RateLimit-Policy"].into_iter().filter(|_| is_counted);
        let replayed = ["Idempotency-Replayed"].into_iter().filter(|_| can_be_replayed);
        let more = own.chain(counted).chain(replayed).map(str::to_owned);
        let all = named.into_iter().chain(more).map(|name| {
            let reference = header(&name);
            (name, reference)
        });
        put(response, "headers", Value::Object(all.collect()));
        // A stream has no schema as a whole; the operation describes its events.
        if let Some(Value::Object(stream)) = response.pointer_mut("/content/text~1event-stream") {
            stream.remove("schema");
        }
    }
}
