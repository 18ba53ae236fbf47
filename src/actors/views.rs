//! What requests and replies of actors look like: for the API description only.

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
