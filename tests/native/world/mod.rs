//! A gateway with everything around it, in memory and in the test's hand.

pub(crate) mod database;
mod objects;
pub(crate) mod outside;
pub(crate) mod samples;
mod services;
mod simulation;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;

use async_trait::async_trait;
use chitty_core::Clock;
use chittyconnect::access::reply::{After, Body, Reply};
use chittyconnect::app::{App, Build, Parts};
use chittyconnect::config::{Binding, Config, Lookup};
use chittyconnect::events::{consumer, dead};
use chittyconnect::github::signature;
use chittyconnect::{edge, openapi, routes, tasks};
use hmac::{Hmac, KeyInit, Mac};
use seams::assets::Assets;
use seams::inbound::{BodyError, Inbound, Intake, RuntimeBody};
use seams::kv::Kv;
use seams::queue::{Delivery, Queue};
use serde_json::Value;
use sha2::Sha256;

pub(crate) use self::database::{Database, Fault, WrittenTables};
pub(crate) use self::objects::TestObjects;
pub(crate) use self::outside::{TestEs256, TestLimiter, TestOutside, TestRs256};
pub(crate) use self::services::{Behaviour, Services};
pub(crate) use self::simulation::{TestClock, simulate};

pub(crate) const SEALING_KEYS: &str = "test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

pub(crate) const BUILT_FROM: &str = "0123456789abcdef0123456789abcdef01234567";

pub(crate) const WEBHOOK_SECRET: &str = "webhook-secret";

/// The committed API description.
pub(crate) const DESCRIPTION: &str = include_str!("../../../openapi.json");

/// No key at all: what it signs only [`TestRs256`] makes.
const PRIVATE_KEY: &str = "-----BEGIN PRIVATE KEY-----\nMAAA\n-----END PRIVATE KEY-----";

/// 2026-01-02T03:04:05.000Z
pub(crate) const START_MS: u64 = 1_767_323_045_000;

pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    futures_executor::block_on(future)
}

/// What this thread has used of a processor, in ns, if the system says so; the time otherwise.
pub(crate) fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let used = text.split(' ').next().and_then(|used| used.parse().ok());
    used.unwrap_or_else(|| {
        #[allow(clippy::disallowed_methods, reason = "tests are native")]
        let now = std::time::SystemTime::now();
        let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
        u64::try_from(now.as_nanos()).unwrap()
    })
}

/// Lets other futures of the same test run: once per call at a seam, so that two requests under
/// test interleave there.
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

/// Takes a future so many turns further, and drops it where it is not over by then, as a process is that
/// is killed. (A future that is lent goes on where it was.)
pub(crate) async fn killed_after<T>(turns: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut left = turns;
    std::future::poll_fn(|cx| {
        if left == 0 {
            return std::task::Poll::Ready(None);
        }
        left -= 1;
        let polled = future.as_mut().poll(cx).map(Some);
        if polled.is_pending() {
            cx.waker().wake_by_ref();
        }
        polled
    })
    .await
}

/// What several isolates share.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) db: Rc<Database>,
    pub(crate) services: Rc<Services>,
    pub(crate) queue: Rc<TestQueue>,
    pub(crate) github_events: Rc<TestQueue>,
    pub(crate) api_keys: Rc<TestKv>,
    pub(crate) cache: Rc<TestKv>,
    pub(crate) seen_deliveries: Rc<TestKv>,
    pub(crate) tokens: Rc<TestKv>,
    pub(crate) objects: Rc<TestObjects>,
    pub(crate) rate_limit: Rc<TestKv>,
    pub(crate) limiter: Rc<TestLimiter>,
    pub(crate) outside: Rc<TestOutside>,
    pub(crate) assets: Rc<TestAssets>,
    pub(crate) clock: Rc<TestClock>,
}

impl World {
    pub(crate) fn new() -> Self {
        let world = World {
            db: Rc::new(Database::empty()),
            services: Rc::default(),
            queue: Rc::default(),
            github_events: Rc::default(),
            api_keys: Rc::default(),
            cache: Rc::default(),
            seen_deliveries: Rc::default(),
            tokens: Rc::default(),
            objects: Rc::default(),
            rate_limit: Rc::default(),
            limiter: Rc::default(),
            outside: Rc::default(),
            assets: Rc::default(),
            clock: Rc::new(TestClock::at(START_MS)),
        };
        let watching = world.isolate();
        *world.objects.app.borrow_mut() = Some(watching.app);
        world
    }

