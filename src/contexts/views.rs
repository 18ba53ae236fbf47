//! The shapes of the requests of contexts, for the API description only.

use serde_json::Value;
use utoipa::ToSchema;

/// The body of a creation, for the API description.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `input::draft` reads")]
pub(crate) struct ContextDraft {
    /// The name, unique among your contexts that are not deleted. The gateway stores it in Unicode NFC,
    /// without white space at its ends, and with each run of white space as one space. It refuses characters
    /// that cannot be seen.
    #[schema(min_length = 1, max_length = 200, example = "release-42")]
    name: String,
    /// Any JSON values; at most 1000 entries and 192 KiB.
    #[schema(required = false, max_items = 1000)]
    data: Vec<Value>,
    /// Any JSON values; at most 100 entries and 192 KiB.
    #[schema(required = false, max_items = 100, example = json!(["github"]))]
    systems: Vec<Value>,
    /// Any JSON values; at most 100 entries and 192 KiB.
    #[schema(required = false, max_items = 100, example = json!(["search"]))]
    tools: Vec<Value>,
    /// A type of your choice, or null for none. `?type=` narrows a list to one type.
    #[schema(
        required = false,
        rename = "type",
        min_length = 1,
        max_length = 64,
        example = "session"
    )]
    kind: Option<String>,
    /// Any object of at most 192 KiB, returned as it was sent, or null for none. The search ignores it.
    #[schema(required = false, value_type = Option<Object>, example = json!({"agents": ["reviewer"]}))]
    customizations: Option<serde_json::Map<String, Value>>,
    /// `active` or `inactive`.
    #[schema(required = false, default = "active", example = "active")]
    status: String,
    /// A key that ChittyAuth is to make for the context, or null for none. Only the reply shows the key.
    #[schema(required = false, example = "provisioned")]
    credentials: Option<ContextCredentials>,
}

/// The request to make a key for a context.
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "describes what `input` reads")]
pub(crate) enum ContextCredentials {
    /// A key with the usual scopes and the longest possible life.
    Usual(ContextCredentialsWord),
    /// A key with the given scopes and life.
    Said(ContextKeyDraft),
}

/// The request to make a key with the usual scopes and the longest possible life.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code, reason = "describes what `input` reads")]
pub(crate) enum ContextCredentialsWord {
    /// ChittyAuth makes the key.
    Provisioned,
}

/// A key that ChittyAuth is to make for a context.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `input` reads")]
pub(crate) struct ContextKeyDraft {
    /// Always `provisioned`.
    r#type: String,
    /// `{service}:read` or `{service}:write`, each of which you must hold yourself. By default
    /// `contexts:read` and `contexts:write`, as far as you hold them. Only an administrator may request
    /// scopes of the services that make identities and credentials.
    #[schema(required = false, example = json!(["cases:read"]))]
    scopes: Option<Vec<String>>,
    /// The life of the key: a minute to 90 days. The key never outlives your own credential. By default, its
    /// life is as long as both allow.
    #[schema(required = false)]
    expires_in_seconds: Option<u32>,
}

/// The body of a change: only the members that change. A new array replaces the whole old one.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `input::patch` reads")]
pub(crate) struct ContextPatch {
    /// The name, unique among your contexts that are not deleted; the rules are those of the creation.
    #[schema(required = false, min_length = 1, max_length = 200)]
    name: String,
    /// Any JSON values; at most 1000 entries and 192 KiB.
    #[schema(required = false, max_items = 1000)]
    data: Vec<Value>,
    /// Any JSON values; at most 100 entries and 192 KiB.
    #[schema(required = false, max_items = 100)]
    systems: Vec<Value>,
    /// Any JSON values; at most 100 entries and 192 KiB.
    #[schema(required = false, max_items = 100)]
    tools: Vec<Value>,
    /// A type of your choice, or null for none.
    #[schema(required = false, rename = "type", min_length = 1, max_length = 64)]
    kind: Option<String>,
    /// Any object of at most 192 KiB, or null for none.
    #[schema(required = false, value_type = Option<Object>)]
    customizations: Option<serde_json::Map<String, Value>>,
    /// `active` or `inactive`.
    #[schema(required = false, example = "inactive")]
    status: String,
    /// A key that ChittyAuth is to make in place of the context's present key, which is revoked. Null only
    /// revokes the present key.
    #[schema(required = false, example = "provisioned")]
    credentials: Option<ContextCredentials>,
}
