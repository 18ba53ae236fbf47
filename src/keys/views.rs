//! The requests and replies of API keys, for the API description only.

use utoipa::ToSchema;

/// A key to make.
#[derive(ToSchema)]
#[schema(as = KeyDraft)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct KeyDraftView {
    /// 1 to 200 characters.
    name: String,
    /// At most the scopes that you hold.
    scopes: Vec<String>,
    /// 60 to 157680000 (five years); without it the key does not expire.
    #[schema(required = false)]
    expires_in_seconds: Option<u32>,
    /// The owner of the key: yourself by default. Only an administrator can name another actor.
    #[schema(required = false)]
    actor_chitty_id: Option<String>,
}

/// An API key.
#[derive(ToSchema)]
#[schema(as = Key)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct KeyView {
    /// `key_…`
    key_id: String,
    /// The key itself; only in the reply to its creation or rotation.
    #[schema(required = false)]
    key: String,
    /// The actor that calls with it.
    owner_chitty_id: String,
    /// Its name for people.
    name: String,
    /// The scopes that it was made with.
    scopes: Vec<String>,
    /// `active`, `expired` or `revoked`.
    status: String,
    /// Its last four characters.
    hint: Option<String>,
    /// The actor that made it.
    created_by: String,
    /// ISO-8601 UTC with milliseconds.
    created_at: String,
    /// ISO-8601 UTC with milliseconds.
    updated_at: String,
    /// ISO-8601 UTC with milliseconds, or null.
    expires_at: Option<String>,
    /// ISO-8601 UTC with milliseconds, or null.
    rotated_at: Option<String>,
    /// ISO-8601 UTC with milliseconds, or null.
    revoked_at: Option<String>,
    /// When it was last used, to the minute; ISO-8601 UTC with milliseconds, or null.
    last_used_at: Option<String>,
}

/// The reply to a creation or a rotation.
#[derive(ToSchema)]
#[schema(as = KeyReply)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct KeyReplyView {
    /// Always true.
    success: bool,
    /// The key, with its secret.
    key: KeyView,
}

/// A page of keys.
#[derive(ToSchema)]
#[schema(as = KeyList)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct KeyListView {
    /// The keys of this page.
    keys: Vec<KeyView>,
    /// How many keys this page has.
    count: u8,
    /// The `cursor` of the next page, or null.
    next_cursor: Option<String>,
}

/// The options of a rotation.
#[derive(ToSchema)]
#[schema(as = Rotation)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct RotationView {
    /// How long the old secret stays valid: 0 to 604800 (a week); a day by default.
    #[schema(required = false)]
    grace_seconds: Option<u32>,
}

/// The reply to a revocation of a key.
#[derive(ToSchema)]
#[schema(as = KeyRevocation)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct KeyRevocationView {
    /// Always true.
    success: bool,
    /// What was done, in words.
    message: String,
    /// The key that was revoked.
    key_id: String,
}
