//! How every call is made: for each variant, breaker → attempt → verdict → perhaps another attempt. The
//! clients get the JSON of a 2xx answer, or the reason why there is none.
//!
//! A variant is one of the forms (method, path and body) in which the generations of a service's API
//! understand the same call.

mod answer;
mod call;
mod path;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use futures_util::future::LocalBoxFuture;
use serde_json::{Value, json};

pub(crate) use self::answer::{Answer, first_string};
use self::answer::{read, says_invalid};
pub(crate) use self::call::{Call, Variant};
use self::path::target;
pub(crate) use self::path::{query, segment};
use crate::breaker::{Breaker, BreakerState, Outcome};
use crate::cache::CacheEntry;
use crate::call::CallContext;
use crate::clock::Clock;
use crate::config::CoreConfig;
use crate::error::ServiceError;
use crate::metrics::{self, Metrics};
use crate::retry::{self, Repeat, RetryBudget};
use crate::service::Service;
use crate::signing::{self, SigningInput};
use crate::token::{Renewal, ServiceToken};
use crate::transport::{HttpRequest, Transport};

/// The most bytes of a service's answer that are read. The largest real answer is a registry list
/// of some tens of kilobytes.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// How long a variant that was understood is tried first, in ms: as long as the ecosystem itself caches
/// what it discovers.
const REMEMBER_VARIANT_MS: u64 = 300_000;

/// Replaces a service's token by a new one: takes the old token and a timeout in ms.
pub(crate) type Refresh = for<'a> fn(
    &'a Wire,
    &'a str,
    u32,
    &'a CallContext,
) -> LocalBoxFuture<'a, Result<ServiceToken, ServiceError>>;

/// Makes the calls of every client, and remembers what the calls have shown about the services.
pub(crate) struct Wire {
    refresh: Refresh,
    config: CoreConfig,
    transport: Rc<dyn Transport>,
    pub(crate) clock: Rc<dyn Clock>,
    services: RefCell<BTreeMap<Service, Standing>>,
    /// The names in the URL template of services that do not use their own.
    names: RefCell<BTreeMap<Service, String>>,
    /// The variant of each call that was understood, and when.
    variants: RefCell<BTreeMap<&'static str, (usize, u64)>>,
    /// The answers that all sessions share.
    pub(crate) cache: RefCell<BTreeMap<String, CacheEntry<Rc<Value>>>>,
    metrics: RefCell<Metrics>,
    /// Whether a breaker has changed its state since the last `take_breakers_changed`.
    breakers_changed: Cell<bool>,
}

/// What is remembered about a service.
struct Standing {
    breaker: Breaker,
    budget: RetryBudget,
    token: Option<Renewal>,
}

impl Wire {
    pub(crate) fn new(
        config: CoreConfig,
        transport: Rc<dyn Transport>,
        clock: Rc<dyn Clock>,
        refresh: Refresh,
    ) -> Self {
        Wire {
            refresh,
            config,
            transport,
            clock,
            services: RefCell::default(),
            names: RefCell::default(),
            variants: RefCell::default(),
            cache: RefCell::default(),
            metrics: RefCell::default(),
            breakers_changed: Cell::new(false),
        }
    }

    /// Returns the state of a service's breaker.
    pub(crate) fn breaker(&self, service: Service) -> BreakerState {
        self.standing(service, |standing| standing.breaker.state())
    }

    /// Runs `work` on a service's breaker, with the time, and notes whether the state changes.
    pub(crate) fn with_breaker<T>(
        &self,
        service: Service,
        work: impl FnOnce(&mut Breaker, u64) -> T,
    ) -> T {
        let now_ms = self.clock.now_ms();
        self.standing(service, |standing| {
            let before = standing.breaker.state();
            let result = work(&mut standing.breaker, now_ms);
            if standing.breaker.state() != before {
                self.breakers_changed.set(true);
            }
            result
        })
    }

    /// Returns whether a breaker has changed its state since the last call of this function.
    pub(crate) fn take_breakers_changed(&self) -> bool {
        self.breakers_changed.replace(false)
    }

    pub(crate) fn metrics(&self) -> Metrics {
        self.metrics.borrow().clone()
    }

    pub(crate) fn endpoint(&self, service: Service) -> String {
        match self.names.borrow().get(&service) {
            Some(name) => self.config.endpoint_named(service, name),
            None => self.config.endpoint(service),
        }
    }

    pub(crate) fn relocate(&self, names: BTreeMap<Service, String>) {
        *self.names.borrow_mut() = names;
    }

