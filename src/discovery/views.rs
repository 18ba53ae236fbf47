//! The schemas of requests and replies that are not serialized from a type, for the API description only.

use utoipa::ToSchema;

/// Where a service is.
#[derive(ToSchema)]
#[schema(as = LocatedService)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct LocatedServiceView {
    /// Always true.
    success: bool,
    /// The name of its repository, such as `chittyid`.
    service: String,
    /// The same as `service`.
    name: String,
    /// The URL at which this deployment calls it.
    url: String,
    /// The URL of its health check.
    health: String,
    /// `active`, `degraded`, `down`, `deprecated` or `unknown`.
    status: String,
}

/// A service in few words.
#[derive(ToSchema)]
#[schema(as = ServiceGist)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct ServiceGistView {
    /// The name of its repository, such as `chittyid`.
    name: String,
    /// The URL at which this deployment calls it.
    url: String,
    /// The URL of its health check.
    health: String,
    /// `active`, `degraded`, `down`, `deprecated` or `unknown`.
    status: String,
}

/// The service that is asked for. Without one, all are shown.
#[derive(ToSchema)]
#[schema(as = LocationDraft)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct LocationDraftView {
    /// Its name, such as `chittycases`, with or without the prefix.
    #[schema(required = false)]
    service: Option<String>,
}

/// About the list.
#[derive(ToSchema)]
#[schema(as = LocationMetadata)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct LocationMetadataView {
    /// When the gateway answered, ISO-8601.
    timestamp: String,
    /// How many services there are.
    count: u32,
}

/// Where the services are.
#[derive(ToSchema)]
#[schema(as = LocatedServices)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct LocatedServicesView {
    /// Always true.
    success: bool,
    /// Every service, sorted by name.
    services: Vec<ServiceGistView>,
    /// About the list.
    metadata: LocationMetadataView,
    /// The name of the service that was asked for, if one was.
    service: Option<String>,
    /// Its URL.
    url: Option<String>,
}