    /// A world with one isolate whose first request is over: schema there, gateway registered, and
    /// nothing left to do.
    pub(crate) fn warm() -> (Self, Isolate) {
        World::warm_with(&[])
    }

    /// The same, with some variables set.
    pub(crate) fn warm_with(vars: &[(&str, Option<&str>)]) -> (Self, Isolate) {
        let world = World::new();
        let isolate = world.isolate_with(vars);
        run(isolate.get("/health", None));
        run(isolate.deliver_all());
        world.db.reset_calls();
        world.services.reset_calls();
        (world, isolate)
    }

    pub(crate) fn isolate(&self) -> Isolate {
        self.isolate_with(&[])
    }

    /// An isolate with some variables set. A value of `None` takes a resource away.
    pub(crate) fn isolate_with(&self, vars: &[(&str, Option<&str>)]) -> Isolate {
        let vars: Vec<_> =
            vars.iter().map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned))).collect();
        let look_up = move |name: &str| match vars.iter().find(|(key, _)| key == name) {
            Some((_, Some(value))) => Binding::Text(value.clone()),
            Some((_, None)) => Binding::Absent,
            None => match name {
                "ENVIRONMENT" => Binding::Text("development".to_owned()),
                "SERVICE_URL_TEMPLATE" => Binding::Text("http://services/{name}".to_owned()),
                "SEALING_KEYS" => Binding::Text(SEALING_KEYS.to_owned()),
                "REGISTRY_AUTO_REGISTER" => Binding::Text("true".to_owned()),
                // Handed over in the background of every request otherwise: see the tests of metrics.
                "HANDOVER_SECONDS" => Binding::Text("0".to_owned()),
                // Off, but in the tests of limits.
                name if name.starts_with("RATE_LIMIT_") => Binding::Text("0".to_owned()),
                "METRICS_TOKEN"
                | "PUBLIC_URL"
                | "REQUEST_SIGNING_KEY"
                | "BEACON_TOKEN"
                | "MINT_API_KEY" => Binding::Absent,
                "GITHUB_API_URL" => Binding::Text("http://github/api".to_owned()),
                "GITHUB_WEB_URL" => Binding::Text("http://github/web".to_owned()),
                "GITHUB_WEBHOOK_SECRET" => Binding::Text(WEBHOOK_SECRET.to_owned()),
                "GITHUB_APP_ID" => Binding::Text("4242".to_owned()),
                "GITHUB_APP_PRIVATE_KEY" => Binding::Text(PRIVATE_KEY.to_owned()),
                "GITHUB_APP_SLUG" => Binding::Text("chittyconnect-test".to_owned()),
                "GITHUB_CLIENT_ID" => Binding::Text("Iv1.test".to_owned()),
                "GITHUB_CLIENT_SECRET" => Binding::Text("client-secret".to_owned()),
                name if name.starts_with("GITHUB_") => Binding::Absent,
                name if name.ends_with("_URL") || name.starts_with("CHITTYAUTH_") => {
                    Binding::Absent
                }
                name if name.starts_with("CHITTY_") || name.contains("_SECONDS") => Binding::Absent,
                name if name.starts_with("AUDIT_") => Binding::Absent,
                name if ["_MS", "_ATTEMPTS", "_MULTIPLIER"]
                    .iter()
                    .any(|end| name.ends_with(end)) =>
                {
                    Binding::Absent
                }
                _ => Binding::Resource,
            },
        };
        let look_up: Lookup = Rc::new(look_up);
        let has = |name: &str| look_up(name) == Binding::Resource;
        let app = App::new(Parts {
            config: Config::read(Rc::clone(&look_up)),
            build: Build::parse(BUILT_FROM),
            db: has("DB").then(|| Rc::clone(&self.db) as _),
            context_ops: has("CONTEXT_OPS_QUEUE").then(|| Rc::clone(&self.queue) as _),
            watches: has("SERVICE_CONNECTION").then(|| Rc::clone(&self.objects) as _),
            github_events: has("EVENT_Q").then(|| Rc::clone(&self.github_events) as _),
            api_keys: has("API_KEYS").then(|| Rc::clone(&self.api_keys) as _),
            cache: has("CHITTYCONNECT_KV").then(|| Rc::clone(&self.cache) as _),
            seen_deliveries: has("IDEMP_KV").then(|| Rc::clone(&self.seen_deliveries) as _),
            tokens: has("TOKEN_KV").then(|| Rc::clone(&self.tokens) as _),
            rate_limit: has("RATE_LIMIT").then(|| Rc::clone(&self.rate_limit) as _),
            limiter: has("RATE_10").then(|| Rc::clone(&self.limiter) as _),
            es256: Rc::new(TestEs256),
            rs256: Rc::new(TestRs256),
            ai: None,
            assets: has("ASSETS").then(|| Rc::clone(&self.assets) as _),
            outside: Rc::clone(&self.outside) as _,
            transport: Rc::clone(&self.services) as _,
            clock: Rc::clone(&self.clock) as _,
        });
        Isolate { app: Rc::new(app), world: self.clone() }
    }

    pub(crate) fn clock_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    pub(crate) fn advance_ms(&self, ms: u64) {
        self.clock.advance_ms(ms);
    }
}

