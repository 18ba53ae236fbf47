//! Metrics: counted in the isolate, handed over to the database in the background, shown by
//! `GET /metrics`.
//!
//! Counting is a few additions in memory; nothing else happens before a reply. `handover` adds an isolate's
//! counts to those of all isolates, exactly once per batch; `text` is the Prometheus text format.

pub mod handlers;
pub(crate) mod handover;
pub mod settings;
mod text;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use chitty_core::{BUCKETS_MS, BreakerState, ChittyCore, Histogram, Metrics, Service};
use seams::ids;
use serde_json::{Value, json};

use crate::app::counters::{Counters, NamedCounts};
use crate::app::{App, Slot};
pub use crate::metrics::handover::Plan;

/// The route label of a request that matches no route.
pub const UNMATCHED: &str = "unmatched";

const HTTP_REQUESTS: &str = "chittyconnect_http_requests_total";
const HTTP_LATENCY: &str = "chittyconnect_http_request_duration_seconds";
const UPSTREAM_REQUESTS: &str = "chittyconnect_upstream_requests_total";
const UPSTREAM_LATENCY: &str = "chittyconnect_upstream_request_duration_seconds";

/// The statuses and latencies of the requests of one method and route.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct RouteMetrics {
    statuses: BTreeMap<u16, u64>,
    latency: Histogram,
}

/// Everything that an isolate has counted since its start. Only ever grows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Counts {
    routes: BTreeMap<(&'static str, &'static str), RouteMetrics>,
    upstream: Metrics,
    /// What the folders have counted themselves.
    named: NamedCounts,
}

/// The counters of one isolate.
pub struct Recorder {
    /// The isolate's name in the database.
    isolate: String,
    routes: RefCell<BTreeMap<(&'static str, &'static str), RouteMetrics>>,
    /// The counts that are known to be handed over.
    handed: RefCell<Counts>,
    /// A batch that may or may not have arrived: it is sent again unchanged.
    pending: RefCell<Option<Batch>>,
    seq: Cell<i64>,
}

impl Slot for Recorder {
    fn new(_: &App) -> Self {
        Self::default()
    }
}

/// The last page of metrics, which the isolate reuses for a while.
#[derive(Default)]
pub struct Page(RefCell<Option<(u64, String)>>);

impl Slot for Page {
    fn new(_: &App) -> Self {
        Self::default()
    }
}

impl Page {
    fn get(&self, now_ms: u64, keep_ms: u64) -> Option<String> {
        let page = self.0.borrow();
        let (at_ms, text) = page.as_ref()?;
        (now_ms.abs_diff(*at_ms) < keep_ms).then(|| text.clone())
    }

    fn put(&self, now_ms: u64, text: String) {
        *self.0.borrow_mut() = Some((now_ms, text));
    }
}

/// The counts of one handover.
#[derive(Debug, Clone)]
struct Batch {
    seq: i64,
    rows: Vec<Value>,
    upto: Counts,
}

impl Default for Recorder {
    fn default() -> Self {
        Recorder {
            isolate: ids::random_hex::<16>(),
            routes: RefCell::default(),
            handed: RefCell::default(),
            pending: RefCell::default(),
            seq: Cell::new(0),
        }
    }
}

impl Recorder {
    /// Counts a request that was answered.
    pub fn record(&self, method: &'static str, route: &'static str, status: u16, latency_ms: u64) {
        let mut routes = self.routes.borrow_mut();
        let metrics = routes.entry((method, route)).or_default();
        *metrics.statuses.entry(status).or_default() += 1;
        metrics.latency.observe(latency_ms);
    }

    fn counted(&self, app: &App) -> Counts {
        Counts {
            routes: self.routes.borrow().clone(),
            upstream: app.core.metrics(),
            named: Counters::of(app).all(),
        }
    }

