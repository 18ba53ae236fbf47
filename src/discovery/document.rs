//! The discovery document and the list of services, as text with an entity tag. Each is one line of JSON: a
//! pipeline of GitHub puts the document into `$GITHUB_OUTPUT`, which a line feed would break.
//!
//! Every URL in the document that names this gateway answers. Members whose addresses do not exist yet are left
//! out, and come with what they name: `endpoints.jwks` with the gateway's signing keys,
//! `capabilities.services.register` with registrations, `context_sync` with files and tasks. Until then
//! `capabilities.mcp` says that there are no tools and no streaming.

use chitty_core::Service;
use seams::ids;
use serde::Serialize;

use crate::app::App;
use crate::discovery::catalog::{Entry, Status};

/// How many hexadecimal digits of a hash make an entity tag.
const TAG_DIGITS: usize = 16;

/// A JSON text with its entity tag.
pub(super) struct TaggedText {
    pub(super) text: String,
    pub(super) tag: String,
}

impl TaggedText {
    /// The text of a value, tagged by all of it.
    pub(super) fn of(value: &impl Serialize) -> Self {
        let text = text_of(value);
        TaggedText { tag: tag_of(&text), text }
    }
}

/// Plain data, so serializing cannot fail.
fn text_of(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn tag_of(text: &str) -> String {
    let mut tag = ids::sha256_hex(text);
    tag.truncate(TAG_DIGITS);
    tag
}

/// The documents that are made of one copy of the catalog.
pub(super) struct Texts {
    pub(super) document: TaggedText,
    pub(super) list: TaggedText,
}

/// What the documents show of a copy of the catalog.
pub(super) struct Content<'a> {
    /// Sorted by name.
    pub(super) entries: &'a [Entry],
    /// When ChittyRegistry last answered, ISO-8601.
    pub(super) refreshed_at: Option<&'a str>,
    /// The instant of the newest change, ISO-8601.
    pub(super) updated_at: &'a str,
    /// Whether the registry's list is old.
    pub(super) is_stale: bool,
}

impl Texts {
    /// Makes the documents. Their tags do not depend on when the catalog was last looked at, so that a reader
    /// that has a document learns only of changes.
    pub(super) fn of(app: &App, content: &Content<'_>) -> Self {
        let undated = RegistryState { refreshed_at: None, stale: content.is_stale };
        let refreshed_at = content.refreshed_at.map(str::to_owned);
        let dated = RegistryState { refreshed_at, stale: content.is_stale };
        let mut document = DiscoveryDocument::of(app, content.entries, undated.clone());
        let tag = tag_of(&text_of(&document));
        document.updated_at = content.updated_at.to_owned();
        document.registry = dated.clone();
        let document = TaggedText { tag, text: text_of(&document) };
        let mut list = CatalogList {
            success: true,
            services: content.entries.to_vec(),
            count: content.entries.len(),
            registry: undated,
        };
        let tag = tag_of(&text_of(&list));
        list.registry = dated;
        Texts { document, list: TaggedText { tag, text: text_of(&list) } }
    }
}

/// How old the registry's list is.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(utoipa::ToSchema))]
pub(crate) struct RegistryState {
    /// When ChittyRegistry last answered with its list, ISO-8601; null if it never has.
    refreshed_at: Option<String>,
    /// Whether it has not answered for ten minutes, so that the services in its list are those of before.
    stale: bool,
}

/// The services of the catalog.
#[derive(Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(utoipa::ToSchema))]
pub(crate) struct CatalogList {
    /// Always true.
    success: bool,
    /// Every service of the catalog, and this gateway, sorted by name.
    services: Vec<Entry>,
    /// How many there are.
    count: usize,
    /// How old the registry's list is.
    registry: RegistryState,
}

/// The discovery document: where the services are, and what this gateway can do.
#[derive(Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(utoipa::ToSchema))]
pub(crate) struct DiscoveryDocument {
    /// The version of this form of the document.
    version: &'static str,
    /// Always `ChittyOS`.
    ecosystem: &'static str,
    /// The instant of the newest change or refresh of the catalog, ISO-8601.
    updated_at: String,
    /// The addresses of this gateway and of the services for identities.
    endpoints: Endpoints,
    /// What this gateway can do.
    capabilities: Capabilities,
    /// Every service of the catalog, and this gateway, sorted by name.
    services: Vec<DocumentService>,
    /// How to join.
    onboarding: Onboarding,
    /// The form of the URIs of files in sessions.
    resource_uri_scheme: &'static str,
    /// How old the registry's list is.
    registry: RegistryState,
}

/// Addresses.
#[derive(Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(utoipa::ToSchema))]
#[cfg_attr(not(target_family = "wasm"), schema(as = DiscoveryEndpoints))]
pub(crate) struct Endpoints {
    /// This gateway.
    connect_base: String,
    /// The base of the services' APIs at this gateway.
    api_base: String,
    /// The base of the services' MCP servers at this gateway.
    mcp_base: String,
    /// The stream of the services' states.
    sse: String,
    /// ChittyAuth.
    auth: String,
    /// ChittyRegistry.
    registry: String,
    /// ChittyRegister.
    register: String,
}

