//! Actors, delegations, keys and the audit.

use utoipa::ToSchema;

/// How to register.
#[derive(ToSchema)]
#[schema(as = ActorRegistration)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct ActorRegistrationView {
    /// `human`, `ai`, `service` or `system`.
    actor_type: String,
    /// 1 to 200 characters; everybody sees it.
    #[schema(required = false)]
    display_name: Option<String>,
    /// Only you and administrators see it.
    #[schema(required = false)]
    email: Option<String>,
    /// An https URL; everybody sees it.
    #[schema(required = false)]
    avatar_url: Option<String>,
    /// Changes nothing; 422 when it names something that you do not hold.
    #[schema(required = false)]
    capabilities: Option<Vec<String>>,
}

/// What to change of an actor.
#[derive(ToSchema)]
#[schema(as = ActorPatch)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct ActorPatchView {
    /// 1 to 200 characters, or null.
    #[schema(required = false)]
    display_name: Option<String>,
    /// An e-mail address, or null.
    #[schema(required = false)]
    email: Option<String>,
    /// An https URL, or null.
    #[schema(required = false)]
    avatar_url: Option<String>,
    /// `active`, `suspended` or `deleted`; by an administrator only, and never one's own.
    #[schema(required = false)]
    status: String,
}

/// An actor as itself and administrators see it.
#[derive(ToSchema)]
#[schema(as = Actor)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct ActorView {
    /// The ChittyID that ChittyAuth vouches for.
    chitty_id: String,
    /// The same, for callers of the predecessor.
    #[schema(rename = "chittyId")]
    chitty_id_camel: String,
    /// Whether it has registered itself.
    registered: bool,
    /// `human`, `ai`, `service` or `system`.
    actor_type: String,
    /// What others see.
    display_name: Option<String>,
    /// Only for the actor and administrators.
    email: Option<String>,
    /// An https URL.
    avatar_url: Option<String>,
    /// What ChittyAuth says that it may, and what was granted.
    capabilities: Vec<String>,
    /// Its record at ChittyDNA.
    chitty_dna_id: Option<String>,
    /// Its principal at ChittyAuth.
    chitty_auth_principal_id: Option<String>,
    /// When it was last seen, to the minute; ISO-8601.
    last_seen_at: Option<String>,
    /// How often it came after half an hour of silence.
    session_count: u32,
    /// `active`, `suspended` or `deleted`.
    status: String,
    /// ISO-8601 UTC with milliseconds.
    created_at: String,
    /// ISO-8601 UTC with milliseconds.
    updated_at: String,
}

/// The reply to a registration or a change.
#[derive(ToSchema)]
#[schema(as = ActorReply)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct ActorReplyView {
    /// Always true.
    success: bool,
    /// What was done, in words; not in the reply to a registration.
    #[schema(required = false)]
    message: String,
    /// The actor as it is now.
    actor: ActorView,
}

/// What everybody may know of an actor.
#[derive(ToSchema)]
#[schema(as = PublicActor)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct PublicActorView {
    /// The ChittyID that ChittyAuth vouches for.
    chitty_id: String,
    /// The same, for callers of the predecessor.
    #[schema(rename = "chittyId")]
    chitty_id_camel: String,
    /// `human`, `ai`, `service` or `system`.
    actor_type: String,
    /// 1 to 200 characters.
    display_name: Option<String>,
    /// An https URL.
    avatar_url: Option<String>,
}

/// An actor who has not registered.
#[derive(ToSchema)]
#[schema(as = UnregisteredActor)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct UnregisteredActorView {
    /// The ChittyID that ChittyAuth vouches for.
    chitty_id: String,
    /// The same, for callers of the predecessor.
    #[schema(rename = "chittyId")]
    chitty_id_camel: String,
    /// Always false.
    registered: bool,
    /// How to register.
    message: String,
}

