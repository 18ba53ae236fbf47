//! One configuration for all services.

use std::collections::BTreeMap;

use crate::breaker::BreakerConfig;
use crate::service::Service;
use crate::signing::SigningKey;
use crate::token::ServiceToken;

/// One configuration for all services. [`CoreConfig::new`] has the defaults.
#[derive(Debug, Clone)]
pub struct CoreConfig {
    /// The URL of a service; `{name}` stands for [`Service::host`]. No trailing slash.
    pub url_template: String,
    /// The URLs of single services, instead of the template's. No trailing slash.
    pub endpoints: BTreeMap<Service, String>,
    /// Sent as `User-Agent`. ChittyID refuses agents that look like scripts.
    pub user_agent: String,
    /// Bearer tokens by service.
    pub tokens: BTreeMap<Service, ServiceToken>,
    /// Deadline of a whole call, retries and path variants included, in ms.
    pub timeout_ms: u32,
    /// Deadline of one attempt of a call that is safe to repeat, in ms. An attempt of any other call
    /// gets all the time that the call has left.
    pub attempt_timeout_ms: u32,
    /// When a service's breaker opens, and for how long.
    pub breaker: BreakerConfig,
    /// The key that signs the requests; without one they are not signed.
    pub signing_key: Option<SigningKey>,
}

impl CoreConfig {
    /// Returns the defaults: the real services, five seconds a call, no tokens, no signatures.
    pub fn new(user_agent: impl Into<String>) -> Self {
        CoreConfig {
            url_template: "https://{name}.chitty.cc".to_owned(),
            endpoints: BTreeMap::new(),
            user_agent: user_agent.into(),
            tokens: BTreeMap::new(),
            timeout_ms: 5_000,
            attempt_timeout_ms: 3_000,
            breaker: BreakerConfig::default(),
            signing_key: None,
        }
    }

    /// Returns the URL of a service, without a trailing slash.
    pub fn endpoint(&self, service: Service) -> String {
        self.endpoint_named(service, service.host())
    }

    /// Returns the URL of a service, with `name` as its name in the template.
    pub(crate) fn endpoint_named(&self, service: Service, name: &str) -> String {
        match self.endpoints.get(&service) {
            Some(endpoint) => endpoint.clone(),
            None => self.url_template.replace("{name}", name),
        }
    }
}