    /// Makes a call.
    pub(crate) async fn call(&self, call: &Call, cx: &CallContext) -> Result<Answer, ServiceError> {
        let timeout_ms = call.timeout_ms.unwrap_or(self.config.timeout_ms);
        let deadline_ms = self.clock.now_ms().saturating_add(u64::from(timeout_ms));
        let preferred = self.preferred(call);
        let mut misunderstood = None;
        let others = (0..call.variants.len()).filter(|index| *index != preferred);
        let mut left = call.variants.len();
        for index in std::iter::once(preferred).chain(others) {
            let Some(variant) = call.variants.get(index) else { continue };
            left = left.saturating_sub(1);
            match self.variant(call, variant, left == 0, deadline_ms, cx).await {
                Ok(body) => {
                    if index != preferred {
                        let winner = (index, self.clock.now_ms());
                        self.variants.borrow_mut().insert(call.name, winner);
                    }
                    return Ok(Answer { body, variant: index });
                }
                // The service does not know this variant, so the call had no effect.
                Err(error) if matches!(error.status, Some(404 | 405)) => {
                    misunderstood.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        // Every call has a variant, so the closure never runs.
        Err(misunderstood.unwrap_or_else(|| {
            ServiceError::malformed(Service::Id, 404, format!("{} has no path", call.name))
        }))
    }

    /// Returns the index of the variant to try first.
    fn preferred(&self, call: &Call) -> usize {
        match self.variants.borrow().get(call.name) {
            Some((index, at_ms))
                if self.clock.now_ms().abs_diff(*at_ms) < REMEMBER_VARIANT_MS
                    && *index < call.variants.len() =>
            {
                *index
            }
            _ => 0,
        }
    }

    /// Makes a call in one variant, with its retries. `is_last` says that no other variant is left.
    async fn variant(
        &self,
        call: &Call,
        variant: &Variant,
        is_last: bool,
        deadline_ms: u64,
        cx: &CallContext,
    ) -> Result<Value, ServiceError> {
        let service = variant.service;
        let refusal_is_verdict = |body: &[u8]| {
            call.refusal_is_verdict
                && (variant.bearer.is_some() || !self.has_token(service) || says_invalid(body))
        };
        let bearer = match &variant.bearer {
            Some(bearer) => Some(bearer.clone()),
            None => self.bearer(service, deadline_ms, cx).await,
        };
        let body = variant.body.as_ref().map(Value::to_string);
        self.standing(service, |standing| standing.budget.deposit());
        let mut attempt = 0;
        let mut in_doubt = false;
        // Ends by returning: `retry::pause` bounds the attempts.
        loop {
            attempt += 1;
            let left_ms = deadline_ms.saturating_sub(self.clock.now_ms());
            let left_ms = u32::try_from(left_ms).unwrap_or(u32::MAX).max(1);
            let request = HttpRequest {
                service,
                method: variant.method,
                url: self.endpoint(service) + &variant.path,
                headers: Vec::new(),
                body: body.clone(),
                deadline_ms: match call.repeat {
                    Repeat::Safe => left_ms.min(self.config.attempt_timeout_ms),
                    Repeat::WhenTurnedAway | Repeat::Never => left_ms,
                },
                max_body_bytes: MAX_ANSWER_BYTES,
            };
            let request = self.with_headers(request, call, bearer.as_deref(), cx);
            let error = match self.attempt(call, request, is_last, &refusal_is_verdict).await {
                Ok(answer) => return Ok(answer),
                // A later attempt does not undo what an earlier one may have done.
                Err(error) => ServiceError { in_doubt: in_doubt || error.in_doubt, ..error },
            };
            in_doubt |= error.may_have_had_its_effect();
            if call.guarded && matches!(self.breaker(service), BreakerState::Open { .. }) {
                // The breaker allows no other attempt, and this error says more than the breaker's would.
                return Err(error);
            }
            let left_ms = deadline_ms.saturating_sub(self.clock.now_ms());
            match retry::pause(call.repeat, attempt, &error, left_ms) {
                Some(pause) if self.standing(service, |s| s.budget.withdraw()) => {
                    let jittered = self.clock.jitter(pause.ceiling_ms).max(pause.least_ms);
                    self.clock.sleep(u64::from(jittered)).await;
                }
                _ => return Err(error),
            }
        }
    }

    /// Makes one attempt, if the breaker admits it. `verdict` says whether a 401 or 403 with this body
    /// answers what the call asks. 404 or 405 counts against the service only if the variant `is_last`.
    async fn attempt(
        &self,
        call: &Call,
        request: HttpRequest,
        is_last: bool,
        verdict: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Value, ServiceError> {
        let service = request.service;
        let mut admission = None;
        if call.guarded {
            match self.with_breaker(service, |breaker, now| breaker.admit(now)) {
                Ok(admitted) => admission = Some(admitted),
                Err(wait_ms) => {
                    let error = ServiceError::circuit_open(service, wait_ms);
                    self.metrics.borrow_mut().record(service, error.kind.as_str(), None);
                    return Err(error);
                }
            }
        }
        let sent_ms = self.clock.now_ms();
        let result = match self.transport.send(request).await {
            Ok(response) if matches!(response.status, 401 | 403) && verdict(&response.body) => {
                Ok(json!({ "valid": false }))
            }
            Ok(response) => read(service, &response, call.answers),
            Err(error) => Err(ServiceError::transport(service, &error)),
        };
        let latency_ms = self.clock.now_ms().saturating_sub(sent_ms);
        let name = result.as_ref().map_or_else(|error| error.kind.as_str(), |_| metrics::OK);
        self.metrics.borrow_mut().record(service, name, Some(latency_ms));
        if let Some(admission) = admission {
            let health = match &result {
                Ok(_) => Outcome::Success,
                Err(error) if !is_last && matches!(error.status, Some(404 | 405)) => {
                    Outcome::Neutral
                }
                // It may be about the caller's token: one caller must not open the breaker for all others.
                Err(error)
                    if call.refusal_is_verdict && matches!(error.status, Some(401 | 403)) =>
                {
                    Outcome::Neutral
                }
                Err(error) => error.health(),
            };
            self.with_breaker(service, |breaker, now| breaker.record(now, admission, health));
        }
        result
    }

    /// Runs `work` on what is remembered about a service. Never across an await.
    fn standing<T>(&self, service: Service, work: impl FnOnce(&mut Standing) -> T) -> T {
        let mut services = self.services.borrow_mut();
        let standing = services.entry(service).or_insert_with(|| Standing {
            breaker: Breaker::new(self.config.breaker),
            budget: RetryBudget::default(),
            token: self.config.tokens.get(&service).cloned().map(Renewal::new),
        });
        work(standing)
    }

    /// Returns the token for a service, and first refreshes a token that expires soon. A failed refresh is
    /// repeated later; until it expires, the old token is valid. A refresh takes at most half of the time
    /// that the call has left.
    async fn bearer(&self, service: Service, deadline_ms: u64, cx: &CallContext) -> Option<String> {
        let now_ms = self.clock.now_ms();
        let (secret, due) = self.standing(service, |standing| {
            let token = standing.token.as_mut()?;
            let due = token.take_turn(now_ms);
            Some((token.secret().to_owned(), due))
        })?;
        if !due {
            return Some(secret);
        }
        let half_ms = u32::try_from(deadline_ms.saturating_sub(now_ms) / 2).unwrap_or(u32::MAX);
        let refreshed = (self.refresh)(self, &secret, half_ms, cx).await;
        let Ok(fresh) = refreshed else { return Some(secret) };
        let secret = fresh.secret.clone();
        self.renew(service, fresh);
        Some(secret)
    }

    fn has_token(&self, service: Service) -> bool {
        self.standing(service, |standing| standing.token.is_some())
    }

    /// Replaces a service's token by a new one.
    pub(crate) fn renew(&self, service: Service, token: ServiceToken) {
        self.standing(service, |standing| match standing.token.as_mut() {
            Some(renewal) => renewal.renewed(token),
            None => standing.token = Some(Renewal::new(token)),
        });
    }

    fn with_headers(
        &self,
        mut request: HttpRequest,
        call: &Call,
        bearer: Option<&str>,
        cx: &CallContext,
    ) -> HttpRequest {
        let headers = &mut request.headers;
        headers.push(("accept", "application/json".to_owned()));
        headers.push(("user-agent", self.config.user_agent.clone()));
        if request.body.is_some() {
            headers.push(("content-type", "application/json".to_owned()));
        }
        if let Some(token) = bearer {
            headers.push(("authorization", format!("Bearer {token}")));
        }
        let optional = [
            ("x-request-id", &cx.request_id),
            ("traceparent", &cx.traceparent),
            ("tracestate", &cx.tracestate),
            ("x-session-id", &cx.session_id),
            ("idempotency-key", &call.idempotency_key),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                headers.push((name, value.clone()));
            }
        }
        if let Some(key) = &self.config.signing_key {
            let nonce: String =
                (0..4).map(|_| format!("{:08x}", self.clock.jitter(u32::MAX))).collect();
            let signed = SigningInput {
                method: request.method.as_str(),
                target: target(&request.url),
                body: request.body.as_deref().unwrap_or_default().as_bytes(),
            };
            let signature = signing::sign(key, signed, self.clock.now_ms(), &nonce);
            headers.push((signing::KEY_ID_HEADER, signature.key_id));
            headers.push((signing::TIMESTAMP_HEADER, signature.timestamp_ms.to_string()));
            headers.push((signing::NONCE_HEADER, signature.nonce));
            headers.push((signing::SIGNATURE_HEADER, signature.value));
        }
        request
    }
}
