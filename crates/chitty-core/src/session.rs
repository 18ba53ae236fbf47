//! A session: calls that belong together. They carry its context, and identical reads that are under
//! way at the same time share one request.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;

use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared, WeakShared};
use futures_util::stream::{self, StreamExt};
use serde_json::Value;

use crate::cache::{CacheEntry, CachePolicy, Freshness};
use crate::call::CallContext;
use crate::error::ServiceError;
use crate::wire::{Answer, Call, Wire};

type Read = LocalBoxFuture<'static, Result<Rc<Value>, ServiceError>>;

/// The most answers that the cache holds: a bound on memory.
const MAX_CACHED: usize = 64;

/// Calls that belong together, such as those of one incoming request. Cheap to clone.
///
/// Identical reads in flight share one call. Futures are shared within the session only, because a
/// runtime such as Workers ties I/O to the request that began it: a session must not outlive its
/// request there.
#[derive(Clone)]
pub struct Session {
    pub(crate) wire: Rc<Wire>,
    cx: Rc<CallContext>,
    flights: Rc<RefCell<BTreeMap<String, WeakShared<Read>>>>,
}

/// An answer that may come from the cache.
#[derive(Debug, Clone)]
pub struct CachedAnswer<T> {
    /// The answer.
    pub value: T,
    /// How old it is, in ms.
    pub age_ms: u64,
    /// Whether the answer is stale, and used only because the service failed.
    pub stale: bool,
}

impl<T> CachedAnswer<T> {
    pub(crate) fn map<U>(self, f: impl FnOnce(T) -> U) -> CachedAnswer<U> {
        CachedAnswer { value: f(self.value), age_ms: self.age_ms, stale: self.stale }
    }
}

impl Session {
    pub(crate) fn new(wire: Rc<Wire>, cx: CallContext) -> Self {
        Session { wire, cx: Rc::new(cx), flights: Rc::default() }
    }

    /// Returns the context that every call of this session carries.
    pub fn context(&self) -> &CallContext {
        &self.cx
    }

    /// Runs calls concurrently, at most `limit` at once. Returns the result of each call, in the order of
    /// the calls.
    pub async fn batch<T>(
        &self,
        limit: usize,
        calls: impl IntoIterator<Item = impl Future<Output = T>>,
    ) -> Vec<T> {
        stream::iter(calls).buffered(limit.max(1)).collect().await
    }

    /// Makes a call.
    pub(crate) async fn call(&self, call: Call) -> Result<Answer, ServiceError> {
        self.wire.call(&call, &self.cx).await
    }

    /// Makes a call of which only the success matters.
    pub(crate) async fn tell(&self, call: Call) -> Result<(), ServiceError> {
        self.call(call).await.map(|_| ())
    }

    /// Makes a read, or joins the same read if it is under way in this session.
    pub(crate) async fn read(&self, call: Call) -> Result<Rc<Value>, ServiceError> {
        self.flight(call).await
    }

    fn flight(&self, call: Call) -> Shared<Read> {
        let key = key(&call);
        let mut flights = self.flights.borrow_mut();
        if let Some(flight) = flights.get(&key).and_then(WeakShared::upgrade)
            // The answer of a read that has ended may be out of date.
            && flight.peek().is_none()
        {
            return flight;
        }
        flights.retain(|_, flight| flight.upgrade().is_some());
        let (wire, cx) = (Rc::clone(&self.wire), Rc::clone(&self.cx));
        let future = async move { wire.call(&call, &cx).await.map(|answer| Rc::new(answer.body)) };
        let flight = future.boxed_local().shared();
        if let Some(weak) = flight.downgrade() {
            flights.insert(key, weak);
        }
        flight
    }

    /// Makes a read whose answer is cached for all sessions. Asks the service when the cached answer is
    /// no longer fresh, and uses a stale answer when asking fails. `check` returns what is wrong with an
    /// answer; such an answer is an error, and does not replace a good one.
    pub(crate) async fn read_cached(
        &self,
        call: Call,
        keep: CachePolicy,
        check: impl FnOnce(&Value) -> Result<(), ServiceError>,
    ) -> Result<CachedAnswer<Rc<Value>>, ServiceError> {
        let key = key(&call);
        let now_ms = self.wire.clock.now_ms();
        let found = self.wire.cache.borrow().get(&key).cloned();
        let freshness = found.as_ref().map(|cached| cached.freshness(keep, now_ms));
        if let (Some(cached), Some(Freshness::Fresh)) = (&found, freshness) {
            return Ok(CachedAnswer {
                value: Rc::clone(&cached.value),
                age_ms: cached.age_ms(now_ms),
                stale: false,
            });
        }
        let answer = self.read(call).await.and_then(|value| check(&value).map(|()| value));
        match (answer, found) {
            (Ok(value), _) => {
                let now_ms = self.wire.clock.now_ms();
                let mut cache = self.wire.cache.borrow_mut();
                if cache.len() >= MAX_CACHED && !cache.contains_key(&key) {
                    cache.pop_first();
                }
                cache.insert(key, CacheEntry { value: Rc::clone(&value), at_ms: now_ms });
                Ok(CachedAnswer { value, age_ms: 0, stale: false })
            }
            // A refusal is an answer, which a stale answer would contradict.
            (Err(error), Some(cached))
                if freshness == Some(Freshness::Stale)
                    && error.kind != crate::verdict::FailureKind::Refused =>
            {
                let age_ms = cached.age_ms(self.wire.clock.now_ms());
                Ok(CachedAnswer { value: cached.value, age_ms, stale: true })
            }
            (Err(error), _) => Err(error),
        }
    }
}

/// Returns the key by which an identical read is recognised.
fn key(call: &Call) -> String {
    let mut key = call.name.to_owned();
    for variant in &call.variants {
        let body = variant.body.as_ref().map(Value::to_string).unwrap_or_default();
        key += &format!(
            "\n{} {} {} {body}",
            variant.service.host(),
            variant.method.as_str(),
            variant.path
        );
    }
    key
}
