//! What requests and replies of events and dead letters look like: for the API description only.

use utoipa::ToSchema;

/// Something that has happened.
#[derive(ToSchema)]
#[schema(as = Event)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct EventView {
    /// `evt_…`
    id: String,
    /// Such as `context.created`.
    r#type: String,
    /// What kind of entity it happened to.
    entity_type: String,
    /// To which one.
    entity_id: String,
    /// Who did it.
    actor_id: String,
    /// By which credential: `token:` and the beginning of the token's SHA-256, `key:key_…` or
    /// `delegation:dlg_…`; null where it was the gateway itself.
    via: Option<String>,
    /// ISO-8601 UTC with milliseconds.
    at: String,
    /// What there is to know of it; never the content itself.
    payload: serde_json::Value,
    /// Whether ChittyChronicle has been told.
    told: bool,
}

/// A page of what has happened.
#[derive(ToSchema)]
#[schema(as = Timeline)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct TimelineView {
    /// Newest first.
    events: Vec<EventView>,
    /// How many they are.
    count: u8,
    /// The `cursor` of the next page, or null.
    next_cursor: Option<String>,
}

/// A message that was given up.
#[derive(ToSchema)]
#[schema(as = DeadLetter)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct DeadLetterView {
    /// `dl_…`
    id: String,
    /// Where it came from, by its binding.
    queue: String,
    /// Why it was given up.
    reason: String,
    /// The event that it tells of, as far as it can be read.
    event_id: Option<String>,
    /// Of which type.
    event_type: Option<String>,
    /// About which entity.
    entity_id: Option<String>,
    /// How often it was tried.
    attempts: u32,
    /// ISO-8601 UTC with milliseconds.
    created_at: String,
    /// When it was last replayed; null when it has died since.
    replayed_at: Option<String>,
    /// How often it was replayed.
    replays: u32,
    /// The message as it was.
    body: String,
}

/// A page of dead letters.
#[derive(ToSchema)]
#[schema(as = DeadLetterList)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct DeadLetterListView {
    /// Newest first.
    dead_letters: Vec<DeadLetterView>,
    /// How many they are.
    count: u8,
    /// The `cursor` of the next page, or null.
    next_cursor: Option<String>,
}

/// Which dead letters to replay: all that were not replayed since they died, where nothing is said.
#[derive(ToSchema)]
#[schema(as = ReplayDraft)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct ReplayDraftView {
    /// Only events of this type.
    #[schema(required = false)]
    r#type: Option<String>,
    /// Only about this entity.
    #[schema(required = false)]
    entity: Option<String>,
    /// Only those that died before this ISO-8601 instant or date.
    #[schema(required = false)]
    before: Option<String>,
}

/// What is delivered again.
#[derive(ToSchema)]
#[schema(as = Replayed)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct ReplayedView {
    /// Always true.
    success: bool,
    /// How many.
    replayed: u8,
    /// Which.
    ids: Vec<String>,
}

/// The reply to throwing a dead letter away.
#[derive(ToSchema)]
#[schema(as = Discarded)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct DiscardedView {
    /// Always true.
    success: bool,
    /// What was done, in words.
    message: String,
    /// Which one.
    id: String,
}
