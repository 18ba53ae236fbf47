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
///
/// ```
/// use std::rc::Rc;
///
/// use async_trait::async_trait;
/// use chitty_core::{
///     BreakerConfig, CallContext, ChittyCore, Clock, CoreConfig, HttpRequest, HttpResponse,
///     TokenCheck, Transport, TransportError,
/// };
///
/// /// Natively this would be an HTTP client; here every token is known.
/// struct Answers;
///
/// #[async_trait(?Send)]
/// impl Transport for Answers {
///     async fn send(&self, request: HttpRequest) -> Result<HttpResponse, TransportError> {
///         assert_eq!(request.url, "https://auth.chitty.cc/v1/tokens/validate");
///         let body = br#"{"valid": true, "chittyId": "03-1-USA-0970-P-2603-0-54", "scope": ["read"]}"#;
///         Ok(HttpResponse { status: 200, retry_after: None, body: body.to_vec() })
///     }
/// }
///
/// struct StandStill;
///
/// #[async_trait(?Send)]
/// impl Clock for StandStill {
///     fn now_ms(&self) -> u64 { 0 }
///     async fn sleep(&self, _: u64) {}
///     fn jitter(&self, _: u32) -> u32 { 0 }
/// }
///
/// let core = ChittyCore::new(
///     CoreConfig {
///         url_template: "https://{name}.chitty.cc".to_owned(),
///         user_agent: "Example/1.0".to_owned(),
///         tokens: Default::default(),
///         timeout_ms: 5_000,
///         breaker: BreakerConfig::default(),
///     },
///     Rc::new(Answers),
///     Rc::new(StandStill),
/// );
/// let (auth, cx) = (core.auth(), CallContext::default());
/// let check = futures_executor::block_on(auth.validate("some-token", &cx))?;
/// let TokenCheck::Valid(info) = check else { panic!("known") };
/// assert_eq!(info.actor.as_str(), "03-1-USA-0970-P-2603-0-54");
/// # Ok::<(), chitty_core::ServiceError>(())
/// ```
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