/// All of an actor for itself and administrators, and what everybody may know for others.
#[derive(ToSchema)]
#[serde(untagged)]
#[schema(as = VisibleActor)]
#[allow(dead_code, clippy::large_enum_variant, reason = "a description")]
pub(crate) enum VisibleActorView {
    /// For itself and administrators.
    Whole(ActorView),
    /// For others.
    Public(PublicActorView),
}

/// An actor, or what others may know of it.
#[derive(ToSchema)]
#[schema(as = ShownActor)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct ShownActorView {
    /// The actor.
    actor: VisibleActorView,
}

/// Who calls, registered or not.
#[derive(ToSchema)]
#[serde(untagged)]
#[schema(as = CallingActor)]
#[allow(dead_code, clippy::large_enum_variant, reason = "a description")]
pub(crate) enum CallingActorView {
    /// It has registered.
    Registered(ActorView),
    /// It has not.
    Unregistered(UnregisteredActorView),
}

/// Oneself.
#[derive(ToSchema)]
#[schema(as = OwnActor)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct OwnActorView {
    /// Yourself.
    actor: CallingActorView,
    /// What the credential in use may.
    scopes: Vec<String>,
}

/// A page of actors.
#[derive(ToSchema)]
#[schema(as = ActorList)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct ActorListView {
    /// The actors of this page.
    actors: Vec<ActorView>,
    /// How many they are.
    count: u8,
    /// The `cursor` of the next page, or null.
    next_cursor: Option<String>,
}

/// What an actor may, by where it comes from.
#[derive(ToSchema)]
#[schema(as = Capabilities)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct CapabilitiesView {
    /// The actor.
    chitty_id: String,
    /// `human`, `ai`, `service` or `system`.
    actor_type: String,
    /// `active`, `suspended` or `deleted`.
    status: String,
    /// Both of the following together.
    capabilities: Vec<String>,
    /// How many they are.
    capability_count: u32,
    /// What ChittyAuth last said.
    vouched: Vec<String>,
    /// What an administrator has granted.
    granted: Vec<String>,
}

/// What to grant.
#[derive(ToSchema)]
#[schema(as = Grant)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct GrantView {
    /// Replaces what was granted before; empty takes all of it away. At most 50 scopes.
    capabilities: Vec<String>,
}

/// A delegation to be made.
#[derive(ToSchema)]
#[schema(as = DelegationDraft)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct DelegationDraftView {
    /// For which service the token is; `chittyconnect` is this gateway.
    target_service: String,
    /// At most what you hold; reading, as far as you may, by default.
    #[schema(required = false)]
    scopes: Option<Vec<String>>,
    /// 60 to 86400; 3600 by default.
    #[schema(required = false)]
    expires_in_seconds: Option<u32>,
    /// An object of at most 4 KB, for yourself.
    #[schema(required = false)]
    metadata: Option<serde_json::Value>,
}

/// A delegation.
#[derive(ToSchema)]
#[schema(as = Delegation)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct DelegationView {
    /// `dlg_…`
    token_id: String,
    /// The same.
    delegation_id: String,
    /// The token, in the reply to its creation only.
    #[schema(required = false)]
    token: String,
    /// For whom the token acts.
    delegator_chitty_id: String,
    /// For which service it is, in lower case and without `chitty`.
    target_service: String,
    /// What it was made for.
    scopes: Vec<String>,
    /// What its maker noted.
    metadata: serde_json::Value,
    /// `active`, `expired` or `revoked`.
    status: String,
    /// 1 for the first, 5 at most.
    depth: u8,
    /// ISO-8601 UTC with milliseconds.
    created_at: String,
    /// ISO-8601 UTC with milliseconds.
    expires_at: String,
    /// ISO-8601 UTC with milliseconds.
    revoked_at: Option<String>,
    /// Its whole life.
    expires_in_seconds: i64,
}

/// The reply to a delegation.
#[derive(ToSchema)]
#[schema(as = DelegationReply)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct DelegationReplyView {
    /// Always true.
    success: bool,
    /// The delegation, with its token.
    delegation: DelegationView,
}

