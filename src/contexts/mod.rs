//! Contexts: what an actor works in. `create` and `handlers` are the HTTP side, `input` the rules for what a
//! caller sends, `store` the SQL, `search` how text becomes words.

pub mod create;
pub mod credentials;
pub mod handlers;
pub mod input;
pub mod said;
pub mod search;
pub mod store;

use chitty_core::ChittyId;
use http_kit::request::Request;
use serde::Serialize;

use crate::access::caller::Scope;
use crate::app::App;
use crate::store::Ready;
use crate::store::event::{Event, EventKind};

/// The event of what a request does to a context, now.
fn event(
    app: &App,
    kind: EventKind,
    id: &ChittyId,
    scope: &Scope,
    payload: serde_json::Value,
    request: &Request<'_>,
) -> Event {
    Event::caused(request, scope, kind, id.as_str(), payload, app.now_ms())
}

/// What the cron does for contexts, until the time is up.
pub async fn cron(app: &App, ready: Ready<'_>, until_ms: u64) {
    store::former_names::settle_all(app, ready, until_ms).await;
    store::former_words::write_all_anew(app, ready, until_ms).await;
}

/// The status that a caller can give; `deleted` comes by deleting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// In use.
    Active,
    /// Put aside.
    Inactive,
}

impl Status {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Active => "active",
            Status::Inactive => "inactive",
        }
    }

    /// Reads a stored or sent status.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "active" => Some(Status::Active),
            "inactive" => Some(Status::Inactive),
            _ => None,
        }
    }
}

/// A context as it is returned. The JSON itself is made by the database (the column
/// `shown`); this type describes it, and a test holds the two together.
#[derive(Debug, Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_family = "wasm"), derive(utoipa::ToSchema))]
pub struct Context {
    /// The ChittyID, minted by ChittyID.
    #[cfg_attr(not(target_family = "wasm"), schema(example = "03-1-USA-0001-P-2611-0-92"))]
    pub chitty_id: String,
    /// The same, for callers of the predecessor.
    #[serde(rename = "chittyId")]
    pub chitty_id_camel: String,
    /// The same, for callers of the predecessor.
    #[serde(rename = "contextId")]
    pub context_id_camel: String,
    /// Unique among the owner's contexts that are not deleted; 1 to 200 characters.
    pub name: String,
    /// The ChittyID of the actor who made it.
    pub owner_chitty_id: String,
    /// The same, for callers of the predecessor.
    pub owner: String,
    /// Any JSON values.
    pub data: Vec<serde_json::Value>,
    /// Any JSON values, usually names of systems.
    pub systems: Vec<serde_json::Value>,
    /// Any JSON values, usually names of tools.
    pub tools: Vec<serde_json::Value>,
    /// `active`, `inactive` or, in the reply to a deletion, `deleted`.
    pub status: String,
    /// ISO-8601 UTC with milliseconds.
    pub created_at: String,
    /// ISO-8601 UTC with milliseconds.
    pub updated_at: String,
    /// When it was deleted.
    pub deleted_at: Option<String>,
    /// Its record at ChittyDNA.
    pub chitty_dna_id: Option<String>,
    /// Its timeline at ChittyChronicle.
    pub chitty_chronicle_timeline_id: Option<String>,
    /// The same as `created_at`, for callers of the predecessor.
    pub created: String,
    /// What ChittyVerify said last; only where the context is read by itself, and was ever verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(not(target_family = "wasm"), schema(required = false, value_type = ContextVerification))]
    pub verification: Option<serde_json::Value>,
    /// What kind of context its maker calls it.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// An object of its maker's, as it was sent.
    #[cfg_attr(not(target_family = "wasm"), schema(value_type = Option<Object>))]
    pub customizations: Option<serde_json::Map<String, serde_json::Value>>,
    /// What was asked for and not done, where that is so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(not(target_family = "wasm"), schema(required = false))]
    pub warnings: Vec<String>,
}

/// What ChittyVerify has said of a context.
#[cfg(not(target_family = "wasm"))]
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "describes what the handlers put together")]
pub(crate) struct ContextVerification {
    /// Whether it is what it says.
    verified: bool,
    /// ChittyVerify's own word, such as PASS, FAIL or REVIEW.
    status: Option<String>,
    /// By what ChittyVerify knows the verification.
    verification_id: Option<String>,
    /// How sure it is, in percent.
    confidence_percent: Option<u8>,
    /// ISO-8601 UTC with milliseconds.
    verified_at: String,
    /// The event in the audit.
    event_id: String,
}

/// The reply to a verification.
#[cfg(not(target_family = "wasm"))]
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "describes what the handlers put together")]
pub(crate) struct VerificationReply {
    /// Always true: ChittyVerify has answered.
    success: bool,
    /// Of which context.
    chitty_id: String,
    /// What it said.
    verification: ContextVerification,
}

/// The lineage of a context.
#[cfg(not(target_family = "wasm"))]
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "describes what the handlers put together")]
pub(crate) struct Lineage {
    /// Of which context.
    chitty_id: String,
    /// What ChittyDNA tells, such as `dna_id`, `generation`, `genesis` and `events`.
    #[schema(value_type = Object)]
    lineage: serde_json::Value,
    /// When it told that: ISO-8601 UTC with milliseconds.
    read_at: String,
    /// How long ago that was.
    age_seconds: u64,
    /// Whether ChittyDNA was asked again and did not answer.
    stale: bool,
}

/// The reply to a creation or a change.
#[cfg(not(target_family = "wasm"))]
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "describes what the handlers put together")]
pub(crate) struct ContextReply {
    /// Always true.
    success: bool,
    /// What was done, in words; not in the reply to a creation.
    #[schema(required = false)]
    message: String,
    /// The context as it is now.
    context: Context,
    /// The key that was made for it, where one was asked for.
    #[schema(required = false)]
    credentials: credentials::KeyView,
}

/// A page of contexts.
#[cfg(not(target_family = "wasm"))]
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "describes what the handlers put together")]
pub(crate) struct ContextList {
    /// The contexts of this page.
    contexts: Vec<Context>,
    /// How many they are.
    count: u8,
    /// What was searched for; not in a list.
    #[schema(required = false)]
    query: String,
    /// The `cursor` of the next page, or null.
    next_cursor: Option<String>,
    /// What was asked for and not done, where that is so.
    #[schema(required = false)]
    warnings: Vec<String>,
}

/// The reply to a deletion.
#[cfg(not(target_family = "wasm"))]
#[derive(utoipa::ToSchema)]
#[schema(as = Deleted)]
#[allow(dead_code, reason = "describes what the handlers put together")]
pub(crate) struct DeletionView {
    /// Always true.
    success: bool,
    /// What was done, in words.
    message: String,
    /// The context that was deleted.
    chitty_id: String,
    /// The same, for callers of the predecessor.
    #[schema(rename = "chittyId")]
    chitty_id_camel: String,
    /// The same, for callers of the predecessor.
    #[schema(rename = "contextId")]
    context_id_camel: String,
}
