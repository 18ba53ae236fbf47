//! Services that answer as the test scripts them, and a clock that the test advances.

mod calls;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::rc::Rc;

use async_trait::async_trait;
use chitty_core::{
    BreakerConfig, CallContext, ChittyCore, ChittyId, Clock, CoreConfig, HttpRequest, HttpResponse,
    Service, Session, Transport, TransportError,
};
use serde_json::Value;

pub(crate) use calls::{Call, Repeats, all_calls, call_named, comparable};

/// 2026-01-02T03:04:05.000Z
pub(crate) const START_MS: u64 = 1_767_323_045_000;

/// A valid id.
pub(crate) const ID: &str = "CHITTY-PEO-0001";

/// A breaker that never opens.
pub(crate) const NO_BREAKER: BreakerConfig = BreakerConfig {
    window_ms: 10_000,
    min_calls: 0,
    failure_percent: 50,
    open_ms: 2_000,
    max_open_ms: 30_000,
    probe_ms: 10_000,
};

pub(crate) fn id() -> ChittyId {
    ChittyId::parse(ID).unwrap()
}

pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    futures_executor::block_on(future)
}

/// Lets the other futures of the test run.
pub(crate) async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if yielded {
            return std::task::Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

/// What happens to a request.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    /// How long the answer takes, in ms. One that takes as long as the request's deadline is a timeout.
    after_ms: u64,
    /// How many turns of the other futures the caller waits for the answer.
    turns: u32,
    kind: ReplyKind,
}

#[derive(Debug, Clone)]
enum ReplyKind {
    Answer { status: u16, retry_after: Option<String>, body: Vec<u8> },
    Hang,
    Unreachable,
    TooLarge,
}

impl Reply {
    fn new(kind: ReplyKind) -> Self {
        Reply { after_ms: 0, turns: 2, kind }
    }

    /// A 200 with this body.
    pub(crate) fn ok(body: Value) -> Self {
        Reply::answer(200, body)
    }

    pub(crate) fn answer(status: u16, body: Value) -> Self {
        Reply::text(status, &body.to_string())
    }

    /// An empty JSON object under this status.
    pub(crate) fn status(status: u16) -> Self {
        Reply::text(status, "{}")
    }

    pub(crate) fn text(status: u16, body: &str) -> Self {
        Reply::new(ReplyKind::Answer { status, retry_after: None, body: body.as_bytes().to_vec() })
    }

    /// This status, with `Retry-After`.
    pub(crate) fn busy(status: u16, retry_after: &str) -> Self {
        let retry_after = Some(retry_after.to_owned());
        Reply::new(ReplyKind::Answer { status, retry_after, body: b"{}".to_vec() })
    }

    /// No answer within the deadline, however long that is.
    pub(crate) fn hang() -> Self {
        Reply::new(ReplyKind::Hang)
    }

    pub(crate) fn unreachable() -> Self {
        Reply::new(ReplyKind::Unreachable)
    }

    pub(crate) fn too_large() -> Self {
        Reply::new(ReplyKind::TooLarge)
    }

    pub(crate) fn after(self, after_ms: u64) -> Self {
        Reply { after_ms, ..self }
    }

    pub(crate) fn turns(self, turns: u32) -> Self {
        Reply { turns, ..self }
    }
}

/// A request that was sent.
#[derive(Debug, Clone)]
pub(crate) struct SentRequest {
    pub(crate) request: HttpRequest,
    /// When it was sent, in ms since the start.
    pub(crate) at_ms: u64,
}

impl SentRequest {
    /// Method, host and path: `POST id/v1/mint`.
    pub(crate) fn line(&self) -> String {
        let place = self.request.url.strip_prefix("http://").expect("the configured scheme");
        format!("{} {place}", self.request.method.as_str())
    }

    /// The host to which it was sent.
    pub(crate) fn line_host(&self) -> &str {
        self.request.url.strip_prefix("http://").unwrap().split('/').next().unwrap()
    }

    /// Path and query.
    pub(crate) fn target(&self) -> &str {
        let place = self.request.url.strip_prefix("http://").unwrap();
        &place[place.find('/').unwrap()..]
    }

    /// Its JSON body; null when there is none.
    pub(crate) fn body(&self) -> Value {
        serde_json::from_str(self.request.body.as_deref().unwrap_or("null")).unwrap()
    }

    /// The value of a header. Panics if the header was sent twice.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.request.headers.iter().filter(|(key, _)| *key == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} is sent twice");
        value
    }
}

type Script = Box<dyn FnMut(&SentRequest) -> Reply>;

/// The transport that stands for every service.
pub(crate) struct Services {
    clock: Rc<TestClock>,
    script: RefCell<Script>,
    sent: RefCell<Vec<SentRequest>>,
    in_flight: Cell<usize>,
    most_in_flight: Cell<usize>,
}