/// A page of delegations.
#[derive(ToSchema)]
#[schema(as = DelegationList)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct DelegationListView {
    /// The delegations of this page.
    delegations: Vec<DelegationView>,
    /// How many they are.
    count: u8,
    /// The `cursor` of the next page, or null.
    next_cursor: Option<String>,
}

/// The reply to a revocation.
#[derive(ToSchema)]
#[schema(as = Revocation)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct RevocationView {
    /// Always true.
    success: bool,
    /// What was done, in words.
    message: String,
    /// What was revoked.
    token_id: String,
}

/// A question about a token.
#[derive(ToSchema)]
#[schema(as = ValidationDraft)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct ValidationDraftView {
    /// The token.
    token: String,
    /// Who asks: a token for another service is not active there.
    #[schema(required = false)]
    target_service: Option<String>,
}

/// What is said of a token (RFC 7662).
#[derive(ToSchema)]
#[serde(untagged)]
#[schema(as = Introspection)]
#[allow(dead_code, clippy::large_enum_variant, reason = "a description")]
pub(crate) enum IntrospectionView {
    /// It is good at the service in question.
    Active(ActiveTokenView),
    /// It is not, which is all that is said of it.
    Inactive(InactiveTokenView),
}

/// A token that is good.
#[derive(ToSchema)]
#[schema(as = ActiveToken)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct ActiveTokenView {
    /// Always true.
    active: bool,
    /// The same, for callers of the predecessor.
    valid: bool,
    /// Always `Bearer`.
    token_type: String,
    /// What it may at this moment, separated by spaces.
    scope: String,
    /// The delegator.
    sub: String,
    /// The service that it is for, as the question names it; `chittyconnect` where it names none.
    aud: String,
    /// Seconds since the Unix epoch.
    iat: u64,
    /// Seconds since the Unix epoch.
    exp: u64,
    /// `dlg_…`
    jti: String,
    /// The same in the predecessor's words.
    delegation: DelegationGistView,
}

/// A token that is not good, or not at this service.
#[derive(ToSchema)]
#[schema(as = InactiveToken)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct InactiveTokenView {
    /// Always false.
    active: bool,
    /// The same, for callers of the predecessor.
    valid: bool,
}

/// What a service may know of a delegation.
#[derive(ToSchema)]
#[schema(as = DelegationGist)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct DelegationGistView {
    /// `dlg_…`
    token_id: String,
    /// For whom the token acts.
    delegator_chitty_id: String,
    /// For which service it is, in lower case and without `chitty`.
    target_service: String,
    /// What it may at this moment.
    scopes: Vec<String>,
    /// ISO-8601 UTC with milliseconds.
    expires_at: String,
}

/// A key to be made.
#[derive(ToSchema)]
#[schema(as = KeyDraft)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct KeyDraftView {
    /// 1 to 200 characters.
    name: String,
    /// At most what you hold.
    scopes: Vec<String>,
    /// 60 to 157680000 (five years); without it the key does not end by itself.
    #[schema(required = false)]
    expires_in_seconds: Option<u32>,
    /// For whom; yourself by default, somebody else by an administrator only.
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
    /// The key itself, in the reply to its creation or rotation only.
    #[schema(required = false)]
    key: String,
    /// Who calls by it.
    owner_chitty_id: String,
    /// What people call it.
    name: String,
    /// What it was made for.
    scopes: Vec<String>,
    /// `active`, `expired` or `revoked`.
    status: String,
    /// Its last four characters.
    hint: Option<String>,
    /// Who made it.
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
    /// To the minute; ISO-8601 UTC with milliseconds, or null.
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
    /// How many they are.
    count: u8,
    /// The `cursor` of the next page, or null.
    next_cursor: Option<String>,
}

/// How to rotate.
#[derive(ToSchema)]
#[schema(as = Rotation)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct RotationView {
    /// How long the secret before goes on working: 0 to 604800 (a week); a day by default.
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
    /// What was revoked.
    key_id: String,
}

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
