//! What requests and replies of the audit look like: for the API description only.

use utoipa::ToSchema;

/// An entry of the audit.
#[derive(ToSchema)]
#[schema(as = AuditEntry)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct AuditEntryView {
    /// Its number; there are no gaps.
    seq: u64,
    /// The event that told of it, `evt_…`.
    event_id: String,
    /// ISO-8601 UTC with milliseconds.
    at: String,
    /// Who did it.
    actor_id: String,
    /// By which credential: `token:` and the beginning of the token's SHA-256, `key:key_…` or
    /// `delegation:dlg_…`; null where it was the gateway itself.
    via: Option<String>,
    /// What was done, such as `context.created`.
    action: String,
    /// To what kind of entity.
    entity_type: String,
    /// To which one.
    entity_id: String,
    /// `done`, `begun` (what comes of it is in a later entry, or the target's to know), `failed` or `undone`.
    outcome: String,
    /// What there is to know of it; never the content itself.
    detail: serde_json::Value,
}

/// A page of the audit.
#[derive(ToSchema)]
#[schema(as = AuditList)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct AuditListView {
    /// The entries of this page.
    entries: Vec<AuditEntryView>,
    /// How many they are.
    count: u8,
    /// The `cursor` of the next page, or null.
    next_cursor: Option<String>,
}

/// A seal.
#[derive(ToSchema)]
#[schema(as = AuditSeal)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct AuditSealView {
    /// The number of its entry.
    seq: u64,
    /// SHA-256, 64 hex digits.
    hash: String,
}

/// What is wrong with the audit.
#[derive(ToSchema)]
#[schema(as = AuditFault)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct AuditFaultView {
    /// The number of the entry.
    seq: u64,
    /// What is wrong, in words.
    what: String,
}

/// Entries of the audit.
#[derive(ToSchema)]
#[schema(as = AuditPart)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct AuditPartView {
    /// The number of the first.
    from: u64,
    /// The number of the last.
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
    /// Why, in words.
    what: String,
}

/// What a verification found.
#[derive(ToSchema)]
#[schema(as = AuditVerdict)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct AuditVerdictView {
    /// `valid`, `altered` or `unreadable`.
    result: String,
    /// Whether everything that this call compared is what was sealed, and nothing stood in its way.
    valid: bool,
    /// The entries that were compared and are what was sealed; null when there are none.
    verified: Option<AuditPartView>,
    /// How many they are.
    checked: u64,
    /// How many of them are in the archive.
    archived: u64,
    /// The number of the last of them.
    sealed_to: Option<u64>,
    /// How many entries wait for their seal.
    unsealed: u64,
    /// The first thing that is wrong.
    fault: Option<AuditFaultView>,
    /// What could not be compared, and where `next` goes on behind it.
    unreadable: Option<AuditUnreadableView>,
    /// The last seal that was compared.
    head: Option<AuditSealView>,
    /// Where another call goes on, or null.
    next: Option<u64>,
}
