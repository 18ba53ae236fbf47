//! [`App`]: the composition root. Each isolate has one; it holds everything that outlives a request.

pub(crate) mod counters;
pub(crate) mod settings;
pub(crate) mod shared;
mod slots;

use std::rc::Rc;

use chitty_core::{BreakerConfig, ChittyCore, Clock, CoreConfig, Transport};
use seams::ai::Ai;
use seams::assets::Assets;
use seams::db::Db;
use seams::es256::Es256;
use seams::kv::Kv;
use seams::limiter::Limiter;
use seams::objects::Objects;
use seams::outside::Outside;
use seams::queue::Queue;
use seams::rs256::Rs256;

pub use self::settings::Settings;
pub use self::slots::Slot;
use self::slots::Slots;
use crate::config::{Config, VERSION};

/// The source that this program was built from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Build {
    /// The commit that was checked out, at least 40 hexadecimal digits; `None` if there was no repository.
    pub commit: Option<String>,
    /// Whether tracked files differed from that commit.
    pub modified: bool,
}

impl Build {
    /// Parses the text that the build left: a commit, followed by `+` if tracked files differed from it.
    /// Any other text gives the default.
    pub fn parse(text: &str) -> Self {
        let (commit, modified) = match text.strip_suffix('+') {
            Some(commit) => (commit, true),
            None => (text, false),
        };
        let is_commit = commit.len() >= 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        match is_commit {
            true => Build { commit: Some(commit.to_owned()), modified },
            false => Build::default(),
        }
    }
}

/// The parts of an [`App`], which the runtime supplies. A resource that is not bound is `None`; if the
/// environment requires it, the configuration lists it as a deficiency.
pub struct Parts {
    /// The checked configuration.
    pub config: Config,
    /// The source that this program was built from.
    pub build: Build,
    /// D1 `DB`.
    pub db: Option<Rc<dyn Db>>,
    /// Queue `CONTEXT_OPS_QUEUE`.
    pub context_ops: Option<Rc<dyn Queue>>,
    /// Queue `EVENT_Q`.
    pub github_events: Option<Rc<dyn Queue>>,
    /// KV `API_KEYS`.
    pub api_keys: Option<Rc<dyn Kv>>,
    /// KV `CHITTYCONNECT_KV`.
    pub cache: Option<Rc<dyn Kv>>,
    /// KV `IDEMP_KV`.
    pub seen_deliveries: Option<Rc<dyn Kv>>,
    /// KV `TOKEN_KV`.
    pub tokens: Option<Rc<dyn Kv>>,
    /// KV `RATE_LIMIT`.
    pub rate_limit: Option<Rc<dyn Kv>>,
    /// The rate limiter over the bindings `RATE_…`.
    pub limiter: Option<Rc<dyn Limiter>>,
    /// Verifies the signatures of JWTs.
    pub es256: Rc<dyn Es256>,
    /// Signs as the GitHub App.
    pub rs256: Rc<dyn Rs256>,
    /// The models bound as `AI`.
    pub ai: Option<Rc<dyn Ai>>,
    /// The static files bound as `ASSETS`.
    pub assets: Option<Rc<dyn Assets>>,
    /// The Durable Objects `SERVICE_CONNECTION`, one for each service.
    pub watches: Option<Rc<dyn Objects>>,
    /// The transport of calls to ChittyOS services.
    pub transport: Rc<dyn Transport>,
    /// The transport of calls to the targets of connections and to GitHub.
    pub outside: Rc<dyn Outside>,
    /// The clock and the source of random numbers.
    pub clock: Rc<dyn Clock>,
}

/// The gateway of one isolate.
pub struct App {
    /// The checked configuration.
    pub config: Config,
    /// The source that this program was built from.
    pub build: Build,
    /// The clients of the ChittyOS services.
    pub core: ChittyCore,
    /// Verifies the signatures of JWTs.
    pub es256: Rc<dyn Es256>,
    /// The transport of calls to the targets of connections and to GitHub.
    pub outside: Rc<dyn Outside>,
    /// The queue for the announcements of events.
    pub context_ops: Option<Rc<dyn Queue>>,
    /// The queue for the webhooks of GitHub.
    pub github_events: Option<Rc<dyn Queue>>,
    /// The gateway's own keys, sealed.
    pub api_keys: Option<Rc<dyn Kv>>,
    /// Caches, payloads that are too large for a queue, and the archive of the audit.
    pub cache: Option<Rc<dyn Kv>>,
    /// The ids of webhook deliveries that have been recorded.
    pub seen_deliveries: Option<Rc<dyn Kv>>,
    /// Tokens for other services, sealed.
    pub tokens_kv: Option<Rc<dyn Kv>>,
    /// Signs as the GitHub App.
    pub rs256: Rc<dyn Rs256>,
    /// The language models, if any are bound.
    pub ai: Option<Rc<dyn Ai>>,
    /// The static files that are deployed beside this program.
    pub assets: Option<Rc<dyn Assets>>,
    /// The Durable Objects that watch the services.
    pub watches: Option<Rc<dyn Objects>>,
    /// Counts requests against their limits, if the platform has a rate limiter.
    pub limiter: Option<Rc<dyn Limiter>>,
    /// The limits that are set for single actors.
    pub rate_limit: Option<Rc<dyn Kv>>,
    slots: Slots,
    clock: Rc<dyn Clock>,
    // Private: handlers reach the database through `store::Ready` only, which proves that its
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
            es256: parts.es256,
            outside: parts.outside,
            config: parts.config,
            build: parts.build,
            core,
            context_ops: parts.context_ops,
            github_events: parts.github_events,
            cache: parts.cache,
            seen_deliveries: parts.seen_deliveries,
            tokens_kv: parts.tokens,
            rs256: parts.rs256,
            ai: parts.ai,
            assets: parts.assets,
            api_keys: parts.api_keys,
            watches: parts.watches,
            limiter: parts.limiter,
            rate_limit: parts.rate_limit,
            slots: Slots::default(),
            clock: parts.clock,
            db: parts.db,
        }
    }

    /// Returns the value of type `T` that a folder keeps in this isolate.
    pub fn slot<T: Slot>(&self) -> &T {
        self.slots.get(self)
    }

    /// Milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// A random number below `bound`, for jitter.
    pub fn jitter(&self, bound: u32) -> u32 {
        self.clock.jitter(bound)
    }

    /// The database, perhaps without its schema yet: for `store::Ready` only.
    pub(crate) fn bare_db(&self) -> Option<&Rc<dyn Db>> {
        self.db.as_ref()
    }

    /// The clock, for work that outlives the request.
    pub(crate) fn clock(&self) -> Rc<dyn Clock> {
        Rc::clone(&self.clock)
    }

    /// Completes after `ms` milliseconds.
    pub async fn sleep(&self, ms: u64) {
        self.clock.sleep(ms).await;
    }
}
