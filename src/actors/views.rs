//! The requests and replies of actors, for the API description only.

use utoipa::ToSchema;

/// A registration.
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
    /// Has no effect; 422 if it names a scope that you do not hold.
    #[schema(required = false)]
    capabilities: Option<Vec<String>>,
}

/// A change of an actor.
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
    /// `active`, `suspended` or `deleted`. Only an administrator can change it, and nobody can
    /// change their own.
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
    /// The same as `chitty_id`, for callers of the predecessor.
    #[schema(rename = "chittyId")]
    chitty_id_camel: String,
    /// Whether the actor has registered.
    registered: bool,
    /// `human`, `ai`, `service` or `system`.
    actor_type: String,
    /// The name that others see.
    display_name: Option<String>,
    /// Only the actor and administrators see it.
    email: Option<String>,
    /// An https URL.
    avatar_url: Option<String>,
    /// The scopes that ChittyAuth vouches for, and those that an administrator has granted.
    capabilities: Vec<String>,
    /// Its record at ChittyDNA.
    chitty_dna_id: Option<String>,
    /// Its principal at ChittyAuth.
    chitty_auth_principal_id: Option<String>,
    /// When it was last seen, to the minute; ISO-8601.
    last_seen_at: Option<String>,
    /// How many sessions it has had: a session begins with a request after half an hour without one.
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
    /// What was done, in words; absent in the reply to a registration.
    #[schema(required = false)]
    message: String,
    /// The actor as it is now.
    actor: ActorView,
}

/// The part of an actor that everybody may see.
#[derive(ToSchema)]
#[schema(as = PublicActor)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct PublicActorView {
    /// The ChittyID that ChittyAuth vouches for.
    chitty_id: String,
    /// The same as `chitty_id`, for callers of the predecessor.
    #[schema(rename = "chittyId")]
    chitty_id_camel: String,
    /// `human`, `ai`, `service` or `system`.
    actor_type: String,
    /// 1 to 200 characters.
    display_name: Option<String>,
    /// An https URL.
    avatar_url: Option<String>,
}

/// An actor that has not registered.
#[derive(ToSchema)]
#[schema(as = UnregisteredActor)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct UnregisteredActorView {
    /// The ChittyID that ChittyAuth vouches for.
    chitty_id: String,
    /// The same as `chitty_id`, for callers of the predecessor.
    #[schema(rename = "chittyId")]
    chitty_id_camel: String,
    /// Always false.
    registered: bool,
    /// How to register.
    message: String,
}

/// An actor: all of it for itself and administrators, the public part for others.
#[derive(ToSchema)]
#[serde(untagged)]
#[schema(as = VisibleActor)]
#[allow(dead_code, clippy::large_enum_variant, reason = "a description")]
pub(crate) enum VisibleActorView {
    /// All of the actor, for itself and administrators.
    Whole(ActorView),
    /// The public part, for others.
    Public(PublicActorView),
}

/// An actor, or the public part of it.
#[derive(ToSchema)]
#[schema(as = ShownActor)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct ShownActorView {
    /// The actor.
    actor: VisibleActorView,
}

/// The calling actor, registered or not.
#[derive(ToSchema)]
#[serde(untagged)]
#[schema(as = CallingActor)]
#[allow(dead_code, clippy::large_enum_variant, reason = "a description")]
pub(crate) enum CallingActorView {
    /// The actor has registered.
    Registered(ActorView),
    /// The actor has not registered.
    Unregistered(UnregisteredActorView),
}

/// You, and your scopes.
#[derive(ToSchema)]
#[schema(as = OwnActor)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct OwnActorView {
    /// Yourself.
    actor: CallingActorView,
    /// The scopes of the credential in use.
    scopes: Vec<String>,
}

/// A page of actors.
#[derive(ToSchema)]
#[schema(as = ActorList)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct ActorListView {
    /// The actors of this page.
    actors: Vec<ActorView>,
    /// How many actors this page has.
    count: u8,
    /// The `cursor` of the next page, or null.
    next_cursor: Option<String>,
}

/// The capabilities of an actor, by their origin.
#[derive(ToSchema)]
#[schema(as = Capabilities)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct CapabilitiesView {
    /// The actor's ChittyID.
    chitty_id: String,
    /// `human`, `ai`, `service` or `system`.
    actor_type: String,
    /// `active`, `suspended` or `deleted`.
    status: String,
    /// The vouched and the granted ones together.
    capabilities: Vec<String>,
    /// How many `capabilities` there are.
    capability_count: u32,
    /// The scopes that ChittyAuth vouched for last.
    vouched: Vec<String>,
    /// The scopes that an administrator has granted.
    granted: Vec<String>,
}

/// The capabilities to grant.
#[derive(ToSchema)]
#[schema(as = Grant)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct GrantView {
    /// They replace all earlier grants; an empty list takes all of them away. At most 50 scopes.
    capabilities: Vec<String>,
}

/// The calling actor, in the words of the gateway's predecessor.
#[derive(ToSchema)]
#[schema(as = WhoAmI)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct WhoAmIView {
    /// Always true.
    success: bool,
    /// The actor and its credential.
    data: WhoAmIDataView,
}

/// The actor and its credential.
#[derive(ToSchema)]
#[schema(as = WhoAmIData)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct WhoAmIDataView {
    /// The actor.
    tenant: TenantView,
    /// The gateway has no sessions.
    session: SessionView,
    /// The scopes of the credential in use.
    scopes: Vec<String>,
    /// What the gateway does for the actor.
    flags: FlagsView,
    /// What is left.
    quota: RemainingView,
    /// The credential in use.
    credential: CredentialInUseView,
}

/// An actor as a tenant.
#[derive(ToSchema)]
#[schema(as = Tenant)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct TenantView {
    /// The ChittyID that ChittyAuth vouches for.
    chitty_id: String,
    /// The display name, or the ChittyID without one.
    name: String,
    /// The type of the actor, or `standard` if it has not registered.
    account_type: String,
}

/// A session. The gateway has none, so all but the time of this request is empty.
#[derive(ToSchema)]
#[schema(as = TenantSession)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct SessionView {
    /// Always null.
    session_id: Option<String>,
    /// Always null.
    created_at: Option<String>,
    /// The time of this request, ISO-8601.
    last_activity: String,
    /// Always empty.
    active_files: Vec<String>,
    /// Always empty.
    active_tasks: Vec<String>,
}

/// What the gateway does for an actor.
#[derive(ToSchema)]
#[schema(as = TenantFlags)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct FlagsView {
    /// Whether the gateway has an MCP server: false.
    mcp_enabled: bool,
    /// Always false.
    context_consciousness_enabled: bool,
    /// Always false.
    memory_cloude_enabled: bool,
    /// Always empty.
    beta_features: Vec<String>,
}

/// What is left to an actor.
#[derive(ToSchema)]
#[schema(as = TenantQuota)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct RemainingView {
    /// Always null: storage is not limited by bytes.
    storage_bytes: Option<u64>,
    /// How many more reads this minute allows; null without a limit.
    api_calls_remaining: Option<u32>,
}

/// The credential of a request.
#[derive(ToSchema)]
#[schema(as = CredentialInUse)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct CredentialInUseView {
    /// `token`, `key` or `delegation`.
    r#type: String,
    /// The id of the key or of the delegation; null for a token.
    id: Option<String>,
    /// When it ends, ISO-8601; null if that is not known.
    expires_at: Option<String>,
}