/// A key-value namespace.
#[derive(Default)]
pub(crate) struct TestKv {
    pub(crate) values: RefCell<BTreeMap<String, String>>,
    /// How long each is kept, in seconds, as it was put last.
    pub(crate) ttls: RefCell<BTreeMap<String, Option<u32>>>,
    pub(crate) down: Cell<bool>,
    /// Whether it fails to answer what is under a key.
    pub(crate) mute: Cell<bool>,
}

#[async_trait(?Send)]
impl Kv for TestKv {
    async fn get(&self, key: &str) -> Result<Option<String>, String> {
        yield_now().await;
        if self.mute.get() {
            return Err("kv mute".to_owned());
        }
        Ok(self.values.borrow().get(key).cloned())
    }

    async fn put(&self, key: &str, value: &str, ttl_s: Option<u32>) -> Result<(), String> {
        yield_now().await;
        if self.down.get() {
            return Err("kv down".to_owned());
        }
        self.ttls.borrow_mut().insert(key.to_owned(), ttl_s);
        self.values.borrow_mut().insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    async fn get_bytes(&self, key: &str) -> Result<Option<Vec<u8>>, String> {
        Ok(self.get(key).await?.map(String::into_bytes))
    }

    async fn put_held(&self, key: &str, body: &dyn RuntimeBody, ttl_s: u32) -> Result<(), String> {
        let text = String::from_utf8(body.bytes()).map_err(|error| error.to_string())?;
        self.put(key, &text, Some(ttl_s)).await
    }

    async fn delete(&self, key: &str) -> Result<(), String> {
        yield_now().await;
        self.values.borrow_mut().remove(key);
        Ok(())
    }
}

/// The queue: messages wait until the test delivers them.
#[derive(Default)]
pub(crate) struct TestQueue {
    pub(crate) messages: RefCell<Vec<String>>,
    pub(crate) down: Cell<bool>,
}

#[async_trait(?Send)]
impl Queue for TestQueue {
    async fn send(&self, messages: Vec<String>) -> Result<(), String> {
        yield_now().await;
        if self.down.get() {
            return Err("queue down".to_owned());
        }
        self.messages.borrow_mut().extend(messages);
        Ok(())
    }
}

/// A delivered message that remembers its verdict.
pub(crate) struct TestDelivery {
    pub(crate) body: Option<String>,
    pub(crate) attempts: u32,
    pub(crate) verdict: RefCell<Vec<Verdict>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Ack,
    Retry(u32),
}

impl TestDelivery {
    pub(crate) fn new(body: impl Into<String>) -> Self {
        TestDelivery { body: Some(body.into()), attempts: 1, verdict: RefCell::default() }
    }

    /// The one verdict that a delivery gets.
    pub(crate) fn verdict(&self) -> Verdict {
        let verdicts = self.verdict.borrow();
        assert_eq!(verdicts.len(), 1, "one verdict per delivery: {verdicts:?}");
        verdicts[0]
    }
}

impl Delivery for TestDelivery {
    fn body(&self) -> Option<String> {
        self.body.clone()
    }
    fn attempts(&self) -> u32 {
        self.attempts
    }
    fn ack(&self) {
        self.verdict.borrow_mut().push(Verdict::Ack);
    }
    fn retry(&self, delay_s: u32) {
        self.verdict.borrow_mut().push(Verdict::Retry(delay_s));
    }
}

/// A request as a client writes it.
#[derive(Debug, Clone, Default)]
pub(crate) struct TestRequest {
    method: String,
    target: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
    pub(crate) broken: bool,
    /// After how many bytes nothing more comes.
    pub(crate) stalls_after: Option<usize>,
}

impl TestRequest {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        TestRequest {
            method: method.to_owned(),
            target: target.to_owned(),
            ..TestRequest::default()
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.to_ascii_lowercase(), value.to_owned());
        self
    }

