//! The entry point: one value from which every service is called.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::breaker::BreakerState;
use crate::call::CallContext;
use crate::clock::Clock;
use crate::config::CoreConfig;
use crate::metrics::Metrics;
use crate::service::Service;
use crate::services::auth::refresh;
use crate::session::Session;
use crate::transport::Transport;
use crate::wire::Wire;

/// The entry point for calls to every ChittyOS service. Cheap to clone: all clones and sessions share
/// what was learnt about the services (breakers, path variants, cached lists, metrics).
///
/// ```
/// use std::rc::Rc;
///
/// use async_trait::async_trait;
/// use chitty_core::{
///     CallContext, ChittyCore, Clock, CoreConfig, HttpRequest, HttpResponse, TokenCheck, Transport,
///     TransportError,
/// };
///
/// /// A native program would use an HTTP client here; this one accepts every token.
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
/// let core =
///     ChittyCore::new(CoreConfig::new("Example/1.0"), Rc::new(Answers), Rc::new(StandStill));
/// let session = core.session(CallContext::default());
/// let check = futures_executor::block_on(session.auth().validate("some-token"))?;
/// let TokenCheck::Valid(info) = check else { panic!("known") };
/// assert_eq!(info.actor.as_str(), "03-1-USA-0970-P-2603-0-54");
/// # Ok::<(), chitty_core::ServiceError>(())
/// ```
#[derive(Clone)]
pub struct ChittyCore {
    wire: Rc<Wire>,
}

impl ChittyCore {
    /// Makes a core from the configuration and the runtime's transport and clock.
    pub fn new(config: CoreConfig, transport: Rc<dyn Transport>, clock: Rc<dyn Clock>) -> Self {
        ChittyCore { wire: Rc::new(Wire::new(config, transport, clock, refresh)) }
    }

    /// Opens a session: calls that belong together and carry `cx`.
    pub fn session(&self, cx: CallContext) -> Session {
        Session::new(Rc::clone(&self.wire), cx)
    }

    /// Returns the state of a service's breaker.
    pub fn breaker(&self, service: Service) -> BreakerState {
        self.wire.breaker(service)
    }

    /// Applies another source's report about a service. If the service is down, its breaker opens, so
    /// that callers do not wait for it; if it is back, an open breaker admits the next call at once.
    pub fn take_news(&self, service: Service, is_down: bool) {
        self.wire.with_breaker(service, |breaker, now_ms| match is_down {
            true => breaker.trip(now_ms),
            false => breaker.invite(now_ms),
        });
    }

    /// Returns whether a breaker has changed its state since the last call of this function.
    pub fn take_breakers_changed(&self) -> bool {
        self.wire.take_breakers_changed()
    }

    /// Returns the metrics of all calls so far.
    pub fn metrics(&self) -> Metrics {
        self.wire.metrics()
    }

    /// Sets the names of services in the URL template where they differ from [`host`](Service::host). A
    /// service that `names` lacks gets its own name back. The names must come from a trusted source,
    /// because the services' tokens are sent there. A configured endpoint takes precedence.
    pub fn relocate(&self, names: BTreeMap<Service, String>) {
        self.wire.relocate(names);
    }

    /// Returns the URL of a service, without a trailing slash.
    pub fn endpoint(&self, service: Service) -> String {
        self.wire.endpoint(service)
    }
}
