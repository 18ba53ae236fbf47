//! The settings of the client.

use std::fmt;

use crate::private_key::PrivateKey;

/// The settings of the client. Its `Debug` output shows no secret.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address of the REST API, without a trailing slash; for GitHub Enterprise Server
    /// `https://{host}/api/v3`.
    pub api_url: String,
    /// The address of GitHub's pages, without a trailing slash.
    pub web_url: String,
    /// The `User-Agent` of every request. GitHub refuses a request without one.
    pub user_agent: String,
    /// The deadline of one request, in ms.
    pub deadline_ms: u32,
    /// The App's number and key, for calls as the App.
    pub app: Option<AppKey>,
    /// The App's name and OAuth client, for users who install it.
    pub client: Option<OauthClient>,
}

/// The number and key with which the App authenticates.
#[derive(Debug, Clone)]
pub struct AppKey {
    /// Its number.
    pub id: u64,
    /// Its private key.
    pub key: PrivateKey,
}

/// The App's name, and the OAuth client by which users prove who they are.
#[derive(Clone)]
pub struct OauthClient {
    /// The name of the App in URLs.
    pub slug: String,
    /// OAuth client id.
    pub id: String,
    /// OAuth client secret.
    pub secret: String,
}

impl fmt::Debug for OauthClient {
    /// No secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OauthClient").field("slug", &self.slug).field("id", &self.id).finish()
    }
}
