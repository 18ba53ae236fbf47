//! The health of the services as it is now. The services that are watched are not asked again while the watch's
//! last word is recent; the others are asked at their health checks, several at once and within a bounded time.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use chitty_core::{
    CallContext, DEGRADED_MS, FailureKind, HealthReport, Service, ServiceHealth, Session,
    TransportError,
};
use futures_util::stream::{self, StreamExt};
use seams::outside::OutsideRequest;
use seams::{log, time};
use serde::Serialize;
use serde_json::Value;

use crate::app::shared::Shared;
use crate::app::{App, Slot};
use crate::config::VERSION;
use crate::discovery::catalog::Entry;
use crate::discovery::memory;
use crate::discovery::published::{self, ServiceStatus};
use crate::store::Ready;

/// How long the check of one service may take, in ms.
const TIMEOUT_MS: u32 = 5_000;

/// How long the checks of all services may take together, in ms.
const ALL_MS: u64 = 10_000;

/// The most checks at once: the platform lets six calls of a request wait for their answers.
const AT_ONCE: usize = 6;

/// The most services that a request for all of them asks: twice as many as there are. Each such request costs
/// every service a call, and anybody may send one.
const MAX_ASKED: usize = 100;

/// How long an isolate keeps the health of all services, and that of one, in ms.
const KEEP_ALL_MS: u64 = 30_000;
const KEEP_ONE_MS: u64 = 5_000;

/// How old the watch's last word may be, in ms: it checks a service every 30 s.
const PUBLISHED_MS: u64 = 60_000;

/// The most bytes of an answer that are read.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// The most services whose single results are kept.
const MAX_KEPT: usize = 200;

/// The health of a service.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(utoipa::ToSchema))]
pub(crate) struct LiveStatus {
    /// The name of its repository, such as `chittyid`.
    #[serde(rename = "serviceId")]
    service_id: String,
    /// The same as `serviceId`.
    name: String,
    /// The URL at which this deployment calls it.
    url: String,
    /// `healthy`, `degraded` (the service says so, or took half a second or longer to answer), `down`, or
    /// `unknown` if it was not asked.
    status: &'static str,
    /// The HTTP status of its answer; null without one.
    #[serde(rename = "statusCode")]
    status_code: Option<u16>,
    /// When it was last checked, ISO-8601; null if it was not.
    #[serde(rename = "lastChecked")]
    last_checked: Option<String>,
    /// How long its answer took, in ms.
    latency_ms: Option<u64>,
    /// Why it is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The word of its registration at this gateway; null if it is not registered here.
    registered_status: Option<String>,
}

/// The health of every service.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(utoipa::ToSchema))]
pub(crate) struct LiveStatuses {
    /// Each service, by its name.
    services: BTreeMap<String, LiveStatus>,
    /// When the last check ended, at most half a minute ago; ISO-8601.
    checked_at: String,
}

impl LiveStatus {
    /// A service that was not asked.
    fn unasked(entry: &Entry) -> Self {
        LiveStatus {
            service_id: entry.name.clone(),
            name: entry.name.clone(),
            url: entry.url.clone(),
            status: "unknown",
            status_code: None,
            last_checked: None,
            latency_ms: None,
            error: None,
            registered_status: entry.registered_status.clone(),
        }
    }

    /// A service that was asked at this instant.
    fn reported(entry: &Entry, report: &HealthReport, at_ms: u64) -> Self {
        LiveStatus {
            status: report.status.as_str(),
            status_code: report.status_code,
            last_checked: Some(time::iso8601(at_ms)),
            latency_ms: Some(report.latency),
            error: report.error.map(str::to_owned),
            ..LiveStatus::unasked(entry)
        }
    }

    /// A service that is watched, as the watch has last seen it.
    fn watched(entry: &Entry, published: &ServiceStatus) -> Self {
        let number = |name: &str| published.status.get(name).and_then(Value::as_u64);
        let latency_ms = number("lastLatencyMs");
        let is_slow = latency_ms.is_some_and(|ms| ms >= DEGRADED_MS);
        let health = match published.word() {
            "active" if !is_slow => ServiceHealth::Healthy,
            "active" | "degraded" => ServiceHealth::Degraded,
            _ => ServiceHealth::Down,
        };
        let error = published.status.get("lastError").and_then(Value::as_str);
        LiveStatus {
            status: health.as_str(),
            status_code: published.is_connected().then_some(200),
            last_checked: number("lastCheckAt").map(time::iso8601),
            latency_ms,
            error: error.map(str::to_owned),
            ..LiveStatus::unasked(entry)
        }
    }
}

/// The latest results of this isolate.
#[derive(Default)]
pub(super) struct Statuses {
    all: Shared<LiveStatuses>,
    single: RefCell<BTreeMap<String, Rc<Shared<LiveStatus>>>>,
}

impl Slot for Statuses {
    fn new(_: &App) -> Self {
        Self::default()
    }
}

impl Statuses {
    /// The place of the result of one service.
    fn of_service(&self, name: &str, now_ms: u64) -> Rc<Shared<LiveStatus>> {
        let mut single = self.single.borrow_mut();
        if single.len() >= MAX_KEPT {
            single.retain(|_, kept| kept.is_recent(now_ms, KEEP_ONE_MS));
        }
        Rc::clone(single.entry(name.to_owned()).or_default())
    }
}

