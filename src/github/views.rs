//! The replies of the GitHub App's routes, for the API description only.

use utoipa::ToSchema;

/// A delivery that the gateway has accepted.
#[derive(ToSchema)]
#[schema(as = Webhook)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct WebhookView {
    /// `ok`
    status: String,
    /// GitHub's id of the delivery.
    delivery_id: String,
    /// The same as `delivery_id`.
    #[schema(rename = "deliveryId")]
    delivery_id_again: String,
    /// The name of the event.
    #[schema(rename = "eventType")]
    event_type: String,
}

/// An installation of the GitHub App. Some members come in two spellings, because clients know both.
#[derive(ToSchema)]
#[schema(as = Installation)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct InstallationView {
    /// GitHub's number of the installation.
    installation_id: i64,
    /// The same as `installation_id`.
    #[schema(rename = "installationId")]
    installation_id_camel: i64,
    /// Its ChittyID.
    chitty_id: String,
    /// The same as `chitty_id`.
    #[schema(rename = "chittyId")]
    chitty_id_camel: String,
    /// The name of the user or organization.
    account: String,
    account_id: i64,
    /// `User` or `Organization`.
    account_type: String,
    /// The same as `account_type`.
    #[schema(rename = "accountType")]
    account_type_camel: String,
    account_avatar_url: Option<String>,
    /// The actor who owns it, or null.
    owner_chitty_id: Option<String>,
    /// `all` or `selected`.
    repository_selection: String,
    /// The same as `repository_selection`.
    #[schema(rename = "repositorySelection")]
    repository_selection_camel: String,
    /// Its permissions at GitHub, such as `{"issues": "write"}`.
    permissions: serde_json::Value,
    /// The names of the events that it receives.
    events: Vec<String>,
    /// `active`, `suspended` or `uninstalled`.
    status: String,
    suspended_at: Option<String>,
    uninstalled_at: Option<String>,
    installed_at: String,
    updated_at: String,
}

/// An installation that has no owner any more.
#[derive(ToSchema)]
#[schema(as = InstallationRelease)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct InstallationReleaseView {
    success: bool,
    message: String,
    /// GitHub's number of the installation.
    installation_id: i64,
    chitty_id: String,
}

/// A page of installations.
#[derive(ToSchema)]
#[schema(as = InstallationList)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct InstallationListView {
    /// Newest first.
    installations: Vec<InstallationView>,
    /// The number of installations on this page.
    count: u8,
    /// The `cursor` of the next page, or null.
    next_cursor: Option<String>,
}

/// A repository, as GitHub describes it.
#[derive(ToSchema)]
#[schema(as = Repository)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct RepositoryView {
    id: i64,
    /// `owner/name`
    full_name: String,
    private: bool,
    default_branch: Option<String>,
    html_url: Option<String>,
    archived: bool,
}

/// A page of repositories.
#[derive(ToSchema)]
#[schema(as = RepositoryList)]
#[allow(dead_code, reason = "a description")]
pub(crate) struct RepositoryListView {
    repositories: Vec<RepositoryView>,
    /// The number of repositories on this page.
    count: u8,
    /// The number of repositories that the installation has.
    total_count: u64,
    /// The `cursor` of the next page, or null.
    next_cursor: Option<String>,
}
