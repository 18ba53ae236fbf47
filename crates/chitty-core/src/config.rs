//! One configuration for all services.

use std::collections::BTreeMap;

use crate::breaker::BreakerConfig;
use crate::service::Service;
use crate::signing::SigningKey;
use crate::token::ServiceToken;

/// One configuration for all services. [`CoreConfig::new`] has the defaults.
#[derive(Debug, Clone)]
pub struct CoreConfig {
    /// Where the services are; `{name}` stands for [`Service::host`]. No trailing slash.
    pub url_template: String,
    /// Where single services are instead. No trailing slash.
    pub endpoints: BTreeMap<Service, String>,
    /// Sent as `User-Agent`. ChittyID refuses agents that look like scripts.
    pub user_agent: String,
    /// Bearer tokens by service.
    pub tokens: BTreeMap<Service, ServiceToken>,
    /// Deadline of a whole call, retries and path variants included, in ms.
    pub timeout_ms: u32,
    /// Deadline of one attempt at what may be repeated, in ms. What must not be repeated gets the
    /// whole time for its one attempt.
    pub attempt_timeout_ms: u32,
    /// When a service that keeps failing is left alone.
    pub breaker: BreakerConfig,
    /// With which key requests are signed, if they are.
    pub signing_key: Option<SigningKey>,
}

impl CoreConfig {
    /// The real services, five seconds a call, no tokens, no signatures.
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

    /// Where a service is, without a trailing slash.
    pub fn endpoint(&self, service: Service) -> String {
        self.endpoint_named(service, service.host())
    }

    /// Where a service is that has this name in the template.
    pub(crate) fn endpoint_named(&self, service: Service, name: &str) -> String {
        match self.endpoints.get(&service) {
            Some(endpoint) => endpoint.clone(),
            None => self.url_template.replace("{name}", name),
        }
    }
}
