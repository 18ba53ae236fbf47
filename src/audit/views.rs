//! The schemas of the audit's requests and replies, for the API description only.

use utoipa::ToSchema;

/// An entry of the audit.
#[derive(ToSchema)]
#[schema(as = AuditEntry)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct AuditEntryView {
    /// The number of the entry. The numbers have no gaps.
    seq: u64,
    /// The id of the action's event, `evt_…`.
    event_id: String,
    /// When it was done: ISO-8601 UTC with milliseconds.
    at: String,
    /// The actor who did it.
    actor_id: String,
    /// The credential of the actor: `token:` and the beginning of the token's SHA-256, `key:key_…` or
    /// `delegation:dlg_…`; null if the gateway itself acted.
    via: Option<String>,
    /// The action, such as `context.created`.
    action: String,
    /// The type of the entity that it was done to.
    entity_type: String,
    /// The id of that entity.
    entity_id: String,
    /// `done`, `begun` (a later entry has the final outcome, or only the target knows it), `failed` or
    /// `undone`.
    outcome: String,
    /// Details of the action, but never the content of the entity.
    detail: serde_json::Value,
}

/// A page of the audit.
#[derive(ToSchema)]
#[schema(as = AuditList)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct AuditListView {
    /// The entries of this page.
    entries: Vec<AuditEntryView>,
    /// The number of entries on this page.
    count: u8,
    /// The `cursor` of the next page, or null.
    next_cursor: Option<String>,
}

/// The seal of an entry.
#[derive(ToSchema)]
#[schema(as = AuditSeal)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct AuditSealView {
    /// The number of the entry.
    seq: u64,
    /// The seal: a SHA-256, as 64 hex digits.
    hash: String,
}

/// An entry of the audit where something is wrong.
#[derive(ToSchema)]
#[schema(as = AuditFault)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct AuditFaultView {
    /// The number of the entry.
    seq: u64,
    /// What is wrong, in words.
    what: String,
}

/// A range of entries of the audit.
#[derive(ToSchema)]
#[schema(as = AuditPart)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct AuditPartView {
    /// The number of the first entry.
    from: u64,
    /// The number of the last entry.
    to: u64,
}

/// A part of the archive that cannot be read.
#[derive(ToSchema)]
#[schema(as = AuditUnreadable)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct AuditUnreadableView {
    /// The number of its first entry.
    from: u64,
    /// The number of its last entry.
    to: u64,
    /// The reason, in words.
    what: String,
}

/// The result of a verification.
#[derive(ToSchema)]
#[schema(as = AuditVerdict)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct AuditVerdictView {
    /// `valid`, `altered` or `unreadable`.
    result: String,
    /// Whether every entry that this call should compare could be read and matches its seal.
    valid: bool,
    /// The entries that were compared and match their seals; null if there are none.
    verified: Option<AuditPartView>,
    /// The number of these entries.
    checked: u64,
    /// How many of these entries are in the archive.
    archived: u64,
    /// The number of the last of these entries.
    sealed_to: Option<u64>,
    /// How many entries wait for their seal.
    unsealed: u64,
    /// The first entry where something is wrong.
    fault: Option<AuditFaultView>,
    /// The part of the archive that could not be read; `next` continues after it.
    unreadable: Option<AuditUnreadableView>,
    /// The last seal that was compared and matches.
    head: Option<AuditSealView>,
    /// The `from` of the next call, or null.
    next: Option<u64>,
}