#[async_trait(?Send)]
impl Transport for Services {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, TransportError> {
        let deadline_ms = u64::from(request.deadline_ms);
        assert!(deadline_ms > 0, "an attempt without any time");
        let sent = SentRequest { request, at_ms: self.clock.now_ms() - START_MS };
        self.sent.borrow_mut().push(sent.clone());
        let reply = (self.script.borrow_mut())(&sent);
        self.in_flight.set(self.in_flight.get() + 1);
        self.most_in_flight.set(self.most_in_flight.get().max(self.in_flight.get()));
        for _ in 0..reply.turns {
            yield_now().await;
        }
        self.in_flight.set(self.in_flight.get() - 1);
        if matches!(reply.kind, ReplyKind::Hang) || reply.after_ms >= deadline_ms {
            self.clock.advance_ms(deadline_ms);
            return Err(TransportError::Timeout);
        }
        self.clock.advance_ms(reply.after_ms);
        match reply.kind {
            ReplyKind::Answer { status, retry_after, body } => {
                Ok(HttpResponse { status, retry_after, body })
            }
            ReplyKind::Hang => Err(TransportError::Timeout),
            ReplyKind::Unreachable => Err(TransportError::Unreachable("refused".to_owned())),
            ReplyKind::TooLarge => Err(TransportError::TooLarge(sent.request.max_body_bytes)),
        }
    }
}

/// A clock that stands still unless somebody sleeps, an answer takes time, or the test advances it.
pub(crate) struct TestClock {
    now_ms: Cell<u64>,
    slept_ms: RefCell<Vec<u64>>,
    bounds: RefCell<Vec<u32>>,
    chances: RefCell<VecDeque<u32>>,
}

impl TestClock {
    pub(crate) fn advance_ms(&self, ms: u64) {
        self.now_ms.set(self.now_ms.get() + ms);
    }

    /// The pauses that were made.
    pub(crate) fn slept_ms(&self) -> Vec<u64> {
        self.slept_ms.borrow().clone()
    }

    /// The bounds of the random numbers that were drawn.
    pub(crate) fn bounds(&self) -> Vec<u32> {
        self.bounds.borrow().clone()
    }

    /// Sets the next random numbers. After them, each is the greatest number below its bound again.
    pub(crate) fn set_chances(&self, chances: impl IntoIterator<Item = u32>) {
        *self.chances.borrow_mut() = chances.into_iter().collect();
    }
}

#[async_trait(?Send)]
impl Clock for TestClock {
    fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    async fn sleep(&self, ms: u64) {
        self.slept_ms.borrow_mut().push(ms);
        self.advance_ms(ms);
        yield_now().await;
    }

    fn jitter(&self, bound: u32) -> u32 {
        self.bounds.borrow_mut().push(bound);
        let greatest = bound.saturating_sub(1);
        self.chances.borrow_mut().pop_front().map_or(greatest, |chance| chance.min(greatest))
    }
}

/// A core with its services and its clock.
pub(crate) struct World {
    pub(crate) core: ChittyCore,
    pub(crate) services: Rc<Services>,
    pub(crate) clock: Rc<TestClock>,
}

impl World {
    pub(crate) fn new() -> Self {
        World::with(|_| {})
    }

    /// Makes a world with a changed configuration.
    pub(crate) fn with(change: impl FnOnce(&mut CoreConfig)) -> Self {
        let clock = Rc::new(TestClock {
            now_ms: Cell::new(START_MS),
            slept_ms: RefCell::default(),
            bounds: RefCell::default(),
            chances: RefCell::default(),
        });
        let services = Rc::new(Services {
            clock: Rc::clone(&clock),
            script: RefCell::new(Box::new(|sent| panic!("unexpected: {}", sent.line()))),
            sent: RefCell::default(),
            in_flight: Cell::new(0),
            most_in_flight: Cell::new(0),
        });
        let mut config = CoreConfig::new("Tests/1.0");
        config.url_template = "http://{name}".to_owned();
        change(&mut config);
        let core = ChittyCore::new(config, Rc::clone(&services) as _, Rc::clone(&clock) as _);
        World { core, services, clock }
    }

    /// Gives every request this reply from now on.
    pub(crate) fn always(&self, reply: Reply) -> &Self {
        self.script(move |_| reply.clone())
    }

    /// Gives each request the script's reply from now on.
    pub(crate) fn script(&self, script: impl FnMut(&SentRequest) -> Reply + 'static) -> &Self {
        *self.services.script.borrow_mut() = Box::new(script);
        self
    }

    /// Gives the next requests these replies, in order. A further request fails the test.
    pub(crate) fn in_turn(&self, replies: impl IntoIterator<Item = Reply>) -> &Self {
        let mut replies: VecDeque<Reply> = replies.into_iter().collect();
        self.script(move |sent| {
            replies.pop_front().unwrap_or_else(|| panic!("one too many: {}", sent.line()))
        })
    }

    pub(crate) fn session(&self) -> Session {
        self.core.session(CallContext::default())
    }

    /// Makes a call in a session of its own.
    pub(crate) fn ask<T>(&self, call: impl AsyncFnOnce(Session) -> T) -> T {
        run(call(self.session()))
    }

    /// Takes the requests that were sent since the last call of this function.
    pub(crate) fn take_sent(&self) -> Vec<SentRequest> {
        self.services.sent.take()
    }

    /// The same, as lines.
    pub(crate) fn take_lines(&self) -> Vec<String> {
        self.take_sent().iter().map(SentRequest::line).collect()
    }

    /// How many requests were sent to a service since they were last taken.
    pub(crate) fn count(&self, service: Service) -> usize {
        self.services.sent.borrow().iter().filter(|sent| sent.request.service == service).count()
    }

    /// The most requests that were under way at once.
    pub(crate) fn most_in_flight(&self) -> usize {
        self.services.most_in_flight.get()
    }

    /// The time since the start, in ms.
    pub(crate) fn elapsed_ms(&self) -> u64 {
        self.clock.now_ms() - START_MS
    }
}