    pub(crate) fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body(body.to_string()).header("content-type", "application/json")
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

#[async_trait(?Send)]
impl Inbound for TestRequest {
    fn method(&self) -> String {
        self.method.clone()
    }
    fn target(&self) -> String {
        self.target.clone()
    }
    fn origin(&self) -> String {
        "http://gateway.test:8787".to_owned()
    }
    fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).cloned()
    }
    fn headers(&self) -> Vec<(String, String)> {
        self.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }
    async fn body(&self, limit: usize) -> Result<Vec<u8>, BodyError> {
        yield_now().await;
        match self.body.len() {
            _ if self.broken => Err(BodyError::Broken),
            length if length > limit => Err(BodyError::TooLarge),
            _ => Ok(self.body.clone()),
        }
    }
    async fn held_body(&self, limit: usize) -> Result<Box<dyn RuntimeBody>, BodyError> {
        Ok(Box::new(TestBody(self.body(limit).await?)))
    }
    async fn gradual_body(
        &self,
        limit: usize,
        intake: &dyn Intake,
    ) -> Result<Box<dyn RuntimeBody>, BodyError> {
        let mut come = 0;
        for piece in self.body.chunks(self.body.len() / 2 + 1) {
            yield_now().await;
            while self.stalls_after.is_some_and(|bytes| come >= bytes) {
                yield_now().await;
            }
            come += piece.len();
            if come > limit {
                return Err(BodyError::TooLarge);
            }
            if !intake.take(piece.len()) {
                return Err(BodyError::Crowded);
            }
        }
        self.held_body(limit).await
    }
}

/// A webhook as GitHub sends it.
pub(crate) fn signed(id: &str, event: &str, body: &[u8]) -> TestRequest {
    let mac = <Hmac<Sha256> as KeyInit>::new_from_slice(WEBHOOK_SECRET.as_bytes()).unwrap();
    let code = mac.chain_update(body).finalize().into_bytes();
    let code: String = code.iter().map(|byte| format!("{byte:02x}")).collect();
    TestRequest::new("POST", "/integrations/github/webhook")
        .header("x-hub-signature-256", &format!("sha256={code}"))
        .header("x-github-event", event)
        .header("x-github-delivery", id)
        .header("content-type", "application/json")
        .body(body)
}

/// A body as the runtime would keep it.
struct TestBody(Vec<u8>);

#[async_trait(?Send)]
impl RuntimeBody for TestBody {
    fn length(&self) -> usize {
        self.0.len()
    }
    fn bytes(&self) -> Vec<u8> {
        self.0.clone()
    }
    async fn has_hmac(&self, key: &[u8], code: &[u8; 32]) -> Result<bool, String> {
        yield_now().await;
        Ok(signature::is_good(&[key.to_vec()], &self.0, code))
    }
}

/// The static files: the API description alone.
#[derive(Default)]
pub(crate) struct TestAssets {
    pub(crate) down: Cell<bool>,
}

#[async_trait(?Send)]
impl Assets for TestAssets {
    async fn read(&self, path: &str) -> Result<Box<dyn RuntimeBody>, String> {
        yield_now().await;
        match path {
            _ if self.down.get() => Err("assets down".to_owned()),
            openapi::FILE => Ok(Box::new(TestBody(DESCRIPTION.as_bytes().to_vec()))),
            _ => Err(format!("no file {path}")),
        }
    }
}

/// One isolate of the gateway.
#[derive(Clone)]
pub(crate) struct Isolate {
    pub(crate) app: Rc<App>,
    world: World,
}

impl Isolate {
    /// Sends a request and does what is to be done after its reply.
    pub(crate) async fn send(&self, request: TestRequest) -> Answer {
        let (answer, after) = self.send_only(request).await;
        tasks::after_reply(&self.app, after).await;
        answer
    }

    /// Sends a request and leaves what is to be done after its reply: as if the isolate died then.
    pub(crate) async fn send_only(&self, request: TestRequest) -> (Answer, Vec<After>) {
        let mut reply = edge::serve(&self.app, routes::table(), &request).await;
        let after = std::mem::take(&mut reply.after);
        (Answer::of(&reply), after)
    }

    pub(crate) async fn get(&self, target: &str, token: Option<&str>) -> Answer {
        let request = TestRequest::new("GET", target);
        self.send(match token {
            Some(token) => request.token(token),
            None => request,
        })
        .await
    }

    pub(crate) async fn post(&self, target: &str, token: &str, body: &Value) -> Answer {
        self.send(TestRequest::new("POST", target).token(token).json(body)).await
    }

