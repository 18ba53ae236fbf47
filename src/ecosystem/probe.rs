//! The checks of `GET /health?full=true`: of all services, in parallel.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use chitty_core::{CallContext, HealthReport, Service};

use crate::app::{App, Slot};

/// How long the check of one service may take, in ms. Six run at once, so all of them take at most twice this
/// time.
const TIMEOUT_MS: u32 = 2_000;

/// How long an isolate reuses the results, in ms. It checks the services at most once in this time, however
/// many requests ask for it.
const KEEP_MS: u64 = 5_000;

/// How often a request that finds checks under way looks for their results, in ms.
const LOOK_MS: u64 = 50;

type Reports = Rc<BTreeMap<Service, HealthReport>>;

/// The latest results of this isolate.
#[derive(Default)]
pub struct Probe {
    last: RefCell<Option<(Reports, u64)>>,
    /// When the checks that are under way began.
    asking_since_ms: Cell<Option<u64>>,
}

impl Slot for Probe {
    fn new(_: &App) -> Self {
        Self::default()
    }
}

/// Returns the health of every service, and the instant (ms) at which the checks ended.
pub async fn services(app: &App) -> (Reports, u64) {
    let longest_ms = 2 * u64::from(TIMEOUT_MS) + 500;
    let probe = Probe::of(app);
    loop {
        let now_ms = app.now_ms();
        if let Some((reports, at_ms)) = &*probe.last.borrow()
            && now_ms.abs_diff(*at_ms) < KEEP_MS
        {
            return (Rc::clone(reports), *at_ms);
        }
        // The request that began the checks may have ended before them.
        match probe.asking_since_ms.get() {
            Some(since_ms) if now_ms.abs_diff(since_ms) < longest_ms => app.sleep(LOOK_MS).await,
            _ => break,
        }
    }
    probe.asking_since_ms.set(Some(app.now_ms()));
    let session = app.core.session(CallContext::default());
    let reports = Rc::new(session.health_of_all(TIMEOUT_MS).await);
    let at_ms = app.now_ms();
    *probe.last.borrow_mut() = Some((Rc::clone(&reports), at_ms));
    probe.asking_since_ms.set(None);
    (reports, at_ms)
}
