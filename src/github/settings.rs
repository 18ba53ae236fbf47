//! What the gateway knows of its GitHub App. Each part works without the others: webhooks need a secret,
//! calls as the App its number and key, installing its name and the client.

use std::fmt;

use crate::github::private_key::PrivateKey;

/// Where GitHub's REST API is, unless `GITHUB_API_URL` says otherwise.
pub const API_URL: &str = "https://api.github.com";

/// Where GitHub's pages are, unless `GITHUB_WEB_URL` says otherwise.
pub const WEB_URL: &str = "https://github.com";

/// The settings of the GitHub App.
#[derive(Clone)]
pub struct Settings {
    /// The REST API, without a trailing slash; of GitHub Enterprise Server `https://{host}/api/v3`.
    pub api_url: String,
    /// The pages, without a trailing slash.
    pub web_url: String,
    /// What webhooks are signed with: the secret, and while it is being replaced the one before.
    pub webhook_secrets: Vec<Vec<u8>>,
    /// Who the App is, to GitHub.
    pub app: Option<AppKey>,
    /// How users install it.
    pub client: Option<Client>,
}

/// What the App proves itself with.
#[derive(Debug, Clone)]
pub struct AppKey {
    /// Its number.
    pub id: u64,
    /// Its private key.
    pub key: PrivateKey,
}

/// What users install, and how they prove themselves.
#[derive(Clone)]
pub struct Client {
    /// The name of the App in addresses.
    pub slug: String,
    /// OAuth client id.
    pub id: String,
    /// OAuth client secret.
    pub secret: String,
}

impl fmt::Debug for Settings {
    /// No secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("api_url", &self.api_url)
            .field("web_url", &self.web_url)
            .field("webhook_secrets", &self.webhook_secrets.len())
            .field("app", &self.app)
            .field("client", &self.client)
            .finish()
    }
}

impl fmt::Debug for Client {
    /// No secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("slug", &self.slug).field("id", &self.id).finish()
    }
}