    pub(crate) async fn patch(&self, target: &str, token: &str, body: &Value) -> Answer {
        self.send(TestRequest::new("PATCH", target).token(token).json(body)).await
    }

    pub(crate) async fn put(&self, target: &str, token: &str, body: &Value) -> Answer {
        self.send(TestRequest::new("PUT", target).token(token).json(body)).await
    }

    pub(crate) async fn delete(&self, target: &str, token: &str) -> Answer {
        self.send(TestRequest::new("DELETE", target).token(token)).await
    }

    /// Makes a context and returns its id.
    pub(crate) async fn create(&self, token: &str, body: &Value) -> String {
        let answer = self.post("/v1/contexts", token, body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json["context"]["chitty_id"].as_str().unwrap().to_owned()
    }

    /// Sends a signed webhook of GitHub.
    pub(crate) async fn webhook(&self, id: &str, event: &str, payload: &Value) -> Answer {
        self.send(signed(id, event, payload.to_string().as_bytes())).await
    }

    /// Delivers all that is on the queue of webhooks, each message in a batch of its own.
    pub(crate) async fn deliver_webhooks(&self) -> Vec<Verdict> {
        let bodies = std::mem::take(&mut *self.world.github_events.messages.borrow_mut());
        let mut verdicts = Vec::new();
        for body in bodies {
            let delivery = TestDelivery::new(body);
            tasks::consume(&self.app, "test-github-events", &[&delivery]).await;
            verdicts.push(delivery.verdict());
        }
        verdicts
    }

    /// Delivers all that is on the queue, each message in a batch of its own.
    pub(crate) async fn deliver_all(&self) -> Vec<Verdict> {
        let bodies = std::mem::take(&mut *self.world.queue.messages.borrow_mut());
        let mut verdicts = Vec::new();
        for body in bodies {
            let delivery = TestDelivery::new(body);
            consumer::consume(&self.app, dead::CONTEXT_OPS, &[&delivery]).await;
            verdicts.push(delivery.verdict());
        }
        verdicts
    }
}

/// What a client sees.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) text: String,
    /// The body, or null when there is none.
    pub(crate) json: Value,
}

impl Answer {
    /// Reads a reply, and checks what every reply must have.
    fn of(reply: &Reply) -> Self {
        let mut headers = BTreeMap::new();
        for (name, value) in &reply.headers {
            let visible = value.bytes().all(|b| (0x20..0x7f).contains(&b));
            assert!(visible, "{name}: {value}");
            let again = headers.insert(name.to_string(), value.to_string());
            assert!(again.is_none(), "{name} twice");
        }
        assert!(headers.contains_key("x-request-id") && headers.contains_key("traceparent"));
        let passed_on = match &reply.body {
            Body::Bytes { bytes, .. } => Some(String::from_utf8_lossy(bytes).into_owned()),
            Body::Runtime { body, .. } => Some(String::from_utf8(body.bytes()).unwrap()),
            _ => None,
        };
        let text = match &reply.body {
            Body::RuntimeJson(text) => Some(text.0.copy()),
            body => body.text().map(str::to_owned),
        };
        let text = text.or_else(|| passed_on.clone()).unwrap_or_default();
        let json: Value = match text.as_str() {
            "" => Value::Null,
            text if passed_on.is_some() => serde_json::from_str(text).unwrap_or_default(),
            _ if reply.body.content_type().is_some_and(|kind| kind.starts_with("text/")) => {
                Value::Null
            }
            text => serde_json::from_str(text).expect("a body is JSON"),
        };
        let is_problem = reply.body.content_type() == Some("application/problem+json");
        // A person is told of a problem by a page.
        let is_page = text.starts_with("<!doctype html>");
        if reply.status >= 400 && is_page {
            let passes = matches!(reply.status, 429 | 503);
            assert_eq!(passes, headers.contains_key("retry-after"), "{text}");
        } else if reply.status >= 400 && !text.is_empty() && passed_on.is_none() {
            assert!(is_problem, "{reply:?}");
            assert_eq!(json["status"], reply.status);
            assert_eq!(json["request_id"], headers["x-request-id"]);
            for member in ["type", "title", "detail", "code"] {
                assert!(json[member].as_str().is_some_and(|text| !text.is_empty()), "{text}");
            }
            let passes = matches!(reply.status, 429 | 503);
            assert_eq!(passes, headers.contains_key("retry-after"), "{text}");
        }
        if matches!(reply.status, 204 | 304) {
            assert_eq!(text, "");
        }
        Answer { status: reply.status, headers, text, json }
    }

    pub(crate) fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }
}
