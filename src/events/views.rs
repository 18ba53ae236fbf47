//! The schemas of the requests and replies of events and dead letters, for the API description only.

use utoipa::ToSchema;

/// An event.
#[derive(ToSchema)]
#[schema(as = Event)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct EventView {
    /// `evt_…`
    id: String,
    /// The event's type, such as `context.created`.
    r#type: String,
    /// The kind of the entity that the event happened to.
    entity_type: String,
    /// The id of that entity.
    entity_id: String,
    /// The actor that caused the event.
    actor_id: String,
    /// The credential that the actor used: `token:` and the beginning of the token's SHA-256, `key:key_…` or
    /// `delegation:dlg_…`; null if the gateway itself caused the event.
    via: Option<String>,
    /// When the event happened, ISO-8601 UTC with milliseconds.
    at: String,
    /// Details of the event; never the content itself.
    payload: serde_json::Value,
    /// Whether ChittyChronicle, and every other service that the event concerns, has been told. Also true
    /// once an administrator has discarded the event's dead letter.
    told: bool,
}

/// A page of events.
#[derive(ToSchema)]
#[schema(as = Timeline)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct TimelineView {
    /// The events, newest first.
    events: Vec<EventView>,
    /// How many events the page has.
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
    /// The queue that the message came from, by its binding.
    queue: String,
    /// Why the message was given up.
    reason: String,
    /// The id of the message's event or delivery, if it can be read.
    event_id: Option<String>,
    /// The type of that event.
    event_type: Option<String>,
    /// The entity that the event happened to.
    entity_id: Option<String>,
    /// How many attempts were made.
    attempts: u32,
    /// When the dead letter was made, ISO-8601 UTC with milliseconds.
    created_at: String,
    /// When the dead letter was last replayed; null if the message was given up again since.
    replayed_at: Option<String>,
    /// How often the dead letter was replayed.
    replays: u32,
    /// The message as it was.
    body: String,
}

/// A page of dead letters.
#[derive(ToSchema)]
#[schema(as = DeadLetterList)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct DeadLetterListView {
    /// The dead letters, newest first.
    dead_letters: Vec<DeadLetterView>,
    /// How many dead letters the page has.
    count: u8,
    /// The `cursor` of the next page, or null.
    next_cursor: Option<String>,
}

/// The dead letters to replay: of those that were not replayed since they were given up, all that match.
/// Without any member, all of them match.
#[derive(ToSchema)]
#[schema(as = ReplayDraft)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct ReplayDraftView {
    /// Only dead letters of events of this type.
    #[schema(required = false)]
    r#type: Option<String>,
    /// Only dead letters about this entity.
    #[schema(required = false)]
    entity: Option<String>,
    /// Only dead letters made before this ISO-8601 instant or date.
    #[schema(required = false)]
    before: Option<String>,
}

/// The dead letters that were replayed.
#[derive(ToSchema)]
#[schema(as = Replayed)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct ReplayedView {
    /// Always true.
    success: bool,
    /// How many dead letters were replayed.
    replayed: u8,
    /// The ids of these dead letters.
    ids: Vec<String>,
}

/// The reply to discarding a dead letter.
#[derive(ToSchema)]
#[schema(as = Discarded)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct DiscardedView {
    /// Always true.
    success: bool,
    /// A confirmation in words.
    message: String,
    /// The id of the dead letter.
    id: String,
}
