//! [`App`]: the one composition root. One a isolate; everything that outlives a request is here.

use std::rc::Rc;

use chitty_core::{BreakerConfig, ChittyCore, Clock, CoreConfig, Transport};

use crate::config::{Config, VERSION};
use crate::http::caller::TokenCache;
use crate::init;
use crate::platform::db::Db;
use crate::platform::kv::Kv;
use crate::platform::queue::Queue;

/// What the runtime hands in. A resource that is not bound is `None`; the configuration lists it
/// as a deficiency.
pub struct Parts {
    /// The checked configuration.
    pub config: Config,
    /// D1 `DB`.
    pub db: Option<Rc<dyn Db>>,
    /// Queue `CONTEXT_OPS_QUEUE`.
    pub context_ops: Option<Rc<dyn Queue>>,
    /// KV `API_KEYS`.
    pub api_keys: Option<Rc<dyn Kv>>,
    /// How calls to other services travel.
    pub transport: Rc<dyn Transport>,
    /// Time and chance.
    pub clock: Rc<dyn Clock>,
}

/// The gateway of one isolate.
pub struct App {
    /// The checked configuration.
    pub config: Config,
    /// The clients of the ChittyOS services.
    pub core: ChittyCore,
    /// Tokens that ChittyAuth has vouched for a moment ago.
    pub tokens: TokenCache,
    /// How far this isolate's initialization has come.
    pub init: init::State,
    /// Where events of contexts are announced.
    pub context_ops: Option<Rc<dyn Queue>>,
    /// The gateway's own keys, sealed.
    pub api_keys: Option<Rc<dyn Kv>>,
    clock: Rc<dyn Clock>,
    // Private: handlers reach the database through `init::Ready` only, which proves that its
    // schema is there.
    db: Option<Rc<dyn Db>>,
}

impl App {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        let core = ChittyCore::new(
            CoreConfig {
                url_template: parts.config.service_url_template.clone(),
                endpoints: parts.config.service_urls.clone(),
                tokens: parts.config.service_tokens.clone(),
                timeout_ms: parts.config.upstream_timeout_ms,
                attempt_timeout_ms: parts.config.upstream_timeout_ms / 5 * 3,
                signing_key: parts.config.signing_key.clone(),
                breaker: BreakerConfig {
                    min_calls: parts.config.breaker_min_calls,
                    ..BreakerConfig::default()
                },
                ..CoreConfig::new(format!("ChittyConnect/{VERSION}"))
            },
            parts.transport,
            Rc::clone(&parts.clock),
        );
        App {
            tokens: TokenCache::new(parts.config.auth_cache_ms),
            config: parts.config,
            core,
            init: init::State::default(),
            context_ops: parts.context_ops,
            api_keys: parts.api_keys,
            clock: parts.clock,
            db: parts.db,
        }
    }

    /// Milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// A random number below `bound`, for jitter.
    pub fn jitter(&self, bound: u32) -> u32 {
        self.clock.jitter(bound)
    }

    /// The database as it is, perhaps without a schema: for `init` only.
    pub(crate) fn bare_db(&self) -> Option<&dyn Db> {
        self.db.as_deref()
    }
}
