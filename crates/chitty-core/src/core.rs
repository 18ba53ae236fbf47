//! The entry point: one value that leads to every service.

use std::rc::Rc;

use crate::breaker::BreakerState;
use crate::clock::Clock;
use crate::service::Service;
use crate::services::auth::AuthClient;
use crate::services::chronicle::ChronicleClient;
use crate::services::identity::IdClient;
use crate::transport::Transport;
use crate::wire::{CoreConfig, Wire};

/// Calls to every ChittyOS service. Cheap to clone.
#[derive(Clone)]
pub struct ChittyCore {
    wire: Rc<Wire>,
}

impl ChittyCore {
    /// Puts the configuration and the runtime together.
    pub fn new(config: CoreConfig, transport: Rc<dyn Transport>, clock: Rc<dyn Clock>) -> Self {
        ChittyCore { wire: Rc::new(Wire::new(config, transport, clock)) }
    }

    /// The state of a service's breaker.
    pub fn breaker(&self, service: Service) -> BreakerState {
        self.wire.breaker(service)
    }

    /// ChittyID: minting and validating identities.
    pub fn id(&self) -> IdClient<'_> {
        IdClient { wire: &self.wire }
    }

    /// ChittyAuth: who a token belongs to.
    pub fn auth(&self) -> AuthClient<'_> {
        AuthClient { wire: &self.wire }
    }

    /// ChittyChronicle: the record of what happened.
    pub fn chronicle(&self) -> ChronicleClient<'_> {
        ChronicleClient { wire: &self.wire }
    }
}
