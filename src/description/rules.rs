//! What the route table says of every operation: how to authenticate, what refuses it, and which headers
//! its answers have. No handler can forget it.

use http_kit::problem::Code;
use serde_json::{Value, json};

use super::{operation, put};
use crate::access::route::{Access, Method, Route};
use crate::routes::ROUTES;

/// The answers that say no: status, name, and in which cases.
#[rustfmt::skip]
const REFUSALS: [(u16, &str, &str); 14] = [
    (400, "BadRequest", "The request is broken below the level of fields: no JSON, an escape that is not UTF-8, a body that breaks off."),
    (401, "Unauthorized", "No credential was sent, or none that is good."),
    (403, "Forbidden", "The credential does not carry the scope, or the actor may not do it."),
    (404, "NotFound", "There is no such entity that you may see."),
    (409, "Conflict", "What is there already is in the way."),
    (412, "PreconditionFailed", "The entity has changed since you read it."),
    (413, "PayloadTooLarge", "The body is too long."),
    (415, "UnsupportedMediaType", "The body is not declared as what is read here."),
    (422, "Unprocessable", "A value is not acceptable; `errors` names each and says what is wrong with it."),
    (429, "TooManyRequests", "Too many requests of one class; wait `Retry-After` seconds."),
    (500, "InternalError", "A fault of the gateway. Report it with the `request_id`."),
    (502, "BadGateway", "A service or a target did not do its part."),
    (503, "Unavailable", "A service or the database did not answer; wait `Retry-After` seconds."),
    (504, "GatewayTimeout", "The target took too long."),
];

/// The headers of answers: name, schema and meaning.
#[rustfmt::skip]
fn headers() -> Value {
    let text = |description: &str, example: &str| {
        json!({ "description": description, "schema": { "type": "string" }, "example": example })
    };
    let seconds = json!({ "type": "integer", "minimum": 0 });
    json!({
        "ETag": text("The version of the entity, for `If-Match` and `If-None-Match`.", "\"evt_019b7a5e-1c5d-7000-8000-000000000001\""),
        "Idempotency-Replayed": text("`true` where the reply is that of an earlier request with the same `Idempotency-Key`.", "true"),
        "Link": text("The next page (RFC 8288), where there is one.", "</v1/contexts?cursor=abc>; rel=\"next\""),
        "Location": text("Where the entity is.", "/v1/contexts/03-1-USA-0001-P-2611-0-92"),
        "RateLimit": text("How many requests of the class are left, and for how many seconds (draft-ietf-httpapi-ratelimit-headers).", "\"read\";r=1187;t=23"),
        "RateLimit-Policy": text("How many requests of the class there are in a window of so many seconds.", "\"read\";q=1200;w=60"),
        "Retry-After": { "description": "After how many seconds it is worth asking again.", "schema": seconds, "example": 5 },
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
            "description": "The `METRICS_TOKEN` of the deployment; on a developer's machine there may be none.",
        },
    })
}

/// Writes what the route table says into the document.
pub(super) fn apply(document: &mut Value) {
    for route in ROUTES {
        let Some(operation) = operation(document, route) else { continue };
        put(operation, "security", security(route));
        // The form of the page that the callback shows.
        let form = "/requestBody/content/application~1x-www-form-urlencoded/schema";
        if let Some(schema) = operation.pointer_mut(form) {
            *schema = json!({
                "type": "object",
                "required": ["question"],
                "properties": { "question": { "type": "string", "example": "a-sealed-question" } },
            });
        }
        refuse(route, operation);
        head(route, operation);
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
        // Whose the installation will be; without it, it is nobody's.
        (_, "/integrations/github/install") => {
            json!([{}, { "bearer": [] }, { "chittyosApiKey": [] }, { "apiKey": [] }])
        }
        (_, "/metrics") => json!([{ "metricsToken": [] }, {}]),
        _ => json!([]),
    }
}

/// The statuses with which a route refuses, by what stands before and in its handler.
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
    // A credential that is not asked for may still be none that is good.
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

/// Describes every refusal: in the words of the handler, where it has some (a reference may have them,
/// OpenAPI 3.1).
fn refuse(route: &Route, operation: &mut Value) {
    let all = statuses(route, operation);
    let Some(Value::Object(responses)) = operation.pointer_mut("/responses") else { return };
    let is_page = |page: &Value| page.pointer("/content/text~1html").is_some();
    // A browser is sent to GitHub, or is shown why not.
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
            // A browser, which says that it wants one, gets a page.
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

/// An answer that says no, with an example of the first code that has the status.
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

/// The headers of the answers that say yes.
fn head(route: &Route, operation: &mut Value) {
    let can_be_replayed = has_header(operation, "Idempotency-Key");
    let is_counted = !matches!(route.access, Access::Open(_));
    let Some(Value::Object(responses)) = operation.pointer_mut("/responses") else { return };
    if route.path.contains("/proxy") {
        let whatever = "What the target answers, with its own status and in its own form.";
        responses.insert("default".to_owned(), json!({ "description": whatever }));
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
        // What is described of a stream is its events' to say.
        if let Some(Value::Object(stream)) = response.pointer_mut("/content/text~1event-stream") {
            stream.remove("schema");
        }
    }
}