/// Returns the health of every service.
pub(super) async fn all(app: &App) -> Rc<LiveStatuses> {
    let times = (KEEP_ALL_MS, ALL_MS + 500);
    Statuses::of(app).all.get(app, times, async || check_all(app).await).await.0
}

/// Returns the health of one service.
pub(super) async fn one(app: &App, entry: &Entry) -> Rc<LiveStatus> {
    let times = (KEEP_ONE_MS, u64::from(TIMEOUT_MS) + 500);
    let check = async || {
        let checks = Checks::begin(app, u64::from(TIMEOUT_MS)).await;
        checks.perform(entry, true).await
    };
    Statuses::of(app).of_service(&entry.name, app.now_ms()).get(app, times, check).await.0
}

async fn check_all(app: &App) -> LiveStatuses {
    let snapshot = memory::current(app).await;
    let checks = Checks::begin(app, ALL_MS).await;
    let mut asked = 0;
    let each = snapshot.entries.iter().map(|entry| {
        // Anybody can register a service, so one that is not verified is not asked for everybody.
        let may_ask = entry.verified && asked < MAX_ASKED;
        asked += usize::from(may_ask);
        checks.perform(entry, may_ask)
    });
    let found: Vec<LiveStatus> = stream::iter(each).buffer_unordered(AT_ONCE).collect().await;
    LiveStatuses {
        services: found.into_iter().map(|one| (one.name.clone(), one)).collect(),
        checked_at: time::iso8601(app.now_ms()),
    }
}

/// Checks that end together.
struct Checks<'a> {
    app: &'a App,
    session: Session,
    /// What the watch has published lately, by service.
    published: BTreeMap<String, ServiceStatus>,
    until_ms: u64,
}

impl<'a> Checks<'a> {
    async fn begin(app: &'a App, longest_ms: u64) -> Self {
        Checks {
            app,
            session: app.core.session(CallContext::default()),
            published: published_lately(app).await,
            until_ms: app.now_ms() + longest_ms,
        }
    }

    /// Checks a service. Asks it only if `may_ask`, and only while there is time.
    async fn perform(&self, entry: &Entry, may_ask: bool) -> LiveStatus {
        let now_ms = self.app.now_ms();
        if entry.is_this_gateway() {
            // It answers this very request.
            let report = HealthReport::of_answer(200, &Value::Null, 0);
            return LiveStatus::reported(entry, &report, now_ms);
        }
        if let Some(published) = self.published.get(&entry.id) {
            return LiveStatus::watched(entry, published);
        }
        let left_ms = self.until_ms.saturating_sub(now_ms).min(TIMEOUT_MS.into());
        match u32::try_from(left_ms) {
            Ok(left_ms) if may_ask && left_ms > 0 => {
                let report = self.ask(entry, left_ms).await;
                LiveStatus::reported(entry, &report, self.app.now_ms())
            }
            _ => LiveStatus::unasked(entry),
        }
    }

    async fn ask(&self, entry: &Entry, deadline_ms: u32) -> HealthReport {
        if let Some(core) = Service::parse(&entry.id) {
            return self.session.health(core, deadline_ms).await;
        }
        let request = OutsideRequest {
            service: None,
            method: "GET".to_owned(),
            url: entry.health.clone(),
            headers: vec![
                ("user-agent".to_owned(), format!("ChittyConnect/{VERSION}")),
                ("accept".to_owned(), "application/json".to_owned()),
            ],
            body: None,
            deadline_ms,
            max_body_bytes: MAX_ANSWER_BYTES,
            share: Weak::new(),
        };
        let sent_ms = self.app.now_ms();
        let answer = self.app.outside.send(request).await;
        let latency = self.app.now_ms().saturating_sub(sent_ms);
        match answer {
            Ok(answer) => {
                // Some services answer with a word or a page.
                let body = serde_json::from_slice(&answer.body).unwrap_or_default();
                HealthReport::of_answer(answer.status, &body, latency)
            }
            Err(error) => HealthReport::of_failure(kind_of(&error), None, latency),
        }
    }
}

fn kind_of(error: &TransportError) -> FailureKind {
    match error {
        TransportError::Timeout => FailureKind::Timeout,
        TransportError::Unreachable(_) => FailureKind::Unreachable,
        TransportError::TooLarge(_) => FailureKind::Malformed,
    }
}

/// The services that are watched and were published lately. None while the database is down: then they are
/// asked.
async fn published_lately(app: &App) -> BTreeMap<String, ServiceStatus> {
    let Ok(ready) = Ready::ensure(app).await else { return BTreeMap::new() };
    let rows = ready.db().rows(published::overview()).await.unwrap_or_else(|error| {
        log::warn("published_states_unread", &[("error", &error.to_string())]);
        Vec::new()
    });
    let now_ms = app.now_ms();
    let read = rows.into_iter().filter_map(|row| ServiceStatus::read(row).ok());
    let recent = read.filter(|one| one.is_watched() && one.is_recent(now_ms, PUBLISHED_MS));
    recent.map(|one| (one.service.clone(), one)).collect()
}