/// What this gateway can do.
#[derive(Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(utoipa::ToSchema))]
#[cfg_attr(not(target_family = "wasm"), schema(as = DiscoveryCapabilities))]
pub(crate) struct Capabilities {
    /// Its MCP server.
    mcp: McpCapabilities,
    /// Its API.
    api: ApiCapabilities,
    /// Where it answers questions about the services.
    services: ServiceCapabilities,
}

/// The gateway's MCP server. It has no tools yet.
#[derive(Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(utoipa::ToSchema))]
pub(crate) struct McpCapabilities {
    /// The version of MCP that the ecosystem speaks.
    protocol_version: &'static str,
    /// How many tools the gateway has.
    tools_count: u32,
    /// Whether the gateway streams the answers of MCP servers.
    supports_streaming: bool,
    /// Whether the gateway keeps sessions.
    session_management: bool,
    /// Where an MCP client finds the gateway's authorization server; null while there is none.
    oauth_discovery: Option<String>,
}

/// The gateway's API.
#[derive(Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(utoipa::ToSchema))]
pub(crate) struct ApiCapabilities {
    /// Its description, OpenAPI 3.1.
    openapi_spec: String,
    /// The version in its paths.
    version: &'static str,
    /// The kinds of credentials that it takes.
    #[cfg_attr(not(target_family = "wasm"), schema(value_type = Vec<String>))]
    authentication: [&'static str; 2],
    /// Whether it limits requests.
    rate_limiting: bool,
}

/// Where the gateway answers questions about the services.
#[derive(Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(utoipa::ToSchema))]
pub(crate) struct ServiceCapabilities {
    /// The list of services.
    discovery: String,
    /// The gateway's own health.
    health_check: String,
    /// The health of every service.
    status: String,
}

/// How to join.
#[derive(Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(utoipa::ToSchema))]
pub(crate) struct Onboarding {
    /// Where services register.
    register_url: String,
    /// The introduction for people.
    get_started: &'static str,
    /// Where a device without a browser signs in.
    device_code_flow: String,
    /// The documents of this gateway.
    docs: String,
}

/// A service in the discovery document.
#[derive(Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(utoipa::ToSchema))]
#[cfg_attr(not(target_family = "wasm"), schema(as = DiscoveredService))]
pub(crate) struct DocumentService {
    /// The name of its repository, such as `chittyid`.
    name: String,
    /// The URL at which this deployment calls it.
    url: String,
    /// The URL of its MCP server through this gateway, as far as the gateway leads there; null if the service
    /// has none.
    mcp: Option<String>,
    /// The URL of its MCP server at its own host.
    direct_mcp: Option<String>,
    /// The URL of its API through this gateway, as far as the gateway leads there.
    api: String,
    /// The URL of its API at its own host.
    direct_api: String,
    /// The URL of its health check.
    health: String,
    /// `active`, `degraded`, `down`, `deprecated` or `unknown`.
    #[cfg_attr(not(target_family = "wasm"), schema(value_type = String))]
    status: Status,
    /// Whether it is built in, listed by ChittyRegistry, or registered by a credential that names it.
    verified: bool,
}

impl DocumentService {
    fn of(entry: &Entry) -> Self {
        DocumentService {
            name: entry.name.clone(),
            url: entry.url.clone(),
            mcp: entry.mcp.clone(),
            direct_mcp: entry.direct_mcp.clone(),
            api: entry.api.clone(),
            direct_api: entry.direct_api.clone(),
            health: entry.health.clone(),
            status: entry.status,
            verified: entry.verified,
        }
    }
}

impl DiscoveryDocument {
    /// The document without its date.
    fn of(app: &App, entries: &[Entry], registry: RegistryState) -> Self {
        let own = |path: &str| format!("{}{path}", app.config.public_url);
        let auth = app.core.endpoint(Service::Auth);
        DiscoveryDocument {
            version: "1.0.0",
            ecosystem: "ChittyOS",
            updated_at: String::new(),
            endpoints: Endpoints {
                connect_base: own(""),
                api_base: own(""),
                mcp_base: own(""),
                sse: own("/v1/ecosystem/events"),
                auth: auth.clone(),
                registry: app.core.endpoint(Service::Registry),
                register: app.core.endpoint(Service::Register),
            },
            capabilities: Capabilities::of(own),
            services: entries.iter().map(DocumentService::of).collect(),
            onboarding: Onboarding {
                register_url: app.core.endpoint(Service::Register),
                get_started: "https://get.chitty.cc",
                device_code_flow: format!("{auth}/device"),
                docs: own("/docs"),
            },
            resource_uri_scheme: "resource://connect/{session_id}/{sha256}-{basename}",
            registry,
        }
    }
}

impl Capabilities {
    /// `own` returns the URL of a path of this gateway.
    fn of(own: impl Fn(&str) -> String) -> Self {
        Capabilities {
            mcp: McpCapabilities {
                protocol_version: "2025-06-18",
                tools_count: 0,
                supports_streaming: false,
                session_management: false,
                oauth_discovery: None,
            },
            api: ApiCapabilities {
                openapi_spec: own("/openapi.json"),
                version: "v1",
                authentication: ["api_key", "bearer_token"],
                rate_limiting: true,
            },
            services: ServiceCapabilities {
                discovery: own("/api/services"),
                health_check: own("/health"),
                status: own("/api/services/status"),
            },
        }
    }
}
