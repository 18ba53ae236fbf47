//! Contexts: an actor's working environments, with data, systems and tools. `create`, `handlers`, `lineage`
//! and `verification` are the HTTP side, `credentials` makes the key of a context, `input` checks the bodies
//! that callers send and `views` describes them, `store` is the SQL, and `search` turns text into words.

pub mod create;
pub mod credentials;
pub mod handlers;
pub mod input;
pub mod lineage;
pub mod search;
pub mod store;
pub mod verification;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod views;

use chitty_core::ChittyId;
use http_kit::request::Request;
use serde::Serialize;

use crate::access::caller::Scope;
use crate::app::App;
use crate::store::Ready;
use crate::store::event::{Event, EventKind};

/// Returns the event of a change that a request makes to a context, at the present instant.
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

/// The cron's work on contexts, until the time is up: it prepares rows that an earlier version wrote.
pub async fn cron(app: &App, ready: Ready<'_>, until_ms: u64) {
    // 1. Give names of an earlier version their keys.
    store::former_names::settle_all(app, ready, until_ms).await;
    // 2. Write the words of an earlier version anew.
    store::former_words::write_all_anew(app, ready, until_ms).await;
}

/// The status that a caller can set. A context becomes `deleted` only by its deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// In use.
    Active,
    /// Put aside.
    Inactive,
}

impl Status {
    /// The status as it is stored.
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

/// A context as it is returned. The database makes the JSON (in the column `shown`); this type describes it,
/// and a test compares the two.
#[derive(Debug, Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_family = "wasm"), derive(utoipa::ToSchema))]
pub struct Context {
    /// The ChittyID of the context, minted by the service ChittyID.
    #[cfg_attr(not(target_family = "wasm"), schema(example = "03-1-USA-0002-P-2611-0-16"))]
    pub chitty_id: String,
    /// The same as `chitty_id`, for callers of the predecessor.
    #[serde(rename = "chittyId")]
    pub chitty_id_camel: String,
    /// The same as `chitty_id`, for callers of the predecessor.
    #[serde(rename = "contextId")]
    pub context_id_camel: String,
    /// Unique among the owner's contexts that are not deleted; 1 to 200 characters.
    pub name: String,
    /// The ChittyID of the actor who created the context.
    pub owner_chitty_id: String,
    /// The same as `owner_chitty_id`, for callers of the predecessor.
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
    /// When the context was deleted, or null.
    pub deleted_at: Option<String>,
    /// The id of the context's record at ChittyDNA, or null if it is not known yet.
    pub chitty_dna_id: Option<String>,
    /// The id of the context's timeline at ChittyChronicle, or null if it is not known yet.
    pub chitty_chronicle_timeline_id: Option<String>,
    /// The same as `created_at`, for callers of the predecessor.
    pub created: String,
    /// The last answer of ChittyVerify. Only in the reply to `GET /v1/contexts/{id}`, and only if the context
    /// was ever verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(not(target_family = "wasm"), schema(required = false, value_type = ContextVerification))]
    pub verification: Option<serde_json::Value>,
    /// The type that the owner gave the context, or null.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// An object of the owner's choice, as it was sent, or null.
    #[cfg_attr(not(target_family = "wasm"), schema(value_type = Option<Object>))]
    pub customizations: Option<serde_json::Map<String, serde_json::Value>>,
    /// The parts of the request that the gateway ignored, in words; only if there are any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(not(target_family = "wasm"), schema(required = false))]
    pub warnings: Vec<String>,
}

/// An answer of ChittyVerify about a context.
#[cfg(not(target_family = "wasm"))]
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "describes what the handlers put together")]
pub(crate) struct ContextVerification {
    /// Whether ChittyVerify has verified the context.
    verified: bool,
    /// The status in ChittyVerify's own words, such as PASS, FAIL or REVIEW.
    status: Option<String>,
    /// The id of the verification at ChittyVerify.
    verification_id: Option<String>,
    /// How certain ChittyVerify is, in percent.
    confidence_percent: Option<u8>,
    /// When ChittyVerify answered: ISO-8601 UTC with milliseconds.
    verified_at: String,
    /// The id of the verification's event, `evt_…`, in the audit.
    event_id: String,
}

/// The reply to a verification.
#[cfg(not(target_family = "wasm"))]
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "describes what the handlers put together")]
pub(crate) struct VerificationReply {
    /// Always true: ChittyVerify has answered.
    success: bool,
    /// The ChittyID of the context.
    chitty_id: String,
    /// The answer of ChittyVerify.
    verification: ContextVerification,
}

/// The lineage of a context.
#[cfg(not(target_family = "wasm"))]
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "describes what the handlers put together")]
pub(crate) struct Lineage {
    /// The ChittyID of the context.
    chitty_id: String,
    /// The answer of ChittyDNA, with members such as `dna_id`, `generation`, `genesis` and `events`.
    #[schema(value_type = Object)]
    lineage: serde_json::Value,
    /// When ChittyDNA gave this answer: ISO-8601 UTC with milliseconds.
    read_at: String,
    /// The age of this answer, in seconds.
    age_seconds: u64,
    /// Whether the gateway asked ChittyDNA again and got no usable answer.
    stale: bool,
}

/// The reply to a creation or a change.
#[cfg(not(target_family = "wasm"))]
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "describes what the handlers put together")]
pub(crate) struct ContextReply {
    /// Always true.
    success: bool,
    /// The result in words; not in the reply to a creation.
    #[schema(required = false)]
    message: String,
    /// The context after the creation or change.
    context: Context,
    /// The key that ChittyAuth made for the context; only if the request asked for one.
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
    /// The number of contexts on this page.
    count: u8,
    /// The `q` of a search; not in a list.
    #[schema(required = false)]
    query: String,
    /// The `cursor` of the next page, or null.
    next_cursor: Option<String>,
    /// The parts of the request that the gateway ignored, in words; only if there are any.
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
    /// The result in words.
    message: String,
    /// The ChittyID of the deleted context.
    chitty_id: String,
    /// The same as `chitty_id`, for callers of the predecessor.
    #[schema(rename = "chittyId")]
    chitty_id_camel: String,
    /// The same as `chitty_id`, for callers of the predecessor.
    #[schema(rename = "contextId")]
    context_id_camel: String,
}