    /// Returns the batch to send: the pending one, or the counts since the last.
    fn batch(&self, app: &App) -> Batch {
        let mut pending = self.pending.borrow_mut();
        if let Some(batch) = &*pending {
            return batch.clone();
        }
        let upto = self.counted(app);
        self.seq.set(self.seq.get() + 1);
        let rows = rows(&upto, &self.handed.borrow());
        let batch = Batch { seq: self.seq.get(), rows, upto };
        *pending = Some(batch.clone());
        batch
    }

    /// Records that a batch has arrived.
    fn handed_over(&self, batch: Batch) {
        let mut pending = self.pending.borrow_mut();
        if pending.as_ref().is_some_and(|open| open.seq == batch.seq) {
            *pending = None;
            *self.handed.borrow_mut() = batch.upto;
        }
    }
}

/// Returns the breakers that are not closed: the state by service.
fn breakers(core: &ChittyCore) -> Value {
    let state = |service: &Service| match core.breaker(*service) {
        BreakerState::Closed => None,
        BreakerState::Open { .. } => Some((service.host().to_owned(), json!("open"))),
        BreakerState::HalfOpen { .. } => Some((service.host().to_owned(), json!("half_open"))),
    };
    Value::Object(Service::ALL.iter().filter_map(state).collect())
}

/// Returns what was counted from `before` to `now`, as rows `[family, labels, counts]`.
fn rows(now: &Counts, before: &Counts) -> Vec<Value> {
    let mut rows = Vec::new();
    for ((method, route), metrics) in &now.routes {
        let old = before.routes.get(&(*method, *route));
        let labels = format!("method=\"{method}\",route=\"{route}\"");
        for (status, count) in &metrics.statuses {
            let earlier = old.and_then(|old| old.statuses.get(status)).copied().unwrap_or_default();
            let labels = format!("{labels},status=\"{status}\"");
            counter(&mut rows, HTTP_REQUESTS, &labels, count - earlier);
        }
        let earlier = old.map(|old| old.latency).unwrap_or_default();
        histogram(&mut rows, HTTP_LATENCY, &labels, &metrics.latency, &earlier);
    }
    for (service, metrics) in &now.upstream.services {
        let old = before.upstream.services.get(service);
        let labels = format!("service=\"{}\"", service.host());
        for (outcome, count) in &metrics.outcomes {
            let earlier =
                old.and_then(|old| old.outcomes.get(outcome)).copied().unwrap_or_default();
            let labels = format!("{labels},outcome=\"{outcome}\"");
            counter(&mut rows, UPSTREAM_REQUESTS, &labels, count - earlier);
        }
        let earlier = old.map(|old| old.latency).unwrap_or_default();
        histogram(&mut rows, UPSTREAM_LATENCY, &labels, &metrics.latency, &earlier);
    }
    for ((family, labels), count) in &now.named {
        let earlier = before.named.get(&(*family, labels.clone())).copied().unwrap_or_default();
        counter(&mut rows, family, labels, count - earlier);
    }
    rows
}

fn counter(rows: &mut Vec<Value>, family: &str, labels: &str, added: u64) {
    if added > 0 {
        rows.push(json!([family, labels, [added]]));
    }
}

/// Adds the row of a histogram: its buckets (cumulative, as Prometheus requires; the last one is `+Inf`),
/// then the number of observations, then their sum in ms.
fn histogram(
    rows: &mut Vec<Value>,
    family: &str,
    labels: &str,
    now: &Histogram,
    before: &Histogram,
) {
    let added = now.total() - before.total();
    if added == 0 {
        return;
    }
    let mut cumulative = 0;
    let buckets = now.counts.iter().zip(before.counts).map(|(count, earlier)| {
        cumulative += count - earlier;
        cumulative
    });
    let counts: Vec<u64> = buckets.chain([added, now.sum_ms - before.sum_ms]).collect();
    rows.push(json!([family, labels, counts]));
}

/// The upper bound of a bucket as Prometheus prints it, in seconds.
#[allow(clippy::cast_precision_loss, reason = "some thousands of milliseconds")]
fn bound(position: usize) -> String {
    match BUCKETS_MS.get(position) {
        Some(ms) => format!("{}", *ms as f64 / 1000.0),
        None => "+Inf".to_owned(),
    }
}
