//! The checks of `GET /health?full=true`: of all services, in parallel.

use std::collections::BTreeMap;
use std::rc::Rc;

use chitty_core::{CallContext, HealthReport, Service};

use crate::app::shared::Shared;
use crate::app::{App, Slot};

/// How long the check of one service may take, in ms. Six run at once, so all of them take at most twice this
/// time.
const TIMEOUT_MS: u32 = 2_000;

/// How long an isolate reuses the results, in ms. It checks the services at most once in this time, however
/// many requests ask for it.
const KEEP_MS: u64 = 5_000;

/// How long the checks may take together before they count as lost, in ms.
const LONGEST_MS: u64 = 2 * TIMEOUT_MS as u64 + 500;

/// The latest results of this isolate.
#[derive(Default)]
pub struct Probe(Shared<BTreeMap<Service, HealthReport>>);

impl Slot for Probe {
    fn new(_: &App) -> Self {
        Self::default()
    }
}

/// Returns the health of every service, and the instant (ms) at which the checks ended.
pub async fn services(app: &App) -> (Rc<BTreeMap<Service, HealthReport>>, u64) {
    let check = async || {
        let session = app.core.session(CallContext::default());
        session.health_of_all(TIMEOUT_MS).await
    };
    Probe::of(app).0.get(app, (KEEP_MS, LONGEST_MS), check).await
}
